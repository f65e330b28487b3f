//! The sandboxes of one executor: warm ones that nobody uses yet, idle ones that belong to a
//! canister, and busy ones.
//!
//! A process serves one module of one canister for all its life, so that code of one canister
//! never runs in a process that another one ran in. One thread keeps warm processes ready and
//! buries dead ones; whoever needs a process when none is warm starts it.
//!
//! Which process serves an execution is a matter of speed only: what it remembers of the canister's
//! memory is used only where the request names exactly that version.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candid::Principal;
use trilith_protocol::Fault;

use super::SandboxConfig;
use super::metrics::Counters;
use super::process::Process;
use super::role::Role;
use crate::api::ModuleHash;

/// How long the thread waits after a start that failed, so that a host that lacks memory or
/// processes is not asked all the time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Compiler processes kept warm. Each serves one module.
const WARM_COMPILERS: usize = 1;

/// The version of a memory that a process still has: under the name that callers know, and under
/// the name that the process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) outer: u64,
    pub(super) inner: u64,
}

/// A process that belongs to a module of a canister.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) process: Process,
    pub(super) canister: Principal,
    pub(super) module: ModuleHash,
    /// Whether the module is loaded.
    pub(super) loaded: bool,
    pub(super) remembered: Option<Remembered>,
}

#[derive(Debug, Default)]
struct State {
    warm: Vec<Process>,
    warm_compilers: Vec<Process>,
    /// The one used last stands at the end.
    idle: VecDeque<Seat>,
    /// Seats given out.
    busy: usize,
    /// Processes to be killed.
    dead: Vec<Process>,
    stopping: bool,
}

