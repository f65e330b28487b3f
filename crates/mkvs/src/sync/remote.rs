//! A tree that is read through a peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_types::{Hash, WriteLog, WriteLogEntry};

use super::cache::CacheLimits;
use super::entries::RemoteEntries;
use super::request::{GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, TreeId};
use super::serve::{check_prefixes, check_root, prefixes_of};
use super::source::{Source, Want};
use super::{ReadSyncer, Root, SyncError};
use crate::Tree;
use crate::node::{Link, Node};
use crate::tree::check_key;

/// A tree with a trusted root whose nodes a peer has. It is read, and changed on top of what the
/// peer has; the peer never learns of changes.
///
/// Nodes that were proven are kept in a cache of a bounded size; nodes that changes touched are
/// kept beside it for as long as the tree lives.
pub struct RemoteTree {
    tree: Tree,
    source: Arc<Source>,
    changes: BTreeMap<Vec<u8>, Change>,
}

/// What became of a key since the tree was opened.
struct Change {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

impl RemoteTree {
    /// The tree with the trusted `root`. Nothing is asked for yet.
    pub fn new(root: Root, syncer: Box<dyn ReadSyncer>, limits: CacheLimits) -> Self {
        let source = Arc::new(Source::new(root, syncer, limits));
        Self {
            tree: Tree::at(root.hash, source.clone()),
            source,
            changes: BTreeMap::new(),
        }
    }

    /// The root that the tree was opened at.
    pub fn opened_at(&self) -> Root {
        self.source.root()
    }

    /// The root hash, with all changes.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// How many nodes the cache holds, and how many bytes they are estimated to take.
    pub fn cached(&self) -> (usize, usize) {
        self.source.cached()
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// [`SyncError`] if the key is too long, or the peer does not give or prove what is needed.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, SyncError> {
        self.get_with(key, false)
    }

    fn get_with(&mut self, key: &[u8], siblings: bool) -> Result<Option<Vec<u8>>, SyncError> {
        self.source.want(Want::Get(key.to_vec(), siblings));
        let found = self.source.settle(self.tree.get(key))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// All entries whose keys are `start` or greater, in ascending order of keys. The peer is asked
    /// for `prefetch` entries more than the next whenever one is missing.
    ///
    /// # Errors
    /// As [`RemoteTree::get`]; so do the iterator's items.
    pub fn iterate_from(
        &mut self,
        start: &[u8],
        prefetch: u16,
    ) -> Result<RemoteEntries<'_>, SyncError> {
        RemoteEntries::new(self, start, b"", prefetch)
    }

    /// All entries whose keys start with `prefix`; see [`RemoteTree::iterate_from`].
    ///
    /// # Errors
    /// As [`RemoteTree::iterate_from`].
    pub fn iterate_prefix(
        &mut self,
        prefix: &[u8],
        prefetch: u16,
    ) -> Result<RemoteEntries<'_>, SyncError> {
        RemoteEntries::new(self, prefix, prefix, prefetch)
    }

    /// Brings the entries whose keys start with one of `prefixes` into the cache, up to `limit` in
    /// all and as far as the cache is large enough, with one request.
    ///
    /// # Errors
    /// As [`RemoteTree::get`]; [`SyncError::NotShown`] also where the answer leaves out some of
    /// these entries.
    pub fn prefetch_prefixes(&mut self, prefixes: &[Vec<u8>], limit: u16) -> Result<(), SyncError> {
        if prefixes.is_empty() || limit == 0 || self.opened_at().hash.is_empty() {
            return Ok(());
        }
        check_prefixes(prefixes)?;
        for prefix in prefixes {
            check_key(prefix)?;
        }
        self.source
            .prefetch(Want::Prefixes(prefixes.to_vec(), limit))
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    /// As [`RemoteTree::get`], and if the value is too long. Nothing is then changed.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), SyncError> {
        let before = self.get_with(key, false)?;
        if before.as_deref() == Some(value) {
            return Ok(());
        }
        let inserted = self.tree.insert(key, value);
        self.source.settle(inserted)?;
        self.note(key, before, Some(value.to_vec()));
        Ok(())
    }

