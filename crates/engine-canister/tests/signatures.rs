//! Signatures of authenticators and of canisters, and what canisters attest about users.

mod certifier;
mod envelopes;

use candid::Principal;
use certifier::Certifier;
use ed25519_dalek::{Signer as _, SigningKey};
use envelopes::*;
use proptest::prelude::*;
use rand_core::SeedableRng as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use trilith_engine_canister::ingress::*;
use trilith_types::HashTree;
use trilith_types::cbor::Encoder;
use trilith_types::hash::sha256;

/// A P-256 key in COSE form, DER-wrapped, whose assertions follow. These are the vectors that the
/// replica's own tests verify, made with a YubiKey.
const YUBIKEY: &str = "305e300c060a2b0601040183b8430101034e00a5010203262001215820b487d183dc4806058eb31a29bedefd7bcca987b77a381a3684871d8449c183942258202a122cc711a80453678c3032de4b6fff2c86342e82d1e7adb617c4165c43ce5e";
/// Asserts `hello`.
const YUBIKEY_HELLO: &str = "d9d9f7a37261757468656e74696361746f725f646174615825bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5010000000170636c69656e745f646174615f6a736f6e58517b2274797065223a2022776562617574686e2e676574222c20226368616c6c656e6765223a202261475673624738222c20226f726967696e223a202268747470733a2f2f6578616d706c652e6f7267227d697369676e617475726558463044022063627c69661048fb111b13dec2f3675010493c1c276c6a144f44e1fabab01d300220517d3cbd70658933dab63fd23cf05f7274aea6afad206be04d4ec5e268b471d2";
/// Asserts a delegation to the key `010203` that expires at 0.
const YUBIKEY_DELEGATION: &str = "d9d9f7a37261757468656e74696361746f725f646174615825bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5010000000170636c69656e745f646174615f6a736f6e58997b2274797065223a2022776562617574686e2e676574222c20226368616c6c656e6765223a2022476d6c6a4c584a6c6358566c63335174595856306143316b5a57786c5a32463061573975624d7952313366786f7246576730775069346566504e774b562d7a76486467504868716649536d77677141222c20226f726967696e223a202268747470733a2f2f6578616d706c652e6f7267227d697369676e617475726558483046022100d4b7541f3b1b61dd9c6f818f20f54f8b938fe222d88cca6700fabd82a522f13b022100c636b52dfd679b1f86eeb5fcaff360e70b57caa9fe186e1e77c42228eca49037";
/// Asserts the request with the id 13 (little-endian).
const YUBIKEY_REQUEST: &str = "d9d9f7a37261757468656e74696361746f725f646174615825bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5010000000170636c69656e745f646174615f6a736f6e58847b2274797065223a2022776562617574686e2e676574222c20226368616c6c656e6765223a2022436d6c6a4c584a6c6358566c6333514e414141414141414141414141414141414141414141414141414141414141414141414141414141414141222c20226f726967696e223a202268747470733a2f2f6578616d706c652e6f7267227d697369676e617475726558473045022100e4029fcf1cec44e0e2a33b2b2b981411376d89f90bec9ee7d4e20ca33ce8f088022070e95aa9dd3f0cf0d6f97f306d52211288482d565012202b349b2a2d80852635";
/// An RSA key and its assertion of `hello`, of Windows Hello.
const WINDOWS: &str = "30820123300c060a2b0601040183b84301010382011100a401030339010020590100c6b690341eef02719f6d1dfce2db1f77ac9bd632ba70efcee92bae2073c09927ee3670a6696eec0cee96189ddb448d04ec4e4674e940af9f905e893b4ce25821ada8b45c6cd11f2ee0cda668c7c2a2a8a56d5e1f23f5ca0bb6e193c1d34ead16d84cc4b72e26763711fcf49fac3b508715dc9f494ec1379ed5a95c53b9b1edcc027d7013248bbe6d1e1445912a5a21b27168db7f60aa73253e981c33f54f61c67dbce3d9c10d5f0e6af1c112a65c8ce64a1d01ae1e31a53e3d4525addcece402f1e62208d42ebde528830f93bebc898901947ec0fb218a96a53968d07e09b8a067e5a4c825632e24e450c4c9ef8138dcc91f9f9168a603c13bd4f2f8a0d3ee6b2143010001";
const WINDOWS_HELLO: &str = "d9d9f7a3697369676e617475726559010001dac0ad9ee89c9b9d3f772bb8dd79bc16839a026bf4378629789bede8e5e284bce9c59e2c5b2fd5d8daff964d4eec1a43eb6f083595f1ce42c9f78445dba95146e3338680ca72f7720371d88d56ab6578a67f9791954787d54e4c5687bb0d3379a268dbaa9dc8dd550187953c349e10e454c0950cfeaf37c5f01ff09a5b581fb81de8bfe9be21a8baa5f96653fce6eaf485d8726e1f620454c145fa542756e7b606f1ab9439a081bb01fec8be7679c72e2ce110655a36a01bde34be7be9e6270334d9b3f242ff12852992eeb515b13989245d049500629a5ac38c40f09dd218e8e1a790d3034418b7c3b59a6ac73e91b5bf4cf7c62d8e6de2dbaf00117045c070636c69656e745f646174615f6a736f6e786a7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a2261475673624738222c226f726967696e223a2268747470733a2f2f6333656634366165616437622e6e67726f6b2e696f222c2263726f73734f726967696e223a66616c73657d7261757468656e74696361746f725f6461746158252f8ceaf48dec5b53d9ddacaaf8b66392ded1691211f24e687badad8049b59ef60500000001";

fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), String> {
    let verified =
        UserKey::from_der(key).and_then(|key| key.verify(None, message, signature, "the request"));
    verified.map_err(|error| error.to_string())
}

#[test]
fn published_assertions_verify_and_nothing_else_does() {
    let delegation = SignedDelegation {
        pubkey: vec![1, 2, 3],
        expiration: 0,
        targets: None,
        permissions: None,
        signature: Vec::new(),
    };
    let mut request = b"\x0Aic-request".to_vec();
    request.push(13);
    request.extend_from_slice(&[0; 31]);
    let vectors: [(&str, Vec<u8>, String); 4] = [
        (YUBIKEY, b"hello".to_vec(), YUBIKEY_HELLO.to_owned()),
        (WINDOWS, b"hello".to_vec(), WINDOWS_HELLO.to_owned()),
        (
            YUBIKEY,
            delegated_bytes(&delegation),
            YUBIKEY_DELEGATION.to_owned(),
        ),
        (YUBIKEY, request, YUBIKEY_REQUEST.to_owned()),
    ];
    for (key, message, signature) in vectors {
        let key = hex::decode(key).unwrap();
        let signature = hex::decode(signature).unwrap();
        assert_eq!(verify(&key, &message, &signature), Ok(()));
        let refused = verify(&key, b"something else", &signature).unwrap_err();
        assert_eq!(
            refused,
            "WebAuthn, the request: the challenge is not the base64url encoding of what is signed"
        );
        // A bit changed anywhere: in the data, the client data, the signature or between them.
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(verify(&key, &message, &changed).is_err(), "byte {at}");
        }
    }
    let (key, other) = (hex::decode(YUBIKEY).unwrap(), hex::decode(WINDOWS).unwrap());
    let signature = hex::decode(WINDOWS_HELLO).unwrap();
    assert_eq!(
        verify(&key, b"hello", &signature).unwrap_err(),
        "WebAuthn, the request: the signature does not verify"
    );
    let plain = verify(&other, b"hello", &[7; 64]).unwrap_err();
    assert!(
        plain.contains("is not a CBOR map of `authenticator_data`"),
        "{plain}"
    );
}

/// The key that the interface specification shows in "Web Authentication".
#[test]
fn the_published_cose_key_is_one() {
    let der = "305e300c060a2b0601040183b8430101034e00a50102032620012158207ffd83632072fd1bfeaf3fbaa43146e0ef95c3f55e3994a41bbf2b5174d771da22582032497eed0a7f6f000928765b8318162cfd80a94e525a6a368c2363063d04e6ed";
    let key = UserKey::from_der(&hex::decode(der).unwrap());
    assert!(matches!(key, Ok(UserKey::WebAuthn(CoseKey::P256(_)))));
}

