//! One runtime on this node: cutting batches, executing rounds, committing, publishing.
//!
//! ```text
//! round:  proposal of an earlier round still open (the root ended that round)?  its batch goes back
//!         proposal of this round already signed (restart, or a fault)?  take its batch again
//!         else cut one from the pool, sign, store
//!         execute and seal (once more after a fault; then abstain until a later step)
//!         sign the commitment, store, submit to the root
//!         the root finalised it?  finalise, certify the leaf, sync, publish, answer
//!         it did not?             the batch goes back to the pool
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use trilith_host::{Executed, HostFault};
use trilith_params::host::{INPUT_BYTES_MAX, ROOT_TIME_LAG_MAX, ROUND_RETRY_DELAY};
use trilith_protocol::commitment::ExecutorCommitmentHeader;
use trilith_protocol::root::RuntimeDescriptor;
use trilith_protocol::{
    Batch, BlockHeader, CheckContext, Demand, ExecutorCommitment, HeaderType, Proposal,
    RootTransaction, RoundContext, RoundLimits, Runtime,
};
use trilith_store::{Store, StoreFault};
use trilith_types::{Hash, Round, RuntimeId, TimeNanos};

use crate::core::Ledger;
use crate::handle::{Intake, Shared};
use crate::signed::{Certified, OpenProposal, STORED_BATCH_BYTES_MAX, Slot, round_prefix, slot};
use crate::{NodeError, Pool, PoolLimits, Snapshot, Submitted};

/// One runtime's worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    id: RuntimeId,
    limits: RoundLimits,
    /// After a fault: not before this time.
    retry: Option<TimeNanos>,
    /// The round of a proposal that is signed and not finished.
    open: Option<Round>,
    /// Identities of the inputs of that proposal, in order; empty if it was made before a restart,
    /// when nobody waits for its receipts any more.
    open_ids: Vec<Hash>,
}

/// What a round builds on.
struct Base {
    block: BlockHeader,
    round: Round,
    context: RoundContext,
}

impl Worker {
    /// Restores the worker from the store: finalises what the root finalised, and publishes the
    /// newest state.
    pub(crate) fn open(
        ledger: &mut Ledger,
        runtime: Arc<dyn Runtime>,
        descriptor: &RuntimeDescriptor,
        pool: PoolLimits,
    ) -> Result<Self, NodeError> {
        let id = descriptor.id;
        let store = ledger.host.store().clone();
        let block = ledger.root()?.latest_block(&id)?;
        let state_root = block.state_root;
        if store.current(id).map(|(_, root)| root) != Some(state_root)
            && let Some((round, root)) = store
                .candidates(id)
                .into_iter()
                .filter(|(_, root)| *root == state_root)
                .max()
        {
            store.finalise(id, round, root)?;
        }
        let view = ledger.host.view(id, state_root)?;
        let finished = store
            .current(id)
            .map_or(Round(0), |(round, _)| Round(round));
        let certified = certified(&store, &id, finished, &block)?;
        let snapshot = Snapshot {
            runtime: id,
            round: finished,
            time: certified.time,
            view,
            evidence: None,
            attested: certified.attested,
        };
        let (snapshots, _) = watch::channel(Arc::new(snapshot));
        let limits = descriptor.round_limits();
        let intake = Intake {
            pool: Pool::new(pool),
            in_flight: BTreeSet::new(),
            waiters: BTreeMap::new(),
        };
        let next = block.round.next();
        let open = store.signed(&slot(&id, next, Slot::Proposal)).map(|_| next);
        let shared = Arc::new(Shared {
            id,
            runtime,
            transaction_bytes_max: limits.batch_bytes_max.min(INPUT_BYTES_MAX as u64),
            intake: Mutex::new(intake),
            snapshots,
            // A first round gives a new or restarted network a fresh, certified state.
            refresh: AtomicBool::new(true),
            busy: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
        });
        Ok(Self {
            shared,
            id,
            limits,
            retry: None,
            open,
            open_ids: Vec::new(),
        })
    }

    /// Whether a round is due.
    pub(crate) fn due(&self, now: TimeNanos) -> Result<bool, NodeError> {
        if self.retry.is_some_and(|at| now < at) {
            return Ok(false);
        }
        let asked = self.open.is_some()
            || self.shared.refresh.load(Memory::Acquire)
            || !self.shared.intake().pool.is_empty();
        Ok(asked || self.demand()?.is_some_and(|at| at <= now))
    }

    /// When a round is due if nothing happens.
    pub(crate) fn wake(&self) -> Result<Option<TimeNanos>, NodeError> {
        let waiting = self.open.is_some() || !self.shared.intake().pool.is_empty();
        match (self.retry, waiting) {
            (Some(at), _) => Ok(Some(at)),
            (None, true) => Ok(Some(TimeNanos(0))),
            (None, false) => self.demand(),
        }
    }

