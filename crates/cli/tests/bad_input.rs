//! Requests that are wrong, on the wire of a real node: each gets the status that the interface
//! demands and a text with fact, value and limit, and none disturbs the node.

mod support;

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::Principal;
use ic_agent::Identity as _;
use ic_agent::agent::{Envelope, EnvelopeContent};
use ic_agent::identity::{BasicIdentity, Delegation, DelegationPermissions, SignedDelegation};
use support::http::{self, Response};
use support::{C_COUNTER, Client, Node};
use tempfile::tempdir;

/// Most bytes of a body: 5 MiB.
const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most bytes of an argument: 2 MiB.
const ARGUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

fn identity() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[21; 32])
}

/// Nanoseconds since 1970, some seconds from now.
fn seconds_from_now(seconds: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_nanos()).unwrap();
    (now + seconds * 1_000_000_000).try_into().unwrap()
}

/// A call of `inc`, as yet unsigned.
fn content(canister_id: Principal, sender: Principal, ingress_expiry: u64) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: Some(ingress_expiry.to_be_bytes().to_vec()),
        ingress_expiry,
        sender,
        canister_id,
        method_name: "inc".into(),
        arg: candid::encode_args(()).unwrap(),
        sender_info: None,
    }
}

fn envelope(
    content: &EnvelopeContent,
    key: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
) -> Vec<u8> {
    Envelope {
        content: Cow::Borrowed(content),
        sender_pubkey: key,
        sender_sig: signature,
        sender_delegation: None,
    }
    .encode_bytes()
}

fn signed(content: &EnvelopeContent) -> Vec<u8> {
    let signature = identity().sign(content).unwrap();
    envelope(content, signature.public_key, signature.signature)
}

/// Asserts the status and that the text contains all of `facts`.
#[track_caller]
fn refused(answer: &Response, status: u16, facts: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    for fact in facts {
        assert!(text.contains(fact), "no `{fact}` in `{text}`");
    }
}

/// The node still answers, and has applied exactly `count` updates.
async fn unharmed(node: Node, canister: Principal, count: u64) {
    let client = Client::new(&node);
    assert_eq!(client.query::<u64>(canister, "get", ()).await, count);
    assert_eq!(client.update::<u64>(canister, "inc", ()).await, count + 1);
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[tokio::test]
async fn what_is_no_request_of_the_interface_is_refused() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let path = format!("/api/v4/canister/{canister}/call");
    let url = node.url.as_str();

    refused(&http::get(url, "/api/v9/status"), 404, &["/api/v9/status"]);
    refused(&http::get(url, &path), 405, &[&path, "POST", "GET"]);
    let answer = http::exchange(url, b"\x16\x03\x01 this is no HTTP\r\n\r\n");
    assert_eq!(answer.status, 400);

    let json = http::post_as(url, &path, "application/json", b"{}");
    refused(&json, 400, &["application/json", "application/cbor"]);
    refused(&http::post(url, &path, b""), 400, &["malformed", "byte 0"]);
    refused(&http::post(url, &path, b"{}"), 400, &["malformed", "byte"]);
    let nowhere = http::post(url, "/api/v4/canister/no-such-id/call", b"");
    refused(&nowhere, 400, &["no-such-id"]);

    // Cut anywhere, a good request is a bad one.
    let good = signed(&content(
        canister,
        identity().sender().unwrap(),
        seconds_from_now(60),
    ));
    for length in (0..good.len()).step_by(good.len() / 8) {
        refused(
            &http::post(url, &path, &good[..length]),
            400,
            &["malformed"],
        );
    }
    // A query is no call.
    let query = client.agent.query(&canister, "get").sign().unwrap();
    let query = http::post(url, &path, &query.signed_query);
    refused(&query, 400, &["`query`", "`call`"]);
    unharmed(node, canister, 0).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_held() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let path = format!("/api/v4/canister/{canister}/call");

    // Only announced: the node does not wait for the bytes.
    let length = BODY_BYTES_MAX + 1;
    let head = http::head(&path, "application/cbor", length);
    let answer = http::exchange(&node.url, head.as_bytes());
    let facts = [length.to_string(), BODY_BYTES_MAX.to_string()];
    refused(&answer, 413, &[&facts[0], &facts[1]]);

    let argument = vec![0; ARGUMENT_BYTES_MAX + 1];
    let update = client.agent.update(&canister, "inc").with_arg(argument);
    let update = update.sign().unwrap().signed_update;
    let answer = client.post("v4", canister, "call", &update);
    let facts = [
        (ARGUMENT_BYTES_MAX + 1).to_string(),
        ARGUMENT_BYTES_MAX.to_string(),
    ];
    refused(&answer, 400, &[&facts[0], &facts[1]]);

    // A client that goes away in the middle of its request leaves nothing behind.
    let address = node.url.strip_prefix("http://").unwrap();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = http::head(&path, "application/cbor", BODY_BYTES_MAX);
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[0; 4096]).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    unharmed(node, canister, 0).await;
}