/// A COSE key with these members.
fn cose(members: &[(i64, Member<'_>)]) -> Vec<u8> {
    let mut e = Encoder::new();
    e.map(members.len());
    let int = |e: &mut Encoder, value: i64| match u64::try_from(value) {
        Ok(value) => {
            e.uint(value);
        }
        // Major type 1 holds −1 − value.
        Err(_) if value >= -24 => {
            e.raw(&[0x20 | (-1 - value) as u8]);
        }
        Err(_) => {
            e.raw(&[0x39]).raw(&((-1 - value) as u16).to_be_bytes());
        }
    };
    for (name, value) in members {
        int(&mut e, *name);
        match value {
            Int(value) => int(&mut e, *value),
            Bytes(bytes) => {
                e.bytes(bytes);
            }
        }
    }
    e.finish()
}

#[derive(Clone, Copy)]
enum Member<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

use Member::{Bytes, Int};

#[test]
fn keys_of_authenticators_that_are_none_are_refused_by_name() {
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let (x, y) = (&point.x().unwrap()[..], &point.y().unwrap()[..]);
    let ed = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    let (short, long) = ([0xff; 128], [0xff; 1025]);
    let (kind, curve) = ((1, Int(2)), (-1, Int(1)));
    let of = |members: &[(i64, Member<'_>)]| {
        CoseKey::decode(&cose(members))
            .map(|_| ())
            .map_err(|fault| fault.to_string())
    };
    let good = [kind, (3, Int(-7)), curve, (-2, Bytes(x)), (-3, Bytes(y))];
    assert_eq!(of(&good), Ok(()));
    let okp = [(1, Int(1)), (3, Int(-8)), (-1, Int(6)), (-2, Bytes(&ed))];
    assert_eq!(of(&okp), Ok(()));
    let point = "the key is not a point of P-256";
    let cose_key = "the key is not a COSE key";
    let algorithm = "the key is not of the algorithms ES256, RS256 and EdDSA";
    let rsa = [(1, Int(3)), (3, Int(-257))];
    let refused: [(&str, Vec<(i64, Member<'_>)>); 14] = [
        (point, vec![kind, (3, Int(-7)), curve, (-2, Bytes(x))]),
        (
            point,
            [&good[..3], &[(-2, Bytes(y)), (-3, Bytes(x))]].concat(),
        ),
        (point, [&good[..2], &[(-1, Int(2))], &good[3..]].concat()),
        (
            point,
            [&good[..3], &[(-2, Bytes(&x[1..])), good[4]]].concat(),
        ),
        (cose_key, [&good[..], &[(4, Int(1))]].concat()),
        (cose_key, [&good[..], &[good[0]]].concat()),
        (cose_key, vec![(-2, Int(1))]),
        (algorithm, vec![]),
        (
            algorithm,
            [&[(1, Int(2)), (3, Int(-8))], &good[2..]].concat(),
        ),
        (algorithm, [&[kind, (3, Int(-47))], &good[2..]].concat()),
        (
            "the key is not an Ed25519 key",
            [&okp[..3], &[(-2, Bytes(&[0; 32]))]].concat(),
        ),
        (
            "the RSA key has 1024 bits, allowed are 2048 to 8192",
            [&rsa[..], &[(-1, Bytes(&short)), (-2, Bytes(&[1, 0, 1]))]].concat(),
        ),
        (
            "the RSA key has 8200 bits, allowed are 2048 to 8192",
            [&rsa[..], &[(-1, Bytes(&long)), (-2, Bytes(&[1, 0, 1]))]].concat(),
        ),
        (
            "the key is not an RSA key",
            [&rsa[..], &[(-1, Bytes(&long[..256])), (-2, Bytes(&[1; 6]))]].concat(),
        ),
    ];
    for (index, (why, members)) in refused.iter().enumerate() {
        assert_eq!(of(members), Err((*why).to_owned()), "case {index}");
    }
    // Counts that promise more than there is.
    assert!(CoseKey::decode(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    let error = UserKey::from_der(&webauthn_der(&cose(&[]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("WebAuthn, the public key: {algorithm}")
    );
}

/// An assertion of `message`, signed with `sign`.
fn assertion(message: &[u8], sign: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    use base64::Engine as _;
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(message);
    let client = format!(
        r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://x.org","crossOrigin":false}}"#
    );
    let data = [5; 37];
    let signature = sign(&[&data[..], &sha256(&[client.as_bytes()])].concat());
    assertion_of(&data, &client, &signature)
}

fn assertion_of(data: &[u8], client: &str, signature: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new();
    e.tag(55_799).map(3);
    e.text("authenticator_data").bytes(data);
    e.text("client_data_json").text(client);
    e.text("signature").bytes(signature);
    e.finish()
}

#[test]
fn assertions_that_are_none_are_refused_by_name() {
    let key = SigningKey::from_bytes(&[4; 32]);
    let der = ed25519_authenticator(&key);
    let good = assertion(b"hello", &|bytes| key.sign(bytes).to_bytes().to_vec());
    assert_eq!(verify(&der, b"hello", &good), Ok(()));
    // Without the tag it is the same; cut or extended it is none.
    assert_eq!(verify(&der, b"hello", &good[3..]), Ok(()));
    let malformed = "WebAuthn, the request: the signature is not a CBOR map of \
                     `authenticator_data`, `client_data_json` and `signature`";
    for len in 0..good.len() {
        assert_eq!(verify(&der, b"hello", &good[..len]).unwrap_err(), malformed);
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(verify(&der, b"hello", &longer).unwrap_err(), malformed);
    for client in [
        "",
        "null",
        "[]",
        "{",
        r#"{"challenge":1}"#,
        r#"{"origin":"x"}"#,
        r#"{"challenge":"aGVsbG8","challenge":"aGVsbG8"}"#,
    ] {
        assert_eq!(
            verify(&der, b"hello", &assertion_of(&[5; 37], client, &[1; 64])).unwrap_err(),
            "WebAuthn, the request: the client data is not JSON with a challenge",
            "{client}"
        );
    }
    let deep = "[".repeat(100_000);
    let deep = assertion_of(&[], &format!(r#"{{"x":{deep}"#), &[]);
    assert!(verify(&der, b"hello", &deep).is_err());
}

fn ed25519_authenticator(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_bytes();
    let members = [(1, Int(1)), (3, Int(-8)), (-1, Int(6)), (-2, Bytes(&point))];
    webauthn_der(&cose(&members))
}

/// Every kind of authenticator signs requests, and delegates to a session key.
#[test]
fn authenticators_sign_requests_and_delegations() {
    let p256 = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let point = p256.verifying_key().to_encoded_point(false);
    let p256_der = webauthn_der(&cose(&[
        (1, Int(2)),
        (3, Int(-7)),
        (-1, Int(1)),
        (-2, Bytes(point.x().unwrap())),
        (-3, Bytes(point.y().unwrap())),
    ]));
    let ed25519 = SigningKey::from_bytes(&[2; 32]);
    let mut entropy = rand_chacha::ChaCha8Rng::from_seed([3; 32]);
    let rsa = RsaPrivateKey::new(&mut entropy, 2_048).unwrap();
    let rsa_der = webauthn_der(&cose(&[
        (1, Int(3)),
        (3, Int(-257)),
        (-1, Bytes(&rsa.n().to_bytes_be())),
        (-2, Bytes(&rsa.e().to_bytes_be())),
    ]));
    let digest_info = hex::decode("3031300d060960864801650304020105000420").unwrap();
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let kinds: [(Vec<u8>, Sign<'_>); 3] = [
        (
            p256_der,
            Box::new(|bytes| {
                let signature: p256::ecdsa::DerSignature =
                    p256::ecdsa::signature::Signer::sign(&p256, bytes);
                signature.as_bytes().to_vec()
            }),
        ),
        (
            ed25519_authenticator(&ed25519),
            Box::new(|bytes| ed25519.sign(bytes).to_bytes().to_vec()),
        ),
        (
            rsa_der,
            Box::new(|bytes| {
                let scheme = Pkcs1v15Sign {
                    hash_len: Some(32),
                    prefix: digest_info.clone().into(),
                };
                rsa.sign(scheme, &sha256(&[bytes])).unwrap()
            }),
        ),
    ];
    for (der, sign) in &kinds {
        let content = Content::Call(call(Principal::self_authenticating(der)));
        let signature = assertion(&signed_bytes(&content), sign);
        let parts = Parts {
            key: Some(der),
            signature: Some(&signature),
            ..Parts::unsigned(&content)
        };
        assert_eq!(judge(&encode(&parts), NOW), Ok(content.request_id()));

        let session = SigningKey::from_bytes(&[9; 32]);
        let mut delegation = SignedDelegation {
            pubkey: ed25519_der(&session.verifying_key().to_bytes()),
            expiration: NOW + 1,
            targets: None,
            permissions: None,
            signature: Vec::new(),
        };
        delegation.signature = assertion(&delegated_bytes(&delegation), sign);
        let signature = session.sign(&signed_bytes(&content)).to_bytes();
        let parts = Parts {
            content: &content,
            key: Some(der),
            signature: Some(&signature),
            delegations: &[delegation],
        };
        assert_eq!(judge(&encode(&parts), NOW), Ok(content.request_id()));
    }
}

#[test]
fn rsa_keys_sign_assertions_only() {
    let mut der = vec![0x30, 0x14, 0x30, 0x0d, 0x06, 0x09];
    der.extend_from_slice(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
    der.extend_from_slice(&[0x05, 0x00, 0x03, 0x03, 0x00, 0x30, 0x00]);
    assert_eq!(
        verify(&der, b"", b"").unwrap_err(),
        "RSA keys outside of WebAuthn are not supported; supported are Ed25519, ECDSA P-256 and \
         secp256k1, WebAuthn and canister signatures"
    );
}

/// Keys that say the same in another encoding would be other principals.
#[test]
fn keys_have_one_encoding() {
    let der = ed25519_der(&SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes());
    assert!(UserKey::from_der(&der).is_ok());
    let malformed = Err(
        "the public key is not a DER-encoded key for Ed25519, ECDSA P-256 or \
                         secp256k1, WebAuthn or canister signatures"
            .to_owned(),
    );
    let mut long = vec![0x30, 0x81, 0x2a];
    long.extend_from_slice(&der[2..]);
    let mut unused = der.clone();
    unused[11] = 1;
    let trailing = [&der[..], &[0]].concat();
    // With parameters, as RFC 8410 does not have them.
    let mut parameters = vec![0x30, 0x2c, 0x30, 0x07];
    parameters.extend_from_slice(&der[4..9]);
    parameters.extend_from_slice(&[0x05, 0x00]);
    parameters.extend_from_slice(&der[9..]);
    let small_order = ed25519_der(&[0; 32]);
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    let compressed = key.verifying_key().to_encoded_point(true);
    let mut compressed_der = ecdsa_p256_der(&[4; 65])[..26].to_vec();
    (compressed_der[1], compressed_der[24]) = (0x39, 0x22);
    compressed_der.extend_from_slice(compressed.as_bytes());
    let off_curve = ecdsa_secp256k1_der(&[4; 65]);
    for other in [
        Vec::new(),
        long,
        unused,
        trailing,
        parameters,
        small_order,
        compressed_der,
        off_curve,
        der[..der.len() - 1].to_vec(),
    ] {
        assert_eq!(
            verify(&other, b"", b""),
            malformed,
            "{}",
            hex::encode(&other)
        );
    }
}

const SEED: &[u8] = b"a user";

fn signing_canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1])
}

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

/// The tree in which a canister signs `message` under [`SEED`], beside another signature.
fn signing_tree(message: &[u8]) -> HashTree {
    let signed = label(&sha256(&[message]), HashTree::Leaf(Vec::new()));
    let (seed, other) = (label(&sha256(&[SEED]), signed), HashTree::Pruned([7; 32]));
    label(b"sig", HashTree::Fork(Box::new(seed), Box::new(other)))
}

fn signature(certificate: &[u8], tree: &HashTree) -> Vec<u8> {
    let mut e = Encoder::new();
    e.tag(55_799).map(2).text("certificate").bytes(certificate);
    e.text("tree");
    tree.encode(&mut e);
    e.finish()
}

/// The verdict of this crate and that of the public verifier, which must not be milder.
fn verify_canister(root: &Certifier, message: &[u8], signature: &[u8]) -> Result<(), String> {
    let der = canister_key_der(signing_canister(), SEED);
    let key = UserKey::from_der(&der).unwrap();
    let verdict = key.verify(Some(&root.key()), message, signature, "the request");
    let verdict = verdict.map_err(|error| error.to_string());
    let public = ic_signature_verification::verify_canister_sig(
        message,
        signature,
        &der,
        &root.key().to_bytes(),
    );
    assert!(
        verdict.is_err() || public.is_ok(),
        "the public verifier refuses: {public:?}"
    );
    verdict
}

#[test]
fn canisters_sign_by_what_they_certify() {
    let (root, id) = (Certifier::new(5), signing_canister());
    let tree = signing_tree(b"hello");
    let certificate = root.certify_data(id, &tree.digest(), None);
    let good = signature(&certificate, &tree);
    assert_eq!(verify_canister(&root, b"hello", &good), Ok(()));
    assert_eq!(
        canister_key_der(id, SEED),
        ic_canister_sig_creation::CanisterSigPublicKey::new(id, SEED.to_vec()).to_der(),
        "the public library encodes the key alike"
    );
    let refused = |signature: &[u8], message: &[u8]| {
        let why = verify_canister(&root, message, signature).unwrap_err();
        let prefix = "the canister signature of the request does not verify: ";
        why.strip_prefix(prefix).expect("says of what").to_owned()
    };
    let not_in_tree =
        "its tree does not show the digest of what is signed under the seed of the key";
    assert_eq!(refused(&good, b"other"), not_in_tree);
    let unordered = HashTree::Fork(
        Box::new(label(b"z", HashTree::Empty)),
        Box::new(tree.clone()),
    );
    let unordered = signature(
        &root.certify_data(id, &unordered.digest(), None),
        &unordered,
    );
    assert_eq!(refused(&unordered, b"hello"), not_in_tree);
    let other_data = root.certify_data(id, &[1; 32], None);
    assert_eq!(
        refused(&signature(&other_data, &tree), b"hello"),
        format!("its certificate does not show its tree as the certified data of {id}")
    );
    let other_canister = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 8, 1, 1]);
    let other_canister = root.certify_data(other_canister, &tree.digest(), None);
    assert_eq!(
        refused(&signature(&other_canister, &tree), b"hello"),
        format!("its certificate does not show its tree as the certified data of {id}")
    );
    let other_network = Certifier::new(6).certify_data(id, &tree.digest(), None);
    assert_eq!(
        refused(&signature(&other_network, &tree), b"hello"),
        "the signature over the certificate's tree does not verify"
    );
    for len in 0..good.len() {
        assert!(verify_canister(&root, b"hello", &good[..len]).is_err());
    }
    for at in (0..good.len()).step_by(3) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(
            verify_canister(&root, b"hello", &changed).is_err(),
            "byte {at}"
        );
    }
    let key = UserKey::from_der(&canister_key_der(id, SEED)).unwrap();
    assert_eq!(
        key.verify(None, b"hello", &good, "the request")
            .unwrap_err()
            .to_string(),
        "the canister signature of the request does not verify: this network has no key under \
         which certificates verify"
    );
}

#[test]
fn canisters_of_other_subnets_sign_where_the_root_vouches_for_them() {
    let (root, subnet, id) = (Certifier::new(5), Certifier::new(6), signing_canister());
    let tree = signing_tree(b"hello");
    let (first, last) = ([0; 10], [0, 0, 0, 0, 0, 0, 0, 9, 1, 1]);
    let verdict = |kind: Option<&[u8]>, range: (&[u8], &[u8])| {
        let delegation = root.delegate(&subnet, kind, range);
        let certificate = subnet.certify_data(id, &tree.digest(), Some(delegation));
        verify_canister(&root, b"hello", &signature(&certificate, &tree))
    };
    assert_eq!(verdict(Some(b"application"), (&first, &last)), Ok(()));
    let kind = "the canister signature of the request does not verify: the subnet of its \
                certificate is of no type whose canisters may sign";
    for refused in [Some(b"cloud_engine".as_slice()), None] {
        assert_eq!(verdict(refused, (&first, &last)).unwrap_err(), kind);
    }
    let outside = verdict(Some(b"application"), (&last, &last)).unwrap_err();
    assert!(outside.contains("may not answer for"), "{outside}");
}

/// A request that a canister signed, through a delegation to a session key, as Internet Identity
/// does it.
struct Session {
    root: Certifier,
    session: SigningKey,
    der: Vec<u8>,
    delegation: SignedDelegation,
}

impl Session {
    fn new() -> Self {
        let (root, session) = (Certifier::new(5), SigningKey::from_bytes(&[9; 32]));
        let mut delegation = SignedDelegation {
            pubkey: ed25519_der(&session.verifying_key().to_bytes()),
            expiration: NOW + 1,
            targets: None,
            permissions: None,
            signature: Vec::new(),
        };
        delegation.signature = signed_by_canister(&root, &delegated_bytes(&delegation));
        let der = canister_key_der(signing_canister(), SEED);
        Self {
            root,
            session,
            der,
            delegation,
        }
    }

    fn call(&self, sender_info: Option<SenderInfo>) -> Content {
        Content::Call(CallContent {
            sender_info,
            ..call(Principal::self_authenticating(&self.der))
        })
    }

    fn judge(&self, content: &Content) -> Result<[u8; 32], IngressError> {
        let signature = self.session.sign(&signed_bytes(content)).to_bytes();
        let parts = Parts {
            content,
            key: Some(&self.der),
            signature: Some(&signature),
            delegations: std::slice::from_ref(&self.delegation),
        };
        let judge = Judge::new(&self.root.key().to_der());
        judge_with(&judge, &encode(&parts), NOW)
    }
}

fn signed_by_canister(root: &Certifier, message: &[u8]) -> Vec<u8> {
    let tree = signing_tree(message);
    let certificate = root.certify_data(signing_canister(), &tree.digest(), None);
    signature(&certificate, &tree)
}

#[test]
fn canisters_delegate_and_sign_requests() {
    let mut session = Session::new();
    let content = session.call(None);
    assert_eq!(session.judge(&content), Ok(content.request_id()));
    // Without a delegation: the canister signs the request itself.
    let direct = signed_by_canister(&session.root, &signed_bytes(&content));
    let parts = Parts {
        key: Some(&session.der),
        signature: Some(&direct),
        ..Parts::unsigned(&content)
    };
    let judge = Judge::new(&session.root.key().to_der());
    let bytes = encode(&parts);
    assert_eq!(judge_with(&judge, &bytes, NOW), Ok(content.request_id()));
    // The same on a network with another key, or with none.
    let elsewhere = Judge::new(&Certifier::new(6).key().to_der());
    for judge in [elsewhere, Judge::new(b"no key")] {
        let refused = judge_with(&judge, &bytes, NOW).unwrap_err();
        assert_eq!(refused.code(), 111, "{refused}");
    }
    session.delegation.signature[40] ^= 1;
    let refused = session.judge(&content).unwrap_err();
    assert_eq!(refused.code(), 111, "{refused}");
}

#[test]
fn what_is_attested_about_a_sender_must_be_by_the_canister_that_speaks_for_it() {
    let session = Session::new();
    let sig = signed_by_canister(&session.root, b"\x0Eic-sender-info\x01\x02");
    let info = SenderInfo {
        info: vec![1, 2],
        signer: signing_canister(),
        sig,
    };
    let content = session.call(Some(info.clone()));
    assert_eq!(session.judge(&content), Ok(content.request_id()));
    assert_ne!(content.request_id(), session.call(None).request_id());

    let other = SenderInfo {
        info: vec![1, 3],
        ..info.clone()
    };
    assert_eq!(
        session
            .judge(&session.call(Some(other)))
            .unwrap_err()
            .to_string(),
        "the canister signature of `sender_info` does not verify: its tree does not show the \
         digest of what is signed under the seed of the key"
    );
    let stranger = SenderInfo {
        signer: callee(),
        ..info.clone()
    };
    assert_eq!(
        session.judge(&session.call(Some(stranger))),
        Err(IngressError::SenderInfoSigner {
            signer: callee(),
            canister: signing_canister()
        })
    );
    // A user's own key attests nothing, and nobody speaks for the anonymous one.
    let key = SigningKey::from_bytes(&[1; 32]);
    let der = ed25519_der(&key.verifying_key().to_bytes());
    let own = Content::Query(CallContent {
        sender_info: Some(info.clone()),
        ..call(Principal::self_authenticating(&der))
    });
    let signature = key.sign(&signed_bytes(&own)).to_bytes();
    let parts = Parts {
        key: Some(&der),
        signature: Some(&signature),
        ..Parts::unsigned(&own)
    };
    assert_eq!(
        judge(&encode(&parts), NOW),
        Err(IngressError::SenderInfoKey)
    );
    let anonymous = Content::Call(CallContent {
        sender_info: Some(info),
        ..call(Principal::anonymous())
    });
    assert_eq!(
        judge(&encode(&Parts::unsigned(&anonymous)), NOW),
        Err(IngressError::SenderInfoKey)
    );
}

/// The public library's idea of the id of a request with attested information.
#[test]
fn requests_with_attested_information_have_the_id_that_clients_compute() {
    let info = SenderInfo {
        info: vec![1, 2],
        signer: signing_canister(),
        sig: vec![3],
    };
    let call = CallContent {
        nonce: Some(vec![4]),
        sender_info: Some(info.clone()),
        ..call(Principal::anonymous())
    };
    let content = ic_transport_types::EnvelopeContent::Call {
        nonce: call.nonce.clone(),
        ingress_expiry: call.ingress_expiry,
        sender: call.sender,
        canister_id: call.canister_id,
        method_name: call.method_name.clone(),
        arg: call.arg.clone(),
        sender_info: Some(ic_transport_types::SenderInfo {
            info: info.info,
            signer: info.signer.as_slice().to_vec(),
            sig: info.sig,
        }),
    };
    let id = Content::Call(call).request_id();
    assert_eq!(id.as_slice(), content.to_request_id().as_slice());
}

#[test]
fn attested_information_is_bounded_and_belongs_to_calls() {
    let info = SenderInfo {
        info: vec![0; 64 * 1024 + 1],
        signer: signing_canister(),
        sig: Vec::new(),
    };
    let content = Content::Call(CallContent {
        sender_info: Some(info),
        ..call(Principal::anonymous())
    });
    assert_eq!(
        Envelope::decode(&encode(&Parts::unsigned(&content)))
            .unwrap_err()
            .to_string(),
        "sender_info.info has 65537 bytes, over the limit of 65536"
    );
    let mut e = Encoder::new();
    e.map(1).text("content").map(2);
    e.text("sender_info").map(1).text("info").bytes(&[]);
    assert_eq!(
        Envelope::decode(&e.finish()).unwrap_err().to_string(),
        "the envelope lacks the field `signer`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_signature(&bytes);
        fuzz_signature(&webauthn_der(&bytes));
    }

    #[test]
    fn no_change_of_a_canister_signature_panics_or_counts(
        position: prop::sample::Index,
        bytes in proptest::collection::vec(any::<u8>(), 1..5),
    ) {
        let root = Certifier::new(5);
        let good = signed_by_canister(&root, b"hello");
        let mut changed = good.clone();
        let at = position.index(good.len());
        let end = good.len().min(at + bytes.len());
        changed.splice(at..end, bytes);
        prop_assume!(changed != good);
        prop_assert!(verify_canister(&root, b"hello", &changed).is_err());
    }
}
