//! What can go wrong in the store, always naming the file or the value.

use std::io;

use thiserror::Error;
use trilith_types::{Hash, RuntimeId, StateFault};

/// Why the store could not do what it was asked.
///
/// None of this is ever part of an outcome: [`StoreFault::Io`], [`StoreFault::Damaged`],
/// [`StoreFault::Locked`], [`StoreFault::Stopped`] and [`StoreFault::Unreadable`] are faults of
/// this node,
/// [`StoreFault::Refused`] is a caller that asked for something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreFault {
    /// The operating system refused an operation on a file.
    #[error("cannot {operation} {file}: {message}")]
    Io {
        /// Name of the file within the data folder, or a description of a foreign page file.
        file: String,
        /// What was tried.
        operation: &'static str,
        /// The kind of failure, [`io::ErrorKind::StorageFull`] for example.
        kind: io::ErrorKind,
        /// What the operating system said.
        message: String,
    },
    /// A file does not hold what was written to it.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged {
        /// Name of the file within the data folder.
        file: String,
        /// Where the damaged item starts.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Another process has the data folder open.
    #[error("{folder} is in use by another process; one data folder serves one node")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// An earlier fault left it unknown what is on disk, so nothing more is written. Reopening
    /// the store finds out.
    #[error("the store stopped writing after an earlier fault ({cause}); reopen it")]
    Stopped {
        /// The earlier fault.
        cause: String,
    },
    /// A part of a state that lies on disk cannot be read; the message says which file.
    #[error(transparent)]
    Unreadable(#[from] StateFault),
    /// The request contradicts what the store holds or its limits; it had no effect.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A request that must not be served. It had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no version with this root to build on or to finalise.
    #[error("namespace {namespace} has no version with root {root}{}", .round.map_or(String::new(), |round| format!(" in round {round}")))]
    UnknownRoot {
        /// The namespace.
        namespace: RuntimeId,
        /// The round asked for, where one was.
        round: Option<u64>,
        /// The root asked for.
        root: Hash,
    },
    /// A round at or below one that was finalised, or below that of its parent.
    #[error("round {round} of namespace {namespace} is not above round {above}")]
    Backwards {
        /// The namespace.
        namespace: RuntimeId,
        /// The round asked for.
        round: u64,
        /// The round it has to be above.
        above: u64,
    },
    /// The namespace is being imported; until that has ended, nothing is built on it.
    #[error("namespace {namespace} is being imported")]
    Importing {
        /// The namespace.
        namespace: RuntimeId,
    },
    /// An import into a namespace that has a version already, or another root than was expected.
    #[error("namespace {namespace} cannot be imported: {what}")]
    Import {
        /// The namespace.
        namespace: RuntimeId,
        /// What is in the way.
        what: String,
    },
    /// The candidate was not built on the current version.
    #[error("round {round} of namespace {namespace} builds on {parent}, but current is {current}")]
    WrongParent {
        /// The namespace.
        namespace: RuntimeId,
        /// The round to be finalised.
        round: u64,
        /// What it builds on.
        parent: Hash,
        /// The current root.
        current: Hash,
    },
    /// A key of a write log starts with the byte 0, which is reserved for the store.
    #[error("key {key} starts with a zero byte; such keys belong to the store")]
    ReservedKey {
        /// The key, in hexadecimal.
        key: String,
    },
    /// Entries that have to be unique and ascending are not.
    #[error("{what} number {index} is not above the one before it")]
    NotAscending {
        /// What is out of order.
        what: &'static str,
        /// Index of the entry.
        index: usize,
    },
    /// A run of an image update is empty, overlaps the one before it, or passes the end of the
    /// image or of what a file can hold.
    #[error(
        "run number {index} of image {image} has {count} pages from {page} on, found in its file from {file_page} on; it must have at least 1, start at {least} or later, and end within {pages} pages of the image and {file_pages_max} of the file"
    )]
    BadRun {
        /// The image, in hexadecimal.
        image: String,
        /// Index of the run.
        index: usize,
        /// Number of its first page in the image.
        page: u64,
        /// How many pages it has.
        count: u64,
        /// Number of its first page in the file.
        file_page: u64,
        /// Where the run before it ends: the first page it may start at.
        least: u64,
        /// Length of the image in pages.
        pages: u64,
        /// Most pages of a file.
        file_pages_max: u64,
    },
    /// Something is larger than its limit.
    #[error("{what} is {value}, over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// Other bytes were signed under this slot before. Signing these too could be held against
    /// the node.
    #[error("slot {slot} already holds other signed bytes")]
    SlotTaken {
        /// The slot, in hexadecimal.
        slot: String,
    },
    /// The slot was given up by `prune_signed`, so what was signed under it is not known any
    /// more and nothing may be signed under it again.
    #[error("slot {slot} was pruned")]
    SlotPruned {
        /// The slot, in hexadecimal.
        slot: String,
    },
}

/// Result of the store's operations.
pub type Result<T> = std::result::Result<T, StoreFault>;

impl StoreFault {
    /// An input or output error on `file`.
    pub(crate) fn io(file: &str, operation: &'static str, error: &io::Error) -> Self {
        Self::Io {
            file: file.to_owned(),
            operation,
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// Damage of `file` at `offset`.
    pub(crate) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            what: what.into(),
        }
    }
}
