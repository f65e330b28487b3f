//! What a jail costs: starting a sandbox, giving one to a canister, and asking it.
//!
//! The first figures are of processes and frames alone: the work inside is that of the tests'
//! desks. The last two compare a small canister in a sandbox and in this process.

#[allow(dead_code)]
#[path = "../tests/desks/mod.rs"]
mod desks;
#[path = "../tests/message/mod.rs"]
mod message;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use message::request;
use trilith_engine_canister::api::{ExecutionRequest, Executor, PreparedModule, Slice};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::sandbox::{
    ROLE_ARGUMENT, Requirement, SandboxConfig, SandboxedExecutor, role_main_with, run_role_if_asked,
};
use trilith_types::Image;

const CANISTER: &str = r#"
(module
  (import "ic0" "msg_reply" (func $reply))
  (memory 16)
  (func (export "canister_update go")
    (i32.store (i32.const 500000) (i32.add (i32.load (i32.const 500000)) (i32.const 1)))
    (call $reply)))
"#;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, second, rest @ ..] = args.as_slice()
        && first == desks::ARGUMENT
        && second == ROLE_ARGUMENT
    {
        return role_main_with(rest, &desks::desks());
    }
    if let Some(code) = run_role_if_asked() {
        return code;
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let cache = tempfile::tempdir().expect("a temporary folder");
    measure_processes(&mut criterion, cache.path());
    measure_canister(&mut criterion, cache.path());
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn run(executor: &dyn Executor, module: &Arc<PreparedModule>, request: ExecutionRequest) {
    let mut execution = executor.start(module, request).expect("the sandbox starts");
    assert!(matches!(execution.run_slice(), Ok(Slice::Finished(_))));
}

fn measure_canister(criterion: &mut Criterion, cache: &Path) {
    let config = SandboxConfig::new(cache.to_owned(), Requirement::Required);
    let jailed = SandboxedExecutor::new(config).expect("this host can run sandboxes");
    let local = LocalExecutor::new(ExecutorConfig::default()).expect("this host can run Wasm");
    let wasm = Arc::new(wat::parse_str(CANISTER).expect("the canister is well-formed"));
    let executors: [(&str, &dyn Executor); 2] = [("a sandbox", &jailed), ("this process", &local)];
    for (place, executor) in executors {
        let module = executor.prepare(&wasm).expect("the canister is valid");
        let message = ExecutionRequest {
            heap: Image::zero(16 * 16),
            heap_wasm_pages: 16,
            heap_wasm_pages_max: 16,
            instructions_max: 1_000_000,
            slice_instructions: 1_000_000,
            ..request(1, "")
        };
        criterion.bench_function(&format!("canister's message in {place}"), |bencher| {
            bencher.iter(|| run(executor, &module, message.clone()));
        });
    }
}

fn measure_processes(criterion: &mut Criterion, cache: &Path) {
    let config = SandboxConfig {
        arguments: vec![desks::ARGUMENT.into()],
        fingerprint: b"bench".to_vec(),
        warm: 0,
        live_max: 1,
        ..SandboxConfig::new(cache.to_owned(), Requirement::Required)
    };
    let wasm = Arc::new(b"module".to_vec());
    let executor = SandboxedExecutor::new(config.clone()).expect("this host can run sandboxes");
    let module = executor.prepare(&wasm).expect("a valid module");
    let run = |executor: &SandboxedExecutor, canister: u8| {
        run(executor, &module, request(canister, "hello"));
    };
    criterion.bench_function("message, process there", |bencher| {
        bencher.iter(|| run(&executor, 1));
    });
    // Only one process may live, so each canister's message evicts the other's.
    let mut canister = 0_u8;
    criterion.bench_function("message, jail to be started", |bencher| {
        bencher.iter(|| {
            canister = 1 - canister;
            run(&executor, canister);
        });
    });
    drop(executor);
    let warm = SandboxConfig {
        warm: 1,
        live_max: 64,
        ..config
    };
    criterion.bench_function("message, warm process", |bencher| {
        bencher.iter_batched(
            || {
                let executor = SandboxedExecutor::new(warm.clone()).expect("sandboxes run");
                executor.prepare(&wasm).expect("a valid module");
                executor
            },
            |executor| {
                run(&executor, 1);
                executor
            },
            BatchSize::PerIteration,
        );
    });
}
