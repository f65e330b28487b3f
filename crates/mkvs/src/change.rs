//! Changing a tree in place.
//!
//! A node that only the changed tree holds is changed where it is; one that somebody else holds
//! too is copied first, and the copy is then the tree's own. So a batch of changes copies each
//! shared node once, and versions that are held elsewhere never change.
//!
//! Invariant: what fails leaves the same entries behind, and so the same root.

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Label};
use trilith_types::WriteLogEntry;

use crate::node::{Kind, Link, Node, OWN, place};
use crate::tree::NodeSource;
use crate::{KEY_BYTES_MAX, TreeError, VALUE_BYTES_MAX};

/// Where nodes come from that are not in memory, if from anywhere.
pub(crate) type Source<'s> = Option<&'s dyn NodeSource>;

/// The node at an edge; `None` where the edge leads to nothing.
pub(crate) fn resolve(source: Source<'_>, link: &Link) -> Result<Option<Arc<Node>>, TreeError> {
    let stored = match link {
        Link::Empty => return Ok(None),
        Link::Held(node) => return Ok(Some(node.clone())),
        Link::Stored(stored) => stored,
    };
    let hash = stored.hash;
    let source = source.ok_or(TreeError::NotCovered { hash })?;
    let node = source
        .node(&hash, stored.place)
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

/// Brings the node at an edge into memory, if there is one.
pub(crate) fn hold(source: Source<'_>, link: &mut Link) -> Result<(), TreeError> {
    if let Link::Stored(_) = link
        && let Some(node) = resolve(source, link)?
    {
        *link = Link::Held(node);
    }
    Ok(())
}

/// The children of a held internal node, to be changed: the node becomes the tree's own.
pub(crate) fn children_mut(link: &mut Link) -> Option<&mut [Link; 3]> {
    let Link::Held(node) = link else {
        return None;
    };
    let node = Arc::make_mut(node);
    node.forget();
    match &mut node.kind {
        Kind::Internal { children, .. } => Some(children),
        Kind::Leaf { .. } => None,
    }
}

/// What an insertion does at a node.
enum Step {
    /// Puts this in the node's place.
    Put(Link),
    /// Nothing: the entry is there.
    Done,
    /// Goes on below, so many bits further.
    Down(usize),
}

/// Does what an entry of a write log says to the subtree at `link`, above which lie `depth` bits.
pub(crate) fn change_at(
    source: Source<'_>,
    link: &mut Link,
    depth: usize,
    entry: &WriteLogEntry,
) -> Result<(), TreeError> {
    match &entry.value {
        Some(value) => insert_at(source, link, depth, &entry.key, value),
        None => remove_at(source, link, depth, &entry.key).map(|_| ()),
    }
}

/// Gives `key` a value in the subtree at `link`, above which lie `depth` bits.
pub(crate) fn insert_at(
    source: Source<'_>,
    mut link: &mut Link,
    mut depth: usize,
    key: &[u8],
    value: &[u8],
) -> Result<(), TreeError> {
    let bits = Bits::of_key(key);
    loop {
        hold(source, link)?;
        let step = match link {
            Link::Held(node) => step(node, &bits.skip(depth), depth, (key, value))?,
            _ => Step::Put(Node::leaf(key, value)),
        };
        match step {
            Step::Done => return Ok(()),
            Step::Put(put) => {
                *link = put;
                return Ok(());
            }
            Step::Down(len) => {
                depth += len;
                let at = place(bits.bit(depth));
                let fault = TreeError::MalformedNode("that is a leaf has children");
                link = &mut children_mut(link).ok_or(fault)?[at];
            }
        }
    }
}

fn step(
    node: &Arc<Node>,
    rest: &Bits<'_>,
    depth: usize,
    (key, value): (&[u8], &[u8]),
) -> Result<Step, TreeError> {
    Ok(match &node.kind {
        Kind::Leaf {
            key: found,
            value: old,
        } if found.as_ref() == key => {
            if old.as_ref() == value {
                Step::Done
            } else {
                Step::Put(Node::held(Kind::Leaf {
                    key: found.clone(),
                    value: value.into(),
                }))
            }
        }
        Kind::Leaf { key: found, .. } => {
            let other = Bits::of_key(found).skip(depth);
            let other_link = Link::Held(node.clone());
            Step::Put(fork(&other, other_link, rest, Node::leaf(key, value))?)
        }
        Kind::Internal { label, children } => {
            let common = label.bits().common_prefix(rest);
            let len = usize::from(label.bit_len());
            if common == len {
                return Ok(Step::Down(len));
            }
            let lower = Node::held(Kind::Internal {
                label: cut(&label.bits().skip(common))?,
                children: children.clone(),
            });
            Step::Put(fork(&label.bits(), lower, rest, Node::leaf(key, value))?)
        }
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

/// Takes `key` out of the subtree at `link`, above which lie `depth` bits, and says whether it was
/// there.
pub(crate) fn remove_at(
    source: Source<'_>,
    mut link: &mut Link,
    depth: usize,
    key: &[u8],
) -> Result<bool, TreeError> {
    let Some(places) = way_to(source, link, depth, key)? else {
        return Ok(false);
    };
    let Some((last, above)) = places.split_last() else {
        *link = Link::Empty;
        return Ok(true);
    };
    // All that can fail comes before the first change.
    let mut parent = link.clone();
    for at in above {
        let node = resolve(source, &parent)?;
        parent = node.map_or(Link::Empty, |node| node.children()[*at].clone());
    }
    let rest = match resolve(source, &parent)? {
        Some(node) => without(source, &node, *last)?,
        None => Link::Empty,
    };
    for at in above {
        hold(source, link)?;
        let fault = TreeError::MalformedNode("that is a leaf has children");
        link = &mut children_mut(link).ok_or(fault)?[*at];
    }
    *link = rest;
    Ok(true)
}

/// Which children the way to `key` takes; `None` if the key is not there.
fn way_to(
    source: Source<'_>,
    link: &Link,
    mut depth: usize,
    key: &[u8],
) -> Result<Option<Vec<usize>>, TreeError> {
    let bits = Bits::of_key(key);
    let mut places = Vec::new();
    let mut link = link.clone();
    while let Some(node) = resolve(source, &link)? {
        let (label, children) = match &node.kind {
            Kind::Leaf { key: found, .. } => return Ok((found.as_ref() == key).then_some(places)),
            Kind::Internal { label, children } => (label, children),
        };
        let len = usize::from(label.bit_len());
        if label.bits().common_prefix(&bits.skip(depth)) < len {
            return Ok(None);
        }
        depth += len;
        let at = place(bits.bit(depth));
        places.push(at);
        link = children[at].clone();
    }
    Ok(None)
}

/// What stands for an internal node when its child at `at` is gone. At most this one node is left
/// with a single child: a node above it keeps as many as it had.
fn without(source: Source<'_>, parent: &Node, at: usize) -> Result<Link, TreeError> {
    let Kind::Internal { label, children } = &parent.kind else {
        return Err(TreeError::MalformedNode("that is a leaf has children"));
    };
    let mut children = children.clone();
    children[at] = Link::Empty;
    match joined(source, label, &children)? {
        Some(link) => Ok(link),
        None => Ok(Node::held(Kind::Internal {
            label: label.clone(),
            children,
        })),
    }
}

/// What stands for an internal node with fewer than two children; `None` if it has more.
pub(crate) fn joined(
    source: Source<'_>,
    label: &Label,
    children: &[Link; 3],
) -> Result<Option<Link>, TreeError> {
    let mut left_over = (OWN..).zip(children).filter(|(_, link)| !link.is_empty());
    let (place, only) = match (left_over.next(), left_over.next()) {
        (None, _) => return Ok(Some(Link::Empty)),
        (Some((place, only)), None) => (place, only),
        _ => return Ok(None),
    };
    if place == OWN {
        return Ok(Some(only.clone()));
    }
    let Some(node) = resolve(source, only)? else {
        return Ok(Some(Link::Empty));
    };
    match &node.kind {
        Kind::Leaf { .. } => Ok(Some(Link::Held(node))),
        Kind::Internal {
            label: below,
            children,
        } => {
            let fault = TreeError::MalformedNode("lies deeper than the longest key reaches");
            let label = label.join(below).ok_or(fault)?;
            Ok(Some(Node::held(Kind::Internal {
                label,
                children: children.clone(),
            })))
        }
    }
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

pub(crate) fn check_entry(key: &[u8], value: Option<&[u8]>) -> Result<(), TreeError> {
    check_key(key)?;
    let len = value.map_or(0, <[u8]>::len);
    if len > VALUE_BYTES_MAX {
        return Err(TreeError::ValueTooLong {
            len,
            limit: VALUE_BYTES_MAX,
        });
    }
    Ok(())
}
