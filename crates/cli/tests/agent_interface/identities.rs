//! Every kind of identity that the agent has, and chains of delegations over them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::{Nat, Principal};
use ic_agent::Identity;
use ic_agent::identity::{
    AnonymousIdentity, BasicIdentity, DelegatedIdentity, Delegation, Prime256v1Identity,
    Secp256k1Identity, SignedDelegation,
};
use ic_certification::{label, leaf};
use serde::Serialize;
use trilith_types::hash::sha256;

use crate::support::{Client, MOTOKO_COUNTER};
use crate::{Network, refusal};

const HOUR: Duration = Duration::from_secs(3_600);

fn ed25519(seed: u8) -> Box<dyn Identity> {
    Box::new(BasicIdentity::from_raw_key(&[seed; 32]))
}

fn secp256k1(seed: u8) -> Box<dyn Identity> {
    let key = k256::SecretKey::from_slice(&[seed; 32]).unwrap();
    Box::new(Secp256k1Identity::from_private_key(key))
}

fn p256(seed: u8) -> Box<dyn Identity> {
    let key = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    Box::new(Prime256v1Identity::from_private_key(key))
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos().try_into().unwrap()
}

/// What the giver of a delegation grants.
#[derive(Default)]
struct Grant {
    expired: bool,
    targets: Option<Vec<Principal>>,
}

impl Grant {
    fn delegation(&self, to: &dyn Identity) -> Delegation {
        let now = SystemTime::now();
        let expiration = if self.expired { now - HOUR } else { now + HOUR };
        Delegation {
            pubkey: to.public_key().unwrap(),
            expiration: nanos(expiration),
            targets: self.targets.clone(),
            permissions: None,
        }
    }
}

/// The last of `keys` speaking for the first. The agent itself checks no chain here: what it would
/// refuse can be sent too.
fn chain(mut keys: Vec<Box<dyn Identity>>, grant: &Grant) -> DelegatedIdentity {
    let links = keys.windows(2).map(|pair| {
        let delegation = grant.delegation(&*pair[1]);
        let signature = pair[0].sign_delegation(&delegation).unwrap();
        SignedDelegation {
            delegation,
            signature: signature.signature.unwrap(),
        }
    });
    let links = links.collect();
    let first = keys[0].public_key().unwrap();
    DelegatedIdentity::new_unchecked(first, keys.pop().unwrap(), links)
}

async fn speaks_for(network: &Network, canister: Principal, identity: DelegatedIdentity) {
    let expected = identity.sender().unwrap();
    let client = Client::with_identity(&network.node, identity);
    let caller: Principal = client.query(canister, "whoami", ()).await;
    assert_eq!(caller, expected);
    assert!(client.update::<Nat>(canister, "inc", ()).await > 0u8);
}

#[tokio::test]
async fn delegations_go_over_keys_of_every_kind() {
    let network = Network::start();
    let canister = network.owner.install(MOTOKO_COUNTER).await;
    let grant = Grant::default();
    let mixed = || vec![ed25519(41), secp256k1(42), p256(43), ed25519(44)];
    for length in 2..=4 {
        let keys = mixed().into_iter().take(length).collect();
        speaks_for(&network, canister, chain(keys, &grant)).await;
    }
    let keys = mixed().into_iter().rev().collect();
    speaks_for(&network, canister, chain(keys, &grant)).await;
    let bound = Grant {
        targets: Some(vec![Principal::management_canister(), canister]),
        ..Grant::default()
    };
    speaks_for(&network, canister, chain(mixed(), &bound)).await;
    let twenty = (50..71).map(ed25519).collect();
    speaks_for(&network, canister, chain(twenty, &grant)).await;
}

