//! What this worker tells other nodes and takes from them.
//!
//! Nothing that arrives is believed: a proposal must be the scheduler's own for the running round on
//! the newest block, name a height whose state this node has and which is not older than that
//! block, and be dated within bounds. What is about a round or height that this node has not
//! reached yet waits, within limits.

use trilith_params::host::ROUND_TIME_BOUND;
use trilith_protocol::{Batch, CheckContext, Proposal};
use trilith_types::{Hash, Height, NodeId, Round, TimeNanos};

use super::running::Known;
use super::schedule::proposal_message;
use super::{REPEAT, Worker};
use crate::NodeError;
use crate::ledger::{Equivocation, Ledger};
use crate::net::Message;
use crate::signed::{OpenProposal, STORED_BATCH_BYTES_MAX, Slot, slot};

/// Most messages that wait for a round or height.
const EARLY_MAX: usize = 128;
/// Most waiting transactions that are told to the others again at once.
const TOLD_AGAIN_MAX: usize = 256;
/// After how many nanoseconds waiting transactions are told again: a scheduler may have missed or
/// lost them.
const TELL_AGAIN: u64 = 4 * REPEAT;
/// Most names of transactions that are remembered.
const NAMES_MAX: usize = 200_000;

impl Worker {
    /// Takes a message about this runtime.
    pub(crate) fn take(
        &mut self,
        ledger: &mut Ledger,
        from: NodeId,
        message: Message,
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        match message {
            Message::Transaction { bytes, .. } => self.take_transaction(ledger, bytes, now),
            Message::Proposal {
                height,
                proposal,
                batch,
                ..
            } => self.take_proposal(ledger, from, (height, *proposal, batch), now)?,
            Message::Apply(apply) => {
                let early = self.hold(ledger, from, &apply)?;
                self.early_if(early, from, Message::Apply(apply));
            }
            Message::Receipt {
                round,
                roots,
                signature,
                ..
            } => self.take_receipt(ledger, round, roots, signature)?,
            Message::WantRound { round, .. } => self.send_round(ledger, &from, round)?,
            Message::Round { record, .. } => self.take_record(&from, *record, now),
            Message::Refresh { round, .. } => self.asked |= round == self.running.round,
            Message::Leaf(leaf) => self.take_leaf(ledger, &leaf)?,
            _ => {}
        }
        Ok(())
    }

    fn early_if(&mut self, early: bool, from: NodeId, message: Message) {
        if early {
            self.wait(from, message);
        }
    }

    fn wait(&mut self, from: NodeId, message: Message) {
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back((from, message));
    }

    /// Looks again at what came too early.
    pub(super) fn take_early(
        &mut self,
        ledger: &mut Ledger,
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        for (from, message) in std::mem::take(&mut self.early) {
            self.take(ledger, from, message, now)?;
        }
        Ok(())
    }

    /// Tells the others of transactions that came through this node.
    pub(super) fn tell(&mut self, ledger: &mut Ledger, now: TimeNanos) {
        let again = now.0.abs_diff(self.told.0) >= TELL_AGAIN;
        let mut told = Vec::new();
        {
            let mut intake = self.shared.intake();
            let Some(fresh) = &mut intake.fresh else {
                return;
            };
            let mut ids = std::mem::take(fresh);
            if again {
                for gone in intake.pool.expire(now) {
                    intake.waiters.remove(&gone);
                }
                ids.extend(intake.waiters.keys().take(TOLD_AGAIN_MAX));
            }
            for id in ids {
                if let Some(bytes) = intake.pool.get(&id) {
                    told.push((id, bytes.to_vec()));
                }
            }
        }
        if again {
            self.told = now;
        }
        for (id, bytes) in told {
            self.name(&bytes, id);
            let runtime = self.id;
            ledger.broadcast(&Message::Transaction { runtime, bytes });
        }
    }

