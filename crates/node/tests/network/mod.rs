//! A network of one node under a runtime of counters, on a disk that forgets, driven step by step.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use trilith_node::{
    Clock, Core, NodeConfig, NodeError, NodeKeys, PoolLimits, RuntimeHandle, RuntimeRegistry,
};
use trilith_protocol::root::{
    BackupRule, ExecutorParameters, GenesisNode, NodeRoles, RuntimeDescriptor, SchedulerParameters,
    Services,
};
use trilith_protocol::{
    Admission, AttestedForm, AttestedLeaf, Batch, CheckContext, Demand, Fault, Outcome,
    QueryContext, QueryError, Receipt, ReceiptStatus, Reject, RootGenesis, RoundContext,
    RoundLimits, Runtime,
};
use trilith_root::{Root, genesis_write_log};
use trilith_store::{Store, StoreConfig};
use trilith_types::{Hash, Round, RuntimeId, StateRead, TimeNanos, WriteLogEntry};

use crate::simulated_disk::SimulatedDisk;

pub const RUNTIME: RuntimeId = RuntimeId::test(1);
pub const OTHER: RuntimeId = RuntimeId::test(2);
pub const SECOND: u64 = 1_000_000_000;
pub const START: u64 = 1_800_000_000 * SECOND;
/// Most bytes of a batch of the runtimes.
pub const BATCH_BYTES_MAX: u64 = 1024;

/// A transaction that adds one to a counter: its identity, the counter, and anything else.
pub fn add(id: u64, counter: u8) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[counter]].concat()
}

/// A counter whose change also asks for a round five seconds later.
pub const ALARM: u8 = 255;

const LEAF: &[u8] = b"leaf";
const TIME: &[u8] = b"time";
const ALARM_AT: &[u8] = b"alarm";
const BACKWARDS: &[u8] = b"backwards";

/// What a runtime was asked to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    pub round: Round,
    pub batch: Batch,
    pub context: String,
}

type Hook = Box<dyn FnOnce() + Send>;

/// Counters by name. A transaction counts once; its identity is kept in the state for ever.
#[derive(Default)]
pub struct Counters {
    /// For each coming execution, whether this node fails.
    pub faults: Mutex<VecDeque<bool>>,
    /// Why this build can never execute the rounds that fail, if that is so.
    pub outdated: Mutex<Option<String>>,
    /// For each coming execution, whether its outcome is corrupted.
    pub lies: Mutex<VecDeque<bool>>,
    /// Called in the middle of the next execution.
    pub hook: Mutex<Option<Hook>>,
    pub executed: Mutex<Vec<Executed>>,
    /// Length of a key that is written beside, if any.
    pub key_len: Mutex<Option<usize>>,
    /// Whether a round without valid transactions changes nothing at all.
    pub lazy: bool,
}

