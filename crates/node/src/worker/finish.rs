//! Applying what the root finalised, and publishing it.
//!
//! An outcome becomes this node's state from what it executed or holds under the very roots of the
//! block; else it executes the proposals it knows of that round; else it asks others for what was
//! executed. Whatever is sent counts only if executing it gives the roots of the block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering as Memory;

use trilith_host::{Executed, HostFault};
use trilith_params::host::ROUND_RETRY_DELAY;
use trilith_protocol::{AttestedSignature, Batch, CheckContext};
use trilith_store::{Store, StoreFault};
use trilith_types::{Hash, Round, RuntimeId, TimeNanos};

use super::running::{Done, Finished, Known, Owed, RANKS_MAX, Source, stored_proposals};
use super::{Head, REPEAT, Worker};
use crate::certify::Certifier;
use crate::ledger::Ledger;
use crate::net::Message;
use crate::net::message::{Leaf, WantLeaf};
use crate::signed::{Certified, OpenProposal, Slot, round_prefix, slot};
use crate::{NodeError, Snapshot, Submitted};

/// How many finished rounds a node of a network keeps for others. Not a consensus number.
const ROUNDS_KEPT: usize = 64;
/// Most bytes of them. Not a consensus number.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// A state that waits for the validators' signature.
pub(super) struct Publication {
    wanted: WantLeaf,
    asked: Option<TimeNanos>,
}

/// The agreed time of a round of which this node knows what was executed.
pub(super) fn time_of(
    store: &Store,
    runtime: &RuntimeId,
    round: Round,
) -> Result<Option<TimeNanos>, NodeError> {
    if let Some(record) = store.signed(&slot(runtime, round, Slot::Record)) {
        let open = OpenProposal::decode(&record).map_err(|error| NodeError::Damaged {
            what: "record of a round",
            reason: error.to_string(),
        })?;
        return Ok(Some(open.batch.time));
    }
    let stored = stored_proposals(store, (runtime, round), RANKS_MAX)?;
    Ok(stored.first().map(|open| open.batch.time))
}

impl Worker {
    /// Applies the oldest outcome that is owed. Says whether it is applied.
    pub(super) fn settle_owed(
        &mut self,
        ledger: &mut Ledger,
        now: TimeNanos,
    ) -> Result<bool, NodeError> {
        let Some(mut owed) = self.owed.pop_front() else {
            return Ok(false);
        };
        match self.applied(ledger, &mut owed, now)? {
            Some(finished) => {
                let mut others = owed.proposals.into_iter();
                let own = others.find(|(known, _)| known.own);
                self.finish(ledger, finished, own.map(|(known, _)| known.open.batch))?;
                Ok(true)
            }
            None => {
                if owed.retry.is_none_or(|at| at <= now) {
                    self.ask_for_outcome(ledger, &mut owed, now);
                }
                self.owed.push_front(owed);
                Ok(false)
            }
        }
    }

    /// What gave the outcome, once its state is a candidate here.
    fn applied(
        &self,
        ledger: &Ledger,
        owed: &mut Owed,
        now: TimeNanos,
    ) -> Result<Option<Finished>, NodeError> {
        let roots = [owed.header.io_root, owed.header.state_root];
        let is_it = |done: &Option<Done>| done.as_ref().and_then(Done::roots) == Some(roots);
        if let Some(index) = owed.proposals.iter().position(|(_, done)| is_it(done)) {
            let (known, done) = owed.proposals.swap_remove(index);
            return Ok(done
                .and_then(|done| done.executed)
                .map(|executed| finished(owed, known, executed)));
        }
        if let Some(index) = owed.applied.iter().position(|held| held.roots == roots) {
            let held = owed.applied.swap_remove(index);
            let hash = held.batch.hash();
            let mut proposals = owed.proposals.iter();
            let named = |known: &Known| known.open.proposal.header.batch_hash == hash;
            let index = proposals.position(|(known, _)| named(known));
            let known = index.map(|index| owed.proposals.swap_remove(index).0.open);
            return Ok(Some(Finished {
                header: owed.header.clone(),
                ids: None,
                source: Source::Held(held.batch, known),
                receipts: held.receipts,
                attested: None,
            }));
        }
        if owed.retry.is_some_and(|at| now < at) {
            return Ok(None);
        }
        owed.retry = None;
        self.execute_owed(ledger, owed, now)
    }

