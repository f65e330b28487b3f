//! Sandboxes as processes: faults, lies, limits and caches. The work inside is scripted by
//! [`desks`], so that it can be wrong; canisters run in `sandboxed_canister.rs`.
//!
//! The test binary starts itself in the sandbox role, so it has a main function of its own.

mod desks;
mod message;

use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use message::request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use trilith_engine_canister::api::{
    Answer, Effects, Execution, ExecutionRequest, Executor, PrepareError, PreparedModule, Slice,
};
use trilith_engine_canister::sandbox::{
    ROLE_ARGUMENT, Requirement, SandboxConfig, SandboxedExecutor, role_main_with,
};
use trilith_protocol::Fault;
use trilith_types::{Image, PAGE_BYTES, PageRun};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, second, rest @ ..] = args.as_slice()
        && first == desks::ARGUMENT
        && second == ROLE_ARGUMENT
    {
        return role_main_with(rest, &desks::desks());
    }
    let tests: &[(&str, fn())] = &[
        ("messages_run_in_sandboxes", messages_run_in_sandboxes),
        (
            "every_canister_has_its_process",
            every_canister_has_its_process,
        ),
        (
            "paused_messages_go_on_or_are_dropped",
            paused_messages_go_on_or_are_dropped,
        ),
        (
            "a_sandbox_that_ends_is_a_fault",
            a_sandbox_that_ends_is_a_fault,
        ),
        (
            "a_sandbox_that_is_killed_is_a_fault",
            a_sandbox_that_is_killed_is_a_fault,
        ),
        (
            "a_sandbox_that_hangs_is_killed",
            a_sandbox_that_hangs_is_killed,
        ),
        (
            "answers_that_cannot_be_are_faults",
            answers_that_cannot_be_are_faults,
        ),
        (
            "written_pages_come_back_sealed",
            written_pages_come_back_sealed,
        ),
        (
            "page_files_are_read_only_inside",
            page_files_are_read_only_inside,
        ),
        (
            "a_memory_is_remembered_only_by_name",
            a_memory_is_remembered_only_by_name,
        ),
        ("live_processes_are_bounded", live_processes_are_bounded),
        ("verdicts_of_the_compiler", verdicts_of_the_compiler),
        (
            "compiled_code_is_found_on_disk",
            compiled_code_is_found_on_disk,
        ),
        (
            "a_host_that_cannot_is_refused",
            a_host_that_cannot_is_refused,
        ),
    ];
    let filter = args
        .iter()
        .filter_map(|arg| arg.to_str())
        .find(|arg| !arg.starts_with("--"));
    let mut failed = 0;
    for (name, test) in tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|f| name.contains(f)))
    {
        let passed = catch_unwind(test).is_ok();
        failed += usize::from(!passed);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    ExitCode::from(u8::from(failed > 0))
}

fn config(cache_dir: &Path) -> SandboxConfig {
    SandboxConfig {
        arguments: vec![desks::ARGUMENT.into()],
        warm: 1,
        fingerprint: b"test".to_vec(),
        ..SandboxConfig::new(cache_dir.to_owned(), Requirement::Required)
    }
}

struct Bench {
    executor: SandboxedExecutor,
    module: Arc<PreparedModule>,
    _cache: TempDir,
}

fn bench_with(change: impl FnOnce(&mut SandboxConfig)) -> Bench {
    let cache = tempfile::tempdir().unwrap();
    let mut config = config(cache.path());
    change(&mut config);
    let executor = SandboxedExecutor::new(config).expect("this host can run sandboxes");
    let module = executor
        .prepare(&Arc::new(b"module".to_vec()))
        .expect("a valid module");
    Bench {
        executor,
        module,
        _cache: cache,
    }
}

fn bench() -> Bench {
    bench_with(|_| {})
}

impl Bench {
    fn start(&self, request: ExecutionRequest) -> Result<Box<dyn Execution>, Fault> {
        self.executor.start(&self.module, request)
    }

    /// Runs a message to its end. Gives the reply and the version of the memory left.
    fn run(&self, request: ExecutionRequest) -> Result<(Vec<u8>, Option<u64>), Fault> {
        let (effects, version) = finish(self.start(request)?.as_mut())?;
        let Some(Answer::Reply(reply)) = effects.answer else {
            panic!("the message replies")
        };
        Ok((reply, version))
    }

    fn fault_of(&self, script: &str) -> String {
        self.run(request(1, script)).expect_err(script).0
    }

    /// Which message of its process the next message of a canister is.
    fn served(&self, canister: u8) -> u64 {
        let (reply, _) = self
            .run(request(canister, "served"))
            .expect("the canister runs");
        u64::from_be_bytes(reply.try_into().expect("eight bytes"))
    }
}

