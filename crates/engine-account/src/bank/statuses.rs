//! Message hashes of transactions that were charged while their blockhash may still be accepted.
//!
//! The leaves are the truth; this set of them is what a round looks up.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use solana_hash::Hash;
use trilith_params::account::BLOCKHASH_SLOTS;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::leaf;
use crate::keyed::Keyed;

/// Parts of the set, which threads lock for themselves.
const SHARDS: usize = 32;

/// The set.
#[derive(Default)]
pub(crate) struct Statuses {
    shards: [Mutex<Keyed<()>>; SHARDS],
    by_slot: BTreeMap<u64, Vec<[u8; 32]>>,
}

impl Clone for Statuses {
    fn clone(&self) -> Self {
        Self {
            shards: std::array::from_fn(|index| Mutex::new(lock(&self.shards[index]).clone())),
            by_slot: self.by_slot.clone(),
        }
    }
}

fn lock(shard: &Mutex<Keyed<()>>) -> MutexGuard<'_, Keyed<()>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Statuses {
    /// Reads all leaves.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let mut statuses = Self::default();
        view.iterate(leaf::STATUS, &mut |key, value| {
            for hash in value.as_chunks::<32>().0 {
                statuses.insert(&Hash::new_from_array(*hash));
            }
            statuses.note(leaf::slot_of(key).unwrap_or(0), value);
            ControlFlow::Continue(())
        })?;
        Ok(statuses)
    }

    fn shard(&self, hash: &[u8; 32]) -> MutexGuard<'_, Keyed<()>> {
        lock(&self.shards[usize::from(hash[0]) % SHARDS])
    }

    /// Whether the transaction was charged before.
    pub(crate) fn contains(&self, hash: &Hash) -> bool {
        self.shard(hash.as_bytes()).contains(hash.as_bytes())
    }

    /// Remembers a transaction, whose slot [`Self::note`] must learn.
    pub(crate) fn insert(&self, hash: &Hash) {
        self.shard(hash.as_bytes()).insert(*hash.as_bytes(), ());
    }

    /// Learns that transactions were of a slot, by their hashes one after the other.
    pub(crate) fn note(&mut self, slot: u64, hashes: &[u8]) {
        let hashes = hashes.as_chunks::<32>().0;
        self.by_slot.entry(slot).or_default().extend(hashes);
    }

    /// Forgets slots whose transactions cannot be accepted any more.
    pub(crate) fn forget(&mut self, slot: u64) {
        let keep = self.by_slot.split_off(&oldest(slot));
        for hash in std::mem::replace(&mut self.by_slot, keep)
            .into_values()
            .flatten()
        {
            self.shard(&hash).remove(&hash);
        }
    }
}

/// The oldest slot whose transactions may come again in `slot`. A transaction is charged after its
/// blockhash became known, and accepted for [`BLOCKHASH_SLOTS`] slots from there.
pub(crate) fn oldest(slot: u64) -> u64 {
    slot.saturating_sub(BLOCKHASH_SLOTS)
}
