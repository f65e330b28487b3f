//! The part of a tree that a proof showed to be under a root, or under one of its nodes.
//!
//! Invariants: every node hashes into the root or node that was trusted; in a [`VerifiedTree`] a key
//! lies on the path that leads to its leaf; the depth in nodes is at most [`PROOF_DEPTH_MAX`], which
//! is why recursion is safe here.

use trilith_types::Hash;

use super::bits::{self, Bits, Label, Seek};
use super::node::{CompactNode, internal_hash, leaf_hash};
use super::{PROOF_DEPTH_MAX, ProofError, ProofVersion};

const ENTRY_FULL: u8 = 0x01;
const ENTRY_HASH: u8 = 0x02;

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

    /// `is_whole` says whether the entries start at the root, so that paths are known.
    fn read(
        version: ProofVersion,
        entries: &[Option<Vec<u8>>],
        root: &Hash,
        is_whole: bool,
    ) -> Result<Self, ProofError> {
        let mut reader = Reader {
            version,
            entries,
            is_whole,
            next: 0,
            nodes: Vec::new(),
            hashes: Vec::new(),
            path: Vec::new(),
        };
        let (top, hash) = reader.subtree(0, 0, Slot::Top)?;
        let unused = entries.len() - reader.next;
        if unused != 0 {
            return Err(ProofError::Unused { count: unused });
        }
        if hash != *root {
            return Err(ProofError::Root {
                expected: *root,
                found: hash,
            });
        }
        Ok(Self {
            root: hash,
            top,
            nodes: reader.nodes,
            hashes: reader.hashes,
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

/// Where a subtree hangs, which decides what it may be.
#[derive(Clone, Copy)]
enum Slot {
    Top,
    OwnLeaf,
    Child(bool),
}

struct Reader<'a> {
    version: ProofVersion,
    entries: &'a [Option<Vec<u8>>],
    /// Whether the first entry is the root, so that the path to each node is known.
    is_whole: bool,
    next: usize,
    nodes: Vec<VerifiedNode>,
    /// Those of `nodes`, in the same order.
    hashes: Vec<Hash>,
    /// Bits from the root to the node that is being read; what lies behind is stale.
    path: Vec<u8>,
}

impl Reader<'_> {
    /// Reads the subtree at the next entry. `depth` counts nodes, `bits` the bits of the path.
    fn subtree(
        &mut self,
        depth: usize,
        bits: usize,
        slot: Slot,
    ) -> Result<(Edge, Hash), ProofError> {
        if depth > PROOF_DEPTH_MAX {
            return Err(ProofError::TooDeep {
                limit: PROOF_DEPTH_MAX,
            });
        }
        let index = self.next;
        let fault = |fault| ProofError::Entry { index, fault };
        let entries = self.entries;
        let entry = entries.get(index).ok_or(ProofError::Incomplete {
            count: entries.len(),
        })?;
        self.next += 1;
        let Some(entry) = entry else {
            return Ok((Edge::Empty, Hash::EMPTY));
        };
        match entry.split_first() {
            Some((&ENTRY_HASH, hash)) => {
                let hash = Hash::from_slice(hash).ok_or(fault("is a hash of another length"))?;
                if hash.is_empty() {
                    return Err(fault("is the hash of nothing, which is written as null"));
                }
                Ok((Edge::LeftOut(hash), hash))
            }
            Some((&ENTRY_FULL, node)) => {
                let (node, rest) = CompactNode::decode(node)?;
                if !rest.is_empty() {
                    return Err(fault("has bytes after its node"));
                }
                match node {
                    CompactNode::Leaf { key, value } => self.leaf(index, bits, slot, key, value),
                    CompactNode::Internal { label, leaf } => {
                        self.check_label(index, bits, slot, &label)?;
                        self.internal(index, (depth, bits), label, leaf)
                    }
                }
            }
            _ => Err(fault("is neither a node nor a hash")),
        }
    }

    fn leaf(
        &mut self,
        index: usize,
        bits: usize,
        slot: Slot,
        key: &[u8],
        value: &[u8],
    ) -> Result<(Edge, Hash), ProofError> {
        let key_bits = Bits::of_key(key);
        let on_path = Bits::of_key(&self.path)
            .first(bits)
            .common_prefix(&key_bits)
            == bits;
        let in_slot = match slot {
            Slot::Top => true,
            Slot::OwnLeaf => key_bits.len() == bits,
            Slot::Child(side) => key_bits.bit(bits) == Some(side),
        };
        if self.is_whole && !(on_path && in_slot) {
            let fault = "has a key that does not belong on its path";
            return Err(ProofError::Entry { index, fault });
        }
        let node = VerifiedNode::Leaf {
            key: key.to_vec(),
            value: value.to_vec(),
        };
        Ok(self.add(node, leaf_hash(key, value)))
    }

    fn check_label(
        &self,
        index: usize,
        bits: usize,
        slot: Slot,
        label: &Label,
    ) -> Result<(), ProofError> {
        let in_slot = match slot {
            Slot::Top => true,
            Slot::OwnLeaf => false,
            Slot::Child(side) => label.bits().bit(0) == Some(side),
        };
        if !in_slot || bits + label.bits().len() > super::KEY_BYTES_MAX * 8 {
            let fault = "is an internal node that does not belong on its path";
            return Err(ProofError::Entry { index, fault });
        }
        Ok(())
    }

    fn internal(
        &mut self,
        index: usize,
        (depth, bits): (usize, usize),
        label: Label,
        own: Option<(&[u8], &[u8])>,
    ) -> Result<(Edge, Hash), ProofError> {
        let below = bits::append(&mut self.path, bits, &label.bits());
        let (leaf, leaf_hash) = match (self.version, own) {
            (ProofVersion::V0, None) => (Edge::Empty, Hash::EMPTY),
            (ProofVersion::V0, Some((key, value))) => {
                self.leaf(index, below, Slot::OwnLeaf, key, value)?
            }
            (ProofVersion::V1, None) => self.subtree(depth + 1, below, Slot::OwnLeaf)?,
            (ProofVersion::V1, Some(_)) => {
                let fault = "carries its own leaf, which version 1 writes as a child";
                return Err(ProofError::Entry { index, fault });
            }
        };
        let (left, left_hash) = self.subtree(depth + 1, below, Slot::Child(false))?;
        let (right, right_hash) = self.subtree(depth + 1, below, Slot::Child(true))?;
        let hash = internal_hash(&label, &leaf_hash, &left_hash, &right_hash);
        let node = VerifiedNode::Internal {
            label,
            leaf,
            left,
            right,
        };
        Ok(self.add(node, hash))
    }

    fn add(&mut self, node: VerifiedNode, hash: Hash) -> (Edge, Hash) {
        self.nodes.push(node);
        self.hashes.push(hash);
        (Edge::Node(self.nodes.len() - 1), hash)
    }
}
