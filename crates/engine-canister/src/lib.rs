//! The Wasm canister runtime, compatible with the Internet Computer: controller and sandboxed
//! executor.
//!
//! The controller ([`CanisterEngine`]) implements [`trilith_protocol::Runtime`]: it holds canisters,
//! messages and cycles, schedules rounds, and answers queries. It runs no untrusted code; that is
//! the executor's part, behind [`api`].

pub mod api;
pub mod certified;
pub mod controller;
pub mod executor;
pub mod ingress;
pub mod sandbox;
pub mod wasm;

pub use controller::query_format as query;
pub use controller::{CanisterEngine, EngineConfig};
