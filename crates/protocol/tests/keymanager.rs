//! Forms of the key manager service: published figures of Oasis Core, permissions, and what must be
//! refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trilith_protocol::RootEvent;
use trilith_protocol::root::keymanager::{
    EnclaveIdentity, EnclavePolicy, EncryptedEphemeralSecret, EncryptedMasterSecret,
    EncryptedSecret, InitResponse, KeymanagerEvent, KeymanagerGenesis, PolicySgx,
    SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret, SignedInitResponse,
    SignedPolicySgx, Status, StatusEvent,
};
use trilith_protocol::root::{Blob, SignatureOf};
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId, SecretKey, Signature, SignatureError};

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

fn key(digits: &str) -> PublicKey {
    PublicKey::from_bytes(bytes(digits))
}

fn enclave(mr_enclave: &str, mr_signer: &str) -> EnclaveIdentity {
    EnclaveIdentity {
        mr_enclave: Hash::from_bytes(bytes(mr_enclave)),
        mr_signer: Hash::from_bytes(bytes(mr_signer)),
    }
}

fn runtime() -> RuntimeId {
    RuntimeId::from_bytes(bytes(
        "8000000000000000000000000000000000000000000000000000000000000000",
    ))
}

fn runtime_enclave() -> EnclaveIdentity {
    enclave(
        "18256f783c071521be2da041cd9347b5bdb5a8ef58fb34658571a6e14cf1fcb0",
        "e48049d1de0eb333523991671a6c93b97dd65bcf09273d5b6bfe8262dc968ec7",
    )
}

fn keeper() -> EnclaveIdentity {
    enclave(
        "c9a589851b1f35627177fd70378ed778170f737611e4dfbf0b6d25bdff55b474",
        "7d310664780931ae103ab30a90171c201af385a72757bb4683578fdebde9adf5",
    )
}

fn successor() -> EnclaveIdentity {
    enclave(
        "756eaf76f5482c5345808b1eaccdd5c60f864bb2aa2d2b870df00ce435af4e23",
        "3597a2ff0743016f28e5d7e129304ee1c43dbdae3dba94e19cee3549038a5a32",
    )
}

/// The signed policy of Oasis Core's `runtime/src/consensus/state/keymanager.rs`.
fn published() -> SignedPolicySgx {
    let policy = EnclavePolicy {
        may_query: Some([(runtime(), vec![runtime_enclave()])].into()),
        may_replicate: Some(vec![successor()]),
    };
    let of = |public_key: &str, signature: &str| SignatureOf {
        public_key: key(public_key),
        signature: Signature::from_bytes(bytes(signature)),
    };
    SignedPolicySgx {
        policy: PolicySgx {
            serial: 1,
            id: RuntimeId::from_bytes(bytes(
                "c000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff",
            )),
            enclaves: Some([(keeper(), policy)].into()),
            master_secret_rotation_interval: 0,
            max_ephemeral_secret_age: 10,
        },
        signatures: Some(vec![
            of(
                "96533c123a6f4d33c68357109c2eb7c6e6a0f947be3ae1e320d153f561523ff2",
                "eda666cff6e4030200737e0c7707ad4a378aab4cc0455306992c13da2155b97c\
                 91b0fde0325a7a6818f2cbf92813cc587723c8c205a7cb5389ca7b21a038b60a",
            ),
            of(
                "4b97bfd95e829d5838131492b5c133e66ac6ef0db414c0be6207ec78c12d2b17",
                "db90d354272e025aa9a5856f32ea4f5d6becb0ff6340f3cb7f9104ac04ef29ed\
                 4f9b5c21b7ea82924800b30f94724b40c376414f80780ff8b7b60a34edea9f02",
            ),
        ]),
    }
}

/// The published signatures stand only if every byte of the form is Oasis Core's.
#[test]
fn the_published_policy_is_signed() {
    let signed = published();
    assert_eq!(signed.verify(), Ok(()));
    assert_eq!(
        SignedPolicySgx::decode(&signed.encode()),
        Ok(signed.clone())
    );
    // The signers are those of the published seeds, and sign the same bytes.
    let keys = ["first signer", "second signer"]
        .map(|seed| SecretKey::from_seed(*Hash::of(seed.as_bytes()).as_bytes()));
    let again = SignedPolicySgx::sign(signed.policy.clone(), &[&keys[0], &keys[1]]);
    assert_eq!(again, signed);
    let mut forged = signed;
    forged.policy.serial = 2;
    assert_eq!(forged.verify(), Err(SignatureError::Invalid));
}

