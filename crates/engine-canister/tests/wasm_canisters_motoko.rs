//! Canisters as the Motoko compiler makes them: 64-bit memory and table, kept heaps, and its
//! libraries for timers, randomness, cycles, certified data and stable memory.

mod wasm_canisters_support;

use candid::{Int, Nat, Principal};
use trilith_engine_canister::query::RequestStatus;
use wasm_canisters_support::network::{CanisterRecord, Mode, Network, User, rejected, replied};
use wasm_canisters_support::*;

const ALBUM: &[u8] = sample!("motoko/album.wasm");
const ALBUM_V2: &[u8] = sample!("motoko/album_v2.wasm");
const ALBUM_V3: &[u8] = sample!("motoko/album_v3.wasm");
const ALBUM_BAD: &[u8] = sample!("motoko/album_bad.wasm");
const COUNTER: &[u8] = sample!("motoko/counter.wasm");
const COURIER: &[u8] = sample!("motoko/courier.wasm");
const PULSE: &[u8] = sample!("motoko/pulse.wasm");
const SCHOOL: &[u8] = sample!("motoko/school.wasm");
const VAULT: &[u8] = sample!("motoko/vault.wasm");

fn nat(value: u64) -> Nat {
    Nat::from(value)
}

/// Views, visits, upgrades, mood, version of the code.
type AlbumState = (Int, Nat, Nat, String, Nat);

fn album_state(views: i64, visits: u64, upgrades: u64, mood: &str, version: u64) -> AlbumState {
    (
        Int::from(views),
        nat(visits),
        nat(upgrades),
        mood.to_owned(),
        nat(version),
    )
}

/// An album with two views, a photo and a mood.
fn album() -> (Network, Principal) {
    let mut network = network();
    let id = installed(&mut network, ALBUM);
    let () = call(&mut network, id, "add", (nat(7), "the sea"));
    for views in 1..=2 {
        assert_eq!(call::<(Nat,)>(&mut network, id, "view", ()), (nat(views),));
    }
    let () = call(&mut network, id, "work", ());
    (network, id)
}

fn state(network: &mut Network, id: Principal) -> AlbumState {
    ask(network, id, "state", ())
}

#[test]
fn upgrades_keep_memory_extend_types_and_migrate() {
    let (mut network, id) = album();
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    // The same code again: all but what is transient stays.
    replied(install(&mut network, id, KEEP, ALBUM, ()));
    assert_eq!(state(&mut network, id), album_state(2, 0, 1, "#busy", 1));

    replied(install(&mut network, id, KEEP, ALBUM_V2, (false,)));
    let extended = album_state(1_002, 0, 2, "#busynew", 2);
    assert_eq!(state(&mut network, id), extended);
    let photo: (Option<String>,) = ask(&mut network, id, "find", (nat(7),));
    assert_eq!(photo, (Some("the sea".to_owned()),));
    let () = call(&mut network, id, "sleep", ());
    let views: (Int,) = call(&mut network, id, "view", ());
    assert_eq!(views, (Int::from(992),));

    replied(install(&mut network, id, KEEP, ALBUM_V3, ()));
    let migrated: (String, Vec<String>, Nat, bool, String) = ask(&mut network, id, "state", ());
    let moods = vec!["#asleep".to_owned()];
    let expected = ("+992".to_owned(), moods, nat(2), false, "used".to_owned());
    assert_eq!(migrated, expected);
}

#[test]
fn incompatible_upgrades_are_refused_and_change_nothing() {
    let (mut network, id) = album();
    let images = network.state.images.clone();
    let (code, message, error) = rejected(install(&mut network, id, KEEP, ALBUM_BAD, ()));
    assert_eq!((code, error.as_str()), (5, "IC0503"), "{message}");
    assert!(
        message.contains("Memory-incompatible program upgrade"),
        "{message}"
    );
    assert!(network.state.images.keys().eq(images.keys()));
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    assert_eq!(call::<(Nat,)>(&mut network, id, "view", ()), (nat(3),));

    // Back to types that the kept values no longer fit.
    replied(install(&mut network, id, KEEP, ALBUM_V2, (false,)));
    let (_, message, _) = rejected(install(&mut network, id, KEEP, ALBUM, ()));
    assert!(
        message.contains("Memory-incompatible program upgrade"),
        "{message}"
    );
    assert_eq!(
        state(&mut network, id),
        album_state(1_003, 0, 1, "#busynew", 2)
    );
}

