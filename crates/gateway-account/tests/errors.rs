//! Every code with which a call is refused, with its text and its `data`, from a request that
//! produces it. Codes that do not occur here, and why, are in `docs/guides/account-rpc.md`.

mod double;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use double::{State, account, key, record};
use serde_json::{Value, json};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{Message, MessageHeader, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use trilith_engine_account::query::{Answer, CODE_NOT_STARTED, Chain, Question, Simulated};
use trilith_engine_account::record::{InnerInstruction, InnerInstructions, ReturnData};
use trilith_gateway_account::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};
use trilith_gateway_account::{Addresses, Faucet, Limits, Listeners, Options, serve};
use trilith_protocol::{Fault, QueryError, Reject};
use trilith_types::{ImageId, Round, SecretKey};

/// What is wrong with a node, beside the state that the double makes up.
#[derive(Clone, Default)]
struct Wrong {
    /// What simulations come to.
    simulated: Option<Result<(), TransactionError>>,
    /// What the engine says to every question.
    engine: Option<QueryError>,
    /// Why nothing is taken into the pool.
    pool: Option<fn() -> SubmitError>,
    /// Whether the node does not serve.
    unhealthy: bool,
    /// The oldest block that is remembered, and slots without a block before slot 10.
    first_block: u64,
    skipped: Vec<u64>,
    /// A transaction of version 0 under every signature and in every block.
    versioned: bool,
    /// The account from which airdrops come, and what it has.
    faucet: Option<(Pubkey, u64)>,
}

/// A node with which something is wrong.
struct Port {
    wrong: Wrong,
    rounds: watch::Sender<Round>,
}

struct View {
    wrong: Wrong,
    state: State,
}

impl Port {
    fn view(&self) -> Arc<dyn StateView> {
        let mut state = State {
            round: 1,
            slot: 10,
            parent: 9,
            ..State::default()
        };
        for byte in [7, 8] {
            state
                .accounts
                .insert(key(byte), account(5, vec![byte; 200]));
        }
        if let Some((faucet, funds)) = self.wrong.faucet {
            state.accounts.insert(faucet, account(funds, Vec::new()));
        }
        Arc::new(View {
            wrong: self.wrong.clone(),
            state,
        })
    }
}

impl NodePort for Port {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let view = self.view();
        Box::pin(async move { view })
    }

    fn current(&self) -> Arc<dyn StateView> {
        self.view()
    }

    fn submit(&self, _: Vec<u8>) -> Result<(), SubmitError> {
        self.wrong.pool.map_or(Ok(()), |pool| Err(pool()))
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        self.rounds.subscribe()
    }

    fn look(&self) {}

    fn is_healthy(&self) -> bool {
        !self.wrong.unhealthy
    }
}

impl StateView for View {
    fn prove(&self, _: &[u8]) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn prove_image(&self, _: &ImageId) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn round(&self) -> Round {
        self.state.round()
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        if let Some(error) = &self.wrong.engine {
            return Err(error.clone());
        }
        let is_absent =
            |slot: &u64| *slot < self.wrong.first_block || self.wrong.skipped.contains(slot);
        match question {
            Question::Simulate(simulate) => {
                let mut record = record(1, 10, vec![key(1)]);
                record.transaction.clone_from(&simulate.transaction);
                record.status = self.wrong.simulated.clone().unwrap_or(Ok(()));
                record.balances_before = vec![9];
                record.balances_after = vec![4];
                record.returned = Some(ReturnData {
                    program: key(2),
                    data: vec![1, 2, 3],
                });
                record.inner = vec![InnerInstructions {
                    index: 0,
                    instructions: vec![InnerInstruction {
                        program: 0,
                        accounts: vec![0],
                        data: vec![5],
                        stack_height: 2,
                    }],
                }];
                Ok(Answer::Simulated(Box::new(Simulated {
                    record,
                    accounts: vec![None; simulate.accounts.len()],
                    replacement: None,
                    slot: 10,
                })))
            }
            Question::Block(slot) if is_absent(slot) => Ok(Answer::Block(None)),
            Question::Header(slot) if is_absent(slot) => Ok(Answer::Header(None)),
            Question::Transaction(_) if self.wrong.versioned => {
                let found = (Box::new(versioned()), 1_000);
                Ok(Answer::Transaction(Some(found)))
            }
            Question::Block(slot) if self.wrong.versioned => {
                match self.state.ask(&Question::Block(*slot))? {
                    Answer::Block(Some((header, _))) => {
                        Ok(Answer::Block(Some((header, vec![versioned()]))))
                    }
                    other => Ok(other),
                }
            }
            other => self.state.ask(other),
        }
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        if let Some(error) = &self.wrong.engine {
            return Err(error.clone());
        }
        let mut chain = self.state.chain();
        chain.first_block = self.wrong.first_block;
        chain.faucet = self.wrong.faucet.map(|(key, _)| key);
        Ok(Arc::new(chain))
    }
}

