//! Checkpoints of trees: metadata, and chunks as they come from peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_mkvs::checkpoint::{Metadata, verify_chunk};
use trilith_types::Hash;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Metadata::decode, Metadata::encode);
    if let Some((root, chunk)) = data.split_first_chunk::<32>() {
        let _refused = verify_chunk(chunk, &Hash::from_bytes(*root));
    }
});
