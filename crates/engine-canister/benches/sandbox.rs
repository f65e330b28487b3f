//! What a jail costs: starting a sandbox, giving one to a canister, and asking it. The work inside
//! is that of the tests' desks, so the figures are those of processes and frames alone.

#[allow(dead_code)]
#[path = "../tests/desks/mod.rs"]
mod desks;
#[path = "../tests/message/mod.rs"]
mod message;

use std::process::ExitCode;
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use message::request;
use trilith_engine_canister::api::{Executor, Slice};
use trilith_engine_canister::sandbox::{
    ROLE_ARGUMENT, Requirement, SandboxConfig, SandboxedExecutor, role_main_with,
};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, second, rest @ ..] = args.as_slice()
        && first == desks::ARGUMENT
        && second == ROLE_ARGUMENT
    {
        return role_main_with(rest, &desks::desks());
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    measure(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn measure(criterion: &mut Criterion) {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let config = SandboxConfig {
        arguments: vec![desks::ARGUMENT.into()],
        fingerprint: b"bench".to_vec(),
        warm: 0,
        live_max: 1,
        ..SandboxConfig::new(cache.path().to_owned(), Requirement::Required)
    };
    let wasm = Arc::new(b"module".to_vec());
    let executor = SandboxedExecutor::new(config.clone()).expect("this host can run sandboxes");
    let module = executor.prepare(&wasm).expect("a valid module");
    let run = |executor: &SandboxedExecutor, canister: u8| {
        let mut execution = executor
            .start(&module, request(canister, "hello"))
            .expect("the sandbox starts");
        assert!(matches!(execution.run_slice(), Ok(Slice::Finished(_))));
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
