//! Rounds of the account engine over a real store, on two replicas that must agree.

mod errors;
mod harness;
mod history;
mod pool;
mod precompiles;
mod programs;
mod random;
mod refusals;
mod splits;
mod today;
mod transfers;
mod wire;
