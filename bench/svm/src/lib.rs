//! The account engine held against the harness and the tests that `solana-svm` ships with.

pub mod bank;
pub mod cases;
pub mod harness;
pub mod rent;
pub mod state;
mod transaction;

#[allow(dead_code)]
#[path = "../../../crates/engine-account/tests/bank/sbpf.rs"]
pub mod sbpf;