#[tokio::test]
async fn what_is_not_authentic_is_forbidden() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let sender = identity().sender().unwrap();
    let call = content(canister, sender, seconds_from_now(60));
    let signature = identity().sign(&call).unwrap();
    let (key, signature) = (signature.public_key, signature.signature);
    let post = |bytes: Vec<u8>| client.post("v4", canister, "call", &bytes);

    let unsigned = post(envelope(&call, None, None));
    refused(&unsigned, 403, &[&sender.to_text(), "missing"]);
    let mut forged = signature.clone().unwrap();
    forged[7] ^= 1;
    let forged = post(envelope(&call, key.clone(), Some(forged)));
    refused(&forged, 403, &["signature", "does not verify"]);
    let stranger = BasicIdentity::from_raw_key(&[22; 32]);
    let other_key = post(envelope(&call, stranger.public_key(), signature.clone()));
    let stranger = stranger.sender().unwrap().to_text();
    refused(&other_key, 403, &[&sender.to_text(), &stranger]);
    let anonymous = content(canister, Principal::anonymous(), seconds_from_now(60));
    let anonymous = post(envelope(&anonymous, key, signature));
    refused(&anonymous, 403, &["anonymous"]);
    // Signed for one canister, sent to the address of another.
    let other = client.install(C_COUNTER).await;
    let astray = client.post("v4", other, "call", &signed(&call));
    refused(&astray, 400, &[&canister.to_text(), &other.to_text()]);
    unharmed(node, canister, 0).await;
}

#[tokio::test]
async fn what_is_out_of_time_is_refused_and_what_is_replayed_is_not_applied_again() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let sender = identity().sender().unwrap();
    let post = |content: &EnvelopeContent| client.post("v4", canister, "call", &signed(content));

    let expiry = seconds_from_now(-60);
    let expired = post(&content(canister, sender, expiry));
    let expired_text = ["Invalid request expiry: ", "expired", &expiry.to_string()];
    refused(&expired, 400, &expired_text);
    let expiry = seconds_from_now(3_600);
    let early = post(&content(canister, sender, expiry));
    refused(&early, 400, &["limit", &expiry.to_string()]);

    let call = content(canister, sender, seconds_from_now(120));
    let first = post(&call);
    assert_eq!(first.status, 200, "{}", first.text());
    client
        .verify(&first.bytes("certificate"), canister)
        .unwrap();
    for _ in 0..3 {
        let again = post(&call);
        assert_eq!(again.status, 200, "{}", again.text());
        assert!(!again.bytes("certificate").is_empty());
        let again = client.post("v2", canister, "call", &signed(&call));
        assert_eq!(again.status, 202, "{}", again.text());
    }
    // Replayed to a node that was killed and started again.
    let url = node.url.clone();
    node.kill();
    let node = Node::start(folder.path());
    assert_ne!(node.url, url);
    let client = Client::new(&node);
    let again = client.post("v4", canister, "call", &signed(&call));
    assert_eq!(again.status, 200, "{}", again.text());
    unharmed(node, canister, 1).await;
}

/// A call of `inc` by [`identity`], through delegations that are changed before they are signed.
fn delegated(canister: Principal, length: u8, change: impl Fn(usize, &mut Delegation)) -> Vec<u8> {
    let keys: Vec<BasicIdentity> = (21..=21 + length)
        .map(|seed| BasicIdentity::from_raw_key(&[seed; 32]))
        .collect();
    let sign = |(index, pair): (usize, &[BasicIdentity])| {
        let mut delegation = Delegation {
            pubkey: pair[1].public_key().unwrap(),
            expiration: seconds_from_now(600),
            targets: None,
            permissions: None,
        };
        change(index, &mut delegation);
        let signature = pair[0].sign_delegation(&delegation).unwrap().signature;
        SignedDelegation {
            delegation,
            signature: signature.unwrap(),
        }
    };
    let chain: Vec<SignedDelegation> = keys.windows(2).enumerate().map(sign).collect();
    let sender = identity().sender().unwrap();
    let call = content(canister, sender, seconds_from_now(60));
    let signature = keys.last().unwrap().sign(&call).unwrap().signature;
    Envelope {
        content: Cow::Owned(call),
        sender_pubkey: identity().public_key(),
        sender_sig: signature,
        sender_delegation: Some(chain),
    }
    .encode_bytes()
}