fn finish(execution: &mut dyn Execution) -> Result<(Effects, Option<u64>), Fault> {
    loop {
        if let Slice::Finished(result) = execution.run_slice()? {
            return Ok((
                *result.end.expect("the message completes"),
                result.memory_version,
            ));
        }
    }
}

fn messages_run_in_sandboxes() {
    let bench = bench();
    assert_eq!(bench.run(request(1, "hello")).unwrap().0, b"hello");
    assert_eq!(bench.run(request(1, "pagemap")).unwrap().0, [1]);
    // Larger than a socket's buffer in both directions.
    let long = "x".repeat(5 << 20);
    assert_eq!(bench.run(request(1, &long)).unwrap().0, long.as_bytes());
    assert_eq!(bench.executor.metrics().faulted, 0);
}

fn every_canister_has_its_process() {
    let bench = bench();
    assert_eq!(
        [bench.served(1), bench.served(1), bench.served(2)],
        [1, 2, 1]
    );
    assert_eq!([bench.served(1), bench.served(2)], [3, 2]);
    // Another module of the same canister starts anew, and the former process goes.
    let other = bench
        .executor
        .prepare(&Arc::new(b"another module".to_vec()))
        .unwrap();
    let mut upgraded = bench.executor.start(&other, request(1, "served")).unwrap();
    let (effects, _) = finish(upgraded.as_mut()).unwrap();
    assert_eq!(
        effects.answer,
        Some(Answer::Reply(1_u64.to_be_bytes().to_vec()))
    );
    assert_eq!([bench.served(1), bench.served(2)], [1, 3]);
}

fn paused_messages_go_on_or_are_dropped() {
    let bench = bench();
    let mut paused = bench.start(request(1, "pause")).unwrap();
    assert!(matches!(paused.run_slice(), Ok(Slice::Paused)));
    // While one message is paused, another one of the canister needs a second process.
    assert_eq!(bench.served(1), 1);
    assert!(matches!(paused.run_slice(), Ok(Slice::Paused)));
    finish(paused.as_mut()).unwrap();
    assert!(paused.run_slice().is_err());
    // Dropped without a slice, and between slices: the process serves on.
    drop(bench.start(request(1, "pause")).unwrap());
    let mut dropped = bench.start(request(1, "pause")).unwrap();
    assert!(matches!(dropped.run_slice(), Ok(Slice::Paused)));
    drop(dropped);
    assert_eq!(bench.served(1), 2);
    assert_eq!(bench.executor.metrics().faulted, 0);
}

fn a_sandbox_that_ends_is_a_fault() {
    let bench = bench();
    let crashed = bench.fault_of("crash");
    assert!(
        crashed.contains("closed the channel") && crashed.contains("signal: 11"),
        "{crashed}"
    );
    let panicked = bench.fault_of("panic");
    assert!(panicked.contains("a test wanted this panic"), "{panicked}");
    let refused = bench.fault_of("refuse");
    assert!(refused.contains("refused to start"), "{refused}");
    assert_eq!(bench.executor.metrics().faulted, 3);
    // The next attempt gets a fresh process.
    assert_eq!(bench.served(1), 1);
}

fn a_sandbox_that_is_killed_is_a_fault() {
    let bench = bench();
    assert_eq!(bench.served(1), 1);
    let [seat] = with_child_of(&bench, 1);
    let mut execution = bench.start(request(1, "hang")).unwrap();
    let killed = std::thread::scope(|scope| {
        let running = scope.spawn(move || execution.run_slice().map(drop));
        await_running(seat);
        kill(Pid::from_raw(inner_of(seat)), Signal::SIGKILL).unwrap();
        running.join().unwrap()
    });
    let fault = killed.unwrap_err().0;
    assert!(fault.contains("signal: 9"), "{fault}");
    assert_eq!(bench.served(1), 1);
}

/// The warden of the only canister's process: the one that rests while the canister does, and not
/// while it runs.
fn with_child_of(bench: &Bench, canister: u8) -> [u32; 1] {
    let resting = bench.executor.resting_processes();
    let paused = bench.start(request(canister, "pause")).unwrap();
    let without = bench.executor.resting_processes();
    drop(paused);
    let seat: Vec<u32> = resting
        .into_iter()
        .filter(|pid| !without.contains(pid))
        .collect();
    seat.try_into().expect("one process was taken")
}