/// Figures: Oasis Core `runtime/src/consensus/state/keymanager.rs`.
#[test]
fn the_published_ephemeral_secret_is_signed() {
    let seed = SecretKey::from_seed(*Hash::of(b"first signer").as_bytes());
    // The public keys of X25519 of the seeds "first rek" and "second rek".
    let rek = [
        key("4bb47edc5fd0905bc9f7afc5f5bb2b70e72eb21a08142226882d8ba301532f6c"),
        key("c9e8c7cde4a7c9cf4466d6b25354906a6e485f786b5404bfb8ecfc88eb1c856f"),
    ];
    let signed = SignedEncryptedEphemeralSecret {
        secret: EncryptedEphemeralSecret {
            id: RuntimeId::from_bytes(bytes(
                "c000000000000000fffffffffffffffffffffffffffffffffffffffffffffffe",
            )),
            epoch: Epoch(1),
            secret: EncryptedSecret {
                checksum: Blob(vec![1, 2, 3, 4, 5]),
                pub_key: rek[0],
                ciphertexts: [(rek[0], Blob(vec![1, 2, 3])), (rek[1], Blob(vec![4, 5, 6]))].into(),
            },
        },
        signature: Signature::from_bytes(bytes(
            "4a2d098e02411fdc14d6a36f91bb362fd4f4dbaadb4cbf70e20e038fe1740bc7\
             dde0b20afd25657d6abc916be2b9ed0054d586aedb2b7951c99aab3206b24b02",
        )),
    };
    assert_eq!(signed.verify(&seed.public()), Ok(()));
    let again = SignedEncryptedEphemeralSecret::sign(signed.secret.clone(), &seed);
    assert_eq!(again, signed);
    assert_eq!(
        SignedEncryptedEphemeralSecret::decode(&signed.encode()),
        Ok(signed)
    );
}

/// Figures computed with an independent SHA3-256 over an independent encoding.
#[test]
fn a_policy_has_the_checksum_of_its_encoding() {
    assert_eq!(
        hex::encode(published().checksum()),
        "091adb259556452db351efe4b98e41b6958d143ea296f926e96a107d70130aad"
    );
}

#[test]
fn permissions_are_those_of_the_policy() {
    let SignedPolicySgx { policy, .. } = published();
    let other = RuntimeId::test(7);
    assert!(policy.may_query(&keeper(), &runtime(), &runtime_enclave()));
    assert!(!policy.may_query(&keeper(), &other, &runtime_enclave()));
    assert!(!policy.may_query(&keeper(), &runtime(), &successor()));
    assert!(!policy.may_query(&successor(), &runtime(), &runtime_enclave()));
    assert!(policy.may_replicate(&keeper(), &successor()));
    assert!(policy.may_replicate(&keeper(), &keeper()));
    assert!(policy.may_replicate(&successor(), &successor()));
    assert!(!policy.may_replicate(&successor(), &keeper()));
    assert!(!policy.may_replicate(&keeper(), &runtime_enclave()));
    let nobody = PolicySgx {
        enclaves: None,
        ..policy.clone()
    };
    assert!(!nobody.may_query(&keeper(), &runtime(), &runtime_enclave()));
    // From the epoch before its own, for ten epochs.
    let usable = |now| policy.may_use_ephemeral(Epoch(5), Epoch(now));
    assert_eq!(
        [3, 4, 5, 15, 16].map(usable),
        [false, true, true, true, false]
    );
    assert!(policy.may_use_ephemeral(Epoch(u64::MAX), Epoch(u64::MAX)));
}

