//! Lookups in pruned trees never say more than the whole tree does.

use proptest::prelude::*;
use trilith_proof::hash_tree::{
    Lookup, SubtreeLookup, is_well_formed, labels, lookup, lookup_subtree,
};
use trilith_types::HashTree;

fn label(name: &str, child: HashTree) -> HashTree {
    HashTree::Labeled(name.into(), Box::new(child))
}

fn leaf(value: &str) -> HashTree {
    HashTree::Leaf(value.into())
}

fn fork(left: HashTree, right: HashTree) -> HashTree {
    HashTree::Fork(Box::new(left), Box::new(right))
}

fn pruned(tree: HashTree) -> HashTree {
    HashTree::Pruned(tree.digest())
}

/// The pruned example of the interface specification, section "Example".
fn example() -> HashTree {
    let a = label(
        "a",
        fork(
            pruned(fork(label("x", leaf("hello")), HashTree::Empty)),
            label("y", leaf("world")),
        ),
    );
    fork(
        fork(a, pruned(label("b", leaf("good")))),
        fork(
            pruned(label("c", HashTree::Empty)),
            label("d", leaf("morning")),
        ),
    )
}

#[test]
fn the_published_example_answers_as_published() {
    let tree = example();
    let root = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0";
    assert_eq!(hex::encode(tree.digest()), root);
    assert!(is_well_formed(&tree));
    assert_eq!(lookup(&tree, &[b"a", b"a"]), Lookup::Unknown);
    assert_eq!(lookup(&tree, &[b"a", b"y"]), Lookup::Found(b"world"));
    assert_eq!(lookup(&tree, &[b"aa"]), Lookup::Unknown);
    assert_eq!(lookup(&tree, &[b"ax"]), Lookup::Unknown);
    assert_eq!(lookup(&tree, &[b"b"]), Lookup::Unknown);
    assert_eq!(lookup(&tree, &[b"bb"]), Lookup::Unknown);
    assert_eq!(lookup(&tree, &[b"d"]), Lookup::Found(b"morning"));
    assert_eq!(lookup(&tree, &[b"e"]), Lookup::Absent);
    assert_eq!(lookup(&tree, &[b"a"]), Lookup::Error);
    assert_eq!(lookup(&tree, &[b"d", b"x"]), Lookup::Absent);
}

#[test]
fn labels_say_whether_they_are_all() {
    let whole = fork(label("a", leaf("1")), label("b", leaf("2")));
    let found = labels(&whole);
    assert!(found.complete);
    assert_eq!(
        found.shown,
        vec![(b"a".as_slice(), &leaf("1")), (b"b".as_slice(), &leaf("2"))]
    );
    let partial = fork(label("a", leaf("1")), pruned(label("b", leaf("2"))));
    assert!(!labels(&partial).complete);
    assert_eq!(
        lookup_subtree(&partial, &[b"a"]),
        SubtreeLookup::Found(&leaf("1"))
    );
    assert_eq!(
        lookup_subtree(&partial, &[]),
        SubtreeLookup::Found(&partial)
    );
}

#[test]
fn trees_out_of_order_are_not_well_formed() {
    assert!(is_well_formed(&HashTree::Empty));
    assert!(is_well_formed(&leaf("1")));
    assert!(!is_well_formed(&fork(
        label("b", leaf("")),
        label("a", leaf(""))
    )));
    assert!(!is_well_formed(&fork(
        label("a", leaf("")),
        label("a", leaf(""))
    )));
    assert!(!is_well_formed(&fork(label("a", leaf("")), leaf(""))));
    assert!(!is_well_formed(&label("a", fork(leaf(""), leaf("")))));
}

/// A well-formed tree over ascending labels, and one with parts of it pruned.
fn build(names: &[(u8, u8, bool)]) -> (HashTree, HashTree) {
    match names {
        [] => (HashTree::Empty, HashTree::Empty),
        [(name, value, prune)] => {
            let whole = HashTree::Labeled(vec![*name], Box::new(HashTree::Leaf(vec![*value])));
            let part = if *prune {
                pruned(whole.clone())
            } else {
                whole.clone()
            };
            (whole, part)
        }
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            let ((left, left_part), (right, right_part)) = (build(left), build(right));
            (fork(left, right), fork(left_part, right_part))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pruned_tree_says_the_same_or_less(
        entries in prop::collection::btree_map(any::<u8>(), any::<(u8, bool)>(), 0..40),
        asked: u8,
    ) {
        let names: Vec<_> = entries.iter().map(|(name, (value, prune))| (*name, *value, *prune)).collect();
        let (whole, part) = build(&names);
        prop_assert!(is_well_formed(&whole) && is_well_formed(&part));
        prop_assert_eq!(whole.digest(), part.digest());
        for wanted in names.iter().map(|(name, ..)| *name).chain([asked]) {
            let truth = lookup(&whole, &[&[wanted]]);
            match entries.get(&wanted) {
                Some((value, _)) => prop_assert_eq!(truth, Lookup::Found(&[*value])),
                None => prop_assert_eq!(truth, Lookup::Absent),
            }
            let said = lookup(&part, &[&[wanted]]);
            prop_assert!(said == truth || said == Lookup::Unknown);
            if entries.get(&wanted).is_some_and(|(_, prune)| !prune) {
                prop_assert_eq!(said, truth);
            }
        }
    }
}
