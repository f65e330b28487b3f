//! Management methods that tell of canisters and the subnet, and those that are refused here.

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterInfoArgs, CanisterInfoResult, CanisterLogFilter, CanisterMetricsResult,
    CanisterSettings, CanisterStatusResult, ChangeDetails, ChangeOrigin, CodeDeploymentMode,
    FetchCanisterLogsArgs, FetchCanisterLogsResult, ListCanistersResult, LogVisibility,
    NodeMetricsHistoryArgs, NodeMetricsHistoryResult, StatusVisibility, SubnetInfoArgs,
    SubnetInfoResult, SubnetMetricsArgs, SubnetMetricsResult, UninstallCodeArgs,
    UpdateSettingsArgs,
};
use trilith_types::hash::sha256;

use crate::network::*;
use crate::{MODULE, installed, network};

fn set(network: &mut Network, canister_id: Principal, settings: CanisterSettings) {
    replied(network.manage(
        "update_settings",
        UpdateSettingsArgs {
            canister_id,
            settings,
            sender_canister_version: None,
        },
    ));
}

fn info(network: &mut Network, by: Principal, of: Principal, asked: u64) -> CanisterInfoResult {
    let args = CanisterInfoArgs {
        canister_id: of,
        num_requested_changes: Some(asked),
    };
    candid::decode_one(&network.manage_by(by, "canister_info", args, 0).unwrap()).unwrap()
}

/// Uninstalls a canister by another one; gives the version that this one stated.
fn uninstall_by(network: &mut Network, watcher: Principal, id: Principal) -> u64 {
    let uninstall = |version| UninstallCodeArgs {
        canister_id: id,
        sender_canister_version: Some(version),
    };
    let version = replied(network.update(watcher, "run", "reply_version"));
    let version: u64 = String::from_utf8(version).unwrap().parse().unwrap();
    // The version that a canister states must be its own.
    let reject = network.manage_by(watcher, "uninstall_code", uninstall(666), 0);
    let now = version + 1;
    assert_eq!(
        reject.unwrap_err(),
        format!(
            "5 IC0504: Management canister call payload includes sender canister version 666 that does not match the actual sender canister version {now}."
        )
    );
    let version = version + 3;
    network
        .manage_by(watcher, "uninstall_code", uninstall(version), 0)
        .unwrap();
    version
}

