//! Answers about accounts: good ones are believed, with data in the leaf and outside it; altered
//! ones never say anything else, and no bytes make the verifier panic.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::Private;
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use proptest::prelude::*;
use proptest::sample::Index;
use trilith_client::account::{account_image_key, account_key, fuzz_account_leaf};
use trilith_client::{
    Account, AccountAnswer, AccountError, Answer, CertificateKey, RootTrust, VerifiedAccount,
};
use trilith_proof::answer::{header_key, root_state_message};
use trilith_proof::certificate::SIGNATURE_DST;
use trilith_proof::mkvs::{Bits, CompactNode, Proof, ProofVersion, internal_hash, leaf_hash};
use trilith_proof::pages::root_of;
use trilith_types::cbor::MapBuilder;
use trilith_types::{Hash, Height, RuntimeId};

const ADDRESS: [u8; 32] = [7; 32];
const RUNTIME: RuntimeId = RuntimeId::test(2);
/// Bytes of data that stand outside the leaf.
const LARGE: usize = 70_000;

fn secret() -> Private {
    Private::decode(Copying(&[3; 32])).unwrap()
}

fn consensus_key() -> CertificateKey {
    let encoded = ops::compute_public::<MinSig>(&secret()).encode();
    CertificateKey::from_bytes(encoded.as_ref().try_into().unwrap()).unwrap()
}

fn full(node: &CompactNode<'_>) -> Option<Vec<u8>> {
    let mut entry = vec![1];
    node.encode(&mut entry);
    Some(entry)
}

fn encoded(root: Hash, entries: Vec<Option<Vec<u8>>>) -> (Hash, Vec<u8>) {
    let proof = Proof {
        version: ProofVersion::V1,
        untrusted_root: root,
        entries,
    };
    (root, proof.encode())
}

/// The root of a tree with one entry, and the proof that shows it.
fn single(key: &[u8], value: &[u8]) -> (Hash, Vec<u8>) {
    let leaf = full(&CompactNode::Leaf { key, value });
    encoded(leaf_hash(key, value), vec![leaf])
}

/// The root of a tree with an image's entry and an account's, whose keys part after the first bit,
/// and the proof that shows both.
fn pair(image: (&[u8], &[u8]), account: (&[u8], &[u8])) -> (Hash, Vec<u8>) {
    let label = Bits::of_key(image.0).first(1).to_label().unwrap();
    let [left, right] = [image, account].map(|(key, value)| leaf_hash(key, value));
    let root = internal_hash(&label, &Hash::EMPTY, &left, &right);
    let top = full(&CompactNode::Internal { label, leaf: None });
    let [left, right] =
        [image, account].map(|(key, value)| full(&CompactNode::Leaf { key, value }));
    encoded(root, vec![top, None, left, right])
}

fn header(state_root: &Hash) -> Vec<u8> {
    MapBuilder::new()
        .field("namespace", |encoder| {
            encoder.bytes(RUNTIME.as_bytes());
        })
        .field("round", |encoder| {
            encoder.uint(7);
        })
        .field("state_root", |encoder| {
            encoder.bytes(state_root.as_bytes());
        })
        .finish()
}

/// Certified answers for some keys of one state, all with the same proof.
fn certified(state: (Hash, Vec<u8>), keys: &[Vec<u8>]) -> Vec<Answer> {
    let (root_state, header_proof) = single(&header_key(&RUNTIME), &header(&state.0));
    let message = root_state_message(&chain(), Height(5), &root_state);
    let signature = ops::sign::<MinSig>(&secret(), SIGNATURE_DST, &message).encode();
    let signature = signature.as_ref().try_into().unwrap();
    let answer = |key: &Vec<u8>| Answer {
        key: key.clone(),
        value_proof: state.1.clone(),
        header_proof: header_proof.clone(),
        height: Height(5),
        root_state,
        signature,
    };
    keys.iter().map(answer).collect()
}

fn chain() -> Hash {
    Hash::of(b"genesis")
}

fn account(data: Vec<u8>) -> Account {
    Account {
        lamports: 5,
        owner: [1; 32],
        executable: true,
        rent_epoch: u64::MAX,
        data,
    }
}

/// The leaf of an account; `kind` says where the data is, of which `inline` stands here.
fn leaf(kind: u8, account: &Account, inline: &[u8]) -> Vec<u8> {
    let mut leaf = vec![kind];
    leaf.extend(account.lamports.to_le_bytes());
    leaf.extend(account.rent_epoch.to_le_bytes());
    leaf.extend(account.owner);
    leaf.push(u8::from(account.executable));
    leaf.extend((account.data.len() as u64).to_le_bytes());
    leaf.extend(inline);
    leaf
}

