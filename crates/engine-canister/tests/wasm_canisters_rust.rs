//! Canisters as Rust developers make them: `ic-cdk`, its timers and its management calls, and stable
//! structures.

mod wasm_canisters_support;

use candid::{Nat, Principal};
use serde_bytes::ByteBuf;
use trilith_engine_canister::query::RequestStatus;
use trilith_types::hash::sha256;
use wasm_canisters_support::network::{
    CanisterRecord, InstallArgs, Mode, Network, SECOND, START, User, rejected, replied,
};
use wasm_canisters_support::*;

const COURIER: &[u8] = sample!("rust/courier.wasm");
const NOTES: &[u8] = sample!("rust/notes.wasm");
const NURSERY: &[u8] = sample!("rust/nursery.wasm");
const PULSE: &[u8] = sample!("rust/pulse.wasm");
const CORNERS: &[u8] = sample!("wat/corners.wasm");
const WAT_COUNTER: &[u8] = sample!("wat/counter.wasm");

/// A canister that is not there.
const NOBODY: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn notes() -> (Network, Principal) {
    let mut network = network();
    let id = installed(&mut network, NOTES);
    (network, id)
}

fn events(network: &mut Network, id: Principal) -> Vec<String> {
    ask::<(Vec<String>,)>(network, id, "events", ()).0
}

fn list(network: &mut Network, id: Principal) -> Vec<(u64, String)> {
    ask::<(Vec<(u64, String)>,)>(network, id, "list", (0u64, 100u64)).0
}

#[test]
fn stable_structures_are_kept_over_upgrades_with_all_hooks() {
    let (mut network, id) = notes();
    for (number, text) in [(0u64, "milk"), (1, "bread"), (2, "salt")] {
        assert_eq!(call::<(u64,)>(&mut network, id, "add", (text,)), (number,));
    }
    let removed: (Option<String>,) = call(&mut network, id, "remove", (1u64,));
    assert_eq!(removed, (Some("bread".to_owned()),));
    let kept = vec![(0, "milk".to_owned()), (2, "salt".to_owned())];
    assert_eq!(list(&mut network, id), kept);

    let upgrade = Mode::upgrade(None);
    replied(install(&mut network, id, upgrade, NOTES, (false,)));
    assert_eq!(list(&mut network, id), kept);
    let hooks = texts(&["init", "pre_upgrade", "post_upgrade"]);
    assert_eq!(events(&mut network, id), hooks);
    assert_eq!(call::<(u64,)>(&mut network, id, "add", ("tea",)), (3,));

    // A trap after the upgrade takes everything back, the hook before it included.
    let (_, message, error) = rejected(install(&mut network, id, upgrade, NOTES, (true,)));
    assert_eq!(error, "IC0503");
    assert!(message.contains("told to fail"), "{message}");
    assert_eq!(events(&mut network, id), hooks);
    assert_eq!(list(&mut network, id).len(), 3);
    // Code that knows nothing of the structures, and back: stable memory stays what it is.
    replied(install(&mut network, id, upgrade, WAT_COUNTER, ()));
    replied(install(&mut network, id, upgrade, NOTES, (false,)));
    assert_eq!(list(&mut network, id).len(), 3);

    replied(install(&mut network, id, Mode::reinstall, NOTES, ()));
    assert!(list(&mut network, id).is_empty());
    assert_eq!(events(&mut network, id), texts(&["init"]));
}

#[test]
fn many_notes_fill_pages_of_stable_memory() {
    let (mut network, id) = notes();
    assert_eq!(
        call::<(u64,)>(&mut network, id, "fill", (3_000u64,)),
        (3_000,)
    );
    replied(install(
        &mut network,
        id,
        Mode::upgrade(None),
        NOTES,
        (false,),
    ));
    let (found,): (Option<String>,) = ask(&mut network, id, "get", (2_999u64,));
    assert_eq!(found.as_deref(), Some("note 2999 of 3000"));
    let (found,): (Vec<(u64, String)>,) = ask(&mut network, id, "list", (1_500u64, 2u64));
    assert_eq!(found[1], (1_501, "note 1501 of 3000".to_owned()));
}

