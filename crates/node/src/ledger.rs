//! The root ledger on this node: ordering, executing root blocks, and what follows from them.
//!
//! A validator orders blocks and announces each one once it is executed and durable. Every other
//! node executes the announced blocks on its own state and stops if one does not give the state
//! that the validators signed for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use trilith_host::Host;
use trilith_ordering::{CertifiedBlock, OrderedBlock, Ordering, Wanted};
use trilith_proof::answer::header_key;
use trilith_protocol::root::{FromRoot, NodeRoles, ROOT_RUNTIME as ROOT};
use trilith_protocol::{
    Batch, BlockHeader, CheckContext, Demand, HeaderType, Input, Proposal, ReceiptStatus,
    RootGenesis, RoundContext, RoundLimits, Runtime,
};
use trilith_store::View;
use trilith_types::{Hash, Height, NodeId, Round, RuntimeId, SecretKey, StateRead as _, TimeNanos};

use crate::certify::Certifier;
use crate::net::{Link, Message};
use crate::report::RoundLog;
use crate::root::RootState;
use crate::root_port::{RootPort, RootTip};
use crate::{Evidence, NodeError};

/// How many root states of the past a node of a network keeps at hand, for proposals that name an
/// earlier height. Not a consensus number.
const VIEWS_KEPT: usize = 64;
/// How many blocks the validator keeps for nodes that lag. Not a consensus number.
const BLOCKS_KEPT: u64 = 1_024;
/// Most blocks that are sent for one question. Not a consensus number.
const BLOCKS_SENT_MAX: u64 = 64;

/// Most contradictions that wait to be reported. Not a consensus number.
const EQUIVOCATIONS_MAX: usize = 64;

/// Two proposals of one scheduler for one round, both signed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Equivocation {
    /// The runtime.
    pub(crate) runtime: RuntimeId,
    /// The proposal that this node saw first.
    pub(crate) first: Proposal,
    /// The other one.
    pub(crate) second: Proposal,
}

/// This node's connection to the others, and its part in ordering.
pub(crate) struct Net {
    pub(crate) link: Box<dyn Link>,
    /// The validator; `None` where this node is it.
    pub(crate) validator: Option<NodeId>,
}

/// Everything the workers of all runtimes share.
pub(crate) struct Ledger {
    pub(crate) host: Host,
    pub(crate) chain: Hash,
    pub(crate) key: SecretKey,
    pub(crate) certifier: Certifier,
    pub(crate) epoch_interval: u64,
    /// `None` on the only node of a network.
    pub(crate) net: Option<Net>,
    /// Roles of the nodes of the genesis document's plain list.
    plain: BTreeMap<NodeId, NodeRoles>,
    /// What people who look on are told of rounds.
    pub(crate) rounds: Arc<RoundLog>,
    /// Proposals with which schedulers contradicted themselves.
    pub(crate) equivocations: Vec<Equivocation>,
    root: Arc<dyn Runtime>,
    pub(crate) port: Arc<RootPort>,
    ordering: Box<dyn Ordering>,
    /// The last block, executed but perhaps not durable yet: ordering learns of it only once it is.
    executed: Option<(Height, Hash)>,
    /// The newest block of each runtime, and those that its worker has not seen yet.
    blocks: BTreeMap<RuntimeId, (Round, Vec<BlockHeader>)>,
    /// Root states of the last heights, the newest last; empty on the only node of a network.
    views: VecDeque<(Height, Arc<View>)>,
}

impl Ledger {
    pub(crate) fn new(
        host: Host,
        genesis: &RootGenesis,
        (key, certifier): (SecretKey, Certifier),
        (root, port): (Arc<dyn Runtime>, Arc<RootPort>),
        ordering: Box<dyn Ordering>,
        net: Option<Net>,
    ) -> Self {
        let plain = genesis.nodes.iter().map(|node| (node.id, node.roles));
        Self {
            host,
            chain: genesis.chain_context(),
            key,
            certifier,
            epoch_interval: genesis.epoch_interval,
            plain: plain.collect(),
            rounds: Arc::default(),
            equivocations: Vec::new(),
            net,
            root,
            port,
            ordering,
            executed: None,
            blocks: BTreeMap::new(),
            views: VecDeque::new(),
        }
    }

    /// Takes note that a scheduler contradicted itself, until the root is told.
    pub(crate) fn report(&mut self, equivocation: Equivocation) {
        let node = equivocation.first.node_id;
        let round = equivocation.first.header.round;
        tracing::warn!(%node, %round, "a scheduler signed two proposals for one round");
        let known = self.equivocations.contains(&equivocation);
        if !known && self.equivocations.len() < EQUIVOCATIONS_MAX {
            self.equivocations.push(equivocation);
        }
    }

