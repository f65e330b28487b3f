//! Several nodes of one network in one process, each with its own key, disk, executor and root
//! state, stepped by a test under one simulated clock, over links that the test may disturb.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use trilith_node::net::{Hub, HubLink, Link, Message, MessageBytes};
use trilith_node::{
    Core, Membership, NodeConfig, NodeError, NodeKeys, PoolLimits, RuntimeHandle, RuntimeRegistry,
    Submitted,
};
use trilith_protocol::root::registry::{
    AdmissionPolicy, Capabilities, ConsensusAddress, ConsensusInfo, Deployment, Entity, Executor,
    GOVERNANCE_ENTITY, KIND_COMPUTE, Marker, Node, NodeAddress, NodeRuntime, P2pInfo, Runtime,
    RuntimeGenesis, RuntimeStaking, Storage, TlsInfo, TxnScheduler, Version, VrfInfo,
};
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, Slash, SlashReason, StakingGenesis, StakingParameters,
};
use trilith_protocol::root::{
    Address, Blob, Committee, MultiSigned, NodeRoles, Quantity, ROOT_RUNTIME, Services, Signed,
};
use trilith_protocol::{BlockHeader, RootEvent, RootGenesis, RootTransaction};
use trilith_root::{Root, genesis_write_log, state};
use trilith_store::Store;
use trilith_types::{
    Epoch, Hash, Height, NodeId, PublicKey, SecretKey, SignatureContext, TimeNanos,
};

use crate::network::{Counters, RUNTIME, SECOND, START, TestClock, small};
use crate::simulated_disk::SimulatedDisk;

pub const MILLISECOND: u64 = 1_000_000;
/// Stake of every entity.
pub const STAKE: u128 = 100_000;
/// What a wrong result costs.
pub const PENALTY: u128 = 40_000;

/// What becomes of a message.
pub enum Fate {
    Deliver,
    Drop,
    /// Delivered after so many nanoseconds.
    Late(u64),
    /// These are sent instead.
    Instead(Vec<Message>),
}

type Rule = Box<dyn FnMut(NodeId, NodeId, &Message) -> Fate + Send>;

#[derive(Default)]
pub struct Wires {
    pub rule: Option<Rule>,
    now: u64,
    late: Vec<(u64, NodeId, NodeId, MessageBytes)>,
}

struct TestLink {
    hub: Hub,
    inner: HubLink,
    own: NodeId,
    wires: Arc<Mutex<Wires>>,
}

impl Link for TestLink {
    fn send(&mut self, to: &NodeId, message: MessageBytes) {
        let mut wires = self.wires.lock().unwrap();
        let Some(rule) = &mut wires.rule else {
            return self.inner.send(to, message);
        };
        let decoded = Message::decode(&message).expect("nodes send what can be read");
        match rule(self.own, *to, &decoded) {
            Fate::Deliver => self.inner.send(to, message),
            Fate::Drop => {}
            Fate::Late(wait) => {
                let due = wires.now + wait;
                wires.late.push((due, self.own, *to, message));
            }
            Fate::Instead(messages) => {
                for message in messages {
                    self.inner.send(to, message.bytes());
                }
            }
        }
    }

    fn broadcast(&mut self, message: MessageBytes) {
        for node in self.hub.nodes() {
            if node != self.own {
                self.send(&node, message.clone());
            }
        }
    }

    fn receive(&mut self) -> Option<(NodeId, MessageBytes)> {
        self.inner.receive()
    }

    fn wake_with(&mut self, wake: SyncSender<()>) {
        self.inner.wake_with(wake);
    }
}

