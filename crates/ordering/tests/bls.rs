//! Threshold signatures against the Internet Computer's own verifier.

use std::num::NonZeroU32;

use proptest::prelude::*;
use trilith_ordering::bls::{
    Domain, GroupKey, KeyShare, ShareError, SignatureShare, deal_for_developer_network,
};
use trilith_ordering::{LeafRequest, LeafSigner, ShareCollector};
use trilith_proof::CertificateKey;
use trilith_proof::certificate::STATE_ROOT_SEPARATOR;
use trilith_types::cbor::{Encoder, MapBuilder};
use trilith_types::{Hash, Round, RuntimeId};

const RUNTIME: RuntimeId = RuntimeId::test(1);
const KEY: &[u8] = b"certified";

fn deal(signers: u32) -> (GroupKey, Vec<KeyShare>) {
    deal_for_developer_network(&[7; 32], "certification", NonZeroU32::new(signers).unwrap())
}

/// A state of one leaf: its root, and the proof of the leaf, which is the leaf itself. Written by
/// hand from the format's description.
fn state_of_one_leaf(value: &[u8; 32]) -> (Hash, Vec<u8>) {
    let key_len = KEY.len() as u32;
    let root = Hash::of_parts(&[
        &[0],
        &key_len.to_le_bytes(),
        KEY,
        &32u32.to_le_bytes(),
        &value[..],
    ]);
    let mut leaf = vec![1, 0];
    leaf.extend_from_slice(&(key_len as u16).to_le_bytes());
    leaf.extend_from_slice(KEY);
    leaf.extend_from_slice(&32u32.to_le_bytes());
    leaf.extend_from_slice(value);
    let proof = MapBuilder::new()
        .field("untrusted_root", |e: &mut Encoder| {
            e.bytes(root.as_bytes());
        })
        .field("entries", |e: &mut Encoder| {
            e.array(1).bytes(&leaf);
        });
    (root, proof.finish())
}

fn signer_of(share: &KeyShare, root: Hash) -> LeafSigner {
    let mut signer = LeafSigner::new(share.clone());
    signer.finalized(RUNTIME, Round(3), root);
    signer
}

#[test]
fn every_quorum_makes_the_same_signature_and_the_ics_verifier_takes_it() {
    let (group, shares) = deal(4);
    assert_eq!((group.required(), group.total()), (3, 4));
    let value = [9; 32];
    let (root, proof) = state_of_one_leaf(&value);
    let request = LeafRequest {
        runtime: RUNTIME,
        state_root: root,
        key: KEY,
        value,
        proof: &proof,
    };
    let signatures: Vec<[u8; 48]> = [[0, 1, 2], [3, 0, 2], [1, 2, 3]]
        .into_iter()
        .map(|quorum| {
            let domain = Domain::IcStateRoot;
            let mut collector = ShareCollector::new(group.clone(), domain, value.to_vec());
            let mut made = None;
            for index in quorum {
                assert_eq!(made, None);
                let share = signer_of(&shares[index], root).sign(&request).unwrap();
                made = collector.add(share).unwrap();
            }
            made.unwrap()
        })
        .collect();
    assert!(signatures.windows(2).all(|pair| pair[0] == pair[1]));

    let message = [&STATE_ROOT_SEPARATOR[..], &value].concat();
    let signature = &signatures[0];
    let verified =
        ic_verify_bls_signature::verify_bls_signature(signature, &message, &group.bytes());
    assert_eq!(verified, Ok(()));
    let key = CertificateKey::from_bytes(&group.bytes()).unwrap();
    assert_eq!(key.verify_state_root(&value, signature), Ok(()));
    assert!(key.verify_state_root(&[8; 32], signature).is_err());
}

#[test]
fn one_signer_is_a_quorum_of_one() {
    let (group, shares) = deal(1);
    assert_eq!((group.required(), group.total()), (1, 1));
    let value = [1; 32];
    let (root, proof) = state_of_one_leaf(&value);
    let request = LeafRequest {
        runtime: RUNTIME,
        state_root: root,
        key: KEY,
        value,
        proof: &proof,
    };
    let share = signer_of(&shares[0], root).sign(&request).unwrap();
    let signature = group
        .combine(Domain::IcStateRoot, &value, &[share])
        .unwrap();
    assert!(group.verify(Domain::IcStateRoot, &value, &signature));
    assert!(!group.verify(Domain::Randomness, &value, &signature));
}

