//! Questions to the canister engine and its answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_canister::query::{QueryRequest, QueryResponse};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, QueryRequest::decode, QueryRequest::encode);
    trilith_fuzz::strict(data, QueryResponse::decode, QueryResponse::encode);
});
