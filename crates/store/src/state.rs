//! What the records add up to: versions of namespaces, signed slots and named blobs, in memory.
//!
//! The same functions serve live operations and replay. Live, they are asked before the record is
//! written; replaying, a refusal means that the log is damaged.
//!
//! Invariants: every candidate's round is above the current one; a candidate's parent is the
//! current version or another candidate of a lower round; a slot never holds two different bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_mkvs::{Tree, TreeError};
use trilith_types::{Hash, ImageId, RuntimeId, WriteLog, WriteLogEntry};

use crate::fault::{Refusal, Result, StoreFault};
use crate::image::{StoredImage, hex};
use crate::view::{View, empty_view, image_key, image_leaf};

/// A sealed version that is not current yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) round: u64,
    pub(crate) parent: Hash,
    pub(crate) root: Hash,
    pub(crate) view: Arc<View>,
    /// The record that sealed it, and the file and page where its stored pages start (if it has
    /// any), for the next checkpoint.
    pub(crate) seal: Arc<[u8]>,
    pub(crate) pages: Option<(u64, u64)>,
}

/// The versions of one namespace.
#[derive(Clone)]
pub(crate) struct Namespace {
    /// The finalised version; before the first, the empty state without a round.
    pub(crate) round: Option<u64>,
    pub(crate) root: Hash,
    pub(crate) view: Arc<View>,
    /// In the order in which they were sealed.
    pub(crate) candidates: Vec<Candidate>,
}

impl Namespace {
    fn new() -> Self {
        let view = empty_view();
        Self {
            round: None,
            root: view.tree.root(),
            view,
            candidates: Vec::new(),
        }
    }
}

/// Everything the store holds.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) namespaces: BTreeMap<RuntimeId, Namespace>,
    pub(crate) signed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Pruned slots: those that start with the key and are below the value.
    pub(crate) pruned: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
}

impl State {
    /// The version of `namespace` with this root.
    pub(crate) fn view(&self, namespace: RuntimeId, root: Hash) -> Option<Arc<View>> {
        let Some(found) = self.namespaces.get(&namespace) else {
            let empty = empty_view();
            return (empty.tree.root() == root).then_some(empty);
        };
        if found.root == root {
            return Some(Arc::clone(&found.view));
        }
        let candidate = found
            .candidates
            .iter()
            .find(|candidate| candidate.root == root)?;
        Some(Arc::clone(&candidate.view))
    }

    /// The version that a seal of `round` on `parent` builds on.
    pub(crate) fn parent(
        &self,
        namespace: RuntimeId,
        round: u64,
        parent: Hash,
    ) -> Result<Arc<View>> {
        let unknown = || Refusal::UnknownRoot {
            namespace,
            round: None,
            root: parent,
        };
        let Some(found) = self.namespaces.get(&namespace) else {
            return Ok(self.view(namespace, parent).ok_or_else(unknown)?);
        };
        if let Some(above) = found.round.filter(|above| round <= *above) {
            return Err(Refusal::Backwards {
                namespace,
                round,
                above,
            }
            .into());
        }
        if found.root == parent {
            return Ok(Arc::clone(&found.view));
        }
        let lowest = found
            .candidates
            .iter()
            .filter(|candidate| candidate.root == parent)
            .min_by_key(|candidate| candidate.round)
            .ok_or_else(unknown)?;
        if round <= lowest.round {
            return Err(Refusal::Backwards {
                namespace,
                round,
                above: lowest.round,
            }
            .into());
        }
        Ok(Arc::clone(&lowest.view))
    }

    /// Whether this very version is a candidate already.
    pub(crate) fn has_candidate(
        &self,
        namespace: RuntimeId,
        (round, parent, root): (u64, Hash, Hash),
    ) -> bool {
        self.namespaces.get(&namespace).is_some_and(|found| {
            found.candidates.iter().any(|candidate| {
                (candidate.round, candidate.parent, candidate.root) == (round, parent, root)
            })
        })
    }

    /// How many candidates a namespace has.
    pub(crate) fn candidate_count(&self, namespace: RuntimeId) -> usize {
        self.namespaces
            .get(&namespace)
            .map_or(0, |found| found.candidates.len())
    }

    /// Adds a candidate whose parent was found by [`State::parent`].
    pub(crate) fn add_candidate(&mut self, namespace: RuntimeId, candidate: Candidate) {
        self.namespaces
            .entry(namespace)
            .or_insert_with(Namespace::new)
            .candidates
            .push(candidate);
    }

    /// Whether `(round, root)` can become current: `Ok(false)` if it is already.
    pub(crate) fn check_finalise(
        &self,
        namespace: RuntimeId,
        round: u64,
        root: Hash,
    ) -> Result<bool> {
        let unknown = || Refusal::UnknownRoot {
            namespace,
            round: Some(round),
            root,
        };
        let found = self.namespaces.get(&namespace).ok_or_else(unknown)?;
        if found.round == Some(round) && found.root == root {
            return Ok(false);
        }
        if let Some(above) = found.round.filter(|above| round <= *above) {
            return Err(Refusal::Backwards {
                namespace,
                round,
                above,
            }
            .into());
        }
        let mut parents = found
            .candidates
            .iter()
            .filter(|candidate| candidate.round == round && candidate.root == root)
            .map(|candidate| candidate.parent);
        let first = parents.next().ok_or_else(unknown)?;
        let current = found.root;
        if first != current && parents.all(|parent| parent != current) {
            return Err(Refusal::WrongParent {
                namespace,
                round,
                parent: first,
                current,
            }
            .into());
        }
        Ok(true)
    }