fn read(view: &dyn StateRead, key: &[u8]) -> u64 {
    let value = view.get(key).unwrap();
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

fn parse(transaction: &[u8]) -> Option<(u64, u8)> {
    let (id, rest) = transaction.split_first_chunk()?;
    Some((u64::from_be_bytes(*id), *rest.first()?))
}

fn seen(id: u64) -> Vec<u8> {
    [b"seen/", &id.to_be_bytes()[..]].concat()
}

fn counter(number: u8) -> Vec<u8> {
    vec![b'c', b'/', number]
}

impl Counters {
    fn write(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
    ) -> (BTreeMap<Vec<u8>, Vec<u8>>, Vec<bool>) {
        let mut log = BTreeMap::new();
        let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
        let mut valid = Vec::new();
        for input in &batch.inputs {
            let fresh = parse(input.bytes()).filter(|(id, _)| {
                view.get(&seen(*id)).unwrap().is_none() && !log.contains_key(&seen(*id))
            });
            valid.push(fresh.is_some());
            let Some((id, number)) = fresh else { continue };
            log.insert(seen(id), vec![number]);
            let count = counts
                .entry(number)
                .or_insert_with(|| read(view, &counter(number)));
            *count += 1;
            log.insert(counter(number), count.to_be_bytes().to_vec());
            if number == ALARM {
                let at = batch.time.0 + 5 * SECOND;
                log.insert(ALARM_AT.to_vec(), at.to_be_bytes().to_vec());
            }
        }
        let alarm = read(view, ALARM_AT);
        if alarm != 0 && alarm <= batch.time.0 && !log.contains_key(ALARM_AT) {
            log.insert(ALARM_AT.to_vec(), 0u64.to_be_bytes().to_vec());
        }
        if !self.lazy || !log.is_empty() {
            let backwards = read(view, BACKWARDS) + u64::from(batch.time.0 <= read(view, TIME));
            log.insert(BACKWARDS.to_vec(), backwards.to_be_bytes().to_vec());
            log.insert(TIME.to_vec(), batch.time.0.to_be_bytes().to_vec());
            let leaf = Hash::of(&batch.encode());
            log.insert(LEAF.to_vec(), leaf.as_bytes().to_vec());
        }
        (log, valid)
    }
}

impl Runtime for Counters {
    fn check(
        &self,
        view: &dyn StateRead,
        transaction: &[u8],
        _: &CheckContext,
    ) -> Result<Admission, Reject> {
        let reject = |code, message: &str| Reject {
            module: "counters",
            code,
            message: message.to_owned(),
        };
        let (id, _) = parse(transaction).ok_or_else(|| reject(1, "too short"))?;
        if view.get(&seen(id)).unwrap().is_some() {
            return Err(reject(2, "counted already"));
        }
        Ok(Admission {
            id: Hash::of(&id.to_be_bytes()),
            sender: Vec::new(),
            priority: 0,
            expires: TimeNanos(u64::MAX),
        })
    }

    fn execute(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
        context: &RoundContext,
        _: &RoundLimits,
    ) -> Result<Outcome, Fault> {
        self.executed.lock().unwrap().push(Executed {
            round: context.round,
            batch: batch.clone(),
            context: format!("{context:?}"),
        });
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        if self.faults.lock().unwrap().pop_front() == Some(true) {
            return Err(Fault("scripted".into()));
        }
        let (mut log, valid) = self.write(view, batch);
        if self.lies.lock().unwrap().pop_front() == Some(true) {
            log.insert(b"lie".to_vec(), vec![1]);
        }
        if let Some(len) = *self.key_len.lock().unwrap() {
            log.insert(vec![1; len], vec![1]);
        }
        let receipts = batch
            .inputs
            .iter()
            .zip(valid)
            .map(|(input, valid)| Receipt {
                input: input.hash(),
                status: if valid {
                    ReceiptStatus::Accepted
                } else {
                    ReceiptStatus::Rejected {
                        module: "counters".into(),
                        code: 2,
                        message: "counted already".into(),
                    }
                },
                output: Vec::new(),
            });
        let receipts = receipts.collect();
        let leaf = log.get(LEAF).cloned().or_else(|| view.get(LEAF).unwrap());
        let attested = leaf.map(|leaf| AttestedLeaf {
            key: LEAF.to_vec(),
            value: leaf.try_into().unwrap(),
            form: AttestedForm::IcStateRoot,
        });
        let entry = |(key, value)| WriteLogEntry {
            key,
            value: Some(value),
        };
        Ok(Outcome {
            write_log: log.into_iter().map(entry).collect(),
            receipts,
            attested: attested.into_iter().collect(),
            ..Outcome::default()
        })
    }

    fn query(
        &self,
        _: &dyn StateRead,
        request: &[u8],
        context: &QueryContext,
    ) -> Result<Vec<u8>, QueryError> {
        Ok([request, &context.round.0.to_be_bytes()].concat())
    }

    fn outdated(&self, _: &dyn StateRead, _: &RoundContext) -> Option<String> {
        self.outdated.lock().unwrap().clone()
    }

    fn demand(&self, view: &dyn StateRead) -> Result<Demand, Fault> {
        Ok(match read(view, ALARM_AT) {
            0 => Demand::Idle,
            at => Demand::At(TimeNanos(at)),
        })
    }

    fn sealed(&self, _: Hash) {}
}

/// The transactions in a state. Every counter must be the number of those that name it, so that
/// each counted once; and the time of rounds must never have gone backwards.
pub fn counted(view: &dyn StateRead) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        ids.insert(u64::from_be_bytes(key[5..].try_into().unwrap()));
        *counts.entry(value[0]).or_default() += 1;
        ControlFlow::Continue(())
    };
    view.iterate(b"seen/", &mut visit).unwrap();
    for (number, count) in counts {
        assert_eq!(read(view, &counter(number)), count, "counter {number}");
    }
    assert_eq!(read(view, BACKWARDS), 0, "a round before the one before it");
    ids
}

/// A clock that a test sets.
pub struct TestClock(pub AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> TimeNanos {
        TimeNanos(self.0.load(Ordering::SeqCst))
    }
}

/// How a network is set up.
#[derive(Clone)]
pub struct Setup {
    pub chain: &'static str,
    pub runtimes: Vec<RuntimeId>,
    pub epoch_interval: u64,
    pub pool: PoolLimits,
    pub batch_bytes_max: u64,
    pub batch_inputs_max: u32,
    pub lazy: bool,
    pub services: Services,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            chain: "counters",
            runtimes: vec![RUNTIME],
            epoch_interval: 1_000,
            pool: PoolLimits::default(),
            batch_bytes_max: BATCH_BYTES_MAX,
            batch_inputs_max: 100,
            lazy: false,
            services: Services::default(),
        }
    }
}

pub fn keys() -> NodeKeys {
    NodeKeys::for_developer_network(&[7; 32])
}

