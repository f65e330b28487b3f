//! What developers of canisters rely on beyond single calls: stages of upgrades, stopping with open
//! calls, parallel calls, codes of rejects.

use candid::Principal;
use trilith_engine_canister::query::{CallResult, RequestStatus};

use crate::network::*;
use crate::{MODULE, installed, network};

const TRAPS_IN_START: &[u8] = b"\0asm
export start: stable lost; trap start
export update run";

const TRAPS_IN_POST: &[u8] = b"\0asm
export post_upgrade: stable lost; certify lost; timer 1; trap post
export update run";

const SAVES: &[u8] = b"\0asm
export init
export pre_upgrade: stable saved
export update run";

#[test]
fn every_stage_of_an_upgrade_rolls_back_everything() {
    let mut network = network();
    let id = network.create();
    replied(network.install(
        id,
        Mode::install,
        SAVES,
        "set heap; stable before; certify data",
    ));
    for module in [
        TRAPS_IN_START,
        TRAPS_IN_POST,
        b"\0asm\nexport update run\nexport post_upgrade",
    ] {
        let argument = "stable lost; set lost; trap late";
        let (code, _, _) = rejected(network.install(id, Mode::upgrade(None), module, argument));
        assert_eq!(code, 5);
        assert_eq!(replied(network.update(id, "run", "reply_state")), b"heap");
        assert_eq!(
            replied(network.update(id, "run", "reply_stable")),
            b"before"
        );
    }
    // So does a first installation that fails: the canister stays empty.
    let other = network.create();
    let (_, message, _) = rejected(network.install(other, Mode::install, TRAPS_IN_START, ""));
    assert!(message.contains("'start'"), "{message}");
    let (_, _, error) = rejected(network.update(other, "run", "reply x"));
    assert_eq!(error, "IC0537");
    let (_, message, error) = rejected(network.install(other, Mode::upgrade(None), SAVES, ""));
    assert_eq!(error, "IC0537", "{message}");
    // Reinstalling forgets both memories.
    replied(network.install(id, Mode::reinstall, SAVES, ""));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"");
    assert_eq!(replied(network.update(id, "run", "reply_stable")), b"");
}

const PERSISTENT: &[u8] = b"\0asm
export init
export update run
section private enhanced-orthogonal-persistence yes";

#[test]
fn the_rule_of_persistent_heaps_has_the_replicas_words() {
    let mut network = network();
    let id = network.create();
    replied(network.install(id, Mode::install, PERSISTENT, "set kept"));
    let (code, message, error) = rejected(network.install(id, Mode::upgrade(None), PERSISTENT, ""));
    assert_eq!((code, error.as_str()), (5, "IC0504"));
    assert_eq!(
        message,
        "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option."
    );
    let keep = Mode::upgrade(Some(Upgrade {
        skip_pre_upgrade: None,
        wasm_memory_persistence: Some(Persistence::keep),
    }));
    let (_, message, error) = rejected(network.install(id, keep, MODULE, ""));
    assert_eq!(error, "IC0504");
    assert_eq!(
        message,
        "Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister module supports enhanced orthogonal persistence."
    );
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"kept");
}

#[test]
fn calls_in_parallel_are_answered_each_and_the_first_answer_stands() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    let three = installed(&mut network);
    let program = format!(
        "call {two} run 0 - [add 2, reply two] [add a, reply_arg] [] []; call {three} run 0 - [add 3, reply three] [add b] [] []"
    );
    let reply = replied(network.update(one, "run", program));
    assert_eq!(reply, b"two");
    let state = replied(network.update(one, "run", "reply_state"));
    assert!(state == b"ab" || state == b"ba", "{state:?}");
    assert_eq!(replied(network.update(three, "run", "reply_state")), b"3");
    // One after the other.
    let second = format!("call {three} run 0 - [reply 3] [reply_arg] [] []");
    let program = format!("call {two} run 0 - [reply 2] [{second}] [] []");
    assert_eq!(replied(network.update(one, "run", program)), b"3");
}

