//! One sandbox process, seen from the controller.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trilith_jail::{Child, FrameLimits, JailReport, SpawnConfig, spawn};
use trilith_protocol::Fault;
use trilith_types::PageFile;

use super::SandboxConfig;
use super::frame::{PAYLOAD_BYTES_MAX, Request, Response};
use super::metrics::Counters;
use super::role::{ROLE_ARGUMENT, Role};

/// Most descriptors that come with an answer: the changed pages of heap and stable memory.
const ANSWER_LIMITS: FrameLimits = FrameLimits {
    payload_bytes_max: PAYLOAD_BYTES_MAX,
    descriptors_max: 64,
};

/// How long a sandbox may take to come up. Legitimate starts take a fraction of a second.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A jailed process in one of the roles, ready for its first request. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    role: Role,
    report: JailReport,
}

impl Process {
    /// Starts a sandbox and waits until its jail stands and its engine is built.
    pub(super) fn start(
        config: &SandboxConfig,
        role: Role,
        counters: &Counters,
    ) -> Result<Self, Fault> {
        let fault = |error| Fault(format!("a sandbox to {role} did not start: {error}"));
        let mut args = config.arguments.clone();
        args.extend([
            ROLE_ARGUMENT.into(),
            role.name().into(),
            config.requirement_name().into(),
        ]);
        let child = spawn(&SpawnConfig {
            executable: config.executable.clone(),
            args,
            descriptors: Vec::new(),
        })
        .map_err(|error| fault(error.to_string()))?;
        counters.spawned.increment();
        let deadline = Instant::now() + START_PATIENCE;
        let report = child
            .ready(Some(deadline))
            .map_err(|error| fault(error.to_string()))?;
        let mut process = Self {
            child,
            role,
            report,
        };
        match process.receive(deadline)? {
            (Response::Ready, _) => Ok(process),
            (Response::Failed { reason }, _) => Err(fault(reason)),
            _ => Err(fault("its first answer is of the wrong kind".into())),
        }
    }

    /// What its jail consists of.
    pub(super) fn report(&self) -> &JailReport {
        &self.report
    }

    /// The process id of its warden.
    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends a request with files. A sandbox that does not take it is useless: the caller drops it.
    pub(super) fn send(
        &mut self,
        request: &Request,
        files: &[PageFile],
        deadline: Instant,
    ) -> Result<(), Fault> {
        let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
        let channel = self.child.channel();
        match channel.send(&request.encode(), &descriptors, Some(deadline)) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.useless("took no request", &error.to_string())),
        }
    }

    /// Receives an answer. A sandbox that gives none before the deadline, or one that breaks the
    /// protocol, is useless: the caller drops it.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<(Response, Vec<OwnedFd>), Fault> {
        let message = match self.child.channel().receive(&ANSWER_LIMITS, Some(deadline)) {
            Ok(message) => message,
            Err(error) => return Err(self.useless("gave no answer", &error.to_string())),
        };
        let response = Response::decode(&message.payload).map_err(|error| {
            Fault(format!(
                "a sandbox to {} answered in a wrong form: {error}",
                self.role
            ))
        })?;
        Ok((response, message.descriptors))
    }

    /// The fault of a sandbox that did not do its part. Ends it now, so that the cause can be told:
    /// an end of its own shows here.
    fn useless(&mut self, failing: &str, error: &str) -> Fault {
        let end = match self.child.kill() {
            Ok(status) => format!("; it ended with {status}"),
            Err(_) => String::new(),
        };
        Fault(format!(
            "a sandbox to {} {failing}: {error}{end}",
            self.role
        ))
    }
}

/// The one file that comes with an answer.
pub(super) fn only_file(descriptors: Vec<OwnedFd>) -> Result<std::fs::File, Fault> {
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([descriptor]) => Ok(descriptor.into()),
        Err(descriptors) => {
            let count = descriptors.len();
            Err(Fault(format!(
                "a sandbox answered with {count} files, where 1 is due"
            )))
        }
    }
}

/// Page files from descriptors.
pub(super) fn page_files(descriptors: Vec<OwnedFd>) -> Vec<PageFile> {
    descriptors
        .into_iter()
        .map(|descriptor| Arc::new(descriptor.into()))
        .collect()
}
