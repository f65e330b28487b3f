//! The executor, in process: entries, memories, slices, bounds, traps.

mod executor_support;

use executor_support::*;
use trilith_engine_canister::api::{
    Answer, CallMode, EntryPoint, ExecutionRequest, ExecutionResult, Executor, GlobalValue,
    TrapKind,
};
use trilith_engine_canister::executor::LocalExecutor;

/// A counter with a global, a heap cell at 0x2000 and a stable cell; replies with the heap cell.
const COUNTER: &str = r#"(module
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
  (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
  (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
  (memory 4)
  (data (i32.const 0x2000) "\05\00\00\00")
  (global $calls (mut i32) (i32.const 0))
  (func (export "canister_init") (drop (call $grow (i64.const 2))))
  (func $bump
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 0x2000) (i32.add (i32.load (i32.const 0x2000)) (i32.const 1)))
    (call $read (i64.const 0x2100) (i64.const 70000) (i64.const 4))
    (i32.store (i32.const 0x2100) (i32.add (i32.load (i32.const 0x2100)) (i32.const 3)))
    (call $write (i64.const 70000) (i64.const 0x2100) (i64.const 4)))
  (func (export "canister_update inc")
    (call $bump)
    (call $append (i32.const 0x2000) (i32.const 4))
    (call $reply))
  (func (export "canister_update fail") (call $bump) (unreachable))
  (func (export "canister_query get")
    (call $append (i32.const 0x2000) (i32.const 4))
    (call $reply)))"#;

fn reply(result: ExecutionResult) -> Vec<u8> {
    match effects(result).answer {
        Some(Answer::Reply(bytes)) => bytes,
        other => panic!("no reply but {other:?}"),
    }
}

fn install(
    executor: &LocalExecutor,
    wat: &str,
) -> (
    std::sync::Arc<trilith_engine_canister::api::PreparedModule>,
    ExecutionRequest,
) {
    let module = prepare(executor, wat);
    let mut next = request(EntryPoint::Init);
    let result = run(executor, &module, next.clone());
    advance(&mut next, &result);
    (module, next)
}

fn enter(base: &ExecutionRequest, entry: EntryPoint) -> ExecutionRequest {
    let fresh = request(entry.clone());
    ExecutionRequest {
        entry,
        mode: fresh.mode,
        ..base.clone()
    }
}

#[test]
fn a_counter_keeps_globals_heap_and_stable_memory() {
    for executor in [executor(), plain_executor()] {
        let (module, mut next) = install(&executor, COUNTER);
        for round in 1..=5u32 {
            let result = run(
                &executor,
                &module,
                enter(&next, EntryPoint::Update("inc".into())),
            );
            advance(&mut next, &result);
            let memory = result.end.as_ref().unwrap().memory.as_ref().unwrap();
            assert_eq!(memory.globals, vec![GlobalValue::I32(round as i32)]);
            assert_eq!(memory.heap_runs.len(), 1);
            assert_eq!(
                (memory.heap_runs[0].page, memory.heap_runs[0].count),
                (2, 1)
            );
            assert_eq!(memory.stable_runs.len(), 1);
            assert_eq!(
                (memory.stable_runs[0].page, memory.stable_runs[0].count),
                (17, 1)
            );
            assert_eq!(reply(result), (5 + round).to_le_bytes());
            assert_eq!(
                next.stable.read(70_000, 4).unwrap(),
                (3 * round).to_le_bytes()
            );
        }
        let query = run(
            &executor,
            &module,
            enter(&next, EntryPoint::Query("get".into())),
        );
        assert_eq!(reply(query), 10u32.to_le_bytes());
    }
}

