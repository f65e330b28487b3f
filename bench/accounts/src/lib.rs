//! The account engine beside LiteSVM: the same transactions through both, compared in `tests/` and
//! timed by the program `accounts-bench`.
//!
//! Ours is an instance of `trilith-local`, which is the engine that nodes execute. Theirs is a
//! LiteSVM with the same gates, accounts, sysvars and blockhashes.

pub mod deploy;
pub mod instructions;
pub mod random;
pub mod schedule;
pub mod sides;
#[path = "../../../crates/engine-account/tests/bank/wire.rs"]
#[allow(dead_code, reason = "shared with the engine's tests")]
pub(crate) mod wire;

use ed25519_dalek::SigningKey;
use solana_pubkey::Pubkey;

/// A key pair that is the same in every run.
pub fn keypair(seed: u16) -> SigningKey {
    wire::keypair(seed)
}

/// Its public key.
pub fn key(seed: u16) -> Pubkey {
    wire::key(&wire::keypair(seed))
}
