//! Requests for parts of a tree that somebody else has, and the answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_mkvs::sync::{GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, GetRequest::decode, GetRequest::encode);
    trilith_fuzz::strict(data, GetPrefixesRequest::decode, GetPrefixesRequest::encode);
    trilith_fuzz::strict(data, IterateRequest::decode, IterateRequest::encode);
    trilith_fuzz::strict(data, ProofResponse::decode, ProofResponse::encode);
});
