//! A map from labels to values that is a level of a hash tree at the same time.
//!
//! Versions share what they have in common: a clone costs nothing, and a change copies and hashes
//! only the path to it. Digests are made when they are asked for, so that a round that changes many
//! entries hashes each fork once.
//!
//! Invariant: the shape, and with it the digest, is a function of the entries alone, whatever the
//! history: a fork stands at each bit where labels under it differ first. A node that has executed
//! every round and one that has read the state anew must sign the same root.
//!
//! The structure is the crit-bit tree of D. J. Bernstein (<https://cr.yp.to/critbit.html>), here with
//! a bit before each byte that says whether there is one, so that a label may begin another.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use trilith_types::HashTree;
use trilith_types::hash_tree::{empty_digest, fork_digest, labeled_digest};

use super::Wanted;

/// Places of a label that are told apart for each of its bytes: whether it is there, and its bits.
const PLACES_PER_BYTE: usize = 9;

/// What is at a place of a label: bits in order, and after the last byte only zeros.
fn bit(label: &[u8], place: usize) -> bool {
    let (index, within) = (place / PLACES_PER_BYTE, place % PLACES_PER_BYTE);
    match label.get(index) {
        None => false,
        Some(_) if within == 0 => true,
        Some(byte) => byte >> (8 - within) & 1 == 1,
    }
}

/// The first place at which two labels differ; `None` if they are equal.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let shorter = one.len().min(other.len());
    match (0..shorter).find(|&index| one[index] != other[index]) {
        Some(index) => {
            let leading = (one[index] ^ other[index]).leading_zeros() as usize;
            Some(index * PLACES_PER_BYTE + 1 + leading)
        }
        None => (one.len() != other.len()).then_some(shorter * PLACES_PER_BYTE),
    }
}

#[derive(Clone, Debug)]
enum Node<K, V> {
    Entry {
        key: K,
        value: V,
        /// Digest of what is under the label.
        child: [u8; 32],
    },
    Fork {
        /// The first place at which labels under the two sides differ: 0 on the left.
        place: usize,
        sides: [Arc<Node<K, V>>; 2],
        digest: OnceLock<[u8; 32]>,
    },
}

impl<K: AsRef<[u8]>, V> Node<K, V> {
    fn digest(&self) -> [u8; 32] {
        match self {
            Self::Entry { key, child, .. } => labeled_digest(key.as_ref(), child),
            Self::Fork { sides, digest, .. } => *digest.get_or_init(|| {
                let [left, right] = sides;
                fork_digest(&left.digest(), &right.digest())
            }),
        }
    }
}

/// A persistent map with the digest of the hash-tree level that its entries form.
#[derive(Clone, Debug)]
pub struct LabelMap<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
}

