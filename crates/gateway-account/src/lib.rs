//! Solana JSON-RPC, PubSub and the QUIC port for transactions in front of a node.
//!
//! A gateway translates: a call becomes a question for a [`NodePort`] or a transaction for its
//! pool, the engine's answer becomes the JSON that Solana's clients expect. It knows HTTP,
//! WebSockets, JSON-RPC and the account engine's questions and answers; it must not know a store,
//! consensus or other engines, and it decides nothing: whether a transaction is authentic and
//! allowed is the engine's verdict, which this crate turns into a code and a text.
//!
//! Invariants:
//! - What is answered is of a finalised and durable round. The commitments `confirmed` and
//!   `finalized` mean the same; asked for a slot, `processed` names the one that is being built and
//!   the others the last that has a block.
//! - A call is answered from one state: all questions it causes are asked of the same round.
//! - Bodies, batches, answers, connections, subscriptions and what waits for slow clients are
//!   bounded ([`Limits`]).
//! - No method reads all accounts: what needs to find accounts asks the engine's indexes.
//!
//! Which methods have no meaning here, and what they answer, is in `docs/guides/account-rpc.md`.
//!
//! Source: the JSON-RPC methods of Agave 4.2 (`rpc`, `rpc-client-types`).

mod accounts;
mod call;
mod connections;
mod epochs;
mod failure;
mod faucet;
mod fuzz;
mod history;
mod http;
pub mod limits;
mod methods;
mod node;
mod params;
pub mod port;
mod pubsub;
mod read;
pub mod server;
mod tpu;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::call::{Call, Refused, Request, response};
use crate::failure::{Failure, Outcome};

pub use epochs::{Epoch, epoch_of};
pub use faucet::Faucet;
pub use fuzz::{fuzz_body, fuzz_message};
pub use limits::Limits;
pub use node::AccountPort;
pub use port::NodePort;
pub use server::{Listeners, serve};
pub use tpu::{Tpu, TpuError};

/// The release of Solana's interface that this crate speaks.
pub const API_VERSION: &str = "4.2.2";

/// How a gateway is set up.
pub struct Options {
    /// What it bears.
    pub limits: Limits,
    /// The faucet of a developer network.
    pub faucet: Option<Faucet>,
    /// Where it can be reached, for clients that ask.
    pub addresses: Addresses,
    /// Under what proofs of this network verify, for clients that ask. Who believes the answer
    /// believes the node.
    pub network: Option<NetworkKeys>,
}

/// Under what proofs of a network verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkKeys {
    /// Hash of the genesis document.
    pub chain: [u8; 32],
    /// The validators' consensus key: a compressed point of G2 of BLS12-381.
    pub consensus_key: Vec<u8>,
    /// The account runtime.
    pub runtime: [u8; 32],
}

/// Where a gateway can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// JSON-RPC over HTTP.
    pub rpc: Option<SocketAddr>,
    /// PubSub over WebSockets.
    pub pubsub: Option<SocketAddr>,
    /// Transactions over QUIC.
    pub tpu: Option<SocketAddr>,
}

/// What serves calls.
pub(crate) struct Gateway {
    pub(crate) port: Arc<dyn NodePort>,
    pub(crate) limits: Limits,
    pub(crate) faucet: Option<Faucet>,
    pub(crate) addresses: Addresses,
    pub(crate) network: Option<NetworkKeys>,
    heavy: Semaphore,
}

impl Gateway {
    pub(crate) fn new(port: Arc<dyn NodePort>, options: Options) -> Arc<Self> {
        Arc::new(Self {
            port,
            limits: options.limits,
            faucet: options.faucet,
            addresses: options.addresses,
            network: options.network,
            heavy: Semaphore::new(options.limits.heavy_calls),
        })
    }

    /// The answer to the body of a request; `None` if it asks for none.
    pub(crate) async fn answer(self: Arc<Self>, body: &[u8]) -> Option<String> {
        match Request::decode(body, self.limits.batch_calls) {
            Request::Single(call) => self.answer_one(call).await.map(|answer| answer.to_string()),
            Request::Batch(calls) => {
                let mut answers = Vec::new();
                let mut bytes = 0;
                for call in calls {
                    let Some(answer) = self.answer_one(call).await else {
                        continue;
                    };
                    let text = answer.to_string();
                    bytes += text.len();
                    // Others come between the calls of a batch, each of which is short.
                    tokio::task::yield_now().await;
                    // Each call is bounded by itself; together they are bounded here.
                    if bytes > self.limits.batch_answer_bytes {
                        let id = answer.get("id").cloned().unwrap_or(Value::Null);
                        let failure = Failure::batch_answer(self.limits.batch_answer_bytes);
                        answers.push(response(id, Err(failure)).to_string());
                        break;
                    }
                    answers.push(text);
                }
                (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
            }
        }
    }

    async fn answer_one(self: &Arc<Self>, call: Result<Call, Refused>) -> Option<Value> {
        match call {
            Err(Refused { id, failure }) => Some(response(id, Err(failure))),
            Ok(Call { id, method, params }) => {
                let outcome = self.outcome(&method, params).await;
                id.map(|id| response(id, outcome))
            }
        }
    }

    async fn outcome(self: &Arc<Self>, name: &str, params: params::Params) -> Outcome {
        let method = methods::method(name).ok_or_else(Failure::method_not_found)?;
        let view = self.port.newest().await;
        if !(method.heavy)(&params) {
            let context = methods::Context {
                gateway: self,
                view: &*view,
            };
            return (method.answer)(&context, params);
        }
        let gateway = self.clone();
        let _turn = self.heavy.acquire().await;
        let answered = tokio::task::spawn_blocking(move || {
            let context = methods::Context {
                gateway: &gateway,
                view: &*view,
            };
            (method.answer)(&context, params)
        });
        answered
            .await
            .unwrap_or_else(|_| Err(Failure::internal("the call was abandoned")))
    }
}
