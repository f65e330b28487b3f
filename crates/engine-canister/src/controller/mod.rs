//! The controller of the canister engine: state, messages, cycles, scheduling, the management
//! canister, queries.
//!
//! Knows the records of the state and the executor's interface ([`crate::api`]); knows no Wasm, no
//! process and no network. Invariants: an outcome depends on view, batch and context alone; the
//! caches (decoded snapshots, prepared modules, live executions, verified signatures) save work
//! and change nothing; an outcome that is dropped leaves no trace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candid::Principal;
use trilith_protocol::{
    Admission, Batch, CheckContext, Demand, Fault, Outcome, QueryContext, QueryError, Reject,
    RoundContext, RoundLimits, Runtime,
};
use trilith_types::{Hash, StateRead, TimeNanos};

use crate::api::Executor;
use crate::certified::Identity;
use crate::ingress::Judge;

mod admit;
mod answer;
mod archive;
mod begin;
mod codec;
mod composite;
mod install;
mod machine;
mod management;
mod memory_file;
mod message;
mod onlooker;
mod overlay;
mod permission;
mod price;
pub mod query_format;
pub(crate) mod record;
pub(crate) mod reject;
mod remembered;
mod respond;
mod round;
pub(crate) mod snapshot;

pub use codec::fuzz_record;
pub use query_format::fuzz_query;
pub use snapshot::ATTESTED_KEY;

use machine::Modules;
use round::{Live, Sealable};
use snapshot::Snapshot;

/// `Reject::module` of refusals that are about the node, not the request.
pub const MODULE: &str = "canister-engine";
/// The question is malformed.
pub const CODE_QUERY: u32 = 1;
/// The state that was asked has no signature of the validators.
pub const CODE_NO_CERTIFICATE: u32 = 2;
/// A check could not be made because this node failed.
pub const CODE_FAULT: u32 = 3;

/// Decoded versions of the state that are kept.
const SNAPSHOTS_MAX: usize = 4;

/// What an engine is made from. Part of the network's definition: all nodes of a network use the
/// same ids and keys.
#[derive(Clone)]
pub struct EngineConfig {
    /// Runs Wasm.
    pub executor: Arc<dyn Executor>,
    /// The subnet's id.
    pub subnet_id: Principal,
    /// DER encoding of the public key under which certificates verify.
    pub root_key_der: Vec<u8>,
}

/// The canister engine: a [`Runtime`].
pub struct CanisterEngine {
    config: EngineConfig,
    judge: Judge,
    modules: Modules,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// Newest last.
    snapshots: Vec<(Hash, Arc<Snapshot>)>,
    /// Executions that go on from a state.
    live: Option<(Hash, Live)>,
    /// What the outcome returned last gives once it is sealed.
    pending: Option<Sealable>,
}

impl CanisterEngine {
    /// An engine with empty caches.
    pub fn new(config: EngineConfig) -> Self {
        Self {
            judge: Judge::new(&config.root_key_der),
            config,
            modules: Modules::default(),
            cache: Mutex::default(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The decoded state of a view, from the cache or read from the view.
    fn snapshot(&self, view: &dyn StateRead) -> Result<Arc<Snapshot>, Fault> {
        let root = view.root();
        if let Some((_, found)) = self
            .cache()
            .snapshots
            .iter()
            .find(|(known, _)| *known == root)
        {
            return Ok(found.clone());
        }
        let loaded = Arc::new(Snapshot::load(view)?);
        self.cache().keep(root, loaded.clone());
        Ok(loaded)
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            subnet: self.config.subnet_id,
            root_key: &self.config.root_key_der,
        }
    }
}

/// Whether a batch is within the bounds of the runtime's descriptor. Nobody may propose another
/// one, so that this is no outcome: a node that is handed one does not take part.
fn check_size(batch: &Batch, limits: &RoundLimits) -> Result<(), Fault> {
    let (inputs, most) = (batch.inputs.len(), limits.batch_inputs_max);
    if inputs as u64 > u64::from(most) {
        return Err(Fault(format!(
            "the batch has {inputs} inputs, the limit is {most}"
        )));
    }
    let bytes: u64 = batch
        .inputs
        .iter()
        .map(|input| input.bytes().len() as u64)
        .sum();
    let most = limits.batch_bytes_max;
    if bytes > most {
        return Err(Fault(format!(
            "the inputs of the batch have {bytes} bytes, the limit is {most}"
        )));
    }
    Ok(())
}

impl Cache {
    fn keep(&mut self, root: Hash, snapshot: Arc<Snapshot>) {
        self.snapshots.retain(|(known, _)| *known != root);
        if self.snapshots.len() >= SNAPSHOTS_MAX {
            self.snapshots.remove(0);
        }
        self.snapshots.push((root, snapshot));
    }
}

impl Runtime for CanisterEngine {
    fn check(
        &self,
        view: &dyn StateRead,
        transaction: &[u8],
        context: &CheckContext,
    ) -> Result<Admission, Reject> {
        admit::check(self, view, transaction, context)
    }

    fn execute(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
        context: &RoundContext,
        limits: &RoundLimits,
    ) -> Result<Outcome, Fault> {
        check_size(batch, limits)?;
        let live = {
            let mut cache = self.cache();
            cache.pending = None;
            // Executions of another state are of no use here, but may be when that one comes back.
            match cache.live.take() {
                Some((root, live)) if root == view.root() => live,
                other => {
                    cache.live = other;
                    Live::default()
                }
            }
        };
        let (outcome, sealable) = round::execute(self, view, batch, context, live)?;
        self.cache().pending = Some(sealable);
        Ok(outcome)
    }

    fn query(
        &self,
        view: &dyn StateRead,
        request: &[u8],
        context: &QueryContext,
    ) -> Result<Vec<u8>, QueryError> {
        answer::answer(self, view, request, context).map(|answer| answer.encode())
    }

    fn demand(&self, view: &dyn StateRead) -> Result<Demand, Fault> {
        let snapshot = self.snapshot(view)?;
        let meta = &snapshot.meta;
        let is_busy = !snapshot.active.is_empty()
            || !snapshot.heartbeats.is_empty()
            || !meta.management.is_empty()
            || !meta.randomness.is_empty()
            || meta.installing.is_some();
        if is_busy {
            return Ok(Demand::Now);
        }
        Ok(snapshot
            .wakes
            .first()
            .map_or(Demand::Idle, |(at, _)| Demand::At(TimeNanos(*at))))
    }

    fn sealed(&self, root: Hash) {
        let mut cache = self.cache();
        if let Some(Sealable { snapshot, live }) = cache.pending.take() {
            cache.keep(root, snapshot);
            cache.live = Some((root, live));
        }
    }
}