impl<K, V> Default for LabelMap<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<K: AsRef<[u8]> + Clone, V: Clone> LabelMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry whose label agrees with `label` at every fork: the one with this label if there is
    /// one.
    fn nearest(&self, label: &[u8]) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Entry { key, value, .. } => return Some((key, value)),
                Node::Fork { place, sides, .. } => node = &sides[usize::from(bit(label, *place))],
            }
        }
    }

    /// The value under a label.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (found, value) = self.nearest(key.as_ref())?;
        (found.as_ref() == key.as_ref()).then_some(value)
    }

    /// Whether there is an entry with this label.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value under a label; `child` is the digest of the subtree that it stands for.
    pub fn insert(&mut self, key: K, value: V, child: [u8; 32]) {
        let place = match self.nearest(key.as_ref()) {
            None => Some(0),
            Some((nearest, _)) => first_difference(key.as_ref(), nearest.as_ref()),
        };
        let goes = bit(key.as_ref(), place.unwrap_or(0));
        let label = key.as_ref().to_vec();
        let entry = Node::Entry { key, value, child };
        let Some(mut node) = self.root.as_mut() else {
            self.root = Some(Arc::new(entry));
            self.len = 1;
            return;
        };
        // Down to the fork before which the new one belongs, or to the entry with this label.
        loop {
            let side = match &**node {
                Node::Fork { place: at, .. } if place.is_none_or(|place| *at < place) => {
                    usize::from(bit(&label, *at))
                }
                _ => break,
            };
            node = Self::side(node, side);
        }
        let Some(place) = place else {
            *node = Arc::new(entry);
            return;
        };
        let (old, new) = (node.clone(), Arc::new(entry));
        *node = Arc::new(Node::Fork {
            place,
            sides: if goes { [old, new] } else { [new, old] },
            digest: OnceLock::new(),
        });
        self.len += 1;
    }

    /// Takes away the entry with this label, and gives its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.get(key)?.clone();
        let label = key.as_ref();
        self.len -= 1;
        let mut node = self.root.as_mut()?;
        // Down to the fork above the entry, whose other side takes its place.
        loop {
            let (side, other) = match &**node {
                Node::Entry { .. } => break,
                Node::Fork { place, sides, .. } => {
                    let side = usize::from(bit(label, *place));
                    let is_above = matches!(&*sides[side], Node::Entry { .. });
                    (side, is_above.then(|| sides[1 - side].clone()))
                }
            };
            if let Some(other) = other {
                *node = other;
                return Some(value);
            }
            node = Self::side(node, side);
        }
        self.root = None;
        Some(value)
    }

    /// A side of a fork that is about to change: the fork is this map's own from here on, and its
    /// digest is forgotten.
    fn side(node: &mut Arc<Node<K, V>>, side: usize) -> &mut Arc<Node<K, V>> {
        match Arc::make_mut(node) {
            Node::Fork { sides, digest, .. } => {
                digest.take();
                &mut sides[side]
            }
            Node::Entry { .. } => unreachable!("only forks have sides"),
        }
    }

    /// The entries, labels ascending.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            stack: self.root.as_deref().into_iter().collect(),
        }
    }

    /// The keys, labels ascending.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The digest of the level.
    pub fn digest(&self) -> [u8; 32] {
        self.root
            .as_ref()
            .map_or_else(empty_digest, |node| node.digest())
    }

    /// The level with only what is wanted, same digest. `expand` gives the subtree of an entry.
    /// Labels that are wanted but absent are proven so by showing their neighbours without what is
    /// under them.
    pub fn prune(
        &self,
        wanted: &Wanted,
        expand: &mut dyn FnMut(&K, &V, &Wanted) -> HashTree,
    ) -> HashTree {
        let Some(root) = &self.root else {
            return HashTree::Empty;
        };
        if wanted.all {
            let everything: BTreeMap<&[u8], Option<&Wanted>> = self
                .keys()
                .map(|key| (key.as_ref(), Some(wanted)))
                .collect();
            return show(root, &everything, expand);
        }
        let mut shown: BTreeMap<&[u8], Option<&Wanted>> = BTreeMap::new();
        for (label, under) in &wanted.children {
            let (before, at) = self.neighbours(label);
            match at {
                Some(found) if found == label => {
                    shown.insert(found, Some(under));
                }
                after => {
                    for neighbour in [before, after].into_iter().flatten() {
                        shown.entry(neighbour).or_insert(None);
                    }
                }
            }
        }
        show(root, &shown, expand)
    }

    /// The last label before `label`, and the first that is not before it.
    fn neighbours(&self, label: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
        let Some((nearest, _)) = self.nearest(label) else {
            return (None, None);
        };
        let Some(place) = first_difference(label, nearest.as_ref()) else {
            // Equal: what is before it is not needed.
            return (None, Some(nearest.as_ref()));
        };
        // All that differs from the label no earlier than there lies on one side of it.
        let (mut before, mut after) = (None, None);
        let mut node = self.root.as_deref();
        let mut rest = None;
        while let Some(current) = node {
            match current {
                Node::Fork {
                    place: at, sides, ..
                } if *at < place => {
                    let [left, right] = sides;
                    if bit(label, *at) {
                        before = Some(&**left);
                        node = Some(right);
                    } else {
                        after = Some(&**right);
                        node = Some(left);
                    }
                }
                other => {
                    rest = Some(other);
                    node = None;
                }
            }
        }
        if bit(label, place) {
            before = rest;
        } else {
            after = rest;
        }
        (
            before.map(|node| end(node, 1)),
            after.map(|node| end(node, 0)),
        )
    }
}

/// The label at an end of a subtree: 0 the first, 1 the last.
fn end<K: AsRef<[u8]>, V>(mut node: &Node<K, V>, side: usize) -> &[u8] {
    loop {
        match node {
            Node::Entry { key, .. } => return key.as_ref(),
            Node::Fork { sides, .. } => node = &sides[side],
        }
    }
}

/// The tree with the entries of `shown`, those without anything wanted as a digest under a label.
fn show<K: AsRef<[u8]>, V>(
    node: &Node<K, V>,
    shown: &BTreeMap<&[u8], Option<&Wanted>>,
    expand: &mut dyn FnMut(&K, &V, &Wanted) -> HashTree,
) -> HashTree {
    if shown.is_empty() {
        return HashTree::Pruned(node.digest());
    }
    match node {
        Node::Entry { key, value, child } => {
            let under = match shown.get(key.as_ref()) {
                Some(Some(under)) => expand(key, value, under),
                _ => HashTree::Pruned(*child),
            };
            HashTree::Labeled(key.as_ref().to_vec(), Box::new(under))
        }
        Node::Fork { place, sides, .. } => {
            let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
            for (label, under) in shown {
                let side = if bit(label, *place) {
                    &mut right
                } else {
                    &mut left
                };
                side.insert(*label, *under);
            }
            let left = show(&sides[0], &left, expand);
            let right = show(&sides[1], &right, expand);
            HashTree::Fork(Box::new(left), Box::new(right))
        }
    }
}

/// Entries in the order of their labels.
pub struct Iter<'a, K, V> {
    stack: Vec<&'a Node<K, V>>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.stack.pop()? {
                Node::Entry { key, value, .. } => return Some((key, value)),
                Node::Fork { sides, .. } => {
                    let [left, right] = sides;
                    self.stack.push(right);
                    self.stack.push(left);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "label_map_tests.rs"]
mod tests;
