//! What a jailed process may do.
//!
//! A policy is a named allow-list of system calls with limits on resources. Everything else that
//! makes the world empty (namespaces, root, landlock, capabilities, environment, descriptors) is
//! the same for every policy and cannot be asked to be weaker.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// What happens where the host lacks a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The jail refuses to start.
    Required,
    /// The jail starts without it; the report says so. System call rules, limits, descriptors and
    /// environment are never optional.
    BestEffort,
}

/// What happens to a process that makes a system call outside its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The call fails with `EPERM` and the process goes on.
    Error,
    /// The process is killed by `SIGSYS`.
    Kill,
}

/// Limits on resources, set as soft and hard limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Open descriptors.
    pub descriptors_max: u64,
    /// Address space in bytes; `None` leaves it unbounded, for roles that reserve large ranges
    /// which they never touch.
    pub address_space_bytes_max: Option<u64>,
    /// Largest file it may write, in bytes. Bounds each memory file that it makes.
    pub file_bytes_max: Option<u64>,
    /// Size of the stack in bytes.
    pub stack_bytes_max: Option<u64>,
}

/// A condition on one argument of a system call: its lowest 32 bits, under a mask, have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    argument: u8,
    mask: u32,
    value: u32,
}

/// When a system call is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallRule {
    conditions: Vec<Condition>,
}

impl SyscallRule {
    /// Whatever its arguments.
    pub fn always() -> Self {
        Self {
            conditions: Vec::new(),
        }
    }

    /// If the lowest 32 bits of argument number `argument` (from 0) have `value` under `mask`.
    pub fn when(argument: u8, mask: u32, value: u32) -> Self {
        Self {
            conditions: vec![Condition {
                argument,
                mask,
                value,
            }],
        }
    }

    fn compile(&self) -> Result<Option<SeccompRule>, BackendError> {
        if self.conditions.is_empty() {
            return Ok(None);
        }
        let conditions = self.conditions.iter().map(|condition| {
            SeccompCondition::new(
                condition.argument,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(condition.mask.into()),
                condition.value.into(),
            )
        });
        Ok(Some(SeccompRule::new(
            conditions.collect::<Result<_, _>>()?,
        )?))
    }
}

/// An allow-list of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyscallSet {
    rules: BTreeMap<i64, Vec<SyscallRule>>,
}

const PROT_WRITE: u32 = libc::PROT_WRITE as u32;
const PROT_EXEC: u32 = libc::PROT_EXEC as u32;

