//! The envelope decoder, request ids and signatures, apart from any state.

mod envelopes;

use candid::Principal;
use ed25519_dalek::{Signer as _, SigningKey};
use envelopes::*;
use proptest::prelude::*;
use trilith_engine_canister::certified::{Branch, Tree, Wanted};
use trilith_engine_canister::controller::{fuzz_query, fuzz_record};
use trilith_engine_canister::ingress::*;
use trilith_types::cbor::Encoder;
use trilith_types::hash_tree::leaf_digest;
use trilith_types::representation_hash::{HashedValue, hash_of_map};

/// The example of the interface specification, section "Request ids".
#[test]
fn the_published_request_has_the_published_id() {
    let id = hash_of_map(&[
        ("request_type", HashedValue::Text("call")),
        (
            "canister_id",
            HashedValue::Bytes(&[0, 0, 0, 0, 0, 0, 4, 210]),
        ),
        ("method_name", HashedValue::Text("hello")),
        ("arg", HashedValue::Bytes(b"DIDL\x00\xFD*")),
    ]);
    let published = "8781291c347db32a9d8c10eb62b710fce5a93be676474c42babc74c51858f94b";
    assert_eq!(hex::encode(id), published);
}

/// The newer example of the same section, with sender and expiry.
#[test]
fn the_published_request_with_expiry_has_the_published_id() {
    let content = Content::Call(call(Principal::anonymous()));
    let published = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101";
    assert_eq!(hex::encode(content.request_id()), published);
}

#[test]
fn all_kinds_of_keys_sign() {
    let message =
        |content: &Content| [b"\x0Aic-request".as_slice(), &content.request_id()].concat();
    let verify = |der: Vec<u8>, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let content = Content::Call(call(Principal::self_authenticating(&der)));
        let signature = sign(&message(&content));
        let parts = Parts {
            content: &content,
            key: Some(&der),
            signature: Some(&signature),
            delegations: &[],
        };
        assert_eq!(judge(&encode(&parts), NOW), Ok(content.request_id()));
        let mut forged = signature.clone();
        forged[20] ^= 1;
        let parts = Parts {
            signature: Some(&forged),
            ..parts
        };
        assert_eq!(
            judge(&encode(&parts), NOW),
            Err(IngressError::SignatureInvalid("the request"))
        );
    };
    let key = SigningKey::from_bytes(&[1; 32]);
    verify(ed25519_der(&key.verifying_key().to_bytes()), &|message| {
        key.sign(message).to_bytes().to_vec()
    });
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let point: [u8; 65] = key
        .verifying_key()
        .to_encoded_point(false)
        .as_bytes()
        .try_into()
        .unwrap();
    verify(ecdsa_p256_der(&point), &|message| {
        let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&key, message);
        signature.to_bytes().to_vec()
    });
    let key = k256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let point: [u8; 65] = key
        .verifying_key()
        .to_encoded_point(false)
        .as_bytes()
        .try_into()
        .unwrap();
    verify(ecdsa_secp256k1_der(&point), &|message| {
        let signature: k256::ecdsa::Signature = k256::ecdsa::signature::Signer::sign(&key, message);
        signature.to_bytes().to_vec()
    });
}

#[test]
fn delegations_bind_key_target_time_and_permission() {
    let (owner, session) = (
        SigningKey::from_bytes(&[1; 32]),
        SigningKey::from_bytes(&[2; 32]),
    );
    let der = |key: &SigningKey| ed25519_der(&key.verifying_key().to_bytes());
    let (owner_der, session_der) = (der(&owner), der(&session));
    let content = Content::Call(call(Principal::self_authenticating(&owner_der)));
    let signature = session
        .sign(&[b"\x0Aic-request".as_slice(), &content.request_id()].concat())
        .to_bytes();
    let attempt = |change: &dyn Fn(&mut SignedDelegation)| {
        let mut delegation = SignedDelegation {
            pubkey: session_der.clone(),
            expiration: NOW + 1,
            targets: None,
            permissions: None,
            signature: Vec::new(),
        };
        change(&mut delegation);
        let message = [
            b"\x1Aic-request-auth-delegation".as_slice(),
            &delegation.hash(),
        ]
        .concat();
        delegation.signature = owner.sign(&message).to_bytes().to_vec();
        let delegations = [delegation];
        let parts = Parts {
            content: &content,
            key: Some(&owner_der),
            signature: Some(&signature),
            delegations: &delegations,
        };
        judge(&encode(&parts), NOW)
    };
    let callee = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 4, 210]);
    assert_eq!(attempt(&|_| {}), Ok(content.request_id()));
    assert_eq!(
        attempt(&|delegation| delegation.targets = Some(vec![callee])),
        Ok(content.request_id())
    );
    assert_eq!(
        attempt(&|delegation| delegation.permissions = Some(Permissions::All)),
        Ok(content.request_id())
    );
    let other = Principal::management_canister();
    assert_eq!(
        attempt(&|delegation| delegation.targets = Some(vec![other])),
        Err(IngressError::DelegationTarget(callee))
    );
    let late = attempt(&|delegation| delegation.expiration = NOW - 1);
    assert_eq!(
        late,
        Err(IngressError::DelegationExpired {
            position: 0,
            expiry: NOW - 1,
            now: NOW
        })
    );
    let queries = attempt(&|delegation| delegation.permissions = Some(Permissions::Queries));
    assert!(matches!(
        queries,
        Err(IngressError::DelegationPermissions { position: 0, .. })
    ));
    let repeated = attempt(&|delegation| delegation.pubkey.clone_from(&owner_der));
    assert_eq!(repeated, Err(IngressError::DelegationRepeatedKey(0)));
}

