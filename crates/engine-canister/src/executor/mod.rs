//! Runs messages: the system interface, memories and slices.
//!
//! [`LocalExecutor`] does so in this process. In the product that process is a jailed one; tests
//! use it directly and so have no isolation. It knows modules and requests, never the state: what a
//! message may see is in its request, what it did is in its result.
//!
//! Invariant: a result depends on the module and the request alone, not on what is cached here, on
//! the length of slices, on the machine or on the clock.

mod heap;
mod heaps;
mod memory;
mod pagemap;
mod pages;
mod run;
mod slices;
mod stable;
mod system;
pub mod wire;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use trilith_protocol::Fault;
use wasmtime::{Engine, InstancePre, Linker, Module};

pub use self::pagemap::Pagemap;

use self::heaps::Heaps;
use self::memory::Memories;
use self::system::State;
use crate::api::{Execution, ExecutionRequest, Executor, ModuleHash, PrepareError, PreparedModule};
use crate::wasm::{self, Compiled, CompiledError};

/// What a [`LocalExecutor`] may use. None of it reaches a result.
pub struct ExecutorConfig {
    /// How written pages are found.
    pub pagemap: Pagemap,
    /// Most compiled modules kept, at least 1. Modules whose [`PreparedModule`] is held elsewhere
    /// are kept beyond that.
    pub modules_max: usize,
    /// Most memories kept mapped between messages; 0 keeps none.
    pub memories_max: usize,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            pagemap: Pagemap::open(),
            modules_max: 64,
            memories_max: 64,
        }
    }
}

/// Runs messages in this process.
pub struct LocalExecutor {
    engine: Engine,
    linker32: Linker<State>,
    linker64: Linker<State>,
    modules: Mutex<Modules>,
    modules_max: usize,
    heaps: Arc<Heaps>,
}

/// Loaded modules and when each was used last.
#[derive(Default)]
struct Modules {
    loaded: BTreeMap<ModuleHash, (u64, Arc<Loaded>)>,
    uses: u64,
}

/// A module that can be run.
struct Loaded {
    prepared: Arc<PreparedModule>,
    instance: InstancePre<State>,
    segments: Vec<(u64, Vec<u8>)>,
}

impl LocalExecutor {
    /// An executor without modules.
    ///
    /// # Errors
    /// [`Fault`] if this machine cannot run compiled Wasm.
    pub fn new(config: ExecutorConfig) -> Result<Self, Fault> {
        let settings = wasm::config(Some(Arc::new(Memories))).map_err(fault)?;
        let engine = Engine::new(&settings).map_err(fault)?;
        let link = |memory64| {
            let mut linker = Linker::new(&engine);
            system::link(&mut linker, memory64).map_err(fault)?;
            Ok::<_, Fault>(linker)
        };
        Ok(Self {
            linker32: link(false)?,
            linker64: link(true)?,
            engine,
            modules: Mutex::default(),
            modules_max: config.modules_max.max(1),
            heaps: Arc::new(Heaps::new(config.pagemap, config.memories_max)),
        })
    }

    /// Takes a module that was compiled elsewhere, by [`wasm::compile`] of this very build. Native
    /// code is trusted entirely: bytes that anyone else could have written must not come here.
    ///
    /// # Errors
    /// [`Fault`] if the code is of another version or damaged.
    pub fn load(&self, prepared: Arc<PreparedModule>, compiled: Compiled) -> Result<(), Fault> {
        self.insert(prepared, compiled).map(|_| ())
    }

    fn insert(
        &self,
        prepared: Arc<PreparedModule>,
        compiled: Compiled,
    ) -> Result<Arc<Loaded>, Fault> {
        let module = deserialize(&self.engine, &compiled.code)?;
        let linker = if prepared.memory64 {
            &self.linker64
        } else {
            &self.linker32
        };
        let instance = linker.instantiate_pre(&module).map_err(fault)?;
        let loaded = Arc::new(Loaded {
            prepared,
            instance,
            segments: compiled.segments,
        });
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.uses += 1;
        let uses = modules.uses;
        modules
            .loaded
            .insert(loaded.prepared.hash, (uses, loaded.clone()));
        // A module that somebody still holds is about to be run and must stay.
        while modules.loaded.len() > self.modules_max {
            let unused = modules
                .loaded
                .iter()
                .filter(|(_, (_, loaded))| Arc::strong_count(&loaded.prepared) == 1)
                .min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = unused.map(|(hash, _)| *hash) else {
                break;
            };
            modules.loaded.remove(&oldest);
        }
        Ok(loaded)
    }

    fn find(&self, hash: &ModuleHash) -> Option<Arc<Loaded>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.uses += 1;
        let uses = modules.uses;
        let (used, loaded) = modules.loaded.get_mut(hash)?;
        *used = uses;
        Some(loaded.clone())
    }
}

impl Executor for LocalExecutor {
    fn prepare(&self, wasm: &Arc<Vec<u8>>) -> Result<Arc<PreparedModule>, PrepareError> {
        let hash: ModuleHash = <sha2::Sha256 as sha2::Digest>::digest(wasm.as_slice()).into();
        if let Some(loaded) = self.find(&hash) {
            return Ok(loaded.prepared.clone());
        }
        let (prepared, compiled) = wasm::compile(wasm).map_err(|error| match error {
            CompiledError::Invalid(reason) => PrepareError::Invalid(reason),
            CompiledError::Compiler(_) => PrepareError::Fault(Fault(error.to_string())),
        })?;
        let loaded = self
            .insert(Arc::new(prepared), compiled)
            .map_err(PrepareError::Fault)?;
        Ok(loaded.prepared.clone())
    }

    fn start(
        &self,
        module: &Arc<PreparedModule>,
        request: ExecutionRequest,
    ) -> Result<Box<dyn Execution>, Fault> {
        let loaded = self
            .find(&module.hash)
            .ok_or_else(|| Fault("the module is no longer loaded; prepare it again".into()))?;
        let execution = run::start(&self.engine, &loaded, &self.heaps, request)?;
        Ok(Box::new(execution))
    }
}

/// Makes a module of native code.
#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> Result<Module, Fault> {
    // SAFETY: the bytes come from `wasm::compile` of this build only, as `LocalExecutor::load`
    // demands of its callers; wasmtime checks version and settings.
    unsafe { Module::deserialize(engine, code) }.map_err(fault)
}

fn fault(error: wasmtime::Error) -> Fault {
    Fault(format!("{error:#}"))
}