impl SyscallSet {
    /// What every process needs that computes in memory and talks over descriptors it has. Memory
    /// cannot be made executable.
    pub fn computing() -> Self {
        let mut set = Self::default();
        for call in [
            // Talking over what is open.
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_recvmsg,
            libc::SYS_recvfrom,
            libc::SYS_sendmsg,
            libc::SYS_sendto,
            libc::SYS_ppoll,
            libc::SYS_close,
            libc::SYS_fstat,
            libc::SYS_lseek,
            // Memory of the allocator.
            libc::SYS_brk,
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            // Locks of the standard library; there is no second thread to wait for.
            libc::SYS_futex,
            libc::SYS_sched_yield,
            // The standard library seeds its hash maps. What this returns reaches no outcome.
            libc::SYS_getrandom,
            // Where the kernel does not serve the clock without a call; the library stops the
            // process if it is refused.
            libc::SYS_clock_gettime,
            // Handling of traps.
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            // Looking at itself.
            libc::SYS_getpid,
            libc::SYS_gettid,
            // Going on after a stop, and ending.
            libc::SYS_restart_syscall,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ] {
            set.rules.insert(call, vec![SyscallRule::always()]);
        }
        #[cfg(target_arch = "x86_64")]
        set.rules
            .insert(libc::SYS_poll, vec![SyscallRule::always()]);
        // The length of an open file, asked for by descriptor (flag AT_EMPTY_PATH).
        let by_descriptor = libc::AT_EMPTY_PATH as u32;
        set.allow(
            libc::SYS_statx,
            SyscallRule::when(2, by_descriptor, by_descriptor),
        );
        set.allow(
            libc::SYS_newfstatat,
            SyscallRule::when(3, by_descriptor, by_descriptor),
        );
        for command in [
            libc::F_GETFD,
            libc::F_SETFD,
            libc::F_GETFL,
            libc::F_DUPFD_CLOEXEC,
        ] {
            set.allow(
                libc::SYS_fcntl,
                SyscallRule::when(1, u32::MAX, command as u32),
            );
        }
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            set.allow(call, SyscallRule::when(2, PROT_EXEC, 0));
        }
        set
    }

    /// Allows a system call, also under the conditions of `rule`.
    pub fn allow(&mut self, call: i64, rule: SyscallRule) -> &mut Self {
        self.rules.entry(call).or_default().push(rule);
        self
    }

    /// Memory files: making, sizing, sealing, reading and writing them.
    pub fn with_memory_files(mut self) -> Self {
        for call in [
            libc::SYS_memfd_create,
            libc::SYS_ftruncate,
            libc::SYS_fallocate,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_preadv,
            libc::SYS_pwritev,
        ] {
            self.allow(call, SyscallRule::always());
        }
        for command in [libc::F_ADD_SEALS, libc::F_GET_SEALS] {
            self.allow(
                libc::SYS_fcntl,
                SyscallRule::when(1, u32::MAX, command as u32),
            );
        }
        self
    }

    /// Executable memory, which a compiler of machine code needs that runs what it makes. Memory
    /// is never writable and executable at once.
    pub fn with_executable_memory(mut self) -> Self {
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            self.allow(
                call,
                SyscallRule::when(2, PROT_EXEC | PROT_WRITE, PROT_EXEC),
            );
        }
        // On architectures with separate instruction caches, new code is published by a barrier.
        self.allow(libc::SYS_membarrier, SyscallRule::always());
        self
    }

    /// Finding the pages that were written, through the pagemap that was opened before the world
    /// was closed: reading it, and its one command.
    pub fn with_pagemap(mut self) -> Self {
        self.allow(libc::SYS_pread64, SyscallRule::always());
        self.allow_command(PAGEMAP_SCAN)
    }

    /// Tracking writes through a userfaultfd that was opened before the world was closed.
    pub fn with_userfaultfd(self) -> Self {
        USERFAULTFD_COMMANDS
            .into_iter()
            .fold(self, Self::allow_command)
    }

    /// No other descriptor in a jail knows these commands.
    fn allow_command(mut self, command: u32) -> Self {
        self.allow(libc::SYS_ioctl, SyscallRule::when(1, u32::MAX, command));
        self
    }

    /// The filter for this machine.
    pub(crate) fn compile(&self, denial: Denial) -> Result<BpfProgram, BackendError> {
        let mut rules = BTreeMap::new();
        for (call, alternatives) in &self.rules {
            let mut compiled = Vec::new();
            for alternative in alternatives {
                match alternative.compile()? {
                    Some(rule) => compiled.push(rule),
                    // One rule without conditions allows the call; the filter says so by an empty
                    // list.
                    None => {
                        compiled.clear();
                        break;
                    }
                }
            }
            rules.insert(*call, compiled);
        }
        let denied = match denial {
            Denial::Error => SeccompAction::Errno(libc::EPERM as u32),
            Denial::Kill => SeccompAction::KillProcess,
        };
        let machine = TargetArch::try_from(std::env::consts::ARCH)?;
        SeccompFilter::new(rules, denied, SeccompAction::Allow, machine)?.try_into()
    }
}

/// Commands of userfaultfd(2): `UFFDIO_REGISTER`, `UNREGISTER`, `WRITEPROTECT` and `API` of
/// `linux/userfaultfd.h`, each made of direction, size of the argument, type and number.
const USERFAULTFD_COMMANDS: [u32; 4] = [0xc020_aa00, 0x8010_aa01, 0xc018_aa06, 0xc018_aa3f];

/// The command of the pagemap, `PAGEMAP_SCAN` of `linux/fs.h`, since Linux 6.7.
const PAGEMAP_SCAN: u32 = 0xc060_6610;

/// What a jailed process may do; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name of the role, for reports.
    pub name: &'static str,
    /// Whether the host has to offer everything.
    pub requirement: Requirement,
    /// System calls.
    pub syscalls: SyscallSet,
    /// What happens on others.
    pub denial: Denial,
    /// Resources.
    pub limits: ResourceLimits,
    /// Whether the process gets a descriptor of its own pagemap.
    pub pagemap: bool,
    /// Whether the process gets a userfaultfd of its own memory.
    pub userfaultfd: bool,
}
