//! A root on a map of entries, for tests: nodes, a runtime, heights and commitments.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use trilith_protocol::root::staking::Account;
use trilith_protocol::root::{
    Address, BackupRule, ExecutorParameters, Fee, GenesisNode, NodeRoles, Quantity, RawItem,
    RuntimeDescriptor, SchedulerParameters, Services, ThresholdKey, Transaction,
};
use trilith_protocol::{
    Batch, BlockHeader, Committee, ComputeResultsHeader, ExecutorCommitment,
    ExecutorCommitmentHeader, Failure, Fault, Input, Outcome, ROOT_RUNTIME, Receipt, ReceiptStatus,
    RootEvent, RootGenesis, RootTransaction, RoundContext, RoundLimits, Runtime as _, io,
};
use trilith_root::{Root, genesis_write_log, staking, state};
use trilith_types::state::Visitor;
use trilith_types::{
    Epoch, Hash, Height, Image, ImageId, NodeId, Round, RuntimeId, SecretKey, StateFault,
    StateRead, TimeNanos, WriteLog,
};

pub const RUNTIME: RuntimeId = RuntimeId::test(1);
pub const OTHER: RuntimeId = RuntimeId::test(2);
pub const SECOND: u64 = 1_000_000_000;

/// A state held in memory.
#[derive(Clone, Default)]
pub struct MapView {
    pub entries: BTreeMap<Vec<u8>, Vec<u8>>,
    root: Option<Hash>,
}

impl MapView {
    pub fn apply(&mut self, log: &WriteLog) {
        for entry in log {
            match &entry.value {
                Some(value) => self.entries.insert(entry.key.clone(), value.clone()),
                None => self.entries.remove(&entry.key),
            };
        }
        let root = trilith_mkvs::root_of(self.entries.clone());
        self.root = Some(root.expect("keys and values are short"));
    }
}

impl StateRead for MapView {
    fn root(&self) -> Hash {
        self.root.unwrap_or(Hash::EMPTY)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.entries.get(key).cloned())
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for (key, value) in self.entries.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, _: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(None)
    }
}

pub fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

pub fn node(number: u8) -> NodeId {
    key(number).public()
}

pub fn rules(workers: u32, backups: u32, stragglers: u32) -> ExecutorParameters {
    ExecutorParameters {
        group_size: workers,
        backup_size: backups,
        allowed_stragglers: stragglers,
        round_timeout: 4,
        max_messages: 2,
        backup_rule: BackupRule::Separate,
    }
}

pub fn descriptor(id: RuntimeId, executor: ExecutorParameters) -> RuntimeDescriptor {
    RuntimeDescriptor {
        id,
        genesis_state_root: Hash::of(b"genesis state"),
        executor,
        txn_scheduler: SchedulerParameters {
            max_batch_size: 10,
            max_batch_size_bytes: 1 << 20,
            batch_flush_timeout_ms: 1_000,
            propose_batch_timeout_ms: 2_000,
        },
        storage_receipts_min: 0,
        storage_group_size: 0,
    }
}