/// The jailed process of a warden.
fn inner_of(warden: u32) -> i32 {
    let path = format!("/proc/{warden}/task/{warden}/children");
    let children = std::fs::read_to_string(path).expect("the warden lives");
    children.trim().parse().expect("a warden has one child")
}

/// Waits until the jailed process computes: it does nothing else than to wait before.
fn await_running(warden: u32) {
    let path = format!("/proc/{}/stat", inner_of(warden));
    loop {
        let stat = std::fs::read_to_string(&path).expect("the process lives");
        let state = stat
            .rsplit(") ")
            .next()
            .expect("the state follows the name");
        if state.starts_with('R') {
            return;
        }
        std::thread::yield_now();
    }
}

fn a_sandbox_that_hangs_is_killed() {
    let bench = bench_with(|config| config.slice_watchdog = Duration::from_millis(300));
    let hung = bench.fault_of("hang");
    assert!(
        hung.contains("deadline passed") && hung.contains("signal: 9"),
        "{hung}"
    );
    assert_eq!(bench.served(1), 1);
}

fn answers_that_cannot_be_are_faults() {
    let bench = bench();
    for (script, reason) in [
        ("garbage", "malformed result"),
        ("instructions", "1001 instructions, over the limit of 1000"),
        ("globals", "globals are not those of the module"),
        ("pages", "its heap has 5 Wasm pages, outside 1 to 4"),
        ("shrink", "its stable memory has 0 Wasm pages"),
        ("outside", "malformed result"),
        ("short", "reaches past the end of its file"),
        ("unsealable", "cannot be sealed"),
        ("mapped", "cannot be sealed"),
        ("cycles", "1001 cycles given away, over the limit of 1000"),
        ("accepted", "11 cycles accepted, over the limit of 10"),
        ("no-memory", "lacks the changes of memory"),
        ("certified", "length 33, over the limit of 32"),
    ] {
        let fault = bench.fault_of(script);
        assert!(fault.contains(reason), "{script}: {fault}");
    }
    let query = ExecutionRequest {
        keep_changes: false,
        ..request(1, "write")
    };
    assert!(bench.run(query).unwrap_err().0.contains("not asked for"));
    let answered = ExecutionRequest {
        answered: true,
        ..request(1, "hello")
    };
    assert!(
        bench
            .run(answered)
            .unwrap_err()
            .0
            .contains("answered twice")
    );
    assert_eq!(bench.served(1), 1);
}

fn written_pages_come_back_sealed() {
    let bench = bench();
    let (effects, _) = finish(bench.start(request(1, "write")).unwrap().as_mut()).unwrap();
    let runs = effects.memory.unwrap().heap_runs;
    let [run] = runs.as_slice() else {
        panic!("one run was written")
    };
    assert_eq!((run.page, run.count, run.file_page), (2, 2, 1));
    let mut heap = Image::zero(16);
    heap.overlay(run.clone());
    assert_eq!(
        heap.read(0, PAGE_BYTES * 5).unwrap()[PAGE_BYTES * 2 - 1..][..2],
        [0, 1]
    );
    assert_eq!(heap.read(PAGE_BYTES as u64 * 3, 1).unwrap(), [2]);
    assert!(std::os::unix::fs::FileExt::write_at(run.file.as_ref(), b"x", 0).is_err());
}

fn page_files_are_read_only_inside() {
    // More files than go along with a request, all open for writing here.
    let bench = bench();
    let mut heap = Image::zero(16 * 20);
    for page in 0..300 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; PAGE_BYTES]).unwrap();
        heap.overlay(PageRun {
            page,
            count: 1,
            file: Arc::new(file),
            file_page: 0,
        });
    }
    let request = ExecutionRequest {
        heap,
        heap_wasm_pages: 20,
        heap_wasm_pages_max: 20,
        ..request(1, "sum")
    };
    let (reply, _) = bench.run(request).unwrap();
    assert_eq!(reply, (300 * PAGE_BYTES as u64).to_be_bytes());
}

fn a_memory_is_remembered_only_by_name() {
    let bench = bench();
    let remembering = |canister, version| {
        let request = ExecutionRequest {
            memory_version: version,
            ..request(canister, "remember")
        };
        bench.run(request).unwrap()
    };
    let (_, first) = remembering(1, None);
    let (_, second) = remembering(2, None);
    assert!(first.is_some() && second.is_some() && first != second);
    // Inside, the processes count for themselves: both call their memory 1.
    let (inside, third) = remembering(1, first);
    assert_eq!((inside.as_slice(), third != first), (&b"Some(1)"[..], true));
    // A message that leaves the memory as it was leaves its name as well.
    let (_, kept) = bench
        .run(ExecutionRequest {
            memory_version: third,
            ..request(1, "keep")
        })
        .unwrap();
    assert_eq!(kept, third);
    assert_eq!(remembering(1, third).0, b"Some(2)");
    // A version that was used, one of another canister, and one of nobody are unknown.
    for unknown in [first, second, Some(99)] {
        assert_eq!(remembering(1, unknown).0, b"None");
    }
    // A message that leaves nothing behind, and one that is dropped, use it up as well.
    let (_, last) = remembering(2, second);
    drop(
        bench
            .start(ExecutionRequest {
                memory_version: last,
                ..request(2, "pause")
            })
            .unwrap(),
    );
    assert_eq!(remembering(2, last).0, b"None");
    assert_eq!(bench.run(request(2, "forget")).unwrap().1, None);
}

