//! The child's side: from a fresh process to one in an empty world.
//!
//! The order matters. What needs files of the host (user id maps, the pagemap) comes before the
//! root is taken away, what needs capabilities before they are dropped, and the system call filter
//! comes last because it forbids most of what the others do:
//!
//! ```text
//! greeting and descriptors -> identity -> namespaces -> fork (the outer process becomes warden)
//!   -> die with the warden -> own pagemap and userfaultfd -> empty root -> limits -> environment
//!   -> capabilities -> landlock -> close everything else -> report -> filter
//! ```

mod descriptors;
mod namespaces;
mod privileges;
mod tracking;
mod warden;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::prctl;
use thiserror::Error;

use crate::report::encode_readiness;
use crate::{Channel, ChannelError, JailReport, Policy, Requirement};

/// What a jailed process starts with.
#[derive(Debug)]
pub struct Entered {
    /// The channel to the parent.
    pub channel: Channel,
    /// The descriptors that the parent passed, in its order.
    pub descriptors: Vec<OwnedFd>,
    /// `/proc/self/pagemap` of this process, if the policy asks for it and the host has it.
    pub pagemap: Option<OwnedFd>,
    /// A userfaultfd of this process for faults in user mode, not yet initialised, if the policy
    /// asks for it and the host has it.
    pub userfaultfd: Option<OwnedFd>,
    /// What the jail consists of.
    pub report: JailReport,
}

/// Why a jail was not entered. The process must end.
#[derive(Debug, Error)]
pub enum EnterError {
    /// The process was not started by [`crate::spawn`].
    #[error("this process was not started as a jailed child: {0}")]
    NotAChild(ChannelError),
    /// More than one thread runs already.
    #[error("{0} threads run, where a process that enters a jail has 1")]
    Threads(usize),
    /// The host lacks a required feature.
    #[error("the host does not offer what the jail requires: {0}")]
    Missing(String),
    /// A step failed that every host can do.
    #[error("{step} failed: {error}")]
    Step {
        /// The step.
        step: &'static str,
        /// What the operating system said.
        error: io::Error,
    },
    /// The system call filter does not compile.
    #[error("the system call filter does not compile: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

/// Names the step that failed.
trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, EnterError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, EnterError> {
        self.map_err(|error| EnterError::Step {
            step,
            error: error.into(),
        })
    }
}

/// Enters the jail. The caller is a fresh process of one thread, started by [`crate::spawn`]; it
/// returns in another process than it was called in, and the parent has been told how it went.
///
/// # Errors
/// [`EnterError`]; the parent has been told if it is there. The process must end, because it may be
/// in any state between free and jailed.
pub fn enter(policy: &Policy) -> Result<Entered, EnterError> {
    let channel = descriptors::take_channel()?;
    match build(policy, &channel) {
        Ok(built) => {
            let readiness = encode_readiness(&Ok(built.report.clone()));
            channel
                .send(&readiness, &[], None)
                .map_err(EnterError::NotAChild)?;
            // The last step. It leaves the sent report true: a failure ends the process.
            seccompiler::apply_filter(&built.filter)
                .map_err(|error| io::Error::other(error.to_string()))
                .step("installing the system call filter")?;
            Ok(Entered {
                channel,
                descriptors: built.descriptors,
                pagemap: built.pagemap,
                userfaultfd: built.userfaultfd,
                report: built.report,
            })
        }
        Err(error) => {
            // The parent may be gone; this process ends anyway.
            let _ = channel.send(&encode_readiness(&Err(error.to_string())), &[], None);
            Err(error)
        }
    }
}

struct Built {
    descriptors: Vec<OwnedFd>,
    pagemap: Option<OwnedFd>,
    userfaultfd: Option<OwnedFd>,
    report: JailReport,
    filter: seccompiler::BpfProgram,
}

fn build(policy: &Policy, channel: &Channel) -> Result<Built, EnterError> {
    let passed = descriptors::receive_greeting(channel, policy.limits.descriptors_max)?;
    let threads = std::fs::read_dir("/proc/self/task")
        .step("counting threads")?
        .count();
    if threads != 1 {
        return Err(EnterError::Threads(threads));
    }
    let filter = policy.syscalls.compile(policy.denial)?;
    let mut report = JailReport {
        filter_instructions: filter.len() as u32,
        ..JailReport::default()
    };
    privileges::take_unprivileged_identity(&mut report)?;
    namespaces::unshare_all(&mut report)?;
    warden::fork_under_warden(channel)?;
    let pagemap = policy
        .pagemap
        .then(|| tracking::open_pagemap(&mut report))
        .flatten();
    let userfaultfd = policy
        .userfaultfd
        .then(|| tracking::open_userfaultfd(&mut report))
        .flatten();
    namespaces::empty_root(&mut report);
    privileges::set_limits(&policy.limits)?;
    privileges::clear_environment()?;
    privileges::drop_capabilities(&mut report);
    prctl::set_no_new_privs().step("forbidding new privileges")?;
    privileges::restrict_by_landlock(&mut report);
    prctl::set_dumpable(false).step("forbidding to be traced")?;
    let kept = passed
        .iter()
        .chain(&pagemap)
        .chain(&userfaultfd)
        .map(AsRawFd::as_raw_fd);
    descriptors::close_others(kept.chain([channel.stream().as_raw_fd()]).collect())?;
    if policy.requirement == Requirement::Required && !report.is_complete() {
        return Err(EnterError::Missing(report.to_string()));
    }
    Ok(Built {
        descriptors: passed,
        pagemap,
        userfaultfd,
        report,
        filter,
    })
}
