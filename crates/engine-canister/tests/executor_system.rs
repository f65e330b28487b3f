//! The system interface: contexts, calls, cycles, answers.

mod executor_support;

use std::sync::Arc;

use candid::Principal;
use executor_support::*;
use trilith_engine_canister::api::{
    Answer, CallMode, CallerInfo, EntryPoint, ExecutionResult, TrapKind,
};
use trilith_engine_canister::wasm::imports::{IMPORTS, Import};

const MODES: [CallMode; 15] = [
    CallMode::Start,
    CallMode::Init,
    CallMode::PreUpgrade,
    CallMode::Update,
    CallMode::ReplicatedQuery,
    CallMode::NonReplicatedQuery,
    CallMode::CompositeQuery,
    CallMode::ReplyCallback,
    CallMode::RejectCallback,
    CallMode::CompositeReplyCallback,
    CallMode::CompositeRejectCallback,
    CallMode::Cleanup,
    CallMode::CompositeCleanup,
    CallMode::InspectMessage,
    CallMode::SystemTask,
];

#[test]
fn functions_work_in_their_contexts_only() {
    let executor = executor();
    for import in IMPORTS {
        let types = |letters: &str, keyword: &str| {
            Import::widths(letters, false)
                .iter()
                .map(|wide| format!("({keyword} {})", if *wide { "i64" } else { "i32" }))
                .collect::<String>()
        };
        let arguments: String = Import::widths(import.parameters, false)
            .iter()
            .map(|wide| {
                if *wide {
                    "(i64.const 0)"
                } else {
                    "(i32.const 0)"
                }
            })
            .collect();
        let drop = if import.result.is_empty() { "" } else { "drop" };
        let wat = format!(
            r#"(module (import "ic0" "{}" (func $f {}{})) (memory 1)
              (func (export "canister_update go") {arguments} (call $f) {drop}))"#,
            import.name,
            types(import.parameters, "param"),
            types(import.result, "result"),
        );
        let module = prepare(&executor, &wat);
        for mode in MODES {
            let mut asked = request(EntryPoint::Update("go".into()));
            asked.mode = mode;
            let result = run(&executor, &module, asked);
            let refused = matches!(&result.end, Err(trap)
                if trap.kind == TrapKind::Contract && trap.message.contains("cannot be executed in"));
            assert_eq!(
                refused,
                !import.contexts.contains(mode),
                "{} in {mode:?}",
                import.name
            );
        }
    }
}

#[test]
fn a_refusal_has_the_usual_words() {
    let wat = r#"(module (import "ic0" "call_perform" (func $f (result i32))) (memory 1)
      (func (export "canister_query go") (drop (call $f))))"#;
    let executor = executor();
    let module = prepare(&executor, wat);
    let why = trap(run(
        &executor,
        &module,
        request(EntryPoint::Query("go".into())),
    ));
    assert_eq!(
        why.message,
        "Canister violated contract: \"ic0_call_perform\" cannot be executed in non replicated \
         query mode"
    );
}

#[test]
fn what_a_message_prints_is_bounded_in_bytes_and_lines() {
    let wat = r#"(module
      (import "ic0" "debug_print" (func $print (param i32 i32)))
      (memory 1)
      (func $many (param $size i32) (local $left i32)
        (local.set $left (i32.const 70000))
        (loop $again
          (call $print (i32.const 0) (local.get $size))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left))))
      (func (export "canister_update empty") (call $many (i32.const 0)))
      (func (export "canister_update long") (call $many (i32.const 1000))))"#;
    let executor = executor();
    let lines = |method: &str| update(&executor, wat, method).prints;
    assert_eq!(lines("empty").len(), (1 << 20) / 16);
    let long = lines("long");
    assert_eq!(long.len(), (1 << 20) / 1_016 + 1);
    assert!(long.last().unwrap().len() < 1_000);
}