/// The changes of [`the_history_tells_who_changed_what`].
fn check_changes(found: &CanisterInfoResult, owner: Principal, watcher: Principal, version: u64) {
    let details: Vec<ChangeDetails> = found
        .recent_changes
        .iter()
        .map(|change| change.details.clone().unwrap())
        .collect();
    let ChangeDetails::Creation(creation) = &details[0] else {
        panic!("{details:?}")
    };
    assert_eq!(creation.controllers, vec![owner]);
    let deployed = |details: &ChangeDetails| match details {
        ChangeDetails::CodeDeployment(record) => {
            assert_eq!(record.module_hash, sha256(&[MODULE]).to_vec());
            record.mode
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(deployed(&details[1]), CodeDeploymentMode::Install);
    assert_eq!(deployed(&details[2]), CodeDeploymentMode::Upgrade);
    let ChangeDetails::ControllersChange(controllers) = &details[3] else {
        panic!("{details:?}")
    };
    assert_eq!(controllers.controllers.len(), 2);
    assert_eq!(details[4], ChangeDetails::CodeUninstall);
    let ChangeOrigin::FromUser(user) = &found.recent_changes[1].origin else {
        panic!("{found:?}")
    };
    assert_eq!(user.user_id, owner);
    let ChangeOrigin::FromCanister(canister) = &found.recent_changes[4].origin else {
        panic!("{found:?}")
    };
    assert_eq!(canister.canister_id, watcher);
    assert_eq!(canister.canister_version, Some(version));
    let versions: Vec<u64> = found
        .recent_changes
        .iter()
        .map(|change| change.canister_version)
        .collect();
    assert_eq!(versions[..2], [0, 1]);
    assert!(versions.is_sorted());
}

#[test]
fn the_history_tells_who_changed_what() {
    let mut network = network();
    let watcher = installed(&mut network);
    let id = installed(&mut network);
    let owner = network.user.principal();
    replied(network.install(id, Mode::upgrade(None), MODULE, ""));
    set(
        &mut network,
        id,
        CanisterSettings {
            controllers: Some(vec![owner, watcher]),
            ..CanisterSettings::default()
        },
    );
    // Other settings are no change of the history.
    set(
        &mut network,
        id,
        CanisterSettings {
            freezing_threshold: Some(Nat::from(1u8)),
            ..CanisterSettings::default()
        },
    );
    let version = uninstall_by(&mut network, watcher, id);
    let found = info(&mut network, watcher, id, 100);
    assert_eq!(found.total_num_changes, 5);
    assert_eq!(found.module_hash, None);
    assert_eq!(found.controllers.len(), 2);
    check_changes(&found, owner, watcher, version);
    // Only as many as are asked for, the newest.
    let newest = info(&mut network, watcher, id, 1);
    assert_eq!(newest.recent_changes, found.recent_changes[4..]);
    assert!(info(&mut network, watcher, id, 0).recent_changes.is_empty());
    // Users ask by query.
    let args = CanisterInfoArgs {
        canister_id: id,
        num_requested_changes: Some(2),
    };
    let (_, message, error) = rejected(network.manage("canister_info", args.clone()));
    assert_eq!(error, "IC0406");
    assert_eq!(message, "Only canisters can call ic00 method canister_info");
    let asked: CanisterInfoResult = answered(network.ask_management(id, "canister_info", args));
    assert_eq!(asked.recent_changes, found.recent_changes[3..]);
}

#[test]
fn a_history_keeps_the_newest_twenty_changes_and_the_number_of_all() {
    let mut network = network();
    let id = installed(&mut network);
    for _ in 0..25 {
        replied(network.install(id, Mode::reinstall, MODULE, ""));
    }
    let found = info(&mut network, id, id, u64::MAX);
    assert_eq!(found.total_num_changes, 27);
    assert_eq!(found.recent_changes.len(), 20);
    assert_eq!(found.recent_changes[19].canister_version, 26);
}

#[test]
fn status_and_metrics_are_for_controllers_the_canister_and_viewers() {
    let mut network = network();
    let (id, stranger) = (installed(&mut network), installed(&mut network));
    replied(network.update(id, "run", "burn 1000; reply x"));
    let record = || CanisterRecord { canister_id: id };
    let by_update: CanisterMetricsResult =
        candid::decode_one(&replied(network.manage("canister_metrics", record()))).unwrap();
    let by_query: CanisterMetricsResult =
        answered(network.ask_management(id, "canister_metrics", record()));
    assert_eq!(by_query.cycles_consumed.burned_cycles, Nat::from(1_000u32));
    assert!(by_update.cycles_consumed.instructions > 5_000_000u32);
    assert!(by_query.cycles_consumed.ingress_induction > 1_200_000u32);
    assert_eq!(by_query.cycles_consumed.canister_creation, Nat::from(0u8));
    let of_itself = network
        .manage_by(id, "canister_status", record(), 0)
        .unwrap();
    let of_itself: CanisterStatusResult = candid::decode_one(&of_itself).unwrap();
    let asked: CanisterStatusResult =
        answered(network.ask_management(id, "canister_status", record()));
    assert_eq!(asked.module_hash, of_itself.module_hash);
    assert!(asked.idle_cycles_burned_per_day > 0u8);
    let refused_canister = network
        .manage_by(stranger, "canister_status", record(), 0)
        .unwrap_err();
    let owner = network.user.principal();
    assert_eq!(
        refused_canister,
        format!(
            "5 IC0512: Only the controllers of the canister {id} can control it.\nCanister's controllers: {owner}\nSender's ID: {stranger}"
        )
    );
    let words = format!("Only controllers of canister {id} can call ic00 method canister_status");
    network.user = User::new(2);
    let outsider = network.user.principal();
    assert_eq!(
        refused(network.ask_management(id, "canister_status", record())),
        ("IC0512".to_owned(), words.clone())
    );
    assert_eq!(
        rejected(network.manage("canister_status", record())).1,
        words
    );
    network.user = User::new(1);
    set(
        &mut network,
        id,
        CanisterSettings {
            status_visibility: Some(StatusVisibility::AllowedViewers(vec![outsider, stranger])),
            ..CanisterSettings::default()
        },
    );
    network
        .manage_by(stranger, "canister_metrics", record(), 0)
        .unwrap();
    network.user = User::new(2);
    let seen: CanisterStatusResult =
        answered(network.ask_management(id, "canister_status", record()));
    assert_eq!(seen.module_hash, asked.module_hash);
    replied(network.manage("canister_status", record()));
}

#[test]
fn composite_queries_ask_the_management_canister() {
    let mut network = network();
    let id = installed(&mut network);
    let ask = |network: &mut Network, method: &str, of: Principal| {
        let argument = hex::encode(candid::encode_one(CanisterRecord { canister_id: of }).unwrap());
        let program =
            format!("call aaaaa-aa {method} 0 - [0x{argument}] [reply_arg] [reply_reject] []");
        match network.query(id, "ask", program) {
            trilith_engine_canister::query::CallResult::Replied { arg } => arg,
            other => panic!("{other:?}"),
        }
    };
    let status: CanisterStatusResult =
        candid::decode_one(&ask(&mut network, "canister_status", id)).unwrap();
    assert!(status.module_hash.is_some());
    let _: CanisterMetricsResult =
        candid::decode_one(&ask(&mut network, "canister_metrics", id)).unwrap();
    let list: ListCanistersResult =
        candid::decode_one(&ask(&mut network, "list_canisters", id)).unwrap();
    assert_eq!(list.canisters.len(), 1);
    let other = installed(&mut network);
    let reject = String::from_utf8(ask(&mut network, "canister_status", other)).unwrap();
    assert!(reject.starts_with("5 IC0512: "), "{reject}");
    let reject = String::from_utf8(ask(&mut network, "start_canister", id)).unwrap();
    assert_eq!(reject, "5 IC0536: Query method start_canister not found.");
}

#[test]
fn canisters_are_listed_as_ranges() {
    let mut network = network();
    let ids: Vec<Principal> = (0..4).map(|_| network.create()).collect();
    let record = CanisterRecord {
        canister_id: ids[2],
    };
    replied(network.manage("stop_canister", record));
    let record = CanisterRecord {
        canister_id: ids[2],
    };
    replied(network.manage("delete_canister", record));
    let list: ListCanistersResult = answered(network.ask_management(ids[0], "list_canisters", ()));
    let ranges: Vec<(Principal, Principal)> = list
        .canisters
        .iter()
        .map(|range| (range.start, range.end))
        .collect();
    assert_eq!(ranges, vec![(ids[0], ids[1]), (ids[3], ids[3])]);
    let (_, message, error) = rejected(network.manage("list_canisters", ()));
    assert_eq!(error, "IC0406");
    assert_eq!(
        message,
        "ic00 method list_canisters can not be called via ingress messages"
    );
}

#[test]
fn prints_are_filtered_and_kept_within_the_limit_that_the_settings_state() {
    let mut network = network();
    let id = installed(&mut network);
    for n in 0..4 {
        replied(network.update(id, "run", format!("print {n}; reply x")));
    }
    let ask = |network: &mut Network, filter| {
        let canister_id = id;
        let args = FetchCanisterLogsArgs {
            canister_id,
            filter,
        };
        let found: FetchCanisterLogsResult =
            answered(network.ask_management(id, "fetch_canister_logs", args));
        found.canister_log_records
    };
    let all = ask(&mut network, None);
    assert_eq!(all.len(), 4);
    let some = ask(
        &mut network,
        Some(CanisterLogFilter::ByIdx { start: 1, end: 3 }),
    );
    assert_eq!(some.iter().map(|log| log.idx).collect::<Vec<_>>(), [1, 2]);
    let start = all[2].timestamp_nanos;
    let filter = CanisterLogFilter::ByTimestampNanos {
        start,
        end: u64::MAX,
    };
    assert_eq!(ask(&mut network, Some(filter)).len(), 2);
    set(
        &mut network,
        id,
        CanisterSettings {
            log_memory_limit: Some(Nat::from(2u8 * (16 + 1))),
            log_visibility: Some(LogVisibility::Public),
            ..CanisterSettings::default()
        },
    );
    let kept = ask(&mut network, None);
    assert_eq!(kept.iter().map(|log| log.idx).collect::<Vec<_>>(), [2, 3]);
    network.user = User::new(2);
    assert_eq!(ask(&mut network, None).len(), 2);
    network.user = User::new(1);
    // Empty prints count too.
    replied(network.update(id, "run", "print; ".repeat(9) + "reply x"));
    assert_eq!(ask(&mut network, None).len(), 2);
    replied(network.manage("uninstall_code", CanisterRecord { canister_id: id }));
    assert!(ask(&mut network, None).is_empty());
}

#[test]
fn the_subnet_tells_about_itself_and_no_other() {
    let mut network = network();
    let id = installed(&mut network);
    let subnet_id = Principal::self_authenticating(b"subnet");
    let metrics = network.manage_by(id, "subnet_metrics", SubnetMetricsArgs { subnet_id }, 0);
    let metrics: SubnetMetricsResult = candid::decode_one(&metrics.unwrap()).unwrap();
    assert_eq!(metrics.num_canisters, Nat::from(1u8));
    assert_eq!(metrics.block_height, Nat::from(network.round));
    assert!(metrics.canister_state_bytes > 65_536u32);
    assert!(metrics.consumed_cycles_total > 0u8);
    assert!(metrics.update_transactions_total >= 1u8);
    assert!(metrics.million_round_instructions_total > 20u8);
    let info = network.manage_by(id, "subnet_info", SubnetInfoArgs { subnet_id }, 0);
    let info: SubnetInfoResult = candid::decode_one(&info.unwrap()).unwrap();
    assert!(!info.replica_version.is_empty());
    let start_at_timestamp_nanos = 0;
    let args = NodeMetricsHistoryArgs {
        subnet_id,
        start_at_timestamp_nanos,
    };
    let history = network
        .manage_by(id, "node_metrics_history", args, 0)
        .unwrap();
    let history: NodeMetricsHistoryResult = candid::decode_one(&history).unwrap();
    assert!(history.is_empty());
    let other = SubnetInfoArgs { subnet_id: id };
    let reject = network.manage_by(id, "subnet_info", other, 0).unwrap_err();
    assert_eq!(reject, format!("4 IC0404: Subnet {id} not found."));
}

#[derive(CandidType)]
#[allow(non_camel_case_types)]
enum Curve {
    secp256k1,
}

#[derive(CandidType)]
#[allow(non_camel_case_types)]
enum Algorithm {
    ed25519,
}

#[derive(CandidType)]
struct EcdsaKey {
    curve: Curve,
    name: String,
}

#[derive(CandidType)]
struct SchnorrKey {
    algorithm: Algorithm,
    name: String,
}

#[derive(CandidType)]
struct Keyed<K> {
    key_id: K,
    derivation_path: Vec<Vec<u8>>,
}

#[derive(CandidType)]
#[allow(non_camel_case_types)]
enum BitcoinNetwork {
    testnet,
}

#[derive(CandidType)]
struct Balance {
    address: String,
    network: BitcoinNetwork,
}

#[test]
fn what_needs_the_world_outside_is_refused_as_by_a_subnet_without_it() {
    let mut network = network();
    let id = installed(&mut network);
    let (derivation_path, name) = (Vec::new(), "key_1".to_owned());
    let curve = Curve::secp256k1;
    let ecdsa = || Keyed {
        key_id: EcdsaKey {
            curve: Curve::secp256k1,
            name: "key_1".to_owned(),
        },
        derivation_path: Vec::new(),
    };
    let key_id = EcdsaKey { curve, name };
    let public = Keyed {
        key_id,
        derivation_path,
    };
    let reject = network
        .manage_by(id, "ecdsa_public_key", public, 0)
        .unwrap_err();
    assert_eq!(
        reject,
        "3 Unable to route management canister request ecdsa_public_key: ChainKeyError(\"Requested unknown threshold key: ecdsa:Secp256k1:key_1, existing keys: []\")"
    );
    let reject = network
        .manage_by(id, "sign_with_ecdsa", ecdsa(), 5)
        .unwrap_err();
    assert_eq!(
        reject,
        "3 Unable to route management canister request sign_with_ecdsa: ChainKeyError(\"Requested unknown or disabled threshold key: ecdsa:Secp256k1:key_1, existing enabled keys: []\")"
    );
    let schnorr = Keyed {
        key_id: SchnorrKey {
            algorithm: Algorithm::ed25519,
            name: "k".to_owned(),
        },
        derivation_path: Vec::new(),
    };
    let reject = network
        .manage_by(id, "sign_with_schnorr", schnorr, 0)
        .unwrap_err();
    assert!(reject.contains("schnorr:Ed25519:k"), "{reject}");
    let balance = Balance {
        address: "x".to_owned(),
        network: BitcoinNetwork::testnet,
    };
    let reject = network
        .manage_by(id, "bitcoin_get_balance", balance, 0)
        .unwrap_err();
    assert_eq!(reject, "3 No route to canister g4xu7-jiaaa-aaaan-aaaaq-cai");
    let reject = network.manage_by(id, "http_request", (), 0).unwrap_err();
    assert_eq!(reject, "5 IC0504: This API is not enabled on this subnet");
    let reject = network
        .manage_by(id, "setup_initial_dkg", (), 0)
        .unwrap_err();
    assert_eq!(
        reject,
        "5 IC0536: Management canister has no method 'setup_initial_dkg'"
    );
    // The cycles of what is refused come back.
    let program = "call aaaaa-aa http_request 1000 - [] [] [reply_refund] []";
    assert_eq!(replied(network.update(id, "run", program)), b"1000");
}
