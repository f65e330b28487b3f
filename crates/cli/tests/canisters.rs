//! Committed canisters on a started node, by an unmodified agent: what the engine's own tests show
//! in detail holds over HTTP, with real time and real blocks.

mod support;

use std::time::Duration;

use candid::utils::{ArgumentDecoder, ArgumentEncoder};
use candid::{CandidType, Encode, Int, Nat, Principal};
use ic_agent::AgentError;
use ic_agent::identity::AnonymousIdentity;
use serde::Serialize;
use serde_bytes::ByteBuf;
use support::client::reject;
use support::{Client, Node};
use tempfile::tempdir;

macro_rules! sample {
    ($path:literal) => {
        include_bytes!(concat!("../../../canisters/", $path))
    };
}

/// Most polls of something that real time brings, 50 ms apart.
const POLLS_MAX: u32 = 600;

#[derive(CandidType, Serialize, Clone, Copy)]
enum Persistence {
    #[serde(rename = "keep")]
    Keep,
}

#[derive(CandidType, Serialize, Clone, Copy)]
struct UpgradeOptions {
    skip_pre_upgrade: Option<bool>,
    wasm_memory_persistence: Option<Persistence>,
}

#[derive(CandidType, Serialize, Clone, Copy)]
enum Mode {
    #[serde(rename = "reinstall")]
    Reinstall,
    #[serde(rename = "upgrade")]
    Upgrade(Option<UpgradeOptions>),
}

const KEEP: Mode = Mode::Upgrade(Some(UpgradeOptions {
    skip_pre_upgrade: None,
    wasm_memory_persistence: Some(Persistence::Keep),
}));

#[derive(CandidType, Serialize)]
struct InstallCode {
    mode: Mode,
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

/// Replaces the code of a canister.
async fn replace(
    client: &Client,
    canister_id: Principal,
    mode: Mode,
    module: &[u8],
    arguments: impl ArgumentEncoder,
) -> Result<Vec<u8>, AgentError> {
    let install = InstallCode {
        mode,
        canister_id,
        wasm_module: module.to_vec(),
        arg: candid::encode_args(arguments).unwrap(),
    };
    let management = Principal::management_canister();
    let call = client.agent.update(&management, "install_code");
    let call = call.with_effective_canister_id(canister_id);
    call.with_arg(Encode!(&install).unwrap())
        .call_and_wait()
        .await
}

/// A query with a reply of any shape.
async fn ask<T: for<'a> ArgumentDecoder<'a>>(
    client: &Client,
    canister: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) -> T {
    let argument = candid::encode_args(arguments).unwrap();
    let query = client.agent.query(&canister, method).with_arg(argument);
    let reply = query.call_with_verification().await;
    let reply = reply.unwrap_or_else(|error| panic!("{method}: {error}"));
    candid::decode_args(&reply).expect("the reply is as the interface says")
}

/// Asks until the reply is as expected.
async fn ask_until<T>(client: &Client, canister: Principal, method: &str, expected: T)
where
    T: for<'a> ArgumentDecoder<'a> + PartialEq + std::fmt::Debug,
{
    let mut found: Option<T> = None;
    for _ in 0..POLLS_MAX {
        let reply: T = ask(client, canister, method, ()).await;
        if reply == expected {
            return;
        }
        found = Some(reply);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{method}: {found:?} is not {expected:?}");
}

fn nat(value: u64) -> Nat {
    Nat::from(value)
}

/// Views, visits, upgrades, mood, version of the code.
type AlbumState = (Int, Nat, Nat, String, Nat);

fn album(views: i64, upgrades: u64, mood: &str, version: u64) -> AlbumState {
    let mood = mood.to_owned();
    (Int::from(views), nat(0), nat(upgrades), mood, nat(version))
}

#[tokio::test]
async fn motoko_keeps_its_memory_over_upgrades_and_restarts() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let id = client.install(sample!("motoko/album.wasm")).await;
    ask_nothing(&client, id, "add", (nat(7), "the sea")).await;
    assert_eq!(client.update::<Nat>(id, "view", ()).await, nat(1));

    let plain = Mode::Upgrade(None);
    let refused = replace(&client, id, plain, sample!("motoko/album.wasm"), ()).await;
    let refused = reject(refused).reject_message;
    assert!(refused.contains("wasm_memory_persistence"), "{refused}");
    let refused = replace(&client, id, KEEP, sample!("motoko/album_bad.wasm"), ()).await;
    let refused = reject(refused);
    assert_eq!(refused.error_code.as_deref(), Some("IC0503"));
    let words = "Memory-incompatible program upgrade";
    assert!(refused.reject_message.contains(words), "{refused:?}");
    let v2 = sample!("motoko/album_v2.wasm");
    let failed = replace(&client, id, KEEP, v2, (true,)).await;
    assert!(reject(failed).reject_message.contains("stuck after"));

    replace(&client, id, KEEP, v2, (false,)).await.unwrap();
    let expected = album(1_001, 1, "#calmnew", 2);
    assert_eq!(ask::<AlbumState>(&client, id, "state", ()).await, expected);

    // All of that is on disk.
    node.kill();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    assert_eq!(ask::<AlbumState>(&client, id, "state", ()).await, expected);
    let photo: Option<String> = client.query(id, "find", (nat(7),)).await;
    assert_eq!(photo.as_deref(), Some("the sea"));
    replace(&client, id, KEEP, sample!("motoko/album_v3.wasm"), ())
        .await
        .unwrap();
    let migrated: (String, Vec<String>, Nat, bool, String) = ask(&client, id, "state", ()).await;
    assert_eq!((migrated.0.as_str(), migrated.2), ("+1_001", nat(1)));
}

/// An update without a reply.
async fn ask_nothing(
    client: &Client,
    canister: Principal,
    method: &str,
    arguments: impl ArgumentEncoder,
) {
    let reply = client.try_update(canister, method, arguments).await;
    let reply = reply.unwrap_or_else(|error| panic!("{method}: {error}"));
    let () = candid::decode_args(&reply).expect("the reply is empty");
}

#[tokio::test]
async fn motoko_calls_pays_waits_and_draws_lots() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let wasm = sample!("motoko/courier.wasm");
    let (one, two) = (client.install(wasm).await, client.install(wasm).await);
    let sum: Nat = client.update(one, "inTurn", (two, nat(3))).await;
    assert_eq!(sum, nat(6));
    let sum: Nat = client.update(one, "atOnce", (two, nat(10))).await;
    assert_eq!(sum, nat(90));
    let told: Vec<String> = client.update(one, "failures", (two, nobody())).await;
    assert_eq!(told[0], "#canister_reject not today");
    assert!(told[3].starts_with("#destination_invalid"), "{told:?}");
    let trap = reject(client.try_update(one, "trapWithFinally", (two,)).await);
    assert!(trap.reject_message.contains("cleaned up"), "{trap:?}");

