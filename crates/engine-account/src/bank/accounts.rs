//! Accounts as a round sees and changes them.
//!
//! [`Accounts`] lays the changes of a round over a view. Reads come from several threads and may
//! fail because this node cannot read its disk; such a fault is remembered and ends the round,
//! whatever was made of the missing account. Dropping the value is the rollback.
//!
//! Invariant: accounts without lamports do not exist after a transaction.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use nix::sys::memfd::{MFdFlags, memfd_create};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_types::{ImageId, PAGE_BYTES, PageFile, PageRun, StateRead};

use super::leaf;
use super::places::{Place, Places};
use crate::keyed::Keyed;
use crate::parallel::Workers;

/// Accounts of one version of the state that were read or written lately; `None` where there is
/// no account.
pub(crate) type Known = Cache<Pubkey, Option<AccountSharedData>, Weight>;

/// Bytes of accounts that are kept between rounds. Not a consensus number.
const KNOWN_BYTES: u64 = 512 * 1024 * 1024;

/// Fewest accounts that a thread reads ahead.
const READ_LEAST: usize = 256;

/// Most bytes of data that are copied for a thread.
const COPIED_BYTES_MAX: usize = 1_024;

/// What an account weighs in the cache.
#[derive(Clone)]
pub(crate) struct Weight;

impl Weighter<Pubkey, Option<AccountSharedData>> for Weight {
    fn weight(&self, _: &Pubkey, account: &Option<AccountSharedData>) -> u64 {
        256 + account
            .as_ref()
            .map_or(0, |account| account.data().len() as u64)
    }
}

/// A cache that knows nothing yet.
pub(crate) fn nothing_known() -> Arc<Known> {
    Arc::new(Cache::with_weighter(100_000, KNOWN_BYTES, Weight))
}

/// An account that a round deals with.
struct Entry {
    key: Pubkey,
    /// What it was before the round, once that is known.
    before: OnceLock<Option<AccountSharedData>>,
    /// What it is, if it was written.
    after: Option<Option<AccountSharedData>>,
}

/// The state below a round.
struct Ground<'a> {
    view: &'a dyn StateRead,
    known: Arc<Known>,
    fault: Mutex<Option<Fault>>,
}

impl Ground<'_> {
    /// Reads an account from what is known or from the view.
    fn read(&self, key: &Pubkey) -> Option<AccountSharedData> {
        if let Some(account) = self.known.get(key) {
            return account;
        }
        match leaf::read_account(self.view, key) {
            Ok(account) => {
                self.known.insert(*key, account.clone());
                account
            }
            Err(fault) => {
                let mut slot = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert(fault);
                None
            }
        }
    }
}

/// Accounts as they were when transactions began to run, whatever these do.
#[derive(Clone)]
pub(crate) struct Start<'a> {
    ground: Arc<Ground<'a>>,
    /// What had been written before.
    written: Arc<Keyed<Option<AccountSharedData>>>,
}

impl Start<'_> {
    /// The account; `None` also where it cannot be read, see [`Accounts::check`].
    pub(crate) fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.written.get(key.as_array()) {
            Some(account) => account.clone(),
            None => self.ground.read(key),
        }
    }
}

/// Accounts on top of a view.
pub(crate) struct Accounts<'a> {
    ground: Arc<Ground<'a>>,
    places: Arc<RwLock<Places>>,
    /// By place. Accounts that got theirs since [`Self::grow`] have no entry yet: they are what
    /// they were before the round.
    entries: Vec<Entry>,
    at_start: Arc<Keyed<Option<AccountSharedData>>>,
}

/// One account that a round changed.
#[derive(Clone)]
pub(crate) struct Change {
    /// Its key.
    pub(crate) key: Pubkey,
    /// What it was.
    pub(crate) before: Option<AccountSharedData>,
    /// What it is.
    pub(crate) after: Option<AccountSharedData>,
    /// Whether its data is or was an image.
    is_large: bool,
}

impl Change {
    /// A change of an account.
    pub(crate) fn new(
        key: Pubkey,
        before: Option<AccountSharedData>,
        after: Option<AccountSharedData>,
    ) -> Self {
        Self {
            is_large: large_data(&before).is_some() || large_data(&after).is_some(),
            key,
            before,
            after,
        }
    }
}

impl<'a> Accounts<'a> {
    /// Accounts without changes. What is `known` must be of this very view.
    pub(crate) fn new(view: &'a dyn StateRead, known: Arc<Known>) -> Self {
        Self {
            ground: Arc::new(Ground {
                view,
                known,
                fault: Mutex::new(None),
            }),
            places: Arc::default(),
            entries: Vec::new(),
            at_start: Arc::default(),
        }
    }

