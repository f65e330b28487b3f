//! Differences between trees whose nodes are in a source: they lead from one root to the other, and
//! only what differs is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use trilith_mkvs::{Node, NodeSource, Place, Tree, diff};
use trilith_types::{Hash, StateFault, WriteLogEntry};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The nodes of both trees, as a store would keep them, and which of them were fetched.
#[derive(Default)]
struct Kept {
    nodes: BTreeMap<Hash, Vec<u8>>,
    fetched: Mutex<Vec<Hash>>,
}

impl NodeSource for Kept {
    fn node(&self, hash: &Hash, _place: Place) -> Result<Arc<Node>, StateFault> {
        self.fetched.lock().unwrap().push(*hash);
        let bytes = self
            .nodes
            .get(hash)
            .ok_or(StateFault("it was lost".into()))?;
        Node::decode(bytes)
            .map(Arc::new)
            .map_err(|error| StateFault(error.to_string()))
    }
}

fn tree_of(model: &Model) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in model {
        tree.insert(key, value).unwrap();
    }
    tree
}

fn hashes(tree: &Tree) -> BTreeSet<Hash> {
    let mut hashes = BTreeSet::new();
    tree.visit_held(&mut |node| {
        hashes.insert(node.hash());
    });
    hashes
}

/// The difference of two trees that are opened from a source, and what was fetched for it.
fn stored_diff(before: &Tree, after: &Tree) -> (Vec<WriteLogEntry>, Vec<Hash>) {
    let mut kept = Kept::default();
    for tree in [before, after] {
        tree.visit_held(&mut |node| {
            kept.nodes.insert(node.hash(), node.encode().unwrap());
        });
    }
    let kept = Arc::new(kept);
    let opened = [before, after].map(|tree| Tree::at(tree.root(), kept.clone()));
    let log = diff(&opened[0], &opened[1]).unwrap();
    let mut again = opened[0].clone();
    let fetched = std::mem::take(&mut *kept.fetched.lock().unwrap());
    again.apply(&log).unwrap();
    assert_eq!(again.root(), after.root());
    (log, fetched)
}

fn numbered(count: usize) -> Model {
    (0..count)
        .map(|number| (Hash::of(&number.to_le_bytes()).as_bytes().to_vec(), vec![1]))
        .collect()
}

#[test]
fn one_change_among_many_fetches_two_paths() {
    let model = numbered(20_000);
    let before = tree_of(&model);
    assert_eq!(stored_diff(&before, &before), (vec![], vec![]));
    let key = model.keys().nth(7_777).unwrap().clone();
    let mut after = before.clone();
    after.insert(&key, b"changed").unwrap();
    let (log, fetched) = stored_diff(&before, &after);
    let value = Some(b"changed".to_vec());
    assert_eq!(log, [WriteLogEntry { key, value }]);
    let differing = hashes(&before)
        .symmetric_difference(&hashes(&after))
        .count();
    // Every node on both paths, once; among 20,000 random keys a path has some 16.
    assert_eq!(fetched.len(), differing);
    assert!((20..60).contains(&fetched.len()), "{} nodes", fetched.len());
}

#[test]
fn a_removed_subtree_is_all_that_is_fetched() {
    let model = numbered(5_000);
    let before = tree_of(&model);
    let mut after = before.clone();
    let gone: Vec<_> = model.keys().filter(|key| key[0] == 0x5a).collect();
    assert!(gone.len() > 5);
    for key in &gone {
        assert!(after.remove(key).unwrap());
    }
    let (log, fetched) = stored_diff(&before, &after);
    assert!(log.iter().map(|entry| &entry.key).eq(gone.iter().copied()));
    assert!(log.iter().all(|entry| entry.value.is_none()));
    assert!(
        fetched.len() < 2 * gone.len() + 40,
        "{} nodes",
        fetched.len()
    );
    // And back again.
    let (log, _) = stored_diff(&after, &before);
    assert!(log.iter().all(|entry| entry.value.is_some()) && log.len() == gone.len());
}

/// Few different bytes, so that keys are often equal, neighbours, or prefixes of each other.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    vec(byte, 0..5)
}

fn changes() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    vec(
        (keys(), proptest::option::of(vec(any::<u8>(), 0..3))),
        0..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_difference_of_stored_trees_is_exact_and_fetches_what_differs(
        model in btree_map(keys(), vec(any::<u8>(), 0..3), 0..60),
        changes in changes(),
    ) {
        let before = tree_of(&model);
        let mut changed = model.clone();
        for (key, value) in changes {
            match value {
                Some(value) => changed.insert(key, value),
                None => changed.remove(&key),
            };
        }
        let after = tree_of(&changed);
        let (log, fetched) = stored_diff(&before, &after);
        let touched: BTreeSet<_> = model.keys().chain(changed.keys()).collect();
        let expected: Vec<_> = touched
            .into_iter()
            .filter(|key| model.get(*key) != changed.get(*key))
            .map(|key| WriteLogEntry { key: key.clone(), value: changed.get(key).cloned() })
            .collect();
        prop_assert_eq!(&log, &expected);
        let (old, new) = (hashes(&before), hashes(&after));
        let shared = fetched.iter().filter(|hash| old.contains(hash) && new.contains(hash)).count();
        prop_assert!(shared <= log.len(), "{} shared nodes for {} changes", shared, log.len());
        let once: BTreeSet<_> = fetched.iter().collect();
        prop_assert_eq!(once.len(), fetched.len());
    }
}
