//! Modules that are refused, by the real executor: each rule and limit with its code and words, the
//! canister unchanged.

use std::io::Write as _;
use std::sync::Arc;

use trilith_engine_canister::executor::{ExecutorConfig, LocalExecutor};
use trilith_engine_canister::query::CallResult;

use crate::network::*;

const KEPT: &str = r#"(module
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (memory 1) (data (i32.const 0) "kept")
  (func (export "canister_query kept")
    (call $append (i32.const 0) (i32.const 4)) (call $reply)))"#;

fn local() -> Arc<LocalExecutor> {
    Arc::new(LocalExecutor::new(ExecutorConfig::default()).unwrap())
}

/// Bytes of a section: its number, its length, and its content.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut len = content.len();
    while len >= 0x80 {
        bytes.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// As it is sent: compressed, if it would not fit into a message.
fn sent(module: Vec<u8>) -> Vec<u8> {
    if module.len() < 100_000 {
        return module;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&module).unwrap();
    encoder.finish().unwrap()
}

/// A module from text.
fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).unwrap()
}

/// Bytes that are no module, or not one that a canister may be.
fn malformed() -> Vec<(Vec<u8>, &'static str)> {
    let header = b"\0asm\x01\0\0\0".to_vec();
    let function = [section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0])].concat();
    let large_code = [function, section(10, &vec![1; (12 << 20) + 2])].concat();
    vec![
        (Vec::new(), "Wasmtime failed to validate wasm module"),
        (
            b"no wasm".to_vec(),
            "Wasmtime failed to validate wasm module",
        ),
        (
            header[..6].to_vec(),
            "Wasmtime failed to validate wasm module",
        ),
        (
            [&header[..], &[1, 0xff]].concat(),
            "Wasmtime failed to validate wasm module",
        ),
        (
            b"\x1f\x8bno stream".to_vec(),
            "Failed to decode wasm module: the gzip stream is damaged",
        ),
        (
            [header, large_code].concat(),
            "Wasm module code section size of 12582913 exceeds the maximum allowed size of 12582912",
        ),
        (module("(memory 1) (memory 1)"), "multi"),
    ]
}

/// Modules with more of something than the limit.
fn beyond_limits() -> Vec<(Vec<u8>, &'static str)> {
    let names: String = (0..3)
        .map(|n| {
            format!(
                "(func (export \"canister_update {n}{}\"))",
                "x".repeat(7_000)
            )
        })
        .collect();
    let methods: String = (0..1_001)
        .map(|n| format!("(func (export \"canister_query {n}\"))"))
        .collect();
    let sections: String = (0..17)
        .map(|n| format!("(@custom \"icp:public s{n}\" \"\")"))
        .collect();
    let large = format!("(@custom \"icp:public s\" \"{}\")", "x".repeat(1 << 20));
    vec![
        (
            module(&"(func)".repeat(50_001)),
            "Wasm module defined 50001 functions which exceeds the maximum number allowed 50000.",
        ),
        (
            module(&"(global i32 (i32.const 0))".repeat(1_001)),
            "Wasm module defined 1001 globals which exceeds the maximum number allowed 1000.",
        ),
        (
            module(&sections),
            "Wasm module defined 17 custom sections which exceeds the maximum number allowed 16.",
        ),
        (
            module(&large),
            "total size of the custom sections exceeds the maximum allowed: size 1048577 bytes, allowed 1048576 bytes",
        ),
        (
            module(&methods),
            "or `canister_composite_query <name>` exceeds 1000. There are 1001.",
        ),
        (module(&names), "exceeds 20000. It is 21003."),
        (
            module(&format!("(func {})", "nop ".repeat(1_000_001))),
            "Wasm module contains a function at index 0 of size 1000001 that exceeds the maximum allowed size of 1000000",
        ),
        (
            module(&format!(
                "(func) (func $f {} nop)",
                "call $f ".repeat(20_000)
            )),
            "Wasm module contains a function at index 1 with complexity 1000001 which exceeds the maximum complexity allowed 1000000",
        ),
    ]
}

/// Modules that do not fit the system interface.
fn misfits() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (
            module("(import \"wasi_snapshot_preview1\" \"fd_write\" (func))"),
            "Wasm module has an invalid import section. Module imports function 'fd_write' from 'wasi_snapshot_preview1' that is not exported by the runtime.",
        ),
        (
            module("(import \"ic0\" \"msg_reply\" (func (param i32)))"),
            "Wasm module has an invalid function signature. Expected input params [] for 'msg_reply', got [I32].",
        ),
        (
            module("(func (export \"canister_invented\"))"),
            "Wasm module has an invalid export section. Exporting reserved function 'canister_invented' with \"canister_\" prefix",
        ),
        (
            module("(func (export \"canister_update x\") (param i64))"),
            "Expected input params [] for 'canister_update x', got [I64].",
        ),
    ]
}

#[test]
fn a_bad_module_is_refused_in_the_replicas_words_and_nothing_is_changed() {
    let mut network = Network::new(local(), || local());
    let id = network.create();
    let kept = wat::parse_str(KEPT).unwrap();
    replied(network.install(id, Mode::install, &kept, ""));
    let answer = CallResult::Replied {
        arg: b"kept".to_vec(),
    };
    let images = network.state.images.clone();
    let cases = [malformed(), beyond_limits(), misfits()].concat();
    for (module, words) in cases {
        let module = sent(module);
        for mode in [Mode::reinstall, Mode::upgrade(None)] {
            let (code, message, error) = rejected(network.install(id, mode, &module, ""));
            assert_eq!((code, error.as_str()), (5, "IC0505"), "{message}");
            let prefix = format!("Error from Canister {id}: Canister's Wasm module is not valid: ");
            assert!(message.starts_with(&prefix), "{message}");
            assert!(message.contains(words), "{message} lacks {words}");
        }
    }
    assert_eq!(network.query(id, "kept", ""), answer);
    assert_eq!(
        network.state.images.keys().collect::<Vec<_>>(),
        images.keys().collect::<Vec<_>>()
    );
}