    /// Whether the root knows a node as a storage node.
    pub(crate) fn has_storage_role(&self, node: &NodeId) -> Result<bool, NodeError> {
        if let Some(roles) = self.plain.get(node) {
            return Ok(roles.has(NodeRoles::STORAGE));
        }
        self.root()?.has_role(node, NodeRoles::STORAGE)
    }

    pub(crate) fn id(&self) -> NodeId {
        self.key.public()
    }

    /// The newest state of the root.
    pub(crate) fn root(&self) -> Result<RootState, NodeError> {
        let (_, root) = self
            .host
            .store()
            .current(ROOT)
            .ok_or_else(|| NodeError::State("the root has no state".into()))?;
        let view = self.host.view(ROOT, root)?;
        let runtime = self.root.clone();
        Ok(RootState { runtime, view })
    }

    /// The state of the root after `height`, if it is at hand.
    pub(crate) fn root_at(&self, height: Height) -> Result<Option<RootState>, NodeError> {
        let newest = self.root()?;
        if newest.tip()?.height == height {
            return Ok(Some(newest));
        }
        let kept = self.views.iter().find(|(kept, _)| *kept == height);
        let view = match kept {
            Some((_, view)) => Some(view.clone()),
            // After a restart the store may still have it.
            None => self.host.store().view_at(ROOT, height.0)?,
        };
        let runtime = newest.runtime;
        Ok(view.map(|view| RootState { runtime, view }))
    }

    /// From now on blocks of `runtime` are told to its worker, those after `round`.
    pub(crate) fn watch(&mut self, runtime: RuntimeId, round: Round) {
        self.blocks.insert(runtime, (round, Vec::new()));
    }

    /// Blocks of a runtime that its worker has not seen yet, in order.
    pub(crate) fn take_blocks(&mut self, runtime: &RuntimeId) -> Vec<BlockHeader> {
        self.blocks
            .get_mut(runtime)
            .map(|(_, blocks)| std::mem::take(blocks))
            .unwrap_or_default()
    }

    /// Sends to one node, if there are others.
    pub(crate) fn send(&mut self, to: &NodeId, message: &Message) {
        if let Some(net) = &mut self.net {
            net.link.send(to, message.bytes());
        }
    }

    /// Sends to all other nodes, if there are any.
    pub(crate) fn broadcast(&mut self, message: &Message) {
        if let Some(net) = &mut self.net {
            net.link.broadcast(message.bytes());
        }
    }

    /// The header with which the root finalised an outcome that this node has not applied yet.
    pub(crate) fn header(
        &self,
        runtime: &RuntimeId,
        round: Round,
    ) -> Result<Option<BlockHeader>, NodeError> {
        let Some(stored) = self.host.store().meta(&header_name(runtime, round)) else {
            return Ok(None);
        };
        let header = BlockHeader::decode(&stored).map_err(|error| NodeError::Damaged {
            what: "block header",
            reason: error.to_string(),
        })?;
        Ok(Some(header))
    }

    /// Forgets such a header: the outcome is applied.
    pub(crate) fn forget_header(&self, runtime: &RuntimeId, round: Round) -> Result<(), NodeError> {
        if self.net.is_some() {
            let name = header_name(runtime, round);
            self.host.store().remove_meta(&name)?;
        }
        Ok(())
    }

    /// The validator, if another node is it.
    pub(crate) fn validator(&self) -> Option<NodeId> {
        self.net.as_ref().and_then(|net| net.validator)
    }

    /// Hands a transaction to ordering and executes the blocks that come of it.
    pub(crate) fn submit(&mut self, transaction: Vec<u8>, now: TimeNanos) -> Result<(), NodeError> {
        self.ordering.submit(transaction)?;
        self.order(now)
    }