    /// Where accounts stand. Others may give places while transactions run.
    pub(crate) fn places(&self) -> &Arc<RwLock<Places>> {
        &self.places
    }

    /// Makes room for so many accounts more.
    pub(crate) fn expect(&mut self, more: usize) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        places.reserve(more);
        self.entries.reserve(more);
    }

    /// Makes entries for all accounts that have places.
    pub(crate) fn grow(&mut self) {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let more = places.keys_from(self.entries.len()).map(|key| Entry {
            key: *key,
            before: OnceLock::new(),
            after: None,
        });
        self.entries.extend(more);
    }

    /// Keys of the accounts with entries, from the place `first` on.
    pub(crate) fn keys_from(&self, first: usize) -> impl Iterator<Item = &Pubkey> {
        self.entries.iter().skip(first).map(|entry| &entry.key)
    }

    /// The place of an account that has one, and an entry.
    pub(crate) fn place_of(&self, key: &Pubkey) -> Option<Place> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places
            .of(key)
            .filter(|place| place.index() < self.entries.len())
    }

    /// The account as written last; `None` also where it cannot be read, see [`Self::check`].
    pub(crate) fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.place_of(key) {
            Some(place) => self.at(place).cloned(),
            None => self.ground.read(key),
        }
    }

    /// Keeps what was written so far, for [`Self::as_started`].
    pub(crate) fn start(&mut self) {
        let mut written = Keyed::default();
        for entry in &self.entries {
            if let Some(account) = &entry.after {
                written.insert(entry.key.to_bytes(), account.clone());
            }
        }
        self.at_start = Arc::new(written);
    }

    /// The accounts as they were at [`Self::start`].
    pub(crate) fn as_started(&self) -> Start<'a> {
        Start {
            ground: self.ground.clone(),
            written: self.at_start.clone(),
        }
    }

    /// The account for a thread of its own; see [`Self::for_thread`].
    pub(crate) fn get_for_thread(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.place_of(key) {
            Some(place) => self.for_thread(place),
            None => self.ground.read(key),
        }
    }

    /// The account at a place for a thread of its own. Threads that count references to the same
    /// bytes get in each other's way, so that what several of them may hold is copied where that
    /// is cheap.
    pub(crate) fn for_thread(&self, place: Place) -> Option<AccountSharedData> {
        let account = self.at(place)?;
        let is_copied = (1..=COPIED_BYTES_MAX).contains(&account.data().len());
        Some(if is_copied {
            AccountSharedData::from(Account::from(account.clone()))
        } else {
            account.clone()
        })
    }

    /// The account at a place as written last; `None` also where it cannot be read, see
    /// [`Self::check`].
    pub(crate) fn at(&self, place: Place) -> Option<&AccountSharedData> {
        let entry = &self.entries[place.index()];
        let account = match &entry.after {
            Some(account) => account,
            None => entry.before.get_or_init(|| self.ground.read(&entry.key)),
        };
        account.as_ref()
    }

    /// Writes an account. One without lamports vanishes.
    pub(crate) fn put(&mut self, key: Pubkey, account: AccountSharedData) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let place = places.give(&key);
        drop(places);
        self.grow();
        self.put_at(place, account);
    }

    /// Writes the account that stands at a place.
    pub(crate) fn put_at(&mut self, place: Place, account: AccountSharedData) {
        let exists = account.lamports() > 0;
        self.entries[place.index()].after = Some(exists.then_some(account));
    }

    /// Whether all reads so far succeeded.
    ///
    /// # Errors
    /// The first fault of a read.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let fault = &self.ground.fault;
        let fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone().map_or(Ok(()), Err)
    }

    /// What the round changed, ascending by key, and ends it. Accounts written with what they were
    /// before are left out.
    ///
    /// # Errors
    /// The first fault of a read.
    pub(crate) fn finish(&mut self, workers: &Workers) -> Result<Vec<Change>, Fault> {
        self.places = Arc::default();
        let entries = std::mem::take(&mut self.entries);
        let written = entries.iter().filter(|entry| entry.after.is_some());
        let mut written: Vec<(u64, &Entry)> = written
            .map(|entry| (first_bytes(&entry.key), entry))
            .collect();
        written.sort_unstable_by(|first, second| {
            let ties = || first.1.key.cmp(&second.1.key);
            first.0.cmp(&second.0).then_with(ties)
        });
        let ground = &self.ground;
        let mut changes = workers.map(READ_LEAST, written, |(_, entry)| {
            let before = match entry.before.get() {
                Some(before) => before.clone(),
                None => ground.read(&entry.key),
            };
            Change::new(entry.key, before, entry.after.clone().flatten())
        });
        self.check()?;
        changes.retain(|change| change.before != change.after);
        Ok(changes)
    }
}