#[test]
fn a_trap_undoes_everything_and_the_memory_can_be_used_again() {
    let executor = executor();
    let (module, mut next) = install(&executor, COUNTER);
    let failed = run(
        &executor,
        &module,
        enter(&next, EntryPoint::Update("fail".into())),
    );
    assert!(failed.instructions > 0);
    assert_eq!(failed.memory_version, next.memory_version);
    let why = trap(failed);
    assert_eq!(
        (why.kind, why.message.as_str()),
        (TrapKind::Wasm, "Canister trapped: unreachable")
    );
    let result = run(
        &executor,
        &module,
        enter(&next, EntryPoint::Update("inc".into())),
    );
    advance(&mut next, &result);
    assert_eq!(reply(result), 6u32.to_le_bytes());
    assert_eq!(next.globals, vec![GlobalValue::I32(1)]);
}

#[test]
fn queries_leave_the_memory_as_it_was() {
    let executor = executor();
    let (module, next) = install(&executor, COUNTER);
    let mut query = enter(&next, EntryPoint::Update("inc".into()));
    query.keep_changes = false;
    let first = run(&executor, &module, query.clone());
    assert!(first.end.as_ref().unwrap().memory.is_none());
    query.memory_version = first.memory_version;
    let second = run(&executor, &module, query);
    assert_eq!(reply(first), reply(second));
}

#[test]
fn an_abandoned_message_leaves_nothing() {
    let executor = executor();
    let (module, next) = install(&executor, COUNTER);
    drop(
        executor
            .start(&module, enter(&next, EntryPoint::Update("inc".into())))
            .unwrap(),
    );
    let result = run(
        &executor,
        &module,
        enter(&next, EntryPoint::Update("inc".into())),
    );
    assert_eq!(reply(result), 6u32.to_le_bytes());
}

const LOOP: &str = r#"(module
  (import "ic0" "msg_caller_size" (func $size (result i32)))
  (memory 1)
  (func (export "canister_update compute") (local i32)
    (loop $l
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get 0) (i32.const 300000)))))
  (func (export "canister_update chatter") (local i32)
    (loop $l
      (drop (call $size))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get 0) (i32.const 3000)))))
  (func (export "canister_update crash") (local i32)
    (loop $l
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get 0) (i32.const 300000))))
    (i32.store (i32.const -1) (i32.const 0))))"#;

#[test]
fn slices_do_not_change_the_count() {
    let executor = executor();
    let module = prepare(&executor, LOOP);
    for (method, kind) in [
        ("compute", None),
        ("chatter", None),
        ("crash", Some(TrapKind::Wasm)),
    ] {
        let mut counts = Vec::new();
        for slice in [1, 100_000, 250_000, 1_000_000_000] {
            let mut asked = request(EntryPoint::Update(method.into()));
            asked.slice_instructions = slice;
            let (result, slices) = run_counting(&executor, &module, asked);
            assert_eq!(result.end.as_ref().err().map(|trap| trap.kind), kind);
            counts.push((result.instructions, slices));
        }
        assert!(
            counts.iter().all(|(count, _)| *count == counts[0].0),
            "{method}: {counts:?}"
        );
        assert!(
            counts[0].1 > counts[2].1 && counts[2].1 > 4,
            "{method}: {counts:?}"
        );
        assert_eq!(counts[3].1, 1);
    }
}

#[test]
fn a_trapping_loop_pays_for_what_it_ran() {
    let executor = executor();
    let completed = update(&executor, LOOP, "compute").instructions;
    let crashed = update(&executor, LOOP, "crash").instructions;
    assert!(crashed + 100_000 > completed, "{crashed} of {completed}");
}

#[test]
fn instructions_run_out_at_the_same_point_for_any_slice() {
    let executor = executor();
    let module = prepare(&executor, LOOP);
    for method in ["compute", "chatter"] {
        for slice in [1, 70_000, 1_000_000_000] {
            let mut asked = request(EntryPoint::Update(method.into()));
            asked.slice_instructions = slice;
            asked.instructions_max = 500_000;
            let result = run(&executor, &module, asked);
            assert_eq!(result.instructions, 500_000);
            assert_eq!(trap(result).kind, TrapKind::OutOfInstructions);
        }
    }
}