#[test]
fn trap_and_print_carry_their_text() {
    let wat = r#"(module
      (import "ic0" "debug_print" (func $print (param i32 i32)))
      (import "ic0" "trap" (func $trap (param i32 i32)))
      (memory 1) (data (i32.const 0) "hello")
      (func (export "canister_update go")
        (call $print (i32.const 0) (i32.const 2)) (call $print (i32.const 2) (i32.const 3))
        (call $trap (i32.const 0) (i32.const 5))))"#;
    let result = update(&executor(), wat, "go");
    assert_eq!(result.prints, vec![b"he".to_vec(), b"llo".to_vec()]);
    let why = trap(result);
    assert_eq!(why.kind, TrapKind::Called);
    assert_eq!(
        why.message,
        "Canister called `ic0.trap` with message: 'hello'"
    );
}

/// Opens `count` calls with 1,000 cycles each; replies with the sum of what `call_perform` gave.
fn caller(count: u32) -> String {
    format!(
        r#"(module
      (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
      (import "ic0" "call_data_append" (func $data (param i32 i32)))
      (import "ic0" "call_on_cleanup" (func $cleanup (param i32 i32)))
      (import "ic0" "call_cycles_add128" (func $cycles (param i64 i64)))
      (import "ic0" "call_with_best_effort_response" (func $best (param i32)))
      (import "ic0" "call_perform" (func $perform (result i32)))
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
      (memory 1) (data (i32.const 0) "\01\02\03name")
      (func (export "canister_update go") (local $i i32) (local $sum i32)
        (loop $l
          (call $new (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 4)
            (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8))
          (call $data (i32.const 0) (i32.const 7))
          (call $cleanup (i32.const 9) (i32.const 10))
          (call $cycles (i64.const 0) (i64.const 1000))
          (call $best (i32.const 1000))
          (local.set $sum (i32.add (local.get $sum) (call $perform)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const {count}))))
        (i32.store (i32.const 64) (local.get $sum))
        (call $append (i32.const 64) (i32.const 4)) (call $reply)))"#
    )
}

fn sum(result: &ExecutionResult) -> u32 {
    match &result.end.as_ref().unwrap().answer {
        Some(Answer::Reply(bytes)) => u32::from_le_bytes(bytes[..4].try_into().unwrap()),
        other => panic!("no reply but {other:?}"),
    }
}

#[test]
fn calls_are_opened_and_paid_for() {
    let result = update(&executor(), &caller(1), "go");
    assert_eq!(sum(&result), 0);
    let call = effects(result).calls.remove(0);
    assert_eq!(
        (call.callee.as_slice(), call.method.as_str()),
        (&[1, 2, 3][..], "name")
    );
    assert_eq!(call.argument, b"\x01\x02\x03name");
    assert_eq!((call.on_reply, call.on_reject), ((5, 6), (7, 8)));
    assert_eq!(call.on_cleanup, Some((9, 10)));
    assert_eq!((call.cycles, call.timeout_seconds), (1_000, Some(300)));
}

#[test]
fn calls_stop_at_the_queue_and_at_the_freezing_threshold() {
    let executor = executor();
    let module = prepare(&executor, &caller(3));
    let mut asked = request(EntryPoint::Update("go".into()));
    asked.calls_max = 2;
    let result = run(&executor, &module, asked.clone());
    assert_eq!((sum(&result), effects(result).calls.len()), (2, 2));
    // Each call takes 1,000 cycles, 260,000 + 11 * 1,000 of fees and 5,000 for its response.
    asked.calls_max = 10;
    asked.balance_floor = 500;
    asked.balance = 500 + 2 * 277_000 + 276_999;
    let result = run(&executor, &module, asked.clone());
    assert_eq!((sum(&result), effects(result).calls.len()), (2, 2));
    asked.balance = 500 + 999;
    assert_eq!(
        trap(run(&executor, &module, asked)).kind,
        TrapKind::OutOfCycles
    );
}

