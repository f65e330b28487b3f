//! What is told of a transaction: its receipt and its record.

use solana_account::AccountSharedData;
use solana_pubkey::Pubkey;
use solana_svm_transaction::svm_message::{SVMMessage as _, SVMStaticMessage as _};
use solana_svm_transaction::svm_transaction::SVMTransaction as _;
use solana_transaction_error::TransactionError;
use trilith_protocol::{Receipt, ReceiptStatus};
use trilith_types::Hash;

use super::decode::{self, Sanitized};
use super::leaf;
use super::processor::Charged;
use crate::record::TransactionRecord;
use crate::{CODE_TRANSACTION, MODULE};

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

/// The record of a transaction that was charged, which did so much `work`, and what it wrote. Its
/// position in the slot is left at 0.
pub(crate) fn record(
    bytes: &[u8],
    transaction: &Sanitized,
    charged: Charged,
    (slot, work): (u64, u64),
) -> (TransactionRecord, Vec<(Pubkey, AccountSharedData)>) {
    let keys: Vec<Pubkey> = transaction.account_keys().iter().copied().collect();
    let loaded = keys.len() - transaction.static_account_keys().len();
    let loaded_writable = transaction.loaded_writable();
    let [balances_before, balances_after] = charged.balances;
    let [tokens_before, tokens_after] = charged.tokens;
    let locked = (0..keys.len())
        .filter(|index| transaction.is_writable(*index))
        .fold(0u128, |bits, index| {
            bits | u32::try_from(index)
                .ok()
                .and_then(|index| 1u128.checked_shl(index))
                .unwrap_or(0)
        });
    let record = TransactionRecord {
        transaction: bytes.to_vec(),
        signature: *transaction.signature(),
        slot,
        index: 0,
        status: charged.status,
        fee: charged.fees.total_fee(),
        units: charged.units,
        loaded_bytes: charged.loaded_bytes,
        logs: charged.logs,
        inner: charged.inner,
        returned: charged.returned,
        static_keys: u16::try_from(keys.len() - loaded).unwrap_or(u16::MAX),
        loaded_writable: u16::try_from(loaded_writable).unwrap_or(u16::MAX),
        keys,
        balances_before,
        balances_after,
        tokens_before,
        tokens_after,
        written: charged.writes.iter().map(|(key, _)| *key).collect(),
        work,
        locked,
    };
    (record, charged.writes)
}
