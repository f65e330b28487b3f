//! Export and import of a whole state: a checkpoint is a folder of immutable files.
//!
//! ```text
//! manifest        what the checkpoint is of, and length and digest of each file below
//! tree-000000 ..  chunks of the tree in the format of Oasis Core (trilith_mkvs::checkpoint)
//! pages-000000 .. up to 256 pages of images that are not zero, each with image and number
//! ```
//!
//! An export works from a [`View`](crate::View), which never changes, so that the store goes on
//! sealing meanwhile. The manifest comes last, by renaming: a folder without one is no checkpoint,
//! and an export that was interrupted starts over. What the files hold depends on the state and
//! the size of chunks alone, so that nodes that export the same state have the same files.
//!
//! An import trusts nothing that it reads. Whoever calls it compares the root in the manifest with
//! one that is certified; everything else is verified against that root: tree chunks by digest and
//! proof, pages by digest and by the page tree whose root is a leaf of the state.
//!
//! The module knows the view, the files and the formats. It knows neither how the store keeps a
//! state nor who asks: an import feeds an [`ImportSink`].
//!
//! Invariants: a folder that has a manifest has every file that it lists, durably; an existing
//! manifest is never replaced; nothing of a file is handed on before its digest, and of a tree
//! chunk its proof, is verified; [`ImportSink::finish`] is called only when all entries and all
//! pages under the root were handed on.

mod into_store;
mod manifest;
mod merge;
mod page_chunk;
mod page_root;
mod read;
mod write;

pub use manifest::{ExportManifest, FileEntry};
pub use page_chunk::{PageChunk, PageChunkFault, PageSection};
pub use read::{Checkpoint, CheckpointFiles, CheckpointFolder, ImportSink};
pub use write::{export, export_to};

use thiserror::Error;
use trilith_mkvs::checkpoint::{CHUNKS_MAX, CheckpointError};
use trilith_types::cbor::DecodeError;
use trilith_types::{Hash, RuntimeId};

use crate::fault::StoreFault;

/// Pages in a page chunk, except in the last: 1 MiB.
pub const CHUNK_PAGES: usize = 256;

/// Longest header of a page chunk in bytes: 256 pages of as many images with names of 255 bytes
/// take 70 KiB.
pub const PAGE_HEADER_BYTES_MAX: usize = 96 << 10;

/// Most bytes of a page chunk.
pub const PAGE_CHUNK_BYTES_MAX: usize = PAGE_HEADER_BYTES_MAX + CHUNK_PAGES * 4096;

/// Most page chunks of a checkpoint: 1 TiB of pages that are not zero.
pub const PAGE_CHUNKS_MAX: usize = 1 << 20;

/// Longest manifest in bytes: an entry of the list of files takes at most 45.
pub const EXPORT_MANIFEST_BYTES_MAX: usize = (CHUNKS_MAX + PAGE_CHUNKS_MAX) * 45 + 4096;

/// Why a checkpoint cannot be made or used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExportFault {
    /// The disk, the store or the sink reports a fault.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// A file of the checkpoint is not what it should be.
    #[error("{file} of the checkpoint is refused: {fault}")]
    File {
        /// Name of the file within the folder.
        file: String,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// The folder has a complete checkpoint of something else, which is not overwritten.
    #[error(
        "the folder already holds a checkpoint of namespace {namespace}, round {round}, root {root}"
    )]
    OtherCheckpoint {
        /// The namespace of that checkpoint.
        namespace: RuntimeId,
        /// Its round.
        round: u64,
        /// Its root.
        root: Hash,
    },
    /// The tree cannot be divided into chunks, or the chunks do not add up to it.
    #[error("the tree of the checkpoint: {0}")]
    Tree(CheckpointError),
    /// The state has more pages than a checkpoint can list.
    #[error("the checkpoint would have more than {limit} page chunks")]
    TooManyPages {
        /// [`PAGE_CHUNKS_MAX`].
        limit: usize,
    },
    /// A leaf that should describe an image does not.
    #[error("the state's leaf {key} describes no image")]
    ImageLeaf {
        /// Its key in hexadecimal.
        key: String,
    },
    /// The view has no such image as its tree says.
    #[error("the state's leaf of image {image} names {pages} pages, but the view has {found}")]
    ImageLength {
        /// The image in hexadecimal.
        image: String,
        /// The length in its leaf.
        pages: u64,
        /// The length in the view; 0 if it has no such image.
        found: u64,
    },
    /// The pages of an image are not those of the state.
    #[error("the pages of image {image} have the root {found}, where the state has {expected}")]
    ImageRoot {
        /// The image in hexadecimal.
        image: String,
        /// The root in its leaf, in hexadecimal.
        expected: String,
        /// That of the pages, in hexadecimal.
        found: String,
    },
}

/// What is wrong with one file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileFault {
    /// It is longer than any such file.
    #[error("it has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        len: u64,
        /// The limit for files of its kind.
        limit: u64,
    },
    /// It is not as long as the manifest says.
    #[error("it has {len} bytes, where the manifest lists {listed}")]
    Length {
        /// Its length in bytes.
        len: u64,
        /// The listed length.
        listed: u64,
    },
    /// It is not the file that the manifest lists.
    #[error("its digest is {found}, where {listed} is listed")]
    Digest {
        /// The digest of its bytes in hexadecimal.
        found: String,
        /// The listed digest in hexadecimal.
        listed: String,
    },
    /// It is not a regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// The manifest is shorter than its digest.
    #[error("it has {len} bytes, fewer than its digest")]
    NoDigest {
        /// Its length in bytes.
        len: usize,
    },
    /// The manifest cannot be decoded.
    #[error("it cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The manifest is of another format.
    #[error("it has format {found}, where 1 is known")]
    Format {
        /// The format it names.
        found: u64,
    },
    /// The manifest lists a file twice.
    #[error("it lists the digest of {first} again for {second}")]
    Repeated {
        /// The first file with the digest.
        first: String,
        /// The second.
        second: String,
    },
    /// A tree chunk does not verify.
    #[error(transparent)]
    Chunk(#[from] CheckpointError),
    /// An entry has a key that belongs to the store but is not that of an image.
    #[error("it has an entry with the reserved key {key}")]
    ReservedKey {
        /// The key in hexadecimal.
        key: String,
    },
    /// A page chunk is not in its one form.
    #[error(transparent)]
    Pages(#[from] PageChunkFault),
    /// A page belongs to no image of the state, or to one that is complete.
    #[error("it has pages of image {image}, which is not in the state or came before")]
    UnknownImage {
        /// The image in hexadecimal.
        image: String,
    },
    /// Pages are not in ascending order across chunks.
    #[error("its page {page} of image {image} does not come after the pages before it")]
    OutOfOrder {
        /// The image in hexadecimal.
        image: String,
        /// The number of the page.
        page: u64,
    },
    /// A page lies past the end of its image.
    #[error("its page {page} lies past the end of image {image}, which has {pages} pages")]
    PastEnd {
        /// The image in hexadecimal.
        image: String,
        /// The number of the page.
        page: u64,
        /// The image's length in pages.
        pages: u64,
    },
}

/// A file of a checkpoint that is refused.
fn refused(file: &str, fault: impl Into<FileFault>) -> ExportFault {
    ExportFault::File {
        file: file.to_owned(),
        fault: fault.into(),
    }
}

/// Bytes for a message.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