#[test]
fn anonymous_requests_are_unsigned_and_others_are_not() {
    let anonymous = Content::Call(call(Principal::anonymous()));
    let parts = Parts {
        content: &anonymous,
        key: None,
        signature: None,
        delegations: &[],
    };
    assert_eq!(judge(&encode(&parts), NOW), Ok(anonymous.request_id()));
    let parts = Parts {
        signature: Some(&[0; 64]),
        ..parts
    };
    assert_eq!(
        judge(&encode(&parts), NOW),
        Err(IngressError::AnonymousSigned)
    );
    let sender = Principal::self_authenticating(b"key");
    let named = Content::Call(call(sender));
    let parts = Parts {
        content: &named,
        key: None,
        signature: None,
        delegations: &[],
    };
    assert_eq!(
        judge(&encode(&parts), NOW),
        Err(IngressError::SignatureMissing(sender))
    );
}

#[test]
fn malformed_envelopes_say_what_is_wrong() {
    let good = encode(&Parts {
        content: &Content::Call(call(Principal::anonymous())),
        key: None,
        signature: None,
        delegations: &[],
    });
    for len in 0..good.len() {
        assert!(Envelope::decode(&good[..len]).is_err());
    }
    let mut extended = good.clone();
    extended.push(0);
    assert!(matches!(
        Envelope::decode(&extended),
        Err(IngressError::Malformed { .. })
    ));
    let mut e = Encoder::new();
    e.map(1).text("contents").uint(1);
    assert_eq!(
        Envelope::decode(&e.finish()),
        Err(IngressError::UnknownField("contents".to_owned()))
    );
    assert_eq!(
        Envelope::decode(&[0xa0]),
        Err(IngressError::MissingField("content"))
    );
    // A claimed length allocates nothing; nesting has nowhere to go.
    assert!(
        Envelope::decode(&[
            0xa1, 0x67, b'c', b'o', b'n', b't', b'e', b'n', b't', 0xbb, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff
        ])
        .is_err()
    );
    assert!(Envelope::decode(&vec![0x81; 100_000]).is_err());
    let limit = ENVELOPE_BYTES_MAX as u64;
    let too_large = IngressError::TooLarge {
        what: "the envelope",
        value: limit + 1,
        limit,
        unit: "bytes",
    };
    assert_eq!(
        Envelope::decode(&vec![0; ENVELOPE_BYTES_MAX + 1]),
        Err(too_large)
    );
    let long = CallContent {
        nonce: Some(vec![0; 33]),
        ..call(Principal::anonymous())
    };
    let parts = Parts {
        content: &Content::Call(long),
        key: None,
        signature: None,
        delegations: &[],
    };
    let too_large = IngressError::TooLarge {
        what: "nonce",
        value: 33,
        limit: 32,
        unit: "bytes",
    };
    assert_eq!(Envelope::decode(&encode(&parts)), Err(too_large));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_envelope(&bytes);
        fuzz_signature(&bytes);
        fuzz_record(&bytes);
        fuzz_query(&bytes);
    }

    #[test]
    fn no_change_of_an_envelope_panics_or_is_taken_for_it(position in 0usize..1_000, value in any::<u8>()) {
        let key = SigningKey::from_bytes(&[1; 32]);
        let der = ed25519_der(&key.verifying_key().to_bytes());
        let content = Content::Call(call(Principal::self_authenticating(&der)));
        let signature = key.sign(&[b"\x0Aic-request".as_slice(), &content.request_id()].concat()).to_bytes();
        let mut bytes = encode(&Parts { content: &content, key: Some(&der), signature: Some(&signature), delegations: &[] });
        let position = position % bytes.len();
        prop_assume!(bytes[position] != value);
        bytes[position] = value;
        if let Ok(id) = judge(&bytes, NOW) {
            // Only another form of the same content can stand.
            prop_assert_eq!(id, content.request_id());
        }
    }

    #[test]
    fn pruning_keeps_the_digest_and_shows_what_is_wanted(
        labels in proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 1..3), 0..40),
        wanted in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3), 0..6),
    ) {
        let entries = labels.iter().map(|label| (label.clone(), leaf_digest(label))).collect();
        let branch = Branch::new(entries);
        let paths: Vec<Vec<Vec<u8>>> = wanted.iter().map(|label| vec![label.clone()]).collect();
        let set = Wanted::of_paths(paths.iter().map(Vec::as_slice));
        let mut shown = Vec::new();
        let tree = branch.prune(&set, &mut |label, _| {
            shown.push(label.to_vec());
            trilith_types::HashTree::Leaf(label.to_vec())
        });
        prop_assert_eq!(tree.digest(), branch.digest());
        let mut expected: Vec<_> = wanted.iter().filter(|label| labels.contains(*label)).cloned().collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(shown, expected);
        let whole = Tree::Level(labels.iter().map(|label| (label.clone(), Tree::Leaf(label.clone()))).collect());
        prop_assert_eq!(whole.digest(), branch.digest());
        prop_assert_eq!(whole.prune(&set), tree);
        prop_assert_eq!(whole.prune(&Wanted { all: true, ..Wanted::default() }).digest(), branch.digest());
    }
}
