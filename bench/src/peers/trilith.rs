//! The state store, used as a node uses it: seal, finalise, sync.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use trilith_proof::mkvs::verify_value;
use trilith_store::{Store, View};
use trilith_types::{Hash, RuntimeId, StateRead, WriteLog, WriteLogEntry};

use super::{Peer, Reader};
use crate::plan::Plan;
use crate::work::Key;

const NAMESPACE: RuntimeId = RuntimeId::test(1);

/// A store with one namespace.
pub struct TrilithPeer {
    store: Store,
    round: u64,
    root: Hash,
}

impl Peer for TrilithPeer {
    type Batch = WriteLog;
    type Reader = Arc<View>;

    fn open(folder: &Path, _plan: &Plan) -> anyhow::Result<Self> {
        let (store, _report) = Store::open_dir(folder)?;
        let (round, root) = store.current(NAMESPACE).unwrap_or((0, Hash::EMPTY));
        Ok(Self { store, round, root })
    }

    fn batch(entries: Vec<(Key, Vec<u8>)>) -> WriteLog {
        let entry = |(key, value): (Key, Vec<u8>)| WriteLogEntry {
            key: key.to_vec(),
            value: Some(value),
        };
        entries.into_iter().map(entry).collect()
    }

    fn commit(&mut self, batch: WriteLog) -> anyhow::Result<()> {
        self.round += 1;
        self.root = self
            .store
            .seal(NAMESPACE, self.round, self.root, &batch, &[])?;
        self.store.finalise(NAMESPACE, self.round, self.root)?;
        self.store.sync()?;
        // A store that could not write its checkpoint would go on, and look fast.
        match self.store.checkpoint_fault() {
            Some(fault) => Err(fault.into()),
            None => Ok(()),
        }
    }

    fn root(&self) -> [u8; 32] {
        *self.root.as_bytes()
    }

    fn reader(&self) -> anyhow::Result<Arc<View>> {
        let view = self.store.view(NAMESPACE, self.root);
        view.context("the store has no view of its current root")
    }

    fn verify(root: &[u8; 32], key: &Key, proof: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(verify_value(&Hash::from_bytes(*root), key, proof)?)
    }
}

impl Reader for Arc<View> {
    fn get(&self, key: &Key) -> anyhow::Result<Option<Vec<u8>>> {
        StateRead::get(&**self, key).map_err(|fault| anyhow::anyhow!("{fault}"))
    }

    fn prove(&self, key: &Key) -> anyhow::Result<Vec<u8>> {
        Ok(View::prove(self, key)?.encode())
    }
}