    fn demand(&self) -> Result<Option<TimeNanos>, NodeError> {
        let snapshot = self.shared.snapshots.borrow().clone();
        let demand = self
            .shared
            .runtime
            .demand(&*snapshot.view)
            .map_err(HostFault::from)?;
        Ok(match demand {
            Demand::Now => Some(TimeNanos(0)),
            Demand::At(time) => Some(time),
            Demand::Idle => None,
        })
    }

    /// Runs one round. Gives whether it was finalised.
    ///
    /// # Errors
    /// [`NodeError`] if the node cannot go on. A fault of execution is not one: the node abstains
    /// and tries again later.
    pub(crate) fn round(&mut self, ledger: &mut Ledger, now: TimeNanos) -> Result<bool, NodeError> {
        self.shared.refresh.store(false, Memory::Release);
        self.retry = None;
        if self.open.is_none() {
            let lag = now.0.saturating_sub(ledger.root()?.tip()?.time.0);
            if lag > ROOT_TIME_LAG_MAX {
                ledger.refresh(now)?;
            }
        }
        let Some(mut base) = self.base(ledger)? else {
            self.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
            return Ok(false);
        };
        if let Some(open) = self.open.take_if(|open| *open != base.round) {
            // The root ended that round without this node's commitment.
            if let Some(overtaken) = open_proposal(ledger.host.store(), &self.id, open)? {
                self.put_back(overtaken.batch);
            }
        }
        let batch = self.propose(ledger, &mut base, now)?;
        base.context.time = batch.time;
        let executed = match self.execute(ledger, &base, &batch) {
            Ok(executed) => executed,
            // What the store refuses is the outcome's fault, not the disk's.
            Err(HostFault::Store(fault)) if !matches!(fault, StoreFault::Refused(_)) => {
                return Err(fault.into());
            }
            Err(fault) => {
                tracing::error!(round = base.round.0, %fault, "the round failed; abstaining");
                self.shared.faulty.store(true, Memory::Release);
                self.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
                return Ok(false);
            }
        };
        self.shared.faulty.store(false, Memory::Release);
        self.commit(ledger, &base, &executed, now)?;
        let block = ledger.root()?.latest_block(&self.id)?;
        self.open = None;
        // The state alone does not tell: a round may change nothing.
        let is_ours = block.round == base.round
            && block.header_type == HeaderType::Normal
            && block.state_root == executed.state_root
            && block.io_root == executed.io_root;
        if !is_ours {
            tracing::warn!(round = base.round.0, "the root did not finalise the round");
            self.put_back(batch);
            return Ok(false);
        }
        self.finish(ledger, &base, &batch, executed)?;
        Ok(true)
    }

    /// The block to build on; `None` if this node may not schedule now.
    fn base(&self, ledger: &Ledger) -> Result<Option<Base>, NodeError> {
        let root = ledger.root()?;
        let block = root.latest_block(&self.id)?;
        let Some(committee) = root.committee(&self.id)? else {
            return Ok(None);
        };
        let tip = root.tip()?;
        let epoch = root.epoch()?;
        let round = block.round.next();
        if committee.rank(&ledger.key.public(), round) != Some(0) {
            return Ok(None);
        }
        let context = RoundContext {
            runtime: self.id,
            round,
            time: TimeNanos(0),
            height: tip.height,
            epoch,
            committee: committee.workers,
            randomness: Some(tip.randomness),
            from_root: root.news(&self.id)?,
        };
        Ok(Some(Base {
            block,
            round,
            context,
        }))
    }

    /// The batch of the round: the one this node already proposed, or a new one.
    fn propose(
        &mut self,
        ledger: &Ledger,
        base: &mut Base,
        now: TimeNanos,
    ) -> Result<Batch, NodeError> {
        let store = ledger.host.store();
        if let Some(open) = open_proposal(store, &self.id, base.round)? {
            base.context.height = open.height;
            base.context.epoch = open.epoch;
            base.context.randomness = open.randomness;
            return Ok(open.batch);
        }
        let last = self.shared.snapshots.borrow().time;
        let time = now.max(TimeNanos(last.0.saturating_add(1)));
        let batch = {
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
            self.open_ids = ids;
            batch
        };
        let previous = base.block.hash();
        let proposal = Proposal::sign(
            &ledger.key,
            base.round,
            previous,
            &batch,
            &self.id,
            &ledger.chain,
        );
        let open = OpenProposal {
            proposal,
            batch,
            height: base.context.height,
            epoch: base.context.epoch,
            randomness: base.context.randomness,
        };
        let name = slot(&self.id, base.round, Slot::Proposal);
        store.put_signed(&name, &open.encode())?;
        self.open = Some(base.round);
        Ok(open.batch)
    }

    /// Executes the batch; once more if this node's sandbox or the like failed.
    fn execute(&self, ledger: &Ledger, base: &Base, batch: &Batch) -> Result<Executed, HostFault> {
        let parent = base.block.state_root;
        let runtime = &*self.shared.runtime;
        let run = || {
            ledger
                .host
                .execute(runtime, parent, batch, &base.context, &self.limits)
        };
        match run() {
            Err(HostFault::Runtime(fault)) => {
                tracing::warn!(round = base.round.0, %fault, "executing the round again");
                run()
            }
            other => other,
        }
    }

