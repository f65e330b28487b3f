//! Settings of canisters: what is taken, what is refused in which words, and that each is in force.

use candid::Nat;
use ic_management_canister_types::{
    CanisterSettings, CanisterStatusResult, CreateCanisterArgs, EnvironmentVariable, LogVisibility,
    StatusVisibility, UpdateSettingsArgs,
};

use crate::network::*;
use crate::{MODULE, installed, network};

fn update(
    network: &mut Network,
    canister_id: Id,
    settings: CanisterSettings,
) -> Result<(), Refusal> {
    let sender_canister_version = None;
    let args = UpdateSettingsArgs {
        canister_id,
        settings,
        sender_canister_version,
    };
    match network.manage("update_settings", args) {
        trilith_engine_canister::query::RequestStatus::Replied { .. } => Ok(()),
        other => {
            let (_, message, error) = rejected(other);
            Err((error, message))
        }
    }
}

type Id = candid::Principal;
type Refusal = (String, String);

fn status(network: &mut Network, canister_id: Id) -> CanisterStatusResult {
    let record = CanisterRecord { canister_id };
    answered(network.ask_management(canister_id, "canister_status", record))
}

fn nat(value: u64) -> Option<Nat> {
    Some(Nat::from(value))
}

#[test]
fn every_setting_is_kept_and_shown() {
    let mut network = network();
    let id = installed(&mut network);
    let viewers = vec![User::new(3).principal(), User::new(4).principal()];
    let variable = EnvironmentVariable {
        name: "KEY".to_owned(),
        value: "value".to_owned(),
    };
    let settings = CanisterSettings {
        controllers: Some(vec![network.user.principal(), id]),
        compute_allocation: nat(10),
        memory_allocation: nat(1 << 20),
        freezing_threshold: nat(1_000),
        reserved_cycles_limit: nat(7),
        minimum_incoming_canister_call_cycles: nat(9),
        log_visibility: Some(LogVisibility::AllowedViewers(viewers.clone())),
        log_memory_limit: nat(5_000),
        snapshot_visibility: Some(ic_management_canister_types::SnapshotVisibility::Public),
        status_visibility: Some(StatusVisibility::AllowedViewers(viewers.clone())),
        wasm_memory_limit: nat(1 << 30),
        wasm_memory_threshold: nat(1 << 10),
        environment_variables: Some(vec![variable.clone()]),
    };
    update(&mut network, id, settings).unwrap();
    let shown = status(&mut network, id).settings;
    let mut controllers = vec![network.user.principal(), id];
    controllers.sort_unstable();
    assert_eq!(shown.controllers, controllers);
    assert_eq!(shown.compute_allocation, Nat::from(10u8));
    assert_eq!(shown.memory_allocation, Nat::from(1u32 << 20));
    assert_eq!(shown.freezing_threshold, Nat::from(1_000u32));
    assert_eq!(shown.reserved_cycles_limit, Nat::from(7u8));
    assert_eq!(shown.minimum_incoming_canister_call_cycles, Nat::from(9u8));
    assert_eq!(
        shown.log_visibility,
        LogVisibility::AllowedViewers(viewers.clone())
    );
    assert_eq!(shown.log_memory_limit, Nat::from(5_000u32));
    assert_eq!(
        shown.status_visibility,
        StatusVisibility::AllowedViewers(viewers)
    );
    assert_eq!(shown.wasm_memory_limit, Nat::from(1u32 << 30));
    assert_eq!(shown.wasm_memory_threshold, Nat::from(1u32 << 10));
    assert_eq!(shown.environment_variables, vec![variable]);
    // The canister sees its variables.
    let seen = replied(network.update(id, "run", "reply_variables"));
    assert_eq!(seen, br#"[("KEY", "value")]"#);
}

#[test]
fn a_new_canister_has_the_defaults_of_the_internet_computer() {
    let mut network = network();
    let id = network.create();
    let settings = status(&mut network, id).settings;
    assert_eq!(settings.freezing_threshold, Nat::from(2_592_000u32));
    assert_eq!(
        settings.reserved_cycles_limit,
        Nat::from(5_000_000_000_000u64)
    );
    assert_eq!(settings.wasm_memory_limit, Nat::from(3_221_225_472u64));
    assert_eq!(settings.wasm_memory_threshold, Nat::from(0u8));
    assert_eq!(settings.log_memory_limit, Nat::from(4_096u32));
    assert_eq!(settings.log_visibility, LogVisibility::Controllers);
    assert_eq!(settings.controllers, vec![network.user.principal()]);
}

type Case = (CanisterSettings, &'static str, &'static str);

fn none() -> CanisterSettings {
    CanisterSettings::default()
}

/// Numbers out of their range.
fn bad_numbers() -> Vec<Case> {
    let many: Vec<Id> = (0..11).map(|seed| User::new(seed).principal()).collect();
    vec![
        (
            CanisterSettings {
                controllers: Some(many),
                ..none()
            },
            "IC0504",
            "'controllers' length exceeds maximum size allowed of 10",
        ),
        (
            CanisterSettings {
                compute_allocation: nat(101),
                ..none()
            },
            "IC0504",
            "ComputeAllocation expected to be in the range [0..100], got 101",
        ),
        (
            CanisterSettings {
                memory_allocation: nat((1 << 48) + 1),
                ..none()
            },
            "IC0504",
            "MemoryAllocation expected to be in the range [0..281474976710656], got 281474976710657",
        ),
        (
            CanisterSettings {
                freezing_threshold: Some(Nat::from(u128::from(u64::MAX) + 1)),
                ..none()
            },
            "IC0504",
            "Freezing threshold expected to be in the range of [0..2^64-1], got 18446744073709551616",
        ),
        (
            CanisterSettings {
                wasm_memory_limit: nat((1 << 48) + 1),
                ..none()
            },
            "IC0504",
            "Wasm memory limit expected",
        ),
        (
            CanisterSettings {
                wasm_memory_threshold: nat((1 << 48) + 1),
                ..none()
            },
            "IC0504",
            "Wasm memory threshold expected",
        ),
        (
            CanisterSettings {
                log_memory_limit: nat((2 << 20) + 1),
                ..none()
            },
            "IC0504",
            "Log memory limit expected to be in the range of [0..2097152], got 2097153",
        ),
    ]
}

/// Lists that are too long, or have items that are.
fn bad_lists() -> Vec<Case> {
    let many: Vec<Id> = (0..11).map(|seed| User::new(seed).principal()).collect();
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let variables = |list: Vec<EnvironmentVariable>| CanisterSettings {
        environment_variables: Some(list),
        ..none()
    };
    let long = "x".repeat(129);
    vec![
        (
            CanisterSettings {
                status_visibility: Some(StatusVisibility::AllowedViewers(many)),
                ..none()
            },
            "IC0408",
            "Too many allowed viewers: 11 (max: 10)",
        ),
        (
            variables((0..21).map(|n| variable(&n.to_string(), "")).collect()),
            "IC0408",
            "Too many environment variables: 21 (max: 20)",
        ),
        (
            variables(vec![variable(&long, "")]),
            "IC0408",
            "exceeds the maximum allowed length of 128",
        ),
        (
            variables(vec![variable("a", &long)]),
            "IC0408",
            "Environment variable value",
        ),
        (
            variables(vec![variable("a", "1"), variable("a", "2")]),
            "IC0408",
            "Duplicate environment variables are not allowed",
        ),
    ]
}

#[test]
fn a_setting_out_of_range_is_refused_and_nothing_is_changed() {
    let mut network = network();
    let id = installed(&mut network);
    let before = status(&mut network, id);
    let cases = [bad_numbers(), bad_lists()].concat();
    for (settings, error, words) in cases {
        let (found, message) = update(&mut network, id, settings).unwrap_err();
        assert_eq!(found, error, "{message}");
        assert!(message.contains(words), "{message}");
    }
    let after = status(&mut network, id);
    assert_eq!(after.settings, before.settings);
    assert_eq!(after.version, before.version);
}

#[test]
fn compute_is_allotted_once_and_must_be_paid_for() {
    let mut network = network();
    let ids: Vec<Id> = (0..3).map(|_| installed(&mut network)).collect();
    let asked = |percent| CanisterSettings {
        compute_allocation: nat(percent),
        freezing_threshold: nat(1),
        ..CanisterSettings::default()
    };
    update(&mut network, ids[0], asked(100)).unwrap();
    update(&mut network, ids[1], asked(100)).unwrap();
    let (error, message) = update(&mut network, ids[2], asked(100)).unwrap_err();
    assert_eq!(error, "IC0101");
    assert!(
        message.ends_with(
            "a compute allocation of 100% which cannot be satisfied because the Subnet's remaining compute capacity is 99%."
        ),
        "{message}"
    );
    update(&mut network, ids[2], asked(99)).unwrap();
    // 100 % for 30 days cost 2,592T; the canister has less than 100T.
    let unaffordable = CanisterSettings {
        compute_allocation: nat(100),
        freezing_threshold: nat(2_592_000),
        ..CanisterSettings::default()
    };
    update(&mut network, ids[0], asked(0)).unwrap();
    let (error, message) = update(&mut network, ids[0], unaffordable).unwrap_err();
    assert_eq!(error, "IC0530");
    assert!(
        message.starts_with(
            "Cannot increase compute allocation to 100% due to insufficient cycles. At least "
        ),
        "{message}"
    );
}

#[test]
fn a_frozen_canister_refuses_until_its_threshold_is_lowered() {
    let mut network = network();
    let id = installed(&mut network);
    let frozen = CanisterSettings {
        freezing_threshold: nat(1_000_000_000_000),
        ..CanisterSettings::default()
    };
    update(&mut network, id, frozen).unwrap();
    let (code, message, error) = rejected(network.update(id, "run", "reply x"));
    assert_eq!((code, error.as_str()), (2, "IC0207"));
    assert!(
        message.starts_with(&format!(
            "Canister {id} is out of cycles: please top up the canister with at least "
        )) && message.ends_with(" additional cycles"),
        "{message}"
    );
    let (error, message) = refused(network.query(id, "look", "reply x"));
    assert_eq!(error, "IC0207");
    assert_eq!(
        message,
        format!(
            "Canister {id} is unable to process query calls because it's frozen. Please top up the canister with cycles and try again."
        )
    );
    // Settings can still be changed, and what the call costs is taken.
    let before = status(&mut network, id).cycles;
    let thawed = CanisterSettings {
        freezing_threshold: nat(0),
        ..CanisterSettings::default()
    };
    update(&mut network, id, thawed).unwrap();
    assert!(status(&mut network, id).cycles < before);
    assert_eq!(replied(network.update(id, "run", "reply x")), b"x");
}

#[test]
fn calls_of_canisters_must_bring_the_cycles_that_the_callee_asks_for() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    let settings = CanisterSettings {
        minimum_incoming_canister_call_cycles: nat(1_000),
        ..CanisterSettings::default()
    };
    update(&mut network, two, settings).unwrap();
    let call =
        |cycles| format!("call {two} run {cycles} - [reply x] [reply_arg] [reply_reject] []");
    let reject = replied(network.update(one, "run", call(999)));
    let reject = String::from_utf8(reject).unwrap();
    assert!(
        reject.contains("requires at least 1000 transferred cycles"),
        "{reject}"
    );
    assert_eq!(replied(network.update(one, "run", call(1_000))), b"x");
    // Users and the canister itself are not asked.
    assert_eq!(replied(network.update(two, "run", "reply x")), b"x");
    assert_eq!(replied(network.update(two, "run", call(0))), b"x");
}

