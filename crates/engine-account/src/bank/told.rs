//! What is told of transactions: their receipts and their records.

use std::ops::Range;

use smallvec::SmallVec;
use solana_fee_structure::FeeDetails;
use solana_hash::{HASH_BYTES, Hash as MessageHash};
use solana_pubkey::Pubkey;
use solana_svm_transaction::svm_message::{SVMMessage as _, SVMStaticMessage as _};
use solana_svm_transaction::svm_transaction::SVMTransaction as _;
use solana_transaction_error::{TransactionError, TransactionResult};
use trilith_protocol::{Input, Receipt, ReceiptStatus};
use trilith_types::Hash;

use super::cost::Cost;
use super::decode::{self, Sanitized};
use super::leaf;
use super::places::Place;
use super::processor::Charged;
use crate::packed::{Entry, Names, Of, PackedPart, pack_record};
use crate::{CODE_TRANSACTION, MODULE};

/// What a record takes, for the memory that those of a lane are given at first.
const RECORD_BYTES: usize = 384;

/// The encoded status of a transaction that succeeded: what [`leaf::encode`] makes of `Ok(())`.
const SUCCESS: [u8; 4] = [0; 4];

/// The encoded status of a transaction that was charged.
fn status(status: &TransactionResult<()>) -> Vec<u8> {
    match status {
        Ok(()) => SUCCESS.to_vec(),
        Err(_) => leaf::encode(status),
    }
}

/// The receipt of an input: the encoded status, or why it had no effect.
fn receipt(input: Hash, status: Result<Vec<u8>, TransactionError>) -> Receipt {
    let (status, output) = match status {
        Ok(output) => (ReceiptStatus::Accepted, output),
        Err(error) => {
            let rejected = ReceiptStatus::Rejected {
                module: MODULE.to_owned(),
                code: CODE_TRANSACTION + decode::error_number(&error),
                message: error.to_string(),
            };
            (rejected, leaf::encode(&error))
        }
    };
    Receipt {
        input,
        status,
        output,
    }
}

/// What a transaction that was charged did, beside writing accounts.
pub(crate) struct Effect {
    pub(crate) status: TransactionResult<()>,
    /// Where its packed record stands among those of its lane.
    pub(crate) range: Range<usize>,
    pub(crate) message: MessageHash,
}

/// What the transactions of a lane came to.
pub(crate) struct Ran {
    /// Each with its position in the batch; why it could not be charged, if so.
    pub(crate) done: Vec<(usize, Result<Effect, TransactionError>)>,
    pub(crate) records: Records,
    /// What they wrote for the first time in this round.
    pub(crate) written: Vec<Place>,
    /// Compute units that were used.
    units: u64,
    /// What they cost together.
    pub(crate) cost: Cost,
    /// Lamports of signatures and of priority.
    fees: (u64, u64),
}

impl Ran {
    /// Nothing yet, with memory for so many transactions.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            done: Vec::with_capacity(count),
            records: Records::with_capacity(RECORD_BYTES * count),
            written: Vec::with_capacity(2 * count),
            units: 0,
            cost: Cost::default(),
            fees: (0, 0),
        }
    }

    /// Counts a transaction that was charged.
    pub(crate) fn count(&mut self, units: u64, cost: Cost, fees: &FeeDetails) {
        self.units = self.units.saturating_add(units);
        self.cost.add(cost);
        self.fees = sum(
            self.fees,
            (fees.transaction_fee(), fees.prioritization_fee()),
        );
    }
}

fn sum(fees: (u64, u64), more: (u64, u64)) -> (u64, u64) {
    (fees.0.saturating_add(more.0), fees.1.saturating_add(more.1))
}

/// What is told of a batch.
#[derive(Default)]
pub(crate) struct Told {
    lanes: Vec<Ran>,
    /// Inputs that were not run, by position, and why.
    refused: Vec<(usize, TransactionError)>,
    /// Compute units that were used.
    pub(crate) units: u64,
    /// Lamports of signatures and of priority.
    pub(crate) fees: (u64, u64),
}

/// What is told of a batch, put together in the order of its inputs.
pub(crate) struct Report {
    pub(crate) part: PackedPart,
    /// The leaf of the part.
    pub(crate) encoded: Vec<u8>,
    /// The hash of that leaf.
    pub(crate) hash: blake3::Hash,
    /// Message hashes of the transactions that were charged, one after the other.
    pub(crate) messages: Vec<u8>,
    pub(crate) receipts: Vec<Receipt>,
}