#[test]
fn timers_fire_once_in_intervals_and_not_after_an_upgrade() {
    let (mut network, id) = notes();
    let () = call(&mut network, id, "later", (10u64, "later"));
    let () = call(&mut network, id, "start", (2u64,));
    let ticks = |network: &mut Network| ask::<(u64,)>(network, id, "ticks", ()).0;
    (0..3).for_each(|_| wait(&mut network, 2));
    let counted = ticks(&mut network);
    assert!((2..=4).contains(&counted), "{counted}");
    assert!(list(&mut network, id).is_empty());
    wait(&mut network, 10);
    assert_eq!(list(&mut network, id).len(), 1);
    let () = call(&mut network, id, "stop", ());
    let counted = ticks(&mut network);
    wait(&mut network, 10);
    assert_eq!(ticks(&mut network), counted);

    let () = call(&mut network, id, "later", (5u64, "lost"));
    replied(install(
        &mut network,
        id,
        Mode::upgrade(None),
        NOTES,
        (false,),
    ));
    wait(&mut network, 10);
    assert_eq!(list(&mut network, id).len(), 1, "timers end with the code");
    assert_eq!(ticks(&mut network), counted, "what the hook saved is back");
}

#[test]
fn inspection_decides_on_sender_argument_and_method() {
    let (mut network, id) = notes();
    assert_eq!(inspected(&mut network, id, "add", ("x",)), Ok(()));
    let reject = inspected(&mut network, id, "add", ("x".repeat(2_000),)).unwrap_err();
    assert_eq!(reject.code, 406, "{reject:?}");
    assert!(inspected(&mut network, id, "closed", ()).is_err());
    network.user = User::new(2);
    assert_eq!(inspected(&mut network, id, "add", ("x",)), Ok(()));
    // Canisters are not inspected.
    let corners = installed(&mut network, CORNERS);
    let notes = id.as_slice();
    let to_closed = [&[notes.len() as u8], notes, b"closed"].concat();
    let reply = replied(network.update(corners, "ask", to_closed));
    // The library replies with one null for nothing.
    assert_eq!(reply, b"\x0b\0\0\0DIDL\0\x01\x7f");
}

#[test]
fn certified_data_has_a_certificate() {
    let (mut network, id) = notes();
    let () = call(
        &mut network,
        id,
        "certify",
        (ByteBuf::from(b"proof".to_vec()),),
    );
    let (found,): (Option<ByteBuf>,) = ask(&mut network, id, "certificate", ());
    let proof = format!("{:?}", b"proof".as_slice());
    let tree = network.verify(&found.expect("a query has a certificate"));
    assert!(format!("{tree:?}").contains(&proof), "{tree:?}");
    replied(install(
        &mut network,
        id,
        Mode::upgrade(None),
        NOTES,
        (false,),
    ));
    let (kept,): (Option<ByteBuf>,) = ask(&mut network, id, "certificate", ());
    let tree = network.verify(&kept.expect("a query has a certificate"));
    assert!(format!("{tree:?}").contains(&proof), "upgrades keep it");
}

/// Two couriers.
fn couriers() -> (Network, Principal, Principal) {
    let mut network = network();
    let (one, two) = (
        installed(&mut network, COURIER),
        installed(&mut network, COURIER),
    );
    (network, one, two)
}

/// Messages delivered, cleanups after traps.
fn courier_state(network: &mut Network, id: Principal) -> (u64, u64) {
    ask(network, id, "state", ())
}

#[test]
fn calls_go_out_in_turn_and_at_once() {
    let (mut network, one, two) = couriers();
    let sum: (u64,) = call(&mut network, one, "in_turn", (two, 5u64));
    assert_eq!(sum, (20,));
    let sum: (u64,) = call(&mut network, one, "at_once", (two, 40u64));
    assert_eq!(sum, (1_560,));
    assert_eq!(courier_state(&mut network, two), (45, 0));
    let sum: (u64,) = call(&mut network, one, "at_once", (one, 3u64));
    assert_eq!(sum, (6,));
    assert_eq!(courier_state(&mut network, one), (3, 0));
}

