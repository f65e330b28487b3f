//! Accounts as a round sees and changes them.
//!
//! [`Accounts`] lays a round over a view, on top of what is remembered from the rounds before. Reads
//! come from several threads and may fail because this node cannot read its disk; such a fault is
//! remembered and ends the round, whatever was made of the missing account. Dropping the value is
//! the rollback.
//!
//! Invariant: accounts without lamports do not exist after a transaction.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::changes::Changes;
use super::leaf;
use super::places::{Place, Places};
use super::table::Table;
use crate::keyed::Keyed;
use crate::parallel::Workers;

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
        let written = std::mem::take(&mut self.written);
        Ok(Changes::gather(&self.table, written, workers))
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
