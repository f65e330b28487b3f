//! Proofs of the key-value tree, and the nodes in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_proof::mkvs::{CompactNode, Proof};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Proof::decode, Proof::encode);
    if let Ok(proof) = Proof::decode(data) {
        // Whether it verifies does not matter; that the verifier survives it does.
        let _ = proof.verify(&proof.untrusted_root);
    }
    if let Ok((node, rest)) = CompactNode::decode(data) {
        let mut encoded = Vec::new();
        node.encode(&mut encoded);
        assert_eq!(encoded, data[..data.len() - rest.len()]);
    }
});
