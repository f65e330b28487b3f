//! Blobs (fragments of trees and tables of images) whose check value matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_store::decode;

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let _accepted = decode::blob(u32::from(*kind), body) | decode::table(body);
});
