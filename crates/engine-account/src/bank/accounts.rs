//! Accounts as a round sees and changes them.
//!
//! [`Accounts`] lays a round over a view, on top of what is remembered from the rounds before. Reads
//! come from several threads and may fail because this node cannot read its disk; such a fault is
//! remembered and ends the round, whatever was made of the missing account. Dropping the value is
//! the rollback.
//!
//! Invariant: accounts without lamports do not exist after a transaction.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::sys::memfd::{MFdFlags, memfd_create};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_types::{ImageId, PAGE_BYTES, PageFile, PageRun, StateRead, WriteLogEntry};

use super::leaf;
use super::places::{Place, Places};
use super::table::Table;
use crate::keyed::Keyed;
use crate::parallel::Workers;

/// Accounts whose changes a thread gathers at a time.
const GATHERED: usize = 256;

/// Most bytes of data that are copied for a thread.
const COPIED_BYTES_MAX: usize = 1_024;

/// The state below a round.
struct Ground<'a> {
    view: &'a dyn StateRead,
    fault: Mutex<Option<Fault>>,
    /// Accounts as they were when transactions began to run, as far as anybody asked.
    started: RwLock<Keyed<Option<AccountSharedData>>>,
    /// Keys of accounts that were asked for and have no place.
    without_place: Mutex<BTreeSet<Pubkey>>,
}

impl Ground<'_> {
    /// The account as it was when transactions began to run.
    fn started(&self, key: &Pubkey) -> Option<AccountSharedData> {
        let started = self.started.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = started.get(key.as_array()) {
            return account.clone();
        }
        drop(started);
        let account = self.read(key);
        let mut started = self.started.write().unwrap_or_else(PoisonError::into_inner);
        started.insert(key.to_bytes(), account.clone());
        account
    }

    /// An account without a place, which nobody can have written. The next round knows it.
    fn unplaced(&self, key: &Pubkey) -> Option<AccountSharedData> {
        let list = &self.without_place;
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        list.insert(*key);
        drop(list);
        self.started(key)
    }

    /// Reads an account from the view.
    fn read(&self, key: &Pubkey) -> Option<AccountSharedData> {
        leaf::read_account(self.view, key).unwrap_or_else(|fault| {
            let mut slot = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(fault);
            None
        })
    }
}

/// Accounts as they were when transactions began to run, whatever these do.
#[derive(Clone)]
pub(crate) struct Start<'a>(Arc<Ground<'a>>);

impl Start<'_> {
    /// The account; `None` also where it cannot be read, see [`Accounts::check`].
    pub(crate) fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        self.0.started(key)
    }
}

/// Accounts on top of a view.
pub(crate) struct Accounts<'a> {
    ground: Arc<Ground<'a>>,
    table: Table,
    /// The accounts that this round wrote, in no order.
    written: Vec<Place>,
}

/// What a round changed.
#[derive(Default)]
pub(crate) struct Changes {
    /// The accounts that are not what they were, ascending by key.
    pub(crate) list: Vec<Change>,
    /// Their leaves, in the same order.
    pub(crate) leaves: Vec<WriteLogEntry>,
    /// How much more lamports there are after them.
    pub(crate) lamports: i128,
    /// Whether the data of one of them is or was an image.
    has_large: bool,
}

impl Changes {
    fn with_capacity(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(count),
            leaves: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// Adds an account unless it is what it was.
    fn add(
        &mut self,
        key: Pubkey,
        before: Option<AccountSharedData>,
        after: Option<AccountSharedData>,
    ) {
        if before == after {
            return;
        }
        let lamports = |account: &Option<AccountSharedData>| {
            i128::from(account.as_ref().map_or(0, |account| account.lamports()))
        };
        self.leaves.push(WriteLogEntry {
            key: leaf::account_key(&key),
            value: after.as_ref().map(leaf::encode_account),
        });
        self.lamports += lamports(&after) - lamports(&before);
        let change = Change::new(key, before, after);
        self.has_large |= change.is_large;
        self.list.push(change);
    }

    /// Adds changes of accounts with higher keys.
    fn append(&mut self, mut more: Self) {
        self.list.append(&mut more.list);
        self.leaves.append(&mut more.leaves);
        self.lamports += more.lamports;
        self.has_large |= more.has_large;
    }
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
    /// Accounts without changes. What is remembered must be of this very view.
    pub(crate) fn new(view: &'a dyn StateRead, mut table: Table) -> Self {
        table.begin();
        Self {
            ground: Arc::new(Ground {
                view,
                fault: Mutex::new(None),
                started: RwLock::default(),
                without_place: Mutex::default(),
            }),
            table,
            written: Vec::new(),
        }
    }

    /// Where accounts stand. Others may give places while transactions run.
    pub(crate) fn places(&self) -> &Arc<RwLock<Places>> {
        self.table.places()
    }

    /// Makes room for all accounts that have places.
    pub(crate) fn grow(&mut self) {
        self.table.grow();
    }

    /// Accounts that have a place and room.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The place of an account that has one, and room.
    pub(crate) fn place_of(&self, key: &Pubkey) -> Option<Place> {
        self.table.place_of(key)
    }

    /// The account as written last; `None` also where it cannot be read, see [`Self::check`].
    pub(crate) fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.place_of(key) {
            Some(place) => self.at(place),
            None => self.ground.unplaced(key),
        }
    }

