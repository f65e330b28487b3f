//! Why an operation on a tree cannot be done.

use thiserror::Error;
use trilith_types::{Hash, StateFault};

/// Why an operation on a tree cannot be done. It then changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// A key is too long.
    #[error("the key has {len} bytes, over the limit of {limit}")]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
        /// [`crate::KEY_BYTES_MAX`].
        limit: usize,
    },
    /// A value is too long.
    #[error("the value has {len} bytes, over the limit of {limit}")]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
        /// [`crate::VALUE_BYTES_MAX`].
        limit: usize,
    },
    /// The operation needs a subtree that this partial tree does not have.
    #[error("this tree does not hold the subtree {hash}, and has no source to fetch it from")]
    NotCovered {
        /// Hash of the subtree.
        hash: Hash,
    },
    /// The source cannot give a node that it should have: a fault of this machine.
    #[error("cannot fetch the node {hash}: {fault}")]
    Source {
        /// Hash of the node.
        hash: Hash,
        /// What the source says.
        fault: StateFault,
    },
    /// The source gave another node than was asked for.
    #[error("the node that was fetched hashes to {found}, not to {expected}")]
    WrongNode {
        /// The hash that was asked for.
        expected: Hash,
        /// The hash of what came.
        found: Hash,
    },
    /// A stored node is not one of a tree.
    #[error("a node {0}")]
    MalformedNode(&'static str),
    /// A proof would be deeper than verifiers accept.
    #[error("the proof would be deeper than {limit} nodes")]
    ProofTooDeep {
        /// Most levels of a proof.
        limit: usize,
    },
    /// A proof would be larger than verifiers accept.
    #[error("the proof would be larger than {entries_max} entries or {bytes_max} bytes")]
    ProofTooLarge {
        /// Most entries of a proof.
        entries_max: usize,
        /// Most bytes of a proof.
        bytes_max: usize,
    },
    /// A proof would take too many steps to make.
    #[error("the proof would take more than {limit} visits to nodes")]
    ProofTooCostly {
        /// Most visits.
        limit: usize,
    },
}