#[derive(Debug)]
struct Shared {
    config: SandboxConfig,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// Signalled when there is work for the thread.
    work: Condvar,
    /// Signalled when a seat is no longer busy.
    freed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool. Dropping it kills all its processes; leases outlive it harmlessly.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    /// Starts a first process, which shows whether this host can, and the thread.
    pub(super) fn start(config: SandboxConfig, counters: Arc<Counters>) -> Result<Self, Fault> {
        let first = Process::start(&config, Role::Execute, &counters)?;
        if !first.report().is_complete() {
            tracing::warn!(report = %first.report(), "sandboxes are not fully isolated");
        } else {
            tracing::debug!(report = %first.report(), "sandboxes are isolated");
        }
        let state = State {
            warm: vec![first],
            ..State::default()
        };
        let shared = Arc::new(Shared {
            config,
            counters,
            state: Mutex::new(state),
            work: Condvar::new(),
            freed: Condvar::new(),
        });
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("sandbox-pool".into())
            .spawn(move || work(&worker))
            .map_err(|error| Fault(format!("no thread for the sandboxes: {error}")))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A process for a module of a canister; best one that remembers version `outer` of its
    /// memory. Waits while all processes that may live are busy.
    pub(super) fn lease(
        &self,
        canister: Principal,
        module: ModuleHash,
        outer: Option<u64>,
    ) -> Result<Lease, Fault> {
        let shared = &self.shared;
        let deadline = Instant::now() + shared.config.slice_watchdog;
        let mut state = shared.lock();
        loop {
            if let Some(seat) = take_idle(&mut state.idle, canister, module, outer) {
                state.busy += 1;
                shared.counters.warm_starts.increment();
                return Ok(self.lend(seat));
            }
            if self.make_room(&mut state, canister, module) {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let limit = shared.config.live_max;
                return Err(Fault(format!(
                    "all {limit} sandboxes are busy, which is the limit"
                )));
            }
            let waited = shared.freed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.busy += 1;
        let warm = state.warm.pop();
        drop(state);
        shared.work.notify_one();
        match self.take_or_start(warm, Role::Execute) {
            Ok(process) => {
                let seat = Seat {
                    process,
                    canister,
                    module,
                    loaded: false,
                    remembered: None,
                };
                Ok(self.lend(seat))
            }
            Err(fault) => {
                shared.lock().busy -= 1;
                shared.freed.notify_one();
                Err(fault)
            }
        }
    }

    /// A process that compiles one module. The caller drops it afterwards.
    pub(super) fn compiler(&self) -> Result<Process, Fault> {
        let warm = self.shared.lock().warm_compilers.pop();
        self.shared.work.notify_one();
        self.take_or_start(warm, Role::Compile)
    }

    /// Process ids of the wardens of all processes that are not busy.
    pub(super) fn resting(&self) -> Vec<u32> {
        let state = self.shared.lock();
        let idle = state.idle.iter().map(|seat| &seat.process);
        state
            .warm
            .iter()
            .chain(&state.warm_compilers)
            .chain(idle)
            .map(Process::pid)
            .collect()
    }

    fn take_or_start(&self, warm: Option<Process>, role: Role) -> Result<Process, Fault> {
        let counters = &self.shared.counters;
        match warm {
            Some(process) => {
                counters.warm_starts.increment();
                Ok(process)
            }
            None => {
                counters.cold_starts.increment();
                Process::start(&self.shared.config, role, counters)
            }
        }
    }

    /// Buries processes of the canister's former modules, and if need be the process that was used
    /// longest ago. Whether one more may live then.
    fn make_room(&self, state: &mut State, canister: Principal, module: ModuleHash) -> bool {
        let mut index = 0;
        while let Some(seat) = state.idle.get(index) {
            if seat.canister == canister && seat.module != module {
                let seat = state.idle.remove(index);
                state.dead.extend(seat.map(|seat| seat.process));
            } else {
                index += 1;
            }
        }
        while state.idle.len() + state.busy >= self.shared.config.live_max {
            let Some(oldest) = state.idle.pop_front() else {
                return false;
            };
            self.shared.counters.evicted.increment();
            state.dead.push(oldest.process);
        }
        true
    }

    fn lend(&self, seat: Seat) -> Lease {
        Lease {
            seat: Some(seat),
            shared: self.shared.clone(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic; if it did, its processes end with this one.
            let _ = thread.join();
        }
    }
}

/// Takes the best idle seat: one that remembers the version, otherwise the one used last.
fn take_idle(
    idle: &mut VecDeque<Seat>,
    canister: Principal,
    module: ModuleHash,
    outer: Option<u64>,
) -> Option<Seat> {
    let fits = |seat: &Seat| seat.canister == canister && seat.module == module;
    let remembers = |seat: &Seat| seat.remembered.map(|version| version.outer) == outer;
    let index = idle
        .iter()
        .rposition(|seat| fits(seat) && outer.is_some() && remembers(seat))
        .or_else(|| idle.iter().rposition(fits))?;
    idle.remove(index)
}

/// A seat given out. Dropping it without [`Lease::give_back`] kills its process: nobody knows then
/// in which state it is.
#[derive(Debug)]
pub(super) struct Lease {
    /// Taken only at the end of the lease.
    seat: Option<Seat>,
    shared: Arc<Shared>,
}

impl Lease {
    /// The seat.
    pub(super) fn seat(&mut self) -> &mut Seat {
        self.seat
            .as_mut()
            .expect("a lease has its seat until it ends")
    }

    /// Ends the lease; the process waits for the canister's next message.
    pub(super) fn give_back(mut self) {
        if let Some(seat) = self.seat.take() {
            let mut state = self.shared.lock();
            state.busy -= 1;
            if state.stopping {
                drop(state);
                drop(seat);
            } else {
                state.idle.push_back(seat);
                drop(state);
            }
            self.shared.freed.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        self.shared.counters.faulted.increment();
        let mut state = self.shared.lock();
        state.busy -= 1;
        if state.stopping {
            drop(state);
            drop(seat);
        } else {
            state.dead.push(seat.process);
            drop(state);
            self.shared.work.notify_one();
        }
        self.shared.freed.notify_one();
    }
}

/// The thread: buries the dead and keeps processes warm, until the pool is dropped.
fn work(shared: &Shared) {
    loop {
        let (dead, missing) = {
            let mut state = shared.lock();
            loop {
                let missing = missing_role(&state, &shared.config);
                if state.stopping || !state.dead.is_empty() || missing.is_some() {
                    break (std::mem::take(&mut state.dead), missing);
                }
                state = shared
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        // Killing waits for the end of the process, so it happens outside the lock.
        drop(dead);
        if shared.lock().stopping {
            break;
        }
        if let Some(role) = missing {
            refill(shared, role);
        }
    }
    // Taken out under the lock and killed outside.
    let mut state = shared.lock();
    let processes = (
        std::mem::take(&mut state.warm),
        std::mem::take(&mut state.warm_compilers),
        std::mem::take(&mut state.idle),
        std::mem::take(&mut state.dead),
    );
    drop(state);
    drop(processes);
}

fn missing_role(state: &State, config: &SandboxConfig) -> Option<Role> {
    if state.warm.len() < config.warm {
        Some(Role::Execute)
    } else if state.warm_compilers.len() < WARM_COMPILERS {
        Some(Role::Compile)
    } else {
        None
    }
}

fn refill(shared: &Shared, role: Role) {
    match Process::start(&shared.config, role, &shared.counters) {
        Ok(process) => {
            let mut state = shared.lock();
            match role {
                Role::Execute => state.warm.push(process),
                Role::Compile => state.warm_compilers.push(process),
            }
        }
        Err(fault) => {
            tracing::warn!(%fault, "no warm sandbox");
            let state = shared.lock();
            if !state.stopping {
                drop(shared.work.wait_timeout(state, RETRY_PAUSE));
            }
        }
    }
}