    /// Keeps what was written so far, for [`Self::as_started`].
    pub(crate) fn start(&mut self) {
        let started = &self.ground.started;
        let mut started = started.write().unwrap_or_else(PoisonError::into_inner);
        for place in &self.written {
            let key = self.table.key(*place).to_bytes();
            started.insert(key, self.at(*place));
        }
    }

    /// The accounts as they were at [`Self::start`].
    pub(crate) fn as_started(&self) -> Start<'a> {
        Start(self.ground.clone())
    }

    /// The account for a thread of its own; see [`Self::for_thread`].
    pub(crate) fn get_for_thread(&self, key: &Pubkey) -> Option<AccountSharedData> {
        match self.place_of(key) {
            Some(place) => self.for_thread(place),
            None => self.ground.unplaced(key),
        }
    }

    /// The account at a place for a thread of its own. Threads that count references to the same
    /// bytes get in each other's way, so that what several of them may hold is copied where that
    /// is cheap.
    pub(crate) fn for_thread(&self, place: Place) -> Option<AccountSharedData> {
        let account = self.at(place)?;
        let is_copied = (1..=COPIED_BYTES_MAX).contains(&account.data().len());
        Some(if is_copied {
            AccountSharedData::from(Account::from(account))
        } else {
            account
        })
    }

    /// The account at a place as written last; `None` also where it cannot be read, see
    /// [`Self::check`].
    pub(crate) fn at(&self, place: Place) -> Option<AccountSharedData> {
        self.table.at(place, |key| self.ground.read(key))
    }

    /// Writes an account. One without lamports vanishes.
    pub(crate) fn put(&mut self, key: Pubkey, account: AccountSharedData) {
        let place = self.table.give(&key);
        if self.put_at(place, account) {
            self.written.push(place);
        }
    }

    /// Writes the account that stands at a place. Only one thread at a time may have to do with an
    /// account that is written. Says whether this round writes it for the first time, which
    /// [`Self::note`] must learn.
    #[must_use]
    pub(crate) fn put_at(&self, place: Place, account: AccountSharedData) -> bool {
        let account = (account.lamports() > 0).then_some(account);
        self.table.put(place, account, |key| self.ground.read(key))
    }

    /// Learns of accounts that were written for the first time.
    pub(crate) fn note(&mut self, written: &[Place]) {
        self.written.extend_from_slice(written);
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

    /// What the round changed.
    ///
    /// # Errors
    /// The first fault of a read.
    pub(crate) fn changes(&mut self, workers: &Workers) -> Result<Changes, Fault> {
        self.check()?;
        let table = &self.table;
        let mut written: Vec<(u64, Place)> = std::mem::take(&mut self.written)
            .into_iter()
            .map(|place| (first_bytes(table.key(place)), place))
            .collect();
        written.sort_unstable_by(|(first, place), (second, other)| {
            let ties = || table.key(*place).cmp(table.key(*other));
            first.cmp(second).then_with(ties)
        });
        let parts = workers.map(1, written.chunks(GATHERED).collect(), |part| {
            let mut changes = Changes::with_capacity(part.len());
            for (_, place) in part {
                let [before, after] = table.change(*place);
                changes.add(*table.key(*place), before, after);
            }
            changes
        });
        let mut changes = Changes::with_capacity(written.len());
        for part in parts {
            changes.append(part);
        }
        Ok(changes)
    }

    /// What is remembered for the next round, which goes on where this one ends.
    pub(crate) fn into_table(mut self) -> Table {
        let list = &self.ground.without_place;
        let list = list.lock().unwrap_or_else(PoisonError::into_inner);
        for key in list.iter() {
            self.table.give(key);
        }
        drop(list);
        self.table
    }
}

/// What nearly always decides the order of two keys.
fn first_bytes(key: &Pubkey) -> u64 {
    let bytes = key.as_array().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The changes of images that the changes of accounts ask for, ascending by name. Only pages whose
/// bytes differ are written; they all lie in one file in memory.
///
/// # Errors
/// [`Fault`] if that file cannot be made.
pub(crate) fn image_writes(changes: &Changes) -> Result<Vec<ImageWrite>, Fault> {
    if !changes.has_large {
        return Ok(Vec::new());
    }
    let mut pages = PageWriter::default();
    let mut writes: Vec<(ImageId, Planned)> = Vec::new();
    // Few accounts are large, and most change nothing but a number.
    for change in changes.list.iter().filter(|change| change.is_large) {
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
