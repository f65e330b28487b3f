//! One height of the root: begin, transactions, end.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use trilith_params::root::EVENTS_KEPT;
use trilith_protocol::root::{GenesisError, NodeRoles, RoundFailure, RuntimeDescriptor};
use trilith_protocol::{
    BlockHeader, ExecutorCommitment, Fault, HeaderType, Input, Receipt, ReceiptStatus, RootEvent,
    RootGenesis, RootTransaction, RoundContext,
};
use trilith_types::{
    Epoch, Hash, Height, NodeId, PublicKey, RuntimeId, StateFault, StateRead, TimeNanos, WriteLog,
    WriteLogEntry,
};

use crate::admission::{self, Refusal, Running};
use crate::election::elect;
use crate::overlay::Overlay;
use crate::pool::{Pool, Verdict};
use crate::state::{
    self, EPOCH, EpochRecord, Events, KEYS, Keys, NETWORK, Network, OfRuntime, Record as _,
    RoundResults, TIP, Tip, events_key, node_key,
};
use crate::{MODULE, Rejection};

/// Code of an outgoing message for which the root has no handler.
const MESSAGE_UNKNOWN: u32 = 1;

/// One height in the making.
pub(crate) struct Ledger<'a> {
    overlay: Overlay<'a>,
    network: Network,
    height: Height,
    time: TimeNanos,
    randomness: [u8; 32],
    events: Vec<RootEvent>,
}

impl<'a> Ledger<'a> {
    /// Begins the height of `context`.
    pub(crate) fn begin(mut overlay: Overlay<'a>, context: &RoundContext) -> Result<Self, Fault> {
        let network: Network = overlay.required(NETWORK)?;
        let last: Tip = overlay.required(TIP)?;
        let height = Height(context.round.0);
        if height != last.height.next() {
            let message = format!(
                "height {height} was to be executed after height {}",
                last.height
            );
            return Err(Fault(message));
        }
        if context.time < last.time {
            let message = format!("the time {} ns is before {} ns", context.time, last.time);
            return Err(Fault(message));
        }
        let randomness = context.randomness.unwrap_or(last.randomness);
        let mut ledger = Self {
            overlay,
            network,
            height,
            time: context.time,
            randomness,
            events: Vec::new(),
        };
        let tip = Tip {
            height,
            time: context.time,
            randomness,
        };
        ledger.overlay.put_record(TIP.to_vec(), &tip);
        if height.0.is_multiple_of(ledger.network.epoch_interval) {
            ledger.start_epoch()?;
        }
        Ok(ledger)
    }

    fn start_epoch(&mut self) -> Result<(), Fault> {
        let epoch = Epoch(self.height.0 / self.network.epoch_interval);
        let record = EpochRecord {
            epoch,
            since: self.height,
        };
        self.overlay.put_record(EPOCH.to_vec(), &record);
        self.events.push(RootEvent::EpochStarted {
            epoch,
            height: self.height,
        });
        let eligible = eligible(self.overlay.view())?;
        for runtime in self.network.runtimes.clone() {
            let descriptor = self
                .overlay
                .required(&OfRuntime::Descriptor.key(&runtime))?;
            self.start_epoch_of(&descriptor, epoch, &eligible)?;
        }
        Ok(())
    }

    fn start_epoch_of(
        &mut self,
        descriptor: &RuntimeDescriptor,
        epoch: Epoch,
        eligible: &BTreeSet<NodeId>,
    ) -> Result<(), Fault> {
        let runtime = descriptor.id;
        let key = OfRuntime::Committee.key(&runtime);
        let was_suspended = self.overlay.get(&key)?.is_none();
        let committee = elect(descriptor, eligible, epoch, &self.randomness);
        let header_type = match &committee {
            Some(_) => HeaderType::EpochTransition,
            None if was_suspended => return Ok(()),
            None => HeaderType::Suspended,
        };
        self.overlay
            .put(key, committee.as_ref().map(|committee| committee.encode()));
        self.overlay.put(OfRuntime::Pool.key(&runtime), None);
        if let Some(committee) = committee {
            self.events
                .push(RootEvent::CommitteeElected { runtime, committee });
        }
        let last: BlockHeader = self.overlay.required(&OfRuntime::Block.key(&runtime))?;
        self.append(last.empty_child(self.time.as_secs(), header_type));
        Ok(())
    }

    /// Writes a runtime's next block.
    fn append(&mut self, header: BlockHeader) {
        let runtime = header.namespace;
        self.overlay
            .put_record(OfRuntime::Block.key(&runtime), &header);
        self.events
            .push(RootEvent::RoundFinalized { runtime, header });
    }

