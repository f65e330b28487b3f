//! Walking a tree in ascending order of keys.

use std::sync::Arc;

use trilith_proof::mkvs::{Bits, Seek};

use crate::node::{Kind, LEFT, Link, OWN, RIGHT};
use crate::{Tree, TreeError};

/// An entry of a tree, shared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<[u8]>,
    /// Its value.
    pub value: Arc<[u8]>,
}

/// Iterator over entries of a tree in ascending order of keys. It walks the tree as it was when
/// the iterator was made, and ends after an error.
pub struct Iter {
    tree: Tree,
    open: Vec<Link>,
    prefix: Vec<u8>,
}

impl Tree {
    /// All entries whose keys are `start` or greater.
    ///
    /// # Errors
    /// [`TreeError`] if a node is not to be had; so do the iterator's items.
    pub fn iterate_from(&self, start: &[u8]) -> Result<Iter, TreeError> {
        let mut iter = Iter {
            tree: self.clone(),
            open: Vec::new(),
            prefix: Vec::new(),
        };
        iter.seek(start)?;
        Ok(iter)
    }

    /// All entries whose keys start with `prefix`.
    ///
    /// # Errors
    /// As [`Tree::iterate_from`].
    pub fn iterate_prefix(&self, prefix: &[u8]) -> Result<Iter, TreeError> {
        let mut iter = self.iterate_from(prefix)?;
        iter.prefix = prefix.to_vec();
        Ok(iter)
    }
}

impl Iter {
    fn seek(&mut self, start: &[u8]) -> Result<(), TreeError> {
        let mut rest = Bits::of_key(start);
        let mut link = self.tree.top().clone();
        loop {
            // Nothing of the start key is left: all of this subtree lies behind it.
            if rest.is_empty() {
                self.open.push(link);
                return Ok(());
            }
            let Some(node) = self.tree.resolve(&link)? else {
                return Ok(());
            };
            match &node.kind {
                Kind::Leaf { key, .. } => {
                    if key.as_ref() >= start {
                        self.open.push(Link::Held(node));
                    }
                    return Ok(());
                }
                Kind::Internal { label, children } => match label.seek(&rest) {
                    Seek::All => {
                        self.open.push(Link::Held(node));
                        return Ok(());
                    }
                    Seek::Nothing => return Ok(()),
                    Seek::Into(side) => {
                        rest = rest.skip(usize::from(label.bit_len()));
                        link = if side {
                            children[RIGHT].clone()
                        } else {
                            self.open.push(children[RIGHT].clone());
                            children[LEFT].clone()
                        };
                    }
                },
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Entry>, TreeError> {
        while let Some(link) = self.open.pop() {
            let Some(node) = self.tree.resolve(&link)? else {
                continue;
            };
            match &node.kind {
                Kind::Leaf { key, value } => {
                    let within = key.starts_with(&self.prefix);
                    return Ok(within.then(|| Entry {
                        key: key.clone(),
                        value: value.clone(),
                    }));
                }
                Kind::Internal { children, .. } => {
                    self.open
                        .extend([RIGHT, LEFT, OWN].map(|at| children[at].clone()));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Iter {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.open.clear();
        }
        next
    }
}