    /// Hands to ordering what came through the port.
    pub(crate) fn submit_waiting(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        let mut waiting = self.port.take().into_iter();
        let mut submitted = false;
        while let Some(transaction) = waiting.next() {
            if let Err(full) = self.ordering.submit(transaction.clone()) {
                tracing::warn!(%full, "transactions wait for the next height");
                let rest = std::iter::once(transaction).chain(waiting.by_ref());
                self.port.put_back(rest.collect());
            } else {
                submitted = true;
            }
        }
        if submitted {
            self.order(now)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Lets ordering cut an empty block, so that the root's time is that of `now`.
    pub(crate) fn refresh(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        self.ordering.request_block(now);
        self.order(now)
    }

    /// When ordering may have a block although nothing is submitted.
    pub(crate) fn wake(&self) -> Option<TimeNanos> {
        self.ordering.wake()
    }

    /// Executes every block that is there.
    pub(crate) fn order(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        self.settle()?;
        while let Some(block) = self.ordering.next(now) {
            let height = block.height;
            let expected = self.ordering.expected();
            let root = self.execute(block, expected)?;
            self.executed = Some((height, root));
            if self.net.is_some() {
                self.settle()?;
            }
        }
        if let Demand::At(at) = self.root()?.demand()? {
            self.ordering.request_block(at);
        }
        self.ask(now);
        Ok(())
    }

    /// Makes everything so far durable, and then lets ordering sign for the last block.
    pub(crate) fn settle(&mut self) -> Result<(), NodeError> {
        let Some((height, root)) = self.executed.take() else {
            return Ok(());
        };
        if self.validator().is_none() {
            self.host.store().sync()?;
        }
        self.ordering.executed(height, root);
        let view = self.root()?.view;
        self.port.durable(RootTip { height, view });
        if self.net.is_some() && self.validator().is_none() {
            for block in self.kept(height, 1)? {
                self.broadcast(&Message::Block(Box::new(block)));
            }
        }
        Ok(())
    }

    /// Sends what ordering wants of the validator.
    fn ask(&mut self, now: TimeNanos) {
        let Some(validator) = self.validator() else {
            return;
        };
        for wanted in self.ordering.wanted(now) {
            let message = match wanted {
                Wanted::Order(transaction) => Message::Order(transaction),
                Wanted::Blocks(height) => Message::WantBlocks(height),
                Wanted::BlockAfter(height) => Message::WantBlockAfter(height),
            };
            self.send(&validator, &message);
        }
    }

    /// Takes a block from another node.
    pub(crate) fn deliver(&mut self, from: &NodeId, block: CertifiedBlock) {
        if self.validator() != Some(*from) {
            return;
        }
        if let Err(error) = self.ordering.deliver(block) {
            tracing::warn!(%error, "a block is refused");
        }
    }

    /// Takes a transaction of another node for ordering, if this node is the validator and the
    /// root's check lets it in.
    pub(crate) fn take_transaction(
        &mut self,
        transaction: Vec<u8>,
        now: TimeNanos,
    ) -> Result<(), NodeError> {
        if self.validator().is_some() {
            return Ok(());
        }
        let context = CheckContext { runtime: ROOT, now };
        let view = self.root()?.view;
        match self.root.check(&*view, &transaction, &context) {
            Ok(_) => {
                if let Err(error) = self.ordering.submit(transaction) {
                    tracing::warn!(%error, "a transaction of another node is not ordered");
                }
            }
            Err(reject) => tracing::debug!(%reject, "a transaction of another node is refused"),
        }
        Ok(())
    }

    /// Answers a node that lags.
    pub(crate) fn send_blocks(&mut self, to: &NodeId, from: Height) -> Result<(), NodeError> {
        if self.validator().is_some() {
            return Ok(());
        }
        for block in self.kept(from, BLOCKS_SENT_MAX)? {
            self.send(to, &Message::Block(Box::new(block)));
        }
        Ok(())
    }

    /// Another node wants a block after `height`.
    pub(crate) fn want_block(&mut self, height: Height, now: TimeNanos) -> Result<(), NodeError> {
        if self.validator().is_none() && self.root()?.tip()?.height <= height {
            self.ordering.request_block(now);
        }
        Ok(())
    }

    /// Blocks from a height on that this validator keeps, each with its certificate.
    fn kept(&self, from: Height, count: u64) -> Result<Vec<CertifiedBlock>, NodeError> {
        let last = self.root()?.tip()?.height;
        let mut blocks = Vec::new();
        for height in (from.0..=last.0).take(count as usize) {
            let Some(stored) = self.host.store().meta(&block_name(Height(height))) else {
                break;
            };
            let damaged = |reason: String| NodeError::Damaged {
                what: "root block",
                reason,
            };
            let mut block = crate::net::message::stored_block(&stored)
                .map_err(|error| damaged(error.to_string()))?;
            let root = block.certificate.state_root;
            if let Some(certificate) = self.ordering.certify(Height(height), root) {
                block.certificate = certificate;
                blocks.push(block);
            }
        }
        Ok(blocks)
    }

    /// What ties the newest block of `runtime` to the validators' certificate of the newest root
    /// state; `None` while there is no certificate of it.
    pub(crate) fn evidence(&self, runtime: &RuntimeId) -> Result<Option<Evidence>, NodeError> {
        let view = self.root()?.view;
        let Some(certificate) = self.ordering.certificate() else {
            return Ok(None);
        };
        if certificate.state_root != view.root() {
            return Ok(None);
        }
        let proof = view
            .prove(&header_key(runtime))
            .map_err(|error| NodeError::State(error.to_string()))?;
        Ok(Some(Evidence {
            height: certificate.height,
            root_state: certificate.state_root,
            header_proof: proof.encode(),
            signature: certificate.signature,
        }))
    }

    fn execute(&mut self, block: OrderedBlock, expected: Option<Hash>) -> Result<Hash, NodeError> {
        let parent = self.root()?;
        let height = block.height;
        let context = RoundContext {
            runtime: ROOT,
            round: Round(height.0),
            time: block.time,
            height,
            epoch: parent.epoch()?,
            committee: Vec::new(),
            randomness: block.randomness,
            from_root: FromRoot::default(),
        };
        let limits = RoundLimits {
            batch_inputs_max: trilith_params::root::BLOCK_TRANSACTIONS_MAX as u32,
            batch_bytes_max: trilith_params::root::BLOCK_BYTES_MAX as u64,
            messages_max: 0,
        };
        let kept = self.kept_form(&block);
        let inputs = block.transactions.into_iter();
        let batch = Batch {
            time: block.time,
            inputs: inputs.map(Input::new).collect(),
        };
        let before = parent.view.root();
        let executed = self
            .host
            .execute(&*self.root, before, &batch, &context, &limits)?;
        let root = executed.state_root;
        if let Some(certified) = expected.filter(|certified| *certified != root) {
            return Err(NodeError::Diverged {
                height,
                own: root,
                certified,
            });
        }
        if self.net.is_some() {
            let receipts = &executed.outcome.receipts;
            self.rounds.delivered(&batch.inputs, receipts);
        }
        self.keep(kept, height, root)?;
        self.note_blocks(parent.runtime, root)?;
        self.host.store().finalise(ROOT, height.0, root)?;
        self.port.executed(height, &executed.outcome.receipts);
        self.remember_view(height, root)?;
        for receipt in &executed.outcome.receipts {
            if let ReceiptStatus::Rejected { code, message, .. } = &receipt.status {
                if self.net.is_some() {
                    tracing::debug!(code, message, "the root rejects a transaction");
                } else {
                    tracing::warn!(code, message, "the root rejects a transaction of this node");
                }
            }
        }
        Ok(root)
    }

    /// A block as the validator of a network keeps it, without the state it leads to.
    fn kept_form(&self, block: &OrderedBlock) -> Option<OrderedBlock> {
        (self.net.is_some() && self.validator().is_none()).then(|| block.clone())
    }

    /// Keeps a block for nodes that lag, in the same part of the log as its execution.
    fn keep(
        &self,
        block: Option<OrderedBlock>,
        height: Height,
        root: Hash,
    ) -> Result<(), NodeError> {
        let Some(block) = block else {
            return Ok(());
        };
        let certificate = trilith_ordering::ConsensusCertificate {
            height,
            state_root: root,
            // Signed again whenever it is sent: signatures are unique.
            signature: [0; 48],
        };
        let store = self.host.store();
        let message = Message::Block(Box::new(CertifiedBlock { block, certificate }));
        store.put_meta(&block_name(height), &message.encode())?;
        if let Some(old) = height.0.checked_sub(BLOCKS_KEPT) {
            store.remove_meta(&block_name(Height(old)))?;
        }
        Ok(())
    }

    /// Takes note of what became of the runtimes' rounds in the candidate state `root`. A node of a
    /// network stores the headers of outcomes before the root's state becomes current: whatever a
    /// restart finds current, the outcomes that led there are known.
    fn note_blocks(&mut self, runtime: Arc<dyn Runtime>, root: Hash) -> Result<(), NodeError> {
        let view = self.host.view(ROOT, root)?;
        let state = RootState { runtime, view };
        for (id, (round, news)) in &mut self.blocks {
            let block = state.latest_block(id)?;
            if block.round <= *round {
                if self.net.is_some() {
                    self.rounds.stands(*id, &state.running_round(id)?);
                }
                continue;
            }
            if self.net.is_some() {
                self.rounds.ended(&block);
            }
            *round = block.round;
            if self.net.is_some() && block.header_type == HeaderType::Normal {
                let name = header_name(id, block.round);
                self.host.store().put_meta(&name, &block.encode())?;
            }
            if block.header_type == HeaderType::Normal {
                self.certifier.finalized(*id, block.round, block.state_root);
            }
            news.push(block);
        }
        Ok(())
    }

    fn remember_view(&mut self, height: Height, root: Hash) -> Result<(), NodeError> {
        if self.net.is_some() {
            self.views.push_back((height, self.host.view(ROOT, root)?));
            if self.views.len() > VIEWS_KEPT {
                self.views.pop_front();
            }
        }
        Ok(())
    }
}

/// Name of the blob that holds a block of the root.
fn block_name(height: Height) -> String {
    format!("root block {height}")
}

/// Name of the blob that holds the header of an outcome.
fn header_name(runtime: &RuntimeId, round: Round) -> String {
    format!("header {runtime} {round}")
}
