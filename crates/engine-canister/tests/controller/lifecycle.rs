//! Creating, installing, upgrading, stopping and deleting canisters; settings and chunks.

use candid::{CandidType, Principal};
use serde::Deserialize;
use trilith_engine_canister::query::CallResult;
use trilith_types::hash::sha256;

use crate::network::*;
use crate::{MODULE, installed, network};

#[test]
fn a_canister_is_created_installed_updated_and_queried() {
    let mut network = network();
    let id = network.create();
    assert_eq!(id.to_text(), "rwlgt-iiaaa-aaaaa-aaaaa-cai");
    replied(network.install(id, Mode::install, MODULE, "set hello"));
    assert_eq!(
        network.query(id, "look", "reply_state"),
        CallResult::Replied {
            arg: b"hello".to_vec()
        }
    );
    assert_eq!(
        replied(network.update(id, "run", "add  world; reply_state")),
        b"hello world"
    );
    // A query changes nothing, called as a query or as an update.
    assert_eq!(
        network.query(id, "look", "set x; reply_state"),
        CallResult::Replied { arg: b"x".to_vec() }
    );
    assert_eq!(
        replied(network.update(id, "look", "set x; reply_state")),
        b"x"
    );
    assert_eq!(
        replied(network.update(id, "run", "reply_state")),
        b"hello world"
    );
    assert_eq!(network.create().to_text(), "rrkah-fqaaa-aaaaa-aaaaq-cai");
}

#[test]
fn a_trap_rolls_everything_back_and_is_worded_as_clients_know_it() {
    let mut network = network();
    let id = installed(&mut network);
    replied(network.update(id, "run", "set kept; reply ok"));
    let (code, message, error) = rejected(network.update(id, "run", "set lost; reply no; trap oh"));
    assert_eq!((code, error.as_str()), (5, "IC0503"));
    assert_eq!(
        message,
        format!("Error from Canister {id}: Canister called `ic0.trap` with message: 'oh'")
    );
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"kept");
    let (code, message, error) = rejected(network.update(id, "run", "set x"));
    assert_eq!((code, error.as_str()), (5, "IC0506"), "{message}");
    let (code, _, error) = rejected(network.update(id, "nothing", ""));
    assert_eq!((code, error.as_str()), (5, "IC0536"));
    let (code, message, error) = rejected(network.update(id, "run", "reject I will not"));
    assert_eq!(
        (code, message.as_str(), error.as_str()),
        (4, "I will not", "IC0406")
    );
}

const UPGRADABLE: &[u8] = b"\0asm
export init
export pre_upgrade: save; add  never seen
export post_upgrade
export update run";

const BROKEN_PRE: &[u8] = b"\0asm
export pre_upgrade: stable lost; trap stuck
export update run";

#[test]
fn an_upgrade_runs_its_stages_and_is_all_or_nothing() {
    let mut network = network();
    let id = network.create();
    replied(network.install(id, Mode::install, UPGRADABLE, "set one; certify data"));
    let before = network.state.keys.clone();
    let (_, message, _) =
        rejected(network.install(id, Mode::upgrade(None), UPGRADABLE, "stable x; trap post"));
    assert!(message.contains("post"), "{message}");
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"one");
    assert_eq!(replied(network.update(id, "run", "reply_stable")), b"");
    assert_ne!(before, network.state.keys);
    // The heap is new, the stable memory is the old one.
    replied(network.install(id, Mode::upgrade(None), UPGRADABLE, "add  two"));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b" two");
    assert_eq!(replied(network.update(id, "run", "reply_stable")), b"one");
    // A pre_upgrade that traps stops the upgrade, unless it is left out.
    replied(network.install(id, Mode::reinstall, BROKEN_PRE, ""));
    assert_eq!(
        replied(network.update(id, "run", "stable safe; reply_state")),
        b""
    );
    let (_, message, _) = rejected(network.install(id, Mode::upgrade(None), MODULE, ""));
    assert!(message.contains("stuck"), "{message}");
    let skip = Upgrade {
        skip_pre_upgrade: Some(true),
        wasm_memory_persistence: None,
    };
    replied(network.install(id, Mode::upgrade(Some(skip)), MODULE, ""));
    assert_eq!(replied(network.update(id, "run", "reply_stable")), b"safe");
}

