//! Messages of PubSub.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_gateway_account::fuzz_message;

fuzz_target!(|data: &[u8]| {
    fuzz_message(data);
});
