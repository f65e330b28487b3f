//! Keys and signatures of authenticators and canisters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_canister::ingress::fuzz_signature;

fuzz_target!(|data: &[u8]| {
    fuzz_signature(data);
});