const PERSISTENT: &[u8] = b"\0asm
export init
export update run
section private enhanced-orthogonal-persistence yes";

#[test]
fn persistent_heaps_are_kept_only_on_request_and_never_by_accident() {
    let mut network = network();
    let id = network.create();
    replied(network.install(id, Mode::install, PERSISTENT, "set precious"));
    let (_, message, _) = rejected(network.install(id, Mode::upgrade(None), PERSISTENT, ""));
    assert!(message.contains("wasm_memory_persistence"), "{message}");
    let keep = |choice| {
        Mode::upgrade(Some(Upgrade {
            skip_pre_upgrade: None,
            wasm_memory_persistence: Some(choice),
        }))
    };
    let (_, message, _) = rejected(network.install(id, keep(Persistence::keep), MODULE, ""));
    assert!(
        message.contains("enhanced orthogonal persistence"),
        "{message}"
    );
    replied(network.install(id, keep(Persistence::keep), PERSISTENT, ""));
    assert_eq!(
        replied(network.update(id, "run", "reply_state")),
        b"precious"
    );
    replied(network.install(id, keep(Persistence::replace), PERSISTENT, ""));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"");
}

#[test]
fn installing_needs_a_controller_an_empty_canister_and_a_valid_module() {
    let mut network = network();
    let id = installed(&mut network);
    let (code, _, error) = rejected(network.install(id, Mode::install, MODULE, ""));
    assert_eq!((code, error.as_str()), (5, "IC0514"));
    let (_, _, error) = rejected(network.install(id, Mode::reinstall, b"no wasm", ""));
    assert_eq!(error, "IC0505");
    network.user = User::new(2);
    let (_, message, error) = rejected(network.install(id, Mode::reinstall, MODULE, ""));
    assert_eq!(error, "IC0512", "{message}");
    assert_eq!(
        message,
        format!("Only controllers of canister {id} can call ic00 method install_code")
    );
    let (_, message, error) = rejected(network.manage("raw_rand", ()));
    assert_eq!(error, "IC0406");
    assert_eq!(message, "Only canisters can call ic00 method raw_rand");
    let (_, message, error) = rejected(network.manage("sign_with_nothing", ()));
    assert_eq!(error, "IC0536");
    assert_eq!(
        message,
        "Management canister has no method 'sign_with_nothing'"
    );
}

#[test]
fn compressed_modules_are_undone_within_the_limit() {
    use std::io::Write as _;
    let compress = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut network = network();
    let id = network.create();
    let sent = compress(MODULE);
    replied(network.install(id, Mode::install, &sent, "set packed"));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"packed");
    let path = vec![
        b"canister".to_vec(),
        id.as_slice().to_vec(),
        b"module_hash".to_vec(),
    ];
    let user = User::new(5);
    let tree = network.read_state(&user, id, vec![path]).unwrap();
    assert!(
        format!("{tree:?}").contains(&format!("{:?}", sha256(&[&sent]))),
        "the hash is that of the sent bytes"
    );
    let bomb = compress(&vec![0u8; 101 * 1024 * 1024]);
    let (_, message, error) = rejected(network.install(id, Mode::reinstall, &bomb, ""));
    assert_eq!(error, "IC0505", "{message}");
    assert!(message.contains("104857600"), "{message}");
}

#[derive(CandidType, Deserialize)]
struct Upload {
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    chunk: Vec<u8>,
}

#[derive(CandidType, Deserialize)]
struct ChunkHash {
    #[serde(with = "serde_bytes")]
    hash: Vec<u8>,
}

#[derive(CandidType, Deserialize)]
struct Chunked {
    mode: Mode,
    target_canister: Principal,
    chunk_hashes_list: Vec<ChunkHash>,
    #[serde(with = "serde_bytes")]
    wasm_module_hash: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

#[test]
fn modules_are_installed_from_chunks() {
    let mut network = network();
    let id = network.create();
    let mut list = Vec::new();
    for chunk in MODULE.chunks(40) {
        let reply = replied(network.manage(
            "upload_chunk",
            Upload {
                canister_id: id,
                chunk: chunk.to_vec(),
            },
        ));
        list.push(candid::decode_one::<ChunkHash>(&reply).unwrap());
        assert_eq!(list.last().unwrap().hash, sha256(&[chunk]));
    }
    let stored: Vec<ChunkHash> = candid::decode_one(&replied(
        network.manage("stored_chunks", CanisterRecord { canister_id: id }),
    ))
    .unwrap();
    assert_eq!(stored.len(), list.len());
    let args = Chunked {
        mode: Mode::install,
        target_canister: id,
        chunk_hashes_list: list,
        wasm_module_hash: sha256(&[MODULE]).to_vec(),
        arg: b"set chunks".to_vec(),
    };
    replied(network.manage("install_chunked_code", args));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"chunks");
    let images = network.state.images.len();
    replied(network.manage("clear_chunk_store", CanisterRecord { canister_id: id }));
    assert_eq!(
        network.state.images.len(),
        images - MODULE.chunks(40).count()
    );
}