#[test]
fn a_stop_that_waits_too_long_is_answered_and_the_canister_goes_on_stopping() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    // The callee stays busy for longer than a stop waits.
    let program = format!("call {two} run 0 - [spend 39000000000, reply x] [reply_arg] [] []");
    let call = network.submit(one, "run", program.into_bytes());
    let record = candid::encode_one(CanisterRecord { canister_id: one }).unwrap();
    let stop = network.submit(
        Principal::management_canister(),
        "stop_canister",
        record.clone(),
    );
    network.time += 301 * SECOND;
    network.run(Vec::new());
    let (code, message, error) = rejected(network.status(stop));
    assert_eq!((code, error.as_str()), (2, "IC0206"));
    assert_eq!(message, "Stop canister request timed out");
    assert_eq!(network.status(call), RequestStatus::Processing);
    let (_, _, error) = rejected(network.update(one, "run", "reply x"));
    assert_eq!(error, "IC0509");
    network.settle();
    assert_eq!(replied(network.status(call)), b"x");
    // It has stopped meanwhile; starting while it stops cancels the wait.
    let (_, _, error) = rejected(network.update(one, "run", "reply x"));
    assert_eq!(error, "IC0508");
    replied(network.manage("start_canister", CanisterRecord { canister_id: one }));
    let program = format!("call {two} run 0 - [spend 9000000000, reply y] [reply_arg] [] []");
    let call = network.submit(one, "run", program.into_bytes());
    let stop = network.submit(Principal::management_canister(), "stop_canister", record);
    replied(network.manage("start_canister", CanisterRecord { canister_id: one }));
    let (_, message, error) = rejected(network.status(stop));
    assert_eq!(error, "IC0511");
    assert_eq!(
        message,
        format!("Canister {one}'s stop request was cancelled.")
    );
    network.settle();
    assert_eq!(replied(network.status(call)), b"y");
}

#[test]
fn what_arrives_after_an_uninstallation_is_dropped() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    let program =
        format!("call {two} run 500 - [spend 9000000000, reply x] [set late, reply_arg] [] []");
    let call = network.submit(one, "run", program.into_bytes());
    replied(network.manage("uninstall_code", CanisterRecord { canister_id: one }));
    replied(network.install(one, Mode::install, MODULE, ""));
    network.settle();
    let (code, message, error) = rejected(network.status(call));
    assert_eq!((code, error.as_str()), (4, "IC0406"));
    assert_eq!(message, "Canister has been uninstalled.");
    assert_eq!(replied(network.update(one, "run", "reply_state")), b"");
}

#[test]
fn composite_queries_are_bounded_in_depth_and_instructions() {
    let mut network = network();
    let ids: Vec<Principal> = (0..8).map(|_| installed(&mut network)).collect();
    let mut program = "reply deep".to_owned();
    for id in ids.iter().skip(1).rev() {
        program = format!("call {id} ask 0 - [{program}] [reply_arg] [reply_reject] []");
    }
    // The innermost program calls nobody, so that one canister less is deep enough.
    let allowed = program
        .strip_prefix(&format!("call {} ask 0 - [", ids[1]))
        .and_then(|program| program.strip_suffix("] [reply_arg] [reply_reject] []"))
        .unwrap();
    let CallResult::Replied { arg } = network.query(ids[0], "ask", allowed) else {
        panic!("no reply")
    };
    assert_eq!(arg, b"deep");
    let (error, message) = refused(network.query(ids[0], "ask", program));
    assert_eq!(error, "IC0525");
    assert_eq!(
        message,
        "Composite query calls exceeded the maximum call depth."
    );
    let greedy = format!(
        "call {} look 0 - [spend 4990000000, reply x] [reply_arg] [reply_reject] []",
        ids[1]
    );
    let twice = format!(
        "call {} look 0 - [spend 4900000000, reply x] [{greedy}] [reply_reject] []",
        ids[2]
    );
    // Two calls take 100M of the 5,000M beside what they run; the second finds nothing left.
    let (error, message) = refused(network.query(ids[0], "ask", twice));
    assert_eq!(error, "IC0526");
    assert_eq!(
        message,
        "Composite query calls exceeded the instruction limit."
    );
    // What one canister runs is bounded too.
    let (error, message) = refused(network.query(ids[0], "ask", "spend 5000000000; reply x"));
    assert_eq!(error, "IC0522", "{message}");
}

