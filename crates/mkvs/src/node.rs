//! Nodes and the edges between them.
//!
//! Invariant: a node never changes once it is shared; its hash is computed at most once. Where it
//! is stored is a note on the side, which no root, proof or comparison depends on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use trilith_proof::mkvs::{CompactNode, Label, ProofError, internal_hash, leaf_hash};
use trilith_types::Hash;

use crate::TreeError;

/// Place of an internal node's own leaf among its children.
pub(crate) const OWN: usize = 0;
/// Place of the child of keys that go on with a zero bit.
pub(crate) const LEFT: usize = 1;
/// Place of the child of keys that go on with a one bit.
pub(crate) const RIGHT: usize = 2;

/// Where a key goes below an internal node, by the bit that follows the label; `None` where the
/// key ends.
pub(crate) fn place(bit: Option<bool>) -> usize {
    match bit {
        None => OWN,
        Some(false) => LEFT,
        Some(true) => RIGHT,
    }
}

/// Where a [`crate::NodeSource`] keeps a fragment: a number that only the source understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

impl Place {
    /// No place: of a node that is not stored, or whose source finds nodes by their hashes.
    pub const NONE: Self = Self(0);
}

/// A node that is not in memory here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) hash: Hash,
    pub(crate) place: Place,
}

/// An edge.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Nothing is there.
    Empty,
    /// A node in memory.
    Held(Arc<Node>),
    /// A node of which only the hash is known here, and perhaps where it is.
    Stored(Arc<Stored>),
}

impl Link {
    pub(crate) fn of_hash(hash: Hash) -> Self {
        Self::stored(hash, Place::NONE)
    }

    pub(crate) fn stored(hash: Hash, place: Place) -> Self {
        if hash.is_empty() {
            Self::Empty
        } else {
            Self::Stored(Arc::new(Stored { hash, place }))
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Empty => Hash::EMPTY,
            Self::Held(node) => node.hash(),
            Self::Stored(stored) => stored.hash,
        }
    }

