//! A level of a hash tree: sorted labels with the digests of what is under them, joined by forks
//! into a balanced tree. Shows chosen labels and proves the absence of others.

use std::collections::BTreeMap;

use trilith_types::HashTree;
use trilith_types::hash_tree::{empty_digest, fork_digest, labeled_digest};

/// Which parts of a tree are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Everything from here on.
    pub all: bool,
    /// These labels.
    pub children: BTreeMap<Vec<u8>, Wanted>,
}

impl Wanted {
    /// The union of paths; each wants all that is under it.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a [Vec<u8>]>) -> Self {
        let mut wanted = Self::default();
        for path in paths {
            let mut level = &mut wanted;
            for label in path {
                level = level.children.entry(label.clone()).or_default();
            }
            level.all = true;
        }
        wanted
    }

    /// What is wanted under a label; `None` if nothing.
    pub fn under(&self, label: &[u8]) -> Option<&Self> {
        if self.all {
            Some(self)
        } else {
            self.children.get(label)
        }
    }
}

/// A level of a hash tree. The digests of its forks are kept, in pre-order: a tree over `n` labels
/// takes `2n − 1` places, its root the first, then those of the left half, then of the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    labels: Vec<Vec<u8>>,
    children: Vec<[u8; 32]>,
    nodes: Vec<[u8; 32]>,
}

impl Branch {
    /// A level from labels, strictly ascending, and the digests of what is under them.
    ///
    /// # Panics
    /// If the labels are not strictly ascending.
    pub fn new(entries: Vec<(Vec<u8>, [u8; 32])>) -> Self {
        assert!(
            entries.is_sorted_by(|(a, _), (b, _)| a < b),
            "labels of a level ascend strictly"
        );
        let (labels, children): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let mut branch = Self {
            nodes: vec![[0; 32]; (2 * labels.len()).saturating_sub(1)],
            labels,
            children,
        };
        if !branch.labels.is_empty() {
            branch.fill(0, 0, branch.labels.len());
        }
        branch
    }

    fn fill(&mut self, place: usize, from: usize, to: usize) -> [u8; 32] {
        let digest = if to - from == 1 {
            labeled_digest(&self.labels[from], &self.children[from])
        } else {
            let middle = from + (to - from) / 2;
            let left = self.fill(place + 1, from, middle);
            let right = self.fill(place + 2 * (middle - from), middle, to);
            fork_digest(&left, &right)
        };
        self.nodes[place] = digest;
        digest
    }

    /// The digest of the level.
    pub fn digest(&self) -> [u8; 32] {
        self.nodes.first().copied().unwrap_or_else(empty_digest)
    }

    /// The labels.
    pub fn labels(&self) -> &[Vec<u8>] {
        &self.labels
    }

    /// The level with only what is wanted, same digest. `expand` gives the subtree under a label.
    /// Labels that are wanted but absent are proven so by showing their neighbours without what is
    /// under them.
    pub fn prune(
        &self,
        wanted: &Wanted,
        expand: &mut dyn FnMut(&[u8], &Wanted) -> HashTree,
    ) -> HashTree {
        if self.labels.is_empty() {
            return HashTree::Empty;
        }
        let mut shown: BTreeMap<usize, Option<&Wanted>> = BTreeMap::new();
        for (label, under) in &wanted.children {
            match self.labels.binary_search(label) {
                Ok(index) => {
                    shown.insert(index, Some(under));
                }
                Err(index) => {
                    let neighbours = [
                        index.checked_sub(1),
                        (index < self.labels.len()).then_some(index),
                    ];
                    for neighbour in neighbours.into_iter().flatten() {
                        shown.entry(neighbour).or_insert(None);
                    }
                }
            }
        }
        if wanted.all {
            shown = (0..self.labels.len())
                .map(|index| (index, Some(wanted)))
                .collect();
        }
        self.show(0, 0, self.labels.len(), &shown, expand)
    }

    fn show(
        &self,
        place: usize,
        from: usize,
        to: usize,
        shown: &BTreeMap<usize, Option<&Wanted>>,
        expand: &mut dyn FnMut(&[u8], &Wanted) -> HashTree,
    ) -> HashTree {
        if shown.range(from..to).next().is_none() {
            return HashTree::Pruned(self.nodes[place]);
        }
        if to - from == 1 {
            let label = &self.labels[from];
            let child = match shown[&from] {
                Some(under) => expand(label, under),
                None => HashTree::Pruned(self.children[from]),
            };
            return HashTree::Labeled(label.clone(), Box::new(child));
        }
        let middle = from + (to - from) / 2;
        let left = self.show(place + 1, from, middle, shown, expand);
        let right = self.show(place + 2 * (middle - from), middle, to, shown, expand);
        HashTree::Fork(Box::new(left), Box::new(right))
    }
}

/// A small tree that is built as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A value.
    Leaf(Vec<u8>),
    /// Labels with subtrees.
    Level(BTreeMap<Vec<u8>, Tree>),
}

impl Tree {
    /// A level from labels and subtrees.
    pub fn level<const N: usize>(entries: [(&[u8], Self); N]) -> Self {
        Self::Level(
            entries
                .into_iter()
                .map(|(label, tree)| (label.to_vec(), tree))
                .collect(),
        )
    }

    /// The digest.
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Leaf(value) => trilith_types::hash_tree::leaf_digest(value),
            Self::Level(children) => Self::branch(children).digest(),
        }
    }

    fn branch(children: &BTreeMap<Vec<u8>, Self>) -> Branch {
        Branch::new(
            children
                .iter()
                .map(|(label, tree)| (label.clone(), tree.digest()))
                .collect(),
        )
    }

    /// The tree with only what is wanted, same digest. A leaf that a longer path leads through
    /// is shown, which proves that the path does not exist.
    pub fn prune(&self, wanted: &Wanted) -> HashTree {
        match self {
            Self::Leaf(value) => HashTree::Leaf(value.clone()),
            Self::Level(children) => Self::branch(children)
                .prune(wanted, &mut |label, under| children[label].prune(under)),
        }
    }
}
