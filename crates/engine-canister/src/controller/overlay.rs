//! Changes of a round over the snapshot it started from. Dropping the overlay is the rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candid::Principal;
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_types::{Image, ImageId, PageRun, StateRead, WriteLog, WriteLogEntry};

use super::archive::{Archive, Log};
use super::codec::Record;
use super::record::{Canister, Meta, RequestRecord, Status};
use super::snapshot::{
    ARCHIVE_PREFIX, Changes, LOG_PREFIX, META_KEY, RequestId, Snapshot, canister_key, key_of,
    request_key,
};

/// An image as it stands within a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundImage {
    /// All of it.
    pub(crate) current: Image,
    /// What was written in this round.
    changed: Image,
    /// Whether what the sealed state holds is forgotten.
    reset: bool,
    /// Whether anything happened to it.
    touched: bool,
}

impl RoundImage {
    /// Gives it a new length and new contents of pages.
    pub(crate) fn write(&mut self, pages: u64, runs: Vec<PageRun>) {
        if pages == self.current.pages() && runs.is_empty() {
            return;
        }
        self.touched = true;
        self.current.resize(pages);
        self.changed.resize(pages);
        for run in runs {
            self.current.overlay(run.clone());
            self.changed.overlay(run);
        }
    }

    /// Takes the content of another image. Its pages are shared, not copied.
    pub(crate) fn share(&mut self, other: &Image) {
        self.clear();
        self.current = other.clone();
        self.changed = other.clone();
    }

    /// Forgets its content.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            reset: true,
            touched: true,
            ..Self::default()
        };
    }
}

/// The base of a table and its changes.
type Table<T> = BTreeMap<Principal, Option<T>>;

/// The record of a canister as it stands, empty where there is none.
fn edit<'t, T: Clone + Default>(
    changes: &'t mut Table<T>,
    base: &BTreeMap<Principal, Arc<T>>,
    id: Principal,
) -> &'t mut T {
    let from_base = || base.get(&id).map(|record| (**record).clone());
    changes
        .entry(id)
        .or_insert_with(from_base)
        .get_or_insert_with(T::default)
}

