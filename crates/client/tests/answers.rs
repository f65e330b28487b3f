//! Answers made here are believed, altered ones are not, and ids and signed bytes are those that
//! the public client library computes.

use candid::Principal;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::Private;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use ic_transport_types::{
    EnvelopeContent, QueryResponse, RejectCode, RejectResponse, ReplyResponse, to_request_id,
};
use proptest::prelude::*;
use trilith_client::query::{self, NodeKeys, NodeSignature, QueryError, signed_bytes};
use trilith_client::{
    Certificate, CertificateError, CertificateKey, QueryAnswer, RequestContent, RequestStatus,
    Scope, StatusError, Trust, VerifiedCertificate, node_keys, request_status, verify_certificate,
};
use trilith_proof::certificate::{SIGNATURE_DST, state_root_message};
use trilith_types::representation_hash::leb128;
use trilith_types::{HashTree, SecretKey, Signature, TimeNanos};

const NOW: u64 = 1_760_000_000_000_000_000;
const SKEW: u64 = 300_000_000_000;
const ID: [u8; 32] = [9; 32];
const CANISTER: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 7, 1, 1];
const SUBNET: &[u8] = b"subnet";

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

fn leaf(value: &[u8]) -> HashTree {
    HashTree::Leaf(value.to_vec())
}

/// A tree of `children`, in ascending order of their labels.
fn tree(children: Vec<HashTree>) -> HashTree {
    let join = |left, right| HashTree::Fork(Box::new(left), Box::new(right));
    children.into_iter().reduce(join).unwrap_or(HashTree::Empty)
}

fn key(private: &Private) -> CertificateKey {
    let encoded = ops::compute_public::<MinSig>(private).encode();
    CertificateKey::from_bytes(encoded.as_ref().try_into().unwrap()).unwrap()
}

fn certify(content: HashTree) -> (Vec<u8>, CertificateKey) {
    let private = Private::decode(Copying(&[3; 32])).unwrap();
    let tree = tree(vec![content, label(b"time", leaf(&leb128(NOW)))]);
    let message = state_root_message(&tree.digest());
    let signature = ops::sign::<MinSig>(&private, SIGNATURE_DST, &message).encode();
    let signature = signature.as_ref().try_into().unwrap();
    (
        Certificate {
            tree,
            signature,
            delegation: None,
        }
        .encode(),
        key(&private),
    )
}

fn verified(content: HashTree) -> VerifiedCertificate {
    let (bytes, root_key) = certify(content);
    let trust = Trust {
        root_key: &root_key,
        now: TimeNanos(NOW),
        skew_nanos: SKEW,
    };
    verify_certificate(&bytes, Scope::Canister(CANISTER), &trust).unwrap()
}

fn status_of(fields: &[(&str, &[u8])]) -> Result<RequestStatus, StatusError> {
    let fields = fields
        .iter()
        .map(|(name, value)| label(name.as_bytes(), leaf(value)))
        .collect();
    let certificate = verified(label(b"request_status", label(&ID, tree(fields))));
    request_status(&certificate, &ID)
}

#[test]
fn a_forged_certificate_says_nothing() {
    let (mut bytes, root_key) = certify(label(b"request_status", leaf(b"")));
    let trust = Trust {
        root_key: &root_key,
        now: TimeNanos(NOW),
        skew_nanos: SKEW,
    };
    assert!(verify_certificate(&bytes, Scope::Canister(CANISTER), &trust).is_ok());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let verdict = verify_certificate(&bytes, Scope::Canister(CANISTER), &trust);
    assert_eq!(verdict, Err(CertificateError::Signature));
}

