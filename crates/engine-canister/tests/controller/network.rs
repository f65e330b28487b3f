//! A harness: a state in memory, and two engines that must agree in every round, one that keeps
//! its caches and one that is made anew each time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use candid::{CandidType, Principal};
use serde::Deserialize;
use trilith_engine_canister::api::Executor;
use trilith_engine_canister::ingress::{CallContent, Content, ReadStateContent, ed25519_der};
use trilith_engine_canister::query::{
    CallResult, Effective, QueryRequest, QueryResponse, RequestStatus,
};
use trilith_engine_canister::{CanisterEngine, EngineConfig};
use trilith_proof::{Certificate, Scope, Trust};
use trilith_protocol::*;
use trilith_types::cbor::Encoder;
use trilith_types::state::Visitor;
use trilith_types::*;

#[path = "../certifier/mod.rs"]
mod certifier;

use certifier::Certifier;

/// A state in memory.
#[derive(Clone, Default)]
pub struct State {
    pub keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub images: BTreeMap<ImageId, Image>,
}

impl State {
    pub fn apply(&mut self, outcome: &Outcome) {
        assert!(
            outcome.write_log.is_sorted_by(|a, b| a.key < b.key),
            "the write log ascends"
        );
        for entry in &outcome.write_log {
            match &entry.value {
                Some(value) => self.keys.insert(entry.key.clone(), value.clone()),
                None => self.keys.remove(&entry.key),
            };
        }
        assert!(
            outcome.images.is_sorted_by(|a, b| a.image < b.image),
            "images ascend"
        );
        for write in &outcome.images {
            match &write.change {
                ImageChange::Delete => {
                    self.images
                        .remove(&write.image)
                        .expect("what is removed was there");
                }
                ImageChange::Write { reset, pages, runs } => {
                    let image = self.images.entry(write.image.clone()).or_default();
                    if *reset {
                        *image = Image::zero(0);
                    }
                    image.resize(*pages);
                    runs.iter().for_each(|run| image.overlay(run.clone()));
                    assert_eq!(image.pages(), *pages);
                }
            }
        }
    }
}

impl StateRead for State {
    fn root(&self) -> Hash {
        let mut bytes = Vec::new();
        for (key, value) in &self.keys {
            bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        for (id, image) in &self.images {
            bytes.extend_from_slice(id.as_bytes());
            bytes.extend_from_slice(&image.pages().to_be_bytes());
            for run in image.runs() {
                let content = image
                    .read(run.page * 4096, run.count as usize * 4096)
                    .unwrap();
                // A page of zeros is the same as no page.
                for (page, content) in (run.page..).zip(content.chunks(4096)) {
                    if content.iter().any(|byte| *byte != 0) {
                        bytes.extend_from_slice(&page.to_be_bytes());
                        bytes.extend_from_slice(content);
                    }
                }
            }
        }
        Hash::of(&bytes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.keys.get(key).cloned())
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for (key, value) in self.keys.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, id: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(self.images.get(id).cloned())
    }
}

/// A user with an Ed25519 key.
pub struct User(pub SecretKey);

impl User {
    pub fn new(seed: u8) -> Self {
        Self(SecretKey::from_seed([seed; 32]))
    }

    pub fn principal(&self) -> Principal {
        Principal::self_authenticating(ed25519_der(self.0.public().as_bytes()))
    }