#[test]
fn the_wasm_memory_limit_holds_for_updates_and_not_for_callbacks() {
    let mut network = network();
    let id = installed(&mut network);
    let settings = CanisterSettings {
        wasm_memory_limit: nat(2 * 65_536),
        ..CanisterSettings::default()
    };
    update(&mut network, id, settings).unwrap();
    assert_eq!(
        replied(network.update(id, "run", "grow 1; reply_pages")),
        b"2"
    );
    let (_, message, error) = rejected(network.update(id, "run", "grow 1; reply_pages"));
    assert_eq!(error, "IC0539");
    let words = format!(
        "Error from Canister {id}: Canister exceeded its current Wasm memory limit of 131072 bytes. The peak Wasm memory usage was 196608 bytes."
    );
    assert!(message.starts_with(&words), "{message}");
    // Installing code is held to it too.
    let (_, _, error) = rejected(network.install(id, Mode::reinstall, MODULE, "grow 2"));
    assert_eq!(error, "IC0539");
    let program = format!("call {id} run 0 - [reply x] [grow 1, reply_pages] [] []");
    assert_eq!(replied(network.update(id, "run", program)), b"3");
    let answer: Vec<u8> = match network.query(id, "look", "grow 1; reply_pages") {
        trilith_engine_canister::query::CallResult::Replied { arg } => arg,
        other => panic!("{other:?}"),
    };
    assert_eq!(answer, b"4");
}

