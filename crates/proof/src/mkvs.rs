//! The Merklised key-value tree of Oasis Core: its hashing and its proofs.
//!
//! The tree is a binary PATRICIA trie over the bits of keys, most significant bit first. An
//! internal node has a label (the bits that all keys below it share, counted from its parent), at
//! most one own leaf (for the key that ends exactly there) and two children, chosen by the bit
//! that follows the label. A child's label, or what is left of a leaf's key, starts with that bit.
//!
//! ```text
//! hash(leaf)     = H(0x00 ‖ key length u32 LE ‖ key ‖ value length u32 LE ‖ value)
//! hash(internal) = H(0x01 ‖ label bits u16 LE ‖ label ‖ hash(own leaf) ‖ hash(left) ‖ hash(right))
//! hash(nothing)  = H("")
//!
//! compact(leaf)     = 0x00 ‖ key length u16 LE ‖ key ‖ value length u32 LE ‖ value
//! compact(internal) = 0x01 ‖ label bits u16 LE ‖ label ‖ (compact(own leaf) | 0x02)
//! ```
//!
//! A proof lists a part of the tree in pre-order: a compact node, the hash of a subtree that is
//! left out, or null for nothing. In version 0 an internal node carries its own leaf; in version 1
//! the own leaf is the first of three children.
//!
//! This module verifies; making proofs is the business of the tree itself. It trusts one thing,
//! the root hash that the caller obtained elsewhere. A verified part answers a key with its value,
//! with proven absence, or with "not covered by this proof", and never mixes the three.
//!
//! Deviations from Oasis Core, all stricter: an encoding must be canonical, bits behind a label
//! must be zero, keys must lie on the path that leads to them, sizes are bounded.
//!
//! Source: Oasis Core `storage/mkvs/node` and `storage/mkvs/syncer`.

mod bits;
mod node;
mod proof;
mod reader;
mod verified;

pub use bits::{Bits, Label, Seek, set_bit};
pub use node::{CompactNode, internal_hash, leaf_hash};
pub use proof::{Proof, ProofVersion};
pub use verified::{Edge, Entries, VerifiedNode, VerifiedPart, VerifiedTree};

use thiserror::Error;
use trilith_types::Hash;
use trilith_types::cbor::DecodeError;

/// Longest key in bytes. A key's length in bits is counted in 16 bits, so that 8,191 whole bytes
/// (65,528 bits) fit. Source: Oasis Core `storage/mkvs/node`, type `Depth`.
pub const KEY_BYTES_MAX: usize = 8_191;

/// Longest value in bytes: its length is written in 32 bits. Source: Oasis Core
/// `storage/mkvs/node`, `ValueLengthSize`.
pub const VALUE_BYTES_MAX: usize = u32::MAX as usize;

/// Deepest entry of a proof, where the first is at depth 0. It bounds the recursion of a verifier.
/// Source: Oasis Core `storage/mkvs/syncer`, `maxProofDepth`.
pub const PROOF_DEPTH_MAX: usize = 128;

/// Longest encoded proof in bytes: what fits into a message of the Runtime Host Protocol, over
/// which guests receive proofs. Source: Oasis Core, runtime host protocol, 16 MiB.
pub const PROOF_BYTES_MAX: usize = 16 << 20;

/// Most entries of a proof. The largest request reads 65,535 items ahead (its count has 16 bits),
/// and an item costs about four entries: its leaf, an internal node, and what is left out beside
/// these. The bound keeps one-byte entries from taking many times their encoded size in memory.
pub const PROOF_ENTRIES_MAX: usize = 1 << 18;

/// Why a proof proves nothing, or not what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The bytes are not a proof.
    #[error("the proof cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The encoded proof is too long.
    #[error("the proof has {len} bytes, over the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// [`PROOF_BYTES_MAX`].
        limit: usize,
    },
    /// A format this verifier does not know.
    #[error("the proof has version {found}, where 0 and 1 are known")]
    Version {
        /// The version it names.
        found: u64,
    },
    /// The proof is for another root, or its nodes do not hash to the root it names.
    #[error("the proof is of root {found}, where {expected} was expected")]
    Root {
        /// The trusted root.
        expected: Hash,
        /// The root the proof has.
        found: Hash,
    },
    /// An entry is not what may stand there.
    #[error("entry {index} of the proof {fault}")]
    Entry {
        /// Its position, from 0.
        index: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The list of entries ends inside the tree.
    #[error("the proof ends after {count} entries, inside the tree")]
    Incomplete {
        /// How many entries there are.
        count: usize,
    },
    /// Entries are left when the tree is complete.
    #[error("{count} entries of the proof are not part of its tree")]
    Unused {
        /// How many.
        count: usize,
    },
    /// The tree of the proof is too deep.
    #[error("the proof is deeper than {limit} nodes")]
    TooDeep {
        /// [`PROOF_DEPTH_MAX`].
        limit: usize,
    },
    /// A node is not in its one form.
    #[error("a node {0}")]
    Node(&'static str),
    /// What was asked for lies in a part that the proof leaves out.
    #[error("the answer is not covered by this proof: it leaves out the subtree {hash}")]
    NotCovered {
        /// Hash of the subtree.
        hash: Hash,
    },
}

/// The value of `key` under the trusted `root`, as an encoded proof shows it; `None` if the proof
/// shows that there is none.
///
/// # Errors
/// [`ProofError`] if the proof is not one of this root, or does not cover the key.
pub fn verify_value(
    root: &Hash,
    key: &[u8],
    proof_bytes: &[u8],
) -> Result<Option<Vec<u8>>, ProofError> {
    let tree = Proof::decode(proof_bytes)?.verify(root)?;
    Ok(tree.get(key)?.map(<[u8]>::to_vec))
}
