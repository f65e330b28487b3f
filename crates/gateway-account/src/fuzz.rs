//! Entrances for fuzzing: what this crate reads from clients, without sockets.
//!
//! Knows what the gateway knows; serves nobody.

use std::sync::Arc;

use crate::call::Request;
use crate::limits::Limits;
use crate::port::NodePort;
use crate::pubsub::request;
use crate::{Addresses, Gateway, Options};

/// Answers the body of a request of JSON-RPC, as the gateway of `port` would: framing, method,
/// parameters, filters, encodings. `None` if it asks for no answer.
pub async fn fuzz_body(port: Arc<dyn NodePort>, body: &[u8]) -> Option<String> {
    let options = Options {
        limits: Limits::STANDARD,
        faucet: None,
        addresses: Addresses::default(),
        network: None,
    };
    if body.len() > options.limits.body_bytes {
        return None;
    }
    Gateway::new(port, options).answer(body).await
}

/// Reads a message of PubSub; gives how many subscriptions and their ends it asks for.
pub fn fuzz_message(bytes: &[u8]) -> usize {
    let calls = match Request::decode(bytes, Limits::STANDARD.batch_calls) {
        Request::Single(call) => vec![call],
        Request::Batch(calls) => calls,
    };
    calls
        .into_iter()
        .flatten()
        .filter(|call| request(&call.method, call.params.clone()).is_ok())
        .count()
}
