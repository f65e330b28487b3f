//! A message that runs in a sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trilith_protocol::Fault;
use trilith_types::PageFile;

use super::cache::Compiled;
use super::files::{self, Readers};
use super::frame::{Request, Response};
use super::policy::FILES_MAX;
use super::pool::{Lease, Remembered, Seat};
use super::process::page_files;
use super::validate::Bounds;
use crate::api::{Execution, ExecutionRequest, ExecutionResult, Slice};
use crate::executor::wire;

/// An execution in a leased sandbox.
pub(super) struct SandboxedExecution {
    /// `None` once the message has ended or failed.
    lease: Option<Lease>,
    /// The request and its page files, until the first slice is asked for.
    unsent: Option<(Request, Vec<PageFile>)>,
    bounds: Bounds,
    /// The memory that the request named, if the sandbox has it.
    given: Option<Remembered>,
    /// The version that the request named, whether or not the sandbox has it.
    asked: Option<u64>,
    versions: Arc<AtomicU64>,
    watchdog: Duration,
}

impl SandboxedExecution {
    /// Sets up an execution. If that fails, the sandbox is killed.
    pub(super) fn start(
        mut lease: Lease,
        compiled: &Compiled,
        mut request: ExecutionRequest,
        versions: Arc<AtomicU64>,
        readers: &Readers,
        watchdog: Duration,
    ) -> Result<Self, Fault> {
        let deadline = Instant::now() + watchdog;
        let bounds = Bounds::new(&compiled.prepared, &request);
        let seat = lease.seat();
        if !seat.loaded {
            load(seat, compiled, deadline)?;
        }
        // A version is known under another name inside. What the process remembers is used up by
        // the execution, unless its result says that it is still there.
        let remembered = seat.remembered.take();
        let asked = request.memory_version;
        let given = remembered.filter(|version| Some(version.outer) == asked);
        request.memory_version = given.map(|version| version.inner);
        files::gather(&mut [&mut request.heap, &mut request.stable], FILES_MAX)
            .map_err(|error| Fault(format!("page files cannot be copied: {error}")))?;
        let encoded = wire::encode_request(&request);
        let shared = encoded
            .files
            .iter()
            .map(|file| readers.of(file))
            .collect::<Result<Vec<_>, _>>();
        let shared = shared.map_err(|error| Fault(format!("a page file is unusable: {error}")))?;
        let request = Request::Start {
            request: encoded.bytes,
        };
        Ok(Self {
            lease: Some(lease),
            unsent: Some((request, shared)),
            bounds,
            given,
            asked,
            versions,
            watchdog,
        })
    }

    /// Takes a result apart. The sandbox that gave it is not yet trusted to be idle.
    fn finish(
        &self,
        seat: &mut Seat,
        encoded: &[u8],
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<ExecutionResult, Fault> {
        let files = page_files(descriptors);
        let mut result = wire::decode_result(encoded, &files)
            .map_err(|error| Fault(format!("a sandbox gave a malformed result: {error}")))?;
        self.bounds.check(&result)?;
        // A message that changed nothing, or whose changes were dropped, leaves the memory that it
        // was given: a query makes further sandboxes of a canister know its newest version.
        let is_unchanged = match &result.end {
            Err(_) => true,
            Ok(effects) => effects.memory.is_none(),
        };
        let left = result
            .memory_version
            .map(|inner| match (self.given, self.asked) {
                (Some(given), _) if given.inner == inner => given,
                (None, Some(outer)) if is_unchanged => Remembered { outer, inner },
                _ => {
                    let outer = self.versions.fetch_add(1, Ordering::Relaxed);
                    Remembered { outer, inner }
                }
            });
        seat.remembered = left;
        result.memory_version = left.map(|version| version.outer);
        Ok(result)
    }
}

fn load(seat: &mut Seat, compiled: &Compiled, deadline: Instant) -> Result<(), Fault> {
    let prepared = wire::encode_prepared(&compiled.prepared);
    let request = Request::Load {
        prepared,
        code_bytes: compiled.code_bytes,
    };
    seat.process
        .send(&request, std::slice::from_ref(&compiled.code), deadline)?;
    match seat.process.receive(deadline)? {
        (Response::Ready, _) => {
            seat.loaded = true;
            Ok(())
        }
        (Response::Failed { reason }, _) => Err(Fault(reason)),
        _ => Err(Fault(
            "a sandbox answered with another kind than asked".into(),
        )),
    }
}

impl Execution for SandboxedExecution {
    fn run_slice(&mut self) -> Result<Slice, Fault> {
        // Taken out: every way out of this function but the good ones kills the process.
        let Some(mut lease) = self.lease.take() else {
            return Err(Fault("an execution that ended was asked to go on".into()));
        };
        let deadline = Instant::now() + self.watchdog;
        let seat = lease.seat();
        // The first slice is run with the request itself, so that the sandbox wakes up once.
        let (request, files) = self.unsent.take().unwrap_or((Request::Run, Vec::new()));
        seat.process.send(&request, &files, deadline)?;
        match seat.process.receive(deadline)? {
            (Response::Paused, _) => {
                self.lease = Some(lease);
                Ok(Slice::Paused)
            }
            (Response::Finished { result }, descriptors) => {
                let result = self.finish(seat, &result, descriptors)?;
                lease.give_back();
                Ok(Slice::Finished(Box::new(result)))
            }
            (Response::Failed { reason }, _) => Err(Fault(reason)),
            _ => Err(Fault(
                "a sandbox answered with another kind than asked".into(),
            )),
        }
    }
}

impl Drop for SandboxedExecution {
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        if self.unsent.is_some() {
            lease.give_back();
            return;
        }
        let deadline = Instant::now() + self.watchdog;
        // If it cannot be told, the lease ends here and the process with it.
        if lease
            .seat()
            .process
            .send(&Request::Abandon, &[], deadline)
            .is_ok()
        {
            lease.give_back();
        }
    }
}