#[test]
fn a_canister_stops_starts_and_is_deleted() {
    let mut network = network();
    let id = installed(&mut network);
    let record = || CanisterRecord { canister_id: id };
    let (_, _, error) = rejected(network.manage("delete_canister", record()));
    assert_eq!(error, "IC0510");
    replied(network.manage("stop_canister", record()));
    let (_, message, error) = rejected(network.update(id, "run", "reply x"));
    assert_eq!(
        (error.as_str(), message),
        ("IC0508", format!("Canister {id} is stopped"))
    );
    replied(network.manage("start_canister", record()));
    assert_eq!(replied(network.update(id, "run", "reply x")), b"x");
    replied(network.manage("stop_canister", record()));
    replied(network.manage("delete_canister", record()));
    assert!(network.state.images.is_empty());
    let (code, message, error) = rejected(network.update(id, "run", "reply x"));
    assert_eq!(
        (code, error.as_str(), message),
        (3, "IC0301", format!("Canister {id} not found"))
    );
}

#[test]
fn timers_fire_once_when_their_time_has_come() {
    use trilith_protocol::{Demand, Runtime};
    use trilith_types::TimeNanos;
    let mut network = network();
    let id = network.create();
    let module = b"\0asm\nexport update run\nexport timer: add !";
    replied(network.install(id, Mode::install, module, ""));
    let at = network.time + 60 * SECOND;
    replied(network.update(id, "run", format!("set x; timer {at}; reply ok")));
    assert_eq!(
        network.engine.demand(&network.state).unwrap(),
        Demand::At(TimeNanos(at))
    );
    network.run(Vec::new());
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"x");
    network.time = at;
    network.run(Vec::new());
    assert_eq!(network.engine.demand(&network.state).unwrap(), Demand::Idle);
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"x!");
}

#[test]
fn heartbeats_run_in_every_round() {
    use trilith_protocol::{Demand, Runtime};
    let mut network = network();
    let id = network.create();
    let module = b"\0asm\nexport query look\nexport heartbeat: add .";
    // A heartbeat never lets the network rest, so nothing here waits for that.
    let args = InstallArgs {
        mode: Mode::install,
        canister_id: id,
        wasm_module: module.to_vec(),
        arg: Vec::new(),
    };
    network.submit(
        Principal::management_canister(),
        "install_code",
        candid::encode_one(args).unwrap(),
    );
    assert_eq!(network.engine.demand(&network.state).unwrap(), Demand::Now);
    (0..3).for_each(|_| drop(network.run(Vec::new())));
    assert_eq!(
        network.query(id, "look", "reply_state"),
        CallResult::Replied {
            arg: b"...".to_vec()
        }
    );
}

#[test]
fn storage_is_charged_and_who_cannot_pay_loses_the_code() {
    #[derive(CandidType)]
    struct Settings {
        freezing_threshold: Option<candid::Nat>,
    }
    #[derive(CandidType)]
    struct Args {
        canister_id: Principal,
        settings: Settings,
    }
    let mut network = network();
    let id = installed(&mut network);
    let settings = Settings {
        freezing_threshold: Some(0u8.into()),
    };
    replied(network.manage(
        "update_settings",
        Args {
            canister_id: id,
            settings,
        },
    ));
    assert_eq!(replied(network.update(id, "run", "reply ok")), b"ok");
    // 100T cycles last for about 270 years at 10,000 and some cycles a second.
    network.time += 400 * 365 * 86_400 * SECOND;
    network.run(Vec::new());
    let (_, _, error) = rejected(network.update(id, "run", "reply ok"));
    assert_eq!(error, "IC0537");
}
