//! Real Wasm through controller and executor, in process: two engines agree in every round, one
//! that keeps its caches and one that is made anew each time, executor included.

#[allow(dead_code, reason = "the harness serves several test binaries")]
#[path = "controller/network.rs"]
mod network;

use std::sync::Arc;

use candid::Principal;
use network::{InstallArgs, Mode, Network, Persistence, SECOND, Upgrade, rejected, replied};
use trilith_engine_canister::api::Executor;
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::query::{CallResult, RequestStatus};

fn network() -> Network {
    let make = || -> Arc<dyn Executor> {
        Arc::new(LocalExecutor::new(ExecutorConfig::default()).expect("this machine runs Wasm"))
    };
    Network::new(make(), make)
}

fn installed(network: &mut Network, wat: &str) -> Principal {
    let id = network.create();
    replied(network.install(id, Mode::install, &wat::parse_str(wat).unwrap(), ""));
    id
}

const COUNTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
    (import "ic0" "global_timer_set" (func $timer (param i64) (result i64)))
    (import "ic0" "time" (func $time (result i64)))
    (memory 1)
    (data (i32.const 0) "\05\00\00\00")
    (data (i32.const 100) "too far")
    (func $answer
        (call $append (i32.const 0) (i32.const 4))
        (call $reply))
    (func $inc
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
    (func (export "canister_update inc") (call $inc) (call $answer))
    (func (export "canister_query get") (call $answer))
    (func (export "canister_query inc_query") (call $inc) (call $answer))
    (func (export "canister_update fail")
        (call $inc)
        (call $trap (i32.const 100) (i32.const 7)))
    (func (export "canister_update crash") (call $inc) unreachable)
    (func (export "canister_update later")
        (drop (call $timer (i64.add (call $time) (i64.const 60000000000))))
        (call $answer))
    (func (export "canister_global_timer") (call $inc))
    (func (export "canister_pre_upgrade")
        (drop (call $grow (i64.const 1)))
        (call $write (i64.const 0) (i64.const 0) (i64.const 4)))
    (func (export "canister_post_upgrade")
        (call $read (i64.const 0) (i64.const 0) (i64.const 4)))
    (func (export "canister_update spin") (local $left i32)
        (local.set $left (i32.const 150000))
        (loop $again
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $answer))
)"#;

fn number(status: RequestStatus) -> u32 {
    u32::from_le_bytes(replied(status).try_into().unwrap())
}

#[test]
fn a_counter_counts_and_traps_roll_back() {
    let mut network = network();
    let id = installed(&mut network, COUNTER);
    assert_eq!(
        network.query(id, "get", ""),
        CallResult::Replied {
            arg: vec![5, 0, 0, 0]
        }
    );
    assert_eq!(
        network.query(id, "inc_query", ""),
        CallResult::Replied {
            arg: vec![6, 0, 0, 0]
        }
    );
    assert_eq!(number(network.update(id, "inc", "")), 6);
    let (code, message, error) = rejected(network.update(id, "fail", ""));
    assert_eq!((code, error.as_str()), (5, "IC0503"));
    let words =
        format!("Error from Canister {id}: Canister called `ic0.trap` with message: 'too far'");
    assert_eq!(message, words);
    let (code, _, error) = rejected(network.update(id, "crash", ""));
    assert_eq!((code, error.as_str()), (5, "IC0502"));
    assert_eq!(number(network.update(id, "inc_query", "")), 7);
    assert_eq!(number(network.update(id, "inc", "")), 7);
}

#[test]
fn an_upgrade_carries_the_counter_in_stable_memory() {
    let mut network = network();
    let id = installed(&mut network, COUNTER);
    assert_eq!(number(network.update(id, "inc", "")), 6);
    let wasm = wat::parse_str(COUNTER).unwrap();
    replied(network.install(id, Mode::upgrade(None), &wasm, ""));
    assert_eq!(number(network.update(id, "inc", "")), 7);
    replied(network.install(id, Mode::reinstall, &wasm, ""));
    assert_eq!(number(network.update(id, "inc", "")), 6);
}

#[test]
fn a_timer_fires() {
    let mut network = network();
    let id = installed(&mut network, COUNTER);
    assert_eq!(number(network.update(id, "later", "")), 5);
    network.time += 61 * SECOND;
    network.run(Vec::new());
    assert_eq!(
        network.query(id, "get", ""),
        CallResult::Replied {
            arg: vec![6, 0, 0, 0]
        }
    );
}

#[test]
fn a_long_message_goes_on_over_rounds_with_and_without_its_execution() {
    let mut network = network();
    let id = installed(&mut network, COUNTER);
    let call = network.submit(id, "spin", Vec::new());
    assert_eq!(network.status(call), RequestStatus::Processing);
    let rounds = network.round;
    network.settle();
    assert!(
        network.round > rounds,
        "the message took more than one round"
    );
    assert_eq!(replied(network.status(call)), [1, 1, 1, 1]);
}

const TIMER: &str = r#"(module
    (import "ic0" "global_timer_set" (func $timer (param i64) (result i64)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 1)
    (func $set (param i64)
        (i64.store (i32.const 0) (call $timer (local.get 0)))
        (call $append (i32.const 0) (i32.const 8))
        (call $reply))
    (func (export "canister_post_upgrade")
        (i64.store (i32.const 16) (call $timer (i64.const 0))))
    (func (export "canister_update set") (call $set (i64.const 4000000000000000000)))
    (func (export "canister_update stop") (call $set (i64.const 0)))
    (func (export "canister_update seen")
        (call $append (i32.const 16) (i32.const 8)) (call $reply)))"#;