impl Setup {
    pub fn genesis(&self) -> RootGenesis {
        let keys = keys();
        let (consensus_key, certification_key) = keys.threshold_keys();
        let descriptor = |id: &RuntimeId| RuntimeDescriptor {
            id: *id,
            genesis_state_root: Hash::EMPTY,
            executor: ExecutorParameters {
                group_size: 1,
                backup_size: 0,
                allowed_stragglers: 0,
                round_timeout: 5,
                max_messages: 32,
                backup_rule: BackupRule::Separate,
            },
            txn_scheduler: SchedulerParameters {
                max_batch_size: self.batch_inputs_max,
                max_batch_size_bytes: self.batch_bytes_max,
                batch_flush_timeout_ms: 50,
                propose_batch_timeout_ms: 1_000,
            },
            storage_receipts_min: 0,
            storage_group_size: 0,
        };
        RootGenesis {
            chain: self.chain.into(),
            time: TimeNanos(START),
            epoch_interval: self.epoch_interval,
            nodes: vec![GenesisNode {
                id: keys.node.public(),
                roles: NodeRoles::COMPUTE | NodeRoles::VALIDATOR | NodeRoles::STORAGE,
            }],
            runtimes: self.runtimes.iter().map(descriptor).collect(),
            consensus_key,
            certification_key,
            services: self.services.clone(),
        }
    }
}

/// Small files and early checkpoints, so that short histories cross every border.
pub fn small() -> StoreConfig {
    StoreConfig {
        segment_bytes: 8 << 10,
        checkpoint_log_bytes: 24 << 10,
        fragment_runs_max: 3,
        candidates_max: 16,
        checkpoint_thread: false,
        fragment_bytes: 400,
        cache_bytes: 16 << 10,
        ..StoreConfig::default()
    }
}

/// The store on `disk`.
#[allow(dead_code, reason = "each test binary uses another part")]
pub fn open_store(disk: &SimulatedDisk) -> Store {
    let opened = Store::open(Arc::new(disk.clone()), small());
    opened.expect("the store opens").0
}

/// A running node and everything around it.
pub struct Net {
    pub core: Core,
    pub clock: Arc<TestClock>,
    pub store: Arc<Store>,
    pub runtimes: BTreeMap<RuntimeId, Arc<Counters>>,
    pub woken: Receiver<()>,
}

impl Net {
    /// Opens the network on `disk` when the clock says `now`.
    pub fn try_open(disk: &SimulatedDisk, setup: &Setup, now: u64) -> Result<Self, NodeError> {
        let (store, _) = Store::open(Arc::new(disk.clone()), small())?;
        Self::over(Arc::new(store), setup, now)
    }

    /// Opens the network in `store`.
    pub fn over(store: Arc<Store>, setup: &Setup, now: u64) -> Result<Self, NodeError> {
        let clock = Arc::new(TestClock(AtomicU64::new(now)));
        let counters = |id: &RuntimeId| {
            let lazy = setup.lazy;
            let counters = Counters {
                lazy,
                ..Counters::default()
            };
            (*id, Arc::new(counters))
        };
        let runtimes: BTreeMap<_, _> = setup.runtimes.iter().map(counters).collect();
        let mut registry = RuntimeRegistry::new();
        for (id, runtime) in &runtimes {
            registry = registry.with(*id, runtime.clone());
        }
        let genesis = setup.genesis();
        let config = NodeConfig {
            root: Arc::new(Root::new()),
            root_state: genesis_write_log(&genesis).unwrap(),
            genesis,
            keys: keys(),
            pool: setup.pool,
        };
        let (wake, woken) = sync_channel(1);
        let core = Core::open(store.clone(), &registry, config, clock.clone(), wake)?;
        Ok(Self {
            core,
            clock,
            store,
            runtimes,
            woken,
        })
    }

    pub fn open(disk: &SimulatedDisk, setup: &Setup, now: u64) -> Self {
        Self::try_open(disk, setup, now).unwrap_or_else(|error| panic!("opening: {error}"))
    }

    pub fn handle(&self) -> RuntimeHandle {
        self.core.handle(&RUNTIME).unwrap()
    }

    pub fn counters(&self) -> &Counters {
        &self.runtimes[&RUNTIME]
    }

    /// A step a second later. Gives how many rounds were finalised.
    pub fn step(&mut self) -> Result<u64, NodeError> {
        self.clock.0.fetch_add(SECOND, Ordering::SeqCst);
        self.core.step().map(|report| report.rounds)
    }

    pub fn now(&self) -> u64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    /// Everything signed for the rounds around the newest one, by slot.
    pub fn signed(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        signed(&self.store)
    }

    /// What counted in the published state.
    pub fn counted(&self) -> BTreeSet<u64> {
        counted(&*self.handle().snapshot().view)
    }
}

/// Everything signed for low rounds, by slot: runtime, round in big-endian, kind.
pub fn signed(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    for runtime in [RUNTIME, OTHER] {
        for round in 0u64..64 {
            let rank = [2, 0, 0, 0, 0, 0, 0, 0, 0];
            for kind in [&[1][..], &[3], &rank] {
                let name = [&runtime.as_bytes()[..], &round.to_be_bytes(), kind].concat();
                if let Some(bytes) = store.signed(&name) {
                    found.insert(name, bytes);
                }
            }
        }
    }
    found
}
