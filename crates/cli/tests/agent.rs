//! What an unmodified agent can do with a node.

mod support;

use candid::{Nat, Principal};
use ic_agent::Identity as _;
use ic_agent::agent::{EnvelopeContent, RejectCode};
use ic_agent::identity::{
    AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, Prime256v1Identity,
    Secp256k1Identity, SignedDelegation,
};
use support::client::reject;
use support::{C_COUNTER, Client, MOTOKO_COUNTER, Node, WAT_CALLER, WAT_COUNTER};
use tempfile::tempdir;
use trilith_client::{Lookup, RequestStatus, request_status};
use trilith_types::hash::sha256;

const WAT_INTERFACE: &[u8] = include_bytes!("../../../canisters/wat/counter.did");

fn nat(value: u32) -> Nat {
    Nat::from(value)
}

#[tokio::test]
async fn canisters_in_three_languages_are_installed_and_answer() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);

    let wat = client.install(WAT_COUNTER).await;
    assert_eq!(wat.to_text(), support::FIRST_CANISTER);
    assert_eq!(client.update::<u32>(wat, "inc", ()).await, 1);
    assert_eq!(client.update::<u32>(wat, "add", (41u32,)).await, 42);
    assert_eq!(client.query::<u32>(wat, "get", ()).await, 42);

    let c = client.install(C_COUNTER).await;
    assert_eq!(client.update::<u64>(c, "add", (7u64,)).await, 7);
    assert_eq!(client.query::<u64>(c, "get", ()).await, 7);
    assert_eq!(client.query::<u64>(c, "stable_pages", ()).await, 1);

    let motoko = client.install(MOTOKO_COUNTER).await;
    assert_eq!(client.update::<Nat>(motoko, "inc", ()).await, nat(1));
    assert_eq!(client.query::<Nat>(motoko, "get", ()).await, nat(1));
    let greeting: String = client.query(motoko, "greet", ("Ada",)).await;
    assert_eq!(greeting, "Hello, Ada!");

    // The answers of one canister are not those of another.
    assert_eq!(client.query::<u32>(wat, "get", ()).await, 42);
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
}

#[tokio::test]
async fn the_state_tree_tells_what_a_canister_is() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(WAT_COUNTER).await;
    let agent = &client.agent;

    let hash = agent.read_state_canister_module_hash(canister).await;
    assert_eq!(hash.unwrap(), sha256(&[WAT_COUNTER]));
    let controllers = agent.read_state_canister_controllers(canister).await;
    assert_eq!(controllers.unwrap(), [client.principal()]);
    let interface = agent.read_state_canister_metadata(canister, "candid:service");
    assert_eq!(interface.await.unwrap(), WAT_INTERFACE);

    // The agent accepts only a certificate of the present; reading `time` is enough for that.
    let certificate = agent.read_state_raw(vec![vec!["time".into()]], canister);
    assert!(certificate.await.is_ok());

    let private = agent.read_state_canister_metadata(canister, "no such section");
    let error = private.await.unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
}

#[tokio::test]
async fn what_fails_is_rejected_with_its_code_and_leaves_no_trace() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let motoko = client.install(MOTOKO_COUNTER).await;

    let trap = reject(client.try_update(motoko, "incThenTrap", ()).await);
    assert_eq!(trap.reject_code, RejectCode::CanisterError);
    assert_eq!(trap.error_code.as_deref(), Some("IC0503"));
    assert!(trap.reject_message.contains("deliberate trap"), "{trap:?}");
    assert!(trap.reject_message.contains(&motoko.to_text()), "{trap:?}");
    assert_eq!(client.query::<Nat>(motoko, "get", ()).await, nat(0));

    let refusal = reject(client.try_update(motoko, "refuse", ()).await);
    assert_eq!(refusal.reject_code, RejectCode::CanisterReject);
    assert_eq!(refusal.reject_message, "deliberate reject");

    let unknown = reject(client.try_update(motoko, "no_such_method", ()).await);
    assert_eq!(unknown.error_code.as_deref(), Some("IC0536"));
    assert!(unknown.reject_message.contains("'no_such_method'"));
    let unknown = client.agent.query(&motoko, "no_such_method").call().await;
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("IC0536"), "{unknown}");

    let empty = client.create().await;
    let without_code = client.try_update(empty, "inc", ()).await.unwrap_err();
    assert!(
        without_code.to_string().contains("IC0537"),
        "{without_code}"
    );
    let nobody = Principal::from_text("r7inp-6aaaa-aaaaa-aaabq-cai").unwrap();
    let nobody = client.try_update(nobody, "inc", ()).await.unwrap_err();
    assert!(nobody.to_string().contains("IC0301"), "{nobody}");
}

