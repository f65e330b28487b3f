//! Requests, results and modules survive the wire; no bytes bring a decoder down.

mod executor_support;

use std::sync::Arc;

use executor_support::*;
use proptest::prelude::*;
use trilith_engine_canister::api::{CallerInfo, EntryPoint};
use trilith_engine_canister::executor::wire::{
    decode_anything, decode_prepared, decode_request, decode_result, encode_prepared,
    encode_request, encode_result,
};

const WRITER: &str = r#"(module
  (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
  (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
  (memory 4) (global (mut i64) (i64.const 9)) (data (i32.const 20000) "data")
  (func (export "canister_update go")
    (i32.store (i32.const 0) (i32.const 1))
    (drop (call $grow (i64.const 1)))
    (call $write (i64.const 9000) (i64.const 0) (i64.const 4)))
  (@custom "icp:public a" "b"))"#;

#[test]
fn everything_survives() {
    let executor = executor();
    let module = prepare(&executor, WRITER);
    assert_eq!(decode_prepared(&encode_prepared(&module)).unwrap(), *module);

    let mut asked = request(EntryPoint::Update("go".into()));
    let result = run(&executor, &module, asked.clone());
    let sent = encode_result(&result);
    assert_eq!(sent.files.len(), 1);
    let received = decode_result(&sent.bytes, &sent.files).unwrap();
    assert_eq!(format!("{received:?}"), format!("{result:?}"));

    advance(&mut asked, &result);
    asked.reject = Some((4, "no".into()));
    asked.caller_info = Some(Arc::new(CallerInfo {
        data: vec![3; 300],
        signer: asked.canister,
    }));
    asked.environment.data_certificate = Some(vec![1, 2]);
    asked.environment.global_timer = 77;
    let sent = encode_request(&asked);
    let received = decode_request(&sent.bytes, &sent.files).unwrap();
    assert_eq!(format!("{received:?}"), format!("{asked:?}"));
    assert!(
        decode_request(&sent.bytes, &[]).is_err(),
        "the file is missing"
    );
    for len in 0..sent.bytes.len() {
        assert!(decode_request(&sent.bytes[..len], &sent.files).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        prop_assert_eq!(decode_anything(&bytes), 0);
    }

    #[test]
    fn garbled_requests_are_refused_or_read(place in 0usize..600, value: u8) {
        let sent = encode_request(&request(EntryPoint::Callback { function: 3, environment: 4 }));
        let mut bytes = sent.bytes;
        let len = bytes.len();
        bytes[place % len] = value;
        if let Ok(read) = decode_request(&bytes, &[]) {
            prop_assert_eq!(encode_request(&read).bytes, bytes);
        }
    }
}
