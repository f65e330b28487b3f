//! The engine as a [`Runtime`], and its caches.

pub(crate) mod embedded;

use std::sync::{Mutex, MutexGuard, PoisonError};

use trilith_protocol::{
    Admission, Batch, CheckContext, Demand, Fault, Outcome, QueryContext, QueryError, Reject,
    RoundContext, RoundLimits, Runtime,
};
use trilith_types::{Hash, StateRead};

use crate::admit;
use crate::answer::Desk;
use crate::bank::decode::Verified;
use crate::bank::features;
use crate::bank::genesis::Genesis;
use crate::bank::round::{self, Circumstances, Left};
use crate::bank::warm::Warm;
use crate::parallel::Workers;

/// What an engine is made from.
#[derive(Clone, Debug)]
pub struct AccountConfig {
    /// The first state. All nodes of a network use the same.
    pub genesis: Genesis,
    /// Threads for signatures and execution, at least 1. Any number gives the same outcomes.
    pub threads: usize,
}

/// The account engine: a [`Runtime`].
pub struct AccountEngine {
    config: AccountConfig,
    warm: Mutex<Option<(Hash, Warm)>>,
    /// What the outcome returned last leaves once it is sealed.
    pending: Mutex<Option<Left>>,
    desk: Desk,
    verified: Verified,
    workers: Workers,
    /// See [`Self::judging`].
    is_judging: bool,
}

impl AccountEngine {
    /// An engine that remembers nothing yet.
    pub fn new(config: AccountConfig) -> Self {
        Self {
            workers: Workers::new(config.threads),
            config,
            warm: Mutex::default(),
            pending: Mutex::default(),
            desk: Desk::default(),
            verified: Verified::default(),
            is_judging: false,
        }
    }
}

/// A thread that panicked left at worst a memory that is not used: it counts only together with
/// the root it is of.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime for AccountEngine {
    fn check(
        &self,
        view: &dyn StateRead,
        transaction: &[u8],
        context: &CheckContext,
    ) -> Result<Admission, Reject> {
        admit::check(view, transaction, context, (&self.desk, &self.verified))
    }

    fn execute(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
        context: &RoundContext,
        _: &RoundLimits,
    ) -> Result<Outcome, Fault> {
        *lock(&self.pending) = None;
        // Programs compiled in a round that is dropped must not be seen by another, so the memory
        // is taken, and comes back only when the round is sealed.
        let warm = lock(&self.warm)
            .take()
            .filter(|(root, _)| *root == view.root())
            .map(|(_, warm)| warm);
        let mut warm = match warm {
            Some(warm) => warm,
            None => Warm::load(view)?,
        };
        warm.is_quick = !self.is_judging;
        let circumstances = Circumstances {
            genesis: &self.config.genesis,
            workers: &self.workers,
            verified: &self.verified,
        };
        let (outcome, left) = self
            .workers
            .within(|| round::execute(&circumstances, warm, view, batch, context))?;
        *lock(&self.pending) = Some(left);
        Ok(outcome)
    }

    fn query(
        &self,
        view: &dyn StateRead,
        request: &[u8],
        _: &QueryContext,
    ) -> Result<Vec<u8>, QueryError> {
        Ok(self.desk.answer(view, request, &self.verified)?.encode())
    }

    fn demand(&self, view: &dyn StateRead) -> Result<Demand, Fault> {
        let chain = self.desk.chain(view)?;
        Ok(chain.map_or(Demand::Now, |chain| Demand::At(chain.next_round_due())))
    }

    fn outdated(&self, view: &dyn StateRead, context: &RoundContext) -> Option<String> {
        let approved = &context.from_root.features;
        // Where the state cannot be read, trying again may help.
        features::outdated(view, approved, context.time)
            .ok()
            .flatten()
    }

    fn sealed(&self, root: Hash) {
        let Some(mut left) = lock(&self.pending).take() else {
            return;
        };
        let changes = left.warm.table.take_changes(&left.written);
        self.desk.advance(|index| {
            index.advance(left.parent, root, changes, &left.part);
        });
        *lock(&self.warm) = Some((root, left.warm));
    }
}
