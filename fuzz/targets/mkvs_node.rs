//! Stored nodes of the key-value tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_mkvs::Node;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Node::decode, |node| {
        node.encode().expect("a decoded node has all it needs")
    });
});