#[tokio::test]
async fn what_a_delegation_does_not_cover_is_refused() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let post = |bytes: Vec<u8>| client.post("v4", canister, "call", &bytes);
    let good = post(delegated(canister, 20, |_, _| {}));
    assert_eq!(good.status, 200, "{}", good.text());

    let long = post(delegated(canister, 21, |_, _| {}));
    refused(
        &long,
        400,
        &["sender_delegation has 21 items, over the limit of 20"],
    );
    let own = identity().public_key().unwrap();
    let circle = post(delegated(canister, 2, |_, delegation| {
        delegation.pubkey.clone_from(&own);
    }));
    refused(
        &circle,
        403,
        &["position 0 of the delegations occurs twice"],
    );
    let management = Principal::management_canister();
    let elsewhere = post(delegated(canister, 1, |_, delegation| {
        delegation.targets = Some(vec![management]);
    }));
    refused(&elsewhere, 403, &[&canister.to_text(), "targets"]);
    let many = post(delegated(canister, 1, |_, delegation| {
        delegation.targets = Some(vec![management; 1_001]);
    }));
    refused(
        &many,
        400,
        &["targets has 1001 items, over the limit of 1000"],
    );
    let queries = post(delegated(canister, 1, |_, delegation| {
        delegation.permissions = Some(DelegationPermissions::Queries);
    }));
    refused(&queries, 403, &["permits `queries`"]);
    let expiry = seconds_from_now(-1);
    let late = post(delegated(canister, 1, |_, delegation| {
        delegation.expiration = expiry;
    }));
    refused(
        &late,
        400,
        &["delegation at position 0 expired", &expiry.to_string()],
    );
    unharmed(node, canister, 1).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_refused() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let sender = identity().sender().unwrap();
    let call = content(canister, sender, seconds_from_now(60));
    let id = call.to_request_id();
    assert_eq!(
        client.post("v4", canister, "call", &signed(&call)).status,
        200
    );
    let read_of = |paths: &[&[&[u8]]], sender: Principal| EnvelopeContent::ReadState {
        ingress_expiry: seconds_from_now(60),
        sender,
        paths: paths
            .iter()
            .map(|path| path.iter().map(|label| (*label).into()).collect())
            .collect(),
    };
    let read = |paths: &[&[&[u8]]]| signed(&read_of(paths, sender));
    let post = |bytes: Vec<u8>| client.post("v3", canister, "read_state", &bytes);
    let status: &[&[u8]] = &[b"request_status", id.as_slice()];
    let own = post(read(&[status]));
    assert_eq!(own.status, 200, "{}", own.text());
    client.verify(&own.bytes("certificate"), canister).unwrap();

    let nobody = read_of(&[status], Principal::anonymous());
    let nobody = post(envelope(&nobody, None, None));
    refused(
        &nobody,
        403,
        &["request_status/", "may not be read by this sender"],
    );
    let other: &[&[u8]] = &[b"request_status", &[7; 32]];
    refused(
        &post(read(&[status, other])),
        400,
        &["one request status, it asks for 2"],
    );
    let secret = [
        b"canister".as_slice(),
        canister.as_slice(),
        b"certified_data",
    ];
    refused(
        &post(read(&[&secret])),
        403,
        &["certified_data may not be read"],
    );
    refused(&post(read(&[&[b"nothing"]])), 404, &["/nothing is not one"]);
    let elsewhere = client.create().await;
    let astray = [b"canister".as_slice(), elsewhere.as_slice(), b"module_hash"];
    let texts = [canister.to_text(), elsewhere.to_text()];
    refused(&post(read(&[&astray])), 400, &[&texts[0], &texts[1]]);
    let long = vec![b"x".as_slice(); 128];
    refused(
        &post(read(&[&long])),
        400,
        &["a path has 128 items, over the limit of 127"],
    );
    let time: &[&[u8]] = &[b"time"];
    let many = post(read(&vec![time; 1_001]));
    refused(
        &many,
        400,
        &["paths has 1001 items, over the limit of 1000"],
    );
    let query = client.agent.query(&canister, "get").sign().unwrap();
    refused(&post(query.signed_query), 400, &["`query`", "`read_state`"]);
    unharmed(node, canister, 1).await;
}

/// Calls of methods in the wrong mode, or that are not there, get a reject code.
#[tokio::test]
async fn what_a_canister_does_not_have_is_rejected() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let missing = client
        .try_update(canister, "nothing", ())
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("IC0536"), "{missing}");
    let query = client
        .agent
        .query(&canister, "inc")
        .with_arg(candid::encode_args(()).unwrap());
    let query = query.call_with_verification().await.unwrap_err();
    assert!(query.to_string().contains("IC0536"), "{query}");
    // A query method may be called like an update, and then has no effect.
    assert_eq!(client.update::<u64>(canister, "get", ()).await, 0);
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let nobody = client.try_update(nobody, "inc", ()).await.unwrap_err();
    assert!(nobody.to_string().contains("IC0301"), "{nobody}");
    unharmed(node, canister, 0).await;
}

#[tokio::test]
async fn slow_clients_do_not_keep_others_waiting() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let address = node.url.strip_prefix("http://").unwrap();
    // Many connections that have begun a request and say no more.
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"POST /api/v4/canister/").unwrap();
            stream
        })
        .collect();
    let update = client.update::<u64>(canister, "inc", ());
    let answer = tokio::time::timeout(Duration::from_secs(20), update).await;
    assert_eq!(answer.expect("the node answers others meanwhile"), 1);
    drop(silent);
    unharmed(node, canister, 1).await;
}
