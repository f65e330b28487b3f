//! What a transaction came to.

use std::fmt;
use std::sync::Arc;

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;
use trilith_engine_account::read_account;
use trilith_engine_account::record::{InnerInstructions, ReturnData, TransactionRecord};

use crate::memory::Memory;

/// A transaction that was charged, with the state it left.
#[derive(Clone)]
pub struct Sent {
    record: TransactionRecord,
    after: Arc<Memory>,
}

impl Sent {
    pub(crate) fn new(record: TransactionRecord, after: Arc<Memory>) -> Self {
        Self { record, after }
    }

    /// Its first signature.
    pub fn signature(&self) -> Signature {
        self.record.signature
    }

    /// What it came to.
    pub fn status(&self) -> &TransactionResult<()> {
        &self.record.status
    }

    /// Compute units used.
    pub fn units(&self) -> u64 {
        self.record.units
    }

    /// Lamports charged.
    pub fn fee(&self) -> u64 {
        self.record.fee
    }

    /// The log lines.
    pub fn logs(&self) -> &[String] {
        &self.record.logs
    }

    /// What the last program to set return data returned.
    pub fn returned(&self) -> Option<&ReturnData> {
        self.record.returned.as_ref()
    }

    /// Instructions that programs called, by top-level instruction.
    pub fn inner(&self) -> &[InnerInstructions] {
        &self.record.inner
    }

    /// Everything that is recorded of it: balances, token balances, keys, and the above.
    pub fn record(&self) -> &TransactionRecord {
        &self.record
    }

    /// An account as it was after the round of this transaction, whether the transaction named it
    /// or not; `None` if there is none.
    pub fn account(&self, key: &Pubkey) -> Option<Account> {
        // The state is in memory and was read by the round that left it.
        let account = read_account(&*self.after, key).ok().flatten();
        account.map(Account::from)
    }

    /// The accounts that the transaction names, in message order, as they were after it.
    pub fn accounts(&self) -> Vec<(Pubkey, Option<Account>)> {
        let keys = self.record.keys.iter();
        keys.map(|key| (*key, self.account(key))).collect()
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sent")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}
