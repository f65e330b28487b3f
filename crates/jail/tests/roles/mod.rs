//! What the test binary does inside a jail.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use trilith_jail::{
    Denial, Entered, FrameLimits, Policy, Requirement, ResourceLimits, SpawnConfig, SyscallRule,
    SyscallSet, enter, own_executable, spawn,
};

/// First argument of a process in a role.
pub const ARGUMENT: &str = "--jail-test-role";
/// Exit code of a role that could not enter its jail.
pub const NOT_ENTERED: u8 = 99;

fn policy(syscalls: SyscallSet) -> Policy {
    Policy {
        name: "test",
        requirement: Requirement::Required,
        syscalls,
        denial: Denial::Error,
        limits: ResourceLimits {
            descriptors_max: 64,
            address_space_bytes_max: None,
            file_bytes_max: None,
            stack_bytes_max: None,
        },
        pagemap: false,
        userfaultfd: false,
    }
}

/// A policy whose filter lets all probes through.
fn open_policy() -> Policy {
    let mut syscalls = SyscallSet::computing();
    for call in [
        libc::SYS_openat,
        libc::SYS_mkdirat,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_clone,
        libc::SYS_wait4,
        libc::SYS_execve,
        libc::SYS_ptrace,
        libc::SYS_kill,
        libc::SYS_unshare,
        libc::SYS_mount,
        libc::SYS_seccomp,
        libc::SYS_prctl,
        libc::SYS_prlimit64,
    ] {
        syscalls.allow(call, SyscallRule::always());
    }
    policy(syscalls)
}

pub fn run(role: &str) -> ExitCode {
    let computing = SyscallSet::computing();
    let (policy, act): (Policy, fn(&Entered) -> u8) = match role {
        "probe" => (policy(computing), probe),
        "probe-open" => (open_policy(), probe),
        "share" => (policy(computing.with_memory_files()), share),
        "read-passed" => (policy(computing.with_memory_files()), read_passed),
        "code-refused" => (policy(computing), code),
        "code-allowed" => (policy(computing.with_executable_memory()), code),
        "pagemap" => {
            let syscalls = computing.with_pagemap().with_userfaultfd();
            (
                Policy {
                    pagemap: true,
                    userfaultfd: true,
                    ..policy(syscalls)
                },
                pagemap,
            )
        }
        "exit-7" => (policy(computing), |_| 7),
        "crash" => (policy(computing), |_| crash()),
        "forbidden" => (
            Policy {
                denial: Denial::Kill,
                ..policy(computing)
            },
            |_| u8::from(File::open("/").is_ok()),
        ),
        "hang" => (policy(computing), |_| hang()),
        "threads" => {
            let waiting = std::thread::spawn(std::thread::park);
            let entered = enter(&policy(computing));
            waiting.thread().unpark();
            return ExitCode::from(u8::from(entered.is_ok()));
        }
        "parent" => return parent(),
        _ => return ExitCode::SUCCESS,
    };
    match enter(&policy) {
        Ok(entered) => ExitCode::from(act(&entered)),
        Err(_) => ExitCode::from(NOT_ENTERED),
    }
}

fn hang() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn crash() -> u8 {
    // SAFETY: reading address 8 is what the test is about: it ends the process by SIGSEGV.
    unsafe { std::ptr::without_provenance::<u8>(8).read_volatile() }
}

/// An unjailed process with a jailed child.
fn parent() -> ExitCode {
    let child = spawn(&SpawnConfig {
        executable: own_executable(),
        args: vec![ARGUMENT.into(), "hang".into()],
        descriptors: Vec::new(),
    })
    .expect("the child starts");
    child.ready(None).expect("the jail stands");
    println!("{}", child.pid());
    hang()
}

fn say(entered: &Entered, lines: &[String]) -> u8 {
    u8::from(
        entered
            .channel
            .send(lines.join("\n").as_bytes(), &[], None)
            .is_err(),
    )
}

