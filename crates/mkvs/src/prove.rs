//! Making proofs.
//!
//! Which nodes a proof shows is part of the format: two provers with one tree and one request give
//! the same bytes. For a key, it is the nodes on the way that the key's bits take, labels not
//! looked at, and with siblings those right beside it. For an iteration see [`crate::walk`].
//!
//! Source: Oasis Core `storage/mkvs`, `SyncGet`, `SyncGetPrefixes`, `SyncIterate`.

use std::collections::BTreeSet;
use std::sync::Arc;

use trilith_proof::mkvs::{
    Bits, CompactNode, PROOF_BYTES_MAX, PROOF_DEPTH_MAX, PROOF_ENTRIES_MAX, Proof, ProofVersion,
};
use trilith_types::Hash;

use crate::node::{Kind, LEFT, Link, Node, OWN, RIGHT, place};
use crate::tree::check_key;
use crate::walk::Walker;
use crate::{Tree, TreeError};

const ENTRY_FULL: u8 = 0x01;
const ENTRY_HASH: u8 = 0x02;
/// Bytes that an entry, and what encloses the list, take beside the node itself.
const ENTRY_OVERHEAD_BYTES: usize = 6;
/// Bytes that a proof takes beside its entries: names of fields, version, root, head of the list.
const PROOF_OVERHEAD_BYTES: usize = 80;
/// Most visits to nodes for one proof. The rules of iterations visit nodes in vain for some keys,
/// and the prefixes of one request may do so each; a request for as many entries as there can be
/// takes about a quarter of this.
const VISITS_MAX: usize = 1 << 20;

impl Tree {
    /// A proof of the value of `key`, or of its absence. With `include_siblings` it also shows
    /// what a removal of the key needs.
    ///
    /// # Errors
    /// [`TreeError`] if the key or the proof is too long, or a node is not to be had.
    pub fn prove(
        &self,
        key: &[u8],
        version: ProofVersion,
        include_siblings: bool,
    ) -> Result<Proof, TreeError> {
        let mut shown = Shown::whole(version);
        self.show_way(key, include_siblings, &mut shown)?;
        shown.build(self)
    }

    /// As [`Tree::prove`], for somebody who knows the tree down to the node with the hash
    /// `position`: the proof starts there, if that node is among those to be shown, and else at the
    /// root. Its [`Proof::untrusted_root`] says which.
    ///
    /// Where the whole way would be deeper or larger than a proof may be, only the first part of it
    /// is shown: whoever asks goes on from there.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long, or a node is not to be had.
    pub fn prove_from(
        &self,
        position: &Hash,
        key: &[u8],
        version: ProofVersion,
        include_siblings: bool,
    ) -> Result<Proof, TreeError> {
        let mut shown = Shown::part(version, *position);
        unless_at_limit(self.show_way(key, include_siblings, &mut shown))?;
        shown.build(self)
    }

    /// The nodes that a proof of a value shows.
    fn show_way(
        &self,
        key: &[u8],
        include_siblings: bool,
        shown: &mut Shown,
    ) -> Result<(), TreeError> {
        check_key(key)?;
        let bits = Bits::of_key(key);
        let (mut depth, mut link) = (0, self.top().clone());
        while let Some(node) = self.resolve(&link)? {
            shown.include(&node)?;
            let Kind::Internal { label, children } = &node.kind else {
                break;
            };
            depth += usize::from(label.bit_len());
            if bits.len() < depth {
                break;
            }
            let at = place(bits.bit(depth));
            // Version 0 shows an own leaf with its node.
            let visible = if shown.version == ProofVersion::V0 {
                LEFT
            } else {
                OWN
            };
            if include_siblings {
                for sibling in (visible..=RIGHT).filter(|sibling| *sibling != at) {
                    if let Some(node) = self.resolve(&children[sibling])? {
                        shown.include(&node)?;
                    }
                }
            }
            if at < visible {
                break;
            }
            link = children[at].clone();
        }
        Ok(())
    }

    /// A proof of the entries from `start` on: the first at or after it and up to `prefetch` more.
    ///
    /// Where no key at the start's place in the tree is as great as it, the format shows more of
    /// the tree than is needed, up to all of it; the limits of a proof bound that.
    ///
    /// # Errors
    /// As [`Tree::prove`].
    pub fn prove_iterate(
        &self,
        start: &[u8],
        prefetch: u16,
        version: ProofVersion,
    ) -> Result<Proof, TreeError> {
        let mut shown = Shown::whole(version);
        self.show_entries(start, prefetch, &mut shown)?;
        shown.build(self)
    }

