//! When this node proposes, and what.
//!
//! ```text
//! since:      when this node saw that there is something to do in the round
//! allowance:  ranks that may propose: 0 at once, one more with every proposal timeout since then
//! propose:    own rank within the allowance, and no scheduler of a better rank has committed, and
//!             none is known to propose, or its proposal is old without a commitment
//! ```
//!
//! Source: Oasis Core `worker/compute/executor/committee` (ranks by wall clock, no proposal just
//! before an epoch transition).

use std::sync::atomic::Ordering as Memory;

use trilith_host::HostFault;
use trilith_params::host::{EXECUTION_TIMEOUTS, ROOT_TIME_LAG_MAX, ROUND_RETRY_DELAY};
use trilith_protocol::{Batch, Demand, Proposal, RoundLimits};
use trilith_types::{Hash, TimeNanos};

use super::Worker;
use super::running::Known;
use crate::NodeError;
use crate::ledger::Ledger;
use crate::net::Message;
use crate::signed::{OpenProposal, STORED_BATCH_BYTES_MAX, Slot, slot};

impl Worker {
    /// When the state needs a round although no transaction arrives.
    pub(super) fn demand(&self) -> Result<Option<TimeNanos>, NodeError> {
        let demand = self
            .shared
            .runtime
            .demand(&*self.head.view)
            .map_err(HostFault::from)?;
        Ok(match demand {
            Demand::Now => Some(TimeNanos(0)),
            Demand::At(time) => Some(time),
            Demand::Idle => None,
        })
    }

    /// Whether a round is wanted at `now`.
    fn wanted(&self, now: TimeNanos) -> Result<bool, NodeError> {
        let asked = self.asked
            || self.shared.refresh.load(Memory::Acquire)
            || !self.shared.intake().pool.is_empty();
        Ok(asked || self.demand()?.is_some_and(|at| at <= now))
    }

    /// Notes that there is something to do in the running round, if there is.
    pub(super) fn note_work(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        if self.running.since.is_none()
            && (!self.running.proposals.is_empty() || self.wanted(now)?)
        {
            self.running.since = Some(now);
        }
        Ok(())
    }

    /// The worst rank that may propose at `now`.
    pub(super) fn allowance(&self, now: TimeNanos) -> u64 {
        let waited = self
            .running
            .since
            .map_or(0, |since| now.0.saturating_sub(since.0));
        waited / self.propose_timeout
    }

    /// Whether the scheduler of `rank`, this node, may propose at `now`.
    fn may_propose(&self, rank: u64, now: TimeNanos) -> bool {
        let running = &self.running;
        let status = &running.status;
        if running.own.is_some() || status.disputed || rank > self.allowance(now) {
            return false;
        }
        let deadline = self.propose_timeout.saturating_mul(EXECUTION_TIMEOUTS);
        let overdue = |known: &Known| now.0.saturating_sub(known.since.0) >= deadline;
        status.best.is_none_or(|best| rank < best)
            && running
                .proposals
                .range(..rank)
                .all(|(_, known)| overdue(known))
    }

    /// Proposes, if it is this node's turn and there is something to propose. Says whether anything
    /// happened.
    pub(super) fn schedule(
        &mut self,
        ledger: &mut Ledger,
        rank: u64,
        now: TimeNanos,
        began: &mut bool,
    ) -> Result<bool, NodeError> {
        if *began || !self.may_propose(rank, now) || !self.wanted(now)? {
            return Ok(false);
        }
        let tip = ledger.root()?.tip()?;
        let networked = ledger.net.is_some();
        if networked && (tip.height.0 + 1).is_multiple_of(ledger.epoch_interval) {
            // What is committed in the next block would be dropped by the new epoch.
            ledger.refresh(now)?;
            return Ok(ledger.root()?.tip()?.height != tip.height);
        }
        if now.0.saturating_sub(tip.time.0) > ROOT_TIME_LAG_MAX {
            ledger.refresh(now)?;
            if ledger.root()?.tip()?.height != tip.height {
                return Ok(true);
            }
            if networked {
                return Ok(false);
            }
        }
        *began = true;
        self.asked = false;
        self.shared.refresh.store(false, Memory::Release);
        self.propose(ledger, rank, now)?;
        Ok(true)
    }

    /// Cuts a batch, signs the proposal, stores it and sends it to the others.
    fn propose(&mut self, ledger: &mut Ledger, rank: u64, now: TimeNanos) -> Result<(), NodeError> {
        let Some(circumstances) = ledger.root()?.circumstances(&self.id)? else {
            self.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
            return Ok(());
        };
        let time = now.max(TimeNanos(self.head.time.0.saturating_add(1)));
        let (batch, ids) = self.cut(now, time);
        let (key, round) = (&ledger.key, self.running.round);
        let previous = self.running.block.hash();
        let proposal = Proposal::sign(key, round, previous, &batch, &self.id, &ledger.chain);
        let open = OpenProposal {
            proposal,
            batch,
            circumstances,
        };
        let store = ledger.host.store();
        store.put_signed(&slot(&self.id, round, Slot::Proposal), &open.encode())?;
        if ledger.net.is_some() {
            store.sync()?;
            ledger.broadcast(&proposal_message(self.id, &open));
        }
        let known = Known {
            open,
            ids: Some(ids),
            since: now,
            own: true,
        };
        self.running.proposals.insert(rank, known);
        self.running.own = Some(rank);
        self.running.since.get_or_insert(now);
        Ok(())
    }

    fn cut(&mut self, now: TimeNanos, time: TimeNanos) -> (Batch, Vec<Hash>) {
        let mut intake = self.shared.intake();
        for gone in intake.pool.expire(now) {
            intake.waiters.remove(&gone);
        }
        let limits = RoundLimits {
            batch_bytes_max: self.limits.batch_bytes_max.min(STORED_BATCH_BYTES_MAX),
            ..self.limits
        };
        let (batch, ids) = intake.pool.cut(&limits, time);
        intake.in_flight = ids.iter().copied().collect();
        (batch, ids)
    }
}

/// A proposal as it is sent to others.
pub(super) fn proposal_message(runtime: trilith_types::RuntimeId, open: &OpenProposal) -> Message {
    Message::Proposal {
        runtime,
        height: open.circumstances.height,
        proposal: Box::new(open.proposal.clone()),
        batch: open.batch.clone(),
    }
}
