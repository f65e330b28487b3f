//! Certificates made here are judged alike by this crate and by the public verifiers of the
//! Internet Computer, which share no code with it.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::Private;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use ic_certificate_verification::VerifyCertificate as _;
use proptest::prelude::*;
use trilith_proof::certificate::{SIGNATURE_DST, leb128, state_root_message};
use trilith_proof::{Certificate, CertificateError, CertificateKey, Delegation, Scope, Trust};
use trilith_types::cbor::Encoder;
use trilith_types::{HashTree, TimeNanos};

const NOW: u64 = 1_760_000_000_000_000_000;
const SKEW: u64 = 300_000_000_000;
const CANISTER: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 7, 1, 1];
const SUBNET: &[u8] = b"\x1dsubnet-of-the-tests-29-bytes";

struct Signer(Private);

impl Signer {
    fn new(seed: u8) -> Self {
        Self(Private::decode(Copying(&[seed; 32])).unwrap())
    }

    fn key(&self) -> CertificateKey {
        let encoded = ops::compute_public::<MinSig>(&self.0).encode();
        CertificateKey::from_bytes(encoded.as_ref().try_into().unwrap()).unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 48] {
        let signature = ops::sign::<MinSig>(&self.0, SIGNATURE_DST, message).encode();
        signature.as_ref().try_into().unwrap()
    }

    fn certify(&self, tree: HashTree, delegation: Option<Delegation>) -> Certificate {
        let signature = self.sign(&state_root_message(&tree.digest()));
        Certificate {
            tree,
            signature,
            delegation,
        }
    }
}

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

fn leaf(value: &[u8]) -> HashTree {
    HashTree::Leaf(value.to_vec())
}

fn fork(left: HashTree, right: HashTree) -> HashTree {
    HashTree::Fork(Box::new(left), Box::new(right))
}

fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn content(time: u64) -> HashTree {
    let canister = label(
        b"canister",
        label(&CANISTER, label(b"certified_data", leaf(b"data"))),
    );
    fork(canister, label(b"time", leaf(&number(time))))
}

fn ranges(first: u8, last: u8) -> Vec<u8> {
    let id = |number| [0, 0, 0, 0, 0, 0, 0, number, 1, 1];
    let mut encoder = Encoder::new();
    encoder
        .tag(55799)
        .array(1)
        .array(2)
        .bytes(&id(first))
        .bytes(&id(last));
    encoder.finish()
}

fn delegation(root: &Signer, subnet: &Signer, sharded: bool, first: u8, last: u8) -> Delegation {
    let key = label(b"public_key", leaf(&subnet.key().to_der()));
    let tree = if sharded {
        let shard = label(&[0; 10], leaf(&ranges(first, last)));
        let shards = label(b"canister_ranges", label(SUBNET, shard));
        fork(
            shards,
            fork(
                label(b"subnet", label(SUBNET, key)),
                label(b"time", leaf(&number(1))),
            ),
        )
    } else {
        let ranges = label(b"canister_ranges", leaf(&ranges(first, last)));
        let subnet = label(b"subnet", label(SUBNET, fork(ranges, key)));
        fork(subnet, label(b"time", leaf(&number(1))))
    };
    Delegation {
        subnet: SUBNET.to_vec(),
        certificate: root.certify(tree, None).encode(),
    }
}

/// The verdict of this crate.
fn ours(bytes: &[u8], root: &CertificateKey) -> Result<(), CertificateError> {
    let trust = Trust {
        root_key: root,
        now: TimeNanos(NOW),
        skew_nanos: SKEW,
    };
    let verified = Certificate::decode(bytes)?.verify(Scope::Canister(&CANISTER), &trust)?;
    assert_eq!(verified.time().0.abs_diff(NOW) / SKEW, 0);
    Ok(())
}

/// The verdict of the crate of the Internet Computer.
fn theirs(bytes: &[u8], root: &CertificateKey) -> bool {
    let Ok(certificate) = serde_cbor_certificate(bytes) else {
        return false;
    };
    certificate
        .verify(
            &CANISTER,
            &root.to_der(),
            &u128::from(NOW),
            &u128::from(SKEW),
        )
        .is_ok()
}