fn small() -> AccountAnswer {
    let key = account_key(&ADDRESS);
    let account = account(vec![1, 2, 3]);
    let state = single(&key, &leaf(0, &account, &account.data));
    AccountAnswer {
        leaf: certified(state, &[key]).remove(0),
        data: None,
    }
}

fn large() -> AccountAnswer {
    let keys = [account_key(&ADDRESS), account_image_key(&ADDRESS)];
    let account = account((0..LARGE).map(|index| index as u8).collect());
    let (pages, root) = root_of(&account.data);
    // An array of the number of pages, below 24, and 32 bytes.
    let mut held = vec![0x82, u8::try_from(pages).unwrap(), 0x58, 32];
    held.extend(root);
    let state = pair((&keys[1], &held), (&keys[0], &leaf(1, &account, &[])));
    let mut answers = certified(state, &keys);
    let image = answers.pop().unwrap();
    AccountAnswer {
        leaf: answers.pop().unwrap(),
        data: Some((image, account.data)),
    }
}

fn verify(answer: &AccountAnswer) -> Result<VerifiedAccount, AccountError> {
    let trust = RootTrust {
        chain: &chain(),
        consensus_key: &consensus_key(),
    };
    answer.verify(&ADDRESS, &RUNTIME, &trust)
}

#[test]
fn accounts_are_believed_with_data_in_and_outside_their_leaf() {
    let found = verify(&small()).unwrap();
    assert_eq!(found.account, Some(account(vec![1, 2, 3])));
    assert_eq!(found.height, Height(5));
    let found = verify(&large()).unwrap().account.unwrap();
    assert_eq!(found.data.len(), LARGE);
    assert_eq!(found.data[300], 44);
}

#[test]
fn that_there_is_no_account_is_believed() {
    let state = single(&account_key(&[8; 32]), b"another");
    let answer = AccountAnswer {
        leaf: certified(state, &[account_key(&ADDRESS)]).remove(0),
        data: None,
    };
    assert_eq!(verify(&answer).unwrap().account, None);
}

#[test]
fn data_of_another_state_is_refused() {
    let mut answer = large();
    let (image, data) = answer.data.take().unwrap();
    let key = account_key(&ADDRESS);
    let held = leaf(1, &account(data.clone()), &[]);
    answer.leaf = certified(single(&key, &held), &[key]).remove(0);
    answer.data = Some((image, data));
    let refused = verify(&answer).unwrap_err();
    assert!(
        matches!(refused, AccountError::OtherState { .. }),
        "{refused}"
    );
}

/// Changes one byte of one link, cuts a link, or the height.
fn alter(answer: &mut Answer, part: u8, place: Index, byte: u8) {
    let list = match part % 6 {
        0 => &mut answer.key,
        1 => &mut answer.value_proof,
        2 => &mut answer.header_proof,
        3 => {
            let at = place.index(answer.signature.len());
            answer.signature[at] ^= byte;
            return;
        }
        4 => {
            answer.height = Height(answer.height.0 ^ u64::from(byte));
            return;
        }
        _ => {
            let mut root = *answer.root_state.as_bytes();
            root[place.index(32)] ^= byte;
            answer.root_state = Hash::from_bytes(root);
            return;
        }
    };
    let at = place.index(list.len());
    if byte == 0 {
        list.truncate(at);
    } else {
        list[at] ^= byte;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_altered_answer_says_nothing_else(
        is_large in any::<bool>(),
        of_image in any::<bool>(),
        (part, place, byte) in (any::<u8>(), any::<Index>(), any::<u8>()),
    ) {
        let good = if is_large { large() } else { small() };
        let mut bent = good.clone();
        match &mut bent.data {
            Some((image, _)) if of_image => alter(image, part, place, byte),
            _ => alter(&mut bent.leaf, part, place, byte),
        }
        if let Ok(found) = verify(&bent) {
            prop_assert_eq!(Ok(found), verify(&good));
        }
    }

    #[test]
    fn altered_data_is_refused(place in any::<Index>(), byte in 1u8..) {
        let mut bent = large();
        let (_, data) = bent.data.as_mut().unwrap();
        let at = place.index(data.len());
        data[at] ^= byte;
        let refused = verify(&bent).unwrap_err();
        prop_assert!(matches!(refused, AccountError::Data { len: LARGE }), "{}", refused);
    }

    #[test]
    fn leaves_are_accounts_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..90),
        edits in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        fuzz_account_leaf(&bytes);
        let good = account(vec![1, 2, 3]);
        let mut bent = leaf(0, &good, &good.data);
        prop_assert_eq!(fuzz_account_leaf(&bent), Some(good));
        for (place, byte) in edits {
            let at = place.index(bent.len());
            bent[at] = byte;
        }
        fuzz_account_leaf(&bent);
    }
}