    /// Executes what may have given the outcome.
    fn execute_owed(
        &self,
        ledger: &Ledger,
        owed: &mut Owed,
        now: TimeNanos,
    ) -> Result<Option<Finished>, NodeError> {
        let store = ledger.host.store();
        let parent = store.current(self.id).map_or(Hash::EMPTY, |(_, root)| root);
        while let Some(index) = owed.proposals.iter().position(|(_, done)| done.is_none()) {
            let (known, _) = &owed.proposals[index];
            match self.execute(ledger, parent, owed.header.round, &known.open) {
                Ok((executed, _)) => {
                    let roots = (executed.io_root, executed.state_root);
                    if roots == (owed.header.io_root, owed.header.state_root) {
                        let (known, _) = owed.proposals.swap_remove(index);
                        return Ok(Some(finished(owed, known, executed)));
                    }
                    owed.proposals[index].1 = Some(Done::fruitless());
                    if owed.asks > 0 {
                        // What others say was executed gives something else here: perhaps it is
                        // they who are wrong, perhaps this node's own execution.
                        let round = owed.header.round;
                        tracing::error!(%round, "this node computes another result than is final");
                        owed.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
                        return Ok(None);
                    }
                }
                Err(HostFault::Store(fault)) if !matches!(fault, StoreFault::Refused(_)) => {
                    return Err(fault.into());
                }
                Err(fault @ HostFault::Outdated { .. }) => return Err(fault.into()),
                Err(HostFault::Runtime(fault)) => {
                    tracing::error!(round = %owed.header.round, %fault, "an outcome waits");
                    owed.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
                    return Ok(None);
                }
                Err(fault) => {
                    tracing::warn!(round = %owed.header.round, %fault, "not what was executed");
                    owed.proposals[index].1 = Some(Done::fruitless());
                }
            }
        }
        Ok(None)
    }

    /// Asks one node after the other for what was executed.
    fn ask_for_outcome(&self, ledger: &mut Ledger, owed: &mut Owed, now: TimeNanos) {
        if owed
            .asked
            .is_some_and(|(_, at)| now.0.abs_diff(at.0) < REPEAT)
        {
            return;
        }
        let mut nodes = self.running.members(&ledger.id());
        nodes.extend(ledger.validator());
        if nodes.is_empty() {
            return;
        }
        let node = nodes[owed.asks % nodes.len()];
        owed.asks += 1;
        owed.asked = Some((node, now));
        let (runtime, round) = (self.id, owed.header.round);
        ledger.send(&node, &Message::WantRound { runtime, round });
    }

    /// Makes a finalised round current, and public once nothing more is owed; answers who waits.
    fn finish(
        &mut self,
        ledger: &mut Ledger,
        finished: Finished,
        own: Option<Batch>,
    ) -> Result<(), NodeError> {
        let store = ledger.host.store().clone();
        let (round, root) = (finished.header.round, finished.header.state_root);
        store.finalise(self.id, round.0, root)?;
        if ledger.net.is_some() {
            // Whoever asked for a newer state has it, whichever node scheduled the round.
            self.shared.refresh.store(false, Memory::Release);
            self.keep_record(&store, &finished)?;
            ledger.forget_header(&self.id, round)?;
        }
        self.collect_answers(&finished);
        self.head = Head {
            round,
            time: finished.batch().time,
            view: ledger.host.view(self.id, root)?,
        };
        if let Some(own) = own {
            self.put_back(own);
        }
        if !self.owed.is_empty() {
            return Ok(());
        }
        self.asked = false;
        self.publication = None;
        let attested = match &finished.attested {
            None => None,
            Some(leaf) => {
                let wanted = Certifier::request((self.id, round), &self.head.view, leaf)?;
                let signed = match ledger.validator() {
                    None => ledger.certifier.sign(&wanted)?,
                    Some(_) => None,
                };
                if signed.is_none() && ledger.validator().is_some() {
                    let asked = None;
                    self.publication = Some(Box::new(Publication { wanted, asked }));
                    return Ok(());
                }
                signed
            }
        };
        self.publish(ledger, attested)
    }

    /// Keeps what was executed for nodes that lag.
    fn keep_record(&mut self, store: &Store, finished: &Finished) -> Result<(), NodeError> {
        let Some(record) = finished.record() else {
            return Ok(());
        };
        let name = slot(&self.id, finished.header.round, Slot::Record);
        if store.signed(&name).is_none() {
            let bytes = record.encode();
            store.put_signed(&name, &bytes)?;
            self.kept.push_back((finished.header.round, bytes.len()));
        }
        Ok(())
    }

    /// Certified, durable and public: the newest state.
    fn publish(
        &mut self,
        ledger: &mut Ledger,
        attested: Option<AttestedSignature>,
    ) -> Result<(), NodeError> {
        let store = ledger.host.store().clone();
        let round = self.head.round;
        let certified = Certified {
            time: self.head.time,
            attested,
        };
        let name = slot(&self.id, round, Slot::Certified);
        store.put_signed(&name, &certified.encode())?;
        let oldest = if ledger.net.is_some() {
            self.oldest_kept(round)
        } else {
            round
        };
        store.prune_signed(self.id.as_bytes(), &round_prefix(&self.id, oldest))?;
        store.sync()?;
        ledger.settle()?;
        let snapshot = Snapshot {
            runtime: self.id,
            round,
            time: self.head.time,
            view: self.head.view.clone(),
            evidence: ledger.evidence(&self.id)?,
            attested: certified.attested,
        };
        self.shared.snapshots.send_replace(Arc::new(snapshot));
        self.answer();
        Ok(())
    }

