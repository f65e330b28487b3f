//! Calls of Solana's interface over one kept connection, and requests that are made ahead.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use crate::generator::Connection;
use crate::support::Node;

/// Most signatures of one question. Source: Solana's `getSignatureStatuses`.
const STATUSES_MAX: usize = 256;
/// Most keys of one question. Source: Solana's `getMultipleAccounts`.
const KEYS_MAX: usize = 100;
/// Longest wait for one transaction: longer than its blockhash is valid.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause before it is asked again what became of transactions.
const PAUSE: Duration = Duration::from_millis(2);

/// One client.
pub struct Rpc {
    connection: Connection,
}

impl Rpc {
    /// Connects.
    pub async fn open(node: &Node) -> Self {
        let connection = Connection::open(&endpoint(node)).await;
        Self { connection }
    }

    /// Calls, and gives the result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.exchange(&request(method, &params)).await
    }

    /// Sends a request, and gives the result.
    pub async fn exchange(&mut self, wire: &[u8]) -> Value {
        let status = self.connection.exchange(wire).await;
        assert_eq!(status, 200);
        result(self.connection.body())
    }

    /// A recent blockhash.
    pub async fn blockhash(&mut self) -> [u8; 32] {
        let latest = self.call("getLatestBlockhash", json!([])).await;
        let text = latest["value"]["blockhash"].as_str().expect("it is text");
        text.parse::<Pubkey>().expect("it is a hash").to_bytes()
    }

    /// The lamports of accounts, in the order of the keys; 0 where there is none.
    pub async fn balances(&mut self, keys: &[Pubkey]) -> Vec<u64> {
        let mut balances = Vec::new();
        for keys in keys.chunks(KEYS_MAX) {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let options = json!({"encoding": "base64", "dataSlice": {"offset": 0, "length": 0}});
            let found = self.call("getMultipleAccounts", json!([keys, options]));
            let found = found.await["value"].take();
            let found = found.as_array().expect("it is a list");
            balances.extend(found.iter().map(|account| match account {
                Value::Null => 0,
                account => account["lamports"].as_u64().expect("it is a number"),
            }));
        }
        balances
    }

    /// Waits until every transaction was executed, and checks that each succeeded.
    pub async fn confirm(&mut self, signatures: &[String]) {
        for signatures in signatures.chunks(STATUSES_MAX) {
            let begun = Instant::now();
            let wire = request("getSignatureStatuses", &json!([signatures]));
            loop {
                let statuses = self.exchange(&wire).await["value"].take();
                let statuses = statuses.as_array().expect("it is a list");
                assert_eq!(statuses.len(), signatures.len());
                let missing = statuses.iter().filter(|status| status.is_null()).count();
                if missing == 0 {
                    let failed = statuses.iter().find(|status| !status["err"].is_null());
                    assert_eq!(failed, None, "every transaction succeeds");
                    break;
                }
                let waited = begun.elapsed();
                assert!(waited < PATIENCE, "{missing} transactions are lost");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The URL of the node's interface.
pub fn endpoint(node: &Node) -> String {
    banner(node, "account endpoint")
}

/// The URL of the node's PubSub.
pub fn pubsub(node: &Node) -> String {
    banner(node, "account PubSub")
}

fn banner(node: &Node, name: &str) -> String {
    let mut lines = node.banner.iter();
    let value = lines.find_map(|line| line.trim().strip_prefix(name));
    value.expect("the banner has it").trim().to_owned()
}

/// A request with its head, ready to be sent.
pub fn request(method: &str, params: &Value) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// The result in the body of an answer.
pub fn result(body: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(body).expect("the answer is JSON");
    assert!(answer.get("result").is_some(), "{answer}");
    answer["result"].take()
}