#[tokio::test]
async fn canisters_call_each_other() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);

    let motoko = client.install(MOTOKO_COUNTER).await;
    let peer = client.install(MOTOKO_COUNTER).await;
    let reply: Nat = client.update(motoko, "callInc", (peer,)).await;
    assert_eq!(reply, nat(1));
    let message: String = client.update(motoko, "callTrap", (peer,)).await;
    assert!(message.contains("IC0503"), "{message}");
    // The caller's own change stays; what the callee did before its trap does not.
    assert_eq!(client.query::<Nat>(motoko, "get", ()).await, nat(1));
    assert_eq!(client.query::<Nat>(peer, "get", ()).await, nat(1));

    let caller = client.install(WAT_CALLER).await;
    let counter = client.install(WAT_COUNTER).await;
    let argument = counter.as_slice().to_vec();
    let reply = client.update_raw(caller, "call_inc", argument.clone());
    let reply: u32 = candid::decode_one(&reply.await.unwrap()).unwrap();
    assert_eq!(reply, 1);
    let reply = client.update_raw(caller, "call_trap", argument.clone());
    assert_eq!(reply.await.unwrap(), 5i32.to_le_bytes());
    let trap = client.update_raw(caller, "call_inc_trap_after", argument);
    assert_eq!(reject(trap.await).error_code.as_deref(), Some("IC0503"));
    // A trap in the callback does not undo what another canister did.
    assert_eq!(client.query::<u32>(counter, "get", ()).await, 2);
    let counts = client.agent.query(&caller, "counts").call().await.unwrap();
    let counts: Vec<u8> = counts.chunks(4).map(|count| count[0]).collect();
    assert_eq!(counts, [3, 1, 1, 1], "calls, replies, rejects, cleanups");
}

#[tokio::test]
async fn certificates_convince_two_independent_verifiers() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    client.agent.fetch_root_key().await.unwrap();
    assert_eq!(client.agent.read_root_key(), node.root_key_der);

    let update = client.sign(canister, "inc", ());
    let answer = client.post("v4", canister, "call", &update.signed_update);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let certificate = answer.bytes("certificate");
    client.verify_independently(&certificate, canister).unwrap();
    let verified = client.verify(&certificate, canister).unwrap();
    let RequestStatus::Replied { reply } = request_status(&verified, &update.request_id).unwrap()
    else {
        panic!("the certificate shows no reply");
    };
    assert_eq!(candid::decode_one::<u64>(&reply).unwrap(), 1);

    // The asynchronous interface leads to a certificate of the same reply.
    let update = client.sign(canister, "inc", ());
    let answer = client.post("v2", canister, "call", &update.signed_update);
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    let (reply, _) = client
        .agent
        .wait(&update.request_id, canister)
        .await
        .unwrap();
    assert_eq!(candid::decode_one::<u64>(&reply).unwrap(), 2);
    let question = client
        .agent
        .sign_request_status(canister, update.request_id)
        .unwrap();
    let envelope = &question.signed_request_status;
    let answer = client.post("v3", canister, "read_state", envelope);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let certificate = answer.bytes("certificate");
    let verified = client.verify(&certificate, canister).unwrap();
    let path: [&[u8]; 3] = [b"request_status", update.request_id.as_slice(), b"reply"];
    assert_eq!(verified.lookup(&path), Lookup::Found(&reply));

    client.verify_independently(&certificate, canister).unwrap();

    // A certificate with a bit changed anywhere convinces this project's verifier of nothing.
    let changed = |at: usize| {
        let mut forged = certificate.clone();
        forged[at] ^= 1;
        forged
    };
    for at in (0..certificate.len()).step_by(certificate.len() / 16) {
        assert!(client.verify(&changed(at), canister).is_err(), "byte {at}");
    }
    // Nor does another reply convince the independent one.
    let mut places = certificate.windows(reply.len());
    let at = places.position(|window| window == reply).unwrap();
    let forged = changed(at + reply.len() - 1);
    assert!(client.verify(&forged, canister).is_err());
    let refusal = client.verify_independently(&forged, canister);
    assert!(refusal.is_err(), "a forged reply was believed");
}

