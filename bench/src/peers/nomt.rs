//! `nomt` with its default options and its Blake3 hasher, used as its documentation says: a
//! session a commit, and the session's root.

use std::path::Path;

use ::nomt::hasher::{Blake3Hasher, ValueHasher};
use ::nomt::proof::PathProof;
use ::nomt::trie::LeafData;
use ::nomt::{KeyReadWrite, Nomt, Options, Session, SessionParams};
use anyhow::{Context, anyhow, ensure};
use bitvec::order::Msb0;
use bitvec::view::BitView;
use borsh::BorshDeserialize;

use super::{Peer, Reader};
use crate::plan::Plan;
use crate::work::Key;

/// A `nomt` database.
pub struct NomtPeer {
    database: Nomt<Blake3Hasher>,
}

impl Peer for NomtPeer {
    type Batch = Vec<(Key, KeyReadWrite)>;
    type Reader = Session<Blake3Hasher>;

    fn open(folder: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut options = Options::new();
        options.path(folder);
        // The default seed is drawn from entropy; with this one a run can be repeated.
        options.bitbox_seed([1; 16]);
        if let Some(buckets) = plan.nomt_buckets {
            options.hashtable_buckets(buckets);
        }
        let database = Nomt::open(options)?;
        Ok(Self { database })
    }

    fn batch(entries: Vec<(Key, Vec<u8>)>) -> Self::Batch {
        let write = |(key, value)| (key, KeyReadWrite::Write(Some(value)));
        entries.into_iter().map(write).collect()
    }

    fn commit(&mut self, batch: Self::Batch) -> anyhow::Result<()> {
        let session = self.database.begin_session(SessionParams::default());
        session.finish(batch)?.commit(&self.database)
    }

    fn root(&self) -> [u8; 32] {
        self.database.root().into_inner()
    }

    fn reader(&self) -> anyhow::Result<Self::Reader> {
        Ok(self.database.begin_session(SessionParams::default()))
    }

    fn verify(root: &[u8; 32], key: &Key, proof: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let mut value = proof;
        let path = PathProof::deserialize(&mut value)?;
        let verified = path
            .verify::<Blake3Hasher>(key.view_bits::<Msb0>(), *root)
            .map_err(|error| anyhow!("the path is not one of the root: {error:?}"))?;
        let leaf = LeafData {
            key_path: *key,
            value_hash: Blake3Hasher::hash_value(value),
        };
        let confirmed = verified
            .confirm_value(&leaf)
            .map_err(|error| anyhow!("the path is not one of the key: {error:?}"))?;
        ensure!(confirmed, "the path leads to another value");
        Ok(Some(value.to_vec()))
    }
}

impl Reader for Session<Blake3Hasher> {
    fn get(&self, key: &Key) -> anyhow::Result<Option<Vec<u8>>> {
        self.read(*key)
    }

    /// The path in `nomt`'s own encoding, and behind it the value, of which the path has only the
    /// hash.
    fn prove(&self, key: &Key) -> anyhow::Result<Vec<u8>> {
        let path = Session::prove(self, *key)?;
        let value = self.read(*key)?.context("a key to be proven has a value")?;
        let mut bytes = borsh::to_vec(&path)?;
        bytes.extend_from_slice(&value);
        Ok(bytes)
    }
}
