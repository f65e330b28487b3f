//! The product's desks: the compiler, and the executor that runs in this process.

use std::fs::File;
use std::sync::Arc;

use trilith_protocol::Fault;
use trilith_types::PageFile;

use super::desk::{Compilation, CompileDesk, Desks, ExecuteDesk, Progress};
use super::files;
use crate::api::{Execution, Executor, PreparedModule, Slice};
use crate::executor::wire::{decode_prepared, decode_request, encode_prepared, encode_result};
use crate::executor::{ExecutorConfig, LocalExecutor, Pagemap};
use crate::wasm::{self, Compiled, CompiledError};

impl Desks {
    /// The desks of the product.
    pub fn local() -> Self {
        Self {
            execute: |pagemap| Ok(Box::new(LocalDesk::new(pagemap)?)),
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

/// One module and at most one execution of it.
struct LocalDesk {
    executor: LocalExecutor,
    module: Option<Arc<PreparedModule>>,
    execution: Option<Box<dyn Execution>>,
}

impl LocalDesk {
    fn new(pagemap: Option<File>) -> Result<Self, Fault> {
        let pagemap = pagemap.map_or_else(Pagemap::none, Pagemap::from_file);
        // One canister and one module; its controller remembers one version of its memory.
        let config = ExecutorConfig {
            pagemap,
            modules_max: 1,
            memories_max: 1,
        };
        Ok(Self {
            executor: LocalExecutor::new(config)?,
            module: None,
            execution: None,
        })
    }
}

impl ExecuteDesk for LocalDesk {
    fn load(&mut self, prepared: &[u8], code: &File, code_bytes: u64) -> Result<(), Fault> {
        let unusable = |error: &dyn std::fmt::Display| {
            Fault(format!("the code of a module is unusable: {error}"))
        };
        let prepared = Arc::new(decode_prepared(prepared).map_err(|error| unusable(&error))?);
        let bytes = files::read_whole(code, code_bytes).map_err(|error| unusable(&error))?;
        let compiled = Compiled::from_bytes(&bytes).map_err(|error| unusable(&error))?;
        self.executor.load(prepared.clone(), compiled)?;
        self.module = Some(prepared);
        Ok(())
    }

    fn start(&mut self, request: &[u8], files: &[PageFile]) -> Result<(), Fault> {
        let Some(module) = &self.module else {
            return Err(Fault("a message came before its module".into()));
        };
        let request = decode_request(request, files)
            .map_err(|error| Fault(format!("a request is malformed: {error}")))?;
        self.execution = Some(self.executor.start(module, request)?);
        Ok(())
    }

    fn run(&mut self) -> Result<Progress, Fault> {
        let Some(mut execution) = self.execution.take() else {
            return Err(Fault("there is no message to go on with".into()));
        };
        match execution.run_slice()? {
            Slice::Paused => {
                self.execution = Some(execution);
                Ok(Progress::Paused)
            }
            Slice::Finished(result) => Ok(Progress::Finished(encode_result(&result))),
        }
    }

    fn abandon(&mut self) {
        self.execution = None;
    }
}
