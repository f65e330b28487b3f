//! Replicas of the canister runtime agree after every round on state and on inputs and outputs: one
//! that keeps its caches, one that has none (its store reopened from disk, its engine and executor
//! made anew), and one that executes in sandboxes.

#[allow(dead_code, reason = "the harness serves several test binaries")]
#[path = "../../engine-canister/tests/controller/network.rs"]
mod network;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candid::Principal;
use network::{
    CanisterRecord, InstallArgs, Mode, Persistence, SECOND, START, Upgrade, User, replied,
};
use tempfile::TempDir;
use trilith_engine_canister::api::Executor;
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::ingress::{CallContent, Content};
use trilith_engine_canister::query::{QueryRequest, QueryResponse, RequestStatus};
use trilith_engine_canister::sandbox::{Requirement, SandboxConfig, SandboxedExecutor};
use trilith_engine_canister::{CanisterEngine, EngineConfig};
use trilith_host::{Executed, Host};
use trilith_protocol::{
    AttestedSignature, Batch, Demand, Input, QueryContext, ReceiptStatus, RoundContext,
    RoundLimits, Runtime as _,
};
use trilith_store::Store;
use trilith_types::{Epoch, Hash, Height, Round, RuntimeId, SecretKey, TimeNanos};

const RUNTIME: RuntimeId = RuntimeId::test(1);
const LIMITS: RoundLimits = RoundLimits {
    batch_inputs_max: 1_000,
    batch_bytes_max: 1 << 24,
    messages_max: 32,
};

fn canister(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../canisters");
    std::fs::read(folder.join(name)).expect("sample canisters are committed")
}

fn local() -> Arc<dyn Executor> {
    Arc::new(LocalExecutor::new(ExecutorConfig::default()).expect("this machine runs Wasm"))
}

fn sandboxed(cache: PathBuf) -> Arc<dyn Executor> {
    let mut config = SandboxConfig::new(cache, Requirement::BestEffort);
    config.executable = PathBuf::from(env!("CARGO_BIN_EXE_trilith"));
    Arc::new(SandboxedExecutor::new(config).expect("this machine runs sandboxes"))
}

fn engine(executor: Arc<dyn Executor>) -> CanisterEngine {
    CanisterEngine::new(EngineConfig {
        executor,
        subnet_id: Principal::self_authenticating(b"subnet"),
        root_key_der: b"root key".to_vec(),
    })
}

fn host(folder: &Path) -> Host {
    let (store, _) = Store::open_dir(folder).expect("the folder is a store");
    Host::new(Arc::new(store))
}

/// One copy of the runtime.
struct Replica {
    folder: TempDir,
    host: Option<Host>,
    engine: CanisterEngine,
    forgets: bool,
}

impl Replica {
    fn new(executor: Arc<dyn Executor>, forgets: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let host = Some(host(folder.path()));
        let engine = engine(executor);
        Self {
            folder,
            host,
            engine,
            forgets,
        }
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("open between rounds")
    }

    /// Executes, finalises, and forgets if it is of that kind.
    fn round(&mut self, parent: Hash, batch: &Batch, context: &RoundContext) -> Executed {
        if self.forgets {
            self.host = None;
            self.host = Some(host(self.folder.path()));
            self.engine = engine(local());
        }
        let host = self.host();
        let executed = host
            .execute(&self.engine, parent, batch, context, &LIMITS)
            .expect("the batch can be executed");
        let store = host.store();
        store
            .finalise(RUNTIME, context.round.0, executed.state_root)
            .unwrap();
        store.sync().unwrap();
        executed
    }
}

/// The replicas and the client in front of them.
struct Replicas {
    replicas: Vec<Replica>,
    user: User,
    round: u64,
    time: u64,
    state_root: Hash,
    leaf: [u8; 32],
    nonce: u64,
}

impl Replicas {
    fn new(executors: Vec<(Arc<dyn Executor>, bool)>) -> Self {
        let replica = |(executor, forgets)| Replica::new(executor, forgets);
        Self {
            replicas: executors.into_iter().map(replica).collect(),
            user: User::new(1),
            round: 0,
            time: START,
            state_root: Hash::EMPTY,
            leaf: [0; 32],
            nonce: 0,
        }
    }

