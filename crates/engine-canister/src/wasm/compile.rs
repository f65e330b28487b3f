//! Compilation, and the artifact that one process compiles and another runs.
//!
//! The artifact holds the active data segments and the native code. It is only ever produced by
//! [`compile`]; a file or message that a process running untrusted code could have written must
//! never be passed to [`Compiled::from_bytes`] and then to the executor.

use std::sync::Arc;

use thiserror::Error;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use wasmtime::{Config, Engine, MemoryCreator, OptLevel, WasmFeatures};

use super::price;
use super::{instrument, validate};
use crate::api::PreparedModule;
use trilith_params::wasm::{HOST_STACK_BYTES, STACK_UNIT_BYTES, STACK_UNITS_MAX};

/// Address space reserved for a memory: 32-bit memories need 4 GiB, 64-bit ones at most 6 GiB.
pub(crate) const MEMORY_RESERVATION_BYTES: u64 = 8 << 30;
/// Inaccessible bytes behind the reservation, so that most bounds checks can be left to the
/// processor.
pub(crate) const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// Version of instrumentation and artifact; part of [`fingerprint`].
const ARTIFACT_VERSION: u32 = 1;

/// Most active data segments of a module (the WebAssembly implementation limit).
const SEGMENTS_MAX: usize = 100_000;

/// A compiled module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Active data segments: offset in memory and bytes, in order.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Native code in wasmtime's serialised form.
    pub code: Vec<u8>,
}

/// Why a module was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompiledError {
    /// It breaks a rule; the message states fact, value and limit.
    #[error("{0}")]
    Invalid(String),
    /// The compiler failed on a module that is valid: a fault of this node.
    #[error("the compiler failed: {0}")]
    Compiler(String),
}

impl Compiled {
    /// The artifact as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .uint(u64::from(ARTIFACT_VERSION))
            .array(self.segments.len());
        for (offset, bytes) in &self.segments {
            encoder.uint(*offset).bytes(bytes);
        }
        encoder.bytes(&self.code);
        encoder.finish()
    }

    /// Reads an artifact.
    ///
    /// # Errors
    /// If the bytes are not an artifact of this version. That the code is what [`compile`] made
    /// cannot be seen here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.uint()? != u64::from(ARTIFACT_VERSION) {
            return Err(DecodeError::Field("artifact version"));
        }
        let count = decoder.array("segments", SEGMENTS_MAX)?;
        let mut segments = Vec::new();
        for _ in 0..count {
            let offset = decoder.uint()?;
            segments.push((offset, decoder.bytes("segment", bytes.len())?.to_vec()));
        }
        let code = decoder.bytes("code", bytes.len())?.to_vec();
        decoder.finish()?;
        Ok(Self { segments, code })
    }
}

/// Validates, instruments and compiles a module.
///
/// # Errors
/// [`CompiledError`].
pub fn compile(wasm: &[u8]) -> Result<(PreparedModule, Compiled), CompiledError> {
    let checked = validate::check(wasm).map_err(CompiledError::Invalid)?;
    let rewritten = instrument::rewrite(wasm, &checked).map_err(CompiledError::Compiler)?;
    let fail = |error: wasmtime::Error| CompiledError::Compiler(format!("{error:#}"));
    let engine = Engine::new(&config(None).map_err(fail)?).map_err(fail)?;
    let code = engine.precompile_module(&rewritten).map_err(fail)?;
    let segments = checked
        .active_data
        .iter()
        .map(|(offset, range)| (*offset, wasm[range.clone()].to_vec()))
        .collect();
    Ok((checked.prepared, Compiled { segments, code }))
}

/// The engine's configuration. Compiling and running use the same; only the process that runs has
/// memories.
///
/// # Errors
/// If wasmtime does not know this machine's architecture.
pub fn config(memories: Option<Arc<dyn MemoryCreator>>) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // Without a target, the compiler would use whatever instructions this processor happens to
    // have, and frames and code would differ from machine to machine.
    config.target(TARGET)?;
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(validate::features(), true);
    config.consume_fuel(true).operator_cost(price::table());
    config.cranelift_nan_canonicalization(true);
    // The optimiser would merge computations and so lengthen frames beyond what stack units count.
    config.cranelift_opt_level(OptLevel::None);
    config.max_wasm_stack(STACK_UNITS_MAX as usize * STACK_UNIT_BYTES);
    config.async_stack_size(STACK_UNITS_MAX as usize * STACK_UNIT_BYTES + HOST_STACK_BYTES);
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    config.memory_may_move(false);
    config.memory_init_cow(false);
    config.guard_before_linear_memory(false);
    if let Some(memories) = memories {
        config.with_host_memory(memories);
    }
    Ok(config)
}

#[cfg(target_arch = "x86_64")]
const TARGET: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Names everything beside the module that decides the artifact: wasmtime's version, the
/// configuration and the instrumentation. Together with the module's hash it is the key under which
/// an artifact may be cached.
pub fn fingerprint() -> String {
    let table = blake3::hash(format!("{:?}", price::table()).as_bytes()).to_hex();
    format!(
        "wasmtime-48.0.8/{TARGET}/artifact-{ARTIFACT_VERSION}/prices-{}",
        &table[..16]
    )
}
