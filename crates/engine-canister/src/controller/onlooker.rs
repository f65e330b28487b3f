//! Running canisters on a snapshot without changing it: inspect_message and query calls.

use std::sync::Arc;

use candid::Principal;
use trilith_protocol::Fault;
use trilith_types::{Image, StateRead};

use super::begin::freeze;
use super::machine::{self, Advance, Entry, Memory, Surroundings};
use super::record::{Canister, ImageKind, image_id};
use super::snapshot::Snapshot;
use super::{CanisterEngine, price};
use crate::api::{ExecutionResult, GlobalValue, MemoryChanges, PreparedModule};

/// Looks at one version of the state.
pub(crate) struct Onlooker<'a> {
    pub(crate) engine: &'a CanisterEngine,
    pub(crate) view: &'a dyn StateRead,
    pub(crate) snapshot: &'a Snapshot,
    /// The time that canisters see.
    pub(crate) now: u64,
    /// The signature over the root of the state tree, if there is one.
    pub(crate) certificate: Option<&'a [u8]>,
}

/// The memories of a canister as a query left them, for the queries that it goes on with.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) heap: Image,
    pub(crate) stable: Image,
    pub(crate) globals: Vec<GlobalValue>,
    pub(crate) heap_pages: u64,
    pub(crate) stable_pages: u64,
}

impl Onlooker<'_> {
    pub(crate) fn canister(&self, id: &Principal) -> Option<&Canister> {
        self.snapshot.canisters.get(id).map(|canister| &**canister)
    }

    fn image(&self, id: Principal, kind: ImageKind) -> Result<Image, Fault> {
        Ok(self.view.image(&image_id(id, kind))?.unwrap_or_default())
    }

    /// The prepared module of a canister that has code.
    pub(crate) fn prepared(&self, id: Principal) -> Result<Option<Arc<PreparedModule>>, Fault> {
        let Some(code) = self
            .canister(&id)
            .and_then(|canister| canister.code.as_ref())
        else {
            return Ok(None);
        };
        let image = || self.image(id, ImageKind::Module);
        self.engine
            .modules
            .get(&*self.engine.config.executor, &code.module, image)
            .map(Some)
    }

    /// Runs an entry of a canister that exists and has code, on the memories of the snapshot.
    pub(crate) fn run(&self, id: Principal, entry: &Entry) -> Result<ExecutionResult, Fault> {
        self.run_on(id, entry, None)
    }

    /// As [`Onlooker::run`], on the memories that an earlier run left.
    pub(crate) fn run_on(
        &self,
        id: Principal,
        entry: &Entry,
        left: Option<&Left>,
    ) -> Result<ExecutionResult, Fault> {
        let lost = || Fault(format!("the canister {id} has no code to look at"));
        let module = self.prepared(id)?.ok_or_else(lost)?;
        let canister = self.canister(&id).ok_or_else(lost)?;
        let mut code = canister.code.clone().ok_or_else(lost)?;
        let (heap, stable) = match left {
            Some(left) => {
                code.globals.clone_from(&left.globals);
                (code.heap_pages, code.stable_pages, code.fresh) =
                    (left.heap_pages, left.stable_pages, false);
                (left.heap.clone(), left.stable.clone())
            }
            None => (
                self.image(id, ImageKind::Heap)?,
                self.image(id, ImageKind::Stable)?,
            ),
        };
        let config = &self.engine.config;
        let data_certificate = self
            .certificate
            .map(|signature| self.data_certificate(id, signature));
        let around = Surroundings {
            canister: id,
            subnet: config.subnet_id,
            root_key: &config.root_key_der,
            data_certificate,
        };
        let version = canister.memory_version.0.filter(|_| left.is_none());
        let memory = Memory {
            code: &code,
            heap: &heap,
            stable: &stable,
            version,
        };
        let frozen = freeze(
            canister,
            self.now,
            self.snapshot.meta.committee.len() as u64,
        );
        let request = || machine::request(&around, &memory, entry, &frozen);
        let bytes =
            || machine::module_bytes(&self.image(id, ImageKind::Module)?, code.module.bytes);
        let mut start = || machine::start(&*config.executor, &module, &bytes, &request);
        let slices = price::MESSAGE_INSTRUCTIONS / price::SLICE_INSTRUCTIONS + 1;
        match machine::advance(&mut start, None, 0, slices)? {
            Advance::Finished(result, _) => Ok(*result),
            Advance::Paused(_) => Err(Fault("a query used more slices than it has".to_owned())),
        }
    }

    /// What a canister's memories are after a run that changed them.
    pub(crate) fn left(
        &self,
        id: Principal,
        before: Option<&Left>,
        changes: MemoryChanges,
    ) -> Result<Left, Fault> {
        let (mut heap, mut stable) = match before {
            Some(left) => (left.heap.clone(), left.stable.clone()),
            None => (
                self.image(id, ImageKind::Heap)?,
                self.image(id, ImageKind::Stable)?,
            ),
        };
        heap.resize(changes.heap_wasm_pages * machine::PAGES_PER_WASM_PAGE);
        stable.resize(changes.stable_wasm_pages * machine::PAGES_PER_WASM_PAGE);
        changes
            .heap_runs
            .into_iter()
            .for_each(|run| heap.overlay(run));
        changes
            .stable_runs
            .into_iter()
            .for_each(|run| stable.overlay(run));
        Ok(Left {
            heap,
            stable,
            globals: changes.globals,
            heap_pages: changes.heap_wasm_pages,
            stable_pages: changes.stable_wasm_pages,
        })
    }
}