#[test]
fn the_previous_timer_is_told_across_messages_and_ends_with_the_code() {
    const SET: u64 = 4_000_000_000_000_000_000;
    let mut network = network();
    let id = installed(&mut network, TIMER);
    let call = |network: &mut Network, method: &str| {
        let bytes = replied(network.update(id, method, ""));
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    assert_eq!(call(&mut network, "set"), 0);
    assert_eq!(call(&mut network, "stop"), SET);
    assert_eq!(call(&mut network, "set"), 0);
    let wasm = wat::parse_str(TIMER).unwrap();
    replied(network.install(id, Mode::upgrade(None), &wasm, ""));
    assert_eq!(call(&mut network, "seen"), 0);
    assert_eq!(call(&mut network, "set"), 0);
}

const RELAY: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (import "ic0" "msg_reject_code" (func $code (result i32)))
    (import "ic0" "msg_arg_data_size" (func $size (result i32)))
    (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "ic0" "call_on_cleanup" (func $cleanup (param i32 i32)))
    (import "ic0" "call_perform" (func $perform (result i32)))
    (memory 1)
    (table 4 4 funcref)
    (elem (i32.const 0) $on_reply $on_reject $on_trap $on_cleanup)
    (data (i32.const 100) "incfail")
    (func $on_reply (param i32)
        (call $copy (i32.const 200) (i32.const 0) (call $size))
        (call $append (i32.const 200) (call $size))
        (call $reply))
    (func $on_reject (param i32)
        (i32.store (i32.const 200) (call $code))
        (call $append (i32.const 200) (i32.const 4))
        (call $reply))
    (func $on_trap (param i32)
        (i32.store (i32.const 300) (i32.const 99))
        (call $trap (i32.const 100) (i32.const 3)))
    (func $on_cleanup (param i32)
        (i32.store (i32.const 300) (i32.add (i32.load (i32.const 300)) (local.get 0))))
    (func $call (param $name i32) (param $len i32) (param $callback i32)
        (call $copy (i32.const 0) (i32.const 0) (i32.const 10))
        (call $new (i32.const 0) (i32.const 10) (local.get $name) (local.get $len)
            (local.get $callback) (i32.const 0) (i32.const 1) (i32.const 0))
        (call $cleanup (i32.const 3) (i32.const 7))
        (if (call $perform) (then unreachable)))
    (func (export "canister_update relay") (call $call (i32.const 100) (i32.const 3) (i32.const 0)))
    (func (export "canister_update refuse") (call $call (i32.const 103) (i32.const 4) (i32.const 0)))
    (func (export "canister_update late")
        (i32.store (i32.const 300) (i32.const 1))
        (call $call (i32.const 100) (i32.const 3) (i32.const 2)))
    (func (export "canister_query seen")
        (call $append (i32.const 300) (i32.const 4))
        (call $reply))
)"#;

#[test]
fn canisters_call_each_other() {
    let mut network = network();
    let counter = installed(&mut network, COUNTER);
    let relay = installed(&mut network, RELAY);
    assert_eq!(
        number(network.update(relay, "relay", counter.as_slice())),
        6
    );
    assert_eq!(
        number(network.update(relay, "refuse", counter.as_slice())),
        5
    );
    let (code, message, error) = rejected(network.update(relay, "late", counter.as_slice()));
    assert_eq!((code, error.as_str()), (5, "IC0503"), "{message}");
    // What was done before the await stays, what the callback did is gone, the cleanup ran.
    assert_eq!(
        network.query(relay, "seen", ""),
        CallResult::Replied {
            arg: vec![8, 0, 0, 0]
        }
    );
    assert_eq!(
        network.query(counter, "get", ""),
        CallResult::Replied {
            arg: vec![7, 0, 0, 0]
        }
    );
}

#[test]
fn an_invalid_module_is_refused_in_words() {
    let mut network = network();
    let canister_id = network.create();
    let wasm_module = wat::parse_str(r#"(module (func (export "canister_updat x")))"#).unwrap();
    let args = InstallArgs {
        mode: Mode::install,
        canister_id,
        wasm_module,
        arg: Vec::new(),
    };
    let (code, message, error) = rejected(network.manage("install_code", args));
    assert_eq!((code, error.as_str()), (5, "IC0505"));
    assert!(
        message.starts_with(&format!(
            "Error from Canister {canister_id}: Canister's Wasm module is not valid: "
        )),
        "{message}"
    );
}

/// Replies of Motoko are Candid; these are small natural numbers.
fn nat(reply: Vec<u8>) -> u64 {
    let number: candid::Nat = candid::decode_one(&reply).unwrap();
    u64::try_from(number.0).unwrap()
}

#[test]
fn motoko_keeps_its_heap_across_an_upgrade() {
    const V1: &[u8] = include_bytes!("../../../canisters/motoko/counter.wasm");
    const V2: &[u8] = include_bytes!("../../../canisters/motoko/counter_v2.wasm");
    let mut network = network();
    let id = network.create();
    replied(network.install(id, Mode::install, V1, "DIDL\0\0"));
    for expected in 1..=3 {
        let reply = replied(network.update(id, "inc", "DIDL\0\0"));
        assert_eq!(nat(reply), expected);
    }
    let keep = Mode::upgrade(Some(Upgrade {
        skip_pre_upgrade: None,
        wasm_memory_persistence: Some(Persistence::keep),
    }));
    replied(network.install(id, keep, V2, "DIDL\0\0"));
    assert_eq!(nat(replied(network.update(id, "dec", "DIDL\0\0"))), 2);
}
