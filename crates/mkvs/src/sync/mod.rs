//! Reading a tree that somebody else has.
//!
//! A [`RemoteTree`] knows a root that it trusts and a peer, a [`ReadSyncer`]. Where it lacks a node
//! it asks the peer, and takes from the answer only what is proven to be under that root, so that
//! a peer can refuse to answer but cannot make it believe anything. What was proven is kept in a
//! bounded cache. [`TreeSyncer`] is the other side: it answers from a tree that it has.
//!
//! ```text
//! read key:     follow the key down; at a node n that is not in memory:
//!                 ask SyncGet(root, position n, key)
//! iterate:      likewise, with SyncIterate(root, position n, lowest key below n, prefetch)
//! answer:       a proof that starts at n, or at the root
//! take answer:  its start is n or the root, its nodes hash to it, and n is among its nodes;
//!               otherwise nothing of it is kept
//! iterate and n was left out: n lies too deep below the root; ask SyncGet instead, once
//! ```
//!
//! Guests read their state this way over the Runtime Host Protocol, nodes that sync over the
//! network; how bytes get to the peer is the business of whoever implements [`ReadSyncer`].
//!
//! The module knows trees, proofs and the encoding of requests. It knows no network and no time,
//! and does not try again: its caller decides whether another peer is asked.
//!
//! Invariants: no value is given that is not proven under the trusted root; an answer that is
//! refused changes nothing; the cache never holds more than its limits; nothing recurses by the
//! depth of a tree.
//!
//! Deviations from Oasis Core. Stricter: encodings must be canonical, sizes are bounded, and an
//! answer to a request for prefixes must show all that was asked for. Wider: an answer about a key
//! or about entries that would be deeper or larger than a proof may be ends early, instead of being
//! one that nobody accepts, and whoever asked goes on from where it ends; so every tree can be read,
//! however deep it is, as long as no value is larger than an answer.
//!
//! Source: Oasis Core `storage/mkvs/syncer`, and the cache and iterator in `storage/mkvs`, at
//! f9f1fdc60.

mod cache;
mod entries;
mod remote;
mod request;
mod root;
mod serve;
mod source;

pub use cache::CacheLimits;
pub use entries::RemoteEntries;
pub use remote::RemoteTree;
pub use request::{
    GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, SYNC_ANSWER_BYTES_MAX,
    SYNC_PREFIXES_MAX, SYNC_REQUEST_BYTES_MAX, TreeId,
};
pub use serve::TreeSyncer;

pub use crate::checkpoint::{Root, RootType};

use thiserror::Error;
use trilith_proof::mkvs::{ProofError, ProofVersion};
use trilith_types::Hash;

use crate::TreeError;

/// Somebody who answers requests for proofs, perhaps with lies.
pub trait ReadSyncer: Send {
    /// The answer to a request for a key: an encoded [`ProofResponse`]. The implementer bounds what
    /// it receives by [`SYNC_ANSWER_BYTES_MAX`].
    ///
    /// # Errors
    /// [`SyncError`] if there is no answer.
    fn sync_get(&mut self, request: &GetRequest) -> Result<Vec<u8>, SyncError>;

    /// The answer to a request for prefixes.
    ///
    /// # Errors
    /// As [`ReadSyncer::sync_get`].
    fn sync_get_prefixes(&mut self, request: &GetPrefixesRequest) -> Result<Vec<u8>, SyncError>;

    /// The answer to a request for consecutive entries.
    ///
    /// # Errors
    /// As [`ReadSyncer::sync_get`].
    fn sync_iterate(&mut self, request: &IterateRequest) -> Result<Vec<u8>, SyncError>;
}

/// Why a tree cannot be read through a peer, or a request cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyncError {
    /// The peer gave no answer.
    #[error("the peer gave no answer: {0}")]
    Unavailable(String),
    /// The answer is no proof, or its nodes do not hash to where it starts.
    #[error("the answer of the peer is refused: {0}")]
    Answer(#[from] ProofError),
    /// The answer has another format than was asked for.
    #[error(
        "the answer of the peer is a proof of version {found:?}, where {asked:?} was asked for"
    )]
    Version {
        /// Its format.
        found: ProofVersion,
        /// What was asked for.
        asked: ProofVersion,
    },
    /// The answer starts at a node that was not asked for.
    #[error(
        "the answer of the peer starts at {found}, where {position} or the root {root} was expected"
    )]
    Unrelated {
        /// Where it starts.
        found: Hash,
        /// The node that was asked for.
        position: Hash,
        /// The trusted root.
        root: Hash,
    },
    /// The answer leaves out a node that was asked for.
    #[error("the answer of the peer leaves out the node {hash}, which was asked for")]
    NotShown {
        /// Hash of the node.
        hash: Hash,
    },
    /// The request is for another tree.
    #[error("the request is for the tree {asked:?}, and this is {held:?}")]
    OtherRoot {
        /// The tree that the request names.
        asked: Box<Root>,
        /// This tree.
        held: Box<Root>,
    },
    /// The tree was changed, so that nobody else trusts its root.
    #[error("the tree has {count} changes that are not part of the root it was opened at")]
    Changed {
        /// How many keys were changed.
        count: usize,
    },
    /// A request names too many prefixes.
    #[error("the request has {count} prefixes, over the limit of {limit}")]
    TooManyPrefixes {
        /// How many it names.
        count: usize,
        /// [`SYNC_PREFIXES_MAX`].
        limit: usize,
    },
    /// The tree cannot do it.
    #[error(transparent)]
    Tree(#[from] TreeError),
}