#[test]
fn cycles_are_accepted_burned_and_shown() {
    let wat = r#"(module
      (import "ic0" "msg_cycles_available128" (func $available (param i32)))
      (import "ic0" "msg_cycles_accept128" (func $accept (param i64 i64 i32)))
      (import "ic0" "cycles_burn128" (func $burn (param i64 i64 i32)))
      (import "ic0" "canister_cycle_balance128" (func $balance (param i32)))
      (import "ic0" "canister_liquid_cycle_balance128" (func $liquid (param i32)))
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
      (memory 1)
      (func (export "canister_update go")
        (call $accept (i64.const 0) (i64.const 30) (i32.const 0))
        (call $available (i32.const 16))
        (call $accept (i64.const 1) (i64.const 0) (i32.const 32))
        (call $balance (i32.const 48))
        (call $burn (i64.const 1) (i64.const 0) (i32.const 64))
        (call $liquid (i32.const 80))
        (call $append (i32.const 0) (i32.const 96)) (call $reply)))"#;
    let executor = executor();
    let module = prepare(&executor, wat);
    let mut asked = request(EntryPoint::Update("go".into()));
    (asked.cycles_available, asked.balance, asked.balance_floor) = (100, 1_000, 300);
    let effects = effects(run(&executor, &module, asked));
    let expected: Vec<u8> = [30u128, 70, 70, 1_100, 800, 0]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    assert_eq!(effects.answer, Some(Answer::Reply(expected)));
    assert_eq!((effects.cycles_accepted, effects.cycles_burned), (100, 800));
}

#[test]
fn a_call_is_answered_once() {
    let wat = r#"(module
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reject" (func $reject (param i32 i32)))
      (memory 1) (data (i32.const 0) "no\ff")
      (func (export "canister_update twice") (call $reply) (call $reply))
      (func (export "canister_update reject") (call $reject (i32.const 0) (i32.const 2)))
      (func (export "canister_update garbled") (call $reject (i32.const 0) (i32.const 3)))
      (func (export "canister_update beyond") (call $reject (i32.const 65535) (i32.const 2))))"#;
    let executor = executor();
    assert_eq!(
        trap(update(&executor, wat, "twice")).kind,
        TrapKind::Contract
    );
    let answer = effects(update(&executor, wat, "reject")).answer;
    assert_eq!(answer, Some(Answer::Reject("no".into())));
    for method in ["garbled", "beyond"] {
        assert_eq!(
            trap(update(&executor, wat, method)).kind,
            TrapKind::Contract
        );
    }
    let module = prepare(&executor, wat);
    let mut asked = request(EntryPoint::Update("reject".into()));
    asked.answered = true;
    assert_eq!(
        trap(run(&executor, &module, asked)).kind,
        TrapKind::Contract
    );
}

/// Information about the caller is there where a user sent it along, and empty elsewhere.
#[test]
fn canisters_read_what_is_attested_about_their_callers() {
    let executor = executor();
    let module = prepare(
        &executor,
        r#"(module
          (import "ic0" "msg_caller_info_data_size" (func $data (result i32)))
          (import "ic0" "msg_caller_info_data_copy" (func $copy_data (param i32 i32 i32)))
          (import "ic0" "msg_caller_info_signer_size" (func $signer (result i32)))
          (import "ic0" "msg_caller_info_signer_copy" (func $copy_signer (param i32 i32 i32)))
          (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
          (import "ic0" "msg_reply" (func $reply))
          (memory 1)
          (func (export "canister_update go")
            (call $copy_data (i32.const 0) (i32.const 0) (call $data))
            (call $append (i32.const 0) (call $data))
            (call $copy_signer (i32.const 100) (i32.const 0) (call $signer))
            (call $append (i32.const 100) (call $signer))
            (call $reply))
          (func (export "canister_update beyond")
            (call $copy_data (i32.const 0) (i32.const 0) (i32.const 9))))"#,
    );
    let ask = |method: &str, info: Option<CallerInfo>| {
        let mut asked = request(EntryPoint::Update(method.into()));
        asked.caller_info = info.map(Arc::new);
        run(&executor, &module, asked).end
    };
    let info = CallerInfo {
        data: b"name=ada".to_vec(),
        signer: Principal::from_slice(&[7, 1, 1]),
    };
    let reply = |bytes: &[u8]| Some(Answer::Reply(bytes.to_vec()));
    let told = ask("go", Some(info.clone())).unwrap().answer;
    assert_eq!(told, reply(b"name=ada\x07\x01\x01"));
    assert_eq!(ask("go", None).unwrap().answer, reply(b""));
    for info in [Some(info), None] {
        assert!(ask("beyond", info).is_err(), "more than there is");
    }
}