    /// Remembers the identity of a transaction.
    fn name(&mut self, bytes: &[u8], id: Hash) {
        if self.names.len() >= NAMES_MAX {
            let intake = self.shared.intake();
            self.names
                .retain(|_, id| intake.pool.contains(id) || intake.waiters.contains_key(id));
        }
        self.names.insert(Hash::of(bytes), id);
    }

    /// Takes a transaction of another node into the pool, if this node schedules in this epoch.
    fn take_transaction(&mut self, ledger: &Ledger, bytes: Vec<u8>, now: TimeNanos) {
        let committee = self.running.committee.as_ref();
        let schedules = committee.is_some_and(|of| of.workers.contains(&ledger.id()));
        if !schedules || bytes.len() as u64 > self.shared.transaction_bytes_max {
            return;
        }
        if self.names.contains_key(&Hash::of(&bytes)) {
            return;
        }
        let context = CheckContext {
            runtime: self.id,
            now,
        };
        let runtime = &self.shared.runtime;
        let Ok(admission) = runtime.check(&*self.head.view, &bytes, &context) else {
            return;
        };
        self.name(&bytes, admission.id);
        let mut intake = self.shared.intake();
        if !intake.in_flight.contains(&admission.id) {
            // One that waits already, or finds no room, is not added: its sender's node keeps it.
            let _full = intake.pool.insert(bytes, admission);
        }
    }

    /// Takes a scheduler's proposal.
    fn take_proposal(
        &mut self,
        ledger: &mut Ledger,
        from: NodeId,
        (height, proposal, batch): (Height, Proposal, Batch),
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        let round = proposal.header.round;
        let tip = ledger.root()?.tip()?.height;
        if round > self.running.round || (round == self.running.round && height > tip) {
            let runtime = self.id;
            let proposal = Box::new(proposal);
            let message = Message::Proposal {
                runtime,
                height,
                proposal,
                batch,
            };
            self.wait(from, message);
            return Ok(());
        }
        if round < self.running.round {
            return Ok(());
        }
        if let Err(reason) = self.judge(ledger, height, &proposal, &batch)? {
            tracing::info!(node = %proposal.node_id, %round, reason, "a proposal is refused");
            return Ok(());
        }
        let committee = self.running.committee.as_ref();
        let Some(rank) = committee.and_then(|of| of.rank(&proposal.node_id, round)) else {
            return Ok(());
        };
        if let Some(known) = self.running.proposals.get(&rank) {
            let first = &known.open.proposal;
            if first.header != proposal.header {
                let first = first.clone();
                ledger.report(Equivocation {
                    runtime: self.id,
                    first,
                    second: proposal,
                });
            }
            return Ok(());
        }
        let Some(root) = ledger.root_at(height)? else {
            return Ok(());
        };
        let Some(circumstances) = root.circumstances(&self.id)? else {
            return Ok(());
        };
        let open = OpenProposal {
            proposal,
            batch,
            circumstances,
        };
        let known = Known {
            open,
            ids: None,
            since: now,
            own: false,
        };
        self.running.proposals.insert(rank, known);
        Ok(())
    }

