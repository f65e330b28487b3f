//! Query responses, as a client gets them from a node it does not trust.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_client::QueryAnswer;

fuzz_target!(|data: &[u8]| {
    let _ = QueryAnswer::decode(data);
});
