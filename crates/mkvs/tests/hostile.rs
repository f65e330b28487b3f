//! Bytes, keys and sources that mean harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_mkvs::{
    KEY_BYTES_MAX, Node, NodeSource, Place, Proof, ProofVersion, Tree, TreeError, decode_write_log,
    diff, encode_write_log,
};
use trilith_proof::mkvs::verify_value;
use trilith_types::cbor::DecodeError;
use trilith_types::{Hash, StateFault, WriteLogEntry};

/// Nodes as a store would keep them.
#[derive(Default)]
struct Kept(BTreeMap<Hash, Vec<u8>>);

impl Kept {
    fn of(tree: &Tree) -> Self {
        let mut kept = Self::default();
        tree.visit_held(&mut |node| {
            kept.0.insert(node.hash(), node.encode().unwrap());
        });
        kept
    }
}

impl NodeSource for Kept {
    fn node(&self, hash: &Hash, _place: Place) -> Result<Arc<Node>, StateFault> {
        let bytes = self
            .0
            .get(hash)
            .ok_or_else(|| StateFault("it was lost".into()))?;
        Node::decode(bytes)
            .map(Arc::new)
            .map_err(|error| StateFault(error.to_string()))
    }
}

fn numbered(count: usize) -> Tree {
    let mut tree = Tree::empty();
    for number in 0..count {
        tree.insert(format!("key {number}").as_bytes(), &[number as u8; 3])
            .unwrap();
    }
    tree
}

#[test]
fn a_tree_over_a_source_is_the_same_tree() {
    let mut whole = numbered(300);
    let mut opened = Tree::at(whole.root(), Arc::new(Kept::of(&whole)));
    assert_eq!(diff(&opened, &whole).unwrap(), vec![]);
    for tree in [&mut whole, &mut opened] {
        tree.remove(b"key 17").unwrap();
        tree.insert(b"key", b"a prefix").unwrap();
    }
    assert_eq!(opened.root(), whole.root());
    assert_eq!(opened.iterate_from(b"").unwrap().count(), 300);
    let proof = opened.prove(b"key 9", ProofVersion::V0, true).unwrap();
    assert_eq!(
        proof,
        whole.prove(b"key 9", ProofVersion::V0, true).unwrap()
    );
    // Only what changed is in memory.
    assert!(Kept::of(&opened).0.len() < 40);
    assert!(Kept::of(&whole).0.len() > 300);
}

#[test]
fn a_source_that_loses_or_swaps_nodes_is_found_out() {
    let tree = numbered(20);
    let root = tree.root();
    let mut opened = Tree::at(root, Arc::new(Kept::default()));
    let lost = TreeError::Source {
        hash: root,
        fault: StateFault("it was lost".into()),
    };
    assert_eq!(opened.get(b"key 1"), Err(lost.clone()));
    assert_eq!(opened.insert(b"key 1", b"new"), Err(lost.clone()));
    assert_eq!(opened.remove(b"key 1"), Err(lost.clone()));
    assert_eq!(opened.iterate_from(b"").unwrap().next(), Some(Err(lost)));
    assert_eq!(opened.root(), root);

    let other = numbered(19);
    let mut kept = Kept::of(&tree);
    kept.0
        .insert(root, Kept::of(&other).0[&other.root()].clone());
    let swapped = TreeError::WrongNode {
        expected: root,
        found: other.root(),
    };
    assert_eq!(Tree::at(root, Arc::new(kept)).get(b"key 1"), Err(swapped));
}

#[test]
fn a_failed_write_log_changes_nothing() {
    let mut tree = numbered(5);
    let root = tree.root();
    let entry = |key: Vec<u8>| WriteLogEntry {
        key,
        value: Some(vec![1]),
    };
    let log = [entry(b"key 1".to_vec()), entry(vec![0; KEY_BYTES_MAX + 1])];
    let error = TreeError::KeyTooLong {
        len: KEY_BYTES_MAX + 1,
        limit: KEY_BYTES_MAX,
    };
    assert_eq!(tree.apply(&log), Err(error));
    assert_eq!(tree.root(), root);
}

