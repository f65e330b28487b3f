//! The persistent level against a plain map, and its proofs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trilith_proof::hash_tree::{Lookup, SubtreeLookup, lookup, lookup_subtree};
use trilith_types::HashTree;
use trilith_types::hash_tree::leaf_digest;

use super::{LabelMap, Wanted};

type Map = LabelMap<Vec<u8>, u64>;

fn put(map: &mut Map, label: &[u8], value: u64) {
    map.insert(label.to_vec(), value, leaf_digest(&value.to_be_bytes()));
}

fn expand(_: &Vec<u8>, value: &u64, _: &Wanted) -> HashTree {
    HashTree::Leaf(value.to_be_bytes().to_vec())
}

/// Labels that share beginnings, are beginnings of each other, and are empty.
fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(
            prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff)],
            0..4
        ),
        prop::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    /// Against a plain map: the same entries in the same order, and a digest that forgets how they
    /// came there.
    #[test]
    fn it_is_a_map_whose_digest_knows_no_history(
        steps in prop::collection::vec((label(), prop::option::of(any::<u64>()), any::<bool>()), 0..80),
    ) {
        let (mut map, mut plain) = (Map::default(), BTreeMap::new());
        let mut versions = Vec::new();
        for (label, value, look) in steps {
            match value {
                Some(value) => {
                    put(&mut map, &label, value);
                    plain.insert(label, value);
                }
                None => prop_assert_eq!(map.remove(&label), plain.remove(&label)),
            }
            if look {
                versions.push((map.clone(), map.digest(), plain.clone()));
            }
        }
        versions.push((map.clone(), map.digest(), plain.clone()));
        for (map, digest, plain) in versions {
            let mut fresh = Map::default();
            for (label, value) in plain.iter().rev() {
                put(&mut fresh, label, *value);
            }
            prop_assert_eq!(map.digest(), digest);
            prop_assert_eq!(fresh.digest(), digest);
            prop_assert_eq!(map.len(), plain.len());
            prop_assert!(map.iter().eq(plain.iter()));
            prop_assert!(plain.iter().all(|(label, value)| map.get(label) == Some(value)));
        }
    }

    /// What is wanted is shown or proven absent, with the digest of the whole.
    #[test]
    fn pruned_levels_prove_presence_and_absence(
        entries in prop::collection::btree_map(label(), any::<u64>(), 0..40),
        asked in prop::collection::vec(label(), 0..6),
    ) {
        let mut map = Map::default();
        for (label, value) in &entries {
            put(&mut map, label, *value);
        }
        let paths: Vec<[Vec<u8>; 1]> = asked.iter().map(|label| [label.clone()]).collect();
        let wanted = Wanted::of_paths(paths.iter().map(|path| &path[..]));
        let tree = map.prune(&wanted, &mut expand);
        prop_assert_eq!(tree.digest(), map.digest());
        for label in &asked {
            match entries.get(label) {
                Some(value) => {
                    let found = lookup(&tree, &[label]);
                    let bytes = value.to_be_bytes();
                    prop_assert_eq!(found, Lookup::Found(&bytes[..]));
                }
                None => prop_assert!(matches!(
                    lookup_subtree(&tree, &[label]),
                    SubtreeLookup::Absent
                )),
            }
        }
        let all = Wanted { all: true, ..Wanted::default() };
        let tree = map.prune(&all, &mut expand);
        prop_assert_eq!(tree.digest(), map.digest());
        prop_assert!(!tree.is_pruned() || entries.is_empty());
    }
}

#[test]
fn a_change_shares_the_rest_with_the_version_before() {
    let mut map = Map::default();
    for number in 0..1_000u64 {
        put(&mut map, &number.to_be_bytes(), number);
    }
    let before = map.clone();
    let digest = before.digest();
    put(&mut map, &7u64.to_be_bytes(), 8);
    assert_eq!(before.get(&7u64.to_be_bytes().to_vec()), Some(&7));
    assert_eq!(before.digest(), digest);
    assert_ne!(map.digest(), digest);
    put(&mut map, &7u64.to_be_bytes(), 7);
    assert_eq!(map.digest(), digest);
}