    /// The envelope of a content, signed.
    pub fn envelope(&self, content: &Content) -> Vec<u8> {
        let message = [b"\x0Aic-request".as_slice(), &content.request_id()].concat();
        let mut e = Encoder::new();
        e.tag(55_799).map(3).text("content");
        write_content(&mut e, content);
        e.text("sender_sig")
            .bytes(self.0.sign_raw(&message).as_bytes());
        e.text("sender_pubkey")
            .bytes(&ed25519_der(self.0.public().as_bytes()));
        e.finish()
    }
}

pub fn write_content(e: &mut Encoder, content: &Content) {
    let nonce = match content {
        Content::Call(call) | Content::Query(call) => {
            e.map(6 + usize::from(call.nonce.is_some()));
            e.text("arg").bytes(&call.arg);
            e.text("canister_id").bytes(call.canister_id.as_slice());
            e.text("method_name").text(&call.method_name);
            &call.nonce
        }
        Content::ReadState(read) => {
            e.map(4 + usize::from(read.nonce.is_some()));
            e.text("paths").array(read.paths.len());
            for path in &read.paths {
                e.array(path.len());
                path.iter().for_each(|label| {
                    e.bytes(label);
                });
            }
            &read.nonce
        }
    };
    if let Some(nonce) = nonce {
        e.text("nonce").bytes(nonce);
    }
    e.text("sender").bytes(content.sender().as_slice());
    e.text("request_type").text(content.request_type());
    e.text("ingress_expiry").uint(content.ingress_expiry());
}

type MakeExecutor = Box<dyn Fn() -> Arc<dyn Executor>>;

pub struct Network {
    pub state: State,
    pub engine: CanisterEngine,
    make: MakeExecutor,
    pub time: u64,
    pub round: u64,
    pub user: User,
    pub randomness: Option<[u8; 32]>,
    pub committee: Vec<NodeId>,
    /// Nonce of the next request.
    pub next: u64,
    pub outcomes: Vec<Outcome>,
}

pub const START: u64 = 1_700_000_000_000_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// The network's key.
pub fn root() -> Certifier {
    Certifier::new(5)
}

/// The subnet's id.
pub fn subnet() -> Principal {
    Principal::self_authenticating(b"subnet")
}

fn engine(executor: Arc<dyn Executor>) -> CanisterEngine {
    CanisterEngine::new(EngineConfig {
        executor,
        subnet_id: subnet(),
        root_key_der: root().key().to_der().to_vec(),
    })
}

impl Network {
    /// `kept` is the executor of the engine that keeps its caches; `make` makes those of the
    /// engines that do not.
    pub fn new(kept: Arc<dyn Executor>, make: impl Fn() -> Arc<dyn Executor> + 'static) -> Self {
        let make: MakeExecutor = Box::new(make);
        let user = User::new(1);
        let (state, next, outcomes) = (State::default(), 0, Vec::new());
        Self {
            state,
            engine: engine(kept),
            make,
            time: START,
            round: 0,
            user,
            randomness: None,
            committee: vec![SecretKey::from_seed([9; 32]).public()],
            next,
            outcomes,
        }
    }

    pub fn context(&self) -> RoundContext {
        RoundContext {
            runtime: RuntimeId::test(1),
            round: Round(self.round),
            time: TimeNanos(self.time),
            height: Height(self.round),
            epoch: Epoch(1),
            committee: self.committee.clone(),
            randomness: self.randomness,
            from_root: root::FromRoot::default(),
        }
    }

    /// Executes a round on both engines and seals it.
    pub fn run(&mut self, inputs: Vec<Vec<u8>>) -> Vec<Receipt> {
        self.round += 1;
        self.time += SECOND / 10;
        let batch = Batch {
            time: TimeNanos(self.time),
            inputs: inputs.into_iter().map(Input::new).collect(),
        };
        let context = self.context();
        let limits = RoundLimits {
            batch_inputs_max: 1_000,
            batch_bytes_max: 1 << 24,
            messages_max: 100,
        };
        let one = self
            .engine
            .execute(&self.state, &batch, &context, &limits)
            .unwrap();
        let other = engine((self.make)())
            .execute(&self.state, &batch, &context, &limits)
            .unwrap();
        assert_eq!(
            one.write_log, other.write_log,
            "both engines write the same"
        );
        assert_eq!(one.attested, other.attested);
        assert_eq!(one.receipts, other.receipts);
        assert_eq!(one.usage, other.usage);
        let mut twin = self.state.clone();
        twin.apply(&other);
        self.state.apply(&one);
        assert_eq!(
            self.state.root(),
            twin.root(),
            "both engines give the same images"
        );
        self.engine.sealed(self.state.root());
        let receipts = one.receipts.clone();
        self.outcomes.push(one);
        receipts
    }

