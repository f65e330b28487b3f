//! Checkpoints of a tree in the format of Oasis Core: metadata and chunks.
//!
//! A chunk is a proof (version 0) of a stretch of the tree under its root, so that whoever has the
//! root can verify each chunk by itself, in any order and from anyone:
//!
//! ```text
//! metadata = CBOR { version: 1, root: { ns, version, root_type, hash }, chunks: [digest] }
//! chunk    = snappy framed stream of the proof's entries, each a CBOR byte string or null
//! digest   = H(chunk, as compressed)
//! identity of a checkpoint = H(metadata)
//! ```
//!
//! [`Tree::chunks`](crate::Tree::chunks) makes chunks one at a time; [`Restore`] verifies them one
//! at a time and hands out what each adds. Neither holds more than one chunk, and both walk the
//! tree without recursion, however deep it is.
//!
//! The module knows the format and the limits of what it reads. It knows no files and no peers.
//!
//! Invariants: nothing of a chunk is handed out before its digest and its proof are verified; no
//! entry is handed out twice; a restore ends well only if every entry under the root was handed
//! out.
//!
//! Deviations from Oasis Core. Stricter: encodings must be canonical, sizes are bounded, an
//! internal node with fewer than two of own leaf, left and right is refused, and a restore that
//! left a gap is refused. Wider: chunks deeper than the 128 nodes of a proof are made and
//! accepted, because every state must be exportable (Oasis Core can make such a checkpoint, but
//! not restore it); below that depth a chunk is cut no earlier than at twice the size of the path
//! that it repeats, so that the chunks together stay within a small multiple of the tree.
//!
//! Source: Oasis Core `storage/mkvs/checkpoint` at f9f1fdc60.

mod create;
mod frame;
mod metadata;
mod restore;
mod verify;

pub use create::{Chunk, Chunking, Chunks};
pub use metadata::{Metadata, Root, RootType};
pub use restore::Restore;
pub use verify::{VerifiedChunk, verify_chunk};

use thiserror::Error;
use trilith_proof::mkvs::ProofError;
use trilith_types::Hash;
use trilith_types::cbor::DecodeError;

use crate::TreeError;

/// Most bytes of a chunk, decompressed: the memory that making or restoring one may take, a small
/// factor apart. A chunk is as large as its nominal size, one more entry, and the path from the
/// root with the values that lie on it.
pub const CHUNK_BYTES_MAX: usize = 256 << 20;

/// Most bytes of a chunk as it travels: what does not compress grows by 8 bytes per 64 KiB, and by
/// a header. Source: snappy framing format.
pub const CHUNK_FRAMED_BYTES_MAX: usize = CHUNK_BYTES_MAX + (1 << 20);

/// Most chunks of a checkpoint: with chunks of 8 MiB, a state of 8 TiB.
pub const CHUNKS_MAX: usize = 1 << 20;

/// Longest encoded metadata in bytes: [`CHUNKS_MAX`] digests and what surrounds them.
pub const METADATA_BYTES_MAX: usize = CHUNKS_MAX * 34 + 1024;

/// Most subtrees that may be known but not yet restored. Restored in order, a checkpoint leaves as
/// many as the tree is deep.
pub const GAPS_MAX: usize = 1 << 20;

const ENTRY_FULL: u8 = 0x01;
const ENTRY_HASH: u8 = 0x02;