fn live_processes_are_bounded() {
    let bench = bench_with(|config| {
        config.live_max = 2;
        config.slice_watchdog = Duration::from_millis(300);
    });
    assert_eq!(
        [bench.served(1), bench.served(2), bench.served(1)],
        [1, 1, 2]
    );
    // The process used longest ago goes.
    assert_eq!(bench.served(3), 1);
    assert_eq!([bench.served(1), bench.served(2)], [3, 1]);
    assert_eq!(bench.executor.metrics().evicted, 2);
    let first = bench.start(request(1, "pause")).unwrap();
    let second = bench.start(request(2, "pause")).unwrap();
    let full = bench
        .start(request(3, "hello"))
        .err()
        .expect("no process is left")
        .0;
    assert!(full.contains("all 2 sandboxes are busy"), "{full}");
    drop((first, second));
    assert_eq!(bench.served(3), 1);
}

fn verdicts_of_the_compiler() {
    let bench = bench();
    let prepare = |wasm: &[u8]| bench.executor.prepare(&Arc::new(wasm.to_vec()));
    let invalid = prepare(b"invalid module");
    assert_eq!(
        invalid,
        Err(PrepareError::Invalid(
            "the module starts with `invalid`".into()
        ))
    );
    let Err(PrepareError::Fault(crashed)) = prepare(b"crash") else {
        panic!("a fault")
    };
    assert!(crashed.0.contains("signal: 11"), "{crashed}");
    let Err(PrepareError::Fault(other)) = prepare(b"other") else {
        panic!("a fault")
    };
    assert!(other.0.contains("another module"), "{other}");
    // The same module again comes from memory; a compiler serves one module only.
    assert!(prepare(b"module").is_ok());
    let metrics = bench.executor.metrics();
    assert_eq!((metrics.compiled, metrics.memory_hits), (2, 1));
    assert_eq!(metrics.faulted, 2);
}

fn compiled_code_is_found_on_disk() {
    let cache = tempfile::tempdir().unwrap();
    let wasm = Arc::new(b"module".to_vec());
    let hits = |config: SandboxConfig| {
        let executor = SandboxedExecutor::new(config).unwrap();
        let module = executor.prepare(&wasm).unwrap();
        // The code is whole: the desk compares it with the hash.
        let mut execution = executor.start(&module, request(1, "hello")).unwrap();
        finish(execution.as_mut()).unwrap();
        (executor.metrics().compiled, executor.metrics().disk_hits)
    };
    assert_eq!(hits(config(cache.path())), (1, 0));
    assert_eq!(hits(config(cache.path())), (0, 1));
    let other = SandboxConfig {
        fingerprint: b"other".to_vec(),
        ..config(cache.path())
    };
    assert_eq!(hits(other), (1, 0));
    let files: Vec<PathBuf> = std::fs::read_dir(cache.path())
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2);
    // Damaged in its content, then cut off: both are compiled again, and written again.
    let damages: [fn(&mut Vec<u8>); 2] = [
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.truncate(70),
    ];
    for damage in damages {
        for file in &files {
            let mut bytes = std::fs::read(file).unwrap();
            damage(&mut bytes);
            std::fs::write(file, bytes).unwrap();
        }
        assert_eq!(hits(config(cache.path())), (1, 0));
        assert_eq!(hits(config(cache.path())), (0, 1));
    }
}

fn a_host_that_cannot_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let absent = SandboxConfig {
        executable: "/does/not/exist".into(),
        ..config(cache.path())
    };
    let fault = SandboxedExecutor::new(absent)
        .err()
        .expect("there is no executable")
        .0;
    assert!(fault.contains("did not start"), "{fault}");
    // An executable that is no sandbox.
    let deaf = SandboxConfig {
        executable: "/bin/true".into(),
        ..config(cache.path())
    };
    assert!(SandboxedExecutor::new(deaf).is_err());
}
