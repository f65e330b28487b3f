//! Which modules are refused, and that no bytes bring validation down.

use proptest::prelude::*;
use trilith_engine_canister::wasm::{self, imports::IMPORTS, imports::Import};

fn refusal(wat: &str) -> String {
    wasm::validate(&wat::parse_str(wat).unwrap()).expect_err(wat)
}

#[test]
fn broken_rules_are_named() {
    let big_names: String = (0..3)
        .map(|n| {
            format!(
                "(func (export \"canister_update {n}{}\"))",
                "x".repeat(7_000)
            )
        })
        .collect();
    let many_methods: String = (0..1_001)
        .map(|n| format!("(func (export \"canister_query {n}\"))"))
        .collect();
    let many_globals = "(global i32 (i32.const 0))".repeat(1_001);
    let many_functions = "(func)".repeat(50_001);
    let long = format!("(func {})", "nop ".repeat(1_000_001));
    // The function's own end has one point too, so that its calls and one `nop` go beyond.
    let complex = format!("(func $f {})", "call $f ".repeat(20_000) + "nop");
    let sections: String = (0..17)
        .map(|n| format!("(@custom \"icp:public s{n}\" \"\")"))
        .collect();
    let large = format!("(@custom \"icp:public s\" \"{}\")", "x".repeat(1 << 20));
    let cases = [
        (
            "(import \"ic0\" \"nothing\" (func))",
            "Wasm module has an invalid import section. Module imports function 'nothing' from \
             'ic0' that is not exported by the runtime.",
        ),
        (
            "(import \"ic0\" \"time\" (func))",
            "Wasm module has an invalid function signature. Expected return type [I64] for \
             'time', got [].",
        ),
        (
            "(import \"ic0\" \"time\" (func (param i32) (result i64)))",
            "Expected input params [] for 'time', got [I32].",
        ),
        (
            "(import \"env\" \"time\" (func (result i64)))",
            "Module imports function \"time\" from \"env\", expected to be imported from one of \
             [\"ic0\"] instead.",
        ),
        (
            "(import \"env\" \"clock\" (func (result i64)))",
            "Module imports function 'clock' from 'env' that is not exported by the runtime.",
        ),
        ("(import \"ic0\" \"m\" (memory 1))", "Importing memories"),
        (
            "(import \"ic0\" \"t\" (table 1 funcref))",
            "Importing tables",
        ),
        (
            "(import \"ic0\" \"g\" (global i32))",
            "Importing globals is not allowed.",
        ),
        (
            "(import \"ic0\" \"stable_size\" (func (result i32))) (memory i64 1)",
            "64-bit memories",
        ),
        (
            "(func (export \"canister_foo\"))",
            "Wasm module has an invalid export section. Exporting reserved function \
             'canister_foo' with \"canister_\" prefix",
        ),
        (
            "(func (export \"canister_init\") (param i32))",
            "Expected input params [] for 'canister_init', got [I32].",
        ),
        (
            "(func (export \"canister_query a\") (result i32) (i32.const 0))",
            "Expected return type [] for 'canister_query a', got [I32].",
        ),
        (
            "(global (export \"canister_init\") i32 (i32.const 0))",
            "Exporting reserved symbol canister_init",
        ),
        (
            "(func (export \"canister_update a\")) (func (export \"canister_query a\"))",
            "Duplicate function 'a' exported multiple times with different call types: update, \
             query, or composite_query.",
        ),
        (
            "(memory 1) (memory 1)",
            "Wasmtime failed to validate wasm module",
        ),
        (
            "(memory 1 1 shared)",
            "Wasmtime failed to validate wasm module",
        ),
        (
            "(memory 1) (data (i32.const 65530) \"0123456789\")",
            "Wasm module has invalid data segment of 10 bytes at 65530",
        ),
        (
            "(global (mut funcref) (ref.null func))",
            "Wasm module has an invalid global section. Unsupported global type",
        ),
        (
            "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
            "Wasmtime failed to validate wasm module",
        ),
        ("(table 1000001 funcref)", "1000001"),
        ("(tag)", "Wasmtime failed to validate wasm module"),
        ("(type (struct))", "Wasmtime failed to validate wasm module"),
        (
            "(@custom \"icp:secret x\" \"\")",
            "Wasm module has an invalid custom section. Invalid custom section: Custom section \
             'icp:secret x' has no public/private scope defined.",
        ),
        (
            "(@custom \"icp:public\" \"\")",
            "'icp:' section names must have a space after the public/private scope",
        ),
        (
            "(@custom \"icp:public x\" \"\") (@custom \"icp:private x\" \"\")",
            "Invalid custom section: name x already exists",
        ),
        (
            &complex,
            "complexity 1000001 which exceeds the maximum complexity allowed 1000000",
        ),
        (&big_names, "20000"),
        (&many_methods, "1001"),
        (&many_globals, "1001"),
        (&many_functions, "50001"),
        (
            &long,
            "of size 1000001 that exceeds the maximum allowed size of 1000000",
        ),
        (&sections, "17"),
        (&large, "1048576"),
    ];
    for (fields, expected) in cases {
        let message = refusal(&format!("(module {fields})"));
        let shown: String = fields.chars().take(60).collect();
        assert!(message.contains(expected), "{shown}: {message}");
    }
    assert!(
        wasm::validate(&vec![0; wasm::MODULE_BYTES_MAX + 1])
            .unwrap_err()
            .contains("limit")
    );
}