/// The record of a transaction of version 0.
fn versioned() -> trilith_engine_account::record::TransactionRecord {
    let mut transaction = transaction();
    if let VersionedMessage::Legacy(message) = transaction.message {
        transaction.message = VersionedMessage::V0(solana_message::v0::Message {
            header: message.header,
            account_keys: message.account_keys,
            recent_blockhash: message.recent_blockhash,
            instructions: message.instructions,
            address_table_lookups: Vec::new(),
        });
    }
    let mut record = record(1, 9, vec![key(1), key(2)]);
    record.transaction = wincode::serialize(&transaction).unwrap();
    record.balances_before = vec![9, 0];
    record.balances_after = vec![4, 0];
    record
}

fn transaction() -> VersionedTransaction {
    VersionedTransaction {
        signatures: vec![Signature::from([7; 64])],
        message: VersionedMessage::Legacy(Message {
            header: MessageHeader {
                num_required_signatures: 1,
                num_readonly_signed_accounts: 0,
                num_readonly_unsigned_accounts: 1,
            },
            account_keys: vec![key(1), key(2)],
            recent_blockhash: solana_hash::Hash::default(),
            instructions: vec![CompiledInstruction {
                program_id_index: 1,
                accounts: vec![0],
                data: vec![1],
            }],
        }),
    }
}

fn encoded() -> String {
    BASE64_STANDARD.encode(wincode::serialize(&transaction()).unwrap())
}

/// A gateway in front of such a node.
struct Served {
    rpc: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Served {
    async fn start(wrong: Wrong) -> Self {
        Self::with(wrong, Limits::STANDARD, None).await
    }

    async fn with(wrong: Wrong, limits: Limits, faucet: Option<Faucet>) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (rpc, pubsub) = (listen().await.unwrap(), listen().await.unwrap());
        let address = rpc.local_addr().unwrap();
        let options = Options {
            limits,
            faucet,
            addresses: Addresses::default(),
            network: None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let port = Arc::new(Port {
            wrong,
            rounds: watch::channel(Round(1)).0,
        });
        let listeners = Listeners {
            rpc,
            pubsub,
            tpu: None,
        };
        let server = tokio::spawn(serve(listeners, port, options, async {
            drop(stopped.await);
        }));
        Self {
            rpc: address,
            stop,
            server,
        }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }

    /// The answer to a body.
    async fn post(&self, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.rpc).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// The error of a call.
    async fn refused(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params});
        let answer = self.post(&body.to_string()).await;
        assert_eq!(answer["jsonrpc"], "2.0");
        assert_eq!(answer["id"], 3);
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        answer["error"].clone()
    }
}

/// Makes one call of a node with which something is wrong.
async fn refused(wrong: Wrong, method: &str, params: Value) -> Value {
    let served = Served::start(wrong).await;
    let error = served.refused(method, params).await;
    served.end().await;
    error
}

