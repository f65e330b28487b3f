//! Identity, capabilities, limits, environment and landlock.
#![allow(unsafe_code)]

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use super::{EnterError, Step};
use crate::{Feature, JailReport, ResourceLimits};

/// The user and group that a root process becomes, `nobody` by convention.
const UNPRIVILEGED_ID: u32 = 65534;

/// The newest landlock interface whose rights are all refused. A kernel with an older one refuses
/// what it knows.
const LANDLOCK_ABI: ABI = ABI::V7;

/// Version of the interface of capset(2): `_LINUX_CAPABILITY_VERSION_3` in `linux/capability.h`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Capability numbers are tried up to this one; the kernel refuses those that it does not know.
const CAPABILITY_MAX: u64 = 63;

/// Gives up the identity of root, so that outside the jail the process counts as an ordinary user.
pub(super) fn take_unprivileged_identity(report: &mut JailReport) -> Result<(), EnterError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (
        Uid::from_raw(UNPRIVILEGED_ID),
        Gid::from_raw(UNPRIVILEGED_ID),
    );
    let changed = setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user));
    if let Err(errno) = changed {
        report.miss(Feature::UnprivilegedIdentity, errno);
    }
    // The kernel protects a process that changed its identity against its own user. The files
    // under /proc/self are needed for some steps more.
    prctl::set_dumpable(true).step("opening the process to itself")
}

/// Sets all limits, soft and hard; where the host's hard limit is lower, that one.
pub(super) fn set_limits(limits: &ResourceLimits) -> Result<(), EnterError> {
    for (resource, limit) in [
        (Resource::RLIMIT_NOFILE, Some(limits.descriptors_max)),
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_NPROC, Some(0)),
        (Resource::RLIMIT_MEMLOCK, Some(0)),
        (Resource::RLIMIT_MSGQUEUE, Some(0)),
        (Resource::RLIMIT_AS, limits.address_space_bytes_max),
        (Resource::RLIMIT_FSIZE, limits.file_bytes_max),
        (Resource::RLIMIT_STACK, limits.stack_bytes_max),
    ] {
        if let Some(limit) = limit {
            let (_, hard) = getrlimit(resource).step("reading limits")?;
            let limit = limit.min(hard);
            setrlimit(resource, limit, limit).step("limiting resources")?;
        }
    }
    Ok(())
}

/// Removes every environment variable.
pub(super) fn clear_environment() -> Result<(), EnterError> {
    // SAFETY: this process has a single thread and holds no pointer into the environment.
    match unsafe { libc::clearenv() } {
        0 => Ok(()),
        _ => Err(io::Error::other("clearenv refused")).step("clearing the environment"),
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties every capability set: bounding, ambient, effective, permitted, inheritable.
pub(super) fn drop_capabilities(report: &mut JailReport) {
    for capability in 0..=CAPABILITY_MAX {
        // SAFETY: the call takes integers. It fails for numbers that the kernel does not know, and
        // without the privilege, in which case there is nothing to drop.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    // SAFETY: the call takes integers.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let none = [CapabilityData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: header and data have the layout of this version of capset(2): one header and two
    // entries, which the kernel only reads.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } != 0 {
        report.miss(Feature::NoCapabilities, Errno::last());
    }
}

/// Refuses all that landlock can refuse: there is no rule that allows anything.
pub(super) fn restrict_by_landlock(report: &mut JailReport) {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))
        .and_then(|set| set.handle_access(AccessNet::from_all(LANDLOCK_ABI)))
        .and_then(|set| set.scope(Scope::from_all(LANDLOCK_ABI)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    match status {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            report.miss(Feature::Landlock, format!("{:?}", status.landlock));
        }
        Ok(status) => {
            if let landlock::LandlockStatus::Available { effective_abi, .. } = status.landlock {
                report.landlock_abi = effective_abi as u32;
            }
        }
        Err(error) => report.miss(Feature::Landlock, error),
    }
}
