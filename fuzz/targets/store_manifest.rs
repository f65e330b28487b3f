//! The manifest of a store and that of an exported checkpoint, whose check values match.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_store::decode;

fuzz_target!(|data: &[u8]| {
    // Each asserts that what it accepts has one encoding.
    let _accepted = decode::manifest_body(data) | decode::export_manifest_body(data);
});