/// The name of the error of a call that gives a negative number.
fn outcome(name: &str, returned: i64) -> String {
    match returned {
        0.. => format!("{name} ok"),
        _ => format!("{name} {:?}", Errno::last()),
    }
}

fn open(path: &str, flags: i32) -> i64 {
    let path = CString::new(path).expect("no zero byte");
    // SAFETY: the path ends with zero and outlives the call.
    unsafe { libc::open(path.as_ptr(), flags, 0o600).into() }
}

fn open_descriptors() -> usize {
    // SAFETY: the call takes integers.
    (0..4096)
        .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0)
        .count()
}

fn probe(entered: &Entered) -> u8 {
    let open_before = open_descriptors();
    let mut lines = vec![
        outcome("open /", open("/", libc::O_RDONLY)),
        outcome("open /etc/passwd", open("/etc/passwd", libc::O_RDONLY)),
        outcome(
            "open /proc/self/status",
            open("/proc/self/status", libc::O_RDONLY),
        ),
        outcome(
            "create /file",
            open("/file", libc::O_CREAT | libc::O_WRONLY),
        ),
    ];
    let limit = libc::rlimit {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    // SAFETY: every call gets integers, or pointers to values that end with zero where needed and
    // outlive the call. A process that fork makes ends at once.
    unsafe {
        lines.push(outcome(
            "make directory",
            libc::mkdirat(libc::AT_FDCWD, c"/directory".as_ptr(), 0o700).into(),
        ));
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        lines.push(outcome("network socket", socket.into()));
        if socket >= 0 {
            let connected = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, 80));
            let error = connected.err().and_then(|error| error.raw_os_error());
            lines.push(format!("connect {:?}", Errno::from_raw(error.unwrap_or(0))));
        }
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        lines.push(outcome("unix socket", socket.into()));
        let forked = libc::fork();
        if forked == 0 {
            libc::_exit(0);
        }
        lines.push(outcome("fork", forked.into()));
        let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
        let executed = libc::execv(arguments[0], arguments.as_ptr());
        lines.push(outcome("exec", executed.into()));
        lines.push(outcome(
            "ptrace",
            libc::ptrace(libc::PTRACE_ATTACH, 2, 0, 0),
        ));
        lines.push(outcome("kill", libc::kill(2, libc::SIGTERM).into()));
        lines.push(outcome("unshare", libc::unshare(libc::CLONE_NEWUTS).into()));
        let nothing: *const libc::c_void = std::ptr::null();
        let tmpfs = c"tmpfs".as_ptr();
        let mounted = libc::mount(tmpfs, c"/".as_ptr(), tmpfs, 0, nothing);
        lines.push(outcome("mount", mounted.into()));
        // Asks whether an action exists.
        let action: u32 = libc::SECCOMP_RET_ALLOW;
        let known = libc::syscall(libc::SYS_seccomp, 2, 0, &raw const action);
        lines.push(outcome("new filter", known));
        let raised = libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        lines.push(outcome("raise limit", raised.into()));
    }
    lines.push(format!("process {}", std::process::id()));
    lines.push(format!("environment {}", std::env::vars_os().count()));
    lines.push(format!("descriptors {open_before}"));
    say(entered, &lines)
}

fn share(entered: &Entered) -> u8 {
    let limits = FrameLimits {
        payload_bytes_max: 16,
        descriptors_max: 1,
    };
    let message = entered
        .channel
        .receive(&limits, None)
        .expect("the parent sends a file");
    let [file] = message.descriptors.as_slice() else {
        return 1;
    };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file of 4096 bytes, at an address that the kernel chooses.
    let sum: u32 = unsafe {
        use std::os::fd::AsRawFd;
        let fd = file.as_raw_fd();
        let mapped = libc::mmap(
            std::ptr::null_mut(),
            4096,
            protection,
            libc::MAP_SHARED,
            fd,
            0,
        );
        if mapped == libc::MAP_FAILED {
            return 2;
        }
        let bytes = std::slice::from_raw_parts_mut(mapped.cast::<u8>(), 4096);
        let sum = bytes.iter().map(|byte| u32::from(*byte)).sum();
        bytes[0] += 1;
        sum
    };
    let made = memfd_create("made", MFdFlags::MFD_CLOEXEC).expect("memory files are allowed");
    let mut made = File::from(made);
    made.write_all(b"made inside")
        .expect("memory files can be written");
    let sent = entered
        .channel
        .send(&sum.to_be_bytes(), &[made.as_fd()], None);
    u8::from(sent.is_err())
}