    /// Signs the commitment and delivers it to the root.
    fn commit(
        &self,
        ledger: &mut Ledger,
        base: &Base,
        executed: &Executed,
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        let header = ExecutorCommitmentHeader {
            scheduler_id: ledger.key.public(),
            header: executed.results(base.round, base.block.hash()),
            failure: None,
            rak_signature: None,
            storage_signatures: Vec::new(),
        };
        let messages = executed
            .outcome
            .messages
            .iter()
            .map(|m| m.payload.clone())
            .collect();
        let commitment =
            ExecutorCommitment::sign(&ledger.key, header, messages, &self.id, &ledger.chain);
        let name = slot(&self.id, base.round, Slot::Commitment);
        ledger
            .host
            .store()
            .put_signed(&name, &commitment.encode())?;
        let commitments = vec![commitment];
        let transaction = RootTransaction::ExecutorCommit {
            runtime: self.id,
            commitments,
        };
        ledger.submit(transaction.encode(), now)
    }

    /// Makes the finalised round current, certified, durable and public; answers who waits.
    fn finish(
        &mut self,
        ledger: &mut Ledger,
        base: &Base,
        batch: &Batch,
        executed: Executed,
    ) -> Result<(), NodeError> {
        let store = ledger.host.store().clone();
        store.finalise(self.id, base.round.0, executed.state_root)?;
        let view = ledger.host.view(self.id, executed.state_root)?;
        let attested = match executed.outcome.attested.first() {
            None => None,
            Some(leaf) => ledger
                .certifier
                .certify((self.id, base.round), &view, leaf)?,
        };
        let certified = Certified {
            time: batch.time,
            attested,
        };
        store.put_signed(
            &slot(&self.id, base.round, Slot::Certified),
            &certified.encode(),
        )?;
        store.prune_signed(self.id.as_bytes(), &round_prefix(&self.id, base.round))?;
        store.sync()?;
        ledger.settle()?;
        let snapshot = Snapshot {
            runtime: self.id,
            round: base.round,
            time: batch.time,
            view,
            evidence: ledger.evidence(&self.id)?,
            attested: certified.attested,
        };
        self.shared.snapshots.send_replace(Arc::new(snapshot));
        self.answer(base.round, executed);
        Ok(())
    }

    fn answer(&mut self, round: Round, executed: Executed) {
        let mut intake = self.shared.intake();
        intake.in_flight.clear();
        let ids = mem::take(&mut self.open_ids);
        for (id, receipt) in ids.into_iter().zip(executed.outcome.receipts) {
            for waiter in intake.waiters.remove(&id).into_iter().flatten() {
                // A caller that has gone away needs no answer.
                let _gone = waiter.send(Submitted {
                    round,
                    receipt: receipt.clone(),
                });
            }
        }
    }

    /// Returns the inputs of a batch that came to nothing to the pool.
    fn put_back(&mut self, batch: Batch) {
        let mut intake = self.shared.intake();
        intake.in_flight.clear();
        let snapshot = self.shared.snapshots.borrow().clone();
        let context = CheckContext {
            runtime: self.id,
            now: batch.time,
        };
        for input in batch.inputs {
            let admitted = self
                .shared
                .runtime
                .check(&*snapshot.view, &input.bytes, &context);
            if let Ok(admission) = admitted
                && let Err(error) = intake.pool.insert(input.bytes, admission)
            {
                tracing::warn!(%error, "a transaction does not go back into the pool");
            }
        }
        for id in mem::take(&mut self.open_ids) {
            if !intake.pool.contains(&id) {
                intake.waiters.remove(&id);
            }
        }
    }
}

/// The proposal that this node signed for a round, if it did.
fn open_proposal(
    store: &Store,
    runtime: &RuntimeId,
    round: Round,
) -> Result<Option<OpenProposal>, NodeError> {
    let Some(stored) = store.signed(&slot(runtime, round, Slot::Proposal)) else {
        return Ok(None);
    };
    OpenProposal::decode(&stored)
        .map(Some)
        .map_err(|error| NodeError::Damaged {
            what: "proposal",
            reason: error.to_string(),
        })
}

/// How the newest finished round ended. If a restart came before its end was signed, it has no
/// certificate, and its time is that of its batch; `block` dates the state of a new network.
fn certified(
    store: &Store,
    runtime: &RuntimeId,
    finished: Round,
    block: &BlockHeader,
) -> Result<Certified, NodeError> {
    if let Some(bytes) = store.signed(&slot(runtime, finished, Slot::Certified)) {
        return Certified::decode(&bytes).map_err(|error| NodeError::Damaged {
            what: "certified round",
            reason: error.to_string(),
        });
    }
    let open = open_proposal(store, runtime, finished)?;
    Ok(Certified {
        time: open.map_or(TimeNanos(block.timestamp * 1_000_000_000), |open| {
            open.batch.time
        }),
        attested: None,
    })
}
