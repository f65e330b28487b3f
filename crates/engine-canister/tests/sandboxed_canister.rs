//! Canisters in jailed processes: what they do there is what they do in this process.
//!
//! The test binary starts itself in the sandbox role, so it has a main function of its own.

mod message;
mod wasm_canisters_support;

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use candid::{Nat, Principal};
use message::request;
use tempfile::TempDir;
use trilith_engine_canister::api::{
    Answer, Effects, EntryPoint, ExecutionRequest, ExecutionResult, Executor, PrepareError,
    PreparedModule, Slice, TrapKind,
};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::sandbox::{
    Requirement, SandboxConfig, SandboxedExecutor, run_role_if_asked,
};
use trilith_protocol::Fault;
use trilith_types::{Image, PAGE_BYTES};
use wasm_canisters_support::network::{Mode, Network, rejected, replied};
use wasm_canisters_support::{KEEP, ask, call, install, installed, refused, sample, wait};

/// Counts in a global, in the heap and in stable memory, and does what a test asks for.
const COUNTER: &str = r#"
(module
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "stable64_grow" (func $stable_grow (param i64) (result i64)))
  (import "ic0" "stable64_write" (func $stable_write (param i64 i64 i64)))
  (import "ic0" "debug_print" (func $print (param i32 i32)))
  (memory 2)
  (data (i32.const 0) "counting")
  (global $count (mut i32) (i32.const 0))
  (func (export "canister_update count")
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store (i32.const 100000) (i32.add (i32.load (i32.const 100000)) (i32.const 10)))
    (drop (call $stable_grow (i64.const 1)))
    (call $stable_write (i64.const 5000) (i64.const 0) (i64.const 8))
    (call $print (i32.const 0) (i32.const 8))
    (i32.store (i32.const 8) (global.get $count))
    (call $append (i32.const 0) (i32.const 12))
    (call $append (i32.const 100000) (i32.const 4))
    (call $reply))
  (func (export "canister_update work") (local $left i32)
    (local.set $left (i32.const 200000))
    (loop $again
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))
    (call $reply))
  (func (export "canister_update trap") unreachable)
  (func (export "canister_update wild") (drop (i32.load (i32.const -8))))
  (func $deeper (call $deeper))
  (func (export "canister_update deep") (call $deeper))
  (func (export "canister_update spin") (loop $again (br $again))))
"#;

fn main() -> ExitCode {
    if let Some(code) = run_role_if_asked() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let tests: &[(&str, fn())] = &[
        (
            "results_are_those_of_the_local_executor",
            results_are_those_of_the_local_executor,
        ),
        ("long_messages_run_in_slices", long_messages_run_in_slices),
        ("traps_are_outcomes", traps_are_outcomes),
        ("an_endless_slice_is_a_fault", an_endless_slice_is_a_fault),
        (
            "a_compiled_module_serves_another_pool",
            a_compiled_module_serves_another_pool,
        ),
        (
            "invalid_modules_are_told_alike",
            invalid_modules_are_told_alike,
        ),
        (
            "motoko_upgrades_and_calls_alike",
            motoko_upgrades_and_calls_alike,
        ),
        (
            "rust_upgrades_and_waits_alike",
            rust_upgrades_and_waits_alike,
        ),
    ];
    let filter = args.iter().find(|arg| !arg.starts_with("--"));
    let mut failed = 0;
    for (name, test) in tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter)))
    {
        let passed = catch_unwind(test).is_ok();
        failed += usize::from(!passed);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    ExitCode::from(u8::from(failed > 0))
}

fn config(cache_dir: &Path) -> SandboxConfig {
    SandboxConfig::new(cache_dir.to_owned(), Requirement::Required)
}

fn sandboxed() -> (SandboxedExecutor, TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let executor = SandboxedExecutor::new(config(cache.path())).expect("sandboxes run here");
    (executor, cache)
}

fn wasm() -> Arc<Vec<u8>> {
    Arc::new(wat::parse_str(COUNTER).expect("the canister is well-formed"))
}

/// A canister between two messages.
struct Canister {
    id: u8,
    module: Arc<PreparedModule>,
    request: ExecutionRequest,
    slices: u32,
}

impl Canister {
    fn install(executor: &dyn Executor, id: u8) -> Self {
        let module = executor.prepare(&wasm()).expect("the canister is valid");
        let request = ExecutionRequest {
            heap: Image::zero(module.memory_minimum * 16),
            heap_wasm_pages: module.memory_minimum,
            stable: Image::zero(0),
            stable_wasm_pages: 0,
            write_data_segments: true,
            instructions_max: 50_000_000,
            slice_instructions: 50_000_000,
            ..request(id, "")
        };
        Self {
            id,
            module,
            request,
            slices: 0,
        }
    }

