//! The one interface between Trilith and an application: a runtime is a pure function from
//! `(state view, batch, round context, limits)` to an [`Outcome`].

use std::fmt;

use thiserror::Error;
use trilith_types::{
    Epoch, Hash, Height, NodeId, Round, RuntimeId, StateFault, StateRead, TimeNanos,
};

use crate::root::FromRoot;
use crate::{Batch, Demand, Outcome};

/// A replicated application.
///
/// Contract, for every method: the result depends on the arguments alone. No clock, file, entropy,
/// thread timing or environment may reach it. An implementation may cache, as long as the cache
/// cannot change a result. Methods may be called from several threads; [`Runtime::execute`] is
/// called by one thread at a time, while checks and queries go on beside it.
///
/// A runtime never commits: it returns what it would change. Dropping an outcome is a rollback.
pub trait Runtime: Send + Sync {
    /// Decides whether a transaction may enter the pool, on the newest finalised state. Only a
    /// filter: [`Runtime::execute`] judges again, because a batch may come from anyone.
    ///
    /// # Errors
    /// [`Reject`] if the transaction may not enter; it has no effect.
    fn check(
        &self,
        view: &dyn StateRead,
        transaction: &[u8],
        context: &CheckContext,
    ) -> Result<Admission, Reject>;

    /// Executes a batch. Inputs that are invalid give a receipt that says so and change nothing.
    ///
    /// # Errors
    /// [`Fault`] if this node could not do it: its disk, its sandbox. Never part of an outcome.
    fn execute(
        &self,
        view: &dyn StateRead,
        batch: &Batch,
        context: &RoundContext,
        limits: &RoundLimits,
    ) -> Result<Outcome, Fault>;

    /// Answers a question about one version of the state without changing it. The bytes of request
    /// and answer are the runtime's own format.
    ///
    /// # Errors
    /// [`QueryError`] if the question is invalid, or this node could not answer it.
    fn query(
        &self,
        view: &dyn StateRead,
        request: &[u8],
        context: &QueryContext,
    ) -> Result<Vec<u8>, QueryError>;

    /// When this state needs a round even if no transaction arrives (timers, work left over).
    ///
    /// # Errors
    /// [`Fault`] if the state cannot be read.
    fn demand(&self, view: &dyn StateRead) -> Result<Demand, Fault>;

    /// Why this build can never execute the round of `context` on `view`, however often it tries:
    /// the rules for it are such as it does not know. The node asks after a fault, and ends with
    /// what this says, so that somebody installs another version; it must not end for what anybody
    /// but the root's governance decides.
    fn outdated(&self, view: &dyn StateRead, context: &RoundContext) -> Option<String> {
        let _of_all_rounds = (view, context);
        None
    }

    /// Tells that the outcome returned last was sealed as `root`. A hint for caches; a runtime
    /// that ignores it gives the same results.
    fn sealed(&self, root: Hash);
}

/// What a check may see beside the state.
#[derive(Clone, Debug)]
pub struct CheckContext {
    /// The runtime.
    pub runtime: RuntimeId,
    /// This node's estimate of the present. A check is not part of consensus, so it may use it.
    pub now: TimeNanos,
}

/// What the pool needs to know of a transaction that may enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Identity for duplicates and receipts, chosen by the runtime (a request id, say).
    pub id: Hash,
    /// Who sent it, for fairness between senders.
    pub sender: Vec<u8>,
    /// Higher goes first.
    pub priority: u64,
    /// After this time the transaction is useless and may be dropped.
    pub expires: TimeNanos,
}

/// The agreed circumstances of a round.
#[derive(Clone, Debug)]
pub struct RoundContext {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round that is executed.
    pub round: Round,
    /// The agreed time of the round, never before that of the previous round.
    pub time: TimeNanos,
    /// The newest root height when the batch was proposed.
    pub height: Height,
    /// The epoch of that height.
    pub epoch: Epoch,
    /// Public keys of the committee's primary executors, in committee order. For the root: the
    /// validators that signed for the height before, the proposer of this one first; empty where
    /// the ordering does not tell.
    pub committee: Vec<NodeId>,
    /// Randomness that was unknown when the round before the previous one was fixed: 32 bytes from
    /// a threshold signature over the height before the one that fixed the previous round, or a
    /// later one; `None` where there is none yet. May only answer requests that were made two
    /// rounds earlier or before: whoever proposed the previous round may have known it.
    pub randomness: Option<[u8; 32]>,
    /// What the root's state of that height says of the round. Empty for the root itself.
    pub from_root: FromRoot,
}

/// The bounds of a round that the runtime's descriptor sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundLimits {
    /// Most inputs of a batch.
    pub batch_inputs_max: u32,
    /// Most bytes of all inputs of a batch together.
    pub batch_bytes_max: u64,
    /// Most outgoing messages of a round.
    pub messages_max: u32,
}

/// A signature of the validators over an attested leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedSignature {
    /// The state root whose leaf was signed.
    pub state_root: Hash,
    /// The leaf's value.
    pub value: [u8; 32],
    /// The signature, in the form the leaf asks for.
    pub signature: Vec<u8>,
}

/// What a query may see beside the state.
#[derive(Clone, Debug)]
pub struct QueryContext {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round whose state is asked.
    pub round: Round,
    /// The agreed time of that round.
    pub time: TimeNanos,
    /// This node's estimate of the present, for the expiry of requests only.
    pub now: TimeNanos,
    /// The validators' signature over the attested leaf of this very state, where there is one.
    pub attested: Option<AttestedSignature>,
}

/// The input is invalid and has no effect. `module` and `code` are numbers that are never reused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Reject {
    /// Which part of the system rejects.
    pub module: &'static str,
    /// The reason within the module.
    pub code: u32,
    /// States fact, value and limit.
    pub message: String,
}

/// This node could not do its work: disk, sandbox, peer. Never part of state or of an outcome. The
/// node tries again, and if that fails too it abstains; or it ends, where [`Runtime::outdated`] says
/// that trying is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "fault of this node: {}", self.0)
    }
}

impl std::error::Error for Fault {}

impl From<StateFault> for Fault {
    fn from(fault: StateFault) -> Self {
        Self(fault.to_string())
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The question is invalid.
    #[error(transparent)]
    Reject(#[from] Reject),
    /// This node could not answer it.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<StateFault> for QueryError {
    fn from(fault: StateFault) -> Self {
        Self::Fault(fault.into())
    }
}
