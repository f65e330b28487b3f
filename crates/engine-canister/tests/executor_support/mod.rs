//! Builds requests and runs them on an in-process executor, for the executor's tests.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use candid::Principal;
use trilith_engine_canister::api::{
    CallFees, CallMode, Effects, EntryPoint, Environment, ExecutionRequest, ExecutionResult,
    Executor, PreparedModule, Slice, Trap,
};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor, Pagemap};
use trilith_types::Image;

/// An executor with everything on.
pub fn executor() -> LocalExecutor {
    LocalExecutor::new(ExecutorConfig::default()).unwrap()
}

/// An executor that keeps no memories and sees no page table.
pub fn plain_executor() -> LocalExecutor {
    let config = ExecutorConfig {
        pagemap: Pagemap::none(),
        modules_max: 1,
        memories_max: 0,
    };
    LocalExecutor::new(config).unwrap()
}

/// Compiles text and prepares it.
pub fn prepare(executor: &LocalExecutor, wat: &str) -> Arc<PreparedModule> {
    executor
        .prepare(&Arc::new(wat::parse_str(wat).unwrap()))
        .unwrap()
}

/// A request that enters `entry` with plenty of everything and empty memories.
pub fn request(entry: EntryPoint) -> ExecutionRequest {
    let mode = match &entry {
        EntryPoint::Start => CallMode::Start,
        EntryPoint::Init | EntryPoint::PostUpgrade => CallMode::Init,
        EntryPoint::PreUpgrade => CallMode::PreUpgrade,
        EntryPoint::InspectMessage => CallMode::InspectMessage,
        EntryPoint::Query(_) => CallMode::NonReplicatedQuery,
        EntryPoint::CompositeQuery(_) => CallMode::CompositeQuery,
        EntryPoint::Callback { .. } => CallMode::ReplyCallback,
        EntryPoint::Update(_) => CallMode::Update,
        _ => CallMode::SystemTask,
    };
    ExecutionRequest {
        canister: Principal::from_slice(&[1, 2, 3]),
        entry,
        mode,
        caller: Principal::from_slice(&[9, 9]),
        caller_info: None,
        argument: Vec::new(),
        reject: None,
        method_name: String::new(),
        deadline: 0,
        answered: false,
        cycles_available: 0,
        cycles_refunded: 0,
        balance: 1_000_000_000_000,
        balance_floor: 1_000_000,
        call_fees: CallFees {
            base: 260_000,
            per_request_byte: 1_000,
            response_prepayment: 5_000,
        },
        calls_max: 10,
        environment: Environment {
            time_nanos: 1_700_000_000_000_000_000,
            subnet: Principal::from_slice(&[7; 10]),
            subnet_nodes: 13,
            root_key: vec![4; 133],
            status: 1,
            version: 5,
            controllers: vec![Principal::from_slice(&[9, 9])],
            variables: vec![("A".into(), "one".into()), ("B".into(), "two".into())],
            data_certificate: None,
            context_instructions: 1_000,
            other_memory_bytes: 0,
            global_timer: 0,
        },
        globals: Vec::new(),
        heap: Image::default(),
        heap_wasm_pages: 0,
        heap_wasm_pages_max: 65_536,
        stable: Image::default(),
        stable_wasm_pages: 0,
        stable_wasm_pages_max: 65_536 * 8,
        memory_version: None,
        write_data_segments: true,
        instructions_max: 40_000_000_000,
        slice_instructions: 2_000_000_000,
        keep_changes: true,
    }
}

/// Runs to the end; gives the result and the number of slices.
pub fn run_counting(
    executor: &LocalExecutor,
    module: &Arc<PreparedModule>,
    request: ExecutionRequest,
) -> (ExecutionResult, usize) {
    let mut execution = executor.start(module, request).unwrap();
    let mut slices = 1;
    loop {
        match execution.run_slice().unwrap() {
            Slice::Paused => slices += 1,
            Slice::Finished(result) => return (*result, slices),
        }
    }
}

/// Runs to the end.
pub fn run(
    executor: &LocalExecutor,
    module: &Arc<PreparedModule>,
    request: ExecutionRequest,
) -> ExecutionResult {
    run_counting(executor, module, request).0
}

/// Runs an update method of a freshly installed module.
pub fn update(executor: &LocalExecutor, wat: &str, method: &str) -> ExecutionResult {
    let module = prepare(executor, wat);
    run(
        executor,
        &module,
        request(EntryPoint::Update(method.into())),
    )
}

/// The effects of a message that completed.
pub fn effects(result: ExecutionResult) -> Effects {
    *result.end.unwrap()
}

/// The trap of a message that did not.
pub fn trap(result: ExecutionResult) -> Trap {
    result.end.unwrap_err()
}

/// Lays the changes of a message over the request of the next one.
pub fn advance(next: &mut ExecutionRequest, result: &ExecutionResult) {
    let memory = result.end.as_ref().unwrap().memory.as_ref().unwrap();
    next.globals = memory.globals.clone();
    next.heap.resize(memory.heap_wasm_pages * 16);
    next.heap_wasm_pages = memory.heap_wasm_pages;
    for run in &memory.heap_runs {
        next.heap.overlay(run.clone());
    }
    next.stable.resize(memory.stable_wasm_pages * 16);
    next.stable_wasm_pages = memory.stable_wasm_pages;
    for run in &memory.stable_runs {
        next.stable.overlay(run.clone());
    }
    next.memory_version = result.memory_version;
    next.write_data_segments = false;
}