/// What an input came to: its effect with its record, or why it had none.
type Ended<'t> = Result<(&'t Effect, &'t [u8]), &'t TransactionError>;

impl Told {
    /// Learns of an input that was not run.
    pub(crate) fn refuse(&mut self, position: usize, error: TransactionError) {
        self.refused.push((position, error));
    }

    /// Learns what a lane came to.
    pub(crate) fn take(&mut self, ran: Ran) {
        self.units = self.units.saturating_add(ran.units);
        self.fees = sum(self.fees, ran.fees);
        self.lanes.push(ran);
    }

    /// Puts everything together.
    pub(crate) fn report(self, of: Of, inputs: &[Input]) -> Report {
        let mut results: Vec<Option<Ended<'_>>> = vec![None; inputs.len()];
        for (position, error) in &self.refused {
            results[*position] = Some(Err(error));
        }
        for ran in &self.lanes {
            for (position, done) in &ran.done {
                let done = done.as_ref();
                results[*position] =
                    Some(done.map(|effect| (effect, &ran.records.bytes[effect.range.clone()])));
            }
        }
        let told = inputs.iter().zip(&results);
        let receipts = told
            .filter_map(|(input, result)| Some((input, result.as_ref()?)))
            .map(|(input, result)| {
                let status = result.as_ref().map(|(effect, _)| status(&effect.status));
                receipt(input.hash(), status.map_err(|error| (*error).clone()))
            });
        let charged = results.iter().flatten().flatten();
        let records = charged.clone().map(|(_, record)| *record);
        let part = PackedPart::new(of, records);
        let mut messages = Vec::with_capacity(HASH_BYTES * part.len());
        for (effect, _) in charged {
            messages.extend_from_slice(effect.message.as_bytes());
        }
        let encoded = leaf::encode(&part);
        Report {
            receipts: receipts.collect(),
            hash: blake3::hash(&encoded),
            encoded,
            part,
            messages,
        }
    }
}

/// Records of transactions, one after the other.
pub(crate) struct Records {
    /// The records.
    pub(crate) bytes: Vec<u8>,
    names: Names,
}

impl Records {
    /// None yet, with memory for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            names: Names::default(),
        }
    }

    /// Appends the record of a transaction that was charged, which did so much `work`; `locked`
    /// tells of each of its accounts whether it is locked for writing.
    pub(crate) fn add(
        &mut self,
        bytes: &[u8],
        transaction: &Sanitized,
        charged: &Charged,
        work: u64,
        locked: impl Iterator<Item = bool>,
    ) {
        let loaded_writable = transaction.loaded_writable();
        // A transaction names at most as many accounts as there are bits.
        let locked = locked
            .zip(0..u128::BITS)
            .filter(|(is_written, _)| *is_written)
            .fold(0u128, |bits, (_, index)| bits | 1 << index);
        let static_keys = transaction.static_account_keys().len();
        let [balances_before, balances_after] = &charged.balances;
        let [tokens_before, tokens_after] = &charged.tokens;
        let entry = Entry {
            transaction: bytes,
            signature: transaction.signature(),
            status: &charged.status,
            work,
            locked,
            keys: transaction.account_keys(),
            static_keys: u16::try_from(static_keys).unwrap_or(u16::MAX),
            loaded_writable: u16::try_from(loaded_writable).unwrap_or(u16::MAX),
            fee: charged.fees.total_fee(),
            units: charged.units,
            loaded_bytes: charged.loaded_bytes,
            balances: [balances_before, balances_after],
            inner: &charged.inner,
            tokens: [tokens_before, tokens_after],
            returned: charged.returned.as_ref(),
        };
        let keys = transaction.account_keys();
        let written: SmallVec<[&Pubkey; 8]> = charged
            .writes
            .iter()
            .filter_map(|(index, _)| keys.get(*index))
            .collect();
        let logs = charged.logs.iter().map(|line| &**line);
        pack_record(
            &entry,
            logs,
            written.into_iter(),
            &mut self.names,
            &mut self.bytes,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_is_encoded_like_other_statuses() {
        let statuses = [Ok(()), Err(TransactionError::AccountInUse)];
        for result in statuses {
            assert_eq!(status(&result), leaf::encode(&result));
        }
    }
}
