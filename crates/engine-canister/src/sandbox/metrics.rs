//! Counters of the sandboxes, for people. They reach no outcome.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) spawned: Counter,
    pub(super) faulted: Counter,
    pub(super) evicted: Counter,
    pub(super) warm_starts: Counter,
    pub(super) cold_starts: Counter,
    pub(super) compiled: Counter,
    pub(super) memory_hits: Counter,
    pub(super) disk_hits: Counter,
}

/// A reading of the counters, each since the executor was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxMetrics {
    /// Sandbox processes started.
    pub spawned: u64,
    /// Sandboxes killed because they died, hung, or broke the protocol.
    pub faulted: u64,
    /// Idle sandboxes killed to make room.
    pub evicted: u64,
    /// Times a canister got a sandbox that was ready.
    pub warm_starts: u64,
    /// Times a sandbox had to be started while a canister waited for it.
    pub cold_starts: u64,
    /// Modules compiled.
    pub compiled: u64,
    /// Modules found in memory.
    pub memory_hits: u64,
    /// Modules found on disk.
    pub disk_hits: u64,
}

impl Counters {
    pub(super) fn read(&self) -> SandboxMetrics {
        SandboxMetrics {
            spawned: self.spawned.read(),
            faulted: self.faulted.read(),
            evicted: self.evicted.read(),
            warm_starts: self.warm_starts.read(),
            cold_starts: self.cold_starts.read(),
            compiled: self.compiled.read(),
            memory_hits: self.memory_hits.read(),
            disk_hits: self.disk_hits.read(),
        }
    }
}
