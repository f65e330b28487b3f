//! The tree: looking up, inserting, removing.
//!
//! A change builds new nodes from the leaf up to the top and leaves the old ones to whoever still
//! holds them.

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Edge, Label, VerifiedNode, VerifiedTree};
use trilith_types::{Hash, StateFault, WriteLogEntry};

use crate::node::{Kind, Link, Node, OWN, place};
use crate::{KEY_BYTES_MAX, TreeError, VALUE_BYTES_MAX};

/// Where nodes that are not in memory come from: a store, or a peer.
pub trait NodeSource: Send + Sync {
    /// The node with this hash. The tree checks that it is that node; a source that gives the same
    /// [`Arc`] again spares it the hashing.
    ///
    /// # Errors
    /// [`StateFault`] if this machine cannot give the node.
    fn node(&self, hash: &Hash) -> Result<Arc<Node>, StateFault>;
}

/// A version of a key-value tree. Cloning is free; see the crate's documentation.
#[derive(Clone)]
pub struct Tree {
    top: Link,
    source: Option<Arc<dyn NodeSource>>,
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
        Self {
            top: Link::of_hash(root),
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
        let hash = match link {
            Link::Empty => return Ok(None),
            Link::Held(node) => return Ok(Some(node.clone())),
            Link::Unresolved(hash) => *hash,
        };
        let source = self.source.as_ref().ok_or(TreeError::NotCovered { hash })?;
        let node = source
            .node(&hash)
            .map_err(|fault| TreeError::Source { hash, fault })?;
        let found = node.hash();
        if found != hash {
            return Err(TreeError::WrongNode {
                expected: hash,
                found,
            });
        }
        Ok(Some(node))
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long or a node is not to be had.
    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<[u8]>>, TreeError> {
        check_key(key)?;
        match self.descend(key)?.end {
            Some(node) => match &node.kind {
                Kind::Leaf { key: found, value } => {
                    Ok((found.as_ref() == key).then(|| value.clone()))
                }
                Kind::Internal { .. } => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    /// [`TreeError`] if key or value is too long or a node is not to be had.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
        check_key(key)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(TreeError::ValueTooLong {
                len: value.len(),
                limit: VALUE_BYTES_MAX,
            });
        }
        let descent = self.descend(key)?;
        let leaf = Node::leaf(key, value);
        let rest = Bits::of_key(key).skip(descent.depth);
        let link = match &descent.end {
            None => leaf,
            Some(end) => match &end.kind {
                Kind::Leaf {
                    key: found,
                    value: old,
                } if found.as_ref() == key => {
                    if old.as_ref() == value {
                        return Ok(());
                    }
                    leaf
                }
                Kind::Leaf { key: found, .. } => {
                    let other = Bits::of_key(found).skip(descent.depth);
                    fork(&other, Link::Held(end.clone()), &rest, leaf)?
                }
                Kind::Internal { label, children } => {
                    let common = label.bits().common_prefix(&rest);
                    let below = cut(&label.bits().skip(common))?;
                    let children = children.clone();
                    let lower = Node::held(Kind::Internal {
                        label: below,
                        children,
                    });
                    fork(&label.bits(), lower, &rest, leaf)?
                }
            },
        };
        self.top = rebuild(descent.path, link);
        Ok(())
    }

    /// Takes `key` out, and says whether it had a value.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long or a node is not to be had. Where a node is left with
    /// one child, that child is needed too.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, TreeError> {
        check_key(key)?;
        let Descent { mut path, end, .. } = self.descend(key)?;
        match end.as_deref() {
            Some(Node {
                kind: Kind::Leaf { key: found, .. },
                ..
            }) if found.as_ref() == key => {}
            _ => return Ok(false),
        }
        // At most one node is left with a single child: a node above it keeps as many as it had.
        let link = match path.pop() {
            None => Link::Empty,
            Some((parent, at)) => self.without(&parent, at)?,
        };
        self.top = rebuild(path, link);
        Ok(true)
    }

    /// What stands for an internal node when its child at `at` is gone.
    fn without(&self, parent: &Node, at: usize) -> Result<Link, TreeError> {
        let Kind::Internal { label, children } = &parent.kind else {
            return Err(TreeError::MalformedNode("that is a leaf has children"));
        };
        let mut children = children.clone();
        children[at] = Link::Empty;
        let mut left_over = (OWN..).zip(&children).filter(|(_, link)| !link.is_empty());
        let (place, only) = match (left_over.next(), left_over.next()) {
            (None, _) => return Ok(Link::Empty),
            (Some((place, only)), None) => (place, only),
            _ => {
                return Ok(Node::held(Kind::Internal {
                    label: label.clone(),
                    children,
                }));
            }
        };
        if place == OWN {
            return Ok(only.clone());
        }
        let Some(node) = self.resolve(only)? else {
            return Ok(Link::Empty);
        };
        match &node.kind {
            Kind::Leaf { .. } => Ok(Link::Held(node)),
            Kind::Internal {
                label: below,
                children,
            } => {
                let fault = TreeError::MalformedNode("lies deeper than the longest key reaches");
                let label = label.join(below).ok_or(fault)?;
                Ok(Node::held(Kind::Internal {
                    label,
                    children: children.clone(),
                }))
            }
        }
    }

    /// Does all that a write log says, or nothing.
    ///
    /// # Errors
    /// [`TreeError`] of the first entry that cannot be done.
    pub fn apply(&mut self, log: &[WriteLogEntry]) -> Result<(), TreeError> {
        let mut changed = self.clone();
        for entry in log {
            match &entry.value {
                Some(value) => changed.insert(&entry.key, value)?,
                None => {
                    changed.remove(&entry.key)?;
                }
            }
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

    /// Follows `key` down as far as labels agree with it.
    fn descend(&self, key: &[u8]) -> Result<Descent, TreeError> {
        let bits = Bits::of_key(key);
        let mut descent = Descent {
            path: Vec::new(),
            depth: 0,
            end: None,
        };
        let mut link = self.top.clone();
        loop {
            let Some(node) = self.resolve(&link)? else {
                return Ok(descent);
            };
            let Kind::Internal { label, children } = &node.kind else {
                descent.end = Some(node);
                return Ok(descent);
            };
            let label = label.bits();
            if label.common_prefix(&bits.skip(descent.depth)) < label.len() {
                descent.end = Some(node);
                return Ok(descent);
            }
            descent.depth += label.len();
            let at = place(bits.bit(descent.depth));
            link = children[at].clone();
            descent.path.push((node, at));
        }
    }
}

/// The way of a key through a tree.
struct Descent {
    /// Internal nodes whose labels agree with the key, each with the child that was taken.
    path: Vec<(Arc<Node>, usize)>,
    /// Bits of the key that the path uses.
    depth: usize,
    /// What is at the end: nothing, a leaf (of this key or another), or an internal node whose
    /// label does not agree.
    end: Option<Arc<Node>>,
}

/// New nodes for a path whose last edge now leads to `link`.
fn rebuild(path: Vec<(Arc<Node>, usize)>, link: Link) -> Link {
    path.into_iter()
        .rev()
        .fold(link, |link, (node, at)| match &node.kind {
            Kind::Internal { label, children } => {
                let mut children = children.clone();
                children[at] = link;
                Node::held(Kind::Internal {
                    label: label.clone(),
                    children,
                })
            }
            // A path consists of internal nodes.
            Kind::Leaf { .. } => link,
        })
}

/// An internal node above two subtrees, at the place where their bits part.
fn fork(a: &Bits<'_>, a_link: Link, b: &Bits<'_>, b_link: Link) -> Result<Link, TreeError> {
    let common = a.common_prefix(b);
    let mut children = [Link::Empty, Link::Empty, Link::Empty];
    children[place(a.bit(common))] = a_link;
    children[place(b.bit(common))] = b_link;
    Ok(Node::held(Kind::Internal {
        label: cut(&a.first(common))?,
        children,
    }))
}

/// A run of bits as a label.
pub(crate) fn cut(bits: &Bits<'_>) -> Result<Label, TreeError> {
    bits.to_label().ok_or(TreeError::MalformedNode(
        "has a label that is longer than any key",
    ))
}

pub(crate) fn check_key(key: &[u8]) -> Result<(), TreeError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(TreeError::KeyTooLong {
            len: key.len(),
            limit: KEY_BYTES_MAX,
        });
    }
    Ok(())
}

/// The root of the tree with these entries; of entries with one key, the last counts.
///
/// # Errors
/// [`TreeError`] if a key or a value is too long.
pub fn root_of(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Hash, TreeError> {
    let mut tree = Tree::empty();
    for (key, value) in entries {
        tree.insert(&key, &value)?;
    }
    Ok(tree.root())
}
