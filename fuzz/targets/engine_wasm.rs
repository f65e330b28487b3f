//! Wasm modules as anybody may install them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_canister::wasm::{instrument, validate};

fuzz_target!(|data: &[u8]| {
    if validate(data).is_ok() {
        instrument(data).expect("a valid module can be instrumented");
    }
});