/// What is wrong with one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkFault {
    /// It has more bytes than a chunk may have.
    #[error("it has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// [`CHUNK_FRAMED_BYTES_MAX`].
        limit: usize,
    },
    /// It is not the chunk that the metadata lists.
    #[error("its digest is {found}, where the metadata lists {expected}")]
    Digest {
        /// The listed digest.
        expected: Hash,
        /// That of the bytes.
        found: Hash,
    },
    /// It is not a snappy framed stream.
    #[error("its compressed stream is damaged at byte {at}: {fault}")]
    Stream {
        /// How far it could be read.
        at: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// It would decompress to more bytes than a chunk may have.
    #[error("it decompresses to {len} bytes or more, over the limit of {limit}")]
    TooLarge {
        /// The number of bytes that its frames declare, up to the frame that passes the limit.
        len: u64,
        /// [`CHUNK_BYTES_MAX`].
        limit: usize,
    },
    /// An entry is not a CBOR byte string or null.
    #[error("its entry {index} cannot be decoded: {error}")]
    Decode {
        /// Position of the entry, from 0.
        index: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// An entry is not one node in its one form.
    #[error("its entry {index} is refused: {error}")]
    Node {
        /// Position of the entry, from 0.
        index: usize,
        /// What is wrong with it.
        error: ProofError,
    },
    /// An entry is not what may stand at its place.
    #[error("its entry {index} {fault}")]
    Entry {
        /// Position of the entry, from 0.
        index: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The entries end inside the tree.
    #[error("it ends after {count} entries, inside the tree")]
    Incomplete {
        /// How many entries there are.
        count: usize,
    },
    /// Entries are left when the tree is complete.
    #[error("its tree is complete after {count} entries, but {bytes} bytes follow")]
    Unused {
        /// How many entries the tree has.
        count: usize,
        /// How many bytes follow.
        bytes: usize,
    },
    /// Its nodes do not hash to the root.
    #[error("it proves root {found}, where {expected} is expected")]
    Root {
        /// The root of the checkpoint.
        expected: Hash,
        /// The root that the nodes hash to.
        found: Hash,
    },
}

/// Why a checkpoint cannot be made or restored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The tree cannot be read.
    #[error("the tree cannot be read: {0}")]
    Tree(#[from] TreeError),
    /// A chunk that is being made would be larger than anyone restores.
    #[error("chunk {index} would have {len} bytes or more, over the limit of {limit}")]
    ChunkTooLarge {
        /// Its number, from 0.
        index: usize,
        /// Its length in bytes, decompressed, up to the entry that passes the limit.
        len: usize,
        /// [`CHUNK_BYTES_MAX`].
        limit: usize,
    },
    /// The metadata has too many bytes.
    #[error("the metadata has {len} bytes, over the limit of {limit}")]
    MetadataTooLong {
        /// Its length in bytes.
        len: usize,
        /// [`METADATA_BYTES_MAX`].
        limit: usize,
    },
    /// The bytes are not metadata.
    #[error("the metadata cannot be decoded: {0}")]
    Metadata(#[from] DecodeError),
    /// A version that is not known.
    #[error("the checkpoint has version {found}, where 1 is known")]
    Version {
        /// The version it names.
        found: u64,
    },
    /// The tree is neither of state nor of inputs and outputs.
    #[error("the checkpoint's root has type {found}, where 1 (state) and 2 (I/O) are known")]
    RootType {
        /// The type it names.
        found: u64,
    },
    /// Even the checkpoint of an empty tree has a chunk.
    #[error("the checkpoint has no chunks, where at least 1 is needed")]
    NoChunks,
    /// There is no chunk of this number.
    #[error("chunk {index} does not exist: the checkpoint has {count}")]
    NoSuchChunk {
        /// The number asked for, from 0.
        index: usize,
        /// How many chunks there are.
        count: usize,
    },
    /// A chunk was restored before.
    #[error("chunk {index} was restored before")]
    AlreadyRestored {
        /// Its number, from 0.
        index: usize,
    },
    /// A chunk is refused. Other bytes for it may still be tried.
    #[error("chunk {index} is refused: {fault}")]
    Chunk {
        /// Its number, from 0.
        index: usize,
        /// What is wrong with it.
        fault: ChunkFault,
    },
    /// The chunks restored so far leave more gaps than are kept track of.
    #[error("the chunks restored so far leave {count} gaps, over the limit of {limit}")]
    TooManyGaps {
        /// How many subtrees are known and missing.
        count: usize,
        /// [`GAPS_MAX`].
        limit: usize,
    },
    /// A restore is ended before all chunks were restored.
    #[error("{missing} of {count} chunks are not restored, the first of them chunk {first}")]
    ChunksMissing {
        /// How many are missing.
        missing: usize,
        /// How many there are.
        count: usize,
        /// Number of the first that is missing.
        first: usize,
    },
    /// All chunks are restored, but they do not cover the tree.
    #[error("the chunks leave out {count} subtrees, one of them {hash}")]
    NotCovered {
        /// How many subtrees no chunk shows.
        count: usize,
        /// Hash of one of them.
        hash: Hash,
    },
}
