//! What the engine remembers of transactions and blocks, and what it tells gateways.
//!
//! A round leaves one [`BlockPart`] in the state; all parts of a slot are that slot's block. The
//! records stay for [`trilith_params::account::RECORD_SLOTS`] slots, so that history and statuses
//! survive a restart and are the same on every node.
//!
//! Knows nothing of JSON: a gateway derives its shapes from these.

use serde::{Deserialize, Serialize};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;

/// One transaction that was charged: executed, or failed after its fee was taken. Transactions
/// that could not be charged leave no record, only a receipt of their round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// The transaction as it was sent (wire format of its version).
    pub transaction: Vec<u8>,
    /// Its first signature, which names it.
    pub signature: Signature,
    /// Slot in which it was executed.
    pub slot: u64,
    /// Position among the transactions of the slot, from 0.
    pub index: u32,
    /// What it came to.
    pub status: TransactionResult<()>,
    /// Lamports charged: base fee and priority fee.
    pub fee: u64,
    /// Compute units that were used.
    pub units: u64,
    /// Bytes of account data that were loaded, as the loaded-data limit counts them.
    pub loaded_bytes: u32,
    /// Log lines, the last of them `Log truncated` where the limit was reached.
    pub logs: Vec<String>,
    /// Instructions that programs called, by the top-level instruction they belong to.
    pub inner: Vec<InnerInstructions>,
    /// What the last program to set return data returned.
    pub returned: Option<ReturnData>,
    /// All accounts of the transaction in message order: static keys, then loaded writable, then
    /// loaded read-only.
    pub keys: Vec<Pubkey>,
    /// How many of `keys` are static.
    pub static_keys: u16,
    /// How many of `keys`, after the static ones, were loaded as writable.
    pub loaded_writable: u16,
    /// Lamports of each of `keys` before.
    pub balances_before: Vec<u64>,
    /// Lamports of each of `keys` after.
    pub balances_after: Vec<u64>,
    /// Token accounts among `keys` before.
    pub tokens_before: Vec<TokenBalance>,
    /// Token accounts among `keys` after.
    pub tokens_after: Vec<TokenBalance>,
    /// Accounts that were written, in message order.
    pub written: Vec<Pubkey>,
    /// What it cost its slot: compute units, signatures and write locks.
    pub work: u64,
    /// Bit `i`: whether `keys[i]` was locked for writing.
    pub locked: u128,
}

impl TransactionRecord {
    /// Whether the account at this position of `keys` was locked for writing.
    pub fn is_locked_for_writing(&self, index: usize) -> bool {
        is_set(self.locked, index)
    }

    /// Keys of accounts that address lookup tables gave as writable.
    pub fn loaded_writable_keys(&self) -> &[Pubkey] {
        let start = usize::from(self.static_keys).min(self.keys.len());
        let end = (start + usize::from(self.loaded_writable)).min(self.keys.len());
        &self.keys[start..end]
    }

    /// Keys of accounts that address lookup tables gave as read-only.
    pub fn loaded_readonly_keys(&self) -> &[Pubkey] {
        let start = usize::from(self.static_keys) + usize::from(self.loaded_writable);
        &self.keys[start.min(self.keys.len())..]
    }
}

/// Whether a bit is set. There are none beyond the last.
pub(crate) fn is_set(bits: u128, index: usize) -> bool {
    let bit = u32::try_from(index)
        .ok()
        .and_then(|index| 1u128.checked_shl(index));
    bit.is_some_and(|bit| bits & bit != 0)
}

/// What one top-level instruction called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerInstructions {
    /// Index of the top-level instruction.
    pub index: u8,
    /// The calls in order of their start.
    pub instructions: Vec<InnerInstruction>,
}

/// One call from a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerInstruction {
    /// Position of the program in the transaction's keys.
    pub program: u8,
    /// Positions of the accounts.
    pub accounts: Vec<u8>,
    /// The data.
    pub data: Vec<u8>,
    /// Depth: 2 for what a top-level instruction calls.
    pub stack_height: u8,
}

/// Data that a program returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnData {
    /// The program.
    pub program: Pubkey,
    /// At most 1,024 bytes.
    pub data: Vec<u8>,
}

/// What a token account held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBalance {
    /// Position of the token account in the transaction's keys.
    pub account: u8,
    /// Its mint.
    pub mint: Pubkey,
    /// Its owner.
    pub owner: Pubkey,
    /// The token program.
    pub program: Pubkey,
    /// Units held.
    pub amount: u64,
    /// Decimals of the mint.
    pub decimals: u8,
}

/// What one round did: the part of a block that one state leaf holds. It is encoded as one byte
/// string, in a form of its own that leaves out what is said twice: the slot of the records, which is
/// the part's, and their indexes, which follow from that of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPart {
    /// The slot.
    pub slot: u64,
    /// The round.
    pub round: u64,
    /// Agreed time of the round, nanoseconds since 1970.
    pub time: u64,
    /// Transactions in the order of the batch, without those that could not be charged.
    pub transactions: Vec<TransactionRecord>,
}

/// A slot in which there was at least one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockHeader {
    /// The slot. The height of a block is its slot: every slot counts for the age of blockhashes.
    pub slot: u64,
    /// The slot before it in which there was a round.
    pub parent: u64,
    /// The hash by which transactions name it. It is final: a slot gets its hash when the next one
    /// begins.
    pub blockhash: Hash,
    /// Hash of the parent.
    pub previous_blockhash: Hash,
    /// Agreed time of its first round, seconds since 1970.
    pub time: i64,
    /// Transactions in it.
    pub transactions: u64,
    /// Lamports of all fees of the slot that went to the identity (not burnt).
    pub rewards: u64,
    /// Lamports the identity had afterwards.
    pub rewards_balance: u64,
}
