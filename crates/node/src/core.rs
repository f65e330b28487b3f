//! The committee worker of a node, one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use thiserror::Error;
use trilith_host::{Host, HostFault};
use trilith_ordering::{
    CertifiedBlock, Follower, FollowerStart, Ordering, OrderingFull, Solo, SoloStart,
};
use trilith_protocol::root::{ROOT_RUNTIME as ROOT, RuntimeDescriptor};
use trilith_protocol::{AttestedSignature, RootGenesis, Runtime};
use trilith_store::{Store, StoreFault};
use trilith_types::{Hash, Height, NodeId, RuntimeId, StateFault, TimeNanos, WriteLog};

use crate::accuser;
use crate::certify::Certifier;
use crate::ledger::{Ledger, Net};
use crate::net::message::{Leaf, Message};
use crate::own::OwnAccount;
use crate::prover::Prover;
use crate::root::RootState;
use crate::root_port::{RootPort, RootTip};
use crate::worker::Worker;
use crate::{Clock, Membership, NodeConfig, RootHandle, RoundLog, RuntimeHandle, RuntimeRegistry};

/// Most messages that are taken up in one step, so that work on rounds goes on beside them.
const MESSAGES_STEP_MAX: usize = 256;

/// Name of the blob in the store that holds the genesis document.
const GENESIS: &str = "genesis";

/// Why a node cannot start or go on.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A batch could not be executed.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// State cannot be read.
    #[error("{0}")]
    State(String),
    /// The data folder belongs to another network.
    #[error("the data folder holds the network {stored}, not {asked}")]
    OtherNetwork {
        /// Chain context of the stored genesis document.
        stored: Hash,
        /// Chain context of the one asked for.
        asked: Hash,
    },
    /// The genesis document breaks a rule.
    #[error("the genesis document is refused: {0}")]
    Genesis(#[source] Box<trilith_protocol::root::GenesisError>),
    /// The genesis names a runtime that this node was not given.
    #[error("this node was not given the runtime {0}")]
    MissingRuntime(RuntimeId),
    /// A leaf could not be signed.
    #[error("a leaf is not signed: {0}")]
    Certification(String),
    /// The queue of root transactions is full.
    #[error(transparent)]
    Ordering(#[from] OrderingFull),
    /// A root block did not give the state that the validators signed for.
    #[error(
        "height {height} gives the root state {own} here, the validators signed for {certified}"
    )]
    Diverged {
        /// The height.
        height: Height,
        /// What this node computed.
        own: Hash,
        /// What the validators signed for.
        certified: Hash,
    },
    /// Something stored by this node cannot be read back.
    #[error("what this node stored as {what} is damaged: {reason}")]
    Damaged {
        /// What it was.
        what: &'static str,
        /// Why it cannot be read.
        reason: String,
    },
}

impl From<trilith_protocol::root::GenesisError> for NodeError {
    fn from(error: trilith_protocol::root::GenesisError) -> Self {
        Self::Genesis(Box::new(error))
    }
}

impl From<StateFault> for NodeError {
    fn from(fault: StateFault) -> Self {
        Self::State(fault.to_string())
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Rounds that were finalised.
    pub rounds: u64,
    /// When the next step is due if nothing is submitted; `None` if there is nothing to wait for.
    pub wake: Option<TimeNanos>,
}

/// A node without a thread: state machines, stepped by its owner.
pub struct Core {
    ledger: Ledger,
    workers: BTreeMap<RuntimeId, Worker>,
    prover: Prover,
    own: OwnAccount,
    clock: Arc<dyn Clock>,
    wake: SyncSender<()>,
}

impl Core {
    /// Opens the network in `store`, or begins it there, and finishes what a crash interrupted as
    /// far as this needs no step. This node is the only one. `wake` is sent to whenever a step is
    /// due at once.
    ///
    /// # Errors
    /// [`NodeError`] if the store holds another network or cannot be read, or a runtime is missing.
    pub fn open(
        store: Arc<Store>,
        registry: &RuntimeRegistry,
        config: NodeConfig,
        clock: Arc<dyn Clock>,
        wake: SyncSender<()>,
    ) -> Result<Self, NodeError> {
        Self::start(store, registry, config, (None, clock), wake)
    }

    /// Does as [`Core::open`], as one node of several.
    ///
    /// # Errors
    /// As of [`Core::open`].
    pub fn join(
        store: Arc<Store>,
        registry: &RuntimeRegistry,
        config: NodeConfig,
        (membership, clock): (Membership, Arc<dyn Clock>),
        wake: SyncSender<()>,
    ) -> Result<Self, NodeError> {
        Self::start(store, registry, config, (Some(membership), clock), wake)
    }

