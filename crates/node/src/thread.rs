//! A node on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use trilith_store::Store;
use trilith_types::RuntimeId;

use crate::{
    Clock, Core, Membership, NodeConfig, NodeError, RootHandle, RoundLog, RuntimeHandle,
    RuntimeRegistry,
};

/// Longest sleep between two looks at what is due, so that a clock that jumps is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A running node. Dropping it stops it.
pub struct Node {
    handles: Vec<(RuntimeId, RuntimeHandle)>,
    root: RootHandle,
    rounds: Arc<RoundLog>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

impl Node {
    /// Opens the network in `store` and starts working.
    ///
    /// # Errors
    /// [`NodeError`] as of [`Core::open`], or if no thread can be started.
    pub fn start(
        store: Arc<Store>,
        registry: &RuntimeRegistry,
        config: NodeConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NodeError> {
        let (wake, woken) = sync_channel(1);
        let core = Core::open(store, registry, config, clock.clone(), wake.clone())?;
        Self::run(core, (wake, woken), clock)
    }

    /// Does as [`Node::start`], as one node of several.
    ///
    /// # Errors
    /// As of [`Node::start`].
    pub fn join(
        store: Arc<Store>,
        registry: &RuntimeRegistry,
        config: NodeConfig,
        (membership, clock): (Membership, Arc<dyn Clock>),
    ) -> Result<Self, NodeError> {
        let (wake, woken) = sync_channel(1);
        let joined = (membership, clock.clone());
        let core = Core::join(store, registry, config, joined, wake.clone())?;
        Self::run(core, (wake, woken), clock)
    }

    fn run(
        core: Core,
        (wake, woken): (SyncSender<()>, Receiver<()>),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NodeError> {
        let handle = |id: &RuntimeId| core.handle(id).map(|handle| (*id, handle));
        let handles = core.runtimes().filter_map(handle).collect();
        let root = core.root();
        let rounds = core.rounds();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = Builder::new()
            .name("trilith-node".into())
            .spawn(move || run(core, &woken, &stopped, &*clock))
            .map_err(|error| NodeError::State(format!("no thread can be started: {error}")))?;
        Ok(Self {
            handles,
            root,
            rounds,
            stop,
            wake,
            thread: Some(thread),
        })
    }

    /// The handle of a runtime; `None` if the network has no such runtime.
    pub fn handle(&self, runtime: &RuntimeId) -> Option<RuntimeHandle> {
        self.handles
            .iter()
            .find(|(id, _)| id == runtime)
            .map(|(_, handle)| handle.clone())
    }

    /// The handle of the root.
    pub fn root(&self) -> RootHandle {
        self.root.clone()
    }

    /// What the node sees of rounds; empty on the only node of a network.
    pub fn rounds(&self) -> &Arc<RoundLog> {
        &self.rounds
    }

    /// Whether the thread still works. It ends by itself only if the node cannot go on; then
    /// [`Node::stop`] tells why.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Stops after the step that is being done.
    ///
    /// # Errors
    /// The error that ended the node, if one did.
    pub fn stop(mut self) -> Result<(), NodeError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), NodeError> {
        self.stop.store(true, Memory::Release);
        // A full channel wakes the thread as well.
        let _full = self.wake.try_send(());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(NodeError::State("the node's thread panicked".into())),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the node ended with an error");
        }
    }
}

fn run(
    mut core: Core,
    woken: &Receiver<()>,
    stop: &AtomicBool,
    clock: &dyn Clock,
) -> Result<(), NodeError> {
    while !stop.load(Memory::Acquire) {
        let report = core.step().inspect_err(|error| {
            tracing::error!(%error, "the node cannot go on");
        })?;
        let sleep = report.wake.map_or(SLEEP_MAX, |at| {
            Duration::from_nanos(at.0.saturating_sub(clock.now().0)).min(SLEEP_MAX)
        });
        if sleep.is_zero() {
            continue;
        }
        match woken.recv_timeout(sleep) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}
