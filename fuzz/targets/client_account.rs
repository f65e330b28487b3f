//! Answers about accounts, as a client gets them from a node it does not trust. The certificate
//! guards what stands behind it, so that the leaf is fed by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_client::account::fuzz_account_leaf;
use trilith_client::{AccountAnswer, Answer, CertificateKey, RootTrust};
use trilith_types::{Hash, Height, RuntimeId};

/// The generator of G2, compressed: the public key of the secret 1. Source: RFC 9380, curve
/// BLS12-381.
const KEY: &str = "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5\
                   ac7d055d042b7e024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770b\
                   ac0326a805bbefd48056c8c121bdb8";

fn key() -> CertificateKey {
    let byte = |at: usize| u8::from_str_radix(&KEY[2 * at..2 * at + 2], 16).expect("digits");
    CertificateKey::from_bytes(&std::array::from_fn(byte)).expect("the generator is a key")
}

/// Takes a list off the input, preceded by its length in two bytes.
fn list(data: &mut &[u8]) -> Vec<u8> {
    let Some((len, rest)) = data.split_first_chunk::<2>() else {
        return std::mem::take(data).to_vec();
    };
    let (list, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*len).into()));
    *data = rest;
    list.to_vec()
}

fn answer(data: &mut &[u8]) -> Answer {
    let signature = list(data);
    Answer {
        key: list(data),
        value_proof: list(data),
        header_proof: list(data),
        height: Height(5),
        root_state: Hash::of(&signature),
        signature: std::array::from_fn(|at| signature.get(at).copied().unwrap_or(0)),
    }
}

fuzz_target!(|data: &[u8]| {
    fuzz_account_leaf(data);
    let mut rest = data;
    let leaf = answer(&mut rest);
    let image = answer(&mut rest);
    let answer = AccountAnswer {
        leaf,
        data: Some((image, rest.to_vec())),
    };
    let (chain, consensus_key) = (Hash::of(b"fuzz"), key());
    let trust = RootTrust {
        chain: &chain,
        consensus_key: &consensus_key,
    };
    let address = std::array::from_fn(|at| answer.leaf.key.get(1 + at).copied().unwrap_or(0));
    let verdict = answer.verify(&address, &RuntimeId::test(2), &trust);
    assert!(verdict.is_err(), "a made-up answer is believed");
});
