//! Runs one batch on one runtime, checks what came back, and seals it.
//!
//! The host is the only place where an [`Outcome`] becomes state. It knows the runtime as a trait
//! object and the store; it must not know ordering, committees or clients. What a runtime returns
//! is not trusted: an outcome that breaks the rules of [`trilith_protocol::Outcome`] is a fault of
//! this node ([`HostFault::BadOutcome`]), never sealed.
//!
//! Invariant: after [`Host::execute`] the store holds a candidate version whose root is the
//! returned one, and nothing else of the store has changed.

mod check;
mod inputs;

use std::sync::Arc;

use thiserror::Error;
use trilith_mkvs::{OneThread, TreeError};
use trilith_protocol::{
    Batch, ComputeResultsHeader, Fault, ImageChange, ImageWrite, Outcome, Receipt, RoundContext,
    RoundLimits, Runtime, io,
};
use trilith_store::{ImageUpdate, ImageUpdateKind, Store, StoreFault, View};
use trilith_types::{Hash, Round, RuntimeId, WriteLog};

pub use check::{OutcomeError, outcome as check_outcome};

/// Executes batches over one store.
#[derive(Clone)]
pub struct Host {
    store: Arc<Store>,
}

/// What a batch gave, sealed as a candidate version.
#[derive(Debug)]
pub struct Executed {
    /// The runtime's outcome. Its page files have been copied; its runs must not be used again.
    pub outcome: Outcome,
    /// Root of the sealed state.
    pub state_root: Hash,
    /// Root over inputs and outputs.
    pub io_root: Hash,
    /// Hash of the incoming messages that the round took up.
    pub in_msgs_hash: Hash,
}

impl Executed {
    /// The header an executor commits to, for `round` on top of the block `previous_hash`.
    pub fn results(&self, round: Round, previous_hash: Hash) -> ComputeResultsHeader {
        let payloads: Vec<&[u8]> = self
            .outcome
            .messages
            .iter()
            .map(|message| &message.payload[..])
            .collect();
        ComputeResultsHeader {
            round,
            previous_hash,
            io_root: Some(self.io_root),
            state_root: Some(self.state_root),
            messages_hash: Some(io::messages_hash(&payloads)),
            in_msgs_hash: Some(self.in_msgs_hash),
            in_msgs_count: self.outcome.incoming_taken,
        }
    }
}

