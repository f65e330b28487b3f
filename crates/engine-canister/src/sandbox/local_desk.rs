//! The product's desks: the compiler, and the executor that runs in this process.

use trilith_protocol::Fault;

use super::desk::{Compilation, CompileDesk, Desks};
use crate::executor::wire::encode_prepared;
use crate::wasm::{self, CompiledError};

impl Desks {
    /// The desks of the product.
    pub fn local() -> Self {
        Self {
            execute: |_| Err(Fault("this build has no executor".into())),
            compile: || Ok(Box::new(LocalCompiler)),
        }
    }
}

/// Names the compiler and its settings, for the cache.
pub(super) fn local_fingerprint() -> Vec<u8> {
    wasm::fingerprint().into_bytes()
}

struct LocalCompiler;

impl CompileDesk for LocalCompiler {
    fn compile(&mut self, wasm: &[u8]) -> Result<Compilation, Fault> {
        match wasm::compile(wasm) {
            Ok((prepared, compiled)) => Ok(Compilation::Done {
                prepared: encode_prepared(&prepared),
                code: compiled.to_bytes(),
            }),
            Err(CompiledError::Invalid(reason)) => Ok(Compilation::Invalid(reason)),
            Err(error @ CompiledError::Compiler(_)) => Err(Fault(error.to_string())),
        }
    }
}
