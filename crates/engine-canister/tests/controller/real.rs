//! Snapshots, memory limits and the old stable memory calls with real modules: what the scripted
//! executor cannot show about memories that an executor still holds.

use std::sync::Arc;

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterSettings, LoadCanisterSnapshotArgs, Snapshot, TakeCanisterSnapshotArgs,
    UpdateSettingsArgs,
};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::query::CallResult;

use crate::network::*;

/// Counts in a global, in its memory and in its stable memory, and answers with all three.
const COUNTER: &str = r#"(module
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "stable_grow" (func $stable_grow (param i32) (result i32)))
  (import "ic0" "stable_write" (func $stable_write (param i32 i32 i32)))
  (import "ic0" "stable_read" (func $stable_read (param i32 i32 i32)))
  (memory 1)
  (global $count (mut i32) (i32.const 48))
  (data (i32.const 0) "0")
  (func (export "canister_init")
    (drop (call $stable_grow (i32.const 1)))
    (call $stable_write (i32.const 65535) (i32.const 0) (i32.const 1)))
  (func $answer
    (i32.store8 (i32.const 1) (global.get $count))
    (call $stable_read (i32.const 2) (i32.const 65535) (i32.const 1))
    (call $append (i32.const 0) (i32.const 3)) (call $reply))
  (func (export "canister_query read") (call $answer))
  (func (export "canister_update count")
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (call $stable_read (i32.const 9) (i32.const 65535) (i32.const 1))
    (i32.store8 (i32.const 9) (i32.add (i32.load8_u (i32.const 9)) (i32.const 1)))
    (call $stable_write (i32.const 65535) (i32.const 9) (i32.const 1))
    (call $answer))
  (func (export "canister_update grow")
    (drop (memory.grow (i32.const 1)))
    (i32.store8 (i32.const 5) (i32.add (memory.size) (i32.const 48)))
    (call $append (i32.const 5) (i32.const 1)) (call $reply))
  (func (export "canister_update short") (call $append (i32.const 6) (i32.const 1)) (call $reply))
  (func (export "canister_on_low_wasm_memory") (i32.store8 (i32.const 6) (i32.const 33))))"#;

fn local() -> Arc<LocalExecutor> {
    Arc::new(LocalExecutor::new(ExecutorConfig::default()).unwrap())
}

fn counter() -> (Network, Principal) {
    let mut network = Network::new(local(), || local());
    let id = network.create();
    let module = wat::parse_str(COUNTER).unwrap();
    replied(network.install(id, Mode::install, &module, ""));
    (network, id)
}

fn read(network: &mut Network, id: Principal) -> Vec<u8> {
    match network.query(id, "read", "") {
        CallResult::Replied { arg } => arg,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loaded_snapshot_replaces_memories_that_the_executor_still_holds() {
    let (mut network, id) = counter();
    assert_eq!(replied(network.update(id, "count", "")), b"111");
    let take = TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reply = replied(network.manage("take_canister_snapshot", take));
    let taken: Snapshot = candid::decode_one(&reply).unwrap();
    for expected in [b"222", b"333"] {
        assert_eq!(replied(network.update(id, "count", "")), expected);
    }
    replied(network.update(id, "grow", ""));
    let load = LoadCanisterSnapshotArgs {
        canister_id: id,
        snapshot_id: taken.id,
        sender_canister_version: None,
    };
    for _ in 0..2 {
        replied(network.manage("load_canister_snapshot", load.clone()));
        assert_eq!(read(&mut network, id), b"111");
        assert_eq!(replied(network.update(id, "count", "")), b"222");
        assert_eq!(replied(network.update(id, "grow", "")), b"2");
    }
}

#[test]
fn a_module_is_held_to_its_memory_limit_and_told_before() {
    let (mut network, id) = counter();
    let settings = CanisterSettings {
        wasm_memory_limit: Some(Nat::from(3u32 * 65_536)),
        wasm_memory_threshold: Some(Nat::from(2u32 * 65_536)),
        ..CanisterSettings::default()
    };
    replied(network.manage(
        "update_settings",
        UpdateSettingsArgs {
            canister_id: id,
            settings,
            sender_canister_version: None,
        },
    ));
    assert_eq!(replied(network.update(id, "short", "")), b"\0");
    assert_eq!(replied(network.update(id, "grow", "")), b"2");
    assert_eq!(replied(network.update(id, "short", "")), b"!");
    assert_eq!(replied(network.update(id, "grow", "")), b"3");
    let (code, message, error) = rejected(network.update(id, "grow", ""));
    assert_eq!((code, error.as_str()), (5, "IC0539"), "{message}");
    // What the message did is gone, and the canister goes on.
    assert_eq!(replied(network.update(id, "count", "")), b"111");
    let (_, _, error) = rejected(network.update(id, "grow", ""));
    assert_eq!(error, "IC0539");
}