/// A recursion with `locals` locals per level, `depth` levels deep.
fn recursion(locals: usize, depth: u32) -> String {
    let types = "i64 ".repeat(locals);
    let mut body = String::new();
    for local in 1..=locals {
        body += &format!("(local.set {local} (i64.extend_i32_u (local.get 0)))");
    }
    body += "(if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))";
    for local in 1..=locals {
        body += &format!("(global.set $g (i64.add (global.get $g) (local.get {local})))");
    }
    format!(
        r#"(module (memory 1) (global $g (mut i64) (i64.const 0))
          (func $f (param i32) (local {types}) {body})
          (func (export "canister_update go") (call $f (i32.const {depth}))))"#
    )
}

#[test]
fn the_call_depth_bound_is_counted_not_measured() {
    let executor = executor();
    for (locals, deepest) in [(0, 65_530), (20, 32_760), (1_000, 1_020)] {
        let result = update(&executor, &recursion(locals, deepest), "go");
        assert!(result.end.is_ok(), "{locals}: {:?}", result.end);
        let result = update(&executor, &recursion(locals, deepest + 10), "go");
        assert_eq!(trap(result).kind, TrapKind::StackOverflow, "{locals}");
        let result = update(&executor, &recursion(locals, 1_000_000), "go");
        assert_eq!(trap(result).kind, TrapKind::StackOverflow, "{locals}");
    }
}

#[test]
fn wide_values_on_the_operand_stack_are_counted() {
    // 500 vectors wait on the operand stack across each call: 508 units and more, 512 in all.
    let push = "(v128.load (i32.const 0))".repeat(500);
    let pop = "(global.set $sink)".repeat(500);
    let wat = |depth: u32| {
        format!(
            r#"(module (memory 1) (global $sink (mut v128) (v128.const i64x2 0 0))
              (func $f (param i32)
                {push}
                (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))
                {pop})
              (func (export "canister_update go") (call $f (i32.const {depth}))))"#
        )
    };
    let executor = executor();
    assert!(update(&executor, &wat(2_040), "go").end.is_ok());
    assert_eq!(
        trap(update(&executor, &wat(2_050), "go")).kind,
        TrapKind::StackOverflow
    );
}

#[test]
fn tail_calls_and_returns_give_their_stack_back() {
    let result = update(
        &executor(),
        r#"(module
          (func $count (param i32 i64) (result i64)
            (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
            (return_call $count (i32.sub (local.get 0) (i32.const 1))
              (i64.add (local.get 1) (i64.const 2))))
          (func $pair (param i32) (result i32 i32)
            (if (local.get 0) (then (return (i32.const 1) (i32.const 2))))
            (block (result i32 i32) (i32.const 3) (i32.const 4) (br 1)))
          (func (export "canister_update go") (local i32)
            (if (i64.ne (call $count (i32.const 2000000) (i64.const 0)) (i64.const 4000000))
              (then unreachable))
            (loop $l
              (if (i32.ne (i32.sub (call $pair (local.get 0))) (i32.const -1)) (then unreachable))
              (local.set 0 (i32.add (local.get 0) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get 0) (i32.const 200000))))))"#,
        "go",
    );
    assert!(result.end.is_ok(), "{:?}", result.end);
}

#[test]
fn user_traps_are_not_stack_overflows() {
    for (body, words) in [
        ("unreachable", "unreachable"),
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "integer division by 0",
        ),
        ("(drop (i32.load (i32.const 65536)))", "heap out of bounds"),
        ("(call_indirect (i32.const 3))", "table out of bounds"),
        ("(call_indirect (i32.const 0))", "indirect call to null"),
    ] {
        let wat = format!(
            r#"(module (memory 1) (table 1 funcref)
              (func (export "canister_update go") {body}))"#
        );
        let why = trap(update(&executor(), &wat, "go"));
        assert_eq!(why.kind, TrapKind::Wasm);
        assert_eq!(why.message, format!("Canister trapped: {words}"));
    }
}

