//! A node as the gateway sees it, whose rounds the tests make up, and clients for both ports.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use trilith_engine_account::query::{Account, Answer, Chain, EpochSchedule, Question, Status};
use trilith_engine_account::record::{BlockHeader, BlockPart, TransactionRecord};
use trilith_gateway_account::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};
use trilith_gateway_account::{Addresses, Limits, Listeners, Options, Tpu, serve};
use trilith_protocol::QueryError;
use trilith_types::{ImageId, Round};

/// A state that tests make up.
#[derive(Clone, Default)]
pub struct State {
    pub round: u64,
    pub slot: u64,
    pub parent: u64,
    pub accounts: BTreeMap<Pubkey, Account>,
    pub parts: Vec<BlockPart>,
}

impl State {
    pub fn chain(&self) -> Chain {
        Chain {
            genesis_hash: Hash::new_from_array([1; 32]),
            identity: key(250),
            feature_set: 7,
            round: self.round,
            time: 1_000_000_000_000 + self.slot * 400_000_000,
            genesis_time: 1_000_000_000_000,
            slot_nanos: 400_000_000,
            slot: self.slot,
            parent: self.parent,
            epoch: 0,
            epoch_start: 0,
            epoch_slots: 1_000,
            schedule: EpochSchedule {
                slots_per_epoch: 1_000,
                leader_schedule_slot_offset: 1_000,
                warmup: false,
                first_normal_epoch: 0,
                first_normal_slot: 0,
            },
            blockhash: Hash::new_from_array([2; 32]),
            last_valid_height: self.slot + 150,
            first_block: 0,
            transactions: self
                .parts
                .iter()
                .map(|part| part.transactions.len() as u64)
                .sum(),
            supply: 0,
            faucet: None,
            inflation_millionths: 0,
            lamports_per_signature: 5_000,
        }
    }

    fn records(&self) -> impl Iterator<Item = &TransactionRecord> {
        self.parts.iter().flat_map(|part| &part.transactions)
    }
}

impl StateView for State {
    fn round(&self) -> Round {
        Round(self.round)
    }

    fn prove(&self, _: &[u8]) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn prove_image(&self, _: &ImageId) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        Ok(match question {
            Question::Accounts { keys, .. } => Answer::Accounts(
                keys.iter()
                    .map(|key| self.accounts.get(key).cloned())
                    .collect(),
            ),
            Question::ProgramAccounts { .. } | Question::TokenAccounts { .. } => {
                Answer::Keyed(Vec::new())
            }
            Question::TokenLargest { .. } | Question::Largest => Answer::Balances(Vec::new()),
            Question::Chain => Answer::Chain(Box::new(self.chain())),
            Question::IsBlockhashValid(_) => Answer::Bool(false),
            Question::Fee { .. } => Answer::Fee(None),
            Question::MinimumBalance { len } => Answer::Lamports(len.saturating_add(128)),
            Question::Transaction(_) => Answer::Transaction(None),
            Question::Statuses { signatures } => {
                let find = |signature: &Signature| {
                    let mut records = self.records();
                    let found = records.find(|record| record.signature == *signature)?;
                    Some(Status {
                        slot: found.slot,
                        status: found.status.clone(),
                    })
                };
                Answer::Statuses(signatures.iter().map(find).collect())
            }
            Question::Signatures { .. } => Answer::Signatures(Vec::new()),
            Question::Block(slot) => {
                Answer::Block((*slot < self.slot).then(|| (header(*slot), Vec::new())))
            }
            Question::Header(slot) => Answer::Header((*slot < self.slot).then(|| header(*slot))),
            Question::Blocks { first, last, .. } => Answer::Slots((*first..=*last).collect()),
            Question::Samples { .. } => Answer::Samples(Vec::new()),
            Question::PriorityFees { .. } => Answer::PriorityFees(Vec::new()),
            Question::Simulate(_) => return Err(trilith_protocol::Fault("no engine".into()).into()),
            Question::Rounds { after, .. } => {
                let newer = self.parts.iter().filter(|part| part.round > *after);
                Answer::Rounds(newer.cloned().collect())
            }
        })
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        Ok(Arc::new(State::chain(self)))
    }
}

fn header(slot: u64) -> BlockHeader {
    BlockHeader {
        slot,
        parent: slot.saturating_sub(1),
        blockhash: Hash::new_from_array([3; 32]),
        previous_blockhash: Hash::new_from_array([4; 32]),
        time: 1_000,
        transactions: 0,
        rewards: 0,
        rewards_balance: 0,
    }
}

/// A key that consists of one byte.
pub fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

/// An account of the system program.
pub fn account(lamports: u64, data: Vec<u8>) -> Account {
    Account {
        lamports,
        owner: Pubkey::default(),
        executable: false,
        rent_epoch: u64::MAX,
        space: data.len() as u64,
        data,
    }
}

