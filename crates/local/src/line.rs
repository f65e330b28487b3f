//! A line of rounds: one runtime, the state it is at, and executing the next round on it.
//!
//! The same trait, batches and checks as on a node; what is left out is ordering, committees,
//! certificates and the disk. Knows no particular runtime, so that further ones (canisters) can
//! stand beside `accounts`.

use std::sync::Arc;

use trilith_host::check_outcome;
use trilith_protocol::root::FromRoot;
use trilith_protocol::{Batch, Fault, Outcome, RoundContext, RoundLimits, Runtime};
use trilith_types::{Epoch, Height, Round, RuntimeId, StateRead as _, TimeNanos};

use crate::memory::Memory;

/// The bounds of a round: none that a test meets, so that programs are what limits it.
const LIMITS: RoundLimits = RoundLimits {
    batch_inputs_max: u32::MAX,
    batch_bytes_max: u64::MAX,
    messages_max: u32::MAX,
};

/// Where a line of rounds is.
pub(crate) struct Line<R> {
    pub(crate) id: RuntimeId,
    pub(crate) runtime: Arc<R>,
    pub(crate) state: Arc<Memory>,
    /// The newest round; 0 before the first.
    pub(crate) round: u64,
    /// Agreed time of the newest round.
    pub(crate) time: TimeNanos,
    /// What rounds see of the root.
    pub(crate) from_root: FromRoot,
}

impl<R: Runtime> Line<R> {
    /// A line without rounds.
    pub(crate) fn new(id: RuntimeId, runtime: R, time: TimeNanos) -> Self {
        Self {
            id,
            runtime: Arc::new(runtime),
            state: Arc::default(),
            round: 0,
            time,
            from_root: FromRoot::default(),
        }
    }

    /// Executes a round at `time` and keeps what it changed. `told` may take more from the runtime
    /// before the outcome is sealed.
    ///
    /// # Errors
    /// [`Fault`] if this process failed; the line is where it was then.
    pub(crate) fn round<T>(
        &mut self,
        batch: &Batch,
        told: impl FnOnce(&R) -> T,
    ) -> Result<(Outcome, T), Fault> {
        let time = batch.time.max(self.time);
        let round = self.round + 1;
        let context = RoundContext {
            runtime: self.id,
            round: Round(round),
            time,
            height: Height(round),
            epoch: Epoch(0),
            committee: Vec::new(),
            randomness: None,
            from_root: self.from_root.clone(),
        };
        let outcome = self
            .runtime
            .execute(&*self.state, batch, &context, &LIMITS)?;
        check_outcome(&outcome, &*self.state, batch, &LIMITS)
            .map_err(|error| Fault(error.to_string()))?;
        let told = told(&self.runtime);
        self.seal(&outcome, time)?;
        Ok((outcome, told))
    }

    /// Keeps an outcome as the next round.
    pub(crate) fn seal(&mut self, outcome: &Outcome, time: TimeNanos) -> Result<(), Fault> {
        let next = self.state.next(&outcome.write_log, &outcome.images)?;
        self.runtime.sealed(next.root());
        self.state = Arc::new(next);
        self.round += 1;
        self.time = time;
        Ok(())
    }
}