    fn run(&mut self, executor: &dyn Executor, method: &str) -> Result<ExecutionResult, Fault> {
        let entry = EntryPoint::Update(method.into());
        let request = ExecutionRequest {
            entry,
            ..self.request.clone()
        };
        let mut execution = executor.start(&self.module, request)?;
        self.slices = 1;
        let result = loop {
            match execution.run_slice()? {
                Slice::Paused => self.slices += 1,
                Slice::Finished(result) => break *result,
            }
        };
        if let Ok(effects) = &result.end {
            self.keep(effects);
            self.request.memory_version = result.memory_version;
        }
        Ok(result)
    }

    fn keep(&mut self, effects: &Effects) {
        let changes = effects.memory.as_ref().expect("changes were asked for");
        let request = &mut self.request;
        request.globals.clone_from(&changes.globals);
        request.heap_wasm_pages = changes.heap_wasm_pages;
        request.stable_wasm_pages = changes.stable_wasm_pages;
        request.heap.resize(changes.heap_wasm_pages * 16);
        request.stable.resize(changes.stable_wasm_pages * 16);
        changes
            .heap_runs
            .iter()
            .for_each(|run| request.heap.overlay(run.clone()));
        changes
            .stable_runs
            .iter()
            .for_each(|run| request.stable.overlay(run.clone()));
        request.write_data_segments = false;
    }

    fn count(&mut self, executor: &dyn Executor) -> (u32, u32) {
        let effects = self
            .run(executor, "count")
            .unwrap()
            .end
            .expect("counting works");
        let Some(Answer::Reply(reply)) = effects.answer else {
            panic!("counting replies")
        };
        assert_eq!(&reply[..8], b"counting");
        let number = |at: usize| u32::from_le_bytes(reply[at..at + 4].try_into().unwrap());
        (number(8), number(12))
    }

    fn memories(&self) -> [Vec<u8>; 2] {
        [&self.request.heap, &self.request.stable]
            .map(|image| image.read(0, image.pages() as usize * PAGE_BYTES).unwrap())
    }
}

fn results_are_those_of_the_local_executor() {
    let local = LocalExecutor::new(ExecutorConfig::default()).unwrap();
    let (jailed, _cache) = sandboxed();
    let mut here = Canister::install(&local, 1);
    let mut there = Canister::install(&jailed, 1);
    assert_eq!(here.module, there.module);
    for _ in 0..3 {
        let (a, b) = (
            here.run(&local, "count").unwrap(),
            there.run(&jailed, "count").unwrap(),
        );
        assert_eq!((a.instructions, a.prints), (b.instructions, b.prints));
        let (a, b) = (a.end.unwrap(), b.end.unwrap());
        assert_eq!((a.answer, a.calls), (b.answer, b.calls));
        assert_eq!(here.request.globals, there.request.globals);
        assert!(here.memories() == there.memories());
    }
    assert_eq!(here.count(&local), (4, 40));
    assert_eq!(there.count(&jailed), (4, 40));
    // Without what the process remembers, and in another process, it goes on all the same.
    there.request.memory_version = None;
    assert_eq!(there.count(&jailed), (5, 50));
    let (other, _other_cache) = sandboxed();
    assert!(other.prepare(&wasm()).is_ok());
    assert_eq!(there.count(&other), (6, 60));
    let mut second = Canister::install(&jailed, 2);
    assert_eq!(second.count(&jailed), (1, 10));
    assert_ne!(second.id, there.id);
    assert_eq!((jailed.metrics().faulted, other.metrics().faulted), (0, 0));
}

fn long_messages_run_in_slices() {
    let local = LocalExecutor::new(ExecutorConfig::default()).unwrap();
    let (jailed, _cache) = sandboxed();
    let mut here = Canister::install(&local, 1);
    let mut there = Canister::install(&jailed, 1);
    // Writing the data segments is charged to the first message.
    assert!(here.run(&local, "work").unwrap().end.is_ok());
    assert!(there.run(&jailed, "work").unwrap().end.is_ok());
    let mut used = Vec::new();
    for slice_instructions in [50_000_000, 100_000] {
        for (canister, executor) in [
            (&mut here, &local as &dyn Executor),
            (&mut there, &jailed as &dyn Executor),
        ] {
            canister.request.slice_instructions = slice_instructions;
            let result = canister.run(executor, "work").unwrap();
            assert!(result.end.is_ok());
            assert_eq!(canister.slices > 1, slice_instructions == 100_000);
            used.push(result.instructions);
        }
    }
    assert!(
        used.iter().all(|instructions| *instructions == used[0]),
        "{used:?}"
    );
}

