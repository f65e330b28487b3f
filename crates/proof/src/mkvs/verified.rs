//! The part of a tree that a proof showed to be under a root, or under one of its nodes.
//!
//! Invariants: every node hashes into the root or node that was trusted; in a [`VerifiedTree`] a key
//! lies on the path that leads to its leaf.

use trilith_types::Hash;

use super::bits::{Bits, Label, Seek};
use super::{ProofError, ProofVersion, reader};

/// Where an edge of a partial tree leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// To nothing.
    Empty,
    /// To a node that is shown: its place in [`VerifiedTree::nodes`].
    Node(usize),
    /// To a subtree that is left out: its hash.
    LeftOut(Hash),
}

/// A node that a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifiedNode {
    /// A key with its value.
    Leaf {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// A branch.
    Internal {
        /// The bits below the parent that all keys share.
        label: Label,
        /// The leaf of the key that ends here.
        leaf: Edge,
        /// The child of keys that go on with a zero bit.
        left: Edge,
        /// The child of keys that go on with a one bit.
        right: Edge,
    },
}

/// A part of a tree that was verified. There is no other way to make one than
/// [`super::Proof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTree {
    root: Hash,
    top: Edge,
    nodes: Vec<VerifiedNode>,
    hashes: Vec<Hash>,
}

/// A part of a subtree that was verified: [`super::Proof::verify_part`] makes it. Where the subtree
/// hangs in its tree is not known here, so keys cannot be looked up in it; it serves to add nodes to
/// a tree of which the path down to the subtree is known already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPart(VerifiedTree);

impl VerifiedPart {
    pub(super) fn from_entries(
        version: ProofVersion,
        entries: &[Option<Vec<u8>>],
        hash: &Hash,
    ) -> Result<Self, ProofError> {
        VerifiedTree::read(version, entries, hash, false).map(Self)
    }

    /// The edge to the topmost node of the subtree.
    pub fn top(&self) -> Edge {
        self.0.top
    }

    /// The nodes that are shown, children before their parents; [`Edge::Node`] counts in this list.
    pub fn nodes(&self) -> &[VerifiedNode] {
        &self.0.nodes
    }

    /// The hashes of [`VerifiedPart::nodes`], in the same order.
    pub fn hashes(&self) -> &[Hash] {
        &self.0.hashes
    }
}

impl From<VerifiedTree> for VerifiedPart {
    /// A tree is the part of itself that hangs at the root.
    fn from(tree: VerifiedTree) -> Self {
        Self(tree)
    }
}

impl VerifiedTree {
    pub(super) fn from_entries(
        version: ProofVersion,
        entries: &[Option<Vec<u8>>],
        root: &Hash,
    ) -> Result<Self, ProofError> {
        Self::read(version, entries, root, true)
    }

    fn read(
        version: ProofVersion,
        entries: &[Option<Vec<u8>>],
        root: &Hash,
        is_whole: bool,
    ) -> Result<Self, ProofError> {
        let shown = reader::read(version, entries, is_whole)?;
        if shown.hash != *root {
            return Err(ProofError::Root {
                expected: *root,
                found: shown.hash,
            });
        }
        Ok(Self {
            root: shown.hash,
            top: shown.top,
            nodes: shown.nodes,
            hashes: shown.hashes,
        })
    }

    /// The root that this is a part of.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The edge to the topmost node.
    pub fn top(&self) -> Edge {
        self.top
    }

    /// The nodes that are shown, children before their parents; [`Edge::Node`] counts in this list.
    pub fn nodes(&self) -> &[VerifiedNode] {
        &self.nodes
    }

    /// The hashes of [`VerifiedTree::nodes`], in the same order.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The value of `key`; `None` is proof that it has none.
    ///
    /// # Errors
    /// [`ProofError::NotCovered`] if the proof left out the part that would tell.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, ProofError> {
        let bits = Bits::of_key(key);
        let mut depth = 0;
        let mut edge = self.top;
        loop {
            let number = match edge {
                Edge::Empty => return Ok(None),
                Edge::LeftOut(hash) => return Err(ProofError::NotCovered { hash }),
                Edge::Node(number) => number,
            };
            match &self.nodes[number] {
                VerifiedNode::Leaf { key: found, value } => {
                    return Ok((found == key).then_some(value.as_slice()));
                }
                VerifiedNode::Internal {
                    label,
                    leaf,
                    left,
                    right,
                } => {
                    let label = label.bits();
                    if bits.skip(depth).common_prefix(&label) < label.len() {
                        return Ok(None);
                    }
                    depth += label.len();
                    edge = match bits.bit(depth) {
                        None => *leaf,
                        Some(false) => *left,
                        Some(true) => *right,
                    };
                }
            }
        }
    }

    /// All that is shown, in ascending order of keys, gaps left out.
    pub fn shown(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iterate_from(b"").filter_map(Result::ok)
    }

    /// The entries from `start` on, in ascending order of keys. Where the proof left out a part
    /// that may hold entries, the iterator yields [`ProofError::NotCovered`] in its place and goes
    /// on behind it. Without such an error between them, neighbours are proven to be neighbours,
    /// and the end is proven to be the end.
    pub fn iterate_from(&self, start: &[u8]) -> Entries<'_> {
        let mut entries = Entries {
            tree: self,
            open: Vec::new(),
        };
        entries.seek(start);
        entries
    }
}

/// Iterator over the entries of a [`VerifiedTree`].
pub struct Entries<'t> {
    tree: &'t VerifiedTree,
    open: Vec<Edge>,
}

impl Entries<'_> {
    fn seek(&mut self, start: &[u8]) {
        let mut rest = Bits::of_key(start);
        let mut edge = self.tree.top;
        loop {
            let Edge::Node(number) = edge else {
                self.open.push(edge);
                return;
            };
            match &self.tree.nodes[number] {
                VerifiedNode::Leaf { key, .. } => {
                    if key.as_slice() >= start {
                        self.open.push(edge);
                    }
                    return;
                }
                VerifiedNode::Internal {
                    label, left, right, ..
                } => {
                    match label.seek(&rest) {
                        Seek::All => self.open.push(edge),
                        Seek::Nothing => {}
                        Seek::Into(side) => {
                            rest = rest.skip(usize::from(label.bit_len()));
                            if side {
                                edge = *right;
                            } else {
                                self.open.push(*right);
                                edge = *left;
                            }
                            continue;
                        }
                    }
                    return;
                }
            }
        }
    }
}

impl<'t> Iterator for Entries<'t> {
    type Item = Result<(&'t [u8], &'t [u8]), ProofError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.open.pop()? {
                Edge::Empty => {}
                Edge::LeftOut(hash) => return Some(Err(ProofError::NotCovered { hash })),
                Edge::Node(number) => match &self.tree.nodes[number] {
                    VerifiedNode::Leaf { key, value } => return Some(Ok((key, value))),
                    VerifiedNode::Internal {
                        leaf, left, right, ..
                    } => {
                        self.open.extend([*right, *left, *leaf]);
                    }
                },
            }
        }
    }
}