    /// Executes one transaction.
    pub(crate) fn transaction(&mut self, input: &Input) -> Result<Receipt, Fault> {
        self.overlay.open_layer();
        let (mut runtime, mut node) = (None, None);
        let result = self.commit(input, &mut runtime, &mut node);
        self.overlay.close_layer(result.is_ok());
        let (status, events) = match result {
            Ok(events) => (ReceiptStatus::Accepted, events),
            Err(Refusal::Fault(fault)) => return Err(fault.into()),
            Err(Refusal::Reject(rejection)) => {
                let (code, message) = (rejection.code(), rejection.to_string());
                let event = runtime.map(|runtime| RootEvent::CommitmentRejected {
                    runtime,
                    node,
                    code,
                    message: message.clone(),
                });
                let module = MODULE.to_owned();
                let status = ReceiptStatus::Rejected {
                    module,
                    code,
                    message,
                };
                (status, event.into_iter().collect())
            }
        };
        Ok(Receipt {
            input: input.hash(),
            status,
            output: RootEvent::encode_list(&events),
        })
    }

    /// Takes up the commitments of a transaction. Notes whose they are as far as it gets.
    fn commit(
        &mut self,
        input: &Input,
        of_runtime: &mut Option<RuntimeId>,
        of_node: &mut Option<NodeId>,
    ) -> Result<Vec<RootEvent>, Refusal> {
        let RootTransaction::ExecutorCommit {
            runtime,
            commitments,
        } = decode(&input.bytes)?;
        *of_runtime = Some(runtime);
        let running = self.running(&runtime)?;
        let key = OfRuntime::Pool.key(&runtime);
        let mut pool: Pool = self.overlay.record(&key)?.unwrap_or_default();
        let mut events = Vec::new();
        for commitment in commitments {
            let node = commitment.node_id;
            *of_node = Some(node);
            let overlay = &mut self.overlay;
            admission::check(&running, &commitment, &mut |node| {
                overlay.record(&node_key(node))
            })?;
            let (round, vote) = (commitment.header.header.round, commitment.vote());
            let rules = &running.descriptor.executor;
            pool.add(commitment, &running.committee, rules, self.height)?;
            events.push(RootEvent::CommitmentAccepted {
                runtime,
                round,
                node,
                vote,
            });
        }
        self.overlay.put_record(key, &pool);
        Ok(events)
    }

    fn running(&mut self, runtime: &RuntimeId) -> Result<Running, Refusal> {
        let descriptor = self
            .overlay
            .record(&OfRuntime::Descriptor.key(runtime))?
            .ok_or(Rejection::UnknownRuntime(*runtime))?;
        let committee = self
            .overlay
            .record(&OfRuntime::Committee.key(runtime))?
            .ok_or(Rejection::Suspended(*runtime))?;
        let last: BlockHeader = self.overlay.required(&OfRuntime::Block.key(runtime))?;
        let last_hash = last.hash();
        let chain = self.network.chain_context;
        Ok(Running {
            chain,
            descriptor,
            committee,
            last,
            last_hash,
        })
    }

    /// Ends the height: what it changed, and what the state then is known to hold.
    pub(crate) fn end(mut self) -> Result<(WriteLog, crate::overlay::Values), Fault> {
        for runtime in self.network.runtimes.clone() {
            self.process(&runtime)?;
        }
        if !self.events.is_empty() {
            let events = Events(std::mem::take(&mut self.events));
            self.overlay.put_record(events_key(self.height), &events);
        }
        if let Some(old) = self.height.0.checked_sub(EVENTS_KEPT) {
            self.overlay.put(events_key(Height(old)), None);
        }
        Ok(self.overlay.finish()?)
    }

    /// Processes the running round of one runtime until nothing more follows from what is there.
    fn process(&mut self, runtime: &RuntimeId) -> Result<(), Fault> {
        let key = OfRuntime::Pool.key(runtime);
        let Some(mut pool) = self.overlay.record::<Pool>(&key)? else {
            return Ok(());
        };
        let running = match self.running(runtime) {
            Ok(running) => running,
            Err(Refusal::Fault(fault)) => return Err(fault.into()),
            Err(Refusal::Reject(rejection)) => return Err(Fault(rejection.to_string())),
        };
        let (round, rules) = (running.last.round.next(), &running.descriptor.executor);
        loop {
            match pool.process(&running.committee, rules, self.height) {
                Verdict::Wait => {
                    self.overlay.put_record(key, &pool);
                    return Ok(());
                }
                Verdict::Disputed { rank, timeout } => {
                    let runtime = *runtime;
                    let event = RootEvent::DiscrepancyDetected {
                        runtime,
                        round,
                        rank,
                        timeout,
                    };
                    self.events.push(event);
                }
                Verdict::Finalized {
                    commitment,
                    good,
                    bad,
                } => {
                    self.overlay.put(key, None);
                    self.finalize(&running, &commitment, good, bad);
                    return Ok(());
                }
                Verdict::Failed(reason) => {
                    self.overlay.put(key, None);
                    self.fail(&running, reason);
                    return Ok(());
                }
            }
        }
    }