    /// The hash, if it is known without computing.
    fn known_hash(&self) -> Option<Hash> {
        match self {
            Self::Empty => Some(Hash::EMPTY),
            Self::Held(node) => node.hash.get().copied(),
            Self::Stored(stored) => Some(stored.hash),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Leaf { key: Arc<[u8]>, value: Arc<[u8]> },
    Internal { label: Label, children: [Link; 3] },
}

/// A node of a tree, immutable. Sources of nodes make it from stored bytes with [`Node::decode`].
#[derive(Debug)]
pub struct Node {
    hash: OnceLock<Hash>,
    /// The fragment whose top this node is, once [`crate::Tree::flush`] has written it.
    place: AtomicU64,
    pub(crate) kind: Kind,
}

impl Clone for Node {
    /// A node like this one, stored nowhere.
    fn clone(&self) -> Self {
        Self {
            hash: self.hash.clone(),
            place: AtomicU64::new(Place::NONE.0),
            kind: self.kind.clone(),
        }
    }
}

impl Node {
    fn new(kind: Kind, hash: OnceLock<Hash>) -> Self {
        Self {
            hash,
            place: AtomicU64::new(Place::NONE.0),
            kind,
        }
    }

    /// A node whose hash somebody vouches for, such as the check value of the file it lay in.
    pub(crate) fn vouched(kind: Kind, hash: Hash) -> Self {
        Self::new(kind, OnceLock::from(hash))
    }

    /// A node whose hash is computed when it is asked for.
    pub(crate) fn unhashed(kind: Kind) -> Self {
        Self::new(kind, OnceLock::new())
    }

    /// Where the fragment lies whose top this node is.
    pub(crate) fn place(&self) -> Place {
        Place(self.place.load(Ordering::Acquire))
    }

    /// Notes where the fragment lies whose top this node is, after [`crate::Tree::flush`] wrote it
    /// and it is sure to stay there.
    pub fn set_place(&self, place: Place) {
        self.place.store(place.0, Ordering::Release);
    }

    /// Forgets hash and place, because the node is about to change.
    pub(crate) fn forget(&mut self) {
        self.hash = OnceLock::new();
        self.place = AtomicU64::new(Place::NONE.0);
    }

    pub(crate) fn leaf(key: &[u8], value: &[u8]) -> Link {
        Self::held(Kind::Leaf {
            key: key.into(),
            value: value.into(),
        })
    }

    pub(crate) fn held(kind: Kind) -> Link {
        Link::Held(Arc::new(Self::new(kind, OnceLock::new())))
    }

    /// The node's hash, under which stores keep it.
    pub fn hash(&self) -> Hash {
        if let Some(hash) = self.hash.get() {
            return *hash;
        }
        // Children first, without recursion: a tree can be as deep as the longest key has bits.
        let mut open: Vec<&Node> = vec![self];
        while let Some(node) = open.last().copied() {
            let missing = node.children().iter().find_map(|link| match link {
                Link::Held(child) if child.hash.get().is_none() => Some(child.as_ref()),
                _ => None,
            });
            match missing {
                Some(child) => open.push(child),
                None => {
                    node.hash.get_or_init(|| node.compute_hash());
                    open.pop();
                }
            }
        }
        *self.hash.get_or_init(|| self.compute_hash())
    }

    /// The hash, computed anew from what the node holds and the hashes of its children.
    pub(crate) fn computed_hash(&self) -> Hash {
        self.compute_hash()
    }

    /// The hash, where those of the children are known.
    fn compute_hash(&self) -> Hash {
        match &self.kind {
            Kind::Leaf { key, value } => leaf_hash(key, value),
            Kind::Internal { label, children } => {
                let [own, left, right] = children
                    .each_ref()
                    .map(|link| link.known_hash().unwrap_or_else(|| link.hash()));
                internal_hash(label, &own, &left, &right)
            }
        }
    }

    pub(crate) fn children(&self) -> &[Link] {
        match &self.kind {
            Kind::Leaf { .. } => &[],
            Kind::Internal { children, .. } => children,
        }
    }

    /// The nodes right below, as far as they are in memory; own leaves are not among them, because
    /// they are stored with their node.
    pub(crate) fn held_children(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.children()
            .iter()
            .skip(LEFT)
            .filter_map(|link| match link {
                Link::Held(child) => Some(child),
                _ => None,
            })
    }

    /// The form in which stores keep a node: the compact form that proofs have too, and for an
    /// internal node the hashes of left and right after it.
    ///
    /// # Errors
    /// [`TreeError::NotCovered`] if the own leaf of the node is not in memory, which happens only
    /// in trees made from proofs.
    pub fn encode(&self) -> Result<Vec<u8>, TreeError> {
        let mut out = Vec::new();
        match &self.kind {
            Kind::Leaf { key, value } => CompactNode::Leaf { key, value }.encode(&mut out),
            Kind::Internal {
                label,
                children: [own, left, right],
            } => {
                let leaf = match own {
                    Link::Empty => None,
                    Link::Stored(stored) => {
                        return Err(TreeError::NotCovered { hash: stored.hash });
                    }
                    Link::Held(node) => Some(node.entry()?),
                };
                CompactNode::Internal {
                    label: label.clone(),
                    leaf,
                }
                .encode(&mut out);
                out.extend_from_slice(left.hash().as_bytes());
                out.extend_from_slice(right.hash().as_bytes());
            }
        }
        Ok(out)
    }

    /// Reads a node in the form that [`Node::encode`] writes.
    ///
    /// # Errors
    /// [`TreeError::MalformedNode`] if the bytes are not that of one node.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        let (compact, rest) = CompactNode::decode(bytes).map_err(|error| match error {
            ProofError::Node(fault) => TreeError::MalformedNode(fault),
            _ => TreeError::MalformedNode("cannot be decoded"),
        })?;
        let kind = match compact {
            CompactNode::Leaf { key, value } if rest.is_empty() => Kind::Leaf {
                key: key.into(),
                value: value.into(),
            },
            CompactNode::Internal { label, leaf } if rest.len() == 2 * Hash::LEN => {
                let own = leaf.map_or(Link::Empty, |(key, value)| Self::leaf(key, value));
                let mut hashes = rest.chunks_exact(Hash::LEN).filter_map(Hash::from_slice);
                let mut next = || Link::of_hash(hashes.next().unwrap_or(Hash::EMPTY));
                Kind::Internal {
                    label,
                    children: [own, next(), next()],
                }
            }
            _ => {
                return Err(TreeError::MalformedNode(
                    "has another length than its form needs",
                ));
            }
        };
        Ok(Self::new(kind, OnceLock::new()))
    }

    /// Key and value of a leaf.
    pub(crate) fn entry(&self) -> Result<(&[u8], &[u8]), TreeError> {
        match &self.kind {
            Kind::Leaf { key, value } => Ok((key, value)),
            Kind::Internal { .. } => Err(TreeError::MalformedNode(
                "that is internal stands where an own leaf should",
            )),
        }
    }
}

impl Drop for Node {
    /// Frees what only this node holds, without recursion: the chain of nodes can be as deep as
    /// the longest key has bits.
    fn drop(&mut self) {
        let mut open = Vec::new();
        take_children(&mut self.kind, &mut open);
        while let Some(node) = open.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                take_children(&mut node.kind, &mut open);
            }
        }
    }
}

fn take_children(kind: &mut Kind, open: &mut Vec<Arc<Node>>) {
    if let Kind::Internal { children, .. } = kind {
        for link in children {
            if let Link::Held(node) = std::mem::replace(link, Link::Empty) {
                open.push(node);
            }
        }
    }
}
