//! What a jailed process can and cannot do. The test binary starts itself in the jailed roles, so
//! it has a main function of its own: the roles must run before any thread exists.
//!
//! Run as root, it runs everything a second time as an ordinary user.
#![allow(unsafe_code)]

mod roles;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use trilith_jail::{Child, FrameLimits, SpawnConfig, SpawnError, own_executable, spawn};

const LIMITS: FrameLimits = FrameLimits {
    payload_bytes_max: 1 << 20,
    descriptors_max: 8,
};

/// Argument by which this binary knows that it was started again as an ordinary user.
const AS_ORDINARY_USER: &str = "--as-ordinary-user";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, role] = args.as_slice()
        && first == roles::ARGUMENT
    {
        return roles::run(role);
    }
    let tests: &[(&str, fn())] = &[
        (
            "inside_nothing_can_be_reached",
            inside_nothing_can_be_reached,
        ),
        (
            "each_wall_stands_without_the_filter",
            each_wall_stands_without_the_filter,
        ),
        ("memory_files_can_be_shared", memory_files_can_be_shared),
        (
            "descriptors_are_passed_at_the_start",
            descriptors_are_passed_at_the_start,
        ),
        ("code_runs_only_where_allowed", code_runs_only_where_allowed),
        ("written_pages_are_found", written_pages_are_found),
        (
            "the_end_is_seen_by_the_parent",
            the_end_is_seen_by_the_parent,
        ),
        ("killing_reaps_both_processes", killing_reaps_both_processes),
        (
            "a_jailed_process_dies_with_its_parent",
            a_jailed_process_dies_with_its_parent,
        ),
        (
            "a_jailed_process_dies_with_its_warden",
            a_jailed_process_dies_with_its_warden,
        ),
        (
            "children_that_do_not_enter_are_refused",
            children_that_do_not_enter_are_refused,
        ),
    ];
    let filter = args.iter().find(|arg| !arg.starts_with("--"));
    let mut failed = 0;
    for (name, test) in tests
        .iter()
        .filter(|(name, _)| filter.is_none_or(|f| name.contains(f)))
    {
        let passed = catch_unwind(test).is_ok();
        failed += usize::from(!passed);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    if geteuid().is_root() {
        println!("again as an ordinary user:");
        let again = Command::new("/proc/self/exe")
            .uid(65534)
            .gid(65534)
            .args(&args)
            .arg(AS_ORDINARY_USER)
            .status();
        failed += usize::from(!again.expect("this binary starts").success());
    }
    ExitCode::from(u8::from(failed > 0))
}

fn config<'a>(role: &str, descriptors: &'a [&File]) -> SpawnConfig<'a> {
    SpawnConfig {
        executable: own_executable(),
        args: vec![roles::ARGUMENT.into(), role.into()],
        descriptors: descriptors.iter().map(|file| file.as_fd()).collect(),
    }
}

fn start(role: &str, descriptors: &[&File]) -> Child {
    spawn(&config(role, descriptors)).expect("the process starts")
}

fn start_ready(role: &str) -> Child {
    let child = start(role, &[]);
    let report = child.ready(soon()).expect("the jail stands");
    assert!(report.is_complete(), "{report}");
    child
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

/// What the role says, by line.
fn answer(child: &Child) -> Vec<String> {
    let message = child
        .channel()
        .receive(&LIMITS, soon())
        .expect("the role answers");
    let text = String::from_utf8(message.payload).expect("the role answers in text");
    text.lines().map(str::to_owned).collect()
}

fn inside_nothing_can_be_reached() {
    let child = start_ready("probe");
    assert_eq!(
        answer(&child),
        [
            "open / EPERM",
            "open /etc/passwd EPERM",
            "open /proc/self/status EPERM",
            "create /file EPERM",
            "make directory EPERM",
            "network socket EPERM",
            "unix socket EPERM",
            "fork EPERM",
            "exec EPERM",
            "ptrace EPERM",
            "kill EPERM",
            "unshare EPERM",
            "mount EPERM",
            "new filter EPERM",
            "raise limit EPERM",
            "process 1",
            "environment 0",
            // The null device three times, and the socket.
            "descriptors 4",
        ]
    );
}

fn each_wall_stands_without_the_filter() {
    // The filter lets these calls through; the empty root, landlock, the namespaces, limits and
    // missing capabilities refuse them.
    let child = start_ready("probe-open");
    let found = answer(&child);
    let expected = [
        ("open /", &["EACCES"][..]),
        ("open /etc/passwd", &["ENOENT", "EACCES"]),
        ("open /proc/self/status", &["ENOENT", "EACCES"]),
        ("create /file", &["EROFS", "EACCES"]),
        ("make directory", &["EROFS", "EACCES"]),
        ("network socket", &["ok"]),
        ("unix socket", &["ok"]),
        ("fork", &["EAGAIN"]),
        ("exec", &["ENOENT", "EACCES"]),
        ("ptrace", &["ESRCH", "EPERM"]),
        ("kill", &["ESRCH", "EPERM"]),
        ("unshare", &["EPERM"]),
        ("mount", &["EPERM"]),
        ("new filter", &["ok"]),
        ("raise limit", &["EPERM"]),
        ("process 1", &[]),
        ("environment 0", &[]),
        ("connect", &["ENETUNREACH", "EACCES"]),
    ];
    for (name, results) in expected {
        let stands = |line: &String| match results {
            [] => line == name,
            _ => results
                .iter()
                .any(|result| *line == format!("{name} {result}")),
        };
        assert!(
            found.iter().any(stands),
            "{name} is not {results:?} in {found:#?}"
        );
    }
}

fn memory_files_can_be_shared() {
    let child = start_ready("share");
    let file = File::from(memfd_create("shared", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(4096).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], 0).unwrap();
    child
        .channel()
        .send(b"map", &[file.as_fd()], soon())
        .unwrap();
    let message = child.channel().receive(&LIMITS, soon()).unwrap();
    assert_eq!(message.payload, (7_u32 * 4096).to_be_bytes());
    // It sends back a memory file of its own.
    let [made] = <[OwnedFd; 1]>::try_from(message.descriptors).unwrap();
    let mut text = String::new();
    let mut made = File::from(made);
    made.rewind().unwrap();
    made.read_to_string(&mut text).unwrap();
    assert_eq!(text, "made inside");
    // What it wrote to the shared mapping is seen here.
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 0).unwrap();
    assert_eq!(byte, [8]);
}

