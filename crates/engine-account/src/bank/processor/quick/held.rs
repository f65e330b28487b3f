//! Accounts as the transactions of one call leave them to each other.
//!
//! Each is read from the bank once. Invariant: an account without lamports does not exist.

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;

use super::loader_of;
use crate::bank::accounts::Accounts;
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
    /// Whether this is one of the two token programs.
    pub(super) is_token_program: bool,
    /// See [`Self::shell`].
    shell: Option<AccountSharedData>,
}

impl Entry {
    /// The account without its data, for where nobody can look at them: threads that count
    /// references to the same bytes get in each other's way, and those of programs are many.
    pub(super) fn shell(&mut self) -> &AccountSharedData {
        let account = self.account.as_ref();
        self.shell.get_or_insert_with(|| {
            let account = account.cloned().unwrap_or_default();
            AccountSharedData::from(Account {
                data: Vec::new(),
                lamports: account.lamports(),
                owner: *account.owner(),
                executable: account.executable(),
                rent_epoch: account.rent_epoch(),
            })
        })
    }
}

/// The accounts that transactions of one call asked for.
#[derive(Default)]
pub(super) struct Held {
    places: Keyed<usize>,
    entries: Vec<Entry>,
}

impl Held {
    /// The place of an account.
    pub(super) fn find(&mut self, key: &Pubkey, accounts: &Accounts<'_>) -> usize {
        let entries = &mut self.entries;
        *self.places.get_or_insert_with(key.as_array(), || {
            let account = accounts.get_for_thread(key);
            entries.push(Entry {
                account: account.filter(|account| account.lamports() > 0),
                standing: Standing::Unknown,
                is_token_program: [TOKEN, TOKEN_2022].contains(key),
                shell: None,
            });
            entries.len() - 1
        })
    }

    /// The account at a place that [`Self::find`] gave.
    pub(super) fn at(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// The same.
    pub(super) fn at_mut(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    /// Writes the account at a place.
    pub(super) fn put(&mut self, place: usize, account: AccountSharedData) {
        let entry = &mut self.entries[place];
        if entry.standing == Standing::Plain && loader_of(&account).is_some() {
            // It may have been given to a loader by this write.
            entry.standing = Standing::Unknown;
        }
        entry.account = (account.lamports() > 0).then_some(account);
        entry.shell = None;
    }

    /// An account that was asked for before.
    pub(super) fn get(&self, key: &Pubkey) -> Option<&Option<AccountSharedData>> {
        let place = self.places.get(key.as_array())?;
        Some(&self.entries[*place].account)
    }

    /// Forgets all accounts.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }
}
