//! What the records add up to: versions of namespaces, signed slots and named blobs, in memory.
//!
//! The same functions serve live operations and replay. Live, they are asked before the record is
//! written; replaying, a refusal means that the log is damaged.
//!
//! Invariants: every candidate's round is above the current one; a candidate's parent is the
//! current version or another candidate of a lower round; a slot never holds two different bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use trilith_mkvs::{Job, Place, Tree, TreeError};
use trilith_types::{Hash, ImageId, RuntimeId, WriteLog, WriteLogEntry};

use crate::fault::{Refusal, Result, StoreFault};
use crate::image::{StoredImage, hex};
use crate::images::{ImageCell, Images, TableFiles};
use crate::view::{View, image_key, image_leaf};
use crate::workers::Workers;

impl trilith_mkvs::Workers for Workers {
    fn run(&self, jobs: Vec<Job<'_>>) {
        self.map(jobs, |job| job());
    }
}

/// A sealed version that is not current yet.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) round: u64,
    pub(crate) parent: Hash,
    pub(crate) root: Hash,
    pub(crate) view: Arc<View>,
    /// The record that sealed it, and the file and page where its stored pages start (if it has
    /// any), for the next checkpoint.
    pub(crate) seal: Arc<Vec<u8>>,
    pub(crate) pages: Option<(u64, u64)>,
    pub(crate) at: RecordPlace,
}

/// Where a record lies: the number of the file and the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordPlace {
    pub(crate) file: u64,
    pub(crate) start: u64,
}

/// A version that was finalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finalised {
    pub(crate) round: u64,
    pub(crate) root: Hash,
    /// The record that sealed it; none of an imported version.
    pub(crate) seal: Option<RecordPlace>,
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
    /// Finalised versions that can be read, the current one last.
    pub(crate) history: VecDeque<Finalised>,
    /// Where the last checkpoint put the top fragment of the tree.
    pub(crate) top: Place,
    /// The images that the last checkpoint has.
    pub(crate) stored_images: Images,
}

impl Namespace {
    pub(crate) fn new(source: Arc<TableFiles>) -> Self {
        let view = Arc::new(View::empty(source));
        Self {
            round: None,
            root: view.tree.root(),
            view,
            candidates: Vec::new(),
            history: VecDeque::new(),
            top: Place::NONE,
            stored_images: Images::new_sync(),
        }
    }
}

/// How much of a file of blobs is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobUse {
    /// Bytes of blobs that the newest checkpoint needs.
    pub(crate) live: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// Everything the store holds.
#[derive(Clone)]
pub(crate) struct State {
    /// Where what lies on disk is read from, as of the last checkpoint.
    pub(crate) source: Arc<TableFiles>,
    /// Who seals.
    pub(crate) workers: Workers,
    /// The files of blobs that the newest checkpoint needs.
    pub(crate) blobs: BTreeMap<u64, BlobUse>,
    /// Namespaces that are being imported.
    pub(crate) importing: BTreeSet<RuntimeId>,
    pub(crate) namespaces: BTreeMap<RuntimeId, Namespace>,
    pub(crate) signed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Pruned slots: those that start with the key and are below the value.
    pub(crate) pruned: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
}

impl State {
    pub(crate) fn new(source: Arc<TableFiles>, workers: Workers) -> Self {
        Self {
            source,
            workers,
            blobs: BTreeMap::new(),
            importing: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            signed: BTreeMap::new(),
            pruned: BTreeMap::new(),
            meta: BTreeMap::new(),
        }
    }

    /// The version of `namespace` with this root.
    pub(crate) fn view(&self, namespace: RuntimeId, root: Hash) -> Option<Arc<View>> {
        let Some(found) = self.namespaces.get(&namespace) else {
            let empty = || Arc::new(View::empty(Arc::clone(&self.source)));
            return (root == Hash::EMPTY).then(empty);
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
        if self.importing.contains(&namespace) {
            return Err(Refusal::Importing { namespace }.into());
        }
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
        let source = &self.source;
        self.namespaces
            .entry(namespace)
            .or_insert_with(|| Namespace::new(Arc::clone(source)))
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
    /// not descend from it. Gives the views that were let go of, because freeing them takes a while
    /// and is better done without a lock.
    pub(crate) fn finalise(
        &mut self,
        namespace: RuntimeId,
        round: u64,
        root: Hash,
    ) -> Vec<Arc<View>> {
        let mut old = Vec::new();
        let Some(found) = self.namespaces.get_mut(&namespace) else {
            return old;
        };
        let is_it = |candidate: &Candidate| {
            (candidate.round, candidate.root, candidate.parent) == (round, root, found.root)
        };
        let Some(index) = found.candidates.iter().position(is_it) else {
            return old;
        };
        let candidate = &found.candidates[index];
        old.push(std::mem::replace(
            &mut found.view,
            Arc::clone(&candidate.view),
        ));
        (found.round, found.root) = (Some(round), root);
        found.history.push_back(Finalised {
            round,
            root,
            seal: Some(candidate.at),
        });
        // Candidates stand behind their parents, so one pass finds the descendants.
        let mut roots = vec![(round, root)];
        found.candidates.retain(|candidate| {
            let descends = roots
                .iter()
                .any(|(above, root)| *root == candidate.parent && candidate.round > *above);
            if descends {
                roots.push((candidate.round, candidate.root));
            } else {
                old.push(Arc::clone(&candidate.view));
            }
            descends
        });
        old
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

/// The version that follows from `parent` by a write log and changed images, and whether it is
/// hashed at once.
pub(crate) fn next_view(
    parent: &View,
    log: &WriteLog,
    images: Vec<(ImageId, Option<StoredImage>)>,
    (workers, hashing): (&Workers, bool),
) -> Result<View> {
    let mut tree: Tree = parent.tree.clone();
    let mut next = parent.images.clone();
    let mut leaves: WriteLog = Vec::with_capacity(images.len());
    for (id, image) in images {
        let cell = image.map(|image| Arc::new(ImageCell::new(image)));
        leaves.push(WriteLogEntry {
            key: image_key(&id),
            value: cell.as_ref().map(|cell| image_leaf(cell.pages, &cell.root)),
        });
        match cell {
            Some(cell) => next.insert_mut(id, cell),
            None => {
                next.remove_mut(&id);
            }
        };
    }
    let mut apply = |log: &WriteLog| match hashing {
        true => tree.apply_by(log, workers),
        false => tree.apply_unhashed_by(log, workers),
    };
    apply(&leaves)
        .and_then(|()| apply(log))
        .map_err(tree_fault)?;
    Ok(View {
        tree,
        images: next,
        source: Arc::clone(&parent.source),
    })
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
        TreeError::Source { fault, .. } => fault.into(),
        other => StoreFault::damaged("a tree", 0, other.to_string()),
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
