//! The root runtime: elections, commitments, finalisation.
//!
//! Every validator executes it on the same ordered blocks. It is a [`trilith_protocol::Runtime`]
//! like any other: a pure function of state, batch and context, whose state is key-value entries.
//! A block is executed in three steps:
//!
//! ```text
//! begin:  at the first height of an epoch, elect a committee for every runtime, drop what was
//!         committed for the running round, and write an EpochTransition block
//! inputs: each transaction takes effect as a whole, or is rejected without effect
//! end:    for every runtime, process the pool of commitments: finalise, declare a discrepancy,
//!         fail the round, or wait
//! ```
//!
//! It knows no engine and trusts none: an outcome is known to it only through commitments. It must
//! not look at a clock (time comes with the block) or hold anything that could change an outcome
//! (its cache holds bytes of the very state it is asked to continue).
//!
//! What it does is divided into services, a folder each: `beacon`, `staking`, `registry`,
//! `keymanager`, `scheduler`, `roothash`, `governance`. A service has keys of its own in the state,
//! methods of signed transactions, errors of its own module, and events. See `scope` for what a service may do, and `transaction` for how a
//! transaction comes to a method.
//!
//! Source: Oasis Core `roothash`, `scheduler`, `beacon`, `staking`; deviations stand at the items.

pub mod beacon;
mod genesis;
pub mod governance;
mod invariants;
pub mod keymanager;
mod ledger;
mod overlay;
mod parameters;
mod refusal;
pub mod registry;
pub mod roothash;
mod runtime;
pub mod scheduler;
mod scope;
pub mod staking;
pub mod state;
mod transaction;

pub use genesis::{export, export_genesis, genesis_write_log};
pub use invariants::{check, check_genesis};
pub use roothash::{EvidenceRule, MODULE, Rejection, pool};
pub use runtime::Root;
pub use transaction::{MODULE as TRANSACTION_MODULE, TransactionError};

pub(crate) use refusal::Refusal;