#[test]
fn kept_heaps_are_lost_only_on_purpose() {
    let (mut network, id) = album();
    let (_, message, _) = rejected(install(&mut network, id, Mode::upgrade(None), ALBUM, ()));
    assert!(message.contains("wasm_memory_persistence"), "{message}");
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    let c_counter = sample!("c/counter.wasm");
    rejected(install(&mut network, id, KEEP, c_counter, ()));
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));

    replied(install(&mut network, id, REPLACE, ALBUM, ()));
    assert_eq!(state(&mut network, id), album_state(0, 0, 0, "#calm", 1));
    assert_eq!(call::<(Nat,)>(&mut network, id, "view", ()), (nat(1),));
    let reinstalled = install(&mut network, id, Mode::reinstall, ALBUM, ());
    replied(reinstalled);
    assert_eq!(state(&mut network, id), album_state(0, 0, 0, "#calm", 1));
}

#[test]
fn every_stage_of_an_upgrade_rolls_back() {
    let (mut network, id) = album();
    // After the upgrade, when the old hook has run and the heap was adopted.
    let (_, message, error) = rejected(install(&mut network, id, KEEP, ALBUM_V2, (true,)));
    assert_eq!(error, "IC0503");
    assert!(message.contains("stuck after the upgrade"), "{message}");
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    // Before it.
    let () = call(&mut network, id, "stick", (true,));
    let (_, message, _) = rejected(install(&mut network, id, KEEP, ALBUM_V2, (false,)));
    assert!(message.contains("stuck before the upgrade"), "{message}");
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    // An argument that the actor class cannot read.
    rejected(install(
        &mut network,
        id,
        KEEP_AND_SKIP,
        ALBUM_V2,
        ("text",),
    ));
    assert_eq!(state(&mut network, id), album_state(2, 2, 0, "#busy", 1));
    // The hook can be left out. This runtime hands its variables over in that hook, so that the new
    // code finds a heap without them and begins anew.
    replied(install(&mut network, id, KEEP_AND_SKIP, ALBUM_V2, (false,)));
    let skipped = album_state(1_000, 0, 0, "#calmnew", 2);
    assert_eq!(state(&mut network, id), skipped);
}

