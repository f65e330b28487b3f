//! What metering costs: three kernels as a canister's metered Wasm, as the same Wasm without a
//! meter, and native.
//!
//! The Wasm is compiled by the same compiler both times; the unmetered run has neither fuel nor the
//! instrumentation of the engine. All three give the same number, which is checked.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trilith_engine_canister::api::{CallMode, EntryPoint, Executor, Slice};
use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use wasmtime::{Engine, Instance, Module, Store};

#[path = "executor/request.rs"]
mod request;

/// Rounds of the arithmetic kernel.
const ROUNDS: u32 = 100_000_000;
/// Bytes of the sieve.
const SIEVE: u32 = 16 << 20;
/// Argument of the recursion.
const DEPTH: u32 = 35;

/// Each kernel is a function of nothing that gives an `i64`; a canister's method replies with it.
fn text(imported: bool) -> String {
    let (imports, methods) = if imported {
        let method = |name: &str| {
            format!(
                r#"(func (export "canister_update {name}")
                     (i64.store (i32.const 0) (call ${name}))
                     (call $append (i32.const 0) (i32.const 8)) (call $reply))"#
            )
        };
        (
            r#"(import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
               (import "ic0" "msg_reply" (func $reply))"#,
            ["arithmetic", "sieve", "recursion"].map(method).concat(),
        )
    } else {
        let export = |name: &str| format!(r#"(export "{name}" (func ${name}))"#);
        (
            "",
            ["arithmetic", "sieve", "recursion"].map(export).concat(),
        )
    };
    format!(
        r#"(module {imports}
  (memory 512)
  {methods}
  (func $arithmetic (result i64) (local $x i64) (local $n i32)
    (local.set $x (i64.const 88172645463325252))
    (local.set $n (i32.const {ROUNDS}))
    (loop $again
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
  (func $sieve (result i64) (local $i i32) (local $j i32) (local $count i64)
    (memory.fill (i32.const 64) (i32.const 1) (i32.const {SIEVE}))
    (local.set $i (i32.const 2))
    (loop $next
      (if (i32.load8_u offset=64 (local.get $i))
        (then
          (local.set $count (i64.add (local.get $count) (i64.const 1)))
          (local.set $j (i32.shl (local.get $i) (i32.const 1)))
          (block $done
            (loop $strike
              (br_if $done (i32.ge_u (local.get $j) (i32.const {SIEVE})))
              (i32.store8 offset=64 (local.get $j) (i32.const 0))
              (local.set $j (i32.add (local.get $j) (local.get $i)))
              (br $strike)))))
      (br_if $next (i32.lt_u
        (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {SIEVE}))))
    (local.get $count))
  (func $fib (param $n i32) (result i64)
    (if (result i64) (i32.lt_u (local.get $n) (i32.const 2))
      (then (i64.extend_i32_u (local.get $n)))
      (else (i64.add
        (call $fib (i32.sub (local.get $n) (i32.const 1)))
        (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func $recursion (result i64) (call $fib (i32.const {DEPTH}))))"#
    )
}

fn arithmetic() -> u64 {
    let mut x = 88_172_645_463_325_252_u64;
    for _ in 0..black_box(ROUNDS) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

fn sieve() -> u64 {
    let size = black_box(SIEVE) as usize;
    let mut is_prime = vec![1_u8; size];
    let mut count = 0;
    for i in 2..size {
        if is_prime[i] != 0 {
            count += 1;
            let mut j = i << 1;
            while j < size {
                is_prime[j] = 0;
                j += i;
            }
        }
    }
    count
}

fn recursion() -> u64 {
    #[inline(never)]
    fn fib(n: u32) -> u64 {
        if n < 2 {
            u64::from(n)
        } else {
            fib(black_box(n - 1)) + fib(black_box(n - 2))
        }
    }
    fib(black_box(DEPTH))
}

/// A native kernel by the name of its Wasm.
type Kernel = (&'static str, fn() -> u64);

const KERNELS: [Kernel; 3] = [
    ("arithmetic", arithmetic),
    ("sieve", sieve),
    ("recursion", recursion),
];

fn metered(criterion: &mut Criterion) {
    let executor = LocalExecutor::new(ExecutorConfig::default()).expect("an executor");
    let wasm = Arc::new(wat::parse_str(text(true)).expect("valid text"));
    let module = executor.prepare(&wasm).expect("a valid module");
    let engine = Engine::default();
    let plain = wat::parse_str(text(false)).expect("valid text");
    let plain = Module::new(&engine, plain).expect("a valid module");
    let mut group = criterion.benchmark_group("kernels");
    group.sample_size(10);
    for (name, native) in KERNELS {
        let expected = native();
        let mut call = request::request(EntryPoint::Update(name.into()), CallMode::Update);
        call.keep_changes = false;
        group.bench_function(format!("{name}, metered"), |bencher| {
            bencher.iter(|| {
                let mut execution = executor.start(&module, call.clone()).expect("it starts");
                let result = loop {
                    if let Slice::Finished(result) = execution.run_slice().expect("it runs") {
                        break result;
                    }
                };
                let effects = result.end.expect("it completes");
                assert_eq!(request::reply(&effects), expected.to_le_bytes());
            });
        });
        group.bench_function(format!("{name}, unmetered"), |bencher| {
            bencher.iter(|| {
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &plain, &[]).expect("it can be made");
                let kernel = instance.get_typed_func::<(), i64>(&mut store, name);
                let result = kernel.expect("it is there").call(&mut store, ());
                assert_eq!(result.expect("it completes") as u64, expected);
            });
        });
        group.bench_function(format!("{name}, native"), |bencher| {
            bencher.iter(|| assert_eq!(native(), expected));
        });
    }
    group.finish();
}

criterion_group!(benches, metered);
criterion_main!(benches);
