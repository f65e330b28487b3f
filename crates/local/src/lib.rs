//! Trilith in the process of a test: real programs on real rounds, without a node.
//!
//! ```
//! use solana_pubkey::Pubkey;
//! use trilith_local::Local;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut svm = Local::new();
//! svm.airdrop(&Pubkey::new_from_array([7; 32]), 1_000_000_000)?;
//! assert_eq!(svm.balance(&Pubkey::new_from_array([7; 32])), 1_000_000_000);
//! # Ok(())
//! # }
//! ```
//!
//! An instance executes the account engine that nodes execute, through the same `Runtime` trait,
//! and checks each outcome by the host's rules before it becomes state; the state stands under the
//! same root as on a node's disk ([`memory`]). What is left out is ordering, committees,
//! certificates and the disk. What is added, because tests need it: time that stands still until it
//! is moved, snapshots and forks, state written directly, checks with readable failures, reports of
//! compute units, and a real RPC address for the same instance.
//!
//! Each runtime has a module of its own beside the generic line of rounds; so far there is
//! [`accounts`].
//!
//! Invariant: the same calls give the same state root, whatever the number of threads, whatever is
//! cached, and whatever other instances of the process do.

pub mod accounts;
mod line;
pub mod memory;

pub use accounts::checks::{Differences, Expectation};
pub use accounts::error::{Failed, LocalError};
pub use accounts::rpc::{RpcAddress, Slots};
pub use accounts::sent::Sent;
pub use accounts::snapshot::Snapshot;
pub use accounts::units::{Comparison, UnitReport};
pub use accounts::{Local, Options};
pub use trilith_engine_account::Profile;
