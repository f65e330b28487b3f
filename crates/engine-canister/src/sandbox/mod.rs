//! An [`Executor`] whose work is done in jailed processes.
//!
//! Untrusted Wasm runs in a process that can reach nothing but the memory it was passed, one
//! process for each canister; modules are compiled in processes of their own, one for each module.
//! This module knows processes, frames and caches. It does not know what a message does: requests
//! and results pass through in the form of [`crate::executor::wire`].
//!
//! Invariants:
//! - No process serves two canisters, or two modules of one.
//! - A sandbox cannot change what it was passed, nor what it has answered.
//! - A result is used only after it passed the checks of `validate`; whatever fails here is a
//!   [`Fault`] of this node, never an outcome. After a fault the process is killed.
//! - Clocks are used to notice sandboxes that hang, far above the time that any slice takes, and
//!   decide nothing else.

mod cache;
pub mod desk;

mod execution;
mod files;
mod frame;
mod local_desk;
mod metrics;
mod policy;
mod pool;
mod process;
mod role;
mod validate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
pub use trilith_jail::Requirement;
use trilith_jail::own_executable;
use trilith_protocol::Fault;

use self::cache::{CODE_BYTES_MAX, Cache, Compiled, Found};
use self::execution::SandboxedExecution;
use self::files::Readers;
pub use self::frame::{Request, Response};
use self::metrics::Counters;
pub use self::metrics::SandboxMetrics;
use self::pool::Pool;
use self::process::{Process, only_file};
pub use self::role::{
    BEST_EFFORT_ARGUMENT, COMPILE_ARGUMENT, EXECUTE_ARGUMENT, REQUIRED_ARGUMENT, ROLE_ARGUMENT,
    role_main, role_main_with, run_role_if_asked,
};
use crate::api::{Execution, ExecutionRequest, Executor, ModuleHash, PrepareError, PreparedModule};
use crate::executor::wire;

/// How a node runs its sandboxes. Nothing of it reaches an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The executable that becomes a sandbox when its first argument (after `arguments`) is
    /// [`ROLE_ARGUMENT`]; see [`run_role_if_asked`].
    pub executable: PathBuf,
    /// Arguments before [`ROLE_ARGUMENT`]; none for an executable that looks at the first.
    pub arguments: Vec<OsString>,
    /// Processes kept ready for canisters that have none.
    pub warm: usize,
    /// Most processes that belong to canisters, busy ones included. At least 1 and above the
    /// number of executions that are paused at a time.
    pub live_max: usize,
    /// Names the compiler and its settings. Compiled modules of another fingerprint are not used.
    pub fingerprint: Vec<u8>,
    /// Folder of compiled modules. No one but the node may be able to write there.
    pub cache_dir: PathBuf,
    /// Most bytes of compiled code kept in memory for modules that nobody holds.
    pub code_bytes_max: u64,
    /// Whether sandboxes start on a host that lacks some of the isolation.
    pub requirement: Requirement,
    /// Wall-clock time after which a slice counts as hung. Also bounds waiting for a process.
    pub slice_watchdog: Duration,
    /// Wall-clock time after which compiling a module counts as hung.
    pub compile_watchdog: Duration,
}

impl SandboxConfig {
    /// Sandboxes of the running executable with the cache in `cache_dir`, and defaults for one
    /// node on one machine.
    pub fn new(cache_dir: PathBuf, requirement: Requirement) -> Self {
        Self {
            executable: own_executable(),
            arguments: Vec::new(),
            warm: 2,
            live_max: 128,
            fingerprint: local_desk::local_fingerprint(),
            cache_dir,
            code_bytes_max: 1 << 30,
            requirement,
            slice_watchdog: Duration::from_secs(60),
            compile_watchdog: Duration::from_secs(600),
        }
    }

    fn requirement_name(&self) -> &'static str {
        match self.requirement {
            Requirement::Required => REQUIRED_ARGUMENT,
            Requirement::BestEffort => BEST_EFFORT_ARGUMENT,
        }
    }
}

/// Runs canisters in jailed processes; see the module.
pub struct SandboxedExecutor {
    slice_watchdog: Duration,
    compile_watchdog: Duration,
    pool: Pool,
    cache: Cache,
    /// Held while compiling, so that a module that two callers want is compiled once, and that
    /// compilers do not take the processors from executions.
    compiling: Mutex<()>,
    counters: Arc<Counters>,
    /// Names versions of memories across all sandboxes.
    versions: Arc<AtomicU64>,
    readers: Readers,
}

impl SandboxedExecutor {
    /// Starts the first sandbox and opens the cache.
    ///
    /// # Errors
    /// [`Fault`] if this host cannot run sandboxes as required, or the cache cannot be opened.
    pub fn new(config: SandboxConfig) -> Result<Self, Fault> {
        let counters = Arc::new(Counters::default());
        let cache = Cache::open(
            &config.cache_dir,
            &config.fingerprint,
            config.code_bytes_max,
        )
        .map_err(|error| {
            let path = config.cache_dir.display();
            Fault(format!(
                "the cache of compiled modules at {path} cannot be opened: {error}"
            ))
        })?;
        Ok(Self {
            slice_watchdog: config.slice_watchdog,
            compile_watchdog: config.compile_watchdog,
            pool: Pool::start(config, counters.clone())?,
            cache,
            compiling: Mutex::new(()),
            counters,
            versions: Arc::new(AtomicU64::new(0)),
            readers: Readers::default(),
        })
    }

