//! Indexes for questions about many accounts and about history.
//!
//! A cache: read from a state once, then kept up with every round that is sealed. An index may
//! name an account that no longer matches; whoever asks looks at the account itself. It never
//! lacks one that matches in the newest state or the few before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::ControlFlow;

use solana_account::{AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;
use trilith_params::account::RECORD_SLOTS;
use trilith_protocol::Fault;
use trilith_types::{Hash, StateRead};

use crate::bank::changes::Change;
use crate::bank::leaf;
use crate::packed::{PackedError, PackedPart};
use crate::token::TokenAccount;

/// Rounds for which an account stays where it was found before.
const LINGER_ROUNDS: usize = 16;

/// Slots that are forgotten together, because forgetting looks at every entry.
const FORGET_SLOTS: u64 = 2_000;

/// Where a transaction is recorded: slot, round, position in the round.
pub(crate) type Place = (u64, u64, u32);

/// Sets of accounts by what they have to do with a key.
type Sets = BTreeMap<Pubkey, BTreeSet<Pubkey>>;

/// Something an account is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Entry {
    Owner(Pubkey),
    Holder(Pubkey),
    Delegate(Pubkey),
    Mint(Pubkey),
    Lamports(u64),
}

/// A slot with rounds.
#[derive(Default)]
pub(crate) struct SlotSummary {
    pub(crate) rounds: Vec<u64>,
    pub(crate) transactions: u64,
}

/// The indexes of one state.
#[derive(Default)]
pub(crate) struct Index {
    /// The state it is of, newest last, and those it was of before and still serves.
    roots: VecDeque<Hash>,
    owners: Sets,
    holders: Sets,
    delegates: Sets,
    mints: Sets,
    lamports: BTreeSet<(u64, Pubkey)>,
    /// Entries to remove, by the rounds that have passed since, oldest first.
    lingering: VecDeque<Vec<(Pubkey, Entry)>>,
    /// How many rounds were followed.
    followed: u64,
    /// When each of these entries was left last; what came back since is not among them.
    left: HashMap<(Pubkey, Entry), u64>,
    signatures: BTreeMap<[u8; 64], (Place, TransactionResult<()>)>,
    /// Ascending. Most accounts are named by few transactions, for which a list takes least.
    mentions: BTreeMap<Pubkey, Vec<Place>>,
    pub(crate) slots: BTreeMap<u64, SlotSummary>,
}

