//! A round: what happens in which order.
//!
//! ```text
//! start paused executions over if the committee has other members
//! forget answered ingress messages that need not be remembered
//! time out calls and stops
//! take up the batch
//! answer requests for randomness of earlier rounds
//! go on with a paused installation
//! repeat until nothing is left or the instructions of the round are used:
//!     management calls, oldest first
//!     each canister with work, beginning with the one after the first of the round before:
//!         its paused message, else tasks, else as many messages as waited when its turn came
//! charge for storage
//! ```
//!
//! Invariants: the outcome depends on state, batch and context alone. Live executions and prepared
//! modules only save work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::{METRICS_ROUNDS, RANDOMNESS_ROUNDS};
use trilith_protocol::{
    AttestedForm, AttestedLeaf, Batch, Fault, Outcome, Receipt, ReceiptStatus, Reject,
    RoundContext, Usage,
};
use trilith_types::{NodeId, StateRead, WriteLogEntry};

use super::install::LiveInstall;
use super::overlay::Overlay;
use super::price;
use super::record::{Canister, Job, Reply, RequestState, Status, Task};
use super::reject::{ErrorCode, Rejection};
use super::snapshot::{ATTESTED_KEY, Snapshot};
use super::{CanisterEngine, admit};
use crate::api::Execution;
use crate::certified::StateTree;

/// Executions that this node still has, for messages that the state records as paused.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) messages: BTreeMap<Principal, Box<dyn Execution>>,
    pub(crate) install: Option<Box<LiveInstall>>,
}

/// What a round gives beside its outcome, for the caches.
pub(crate) struct Sealable {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) live: Live,
}

/// A round that is being executed.
pub(crate) struct Round<'a> {
    pub(crate) engine: &'a CanisterEngine,
    pub(crate) state: Overlay<'a>,
    pub(crate) context: &'a RoundContext,
    pub(crate) live: Live,
    pub(crate) next_live: Live,
    /// Tasks of this round that were not yet run.
    pub(crate) tasks: BTreeMap<Principal, BTreeSet<Task>>,
    /// Instructions used, for the limit of the round.
    pub(crate) used: u64,
    /// Whether anything happened since the flag was last cleared.
    pub(crate) progress: bool,
}

/// Executes a batch on the state of `view`.
pub(crate) fn execute(
    engine: &CanisterEngine,
    view: &dyn StateRead,
    batch: &Batch,
    context: &RoundContext,
    live: Live,
) -> Result<(Outcome, Sealable), Fault> {
    let base = engine.snapshot(view)?;
    let mut round = Round {
        engine,
        state: Overlay::new(view, base),
        context,
        live,
        next_live: Live::default(),
        tasks: BTreeMap::new(),
        used: 0,
        progress: false,
    };
    round.state.meta.time = context.time.0;
    round.state.meta.round = context.round.0;
    round.note_committee();
    round.forget_requests();
    round.time_out();
    let mut receipts = Vec::with_capacity(batch.inputs.len());
    for input in &batch.inputs {
        receipts.push(round.take_input(input.bytes(), input.hash()));
    }
    round.answer_randomness();
    round.collect_tasks();
    round.resume_install()?;
    round.run()?;
    round.charge()?;
    round.note_state_bytes();
    round.finish(receipts)
}