const WATCHFUL: &[u8] = b"\0asm
export update run
export low_memory: add !";

#[test]
fn a_canister_is_told_once_each_time_its_memory_runs_short() {
    let mut network = network();
    let id = network.create();
    replied(network.install(id, Mode::install, WATCHFUL, ""));
    let limits = |limit: u64, threshold: u64| CanisterSettings {
        wasm_memory_limit: nat(limit * 65_536),
        wasm_memory_threshold: nat(threshold * 65_536),
        ..CanisterSettings::default()
    };
    update(&mut network, id, limits(10, 3)).unwrap();
    assert_eq!(
        replied(network.update(id, "run", "set a; grow 6; reply_pages")),
        b"7"
    );
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"a");
    // Below three pages are left: the hook runs, once.
    assert_eq!(
        replied(network.update(id, "run", "grow 1; reply_pages")),
        b"8"
    );
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"a!");
    assert_eq!(
        replied(network.update(id, "run", "grow 1; reply_pages")),
        b"9"
    );
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"a!");
    // The condition ends and begins again.
    update(&mut network, id, limits(100, 3)).unwrap();
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"a!");
    update(&mut network, id, limits(10, 3)).unwrap();
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"a!!");
}

#[test]
fn creation_takes_settings_and_refuses_bad_ones() {
    let mut network = network();
    let one = installed(&mut network);
    let create = |network: &mut Network, settings| {
        let args = CreateCanisterArgs {
            settings: Some(settings),
            sender_canister_version: None,
        };
        network.manage_by(one, "create_canister", args, 600_000_000_000)
    };
    let owner = network.user.principal();
    let good = CanisterSettings {
        controllers: Some(vec![owner]),
        freezing_threshold: nat(5),
        ..CanisterSettings::default()
    };
    let reply = create(&mut network, good).unwrap();
    let made: CanisterRecord = candid::decode_one(&reply).unwrap();
    let shown = status(&mut network, made.canister_id);
    assert_eq!(shown.settings.freezing_threshold, Nat::from(5u8));
    assert_eq!(shown.cycles, Nat::from(100_000_000_000u64));
    let bad = CanisterSettings {
        compute_allocation: nat(101),
        ..CanisterSettings::default()
    };
    let reject = create(&mut network, bad).unwrap_err();
    assert!(reject.starts_with("5 IC0504: "), "{reject}");
}