#[test]
fn environment_variables_are_found_by_index_and_name() {
    let wat = r#"(module
      (import "ic0" "env_var_count" (func $count (result i32)))
      (import "ic0" "env_var_name_size" (func $name_size (param i32) (result i32)))
      (import "ic0" "env_var_name_copy" (func $name (param i32 i32 i32 i32)))
      (import "ic0" "env_var_name_exists" (func $exists (param i32 i32) (result i32)))
      (import "ic0" "env_var_value_size" (func $size (param i32 i32) (result i32)))
      (import "ic0" "env_var_value_copy" (func $value (param i32 i32 i32 i32 i32)))
      (import "ic0" "debug_print" (func $print (param i32 i32)))
      (memory 1) (data (i32.const 0) "BX")
      (func (export "canister_update go")
        (if (i32.ne (call $count) (i32.const 2)) (then unreachable))
        (if (i32.ne (call $name_size (i32.const 1)) (i32.const 1)) (then unreachable))
        (if (call $exists (i32.const 1) (i32.const 1)) (then unreachable))
        (if (i32.ne (call $size (i32.const 0) (i32.const 1)) (i32.const 3)) (then unreachable))
        (call $name (i32.const 1) (i32.const 8) (i32.const 0) (i32.const 1))
        (call $value (i32.const 0) (i32.const 1) (i32.const 9) (i32.const 0) (i32.const 3))
        (call $print (i32.const 8) (i32.const 4)))
      (func (export "canister_update missing")
        (drop (call $size (i32.const 1) (i32.const 1)))))"#;
    let executor = executor();
    let result = update(&executor, wat, "go");
    assert!(result.end.is_ok(), "{:?}", result.end);
    assert_eq!(result.prints, vec![b"Btwo".to_vec()]);
    assert_eq!(
        trap(update(&executor, wat, "missing")).kind,
        TrapKind::Contract
    );
}

#[test]
fn stable_memory_ends_where_it_ends() {
    let wat = r#"(module
      (import "ic0" "stable_grow" (func $grow (param i32) (result i32)))
      (import "ic0" "stable_size" (func $size (result i32)))
      (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
      (memory 1)
      (func (export "canister_update limit")
        (if (i32.ne (call $grow (i32.const 3)) (i32.const 0)) (then unreachable))
        (if (i32.ne (call $grow (i32.const 1000)) (i32.const -1)) (then unreachable))
        (if (i32.ne (call $size) (i32.const 3)) (then unreachable)))
      (func (export "canister_update beyond")
        (drop (call $grow (i32.const 1)))
        (call $read (i64.const 0) (i64.const 65530) (i64.const 7))))"#;
    let executor = executor();
    let module = prepare(&executor, wat);
    let mut asked = request(EntryPoint::Update("limit".into()));
    asked.stable_wasm_pages_max = 1_000;
    assert!(run(&executor, &module, asked.clone()).end.is_ok());
    asked.entry = EntryPoint::Update("beyond".into());
    let why = trap(run(&executor, &module, asked));
    assert_eq!(why.message, "Canister trapped: stable memory out of bounds");
}

#[test]
fn setting_the_timer_gives_the_previous_one() {
    let executor = executor();
    let module = prepare(
        &executor,
        r#"(module
          (import "ic0" "global_timer_set" (func $set (param i64) (result i64)))
          (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
          (import "ic0" "msg_reply" (func $reply))
          (memory 1)
          (func (export "canister_update go")
            (i64.store (i32.const 0) (call $set (i64.const 20)))
            (i64.store (i32.const 8) (call $set (i64.const 30)))
            (call $append (i32.const 0) (i32.const 16))
            (call $reply)))"#,
    );
    for before in [0u64, 77] {
        let mut asked = request(EntryPoint::Update("go".into()));
        asked.environment.global_timer = before;
        let result = run(&executor, &module, asked);
        let effects = result.end.expect("the message completes");
        let reply = [before.to_le_bytes(), 20u64.to_le_bytes()].concat();
        assert_eq!(effects.answer, Some(Answer::Reply(reply)));
        assert_eq!(effects.global_timer, Some(30));
    }
}