fn failing(error: TransactionError) -> Wrong {
    Wrong {
        simulated: Some(Err(error)),
        ..Wrong::default()
    }
}

fn in_base64() -> Value {
    json!([encoded(), {"encoding": "base64"}])
}

#[tokio::test]
async fn framing_is_refused_with_the_codes_of_the_protocol() {
    let served = Served::with(
        Wrong::default(),
        Limits {
            batch_calls: 2,
            batch_answer_bytes: 60,
            ..Limits::STANDARD
        },
        None,
    )
    .await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#;
    for (body, code, message) in [
        ("{", -32700, "Parse error"),
        ("[]", -32600, "Invalid request"),
        ("7", -32600, "Invalid request"),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"getSlot"}"#,
            -32600,
            "Unsupported JSON-RPC protocol version",
        ),
        (
            &format!("[{call},{call},{call}]"),
            -32600,
            "Invalid request: the batch has 3 calls, the limit is 2",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"getNothing"}"#,
            -32601,
            "Method not found",
        ),
    ] {
        let answer = served.post(body).await;
        let expected = json!({"code": code, "message": message});
        assert_eq!(answer["error"], expected, "{body}");
    }
    let answer = served.post(&format!("[{call},{call}]")).await;
    let expected = json!({
        "code": -32600,
        "message": "Invalid request: the answers to the batch have more than 60 bytes together",
    });
    assert_eq!(answer[1]["error"], expected, "{answer}");
    served.end().await;
}

#[tokio::test]
async fn parameters_are_refused_with_32602() {
    let served = Served::start(Wrong::default()).await;
    let config = |config: Value| json!([encoded(), config]);
    for (method, params, message, data) in [
        (
            "getBalance",
            json!([1]),
            "Invalid params: invalid type: integer `1`, expected a string.",
            Value::Null,
        ),
        (
            "getBalance",
            json!(["x", null, 1]),
            "Invalid parameters: Expected from 1 to 2 parameters.",
            json!("\"Got: 3\""),
        ),
        (
            "getGenesisHash",
            json!([1]),
            "Invalid parameters: No parameters were expected",
            json!("\"[1]\""),
        ),
        (
            "getBalance",
            json!(["x"]),
            "Invalid param: WrongSize",
            Value::Null,
        ),
        (
            "simulateTransaction",
            config(json!({
                "encoding": "base64", "sigVerify": true, "replaceRecentBlockhash": true
            })),
            "sigVerify may not be used with replaceRecentBlockhash",
            Value::Null,
        ),
        (
            "getBlock",
            json!([9, {"commitment": "processed"}]),
            "Method does not support commitment below `confirmed`",
            Value::Null,
        ),
    ] {
        let error = served.refused(method, params).await;
        let mut expected = json!({"code": -32602, "message": message});
        if data != Value::Null {
            expected["data"] = data;
        }
        assert_eq!(error, expected, "{method}");
    }
    served.end().await;
}

#[tokio::test]
async fn meaningless_requests_are_refused_with_32600() {
    let long = refused(
        Wrong::default(),
        "getAccountInfo",
        json!([key(7).to_string(), {"encoding": "base58"}]),
    )
    .await;
    assert_eq!(
        long,
        json!({
            "code": -32600,
            "message": "Encoded binary (base 58) data should be less than 128 bytes, please use \
                        Base64 encoding.",
        })
    );
    let airdrop = json!([key(9).to_string(), 5]);
    let none = refused(Wrong::default(), "requestAirdrop", airdrop).await;
    assert_eq!(none, json!({"code": -32600, "message": "Invalid request"}));
}

