//! Accounts that are remembered from round to round, by the places they are given.
//!
//! The table belongs to one version of the state at a time: a round takes it, writes to it, and
//! leaves it to the next; with a round that is dropped, it is dropped. What is remembered changes
//! no result.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use solana_account::{AccountSharedData, ReadableAccount as _};
use solana_pubkey::Pubkey;

use super::changes::Change;
use super::places::{Place, Places};

/// Bytes of accounts that are remembered. Not a consensus number.
pub(crate) const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Bytes that an account takes beside its data.
const ENTRY_BYTES: u64 = 256;

/// An account with a place.
#[derive(Debug)]
struct Entry {
    key: Pubkey,
    /// Threads that have to do with different accounts do not wait for each other.
    cell: Mutex<Cell>,
}

/// What is known of an account.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// What it is, once that was read; `None` inside where there is no account.
    now: Option<Option<AccountSharedData>>,
    /// What it was before the round `written`.
    before: Option<AccountSharedData>,
    /// The round that asked for it last, and the one that wrote it last.
    used: u32,
    written: u32,
}

impl Entry {
    fn new(key: &Pubkey) -> Self {
        Self {
            key: *key,
            cell: Mutex::default(),
        }
    }

    fn cell(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data_bytes(&self) -> u64 {
        data_bytes(self.cell().now.iter().flatten().next())
    }
}

/// Bytes of data of an account, if there is one.
fn data_bytes(account: Option<&AccountSharedData>) -> u64 {
    account.map_or(0, |account| account.data().len() as u64)
}

/// The accounts.
#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Arc<RwLock<Places>>,
    /// By place. Those who gave places since [`Self::grow`] have no entry yet.
    entries: Vec<Entry>,
    /// Number of the round, from 1 on.
    round: u32,
    /// Bytes of data of all accounts that are known.
    bytes: AtomicU64,
}