#[test]
fn failures_are_told_with_their_codes() {
    let (mut network, one, two) = couriers();
    let (told,): (Vec<(u32, bool, String)>,) = call(&mut network, one, "failures", (two, NOBODY));
    assert_eq!(told[0], (4, false, "not today".to_owned()));
    assert_eq!((told[1].0, told[1].1), (5, false));
    assert!(told[1].2.starts_with("IC0503: "), "{told:?}");
    assert!(told[1].2.contains("dropped it"), "{told:?}");
    assert!(told[2].2.starts_with("IC0536: "), "{told:?}");
    assert_eq!((told[3].0, told[3].1), (3, true));
    assert_eq!(told[3].2, format!("IC0301: Canister {NOBODY} not found"));
    assert!(told[4].2.contains("candid decode failed"), "{told:?}");
    // An explicit reject keeps changes, a trap does not.
    assert_eq!(courier_state(&mut network, two), (100, 0));
}

#[test]
fn bounded_calls_have_deadlines_and_unbounded_ones_none() {
    let (mut network, one, two) = couriers();
    let within: (Result<u64, (u32, String)>,) = call(&mut network, one, "within", (two, 10u32));
    assert_eq!(within, (Ok(42),));
    let (bounded, unbounded): (Option<u64>, Option<u64>) =
        call(&mut network, one, "deadlines", (two,));
    assert_eq!(unbounded, None);
    let bounded = bounded.expect("a bounded call has a deadline");
    let (least, most) = (START, network.time + 300 * SECOND);
    assert!((least..=most).contains(&bounded), "{bounded}");
    // Calls of users wait without end.
    let none: (Option<u64>,) = call(&mut network, one, "deadline", ());
    assert_eq!(none, (None,));
}

#[test]
fn a_trap_after_an_await_keeps_what_came_before_and_drops_what_lives() {
    let (mut network, one, two) = couriers();
    let (error, message) = refused(&mut network, one, "commit_then_trap", (two,));
    assert_eq!(error, "IC0503");
    assert!(message.contains("too late"), "{message}");
    assert_eq!(courier_state(&mut network, one), (10, 1));
    assert_eq!(courier_state(&mut network, two), (1, 0));
    let sum: (u64,) = call(&mut network, one, "in_turn", (two, 2u64));
    assert_eq!(sum, (2,), "the canister goes on");
}

#[test]
fn cycles_are_accepted_refunded_and_burnt() {
    let (mut network, one, two) = couriers();
    let paid: (Nat, Nat) = call(&mut network, one, "pay", (two, 3_000_000_001u64));
    assert_eq!(
        paid,
        (Nat::from(1_500_000_000u64), Nat::from(1_500_000_001u64))
    );
    let (burnt,): (Nat,) = call(&mut network, one, "burn", (5_000u64,));
    assert_eq!(burnt, Nat::from(5_000u64));
    let (refusal,): (String,) = call(&mut network, one, "overpay", (two,));
    assert!(refusal.contains("insufficient liquid cycles"), "{refusal}");
}

#[test]
fn one_way_calls_and_tasks_outlive_their_method() {
    let (mut network, one, two) = couriers();
    let () = call(&mut network, one, "send", (two, "hello"));
    assert_eq!(
        ask::<(Vec<String>,)>(&mut network, two, "notes", ()).0,
        ["hello"]
    );
    let () = call(&mut network, one, "afterwards", (two,));
    assert_eq!(
        ask::<(Vec<String>,)>(&mut network, one, "notes", ()).0,
        ["afterwards 16"]
    );
}

#[test]
fn composite_queries_ask_queries_of_others() {
    let (mut network, one, two) = couriers();
    let sum: (u64,) = call(&mut network, one, "in_turn", (two, 5u64));
    assert_eq!(sum, (20,));
    let total: (u64,) = ask(&mut network, one, "total", (two, 0u32));
    assert_eq!(total, (5,));
    let (told,): (String,) = ask(&mut network, one, "ask_update", (two,));
    assert!(told.contains("IC0536"), "{told}");
    // The peer asks back while this one waits.
    let back: (u64,) = ask(&mut network, one, "total", (two, 1u32));
    assert_eq!(back, (5,));
    assert_eq!(courier_state(&mut network, two), (5, 0));
}