    let total: Nat = client.query(one, "total", (two,)).await;
    assert_eq!(total, nat(114), "a composite query, verified by the agent");
    let reply = client.try_update(one, "pay", (two, nat(1_000_000))).await;
    let paid: (Nat, Nat) = candid::decode_args(&reply.unwrap()).unwrap();
    assert_eq!(paid, (nat(500_000), nat(500_000)));
    let within: Nat = client.update(one, "within", (two, 10u32)).await;
    assert_eq!(within, nat(42));

    let first: ByteBuf = client.update(one, "entropy", ()).await;
    let second: ByteBuf = client.update(one, "entropy", ()).await;
    assert_ne!(first, second);
    let dice: Nat = client.update(one, "roll", ()).await;
    assert!(dice >= nat(2) && dice <= nat(12), "{dice}");
    ask_nothing(&client, one, "later", (nat(1), "ring")).await;
    let rung = (nat(0), nat(1), vec!["ring".to_owned()]);
    ask_until(&client, one, "state", rung).await;
}

/// A canister id that no canister has.
fn nobody() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1])
}

#[tokio::test]
async fn motoko_makes_actors_beats_and_inspects() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let school = client.install(sample!("motoko/school.wasm")).await;
    let ada: Principal = client.update(school, "enrol", ("Ada",)).await;
    let learnt: Nat = client.update(school, "lesson", ()).await;
    assert_eq!(learnt, nat(1));
    let card: (String, String, Nat) = ask(&client, ada, "card", ()).await;
    assert_eq!(card, ("Ada".to_owned(), "Ada".to_owned(), nat(1)));
    let controllers = client.agent.read_state_canister_controllers(ada).await;
    assert_eq!(controllers.unwrap(), [school]);

    let pulse = client.install(sample!("motoko/pulse.wasm")).await;
    ask_until(&client, pulse, "get", (nat(5),)).await;

    let vault = client.install(sample!("motoko/vault.wasm")).await;
    assert_eq!(client.update::<u64>(vault, "grow", (1u64,)).await, 0);
    let anonymous = Client::with_identity(&node, AnonymousIdentity);
    let refused = anonymous.try_update(vault, "grow", (1u64,)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("explicitly refused"), "{refused}");
    let open: bool = anonymous.query(vault, "isOpen", ()).await;
    assert!(open, "queries are not inspected");
}

