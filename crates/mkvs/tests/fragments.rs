//! Trees whose nodes lie in fragments, and logs applied by several workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_mkvs::{
    Fragment, FragmentSink, Job, KEY_BYTES_MAX, Label, Node, NodeSource, Place, RELEASE_PARTS,
    Tree, TreeError, Workers, diff, root_of,
};
use trilith_types::{Hash, StateFault, WriteLogEntry};

/// A fragment and the key bits above it.
type Kept = BTreeMap<Place, (Label, Vec<u8>)>;

/// Keeps fragments in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Kept>>);

impl NodeSource for Shelf {
    fn node(&self, _hash: &Hash, place: Place) -> Result<Arc<Node>, StateFault> {
        let kept = self.0.lock().unwrap();
        let (_, bytes) = kept
            .get(&place)
            .ok_or_else(|| StateFault("it was lost".into()))?;
        Node::decode_fragment(bytes).map_err(|error| StateFault(error.to_string()))
    }
}

/// One flush onto a shelf.
struct Flushing {
    shelf: Shelf,
    written: BTreeSet<Place>,
    kept: BTreeSet<Place>,
    tops: Vec<(Arc<Node>, Place)>,
}

impl FragmentSink for Flushing {
    fn write(&mut self, fragment: Fragment<'_>) -> Result<Place, StateFault> {
        let (path, bytes, node) = (fragment.path, fragment.bytes, fragment.top);
        let mut shelf = self.shelf.0.lock().unwrap();
        let place = Place(shelf.len() as u64 + 1);
        let decoded = Node::decode_fragment(bytes).unwrap();
        assert_eq!(decoded.hash(), node.hash());
        assert_eq!(decoded.check_hashes(), None);
        assert_eq!(fragment.whole, decoded.edges_elsewhere().is_empty());
        shelf.insert(place, (path.clone(), bytes.to_vec()));
        self.written.insert(place);
        self.tops.push((Arc::clone(node), place));
        Ok(place)
    }

    fn keep(&mut self, place: Place) {
        self.kept.insert(place);
    }
}

fn flush(tree: &Tree, shelf: &Shelf, bytes: usize) -> (Place, Flushing) {
    let mut flushing = Flushing {
        shelf: shelf.clone(),
        written: BTreeSet::new(),
        kept: BTreeSet::new(),
        tops: Vec::new(),
    };
    let place = tree.flush(bytes, &mut flushing).unwrap();
    for (node, place) in flushing.tops.drain(..) {
        node.set_place(place);
    }
    (place, flushing)
}

/// The places of all fragments below `top`, each with the key bits above it.
fn reachable(shelf: &Shelf, top: Place) -> BTreeMap<Place, Label> {
    let kept = shelf.0.lock().unwrap();
    let mut found = BTreeMap::new();
    let mut open = vec![top];
    while let Some(place) = open.pop().filter(|place| *place != Place::NONE) {
        let (path, bytes) = &kept[&place];
        assert!(
            found.insert(place, path.clone()).is_none(),
            "a tree is no graph"
        );
        let node = Node::decode_fragment(bytes).unwrap();
        open.extend(node.edges_elsewhere().into_iter().map(|(_, place)| place));
    }
    found
}

/// Workers that run the jobs from the last to the first, or each on a thread of its own.
enum Odd {
    Backwards,
    Threads,
}

impl Workers for Odd {
    fn run(&self, jobs: Vec<Job<'_>>) {
        match self {
            Self::Backwards => jobs.into_iter().rev().for_each(|job| job()),
            Self::Threads => std::thread::scope(|scope| {
                for job in jobs {
                    scope.spawn(job);
                }
            }),
        }
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..4),
        vec(0u8..3, 0..9),
        vec(any::<u8>(), 32)
    ]
}

