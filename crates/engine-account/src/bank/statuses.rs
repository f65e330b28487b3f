//! Message hashes of transactions that were charged while their blockhash may still be accepted.
//!
//! The leaves are the truth; this set of them is what a round looks up.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use solana_hash::Hash;
use trilith_params::account::BLOCKHASH_SLOTS;
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::leaf;
use crate::keyed::Keyed;

/// Hashes of one leaf of [`leaf::STATUS`].
pub(crate) fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The set.
#[derive(Clone, Default)]
pub(crate) struct Statuses {
    hashes: Keyed<()>,
    by_slot: BTreeMap<u64, Vec<[u8; 32]>>,
}

impl Statuses {
    /// Reads all leaves.
    pub(crate) fn load(view: &dyn StateRead) -> Result<Self, Fault> {
        let mut statuses = Self::default();
        view.iterate(leaf::STATUS, &mut |key, value| {
            for hash in value.as_chunks::<32>().0 {
                statuses.add(leaf::slot_of(key).unwrap_or(0), *hash);
            }
            ControlFlow::Continue(())
        })?;
        Ok(statuses)
    }

    fn add(&mut self, slot: u64, hash: [u8; 32]) {
        self.hashes.insert(hash, ());
        self.by_slot.entry(slot).or_default().push(hash);
    }

    /// Whether the transaction was charged before.
    pub(crate) fn contains(&self, hash: &Hash) -> bool {
        self.hashes.contains(hash.as_bytes())
    }

    /// Remembers a transaction of `slot`.
    pub(crate) fn insert(&mut self, slot: u64, hash: &Hash) {
        self.add(slot, *hash.as_bytes());
    }

    /// Forgets slots whose transactions cannot be accepted any more.
    pub(crate) fn forget(&mut self, slot: u64) {
        let keep = self.by_slot.split_off(&oldest(slot));
        for hash in std::mem::replace(&mut self.by_slot, keep)
            .into_values()
            .flatten()
        {
            self.hashes.remove(&hash);
        }
    }
}

/// The oldest slot whose transactions may come again in `slot`. A transaction is charged after its
/// blockhash became known, and accepted for [`BLOCKHASH_SLOTS`] slots from there.
pub(crate) fn oldest(slot: u64) -> u64 {
    slot.saturating_sub(BLOCKHASH_SLOTS)
}