#[tokio::test]
async fn callers_are_known_by_whatever_key_they_have() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let canister = Client::new(&node).install(MOTOKO_COUNTER).await;

    let secp256k1 = k256::SecretKey::from_slice(&[11; 32]).unwrap();
    let p256 = p256::SecretKey::from_slice(&[12; 32]).unwrap();
    let clients = [
        Client::with_identity(&node, BasicIdentity::from_raw_key(&[10; 32])),
        Client::with_identity(&node, Secp256k1Identity::from_private_key(secp256k1)),
        Client::with_identity(&node, Prime256v1Identity::from_private_key(p256)),
        Client::with_identity(&node, delegated(None)),
        Client::with_identity(&node, delegated(Some(vec![canister]))),
        Client::with_identity(&node, AnonymousIdentity),
    ];
    for (index, client) in (1..).zip(&clients) {
        let caller: Principal = client.query(canister, "whoami", ()).await;
        assert_eq!(caller, client.principal(), "client {index}");
        let count: Nat = client.update(canister, "inc", ()).await;
        assert_eq!(count, nat(index), "client {index}");
    }
    assert_eq!(clients[5].principal(), Principal::anonymous());
    // One who is delegated to speaks for the one who delegates.
    assert_eq!(clients[3].principal(), delegator().sender().unwrap());

    let elsewhere = delegated(Some(vec![Principal::management_canister()]));
    let elsewhere = Client::with_identity(&node, elsewhere);
    let refused = elsewhere.try_update(canister, "inc", ()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("403"), "{refused}");
    assert!(refused.contains(&canister.to_text()), "{refused}");
}

fn delegator() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[13; 32])
}

/// A session key that speaks for [`delegator`], to the given canisters or all.
fn delegated(targets: Option<Vec<Principal>>) -> DelegatedIdentity {
    let session = BasicIdentity::from_raw_key(&[14; 32]);
    let hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    let expiration = hour.duration_since(std::time::UNIX_EPOCH).unwrap();
    let delegation = Delegation {
        pubkey: session.public_key().unwrap(),
        expiration: expiration.as_nanos().try_into().unwrap(),
        targets,
        permissions: None,
    };
    let signature = delegator().sign_delegation(&delegation).unwrap();
    let signed = SignedDelegation {
        delegation,
        signature: signature.signature.unwrap(),
    };
    let key = delegator().public_key().unwrap();
    DelegatedIdentity::new(key, Box::new(session), vec![signed]).unwrap()
}

#[tokio::test]
async fn the_same_signed_call_is_applied_once() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    let update = client.sign(canister, "inc", ());
    for _ in 0..3 {
        let reply = client.send(&update).await.unwrap();
        assert_eq!(candid::decode_one::<u64>(&reply).unwrap(), 1);
    }
    let content: EnvelopeContent = client
        .agent
        .update(&canister, "inc")
        .with_arg(candid::encode_args(()).unwrap())
        .into_envelope()
        .unwrap();
    assert_ne!(content.to_request_id(), update.request_id);
    assert_eq!(client.query::<u64>(canister, "get", ()).await, 1);
}
