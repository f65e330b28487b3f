//! Users who do not sign with a plain key: an authenticator, and a canister that signs for them. An
//! unmodified agent sends what they sign, and the node's canisters see who they are.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use candid::Principal;
use ic_agent::agent::EnvelopeContent;
use ic_agent::identity::{BasicIdentity, DelegatedIdentity, Delegation, SignedDelegation};
use ic_agent::{Identity, Signature};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use support::{Client, MOTOKO_COUNTER, Node};
use tempfile::tempdir;
use trilith_engine_canister::ingress::{canister_key_der, webauthn_der};
use trilith_types::HashTree;
use trilith_types::cbor::Encoder;
use trilith_types::hash::sha256;

/// Certifies what it is given, and hands out the certificate.
const NOTES: &[u8] = include_bytes!("../../../canisters/rust/notes.wasm");

/// An authenticator with a P-256 key.
struct Authenticator(SigningKey);

impl Authenticator {
    fn new() -> Self {
        Self(SigningKey::from_slice(&[15; 32]).unwrap())
    }

    fn key(&self) -> Vec<u8> {
        let point = self.0.verifying_key().to_encoded_point(false);
        let mut e = Encoder::new();
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        e.map(5).uint(1).uint(2).uint(3).raw(&[0x26]);
        e.raw(&[0x20]).uint(1);
        e.raw(&[0x21]).bytes(point.x().unwrap());
        e.raw(&[0x22]).bytes(point.y().unwrap());
        webauthn_der(&e.finish())
    }

    fn assert(&self, message: &[u8]) -> Signature {
        let challenge = URL_SAFE_NO_PAD.encode(message);
        let client = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"http://localhost"}}"#
        );
        let data = [7; 37];
        let signed = [&data[..], &sha256(&[client.as_bytes()])].concat();
        let signature: DerSignature = self.0.sign(&signed);
        let mut e = Encoder::new();
        e.tag(55_799).map(3).text("authenticator_data").bytes(&data);
        e.text("client_data_json").text(&client);
        e.text("signature").bytes(signature.as_bytes());
        Signature {
            public_key: Some(self.key()),
            signature: Some(e.finish()),
            delegations: None,
        }
    }
}

impl Identity for Authenticator {
    fn sender(&self) -> Result<Principal, String> {
        Ok(Principal::self_authenticating(self.key()))
    }

    fn public_key(&self) -> Option<Vec<u8>> {
        Some(self.key())
    }

    fn sign(&self, content: &EnvelopeContent) -> Result<Signature, String> {
        Ok(self.assert(&content.to_request_id().signable()))
    }

    fn sign_delegation(&self, content: &Delegation) -> Result<Signature, String> {
        Ok(self.assert(&content.signable()))
    }
}

fn session() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[16; 32])
}

/// To the key of [`session`], for an hour.
fn delegation() -> Delegation {
    let hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    let expiration = hour.duration_since(std::time::UNIX_EPOCH).unwrap();
    Delegation {
        pubkey: session().public_key().unwrap(),
        expiration: expiration.as_nanos().try_into().unwrap(),
        targets: None,
        permissions: None,
    }
}

fn delegated(key: Vec<u8>, signature: Vec<u8>, delegation: Delegation) -> DelegatedIdentity {
    let signed = SignedDelegation {
        delegation,
        signature,
    };
    DelegatedIdentity::new_unchecked(key, Box::new(session()), vec![signed])
}

async fn is_known(node: &Node, canister: Principal, identity: impl Identity + 'static) {
    let client = Client::with_identity(node, identity);
    let caller: Principal = client.query(canister, "whoami", ()).await;
    assert_eq!(caller, client.principal());
    let _: candid::Nat = client.update(canister, "inc", ()).await;
}

#[tokio::test]
async fn authenticators_sign_and_delegate() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let canister = Client::new(&node).install(MOTOKO_COUNTER).await;
    is_known(&node, canister, Authenticator::new()).await;
    let delegation = delegation();
    let signature = Authenticator::new().sign_delegation(&delegation).unwrap();
    let key = Authenticator::new().key();
    let session = delegated(key, signature.signature.unwrap(), delegation);
    assert_eq!(session.sender(), Authenticator::new().sender());
    is_known(&node, canister, session).await;
}

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

#[tokio::test]
async fn a_canister_signs_for_its_users() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(MOTOKO_COUNTER).await;
    let signer = client.install(NOTES).await;

    let (seed, delegation) = (b"a user".as_slice(), delegation());
    let signed = label(
        &sha256(&[&delegation.signable()]),
        HashTree::Leaf(Vec::new()),
    );
    let tree = label(b"sig", label(&sha256(&[seed]), signed));
    let certify = client.try_update(signer, "certify", (tree.digest().to_vec(),));
    certify.await.unwrap();
    let certificate: Option<Vec<u8>> = client.query(signer, "certificate", ()).await;
    let mut e = Encoder::new();
    e.tag(55_799).map(2).text("certificate");
    e.bytes(&certificate.unwrap()).text("tree");
    tree.encode(&mut e);
    let signature = e.finish();

    let key = canister_key_der(signer, seed);
    let user = delegated(key.clone(), signature.clone(), delegation.clone());
    is_known(&node, canister, user).await;
    // Another seed is another user, for whom nothing was signed.
    let other = delegated(canister_key_der(signer, b"other"), signature, delegation);
    let other = Client::with_identity(&node, other);
    let refused = other.try_update(canister, "inc", ()).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("403"), "{refused}");
    assert!(
        refused.contains("the canister signature of a delegation"),
        "{refused}"
    );
}