impl Index {
    /// Reads the indexes of a state. This walks over the whole state, once.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let mut index = Self::default();
        index.roots.push_back(view.root());
        let (mut large, mut damaged) = (Vec::new(), None);
        view.iterate(leaf::ACCOUNT, &mut |name, value| {
            let Some(key) = name.get(1..).and_then(|key| key.try_into().ok()) else {
                return ControlFlow::Continue(());
            };
            let key = Pubkey::new_from_array(key);
            match leaf::inline_account(&key, value) {
                Ok(Some(account)) => index.add_all(&key, &account),
                Ok(None) => large.push(key),
                Err(fault) => {
                    damaged = Some(fault);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(fault) = damaged {
            return Err(fault);
        }
        for key in large {
            if let Some(account) = leaf::read_account(view, &key)? {
                index.add_all(&key, &account);
            }
        }
        // One part after the other: all of them together are much larger than what is kept of them.
        let mut damaged = None;
        view.iterate(leaf::PART, &mut |_, part| {
            let part = leaf::decode::<PackedPart>(part, "a part of a block");
            match part.and_then(|part| Ok(index.record(&part)?)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(fault) => {
                    damaged = Some(fault);
                    ControlFlow::Break(())
                }
            }
        })?;
        damaged.map_or(Ok(index), Err)
    }

    /// Keeps up with a round that led from the state `parent` to `root`. An index of another state
    /// is given up.
    pub(crate) fn advance(
        &mut self,
        parent: Hash,
        root: Hash,
        changes: impl Iterator<Item = Change>,
        part: &PackedPart,
    ) {
        if self.roots.back() != Some(&parent) {
            *self = Self::default();
            // What accounts were need not be remembered any more.
            changes.for_each(drop);
            return;
        }
        self.roots.push_back(root);
        if self.roots.len() > LINGER_ROUNDS {
            self.roots.pop_front();
        }
        self.followed += 1;
        let mut gone = Vec::new();
        for change in changes {
            let before = change.before.as_ref().map_or_else(Vec::new, entries);
            let after = change.after.as_ref().map_or_else(Vec::new, entries);
            for entry in before.iter().filter(|entry| !after.contains(entry)) {
                gone.push((change.key, *entry));
                self.left.insert((change.key, *entry), self.followed);
            }
            for entry in after.into_iter().filter(|entry| !before.contains(entry)) {
                // What comes back must not be removed on account of having been away.
                self.left.remove(&(change.key, entry));
                self.add(&change.key, entry);
            }
        }
        self.lingering.push_back(gone);
        if self.lingering.len() > LINGER_ROUNDS {
            self.drop_oldest();
        }
        if self.record(part).is_err() {
            // Not what a round leaves; the state will say.
            *self = Self::default();
            return;
        }
        self.forget(part.slot.saturating_sub(RECORD_SLOTS));
    }

    /// Whether it lacks nothing of the state.
    pub(crate) fn serves(&self, root: &Hash) -> bool {
        self.roots.contains(root)
    }

    /// Removes what was left longest ago and did not come back, or was left once more, since.
    fn drop_oldest(&mut self) {
        let gone = self.lingering.pop_front().unwrap_or_default();
        let round = self.followed - self.lingering.len() as u64;
        for (key, entry) in gone {
            if self.left.get(&(key, entry)) == Some(&round) {
                self.left.remove(&(key, entry));
                self.remove(&key, entry);
            }
        }
    }

    fn add_all(&mut self, key: &Pubkey, account: &AccountSharedData) {
        for entry in entries(account) {
            self.add(key, entry);
        }
    }

    fn add(&mut self, key: &Pubkey, entry: Entry) {
        if let Entry::Lamports(lamports) = entry {
            self.lamports.insert((lamports, *key));
        } else if let Some((sets, by)) = self.sets(entry) {
            sets.entry(by).or_default().insert(*key);
        }
    }

    fn remove(&mut self, key: &Pubkey, entry: Entry) {
        if let Entry::Lamports(lamports) = entry {
            self.lamports.remove(&(lamports, *key));
            return;
        }
        let Some((sets, by)) = self.sets(entry) else {
            return;
        };
        if let Some(set) = sets.get_mut(&by) {
            set.remove(key);
            if set.is_empty() {
                sets.remove(&by);
            }
        }
    }

    fn sets(&mut self, entry: Entry) -> Option<(&mut Sets, Pubkey)> {
        match entry {
            Entry::Owner(by) => Some((&mut self.owners, by)),
            Entry::Holder(by) => Some((&mut self.holders, by)),
            Entry::Delegate(by) => Some((&mut self.delegates, by)),
            Entry::Mint(by) => Some((&mut self.mints, by)),
            Entry::Lamports(_) => None,
        }
    }

    fn record(&mut self, part: &PackedPart) -> Result<(), PackedError> {
        let slot = self.slots.entry(part.slot).or_default();
        slot.rounds.push(part.round);
        slot.transactions += part.len() as u64;
        for (position, head) in part.heads().enumerate() {
            let head = head?;
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let place = (part.slot, part.round, position);
            for key in head.keys() {
                let places = self.mentions.entry(Pubkey::from(*key)).or_default();
                if places.is_empty() {
                    places.reserve_exact(1);
                }
                // An account that is named twice is mentioned once.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            let entry = (place, head.status);
            self.signatures.insert(*head.signature, entry);
        }
        Ok(())
    }

    /// Forgets slots before `oldest`, once there are many. Whoever asks leaves the others out.
    fn forget(&mut self, oldest: u64) {
        let first = self.slots.first_key_value().map(|(slot, _)| *slot);
        if first.is_none_or(|first| first.saturating_add(FORGET_SLOTS) > oldest) {
            return;
        }
        self.slots = self.slots.split_off(&oldest);
        self.signatures.retain(|_, (place, _)| place.0 >= oldest);
        self.mentions.retain(|_, places| {
            let forgotten = places.partition_point(|place| place.0 < oldest);
            places.drain(..forgotten);
            !places.is_empty()
        });
    }

    /// Accounts that a program owns, ascending.
    pub(crate) fn owned(&self, owner: &Pubkey) -> Vec<Pubkey> {
        listed(&self.owners, owner)
    }

    /// Token accounts of an owner or a delegate, ascending.
    pub(crate) fn held(&self, holder: &Pubkey, by_delegate: bool) -> Vec<Pubkey> {
        let sets = if by_delegate {
            &self.delegates
        } else {
            &self.holders
        };
        listed(sets, holder)
    }

    /// Token accounts of a mint, ascending.
    pub(crate) fn of_mint(&self, mint: &Pubkey) -> Vec<Pubkey> {
        listed(&self.mints, mint)
    }

    /// Accounts with most lamports first.
    pub(crate) fn largest(&self) -> impl Iterator<Item = (u64, Pubkey)> + '_ {
        self.lamports.iter().rev().copied()
    }

    /// Where a transaction is recorded, and its status.
    pub(crate) fn transaction(
        &self,
        signature: &Signature,
    ) -> Option<&(Place, TransactionResult<()>)> {
        self.signatures.get(signature.as_array())
    }

    /// Transactions that name an account, newest first.
    pub(crate) fn mentions(&self, key: &Pubkey) -> impl Iterator<Item = Place> + '_ {
        self.mentions
            .get(key)
            .into_iter()
            .flat_map(|places| places.iter().rev().copied())
    }
}

fn listed(sets: &Sets, by: &Pubkey) -> Vec<Pubkey> {
    sets.get(by)
        .map_or_else(Vec::new, |set| set.iter().copied().collect())
}

fn entries(account: &AccountSharedData) -> Vec<Entry> {
    let mut entries = vec![
        Entry::Owner(*account.owner()),
        Entry::Lamports(account.lamports()),
    ];
    if let Some(token) = TokenAccount::read(account.owner(), account.data()) {
        entries.push(Entry::Holder(token.holder));
        entries.push(Entry::Mint(token.mint));
        entries.extend(token.delegate.map(Entry::Delegate));
    }
    entries
}

#[cfg(test)]
mod tests {
    use solana_account::{Account, AccountSharedData};
    use trilith_types::Hash;

    use super::*;
    use crate::packed::Of;

    const KEY: Pubkey = Pubkey::new_from_array([1; 32]);
    const ONE: Pubkey = Pubkey::new_from_array([2; 32]);
    const OTHER: Pubkey = Pubkey::new_from_array([3; 32]);

    fn owned_by(owner: Pubkey) -> AccountSharedData {
        AccountSharedData::from(Account {
            lamports: 5,
            owner,
            ..Account::default()
        })
    }

    fn root(round: u64) -> Hash {
        Hash::of(&round.to_le_bytes())
    }

    /// An index that follows rounds in which the account changes hands, if it does.
    struct Followed {
        index: Index,
        round: u64,
        owner: Option<Pubkey>,
    }

    impl Followed {
        fn new() -> Self {
            let mut index = Index::default();
            index.roots.push_back(root(0));
            Self {
                index,
                round: 0,
                owner: None,
            }
        }

        fn round(&mut self, owner: Option<Pubkey>) {
            let change = Change {
                key: KEY,
                before: self.owner.map(owned_by),
                after: owner.map(owned_by),
            };
            let (parent, next) = (root(self.round), root(self.round + 1));
            let of = Of {
                slot: 1,
                round: self.round + 1,
                time: 0,
                first: 0,
            };
            let part = PackedPart::new(of, std::iter::empty());
            self.index
                .advance(parent, next, [change].into_iter(), &part);
            self.round += 1;
            self.owner = owner;
            assert!(self.index.serves(&next));
        }

        fn is_owned(&self, owner: &Pubkey) -> bool {
            self.index.owned(owner) == [KEY]
        }
    }

    #[test]
    fn what_is_left_lingers_and_goes() {
        let mut followed = Followed::new();
        followed.round(Some(ONE));
        followed.round(Some(OTHER));
        for _ in 1..LINGER_ROUNDS {
            followed.round(Some(OTHER));
            assert!(followed.is_owned(&ONE));
        }
        followed.round(Some(OTHER));
        assert!(!followed.is_owned(&ONE));
        assert!(followed.is_owned(&OTHER));
        assert!(followed.index.left.is_empty());
    }

    #[test]
    fn what_comes_back_stays_until_it_is_left_again() {
        let mut followed = Followed::new();
        followed.round(Some(ONE));
        followed.round(None);
        followed.round(Some(ONE));
        for _ in 0..3 * LINGER_ROUNDS {
            followed.round(Some(ONE));
        }
        assert!(followed.is_owned(&ONE));
        // Left twice in a short time: the first time is not what counts.
        followed.round(None);
        followed.round(Some(ONE));
        followed.round(None);
        for _ in 1..LINGER_ROUNDS {
            followed.round(None);
            assert!(followed.is_owned(&ONE));
        }
        followed.round(None);
        assert!(!followed.is_owned(&ONE));
        assert_eq!(followed.index.largest().count(), 0);
        assert!(followed.index.left.is_empty());
    }
}