    /// Makes a candidate current that [`State::check_finalise`] allowed, and forgets those that do
    /// not descend from it.
    pub(crate) fn finalise(&mut self, namespace: RuntimeId, round: u64, root: Hash) {
        let Some(found) = self.namespaces.get_mut(&namespace) else {
            return;
        };
        let is_it = |candidate: &Candidate| {
            (candidate.round, candidate.root, candidate.parent) == (round, root, found.root)
        };
        let Some(index) = found.candidates.iter().position(is_it) else {
            return;
        };
        found.view = Arc::clone(&found.candidates[index].view);
        (found.round, found.root) = (Some(round), root);
        // Candidates stand behind their parents, so one pass finds the descendants.
        let mut roots = vec![(round, root)];
        found.candidates.retain(|candidate| {
            let descends = roots
                .iter()
                .any(|(above, root)| *root == candidate.parent && candidate.round > *above);
            if descends {
                roots.push((candidate.round, candidate.root));
            }
            descends
        });
    }

    /// Whether `bytes` can be put under `slot`: `Ok(false)` if they are there already.
    pub(crate) fn check_signed(&self, slot: &[u8], bytes: &[u8]) -> Result<bool> {
        if let Some(held) = self.signed.get(slot) {
            if held == bytes {
                return Ok(false);
            }
            return Err(Refusal::SlotTaken { slot: hex(slot) }.into());
        }
        let pruned = (0..=slot.len())
            .filter_map(|len| self.pruned.get(&slot[..len]))
            .any(|end| slot < &end[..]);
        if pruned {
            return Err(Refusal::SlotPruned { slot: hex(slot) }.into());
        }
        Ok(true)
    }

    /// Whether pruning gives up slots that are not given up already.
    pub(crate) fn check_prune(&self, prefix: &[u8], end: &[u8]) -> bool {
        self.pruned
            .get(prefix)
            .is_none_or(|before| &before[..] < end)
    }

    /// Gives up the slots that start with `prefix` and are below `end`.
    pub(crate) fn prune_signed(&mut self, prefix: Vec<u8>, end: Vec<u8>) {
        self.signed
            .retain(|slot, _| !slot.starts_with(&prefix) || *slot >= end);
        let held = self.pruned.entry(prefix).or_default();
        if *held < end {
            *held = end;
        }
    }

    /// Sets or removes a named blob.
    pub(crate) fn set_meta(&mut self, name: String, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.meta.insert(name, bytes),
            None => self.meta.remove(&name),
        };
    }
}

/// The version that follows from `parent` by a write log and changed images.
pub(crate) fn next_view(
    parent: &View,
    log: &WriteLog,
    images: Vec<(ImageId, Option<StoredImage>)>,
) -> Result<View> {
    let mut tree: Tree = parent.tree.clone();
    let mut next = parent.images.clone();
    let mut leaves: WriteLog = Vec::with_capacity(images.len());
    for (id, image) in images {
        let value = image
            .as_ref()
            .map(|image| image_leaf(image.tree.pages(), &image.tree.root()));
        leaves.push(WriteLogEntry {
            key: image_key(&id),
            value,
        });
        match image {
            Some(image) => next.insert(id, image),
            None => next.remove(&id),
        };
    }
    tree.apply(&leaves)
        .and_then(|()| tree.apply(log))
        .map_err(tree_fault)?;
    Ok(View { tree, images: next })
}

/// A tree's refusal as the store's.
pub(crate) fn tree_fault(error: TreeError) -> StoreFault {
    let too_large = |what, value: usize, limit: usize| {
        Refusal::TooLarge {
            what,
            value: value as u64,
            limit: limit as u64,
        }
        .into()
    };
    match error {
        TreeError::KeyTooLong { len, limit } => too_large("length of a key in bytes", len, limit),
        TreeError::ValueTooLong { len, limit } => {
            too_large("length of a value in bytes", len, limit)
        }
        other => StoreFault::damaged("the tree in memory", 0, other.to_string()),
    }
}

/// Checks a write log that a caller wants sealed.
pub(crate) fn check_log(log: &[WriteLogEntry]) -> Result<()> {
    for (index, entry) in log.iter().enumerate() {
        if entry.key.first() == Some(&0) {
            return Err(Refusal::ReservedKey {
                key: hex(&entry.key),
            }
            .into());
        }
        if index > 0 && log[index - 1].key >= entry.key {
            return Err(Refusal::NotAscending {
                what: "key of the write log",
                index,
            }
            .into());
        }
    }
    Ok(())
}
