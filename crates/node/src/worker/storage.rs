//! Storage receipts: asking for them as an executor, and giving them as a storage node.
//!
//! A storage node signs only for roots that it computed itself from what it was sent, and only
//! after state and receipt are durable. It judges no outcome: two executors that disagree both get
//! their receipts, and the root finds the discrepancy.

use trilith_host::{HostFault, io_root};
use trilith_protocol::{NodeSignature, StorageReceipt};
use trilith_store::StoreFault;
use trilith_types::{Hash, NodeId, Round, Signature, TimeNanos};

use super::running::Applied;
use super::{REPEAT, Worker};
use crate::NodeError;
use crate::ledger::Ledger;
use crate::net::Message;
use crate::net::message::Apply;
use crate::signed::receipt_slot;

impl Worker {
    /// Whether a node's receipts count: the committee's storage nodes; where the root elects none,
    /// every node with the storage role.
    fn is_storage(&self, ledger: &Ledger, node: &NodeId) -> Result<bool, NodeError> {
        let Some(committee) = &self.running.committee else {
            return Ok(false);
        };
        if !committee.storage.is_empty() {
            return Ok(committee.storage.contains(node));
        }
        ledger.has_storage_role(node)
    }

    fn receipt(&self, round: Round, roots: [Hash; 2]) -> StorageReceipt {
        StorageReceipt {
            namespace: self.id,
            round,
            roots: roots.to_vec(),
        }
    }

    /// Whether there are enough receipts for what a proposal gave; asks for them if not.
    pub(super) fn has_receipts(
        &mut self,
        ledger: &mut Ledger,
        rank: u64,
        now: TimeNanos,
    ) -> Result<bool, NodeError> {
        let own = ledger.id();
        let round = self.running.round;
        let stores = self.receipts_min > 0 && self.is_storage(ledger, &own)?;
        let Some(done) = self.running.done.get(&rank) else {
            return Ok(false);
        };
        if done.receipts.len() >= self.receipts_min {
            return Ok(true);
        }
        let Some(roots) = done.roots() else {
            return Ok(true);
        };
        if stores && !done.receipts.contains_key(&own) {
            let signature = self.sign_receipt(ledger, round, roots)?;
            if let Some(done) = self.running.done.get_mut(&rank) {
                done.receipts.insert(own, signature);
            }
            return self.has_receipts(ledger, rank, now);
        }
        let again = |asked: TimeNanos| now.0.abs_diff(asked.0) >= 2 * REPEAT;
        if done.asked.is_none_or(again) {
            self.ask_to_hold(ledger, rank, now)?;
        }
        Ok(false)
    }

    fn ask_to_hold(
        &mut self,
        ledger: &mut Ledger,
        rank: u64,
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        let running = &mut self.running;
        let (Some(known), Some(done)) = (running.proposals.get(&rank), running.done.get_mut(&rank))
        else {
            return Ok(());
        };
        let Some(executed) = &done.executed else {
            return Ok(());
        };
        done.asked = Some(now);
        let message = Message::Apply(Box::new(Apply {
            runtime: self.id,
            round: running.round,
            parent: running.block.state_root,
            batch: known.open.batch.clone(),
            receipts: executed.outcome.receipts.clone(),
            changes: done.changes.clone(),
            io_root: executed.io_root,
            state_root: executed.state_root,
        }));
        // Sealed state is durable before anybody is told of it.
        ledger.host.store().sync()?;
        let committee = running.committee.as_ref();
        let storage = committee.map_or(&[][..], |committee| &committee.storage);
        if storage.is_empty() {
            ledger.broadcast(&message);
        }
        for node in storage {
            ledger.send(node, &message);
        }
        Ok(())
    }

    /// Takes a storage node's receipt.
    pub(super) fn take_receipt(
        &mut self,
        ledger: &Ledger,
        round: Round,
        roots: [Hash; 2],
        signature: NodeSignature,
    ) -> Result<(), NodeError> {
        if round != self.running.round || !self.is_storage(ledger, &signature.node)? {
            return Ok(());
        }
        let receipt = self.receipt(round, roots);
        for done in self.running.done.values_mut() {
            if done.roots() == Some(roots) && !done.receipts.contains_key(&signature.node) {
                if let Err(error) = receipt.verify(&signature, &ledger.chain) {
                    tracing::warn!(node = %signature.node, %error, "a storage receipt is refused");
                    return Ok(());
                }
                done.receipts.insert(signature.node, signature);
            }
        }
        Ok(())
    }