    /// As [`Tree::prove_iterate`], but where that would be deeper or larger than a proof may be,
    /// only the first part of it is shown.
    ///
    /// # Errors
    /// [`TreeError`] if the key is too long, or a node is not to be had.
    pub fn prove_iterate_part(
        &self,
        start: &[u8],
        prefetch: u16,
        version: ProofVersion,
    ) -> Result<Proof, TreeError> {
        let mut shown = Shown::part(version, Hash::EMPTY);
        unless_at_limit(self.show_entries(start, prefetch, &mut shown))?;
        shown.build(self)
    }

    /// The nodes that a proof of an iteration shows.
    fn show_entries(
        &self,
        start: &[u8],
        prefetch: u16,
        shown: &mut Shown,
    ) -> Result<(), TreeError> {
        check_key(start)?;
        let mut walker = Walker::new(self);
        walker.seek(start, shown)?;
        for _ in 0..prefetch {
            if walker.key().is_none() {
                break;
            }
            walker.advance(shown)?;
        }
        Ok(())
    }

    /// A proof of the entries whose keys start with one of `prefixes`, up to `limit` in all.
    ///
    /// # Errors
    /// As [`Tree::prove`].
    pub fn prove_prefixes(
        &self,
        prefixes: &[&[u8]],
        limit: u16,
        version: ProofVersion,
    ) -> Result<Proof, TreeError> {
        let mut shown = Shown::whole(version);
        let mut walker = Walker::new(self);
        let mut left = limit;
        for prefix in prefixes {
            check_key(prefix)?;
            walker.seek(prefix, &mut shown)?;
            while walker.key().is_some() {
                if left == 0 {
                    return shown.build(self);
                }
                if !walker.key().is_some_and(|key| key.starts_with(prefix)) {
                    break;
                }
                walker.advance(&mut shown)?;
                left -= 1;
            }
        }
        shown.build(self)
    }
}

/// The nodes that a proof is to show.
pub(crate) struct Shown {
    version: ProofVersion,
    /// Whether the proof may show less than what is included, to stay within the limits.
    may_end_early: bool,
    /// Whether no more fits; set only where the proof may end early.
    is_full: bool,
    /// Where the proof is to start, if that node is shown.
    position: Hash,
    /// That node, once it is shown.
    start: Option<Arc<Node>>,
    included: BTreeSet<Hash>,
    /// How often a node was included, also if it was before.
    visits: usize,
    /// Bytes that these take at most, counted only where the proof may end early.
    bytes: usize,
}

impl Shown {
    /// A proof of all that is included, from the root down.
    fn whole(version: ProofVersion) -> Self {
        Self {
            version,
            may_end_early: false,
            is_full: false,
            position: Hash::EMPTY,
            start: None,
            included: BTreeSet::new(),
            visits: 0,
            bytes: 0,
        }
    }

    /// A proof of what is included first, as far as it fits.
    fn part(version: ProofVersion, position: Hash) -> Self {
        Self {
            may_end_early: true,
            position,
            ..Self::whole(version)
        }
    }