fn log(entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Vec<WriteLogEntry> {
    let entry = |(key, value)| WriteLogEntry { key, value };
    entries.into_iter().map(entry).collect()
}

fn logs() -> impl Strategy<Value = Vec<Vec<WriteLogEntry>>> {
    let value = proptest::option::weighted(0.7, vec(any::<u8>(), 0..40));
    vec(proptest::collection::btree_map(key(), value, 0..300), 1..6)
        .prop_map(|logs| logs.into_iter().map(log).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tree_in_fragments_is_the_same_tree(
        logs in logs(),
        bytes in 100usize..2_000,
        parts in any::<bool>(),
    ) {
        let shelf = Shelf::default();
        let (mut model, mut tree) = (BTreeMap::new(), Tree::empty());
        let mut top = Place::NONE;
        for log in logs {
            let before = tree.clone();
            tree.apply(&log).unwrap();
            for entry in log {
                match entry.value {
                    Some(value) => model.insert(entry.key, value),
                    None => model.remove(&entry.key),
                };
            }
            let root = root_of(model.clone()).unwrap();
            prop_assert_eq!(tree.root(), root);
            let old: BTreeSet<Place> = reachable(&shelf, top).into_keys().collect();
            let (place, flushing) = flush(&tree, &shelf, bytes);
            top = place;
            // What is reachable now was just written, or hangs below what was said to be kept.
            let new = reachable(&shelf, top);
            for place in flushing.written.iter().chain(&flushing.kept) {
                prop_assert!(new.contains_key(place));
            }
            prop_assert!(new.keys().all(|place| flushing.written.contains(place) || old.contains(place)));
            // Flushing again writes nothing.
            prop_assert!(flush(&tree, &shelf, bytes).1.written.is_empty());
            let opened = Tree::at_place(root, top, Arc::new(shelf.clone()));
            prop_assert_eq!(diff(&opened, &tree).unwrap(), vec![]);
            for key in model.keys() {
                let expected = model.get(key).map(Vec::as_slice);
                let found = opened.get(key).unwrap();
                prop_assert_eq!(found.as_deref(), expected);
            }
            if parts {
                tree.set_source(Arc::new(shelf.clone()));
                for part in 0..RELEASE_PARTS {
                    tree.release_part(part);
                    prop_assert_eq!(tree.root(), root);
                }
            } else {
                tree.release(Arc::new(shelf.clone()));
            }
            prop_assert_eq!(tree.root(), root);
            let mut held = 0;
            tree.visit_held(&mut |_| held += 1);
            prop_assert_eq!(held, 0);
            prop_assert_eq!(diff(&before, &tree).unwrap(), diff(&before, &opened).unwrap());
        }
    }

    #[test]
    fn a_tree_that_went_on_is_released_in_parts_as_it_is_at_once(
        first in proptest::collection::btree_map(key(), vec(any::<u8>(), 0..40), 50..300),
        then in proptest::collection::btree_map(key(), vec(any::<u8>(), 0..40), 1..20),
        bytes in 100usize..600,
    ) {
        let shelf = Shelf::default();
        let mut tree = Tree::empty();
        for (key, value) in &first {
            tree.insert(key, value).unwrap();
        }
        flush(&tree, &shelf, bytes);
        // What was changed since lies above and beside what is stored.
        for (key, value) in &then {
            tree.insert(key, value).unwrap();
        }
        tree.insert(b"one that is new", b"value").unwrap();
        let held = |tree: &Tree| {
            let mut hashes = BTreeSet::new();
            tree.visit_held(&mut |node| {
                hashes.insert(node.hash());
            });
            hashes
        };
        let before = held(&tree);
        let (mut whole, mut parts) = (tree.clone(), tree.clone());
        whole.release(Arc::new(shelf.clone()));
        parts.set_source(Arc::new(shelf.clone()));
        for part in 0..RELEASE_PARTS {
            parts.release_part(part);
        }
        let after = held(&parts);
        // Below the levels that parts tell apart, nothing is missed either.
        prop_assert_eq!(&after, &held(&whole));
        // Where a small tree changed everywhere, nothing can be released.
        prop_assert!(after.is_subset(&before));
        prop_assert!(!after.is_empty());
        prop_assert_eq!(parts.root(), tree.root());
        prop_assert_eq!(held(&tree), before, "what others hold stays");
        prop_assert_eq!(diff(&parts, &tree).unwrap(), vec![]);
    }

    #[test]
    fn a_touched_fragment_moves_and_nothing_else_changes(
        entries in proptest::collection::btree_map(key(), vec(any::<u8>(), 0..40), 1..300),
        bytes in 100usize..1_000,
        pick in any::<prop::sample::Index>(),
    ) {
        let shelf = Shelf::default();
        let mut tree = Tree::empty();
        for (key, value) in &entries {
            tree.insert(key, value).unwrap();
        }
        let root = tree.root();
        let (top, _) = flush(&tree, &shelf, bytes);
        tree.release(Arc::new(shelf.clone()));
        let before = reachable(&shelf, top);
        let (place, path) = before.iter().nth(pick.index(before.len())).unwrap();
        prop_assert!(!tree.touch(path, Place(1 << 40)).unwrap());
        prop_assert!(tree.touch(path, *place).unwrap());
        prop_assert_eq!(tree.root(), root);
        let (moved, _) = flush(&tree, &shelf, bytes);
        let after = reachable(&shelf, moved);
        prop_assert!(!after.contains_key(place));
        prop_assert_eq!(Tree::at_place(root, moved, Arc::new(shelf)).iterate_from(b"").unwrap().count(), entries.len());
    }

    #[test]
    fn a_log_gives_one_tree_whoever_applies_it(logs in logs(), stored in any::<bool>()) {
        let shelf = Shelf::default();
        let mut trees = [Tree::empty(), Tree::empty(), Tree::empty()];
        for log in logs {
            trees[0].apply(&log).unwrap();
            trees[1].apply_by(&log, &Odd::Backwards).unwrap();
            trees[2].apply_by(&log, &Odd::Threads).unwrap();
            let root = trees[0].root();
            prop_assert_eq!(trees[1].root(), root);
            prop_assert_eq!(trees[2].root(), root);
            let entries = |tree: &Tree| {
                tree.iterate_from(b"").unwrap().collect::<Result<Vec<_>, _>>().unwrap()
            };
            prop_assert_eq!(entries(&trees[0]), entries(&trees[2]));
            if stored {
                flush(&trees[1], &shelf, 500);
                trees[1].release(Arc::new(shelf.clone()));
            }
        }
    }

    #[test]
    fn damaged_fragments_are_refused_or_found_by_their_hashes(
        entries in proptest::collection::btree_map(key(), vec(any::<u8>(), 0..40), 2..40),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        len in any::<prop::sample::Index>(),
    ) {
        let shelf = Shelf::default();
        let mut tree = Tree::empty();
        for (key, value) in &entries {
            tree.insert(key, value).unwrap();
        }
        flush(&tree, &shelf, 100_000);
        let kept = shelf.0.lock().unwrap();
        let (_, bytes) = kept.values().next().unwrap();
        prop_assert!(Node::decode_fragment(&bytes[..len.index(bytes.len())]).is_err());
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= 1 << bit;
        if let Ok(node) = Node::decode_fragment(&damaged) {
            prop_assert!(node.check_hashes().is_some() || node.hash() != tree.root());
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_fragment_and_harm_nothing(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(node) = Node::decode_fragment(&bytes) {
            // A chance hit is a single leaf; the hashes of internal nodes are never right.
            prop_assert!(node.check_hashes().is_some() || bytes[0] == 0);
        }
    }
}

#[test]
fn a_failed_log_changes_nothing_whoever_applies_it() {
    let shelf = Shelf::default();
    let mut tree = Tree::empty();
    let keys = |from: u32| (from..from + 1_000).map(|number| number.to_be_bytes().to_vec());
    let entries = |from| keys(from).map(|key| (key, Some(vec![1]))).collect();
    tree.apply(&log(entries(0))).unwrap();
    flush(&tree, &shelf, 1_000);
    tree.release(Arc::new(shelf.clone()));
    let root = tree.root();
    let mut too_long: BTreeMap<_, _> = entries(0);
    too_long.insert(vec![9; KEY_BYTES_MAX + 1], Some(vec![]));
    let error = tree.apply_by(&log(too_long), &Odd::Threads).unwrap_err();
    assert!(matches!(error, TreeError::KeyTooLong { .. }));
    shelf.0.lock().unwrap().retain(|place, _| place.0 % 3 != 0);
    let changed = log(keys(0).map(|key| (key, Some(vec![2]))).collect());
    let errors: Vec<TreeError> = [Odd::Threads, Odd::Backwards]
        .map(|workers| tree.apply_by(&changed, &workers).unwrap_err())
        .into();
    assert!(matches!(errors[0], TreeError::Source { .. }));
    assert_eq!(errors[0], errors[1]);
    assert_eq!(tree.root(), root);
}

/// A chain of 8,192 nodes, each of whose keys is a prefix of the next.
#[test]
fn the_deepest_tree_is_flushed_and_read_without_recursion() {
    let shelf = Shelf::default();
    let longest = vec![0xa5; KEY_BYTES_MAX];
    let mut tree = Tree::empty();
    for len in 0..=longest.len() {
        tree.insert(&longest[..len], b"v").unwrap();
    }
    let (top, flushing) = flush(&tree, &shelf, 4_096);
    assert!(flushing.written.len() > 8);
    tree.release(Arc::new(shelf.clone()));
    assert_eq!(tree.get(&longest).unwrap().as_deref(), Some(&b"v"[..]));
    let (place, path) = reachable(&shelf, top).into_iter().next().unwrap();
    assert!(tree.touch(&path, place).unwrap());
    assert_eq!(tree.iterate_from(b"").unwrap().count(), KEY_BYTES_MAX + 1);
}

#[test]
fn one_change_to_a_large_tree_leaves_most_of_it_released() {
    let shelf = Shelf::default();
    let mut tree = Tree::empty();
    for number in 0..1_000u32 {
        tree.insert(&number.to_be_bytes(), b"value").unwrap();
    }
    flush(&tree, &shelf, 500);
    tree.insert(b"one that is new", b"value").unwrap();
    let held = |tree: &Tree| {
        let mut count = 0;
        tree.visit_held(&mut |_| count += 1);
        count
    };
    let before = held(&tree);
    tree.set_source(Arc::new(shelf.clone()));
    for part in 0..RELEASE_PARTS {
        tree.release_part(part);
    }
    assert!(held(&tree) * 10 < before, "{} of {before}", held(&tree));
}