#[test]
fn queries_know_controllers_version_and_replication() {
    let (mut network, one, _) = couriers();
    let user = network.user.principal();
    let asked: (bool, u64, bool) = ask(&mut network, one, "circumstances", (user,));
    assert_eq!((asked.0, asked.2), (true, false));
    let called: (bool, u64, bool) = call(&mut network, one, "circumstances", (NOBODY,));
    assert_eq!((called.0, called.2), (false, true));
    assert_eq!(called.1, asked.1, "reading changes no version");
    replied(install(&mut network, one, Mode::upgrade(None), COURIER, ()));
    let later: (bool, u64, bool) = ask(&mut network, one, "circumstances", (user,));
    assert!(later.1 > asked.1);
}

#[test]
fn heartbeats_may_call() {
    let mut network = network();
    let id = network.create();
    let install = InstallArgs {
        mode: Mode::install,
        canister_id: id,
        wasm_module: PULSE.to_vec(),
        arg: candid::encode_args(()).unwrap(),
    };
    // A heartbeat never lets the network rest, so nothing here waits for that.
    let management = Principal::management_canister();
    let argument = candid::encode_one(install).unwrap();
    let call = network.submit(management, "install_code", argument);
    replied(network.status(call));
    (0..12).for_each(|_| drop(network.run(Vec::new())));
    assert_eq!(ask::<(u64, u64)>(&mut network, id, "beats", ()), (5, 1));
}

/// A nursery with plenty of cycles, and a child of it.
fn nursery() -> (Network, Principal, Principal) {
    let mut network = network();
    let id = installed(&mut network, NURSERY);
    let (child,): (Principal,) = call(&mut network, id, "create", (2_000_000_000_000u64,));
    (network, id, child)
}

type ChildStatus = (Vec<Principal>, Nat, Nat, Option<ByteBuf>);

#[test]
fn canisters_care_for_canisters() {
    let (mut network, id, child) = nursery();
    let (controllers, cycles, threshold, hash): ChildStatus =
        call(&mut network, id, "status", (child,));
    assert_eq!((controllers, hash), (vec![id], None));
    assert!(cycles > 1_900_000_000_000u64, "{cycles}");
    assert_eq!(threshold, Nat::from(2_592_000u64));

    let module = ByteBuf::from(WAT_COUNTER.to_vec());
    let installed: (Result<(), String>,) =
        call(&mut network, id, "install", (child, module.clone(), false));
    assert_eq!(installed, (Ok(()),));
    assert_eq!(call::<(u32,)>(&mut network, child, "inc", ()), (1,));
    let again: (Result<(), String>,) =
        call(&mut network, id, "install", (child, module.clone(), false));
    assert!(again.0.unwrap_err().contains("IC0514"));
    let anew: (Result<(), String>,) = call(&mut network, id, "install", (child, module, true));
    assert_eq!(anew, (Ok(()),));
    assert_eq!(ask::<(u32,)>(&mut network, child, "get", ()), (0,));
    let broken = ByteBuf::from(b"no module".to_vec());
    let broken: (Result<(), String>,) = call(&mut network, id, "install", (child, broken, true));
    assert!(broken.0.unwrap_err().contains("IC0505"));

    let () = call(&mut network, id, "feed", (child, 500_000_000_000u64));
    let (_, fed, _, hash): ChildStatus = call(&mut network, id, "status", (child,));
    assert!(fed > cycles + 450_000_000_000u64, "{fed}");
    assert_eq!(hash.map(|hash| hash.len()), Some(32));
}

