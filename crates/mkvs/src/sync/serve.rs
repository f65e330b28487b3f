//! Answering requests from a tree.

use super::request::{
    GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, SYNC_PREFIXES_MAX, TreeId,
};
use super::{ReadSyncer, Root, SyncError};
use crate::Tree;

/// Answers requests for one tree. What an answer may cost is bounded by the limits of a proof.
#[derive(Clone, Debug)]
pub struct TreeSyncer {
    root: Root,
    tree: Tree,
}

impl TreeSyncer {
    /// A server of `tree`, which is known by `root`.
    ///
    /// # Errors
    /// [`SyncError::OtherRoot`] if the tree has another root hash.
    pub fn new(root: Root, tree: Tree) -> Result<Self, SyncError> {
        let found = Root {
            hash: tree.root(),
            ..root
        };
        check_root(&root, &found)?;
        Ok(Self { root, tree })
    }

    /// What the tree has under a key. The proof starts at the position of the request, if the way
    /// to the key (or to what is beside it) leads over that node, and else at the root.
    ///
    /// # Errors
    /// [`SyncError`] if the request is for another tree, or the proof cannot be made.
    pub fn get(&self, request: &GetRequest) -> Result<ProofResponse, SyncError> {
        self.check(&request.tree)?;
        let proof = self.tree.prove_from(
            &request.tree.position,
            &request.key,
            request.proof_version,
            request.include_siblings,
        )?;
        Ok(ProofResponse { proof })
    }

    /// The entries under prefixes. The proof starts at the root.
    ///
    /// # Errors
    /// As [`TreeSyncer::get`], and if there are too many prefixes.
    pub fn get_prefixes(&self, request: &GetPrefixesRequest) -> Result<ProofResponse, SyncError> {
        self.check(&request.tree)?;
        prefixes_of(&self.tree, request)
    }

    /// Consecutive entries. The proof starts at the root.
    ///
    /// # Errors
    /// As [`TreeSyncer::get`].
    pub fn iterate(&self, request: &IterateRequest) -> Result<ProofResponse, SyncError> {
        self.check(&request.tree)?;
        let proof =
            self.tree
                .prove_iterate_part(&request.key, request.prefetch, request.proof_version)?;
        Ok(ProofResponse { proof })
    }

    fn check(&self, tree: &TreeId) -> Result<(), SyncError> {
        check_root(&tree.root, &self.root)
    }
}

impl ReadSyncer for TreeSyncer {
    fn sync_get(&mut self, request: &GetRequest) -> Result<Vec<u8>, SyncError> {
        Ok(self.get(request)?.encode())
    }

    fn sync_get_prefixes(&mut self, request: &GetPrefixesRequest) -> Result<Vec<u8>, SyncError> {
        Ok(self.get_prefixes(request)?.encode())
    }

    fn sync_iterate(&mut self, request: &IterateRequest) -> Result<Vec<u8>, SyncError> {
        Ok(self.iterate(request)?.encode())
    }
}

/// Checks that a request is for the tree that is held.
pub(super) fn check_root(asked: &Root, held: &Root) -> Result<(), SyncError> {
    if asked != held {
        return Err(SyncError::OtherRoot {
            asked: Box::new(*asked),
            held: Box::new(*held),
        });
    }
    Ok(())
}

pub(super) fn prefixes_of(
    tree: &Tree,
    request: &GetPrefixesRequest,
) -> Result<ProofResponse, SyncError> {
    check_prefixes(&request.prefixes)?;
    let prefixes: Vec<&[u8]> = request.prefixes.iter().map(Vec::as_slice).collect();
    let proof = tree.prove_prefixes(&prefixes, request.limit, request.proof_version)?;
    Ok(ProofResponse { proof })
}

/// Checks the number of prefixes; the tree checks their lengths.
pub(super) fn check_prefixes(prefixes: &[Vec<u8>]) -> Result<(), SyncError> {
    if prefixes.len() > SYNC_PREFIXES_MAX {
        return Err(SyncError::TooManyPrefixes {
            count: prefixes.len(),
            limit: SYNC_PREFIXES_MAX,
        });
    }
    Ok(())
}