/// A chain of 8,192 nodes, each of whose keys is a prefix of the next, on the stack that threads
/// have by default.
#[test]
fn the_deepest_chain_of_prefixes_overflows_no_stack() {
    let walk = || {
        let longest: Vec<u8> = (0..KEY_BYTES_MAX).map(|at| at as u8 | 1).collect();
        let mut tree = Tree::empty();
        // Longest first: each next key becomes the new top.
        for len in (0..=longest.len()).rev() {
            tree.insert(&longest[..len], b"").unwrap();
        }
        let before = tree.clone();
        assert_eq!(tree.get(&longest).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(tree.iterate_from(b"").unwrap().count(), KEY_BYTES_MAX + 1);
        assert_eq!(tree.iterate_from(&longest).unwrap().count(), 1);
        assert!(tree.remove(&longest).unwrap());
        assert_ne!(tree.root(), before.root());
        let change = WriteLogEntry {
            key: longest.clone(),
            value: None,
        };
        assert_eq!(diff(&before, &tree).unwrap(), vec![change]);
        assert_eq!(
            diff(&Tree::empty(), &before).unwrap().len(),
            KEY_BYTES_MAX + 1
        );
        let too_deep = Err(TreeError::ProofTooDeep { limit: 128 });
        assert_eq!(tree.prove(&longest, ProofVersion::V1, true), too_deep);
        assert_eq!(tree.prove_iterate(&longest, 3, ProofVersion::V0), too_deep);
        assert!(tree.prove(&longest[..9], ProofVersion::V1, true).is_ok());
        drop((before, tree));
    };
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(walk)
        .unwrap();
    assert!(thread.join().is_ok());
}

#[test]
fn a_proof_of_too_much_is_refused() {
    let mut tree = Tree::empty();
    for number in 0..20u8 {
        tree.insert(&[number], &vec![number; 1 << 20]).unwrap();
    }
    let proof = tree.prove_iterate(b"", u16::MAX, ProofVersion::V1);
    assert!(matches!(proof, Err(TreeError::ProofTooLarge { .. })));
    assert!(tree.prove_iterate(b"", 10, ProofVersion::V1).is_ok());
}

/// A key with a tree full of smaller keys before it, in which the rules of iterations look for a
/// greater one again and again.
#[test]
fn a_proof_that_looks_in_vain_for_too_long_is_refused() {
    let mut tree = Tree::empty();
    for number in 0..4_000u32 {
        let key = [&[0], &number.to_be_bytes()[..]].concat();
        tree.insert(&key, b"").unwrap();
    }
    let start = [1, 0, 0, 0, 0, 0];
    let once = tree.prove_prefixes(&[&start], 1, ProofVersion::V0);
    assert!(once.is_ok());
    let often = tree.prove_prefixes(&[&start[..]; 4_000], 1, ProofVersion::V0);
    let costly = TreeError::ProofTooCostly { limit: 1 << 20 };
    assert_eq!(often, Err(costly));

    // The largest request that is not in vain stays far below that.
    let mut tree = Tree::empty();
    for number in 0..=u16::MAX {
        tree.insert(&number.to_be_bytes(), b"").unwrap();
    }
    let proof = tree.prove_iterate(b"", u16::MAX, ProofVersion::V0).unwrap();
    let shown = proof.verify(&tree.root()).unwrap();
    assert_eq!(shown.shown().count(), usize::from(u16::MAX) + 1);
}

#[test]
fn write_logs_are_sorted_and_their_keys_unique() {
    let entry = |key: &[u8]| WriteLogEntry {
        key: key.to_vec(),
        value: None,
    };
    let encoded = encode_write_log(&[entry(b"b"), entry(b"a")]);
    assert_eq!(
        decode_write_log(&encoded, 100).unwrap(),
        [entry(b"a"), entry(b"b")]
    );
    let twice = encode_write_log(&[entry(b"a"), entry(b"b"), entry(b"a")]);
    assert_eq!(
        decode_write_log(&twice, 100),
        Err(DecodeError::Field("key"))
    );
    let error = decode_write_log(&encoded, 3);
    assert!(matches!(error, Err(DecodeError::TooLong { limit: 3, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_input_panics(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes.clone());
        }
        if let Ok(log) = decode_write_log(&bytes, 150) {
            prop_assert!(encode_write_log(&log).len() <= 150);
        }
        if let Ok(node) = Node::decode(&bytes) {
            prop_assert_eq!(node.encode().unwrap(), bytes.clone());
        }
        prop_assert!(verify_value(&Hash::of(&bytes), b"key", &bytes).is_err());
    }

    #[test]
    fn a_changed_byte_never_proves_another_value(
        number in 0usize..40,
        place: prop::sample::Index,
        flip in 1u8..=255,
        siblings: bool,
        first: bool,
    ) {
        let tree = numbered(30);
        let key = format!("key {number}").into_bytes();
        let truth = tree.get(&key).unwrap().map(|value| value.to_vec());
        let version = if first { ProofVersion::V0 } else { ProofVersion::V1 };
        let mut encoded = tree.prove(&key, version, siblings).unwrap().encode();
        let place = place.index(encoded.len());
        encoded[place] ^= flip;
        if let Ok(value) = verify_value(&tree.root(), &key, &encoded) {
            prop_assert_eq!(value, truth);
        }
    }

    /// Write logs and proofs come back from their encodings, and no part of one is taken for it.
    #[test]
    fn write_logs_and_proofs_come_back_whole_or_not_at_all(
        changes in proptest::collection::btree_map(
            vec(any::<u8>(), 0..6),
            proptest::option::of(vec(any::<u8>(), 0..40)),
            0..20,
        ),
        start in vec(any::<u8>(), 0..4),
        count in 0u16..5,
        place: prop::sample::Index,
        first: bool,
    ) {
        let entry = |(key, value)| WriteLogEntry { key, value };
        let log: Vec<_> = changes.into_iter().map(entry).collect();
        let encoded = encode_write_log(&log);
        prop_assert_eq!(decode_write_log(&encoded, encoded.len()).unwrap(), log.clone());
        let cut = &encoded[..place.index(encoded.len())];
        prop_assert!(decode_write_log(cut, encoded.len()).is_err());

        let mut tree = Tree::empty();
        tree.apply(&log).unwrap();
        let version = if first { ProofVersion::V0 } else { ProofVersion::V1 };
        let proof = tree.prove_iterate(&start, count, version).unwrap();
        let encoded = proof.encode();
        prop_assert_eq!(Proof::decode(&encoded).unwrap(), proof);
        prop_assert!(Proof::decode(&encoded[..place.index(encoded.len())]).is_err());
    }

    /// Stored nodes that are well-formed but make no tree: errors or odd answers, no panic.
    #[test]
    fn nodes_that_make_no_tree_do_not_panic(
        parts in vec((vec(any::<u8>(), 0..3), any::<[u8; 3]>()), 1..6),
        key in vec(any::<u8>(), 0..4),
    ) {
        let mut kept = Kept::default();
        let mut hashes = vec![Hash::EMPTY];
        for (label, pick) in parts {
            let mut bytes = vec![1, (label.len() * 8) as u8, 0];
            bytes.extend_from_slice(&label);
            match pick[2] % 2 {
                0 => bytes.push(2),
                _ => bytes.extend_from_slice(&[0, 1, 0, pick[2], 0, 0, 0, 0]),
            }
            for child in &pick[..2] {
                let hash = hashes[usize::from(*child) % hashes.len()];
                bytes.extend_from_slice(hash.as_bytes());
            }
            let hash = Node::decode(&bytes).unwrap().hash();
            kept.0.insert(hash, bytes);
            hashes.push(hash);
        }
        let root = *hashes.last().unwrap();
        let tree = Tree::at(root, Arc::new(kept));
        let _ = tree.get(&key);
        let _ = tree.prove_iterate(&key, 3, ProofVersion::V1);
        let _ = tree.prove(&key, ProofVersion::V0, true);
        let count = tree.iterate_from(&key).map(|iter| iter.take(100).count());
        prop_assert!(count.is_ok());
        let _ = diff(&tree, &numbered(3));
        let mut changed = tree.clone();
        let _ = changed.remove(&key);
        let _ = changed.insert(&key, b"value");
        prop_assert_eq!(tree.root(), root);
    }
}