fn read_passed(entered: &Entered) -> u8 {
    let mut text = vec![0; 6];
    let file = entered.descriptors[0].try_clone().map(File::from);
    let Ok(file) = file else { return 1 };
    file.read_exact_at(&mut text, 0)
        .expect("the file is readable");
    drop(file);
    let text = String::from_utf8_lossy(&text).into_owned();
    say(
        entered,
        &[text, format!("descriptors {}", open_descriptors())],
    )
}

fn code(entered: &Entered) -> u8 {
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mut lines = Vec::new();
    // SAFETY: a fresh mapping is written while it is writable, and called as a function only after
    // it became executable; what is written is such a function on this machine.
    unsafe {
        let nowhere = std::ptr::null_mut();
        let memory = libc::mmap(nowhere, 4096, writable, anonymous, -1, 0);
        if memory == libc::MAP_FAILED {
            return 1;
        }
        #[cfg(target_arch = "x86_64")]
        let code: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3];
        #[cfg(target_arch = "aarch64")]
        let code: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
        std::ptr::copy_nonoverlapping(code.as_ptr(), memory.cast(), code.len());
        let executable = libc::PROT_READ | libc::PROT_EXEC;
        let made = libc::mprotect(memory, 4096, executable);
        lines.push(outcome("executable", made.into()));
        let both = libc::mmap(nowhere, 4096, writable | libc::PROT_EXEC, anonymous, -1, 0);
        let both = if both == libc::MAP_FAILED { -1 } else { 0 };
        lines.push(outcome("writable and executable", both));
        if made == 0 {
            let function: extern "C" fn() -> i32 = std::mem::transmute(memory);
            lines.push(format!("returned {}", function()));
        }
    }
    say(entered, &lines)
}

fn pagemap(entered: &Entered) -> u8 {
    const PAGES: usize = 8;
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let nowhere = std::ptr::null_mut();
    // SAFETY: a fresh mapping of the length that is written below.
    let memory = unsafe { libc::mmap(nowhere, PAGES * 4096, writable, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return 1;
    }
    // SAFETY: both addresses lie in the mapping. Two single pages, so no huge page is made.
    unsafe {
        memory.cast::<u8>().add(2 * 4096).write_volatile(1);
        memory.cast::<u8>().add(5 * 4096).write_volatile(1);
    }
    let Some(pagemap) = entered.pagemap.as_ref().and_then(|fd| fd.try_clone().ok()) else {
        return 2;
    };
    let pagemap = File::from(pagemap);
    let mut entries = [0; PAGES * 8];
    let offset = memory.addr() as u64 / 4096 * 8;
    pagemap
        .read_exact_at(&mut entries, offset)
        .expect("the pagemap is readable");
    let present = entries
        .chunks_exact(8)
        .enumerate()
        .filter(|(_, entry)| entry[7] >> 7 == 1);
    let present: Vec<_> = present.map(|(page, _)| page.to_string()).collect();
    // UFFDIO_API: asks for version 0xaa without features.
    let mut api = [0xaa_u64, 0, 0];
    let initialised = entered.userfaultfd.as_ref().map_or(-1, |fd| {
        use std::os::fd::AsRawFd;
        // SAFETY: the argument has the size that the command's number states.
        unsafe { libc::ioctl(fd.as_raw_fd(), 0xc018_aa3f, api.as_mut_ptr()) }
    });
    let lines = [
        format!("present: {}", present.join(", ")),
        outcome("userfaultfd", initialised.into()),
    ];
    say(entered, &lines)
}
