//! Snapshots and forks: states are values, so both cost what a few counters cost, not what the
//! state is large.

use std::fmt;
use std::sync::Arc;

use trilith_engine_account::AccountEngine;
use trilith_types::{Hash, Round, StateRead as _};

use super::instance::{Instance, Settings};
use super::{Local, donors};
use crate::line::Line;

/// An instance as it was at a moment. Snapshots may be taken in snapshots, and each may be gone
/// back to any number of times.
pub struct Snapshot {
    line: Line<AccountEngine>,
    settings: Settings,
}

impl Snapshot {
    /// The root over the state it holds.
    pub fn state_root(&self) -> Hash {
        self.line.state.root()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Snapshot({})", self.state_root())
    }
}

impl Local {
    /// The instance as it is: accounts, history, slot, clock. Reports of units are not part of it.
    pub fn snapshot(&self) -> Snapshot {
        let instance = self.instance();
        let mut line = donors::fork(&instance.line);
        line.state = instance.line.state.clone();
        Snapshot {
            line,
            settings: instance.settings.clone(),
        }
    }

    /// Goes back to a snapshot, of this instance or of another. What follows has the same results
    /// as what followed the snapshot: blockhashes and roots too.
    ///
    /// Clients of the RPC address see the older state; their subscriptions go on when rounds have
    /// passed the number they had reached.
    pub fn revert(&mut self, snapshot: &Snapshot) {
        let mut instance = self.instance();
        donors::give(&instance.line, instance.has_programs);
        let now = &instance.line.runtime;
        let (trusting, threads) = (now.is_trusting(), now.threads());
        let then = &snapshot.line;
        let runtime = then.runtime.fork().trusting(trusting).on_threads(threads);
        let line = Line {
            id: then.id,
            runtime: Arc::new(runtime),
            state: then.state.clone(),
            round: then.round,
            time: then.time,
            from_root: then.from_root.clone(),
        };
        instance.line = line;
        instance.settings = snapshot.settings.clone();
        let round = Round(instance.line.round);
        instance.rounds.send_replace(round);
    }

    /// An instance of its own that goes on from where this one is. It has no RPC address.
    #[must_use]
    pub fn fork(&self) -> Self {
        let instance = self.instance();
        let line = donors::fork(&instance.line);
        let mut fork = Instance::new(line, instance.settings.clone());
        fork.has_programs = instance.has_programs;
        Self::of(fork)
    }
}
