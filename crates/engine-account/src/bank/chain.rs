//! The state of the chain beside its accounts: slots, blockhashes, counters.
//!
//! A slot is 400 ms of agreed time. A round belongs to the slot of its time; the first round of a
//! slot ends the slot before it, which then gets its blockhash. A blockhash counts its age from
//! the slot in which it became known, so that it is accepted for as long whatever the rate of
//! rounds.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_epoch_schedule::EpochSchedule;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use trilith_params::account::{BLOCKHASH_SLOTS, BUSY_SLOTS, IDLE_SLOTS, SLOT_NANOS};
use trilith_types::TimeNanos;

use super::features::InForce;
use super::profile::Profile;

/// The leaf [`super::leaf::CHAIN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainState {
    /// Names the network.
    pub(crate) genesis_hash: Hash,
    /// Agreed time at which slot 0 began.
    pub(crate) genesis_time: u64,
    /// To whom fees go.
    pub(crate) identity: Pubkey,
    /// Who pays airdrops.
    pub(crate) faucet: Option<Pubkey>,
    /// Slots of an epoch.
    pub(crate) epoch_slots: u64,
    /// Slot of the newest round.
    pub(crate) slot: u64,
    /// The slot with a round before it.
    pub(crate) parent: u64,
    /// The newest round.
    pub(crate) round: u64,
    /// Its agreed time.
    pub(crate) time: u64,
    /// Agreed time of the first round of the slot, seconds.
    pub(crate) slot_time: i64,
    /// Agreed time of the first round of the epoch, seconds.
    pub(crate) epoch_time: i64,
    /// Blockhashes that may still be accepted with the slot before the one in which they became
    /// known, newest last. Never empty.
    pub(crate) blockhashes: Vec<(Hash, u64)>,
    /// Digest over what happened in the slot so far.
    pub(crate) digest: Hash,
    /// Transactions of the slot so far.
    pub(crate) slot_transactions: u64,
    /// Work of the slot so far.
    pub(crate) slot_units: u64,
    /// Bytes of account data that transactions of the slot asked to allocate.
    pub(crate) slot_data: u64,
    /// Fees of the slot so far that were not burnt.
    pub(crate) slot_rewards: u64,
    /// Transactions since genesis.
    pub(crate) transactions: u64,
    /// Lamports of all accounts.
    pub(crate) supply: u64,
    /// The last slot with a transaction.
    pub(crate) busy_slot: u64,
    /// The profile of the gates in force.
    pub(crate) profile: Profile,
    /// Digest of the gates in force.
    pub(crate) rules: Hash,
}

impl ChainState {
    /// The slot of an agreed time.
    pub(crate) fn slot_at(&self, time: u64) -> u64 {
        // Slot 0 is the genesis and holds no round.
        1 + time.saturating_sub(self.genesis_time) / SLOT_NANOS
    }

    /// The first moment of a slot.
    pub(crate) fn time_of(&self, slot: u64) -> TimeNanos {
        let nanos = slot.saturating_sub(1).saturating_mul(SLOT_NANOS);
        TimeNanos(self.genesis_time.saturating_add(nanos))
    }

    /// The newest blockhash.
    pub(crate) fn blockhash(&self) -> Hash {
        self.blockhashes
            .last()
            .map_or(self.genesis_hash, |(hash, _)| *hash)
    }

    /// The last slot in which transactions with this blockhash are accepted, while it is known.
    pub(crate) fn valid_until(&self, blockhash: &Hash) -> Option<u64> {
        self.blockhashes
            .iter()
            .rev()
            .find(|(hash, _)| hash == blockhash)
            .map(|(_, known)| known.saturating_add(1 + BLOCKHASH_SLOTS))
    }

    /// Whether a transaction with this blockhash is accepted in the slot.
    pub(crate) fn is_recent(&self, blockhash: &Hash, slot: u64) -> bool {
        self.valid_until(blockhash).is_some_and(|last| slot <= last)
    }

    /// The schedule of epochs.
    pub(crate) fn schedule(&self) -> EpochSchedule {
        EpochSchedule::custom(self.epoch_slots, self.epoch_slots, false)
    }

    /// When the next round is due even without transactions: each slot while clients may wait for
    /// their blockhash to expire, seldom otherwise.
    pub(crate) fn next_round_due(&self) -> TimeNanos {
        let is_busy = self.slot.saturating_sub(self.busy_slot) <= BUSY_SLOTS;
        let slots = if is_busy { 1 } else { IDLE_SLOTS };
        self.time_of(self.slot.saturating_add(slots))
    }

    /// Ends the slot: the blockhash it gets.
    pub(crate) fn blockhash_of_ended_slot(&self) -> Hash {
        digest(&[
            b"trilith-account-block",
            self.blockhash().as_bytes(),
            &self.slot.to_le_bytes(),
            self.digest.as_bytes(),
        ])
    }

    /// Moves to a later slot, in which `blockhash`, that of the slot that ended, becomes known.
    pub(crate) fn begin_slot(&mut self, slot: u64, blockhash: Hash) {
        let known = slot.saturating_sub(1);
        self.blockhashes.push((blockhash, known));
        // The newest stays, however old: nonces and answers need one.
        let newest = self.blockhashes.len() - 1;
        let mut index = 0;
        self.blockhashes.retain(|(_, since)| {
            index += 1;
            index > newest || since.saturating_add(BLOCKHASH_SLOTS) >= known
        });
        self.parent = self.slot;
        self.slot = slot;
        self.digest = Hash::default();
        self.slot_transactions = 0;
        self.slot_units = 0;
        self.slot_data = 0;
        self.slot_rewards = 0;
    }

    /// Takes other gates into account.
    pub(crate) fn follow(&mut self, in_force: &InForce) {
        self.profile = Profile::of(in_force);
        self.rules = digest(&[b"trilith-account-gates", &super::leaf::encode(in_force)]);
    }

    /// Takes what a round did into the digest of its slot, by the hash of the leaf of its part. A
    /// busy round did a lot, which BLAKE3 reads several times as fast as SHA-256.
    pub(crate) fn absorb(&mut self, round: u64, part: &blake3::Hash) {
        self.digest = digest(&[
            self.digest.as_bytes(),
            &round.to_le_bytes(),
            part.as_bytes(),
        ]);
    }
}

/// SHA-256 of the concatenation.
pub(crate) fn digest(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash::new_from_array(hasher.finalize().into())
}
