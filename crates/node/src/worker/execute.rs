//! Executing proposals and committing to what they gave.
//!
//! A primary follows the best-ranked proposal whose turn has come, and besides the one whose
//! scheduler's commitment the root has as the best; a backup the disputed one. It commits once to
//! each: sealed state and signed commitment are durable before the commitment leaves. A member that
//! cannot execute somebody else's proposal, also at a second try, commits to its failure; a
//! scheduler that cannot execute its own abstains and tries again.

use std::sync::atomic::Ordering as Memory;

use trilith_host::{Executed, HostFault};
use trilith_params::host::ROUND_RETRY_DELAY;
use trilith_protocol::commitment::ExecutorCommitmentHeader;
use trilith_protocol::{
    ComputeResultsHeader, ExecutorCommitment, Failure, RootTransaction, RoundContext,
};
use trilith_store::StoreFault;
use trilith_types::{Hash, Round, TimeNanos};

use super::running::{Done, Sent};
use super::{REPEAT, Worker};
use crate::NodeError;
use crate::ledger::Ledger;
use crate::net::message::Changes;
use crate::signed::{OpenProposal, Slot, slot_of_rank};

impl Worker {
    /// Does one step of the running round. Says whether there may be another at once.
    pub(super) fn work(
        &mut self,
        ledger: &mut Ledger,
        now: TimeNanos,
        began: &mut bool,
    ) -> Result<bool, NodeError> {
        if !self.owed.is_empty() || self.retry.is_some_and(|at| now < at) {
            return Ok(false);
        }
        self.retry = None;
        if *began && ledger.net.is_none() && self.running.own.is_none() {
            // The only node of a network has done its round; what is next is the next step's.
            return Ok(false);
        }
        self.note_work(now)?;
        let Some(committee) = &self.running.committee else {
            if self.running.since.is_some() {
                self.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
            }
            return Ok(false);
        };
        let own = ledger.id();
        let rank = committee.rank(&own, self.running.round);
        let backup = committee.backups.contains(&own);
        for target in self.targets(rank, backup, now) {
            if self.pursue(ledger, target, now, began)? {
                return Ok(true);
            }
        }
        if let Some(rank) = rank
            && self.schedule(ledger, rank, now, began)?
        {
            return Ok(true);
        }
        self.ask_for_proposal(ledger, rank.is_some(), backup, now);
        self.ask_for_round(ledger, rank, now);
        self.repeat_commitments(ledger, now)?;
        Ok(false)
    }

    /// Ranks of the proposals that this node is to execute and commit to now.
    fn targets(&self, rank: Option<u64>, backup: bool, now: TimeNanos) -> Vec<u64> {
        let running = &self.running;
        let best = running.status.best;
        let mut targets = Vec::new();
        if running.status.disputed {
            targets.extend(best.filter(|_| backup));
        } else if rank.is_some() {
            let allowance = self.allowance(now);
            let ranks = running.proposals.keys().copied();
            let mut useful = ranks.filter(|rank| best.is_none_or(|best| *rank <= best));
            targets.extend(useful.find(|rank| *rank <= allowance || running.own == Some(*rank)));
            let own = running
                .own
                .filter(|own| best.is_none_or(|best| *own <= best));
            targets.extend(best);
            targets.extend(own);
        }
        targets.retain(|rank| {
            running.proposals.contains_key(rank) && !running.sent.contains_key(rank)
        });
        targets.dedup();
        targets
    }

    /// The next step towards a commitment to one proposal. Says whether there was one.
    fn pursue(
        &mut self,
        ledger: &mut Ledger,
        rank: u64,
        now: TimeNanos,
        began: &mut bool,
    ) -> Result<bool, NodeError> {
        let own = self.running.own == Some(rank);
        if let Some(done) = self.running.done.get(&rank) {
            if done.executed.is_some() && !self.has_receipts(ledger, rank, now)? {
                return Ok(false);
            }
            self.commit(ledger, rank, now)?;
            return Ok(true);
        }
        *began |= own;
        let Some(known) = self.running.proposals.get(&rank) else {
            return Ok(false);
        };
        if !own {
            let name = slot_of_rank(&self.id, self.running.round, Slot::Followed, rank);
            let store = ledger.host.store();
            store.put_signed(&name, &known.open.encode())?;
        }
        let (parent, round) = (self.running.block.state_root, self.running.round);
        self.shared.busy.store(true, Memory::Release);
        let executed = self.execute(ledger, parent, round, &known.open);
        self.shared.busy.store(false, Memory::Release);
        match executed {
            Ok((executed, changes)) => {
                self.shared.faulty.store(false, Memory::Release);
                self.running
                    .done
                    .insert(rank, Done::of(Some(executed), changes));
                Ok(true)
            }
            // What the store refuses is the outcome's fault, not the disk's.
            Err(HostFault::Store(fault)) if !matches!(fault, StoreFault::Refused(_)) => {
                Err(fault.into())
            }
            Err(fault @ HostFault::Outdated { .. }) => Err(fault.into()),
            Err(fault) => {
                tracing::error!(%round, rank, %fault, "the round failed; abstaining");
                self.shared.faulty.store(true, Memory::Release);
                if own {
                    self.retry = Some(TimeNanos(now.0.saturating_add(ROUND_RETRY_DELAY)));
                    return Ok(false);
                }
                self.running.done.insert(rank, Done::fruitless());
                Ok(true)
            }
        }
    }