#[test]
fn the_six_codes_of_rejects_each_have_their_situation() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    let code_of = |network: &mut Network, program: String| {
        let reject = replied(network.update(one, "run", program));
        String::from_utf8(reject).unwrap().chars().next().unwrap()
    };
    let call = |callee: Principal, method: &str, timeout: &str, argument: &str| {
        format!("call {callee} {method} 0 {timeout} [{argument}] [reply_arg] [reply_reject] []")
    };
    // 1: more compute than the subnet has.
    use ic_management_canister_types::{CanisterSettings, CreateCanisterArgs};
    let create = |percent: u8| CreateCanisterArgs {
        settings: Some(CanisterSettings {
            compute_allocation: Some(percent.into()),
            freezing_threshold: Some(1u8.into()),
            ..CanisterSettings::default()
        }),
        sender_canister_version: None,
    };
    for _ in 0..2 {
        network
            .manage_by(one, "create_canister", create(100), 1_000_000_000_000)
            .unwrap();
    }
    let fatal = network.manage_by(one, "create_canister", create(100), 1_000_000_000_000);
    assert!(fatal.unwrap_err().starts_with("1 IC0101: "));
    // 3: nobody there. 4: the callee says no. 5: the callee fails.
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    assert_eq!(code_of(&mut network, call(nobody, "run", "-", "")), '3');
    assert_eq!(
        code_of(&mut network, call(two, "run", "-", "reject no")),
        '4'
    );
    assert_eq!(code_of(&mut network, call(two, "run", "-", "trap no")), '5');
    // 6: a call with a deadline whose answer comes too late.
    let program = call(two, "run", "1", "spend 21000000000, reply late");
    let late = network.submit(one, "run", program.into_bytes());
    network.time += 2 * SECOND;
    network.run(Vec::new());
    network.run(Vec::new());
    assert_eq!(replied(network.status(late))[0], b'6');
    network.settle();
    // 2: the callee cannot pay now.
    use ic_management_canister_types::UpdateSettingsArgs;
    let settings = CanisterSettings {
        freezing_threshold: Some(1_000_000_000_000u64.into()),
        ..CanisterSettings::default()
    };
    replied(network.manage(
        "update_settings",
        UpdateSettingsArgs {
            canister_id: two,
            settings,
            sender_canister_version: None,
        },
    ));
    assert_eq!(code_of(&mut network, call(two, "run", "-", "reply x")), '2');
}

#[test]
fn a_composite_query_cleans_up_and_goes_on_with_its_other_calls() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    let program = format!(
        "set a; call {two} look 0 - [reply x] [set lost, trap oh] [] [add  cleaned]; call {two} look 0 - [reply y] [add  second, reply_state] [] []"
    );
    assert_eq!(
        network.query(one, "ask", program),
        CallResult::Replied {
            arg: b"a cleaned second".to_vec()
        }
    );
}

#[test]
fn an_upgrade_keeps_certified_data_and_stops_the_timer_and_a_reinstallation_forgets_both() {
    use trilith_protocol::{Demand, Runtime};
    let mut network = network();
    let id = network.create();
    let module = b"\0asm\nexport init\nexport update run\nexport query look\nexport timer: add !";
    replied(network.install(id, Mode::install, module, "certify data"));
    let data = |network: &mut Network| {
        let certificate = match network.query(id, "look", "reply_certificate") {
            CallResult::Replied { arg } => arg,
            other => panic!("{other:?}"),
        };
        format!("{:?}", network.verify(&certificate))
    };
    let shown = format!("{:?}", b"data".to_vec());
    assert!(data(&mut network).contains(&shown));
    let at = network.time + 60 * SECOND;
    replied(network.update(id, "run", format!("timer {at}; reply x")));
    assert_ne!(network.engine.demand(&network.state).unwrap(), Demand::Idle);
    replied(network.install(id, Mode::upgrade(None), module, ""));
    assert_eq!(network.engine.demand(&network.state).unwrap(), Demand::Idle);
    assert!(data(&mut network).contains(&shown));
    replied(network.install(id, Mode::reinstall, module, ""));
    assert!(!data(&mut network).contains(&shown));
}

#[test]
fn a_task_without_cycles_is_left_out_and_its_timer_is_off() {
    use ic_management_canister_types::{CanisterSettings, UpdateSettingsArgs};
    use trilith_protocol::{Demand, Runtime};
    let mut network = network();
    let id = network.create();
    let module = b"\0asm\nexport update run\nexport timer: add !";
    replied(network.install(id, Mode::install, module, ""));
    let at = network.time + 60 * SECOND;
    replied(network.update(id, "run", format!("timer {at}; reply x")));
    let threshold = |seconds: u64| UpdateSettingsArgs {
        canister_id: id,
        settings: CanisterSettings {
            freezing_threshold: Some(seconds.into()),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    replied(network.manage("update_settings", threshold(1_000_000_000_000)));
    network.time = at;
    network.run(Vec::new());
    assert_eq!(network.engine.demand(&network.state).unwrap(), Demand::Idle);
    replied(network.manage("update_settings", threshold(0)));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"");
}
