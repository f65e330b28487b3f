//! From the bytes of a module to code that can be run: validation, instrumentation, compilation.
//!
//! Knows WebAssembly and the system interface's signatures; knows nothing of messages, memories or
//! cycles. All of it is a function of the module's bytes and the constants here, so two processes
//! of one build agree, and one may compile for the other.

mod compile;
mod complexity;
pub(crate) mod globals;
pub mod imports;
pub(crate) mod instrument;
pub mod price;
pub(crate) mod validate;

pub use compile::{Compiled, CompiledError, compile, config, fingerprint};
pub(crate) use compile::{MEMORY_GUARD_BYTES, MEMORY_RESERVATION_BYTES};
pub use trilith_params::wasm::{MODULE_BYTES_MAX, WASM_PAGE_BYTES};

use crate::api::PreparedModule;

/// Validates a module without compiling it.
///
/// # Errors
/// A message with fact, value and limit if the module breaks a rule.
pub fn validate(wasm: &[u8]) -> Result<PreparedModule, String> {
    validate::check(wasm).map(|checked| checked.prepared)
}

/// Validates and instruments a module: what [`compile`] hands to the compiler. For tests and for
/// looking at the result with other tools.
///
/// # Errors
/// As [`validate`].
pub fn instrument(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let checked = validate::check(wasm)?;
    instrument::rewrite(wasm, &checked)
}