#[test]
fn a_leaf_is_signed_only_under_the_finalised_root() {
    let (_, shares) = deal(1);
    let value = [1; 32];
    let (root, proof) = state_of_one_leaf(&value);
    let good = LeafRequest {
        runtime: RUNTIME,
        state_root: root,
        key: KEY,
        value,
        proof: &proof,
    };
    let mut signer = LeafSigner::new(shares[0].clone());
    let refusal = |signer: &LeafSigner, request: &LeafRequest<'_>| {
        signer.sign(request).unwrap_err().to_string()
    };
    assert!(refusal(&signer, &good).contains("is not the finalised one"));
    signer.finalized(RUNTIME, Round(3), root);
    assert!(signer.sign(&good).is_ok());
    let other_value = LeafRequest {
        value: [2; 32],
        ..good
    };
    assert!(refusal(&signer, &other_value).contains("another value"));
    let other_key = LeafRequest {
        key: b"other",
        ..good
    };
    assert!(refusal(&signer, &other_key).contains("another value"));
    let no_proof = LeafRequest {
        proof: &proof[..proof.len() - 1],
        ..good
    };
    assert!(refusal(&signer, &no_proof).contains("proof of the leaf fails"));
    let long = vec![0; trilith_ordering::certifier::PROOF_BYTES_MAX + 1];
    assert!(
        refusal(
            &signer,
            &LeafRequest {
                proof: &long,
                ..good
            }
        )
        .contains("limit is 262144")
    );

    signer.finalized(RUNTIME, Round(2), Hash::of(b"older"));
    assert!(signer.sign(&good).is_ok());
    signer.finalized(RUNTIME, Round(4), Hash::of(b"newer"));
    assert!(refusal(&signer, &good).contains("is not the finalised one"));
}

#[test]
fn wrong_shares_are_attributed() {
    let (group, shares) = deal(4);
    let (_, strangers) = deal_for_developer_network(&[8; 32], "x", NonZeroU32::new(4).unwrap());
    let value = [5; 32];
    let (root, proof) = state_of_one_leaf(&value);
    let request = LeafRequest {
        runtime: RUNTIME,
        state_root: root,
        key: KEY,
        value,
        proof: &proof,
    };
    let sign = |share: &KeyShare| signer_of(share, root).sign(&request).unwrap();
    let (a, b) = (sign(&shares[0]), sign(&shares[1]));
    let combine = |shares: &[SignatureShare]| group.combine(Domain::IcStateRoot, &value, shares);
    let too_few = Err(ShareError::TooFew {
        count: 2,
        required: 3,
    });
    assert_eq!(combine(&[a, b, a]), too_few);
    assert_eq!(
        combine(&[a, b, sign(&strangers[2])]),
        Err(ShareError::Invalid { index: 2 })
    );
    let garbage = SignatureShare {
        index: 3,
        bytes: [0xff; 48],
    };
    assert_eq!(
        combine(&[a, b, garbage]),
        Err(ShareError::Invalid { index: 3 })
    );
    let outsider = SignatureShare { index: 4, ..a };
    let unknown = ShareError::UnknownSigner { index: 4, total: 4 };
    assert_eq!(combine(&[a, b, outsider]), Err(unknown));
}

#[test]
fn domains_cannot_be_taken_for_each_other() {
    let all: Vec<_> = Domain::ALL
        .iter()
        .map(|domain| domain.signed_bytes(b""))
        .collect();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            assert!(!one.starts_with(other) && !other.starts_with(one));
        }
    }
    assert_eq!(Domain::IcStateRoot.signed_bytes(b""), STATE_ROOT_SEPARATOR);
}

#[test]
fn purposes_have_different_keys_and_dealing_again_gives_the_same() {
    let one = NonZeroU32::new(1).unwrap();
    let (consensus, _) = deal_for_developer_network(&[7; 32], "consensus", one);
    let (certification, _) = deal_for_developer_network(&[7; 32], "certification", one);
    assert_ne!(consensus.bytes(), certification.bytes());
    assert_eq!(deal(1).0, certification);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_share_from_outside_panics(index in 0u32..6, bytes in proptest::array::uniform32(any::<u8>())) {
        let (group, _) = deal(4);
        let mut point = [0u8; 48];
        point[..32].copy_from_slice(&bytes);
        point[0] |= 0x80;
        let share = SignatureShare { index, bytes: point };
        prop_assert!(group.verify_share(Domain::Randomness, b"m", &share).is_err());
    }
}
