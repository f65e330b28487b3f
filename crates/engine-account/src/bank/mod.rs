//! The bank: what a round does to accounts.
//!
//! Knows the ecosystem's transaction processor through [`processor::Processor`] only. Invariants:
//! an outcome depends on view, batch and context alone, whatever the number of threads and
//! whatever is remembered; every round keeps the sum of all lamports, but for what it burns.

pub(crate) mod accounts;
pub(crate) mod budget;
pub(crate) mod chain;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod cost;
pub(crate) mod decode;
pub(crate) mod features;
pub(crate) mod flow;
pub(crate) mod fuzz;
pub(crate) mod genesis;
pub(crate) mod lane;
pub(crate) mod leaf;
pub(crate) mod places;
pub(crate) mod plan;
mod precompile;
pub(crate) mod processor;
pub(crate) mod profile;
pub(crate) mod round;
pub(crate) mod sanitized;
pub(crate) mod statuses;
pub(crate) mod sysvar;
pub(crate) mod table;
pub(crate) mod told;
pub(crate) mod warm;
mod watch;