    /// Runs rounds until nothing asks for one at once.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            if self.engine.demand(&self.state).unwrap() != Demand::Now {
                return;
            }
            self.run(Vec::new());
        }
        panic!("the network does not come to rest");
    }

    pub fn content(&mut self, canister: Principal, method: &str, arg: Vec<u8>) -> CallContent {
        self.next += 1;
        CallContent {
            canister_id: canister,
            method_name: method.to_owned(),
            arg,
            sender: self.user.principal(),
            ingress_expiry: self.time + 120 * SECOND,
            nonce: Some(self.next.to_be_bytes().to_vec()),
            sender_info: None,
        }
    }

    pub fn submit(&mut self, canister: Principal, method: &str, arg: Vec<u8>) -> [u8; 32] {
        let content = Content::Call(self.content(canister, method, arg));
        let envelope = self.user.envelope(&content);
        let receipts = self.run(vec![envelope]);
        assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
        content.request_id()
    }

    pub fn ask(&self, request: &QueryRequest) -> Result<QueryResponse, QueryError> {
        let value = self
            .outcomes
            .last()
            .map(|outcome| outcome.attested[0].value);
        let attested = value.map(|value| AttestedSignature {
            state_root: self.state.root(),
            value,
            signature: root().sign(&value).to_vec(),
        });
        let context = QueryContext {
            runtime: RuntimeId::test(1),
            round: Round(self.round),
            time: TimeNanos(self.time),
            now: TimeNanos(self.time),
            attested,
        };
        let answer = self
            .engine
            .query(&self.state, &request.encode(), &context)?;
        // A new engine remembers nothing, and only this question asks for what is remembered.
        if !matches!(request, QueryRequest::CallAgain { .. }) {
            let other = engine((self.make)()).query(&self.state, &request.encode(), &context)?;
            assert_eq!(answer, other, "both engines answer the same");
        }
        Ok(QueryResponse::decode(&answer).unwrap())
    }

    pub fn status(&self, id: [u8; 32]) -> RequestStatus {
        let QueryResponse::RequestStatus {
            status,
            certificate,
        } = self.ask(&QueryRequest::RequestStatus { id }).unwrap()
        else {
            panic!("another answer");
        };
        let tree = self.verify(&certificate.unwrap());
        assert!(!tree.is_pruned());
        status
    }

    /// Verifies a certificate, checks that it is over the attested leaf, and gives its tree.
    pub fn verify(&self, certificate: &[u8]) -> HashTree {
        assert_eq!(certificate[..3], [0xd9, 0xd9, 0xf7], "self-describing");
        let certificate = Certificate::decode(certificate).unwrap();
        let trust = Trust {
            root_key: &root().key(),
            now: TimeNanos(self.time),
            skew_nanos: 0,
        };
        let verified = certificate.verify(Scope::Subnet(subnet().as_slice()), &trust);
        let tree = verified.unwrap().tree().clone();
        assert_eq!(
            tree.digest(),
            self.outcomes.last().unwrap().attested[0].value
        );
        tree
    }

    /// An update call, to its end.
    pub fn update(
        &mut self,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> RequestStatus {
        let id = self.submit(canister, method, arg.into());
        self.settle();
        self.status(id)
    }

    pub fn query(
        &mut self,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> CallResult {
        let content = Content::Query(self.content(canister, method, arg.into()));
        let envelope = self.user.envelope(&content);
        match self
            .ask(&QueryRequest::Call {
                envelope,
                effective: canister,
            })
            .unwrap()
        {
            QueryResponse::Call { id, result } => {
                assert_eq!(id, content.request_id());
                result
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn read_state(
        &mut self,
        user: &User,
        effective: Principal,
        paths: Vec<Vec<Vec<u8>>>,
    ) -> Result<HashTree, QueryError> {
        let content = Content::ReadState(ReadStateContent {
            paths,
            sender: user.principal(),
            ingress_expiry: self.time + 60 * SECOND,
            nonce: None,
        });
        let envelope = user.envelope(&content);
        self.read(envelope, Effective::Canister(effective), 3)
    }

    /// A read through any endpoint.
    pub fn read(
        &self,
        envelope: Vec<u8>,
        effective: Effective,
        version: u64,
    ) -> Result<HashTree, QueryError> {
        match self.ask(&QueryRequest::ReadState {
            envelope,
            effective,
            version,
        })? {
            QueryResponse::ReadState { certificate } => Ok(self.verify(&certificate)),
            other => panic!("{other:?}"),
        }
    }

    /// A call of the management canister.
    pub fn manage<T: CandidType>(&mut self, method: &str, arg: T) -> RequestStatus {
        self.update(
            Principal::management_canister(),
            method,
            candid::encode_one(arg).unwrap(),
        )
    }

    /// A call of the management canister by a canister that has [`crate::MODULE`]; gives the reply
    /// or code and text of the reject.
    pub fn manage_by<T: CandidType>(
        &mut self,
        canister: Principal,
        method: &str,
        arg: T,
        cycles: u128,
    ) -> Result<Vec<u8>, String> {
        let argument = hex::encode(candid::encode_one(arg).unwrap());
        let program = format!(
            "call aaaaa-aa {method} {cycles} - [0x{argument}] [reply_arg] [print refused, reply_reject] []"
        );
        let reply = replied(self.update(canister, "run", program));
        match String::from_utf8(reply.clone()) {
            Ok(text) if text.starts_with(|first: char| first.is_ascii_digit()) => Err(text),
            _ => Ok(reply),
        }
    }

    /// A query call of the management canister.
    pub fn ask_management<T: CandidType>(
        &mut self,
        effective: Principal,
        method: &str,
        arg: T,
    ) -> CallResult {
        let arg = candid::encode_one(arg).unwrap();
        let management = Principal::management_canister();
        let content = Content::Query(self.content(management, method, arg));
        let envelope = self.user.envelope(&content);
        match self
            .ask(&QueryRequest::Call {
                envelope,
                effective,
            })
            .unwrap()
        {
            QueryResponse::Call { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn create(&mut self) -> Principal {
        #[derive(CandidType)]
        struct Args {
            amount: Option<candid::Nat>,
        }
        let status = self.manage(
            "provisional_create_canister_with_cycles",
            Args { amount: None },
        );
        let record: CanisterRecord = candid::decode_one(&replied(status)).unwrap();
        record.canister_id
    }

    pub fn install(
        &mut self,
        canister_id: Principal,
        mode: Mode,
        module: &[u8],
        arg: &str,
    ) -> RequestStatus {
        let (wasm_module, arg) = (module.to_vec(), arg.as_bytes().to_vec());
        self.manage(
            "install_code",
            InstallArgs {
                mode,
                canister_id,
                wasm_module,
                arg,
            },
        )
    }
}

#[derive(CandidType, Deserialize)]
pub struct CanisterRecord {
    pub canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
pub struct InstallArgs {
    pub mode: Mode,
    pub canister_id: Principal,
    #[serde(with = "serde_bytes")]
    pub wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub arg: Vec<u8>,
}

#[derive(CandidType, Deserialize, Clone, Copy)]
#[allow(non_camel_case_types)]
pub enum Persistence {
    keep,
    replace,
}

#[derive(CandidType, Deserialize, Clone, Copy)]
pub struct Upgrade {
    pub skip_pre_upgrade: Option<bool>,
    pub wasm_memory_persistence: Option<Persistence>,
}

#[derive(CandidType, Deserialize, Clone, Copy)]
#[allow(non_camel_case_types)]
pub enum Mode {
    install,
    reinstall,
    upgrade(Option<Upgrade>),
}

pub fn replied(status: RequestStatus) -> Vec<u8> {
    match status {
        RequestStatus::Replied { reply } => reply,
        other => panic!("not replied: {other:?}"),
    }
}

pub fn rejected(status: RequestStatus) -> (u32, String, String) {
    match status {
        RequestStatus::Rejected {
            code,
            message,
            error_code,
        } => (code, message, error_code),
        other => panic!("not rejected: {other:?}"),
    }
}

/// The decoded value of a query that was answered.
pub fn answered<T: for<'de> Deserialize<'de> + CandidType>(result: CallResult) -> T {
    match result {
        CallResult::Replied { arg } => candid::decode_one(&arg).unwrap(),
        other => panic!("not replied: {other:?}"),
    }
}

/// Code and message of a query that was refused.
pub fn refused(result: CallResult) -> (String, String) {
    match result {
        CallResult::Rejected {
            error_code,
            message,
            ..
        } => (error_code, message),
        other => panic!("not rejected: {other:?}"),
    }
}
