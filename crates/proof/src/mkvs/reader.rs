//! Reading the entries of a proof.
//!
//! Invariants: every entry is used once; a node is added after those below it; the depth in nodes is
//! at most [`PROOF_DEPTH_MAX`], which is why recursion is safe here.

use trilith_types::Hash;

use super::bits::{self, Bits, Label};
use super::node::{CompactNode, internal_hash, leaf_hash};
use super::{Edge, KEY_BYTES_MAX, PROOF_DEPTH_MAX, ProofError, ProofVersion, VerifiedNode};

const ENTRY_FULL: u8 = 0x01;
const ENTRY_HASH: u8 = 0x02;

/// What the entries of a proof show.
pub(super) struct Shown {
    pub(super) top: Edge,
    /// Hash of the topmost node.
    pub(super) hash: Hash,
    pub(super) nodes: Vec<VerifiedNode>,
    /// Those of `nodes`, in the same order.
    pub(super) hashes: Vec<Hash>,
}

/// Reads all entries. `is_whole` says whether they start at the root, so that paths are known.
pub(super) fn read(
    version: ProofVersion,
    entries: &[Option<Vec<u8>>],
    is_whole: bool,
) -> Result<Shown, ProofError> {
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
    Ok(Shown {
        top,
        hash,
        nodes: reader.nodes,
        hashes: reader.hashes,
    })
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
        if !in_slot || bits + label.bits().len() > KEY_BYTES_MAX * 8 {
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