/// Why a batch gave nothing.
#[derive(Debug, Error)]
pub enum HostFault {
    /// The runtime reports a fault of this node.
    #[error(transparent)]
    Runtime(#[from] Fault),
    /// The rules of the round are such as this build does not know. Trying again is of no use.
    #[error("this build cannot go on with runtime {runtime}: {reason}")]
    Outdated {
        /// The runtime.
        runtime: RuntimeId,
        /// What the runtime says.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// There is no such version to execute on.
    #[error("runtime {runtime} has no state with root {root} on this node")]
    UnknownParent {
        /// The runtime.
        runtime: RuntimeId,
        /// The root that was asked for.
        root: Hash,
    },
    /// The batch contains an input twice.
    #[error("input {index} of the batch stands in it before")]
    DuplicateInput {
        /// Index of the second.
        index: usize,
    },
    /// The runtime returned an outcome that breaks the rules.
    #[error("the outcome of runtime {runtime} is refused: {error}")]
    BadOutcome {
        /// The runtime.
        runtime: RuntimeId,
        /// The rule it breaks.
        error: OutcomeError,
    },
}

impl Host {
    /// A host over `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The view of one version.
    ///
    /// # Errors
    /// [`HostFault::UnknownParent`] if the store does not hold it.
    pub fn view(&self, runtime: RuntimeId, root: Hash) -> Result<Arc<View>, HostFault> {
        self.store
            .view(runtime, root)
            .ok_or(HostFault::UnknownParent { runtime, root })
    }

    /// Executes `batch` on the version `parent` and seals the outcome as a candidate.
    ///
    /// # Errors
    /// [`HostFault`]; nothing is sealed then.
    pub fn execute(
        &self,
        runtime: &dyn Runtime,
        parent: Hash,
        batch: &Batch,
        context: &RoundContext,
        limits: &RoundLimits,
    ) -> Result<Executed, HostFault> {
        let outcome = self.run(runtime, parent, batch, context, limits)?;
        self.seal(runtime, parent, batch, context, outcome)
    }

    /// Executes `batch` on the version `parent` and checks the outcome, whose page files stay as
    /// they are until the runtime executes again.
    ///
    /// # Errors
    /// [`HostFault`].
    pub fn run(
        &self,
        runtime: &dyn Runtime,
        parent: Hash,
        batch: &Batch,
        context: &RoundContext,
        limits: &RoundLimits,
    ) -> Result<Outcome, HostFault> {
        let names = inputs::names(&batch.inputs, &*self.store.workers());
        if let Some(index) = io::duplicate_name(&names) {
            return Err(HostFault::DuplicateInput { index });
        }
        let view = self.view(context.runtime, parent)?;
        let outcome =
            runtime
                .execute(&*view, batch, context, limits)
                .map_err(|fault| match runtime.outdated(&*view, context) {
                    Some(reason) => HostFault::Outdated {
                        runtime: context.runtime,
                        reason,
                    },
                    None => HostFault::Runtime(fault),
                })?;
        let checked = check::named(&outcome, &*view, &names, limits)
            .and_then(|()| check::incoming(&outcome, context).map(drop));
        checked.map_err(|error| HostFault::BadOutcome {
            runtime: context.runtime,
            error,
        })?;
        Ok(outcome)
    }

    /// Seals an outcome that [`Host::run`] gave for the same arguments as a candidate.
    ///
    /// # Errors
    /// [`HostFault`]; nothing is sealed then.
    pub fn seal(
        &self,
        runtime: &dyn Runtime,
        parent: Hash,
        batch: &Batch,
        context: &RoundContext,
        mut outcome: Outcome,
    ) -> Result<Executed, HostFault> {
        // Each receipt names its input, as was checked.
        let names: Vec<&Hash> = outcome.receipts.iter().map(|told| &told.input).collect();
        let io_root = inputs::root(batch, &names, &outcome.receipts, &*self.store.workers());
        let io_root = io_root.map_err(io_fault)?;
        let taken = check::incoming(&outcome, context).map_err(|error| HostFault::BadOutcome {
            runtime: context.runtime,
            error,
        })?;
        let in_msgs_hash = io::incoming_hash(taken);
        let images = outcome.images.drain(..).collect();
        let (id, round) = (context.runtime, context.round);
        let state_root = self.apply(id, round, parent, &outcome.write_log, images)?;
        runtime.sealed(state_root);
        Ok(Executed {
            outcome,
            state_root,
            io_root,
            in_msgs_hash,
        })
    }

    /// Seals what somebody else's execution changes as a candidate, and gives its root.
    ///
    /// # Errors
    /// [`HostFault::Store`] if the store refuses the changes or fails; nothing is sealed then.
    pub fn apply(
        &self,
        runtime: RuntimeId,
        round: Round,
        parent: Hash,
        write_log: &WriteLog,
        images: Vec<ImageWrite>,
    ) -> Result<Hash, HostFault> {
        let images: Vec<ImageUpdate> = images.into_iter().map(image_update).collect();
        let root = self
            .store
            .seal(runtime, round.0, parent, write_log, &images)?;
        Ok(root)
    }
}

/// Root over the inputs of a batch and what became of each.
///
/// # Errors
/// [`HostFault::Runtime`] if the inputs make no tree.
pub fn io_root(batch: &Batch, receipts: &[Receipt]) -> Result<Hash, HostFault> {
    let names = inputs::names(&batch.inputs, &OneThread);
    let names: Vec<&Hash> = names.iter().collect();
    let root = inputs::root(batch, &names, receipts, &OneThread).map_err(io_fault)?;
    Ok(root)
}

fn io_fault(error: TreeError) -> Fault {
    Fault(format!("the round's inputs make no tree: {error}"))
}

fn image_update(write: ImageWrite) -> ImageUpdate {
    let change = match write.change {
        ImageChange::Delete => ImageUpdateKind::Delete,
        ImageChange::Write { reset, pages, runs } => ImageUpdateKind::Write { reset, pages, runs },
    };
    ImageUpdate {
        id: write.image,
        change,
    }
}
