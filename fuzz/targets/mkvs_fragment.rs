//! Fragments of trees, as stores keep them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_mkvs::Node;

fuzz_target!(|data: &[u8]| {
    if let Ok(top) = Node::decode_fragment(data) {
        // What a store asks of a fragment; the hashes in it are believed until they are checked.
        let _wrong = top.check_hashes();
        assert!(top.edges_elsewhere().len() <= data.len() / 41);
    }
});
