//! The Wasm canister runtime: controller and sandboxed executor.

pub mod api;