#[test]
fn facts_of_a_module_are_found() {
    let wat = r#"(module
      (memory 3 9)
      (global i32 (i32.const 1)) (global (mut f32) (f32.const 1.5)) (global (mut i64) (i64.const -1))
      (func $s) (start $s)
      (func (export "canister_query q")) (func (export "other") (result i32) (i32.const 1))
      (@custom "icp:private b" "two") (@custom "icp:public a" "one") (@custom "other" "three"))"#;
    let bytes = wat::parse_str(wat).unwrap();
    let module = wasm::validate(&bytes).unwrap();
    assert_eq!((module.memory_minimum, module.memory_maximum), (3, Some(9)));
    assert_eq!(module.globals.len(), 2);
    assert!(module.has_start && !module.memory64);
    assert_eq!(module.exports.len(), 1);
    let names: Vec<_> = module
        .metadata
        .iter()
        .map(|m| (m.name.as_str(), m.public))
        .collect();
    assert_eq!(names, [("a", true), ("b", false)]);
    assert_eq!(module.instruction_count, 4);
    assert_eq!(module.wasm_bytes, bytes.len() as u64);
}

#[test]
fn every_import_is_accepted_with_its_type_and_no_other() {
    for import in IMPORTS {
        for memory64 in [false, true] {
            let list = |letters: &str, keyword: &str| {
                Import::widths(letters, memory64)
                    .iter()
                    .map(|wide| format!("({keyword} {})", if *wide { "i64" } else { "i32" }))
                    .collect::<String>()
            };
            let (parameters, result) = (
                list(import.parameters, "param"),
                list(import.result, "result"),
            );
            let memory = if memory64 { "i64" } else { "" };
            let module = |extra: &str| {
                format!(
                    "(module (import \"ic0\" \"{}\" (func {parameters}{extra}{result})) \
                     (memory {memory} 1))",
                    import.name
                )
            };
            let verdict = wasm::compile(&wat::parse_str(module("")).unwrap());
            assert_eq!(
                verdict.is_ok(),
                !(import.narrow && memory64),
                "{}",
                import.name
            );
            assert!(refusal(&module("(param f32)")).contains(import.name));
        }
    }
}

#[test]
fn what_instrumentation_makes_is_valid_and_keeps_indices() {
    let wat = r#"(module
      (type $pair (func (param i32) (result i32 i64)))
      (memory 1) (table 2 funcref) (elem (i32.const 0) $a $b)
      (data "passive") (data (i32.const 4) "active") (data "last")
      (func $a (type $pair) (if (local.get 0) (then (return (i32.const 1) (i64.const 2))))
        (i32.const 3) (i64.const 4))
      (func $b (param i32) (result i32)
        (block (br_table 0 0 (local.get 0))) (br 0 (i32.const 5)))
      (func $c (export "keeps_ref_func") (drop (ref.func $c)) (return_call $d))
      (func $d (memory.init 2 (i32.const 0) (i32.const 0) (i32.const 4)) (data.drop 0)))"#;
    let rewritten = wasm::instrument(&wat::parse_str(wat).unwrap()).unwrap();
    wasmparser::validate(&rewritten).unwrap();
}

#[test]
fn artifacts_survive_encoding() {
    let wat = "(module (memory 1) (data (i32.const 7) \"abc\") (func (export \"canister_init\")))";
    let (_, compiled) = wasm::compile(&wat::parse_str(wat).unwrap()).unwrap();
    assert_eq!(compiled.segments, vec![(7, b"abc".to_vec())]);
    let bytes = compiled.to_bytes();
    assert_eq!(wasm::Compiled::from_bytes(&bytes).unwrap(), compiled);
    assert!(wasm::Compiled::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    let again = wasm::compile(&wat::parse_str(wat).unwrap()).unwrap().1;
    assert_eq!(again, compiled, "compilation repeats itself byte for byte");
}

const SAMPLE: &str = r#"(module
  (import "ic0" "msg_reply" (func $reply)) (memory 1) (table 2 funcref) (elem (i32.const 0) $f)
  (global (mut i32) (i32.const 3)) (data (i32.const 1) "xyz") (start $f)
  (func $f (local i64 f32) (loop (br_if 0 (i32.const 0))) (return))
  (func (export "canister_update go") (call $reply)) (@custom "icp:public a" "b"))"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic(tail: Vec<u8>) {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.extend_from_slice(&tail);
        prop_assert!(wasm::instrument(&bytes).is_ok() || !tail.is_empty());
        let _ = wasm::Compiled::from_bytes(&tail);
    }

    #[test]
    fn garbled_modules_are_refused_or_rewritten_validly(
        edits in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = wat::parse_str(SAMPLE).unwrap();
        for (place, value) in edits {
            let len = bytes.len();
            bytes[usize::from(place) % len] = value;
        }
        if let Ok(rewritten) = wasm::instrument(&bytes) {
            prop_assert!(wasmparser::validate(&rewritten).is_ok());
        }
    }
}
