//! What the store reads back from its folder: records, the manifest, headers of files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_store::decode;

fuzz_target!(|data: &[u8]| {
    // Each says whether it was accepted, and asserts that what it accepts has one encoding.
    let _accepted = decode::payload(data) | decode::manifest(data) | decode::headers(data);
});
