//! Batches of inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::Batch;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Batch::decode, Batch::encode);
});
