//! Fragments: connected pieces of a tree as bytes, the unit in which a tree is stored.
//!
//! ```text
//! fragment = node
//! node     = 0x00 ‖ key length u16 ‖ key ‖ value length u32 ‖ value
//!          | 0x01 ‖ hash ‖ label bits u16 ‖ label ‖ edge ‖ edge ‖ edge       (own leaf, left, right)
//! edge     = 0x00                                                            (nothing there)
//!          | 0x01 ‖ node                                                     (in this fragment)
//!          | 0x02 ‖ hash ‖ place u64                                         (in another)
//! ```
//!
//! Numbers are little-endian. The hashes of internal nodes are stored so that a change need not hash
//! all that lies below its neighbours; they are believed, so whoever keeps fragments checks their
//! bytes before they are decoded ([`Node::check_hashes`] computes them anew). That of a leaf is
//! computed when it is asked for, which costs less than its space. The format is this program's own and no part of any
//! root.

use std::sync::Arc;

use trilith_proof::mkvs::Label;
use trilith_types::Hash;

use crate::node::{Kind, Link, Node, Place};
use crate::{KEY_BYTES_MAX, TreeError, VALUE_BYTES_MAX};

const LEAF: u8 = 0x00;
const INTERNAL: u8 = 0x01;
const EDGE_EMPTY: u8 = 0x00;
const EDGE_HERE: u8 = 0x01;
const EDGE_ELSEWHERE: u8 = 0x02;
/// Bytes of an edge to another fragment.
pub(crate) const ELSEWHERE_BYTES: usize = 1 + Hash::LEN + 8;

/// What stands at an edge in a fragment that is being put together.
pub(crate) enum Edge {
    Empty,
    /// A node of this fragment with all that hangs on it.
    Here(Encoded),
    /// A node at the top of another fragment.
    Elsewhere(Hash, Place),
}

/// A node and what of its fragment hangs on it, encoded.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Whether no edge among it leads to another fragment.
    pub(crate) whole: bool,
}

impl Edge {
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Here(node) => 1 + node.bytes.len(),
            Self::Elsewhere(..) => ELSEWHERE_BYTES,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => out.push(EDGE_EMPTY),
            Self::Here(node) => {
                out.push(EDGE_HERE);
                out.extend_from_slice(&node.bytes);
            }
            Self::Elsewhere(hash, place) => {
                out.push(EDGE_ELSEWHERE);
                out.extend_from_slice(hash.as_bytes());
                out.extend_from_slice(&place.0.to_le_bytes());
            }
        }
    }
}

/// Encodes a leaf.
pub(crate) fn encode_leaf(key: &[u8], value: &[u8]) -> Encoded {
    let mut out = Vec::with_capacity(7 + key.len() + value.len());
    out.push(LEAF);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
    Encoded {
        bytes: out,
        whole: true,
    }
}

/// Encodes an internal node over what stands at its edges.
pub(crate) fn encode_internal(hash: &Hash, label: &Label, edges: &[Edge; 3]) -> Encoded {
    let below: usize = edges.iter().map(Edge::encoded_len).sum();
    let mut out = Vec::with_capacity(1 + Hash::LEN + 2 + label.bytes().len() + below);
    out.push(INTERNAL);
    out.extend_from_slice(hash.as_bytes());
    out.extend_from_slice(&label.bit_len().to_le_bytes());
    out.extend_from_slice(label.bytes());
    let mut whole = true;
    for edge in edges {
        edge.encode(&mut out);
        whole &= match edge {
            Edge::Empty => true,
            Edge::Here(node) => node.whole,
            Edge::Elsewhere(..) => false,
        };
    }
    Encoded { bytes: out, whole }
}

/// An internal node whose edges are being read.
struct Open {
    hash: Hash,
    label: Label,
    edges: Vec<Link>,
}

impl Node {
    /// Reads a fragment, whose bytes somebody vouches for, and gives the node at its top.
    ///
    /// # Errors
    /// [`TreeError::MalformedNode`] if the bytes are not those of one fragment.
    pub fn decode_fragment(bytes: &[u8]) -> Result<Arc<Self>, TreeError> {
        let mut input = Input { bytes };
        let mut open: Vec<Open> = Vec::new();
        loop {
            // Here a node begins; a leaf is whole at once.
            let mut node = match input.node()? {
                Begun::Whole(node) => node,
                Begun::Open(internal) => {
                    open.push(internal);
                    match input.edges(&mut open)? {
                        None => continue,
                        Some(node) => node,
                    }
                }
            };
            // A whole node is an edge of the one around it, which may be whole now.
            loop {
                let Some(around) = open.last_mut() else {
                    return input.finish().map(|()| node);
                };
                around.edges.push(Link::Held(node));
                match input.edges(&mut open)? {
                    None => break,
                    Some(whole) => node = whole,
                }
            }
        }
    }

