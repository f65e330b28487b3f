//! What the stages ask of a store, and the two that answer.

mod nomt;
mod trilith;

use std::path::Path;

use crate::plan::Plan;
use crate::work::Key;

pub use nomt::NomtPeer;
pub use trilith::TrilithPeer;

/// A store of keys and values with a root.
pub trait Peer: Sized {
    /// A batch in the form in which this store takes it. Making one is not measured.
    type Batch;
    /// The current version, for reading.
    type Reader: Reader;

    /// Opens the store in a folder, or makes a new one.
    fn open(folder: &Path, plan: &Plan) -> anyhow::Result<Self>;

    /// Brings entries, which are in ascending order of keys, into this store's form.
    fn batch(entries: Vec<(Key, Vec<u8>)>) -> Self::Batch;

    /// Makes a new version from the current one. When this returns it has a root and is durable.
    fn commit(&mut self, batch: Self::Batch) -> anyhow::Result<()>;

    /// The root of the current version.
    fn root(&self) -> [u8; 32];

    /// The current version. No commit may be made while it is held.
    fn reader(&self) -> anyhow::Result<Self::Reader>;

    /// The value that an encoded proof shows for a key under a root that is known.
    fn verify(root: &[u8; 32], key: &Key, proof: &[u8]) -> anyhow::Result<Option<Vec<u8>>>;
}

/// One version of a store.
pub trait Reader {
    /// The value of a key.
    fn get(&self, key: &Key) -> anyhow::Result<Option<Vec<u8>>>;

    /// An encoded proof of a key that has a value, with the value in it.
    fn prove(&self, key: &Key) -> anyhow::Result<Vec<u8>>;
}
