//! Accounts as a round sees and changes them.
//!
//! [`Accounts`] lays the changes of a round over a view. Reads come from several threads and may
//! fail because this node cannot read its disk; such a fault is remembered and ends the round,
//! whatever was made of the missing account. Dropping the value is the rollback.
//!
//! Invariant: accounts without lamports do not exist after a transaction.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::sys::memfd::{MFdFlags, memfd_create};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_types::{ImageId, PAGE_BYTES, PageFile, PageRun, StateRead};

use super::leaf;
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

/// Where an account stands among those that a round deals with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    #[cfg(test)]
    pub(crate) fn test(index: u32) -> Self {
        Self(index)
    }
}

/// An account that a round deals with.
struct Entry {
    key: Pubkey,
    /// What it was before the round, once that is known.
    before: OnceLock<Option<AccountSharedData>>,
    /// What it is, if it was written.
    after: Option<Option<AccountSharedData>>,
    /// Whether transactions lock it without writing it, so that several threads may hold it.
    is_read: bool,
}

/// Accounts on top of a view.
pub(crate) struct Accounts<'a> {
    view: &'a dyn StateRead,
    known: Arc<Known>,
    places: Keyed<Place>,
    entries: Vec<Entry>,
    /// What had been written when transactions began to run.
    at_start: Keyed<Option<AccountSharedData>>,
    fault: Mutex<Option<Fault>>,
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
            view,
            known,
            places: Keyed::default(),
            entries: Vec::new(),
            at_start: Keyed::default(),
            fault: Mutex::new(None),
        }
    }

    /// Gives an account a place.
    pub(crate) fn place(&mut self, key: &Pubkey) -> Place {
        let entries = &mut self.entries;
        *self.places.get_or_insert_with(key.as_array(), || {
            entries.push(Entry {
                key: *key,
                before: OnceLock::new(),
                after: None,
                is_read: false,
            });
            // A batch holds far fewer accounts.
            Place(u32::try_from(entries.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// Gives an account of a transaction a place.
    pub(crate) fn lock(&mut self, key: &Pubkey, is_written: bool) -> Place {
        let place = self.place(key);
        self.entries[place.index()].is_read |= !is_written;
        place
    }

    /// The place of an account that has one.
    pub(crate) fn place_of(&self, key: &Pubkey) -> Option<Place> {
        self.places.get(key.as_array()).copied()
    }

    /// How many accounts have places.
    pub(crate) fn places(&self) -> usize {
        self.entries.len()
    }

    /// Keys of the accounts from the place `first` on.
    pub(crate) fn keys_from(&self, first: usize) -> impl Iterator<Item = &Pubkey> {
        self.entries.iter().skip(first).map(|entry| &entry.key)
    }

    /// Reads accounts that will be asked for, from the place `first` on.
    pub(crate) fn read_ahead(&self, workers: &Workers, first: usize) {
        let unread = self.entries[first.min(self.entries.len())..].iter();
        let unread = unread
            .filter(|entry| entry.before.get().is_none())
            .collect();
        workers.map(READ_LEAST, unread, |entry: &Entry| {
            self.before(entry);
        });
    }

    /// The account as written last; `None` also where it cannot be read, see [`Self::check`].
    pub(crate) fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.place_of(key) {
            Some(place) => self.current(&self.entries[place.index()]).clone(),
            None => self.read(key),
        }
    }

    /// Keeps what was written so far, for [`Self::get_at_start`].
    pub(crate) fn start(&mut self) {
        for entry in &self.entries {
            if let Some(account) = &entry.after {
                self.at_start.insert(entry.key.to_bytes(), account.clone());
            }
        }
    }

    /// The account as it was at [`Self::start`]; `None` also where it cannot be read, see
    /// [`Self::check`].
    pub(crate) fn get_at_start(&self, key: &Pubkey) -> Option<AccountSharedData> {
        if let Some(account) = self.at_start.get(key.as_array()) {
            return account.clone();
        }
        match self.place_of(key) {
            Some(place) => self.before(&self.entries[place.index()]).clone(),
            None => self.read(key),
        }
    }

    /// The account for a thread of its own. Threads that count references to the same bytes get
    /// in each other's way, so that one which several of them read is copied where that is cheap.
    pub(crate) fn get_for_thread(&self, key: &Pubkey) -> Option<AccountSharedData> {
        let Some(place) = self.place_of(key) else {
            return self.read(key);
        };
        let entry = &self.entries[place.index()];
        let account = self.current(entry).as_ref()?;
        let is_copied = entry.is_read && account.data().len() <= COPIED_BYTES_MAX;
        Some(if is_copied {
            AccountSharedData::from(Account::from(account.clone()))
        } else {
            account.clone()
        })
    }

    fn current<'e>(&self, entry: &'e Entry) -> &'e Option<AccountSharedData> {
        match &entry.after {
            Some(account) => account,
            None => self.before(entry),
        }
    }

    /// The account before the round.
    fn before<'e>(&self, entry: &'e Entry) -> &'e Option<AccountSharedData> {
        entry.before.get_or_init(|| self.read(&entry.key))
    }

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

    /// Writes an account. One without lamports vanishes.
    pub(crate) fn put(&mut self, key: Pubkey, account: AccountSharedData) {
        let place = self.place(&key);
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
        let slot = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        slot.clone().map_or(Ok(()), Err)
    }

    /// What the round changed, ascending by key, and ends it. Accounts written with what they were
    /// before are left out.
    ///
    /// # Errors
    /// The first fault of a read.
    pub(crate) fn finish(&mut self, workers: &Workers) -> Result<Vec<Change>, Fault> {
        let entries = std::mem::take(&mut self.entries);
        self.places = Keyed::default();
        let changes = workers.map(READ_LEAST, entries, |mut entry| {
            let after = entry.after.take()?;
            let before = match entry.before.take() {
                Some(before) => before,
                None => self.read(&entry.key),
            };
            (before != after).then(|| Change::new(entry.key, before, after))
        });
        self.check()?;
        let mut changes: Vec<Change> = changes.into_iter().flatten().collect();
        changes.sort_unstable_by_key(|change| change.key);
        Ok(changes)
    }
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