    /// The oldest round that is kept for others.
    fn oldest_kept(&mut self, newest: Round) -> Round {
        let mut bytes: usize = self.kept.iter().map(|(_, bytes)| bytes).sum();
        while self.kept.len() > ROUNDS_KEPT || bytes > KEPT_BYTES_MAX {
            let Some((_, gone)) = self.kept.pop_front() else {
                break;
            };
            bytes -= gone;
        }
        let floor = Round(newest.0.saturating_sub(ROUNDS_KEPT as u64));
        let oldest = self.kept.front().map_or(newest, |(round, _)| *round);
        // What was kept before a restart stays as long as its number says.
        if self.kept.len() < ROUNDS_KEPT && bytes <= KEPT_BYTES_MAX / 2 {
            floor
        } else {
            oldest.max(floor)
        }
    }

    /// Asks the validator for the signature that a publication waits for.
    pub(super) fn ask_for_leaf(&mut self, ledger: &mut Ledger, now: TimeNanos) {
        let (Some(publication), Some(validator)) = (&mut self.publication, ledger.validator())
        else {
            return;
        };
        let asked = publication.asked;
        if asked.is_none_or(|at| now.0.abs_diff(at.0) >= REPEAT) {
            publication.asked = Some(now);
            let message = Message::WantLeaf(Box::new(publication.wanted.clone()));
            ledger.send(&validator, &message);
        }
    }

    /// Takes the validators' signature, and publishes the state if it waits for just that.
    pub(super) fn take_leaf(&mut self, ledger: &mut Ledger, leaf: &Leaf) -> Result<(), NodeError> {
        let fits = self.publication.as_ref().is_some_and(|publication| {
            let wanted = &publication.wanted;
            wanted.state_root == leaf.state_root && wanted.value == leaf.value
        });
        if !fits || !ledger.certifier.verifies(leaf) {
            return Ok(());
        }
        self.publication = None;
        let attested = AttestedSignature {
            state_root: leaf.state_root,
            value: leaf.value,
            signature: leaf.signature.to_vec(),
        };
        self.publish(ledger, Some(attested))
    }

    /// Takes note of the receipts that somebody here waits for, and drops what was executed from
    /// the pool. Called while the state before the round is still the newest.
    fn collect_answers(&mut self, finished: &Finished) {
        let ids = match &finished.ids {
            Some(ids) => ids.iter().copied().map(Some).collect(),
            None => self.identities(finished.batch()),
        };
        let mut intake = self.shared.intake();
        if finished.ids.is_some() {
            intake.in_flight.clear();
        }
        for (id, receipt) in ids.into_iter().zip(&finished.receipts) {
            let Some(id) = id else { continue };
            if finished.ids.is_none() {
                intake.pool.forget(&id);
            }
            if intake.waiters.contains_key(&id) {
                let round = finished.header.round;
                self.answers.push((id, round, receipt.clone()));
            }
        }
    }

    /// Identities of the inputs of a batch that others cut, as far as anything here depends on them.
    fn identities(&mut self, batch: &Batch) -> Vec<Option<Hash>> {
        let interested = {
            let intake = self.shared.intake();
            !intake.waiters.is_empty() || !intake.pool.is_empty()
        };
        let context = CheckContext {
            runtime: self.id,
            now: batch.time,
        };
        let runtime = &*self.shared.runtime;
        let mut identity = |bytes: &[u8]| {
            let name = self.names.remove(&Hash::of(bytes));
            if name.is_some() || !interested {
                return name;
            }
            let admitted = runtime.check(&*self.head.view, bytes, &context);
            admitted.ok().map(|admission| admission.id)
        };
        let inputs = batch.inputs.iter();
        inputs.map(|input| identity(input.bytes())).collect()
    }

    fn answer(&mut self) {
        let mut intake = self.shared.intake();
        for (id, round, receipt) in std::mem::take(&mut self.answers) {
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
    pub(super) fn put_back(&mut self, batch: Batch) {
        let mut intake = self.shared.intake();
        let flying = std::mem::take(&mut intake.in_flight);
        let context = CheckContext {
            runtime: self.id,
            now: batch.time,
        };
        for input in batch.inputs {
            let view = &*self.head.view;
            let admitted = self.shared.runtime.check(view, input.bytes(), &context);
            if let Ok(admission) = admitted
                && let Err(error) = intake.pool.insert(input.into_bytes(), admission)
            {
                tracing::warn!(%error, "a transaction does not go back into the pool");
            }
        }
        let answered: BTreeMap<_, _> = self.answers.iter().map(|(id, ..)| (*id, ())).collect();
        for id in flying {
            if !intake.pool.contains(&id) && !answered.contains_key(&id) {
                intake.waiters.remove(&id);
            }
        }
    }
}

fn finished(owed: &Owed, known: Known, executed: Executed) -> Finished {
    Finished {
        header: owed.header.clone(),
        ids: known.ids,
        source: Source::Executed(known.open),
        receipts: executed.outcome.receipts,
        attested: executed.outcome.attested.into_iter().next(),
    }
}