    fn finalize(
        &mut self,
        running: &Running,
        commitment: &ExecutorCommitment,
        good: Vec<NodeId>,
        bad: Vec<NodeId>,
    ) {
        let results = &commitment.header.header;
        let or_empty = |hash: Option<Hash>| hash.unwrap_or(Hash::EMPTY);
        let messages = vec![MESSAGE_UNKNOWN; commitment.messages.len()];
        let record = RoundResults {
            round: results.round,
            messages,
            good,
            bad,
        };
        self.overlay
            .put_record(OfRuntime::Results.key(&running.descriptor.id), &record);
        let empty = running
            .last
            .empty_child(self.time.as_secs(), HeaderType::Normal);
        self.append(BlockHeader {
            io_root: or_empty(results.io_root),
            state_root: or_empty(results.state_root),
            messages_hash: or_empty(results.messages_hash),
            in_msgs_hash: or_empty(results.in_msgs_hash),
            ..empty
        });
    }

    fn fail(&mut self, running: &Running, reason: RoundFailure) {
        let header = running
            .last
            .empty_child(self.time.as_secs(), HeaderType::RoundFailed);
        let (runtime, round) = (running.descriptor.id, header.round);
        self.events.push(RootEvent::RoundFailed {
            runtime,
            round,
            reason,
        });
        self.append(header);
    }
}

/// Reads a transaction that delivers something.
pub(crate) fn decode(bytes: &[u8]) -> Result<RootTransaction, Rejection> {
    let transaction =
        RootTransaction::decode(bytes).map_err(|error| Rejection::Malformed(error.to_string()))?;
    let RootTransaction::ExecutorCommit { commitments, .. } = &transaction;
    if commitments.is_empty() {
        Err(Rejection::Empty)
    } else {
        Ok(transaction)
    }
}

/// The nodes that may be elected. Nodes do not change after genesis yet, so the view has them all.
fn eligible(view: &dyn StateRead) -> Result<BTreeSet<NodeId>, StateFault> {
    let mut eligible = BTreeSet::new();
    let mut bad = None;
    view.iterate(state::NODES, &mut |key, value| {
        let node = PublicKey::from_slice(&key[state::NODES.len()..]);
        match (node, NodeRoles::from_bytes(value)) {
            (Some(node), Ok(roles)) => {
                if roles.has(NodeRoles::COMPUTE) {
                    eligible.insert(node);
                }
                ControlFlow::Continue(())
            }
            _ => {
                bad = Some(StateFault("the root's state has a bad node".to_owned()));
                ControlFlow::Break(())
            }
        }
    })?;
    bad.map_or(Ok(eligible), Err)
}

/// The state a network starts from: what is written at height 0. Committees of epoch 0 are elected
/// here, from the document's nodes, with the chain context in place of randomness.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub fn genesis_write_log(genesis: &RootGenesis) -> Result<WriteLog, GenesisError> {
    genesis.validate()?;
    let chain_context = genesis.chain_context();
    let (epoch, height) = (Epoch(0), Height(0));
    let eligible = genesis.nodes_with(NodeRoles::COMPUTE);
    let network = Network {
        chain_context,
        epoch_interval: genesis.epoch_interval,
        runtimes: genesis.runtimes.iter().map(|runtime| runtime.id).collect(),
    };
    let tip = Tip {
        height,
        time: genesis.time,
        randomness: *chain_context.as_bytes(),
    };
    let mut entries = vec![
        (NETWORK.to_vec(), network.to_bytes()),
        (
            KEYS.to_vec(),
            Keys(genesis.consensus_key, genesis.certification_key).to_bytes(),
        ),
        (TIP.to_vec(), tip.to_bytes()),
        (
            EPOCH.to_vec(),
            EpochRecord {
                epoch,
                since: height,
            }
            .to_bytes(),
        ),
    ];
    entries.extend(
        genesis
            .nodes
            .iter()
            .map(|node| (node_key(&node.id), node.roles.to_bytes())),
    );
    let mut events = vec![RootEvent::EpochStarted { epoch, height }];
    for descriptor in &genesis.runtimes {
        let runtime = descriptor.id;
        let timestamp = genesis.time.as_secs();
        let block = BlockHeader::genesis(runtime, timestamp, descriptor.genesis_state_root);
        entries.push((OfRuntime::Descriptor.key(&runtime), descriptor.encode()));
        entries.push((OfRuntime::Block.key(&runtime), block.encode()));
        if let Some(committee) = elect(descriptor, &eligible, epoch, &tip.randomness) {
            entries.push((OfRuntime::Committee.key(&runtime), committee.encode()));
            events.push(RootEvent::CommitteeElected { runtime, committee });
        }
    }
    entries.push((events_key(height), Events(events).to_bytes()));
    entries.sort();
    Ok(entries
        .into_iter()
        .map(|(key, value)| WriteLogEntry {
            key,
            value: Some(value),
        })
        .collect())
}
