//! What is told of a transaction: its receipt and its record.

use smallvec::SmallVec;
use solana_pubkey::Pubkey;
use solana_svm_transaction::svm_message::{SVMMessage as _, SVMStaticMessage as _};
use solana_svm_transaction::svm_transaction::SVMTransaction as _;
use solana_transaction_error::{TransactionError, TransactionResult};
use trilith_protocol::{Receipt, ReceiptStatus};
use trilith_types::Hash;

use super::decode::{self, Sanitized};
use super::leaf;
use super::processor::Charged;
use crate::packed::{Entry, Names, pack_record};
use crate::{CODE_TRANSACTION, MODULE};

/// The encoded status of a transaction that succeeded: what [`leaf::encode`] makes of `Ok(())`.
const SUCCESS: [u8; 4] = [0; 4];

/// The encoded status of a transaction that was charged.
pub(crate) fn status(status: &TransactionResult<()>) -> Vec<u8> {
    match status {
        Ok(()) => SUCCESS.to_vec(),
        Err(_) => leaf::encode(status),
    }
}

/// The receipt of an input: the encoded status, or why it had no effect.
pub(crate) fn receipt(input: Hash, status: Result<Vec<u8>, TransactionError>) -> Receipt {
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
