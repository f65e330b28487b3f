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
//! Not here yet: stake, slashing and liveness statistics; registration of nodes and runtimes after
//! genesis; incoming messages; handlers of outgoing messages.
//!
//! Source: Oasis Core `roothash`, `scheduler`, `beacon`; deviations stand at the items.

mod admission;
mod election;
mod ledger;
mod overlay;
pub mod pool;
mod reject;
mod runtime;
pub mod state;

pub use ledger::genesis_write_log;
pub use reject::{MODULE, Rejection};
pub use runtime::Root;
