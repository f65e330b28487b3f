//! Looking things up in a hash tree of the Internet Computer, parts of which may be pruned.
//!
//! A tree proves what it shows only together with a signature over its digest (see
//! [`crate::certificate`]); this module reads it. An answer of [`Lookup::Absent`] is as strong as
//! one of [`Lookup::Found`]: the neighbours that enclose the missing label are shown. Where a
//! pruned part could hold the label, the answer is [`Lookup::Unknown`].
//!
//! Absence is proven only in a well-formed tree ([`is_well_formed`]), which verification of a
//! certificate checks once for the whole tree.
//!
//! Source: Internet Computer interface specification, "Lookup" and "Certificate", functions
//! `lookup_path`, `find_label`, `flatten_forks` and `well_formed`.

use trilith_types::HashTree;

/// What a tree says of the value at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'t> {
    /// The value.
    Found(&'t [u8]),
    /// Proven: there is nothing at this path.
    Absent,
    /// The part of the tree that would say it is pruned.
    Unknown,
    /// There is a subtree at this path, not a value.
    Error,
}

/// What a tree says of the subtree at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubtreeLookup<'t> {
    /// The subtree; it may be pruned further down.
    Found(&'t HashTree),
    /// Proven: there is nothing at this path.
    Absent,
    /// The part of the tree that would say it is pruned.
    Unknown,
}

/// The labels at the top of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels<'t> {
    /// Labels that are shown, in the order of the tree, each with the subtree below it.
    pub shown: Vec<(&'t [u8], &'t HashTree)>,
    /// Whether these are proven to be all: no part at this level is pruned.
    pub complete: bool,
}

/// The trees that forks join, from left to right; empty trees vanish.
fn flatten(tree: &HashTree) -> Vec<&HashTree> {
    let mut flat = Vec::new();
    let mut open = vec![tree];
    while let Some(next) = open.pop() {
        match next {
            HashTree::Empty => {}
            HashTree::Fork(left, right) => {
                open.push(right);
                open.push(left);
            }
            other => flat.push(other),
        }
    }
    flat
}

fn find<'t>(tree: &'t HashTree, wanted: &[u8]) -> SubtreeLookup<'t> {
    let flat = flatten(tree);
    // Whether everything up to here is proven to be less than the wanted label, with nothing
    // pruned in between.
    let mut enclosed = true;
    for node in &flat {
        match node {
            HashTree::Labeled(label, child) if label == wanted => {
                return SubtreeLookup::Found(child);
            }
            HashTree::Labeled(label, _) if label.as_slice() < wanted => enclosed = true,
            HashTree::Labeled(..) => {
                return if enclosed {
                    SubtreeLookup::Absent
                } else {
                    SubtreeLookup::Unknown
                };
            }
            // A value has no labels below it.
            HashTree::Leaf(_) if flat.len() == 1 => return SubtreeLookup::Absent,
            _ => enclosed = false,
        }
    }
    if enclosed {
        SubtreeLookup::Absent
    } else {
        SubtreeLookup::Unknown
    }
}

/// The subtree at `path`, a list of labels from the root down.
pub fn lookup_subtree<'t>(tree: &'t HashTree, path: &[&[u8]]) -> SubtreeLookup<'t> {
    let mut current = tree;
    for label in path {
        match find(current, label) {
            SubtreeLookup::Found(child) => current = child,
            other => return other,
        }
    }
    SubtreeLookup::Found(current)
}

/// The value at `path`, a list of labels from the root down.
pub fn lookup<'t>(tree: &'t HashTree, path: &[&[u8]]) -> Lookup<'t> {
    match lookup_subtree(tree, path) {
        SubtreeLookup::Absent => Lookup::Absent,
        SubtreeLookup::Unknown => Lookup::Unknown,
        SubtreeLookup::Found(HashTree::Leaf(value)) => Lookup::Found(value),
        SubtreeLookup::Found(HashTree::Empty) => Lookup::Absent,
        SubtreeLookup::Found(HashTree::Pruned(_)) => Lookup::Unknown,
        SubtreeLookup::Found(HashTree::Labeled(..) | HashTree::Fork(..)) => Lookup::Error,
    }
}

/// The labels at the top of `tree`, usually one that [`lookup_subtree`] found.
pub fn labels(tree: &HashTree) -> Labels<'_> {
    let mut labels = Labels {
        shown: Vec::new(),
        complete: true,
    };
    for node in flatten(tree) {
        match node {
            HashTree::Labeled(label, child) => labels.shown.push((label, child)),
            HashTree::Pruned(_) => labels.complete = false,
            _ => {}
        }
    }
    labels
}

/// Whether the labels of each level ascend strictly from left to right, and values stand alone.
/// In any other tree, a label could hide behind one that is out of order.
pub fn is_well_formed(tree: &HashTree) -> bool {
    let mut open = vec![tree];
    while let Some(next) = open.pop() {
        if matches!(next, HashTree::Leaf(_)) {
            continue;
        }
        let mut last: Option<&[u8]> = None;
        for node in flatten(next) {
            match node {
                HashTree::Leaf(_) => return false,
                HashTree::Labeled(label, child) => {
                    if last.is_some_and(|last| last >= label.as_slice()) {
                        return false;
                    }
                    last = Some(label);
                    open.push(child);
                }
                _ => {}
            }
        }
    }
    true
}
