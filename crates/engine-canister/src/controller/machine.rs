//! Running Wasm through the executor: prepared modules, requests, slices, and the second attempt
//! after a fault of this node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candid::Principal;
use trilith_protocol::Fault;
use trilith_types::{Image, PAGE_BYTES};

use super::price;
use super::record::{Code, Frozen, Module};
use crate::api::{
    CallMode, CallerInfo, EntryPoint, Environment, Execution, ExecutionRequest, ExecutionResult,
    Executor, PrepareError, PreparedModule, Slice,
};

/// Prepared modules that are kept at hand.
const MODULES_MAX: usize = 512;
/// Pages (4 KiB) in a Wasm page.
pub(crate) const PAGES_PER_WASM_PAGE: u64 = price::WASM_PAGE_BYTES / PAGE_BYTES as u64;

/// Prepared modules by the hash under which clients know them.
#[derive(Default)]
pub(crate) struct Modules {
    prepared: Mutex<BTreeMap<[u8; 32], Arc<PreparedModule>>>,
}

impl Modules {
    /// The module of `code`, from the cache or prepared from its image.
    pub(crate) fn get(
        &self,
        executor: &dyn Executor,
        module: &Module,
        image: impl FnOnce() -> Result<Image, Fault>,
    ) -> Result<Arc<PreparedModule>, Fault> {
        if let Some(found) = self.lock().get(&module.sent_hash) {
            return Ok(found.clone());
        }
        let bytes = module_bytes(&image()?, module.bytes)?;
        let prepared = executor.prepare(&bytes).map_err(|error| match error {
            PrepareError::Fault(fault) => fault,
            PrepareError::Invalid(why) => {
                Fault(format!("an installed module became invalid: {why}"))
            }
        })?;
        self.put(module.sent_hash, prepared.clone());
        Ok(prepared)
    }

    pub(crate) fn put(&self, hash: [u8; 32], prepared: Arc<PreparedModule>) {
        let mut modules = self.lock();
        if modules.len() >= MODULES_MAX {
            modules.pop_first();
        }
        modules.insert(hash, prepared);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Arc<PreparedModule>>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where and with what a canister is entered.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) entry: EntryPoint,
    pub(crate) mode: CallMode,
    pub(crate) caller: Principal,
    pub(crate) caller_info: Option<Arc<CallerInfo>>,
    pub(crate) argument: Arc<Vec<u8>>,
    pub(crate) reject: Option<(u32, String)>,
    pub(crate) method: String,
    pub(crate) deadline: u64,
    pub(crate) refunded: u128,
    pub(crate) instructions_max: u64,
    pub(crate) keep_changes: bool,
}

impl Entry {
    /// An entry without argument, by nobody.
    pub(crate) fn plain(entry: EntryPoint, mode: CallMode) -> Self {
        Self {
            entry,
            mode,
            caller: Principal::management_canister(),
            caller_info: None,
            argument: Arc::default(),
            reject: None,
            method: String::new(),
            deadline: 0,
            refunded: 0,
            instructions_max: price::MESSAGE_INSTRUCTIONS,
            keep_changes: true,
        }
    }
}

/// The memory a message starts with.
pub(crate) struct Memory<'a> {
    pub(crate) code: &'a Code,
    pub(crate) heap: &'a Image,
    pub(crate) stable: &'a Image,
    pub(crate) version: Option<u64>,
}

/// What does not change from message to message.
pub(crate) struct Surroundings<'a> {
    pub(crate) canister: Principal,
    pub(crate) subnet: Principal,
    pub(crate) root_key: &'a [u8],
    pub(crate) data_certificate: Option<Vec<u8>>,
}