    /// Holds a state for an executor, if this is a storage node, and signs for it. Says whether it
    /// is too early to tell.
    pub(super) fn hold(
        &mut self,
        ledger: &mut Ledger,
        from: NodeId,
        apply: &Apply,
    ) -> Result<bool, NodeError> {
        if apply.round > self.running.round || !self.owed.is_empty() {
            return Ok(true);
        }
        let own = ledger.id();
        let Some(committee) = &self.running.committee else {
            return Ok(false);
        };
        let (member, most) = (committee.has(&from), committee.workers.len());
        if apply.round < self.running.round || !member || !self.is_storage(ledger, &own)? {
            return Ok(false);
        }
        let roots = [apply.io_root, apply.state_root];
        if self.running.applied.iter().all(|held| held.roots != roots) {
            let count = self.running.applied_for.entry(from).or_default();
            *count += 1;
            if *count > most || !self.apply(ledger, apply)? {
                return Ok(false);
            }
        }
        let signature = self.sign_receipt(ledger, apply.round, roots)?;
        let message = Message::Receipt {
            runtime: self.id,
            round: apply.round,
            roots,
            signature,
        };
        ledger.send(&from, &message);
        Ok(false)
    }

    /// Makes the state an executor names. Says whether what it sent leads there.
    fn apply(&mut self, ledger: &Ledger, apply: &Apply) -> Result<bool, NodeError> {
        let own = apply.receipts.len() == apply.batch.inputs.len()
            && apply.parent == self.running.block.state_root
            && io_root(&apply.batch, &apply.receipts).is_ok_and(|root| root == apply.io_root);
        if !own {
            return Ok(false);
        }
        let made = match &apply.changes {
            Some(changes) => {
                let images = changes.image_writes().map_err(|error| {
                    NodeError::State(format!("pages of another node cannot be kept: {error}"))
                })?;
                let (log, round) = (&changes.log, apply.round);
                ledger.host.apply(self.id, round, apply.parent, log, images)
            }
            None => self.execute_for(ledger, apply),
        };
        match made {
            Ok(root) if root == apply.state_root => {
                self.running.applied.push(Applied {
                    roots: [apply.io_root, apply.state_root],
                    batch: apply.batch.clone(),
                    receipts: apply.receipts.clone(),
                });
                Ok(true)
            }
            Ok(root) => {
                tracing::warn!(found = %root, named = %apply.state_root, "a state is not held");
                Ok(false)
            }
            Err(HostFault::Store(fault)) if !matches!(fault, StoreFault::Refused(_)) => {
                Err(fault.into())
            }
            Err(fault @ HostFault::Outdated { .. }) => Err(fault.into()),
            Err(fault) => {
                tracing::warn!(%fault, "a state is not held");
                Ok(false)
            }
        }
    }

    /// Executes the batch itself, where what it changes is too large to be sent.
    fn execute_for(&self, ledger: &Ledger, apply: &Apply) -> Result<Hash, HostFault> {
        let hash = apply.batch.hash();
        let mut known = self.running.proposals.values();
        let known = known.find(|known| known.open.proposal.header.batch_hash == hash);
        let Some(known) = known else {
            let fault = trilith_protocol::Fault("the proposal is not known".into());
            return Err(fault.into());
        };
        let (executed, _) = self.execute(ledger, apply.parent, apply.round, &known.open)?;
        Ok(executed.state_root)
    }

    /// Signs for roots of a state that this node has sealed; state and signature are durable then.
    fn sign_receipt(
        &self,
        ledger: &Ledger,
        round: Round,
        roots: [Hash; 2],
    ) -> Result<NodeSignature, NodeError> {
        let store = ledger.host.store();
        let name = receipt_slot(&self.id, round, &roots);
        if let Some(stored) = store.signed(&name) {
            let bytes = <[u8; 64]>::try_from(&stored[..]).map_err(|_| NodeError::Damaged {
                what: "storage receipt",
                reason: format!("it has {} bytes", stored.len()),
            })?;
            return Ok(NodeSignature {
                node: ledger.id(),
                signature: Signature::from_bytes(bytes),
            });
        }
        let signature = self.receipt(round, roots).sign(&ledger.key, &ledger.chain);
        store.put_signed(&name, signature.signature.as_bytes())?;
        store.sync()?;
        Ok(signature)
    }
}