#[test]
fn every_status_is_read() {
    assert_eq!(
        status_of(&[("status", b"received")]),
        Ok(RequestStatus::Received)
    );
    assert_eq!(
        status_of(&[("status", b"processing")]),
        Ok(RequestStatus::Processing)
    );
    assert_eq!(status_of(&[("status", b"done")]), Ok(RequestStatus::Done));
    let replied = status_of(&[("reply", b"DIDL"), ("status", b"replied")]).unwrap();
    assert_eq!(
        replied,
        RequestStatus::Replied {
            reply: b"DIDL".to_vec()
        }
    );
    assert!(replied.is_final());
    let rejected = [
        ("error_code", b"IC0503".as_slice()),
        ("reject_code", &[5]),
        ("reject_message", b"trapped"),
        ("status", b"rejected"),
    ];
    let expected = RequestStatus::Rejected {
        code: 5,
        message: "trapped".into(),
        error_code: Some("IC0503".into()),
    };
    assert_eq!(status_of(&rejected), Ok(expected.clone()));
    let RequestStatus::Rejected { error_code, .. } = status_of(&rejected[1..]).unwrap() else {
        panic!("not rejected");
    };
    assert_eq!(error_code, None);
    assert!(expected.is_final());
}

#[test]
fn what_is_not_shown_is_not_guessed() {
    let absent = verified(label(b"request_status", HashTree::Empty));
    assert_eq!(request_status(&absent, &ID), Ok(RequestStatus::Absent));
    let pruned = verified(label(b"request_status", HashTree::Pruned([1; 32])));
    assert_eq!(
        request_status(&pruned, &ID),
        Err(StatusError::NotShown("status"))
    );
    assert_eq!(
        status_of(&[("status", b"replied")]),
        Err(StatusError::Invalid("reply"))
    );
    assert_eq!(
        status_of(&[("status", b"answered")]),
        Err(StatusError::Invalid("status"))
    );
    assert_eq!(
        status_of(&[("reply", b"")]),
        Err(StatusError::Invalid("status"))
    );
}

#[test]
fn request_ids_are_those_of_the_public_library() {
    for nonce in [None, Some(vec![1, 2, 3])] {
        let content = EnvelopeContent::Call {
            nonce: nonce.clone(),
            ingress_expiry: NOW,
            sender: Principal::anonymous(),
            canister_id: Principal::from_slice(CANISTER),
            method_name: "greet".into(),
            arg: b"DIDL\0\0".to_vec(),
            sender_info: None,
        };
        let ours = RequestContent {
            request_type: "call",
            canister: CANISTER,
            method: "greet",
            argument: b"DIDL\0\0",
            sender: &[4],
            ingress_expiry: NOW,
            nonce: nonce.as_deref(),
        };
        assert_eq!(ours.id()[..], to_request_id(&content).unwrap()[..]);
    }
}

#[test]
fn signed_bytes_are_those_of_the_public_library() {
    let id = ic_transport_types::RequestId::new(&ID);
    let reply = ReplyResponse {
        arg: b"DIDL".to_vec(),
    };
    let theirs = QueryResponse::Replied {
        reply,
        signatures: vec![],
    };
    let ours = QueryAnswer::Replied {
        reply: b"DIDL".to_vec(),
        signatures: vec![],
    };
    assert_eq!(
        signed_bytes(&ours, &ID, TimeNanos(NOW)),
        theirs.signable(id, NOW)
    );
    for error_code in [None, Some("IC0301".to_owned())] {
        let reject = RejectResponse {
            reject_code: RejectCode::DestinationInvalid,
            reject_message: "no such canister".into(),
            error_code: error_code.clone(),
        };
        let theirs = QueryResponse::Rejected {
            reject,
            signatures: vec![],
        };
        let message = "no such canister".into();
        let ours = QueryAnswer::Rejected {
            code: 3,
            message,
            error_code,
            signatures: vec![],
        };
        assert_eq!(
            signed_bytes(&ours, &ID, TimeNanos(NOW)),
            theirs.signable(id, NOW)
        );
    }
}