/// The request of a message.
pub(crate) fn request(
    around: &Surroundings<'_>,
    memory: &Memory<'_>,
    entry: &Entry,
    frozen: &Frozen,
) -> Result<ExecutionRequest, Fault> {
    let code = memory.code;
    for (image, pages) in [
        (memory.heap, code.heap_pages),
        (memory.stable, code.stable_pages),
    ] {
        if image.pages() != pages * PAGES_PER_WASM_PAGE {
            let (found, id) = (image.pages(), around.canister);
            let expected = pages * PAGES_PER_WASM_PAGE;
            return Err(Fault(format!(
                "a memory of {id} has {found} pages, its record says {expected}"
            )));
        }
    }
    Ok(ExecutionRequest {
        canister: around.canister,
        entry: entry.entry.clone(),
        mode: entry.mode,
        caller: entry.caller,
        caller_info: entry.caller_info.clone(),
        argument: entry.argument.to_vec(),
        reject: entry.reject.clone(),
        method_name: entry.method.clone(),
        deadline: entry.deadline,
        answered: frozen.answered,
        cycles_available: frozen.cycles_available,
        cycles_refunded: entry.refunded,
        balance: frozen.balance,
        balance_floor: frozen.floor,
        call_fees: price::call_fees(code.module.memory64),
        calls_max: u32::try_from(frozen.calls_max).unwrap_or(u32::MAX),
        environment: Environment {
            time_nanos: frozen.time,
            subnet: around.subnet,
            subnet_nodes: frozen.subnet_nodes,
            root_key: around.root_key.to_vec(),
            status: frozen.status as u32,
            version: frozen.version,
            controllers: frozen.controllers.clone(),
            variables: frozen.variables.clone(),
            data_certificate: around.data_certificate.clone(),
            context_instructions: frozen.context_instructions,
            other_memory_bytes: frozen.other_memory,
            global_timer: frozen.global_timer,
        },
        globals: code.globals.clone(),
        heap: memory.heap.clone(),
        heap_wasm_pages: code.heap_pages,
        heap_wasm_pages_max: frozen.heap_pages_max,
        stable: memory.stable.clone(),
        stable_wasm_pages: code.stable_pages,
        stable_wasm_pages_max: frozen.stable_pages_max,
        memory_version: memory.version,
        write_data_segments: code.fresh,
        instructions_max: entry.instructions_max,
        slice_instructions: price::SLICE_INSTRUCTIONS,
        keep_changes: entry.keep_changes,
    })
}

/// Starts an execution. An executor may have dropped a module's code to make room; then the module
/// is prepared again from its image.
pub(crate) fn start(
    executor: &dyn Executor,
    module: &Arc<PreparedModule>,
    bytes: &dyn Fn() -> Result<Arc<Vec<u8>>, Fault>,
    request: &dyn Fn() -> Result<ExecutionRequest, Fault>,
) -> Result<Box<dyn Execution>, Fault> {
    executor
        .start(module, request()?)
        .or_else(|fault| match executor.prepare(&bytes()?) {
            Ok(again) => executor.start(&again, request()?),
            Err(PrepareError::Fault(fault)) => Err(fault),
            Err(PrepareError::Invalid(_)) => Err(fault),
        })
}

/// The bytes of a module from its image.
pub(crate) fn module_bytes(image: &Image, len: u64) -> Result<Arc<Vec<u8>>, Fault> {
    let bytes = image.read(0, len as usize);
    bytes
        .map(Arc::new)
        .map_err(|error| Fault(format!("cannot read a module: {error}")))
}

/// How far a message came.
pub(crate) enum Advance {
    /// It is not finished.
    Paused(Box<dyn Execution>),
    /// It ended; how many whole slices it used before the last.
    Finished(Box<ExecutionResult>, u64),
}

/// Runs a message that has used `done` slices for at most `more`. `live` is its execution if this
/// node still has it; without it the message is run from its start. After a fault it is run from
/// its start once more.
pub(crate) fn advance(
    start: &mut dyn FnMut() -> Result<Box<dyn Execution>, Fault>,
    live: Option<Box<dyn Execution>>,
    done: u64,
    more: u64,
) -> Result<Advance, Fault> {
    let first = match live {
        Some(execution) => run(Ok(execution), done, done, more),
        None => run(start(), 0, done, more),
    };
    match first {
        Err(fault) => {
            tracing::warn!(%fault, "an execution failed on this node and is run again from its start");
            run(start(), 0, done, more)
        }
        finished => finished,
    }
}

fn run(
    execution: Result<Box<dyn Execution>, Fault>,
    mut used: u64,
    done: u64,
    more: u64,
) -> Result<Advance, Fault> {
    let mut execution = execution?;
    let until = done.saturating_add(more);
    while used < until {
        match execution.run_slice()? {
            Slice::Paused => used += 1,
            Slice::Finished(_) if used < done => {
                let fault =
                    format!("a message ended after {used} slices, the state records {done}");
                return Err(Fault(fault));
            }
            Slice::Finished(result) => return Ok(Advance::Finished(result, used)),
        }
    }
    Ok(Advance::Paused(execution))
}