/// The record of a transaction that wrote `written`.
pub fn record(signature: u8, slot: u64, written: Vec<Pubkey>) -> TransactionRecord {
    TransactionRecord {
        transaction: Vec::new(),
        signature: Signature::from([signature; 64]),
        slot,
        index: 0,
        status: Ok(()),
        fee: 5_000,
        units: 150,
        loaded_bytes: 0,
        logs: vec!["Program log: hello".into()],
        inner: Vec::new(),
        returned: None,
        static_keys: written.len() as u16,
        keys: written.clone(),
        loaded_writable: 0,
        balances_before: Vec::new(),
        balances_after: Vec::new(),
        tokens_before: Vec::new(),
        tokens_after: Vec::new(),
        written,
        work: 0,
        locked: 0,
    }
}

/// The port.
pub struct Double {
    state: Mutex<Arc<State>>,
    rounds: watch::Sender<Round>,
    /// The transactions that came in.
    pub submitted: Mutex<Vec<Vec<u8>>>,
}

impl Double {
    pub fn new() -> Arc<Self> {
        let state = State {
            round: 1,
            slot: 10,
            parent: 9,
            ..State::default()
        };
        Arc::new(Self {
            rounds: watch::channel(Round(1)).0,
            state: Mutex::new(Arc::new(state)),
            submitted: Mutex::default(),
        })
    }

    /// A round that ends with the state as `change` leaves it.
    pub fn round(&self, change: impl FnOnce(&mut State)) {
        let round = {
            let mut state = self.state.lock().unwrap();
            let mut next = State::clone(&state);
            next.round += 1;
            change(&mut next);
            let round = next.round;
            *state = Arc::new(next);
            round
        };
        self.rounds.send_replace(Round(round));
    }

    /// A round with transactions.
    pub fn execute(&self, transactions: Vec<TransactionRecord>, change: impl FnOnce(&mut State)) {
        self.round(|state| {
            state.parts.push(BlockPart {
                slot: state.slot,
                round: state.round,
                time: 0,
                transactions,
            });
            change(state);
        });
    }
}

impl NodePort for Double {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let state = self.current();
        Box::pin(async move { state })
    }

    fn current(&self) -> Arc<dyn StateView> {
        self.state.lock().unwrap().clone()
    }

    fn submit(&self, transaction: Vec<u8>) -> Result<(), SubmitError> {
        self.submitted.lock().unwrap().push(transaction);
        Ok(())
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        self.rounds.subscribe()
    }

    fn look(&self) {}

    fn is_healthy(&self) -> bool {
        true
    }
}

/// A gateway over a [`Double`].
pub struct Served {
    pub double: Arc<Double>,
    pub rpc: SocketAddr,
    pub pubsub: SocketAddr,
    pub tpu: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Served {
    pub async fn start(limits: Limits) -> Self {
        let double = Double::new();
        let rpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pubsub_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rpc = rpc_listener.local_addr().unwrap();
        let pubsub = pubsub_listener.local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let quic = Tpu::open(socket, &limits).unwrap();
        let tpu = quic.address().unwrap();
        let options = Options {
            limits,
            faucet: None,
            addresses: Addresses {
                rpc: Some(rpc),
                pubsub: Some(pubsub),
                tpu: Some(tpu),
            },
            network: None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let port = double.clone();
        let listeners = Listeners {
            rpc: rpc_listener,
            pubsub: pubsub_listener,
            tpu: Some(quic),
        };
        let server = tokio::spawn(serve(listeners, port, options, async {
            drop(stopped.await);
        }));
        Self {
            double,
            rpc,
            pubsub,
            tpu,
            stop,
            server,
        }
    }

    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }

    /// Sends bytes to the HTTP port and reads until the gateway closes.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.rpc).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset counts as an end.
        let _end = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Posts a body; gives the whole answer.
    pub async fn post(&self, body: &str) -> String {
        self.exchange(
            format!(
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        )
        .await
    }

    /// Posts JSON; gives the JSON of the answer.
    pub async fn json(&self, body: Value) -> Value {
        let answer = self.post(&body.to_string()).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// Makes one call.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.json(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await
    }

    pub async fn subscriber(&self) -> Subscriber {
        let stream = TcpStream::connect(self.pubsub).await.unwrap();
        let url = format!("ws://{}", self.pubsub);
        let (socket, _) = client_async(url, stream).await.unwrap();
        Subscriber { socket }
    }
}

/// A client of PubSub.
pub struct Subscriber {
    pub socket: WebSocketStream<TcpStream>,
}

impl Subscriber {
    pub async fn send(&mut self, value: Value) {
        self.socket
            .send(Message::Text(value.to_string().into()))
            .await
            .unwrap();
    }

    /// The next message of JSON; `None` once the gateway has closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Some(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Makes a call; gives its answer, which is to be the next message.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await;
        self.next().await.unwrap()
    }

    /// Subscribes; gives the identifier.
    pub async fn subscribe(&mut self, method: &str, params: Value) -> u64 {
        let answer = self.call(method, params).await;
        answer["result"]
            .as_u64()
            .unwrap_or_else(|| panic!("{answer}"))
    }
}
