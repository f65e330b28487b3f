//! Hashes, bit runs and proofs of the key-value tree. What a whole tree proves is tested with the
//! tree itself; here stand published figures, and one test for each way in which a proof fails.
//!
//! Origin of the published figures: Oasis Core, commit f9f1fdc60, `go/storage/mkvs/node`.

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_proof::mkvs::{
    Bits, CompactNode, Edge, KEY_BYTES_MAX, Label, PROOF_BYTES_MAX, PROOF_ENTRIES_MAX, Proof,
    ProofError, ProofVersion, VerifiedNode, internal_hash, leaf_hash, set_bit, verify_value,
};
use trilith_types::Hash;
use trilith_types::cbor::DecodeError;

/// Key, where it is cut, its bits, and the bytes of both halves.
type Cut = (&'static [u8], usize, usize, &'static [u8], &'static [u8]);
/// Two runs of bits with their lengths, and the bytes of both together.
type Join = (&'static [u8], usize, &'static [u8], usize, &'static [u8]);
/// Entries of a proof, and which of them does not belong where it stands.
type Misplaced = (ProofVersion, Vec<Option<Vec<u8>>>, usize);

fn label(bytes: &[u8], bits: usize) -> Label {
    Bits::of_key(bytes).first(bits).to_label().unwrap()
}

fn full(node: &CompactNode<'_>) -> Option<Vec<u8>> {
    let mut entry = vec![1];
    node.encode(&mut entry);
    Some(entry)
}

fn leaf(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    full(&CompactNode::Leaf { key, value })
}

fn branch(bits: usize, leaf: Option<(&[u8], &[u8])>) -> Option<Vec<u8>> {
    full(&CompactNode::Internal {
        label: label(&[0; 64], bits),
        leaf,
    })
}

fn left_out(hash: Hash) -> Option<Vec<u8>> {
    Some([&[2], &hash.as_bytes()[..]].concat())
}

fn proof(version: ProofVersion, root: Hash, entries: Vec<Option<Vec<u8>>>) -> Proof {
    Proof {
        version,
        untrusted_root: root,
        entries,
    }
}

/// The tree of the keys 00 and 80, with the values "l" and "r": its root and its two leaves.
fn pair() -> (Hash, Hash, Hash) {
    let (left, right) = (leaf_hash(&[0], b"l"), leaf_hash(&[0x80], b"r"));
    (
        internal_hash(&label(&[], 0), &Hash::EMPTY, &left, &right),
        left,
        right,
    )
}

#[test]
fn nodes_hash_to_the_published_figures() {
    let hash = leaf_hash(b"a golden key", b"value").to_string();
    assert_eq!(
        hash,
        "5c05183d4158b5920b16833acb78ccda464da83f720f824177b3a55a75f9fd88"
    );
    let children = [
        "everyone stop here",
        "everyone move to the left",
        "everyone move to the right",
    ]
    .map(|text| Hash::of(text.as_bytes()));
    // The published label has 23 bits, and its last bit happens to be set; our labels do not
    // allow that, so the hash is taken of the same bytes by hand.
    let [leaf, left, right] = &children;
    let parts: [&[u8]; 6] = [
        &[1],
        &[23, 0],
        b"abc",
        leaf.as_bytes(),
        left.as_bytes(),
        right.as_bytes(),
    ];
    let by_hand = Hash::of_parts(&parts).to_string();
    assert_eq!(
        by_hand,
        "75c37c67c265e2c836f76dec35173fa336e976938ea46f088390a983e46efced"
    );
    let ours = internal_hash(&label(b"abc", 24), leaf, left, right);
    let parts: [&[u8]; 6] = [
        &[1],
        &[24, 0],
        b"abc",
        leaf.as_bytes(),
        left.as_bytes(),
        right.as_bytes(),
    ];
    assert_eq!(ours, Hash::of_parts(&parts));
}

#[test]
fn keys_are_cut_and_joined_as_published() {
    let cuts: [Cut; 5] = [
        (
            &[0xaa, 0xbb, 0xcc, 0xdd],
            16,
            32,
            &[0xaa, 0xbb],
            &[0xcc, 0xdd],
        ),
        (
            &[0xaa, 0xbb, 0xcc, 0xdd],
            0,
            32,
            &[],
            &[0xaa, 0xbb, 0xcc, 0xdd],
        ),
        (
            &[0xaa, 0xbb, 0xcc, 0xdd],
            32,
            32,
            &[0xaa, 0xbb, 0xcc, 0xdd],
            &[],
        ),
        (
            &[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef],
            17,
            64,
            &[0x01, 0x23, 0x00],
            &[0x8a, 0xcf, 0x13, 0x57, 0x9b, 0xde],
        ),
        (&[0xff; 4], 21, 29, &[0xff, 0xff, 0xf8], &[0xff]),
    ];
    for (key, at, bits, before, behind) in cuts {
        let whole = Bits::of_key(key).first(bits);
        assert_eq!(whole.first(at).to_bytes(), before);
        assert_eq!(whole.skip(at).to_bytes(), behind);
        let joined = label(before, at).join(&label(behind, bits - at)).unwrap();
        assert_eq!(joined, whole.to_label().unwrap());
    }
    let joins: [Join; 7] = [
        (
            &[0xaa, 0xbb],
            16,
            &[0xcc, 0xdd],
            16,
            &[0xaa, 0xbb, 0xcc, 0xdd],
        ),
        (&[], 0, &[0xaa, 0xbb], 16, &[0xaa, 0xbb]),
        (&[0xaa, 0xbb], 16, &[], 0, &[0xaa, 0xbb]),
        (
            &[0x01, 0x23, 0x00],
            17,
            &[0x8a, 0xcf, 0x13, 0x57, 0x9b, 0xde],
            47,
            &[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef],
        ),
        (
            &[0xff, 0xff, 0xf8],
            21,
            &[0xff],
            8,
            &[0xff, 0xff, 0xff, 0xf8],
        ),
        (&[0x80], 0, &[0xf0], 4, &[0xf0]),
        (&[0x41, 0x6b, 0x00], 16, &[0x37], 8, &[0x41, 0x6b, 0x37]),
    ];
    for (before, bits, behind, more, whole) in joins {
        // Not of the bytes as they are: some of the published runs have bits behind their ends.
        let cut = |bytes, bits| Bits::of_key(bytes).first(bits).to_label().unwrap();
        let joined = cut(before, bits).join(&cut(behind, more)).unwrap();
        assert_eq!(joined.bytes(), whole);
        assert_eq!(usize::from(joined.bit_len()), bits + more);
    }
}

#[test]
fn bits_of_keys_are_set_as_published() {
    let cases: [(&[u8], usize, bool, &[u8]); 16] = [
        (&[0x00], 6, true, &[0x02]),
        (&[0x02], 6, true, &[0x02]),
        (&[0x00, 0x00], 6, true, &[0x02, 0x00]),
        (&[0x02, 0x00], 6, true, &[0x02, 0x00]),
        (&[0x00, 0x00], 14, true, &[0x00, 0x02]),
        (&[0x00, 0x02], 14, true, &[0x00, 0x02]),
        (&[0xff], 6, false, &[0xfd]),
        (&[0xfd], 6, false, &[0xfd]),
        (&[0xff, 0xff], 6, false, &[0xfd, 0xff]),
        (&[0xfd, 0xff], 6, false, &[0xfd, 0xff]),
        (&[0xff, 0xff], 14, false, &[0xff, 0xfd]),
        (&[0xff, 0xfd], 14, false, &[0xff, 0xfd]),
        // Appended behind so many bits.
        (&[0xf0], 4, true, &[0xf8]),
        (&[0xff], 4, false, &[0xf7]),
        (&[0xff], 8, true, &[0xff, 0x80]),
        (&[0xff], 8, false, &[0xff, 0x00]),
    ];
    for (key, index, bit, expected) in cases {
        let mut key = key.to_vec();
        set_bit(&mut key, index, bit);
        assert_eq!(key, expected);
    }
}

#[test]
fn a_part_is_verified_by_the_hash_of_its_top() {
    let (root, left, right) = pair();
    let entries = vec![leaf(&[0x00], b"l")];
    let part = proof(ProofVersion::V0, left, entries.clone());
    let verified = part.verify_part(&left).unwrap();
    assert_eq!(verified.top(), Edge::Node(0));
    assert_eq!(verified.hashes(), [left]);
    assert_eq!(verified.nodes().len(), 1);
    let of_another = ProofError::Root {
        expected: right,
        found: left,
    };
    assert_eq!(part.verify_part(&right), Err(of_another.clone()));
    let disguised = proof(ProofVersion::V0, right, entries);
    assert_eq!(disguised.verify_part(&right), Err(of_another));
    // It is no proof about the tree.
    assert!(part.verify(&root).is_err());

    // Eight bits above this subtree are not known here, but are in its keys.
    let (lower, upper) = ([0x00, 0x40], [0x00, 0x60]);
    let stem = label(&[0x40], 2);
    let hash = internal_hash(
        &stem,
        &Hash::EMPTY,
        &leaf_hash(&lower, b"l"),
        &leaf_hash(&upper, b"u"),
    );
    let top = full(&CompactNode::Internal {
        label: stem,
        leaf: None,
    });
    let entries = vec![top, leaf(&lower, b"l"), leaf(&upper, b"u")];
    let part = proof(ProofVersion::V0, hash, entries);
    let verified = part.verify_part(&hash).unwrap();
    assert_eq!(verified.nodes().len(), 3);
    assert_eq!(verified.hashes()[2], hash);
    assert!(matches!(
        part.verify(&hash),
        Err(ProofError::Entry { index: 1, .. })
    ));
}

#[test]
fn common_prefixes_are_as_published() {
    let cases: [(&[u8], &[u8], usize); 5] = [
        (&[], &[], 0),
        (&[0xff; 2], &[0xff; 3], 16),
        (&[0xff; 3], &[0xff; 2], 16),
        (&[0xff; 3], &[0xff; 3], 24),
        (&[0xab, 0xcd, 0xef, 0xff], &[0xab, 0xcd, 0xee, 0xff], 23),
    ];
    for (a, b, common) in cases {
        assert_eq!(Bits::of_key(a).common_prefix(&Bits::of_key(b)), common);
    }
}

#[test]
fn labels_have_one_form() {
    assert!(Label::from_parts(vec![0xfe], 7).is_some());
    assert_eq!(Label::from_parts(vec![0xff], 7), None);
    assert_eq!(Label::from_parts(vec![0xff, 0], 8), None);
    assert_eq!(
        Label::from_parts(vec![0; KEY_BYTES_MAX + 1], (KEY_BYTES_MAX + 1) * 8),
        None
    );
}

#[test]
fn found_absent_and_not_covered_are_told_apart() {
    let (root, _, right) = pair();
    for (version, own) in [(ProofVersion::V0, vec![]), (ProofVersion::V1, vec![None])] {
        let mut entries = vec![branch(0, None)];
        entries.extend(own);
        entries.extend([leaf(&[0], b"l"), left_out(right)]);
        let proof = proof(version, root, entries);
        let tree = proof.verify(&root).unwrap();
        assert_eq!(tree.get(&[0]), Ok(Some(&b"l"[..])));
        assert_eq!(tree.get(&[1]), Ok(None));
        assert_eq!(tree.get(&[]), Ok(None));
        assert_eq!(
            tree.get(&[0x80]),
            Err(ProofError::NotCovered { hash: right })
        );
        assert_eq!(
            verify_value(&root, &[0], &proof.encode()),
            Ok(Some(b"l".to_vec()))
        );
        let gap = Err(ProofError::NotCovered { hash: right });
        let items: Vec<_> = tree.iterate_from(&[]).collect();
        assert_eq!(items, [Ok((&[0u8][..], &b"l"[..])), gap.clone()]);
        assert_eq!(tree.iterate_from(&[1]).collect::<Vec<_>>(), [gap]);
        assert_eq!(tree.shown().count(), 1);
        assert!(matches!(tree.top(), Edge::Node(top) if top + 1 == tree.nodes().len()));
        assert!(matches!(tree.nodes()[0], VerifiedNode::Leaf { .. }));
        assert_eq!(tree.root(), root);
    }
    let nothing = proof(ProofVersion::V0, Hash::EMPTY, vec![None]);
    assert_eq!(nothing.verify(&Hash::EMPTY).unwrap().get(b"key"), Ok(None));
}

#[test]
fn a_proof_of_another_root_is_refused() {
    let (root, left, right) = pair();
    let entries = vec![branch(0, None), left_out(right), left_out(left)];
    let swapped = proof(ProofVersion::V0, root, entries).verify(&root);
    assert!(
        matches!(swapped, Err(ProofError::Root { expected, found }) if expected == root && found != root)
    );
    let other = proof(ProofVersion::V0, left, vec![left_out(left)]).verify(&root);
    assert_eq!(
        other,
        Err(ProofError::Root {
            expected: root,
            found: left
        })
    );
}

#[test]
fn entries_must_be_exactly_those_of_the_tree() {
    let (root, left, right) = pair();
    let verify = |entries| proof(ProofVersion::V0, root, entries).verify(&root);
    assert_eq!(verify(vec![]), Err(ProofError::Incomplete { count: 0 }));
    let short = vec![branch(0, None), left_out(left)];
    assert_eq!(verify(short), Err(ProofError::Incomplete { count: 2 }));
    let long = vec![branch(0, None), left_out(left), left_out(right), None];
    assert_eq!(verify(long), Err(ProofError::Unused { count: 1 }));
    let twice = Err(ProofError::Node("ends early"));
    assert_eq!(verify(vec![Some(vec![1])]), twice);
}

#[test]
fn entries_that_do_not_belong_where_they_stand_are_refused() {
    let (root, left, right) = pair();
    let mut trailing = leaf(&[0], b"l").unwrap();
    trailing.push(0);
    let cases: [Misplaced; 9] = [
        // Neither node nor hash.
        (ProofVersion::V0, vec![Some(vec![])], 0),
        (ProofVersion::V0, vec![Some(vec![3, 0])], 0),
        // A short hash, and the hash of nothing.
        (ProofVersion::V0, vec![Some(vec![2, 0])], 0),
        (ProofVersion::V0, vec![left_out(Hash::EMPTY)], 0),
        (ProofVersion::V0, vec![Some(trailing)], 0),
        // A leaf on the wrong side, an own leaf of another key, a branch as own leaf.
        (
            ProofVersion::V0,
            vec![branch(0, None), leaf(&[0x80], b"r"), left_out(right)],
            1,
        ),
        (ProofVersion::V0, vec![branch(8, Some((&[1], b"")))], 0),
        (
            ProofVersion::V1,
            vec![branch(0, None), branch(8, None), left_out(left)],
            1,
        ),
        // Version 1 does not write the own leaf with its node.
        (ProofVersion::V1, vec![branch(8, Some((&[0], b"")))], 0),
    ];
    for (version, entries, at) in cases {
        let verified = proof(version, root, entries).verify(&root);
        assert!(
            matches!(verified, Err(ProofError::Entry { index, .. }) if index == at),
            "{verified:?}"
        );
    }
}

#[test]
fn nodes_have_one_form() {
    let refused: [&[u8]; 6] = [
        &[],
        &[9],
        // A key of 8,192 bytes.
        &[0, 0, 0x20, 0, 0],
        // A value that is longer than the input.
        &[0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        // A bit behind the label's end.
        &[1, 7, 0, 0xff, 2],
        // A branch as own leaf.
        &[1, 0, 0, 1, 0, 0, 2],
    ];
    for bytes in refused {
        assert!(
            matches!(CompactNode::decode(bytes), Err(ProofError::Node(_))),
            "{bytes:?}"
        );
    }
    let node = CompactNode::Internal {
        label: label(&[0xfe], 7),
        leaf: Some((b"k", b"v")),
    };
    let mut encoded = Vec::new();
    node.encode(&mut encoded);
    encoded.push(7);
    assert_eq!(CompactNode::decode(&encoded), Ok((node, &[7u8][..])));
}

#[test]
fn depth_is_bounded() {
    // Each branch has one bit, and the rest of the tree on its left.
    let chain = |depth: usize| {
        let mut entries = vec![branch(1, None); depth];
        let bottom = Hash::of(b"bottom");
        entries.push(left_out(bottom));
        entries.extend(vec![None; depth]);
        let step = |hash, _| internal_hash(&label(&[0], 1), &Hash::EMPTY, &hash, &Hash::EMPTY);
        let root = (0..depth).fold(bottom, step);
        proof(ProofVersion::V0, root, entries).verify(&root)
    };
    assert!(chain(128).is_ok());
    assert_eq!(chain(129), Err(ProofError::TooDeep { limit: 128 }));
}

#[test]
fn labels_beyond_the_longest_key_are_refused() {
    let node = |bytes: usize| {
        full(&CompactNode::Internal {
            label: label(&vec![0; bytes], bytes * 8),
            leaf: None,
        })
    };
    let entries = vec![node(KEY_BYTES_MAX), node(1)];
    let verified = proof(ProofVersion::V0, Hash::EMPTY, entries).verify(&Hash::EMPTY);
    assert!(matches!(verified, Err(ProofError::Entry { index: 1, .. })));
}

#[test]
fn encodings_are_strict_and_bounded() {
    let (root, left, _) = pair();
    let proof = proof(ProofVersion::V1, root, vec![left_out(left), None]);
    let encoded = proof.encode();
    assert_eq!(Proof::decode(&encoded), Ok(proof));
    let version = encoded.windows(2).position(|pair| pair == b"av").unwrap() + 2;
    for (number, error) in [
        (0, ProofError::Decode(DecodeError::Field("v"))),
        (2, ProofError::Version { found: 2 }),
    ] {
        let mut changed = encoded.clone();
        changed[version] = number;
        assert_eq!(Proof::decode(&changed), Err(error));
    }
    let trailing = [&encoded[..], &[0]].concat();
    let error = ProofError::Decode(DecodeError::Trailing { count: 1 });
    assert_eq!(Proof::decode(&trailing), Err(error));
    let long = vec![0; PROOF_BYTES_MAX + 1];
    let error = ProofError::TooLong {
        len: PROOF_BYTES_MAX + 1,
        limit: PROOF_BYTES_MAX,
    };
    assert_eq!(Proof::decode(&long), Err(error));
    let many = Proof {
        version: ProofVersion::V0,
        untrusted_root: root,
        entries: vec![None; PROOF_ENTRIES_MAX + 1],
    };
    let error = Proof::decode(&many.encode());
    assert!(matches!(
        error,
        Err(ProofError::Decode(DecodeError::TooLong { .. }))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_entries_panic(
        entries in vec(proptest::option::of(vec(0u8..4, 0..12)), 0..12),
        first: bool,
        key in vec(any::<u8>(), 0..3),
    ) {
        let version = if first { ProofVersion::V0 } else { ProofVersion::V1 };
        let mut proof = proof(version, Hash::EMPTY, entries);
        // Let the root be what the entries hash to, so that what is read back is tested too.
        if let Err(ProofError::Root { found, .. }) = proof.verify(&Hash::EMPTY) {
            proof.untrusted_root = found;
            let tree = proof.verify(&found).unwrap();
            let _ = tree.get(&key);
            let keys: Vec<_> = tree.shown().map(|(key, _)| key).collect();
            prop_assert!(keys.is_sorted());
        }
        prop_assert_eq!(Proof::decode(&proof.encode()), Ok(proof));
    }

    #[test]
    fn cutting_and_joining_are_inverse(key in vec(any::<u8>(), 0..9), at: prop::sample::Index) {
        let bits = Bits::of_key(&key);
        let at = at.index(bits.len() + 1);
        let (before, behind) = (bits.first(at), bits.skip(at));
        let joined = before.to_label().unwrap().join(&behind.to_label().unwrap()).unwrap();
        prop_assert_eq!(joined.bytes(), &key[..]);
        for index in 0..bits.len() {
            let expected = key[index / 8] >> (7 - index % 8) & 1 == 1;
            prop_assert_eq!(joined.bits().bit(index), Some(expected));
        }
        prop_assert_eq!(bits.bit(bits.len()), None);
    }
}