    /// A round on every replica, after which all must agree.
    fn run(&mut self, inputs: Vec<Vec<u8>>) {
        self.round += 1;
        self.time += SECOND / 10;
        let batch = Batch {
            time: TimeNanos(self.time),
            inputs: inputs.into_iter().map(Input::new).collect(),
        };
        let context = RoundContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time: batch.time,
            height: Height(self.round),
            epoch: Epoch(0),
            committee: vec![SecretKey::from_seed([9; 32]).public()],
            randomness: Some([self.round as u8; 32]),
            from_root: trilith_protocol::root::FromRoot::default(),
        };
        let parent = self.state_root;
        let run = |replica: &mut Replica| replica.round(parent, &batch, &context);
        let mut all = self.replicas.iter_mut().map(run);
        let first = all.next().expect("there is a replica");
        for (index, other) in all.enumerate() {
            let round = self.round;
            let roots = (other.state_root, other.io_root);
            let expected = (first.state_root, first.io_root);
            assert_eq!(expected, roots, "replica {} in round {round}", index + 1);
            assert_eq!(first.outcome.receipts, other.outcome.receipts);
            assert_eq!(first.outcome.attested, other.outcome.attested);
            assert_eq!(first.outcome.usage, other.outcome.usage);
        }
        for receipt in &first.outcome.receipts {
            assert_eq!(receipt.status, ReceiptStatus::Accepted);
        }
        self.state_root = first.state_root;
        self.leaf = first.outcome.attested[0].value;
    }

    fn demand(&self) -> Demand {
        let replica = &self.replicas[0];
        let view = replica.host().view(RUNTIME, self.state_root).unwrap();
        replica.engine.demand(&*view).unwrap()
    }

    /// Runs rounds until nothing asks for one at once; gives how many.
    fn settle(&mut self) -> usize {
        for rounds in 0..100 {
            if self.demand() != Demand::Now {
                return rounds;
            }
            self.run(Vec::new());
        }
        panic!("the replicas do not come to rest");
    }

    fn envelope(
        &mut self,
        canister_id: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> (Vec<u8>, [u8; 32]) {
        self.nonce += 1;
        let content = Content::Call(CallContent {
            canister_id,
            method_name: method.to_owned(),
            arg,
            sender: self.user.principal(),
            ingress_expiry: self.time + 120 * SECOND,
            nonce: Some(self.nonce.to_be_bytes().to_vec()),
            sender_info: None,
        });
        (self.user.envelope(&content), content.request_id())
    }

    /// Every replica's answer, which must be the same.
    fn status(&self, id: [u8; 32]) -> RequestStatus {
        let context = QueryContext {
            runtime: RUNTIME,
            round: Round(self.round),
            time: TimeNanos(self.time),
            now: TimeNanos(self.time),
            attested: Some(AttestedSignature {
                state_root: self.state_root,
                value: self.leaf,
                signature: vec![1; 48],
            }),
        };
        let request = QueryRequest::RequestStatus { id }.encode();
        let ask = |replica: &Replica| {
            let view = replica.host().view(RUNTIME, self.state_root).unwrap();
            replica.engine.query(&*view, &request, &context).unwrap()
        };
        let answers: Vec<_> = self.replicas.iter().map(ask).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        match QueryResponse::decode(&answers[0]).unwrap() {
            QueryResponse::RequestStatus { status, .. } => status,
            other => panic!("{other:?}"),
        }
    }

    /// Calls in one batch, run to their ends: their statuses, and the rounds it took beyond one.
    fn calls(&mut self, calls: &[(Principal, &str, Vec<u8>)]) -> (Vec<RequestStatus>, usize) {
        let (mut envelopes, mut ids) = (Vec::new(), Vec::new());
        for (canister, method, arg) in calls {
            let (envelope, id) = self.envelope(*canister, method, arg.clone());
            envelopes.push(envelope);
            ids.push(id);
        }
        self.run(envelopes);
        let rounds = self.settle();
        (ids.into_iter().map(|id| self.status(id)).collect(), rounds)
    }

    fn reply(&mut self, canister: Principal, method: &str, arg: Vec<u8>) -> Vec<u8> {
        let (mut statuses, _) = self.calls(&[(canister, method, arg)]);
        replied(statuses.remove(0))
    }

    fn create(&mut self) -> Principal {
        #[derive(candid::CandidType)]
        struct Args {
            amount: Option<candid::Nat>,
        }
        let arg = candid::encode_one(Args { amount: None }).unwrap();
        let method = "provisional_create_canister_with_cycles";
        let reply = self.reply(Principal::management_canister(), method, arg);
        let record: CanisterRecord = candid::decode_one(&reply).unwrap();
        record.canister_id
    }

    fn install(&mut self, canister_id: Principal, mode: Mode, name: &str) {
        let args = InstallArgs {
            mode,
            canister_id,
            wasm_module: canister(name),
            arg: candid::encode_args(()).unwrap(),
        };
        let arg = candid::encode_one(args).unwrap();
        self.reply(Principal::management_canister(), "install_code", arg);
    }

    fn installed(&mut self, name: &str) -> Principal {
        let id = self.create();
        self.install(id, Mode::install, name);
        id
    }
}

