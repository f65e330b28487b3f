//! What the command `trilith` does, as a library, so that tests can start networks too.
//!
//! The only crate that knows every part: it makes the runtimes, hands them to a node, and puts
//! gateways in front of it. stdout is the result of a command, stderr everything else.

pub mod account;
mod accounts;
mod begin;
pub mod canister;
pub mod committee;
pub mod control;
pub mod demo;
pub mod dev;
pub mod genesis;
pub mod inspect;
pub mod network;
pub mod output;
pub mod root;
pub mod state;
