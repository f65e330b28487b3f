//! The whole chain from a value to the validators' key, and each of its links broken.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::Private;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use proptest::prelude::*;
use trilith_proof::answer::{
    Answer, AnswerError, HEADER_KEY_PREFIX, RootTrust, header_key, root_state_message,
};
use trilith_proof::certificate::{CertificateError, CertificateKey, SIGNATURE_DST};
use trilith_proof::mkvs::{CompactNode, Proof, ProofVersion, leaf_hash};
use trilith_types::cbor::{DecodeError, MapBuilder};
use trilith_types::{Hash, Height, Round, RuntimeId};

const KEY: &[u8] = b"key";
const VALUE: &[u8] = b"value";

fn chain() -> Hash {
    Hash::of(b"genesis")
}

fn runtime() -> RuntimeId {
    RuntimeId::test(1)
}

fn secret() -> Private {
    Private::decode(Copying(&[3; 32])).unwrap()
}

fn public(secret: &Private) -> CertificateKey {
    let encoded = ops::compute_public::<MinSig>(secret).encode();
    CertificateKey::from_bytes(encoded.as_ref().try_into().unwrap()).unwrap()
}

/// The root of a tree with one entry, and the proof that shows it.
fn tree(key: &[u8], value: &[u8]) -> (Hash, Vec<u8>) {
    let root = leaf_hash(key, value);
    let mut entry = vec![1];
    CompactNode::Leaf { key, value }.encode(&mut entry);
    let entries = vec![Some(entry)];
    let proof = Proof {
        version: ProofVersion::V1,
        untrusted_root: root,
        entries,
    };
    (root, proof.encode())
}

fn header(runtime: &RuntimeId, state_root: &Hash) -> Vec<u8> {
    MapBuilder::new()
        .field("namespace", |encoder| {
            encoder.bytes(runtime.as_bytes());
        })
        .field("round", |encoder| {
            encoder.uint(7);
        })
        .field("state_root", |encoder| {
            encoder.bytes(state_root.as_bytes());
        })
        .field("io_root", |encoder| {
            encoder.bytes(&[0; 32]);
        })
        .finish()
}

fn signed(height: u64, root_state: Hash) -> [u8; 48] {
    let message = root_state_message(&chain(), Height(height), &root_state);
    let signature = ops::sign::<MinSig>(&secret(), SIGNATURE_DST, &message).encode();
    signature.as_ref().try_into().unwrap()
}

/// An answer over a root state that holds `entry` under `key_in_root`.
fn answer_over(key_in_root: &[u8], entry: &[u8], value_proof: Vec<u8>) -> Answer {
    let (root_state, header_proof) = tree(key_in_root, entry);
    let signature = signed(5, root_state);
    let (key, height) = (KEY.to_vec(), Height(5));
    Answer {
        key,
        value_proof,
        header_proof,
        height,
        root_state,
        signature,
    }
}

fn answer() -> Answer {
    let (state_root, value_proof) = tree(KEY, VALUE);
    answer_over(
        &header_key(&runtime()),
        &header(&runtime(), &state_root),
        value_proof,
    )
}

fn verdict(answer: &Answer) -> Result<Option<Vec<u8>>, AnswerError> {
    let trust = RootTrust {
        chain: &chain(),
        consensus_key: &public(&secret()),
    };
    answer
        .verify(&runtime(), &trust)
        .map(|verified| verified.value)
}

#[test]
fn an_answer_is_believed_link_by_link() {
    let trust = RootTrust {
        chain: &chain(),
        consensus_key: &public(&secret()),
    };
    let verified = answer().verify(&runtime(), &trust).unwrap();
    assert_eq!(verified.value.as_deref(), Some(VALUE));
    assert_eq!((verified.round, verified.height), (Round(7), Height(5)));
    assert_eq!(verified.state_root, leaf_hash(KEY, VALUE));
    let absent = Answer {
        key: b"other".to_vec(),
        ..answer()
    };
    assert_eq!(verdict(&absent), Ok(None));
}

#[test]
fn a_certificate_of_another_network_height_or_state_is_refused() {
    let refused = Err(AnswerError::Certificate(CertificateError::Signature));
    assert_eq!(
        verdict(&Answer {
            height: Height(6),
            ..answer()
        }),
        refused
    );
    assert_eq!(
        verdict(&Answer {
            root_state: Hash::of(b"x"),
            ..answer()
        }),
        refused
    );
    let other = Hash::of(b"other genesis");
    let trust = RootTrust {
        chain: &other,
        consensus_key: &public(&secret()),
    };
    let verdict = answer()
        .verify(&runtime(), &trust)
        .map(|verified| verified.value);
    assert_eq!(verdict, refused);
}

#[test]
fn a_header_that_is_not_that_of_the_runtime_is_refused() {
    let (state_root, value_proof) = tree(KEY, VALUE);
    let other = RuntimeId::test(2);
    let own = header(&runtime(), &state_root);
    let elsewhere = answer_over(&header_key(&other), &own, value_proof.clone());
    assert_eq!(verdict(&elsewhere), Err(AnswerError::NoRuntime(runtime())));
    let foreign = header(&other, &state_root);
    let foreign = answer_over(&header_key(&runtime()), &foreign, value_proof.clone());
    let asked = runtime();
    assert_eq!(
        verdict(&foreign),
        Err(AnswerError::OtherRuntime {
            found: other,
            asked
        })
    );
    let empty = answer_over(&header_key(&runtime()), &[0xa0], value_proof);
    let missing = DecodeError::Field("namespace");
    assert_eq!(verdict(&empty), Err(AnswerError::Header(missing)));
    let mut unproven = answer();
    unproven.header_proof = tree(&[HEADER_KEY_PREFIX], b"").1;
    assert!(matches!(
        verdict(&unproven),
        Err(AnswerError::HeaderProof(_))
    ));
}

#[test]
fn a_value_that_is_not_in_the_state_is_refused() {
    let forged = Answer {
        value_proof: tree(KEY, b"another value").1,
        ..answer()
    };
    assert!(matches!(verdict(&forged), Err(AnswerError::ValueProof(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_proof_panics(value_proof: Vec<u8>, header_proof: Vec<u8>, entry: Vec<u8>) {
        let noise = Answer { value_proof: value_proof.clone(), ..answer() };
        prop_assert!(verdict(&noise).is_err());
        let noise = Answer { header_proof, ..answer() };
        prop_assert!(verdict(&noise).is_err());
        let noise = answer_over(&header_key(&runtime()), &entry, value_proof);
        prop_assert!(verdict(&noise).is_err());
    }
}
