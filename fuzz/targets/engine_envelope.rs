//! Requests of Internet Computer clients.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_canister::ingress::Envelope;

fuzz_target!(|data: &[u8]| {
    // Requests are not encoded by a node, so there is nothing to compare; only that it survives.
    let _ = Envelope::decode(data);
});
