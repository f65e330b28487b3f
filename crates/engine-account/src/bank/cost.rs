//! What transactions cost a slot, and how much of that a slot takes.
//!
//! The work of all transactions of a slot is bounded, that of the transactions that write one
//! account more tightly, and so is the data that they ask to allocate. A transaction is let in by
//! what it asks for and counted by what it used.
//!
//! Source: crate `solana-cost-model` 4.2.2, `CostTracker::would_fit` and `CostModel`. Work is
//! compute units, signatures and write locks; bytes of instructions and of loaded accounts, which
//! the ecosystem counts as well, are bounded here by the size of rounds.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_svm_transaction::svm_message::SVMStaticMessage as _;
use solana_system_interface::instruction::SystemInstruction;
use solana_transaction_error::TransactionError;
use trilith_params::account::{
    ACCOUNT_DATA_BYTES_MAX, ACCOUNT_UNITS_MAX, SIGNATURE_UNITS, SLOT_DATA_BYTES_MAX,
    SLOT_UNITS_MAX, TRANSACTION_DATA_BYTES_MAX, WRITE_LOCK_UNITS,
};
use trilith_protocol::Fault;
use trilith_types::StateRead;

use super::budget::Limits;
use super::chain::ChainState;
use super::decode::Sanitized;
use super::leaf;
use super::places::Place;
use super::table::Table;
use crate::packed::PackedPart;

/// What one transaction costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Work, in compute units.
    pub(crate) work: u64,
    /// Bytes of account data that it asks to allocate.
    pub(crate) data: u64,
}

impl Cost {
    /// Adds what another costs.
    pub(crate) fn add(&mut self, other: Self) {
        self.work = self.work.saturating_add(other.work);
        self.data = self.data.saturating_add(other.data);
    }
}

/// The most a transaction may cost.
pub(crate) fn asked(transaction: &Sanitized, limits: &Limits) -> Cost {
    Cost {
        work: work(transaction, limits.budget.compute_unit_limit),
        data: allocated(transaction),
    }
}

/// What a transaction cost that used so many compute units.
pub(crate) fn used(transaction: &Sanitized, units: u64, asked: Cost) -> Cost {
    Cost {
        work: work(transaction, units),
        data: asked.data,
    }
}

/// The work of a transaction that uses so many compute units.
pub(crate) fn work(transaction: &Sanitized, units: u64) -> u64 {
    let signatures = transaction
        .num_transaction_signatures()
        .saturating_mul(SIGNATURE_UNITS);
    let locks = transaction
        .num_write_locks()
        .saturating_mul(WRITE_LOCK_UNITS);
    units.saturating_add(signatures).saturating_add(locks)
}

/// Bytes that a transaction asks the system program for. Asking for more than an account may have
/// fails, so that such a transaction allocates nothing.
fn allocated(transaction: &Sanitized) -> u64 {
    let requests = transaction
        .program_instructions_iter()
        .filter(|(program, _)| **program == system_program::ID)
        .map(|(_, instruction)| space(instruction.data));
    let sum = requests.into_iter().try_fold(0u64, |sum, space| {
        (space <= ACCOUNT_DATA_BYTES_MAX).then(|| sum.saturating_add(space))
    });
    sum.unwrap_or(0).min(TRANSACTION_DATA_BYTES_MAX)
}

/// Bytes that one instruction of the system program asks for.
fn space(data: &[u8]) -> u64 {
    // Tags of the instructions that name a size; all others are not read further.
    if !matches!(data.first(), Some(0 | 3 | 8 | 9 | 13)) {
        return 0;
    }
    match bincode::deserialize(data) {
        Ok(
            SystemInstruction::CreateAccount { space, .. }
            | SystemInstruction::CreateAccountWithSeed { space, .. }
            | SystemInstruction::CreateAccountAllowPrefund { space, .. }
            | SystemInstruction::Allocate { space }
            | SystemInstruction::AllocateWithSeed { space, .. },
        ) => space,
        _ => 0,
    }
}

/// What a slot has taken. It can be read from the records of the slot again.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    slot: u64,
    /// What all transactions cost.
    taken: Cost,
    /// Work by the accounts that are written, by place. Threads count for the accounts they lock.
    written: Vec<AtomicU64>,
    /// The same of transactions that were let in and have not run yet.
    expected: Vec<u64>,
}

/// A transaction that waits to be let in.
pub(crate) struct Asking<'a> {
    pub(crate) cost: Cost,
    pub(crate) locks: &'a [(Place, bool)],
}

impl Ledger {
    /// Reads the records of the newest slot, and gives the accounts that were written places.
    ///
    /// # Errors
    /// [`Fault`] if the state cannot be read.
    pub(crate) fn load(
        view: &dyn StateRead,
        chain: &ChainState,
        table: &mut Table,
    ) -> Result<Self, Fault> {
        let mut ledger = Self {
            slot: chain.slot,
            ..Self::default()
        };
        let mut damaged = None;
        let prefix = leaf::slot_key(leaf::PART, chain.slot);
        view.iterate(&prefix, &mut |_, part| {
            let part = leaf::decode::<PackedPart>(part, "a part of a block");
            match part.and_then(|part| ledger.add_part(&part, table)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(fault) => {
                    damaged = Some(fault);
                    ControlFlow::Break(())
                }
            }
        })?;
        damaged.map_or(Ok(ledger), Err)
    }