fn descriptors_are_passed_at_the_start() {
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"passed", 0).unwrap();
    let child = start("read-passed", &[&file]);
    child.ready(soon()).unwrap();
    assert_eq!(answer(&child), ["passed", "descriptors 5"]);
}

fn code_runs_only_where_allowed() {
    let refused = ["executable EPERM", "writable and executable EPERM"];
    assert_eq!(answer(&start_ready("code-refused")), refused);
    let allowed = [
        "executable ok",
        "writable and executable EPERM",
        "returned 42",
    ];
    assert_eq!(answer(&start_ready("code-allowed")), allowed);
}

fn written_pages_are_found() {
    let child = start_ready("pagemap");
    assert_eq!(answer(&child), ["present: 2, 5", "userfaultfd ok"]);
}

fn the_end_is_seen_by_the_parent() {
    assert_eq!(start_ready("exit-7").wait().unwrap().code(), Some(7));
    let status = start_ready("crash").wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGSEGV as i32));
    // Outside its list, under a policy that kills.
    let status = start_ready("forbidden").wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGSYS as i32));
    // Killed from outside, as the kernel does when memory runs out.
    let mut child = start_ready("hang");
    kill(Pid::from_raw(inner_of(child.pid())), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    assert!(child.channel().receive(&LIMITS, soon()).is_err());
}

fn killing_reaps_both_processes() {
    let mut child = start_ready("hang");
    let (warden, inner) = (child.pid(), inner_of(child.pid()));
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.kill().unwrap().signal(), Some(Signal::SIGKILL as i32));
    assert_eq!(child.kill().unwrap().signal(), Some(Signal::SIGKILL as i32));
    // A zombie would still have its entry.
    assert!(!std::path::Path::new(&format!("/proc/{warden}")).exists());
    assert!(!std::path::Path::new(&format!("/proc/{inner}")).exists());
    let child = start_ready("hang");
    let warden = child.pid();
    drop(child);
    assert!(!std::path::Path::new(&format!("/proc/{warden}")).exists());
}

fn a_jailed_process_dies_with_its_parent() {
    let mut parent = Command::new(own_executable())
        .args([roles::ARGUMENT, "parent"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let warden: u32 = line
        .trim()
        .parse()
        .expect("the parent prints the warden's id");
    // The jailed process computes and reads nothing: it cannot notice by itself.
    let ends = [end_of(warden as i32), end_of(inner_of(warden))];
    parent.kill().unwrap();
    parent.wait().unwrap();
    for end in ends {
        assert!(ended(&end), "a process outlived its parent");
    }
}

fn a_jailed_process_dies_with_its_warden() {
    let mut child = start_ready("hang");
    let inner = end_of(inner_of(child.pid()));
    kill(Pid::from_raw(child.pid() as i32), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    assert!(ended(&inner), "a process outlived its warden");
}

fn children_that_do_not_enter_are_refused() {
    // It may be gone before or after the greeting was written.
    let left = spawn(&config("leave", &[])).and_then(|child| child.ready(soon()));
    assert!(matches!(left, Err(SpawnError::Channel(_))));
    let child = start("threads", &[]);
    let error = child.ready(soon()).unwrap_err().to_string();
    assert!(error.contains("2 threads run"), "{error}");
    let missing = SpawnConfig {
        executable: "/does/not/exist".into(),
        args: Vec::new(),
        descriptors: Vec::new(),
    };
    assert!(matches!(spawn(&missing), Err(SpawnError::Start(_))));
    // Started without a parent that speaks the protocol.
    let status = Command::new(own_executable())
        .args([roles::ARGUMENT, "probe"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(i32::from(roles::NOT_ENTERED)));
}

/// The jailed process of a warden.
fn inner_of(warden: u32) -> i32 {
    let path = format!("/proc/{warden}/task/{warden}/children");
    let children = std::fs::read_to_string(path).expect("the warden lives");
    children.trim().parse().expect("a warden has one child")
}

/// A descriptor that becomes readable when the process ends.
fn end_of(pid: i32) -> OwnedFd {
    // SAFETY: the call takes integers.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(raw >= 0, "process {pid} does not exist");
    // SAFETY: the kernel has just made this descriptor for this process.
    unsafe { OwnedFd::from_raw_fd(raw as i32) }
}

fn ended(end: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::try_from(60_000_u32).unwrap()) == Ok(1)
}
