//! The tree: what it is, and looking up. How it changes is in [`crate::change`].

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Edge, VerifiedNode, VerifiedTree};
use trilith_types::{Hash, StateFault, WriteLogEntry};

use crate::TreeError;
use crate::change::{change_at, check_entry, insert_at, remove_at, resolve};
pub(crate) use crate::change::{check_key, cut};
use crate::node::{Kind, Link, Node, Place, place};

/// Where nodes that are not in memory come from: a store, or a peer.
pub trait NodeSource: Send + Sync {
    /// The node with this hash, which was stored at `place` ([`Place::NONE`] where only the hash is
    /// known). The tree checks that it is that node; a source that gives the same [`Arc`] again
    /// spares it the hashing.
    ///
    /// # Errors
    /// [`StateFault`] if this machine cannot give the node.
    fn node(&self, hash: &Hash, place: Place) -> Result<Arc<Node>, StateFault>;
}

/// A version of a key-value tree. Cloning is free; see the crate's documentation.
#[derive(Clone)]
pub struct Tree {
    pub(crate) top: Link,
    pub(crate) source: Option<Arc<dyn NodeSource>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tree")
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::empty()
    }
}

impl Tree {
    /// The tree without entries.
    pub fn empty() -> Self {
        Self {
            top: Link::Empty,
            source: None,
        }
    }

    /// The tree with the given root, whose nodes `source` has.
    pub fn at(root: Hash, source: Arc<dyn NodeSource>) -> Self {
        Self::at_place(root, Place::NONE, source)
    }

    /// The tree with the given root, whose top fragment `source` keeps at `place`.
    pub fn at_place(root: Hash, place: Place, source: Arc<dyn NodeSource>) -> Self {
        Self {
            top: Link::stored(root, place),
            source: Some(source),
        }
    }

    /// The part of a tree that a proof showed. It can be read and changed where it is covered;
    /// elsewhere operations end with [`TreeError::NotCovered`].
    pub fn from_verified(verified: &VerifiedTree) -> Self {
        let mut held: Vec<Link> = Vec::with_capacity(verified.nodes().len());
        let link = |held: &[Link], edge: &Edge| match edge {
            Edge::Empty => Link::Empty,
            Edge::Node(number) => held[*number].clone(),
            Edge::LeftOut(hash) => Link::of_hash(*hash),
        };
        for node in verified.nodes() {
            held.push(match node {
                VerifiedNode::Leaf { key, value } => Node::leaf(key, value),
                VerifiedNode::Internal {
                    label,
                    leaf,
                    left,
                    right,
                } => {
                    let children = [leaf, left, right].map(|edge| link(&held, edge));
                    Node::held(Kind::Internal {
                        label: label.clone(),
                        children,
                    })
                }
            });
        }
        Self {
            top: link(&held, &verified.top()),
            source: None,
        }
    }

    /// The root hash. The first call after a change hashes what changed.
    pub fn root(&self) -> Hash {
        self.top.hash()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.top.is_empty()
    }

    pub(crate) fn top(&self) -> &Link {
        &self.top
    }

    /// The node at an edge; `None` where the edge leads to nothing.
    pub(crate) fn resolve(&self, link: &Link) -> Result<Option<Arc<Node>>, TreeError> {
        resolve(self.source.as_deref(), link)
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long or a node is not to be had.
    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, TreeError> {
        check_key(key)?;
        let mut bits = Bits::of_key(key);
        // How many bits of the next label are known to agree: below an internal node, the one that
        // told left from right.
        let mut known = 0;
        // Nodes below a held one are borrowed from it; only fragments that come from the source
        // are held on to, one at a time.
        let mut link = self.top.clone();
        while let Some(node) = self.resolve(&link)? {
            match look(&node, key, &mut bits, &mut known) {
                Looked::End(value) => return Ok(value),
                Looked::Below(stored) => link = stored,
            }
        }
        Ok(None)
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    /// [`TreeError`] if key or value is too long or a node is not to be had.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
        check_entry(key, Some(value))?;
        insert_at(self.source.as_deref(), &mut self.top, 0, key, value)
    }

    /// Takes `key` out, and says whether it had a value.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long or a node is not to be had. Where a node is left with
    /// one child, that child is needed too.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, TreeError> {
        check_key(key)?;
        remove_at(self.source.as_deref(), &mut self.top, 0, key)
    }

    /// Does all that a write log says, or nothing.
    ///
    /// # Errors
    /// [`TreeError`] of the first entry that cannot be done.
    pub fn apply(&mut self, log: &[WriteLogEntry]) -> Result<(), TreeError> {
        let mut changed = self.clone();
        for entry in log {
            check_entry(&entry.key, entry.value.as_deref())?;
            change_at(self.source.as_deref(), &mut changed.top, 0, entry)?;
        }
        *self = changed;
        Ok(())
    }

    /// Calls `visitor` with every node in memory, each before those below it, except own leaves,
    /// which are stored with their node. In a tree that was opened with [`Tree::at`], these are the
    /// nodes that changes made, all that its source may not have yet.
    pub fn visit_held(&self, visitor: &mut dyn FnMut(&Node)) {
        let mut open: Vec<&Arc<Node>> = match &self.top {
            Link::Held(node) => vec![node],
            _ => Vec::new(),
        };
        while let Some(node) = open.pop() {
            visitor(node);
            open.extend(node.held_children());
        }
    }
}

/// What [`look`] found.
enum Looked {
    /// The value, or that there is none.
    End(Option<Arc<[u8]>>),
    /// That the way goes on at this edge, which is not in memory.
    Below(Link),
}

/// Follows `key` from `node` down through what is in memory; `bits` are what is left of it.
fn look(node: &Node, key: &[u8], bits: &mut Bits<'_>, known: &mut usize) -> Looked {
    let mut node = node;
    loop {
        let (label, children) = match &node.kind {
            Kind::Leaf { key: found, value } => {
                return Looked::End((found.as_ref() == key).then(|| value.clone()));
            }
            Kind::Internal { label, children } => (label, children),
        };
        let len = usize::from(label.bit_len());
        if len > *known && label.bits().common_prefix(bits) < len {
            return Looked::End(None);
        }
        *bits = bits.skip(len);
        *known = 1;
        match &children[place(bits.bit(0))] {
            Link::Empty => return Looked::End(None),
            Link::Held(below) => node = below,
            stored @ Link::Stored(_) => return Looked::Below(stored.clone()),
        }
    }
}