#[test]
fn every_entry_is_found_and_missing_ones_are_told() {
    let executor = executor();
    let wat = r#"(module
      (import "ic0" "debug_print" (func $print (param i32 i32)))
      (memory 1) (data (i32.const 0) "sigphtlucqx")
      (table 2 funcref) (elem (i32.const 1) $callback)
      (func $p (param i32) (call $print (local.get 0) (i32.const 1)))
      (func $start (call $p (i32.const 0)))
      (start $start)
      (func (export "canister_init") (call $p (i32.const 1)))
      (func (export "canister_pre_upgrade") (call $p (i32.const 2)))
      (func (export "canister_post_upgrade") (call $p (i32.const 3)))
      (func (export "canister_heartbeat") (call $p (i32.const 4)))
      (func (export "canister_global_timer") (call $p (i32.const 5)))
      (func (export "canister_on_low_wasm_memory") (call $p (i32.const 6)))
      (func (export "canister_update u") (call $p (i32.const 7)))
      (func (export "canister_composite_query c") (call $p (i32.const 8)))
      (func (export "canister_query q") (call $p (i32.const 9)))
      (func (export "canister_inspect_message") (call $p (i32.const 10)))
      (func $callback (param i32) (call $p (local.get 0))))"#;
    let module = prepare(&executor, wat);
    assert!(module.has_start);
    assert_eq!(module.exports.len(), 10);
    let entries = [
        (EntryPoint::Start, "s"),
        (EntryPoint::Init, "i"),
        (EntryPoint::PreUpgrade, "g"),
        (EntryPoint::PostUpgrade, "p"),
        (EntryPoint::Heartbeat, "h"),
        (EntryPoint::GlobalTimer, "t"),
        (EntryPoint::OnLowWasmMemory, "l"),
        (EntryPoint::Update("u".into()), "u"),
        (EntryPoint::CompositeQuery("c".into()), "c"),
        (EntryPoint::Query("q".into()), "q"),
        (EntryPoint::InspectMessage, "x"),
        (
            EntryPoint::Callback {
                function: 1,
                environment: 4,
            },
            "h",
        ),
    ];
    for (entry, printed) in entries {
        let result = run(&executor, &module, request(entry.clone()));
        assert!(result.end.is_ok(), "{entry:?}: {:?}", result.end);
        assert_eq!(
            result.prints,
            vec![printed.as_bytes().to_vec()],
            "{entry:?}"
        );
    }
    let callback = |function| EntryPoint::Callback {
        function,
        environment: 0,
    };
    for (entry, kind) in [
        (EntryPoint::Update("q".into()), TrapKind::MethodNotFound),
        (callback(0), TrapKind::FunctionNotFound),
        (callback(9), TrapKind::FunctionNotFound),
    ] {
        let result = run(&executor, &module, request(entry));
        assert_eq!((result.instructions, trap(result).kind), (0, kind));
    }
}

#[test]
fn tables_do_not_carry_over() {
    let executor = executor();
    let wat = r#"(module
      (import "ic0" "trap" (func $trap (param i32 i32)))
      (memory 1) (table 2 2 funcref) (elem declare func $f)
      (func $f)
      (func (export "canister_update set")
        (if (i32.eqz (ref.is_null (table.get (i32.const 1))))
          (then (call $trap (i32.const 0) (i32.const 0))))
        (table.set (i32.const 1) (ref.func $f))))"#;
    let module = prepare(&executor, wat);
    let mut next = request(EntryPoint::Update("set".into()));
    for _ in 0..3 {
        let result = run(&executor, &module, next.clone());
        advance(&mut next, &result);
    }
    assert!(next.memory_version.is_some());
}

