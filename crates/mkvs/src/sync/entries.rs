//! Walking a tree that is read through a peer, in ascending order of keys.
//!
//! Beside the edges that are still to be followed the walk knows the key bits that lead to each,
//! because that is what the peer is asked for where a node is missing: the smallest key that can
//! lie below the edge. All bits above an open edge are also above the last node that was visited,
//! so that one path serves all of them.

use trilith_proof::mkvs::{Bits, Label, Seek, set_bit};

use super::SyncError;
use super::remote::RemoteTree;
use super::source::Want;
use crate::node::{Kind, LEFT, Link, OWN, RIGHT};
use crate::tree::{check_key, cut};
use crate::{Entry, TreeError};

/// An edge to be followed.
struct Open {
    link: Link,
    /// Key bits above the edge.
    bits: usize,
    /// The bit that follows these; none for an own leaf, and for the topmost node.
    side: Option<bool>,
}

/// Iterator over entries of a [`RemoteTree`] in ascending order of keys. It ends after an error.
pub struct RemoteEntries<'t> {
    remote: &'t RemoteTree,
    open: Vec<Open>,
    /// Key bits that lead to the last node that was visited, filled up with zeros.
    path: Vec<u8>,
    prefix: Vec<u8>,
    prefetch: u16,
}

impl<'t> RemoteEntries<'t> {
    pub(super) fn new(
        remote: &'t mut RemoteTree,
        start: &[u8],
        prefix: &[u8],
        prefetch: u16,
    ) -> Result<Self, SyncError> {
        check_key(start)?;
        let mut entries = Self {
            remote,
            open: Vec::new(),
            path: start.to_vec(),
            prefix: prefix.to_vec(),
            prefetch,
        };
        entries.seek(start)?;
        Ok(entries)
    }

    fn seek(&mut self, start: &[u8]) -> Result<(), SyncError> {
        let mut link = self.remote.top();
        let mut bits = 0;
        loop {
            let want = || Want::Iterate(start.to_vec(), self.prefetch);
            let Some(node) = self.remote.resolve(&link, want)? else {
                return Ok(());
            };
            let rest = Bits::of_key(start).skip(bits);
            let (label, children) = match &node.kind {
                Kind::Leaf { key, .. } => {
                    if key.as_ref() >= start {
                        self.push(Link::Held(node.clone()), bits, None);
                    }
                    return Ok(());
                }
                Kind::Internal { label, children } => (label, children),
            };
            match label.seek(&rest) {
                Seek::All => {
                    self.push(Link::Held(node.clone()), bits, None);
                    return Ok(());
                }
                Seek::Nothing => return Ok(()),
                Seek::Into(true) => link = children[RIGHT].clone(),
                Seek::Into(false) => {
                    let below = bits + usize::from(label.bit_len());
                    self.push(children[RIGHT].clone(), below, Some(true));
                    link = children[LEFT].clone();
                }
            }
            bits += usize::from(label.bit_len());
        }
    }

    fn push(&mut self, link: Link, bits: usize, side: Option<bool>) {
        if !link.is_empty() {
            self.open.push(Open { link, bits, side });
        }
    }

    fn advance(&mut self) -> Result<Option<Entry>, SyncError> {
        while let Some(Open { link, bits, side }) = self.open.pop() {
            let want = || Want::Iterate(self.first_below(bits, side), self.prefetch);
            let Some(node) = self.remote.resolve(&link, want)? else {
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
                Kind::Internal { label, children } => self.enter(bits, label, children)?,
            }
        }
        Ok(None)
    }

    /// The smallest key that can lie below an edge.
    fn first_below(&self, bits: usize, side: Option<bool>) -> Vec<u8> {
        let mut key = Bits::of_key(&self.path).first(bits).to_bytes();
        if let Some(side) = side {
            set_bit(&mut key, bits, side);
        }
        key
    }

    fn enter(&mut self, bits: usize, label: &Label, children: &[Link; 3]) -> Result<(), SyncError> {
        let fault = TreeError::MalformedNode("lies deeper than the longest key reaches");
        let above = cut(&Bits::of_key(&self.path).first(bits))?;
        let path = above.join(label).ok_or(fault)?;
        self.path = path.bytes().to_vec();
        let below = usize::from(path.bit_len());
        self.push(children[RIGHT].clone(), below, Some(true));
        self.push(children[LEFT].clone(), below, Some(false));
        self.push(children[OWN].clone(), below, None);
        Ok(())
    }
}

impl Iterator for RemoteEntries<'_> {
    type Item = Result<Entry, SyncError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.open.clear();
        }
        next
    }
}
