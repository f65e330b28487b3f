//! How long one update of a counter takes in process, on a heap of 64 MiB that is all in use.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trilith_engine_canister::api::{
    CallMode, EntryPoint, ExecutionRequest, ExecutionResult, Executor, PreparedModule, Slice,
};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};

#[path = "executor/request.rs"]
mod request;

use request::request;

const COUNTER: &str = r#"(module
  (memory 1024)
  (func (export "canister_init")
    (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864)))
  (func (export "canister_update inc")
    (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1)))))"#;

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
