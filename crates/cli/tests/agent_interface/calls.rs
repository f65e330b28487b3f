//! The ways of a call and of a query.

use std::time::{Duration, SystemTime};

use ic_agent::AgentError;
use ic_agent::agent::{CallResponse, RequestStatusResponse};

use crate::support::{C_COUNTER, WAT_COUNTER};
use crate::{Network, error_code, refusal};

fn number(reply: &[u8]) -> u64 {
    candid::decode_one(reply).unwrap()
}

#[tokio::test]
async fn requests_signed_ahead_can_be_sent_by_anyone_later() {
    let network = Network::start();
    let owner = &network.owner;
    let canister = owner.install(C_COUNTER).await;
    let update = owner.sign(canister, "inc", ());
    let id = update.request_id;
    let status = owner.agent.sign_request_status(canister, id).unwrap();
    let status = status.signed_request_status;
    let query = owner.agent.query(&canister, "get");
    let query = query.with_arg(candid::encode_args(()).unwrap());
    let query = query.sign().unwrap().signed_query;

    // One who has no key of the owner's carries them to the node.
    let carrier = network.user(21).agent;
    let unknown = carrier.request_status_signed(&id, canister, status.clone());
    let (unknown, _) = unknown.await.unwrap();
    assert!(matches!(unknown, RequestStatusResponse::Unknown));
    let answer = carrier.update_signed(canister, update.signed_update).await;
    let CallResponse::Response(reply) = answer.unwrap() else {
        panic!("the node answers at once");
    };
    assert_eq!(number(&reply), 1);
    let (again, _) = carrier.wait_signed(&id, canister, status).await.unwrap();
    assert_eq!(again, reply);
    let answer = carrier.query_signed(canister, query).await.unwrap();
    assert_eq!(number(&answer), 1);
}

#[tokio::test]
async fn a_call_that_nobody_waited_for_is_polled_for() {
    let network = Network::start();
    let owner = &network.owner;
    let canister = owner.install(C_COUNTER).await;
    for (method, code) in [("inc", None), ("inc_then_trap", Some("IC0503"))] {
        let update = owner.sign(canister, method, ());
        let answer = owner.post("v2", canister, "call", &update.signed_update);
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        let result = owner.agent.wait(&update.request_id, canister).await;
        match code {
            None => assert_eq!(number(&result.unwrap().0), 1),
            Some(code) => assert_eq!(error_code(result), code),
        }
    }
    let call = owner.agent.update(&canister, "inc");
    let call = call.with_arg(candid::encode_args(()).unwrap()).call();
    let (reply, certificate) = call.and_wait().await.unwrap();
    assert_eq!(number(&reply), 2);
    owner.agent.verify(&certificate, canister).unwrap();
}

#[tokio::test]
async fn queries_are_verified_and_may_carry_nonces() {
    let network = Network::start();
    let owner = &network.owner;
    let canister = owner.install(WAT_COUNTER).await;
    let argument = candid::encode_args((7u32,)).unwrap();
    let query = || owner.agent.query(&canister, "echo");
    let verified = query().with_arg(argument.clone()).call_with_verification();
    assert_eq!(verified.await.unwrap(), argument);
    let with_nonce = query().with_arg(argument.clone()).with_nonce_generation();
    assert_eq!(with_nonce.call_with_verification().await.unwrap(), argument);
    let unverified = query().with_arg(argument.clone());
    let unverified = unverified.call_without_verification().await;
    assert_eq!(unverified.unwrap(), argument);
    // What a query rejects is signed too: the agent would say that the signature is missing.
    let missing = owner.agent.query(&canister, "missing");
    let missing = missing.call_with_verification().await;
    assert_eq!(error_code(missing), "IC0536");
}

#[tokio::test]
async fn requests_live_for_five_minutes_at_most() {
    let network = Network::start();
    let owner = &network.owner;
    let canister = owner.install(WAT_COUNTER).await;
    let call = || owner.agent.update(&canister, "inc");
    let late = call().expire_after(Duration::from_secs(3_600));
    let (status, text) = refusal(late.call_and_wait().await);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("expiry"), "{text}");
    let past = SystemTime::now() - Duration::from_secs(3_600);
    let (status, text) = refusal(call().expire_at(past).call_and_wait().await);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("expiry"), "{text}");
    let query = owner.agent.query(&canister, "get").expire_at(past);
    assert_eq!(refusal(query.call_without_verification().await).0, 400);
    // None of them left a trace.
    assert_eq!(owner.query::<u32>(canister, "get", ()).await, 0);
    let soon = call().expire_after(Duration::from_secs(60));
    let soon = soon.with_arg(candid::encode_args(()).unwrap());
    assert!(soon.call_and_wait().await.is_ok());
}

#[tokio::test]
async fn another_network_is_not_believed() {
    let network = Network::start();
    let stranger = network.user(22);
    let canister = network.owner.install(WAT_COUNTER).await;
    let mut key = network.node.root_key_der.clone();
    *key.last_mut().unwrap() ^= 1;
    stranger.agent.set_root_key(key);
    let result = stranger.try_update(canister, "inc", ()).await;
    assert!(result.is_err(), "{result:?}");
    let result = stranger.agent.read_state_canister_module_hash(canister);
    let result = result.await;
    assert!(
        !matches!(result, Ok(_) | Err(AgentError::HttpError(_))),
        "{result:?}"
    );
}
