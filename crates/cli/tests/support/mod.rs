//! A node as a process of its own, and clients that talk to it from outside.
//!
//! Nothing here knows what the node is made of: tests start the built binary, read its banner and
//! use its public interface. The root key that certificates are held against is the one of the
//! banner, not one that the interface hands out.

// Every test binary includes this module and uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod http;
pub mod modules;
pub mod process;
pub mod user;

pub use client::Client;
pub use process::Node;
pub use user::User;

/// A counter in heap memory, one nat32.
pub const WAT_COUNTER: &[u8] = include_bytes!("../../../../canisters/wat/counter.wasm");
/// Calls other canisters; arguments and replies are raw bytes.
pub const WAT_CALLER: &[u8] = include_bytes!("../../../../canisters/wat/caller.wasm");
/// Long loops and deep recursion.
pub const WAT_LIMITS: &[u8] = include_bytes!("../../../../canisters/wat/limits.wasm");
/// A counter in stable memory, one nat64.
pub const C_COUNTER: &[u8] = include_bytes!("../../../../canisters/c/counter.wasm");
/// A counter and much more, in Motoko.
pub const MOTOKO_COUNTER: &[u8] = include_bytes!("../../../../canisters/motoko/counter.wasm");
/// The first canister id of a developer network.
pub const FIRST_CANISTER: &str = "rwlgt-iiaaa-aaaaa-aaaaa-cai";