/// Everything that members signed and sent, by what must not be signed twice.
#[derive(Clone, Default)]
pub struct Statements(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Statements {
    /// Takes note of what is signed in a message, and checks that nothing contradicts it.
    pub fn note(&self, message: &Message) {
        match message {
            Message::Proposal { proposal, .. } => {
                let key = format!("{} proposes {}", proposal.node_id, proposal.header.round);
                self.put(key, proposal.encode());
            }
            Message::Order(transaction) => {
                let Ok(RootTransaction::ExecutorCommit { commitments, .. }) =
                    RootTransaction::decode(transaction)
                else {
                    return;
                };
                for commitment in commitments {
                    let (node, header) = (commitment.node_id, &commitment.header);
                    let (round, scheduler) = (header.header.round, header.scheduler_id);
                    let key = format!("{node} commits {round} {scheduler}");
                    self.put(key, commitment.encode());
                }
            }
            Message::Receipt {
                round,
                roots,
                signature,
                ..
            } => {
                let key = format!("{} holds {round} {roots:?}", signature.node);
                self.put(key, signature.signature.as_bytes().to_vec());
            }
            _ => {}
        }
    }

    fn put(&self, key: String, value: Vec<u8>) {
        let mut known = self.0.lock().unwrap();
        let before = known.entry(key.clone()).or_insert_with(|| value.clone());
        assert_eq!(*before, value, "signed twice and differently: {key}");
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// How a cluster is set up. Node 0 orders blocks and executes nothing in committees.
#[derive(Clone)]
pub struct Plan {
    pub chain: &'static str,
    pub primaries: u16,
    pub backups: u16,
    pub stragglers: u16,
    /// Compute nodes; more than the committee's members stay outside it.
    pub compute: usize,
    pub storage: usize,
    pub receipts_min: u32,
    pub epoch_interval: u64,
    pub freeze: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            chain: "cluster",
            primaries: 3,
            backups: 4,
            stragglers: 0,
            compute: 8,
            storage: 2,
            receipts_min: 1,
            epoch_interval: 1_000,
            freeze: 10,
        }
    }
}

impl Plan {
    pub fn nodes(&self) -> usize {
        1 + self.compute + self.storage
    }

    pub fn is_storage(&self, index: usize) -> bool {
        index > self.compute
    }

    fn roles(&self, index: usize) -> NodeRoles {
        match index {
            0 => NodeRoles::VALIDATOR,
            _ if self.is_storage(index) => NodeRoles::STORAGE,
            _ => NodeRoles::COMPUTE,
        }
    }

    pub fn genesis(&self) -> RootGenesis {
        let (consensus_key, certification_key) = keys(0).threshold_keys();
        let mut services = Services {
            staking: stakes(self.nodes()),
            ..Services::default()
        };
        let registry = &mut services.registry;
        registry.params.debug_allow_test_runtimes = true;
        registry.runtimes = vec![self.runtime()];
        let mut entities: Vec<(PublicKey, Signed)> = Vec::new();
        let mut nodes: Vec<(PublicKey, MultiSigned)> = Vec::new();
        for index in 0..self.nodes() {
            let (entity, node) = (entity_key(index), keys(index).node);
            let descriptor = Entity {
                v: 2,
                id: entity.public(),
                nodes: vec![node.public()],
            };
            let context = SignatureContext::RegisterEntity;
            let signed = Signed::sign(&entity, context, &Hash::EMPTY, descriptor.encode());
            entities.push((entity.public(), signed));
            nodes.push((node.public(), node_of(index, self.roles(index))));
        }
        entities.sort_by_key(|(id, _)| *id);
        nodes.sort_by_key(|(id, _)| *id);
        registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
        registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
        RootGenesis {
            chain: self.chain.into(),
            time: TimeNanos(START),
            epoch_interval: self.epoch_interval,
            nodes: Vec::new(),
            runtimes: Vec::new(),
            consensus_key,
            certification_key,
            services,
        }
    }

    fn runtime(&self) -> Runtime {
        let slash = Slash {
            amount: Quantity::new(PENALTY),
            freeze_interval: self.freeze,
        };
        Runtime {
            v: 3,
            id: RUNTIME,
            entity_id: entity_key(0).public(),
            genesis: RuntimeGenesis {
                state_root: Hash::EMPTY,
                round: 0,
            },
            kind: KIND_COMPUTE,
            tee_hardware: 0,
            key_manager: None,
            executor: Executor {
                group_size: self.primaries,
                group_backup_size: self.backups,
                allowed_stragglers: self.stragglers,
                round_timeout: 5,
                max_messages: 2,
                min_live_rounds_percent: 0,
                max_missed_proposals_percent: 0,
                min_live_rounds_eval: 0,
                max_liveness_fails: 0,
                backup_rule: 0,
            },
            txn_scheduler: TxnScheduler {
                batch_flush_timeout: 50 * MILLISECOND,
                max_batch_size: 100,
                max_batch_size_bytes: 1 << 20,
                max_in_messages: 0,
                propose_batch_timeout: SECOND,
            },
            storage: Storage {
                min_write_replication: self.receipts_min,
                ..Storage::default()
            },
            admission_policy: AdmissionPolicy {
                any_node: Some(Marker),
                ..AdmissionPolicy::default()
            },
            constraints: BTreeMap::new(),
            staking: RuntimeStaking {
                slashing: [
                    (SlashReason::RuntimeIncorrectResults, slash),
                    (SlashReason::RuntimeEquivocation, slash),
                ]
                .into(),
                ..RuntimeStaking::default()
            },
            governance_model: GOVERNANCE_ENTITY,
            deployments: vec![Deployment {
                version: version(),
                valid_from: Epoch(0),
                tee: Blob::default(),
                bundle_checksum: Blob::default(),
            }],
        }
    }
}

fn version() -> Version {
    Version {
        major: 1,
        minor: 0,
        patch: 0,
    }
}

pub fn keys(index: usize) -> NodeKeys {
    NodeKeys::of_developer_network(&[7; 32], index as u32)
}

pub fn entity_key(index: usize) -> SecretKey {
    let mut seed = [0xee; 32];
    seed[0] = index as u8;
    SecretKey::from_seed(seed)
}

pub fn entity_address(index: usize) -> Address {
    Address::of_key(&entity_key(index).public())
}

fn stakes(entities: usize) -> StakingGenesis {
    let total = Quantity::new(STAKE * entities as u128);
    let mut staking = StakingGenesis {
        params: StakingParameters {
            debonding_interval: 2,
            ..StakingParameters::default()
        },
        total_supply: total,
        ..StakingGenesis::default()
    };
    for index in 0..entities {
        let mut account = Account::default();
        account.escrow.active = SharePool {
            balance: Quantity::new(STAKE),
            total_shares: Quantity::new(STAKE),
        };
        let own = entity_address(index);
        let shares = Quantity::new(STAKE);
        staking.ledger.insert(own, account);
        staking
            .delegations
            .insert(own, [(own, Delegation { shares })].into());
    }
    staking
}

fn node_of(index: usize, roles: NodeRoles) -> MultiSigned {
    let own = keys(index).node;
    let sub = |kind: u8| {
        let mut seed = [0xdd; 32];
        (seed[0], seed[1]) = (kind, index as u8);
        SecretKey::from_seed(seed)
    };
    let here = NodeAddress {
        ip: Blob(vec![1, 2, 3, index as u8 + 1]),
        port: 9_000,
        zone: String::new(),
    };
    let subs = [1, 2, 3, 4].map(sub);
    let [consensus, vrf, tls, p2p] = subs.each_ref().map(SecretKey::public);
    let of_runtime = NodeRuntime {
        id: RUNTIME,
        version: version(),
        capabilities: Capabilities::default(),
        extra_info: None,
    };
    let descriptor = Node {
        v: 3,
        id: own.public(),
        entity_id: entity_key(index).public(),
        expiration: Epoch(1_000),
        tls: TlsInfo { pub_key: tls },
        p2p: P2pInfo {
            id: p2p,
            addresses: Some(vec![here.clone()]),
        },
        consensus: ConsensusInfo {
            id: consensus,
            addresses: Some(vec![ConsensusAddress {
                id: consensus,
                address: here,
            }]),
        },
        vrf: VrfInfo { id: vrf },
        runtimes: (index > 0).then(|| vec![of_runtime]),
        roles: roles.bits(),
        software_version: "trilith".into(),
    };
    let signers = [&own, &subs[0], &subs[1], &subs[2], &subs[3]];
    let context = SignatureContext::RegisterNode;
    MultiSigned::sign(&signers, context, &Hash::EMPTY, descriptor.encode())
}

/// One node and everything around it.
pub struct Member {
    pub core: Option<Core>,
    pub disk: SimulatedDisk,
    pub store: Option<Arc<Store>>,
    pub counters: Arc<Counters>,
    pub id: NodeId,
    _woken: Receiver<()>,
}

/// Nodes of one network.
pub struct Cluster {
    pub plan: Plan,
    pub members: Vec<Member>,
    pub wires: Arc<Mutex<Wires>>,
    pub clock: Arc<TestClock>,
    hub: Hub,
}

impl Cluster {
    pub fn new(plan: Plan) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START)));
        let mut cluster = Self {
            members: Vec::new(),
            wires: Arc::default(),
            clock,
            hub: Hub::new(),
            plan,
        };
        for index in 0..cluster.plan.nodes() {
            let member = cluster.open(index, SimulatedDisk::new()).unwrap();
            cluster.members.push(member);
        }
        cluster
    }

    fn open(&self, index: usize, disk: SimulatedDisk) -> Result<Member, NodeError> {
        let (store, _) = Store::open(Arc::new(disk.clone()), small())?;
        let store = Arc::new(store);
        let counters = Arc::new(Counters::default());
        let registry = RuntimeRegistry::new().with(RUNTIME, counters.clone());
        let genesis = self.plan.genesis();
        let keys = keys(index);
        let id = keys.node.public();
        let config = NodeConfig {
            root: Arc::new(Root::new()),
            root_state: genesis_write_log(&genesis).unwrap(),
            genesis,
            keys,
            pool: PoolLimits::default(),
        };
        let link = TestLink {
            hub: self.hub.clone(),
            inner: self.hub.connect(id),
            own: id,
            wires: self.wires.clone(),
        };
        let membership = Membership {
            link: Box::new(link),
            validator: (index > 0).then(|| self::keys(0).node.public()),
            block_interval: 20 * MILLISECOND,
        };
        let (wake, woken) = sync_channel(1);
        let joined = (membership, self.clock.clone() as _);
        let core = Core::join(store.clone(), &registry, config, joined, wake)?;
        Ok(Member {
            core: Some(core),
            disk,
            store: Some(store),
            counters,
            id,
            _woken: woken,
        })
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Opens a node again on the disk it has.
    pub fn reopen(&mut self, index: usize) -> Result<(), NodeError> {
        let disk = self.members[index].disk.clone();
        self.stop(index);
        self.members[index] = self.open(index, disk)?;
        Ok(())
    }

    /// The node is gone until it is opened again.
    pub fn stop(&mut self, index: usize) {
        self.members[index].core = None;
        self.members[index].store = None;
    }

    pub fn disturb(&self, rule: impl FnMut(NodeId, NodeId, &Message) -> Fate + Send + 'static) {
        self.wires.lock().unwrap().rule = Some(Box::new(rule));
    }

    pub fn calm(&self) {
        self.wires.lock().unwrap().rule = None;
    }

    /// One step of every node, `nanos` later.
    pub fn try_step(&mut self, nanos: u64) -> Result<(), Box<(usize, NodeError)>> {
        let now = self.clock.0.fetch_add(nanos, Ordering::SeqCst) + nanos;
        {
            let mut wires = self.wires.lock().unwrap();
            wires.now = now;
            let late = std::mem::take(&mut wires.late);
            for (due, from, to, message) in late {
                if due <= now {
                    self.hub.deliver(from, &to, message);
                } else {
                    wires.late.push((due, from, to, message));
                }
            }
        }
        for (index, member) in self.members.iter_mut().enumerate() {
            if let Some(core) = &mut member.core {
                core.step().map_err(|error| Box::new((index, error)))?;
            }
        }
        Ok(())
    }

    pub fn step(&mut self) {
        self.try_step(10 * MILLISECOND)
            .unwrap_or_else(|failed| panic!("node {}: {}", failed.0, failed.1));
    }

    /// Steps until `done`; panics after `seconds` of simulated time.
    pub fn until(&mut self, seconds: u64, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now() + seconds * SECOND;
        while !done(self) {
            assert!(self.now() < end, "{what}: {}", self.describe());
            self.step();
        }
    }

    pub fn describe(&self) -> String {
        let root = self.root();
        let pool = state::pool(&*root, &RUNTIME).unwrap();
        let block = state::latest_block(&*root, &RUNTIME).unwrap();
        format!(
            "newest block {block:?}, pool {:?}, committee {:?}",
            pool.status(),
            self.committee()
        )
    }

    pub fn now(&self) -> u64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    pub fn handle(&self, index: usize) -> RuntimeHandle {
        let core = self.members[index].core.as_ref().expect("the node runs");
        core.handle(&RUNTIME).unwrap()
    }

    pub fn index_of(&self, node: &NodeId) -> usize {
        let found = self.members.iter().position(|member| member.id == *node);
        found.expect("a node of the cluster")
    }

    /// The validator's root state.
    pub fn root(&self) -> Arc<trilith_store::View> {
        self.root_of(0)
    }

    pub fn root_of(&self, index: usize) -> Arc<trilith_store::View> {
        let store = self.members[index].store.as_ref().expect("the node runs");
        let (_, root) = store.current(ROOT_RUNTIME).unwrap();
        store.view(ROOT_RUNTIME, root).unwrap()
    }

    pub fn committee(&self) -> Option<Committee> {
        state::committee(&*self.root(), &RUNTIME).unwrap()
    }

    pub fn block(&self) -> BlockHeader {
        state::latest_block(&*self.root(), &RUNTIME)
            .unwrap()
            .unwrap()
    }

    /// The worker that schedules the running round with this rank.
    pub fn scheduler(&self, rank: u64) -> usize {
        let committee = self.committee().expect("there is a committee");
        let node = committee.scheduler(rank, self.block().round.next());
        self.index_of(&node.expect("there is such a rank"))
    }

    /// Every event so far, with its height.
    pub fn events(&self) -> Vec<(u64, RootEvent)> {
        let root = self.root();
        let last = state::tip(&*root).unwrap().height.0;
        let of = |height| state::events(&*root, Height(height)).unwrap();
        (0..=last)
            .flat_map(|height| of(height).into_iter().map(move |event| (height, event)))
            .collect()
    }

    pub fn has_event(&self, wanted: impl Fn(&RootEvent) -> bool) -> bool {
        self.events().iter().any(|(_, event)| wanted(event))
    }

    /// Active stake of the entity of a node.
    pub fn stake(&self, index: usize) -> u128 {
        let account = trilith_root::staking::account(&*self.root(), &entity_address(index));
        account.unwrap().escrow.active.balance.units()
    }

    /// Submits at a node and steps until there is a receipt.
    pub fn execute(&mut self, index: usize, transaction: Vec<u8>) -> Submitted {
        let mut receiver = self.handle(index).submit(transaction).unwrap();
        let mut answer = None;
        self.until(60, "a receipt", |_| {
            answer = answer.take().or(receiver.try_recv().ok());
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Steps until every running node has the same states, of root and runtime.
    pub fn converge(&mut self) {
        self.until(30, "all nodes have the same states", |cluster| {
            let states = cluster.states();
            states.windows(2).all(|pair| pair[0] == pair[1])
                && states.iter().all(|(_, runtime)| {
                    let root = runtime.map_or(Hash::EMPTY, |(_, root)| root);
                    root == cluster.block().state_root
                })
        });
    }

    /// Root state and runtime state of every running node.
    #[allow(clippy::type_complexity, reason = "what the store gives")]
    pub fn states(&self) -> Vec<(Option<(u64, Hash)>, Option<(u64, Hash)>)> {
        let stores = self
            .members
            .iter()
            .filter_map(|member| member.store.as_ref());
        stores
            .map(|store| (store.current(ROOT_RUNTIME), store.current(RUNTIME)))
            .collect()
    }
}