fn serde_cbor_certificate(bytes: &[u8]) -> Result<ic_certification::Certificate, String> {
    use ic_cbor::CertificateToCbor as _;
    ic_certification::Certificate::from_cbor(bytes).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_made_here_is_accepted_by_both() {
    let root = Signer::new(3);
    let certificate = root.certify(content(NOW), None);
    let bytes = certificate.encode();
    assert_eq!(Certificate::decode(&bytes).unwrap(), certificate);
    assert_eq!(ours(&bytes, &root.key()), Ok(()));
    assert!(theirs(&bytes, &root.key()));
    let message = state_root_message(&certificate.tree.digest());
    let key = root.key().to_bytes();
    let verdict =
        ic_verify_bls_signature::verify_bls_signature(&certificate.signature, &message, &key);
    assert_eq!(verdict, Ok(()));
}

#[test]
fn a_delegated_certificate_is_accepted_by_both_with_either_form_of_ranges() {
    let (root, subnet) = (Signer::new(3), Signer::new(4));
    for sharded in [false, true] {
        let delegation = delegation(&root, &subnet, sharded, 0, 9);
        let bytes = subnet.certify(content(NOW), Some(delegation)).encode();
        assert_eq!(ours(&bytes, &root.key()), Ok(()), "sharded: {sharded}");
        assert!(theirs(&bytes, &root.key()), "sharded: {sharded}");
    }
}

#[test]
fn a_canister_outside_the_ranges_is_refused_by_both() {
    let (root, subnet) = (Signer::new(3), Signer::new(4));
    for sharded in [false, true] {
        let delegation = delegation(&root, &subnet, sharded, 8, 9);
        let bytes = subnet.certify(content(NOW), Some(delegation)).encode();
        assert!(matches!(
            ours(&bytes, &root.key()),
            Err(CertificateError::OutOfScope { .. })
        ));
        assert!(!theirs(&bytes, &root.key()));
    }
}

#[test]
fn a_subnet_speaks_for_itself_only() {
    let (root, subnet) = (Signer::new(3), Signer::new(4));
    let certificate = subnet.certify(content(NOW), Some(delegation(&root, &subnet, true, 0, 9)));
    let key = root.key();
    let trust = Trust {
        root_key: &key,
        now: TimeNanos(NOW),
        skew_nanos: SKEW,
    };
    let verified = certificate
        .clone()
        .verify(Scope::Subnet(SUBNET), &trust)
        .unwrap();
    assert_eq!(verified.subnet(), Some(SUBNET));
    let other = certificate.verify(Scope::Subnet(b"other"), &trust);
    assert!(matches!(other, Err(CertificateError::OutOfScope { .. })));
}

#[test]
fn nested_delegations_are_refused_by_both() {
    let (root, middle, subnet) = (Signer::new(3), Signer::new(5), Signer::new(4));
    let outer = delegation(&root, &middle, true, 0, 9);
    let inner = delegation(&middle, &subnet, true, 0, 9);
    let mut nested = Certificate::decode(&inner.certificate).unwrap();
    nested.delegation = Some(outer);
    let delegation = Delegation {
        subnet: SUBNET.to_vec(),
        certificate: nested.encode(),
    };
    let bytes = subnet.certify(content(NOW), Some(delegation)).encode();
    assert_eq!(
        ours(&bytes, &root.key()),
        Err(CertificateError::NestedDelegation)
    );
    assert!(!theirs(&bytes, &root.key()));
}

#[test]
fn time_is_bounded_on_both_sides() {
    let root = Signer::new(3);
    for (time, accepted) in [
        (NOW - SKEW, true),
        (NOW + SKEW, true),
        (NOW - SKEW - 1, false),
        (NOW + SKEW + 1, false),
    ] {
        let bytes = root.certify(content(time), None).encode();
        let key = root.key();
        let trust = Trust {
            root_key: &key,
            now: TimeNanos(NOW),
            skew_nanos: SKEW,
        };
        let verdict = Certificate::decode(&bytes)
            .unwrap()
            .verify(Scope::Canister(&CANISTER), &trust);
        assert_eq!(verdict.is_ok(), accepted, "{time}");
        assert_eq!(theirs(&bytes, &root.key()), accepted, "{time}");
    }
    let timeless = root.certify(label(b"a", leaf(b"b")), None).encode();
    assert_eq!(ours(&timeless, &root.key()), Err(CertificateError::Time));
    assert!(!theirs(&timeless, &root.key()));
}

#[test]
fn a_tree_whose_labels_do_not_ascend_is_refused() {
    let root = Signer::new(3);
    let tree = fork(
        label(b"time", leaf(&number(NOW))),
        label(b"canister", leaf(b"")),
    );
    let bytes = root.certify(tree, None).encode();
    assert_eq!(
        ours(&bytes, &root.key()),
        Err(CertificateError::NotWellFormed)
    );
}

#[test]
fn another_separator_another_tag_and_another_key_are_refused() {
    let root = Signer::new(3);
    let mut certificate = root.certify(content(NOW), None);
    let digest = certificate.tree.digest();
    assert_eq!(
        ours(&certificate.encode(), &Signer::new(4).key()),
        Err(CertificateError::Signature)
    );
    certificate.signature = root.sign(&digest);
    assert_eq!(
        ours(&certificate.encode(), &root.key()),
        Err(CertificateError::Signature)
    );
    let stock = ops::sign_message::<MinSig>(&root.0, b"ic-state-root", &digest).encode();
    certificate.signature = stock.as_ref().try_into().unwrap();
    assert_eq!(
        ours(&certificate.encode(), &root.key()),
        Err(CertificateError::Signature)
    );
}

#[test]
fn keys_pass_through_their_wrapping() {
    let key = Signer::new(3).key();
    let der = key.to_der();
    assert_eq!(der.len(), 133);
    assert_eq!(CertificateKey::from_der(&der), Ok(key));
    let wrapping = |found| Err(CertificateError::KeyWrapping { found });
    assert_eq!(CertificateKey::from_der(&der[..132]), wrapping(132));
    assert_eq!(CertificateKey::from_der(&der[1..]), wrapping(132));
    assert_eq!(
        CertificateKey::from_bytes(&[0; 96]),
        Err(CertificateError::InvalidKey)
    );
    let mut identity = [0; 96];
    identity[0] = 0xc0;
    assert_eq!(
        CertificateKey::from_bytes(&identity),
        Err(CertificateError::InvalidKey)
    );
}

#[test]
fn numbers_have_one_form() {
    assert_eq!(leb128(&[0]), Some(0));
    assert_eq!(leb128(&number(u64::MAX)), Some(u64::MAX));
    assert_eq!(leb128(&[]), None);
    assert_eq!(leb128(&[0x80, 0]), None);
    assert_eq!(leb128(&[0, 0]), None);
    assert_eq!(leb128(&[0xff; 11]), None);
    assert_eq!(
        leb128(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        None
    );
}

/// The root key of the public network, as its operators publish it.
#[test]
fn the_root_key_of_the_public_network_is_read() {
    let der = hex::decode(concat!(
        "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b",
        "08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e4",
        "67db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
    ))
    .unwrap();
    assert_eq!(CertificateKey::from_der(&der).unwrap().to_der(), der[..]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_of_the_encoding_is_refused(position: prop::sample::Index, bit in 0u8..8) {
        let (root, subnet) = (Signer::new(3), Signer::new(4));
        let delegation = delegation(&root, &subnet, true, 0, 9);
        let mut bytes = subnet.certify(content(NOW), Some(delegation)).encode();
        let index = position.index(bytes.len());
        bytes[index] ^= 1 << bit;
        prop_assert!(ours(&bytes, &root.key()).is_err());
    }

    // Only what is meant, not how it is encoded: their decoder takes text for bytes.
    #[test]
    fn a_flipped_bit_of_the_meaning_is_refused_by_both(
        place in 0usize..3,
        position: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let (root, subnet) = (Signer::new(3), Signer::new(4));
        let delegation = delegation(&root, &subnet, true, 0, 9);
        let mut certificate = subnet.certify(content(NOW), Some(delegation.clone()));
        let mut inner = Certificate::decode(&delegation.certificate).unwrap();
        let mut value = *b"data";
        let flipped = match place {
            0 => &mut certificate.signature[..],
            1 => &mut inner.signature[..],
            _ => &mut value[..],
        };
        let index = position.index(flipped.len());
        flipped[index] ^= 1 << bit;
        let data = label(b"canister", label(&CANISTER, label(b"certified_data", leaf(&value))));
        certificate.tree = fork(data, label(b"time", leaf(&number(NOW))));
        let certificate_of_delegation = inner.encode();
        certificate.delegation =
            Some(Delegation { subnet: SUBNET.to_vec(), certificate: certificate_of_delegation });
        prop_assert!(ours(&certificate.encode(), &root.key()).is_err());
        prop_assert!(!theirs(&certificate.encode(), &root.key()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(noise: Vec<u8>, cut: prop::sample::Index, at: prop::sample::Index) {
        prop_assert!(Certificate::decode(&noise).is_err());
        let mut bytes = Signer::new(3).certify(content(NOW), None).encode();
        prop_assert!(Certificate::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes.splice(at..at, noise.iter().copied());
        if let Ok(certificate) = Certificate::decode(&bytes) {
            let encoded = certificate.encode();
            prop_assert!(encoded == bytes || encoded[3..] == bytes);
        }
        prop_assert!(CertificateKey::from_der(&noise).is_err());
    }
}