impl Round<'_> {
    pub(crate) fn now(&self) -> u64 {
        self.context.time.0
    }

    /// Notes the round's committee. If it has other members than the one before, whatever is paused
    /// starts over, so that a new member need not run again what the old ones ran for many rounds.
    ///
    /// Only progress is lost. What a message may see stays as of its first start, and so does what
    /// was taken for it: it was accepted under these circumstances, and a second look could refuse
    /// it. The members alone count, not their order or the epoch: those who have run a message so
    /// far still have its execution, and long messages must end where epochs are short.
    fn note_committee(&mut self) {
        let members = |committee: &[NodeId]| committee.iter().copied().collect::<BTreeSet<_>>();
        let before = members(&self.state.meta.committee);
        self.state
            .meta
            .committee
            .clone_from(&self.context.committee);
        if before == members(&self.context.committee) {
            return;
        }
        self.live = Live::default();
        if let Some(installing) = &mut self.state.meta.installing {
            installing.slices = 0;
        }
        let active: Vec<Principal> = self.state.active.iter().copied().collect();
        for id in active {
            let is_paused = |canister: &Canister| canister.paused.is_some();
            if !self.state.canister(&id).is_some_and(is_paused) {
                continue;
            }
            if let Some(paused) = &mut self.state.existing(&id).paused {
                paused.slices = 0;
            }
        }
    }

    /// Slices that may still be begun in this round.
    pub(crate) fn slices_left(&self) -> u64 {
        price::ROUND_INSTRUCTIONS.saturating_sub(self.used) / price::SLICE_INSTRUCTIONS
    }

    /// Counts an execution that used `instructions` in this round.
    pub(crate) fn count(&mut self, instructions: u64) {
        self.used = self
            .used
            .saturating_add(instructions)
            .saturating_add(price::EXECUTION_OVERHEAD);
        self.progress = true;
    }

    /// Forgets messages that were answered long enough ago and whose expiry has passed, so that
    /// nobody can have them executed again.
    fn forget_requests(&mut self) {
        let now = self.now();
        let due: Vec<_> = self
            .state
            .base()
            .kept
            .iter()
            .take_while(|(until, _)| *until < now)
            .copied()
            .collect();
        for (_, id) in due {
            self.state.put_request(id, None);
        }
    }

    /// Answers best-effort calls and stops that waited too long.
    fn time_out(&mut self) {
        let now = self.now();
        let due: Vec<_> = self
            .state
            .base()
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now)
            .copied()
            .collect();
        for (_, id) in due {
            let canister = self.state.existing(&id);
            let calls = canister
                .callbacks
                .iter()
                .filter(|(_, call)| call.deadline != 0 && call.deadline <= now && !call.responded);
            let calls: Vec<(u64, Principal)> =
                calls.map(|(number, call)| (*number, call.callee)).collect();
            let mut stops = Vec::new();
            if let Status::Stopping { waiters } = &mut canister.status {
                let (late, rest) = std::mem::take(waiters)
                    .into_iter()
                    .partition(|waiter| waiter.since + price::STOP_TIMEOUT_NANOS <= now);
                (stops, *waiters) = (late, rest);
            }
            for (callback, callee) in calls {
                let why = format!("Call to {callee} has timed out.");
                self.deliver(
                    id,
                    callback,
                    Rejection::new(ErrorCode::DeadlineExpired, why).into(),
                    0,
                );
            }
            for waiter in stops {
                let why = Rejection::new(ErrorCode::StopTimeout, "Stop canister request timed out");
                self.respond(&waiter.origin, why.into(), waiter.cycles);
            }
        }
    }

    /// Takes up an input, if it is valid.
    fn take_input(&mut self, bytes: &[u8], input: trilith_types::Hash) -> Receipt {
        match admit::induct(self, bytes) {
            Ok(id) => Receipt {
                input,
                status: ReceiptStatus::Accepted,
                output: id.to_vec(),
            },
            Err(Reject {
                module,
                code,
                message,
            }) => {
                let status = ReceiptStatus::Rejected {
                    module: module.to_owned(),
                    code,
                    message,
                };
                Receipt {
                    input,
                    status,
                    output: Vec::new(),
                }
            }
        }
    }

    /// Answers requests for randomness that were fixed before anybody knew what answers them. Each
    /// answer is its own value.
    fn answer_randomness(&mut self) {
        let Some(randomness) = self.context.randomness else {
            return;
        };
        let round = self.context.round.0;
        let mut number = 0u64;
        while self
            .state
            .meta
            .randomness
            .front()
            .is_some_and(|(asked, _)| asked.saturating_add(RANDOMNESS_ROUNDS) <= round)
        {
            let Some((_, request)) = self.state.meta.randomness.pop_front() else {
                break;
            };
            let domain = b"trilith raw_rand".as_slice();
            let value = trilith_types::hash::sha256(&[domain, &randomness, &number.to_be_bytes()]);
            number += 1;
            let reply = candid::encode_one(serde_bytes::ByteBuf::from(value.to_vec()));
            let bytes = Arc::new(reply.expect("a byte string can be encoded"));
            self.respond(&request.origin, Reply::Data { bytes }, request.cycles);
        }
    }

    fn collect_tasks(&mut self) {
        let now = self.now();
        for id in &self.state.base().heartbeats {
            self.tasks.entry(*id).or_default().insert(Task::Heartbeat);
        }
        let due = self
            .state
            .base()
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now);
        for (_, id) in due {
            // The deadline of a call may have woken a canister whose code takes no timer.
            let canister = self.state.base().canisters.get(id);
            let is_due = canister.is_some_and(|canister| {
                let takes = canister.code.as_ref().is_some_and(|code| code.module.timer);
                takes && canister.global_timer != 0 && canister.global_timer <= now
            });
            if is_due {
                self.tasks.entry(*id).or_default().insert(Task::GlobalTimer);
            }
        }
        self.state.active.extend(self.tasks.keys());
    }

    /// Runs management calls and canisters until nothing is left or the round is full.
    fn run(&mut self) -> Result<(), Fault> {
        let start = self.state.meta.first;
        loop {
            self.progress = false;
            self.run_management()?;
            let all = self.state.active.iter().copied();
            let mut order: Vec<Principal> = all.clone().filter(|id| Some(*id) > start).collect();
            order.extend(all.filter(|id| Some(*id) <= start));
            if let Some(first) = order.first()
                && self.state.meta.first == start
            {
                self.state.meta.first = Some(*first);
            }
            for id in order {
                self.run_canister(id)?;
            }
            self.settle_stops();
            if !self.progress || self.slices_left() == 0 {
                return Ok(());
            }
        }
    }

    /// A canister's turn.
    fn run_canister(&mut self, id: Principal) -> Result<(), Fault> {
        let waiting = self
            .state
            .canister(&id)
            .map_or(0, |canister| canister.inputs.len());
        if self.resume(id)? {
            return Ok(());
        }
        if self.state.canister(&id).is_some_and(Canister::wants_hook) && self.slices_left() > 0 {
            self.begin_task(id, Job::LowMemory {})?;
            if self.is_busy(&id) {
                return Ok(());
            }
        }
        for task in self.tasks.remove(&id).unwrap_or_default() {
            if self.slices_left() == 0 {
                return Ok(());
            }
            let job = match task {
                Task::Heartbeat => Job::Heartbeat {},
                Task::GlobalTimer => Job::GlobalTimer {},
            };
            self.begin_task(id, job)?;
            if self.is_busy(&id) {
                return Ok(());
            }
        }
        for _ in 0..waiting {
            if self.slices_left() == 0 || self.is_busy(&id) {
                return Ok(());
            }
            let Some(input) = self
                .state
                .canister_mut(&id)
                .and_then(|canister| canister.inputs.pop_front())
            else {
                break;
            };
            self.begin(id, input)?;
        }
        if !self.state.canister(&id).is_some_and(Canister::has_work) {
            self.state.active.remove(&id);
        }
        Ok(())
    }

    /// Whether a canister has a paused message, or is the target of a paused installation.
    pub(crate) fn is_busy(&self, id: &Principal) -> bool {
        let installing = self.state.meta.installing.as_ref();
        installing.is_some_and(|install| install.target == *id)
            || self
                .state
                .canister(id)
                .is_some_and(|canister| canister.paused.is_some())
    }

    /// Charges every canister for storage if enough time has passed. A canister whose message is
    /// paused is charged later for the whole span. One that cannot pay loses its code.
    fn charge(&mut self) -> Result<(), Fault> {
        let now = self.now();
        if now
            < self
                .state
                .meta
                .charged
                .saturating_add(price::CHARGE_EVERY_NANOS)
        {
            return Ok(());
        }
        self.state.meta.charged = now;
        for id in self.state.canister_ids() {
            if self.is_busy(&id) {
                continue;
            }
            let canister = self.state.existing(&id);
            let (storage, compute) = canister.idle_cycles(now.saturating_sub(canister.charged));
            let cost = storage.saturating_add(compute);
            canister.charged = now;
            let consumed = &mut canister.consumed;
            if cost <= canister.cycles {
                canister.cycles -= cost;
                consumed.memory = consumed.memory.saturating_add(storage);
                consumed.compute_allocation = consumed.compute_allocation.saturating_add(compute);
                self.state.meta.consumed = self.state.meta.consumed.saturating_add(cost);
                continue;
            }
            let lost = std::mem::take(&mut canister.cycles);
            consumed.uninstall = consumed.uninstall.saturating_add(lost);
            canister.settings.compute_allocation = 0;
            canister.settings.memory_allocation = 0;
            self.state.meta.consumed = self.state.meta.consumed.saturating_add(lost);
            self.uninstall(id)?;
        }
        Ok(())
    }

    /// Adds up what canisters take, for the metrics of the subnet; every few rounds, because it
    /// looks at each canister.
    fn note_state_bytes(&mut self) {
        if !self.context.round.0.is_multiple_of(METRICS_ROUNDS) {
            return;
        }
        let ids = self.state.canister_ids();
        let canisters = ids.iter().filter_map(|id| self.state.canister(id));
        self.state.meta.state_bytes = canisters.map(Canister::memory_bytes).sum();
    }

    fn finish(mut self, receipts: Vec<Receipt>) -> Result<(Outcome, Sealable), Fault> {
        // Executions that had no turn stay what they are for the next round.
        for (id, execution) in std::mem::take(&mut self.live.messages) {
            self.next_live.messages.entry(id).or_insert(execution);
        }
        self.next_live.install = self.next_live.install.take().or(self.live.install.take());
        let meta = &mut self.state.meta;
        meta.instructions = meta.instructions.saturating_add(self.used);
        let base = self.state.base().clone();
        let (changes, mut write_log, images) = self.state.finish()?;
        let snapshot = Arc::new(base.with(&changes));
        let value = StateTree::new(&snapshot, &self.engine.identity()).digest();
        write_log.push(WriteLogEntry {
            key: ATTESTED_KEY.to_vec(),
            value: Some(value.to_vec()),
        });
        write_log.sort_by(|a, b| a.key.cmp(&b.key));
        let form = AttestedForm::IcStateRoot;
        let outcome = Outcome {
            write_log,
            images,
            receipts,
            messages: Vec::new(),
            incoming_taken: 0,
            attested: vec![AttestedLeaf {
                key: ATTESTED_KEY.to_vec(),
                value,
                form,
            }],
            usage: Usage {
                instructions: self.used,
            },
        };
        Ok((
            outcome,
            Sealable {
                snapshot,
                live: self.next_live,
            },
        ))
    }

    /// Sets the status of an ingress message that is being executed.
    pub(crate) fn mark_processing(&mut self, id: &[u8; 32]) {
        if let Some(record) = self.state.request_mut(id) {
            record.status = RequestState::Processing {};
        }
    }
}