#[test]
fn sixty_four_bit_memories_and_tables_work() {
    let executor = executor();
    let wat = r#"(module
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i64 i64)))
      (import "ic0" "msg_arg_data_size" (func $size (result i64)))
      (memory i64 2)
      (table i64 3 funcref) (elem (i64.const 2) $callback)
      (func $callback (param i64)
        (i64.store (i64.const 8) (local.get 0))
        (call $append (i64.const 8) (i64.const 8)) (call $reply))
      (func (export "canister_update go")
        (if (i64.ne (memory.grow (i64.const 70000)) (i64.const 2)) (then unreachable))
        (i64.store (i64.const 4500000000) (call $size))
        (call $append (i64.const 4500000000) (i64.const 8)) (call $reply)))"#;
    let module = prepare(&executor, wat);
    assert!(module.memory64);
    let mut asked = request(EntryPoint::Update("go".into()));
    asked.heap_wasm_pages_max = 98_304;
    asked.argument = vec![0; 77];
    let result = run(&executor, &module, asked.clone());
    let mut next = asked;
    advance(&mut next, &result);
    assert_eq!(next.heap_wasm_pages, 70_002);
    assert_eq!(reply(result), 77u64.to_le_bytes());
    assert_eq!(next.heap.read(4_500_000_000, 1).unwrap(), [77]);
    let environment = 0x1_2345_6789_u64;
    let mut callback = enter(
        &next,
        EntryPoint::Callback {
            function: 2,
            environment,
        },
    );
    callback.mode = CallMode::ReplyCallback;
    assert_eq!(
        reply(run(&executor, &module, callback)),
        environment.to_le_bytes()
    );
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    let executor = executor();
    let wat = r#"(module
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
      (memory 1 100)
      (func (export "canister_update go")
        (i32.store (i32.const 0) (memory.grow (i32.const 3)))
        (i32.store (i32.const 4) (memory.grow (i32.const 1)))
        (call $append (i32.const 0) (i32.const 8)) (call $reply)))"#;
    let module = prepare(&executor, wat);
    let mut asked = request(EntryPoint::Update("go".into()));
    asked.heap_wasm_pages_max = 4;
    let result = run(&executor, &module, asked.clone());
    assert_eq!(reply(result), [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    asked.heap_wasm_pages_max = 0;
    assert_eq!(
        trap(run(&executor, &module, asked)).kind,
        TrapKind::MemoryLimit
    );
}

#[test]
fn results_do_not_depend_on_what_is_cached() {
    // Scattered writes and zeroings, so that mirrors, image runs and zero pages mix.
    let wat = r#"(module
      (memory 8) (global $n (mut i32) (i32.const 0))
      (func (export "canister_init"))
      (func (export "canister_update step") (local $i i32) (local $at i32)
        (loop $l
          (local.set $at (i32.and
            (i32.mul (i32.add (global.get $n) (local.get $i)) (i32.const 40503))
            (i32.const 0x7fffc)))
          (i32.store (local.get $at) (i32.and (global.get $n) (local.get $i)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 9))))
        (if (i32.eq (global.get $n) (i32.const 20)) (then (drop (memory.grow (i32.const 1)))))
        (global.set $n (i32.add (global.get $n) (i32.const 1)))))"#;
    let (warm, cold) = (executor(), plain_executor());
    let (module, mut left) = install(&warm, wat);
    let (_, mut right) = install(&cold, wat);
    for round in 0..40 {
        let step = |base: &ExecutionRequest| enter(base, EntryPoint::Update("step".into()));
        let a = run(&warm, &module, step(&left));
        let b = run(&cold, &module, step(&right));
        assert_eq!(a.instructions, b.instructions, "round {round}");
        let pages = |result: &ExecutionResult| {
            let memory = result.end.as_ref().unwrap().memory.as_ref().unwrap();
            memory
                .heap_runs
                .iter()
                .map(|run| (run.page, run.count))
                .collect::<Vec<_>>()
        };
        assert_eq!(pages(&a), pages(&b), "round {round}");
        advance(&mut left, &a);
        advance(&mut right, &b);
        let len = left.heap_wasm_pages as usize * 65_536;
        assert_eq!(
            left.heap.read(0, len).unwrap(),
            right.heap.read(0, len).unwrap()
        );
        if round % 7 == 3 {
            left.memory_version = None;
        }
    }
}