    /// The edges of a fragment that lead to other fragments: their hashes and places. `self` is the
    /// node at its top.
    pub fn edges_elsewhere(&self) -> Vec<(Hash, Place)> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            for link in node.children() {
                match link {
                    Link::Empty => {}
                    Link::Held(below) => open.push(below),
                    Link::Stored(stored) => found.push((stored.hash, stored.place)),
                }
            }
        }
        found
    }

    /// Computes anew the hashes of a fragment, of which `self` is the node at the top, and gives
    /// the first that is not the stored one: what is stored, and what it should be. The hashes of
    /// other fragments are believed.
    pub fn check_hashes(&self) -> Option<(Hash, Hash)> {
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            let (stored, computed) = (node.hash(), node.computed_hash());
            if stored != computed {
                return Some((stored, computed));
            }
            for link in node.children() {
                if let Link::Held(below) = link {
                    open.push(below);
                }
            }
        }
        None
    }
}

/// A node of which the beginning was read.
enum Begun {
    Whole(Arc<Node>),
    Open(Open),
}

struct Input<'b> {
    bytes: &'b [u8],
}

impl<'b> Input<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], TreeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(TreeError::MalformedNode("of a fragment is cut off"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TreeError> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| TreeError::MalformedNode("of a fragment is cut off"))
    }

    fn hash(&mut self) -> Result<Hash, TreeError> {
        Ok(Hash::from_bytes(self.array()?))
    }

    fn node(&mut self) -> Result<Begun, TreeError> {
        let [kind] = self.array()?;
        match kind {
            LEAF => {
                let len = usize::from(u16::from_le_bytes(self.array()?));
                if len > KEY_BYTES_MAX {
                    return Err(TreeError::MalformedNode("has a key that is too long"));
                }
                let key = self.take(len)?.into();
                let len = u32::from_le_bytes(self.array()?) as usize;
                if len > VALUE_BYTES_MAX {
                    return Err(TreeError::MalformedNode("has a value that is too long"));
                }
                let value = self.take(len)?.into();
                let kind = Kind::Leaf { key, value };
                Ok(Begun::Whole(Arc::new(Node::unhashed(kind))))
            }
            INTERNAL => {
                let hash = self.hash()?;
                let len = usize::from(u16::from_le_bytes(self.array()?));
                let bytes = self.take(len.div_ceil(8))?;
                let label = Label::from_parts(bytes, len)
                    .ok_or(TreeError::MalformedNode("has a label that is none"))?;
                let edges = Vec::with_capacity(3);
                Ok(Begun::Open(Open { hash, label, edges }))
            }
            _ => Err(TreeError::MalformedNode(
                "of a fragment has an unknown kind",
            )),
        }
    }

    /// Reads edges of the innermost open node up to one that leads to a node of this fragment; if
    /// the node is whole before that, gives it.
    fn edges(&mut self, open: &mut Vec<Open>) -> Result<Option<Arc<Node>>, TreeError> {
        let fault = TreeError::MalformedNode("of a fragment is none");
        let innermost = open.last_mut().ok_or(fault.clone())?;
        while innermost.edges.len() < 3 {
            match self.array()? {
                [EDGE_EMPTY] => innermost.edges.push(Link::Empty),
                [EDGE_HERE] => return Ok(None),
                [EDGE_ELSEWHERE] => {
                    let hash = self.hash()?;
                    let place = Place(u64::from_le_bytes(self.array()?));
                    if hash.is_empty() || place == Place::NONE {
                        return Err(TreeError::MalformedNode("has an edge that leads nowhere"));
                    }
                    innermost.edges.push(Link::stored(hash, place));
                }
                _ => return Err(TreeError::MalformedNode("has an unknown kind of edge")),
            }
        }
        let Open { hash, label, edges } = open.pop().ok_or(fault.clone())?;
        let children: [Link; 3] = edges.try_into().map_err(|_| fault)?;
        if children.iter().filter(|link| !link.is_empty()).count() < 2 {
            return Err(TreeError::MalformedNode("has fewer than two children"));
        }
        let kind = Kind::Internal { label, children };
        Ok(Some(Arc::new(Node::vouched(kind, hash))))
    }

    fn finish(&self) -> Result<(), TreeError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(TreeError::MalformedNode("is followed by other bytes"))
    }
}