    fn start(
        store: Arc<Store>,
        registry: &RuntimeRegistry,
        config: NodeConfig,
        (membership, clock): (Option<Membership>, Arc<dyn Clock>),
        wake: SyncSender<()>,
    ) -> Result<Self, NodeError> {
        begin(&store, &config.genesis, &config.root_state)?;
        let pool = config.pool;
        let genesis = config.genesis.clone();
        let prover = Prover::new(&config.keys, &genesis);
        let own = OwnAccount::new(&config.keys, &genesis);
        let mut ledger = ledger(store, config, membership, &wake)?;
        let mut workers = BTreeMap::new();
        for descriptor in descriptors(&ledger, &genesis)? {
            let Some(runtime) = executed_here(&genesis, registry, &descriptor.id)? else {
                continue;
            };
            let worker = Worker::open(&mut ledger, runtime, &descriptor, pool)?;
            workers.insert(descriptor.id, worker);
        }
        ledger.host.store().sync()?;
        Ok(Self {
            ledger,
            workers,
            prover,
            own,
            clock,
            wake,
        })
    }

    /// The handle of a runtime; `None` if the network has no such runtime.
    pub fn handle(&self, runtime: &RuntimeId) -> Option<RuntimeHandle> {
        let worker = self.workers.get(runtime)?;
        Some(RuntimeHandle {
            shared: worker.shared.clone(),
            wake: self.wake.clone(),
            clock: self.clock.clone(),
            key: self.ledger.key.clone(),
        })
    }

    /// The handle of the root.
    pub fn root(&self) -> RootHandle {
        RootHandle {
            port: self.ledger.port.clone(),
            wake: self.wake.clone(),
            clock: self.clock.clone(),
        }
    }

    /// What this node sees of rounds, for people who look on; empty on the only node of a network.
    pub fn rounds(&self) -> Arc<RoundLog> {
        self.ledger.rounds.clone()
    }

    /// The runtimes of the network.
    pub fn runtimes(&self) -> impl Iterator<Item = &RuntimeId> {
        self.workers.keys()
    }

    /// Does what is due: takes messages up, and at most begins one round of every runtime.
    ///
    /// # Errors
    /// [`NodeError`] if this node's store or state failed so that it cannot go on. A fault that
    /// concerns one round only is logged, and the round is tried again at a later step.
    pub fn step(&mut self) -> Result<StepReport, NodeError> {
        let mut report = StepReport {
            rounds: 0,
            wake: None,
        };
        if self.receive()? {
            report.wake = Some(TimeNanos(0));
        }
        if self.ledger.net.is_some() {
            self.ledger.order(self.clock.now())?;
        }
        for worker in self.workers.values_mut() {
            report.rounds += worker.advance(&mut self.ledger, &*self.clock)?;
            let wake = worker.wake(&self.ledger, self.clock.now())?;
            report.wake = earlier(report.wake, wake);
        }
        let now = self.clock.now();
        self.ledger.submit_waiting(now)?;
        self.ledger.order(now)?;
        self.tell_root(now)?;
        report.wake = earlier(report.wake, self.ledger.wake());
        Ok(report)
    }

    /// Submits what this node has to tell the root of itself and of others.
    fn tell_root(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        let seen = std::mem::take(&mut self.ledger.equivocations);
        let root = self.ledger.root()?;
        let mut calls = accuser::calls(&self.ledger.id(), &root, &seen)?;
        calls.extend(self.prover.due(&root)?);
        for transaction in self.own.sign(&root, calls)? {
            self.ledger.submit(transaction, now)?;
        }
        Ok(())
    }

    /// Takes up messages, at most [`MESSAGES_STEP_MAX`]; says whether there may be more.
    fn receive(&mut self) -> Result<bool, NodeError> {
        for _ in 0..MESSAGES_STEP_MAX {
            let Some(net) = &mut self.ledger.net else {
                return Ok(false);
            };
            let Some((from, bytes)) = net.link.receive() else {
                return Ok(false);
            };
            match Message::decode(&bytes) {
                Ok(message) => self.take(from, message)?,
                Err(error) => tracing::warn!(%from, %error, "a message cannot be decoded"),
            }
        }
        Ok(true)
    }

    fn take(&mut self, from: NodeId, message: Message) -> Result<(), NodeError> {
        let now = self.clock.now();
        let ledger = &mut self.ledger;
        let runtime = match &message {
            Message::Block(block) => {
                ledger.deliver(&from, CertifiedBlock::clone(block));
                return Ok(());
            }
            Message::Order(transaction) => {
                return ledger.take_transaction(transaction.clone(), now);
            }
            Message::WantBlocks(height) => return ledger.send_blocks(&from, *height),
            Message::WantBlockAfter(height) => return ledger.want_block(*height, now),
            Message::WantLeaf(wanted) => {
                match ledger.certifier.sign(wanted) {
                    Ok(Some(signed)) => send_leaf(ledger, &from, wanted.runtime, &signed),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "a leaf of another node is not signed"),
                }
                return Ok(());
            }
            Message::Transaction { runtime, .. }
            | Message::Proposal { runtime, .. }
            | Message::Receipt { runtime, .. }
            | Message::WantRound { runtime, .. }
            | Message::Round { runtime, .. }
            | Message::Refresh { runtime, .. } => *runtime,
            Message::Apply(apply) => apply.runtime,
            Message::Leaf(leaf) => leaf.runtime,
        };
        match self.workers.get_mut(&runtime) {
            Some(worker) => worker.take(ledger, from, message, now),
            None => Ok(()),
        }
    }
}

