//! What a transaction is refused for after its instructions: the harness runs one instruction and
//! does not look at it.
//!
//! Rule: an account that a transaction may write must end without lamports or exempt from rent. It
//! may stay below that only where it did not shrink in lamports, did not grow, and kept its owner
//! (SIMD-0392). Solana's rent of 2026: 5,080 lamports a byte, and 128 bytes an account.

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::incinerator;

const ACCOUNT_BYTES: u64 = 128;
const LAMPORTS_PER_BYTE: u64 = 5_080;

/// Lamports with which an account of so many bytes is exempt.
pub fn exempt(len: usize) -> u64 {
    (ACCOUNT_BYTES + len as u64) * LAMPORTS_PER_BYTE
}

/// Whether an account may become what it became.
pub fn is_allowed(key: &Pubkey, before: &Account, after: &Account, is_relaxed: bool) -> bool {
    let is_exempt = |account: &Account| account.lamports >= exempt(account.data.len());
    if *key == incinerator::ID || after.lamports == 0 || is_exempt(after) {
        return true;
    }
    if is_relaxed {
        return before.lamports > 0
            && after.lamports >= before.lamports
            && before.data.len() >= after.data.len()
            && before.owner == after.owner;
    }
    before.lamports > 0
        && !is_exempt(before)
        && before.data.len() == after.data.len()
        && before.lamports >= after.lamports
}