/// What nearly always decides the order of two keys.
fn first_bytes(key: &Pubkey) -> u64 {
    let bytes = key.as_array().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// How much more lamports there are after the changes.
pub(crate) fn lamports_added(changes: &[Change]) -> i128 {
    let of = |account: &Option<AccountSharedData>| {
        i128::from(account.as_ref().map_or(0, |account| account.lamports()))
    };
    changes
        .iter()
        .map(|change| of(&change.after) - of(&change.before))
        .sum()
}

/// The changes of images that the changes of accounts ask for, ascending by name. Only pages whose
/// bytes differ are written; they all lie in one file in memory.
///
/// # Errors
/// [`Fault`] if that file cannot be made.
pub(crate) fn image_writes(changes: &[Change]) -> Result<Vec<ImageWrite>, Fault> {
    let mut pages = PageWriter::default();
    let mut writes: Vec<(ImageId, Planned)> = Vec::new();
    // Few accounts are large, and most change nothing but a number.
    for change in changes.iter().filter(|change| change.is_large) {
        let image = leaf::account_image(&change.key);
        match (large_data(&change.before), large_data(&change.after)) {
            (None, None) => {}
            (Some(_), None) => writes.push((image, Planned::Delete)),
            (before, Some(after)) => {
                let runs = pages.changed(before, after);
                let grows = before.map(<[u8]>::len) != Some(after.len());
                if !runs.is_empty() || grows {
                    let len = (after.len() as u64).div_ceil(PAGE_BYTES as u64);
                    writes.push((image, Planned::Write { pages: len, runs }));
                }
            }
        }
    }
    let file = pages.finish()?;
    Ok(writes
        .into_iter()
        .map(|(image, planned)| ImageWrite {
            image,
            change: planned.change(file.as_ref()),
        })
        .collect())
}

/// The data of an account if it is an image.
fn large_data(account: &Option<AccountSharedData>) -> Option<&[u8]> {
    account
        .as_ref()
        .map(|account| account.data())
        .filter(|data| leaf::is_large(data.len()))
}

/// A change of an image whose page file is not made yet.
enum Planned {
    Delete,
    Write {
        pages: u64,
        /// First page, count, first page in the file.
        runs: Vec<(u64, u64, u64)>,
    },
}

impl Planned {
    fn change(self, file: Option<&PageFile>) -> ImageChange {
        match self {
            Self::Delete => ImageChange::Delete,
            Self::Write { pages, runs } => ImageChange::Write {
                reset: false,
                pages,
                runs: runs
                    .into_iter()
                    .zip(std::iter::repeat(file))
                    .filter_map(|((page, count, file_page), file)| {
                        let file = file?.clone();
                        Some(PageRun {
                            page,
                            count,
                            file,
                            file_page,
                        })
                    })
                    .collect(),
            },
        }
    }
}

/// Collects the bytes of changed pages.
#[derive(Default)]
struct PageWriter {
    bytes: Vec<u8>,
}

impl PageWriter {
    /// Takes the pages of `after` that differ from those of `before` and gives their runs.
    fn changed(&mut self, before: Option<&[u8]>, after: &[u8]) -> Vec<(u64, u64, u64)> {
        let mut runs: Vec<(u64, u64, u64)> = Vec::new();
        let before = before.unwrap_or_default();
        for (index, page) in after.chunks(PAGE_BYTES).enumerate() {
            let start = index * PAGE_BYTES;
            let old = before.get(start..before.len().min(start + PAGE_BYTES));
            // The last page is filled up with zeros, so a shorter or longer end is a difference.
            if old == Some(page) || (old.is_none_or(<[u8]>::is_empty) && is_zero(page)) {
                continue;
            }
            let file_page = (self.bytes.len() / PAGE_BYTES) as u64;
            self.bytes.extend_from_slice(page);
            self.bytes
                .resize(self.bytes.len().next_multiple_of(PAGE_BYTES), 0);
            match runs.last_mut() {
                Some((first, count, _)) if *first + *count == index as u64 => *count += 1,
                _ => runs.push((index as u64, 1, file_page)),
            }
        }
        runs
    }

    /// The file, if there is anything in it.
    fn finish(self) -> Result<Option<PageFile>, Fault> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let failed =
            |error: &dyn std::fmt::Display| Fault(format!("cannot make a file in memory: {error}"));
        let descriptor = memfd_create(c"trilith-accounts", MFdFlags::MFD_CLOEXEC)
            .map_err(|error| failed(&error))?;
        let mut file = File::from(descriptor);
        file.write_all(&self.bytes)
            .map_err(|error| failed(&error))?;
        Ok(Some(Arc::new(file)))
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
