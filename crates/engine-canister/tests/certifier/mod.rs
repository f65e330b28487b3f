//! A subnet's key, for tests: certifies data and delegates.

#![allow(dead_code, reason = "each test binary uses a part")]

use candid::Principal;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::Private;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use trilith_proof::certificate::{SIGNATURE_DST, state_root_message};
use trilith_proof::{Certificate, CertificateKey, Delegation};
use trilith_types::HashTree;
use trilith_types::cbor::Encoder;

/// The id of the subnet that is delegated to.
const SUBNET: &[u8] = b"\x1dsubnet-of-the-tests-29-bytes";

pub struct Certifier(Private);

impl Certifier {
    pub fn new(seed: u8) -> Self {
        Self(Private::decode(Copying(&[seed; 32])).unwrap())
    }

    pub fn key(&self) -> CertificateKey {
        let encoded = ops::compute_public::<MinSig>(&self.0).encode();
        CertificateKey::from_bytes(encoded.as_ref().try_into().unwrap()).unwrap()
    }

    /// Signs the root of a state tree.
    pub fn sign(&self, root: &[u8; 32]) -> [u8; 48] {
        let message = state_root_message(root);
        let signature = ops::sign::<MinSig>(&self.0, SIGNATURE_DST, &message).encode();
        signature.as_ref().try_into().unwrap()
    }

    fn certify(&self, tree: HashTree, delegation: Option<Delegation>) -> Vec<u8> {
        let signature = self.sign(&tree.digest());
        Certificate {
            tree,
            signature,
            delegation,
        }
        .encode()
    }

    /// A certificate over the certified data of a canister.
    pub fn certify_data(
        &self,
        canister: Principal,
        data: &[u8],
        delegation: Option<Delegation>,
    ) -> Vec<u8> {
        let data = label(b"certified_data", HashTree::Leaf(data.to_vec()));
        let canister = label(b"canister", label(canister.as_slice(), data));
        let time = label(b"time", HashTree::Leaf(vec![1]));
        self.certify(fork(canister, time), delegation)
    }

    /// Delegates to a subnet of the given type with the given range of canisters.
    pub fn delegate(
        &self,
        subnet: &Self,
        kind: Option<&[u8]>,
        (first, last): (&[u8], &[u8]),
    ) -> Delegation {
        let mut ranges = Encoder::new();
        ranges.tag(55_799).array(1).array(2);
        ranges.bytes(first).bytes(last);
        let ranges = label(b"canister_ranges", HashTree::Leaf(ranges.finish()));
        let key = HashTree::Leaf(subnet.key().to_der().to_vec());
        let mut about = fork(ranges, label(b"public_key", key));
        if let Some(kind) = kind {
            about = fork(about, label(b"type", HashTree::Leaf(kind.to_vec())));
        }
        let about = label(b"subnet", label(SUBNET, about));
        let time = label(b"time", HashTree::Leaf(vec![1]));
        Delegation {
            subnet: SUBNET.to_vec(),
            certificate: self.certify(fork(about, time), None),
        }
    }
}

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

fn fork(left: HashTree, right: HashTree) -> HashTree {
    HashTree::Fork(Box::new(left), Box::new(right))
}