fn send_leaf(ledger: &mut Ledger, to: &NodeId, runtime: RuntimeId, signed: &AttestedSignature) {
    let Ok(signature) = signed.signature[..].try_into() else {
        return;
    };
    let leaf = Leaf {
        runtime,
        state_root: signed.state_root,
        value: signed.value,
        signature,
    };
    ledger.send(to, &Message::Leaf(Box::new(leaf)));
}

/// The root ledger as this node takes part in it.
fn ledger(
    store: Arc<Store>,
    config: NodeConfig,
    membership: Option<Membership>,
    wake: &SyncSender<()>,
) -> Result<Ledger, NodeError> {
    let NodeConfig {
        genesis,
        root,
        keys,
        ..
    } = config;
    let chain = genesis.chain_context();
    let (height, state_root) = store
        .current(ROOT)
        .ok_or_else(|| NodeError::State("the root has no state".into()))?;
    let host = Host::new(store);
    let view = host.view(ROOT, state_root)?;
    let height = Height(height);
    let durable = RootTip {
        height,
        view: view.clone(),
    };
    let port = RootPort::new(root.clone(), genesis.clone(), durable);
    let tip = RootState {
        runtime: root.clone(),
        view,
    }
    .tip()?;
    let group = keys.consensus.clone();
    let follows = membership.as_ref().is_some_and(|of| of.validator.is_some());
    let ordering: Box<dyn Ordering> = if follows {
        Box::new(Follower::new(chain, group, FollowerStart { height }))
    } else {
        let start = SoloStart {
            height,
            time: tip.time,
            state_root,
        };
        let interval = membership.as_ref().map_or(0, |of| of.block_interval);
        let solo = Solo::new(chain, group, keys.consensus_shares, start);
        Box::new(solo.with_interval(interval))
    };
    let net = membership.map(|membership| {
        let mut link = membership.link;
        link.wake_with(wake.clone());
        Net {
            link,
            validator: membership.validator,
        }
    });
    let certifier = Certifier::new(keys.certification, keys.certification_shares);
    Ok(Ledger::new(
        host,
        &genesis,
        (keys.node, certifier),
        (root, Arc::new(port)),
        ordering,
        net,
    ))
}

/// The runtimes that this network's nodes execute: those of the genesis document's plain list, and
/// those that it registers, as they are registered now.
fn descriptors(
    ledger: &Ledger,
    genesis: &RootGenesis,
) -> Result<Vec<RuntimeDescriptor>, NodeError> {
    let mut descriptors = genesis.runtimes.clone();
    let registry = &genesis.services.registry;
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    for runtime in registered.filter(|runtime| runtime.is_compute()) {
        let now = ledger.root()?.registered(&runtime.id)?;
        descriptors.push(now.unwrap_or_else(|| runtime.descriptor()));
    }
    Ok(descriptors)
}

impl Drop for Core {
    fn drop(&mut self) {
        self.ledger.port.close();
    }
}

/// The runtime with this identifier; `None` if this node does not execute it. A node executes all
/// of the plain list; which registered ones it executes it says when it registers itself.
fn executed_here(
    genesis: &RootGenesis,
    registry: &RuntimeRegistry,
    id: &RuntimeId,
) -> Result<Option<Arc<dyn Runtime>>, NodeError> {
    match registry.get(id) {
        Some(runtime) => Ok(Some(runtime.clone())),
        None if genesis.runtime(id).is_none() => Ok(None),
        None => Err(NodeError::MissingRuntime(*id)),
    }
}

fn earlier(one: Option<TimeNanos>, other: Option<TimeNanos>) -> Option<TimeNanos> {
    one.into_iter().chain(other).min()
}

/// Writes the genesis state if the store is new, and checks that it is of this network if not.
fn begin(
    store: &Arc<Store>,
    genesis: &RootGenesis,
    root_state: &WriteLog,
) -> Result<(), NodeError> {
    genesis.validate()?;
    let chain = genesis.chain_context();
    if let Some(stored) = store.meta(GENESIS) {
        let stored = RootGenesis::decode(&stored).map_err(|error| NodeError::Damaged {
            what: "genesis document",
            reason: error.to_string(),
        })?;
        let stored = stored.chain_context();
        if stored != chain {
            return Err(NodeError::OtherNetwork {
                stored,
                asked: chain,
            });
        }
    } else if let Some((round, _)) = store.current(ROOT) {
        let what = format!("the store has the root's round {round} but no genesis document");
        let next = "it was imported to be looked at; start the node on a folder of its own";
        return Err(NodeError::State(format!("{what}: {next}")));
    }
    if store.current(ROOT).is_none() {
        store.put_meta(GENESIS, &genesis.encode())?;
        let root = store.seal(ROOT, 0, Hash::EMPTY, root_state, &[])?;
        store.finalise(ROOT, 0, root)?;
        store.sync()?;
    }
    Ok(())
}