#[test]
fn control_is_shared_and_children_are_removed() {
    let (mut network, id, child) = nursery();
    let user = network.user.principal();
    let (_, _, error) = rejected(install(&mut network, child, Mode::install, PULSE, ()));
    assert_eq!(error, "IC0512");
    let () = call(&mut network, id, "share", (child, user));
    let (mut controllers, _, threshold, _): ChildStatus =
        call(&mut network, id, "status", (child,));
    controllers.sort();
    let mut expected = vec![id, user];
    expected.sort();
    assert_eq!(controllers, expected);
    assert_eq!(threshold, Nat::from(1_000u32));
    replied(install(&mut network, child, Mode::install, WAT_COUNTER, ()));

    let (changes, controllers): (u64, Vec<Principal>) = call(&mut network, id, "history", (child,));
    assert!(
        changes >= 3,
        "creation, controllers, installation: {changes}"
    );
    assert_eq!(controllers.len(), 2);
    let () = call(&mut network, id, "remove", (child,));
    let record = CanisterRecord { canister_id: child };
    let (_, _, error) = rejected(network.manage("canister_status", record));
    assert_eq!(error, "IC0301");
}

#[test]
fn entropy_is_asked_of_the_management_canister() {
    let (mut network, id, _) = nursery();
    network.randomness = Some([1; 32]);
    let call = network.submit(id, "entropy", candid::encode_args(()).unwrap());
    for randomness in [2, 3] {
        assert_eq!(network.status(call), RequestStatus::Processing);
        network.randomness = Some([randomness; 32]);
        network.run(Vec::new());
    }
    let (entropy,): (ByteBuf,) = decoded(&replied(network.status(call)));
    assert_eq!(entropy.len(), 32);
}

#[derive(candid::CandidType)]
struct Upload {
    canister_id: Principal,
    chunk: ByteBuf,
}

#[derive(candid::CandidType, serde::Deserialize)]
struct ChunkHash {
    hash: ByteBuf,
}

#[derive(candid::CandidType)]
struct InstallChunked {
    mode: Mode,
    target_canister: Principal,
    chunk_hashes_list: Vec<ChunkHash>,
    wasm_module_hash: ByteBuf,
    arg: ByteBuf,
}

#[test]
fn compressed_code_is_installed_from_chunks() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(NOTES).unwrap();
    let sent = encoder.finish().unwrap();
    let mut network = network();
    let id = network.create();
    let mut chunk_hashes_list = Vec::new();
    for chunk in sent.chunks(1 << 16) {
        let upload = Upload {
            canister_id: id,
            chunk: ByteBuf::from(chunk),
        };
        let reply = replied(network.manage("upload_chunk", upload));
        chunk_hashes_list.push(decoded::<(ChunkHash,)>(&reply).0);
    }
    assert!(chunk_hashes_list.len() > 1);
    let chunked = InstallChunked {
        mode: Mode::install,
        target_canister: id,
        chunk_hashes_list,
        wasm_module_hash: ByteBuf::from(sha256(&[&sent])),
        arg: ByteBuf::from(candid::encode_args(()).unwrap()),
    };
    replied(network.manage("install_chunked_code", chunked));
    assert_eq!(call::<(u64,)>(&mut network, id, "add", ("milk",)), (0,));
    // The same code as it is carries on where the compressed code was.
    replied(install(
        &mut network,
        id,
        Mode::upgrade(None),
        NOTES,
        (false,),
    ));
    assert_eq!(list(&mut network, id), [(0, "milk".to_owned())]);
}

#[derive(candid::CandidType)]
struct Variable {
    name: String,
    value: String,
}

#[derive(candid::CandidType)]
struct Settings {
    environment_variables: Option<Vec<Variable>>,
}

#[derive(candid::CandidType)]
struct UpdateSettings {
    canister_id: Principal,
    settings: Settings,
}

#[test]
fn environment_variables_reach_the_canister() {
    let (mut network, one, _) = couriers();
    type Environment = (Vec<(String, String)>,);
    assert_eq!(
        ask::<Environment>(&mut network, one, "environment", ()).0,
        []
    );
    let variable = |name: &str, value: &str| Variable {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let variables = vec![variable("PEER", "two"), variable("LEVEL", "")];
    let settings = Settings {
        environment_variables: Some(variables),
    };
    let update = UpdateSettings {
        canister_id: one,
        settings,
    };
    replied(network.manage("update_settings", update));
    let (mut found,): Environment = ask(&mut network, one, "environment", ());
    found.sort();
    let expected = [("LEVEL", ""), ("PEER", "two")];
    assert_eq!(
        found,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}