/// The keys of a subnet with one node, read from a certificate, and the node's secret key.
fn one_node() -> (NodeKeys, SecretKey) {
    let secret = SecretKey::from_seed([5; 32]);
    let public = secret.public();
    let der = [
        b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
        &public.as_bytes()[..],
    ];
    let node = label(
        b"node",
        label(b"n1", label(b"public_key", leaf(&der.concat()))),
    );
    let certificate = verified(label(b"subnet", label(SUBNET, node)));
    (node_keys(&certificate, SUBNET).unwrap(), secret)
}

fn signed(secret: &SecretKey, node: &[u8], reply: &[u8]) -> QueryAnswer {
    let unsigned = QueryAnswer::Replied {
        reply: reply.to_vec(),
        signatures: vec![],
    };
    let time = TimeNanos(NOW);
    let signature = secret.sign_raw(&signed_bytes(&unsigned, &ID, time));
    let signatures = vec![NodeSignature {
        time,
        signature,
        node: node.to_vec(),
    }];
    QueryAnswer::Replied {
        reply: reply.to_vec(),
        signatures,
    }
}

#[test]
fn a_query_is_believed_only_from_a_node_of_the_subnet() {
    let (nodes, secret) = one_node();
    let check =
        |answer: &QueryAnswer, now| query::verify(answer, &ID, &nodes, TimeNanos(now), SKEW);
    let mut answer = signed(&secret, b"n1", b"yes");
    assert_eq!(check(&answer, NOW), Ok(()));
    assert!(matches!(
        check(&answer, NOW + SKEW + 1),
        Err(QueryError::TimeOutOfBounds { .. })
    ));
    assert_eq!(
        check(&signed(&secret, b"n2", b"yes"), NOW),
        Err(QueryError::UnknownNode)
    );
    let other = SecretKey::from_seed([6; 32]);
    assert_eq!(
        check(&signed(&other, b"n1", b"yes"), NOW),
        Err(QueryError::Signature)
    );
    if let QueryAnswer::Replied { reply, .. } = &mut answer {
        *reply = b"no".to_vec();
    }
    assert_eq!(check(&answer, NOW), Err(QueryError::Signature));
    let unsigned = QueryAnswer::Replied {
        reply: vec![],
        signatures: vec![],
    };
    let nobody = Err(QueryError::SignatureCount { found: 0, nodes: 1 });
    assert_eq!(check(&unsigned, NOW), nobody);
}

#[test]
fn nodes_must_be_shown_with_valid_keys() {
    let none = verified(label(b"subnet", label(SUBNET, HashTree::Empty)));
    assert_eq!(node_keys(&none, SUBNET), Err(QueryError::NodesNotShown));
    let node = label(b"node", label(b"n1", label(b"public_key", leaf(b"short"))));
    let bad = verified(label(b"subnet", label(SUBNET, node)));
    assert_eq!(node_keys(&bad, SUBNET), Err(QueryError::NodeKey));
}

#[test]
fn a_response_is_decoded_with_its_signatures() {
    let mut bytes = b"\xd9\xd9\xf7\xa3\x65reply\xa1\x63arg\x44DIDL\x66status\x67replied".to_vec();
    bytes.extend_from_slice(b"\x6asignatures\x81\xa3\x68identity\x42n1\x69signature\x58\x40");
    bytes.extend_from_slice(&[7; 64]);
    bytes.extend_from_slice(b"\x69timestamp\x05");
    let signatures = vec![NodeSignature {
        time: TimeNanos(5),
        signature: Signature::from_bytes([7; 64]),
        node: b"n1".to_vec(),
    }];
    let expected = QueryAnswer::Replied {
        reply: b"DIDL".to_vec(),
        signatures,
    };
    assert_eq!(QueryAnswer::decode(&bytes), Ok(expected));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(noise: Vec<u8>) {
        let (root_key, trusted_at) = (certify(HashTree::Empty).1, TimeNanos(NOW));
        let trust = Trust { root_key: &root_key, now: trusted_at, skew_nanos: SKEW };
        prop_assert!(verify_certificate(&noise, Scope::Subnet(SUBNET), &trust).is_err());
        prop_assert!(QueryAnswer::decode(&noise).is_err());
    }
}