#[tokio::test]
async fn rust_keeps_its_structures_and_its_timers_run() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let wasm = sample!("rust/notes.wasm");
    let id = client.install(wasm).await;
    let count: u64 = client.update(id, "fill", (500u64,)).await;
    assert_eq!(count, 500);
    let upgrade = Mode::Upgrade(None);
    replace(&client, id, upgrade, wasm, (false,)).await.unwrap();
    let failed = reject(replace(&client, id, upgrade, wasm, (true,)).await);
    assert!(failed.reject_message.contains("told to fail"), "{failed:?}");
    let events: Vec<String> = client.query(id, "events", ()).await;
    assert_eq!(events, ["init", "pre_upgrade", "post_upgrade"]);
    let note: Option<String> = client.query(id, "get", (499u64,)).await;
    assert_eq!(note.as_deref(), Some("note 499 of 500"));

    ask_nothing(&client, id, "start", (1u64,)).await;
    ask_until(&client, id, "ticks", (2u64,)).await;
    ask_nothing(&client, id, "stop", ()).await;
    ask_nothing(&client, id, "certify", (ByteBuf::from(b"proof".to_vec()),)).await;
    let certificate: Option<ByteBuf> = client.query(id, "certificate", ()).await;
    let certificate = certificate.expect("a query has a certificate");
    client.verify_independently(&certificate, id).unwrap();
    let refused = client.try_update(id, "closed", ()).await.unwrap_err();
    assert!(refused.to_string().contains("IC0406"), "{refused}");

    replace(&client, id, Mode::Reinstall, wasm, ())
        .await
        .unwrap();
    let events: Vec<String> = client.query(id, "events", ()).await;
    assert_eq!(events, ["init"]);
}

#[tokio::test]
async fn rust_calls_and_cares_for_canisters() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let wasm = sample!("rust/courier.wasm");
    let (one, two) = (client.install(wasm).await, client.install(wasm).await);
    let sum: u64 = client.update(one, "at_once", (two, 20u64)).await;
    assert_eq!(sum, 380);
    let within: Result<u64, (u32, String)> = client.update(one, "within", (two, 10u32)).await;
    assert_eq!(within, Ok(42));
    let trap = reject(client.try_update(one, "commit_then_trap", (two,)).await);
    assert!(trap.reject_message.contains("too late"), "{trap:?}");
    let state: (u64, u64) = ask(&client, one, "state", ()).await;
    assert_eq!(state, (10, 1), "the destructor ran in the cleanup");
    let total: u64 = client.query(one, "total", (two, 0u32)).await;
    assert_eq!(total, 32);

    let nursery = client.install(sample!("rust/nursery.wasm")).await;
    let child: Principal = client
        .update(nursery, "create", (2_000_000_000_000u64,))
        .await;
    let module = ByteBuf::from(sample!("wat/counter.wasm").to_vec());
    let installed: Result<(), String> = client
        .update(nursery, "install", (child, module, false))
        .await;
    assert_eq!(installed, Ok(()));
    assert_eq!(client.update::<u32>(child, "inc", ()).await, 1);
    ask_nothing(&client, nursery, "feed", (child, 1_000_000u64)).await;
    ask_nothing(&client, nursery, "share", (child, client.principal())).await;
    let controllers = client.agent.read_state_canister_controllers(child).await;
    let controllers = controllers.unwrap();
    assert!(controllers.contains(&client.principal()) && controllers.contains(&nursery));
    let entropy: ByteBuf = client.update(nursery, "entropy", ()).await;
    assert_eq!(entropy.len(), 32);
    ask_nothing(&client, nursery, "remove", (child,)).await;
    let gone = client.try_update(child, "inc", ()).await.unwrap_err();
    assert!(gone.to_string().contains("IC0301"), "{gone}");
}

#[tokio::test]
async fn old_canisters_and_odd_calls_work_as_ever() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let elder = client.install(sample!("c/elder.wasm")).await;
    let text = b"old times".to_vec();
    let reply = client.update_raw(elder, "remember", text.clone()).await;
    assert_eq!(reply.unwrap(), text);
    // This canister takes any argument after an upgrade for a wish to fail.
    let upgrade = Mode::Upgrade(None);
    let failed = replace(&client, elder, upgrade, sample!("c/elder.wasm"), ()).await;
    assert!(reject(failed).reject_message.contains("told to fail"));
    let recalled = client.agent.query(&elder, "recall").call().await;
    assert_eq!(recalled.unwrap(), text);

    let corners = client.install(sample!("wat/corners.wasm")).await;
    let to = |method: &str| {
        let id = elder.as_slice();
        [&[id.len() as u8], id, method.as_bytes()].concat()
    };
    let reply = client.update_raw(corners, "ask", to("recall")).await;
    assert_eq!(&reply.unwrap()[4..], text);
    let trap = client.update_raw(corners, "ask_trap", to("recall")).await;
    assert_eq!(reject(trap).error_code.as_deref(), Some("IC0503"));
    let marks = client.agent.query(&corners, "marks").call().await.unwrap();
    let marks: Vec<u8> = marks.chunks(4).map(|mark| mark[0]).collect();
    assert_eq!(marks, [11, 0, 33, 7]);
}