#[test]
fn uninstalled_code_is_gone_with_its_memory() {
    let (mut network, id) = album();
    replied(network.manage("uninstall_code", CanisterRecord { canister_id: id }));
    let (error, _) = refused(&mut network, id, "view", ());
    assert_eq!(error, "IC0537");
    replied(install(&mut network, id, Mode::install, ALBUM, ()));
    assert_eq!(state(&mut network, id), album_state(0, 0, 0, "#calm", 1));
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

/// Messages delivered, `finally` blocks after traps, notes.
type CourierState = (Nat, Nat, Vec<String>);

fn courier_state(network: &mut Network, id: Principal) -> CourierState {
    ask(network, id, "state", ())
}

#[test]
fn calls_go_out_in_turn_and_at_once() {
    let (mut network, one, two) = couriers();
    let before = network.round;
    let sum: (Nat,) = call(&mut network, one, "inTurn", (two, nat(5)));
    assert_eq!(sum, (nat(20),));
    let in_turn = network.round - before;
    let sum: (Nat,) = call(&mut network, one, "atOnce", (two, nat(20)));
    assert_eq!(sum, (nat(380),));
    assert!(network.round - before - in_turn <= in_turn);
    assert_eq!(courier_state(&mut network, two).0, nat(25));
    // A canister may call itself.
    let sum: (Nat,) = call(&mut network, one, "atOnce", (one, nat(3)));
    assert_eq!(sum, (nat(6),));
    let (error, message) = refused(&mut network, one, "crash", ());
    assert_eq!(error, "IC0503", "{message}");
}

#[test]
fn failures_are_told_as_the_language_knows_them() {
    let (mut network, one, two) = couriers();
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let (told,): (Vec<String>,) = call(&mut network, one, "failures", (two, nobody));
    assert_eq!(told[0], "#canister_reject not today");
    assert!(told[1].starts_with("#canister_error IC0503: "), "{told:?}");
    assert!(told[1].contains("dropped it"), "{told:?}");
    assert!(told[2].starts_with("#canister_error IC0536: "), "{told:?}");
    let gone = format!("#destination_invalid IC0301: Canister {nobody} not found");
    assert_eq!(told[3], gone);
    // What was thrown keeps its changes, what trapped does not.
    assert_eq!(courier_state(&mut network, two).0, nat(100));
}

#[test]
fn what_came_before_an_await_stays_when_the_rest_traps() {
    let (mut network, one, two) = couriers();
    let (error, message) = refused(&mut network, one, "commitThenTrap", (two,));
    assert_eq!(error, "IC0503");
    assert!(message.contains("too late"), "{message}");
    assert_eq!(courier_state(&mut network, one).0, nat(10));
    assert_eq!(courier_state(&mut network, two).0, nat(1));
    let (_, message) = refused(&mut network, one, "trapWithFinally", (two,));
    assert!(message.contains("cleaned up"), "{message}");
    assert_eq!(courier_state(&mut network, one).1, nat(1), "cleanup ran");
    // The canister goes on as if nothing had happened.
    let sum: (Nat,) = call(&mut network, one, "inTurn", (two, nat(2)));
    assert_eq!(sum, (nat(2),));
}

#[test]
fn cycles_go_with_calls_and_come_back() {
    let (mut network, one, two) = couriers();
    let balance = |network: &mut Network, id| ask::<(Nat,)>(network, id, "balance", ()).0;
    let before = balance(&mut network, two);
    let paid: (Nat, Nat) = call(&mut network, one, "pay", (two, nat(3_000_000_000_000)));
    assert_eq!(paid, (nat(1_500_000_000_000), nat(1_500_000_000_000)));
    let gained = balance(&mut network, two) - before;
    let fees = nat(1_500_000_000_000) - gained;
    assert!(fees < nat(100_000_000), "the message cost {fees}");
    let burnt: (Nat,) = call(&mut network, one, "burn", (nat(1_000_000),));
    assert_eq!(burnt, (nat(1_000_000),));
    // More than there is: the message traps, and nothing is sent.
    let all = nat(1_000_000_000_000_000);
    let (error, message) = refused(&mut network, one, "pay", (two, all));
    assert_eq!(error, "IC0520", "{message}");
}

#[test]
fn deadlines_raw_calls_and_calls_without_an_answer() {
    let (mut network, one, two) = couriers();
    let reply: (Nat,) = call(&mut network, one, "within", (two, 30u32));
    assert_eq!(reply, (nat(42),));
    let () = call(&mut network, one, "send", (two, "to whom it may concern"));
    assert_eq!(
        courier_state(&mut network, two).2,
        ["to whom it may concern"]
    );
    let argument = candid::encode_one(nat(4)).unwrap();
    let argument = serde_bytes::ByteBuf::from(argument);
    let (reply,): (serde_bytes::ByteBuf,) =
        call(&mut network, one, "raw", (two, "deliver", argument));
    assert_eq!(decoded::<(Nat,)>(&reply), (nat(8),));
}

#[test]
fn composite_queries_ask_others() {
    let (mut network, one, two) = couriers();
    let sum: (Nat,) = call(&mut network, one, "inTurn", (two, nat(5)));
    assert_eq!(sum, (nat(20),));
    let (error, _) = refused(&mut network, one, "failures", ());
    assert_eq!(error, "IC0503");
    assert_eq!(ask::<(Nat,)>(&mut network, one, "total", (two,)), (nat(5),));
    assert_eq!(ask::<(Nat,)>(&mut network, two, "total", (one,)), (nat(5),));
    // The peer asks a third one, or asks back.
    let three = installed(&mut network, COURIER);
    let deep: (Nat,) = ask(&mut network, one, "deepTotal", (two, three));
    assert_eq!(deep, (nat(5),));
    let back: (Nat,) = ask(&mut network, one, "deepTotal", (two, one));
    assert_eq!(back, (nat(5),));
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let (lost,): (String,) = ask(&mut network, one, "lost", (nobody,));
    assert!(lost.contains("not found"), "{lost}");
    // As updates they are refused.
    let (error, message) = refused(&mut network, one, "total", (two,));
    assert_eq!(error, "IC0527", "{message}");
}

/// Runs an update that waits for the randomness of a later round.
fn with_randomness(network: &mut Network, id: Principal, method: &str, seed: u8) -> Vec<u8> {
    network.randomness = Some([seed; 32]);
    let call = network.submit(id, method, candid::encode_args(()).unwrap());
    for more in 1..=4 {
        if network.status(call) != RequestStatus::Processing {
            break;
        }
        network.randomness = Some([seed + more; 32]);
        network.run(Vec::new());
    }
    replied(network.status(call))
}

#[test]
fn randomness_comes_from_the_network() {
    let (mut network, one, _) = couriers();
    let first = with_randomness(&mut network, one, "entropy", 1);
    let second = with_randomness(&mut network, one, "entropy", 100);
    let (first, second): ((serde_bytes::ByteBuf,), (serde_bytes::ByteBuf,)) =
        (decoded(&first), decoded(&second));
    assert_eq!((first.0.len(), second.0.len()), (32, 32));
    assert_ne!(first, second);
    let dice = with_randomness(&mut network, one, "roll", 7);
    let (dice,): (Nat,) = decoded(&dice);
    assert!(dice >= nat(2) && dice <= nat(12), "{dice}");
}

#[test]
fn timers_fire_once_and_again() {
    let mut network = network();
    let courier = installed(&mut network, COURIER);
    let () = call(&mut network, courier, "later", (nat(5), "second"));
    let () = call(&mut network, courier, "later", (nat(2), "first"));
    let notes = |network: &mut Network| courier_state(network, courier).2;
    assert!(notes(&mut network).is_empty());
    wait(&mut network, 3);
    assert_eq!(notes(&mut network), ["first"]);
    wait(&mut network, 10);
    assert_eq!(notes(&mut network), ["first", "second"]);

    let counter = installed(&mut network, COUNTER);
    let () = call(&mut network, counter, "startTicks", ());
    (0..3).for_each(|_| wait(&mut network, 1));
    let (ticks,): (Nat,) = call(&mut network, counter, "stopTicks", ());
    assert!(ticks >= nat(2) && ticks <= nat(4), "{ticks}");
    wait(&mut network, 10);
    let after: (Nat,) = ask(&mut network, counter, "getTicks", ());
    assert_eq!(after, (ticks,), "cancelled timers do not fire");
}

#[test]
fn certified_data_outlives_the_message_and_has_a_certificate() {
    let mut network = network();
    let id = installed(&mut network, COUNTER);
    let data = serde_bytes::ByteBuf::from(vec![5; 32]);
    let () = call(&mut network, id, "setCertified", (data,));
    let (certificate,): (Option<serde_bytes::ByteBuf>,) = ask(&mut network, id, "certificate", ());
    let certificate = certificate.expect("a query has a certificate");
    let tree = network.verify(&certificate);
    let found = format!("{tree:?}");
    assert!(found.contains(&format!("{:?}", [5u8; 32])), "{found}");
    // An update has none, and more than 32 bytes are refused.
    let none: (Option<serde_bytes::ByteBuf>,) = call(&mut network, id, "certificate", ());
    assert_eq!(none, (None,));
    let long = serde_bytes::ByteBuf::from(vec![5; 33]);
    let (_, message) = refused(&mut network, id, "setCertified", (long,));
    assert!(message.contains("33"), "{message}");
}

#[test]
fn regions_of_stable_memory_are_apart_and_kept() {
    let mut network = network();
    let id = installed(&mut network, VAULT);
    assert_eq!(call::<(u64,)>(&mut network, id, "grow", (2u64,)), (0,));
    assert_eq!(call::<(u64,)>(&mut network, id, "hoard", (9u64,)), (9,));
    // Regions grow in large blocks, so the next page comes after another region's.
    assert_eq!(call::<(u64,)>(&mut network, id, "grow", (200u64,)), (2,));
    let content = serde_bytes::ByteBuf::from(b"the deed".to_vec());
    // Across the boundary of two blocks of 128 pages.
    let offset = 128 * 65_536 - 4u64;
    let () = call(&mut network, id, "put", (offset, content.clone()));
    let outside = (202 * 65_536 - 4u64, content.clone());
    let (error, message) = refused(&mut network, id, "put", outside);
    assert_eq!(error, "IC0503");
    assert!(message.contains("out of bounds"), "{message}");
    let check = |network: &mut Network| {
        let (taken,): (serde_bytes::ByteBuf,) = ask(network, id, "take", (offset, nat(8)));
        assert_eq!(taken, content);
        let sizes: (u64, u64, Nat, Nat) = ask(network, id, "sizes", ());
        assert_eq!((sizes.0, sizes.1), (202, 1));
        assert_ne!(sizes.2, sizes.3);
    };
    check(&mut network);
    replied(install(&mut network, id, KEEP, VAULT, ()));
    check(&mut network);
    assert_eq!(call::<(u64,)>(&mut network, id, "hoard", (10u64,)), (10,));
}

#[test]
fn inspection_keeps_messages_of_users_out_and_changes_nothing() {
    let mut network = network();
    let id = installed(&mut network, VAULT);
    assert_eq!(inspected(&mut network, id, "grow", (1u64,)), Ok(()));
    // Each message is inspected on the state as it is, so a count within never passes one.
    assert_eq!(inspected(&mut network, id, "grow", (1u64,)), Ok(()));
    let long = serde_bytes::ByteBuf::from(vec![1; 2_000]);
    let reject = inspected(&mut network, id, "put", (0u64, long)).unwrap_err();
    assert_eq!(
        reject.code, 503,
        "this language refuses by a trap: {reject:?}"
    );
    assert!(reject.message.contains("explicitly refused"), "{reject:?}");
    let reject = inspected(&mut network, id, "missing", ()).unwrap_err();
    assert!(reject.code > 0, "{reject:?}");

    let () = call(&mut network, id, "close", (true,));
    assert!(inspected(&mut network, id, "grow", (1u64,)).is_err());
    assert!(inspected(&mut network, id, "close", (false,)).is_ok());
    network.user = User::new(9);
    assert!(inspected(&mut network, id, "close", (false,)).is_err());
    // Queries are not inspected, nor are messages that a block holds nonetheless.
    assert_eq!(ask::<(bool,)>(&mut network, id, "isOpen", ()), (false,));
    assert_eq!(call::<(u64,)>(&mut network, id, "grow", (1u64,)), (0,));
}

#[test]
fn heartbeats_are_messages_of_their_own() {
    let mut network = network();
    let id = network.create();
    let install = network::InstallArgs {
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
    for _ in 0..10 {
        network.run(Vec::new());
    }
    assert_eq!(ask::<(Nat,)>(&mut network, id, "get", ()), (nat(5),));
    let argument = candid::encode_one(nat(2)).unwrap();
    let more = network.submit(id, "more", argument);
    for _ in 0..5 {
        network.run(Vec::new());
    }
    replied(network.status(more));
    assert_eq!(ask::<(Nat,)>(&mut network, id, "get", ()), (nat(7),));
}

#[test]
fn actor_classes_make_upgrade_and_delete_canisters() {
    let mut network = network();
    let school = installed(&mut network, SCHOOL);
    let (ada,): (Principal,) = call(&mut network, school, "enrol", ("Ada",));
    let (bob,): (Principal,) = call(&mut network, school, "enrol", ("Bob",));
    for lessons in 1..=2u64 {
        let (sum,): (Nat,) = call(&mut network, school, "lesson", ());
        assert_eq!(sum, nat(2 * lessons));
    }
    type Card = (String, String, Nat);
    let card = |first: &str, name: &str, lessons| -> Card {
        (first.to_owned(), name.to_owned(), nat(lessons))
    };
    assert_eq!(
        ask::<Card>(&mut network, ada, "card", ()),
        card("Ada", "Ada", 2)
    );
    // An upgrade keeps what was learnt, an installation does not.
    let renamed: Card = call(&mut network, school, "rename", ("Ada L.",));
    assert_eq!(renamed, card("Ada", "Ada L.", 2));
    let replaced: Card = call(&mut network, school, "replace", ("Eve",));
    assert_eq!(replaced, card("Eve", "Eve", 0));

    let (cycles, controllers): (Nat, Vec<Principal>) =
        call(&mut network, school, "inspectFirst", ());
    assert_eq!(controllers, [school]);
    let () = call(&mut network, school, "feedFirst", (nat(1_000_000_000_000),));
    let (more, _): (Nat, Vec<Principal>) = call(&mut network, school, "inspectFirst", ());
    assert!(more - cycles > nat(999_000_000_000));

    // A user who is no controller may use it but not change it.
    let (_, message, error) = rejected(install(&mut network, ada, KEEP, SCHOOL, ()));
    assert_eq!(error, "IC0512", "{message}");
    let () = call(&mut network, school, "dismiss", ());
    let (error, _) = refused(&mut network, bob, "learn", ());
    assert_eq!(error, "IC0301");
}