    /// The counters.
    pub fn metrics(&self) -> SandboxMetrics {
        self.counters.read()
    }

    /// Process ids of all sandboxes that run nothing now, each that of its warden.
    pub fn resting_processes(&self) -> Vec<u32> {
        self.pool.resting()
    }

    /// Finds a module in the cache, and counts where.
    fn find(&self, hash: &ModuleHash) -> Option<Arc<Compiled>> {
        let (compiled, found) = self.cache.find(hash)?;
        match found {
            Found::InMemory => self.counters.memory_hits.increment(),
            Found::OnDisk => self.counters.disk_hits.increment(),
        }
        Some(compiled)
    }

    fn compile(&self, hash: ModuleHash, wasm: &[u8]) -> Result<Arc<Compiled>, PrepareError> {
        let mut process = self.pool.compiler().map_err(PrepareError::Fault)?;
        let compiled = self.compile_in(&mut process, hash, wasm);
        if matches!(compiled, Err(PrepareError::Fault(_))) {
            self.counters.faulted.increment();
        }
        // The process saw untrusted bytes, so it never sees another module.
        drop(process);
        Ok(self.cache.insert(hash, compiled?))
    }

    fn compile_in(
        &self,
        process: &mut Process,
        hash: ModuleHash,
        wasm: &[u8],
    ) -> Result<Compiled, PrepareError> {
        let fault = |what: String| PrepareError::Fault(Fault(what));
        let deadline = Instant::now() + self.compile_watchdog;
        let file = files::sealed_copy("module", wasm)
            .map_err(|error| fault(format!("no memory for a module: {error}")))?;
        let request = Request::Compile {
            wasm_bytes: wasm.len() as u64,
        };
        process
            .send(&request, &[Arc::new(file)], deadline)
            .map_err(PrepareError::Fault)?;
        let (response, descriptors) = process.receive(deadline).map_err(PrepareError::Fault)?;
        let (prepared, code_bytes) = match response {
            Response::Compiled {
                prepared,
                code_bytes,
            } => (prepared, code_bytes),
            Response::Invalid { reason } => return Err(PrepareError::Invalid(reason)),
            Response::Failed { reason } => return Err(fault(reason)),
            _ => {
                return Err(fault(
                    "a compiler answered with another kind than asked".into(),
                ));
            }
        };
        self.counters.compiled.increment();
        let prepared = wire::decode_prepared(&prepared)
            .map_err(|error| fault(format!("a compiler described a module wrongly: {error}")))?;
        if prepared.hash != hash || prepared.wasm_bytes != wasm.len() as u64 {
            return Err(fault("a compiler answered for another module".into()));
        }
        if code_bytes > CODE_BYTES_MAX {
            return Err(fault(format!(
                "compiled code of {code_bytes} bytes is over the limit of {CODE_BYTES_MAX}"
            )));
        }
        let code = only_file(descriptors).map_err(PrepareError::Fault)?;
        files::seal(&code).map_err(|error| fault(format!("compiled code is open: {error}")))?;
        Ok(Compiled {
            prepared: Arc::new(prepared),
            code: Arc::new(code),
            code_bytes,
        })
    }
}

impl Executor for SandboxedExecutor {
    fn prepare(&self, wasm: &Arc<Vec<u8>>) -> Result<Arc<PreparedModule>, PrepareError> {
        let hash: ModuleHash = Sha256::digest(wasm.as_slice()).into();
        if let Some(compiled) = self.find(&hash) {
            return Ok(compiled.prepared.clone());
        }
        let _one_at_a_time = self
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have compiled it meanwhile.
        let compiled = match self.find(&hash) {
            Some(compiled) => compiled,
            None => self.compile(hash, wasm)?,
        };
        Ok(compiled.prepared.clone())
    }

    fn start(
        &self,
        module: &Arc<PreparedModule>,
        request: ExecutionRequest,
    ) -> Result<Box<dyn Execution>, Fault> {
        let (compiled, _) = self.cache.find(&module.hash).ok_or_else(|| {
            Fault("the compiled code of a prepared module is gone; prepare it again".into())
        })?;
        let outer = request.memory_version;
        let lease = self.pool.lease(request.canister, module.hash, outer)?;
        let versions = self.versions.clone();
        let watchdog = self.slice_watchdog;
        Ok(Box::new(SandboxedExecution::start(
            lease,
            &compiled,
            request,
            versions,
            &self.readers,
            watchdog,
        )?))
    }
}

/// Feeds `input` to the decoders of this module; for the fuzzer. Says how many accepted it.
pub fn decode_anything(input: &[u8]) -> usize {
    let accepted = [
        Request::decode(input).is_ok(),
        Response::decode(input).is_ok(),
        trilith_jail::decode_readiness(input).is_ok(),
    ];
    accepted.into_iter().filter(|accepted| *accepted).count()
}
