//! Which transactions may run side by side.
//!
//! Two transactions conflict if one writes an account that the other reads or writes. A level
//! holds transactions that do not conflict; conflicting ones are in different levels, in the order
//! of the batch. Running level after level therefore gives what running one after the other gives.

use std::collections::BTreeMap;

use solana_pubkey::Pubkey;

use super::decode::Sanitized;

/// The levels before which an account is free.
#[derive(Clone, Copy, Default)]
struct Busy {
    /// First level after the last that writes it.
    written: usize,
    /// First level after the last that reads it.
    read: usize,
}

/// Positions of the transactions by level, ascending within a level. Positions without a
/// transaction are left out.
pub(crate) fn levels(transactions: &[Option<Sanitized>]) -> Vec<Vec<usize>> {
    let mut busy: BTreeMap<Pubkey, Busy> = BTreeMap::new();
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for (position, transaction) in transactions.iter().enumerate() {
        let Some(transaction) = transaction else {
            continue;
        };
        let message = transaction.message();
        let keys = message.account_keys();
        let level = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let busy = busy.get(key).copied().unwrap_or_default();
                if message.is_writable(index) {
                    busy.written.max(busy.read)
                } else {
                    busy.written
                }
            })
            .max()
            .unwrap_or(0);
        for (index, key) in keys.iter().enumerate() {
            let busy = busy.entry(*key).or_default();
            if message.is_writable(index) {
                busy.written = level + 1;
            } else {
                busy.read = busy.read.max(level + 1);
            }
        }
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        levels[level].push(position);
    }
    levels
}
