//! The walk that decides which nodes a proof of an iteration shows.
//!
//! It is not the shortest walk to the entries ([`crate::Iter`] is): provers have to show the same
//! nodes as Oasis Core, so its rules are followed to the letter, also where they visit nodes in
//! vain.
//!
//! ```text
//! visit(node, position, path, key, state):
//!   show node
//!   leaf:     found if its key >= key
//!   internal: path <- path + label, position <- its length in bits
//!     short <- key has no more bits than the path
//!     first <- position > 0, key has as many bits as the path or more, key < path
//!     before:          if short or first: visit own leaf         (resume: at)
//!     before, at:      if short: set bit `position` of key to 0, zeros before it
//!                      if that bit of key is 0, or first:
//!                        visit left                               (resume: at left)
//!                        key <- its first `position` bits and a 1
//!                      visit right                                (resume: after)
//!     at left:         key <- its first `position` bits and a 1, visit right (resume: after)
//! ```
//!
//! A visit that finds a key ends all visits above it, each of which remembers where to resume.
//! Lengths of keys are those of whole bytes, also after a bit was appended.
//!
//! Invariant: the depth of the recursion is bounded by that of a proof.
//!
//! Source: Oasis Core `storage/mkvs`, tree iterator.

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Label, PROOF_DEPTH_MAX, set_bit};

use crate::node::{Kind, LEFT, Link, Node, OWN, RIGHT};
use crate::prove::Shown;
use crate::tree::cut;
use crate::{Tree, TreeError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    At,
    AtLeft,
    After,
}

/// A visit to an internal node that is to be resumed.
struct Visit {
    node: Arc<Node>,
    position: Position,
    state: State,
}

/// Where a node hangs.
#[derive(Clone)]
struct Position {
    /// The bits above the node.
    path: Label,
    /// The number of nodes above it.
    depth: usize,
}

/// An iteration whose visits are recorded.
pub(crate) struct Walker<'t> {
    tree: &'t Tree,
    /// Visits to resume, the deepest last.
    open: Vec<Visit>,
    key: Option<Arc<[u8]>>,
}

impl<'t> Walker<'t> {
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            open: Vec::new(),
            key: None,
        }
    }

    /// The key where the walk stands; `None` at the end.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Goes to the first key that is `start` or greater.
    pub(crate) fn seek(&mut self, start: &[u8], shown: &mut Shown) -> Result<(), TreeError> {
        self.open.clear();
        self.key = None;
        let mut resumable = Vec::new();
        if let Some(node) = self.tree.resolve(self.tree.top())? {
            let position = Position {
                path: cut(&Bits::of_key(b""))?,
                depth: 0,
            };
            let visit = Visit {
                node,
                position,
                state: State::Before,
            };
            self.visit(visit, start.to_vec(), shown, &mut resumable)?;
        }
        self.open.extend(resumable.into_iter().rev());
        Ok(())
    }

    /// Goes to the next key.
    pub(crate) fn advance(&mut self, shown: &mut Shown) -> Result<(), TreeError> {
        let Some(last) = self.key.take() else {
            return Ok(());
        };
        while let Some(visit) = self.open.pop() {
            let mut resumable = Vec::new();
            if self.visit(visit, last.to_vec(), shown, &mut resumable)? {
                self.open.extend(resumable.into_iter().rev());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Says whether a key was found; visits that are then to be resumed go to `resumable`, the
    /// deepest first.
    fn visit(
        &mut self,
        visit: Visit,
        mut key: Vec<u8>,
        shown: &mut Shown,
        resumable: &mut Vec<Visit>,
    ) -> Result<bool, TreeError> {
        let Visit {
            node,
            position,
            state,
        } = visit;
        if position.depth > PROOF_DEPTH_MAX {
            return Err(TreeError::ProofTooDeep {
                limit: PROOF_DEPTH_MAX,
            });
        }
        shown.include(&node)?;
        let (label, children) = match &node.kind {
            Kind::Leaf { key: found, .. } => {
                let is_found = found.as_ref() >= key.as_slice();
                if is_found {
                    self.key = Some(found.clone());
                }
                return Ok(is_found);
            }
            Kind::Internal { label, children } => (label, children),
        };
        let fault = TreeError::MalformedNode("lies deeper than the longest key reaches");
        let path = position.path.join(label).ok_or(fault)?;
        let bits = usize::from(path.bit_len());
        let short = key.len() * 8 <= bits;
        let first = bits > 0 && key.len() * 8 >= bits && key.as_slice() < path.bytes();
        let below = Position {
            path,
            depth: position.depth + 1,
        };
        let mut attempts: Vec<(usize, Vec<u8>, State)> = Vec::with_capacity(3);
        if state == State::Before && (short || first) {
            attempts.push((OWN, key.clone(), State::At));
        }
        if matches!(state, State::Before | State::At) {
            if short {
                key = with_bit(key, bits, false);
            }
            if first || Bits::of_key(&key).bit(bits) == Some(false) {
                attempts.push((LEFT, key.clone(), State::AtLeft));
                key = advanced(&key, bits);
            }
            attempts.push((RIGHT, key, State::After));
        } else if state == State::AtLeft {
            attempts.push((RIGHT, advanced(&key, bits), State::After));
        }
        for (place, key, state) in attempts {
            if self.attempt(&children[place], &below, key, shown, resumable)? {
                resumable.push(Visit {
                    node: node.clone(),
                    position,
                    state,
                });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn attempt(
        &mut self,
        link: &Link,
        position: &Position,
        key: Vec<u8>,
        shown: &mut Shown,
        resumable: &mut Vec<Visit>,
    ) -> Result<bool, TreeError> {
        let Some(node) = self.tree.resolve(link)? else {
            return Ok(false);
        };
        let visit = Visit {
            node,
            position: position.clone(),
            state: State::Before,
        };
        self.visit(visit, key, shown, resumable)
    }
}

/// `key` with the bit at `index`, and whole bytes up to it.
fn with_bit(mut key: Vec<u8>, index: usize, bit: bool) -> Vec<u8> {
    set_bit(&mut key, index, bit);
    key
}

/// The first `bits` bits of `key` and a one.
fn advanced(key: &[u8], bits: usize) -> Vec<u8> {
    with_bit(Bits::of_key(key).first(bits).to_bytes(), bits, true)
}