    /// Executes a batch and seals the outcome; once more if this node's sandbox or the like failed.
    /// Where storage nodes are to hold the state, gives what changed too.
    pub(super) fn execute(
        &self,
        ledger: &Ledger,
        parent: Hash,
        round: Round,
        open: &OpenProposal,
    ) -> Result<(Executed, Option<Changes>), HostFault> {
        let circumstances = &open.circumstances;
        let context = RoundContext {
            runtime: self.id,
            round,
            time: open.batch.time,
            height: circumstances.height,
            epoch: circumstances.epoch,
            committee: circumstances.committee.clone(),
            randomness: circumstances.randomness,
            from_root: circumstances.from_root.clone(),
        };
        let (host, runtime) = (&ledger.host, &*self.shared.runtime);
        let run = || host.run(runtime, parent, &open.batch, &context, &self.limits);
        let outcome = match run() {
            Err(HostFault::Runtime(fault)) => {
                tracing::warn!(%round, %fault, "executing the round again");
                run()?
            }
            other => other?,
        };
        let changes = if self.receipts_min == 0 {
            None
        } else {
            Changes::of(&outcome).map_err(|error| {
                HostFault::Runtime(trilith_protocol::Fault(format!("a page file: {error}")))
            })?
        };
        let executed = host.seal(runtime, parent, &open.batch, &context, outcome)?;
        Ok((executed, changes))
    }

    /// Signs the commitment to what a proposal gave, and delivers it to the root. What was signed
    /// before a restart is delivered again.
    fn commit(&mut self, ledger: &mut Ledger, rank: u64, now: TimeNanos) -> Result<(), NodeError> {
        let name = slot_of_rank(&self.id, self.running.round, Slot::Commitment, rank);
        let store = ledger.host.store().clone();
        let commitment = match store.signed(&name) {
            Some(stored) => {
                ExecutorCommitment::decode(&stored).map_err(|error| NodeError::Damaged {
                    what: "commitment",
                    reason: error.to_string(),
                })?
            }
            None => {
                let commitment = self.sign(ledger, rank)?;
                store.put_signed(&name, &commitment.encode())?;
                commitment
            }
        };
        let transaction = RootTransaction::ExecutorCommit {
            runtime: self.id,
            commitments: vec![commitment],
        };
        let transaction = transaction.encode();
        if ledger.net.is_some() {
            store.sync()?;
        }
        let sent = Sent {
            transaction: transaction.clone(),
            at: now,
        };
        self.running.sent.insert(rank, sent);
        ledger.submit(transaction, now)
    }

    fn sign(&self, ledger: &Ledger, rank: u64) -> Result<ExecutorCommitment, NodeError> {
        let (round, previous_hash) = (self.running.round, self.running.block.hash());
        let known = self.running.proposals.get(&rank);
        let (Some(known), Some(done)) = (known, self.running.done.get(&rank)) else {
            return Err(NodeError::State(format!(
                "nothing was executed for rank {rank} of round {round}"
            )));
        };
        let scheduler_id = known.open.proposal.node_id;
        let mut messages = Vec::new();
        let (header, failure) = match &done.executed {
            Some(executed) => {
                if scheduler_id == ledger.id() {
                    let outgoing = executed.outcome.messages.iter();
                    messages.extend(outgoing.map(|message| message.payload.clone()));
                }
                (executed.results(round, previous_hash), None)
            }
            None => (failed(round, previous_hash), Some(Failure::Unknown)),
        };
        let storage_signatures = match failure {
            None => done.receipts.values().copied().collect(),
            Some(_) => Vec::new(),
        };
        let header = ExecutorCommitmentHeader {
            scheduler_id,
            header,
            failure,
            rak_signature: None,
            storage_signatures,
        };
        let (key, chain) = (&ledger.key, &ledger.chain);
        Ok(ExecutorCommitment::sign(
            key, header, messages, &self.id, chain,
        ))
    }

    /// Delivers commitments again that the root does not have.
    fn repeat_commitments(&mut self, ledger: &mut Ledger, now: TimeNanos) -> Result<(), NodeError> {
        if ledger.net.is_none() {
            return Ok(());
        }
        let own = ledger.id();
        let running = &mut self.running;
        let mut again = Vec::new();
        let best = running.status.best;
        let has: Vec<u64> = running
            .sent
            .keys()
            .copied()
            .filter(|rank| running.has_vote(*rank, &own))
            .collect();
        for (rank, sent) in &mut running.sent {
            let useless = has.contains(rank) || best.is_some_and(|best| *rank > best);
            if !useless && now.0.abs_diff(sent.at.0) >= 2 * REPEAT {
                sent.at = now;
                again.push(sent.transaction.clone());
            }
        }
        for transaction in again {
            ledger.submit(transaction, now)?;
        }
        Ok(())
    }
}

/// The results of an executor that has none.
fn failed(round: Round, previous_hash: Hash) -> ComputeResultsHeader {
    ComputeResultsHeader {
        round,
        previous_hash,
        io_root: None,
        state_root: None,
        messages_hash: None,
        in_msgs_hash: None,
        in_msgs_count: 0,
    }
}