    /// Takes `key` out, and says whether it had a value.
    ///
    /// # Errors
    /// As [`RemoteTree::get`]. Nothing is then changed.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, SyncError> {
        let before = self.get_with(key, true)?;
        if before.is_none() {
            return Ok(false);
        }
        let removed = self.tree.remove(key);
        self.source.settle(removed)?;
        self.note(key, before, None);
        Ok(true)
    }

    fn note(&mut self, key: &[u8], before: Option<Vec<u8>>, after: Option<Vec<u8>>) {
        let change = self.changes.entry(key.to_vec()).or_insert(Change {
            before,
            after: None,
        });
        change.after = after;
        if change.before == change.after {
            self.changes.remove(key);
        }
    }

    /// The changes since the tree was opened, in ascending order of keys: what [`crate::diff`] of
    /// the two trees would give.
    pub fn write_log(&self) -> WriteLog {
        let entry = |(key, change): (&Vec<u8>, &Change)| WriteLogEntry {
            key: key.clone(),
            value: change.after.clone(),
        };
        self.changes.iter().map(entry).collect()
    }

    /// The node at an edge, for which the peer is asked with `want` if it is not in memory.
    pub(super) fn resolve(
        &self,
        link: &Link,
        want: impl FnOnce() -> Want,
    ) -> Result<Option<Arc<Node>>, SyncError> {
        if let Link::Stored(_) = link {
            self.source.want(want());
        }
        self.source.settle(self.tree.resolve(link))
    }

    pub(super) fn top(&self) -> Link {
        self.tree.top().clone()
    }

    /// Checks that a request from somebody else can be answered: that it is for the root this tree
    /// was opened at, and that this is still the tree's root.
    fn check_request(&self, tree: &TreeId) -> Result<(), SyncError> {
        if !self.changes.is_empty() {
            let count = self.changes.len();
            return Err(SyncError::Changed { count });
        }
        check_root(&tree.root, &self.opened_at())
    }
}

impl std::fmt::Debug for RemoteTree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RemoteTree")
            .field("opened_at", &self.opened_at())
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}

/// A tree that is read through a peer serves others in turn, as long as it is not changed.
impl ReadSyncer for RemoteTree {
    fn sync_get(&mut self, request: &GetRequest) -> Result<Vec<u8>, SyncError> {
        self.check_request(&request.tree)?;
        let want = Want::Get(request.key.clone(), request.include_siblings);
        self.source.want(want);
        let proof = self.tree.prove_from(
            &request.tree.position,
            &request.key,
            request.proof_version,
            request.include_siblings,
        );
        let proof = self.source.settle(proof)?;
        Ok(ProofResponse { proof }.encode())
    }

    fn sync_get_prefixes(&mut self, request: &GetPrefixesRequest) -> Result<Vec<u8>, SyncError> {
        self.check_request(&request.tree)?;
        self.prefetch_prefixes(&request.prefixes, request.limit)?;
        let want = Want::Prefixes(request.prefixes.clone(), request.limit);
        self.source.want(want);
        match prefixes_of(&self.tree, request) {
            Err(SyncError::Tree(error)) => self.source.settle(Err(error)),
            other => other.map(|answer| answer.encode()),
        }
    }

    fn sync_iterate(&mut self, request: &IterateRequest) -> Result<Vec<u8>, SyncError> {
        self.check_request(&request.tree)?;
        self.source
            .want(Want::Iterate(request.key.clone(), request.prefetch));
        let proof =
            self.tree
                .prove_iterate_part(&request.key, request.prefetch, request.proof_version);
        let proof = self.source.settle(proof)?;
        Ok(ProofResponse { proof }.encode())
    }
}
