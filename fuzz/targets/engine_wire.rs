//! Requests and results between controller and sandbox.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    trilith_engine_canister::executor::wire::decode_anything(data);
});
