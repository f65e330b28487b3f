//! Restoring a checkpoint chunk by chunk.
//!
//! What is not restored yet is kept as a set of hashes of subtrees, at first that of the root. A
//! chunk that shows the top of a missing subtree adds the entries it shows below it, and the
//! subtrees that it leaves out there are missing in its place. So each entry is handed out once,
//! and the tree is covered exactly when nothing is missing.

use std::collections::BTreeSet;

use trilith_types::{Hash, WriteLog};

use super::verify::verify_chunk;
use super::{CHUNK_FRAMED_BYTES_MAX, CheckpointError, ChunkFault, GAPS_MAX, Metadata};

/// A restore in progress.
#[derive(Debug)]
pub struct Restore {
    metadata: Metadata,
    /// Whether each chunk is restored.
    is_restored: Vec<bool>,
    /// The tops of the subtrees of which nothing was shown yet.
    missing: BTreeSet<Hash>,
}

impl Restore {
    /// Begins to restore. That the root is the right one is for the caller to know: chunks are
    /// verified against it.
    pub fn new(metadata: Metadata) -> Self {
        Self {
            is_restored: vec![false; metadata.chunks.len()],
            missing: BTreeSet::from([metadata.root.hash]),
            metadata,
        }
    }

    /// What is being restored.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Verifies chunk number `index`, counted from 0, and gives the entries that it adds, in
    /// ascending order of keys. Chunks may come in any order; in their own order the least memory
    /// is used.
    ///
    /// # Errors
    /// [`CheckpointError`] if there is no such chunk, it was restored before, it is not the one
    /// that the metadata lists or does not verify. Nothing of it was used then.
    pub fn chunk(&mut self, index: usize, bytes: &[u8]) -> Result<WriteLog, CheckpointError> {
        let count = self.metadata.chunks.len();
        match self.is_restored.get(index) {
            None => return Err(CheckpointError::NoSuchChunk { index, count }),
            Some(true) => return Err(CheckpointError::AlreadyRestored { index }),
            Some(false) => {}
        }
        let refused = |fault| CheckpointError::Chunk { index, fault };
        if bytes.len() > CHUNK_FRAMED_BYTES_MAX {
            return Err(refused(ChunkFault::TooLong {
                len: bytes.len(),
                limit: CHUNK_FRAMED_BYTES_MAX,
            }));
        }
        let (expected, found) = (self.metadata.chunks[index], Hash::of(bytes));
        if found != expected {
            return Err(refused(ChunkFault::Digest { expected, found }));
        }
        let chunk = verify_chunk(bytes, &self.metadata.root.hash).map_err(refused)?;
        let log = chunk.take_missing(&mut self.missing);
        self.is_restored[index] = true;
        let (count, limit) = (self.missing.len(), GAPS_MAX);
        if count > limit {
            return Err(CheckpointError::TooManyGaps { count, limit });
        }
        Ok(log)
    }

    /// Ends the restore.
    ///
    /// # Errors
    /// [`CheckpointError::ChunksMissing`] if not all chunks were restored,
    /// [`CheckpointError::NotCovered`] if all of them together do not show the whole tree.
    pub fn finish(self) -> Result<(), CheckpointError> {
        if let Some(first) = self.is_restored.iter().position(|restored| !restored) {
            let missing = self
                .is_restored
                .iter()
                .filter(|restored| !**restored)
                .count();
            let count = self.is_restored.len();
            return Err(CheckpointError::ChunksMissing {
                missing,
                count,
                first,
            });
        }
        match self.missing.first() {
            None => Ok(()),
            Some(hash) => Err(CheckpointError::NotCovered {
                count: self.missing.len(),
                hash: *hash,
            }),
        }
    }
}