#[tokio::test]
async fn faults_of_the_node_are_told_with_32603() {
    let faulty = Wrong {
        engine: Some(QueryError::Fault(Fault("a disk is full".to_owned()))),
        ..Wrong::default()
    };
    let error = refused(faulty, "getSlot", json!([])).await;
    assert_eq!(
        error,
        json!({
            "code": -32603,
            "message": "Internal error",
            "data": "fault of this node: a disk is full",
        })
    );
    let secret = SecretKey::from_seed([5; 32]);
    let faucet = Faucet::new(secret);
    let wrong = Wrong {
        faucet: Some((faucet.key(), 10)),
        ..Wrong::default()
    };
    let served = Served::with(wrong, Limits::STANDARD, Some(faucet)).await;
    let airdrop = json!([key(9).to_string(), 11]);
    assert_eq!(
        served.refused("requestAirdrop", airdrop).await,
        json!({
            "code": -32603,
            "message": "the faucet has 10 lamports, 11 and a fee are asked for",
        })
    );
    served.end().await;
    let rejecting = Wrong {
        pool: Some(|| {
            SubmitError::Rejected(Reject {
                module: "account-engine",
                code: 107,
                message: "it is too old".to_owned(),
            })
        }),
        ..Wrong::default()
    };
    let error = refused(rejecting.clone(), "sendTransaction", in_base64()).await;
    assert_eq!(
        error,
        json!({
            "code": -32603,
            "message": "the transaction was not taken up: it is too old",
        })
    );
    let full = Wrong {
        pool: Some(|| SubmitError::TooLarge { len: 9, limit: 8 }),
        ..Wrong::default()
    };
    let error = refused(full, "sendTransaction", in_base64()).await;
    assert_eq!(
        error,
        json!({"code": -32602, "message": "the transaction has 9 bytes, the limit is 8"})
    );
    // Who skips preflight is told nothing.
    let served = Served::start(rejecting).await;
    let skipping = json!([encoded(), {"encoding": "base64", "skipPreflight": true}]);
    let body = json!({"jsonrpc": "2.0", "id": 3, "method": "sendTransaction", "params": skipping});
    let answer = served.post(&body.to_string()).await;
    assert_eq!(answer["result"], Signature::from([7; 64]).to_string());
    served.end().await;
}

#[tokio::test]
async fn slots_without_a_block_have_four_codes() {
    let wrong = Wrong {
        first_block: 5,
        skipped: vec![7, 10, 11],
        ..Wrong::default()
    };
    let served = Served::start(wrong).await;
    for (slot, code, message) in [
        (
            3,
            -32001,
            "Block 3 cleaned up, does not exist on node. First available block: 5",
        ),
        (11, -32004, "Block not available for slot 11"),
        (
            7,
            -32007,
            "Slot 7 was skipped, or missing due to ledger jump to recent snapshot",
        ),
        (10, -32014, "Block status not yet available for slot 10"),
    ] {
        let expected = json!({"code": code, "message": message});
        for method in ["getBlock", "getBlockTime"] {
            assert_eq!(served.refused(method, json!([slot])).await, expected);
        }
    }
    let epoch = json!([[key(7).to_string()], {"epoch": 5}]);
    assert_eq!(
        served.refused("getInflationReward", epoch).await,
        json!({"code": -32004, "message": "Block not available for slot 10"})
    );
    served.end().await;
}