/// Writes what changed of a table to the log; gives the changes for the cache.
fn finish_table<T: Record + PartialEq>(
    changes: Table<T>,
    base: &BTreeMap<Principal, Arc<T>>,
    prefix: &[u8],
    log: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> BTreeMap<Principal, Option<Arc<T>>> {
    let mut finished = BTreeMap::new();
    for (id, record) in changes {
        if base.get(&id).map(|old| &**old) != record.as_ref() {
            log.insert(key_of(prefix, &id), record.as_ref().map(Record::encode));
            finished.insert(id, record.map(Arc::new));
        }
    }
    finished
}

/// Changes of a round.
pub(crate) struct Overlay<'a> {
    view: &'a dyn StateRead,
    base: Arc<Snapshot>,
    pub(crate) meta: Meta,
    canisters: BTreeMap<Principal, Option<Canister>>,
    archives: Table<Archive>,
    logs: Table<Log>,
    requests: BTreeMap<RequestId, Option<RequestRecord>>,
    images: BTreeMap<ImageId, RoundImage>,
    /// Canisters that may have something to execute.
    pub(crate) active: BTreeSet<Principal>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(view: &'a dyn StateRead, base: Arc<Snapshot>) -> Self {
        Self {
            view,
            meta: (*base.meta).clone(),
            active: base.active.clone(),
            base,
            canisters: BTreeMap::new(),
            archives: Table::new(),
            logs: Table::new(),
            requests: BTreeMap::new(),
            images: BTreeMap::new(),
        }
    }

    pub(crate) fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    pub(crate) fn canister(&self, id: &Principal) -> Option<&Canister> {
        match self.canisters.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.base.canisters.get(id).map(|canister| &**canister),
        }
    }

    /// A canister to change. The first change of a round copies it out of the snapshot.
    pub(crate) fn canister_mut(&mut self, id: &Principal) -> Option<&mut Canister> {
        let base = &self.base;
        let entry = self.canisters.entry(*id);
        entry
            .or_insert_with(|| base.canisters.get(id).map(|canister| (**canister).clone()))
            .as_mut()
    }

    /// A canister that the caller knows to exist.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn existing(&mut self, id: &Principal) -> &mut Canister {
        self.canister_mut(id)
            .expect("the caller has looked the canister up")
    }

    /// History and snapshots of a canister.
    pub(crate) fn archive(&self, id: &Principal) -> Option<&Archive> {
        match self.archives.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.base.archives.get(id).map(|archive| &**archive),
        }
    }

    /// History and snapshots of a canister, to change.
    pub(crate) fn archive_mut(&mut self, id: Principal) -> &mut Archive {
        edit(&mut self.archives, &self.base.archives, id)
    }

    /// Prints of a canister, to change.
    pub(crate) fn log_mut(&mut self, id: Principal) -> &mut Log {
        edit(&mut self.logs, &self.base.logs, id)
    }

    /// Forgets what is kept of a canister beside its record.
    pub(crate) fn forget(&mut self, id: Principal) {
        self.archives.insert(id, None);
        self.logs.insert(id, None);
    }

    pub(crate) fn put_canister(&mut self, id: Principal, canister: Option<Canister>) {
        if canister.is_none() {
            self.active.remove(&id);
        }
        self.canisters.insert(id, canister);
    }

    /// Canisters that are stopping, ascending.
    pub(crate) fn stopping(&self) -> impl Iterator<Item = Principal> + '_ {
        let ids: BTreeSet<Principal> = self
            .base
            .wakes
            .iter()
            .map(|(_, id)| *id)
            .chain(self.canisters.keys().copied())
            .collect();
        ids.into_iter().filter(|id| {
            self.canister(id)
                .is_some_and(|canister| matches!(canister.status, Status::Stopping { .. }))
        })
    }

    /// Ids of all canisters, ascending.
    pub(crate) fn canister_ids(&self) -> Vec<Principal> {
        let mut ids: BTreeSet<Principal> = self.base.canisters.keys().copied().collect();
        for (id, canister) in &self.canisters {
            if canister.is_some() {
                ids.insert(*id);
            } else {
                ids.remove(id);
            }
        }
        ids.into_iter().collect()
    }

    pub(crate) fn request(&self, id: &RequestId) -> Option<&RequestRecord> {
        match self.requests.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.base.requests.get(id).map(|record| &**record),
        }
    }

    pub(crate) fn request_mut(&mut self, id: &RequestId) -> Option<&mut RequestRecord> {
        let base = &self.base;
        let entry = self.requests.entry(*id);
        entry
            .or_insert_with(|| base.requests.get(id).map(|record| (**record).clone()))
            .as_mut()
    }

    pub(crate) fn put_request(&mut self, id: RequestId, record: Option<RequestRecord>) {
        self.requests.insert(id, record);
    }

    /// An image as it stands; empty where there is none.
    pub(crate) fn image(&mut self, id: &ImageId) -> Result<&mut RoundImage, Fault> {
        if !self.images.contains_key(id) {
            let current = self.view.image(id)?.unwrap_or_default();
            self.images.insert(
                id.clone(),
                RoundImage {
                    current,
                    ..RoundImage::default()
                },
            );
        }
        Ok(self.images.get_mut(id).expect("it was just put there"))
    }

    pub(crate) fn put_image(&mut self, id: ImageId, image: RoundImage) {
        self.images.insert(id, image);
    }

    /// The changes as an outcome has them, and for the cache.
    pub(crate) fn finish(self) -> Result<(Changes, WriteLog, Vec<ImageWrite>), Fault> {
        let mut log: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let meta = self.meta.encode();
        if meta != self.base.meta.encode() || self.base.meta.round == 0 {
            log.insert(META_KEY.to_vec(), Some(meta));
        }
        let mut changes = Changes {
            meta: self.meta,
            canisters: BTreeMap::new(),
            archives: finish_table(self.archives, &self.base.archives, ARCHIVE_PREFIX, &mut log),
            logs: finish_table(self.logs, &self.base.logs, LOG_PREFIX, &mut log),
            requests: BTreeMap::new(),
        };
        for (id, canister) in self.canisters {
            let old = self.base.canisters.get(&id);
            if old.map(|old| &**old) != canister.as_ref() {
                log.insert(canister_key(&id), canister.as_ref().map(Record::encode));
            } else if canister.is_none() {
                continue;
            }
            changes.canisters.insert(id, canister.map(Arc::new));
        }
        for (id, record) in self.requests {
            if self.base.requests.get(&id).map(|old| &**old) != record.as_ref() {
                log.insert(request_key(&id), record.as_ref().map(Record::encode));
                changes.requests.insert(id, record.map(Arc::new));
            }
        }
        let mut images = Vec::new();
        for (image, state) in self.images {
            if !state.touched {
                continue;
            }
            let existed = self.view.image(&image)?.is_some();
            let runs = if state.reset {
                &state.current
            } else {
                &state.changed
            };
            let runs: Vec<PageRun> = runs.runs().cloned().collect();
            let pages = state.current.pages();
            let change = match (pages, existed) {
                (0, false) => continue,
                (0, true) => ImageChange::Delete,
                _ => ImageChange::Write {
                    reset: state.reset,
                    pages,
                    runs,
                },
            };
            images.push(ImageWrite { image, change });
        }
        let log = log
            .into_iter()
            .map(|(key, value)| WriteLogEntry { key, value })
            .collect();
        Ok((changes, log, images))
    }
}
