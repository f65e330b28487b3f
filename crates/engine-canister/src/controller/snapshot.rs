//! One version of the state, decoded: a cache of what the view holds, and indexes that are derived
//! from it.
//!
//! A snapshot is immutable once made, so that queries read it while rounds go on. It can always be
//! made anew from the view; both ways give equal snapshots. Versions share what they have in common:
//! a round costs what it changed, not what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use candid::Principal;
use rpds::RedBlackTreeSetSync as Set;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::archive::{Archive, Log};
use super::codec::Record;
use super::record::{Canister, Meta, RequestRecord};
use super::remembered::Remembered;
use crate::certified::{self, LabelMap, Top};

/// Key of the record of what belongs to no canister.
pub(crate) const META_KEY: &[u8] = b"meta";
/// Prefix of canisters, followed by the id.
pub(crate) const CANISTER_PREFIX: &[u8] = b"canister/";
/// Prefix of histories and snapshots, followed by the id of the canister.
pub(crate) const ARCHIVE_PREFIX: &[u8] = b"canister_archive/";
/// Prefix of prints, followed by the id of the canister.
pub(crate) const LOG_PREFIX: &[u8] = b"canister_log/";
/// Prefix of ingress statuses, followed by the request id.
pub(crate) const REQUEST_PREFIX: &[u8] = b"request_status/";
/// Key of the root of the certified state tree.
pub const ATTESTED_KEY: &[u8] = b"attested/ic-state-root";

/// Identifier of an ingress message.
pub(crate) type RequestId = [u8; 32];

/// One version of the state.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) meta: Arc<Meta>,
    /// By id, with the digests of their subtrees in the certified tree.
    pub(crate) canisters: LabelMap<Principal, Arc<Canister>>,
    /// Histories and snapshots; copied as a whole where they change, which is rare.
    pub(crate) archives: Arc<BTreeMap<Principal, Arc<Archive>>>,
    /// Prints.
    pub(crate) logs: Arc<BTreeMap<Principal, Arc<Log>>>,
    /// Ingress statuses by request id, with the digests of their subtrees.
    pub(crate) requests: LabelMap<RequestId, Arc<RequestRecord>>,
    /// Canisters with something to execute.
    pub(crate) active: BTreeSet<Principal>,
    /// Canisters that want a task in every round.
    pub(crate) heartbeats: BTreeSet<Principal>,
    /// When canisters have something due.
    pub(crate) wakes: Set<(u64, Principal)>,
    /// Up to when ingress statuses are kept.
    pub(crate) kept: Set<(u64, RequestId)>,
    /// The top of the certified tree, once it was asked for.
    pub(crate) top: OnceLock<Arc<Top>>,
    /// Answers that query calls had on this version.
    pub(crate) remembered: Arc<Remembered>,
}

/// What a round changed.
pub(crate) struct Changes {
    pub(crate) meta: Meta,
    pub(crate) canisters: BTreeMap<Principal, Option<Arc<Canister>>>,
    pub(crate) archives: BTreeMap<Principal, Option<Arc<Archive>>>,
    pub(crate) logs: BTreeMap<Principal, Option<Arc<Log>>>,
    pub(crate) requests: BTreeMap<RequestId, Option<Arc<RequestRecord>>>,
}