/// Nodes 1 to `nodes` compute, 101 and 102 store. Epochs of 100 heights.
pub fn genesis(nodes: u8, runtimes: Vec<RuntimeDescriptor>) -> RootGenesis {
    let compute = (1..=nodes).map(|number| (number, NodeRoles::COMPUTE));
    let storage = [(101, NodeRoles::STORAGE), (102, NodeRoles::STORAGE)];
    let mut nodes: Vec<GenesisNode> = compute
        .chain(storage)
        .map(|(number, roles)| GenesisNode {
            id: node(number),
            roles,
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    RootGenesis {
        chain: "test".into(),
        time: TimeNanos(1_000 * SECOND),
        epoch_interval: 100,
        nodes,
        runtimes,
        consensus_key: ThresholdKey([1; 96]),
        certification_key: ThresholdKey([2; 96]),
        services: Services::default(),
    }
}

/// A root at a height.
pub struct Network {
    pub root: Root,
    pub view: MapView,
    pub chain: Hash,
    /// Whether the root is told of what was sealed, so that it may remember.
    pub remember: bool,
}

impl Network {
    pub fn new(genesis: &RootGenesis) -> Self {
        let mut view = MapView::default();
        view.apply(&genesis_write_log(genesis).expect("the genesis of a test is valid"));
        Self {
            root: Root::new(),
            view,
            chain: genesis.chain_context(),
            remember: true,
        }
    }

    pub fn context(&self) -> RoundContext {
        let tip = state::tip(&self.view).unwrap();
        let height = tip.height.next();
        RoundContext {
            runtime: ROOT_RUNTIME,
            round: Round(height.0),
            time: TimeNanos(tip.time.0 + SECOND),
            height,
            epoch: Epoch(0),
            committee: Vec::new(),
            randomness: Some(*Hash::of(&height.0.to_be_bytes()).as_bytes()),
            from_root: trilith_protocol::root::FromRoot::default(),
        }
    }

    /// Executes one height without applying it.
    pub fn execute(&self, inputs: &[Vec<u8>], context: &RoundContext) -> Result<Outcome, Fault> {
        let inputs = inputs
            .iter()
            .map(|bytes| Input::new(bytes.clone()))
            .collect();
        let batch = Batch {
            time: context.time,
            inputs,
        };
        let limits = RoundLimits {
            batch_inputs_max: 100,
            batch_bytes_max: 1 << 20,
            messages_max: 0,
        };
        self.root.execute(&self.view, &batch, context, &limits)
    }

    /// Executes one height of transactions and applies it.
    pub fn height(&mut self, inputs: &[Vec<u8>]) -> Outcome {
        let outcome = self.execute(inputs, &self.context()).unwrap();
        self.view.apply(&outcome.write_log);
        if self.remember {
            self.root.sealed(self.view.root());
        }
        outcome
    }

    /// Executes one height with one transaction of commitments.
    pub fn commit(&mut self, commitments: &[ExecutorCommitment]) -> Receipt {
        let transaction = transaction(RUNTIME, commitments);
        self.height(&[transaction]).receipts.remove(0)
    }

    /// Executes heights without transactions.
    pub fn idle(&mut self, heights: u64) {
        for _ in 0..heights {
            self.height(&[]);
        }
    }

    pub fn committee(&self) -> Committee {
        state::committee(&self.view, &RUNTIME).unwrap().unwrap()
    }

    pub fn latest(&self) -> BlockHeader {
        state::latest_block(&self.view, &RUNTIME).unwrap().unwrap()
    }

    /// The events of the newest height.
    pub fn events(&self) -> Vec<RootEvent> {
        let Height(height) = state::tip(&self.view).unwrap().height;
        state::events(&self.view, Height(height)).unwrap()
    }

    /// The results of the running round with a state root made from `state`.
    pub fn results(&self, state: &[u8]) -> ComputeResultsHeader {
        results(&self.latest(), state)
    }

    /// The key of a node of the network.
    pub fn key_of(&self, id: &NodeId) -> SecretKey {
        (1..=120).map(key).find(|key| key.public() == *id).unwrap()
    }

    /// Who schedules the running round at a rank.
    pub fn scheduler(&self, rank: u64) -> NodeId {
        self.committee()
            .scheduler(rank, self.latest().round.next())
            .unwrap()
    }

    /// A member's commitment to the scheduler's proposal of a rank.
    pub fn vote(&self, member: &NodeId, rank: u64, state: &[u8]) -> ExecutorCommitment {
        let header = header(self.scheduler(rank), self.results(state));
        self.sign(member, header)
    }

    /// A member's statement that it failed.
    pub fn failure(&self, member: &NodeId, rank: u64) -> ExecutorCommitment {
        self.sign(
            member,
            failed(header(self.scheduler(rank), self.results(b""))),
        )
    }

    pub fn sign(&self, member: &NodeId, header: ExecutorCommitmentHeader) -> ExecutorCommitment {
        let key = self.key_of(member);
        ExecutorCommitment::sign(&key, header, Vec::new(), &RUNTIME, &self.chain)
    }
}

/// Gas and fee of calls in tests: 100,000 gas for 1,000 base units.
pub const FEE: Fee = Fee {
    amount: Quantity::new(1_000),
    gas: 100_000,
};

pub fn address(number: u8) -> Address {
    Address::of_key(&node(number))
}

impl Network {
    /// The staking account of a key.
    pub fn account(&self, address: &Address) -> Account {
        staking::account(&self.view, address).unwrap()
    }

    /// A signed transaction with the next nonce of the key's account.
    pub fn signed(&self, number: u8, method: &str, body: Vec<u8>, fee: Option<Fee>) -> Vec<u8> {
        let transaction = Transaction {
            nonce: self.account(&address(number)).general.nonce,
            fee,
            method: method.into(),
            body: RawItem(body),
        };
        transaction.sign(&key(number), &self.chain).encode()
    }

    /// Executes one height with one signed transaction, for the usual fee.
    pub fn call(&mut self, number: u8, method: &str, body: Vec<u8>) -> Receipt {
        let transaction = self.signed(number, method, body, Some(FEE));
        self.height(&[transaction]).receipts.remove(0)
    }
}

/// Module and code of a rejection; `None` if the input was accepted.
pub fn rejection(receipt: &Receipt) -> Option<(&str, u32)> {
    match &receipt.status {
        ReceiptStatus::Accepted => None,
        ReceiptStatus::Rejected { module, code, .. } => Some((module, *code)),
    }
}

pub fn transaction(runtime: RuntimeId, commitments: &[ExecutorCommitment]) -> Vec<u8> {
    let commitments = commitments.to_vec();
    RootTransaction::ExecutorCommit {
        runtime,
        commitments,
    }
    .encode()
}

pub fn results(last: &BlockHeader, state: &[u8]) -> ComputeResultsHeader {
    ComputeResultsHeader {
        round: last.round.next(),
        previous_hash: last.hash(),
        io_root: Some(Hash::of(b"inputs and outputs")),
        state_root: Some(Hash::of(state)),
        messages_hash: Some(io::messages_hash(&[])),
        in_msgs_hash: Some(Hash::EMPTY),
        in_msgs_count: 0,
    }
}

pub fn header(scheduler_id: NodeId, header: ComputeResultsHeader) -> ExecutorCommitmentHeader {
    ExecutorCommitmentHeader {
        scheduler_id,
        header,
        failure: None,
        rak_signature: None,
        storage_signatures: Vec::new(),
    }
}

pub fn failed(mut header: ExecutorCommitmentHeader) -> ExecutorCommitmentHeader {
    header.failure = Some(Failure::Unknown);
    header.header = ComputeResultsHeader {
        io_root: None,
        state_root: None,
        messages_hash: None,
        in_msgs_hash: None,
        ..header.header
    };
    header
}