#[tokio::test]
async fn delegations_that_do_not_hold_are_refused() {
    let network = Network::start();
    let canister = network.owner.install(MOTOKO_COUNTER).await;
    let grant = Grant::default();
    let elsewhere = Grant {
        targets: Some(vec![Principal::management_canister()]),
        ..Grant::default()
    };
    let expired = Grant {
        expired: true,
        ..Grant::default()
    };
    let broken = {
        let link = |keys| chain(keys, &grant).delegation_chain();
        let links = [
            link(vec![ed25519(41), secp256k1(42)]),
            link(vec![p256(43), ed25519(44)]),
        ];
        let first = ed25519(41).public_key().unwrap();
        DelegatedIdentity::new_unchecked(first, ed25519(44), links.concat())
    };
    let pair = || vec![ed25519(41), secp256k1(42)];
    let cycle = vec![ed25519(41), ed25519(42), ed25519(41), ed25519(42)];
    for (name, identity) in [
        ("another canister", chain(pair(), &elsewhere)),
        ("expired", chain(pair(), &expired)),
        ("a chain with a gap", broken),
        ("a key twice", chain(cycle, &grant)),
        ("too long", chain((50..72).map(ed25519).collect(), &grant)),
    ] {
        let client = Client::with_identity(&network.node, identity);
        let (status, text) = refusal(client.try_update(canister, "inc", ()).await);
        assert!([400, 403].contains(&status), "{name}: {status}: {text}");
        assert!(!text.is_empty(), "{name}");
        let query = client.agent.query(&canister, "get");
        let query = query.with_arg(candid::encode_args(()).unwrap());
        let (status, text) = refusal(query.call_without_verification().await);
        assert!([400, 403].contains(&status), "{name}: {status}: {text}");
    }
    let count: Nat = network.owner.query(canister, "get", ()).await;
    assert_eq!(count, Nat::from(0u8));
}

/// A signature of a canister, as it goes in an envelope.
#[derive(Serialize)]
struct CanisterSignature {
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    tree: ic_certification::HashTree,
}

/// DER encoding of a canister's key: the algorithm 1.3.6.1.4.1.56387.1.2, then the canister's id
/// after its length, and a seed.
fn canister_key(canister: Principal, seed: &[u8]) -> Vec<u8> {
    const ALGORITHM: [u8; 14] = [
        0x30, 12, 0x06, 10, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02,
    ];
    let id = canister.as_slice();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let raw = [&[0, length(id)][..], id, seed].concat();
    let bits = [&[0x03, length(&raw)][..], &raw].concat();
    let body = [&ALGORITHM[..], &bits].concat();
    [&[0x30, length(&body)][..], &body].concat()
}

#[tokio::test]
async fn a_canister_that_signs_can_delegate() {
    let network = Network::start();
    let owner = &network.owner;
    let signer = owner.install(MOTOKO_COUNTER).await;
    let canister = owner.install(MOTOKO_COUNTER).await;
    let (seed, session) = (b"a user of the canister", ed25519(45));
    let delegation = Grant::default().delegation(&*session);

    // The canister certifies whatever it is told: the root of a tree with the path
    // sig/<hash of the seed>/<hash of the message>.
    let message = delegation.signable();
    let by_message = label(sha256(&[&message]), leaf(Vec::new()));
    let tree: ic_certification::HashTree = label("sig", label(sha256(&[seed]), by_message));
    let root = tree.digest().to_vec();
    let set = owner.try_update(signer, "setCertified", (serde_bytes::ByteBuf::from(root),));
    set.await.unwrap();
    let certificate: Option<serde_bytes::ByteBuf> = owner.query(signer, "certificate", ()).await;
    let signature = CanisterSignature {
        certificate: certificate.unwrap().into_vec(),
        tree,
    };
    let mut bytes = Vec::new();
    let tagged = ciborium::tag::Required::<_, 55_799>(signature);
    ciborium::into_writer(&tagged, &mut bytes).unwrap();
    let link = SignedDelegation {
        delegation,
        signature: bytes,
    };

    // The agent verifies the signature itself, and so does the node.
    let key = canister_key(signer, seed);
    let root_key = &network.node.root_key_der;
    let identity =
        DelegatedIdentity::new_with_root_key(key, session, vec![link.clone()], root_key).unwrap();
    speaks_for(&network, canister, identity).await;

    let other = canister_key(signer, b"another user");
    let forged = DelegatedIdentity::new_unchecked(other, ed25519(45), vec![link]);
    let client = Client::with_identity(&network.node, forged);
    let (status, text) = refusal(client.try_update(canister, "inc", ()).await);
    assert!([400, 403].contains(&status), "{status}: {text}");
}

#[tokio::test]
async fn the_anonymous_user_is_one_of_many() {
    let network = Network::start();
    let canister = network.owner.install(MOTOKO_COUNTER).await;
    let anonymous = Client::with_identity(&network.node, AnonymousIdentity);
    let caller: Principal = anonymous.query(canister, "whoami", ()).await;
    assert_eq!(caller, Principal::anonymous());
    assert!(anonymous.update::<Nat>(canister, "inc", ()).await > 0u8);
    // It may not install code.
    let install = anonymous.sign_install(canister, MOTOKO_COUNTER);
    let install = anonymous.send(&install).await;
    assert_eq!(crate::error_code(install), "IC0512");
}
