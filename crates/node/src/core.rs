//! The committee worker of a node, one step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering as Memory;
use std::sync::mpsc::SyncSender;

use thiserror::Error;
use trilith_host::{Host, HostFault};
use trilith_ordering::{OrderedBlock, Ordering, OrderingFull, Solo, SoloStart};
use trilith_proof::answer::header_key;
use trilith_protocol::root::{FromRoot, ROOT_RUNTIME as ROOT};
use trilith_protocol::{Batch, Demand, Input, RootGenesis, RoundContext, RoundLimits, Runtime};
use trilith_store::{Store, StoreFault};
use trilith_types::{
    Hash, Height, Round, RuntimeId, SecretKey, StateFault, StateRead as _, TimeNanos, WriteLog,
};

use crate::certify::Certifier;
use crate::root::RootState;
use crate::root_port::{RootPort, RootTip};
use crate::worker::Worker;
use crate::{Clock, Evidence, NodeConfig, RootHandle, RuntimeHandle, RuntimeRegistry};

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

/// Everything the workers of all runtimes share.
pub(crate) struct Ledger {
    pub(crate) host: Host,
    pub(crate) chain: Hash,
    pub(crate) key: SecretKey,
    pub(crate) certifier: Certifier,
    root: Arc<dyn Runtime>,
    ordering: Box<dyn Ordering>,
    /// The last block, executed but perhaps not durable yet: ordering learns of it only once it is.
    executed: Option<(Height, Hash)>,
    port: Arc<RootPort>,
}

/// A node without a thread: state machines, stepped by its owner.
pub struct Core {
    ledger: Ledger,
    workers: BTreeMap<RuntimeId, Worker>,
    clock: Arc<dyn Clock>,
    wake: SyncSender<()>,
}

impl Core {
    /// Opens the network in `store`, or begins it there, and finishes what a crash interrupted as
    /// far as this needs no step. `wake` is sent to whenever a step is due at once.
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
        let NodeConfig {
            genesis,
            root,
            root_state,
            keys,
            pool,
        } = config;
        let chain = genesis.chain_context();
        begin(&store, &genesis, &root_state)?;
        let (height, state_root) = store
            .current(ROOT)
            .ok_or_else(|| NodeError::State("the root has no state".into()))?;
        let host = Host::new(store);
        let view = host.view(ROOT, state_root)?;
        let port = RootTip {
            height: Height(height),
            view: view.clone(),
        };
        let port = Arc::new(RootPort::new(root.clone(), genesis.clone(), port));
        let tip = RootState {
            runtime: root.clone(),
            view,
        }
        .tip()?;
        let start = SoloStart {
            height: Height(height),
            time: tip.time,
            state_root,
        };
        let ordering = Box::new(Solo::new(
            chain,
            keys.consensus.clone(),
            keys.consensus_shares,
            start,
        ));
        let mut ledger = Ledger {
            host,
            chain,
            key: keys.node,
            certifier: Certifier::new(keys.certification, keys.certification_shares),
            root,
            ordering,
            executed: None,
            port,
        };
        let mut workers = BTreeMap::new();
        for descriptor in &genesis.compute_runtimes() {
            let Some(runtime) = executed_here(&genesis, registry, &descriptor.id)? else {
                continue;
            };
            let worker = Worker::open(&mut ledger, runtime, descriptor, pool)?;
            workers.insert(descriptor.id, worker);
        }
        ledger.host.store().sync()?;
        Ok(Self {
            ledger,
            workers,
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

    /// The runtimes of the network.
    pub fn runtimes(&self) -> impl Iterator<Item = &RuntimeId> {
        self.workers.keys()
    }

    /// Does what is due: at most one round of every runtime.
    ///
    /// # Errors
    /// [`NodeError`] if this node's store or state failed so that it cannot go on. A fault that
    /// concerns one round only is logged, and the round is tried again at a later step.
    pub fn step(&mut self) -> Result<StepReport, NodeError> {
        let mut report = StepReport {
            rounds: 0,
            wake: None,
        };
        for worker in self.workers.values_mut() {
            let now = self.clock.now();
            if worker.due(now)? {
                worker.shared.busy.store(true, Memory::Release);
                let finalised = worker.round(&mut self.ledger, now);
                worker.shared.busy.store(false, Memory::Release);
                report.rounds += u64::from(finalised?);
            }
            report.wake = earlier(report.wake, worker.wake()?);
        }
        let now = self.clock.now();
        self.ledger.submit_waiting(now)?;
        self.ledger.order(now)?;
        report.wake = earlier(report.wake, self.ledger.ordering.wake());
        Ok(report)
    }
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

impl Ledger {
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

    /// Hands a transaction to ordering and executes the blocks that come of it.
    pub(crate) fn submit(&mut self, transaction: Vec<u8>, now: TimeNanos) -> Result<(), NodeError> {
        self.ordering.submit(transaction)?;
        self.order(now)
    }

    /// Hands to ordering what came through the port.
    fn submit_waiting(&mut self, now: TimeNanos) -> Result<(), NodeError> {
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

    /// Executes every block that is there.
    pub(crate) fn order(&mut self, now: TimeNanos) -> Result<(), NodeError> {
        self.settle()?;
        while let Some(block) = self.ordering.next(now) {
            let height = block.height;
            let root = self.execute(block)?;
            self.executed = Some((height, root));
        }
        if let Demand::At(at) = self.root()?.demand()? {
            self.ordering.request_block(at);
        }
        Ok(())
    }

    /// Makes everything so far durable, and then lets ordering sign for the last block.
    pub(crate) fn settle(&mut self) -> Result<(), NodeError> {
        if let Some((height, root)) = self.executed.take() {
            self.host.store().sync()?;
            self.ordering.executed(height, root);
            let view = self.root()?.view;
            self.port.durable(RootTip { height, view });
        }
        Ok(())
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

    fn execute(&mut self, block: OrderedBlock) -> Result<Hash, NodeError> {
        let parent = self.root()?;
        let epoch = parent.epoch()?;
        let inputs = block
            .transactions
            .into_iter()
            .map(|bytes| Input { bytes })
            .collect();
        let batch = Batch {
            time: block.time,
            inputs,
        };
        let context = RoundContext {
            runtime: ROOT,
            round: Round(block.height.0),
            time: block.time,
            height: block.height,
            epoch,
            committee: Vec::new(),
            randomness: block.randomness,
            from_root: FromRoot::default(),
        };
        let limits = RoundLimits {
            batch_inputs_max: trilith_params::root::BLOCK_TRANSACTIONS_MAX as u32,
            batch_bytes_max: trilith_params::root::BLOCK_BYTES_MAX as u64,
            messages_max: 0,
        };
        let parent = parent.view.root();
        let executed = self
            .host
            .execute(&*self.root, parent, &batch, &context, &limits)?;
        self.host
            .store()
            .finalise(ROOT, block.height.0, executed.state_root)?;
        self.port.executed(block.height, &executed.outcome.receipts);
        for receipt in &executed.outcome.receipts {
            if let trilith_protocol::ReceiptStatus::Rejected { code, message, .. } = &receipt.status
            {
                tracing::warn!(code, message, "the root rejects a transaction of this node");
            }
        }
        Ok(executed.state_root)
    }
}
