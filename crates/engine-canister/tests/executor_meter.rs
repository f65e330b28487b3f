//! What instructions cost: counts worked out by hand from the weights.

mod executor_support;

use executor_support::*;
use trilith_engine_canister::api::EntryPoint;

/// Entering the message's function.
const ENTRY: u64 = 1;

/// Runs the body of an update method of a module with 32-bit or 64-bit memory.
fn cost_in(memory: &str, body: &str) -> u64 {
    let wat = format!(
        r#"(module
          (import "ic0" "time" (func $time (result i64)))
          (import "ic0" "debug_print" (func $print (param {memory} {memory})))
          (memory {memory} 1)
          (table 1 funcref) (elem (i32.const 0) $nothing)
          (global $g (mut i64) (i64.const 0))
          (func $nothing)
          (func $early (param i32) (result i32)
            (if (local.get 0) (then (return (i32.const 7)))) (i32.const 8))
          (func $tail (return_call $nothing))
          (func (export "canister_update go") (local i32 i64 f64) {body}))"#
    );
    let result = update(&executor(), &wat, "go");
    assert!(result.end.is_ok(), "{body}: {:?}", result.end);
    result.instructions - ENTRY
}

fn cost(body: &str) -> u64 {
    cost_in("i32", body)
}

#[test]
fn operators_cost_their_weights() {
    let cases = [
        ("", 0),
        ("nop nop", 2),
        ("(drop (i32.const 1))", 2),
        ("(local.set 0 (i32.add (i32.const 1) (i32.const 2)))", 4),
        ("(local.set 1 (i64.sub (i64.const 1) (i64.const 2)))", 4),
        ("(drop (i64.lt_s (i64.const 1) (i64.const 2)))", 4),
        (
            "(global.set $g (i64.add (global.get $g) (i64.const 1)))",
            2 + 1 + 1 + 2,
        ),
        ("(drop (i32.div_u (i32.const 9) (i32.const 3)))", 13),
        ("(if (i32.const 0) (then nop nop nop nop))", 1 + 2),
        (
            "(if (i32.const 1) (then nop) (else nop nop nop))",
            1 + 2 + 1,
        ),
        ("(block (br 0))", 2),
        ("(block (br_if 0 (i32.const 1)) nop)", 3),
        ("(call $nothing)", 5),
        ("(call_indirect (i32.const 0))", 11),
        (
            "(drop (call $early (i32.const 1)))",
            1 + 5 + 1 + (1 + 2 + 1 + 2),
        ),
        (
            "(drop (call $early (i32.const 0)))",
            1 + 5 + 1 + (1 + 2 + 1),
        ),
        ("(call $tail)", 5 + 3),
        ("(drop (f64.sqrt (f64.const 2)))", 1 + 8 + 1),
        ("(drop (f64.min (f64.const 2) (f64.const 3)))", 2 + 18 + 1),
        ("(drop (f64.convert_i64_u (i64.const 3)))", 1 + 16 + 1),
        ("(drop (i32.trunc_f64_s (f64.const 3)))", 1 + 20 + 1),
        ("(drop (memory.size))", 21),
        ("(drop (memory.grow (i32.const 1)))", 302),
        ("(drop (ref.func $nothing))", 131),
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 50))",
            3 + 100 + 50,
        ),
        (
            "(memory.copy (i32.const 0) (i32.const 9) (i32.const 70))",
            3 + 100 + 70,
        ),
        ("(drop (i32.load (i32.const 0)))", 3),
        ("(i32.store (i32.const 0) (i32.const 0))", 3),
        // Storing another value dirties one page of the heap.
        ("(i32.store (i32.const 0) (i32.const 1))", 3 + 8_000),
        ("(local.set 1 (call $time))", 5 + 500 + 1),
        (
            "(call $print (i32.const 0) (i32.const 30))",
            2 + 5 + 100 + 30,
        ),
        (
            "(loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get 0) (i32.const 10))))",
            10 * (4 + 3 + 2),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(cost(body), expected, "{body}");
    }
}

#[test]
fn accesses_to_wide_memories_cost_one_more() {
    assert_eq!(cost_in("i64", "(drop (i32.load (i64.const 0)))"), 4);
    assert_eq!(
        cost_in("i64", "(i64.store8 (i64.const 0) (i64.const 0))"),
        4
    );
    assert_eq!(cost_in("i64", "(drop (v128.load (i64.const 0)))"), 4);
    assert_eq!(cost_in("i64", "(drop (memory.grow (i64.const 1)))"), 302);
    assert_eq!(
        cost_in("i64", "(local.set 0 (i32.add (i32.const 1) (i32.const 2)))"),
        4
    );
}

#[test]
fn stable_memory_costs_pages_and_bytes() {
    let wat = r#"(module
      (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
      (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
      (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
      (memory 1)
      (func (export "canister_update grow") (drop (call $grow (i64.const 1))))
      (func (export "canister_update read") (drop (call $grow (i64.const 1)))
        (call $read (i64.const 0) (i64.const 4090) (i64.const 10)))
      (func (export "canister_update write") (drop (call $grow (i64.const 1)))
        (call $write (i64.const 0) (i64.const 0) (i64.const 10))
        (call $write (i64.const 20) (i64.const 0) (i64.const 10))))"#;
    let executor = executor();
    let grow = ENTRY + 1 + 5 + 500 + 1;
    let copy = 3 + 5 + 20 + 10;
    assert_eq!(update(&executor, wat, "grow").instructions, grow);
    assert_eq!(
        update(&executor, wat, "read").instructions,
        grow + copy + 2 * 5_000
    );
    assert_eq!(
        update(&executor, wat, "write").instructions,
        grow + 2 * copy + 5_000 + 8_000
    );
}

#[test]
fn the_performance_counter_shows_the_meter() {
    let wat = r#"(module
      (import "ic0" "performance_counter" (func $counter (param i32) (result i64)))
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
      (memory 1)
      (func (export "canister_query go")
        (i64.store (i32.const 0) (call $counter (i32.const 0)))
        (i64.store (i32.const 8) (call $counter (i32.const 1)))
        (call $append (i32.const 0) (i32.const 16)) (call $reply)))"#;
    let executor = executor();
    let module = prepare(&executor, wat);
    let mut asked = request(EntryPoint::Query("go".into()));
    asked.keep_changes = false;
    let result = run(&executor, &module, asked);
    // Two constants, the call and its price; then the store, two more constants and a call.
    let first = ENTRY + 2 + 5 + 200u64;
    let second = first + 1 + 2 + 5 + 200 + 1_000;
    let expected = [first.to_le_bytes(), second.to_le_bytes()].concat();
    assert_eq!(
        effects(result).answer,
        Some(trilith_engine_canister::api::Answer::Reply(expected))
    );
}