    /// Adds a node.
    pub(crate) fn include(&mut self, node: &Arc<Node>) -> Result<(), TreeError> {
        self.visits += 1;
        if self.visits > VISITS_MAX {
            return Err(TreeError::ProofTooCostly { limit: VISITS_MAX });
        }
        let hash = node.hash();
        if hash == self.position && self.start.is_none() {
            // What came before is above or beside the start, and takes no room.
            self.included.clear();
            (self.bytes, self.is_full) = (0, false);
            self.start = Some(node.clone());
        }
        if !self.may_end_early {
            self.included.insert(hash);
            return check_size(self.included.len(), 0);
        }
        if !self.is_full && !self.included.contains(&hash) {
            let bytes = self.bytes + bytes_max_of(node, self.version);
            let entries = 1 + 3 * (self.included.len() + 1);
            self.is_full = check_size(entries, bytes).is_err();
            if !self.is_full {
                self.bytes = bytes;
                self.included.insert(hash);
            }
        }
        // A start that is still to come makes room.
        if self.is_full && (self.position.is_empty() || self.start.is_some()) {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    /// Writes the proof: from its start down, what is included in full, and the rest as hashes.
    fn build(&self, tree: &Tree) -> Result<Proof, TreeError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let start = match &self.start {
            Some(node) => Link::Held(node.clone()),
            None => tree.top().clone(),
        };
        let untrusted_root = start.hash();
        let mut open = vec![(start, 0)];
        while let Some((link, depth)) = open.pop() {
            let entry = match link {
                Link::Empty => None,
                _ if !self.included.contains(&link.hash()) => {
                    Some([&[ENTRY_HASH], &link.hash().as_bytes()[..]].concat())
                }
                _ => match tree.resolve(&link)? {
                    None => None,
                    // What is below this node would lie too deep.
                    Some(node)
                        if self.may_end_early
                            && depth == PROOF_DEPTH_MAX
                            && matches!(node.kind, Kind::Internal { .. }) =>
                    {
                        Some([&[ENTRY_HASH], &node.hash().as_bytes()[..]].concat())
                    }
                    Some(node) => Some(self.show(tree, &node, depth, &mut open)?),
                },
            };
            if depth > PROOF_DEPTH_MAX {
                return Err(TreeError::ProofTooDeep {
                    limit: PROOF_DEPTH_MAX,
                });
            }
            bytes += entry.as_ref().map_or(0, Vec::len) + ENTRY_OVERHEAD_BYTES;
            entries.push(entry);
            check_size(entries.len(), bytes)?;
        }
        Ok(Proof {
            version: self.version,
            untrusted_root,
            entries,
        })
    }

    /// The entry of a node; its children are left in `open`.
    fn show(
        &self,
        tree: &Tree,
        node: &Node,
        depth: usize,
        open: &mut Vec<(Link, usize)>,
    ) -> Result<Vec<u8>, TreeError> {
        let mut entry = vec![ENTRY_FULL];
        match &node.kind {
            Kind::Leaf { key, value } => CompactNode::Leaf { key, value }.encode(&mut entry),
            Kind::Internal { label, children } => {
                let label = label.clone();
                open.push((children[RIGHT].clone(), depth + 1));
                open.push((children[LEFT].clone(), depth + 1));
                if self.version == ProofVersion::V1 {
                    open.push((children[OWN].clone(), depth + 1));
                    CompactNode::Internal { label, leaf: None }.encode(&mut entry);
                } else {
                    let own = tree.resolve(&children[OWN])?;
                    let leaf = own.as_ref().map(|leaf| leaf.entry()).transpose()?;
                    CompactNode::Internal { label, leaf }.encode(&mut entry);
                }
            }
        }
        Ok(entry)
    }
}

/// The most bytes that a node takes in a proof, with the entries of all children.
fn bytes_max_of(node: &Node, version: ProofVersion) -> usize {
    const CHILDREN_BYTES: usize = 3 * (1 + Hash::LEN + ENTRY_OVERHEAD_BYTES);
    // Kind, length of the key or label, length of the value, and the kind of an own leaf.
    const FIXED_BYTES: usize = 2 * (1 + 2 + 4);
    let content = match &node.kind {
        Kind::Leaf { key, value } => key.len() + value.len(),
        Kind::Internal { label, children } => {
            let own = match &children[OWN] {
                Link::Held(leaf) if version == ProofVersion::V0 => leaf
                    .entry()
                    .map_or(0, |(key, value)| key.len() + value.len()),
                _ => 0,
            };
            label.bytes().len() + own
        }
    };
    1 + ENTRY_OVERHEAD_BYTES + FIXED_BYTES + content + CHILDREN_BYTES
}

/// The error of a proof over its limits.
const TOO_LARGE: TreeError = TreeError::ProofTooLarge {
    entries_max: PROOF_ENTRIES_MAX,
    bytes_max: PROOF_BYTES_MAX,
};

/// Takes reaching the limits of a proof for the end of what is to be shown.
fn unless_at_limit(shown: Result<(), TreeError>) -> Result<(), TreeError> {
    match shown {
        Err(
            TreeError::ProofTooDeep { .. }
            | TreeError::ProofTooLarge { .. }
            | TreeError::ProofTooCostly { .. },
        ) => Ok(()),
        shown => shown,
    }
}

fn check_size(entries: usize, bytes: usize) -> Result<(), TreeError> {
    if entries > PROOF_ENTRIES_MAX || bytes + PROOF_OVERHEAD_BYTES > PROOF_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    Ok(())
}