fn traps_are_outcomes() {
    let (jailed, _cache) = sandboxed();
    let mut canister = Canister::install(&jailed, 1);
    assert_eq!(canister.count(&jailed), (1, 10));
    for (method, kind) in [
        ("trap", TrapKind::Wasm),
        ("wild", TrapKind::Wasm),
        ("deep", TrapKind::StackOverflow),
        ("spin", TrapKind::OutOfInstructions),
        ("absent", TrapKind::MethodNotFound),
    ] {
        let trap = canister
            .run(&jailed, method)
            .unwrap()
            .end
            .expect_err(method);
        assert_eq!(trap.kind, kind, "{method}: {}", trap.message);
    }
    assert_eq!(canister.count(&jailed), (2, 20));
    assert_eq!(jailed.metrics().faulted, 0);
}

fn an_endless_slice_is_a_fault() {
    let cache = tempfile::tempdir().unwrap();
    let watchdog = Duration::from_millis(500);
    let config = SandboxConfig {
        slice_watchdog: watchdog,
        ..config(cache.path())
    };
    let jailed = SandboxedExecutor::new(config).unwrap();
    let mut canister = Canister::install(&jailed, 1);
    assert_eq!(canister.count(&jailed), (1, 10));
    let before = canister.request.clone();
    canister.request.instructions_max = 1 << 60;
    canister.request.slice_instructions = 1 << 60;
    let fault = canister
        .run(&jailed, "spin")
        .expect_err("no slice takes so long")
        .0;
    assert!(fault.contains("deadline passed"), "{fault}");
    canister.request = before;
    assert_eq!(canister.count(&jailed), (2, 20));
}

fn a_compiled_module_serves_another_pool() {
    let cache = tempfile::tempdir().unwrap();
    for expected in [(1, 0), (0, 1)] {
        let jailed = SandboxedExecutor::new(config(cache.path())).unwrap();
        let mut canister = Canister::install(&jailed, 1);
        assert_eq!(canister.count(&jailed), (1, 10));
        assert_eq!(
            (jailed.metrics().compiled, jailed.metrics().disk_hits),
            expected
        );
    }
}

fn invalid_modules_are_told_alike() {
    let local = LocalExecutor::new(ExecutorConfig::default()).unwrap();
    let (jailed, _cache) = sandboxed();
    let foreign = r#"(module (import "env" "exit" (func)))"#;
    for bytes in [b"no module".to_vec(), wat::parse_str(foreign).unwrap()] {
        let bytes = Arc::new(bytes);
        let (here, there) = (local.prepare(&bytes), jailed.prepare(&bytes));
        assert!(matches!(here, Err(PrepareError::Invalid(_))), "{here:?}");
        assert_eq!(here, there);
    }
}

/// Two replicas that must agree in every round: one runs canisters in this process, the other in
/// jailed ones.
fn mixed() -> (Network, TempDir) {
    let local = LocalExecutor::new(ExecutorConfig::default()).expect("this machine runs Wasm");
    let (jailed, cache) = sandboxed();
    let jailed: Arc<dyn Executor> = Arc::new(jailed);
    (Network::new(Arc::new(local), move || jailed.clone()), cache)
}

fn motoko_upgrades_and_calls_alike() {
    let (mut network, _cache) = mixed();
    let album = installed(&mut network, sample!("motoko/album.wasm"));
    let () = call(&mut network, album, "add", (Nat::from(1u8), "the sea"));
    let bad = sample!("motoko/album_bad.wasm");
    let (_, message, _) = rejected(install(&mut network, album, KEEP, bad, ()));
    assert!(message.contains("Memory-incompatible"), "{message}");
    let next = sample!("motoko/album_v2.wasm");
    replied(install(&mut network, album, KEEP, next, (false,)));
    let (photo,): (Option<String>,) = ask(&mut network, album, "find", (Nat::from(1u8),));
    assert_eq!(photo.as_deref(), Some("the sea"));

    let courier = sample!("motoko/courier.wasm");
    let (one, two): (Principal, Principal) = (
        installed(&mut network, courier),
        installed(&mut network, courier),
    );
    let (sum,): (Nat,) = call(&mut network, one, "atOnce", (two, Nat::from(4u8)));
    assert_eq!(sum, Nat::from(12u8));
    let (error, _) = refused(&mut network, one, "trapWithFinally", (two,));
    assert_eq!(error, "IC0503");
    let (total,): (Nat,) = ask(&mut network, one, "total", (two,));
    assert_eq!(total, Nat::from(5u8));
}

fn rust_upgrades_and_waits_alike() {
    let (mut network, _cache) = mixed();
    let wasm = sample!("rust/notes.wasm");
    let notes = installed(&mut network, wasm);
    let (count,): (u64,) = call(&mut network, notes, "fill", (200u64,));
    assert_eq!(count, 200);
    let () = call(&mut network, notes, "later", (3u64, "later"));
    wait(&mut network, 4);
    let upgrade = Mode::upgrade(None);
    rejected(install(&mut network, notes, upgrade, wasm, (true,)));
    replied(install(&mut network, notes, upgrade, wasm, (false,)));
    let (note,): (Option<String>,) = ask(&mut network, notes, "get", (200u64,));
    assert_eq!(note.as_deref(), Some("later"));
}
