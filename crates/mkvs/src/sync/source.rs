//! Where a tree that is read through a peer gets its nodes from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trilith_proof::mkvs::{ProofError, ProofVersion, VerifiedPart, VerifiedTree};
use trilith_types::{Hash, StateFault};

use super::cache::{Cache, CacheLimits, nodes_of};
use super::request::{GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, TreeId};
use super::{ReadSyncer, Root, SyncError};
use crate::node::Node;
use crate::{NodeSource, Place, TreeError};

/// The format of the proofs that are asked for. It shows each node with its own leaf. Without that
/// a changed tree could not go on: where the other children of a node are gone its own leaf takes
/// its place, and is then on the way of keys on whose way it is not at the peer.
const VERSION: ProofVersion = ProofVersion::V0;

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
pub(super) struct Source {
    state: Mutex<State>,
}

pub(super) struct State {
    root: Root,
    syncer: Box<dyn ReadSyncer>,
    cache: Cache,
    want: Want,
    /// Why the last node was not to be had; a [`StateFault`] only has words for it.
    failure: Option<SyncError>,
}

impl Source {
    pub(super) fn new(root: Root, syncer: Box<dyn ReadSyncer>, limits: CacheLimits) -> Self {
        let state = State {
            root,
            syncer,
            cache: Cache::new(limits),
            want: Want::Get(Vec::new(), false),
            failure: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with the lock held was a peer's code; the cache is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root that peers are asked about.
    pub(super) fn root(&self) -> Root {
        self.lock().root
    }

    /// How many nodes the cache holds, and how many bytes.
    pub(super) fn cached(&self) -> (usize, usize) {
        self.lock().cache.size()
    }

    /// Says what the operation that follows wants to know.
    pub(super) fn want(&self, want: Want) {
        self.lock().want = want;
    }

    /// The result of an operation, with the reason why a node was not to be had.
    pub(super) fn settle<T>(&self, result: Result<T, TreeError>) -> Result<T, SyncError> {
        result.map_err(|error| match (error, self.lock().failure.take()) {
            (TreeError::Source { .. }, Some(failure)) => failure,
            (error, _) => SyncError::Tree(error),
        })
    }

    /// Asks the peer for what is wanted, also where it is in the cache.
    pub(super) fn prefetch(&self, want: Want) -> Result<(), SyncError> {
        let mut state = self.lock();
        state.want = want;
        let root = state.root.hash;
        state.fetch(&root).map(|_| ())
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
        match self.fetch_once(position) {
            // An answer about entries starts at the root, from where a proof reaches only so deep;
            // one about a key starts at the node that is missing.
            Err(SyncError::NotShown { .. }) if let Want::Iterate(key, _) = &self.want => {
                self.want = Want::Get(key.clone(), false);
                self.fetch_once(position)
            }
            result => result,
        }
    }

    fn fetch_once(&mut self, position: &Hash) -> Result<Arc<Node>, SyncError> {
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
        let proof_version = VERSION;
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
        if proof.version != VERSION {
            return Err(SyncError::Version {
                found: proof.version,
                asked: VERSION,
            });
        }
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