fn nothing() -> Vec<u8> {
    candid::encode_args(()).unwrap()
}

fn number<T: candid::CandidType + for<'a> serde::Deserialize<'a>>(reply: &[u8]) -> T {
    candid::decode_one(reply).expect("the reply is a number")
}

/// Small canisters: counting, a trap, calls between canisters, a message over several rounds.
fn small_canisters(replicas: &mut Replicas) {
    let counter = replicas.installed("wat/counter.wasm");
    let caller = replicas.installed("wat/caller.wasm");
    let stable = replicas.installed("c/counter.wasm");
    let (statuses, _) = replicas.calls(&[
        (counter, "inc", nothing()),
        (counter, "inc", nothing()),
        (counter, "inc_then_trap", nothing()),
        (stable, "inc", nothing()),
        (counter, "inc", nothing()),
    ]);
    assert!(matches!(statuses[2], RequestStatus::Rejected { .. }));
    assert_eq!(number::<u32>(&replied(statuses[4].clone())), 3);
    replicas.reply(caller, "call_inc", counter.as_slice().to_vec());
    let reply = replicas.reply(counter, "inc", nothing());
    assert_eq!(number::<u32>(&reply), 5, "the peer's call counted");
    let limits = replicas.installed("wat/limits.wasm");
    let amount = 4_500_000_000u64;
    let (statuses, rounds) = replicas.calls(&[
        (limits, "spin", candid::encode_one(amount).unwrap()),
        (counter, "inc", nothing()),
    ]);
    assert!(rounds > 0, "a message of several slices");
    assert!(number::<u64>(&replied(statuses[0].clone())) >= amount);
    replicas.install(stable, Mode::upgrade(None), "c/counter.wasm");
    let reply = replicas.reply(stable, "inc", nothing());
    assert_eq!(
        number::<u64>(&reply),
        2,
        "stable memory outlives an upgrade"
    );
}

/// Motoko: its heap, a call to a peer, and an upgrade that keeps the heap.
fn motoko(replicas: &mut Replicas) {
    let one = replicas.installed("motoko/counter.wasm");
    let nat = |reply: &[u8]| number::<candid::Nat>(reply);
    replicas.reply(one, "inc", nothing());
    let counter = replicas.installed("motoko/counter.wasm");
    let peer = candid::encode_one(counter).unwrap();
    assert_eq!(nat(&replicas.reply(one, "callInc", peer)), 1u64);
    let keep = Mode::upgrade(Some(Upgrade {
        skip_pre_upgrade: None,
        wasm_memory_persistence: Some(Persistence::keep),
    }));
    replicas.install(one, keep, "motoko/counter_v2.wasm");
    assert_eq!(nat(&replicas.reply(one, "dec", nothing())), 0u64);
}

#[test]
fn caches_and_sandboxes_change_nothing() {
    let cache = TempDir::new().unwrap();
    let sandboxes = sandboxed(cache.path().to_owned());
    let mut replicas = Replicas::new(vec![(local(), false), (local(), true), (sandboxes, false)]);
    small_canisters(&mut replicas);
}

#[test]
fn motoko_runs_the_same_with_and_without_caches() {
    let mut replicas = Replicas::new(vec![(local(), false), (local(), true)]);
    motoko(&mut replicas);
}
