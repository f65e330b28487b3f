//! Accounts as the transactions of one call leave them to each other.
//!
//! Each is read from the bank once. Invariant: an account without lamports does not exist.

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;

use super::loader_of;
use crate::bank::accounts::Accounts;
use crate::bank::places::Place;
use crate::keyed::Keyed;
use crate::token::{TOKEN, TOKEN_2022};

/// What an account is to the transactions that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody asked yet.
    Unknown,
    /// It is no program, or one that can be run.
    Plain,
    /// A transaction that names it is not plain.
    Apart,
}

/// An account.
pub(super) struct Entry {
    pub(super) account: Option<AccountSharedData>,
    pub(super) standing: Standing,
    /// Whether it is a program that must have long stacks.
    pub(super) is_deep: bool,
    /// Whether this is one of the two token programs.
    pub(super) is_token_program: bool,
    /// See [`Self::shell`].
    shell: Option<Box<AccountSharedData>>,
}

impl Entry {
    fn new(key: &Pubkey, account: Option<AccountSharedData>) -> Self {
        Self {
            account: account.filter(|account| account.lamports() > 0),
            standing: Standing::Unknown,
            is_deep: false,
            is_token_program: [TOKEN, TOKEN_2022].contains(key),
            shell: None,
        }
    }

    /// The account without its data, for where nobody can look at them: threads that count
    /// references to the same bytes get in each other's way, and those of programs are many.
    pub(super) fn shell(&mut self) -> &AccountSharedData {
        let account = self.account.as_ref();
        self.shell.get_or_insert_with(|| {
            let account = account.cloned().unwrap_or_default();
            Box::new(AccountSharedData::from(Account {
                data: Vec::new(),
                lamports: account.lamports(),
                owner: *account.owner(),
                executable: account.executable(),
                rent_epoch: account.rent_epoch(),
            }))
        })
    }
}

/// The accounts that transactions of one call asked for.
pub(super) struct Held {
    entries: Vec<Entry>,
    /// Of accounts with a place in the round, by that place: the call, and the index in `entries`.
    by_place: Vec<(u32, u32)>,
    /// Indexes of the others.
    by_key: Keyed<usize>,
    /// Number of the call, from 1 on.
    call: u32,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_place: Vec::new(),
            by_key: Keyed::default(),
            call: 1,
        }
    }
}

impl Held {
    /// The index of an account.
    pub(super) fn find(&mut self, key: &Pubkey, accounts: &Accounts<'_>) -> usize {
        if let Some(place) = accounts.place_of(key) {
            return self.find_at(place, key, accounts);
        }
        let entries = &mut self.entries;
        *self.by_key.get_or_insert_with(key.as_array(), || {
            entries.push(Entry::new(key, accounts.get_for_thread(key)));
            entries.len() - 1
        })
    }

    /// The index of an account that has this place.
    fn find_at(&mut self, place: Place, key: &Pubkey, accounts: &Accounts<'_>) -> usize {
        self.find_locked((place, false), key, accounts)
    }

    /// The index of an account that has this place, and whether it is locked for writing: then no
    /// other thread has to do with it.
    pub(super) fn find_locked(
        &mut self,
        (place, is_written): (Place, bool),
        key: &Pubkey,
        accounts: &Accounts<'_>,
    ) -> usize {
        let at = place.index();
        if self.by_place.len() <= at {
            self.by_place.resize((at + 1).next_power_of_two(), (0, 0));
        }
        let (call, index) = &mut self.by_place[at];
        if *call != self.call {
            let account = if is_written {
                accounts.at(place)
            } else {
                accounts.for_thread(place)
            };
            self.entries.push(Entry::new(key, account));
            // A call holds far fewer accounts.
            let last = u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX);
            (*call, *index) = (self.call, last);
        }
        *index as usize
    }

    /// The account with an index that [`Self::find`] gave.
    pub(super) fn at(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// The same.
    pub(super) fn at_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    /// Writes the account with this index.
    pub(super) fn put(&mut self, index: usize, account: AccountSharedData) {
        let entry = &mut self.entries[index];
        if entry.standing == Standing::Plain && loader_of(&account).is_some() {
            // It may have been given to a loader by this write.
            entry.standing = Standing::Unknown;
        }
        entry.account = (account.lamports() > 0).then_some(account);
        entry.shell = None;
    }

    /// Forgets all accounts.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.entries.clear();
        self.call = self.call.wrapping_add(1);
        if self.call == 0 {
            self.by_place.clear();
            self.call = 1;
        }
    }
}
