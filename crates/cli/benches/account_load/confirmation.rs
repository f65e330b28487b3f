//! How long one client waits from sending a transaction to knowing that it is final.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use trilith_types::SecretKey;

use crate::rpc::{Rpc, pubsub, request};
use crate::support::Node;
use crate::transfers::{receivers, send, transaction};

/// Pause between two questions of a client that asks for the status.
const PAUSE: Duration = Duration::from_millis(1);
/// Lamports of a transfer: the account that receives is rent-exempt.
const LAMPORTS: u64 = 1_000_000;

/// How the client learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It subscribes to the signature, over a connection to PubSub that is open.
    Subscription,
    /// It asks for the status again and again.
    Polling,
}

/// Sends `count` transfers of `payer`, one after the other; gives the waiting times, ascending.
pub async fn run(node: &Node, payer: &SecretKey, way: Way, count: usize) -> Vec<Duration> {
    let mut rpc = Rpc::open(node).await;
    let mut subscriber = Subscriber::open(node).await;
    let mut times = Vec::new();
    for receiver in receivers(count) {
        // No two transactions are the same: each pays another account.
        let blockhash = rpc.blockhash().await;
        let wire = send(
            &transaction(payer, &[(receiver, LAMPORTS)], blockhash),
            false,
        );
        let begun = Instant::now();
        let signature = rpc.exchange(&wire).await;
        match way {
            Way::Subscription => subscriber.wait(&signature).await,
            Way::Polling => poll(&mut rpc, &signature).await,
        }
        times.push(begun.elapsed());
        assert_eq!(rpc.balances(&[receiver]).await, [LAMPORTS]);
    }
    times.sort_unstable();
    times
}

async fn poll(rpc: &mut Rpc, signature: &Value) {
    let wire = request("getSignatureStatuses", &json!([[signature]]));
    loop {
        let status = rpc.exchange(&wire).await["value"][0].take();
        if !status.is_null() {
            assert_eq!(status["confirmationStatus"], "finalized");
            assert_eq!(status["err"], Value::Null);
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection to PubSub.
struct Subscriber {
    socket: WebSocketStream<TcpStream>,
}

impl Subscriber {
    async fn open(node: &Node) -> Self {
        let url = pubsub(node);
        let address = url.strip_prefix("ws://").expect("it is a WebSocket");
        let stream = TcpStream::connect(address).await.expect("the node listens");
        stream.set_nodelay(true).expect("requests are sent at once");
        let (socket, _) = tokio_tungstenite::client_async(&url, stream)
            .await
            .expect("the node speaks WebSocket");
        Self { socket }
    }

    /// Waits until the transaction is final.
    async fn wait(&mut self, signature: &Value) {
        let params = json!([signature, {"commitment": "finalized"}]);
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "signatureSubscribe", "params": params});
        let sent = self.socket.send(Message::text(call.to_string()));
        sent.await.expect("the node reads");
        // The notification may come before the answer to the subscription.
        let (mut subscribed, mut told) = (false, false);
        while !(subscribed && told) {
            let message = self.socket.next().await.expect("the connection stays");
            let Message::Text(text) = message.expect("the connection stays") else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("it is JSON");
            if message["method"] == "signatureNotification" {
                assert_eq!(message["params"]["result"]["value"]["err"], Value::Null);
                told = true;
            } else {
                assert!(message["result"].is_u64(), "{message}");
                subscribed = true;
            }
        }
    }
}
