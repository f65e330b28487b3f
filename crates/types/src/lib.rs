//! Ids, hashes, canonical encoding, signature contexts, signed envelopes and the vocabulary of
//! state.
//!
//! This crate is the bottom of the workspace: it knows no other crate of Trilith, does no I/O of
//! its own beyond reading page files it was handed, and never looks at a clock or at entropy.
//! Consensus bytes come only from [`cbor`]; hashes of consensus data only from [`Hash`]; every
//! signature of a Trilith node is made under a [`SignatureContext`].

pub mod cbor;
pub mod drbg;
pub mod hash;
pub mod hash_tree;
pub mod id;
pub mod image;
pub mod permutation;
pub mod representation_hash;
pub mod signature;
pub mod state;
pub mod tuple_hash;
pub mod vrf;

pub use hash::Hash;
pub use hash_tree::HashTree;
pub use id::{Epoch, Height, NodeId, Round, RuntimeId, TimeNanos};
pub use image::{Image, ImageId, PAGE_BYTES, PageFile, PageRun};
pub use signature::{PublicKey, SecretKey, Signature, SignatureContext, SignatureError};
pub use state::{StateFault, StateRead, WriteLog, WriteLogEntry};
pub use tuple_hash::TupleHash;
pub use vrf::{VrfError, VrfOutput, VrfProof};