#[tokio::test]
async fn a_transaction_that_would_fail_is_refused_with_its_simulation_32002() {
    let error = refused(
        failing(TransactionError::BlockhashNotFound),
        "sendTransaction",
        in_base64(),
    )
    .await;
    assert_eq!(
        error,
        json!({
            "code": -32002,
            "message": "Transaction simulation failed: Blockhash not found",
            "data": {
                "accounts": null,
                "err": "BlockhashNotFound",
                "fee": 5_000,
                "innerInstructions": null,
                "loadedAccountsDataSize": 0,
                "loadedAddresses": {"readonly": [], "writable": []},
                "logs": ["Program log: hello"],
                "postBalances": [4],
                "postTokenBalances": [],
                "preBalances": [9],
                "preTokenBalances": [],
                "replacementBlockhash": null,
                "returnData": {"data": ["AQID", "base64"], "programId": key(2).to_string()},
                "unitsConsumed": 150,
            },
        })
    );
    let custom = TransactionError::InstructionError(
        0,
        serde_json::from_value(json!({"Custom": 1})).unwrap(),
    );
    let error = refused(failing(custom), "sendTransaction", in_base64()).await;
    assert_eq!(
        error["message"],
        "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    );
    assert_eq!(
        error["data"]["err"],
        json!({"InstructionError": [0, {"Custom": 1}]})
    );
}

#[tokio::test]
async fn a_signature_that_does_not_hold_is_refused_with_32003() {
    let expected = json!({
        "code": -32003,
        "message": "Transaction signature verification failure",
    });
    let wrong = failing(TransactionError::SignatureFailure);
    let sent = refused(wrong.clone(), "sendTransaction", in_base64()).await;
    assert_eq!(sent, expected);
    let verifying = json!([encoded(), {"encoding": "base64", "sigVerify": true}]);
    let simulated = refused(wrong, "simulateTransaction", verifying).await;
    assert_eq!(simulated, expected);
}

#[tokio::test]
async fn a_node_that_does_not_serve_says_so_with_32005() {
    let expected = json!({
        "code": -32005,
        "message": "Node is unhealthy",
        "data": {"numSlotsBehind": null},
    });
    let unhealthy = Wrong {
        unhealthy: true,
        ..Wrong::default()
    };
    let not_started = Wrong {
        engine: Some(QueryError::Reject(Reject {
            module: "account-engine",
            code: CODE_NOT_STARTED,
            message: "the account runtime has had no round yet".to_owned(),
        })),
        ..Wrong::default()
    };
    for (wrong, method, params) in [
        (unhealthy.clone(), "getHealth", json!([])),
        (unhealthy, "sendTransaction", in_base64()),
        (not_started, "getSlot", json!([])),
    ] {
        assert_eq!(refused(wrong, method, params).await, expected, "{method}");
    }
}

#[tokio::test]
async fn what_is_too_much_for_an_index_is_refused_with_32012() {
    let served = Served::with(
        Wrong::default(),
        Limits {
            answer_data_bytes: 300,
            ..Limits::STANDARD
        },
        None,
    )
    .await;
    let keys = json!([[key(7).to_string(), key(8).to_string()], {"encoding": "base64"}]);
    assert_eq!(
        served.refused("getMultipleAccounts", keys).await,
        json!({
            "code": -32012,
            "message": "the accounts have more than 300 bytes of data together; use a data slice \
                        or filters",
        })
    );
    served.end().await;
}

#[tokio::test]
async fn versions_that_a_client_does_not_read_are_refused_with_32015() {
    let wrong = Wrong {
        versioned: true,
        ..Wrong::default()
    };
    let served = Served::start(wrong).await;
    let expected = json!({
        "code": -32015,
        "message": "Transaction version (0) is not supported by the requesting client. Please try \
                    the request again with the following configuration parameter: \
                    \"maxSupportedTransactionVersion\": 0",
    });
    let signature = Signature::from([7; 64]).to_string();
    let error = served.refused("getTransaction", json!([signature])).await;
    assert_eq!(error, expected);
    assert_eq!(served.refused("getBlock", json!([9])).await, expected);
    served.end().await;
}

#[tokio::test]
async fn other_codes_of_the_state_have_their_data() {
    let later = json!([{"minContextSlot": 11}]);
    assert_eq!(
        refused(Wrong::default(), "getSlot", later).await,
        json!({
            "code": -32016,
            "message": "Minimum context slot has not been reached",
            "data": {"contextSlot": 10},
        })
    );
    assert_eq!(
        refused(Wrong::default(), "getHighestSnapshotSlot", json!([])).await,
        json!({"code": -32008, "message": "No snapshot"})
    );
}