    /// Checks a proposal for the running round. The inner error is the reason for refusing it.
    fn judge(
        &self,
        ledger: &Ledger,
        height: Height,
        proposal: &Proposal,
        batch: &Batch,
    ) -> Result<Result<(), &'static str>, NodeError> {
        let running = &self.running;
        let committee = running.committee.as_ref();
        let rank = committee.and_then(|of| of.rank(&proposal.node_id, running.round));
        if rank.is_none() {
            return Ok(Err("its signer does not schedule"));
        }
        if proposal.header.previous_hash != running.block.hash() {
            return Ok(Err("it builds on another block"));
        }
        let hashes = batch.inputs.iter().map(trilith_protocol::Input::hash);
        let named = proposal.time == batch.time && hashes.eq(proposal.batch.iter().copied());
        if !named || proposal.header.batch_hash != batch.hash() {
            return Ok(Err("its batch is another than it names"));
        }
        let bytes: usize = batch.inputs.iter().map(|input| input.bytes().len()).sum();
        let most = self.limits.batch_bytes_max.min(STORED_BATCH_BYTES_MAX);
        let inputs = batch.inputs.len();
        if inputs > self.limits.batch_inputs_max as usize || bytes as u64 > most {
            return Ok(Err("its batch is too large"));
        }
        if proposal.verify(&self.id, &ledger.chain).is_err() {
            return Ok(Err("it is wrongly signed"));
        }
        let Some(root) = ledger.root_at(height)? else {
            return Ok(Err("the height that it names is too old"));
        };
        if root.latest_block(&self.id)? != running.block {
            return Ok(Err("the height that it names is older than the last block"));
        }
        let near = batch.time.0.abs_diff(root.tip()?.time.0) <= ROUND_TIME_BOUND;
        if !near || (self.head.round.0 > 0 && batch.time < self.head.time) {
            return Ok(Err("its time is out of bounds"));
        }
        Ok(Ok(()))
    }

    /// Asks members for a proposal that this node should know: votes for it are there, or it is
    /// disputed.
    pub(super) fn ask_for_proposal(
        &mut self,
        ledger: &mut Ledger,
        primary: bool,
        backup: bool,
        now: TimeNanos,
    ) {
        let running = &mut self.running;
        let known = |rank: &u64| running.proposals.contains_key(rank);
        let voted = running.status.votes.iter().any(|vote| !known(&vote.rank));
        let disputed = backup && running.status.disputed;
        let missing = (primary && voted)
            || (disputed && running.status.best.is_some_and(|rank| !known(&rank)));
        let lately = running
            .asked
            .is_some_and(|at| now.0.abs_diff(at.0) < REPEAT);
        if !missing || lately {
            return;
        }
        let nodes = running.members(&ledger.id());
        if nodes.is_empty() {
            return;
        }
        let node = nodes[running.asks % nodes.len()];
        running.asks += 1;
        running.asked = Some(now);
        let (runtime, round) = (self.id, running.round);
        ledger.send(&node, &Message::WantRound { runtime, round });
    }

    /// Asks the schedulers for a round that somebody here wants.
    pub(super) fn ask_for_round(&mut self, ledger: &mut Ledger, rank: Option<u64>, now: TimeNanos) {
        use std::sync::atomic::Ordering as Memory;
        let wanted = self.shared.refresh.load(Memory::Acquire);
        let running = &mut self.running;
        let lately = running
            .asked
            .is_some_and(|at| now.0.abs_diff(at.0) < REPEAT);
        if rank == Some(0) || !wanted || lately || !running.proposals.is_empty() {
            return;
        }
        running.asked = Some(now);
        let (runtime, round) = (self.id, running.round);
        ledger.broadcast(&Message::Refresh { runtime, round });
    }

    /// Answers a node that lags or missed a proposal.
    fn send_round(
        &mut self,
        ledger: &mut Ledger,
        to: &NodeId,
        round: Round,
    ) -> Result<(), NodeError> {
        let runtime = self.id;
        if round == self.running.round {
            for known in self.running.proposals.values() {
                ledger.send(to, &proposal_message(runtime, &known.open));
            }
            return Ok(());
        }
        let name = slot(&runtime, round, Slot::Record);
        let Some(record) = ledger.host.store().signed(&name) else {
            return Ok(());
        };
        let record = OpenProposal::decode(&record).map_err(|error| NodeError::Damaged {
            what: "record of a round",
            reason: error.to_string(),
        })?;
        let record = Box::new(record);
        ledger.send(to, &Message::Round { runtime, record });
        Ok(())
    }

    /// Takes what was executed in a round, if this node asked the sender for it.
    fn take_record(&mut self, from: &NodeId, open: OpenProposal, now: TimeNanos) {
        let Some(owed) = self.owed.front_mut() else {
            return;
        };
        let asked = owed.asked.is_some_and(|(node, _)| node == *from);
        if !asked || open.proposal.header.round != owed.header.round {
            return;
        }
        let known = Known {
            open,
            ids: None,
            since: now,
            own: false,
        };
        owed.proposals.push((known, None));
    }
}