    fn add_part(&mut self, part: &PackedPart, table: &mut Table) -> Result<(), Fault> {
        for head in part.heads() {
            let head = head?;
            let locked = head.keys().enumerate();
            for (_, key) in locked.filter(|(index, _)| head.is_locked_for_writing(*index)) {
                let place = table.give(&Pubkey::new_from_array(*key));
                self.extend(table.len());
                self.add(place, head.work);
            }
        }
        Ok(())
    }

    /// Begins a round on top of what the slot has taken. Forgets the slots before.
    pub(crate) fn begin(&mut self, chain: &ChainState, places: usize) {
        self.taken = Cost {
            work: chain.slot_units,
            data: chain.slot_data,
        };
        if self.slot != chain.slot {
            self.slot = chain.slot;
            self.written.iter_mut().for_each(|work| *work.get_mut() = 0);
        }
        self.extend(places);
    }

    /// Learns of accounts that have places now.
    pub(crate) fn extend(&mut self, places: usize) {
        if self.written.len() < places {
            self.written.resize_with(places, AtomicU64::default);
            self.expected.resize(places, 0);
        }
    }

    /// How many accounts it knows of.
    pub(crate) fn places(&self) -> usize {
        self.written.len()
    }

    /// Whether transactions of the slot wrote the account at a place.
    pub(crate) fn is_written(&self, index: usize) -> bool {
        self.work(index) > 0
    }

    /// The same for accounts with new places, of which each had the place that stands there.
    pub(crate) fn moved(&self, places: &[usize]) -> Self {
        let written = |index: &usize| AtomicU64::new(self.work(*index));
        Self {
            slot: self.slot,
            taken: self.taken,
            written: places.iter().map(written).collect(),
            expected: vec![0; places.len()],
        }
    }

    /// Work for the account with this index; none if it does not know it.
    fn work(&self, index: usize) -> u64 {
        let work = self.written.get(index);
        work.map_or(0, |work| work.load(Ordering::Relaxed))
    }

    fn add(&self, place: Place, work: u64) {
        let sum = &self.written[place.index()];
        // Nobody else adds to it meanwhile.
        let more = sum.load(Ordering::Relaxed).saturating_add(work);
        sum.store(more, Ordering::Relaxed);
    }

    /// How many of the transactions, from the first on, the slot takes if each costs what it asks
    /// for. What they do not use is left to those that follow.
    ///
    /// # Errors
    /// [`TransactionError`] if it does not take the first.
    pub(crate) fn fitting<'t>(
        &mut self,
        asking: impl Iterator<Item = Option<Asking<'t>>> + Clone,
    ) -> Result<usize, TransactionError> {
        let mut sum = self.taken;
        let mut count = 0;
        let mut first_error = None;
        for asking in asking.clone() {
            if let Some(asking) = asking {
                match self.room(sum, &asking) {
                    Ok(next) => sum = next,
                    Err(error) => {
                        first_error = Some(error);
                        break;
                    }
                }
                for place in written(asking.locks) {
                    let expected = &mut self.expected[place.index()];
                    *expected = expected.saturating_add(asking.cost.work);
                }
            }
            count += 1;
        }
        for asking in asking.take(count).flatten() {
            for place in written(asking.locks) {
                self.expected[place.index()] = 0;
            }
        }
        match first_error {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// The sum with one more transaction.
    fn room(&self, sum: Cost, asking: &Asking<'_>) -> Result<Cost, TransactionError> {
        let mut next = sum;
        next.add(asking.cost);
        if next.work > SLOT_UNITS_MAX {
            return Err(TransactionError::WouldExceedMaxBlockCostLimit);
        }
        if asking.cost.data > 0 && next.data > SLOT_DATA_BYTES_MAX {
            return Err(TransactionError::WouldExceedAccountDataBlockLimit);
        }
        let is_full = written(asking.locks).any(|place| {
            let taken = self
                .work(place.index())
                .saturating_add(self.expected[place.index()]);
            taken.saturating_add(asking.cost.work) > ACCOUNT_UNITS_MAX
        });
        if is_full {
            return Err(TransactionError::WouldExceedMaxAccountCostLimit);
        }
        Ok(next)
    }

    /// Counts a transaction that was charged for the accounts that it locks for writing, while no
    /// other thread has to do with them. The slot is to [`Self::take`] what it cost.
    pub(crate) fn count(&self, work: u64, locks: &[(Place, bool)]) {
        for place in written(locks) {
            self.add(place, work);
        }
    }

    /// Counts for the slot what transactions that were charged cost.
    pub(crate) fn take(&mut self, cost: Cost) {
        self.taken.add(cost);
    }

    /// Leaves what was taken to the next round of the slot.
    pub(crate) fn leave(&self, chain: &mut ChainState) {
        chain.slot_units = self.taken.work;
        chain.slot_data = self.taken.data;
    }
}

fn written(locks: &[(Place, bool)]) -> impl Iterator<Item = Place> {
    let written = locks.iter().filter(|(_, is_written)| *is_written);
    written.map(|(place, _)| *place)
}
