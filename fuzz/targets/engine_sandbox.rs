//! Frames between controller and sandbox, and what a child says when its jail stands.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    trilith_engine_canister::sandbox::decode_anything(data);
});
