//! The Merklised key-value tree, byte-compatible with Oasis Core's: roots, proofs and write logs.
//!
//! A [`Tree`] is a value: cloning it costs nothing, changing a clone leaves the original as it
//! was, and both share what they have in common. That makes versions, overlays, rolled back
//! batches and comparisons of neighbouring versions cheap without any code for them. Hashes are
//! computed when they are asked for and kept in the nodes, so that only what changed is hashed.
//!
//! Nodes need not be in memory: an edge may hold only a hash, which a [`NodeSource`] resolves when
//! it is followed. What was resolved is not kept in the tree; caching is the source's business, and
//! the memory of a tree is what was changed since it was opened. Without a source, such an edge
//! answers [`TreeError::NotCovered`]: that is how a tree made from a verified proof behaves where
//! the proof showed nothing.
//!
//! The crate knows the tree and its encodings. It knows no disk, no version numbers, and nothing
//! of what keys mean. How nodes are hashed and how proofs are verified is in
//! [`trilith_proof::mkvs`].
//!
//! Invariants: a tree's shape, and so its root, is decided by its entries alone, not by the order
//! in which they came; an internal node has two or more of own leaf, left and right; an operation
//! that fails changes nothing; no operation recurses by the depth of a tree, which outsiders can
//! make as large as the longest key has bits.
//!
//! Source: Oasis Core `storage/mkvs`.

mod batch;
mod change;
pub mod checkpoint;
mod diff;
mod error;
mod flush;
mod fragment;
mod iterate;
mod node;
mod prove;
mod root;
pub mod sync;
mod tree;
mod walk;
mod write_log;

pub use batch::{Job, OneThread, Workers};
pub use diff::diff;
pub use error::TreeError;
pub use flush::{Fragment, FragmentSink, RELEASE_PARTS};
pub use iterate::{Entry, Iter};
pub use node::{Node, Place};
pub use root::{LeafHash, root_of, root_of_leaves};
pub use tree::{NodeSource, Tree};
pub use trilith_proof::mkvs::{KEY_BYTES_MAX, Label, Proof, ProofVersion, VALUE_BYTES_MAX};
pub use write_log::{decode_write_log, encode_write_log};
