//! How long one update of a counter takes in process, on a heap of 64 MiB that is all in use.

use std::sync::Arc;

use candid::Principal;
use criterion::{Criterion, criterion_group, criterion_main};
use trilith_engine_canister::api::{
    CallFees, CallMode, EntryPoint, Environment, ExecutionRequest, ExecutionResult, Executor,
    PreparedModule, Slice,
};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_types::Image;

const COUNTER: &str = r#"(module
  (memory 1024)
  (func (export "canister_init")
    (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864)))
  (func (export "canister_update inc")
    (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1)))))"#;

fn request(entry: EntryPoint, mode: CallMode) -> ExecutionRequest {
    let nobody = Principal::anonymous();
    ExecutionRequest {
        canister: nobody,
        entry,
        mode,
        caller: nobody,
        caller_info: None,
        argument: Vec::new(),
        reject: None,
        method_name: String::new(),
        deadline: 0,
        answered: false,
        cycles_available: 0,
        cycles_refunded: 0,
        balance: 0,
        balance_floor: 0,
        call_fees: CallFees {
            base: 0,
            per_request_byte: 0,
            response_prepayment: 0,
        },
        calls_max: 0,
        environment: Environment {
            time_nanos: 0,
            subnet: nobody,
            subnet_nodes: 1,
            root_key: Vec::new(),
            status: 1,
            version: 0,
            controllers: Vec::new(),
            variables: Vec::new(),
            data_certificate: None,
            context_instructions: 0,
            other_memory_bytes: 0,
            global_timer: 0,
        },
        globals: Vec::new(),
        heap: Image::default(),
        heap_wasm_pages: 0,
        heap_wasm_pages_max: 65_536,
        stable: Image::default(),
        stable_wasm_pages: 0,
        stable_wasm_pages_max: 0,
        memory_version: None,
        write_data_segments: true,
        instructions_max: 40_000_000_000,
        slice_instructions: 2_000_000_000,
        keep_changes: true,
    }
}

fn run(
    executor: &LocalExecutor,
    module: &Arc<PreparedModule>,
    request: &ExecutionRequest,
) -> ExecutionResult {
    let mut execution = executor.start(module, request.clone()).expect("it starts");
    loop {
        if let Slice::Finished(result) = execution.run_slice().expect("it runs") {
            return *result;
        }
    }
}

fn advance(next: &mut ExecutionRequest, result: &ExecutionResult) {
    let effects = result.end.as_ref().expect("it completes");
    let memory = effects.memory.as_ref().expect("changes are kept");
    next.heap.resize(memory.heap_wasm_pages * 16);
    next.heap_wasm_pages = memory.heap_wasm_pages;
    for run in &memory.heap_runs {
        next.heap.overlay(run.clone());
    }
    next.globals.clone_from(&memory.globals);
    next.memory_version = result.memory_version;
    next.write_data_segments = false;
}

fn counter_update(criterion: &mut Criterion) {
    let executor = LocalExecutor::new(ExecutorConfig::default()).expect("an executor");
    let wasm = Arc::new(wat::parse_str(COUNTER).expect("valid text"));
    let module = executor.prepare(&wasm).expect("a valid module");
    let mut next = request(EntryPoint::Init, CallMode::Init);
    let installed = run(&executor, &module, &next);
    advance(&mut next, &installed);
    next.entry = EntryPoint::Update("inc".into());
    next.mode = CallMode::Update;
    criterion.bench_function("counter update on a 64 MiB heap", |bencher| {
        bencher.iter(|| {
            let result = run(&executor, &module, &next);
            advance(&mut next, &result);
        });
    });
    next.keep_changes = false;
    criterion.bench_function("the same as a query", |bencher| {
        bencher.iter(|| next.memory_version = run(&executor, &module, &next).memory_version);
    });
}

criterion_group!(benches, counter_update);
criterion_main!(benches);
