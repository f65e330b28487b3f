//! A tree that is read through a peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trilith_proof::mkvs::{ProofError, ProofVersion, VerifiedPart, VerifiedTree};
use trilith_types::{Hash, StateFault, WriteLog, WriteLogEntry};

use super::cache::{Cache, CacheLimits, nodes_of};
use super::entries::RemoteEntries;
use super::request::{GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, TreeId};
use super::serve::{check_prefixes, check_root, prefixes_of};
use super::{ReadSyncer, Root, SyncError};
use crate::node::{Link, Node};
use crate::{NodeSource, Place, Tree, TreeError};

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
    ///
    /// Proofs of version 0 show each node with its own leaf, as Oasis Core's trees ask for; those
    /// of version 1 are smaller where leaves lie on the way to others.
    pub fn new(
        root: Root,
        syncer: Box<dyn ReadSyncer>,
        version: ProofVersion,
        limits: CacheLimits,
    ) -> Self {
        let source = Arc::new(Source {
            state: Mutex::new(State {
                root,
                syncer,
                version,
                cache: Cache::new(limits),
                want: Want::Get(Vec::new(), false),
                failure: None,
            }),
        });
        Self {
            tree: Tree::at(root.hash, source.clone()),
            source,
            changes: BTreeMap::new(),
        }
    }

    /// The root that the tree was opened at.
    pub fn opened_at(&self) -> Root {
        self.source.lock().root
    }

    /// The root hash, with all changes.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// How many nodes the cache holds, and how many bytes they are estimated to take.
    pub fn cached(&self) -> (usize, usize) {
        self.source.lock().cache.size()
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
        let mut state = self.source.lock();
        if prefixes.is_empty() || limit == 0 || state.root.hash.is_empty() {
            return Ok(());
        }
        check_prefixes(prefixes)?;
        for prefix in prefixes {
            crate::tree::check_key(prefix)?;
        }
        state.want = Want::Prefixes(prefixes.to_vec(), limit);
        let root = state.root.hash;
        state.fetch(&root)?;
        Ok(())
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    /// As [`RemoteTree::get`], and if the value is too long. Nothing is then changed.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), SyncError> {
        let before = self.get_with(key, false)?;
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
        let proof = self
            .tree
            .prove_iterate(&request.key, request.prefetch, request.proof_version);
        let proof = self.source.settle(proof)?;
        Ok(ProofResponse { proof }.encode())
    }
}

/// What the operation under way wants to know, which decides what a peer is asked for when a node
/// is missing.
pub(super) enum Want {
    /// A key, and whether also what is beside the way to it.
    Get(Vec<u8>, bool),
    /// Entries from a key on, and how many more than the first.
    Iterate(Vec<u8>, u16),
    /// Entries under prefixes, and how many at most.
    Prefixes(Vec<Vec<u8>>, u16),
}

/// The nodes that the tree does not hold itself: in the cache, or at the peer.
struct Source {
    state: Mutex<State>,
}

struct State {
    root: Root,
    syncer: Box<dyn ReadSyncer>,
    version: ProofVersion,
    cache: Cache,
    want: Want,
    /// Why the last node was not to be had; a [`StateFault`] only has words for it.
    failure: Option<SyncError>,
}

impl Source {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with the lock held was a peer's code; the cache is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, want: Want) {
        self.lock().want = want;
    }

    /// The result of an operation, with the reason why a node was not to be had.
    fn settle<T>(&self, result: Result<T, TreeError>) -> Result<T, SyncError> {
        result.map_err(|error| match (error, self.lock().failure.take()) {
            (TreeError::Source { .. }, Some(failure)) => failure,
            (error, _) => SyncError::Tree(error),
        })
    }
}

impl NodeSource for Source {
    fn node(&self, hash: &Hash, _place: Place) -> Result<Arc<Node>, StateFault> {
        let mut state = self.lock();
        if let Some(node) = state.cache.get(hash) {
            return Ok(node);
        }
        state.fetch(hash).map_err(|failure| {
            let fault = StateFault(failure.to_string());
            state.failure = Some(failure);
            fault
        })
    }
}

impl State {
    /// Asks the peer, keeps what it proves, and gives the node with this hash.
    fn fetch(&mut self, position: &Hash) -> Result<Arc<Node>, SyncError> {
        let answer = self.ask(position)?;
        let part = self.verify(&answer, position)?;
        let at = part.hashes().iter().position(|hash| hash == position);
        let at = at.ok_or(SyncError::NotShown { hash: *position })?;
        let nodes = nodes_of(&part);
        self.cache.merge(&nodes);
        Ok(nodes[at].clone())
    }

    fn ask(&mut self, position: &Hash) -> Result<Vec<u8>, SyncError> {
        let tree = TreeId {
            root: self.root,
            position: *position,
        };
        let proof_version = self.version;
        match &self.want {
            Want::Get(key, siblings) => self.syncer.sync_get(&GetRequest {
                tree,
                key: key.clone(),
                include_siblings: *siblings,
                proof_version,
            }),
            Want::Iterate(key, prefetch) => self.syncer.sync_iterate(&IterateRequest {
                tree,
                key: key.clone(),
                prefetch: *prefetch,
                proof_version,
            }),
            Want::Prefixes(prefixes, limit) => self.syncer.sync_get_prefixes(&GetPrefixesRequest {
                tree: TreeId {
                    position: self.root.hash,
                    ..tree
                },
                prefixes: prefixes.clone(),
                limit: *limit,
                proof_version,
            }),
        }
    }

    /// What an answer proves about the subtree at `position`, or about the whole tree.
    fn verify(&self, answer: &[u8], position: &Hash) -> Result<VerifiedPart, SyncError> {
        let proof = ProofResponse::decode(answer)?.proof;
        let start = proof.untrusted_root;
        if start == self.root.hash {
            let tree = proof.verify(&start)?;
            if let Want::Prefixes(prefixes, limit) = &self.want {
                check_shown(&tree, prefixes, *limit)?;
            }
            return Ok(tree.into());
        }
        if start != *position {
            return Err(SyncError::Unrelated {
                found: start,
                position: *position,
                root: self.root.hash,
            });
        }
        Ok(proof.verify_part(position)?)
    }
}

/// Checks that an answer shows all that a request for prefixes asks for.
fn check_shown(tree: &VerifiedTree, prefixes: &[Vec<u8>], limit: u16) -> Result<(), SyncError> {
    let mut left = limit;
    for prefix in prefixes {
        for entry in tree.iterate_from(prefix) {
            if left == 0 {
                return Ok(());
            }
            match entry {
                Ok((key, _)) if !key.starts_with(prefix) => break,
                Ok(_) => left -= 1,
                Err(ProofError::NotCovered { hash }) => {
                    return Err(SyncError::NotShown { hash });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
