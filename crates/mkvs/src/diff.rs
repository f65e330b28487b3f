//! What changed between two trees, without looking at what they share.
//!
//! Both trees are walked side by side, position by position, in ascending order of keys. Where both
//! have the same node at the same position, nothing below it changed, and nothing below it is
//! fetched: of trees whose nodes are in a source, only those nodes are fetched that one of them has
//! and the other has not, and at most one leaf more for each change.

use std::sync::Arc;

use trilith_proof::mkvs::Bits;
use trilith_types::{WriteLog, WriteLogEntry};

use crate::node::{Kind, LEFT, Link, Node, OWN, RIGHT, place};
use crate::{Tree, TreeError};

/// A subtree and the number of key bits above its topmost node. The walk may stand inside that
/// node's label, where the other tree has a node and this one has none.
#[derive(Clone)]
struct Part {
    link: Link,
    start: usize,
}

impl Part {
    fn new(link: Link, start: usize) -> Self {
        Self { link, start }
    }

    fn nothing() -> Self {
        Self::new(Link::Empty, 0)
    }
}

/// Parts of both trees at the same position.
struct Pair {
    before: Part,
    after: Part,
    /// Key bits above the position.
    at: usize,
}

/// The changes that lead from `before` to `after`, in ascending order of keys.
///
/// # Errors
/// [`TreeError`] if a node is not to be had.
pub fn diff(before: &Tree, after: &Tree) -> Result<WriteLog, TreeError> {
    let mut walk = Walk {
        before,
        after,
        open: Vec::new(),
        log: WriteLog::new(),
    };
    walk.push(
        Part::new(before.top().clone(), 0),
        Part::new(after.top().clone(), 0),
        0,
    );
    while let Some(pair) = walk.open.pop() {
        walk.compare(pair)?;
    }
    Ok(walk.log)
}

struct Walk<'t> {
    before: &'t Tree,
    after: &'t Tree,
    open: Vec<Pair>,
    log: WriteLog,
}

impl Walk<'_> {
    fn push(&mut self, before: Part, after: Part, at: usize) {
        if !before.link.is_empty() || !after.link.is_empty() {
            self.open.push(Pair { before, after, at });
        }
    }

    fn compare(&mut self, pair: Pair) -> Result<(), TreeError> {
        let Pair { before, after, at } = pair;
        // The hash of a subtree covers its keys whole, so that the same hash stands for the same
        // entries, also of a leaf that hangs higher in one tree than in the other.
        if is_same(&before.link, &after.link) {
            return Ok(());
        }
        let old = self.before.resolve(&before.link)?;
        let new = self.after.resolve(&after.link)?;
        match (old, new) {
            (None, None) => {}
            (Some(old), None) => self.only_before(&old)?,
            (None, Some(new)) => self.only_after(&new)?,
            (Some(old), Some(new)) => {
                let before = Part::new(Link::Held(old.clone()), before.start);
                let after = Part::new(Link::Held(new.clone()), after.start);
                self.compare_nodes((&old, before), (&new, after), at);
            }
        }
        Ok(())
    }

    fn compare_nodes(&mut self, old: (&Node, Part), new: (&Node, Part), at: usize) {
        if let (
            Kind::Leaf { key: old_key, .. },
            Kind::Leaf {
                key: new_key,
                value,
            },
        ) = (&old.0.kind, &new.0.kind)
            && old_key == new_key
        {
            if old.0.hash() != new.0.hash() {
                let (key, value) = (new_key.to_vec(), Some(value.to_vec()));
                self.log.push(WriteLogEntry { key, value });
            }
            return;
        }
        let old_bits = bits_from(old.0, old.1.start, at);
        let new_bits = bits_from(new.0, new.1.start, at);
        let common = old_bits.common_prefix(&new_bits);
        let below = at + common;
        let (old_next, new_next) = (old_bits.bit(common), new_bits.bit(common));
        if let (Some(old_side), Some(_)) = (old_next, new_next) {
            // The labels part: what is on the left of the other comes first.
            let apart = [(old.1, Part::nothing()), (Part::nothing(), new.1)];
            let [first, second] = apart;
            let (first, second) = if old_side {
                (second, first)
            } else {
                (first, second)
            };
            self.push(second.0, second.1, below);
            self.push(first.0, first.1, below);
            return;
        }
        let mut old_parts = parts(old.0, old.1, old_next, below);
        let mut new_parts = parts(new.0, new.1, new_next, below);
        for place in [RIGHT, LEFT, OWN] {
            let take =
                |parts: &mut [Part; 3]| std::mem::replace(&mut parts[place], Part::nothing());
            self.push(take(&mut old_parts), take(&mut new_parts), below);
        }
    }

    fn only_before(&mut self, node: &Node) -> Result<(), TreeError> {
        match &node.kind {
            Kind::Leaf { key, .. } => {
                self.log.push(WriteLogEntry {
                    key: key.to_vec(),
                    value: None,
                });
            }
            Kind::Internal { children, .. } => {
                for place in [RIGHT, LEFT, OWN] {
                    self.push(Part::new(children[place].clone(), 0), Part::nothing(), 0);
                }
            }
        }
        Ok(())
    }

    fn only_after(&mut self, node: &Node) -> Result<(), TreeError> {
        match &node.kind {
            Kind::Leaf { key, value } => {
                let (key, value) = (key.to_vec(), Some(value.to_vec()));
                self.log.push(WriteLogEntry { key, value });
            }
            Kind::Internal { children, .. } => {
                for place in [RIGHT, LEFT, OWN] {
                    self.push(Part::nothing(), Part::new(children[place].clone(), 0), 0);
                }
            }
        }
        Ok(())
    }
}

fn is_same(a: &Link, b: &Link) -> bool {
    match (a, b) {
        (Link::Held(a), Link::Held(b)) if Arc::ptr_eq(a, b) => true,
        _ => a.hash() == b.hash(),
    }
}

/// The bits between position `at` and the end of a node: of its label, or, of a leaf, of its key.
fn bits_from(node: &Node, start: usize, at: usize) -> Bits<'_> {
    match &node.kind {
        Kind::Leaf { key, .. } => Bits::of_key(key).skip(at),
        Kind::Internal { label, .. } => label.bits().skip(at.saturating_sub(start)),
    }
}

/// What lies below a position, by the way that keys go on there. `next` is the bit with which the
/// node itself goes on; `None` if it ends there.
fn parts(node: &Node, part: Part, next: Option<bool>, below: usize) -> [Part; 3] {
    let mut parts = [Part::nothing(), Part::nothing(), Part::nothing()];
    match (&node.kind, next) {
        (Kind::Internal { children, .. }, None) => {
            return children
                .each_ref()
                .map(|link| Part::new(link.clone(), below));
        }
        _ => parts[place(next)] = part,
    }
    parts
}