impl Snapshot {
    /// Reads everything from a view.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let damaged =
            |what: &str, error| Fault(format!("the state's record {what} is damaged: {error}"));
        let meta = match view.get(META_KEY)? {
            None => Meta::default(),
            Some(bytes) => Meta::decode(&bytes).map_err(|error| damaged("meta", error))?,
        };
        let canister = |key: &[u8]| Principal::try_from_slice(key).ok();
        let changes = Changes {
            meta,
            canisters: records(view, CANISTER_PREFIX, canister)?,
            archives: records(view, ARCHIVE_PREFIX, canister)?,
            logs: records(view, LOG_PREFIX, canister)?,
            requests: records(view, REQUEST_PREFIX, |key| RequestId::try_from(key).ok())?,
        };
        Ok(Self::default().with(&changes))
    }

    /// This version with changes laid over it.
    pub(crate) fn with(&self, changes: &Changes) -> Self {
        let mut next = self.clone();
        next.meta = Arc::new(changes.meta.clone());
        next.top = OnceLock::new();
        next.remembered = Arc::default();
        for (id, canister) in &changes.canisters {
            next.put_canister(*id, canister.clone());
        }
        put_all(&mut next.archives, &changes.archives);
        put_all(&mut next.logs, &changes.logs);
        for (id, record) in &changes.requests {
            next.put_request(*id, record.clone());
        }
        next
    }

    fn put_canister(&mut self, id: Principal, canister: Option<Arc<Canister>>) {
        if let Some(old) = self.canisters.remove(&id) {
            self.active.remove(&id);
            self.heartbeats.remove(&id);
            if let Some(wake) = old.wake() {
                self.wakes.remove_mut(&(wake, id));
            }
        }
        if let Some(new) = canister {
            if new.has_work() {
                self.active.insert(id);
            }
            if new.wants_heartbeat() {
                self.heartbeats.insert(id);
            }
            if let Some(wake) = new.wake() {
                self.wakes.insert_mut((wake, id));
            }
            let digest = certified::canister_digest(&new);
            self.canisters.insert(id, new, digest);
        }
    }

    fn put_request(&mut self, id: RequestId, record: Option<Arc<RequestRecord>>) {
        if let Some(old) = self.requests.remove(&id) {
            self.kept.remove_mut(&(old.kept_until, id));
        }
        if let Some(new) = record {
            self.kept.insert_mut((new.kept_until, id));
            let digest = certified::request_digest(&new);
            self.requests.insert(id, new, digest);
        }
    }
}

/// The records whose keys begin with `prefix`.
fn records<K: Ord, T: Record>(
    view: &dyn StateRead,
    prefix: &[u8],
    parse: impl Fn(&[u8]) -> Option<K>,
) -> Result<BTreeMap<K, Option<Arc<T>>>, Fault> {
    let mut found = BTreeMap::new();
    let mut damage = None;
    view.iterate(prefix, &mut |key, value| {
        let read = match parse(&key[prefix.len()..]) {
            Some(id) => T::decode(value)
                .map(|record| (id, record))
                .map_err(|error| format!("the state's record at {key:02x?} is damaged: {error}")),
            None => Err(format!("the state's key {key:02x?} is damaged")),
        };
        match read {
            Ok((id, record)) => {
                found.insert(id, Some(Arc::new(record)));
                ControlFlow::Continue(())
            }
            Err(what) => {
                damage = Some(Fault(what));
                ControlFlow::Break(())
            }
        }
    })?;
    damage.map_or(Ok(found), Err)
}

/// Lays changes over a table.
fn put_all<T>(
    table: &mut Arc<BTreeMap<Principal, Arc<T>>>,
    changes: &BTreeMap<Principal, Option<Arc<T>>>,
) {
    if changes.is_empty() {
        return;
    }
    let table = Arc::make_mut(table);
    for (id, record) in changes {
        match record {
            Some(record) => table.insert(*id, record.clone()),
            None => table.remove(id),
        };
    }
}

/// Key of a record of `prefix` that belongs to a canister.
pub(crate) fn key_of(prefix: &[u8], id: &Principal) -> Vec<u8> {
    [prefix, id.as_slice()].concat()
}

/// Key of a canister's record.
pub(crate) fn canister_key(id: &Principal) -> Vec<u8> {
    key_of(CANISTER_PREFIX, id)
}

/// Key of an ingress status.
pub(crate) fn request_key(id: &RequestId) -> Vec<u8> {
    [REQUEST_PREFIX, id].concat()
}