/// Figures: Oasis Core `keymanager/secrets/api_test.go`, `TestStatus`, and the rules of
/// `VerifyRotationEpoch`.
#[test]
fn a_status_knows_the_next_generation_and_rotation() {
    let mut status = Status::new(runtime());
    assert_eq!(
        (status.next_generation(), status.next_rotation()),
        (0, Some(Epoch(0)))
    );
    status.checksum = Some(Blob(vec![1, 2, 3]));
    assert_eq!(
        (status.next_generation(), status.next_rotation()),
        (1, None)
    );
    status.generation = 9;
    assert_eq!(status.next_generation(), 10);
    let mut signed = published();
    status.policy = Some(signed.clone());
    status.rotation_epoch = Epoch(4);
    assert_eq!(status.next_rotation(), None);
    signed.policy.master_secret_rotation_interval = 6;
    status.policy = Some(signed);
    assert_eq!(status.next_rotation(), Some(Epoch(10)));
    status.rotation_epoch = Epoch(u64::MAX);
    assert_eq!(status.next_rotation(), None);
}

/// Figures: Oasis Core `keymanager/secrets/api_test.go`, `TestSignVerify`.
#[test]
fn a_statement_stands_under_its_key_only() {
    let [one, two] = ["signer1", "signer2"]
        .map(|seed| SecretKey::from_seed(*Hash::of(seed.as_bytes()).as_bytes()));
    let says = InitResponse {
        is_secure: true,
        checksum: Some(Blob(vec![1, 2, 3, 4, 5])),
        policy_checksum: Some(Blob(vec![5, 6, 7, 8, 9])),
        ..InitResponse::default()
    };
    let signed = SignedInitResponse::sign(says, &one);
    assert_eq!(signed.verify(&one.public()), Ok(()));
    assert_eq!(signed.verify(&two.public()), Err(SignatureError::Invalid));
    assert_eq!(SignedInitResponse::decode(&signed.encode()), Ok(signed));
}

/// The forms of Go: null where nothing was set, and no field where it may be left out.
#[test]
fn empty_values_have_gos_forms() {
    let status = Status::new(RuntimeId::from_bytes([0; 32])).encode();
    let expected = format!(
        "a66269645820{}656e6f646573f666706f6c696379f668636865636b73756df66969735f736563757265f4\
         6e69735f696e697469616c697a6564f4",
        "00".repeat(32)
    );
    assert_eq!(hex::encode(status), expected);
    let says = InitResponse::default().encode();
    assert_eq!(
        hex::encode(says),
        "a368636865636b73756df66969735f736563757265f46f706f6c6963795f636865636b73756df6"
    );
}

#[test]
fn events_come_back() {
    let event = RootEvent::KeyManager(KeymanagerEvent::Status(StatusEvent {
        id: runtime(),
        nodes: 3,
        generation: 0,
        rotation_epoch: Epoch(0),
        hash: Hash::EMPTY,
    }));
    assert_eq!(RootEvent::decode(&event.encode()), Ok(event));
}

fn forms() -> [Vec<u8>; 4] {
    let signed = published();
    let says = SignedInitResponse::sign(InitResponse::default(), &SecretKey::from_seed([1; 32]));
    let secret = EncryptedMasterSecret {
        id: runtime(),
        generation: 3,
        epoch: Epoch(9),
        secret: EncryptedSecret {
            checksum: Blob(vec![3; 32]),
            pub_key: PublicKey::from_bytes([4; 32]),
            ciphertexts: BTreeMap::from([(PublicKey::from_bytes([5; 32]), Blob(vec![6; 48]))]),
        },
    };
    let secret = SignedEncryptedMasterSecret::sign(secret, &SecretKey::from_seed([1; 32]));
    let mut status = Status::new(runtime());
    status.nodes = Some(vec![PublicKey::from_bytes([9; 32])]);
    status.next_policy = Some(signed.clone());
    let genesis = KeymanagerGenesis {
        statuses: vec![status],
        master_secrets: vec![secret.clone()],
        ..KeymanagerGenesis::default()
    };
    [
        signed.encode(),
        says.encode(),
        secret.encode(),
        genesis.encode(),
    ]
}

fn canonical(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = SignedPolicySgx::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
        let _ = (value.verify(), value.checksum());
    }
    if let Ok(value) = SignedInitResponse::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = SignedEncryptedMasterSecret::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = SignedEncryptedEphemeralSecret::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = KeymanagerGenesis::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics_and_decodes_canonically(
        which in 0usize..4, at in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = forms()[which].clone();
        canonical(&bytes)?;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        canonical(&bytes)?;
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        canonical(&bytes)?;
    }
}
