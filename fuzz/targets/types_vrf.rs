//! Proofs of random outputs: whatever the bytes, no panic; and what verifies has the output it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_types::{PublicKey, SecretKey, VrfProof};

fuzz_target!(|data: &[u8]| {
    let Some((key, rest)) = data.split_first_chunk::<32>() else {
        return;
    };
    let Some((proof, alpha)) = rest.split_at_checked(VrfProof::LEN) else {
        return;
    };
    let proof = VrfProof::from_slice(proof).expect("it has the length of a proof");
    for key in [PublicKey::from_bytes(*key), SecretKey::from_seed(*key).public()] {
        if let Ok(output) = key.verify_vrf(alpha, &proof) {
            assert_eq!(proof.output(), Ok(output));
        }
    }
    let own = SecretKey::from_seed(*key);
    let proof = own.prove_vrf(alpha);
    assert_eq!(own.public().verify_vrf(alpha, &proof), proof.output());
});
