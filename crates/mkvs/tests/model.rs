//! The tree against an ordered map, on keys that nest and collide.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_mkvs::{
    LeafHash, OneThread, ProofVersion, Tree, TreeError, diff, root_of, root_of_leaves,
};
use trilith_proof::mkvs::{ProofError, verify_value};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Few different bytes, so that keys are often equal, neighbours, or prefixes of each other.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    vec(byte, 0..5)
}

fn models(size: usize) -> impl Strategy<Value = Model> {
    proptest::collection::btree_map(keys(), vec(any::<u8>(), 0..40), 0..size)
}

fn changes(size: usize) -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    vec(
        (
            keys(),
            proptest::option::weighted(0.6, vec(any::<u8>(), 0..3)),
        ),
        0..size,
    )
}

fn versions() -> impl Strategy<Value = ProofVersion> {
    prop_oneof![Just(ProofVersion::V0), Just(ProofVersion::V1)]
}

fn tree_of(model: &Model) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in model {
        tree.insert(key, value).unwrap();
    }
    tree
}

fn entries(tree: &Tree, start: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |entry: Result<trilith_mkvs::Entry, TreeError>| {
        entry
            .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
            .unwrap()
    };
    tree.iterate_from(start).unwrap().map(pair).collect()
}

fn change(tree: &mut Tree, model: &mut Model, changes: &[(Vec<u8>, Option<Vec<u8>>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => {
                tree.insert(key, value).unwrap();
                model.insert(key.clone(), value.clone());
            }
            None => {
                let existed = model.remove(key).is_some();
                assert_eq!(tree.remove(key).unwrap(), existed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_tree_is_a_map(changes in changes(60), probes in vec(keys(), 12)) {
        let (mut tree, mut model) = (Tree::empty(), Model::new());
        change(&mut tree, &mut model, &changes);
        for key in probes.iter().chain(changes.iter().map(|(key, _)| key)) {
            let value = tree.get(key).unwrap().map(|value| value.to_vec());
            prop_assert_eq!(value.as_ref(), model.get(key));
        }
        for start in &probes {
            let expected: Vec<_> =
                model.range(start.clone()..).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(entries(&tree, start), expected);
            let within: Vec<_> = tree
                .iterate_prefix(start)
                .unwrap()
                .map(|entry| entry.unwrap().key.to_vec())
                .collect();
            let expected: Vec<_> =
                model.keys().filter(|key| key.starts_with(start)).cloned().collect();
            prop_assert_eq!(within, expected);
        }
        prop_assert_eq!(tree.is_empty(), model.is_empty());
    }

    #[test]
    fn the_root_depends_on_the_entries_alone(
        changes in changes(60),
        order in vec(any::<prop::sample::Index>(), 60),
    ) {
        let (mut tree, mut model) = (Tree::empty(), Model::new());
        change(&mut tree, &mut model, &changes);
        let mut entries: Vec<_> = model.into_iter().collect();
        for (at, other) in order.iter().enumerate().take(entries.len()) {
            let other = other.index(entries.len());
            entries.swap(at, other);
        }
        prop_assert_eq!(root_of(entries.clone()).unwrap(), tree.root());
        let leaves = entries.iter().map(|(key, value)| LeafHash::of(key.clone(), value).unwrap());
        prop_assert_eq!(root_of_leaves(leaves.collect(), &OneThread).unwrap(), tree.root());
    }

    #[test]
    fn a_difference_leads_from_one_to_the_other(model in models(40), changes in changes(20)) {
        let before = tree_of(&model);
        let (mut after, mut changed) = (before.clone(), model.clone());
        change(&mut after, &mut changed, &changes);
        // Once with all nodes shared that can be, once with none.
        for target in [after, tree_of(&changed)] {
            let log = diff(&before, &target).unwrap();
            let expected: Vec<_> = model
                .keys()
                .chain(changed.keys())
                .filter(|key| model.get(*key) != changed.get(*key))
                .map(|key| (key.clone(), changed.get(key).cloned()))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect();
            let found: Vec<_> =
                log.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
            prop_assert_eq!(found, expected);
            let mut again = before.clone();
            again.apply(&log).unwrap();
            prop_assert_eq!(again.root(), target.root());
        }
        prop_assert_eq!(entries(&before, b""), model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_proof_tells_the_truth_or_nothing(
        model in models(30),
        probes in vec(keys(), 6),
        version in versions(),
        siblings: bool,
    ) {
        let tree = tree_of(&model);
        for key in &probes {
            let proof = tree.prove(key, version, siblings).unwrap();
            let value = verify_value(&tree.root(), key, &proof.encode()).unwrap();
            prop_assert_eq!(value.as_ref(), model.get(key));
            let verified = proof.verify(&tree.root()).unwrap();
            let partial = Tree::from_verified(&verified);
            prop_assert_eq!(partial.root(), tree.root());
            for other in model.keys().chain(&probes) {
                match verified.get(other) {
                    Ok(found) => {
                        prop_assert_eq!(found, model.get(other).map(Vec::as_slice));
                        let read = partial.get(other).unwrap().map(|value| value.to_vec());
                        prop_assert_eq!(read.as_ref(), model.get(other));
                    }
                    Err(ProofError::NotCovered { hash }) => {
                        prop_assert_eq!(partial.get(other), Err(TreeError::NotCovered { hash }));
                    }
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
        }
    }

    #[test]
    fn a_changed_partial_tree_has_the_root_of_the_changed_whole(
        model in models(30),
        changes in changes(4),
        version in versions(),
    ) {
        let mut tree = tree_of(&model);
        for (key, value) in &changes {
            let proof = tree.prove(key, version, true).unwrap();
            let mut partial = Tree::from_verified(&proof.verify(&tree.root()).unwrap());
            match value {
                Some(value) => {
                    partial.insert(key, value).unwrap();
                    tree.insert(key, value).unwrap();
                }
                None => prop_assert_eq!(partial.remove(key).unwrap(), tree.remove(key).unwrap()),
            }
            prop_assert_eq!(partial.root(), tree.root());
        }
    }

    #[test]
    fn proofs_of_iterations_show_the_neighbours(
        model in models(30),
        start in keys(),
        prefixes in vec(keys(), 0..3),
        count in 0u16..8,
        version in versions(),
    ) {
        let tree = tree_of(&model);
        let proof = tree.prove_iterate(&start, count, version).unwrap();
        let verified = proof.verify(&tree.root()).unwrap();
        let wanted = usize::from(count) + 1;
        let shown: Vec<_> = verified
            .iterate_from(&start)
            .take(wanted)
            .map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .unwrap();
        let expected: Vec<_> = entries(&tree, &start).into_iter().take(wanted).collect();
        prop_assert_eq!(shown, expected);

        let prefixes: Vec<&[u8]> = prefixes.iter().map(Vec::as_slice).collect();
        let proof = tree.prove_prefixes(&prefixes, u16::MAX, version).unwrap();
        let verified = proof.verify(&tree.root()).unwrap();
        for prefix in prefixes {
            let shown: Vec<_> = verified
                .iterate_from(prefix)
                .take_while(|item| item.as_ref().is_ok_and(|(key, _)| key.starts_with(prefix)))
                .map(|item| item.unwrap().0.to_vec())
                .collect();
            let expected: Vec<_> =
                model.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
            prop_assert_eq!(shown, expected);
        }
    }
}

#[test]
fn leaves_that_are_parted_have_the_same_root() {
    // Enough for jobs, with keys that end where others go on and keys that come twice.
    for count in [0u32, 1, 2, 255, 256, 257, 1_000, 5_000] {
        let (mut tree, mut leaves) = (Tree::empty(), Vec::new());
        for index in 0..count {
            let number = index.wrapping_mul(0x9e37_79b9) % (count + 1);
            let len = 1 + index as usize % 4;
            let (key, value) = (&number.to_be_bytes()[4 - len..], index.to_le_bytes());
            tree.insert(key, &value).unwrap();
            leaves.push(LeafHash::of(key.to_vec(), &value).unwrap());
        }
        assert_eq!(
            root_of_leaves(leaves, &OneThread).unwrap(),
            tree.root(),
            "{count}"
        );
    }
}