impl Table {
    /// Begins a round.
    pub(crate) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            for entry in &mut self.entries {
                let cell = entry.cell.get_mut().unwrap_or_else(PoisonError::into_inner);
                (cell.used, cell.written) = (0, 0);
            }
            self.round = 1;
        }
        self.grow();
    }

    /// Where accounts stand.
    pub(crate) fn places(&self) -> &Arc<RwLock<Places>> {
        &self.places
    }

    /// Makes entries for all accounts that have places.
    pub(crate) fn grow(&mut self) {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let more = places.keys_from(self.entries.len()).map(Entry::new);
        self.entries.extend(more);
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Gives an account a place and an entry.
    pub(crate) fn give(&mut self, key: &Pubkey) -> Place {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let place = places.give(key);
        drop(places);
        self.grow();
        place
    }

    /// The place of an account that has one, and an entry.
    pub(crate) fn place_of(&self, key: &Pubkey) -> Option<Place> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let is_there = |place: &Place| place.index() < self.entries.len();
        places.of(key).filter(is_there)
    }

    /// The key of the account at a place.
    pub(crate) fn key(&self, place: Place) -> &Pubkey {
        &self.entries[place.index()].key
    }

    /// The account at a place, which `read` reads if it is not known.
    pub(crate) fn at(
        &self,
        place: Place,
        read: impl FnOnce(&Pubkey) -> Option<AccountSharedData>,
    ) -> Option<AccountSharedData> {
        let entry = &self.entries[place.index()];
        let mut cell = entry.cell();
        cell.used = self.round;
        let now = cell.now.get_or_insert_with(|| {
            let account = read(&entry.key);
            let bytes = data_bytes(account.as_ref());
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            account
        });
        now.clone()
    }

    /// Writes the account at a place; whether the round writes it for the first time.
    pub(crate) fn put(
        &self,
        place: Place,
        account: Option<AccountSharedData>,
        read: impl FnOnce(&Pubkey) -> Option<AccountSharedData>,
    ) -> bool {
        let entry = &self.entries[place.index()];
        let mut cell = entry.cell();
        let after = data_bytes(account.as_ref());
        let before = cell.now.replace(account);
        let bytes = data_bytes(before.iter().flatten().next());
        if after != bytes {
            let more = after.wrapping_sub(bytes);
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
        if cell.written == self.round {
            return false;
        }
        (cell.used, cell.written) = (self.round, self.round);
        cell.before = before.unwrap_or_else(|| read(&entry.key));
        true
    }

    /// Gives `see` what an account was before the round that wrote it last, as long as that is
    /// remembered, and what it is.
    pub(crate) fn compare<R>(
        &self,
        place: Place,
        see: impl FnOnce(Option<&AccountSharedData>, Option<&AccountSharedData>) -> R,
    ) -> R {
        let cell = self.entries[place.index()].cell();
        see(cell.before.as_ref(), cell.now.iter().flatten().next())
    }

    /// The changes of accounts that the round wrote; what each was before is then forgotten.
    pub(crate) fn take_changes(&mut self, written: &[Place]) -> impl Iterator<Item = Change> {
        written.iter().map(|place| {
            let entry = &mut self.entries[place.index()];
            let cell = entry.cell.get_mut().unwrap_or_else(PoisonError::into_inner);
            Change {
                key: entry.key,
                before: cell.before.take(),
                after: cell.now.clone().flatten(),
            }
        })
    }

    /// Whether so much is remembered that something should be forgotten.
    pub(crate) fn is_full(&self) -> bool {
        let entries = self.entries.len() as u64 * ENTRY_BYTES;
        entries + self.bytes.load(Ordering::Relaxed) > BYTES_MAX
    }

    /// A table of the accounts used last, up to `most` bytes, and of those at the places that `stays`
    /// names. With it come the places they had, in the order of the new ones.
    pub(crate) fn shrink(&self, most: u64, stays: impl Fn(usize) -> bool) -> (Self, Vec<usize>) {
        let mut newest: Vec<(u32, usize)> = (0..self.entries.len())
            .map(|index| (self.entries[index].cell().used, index))
            .collect();
        newest.sort_unstable_by(|first, second| second.cmp(first));
        let mut bytes = 0;
        let mut is_kept = vec![false; self.entries.len()];
        for (_, index) in newest {
            bytes += ENTRY_BYTES + self.entries[index].data_bytes();
            is_kept[index] = bytes <= most || stays(index);
        }
        self.only(|index| is_kept[index])
    }

    /// A table of the accounts at the places that `stays` names. With it come the places they had,
    /// in the order of the new ones.
    pub(crate) fn only(&self, stays: impl Fn(usize) -> bool) -> (Self, Vec<usize>) {
        let kept: Vec<usize> = (0..self.entries.len())
            .filter(|index| stays(*index))
            .collect();
        let mut table = Self {
            round: self.round,
            ..Self::default()
        };
        let mut places = Places::default();
        places.reserve(kept.len());
        for index in &kept {
            let entry = &self.entries[*index];
            places.give(&entry.key);
            *table.bytes.get_mut() += entry.data_bytes();
            table.entries.push(Entry {
                key: entry.key,
                cell: Mutex::new(entry.cell().clone()),
            });
        }
        table.places = Arc::new(RwLock::new(places));
        (table, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Pubkey {
        Pubkey::new_from_array([number; 32])
    }

    fn holding(lamports: u64, bytes: usize) -> Option<AccountSharedData> {
        Some(AccountSharedData::new(lamports, bytes, &key(0)))
    }

    fn unread(key: &Pubkey) -> Option<AccountSharedData> {
        panic!("{key} is read")
    }

    fn change(table: &mut Table, place: Place) -> [Option<AccountSharedData>; 2] {
        let change = table.take_changes(&[place]).next().expect("one");
        [change.before, change.after]
    }

    /// Five accounts of a round; the first is not known, the last is used later than the others.
    fn table() -> Table {
        let mut table = Table::default();
        table.begin();
        let places: Vec<Place> = (0..5).map(|number| table.give(&key(number))).collect();
        for (place, number) in places.iter().zip(0..5).skip(1) {
            assert!(table.put(*place, holding(number, 100), |_| None));
            assert!(!table.put(*place, holding(number + 1, 100), unread));
            let changed = change(&mut table, *place);
            assert_eq!(changed, [None, holding(number + 1, 100)]);
        }
        table.begin();
        assert_eq!(table.at(places[4], unread), holding(5, 100));
        table
    }

    #[test]
    fn what_an_account_was_is_what_it_was_when_the_round_began() {
        let mut table = table();
        let place = table.place_of(&key(2)).expect("a place");
        assert!(table.put(place, None, unread));
        assert!(!table.put(place, holding(9, 3), unread));
        let seen = table.compare(place, |before, after| [before.cloned(), after.cloned()]);
        assert_eq!(seen, [holding(3, 100), holding(9, 3)]);
        assert_eq!(change(&mut table, place), seen);
        assert_eq!(change(&mut table, place), [None, holding(9, 3)]);
        assert_eq!(table.bytes.load(Ordering::Relaxed), 303);
    }

    #[test]
    fn what_was_used_last_stays_and_what_must() {
        let table = table();
        let most = 2 * (ENTRY_BYTES + 100);
        let (shrunk, places) = table.shrink(most, |place| place == 1);
        assert_eq!(places, [1, 3, 4]);
        for (number, had) in places.into_iter().enumerate() {
            let place = shrunk.place_of(&key(had as u8)).expect("a place");
            assert_eq!(place.index(), number);
            assert_eq!(shrunk.at(place, unread), holding(had as u64 + 1, 100));
        }
        assert_eq!(shrunk.place_of(&key(2)), None);
        assert_eq!(shrunk.bytes.load(Ordering::Relaxed), 300);
        assert!(!shrunk.is_full());
    }
}
