//! Rounds of the account engine over a real store, on two replicas that must agree.

mod actor;
mod cases;
mod classic;
mod errors;
mod gates;
mod harness;
mod history;
mod hostile;
mod malformed;
mod mixed;
mod oracle;
mod policy;
mod pool;
mod precompiles;
mod programs;
mod random;
mod refusals;
mod sbpf;
mod slots;
mod splits;
mod table;
mod today;
mod transfers;
mod vault;
mod wire;
mod witness;
