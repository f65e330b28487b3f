//! The roothash service: it takes up commitments, compares them, writes the runtimes' blocks, and
//! carries messages between the root and its runtimes.
//!
//! It trusts no outcome: an outcome is known to it only through commitments. Who committed to
//! another outcome than the one that stands after a dispute is slashed, and so is who signed two
//! different things; who did not do its work is not elected for a while.
//!
//! | key | value |
//! |---|---|
//! | `Hp` | parameters |
//! | `Hl` ‖ runtime | how the members of its committee worked in the running epoch |
//! | `Hm` ‖ runtime | numbers of the oldest and of the next incoming message |
//! | `Hi` ‖ runtime ‖ number | an incoming message that waits |
//! | `He` ‖ runtime ‖ round ‖ hash | that a node is punished for a round |
//! | `Ha` ‖ runtime ‖ round | the roots of a round |
//!
//! Blocks, pools and results of rounds stand where [`crate::state`] says.
//!
//! Deviation from Oasis Core: what a registered runtime's descriptor says of slashing, liveness and
//! incoming messages holds as soon as it is registered, not from the next epoch on.
//!
//! Source: Oasis Core `roothash`; other deviations stand at the items.

pub(crate) mod admission;
mod evidence;
mod genesis;
mod history;
mod incoming;
mod liveness;
mod outgoing;
mod parameters;
pub mod pool;
mod reject;
mod round;
mod slashing;
mod store;

pub use genesis::export;
pub use history::round_roots;
pub use incoming::incoming_messages;
pub use liveness::liveness;
pub use parameters::parameters;
pub use reject::{EvidenceRule, MODULE, Rejection};

pub(crate) use genesis::import;
pub(crate) use incoming::queue_is_whole;
pub(crate) use liveness::before_election;
pub(crate) use parameters::{change_parameters, check_runtime};
pub(crate) use round::end_height;

use trilith_protocol::root::{
    EXECUTOR_COMMIT, FromRoot, GAS_COMPUTE_COMMIT, RuntimeDescriptor, SUBMIT_EVIDENCE,
    SUBMIT_MESSAGE,
};
use trilith_protocol::{BlockHeader, HeaderType, RootEvent, RootTransaction};
use trilith_types::{NodeId, Round, RuntimeId, StateFault, StateRead};

use crate::Refusal;
use crate::scope::{Call, Handler, Scope};
use crate::state::{self, NETWORK, OfRuntime};
use admission::Running;
use parameters::parameters_of;
use pool::Pool;

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    (EXECUTOR_COMMIT, execute),
    (SUBMIT_EVIDENCE, evidence::submit),
    (SUBMIT_MESSAGE, incoming::submit),
];

/// Whose commitment was at fault, as far as that is known.
#[derive(Default)]
pub(crate) struct Blame {
    pub(crate) runtime: Option<RuntimeId>,
    pub(crate) node: Option<NodeId>,
}

/// Reads a transaction that delivers something.
pub(crate) fn decode(bytes: &[u8]) -> Result<RootTransaction, Rejection> {
    let transaction =
        RootTransaction::decode(bytes).map_err(|error| Rejection::Malformed(error.to_string()))?;
    delivers(transaction)
}

fn delivers(transaction: RootTransaction) -> Result<RootTransaction, Rejection> {
    let RootTransaction::ExecutorCommit { commitments, .. } = &transaction;
    if commitments.is_empty() {
        Err(Rejection::Empty)
    } else {
        Ok(transaction)
    }
}

/// Takes up commitments that a signed transaction delivers.
fn execute(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    parameters::charge(scope, call, &parameters, GAS_COMPUTE_COMMIT)?;
    let transaction = RootTransaction::decode_body(body)
        .map_err(|error| Rejection::Malformed(error.to_string()))
        .and_then(delivers)?;
    let RootTransaction::ExecutorCommit { commitments, .. } = &transaction;
    outgoing::charge(scope, call, commitments)?;
    commit(scope, transaction, &mut Blame::default())
}

/// Takes up the commitments of a transaction. Notes whose they are as far as it gets.
pub(crate) fn commit(
    scope: &mut Scope<'_>,
    transaction: RootTransaction,
    blame: &mut Blame,
) -> Result<(), Refusal> {
    let RootTransaction::ExecutorCommit {
        runtime,
        commitments,
    } = transaction;
    blame.runtime = Some(runtime);
    let chain = scope.network.chain_context;
    let running = Running::load(&mut scope.overlay, chain, &runtime)?;
    let key = OfRuntime::Pool.key(&runtime);
    let mut pool: Pool = scope.overlay.record(&key)?.unwrap_or_default();
    for commitment in commitments {
        let node = commitment.node_id;
        blame.node = Some(node);
        admission::check(&running, &commitment)?;
        let (round, vote) = (commitment.header.header.round, commitment.vote());
        let rules = &running.descriptor.executor;
        pool.add(commitment, &running.committee, rules, scope.height)?;
        scope.emit(RootEvent::CommitmentAccepted {
            runtime,
            round,
            node,
            vote,
        });
    }
    scope.overlay.put_record(key, &pool);
    Ok(())
}

/// Takes up a runtime that is registered: its first block, and that there is something to do for
/// it. Nothing else may refuse the registration after this, because the list of runtimes is kept
/// outside the overlay as well.
pub(crate) fn create(
    scope: &mut Scope<'_>,
    descriptor: &RuntimeDescriptor,
    round: u64,
) -> Result<(), StateFault> {
    let runtime = descriptor.id;
    let timestamp = scope.time.as_secs();
    let genesis = BlockHeader::genesis(runtime, timestamp, descriptor.genesis_state_root);
    let block = BlockHeader {
        round: Round(round),
        ..genesis
    };
    history::remember(scope, &block)?;
    let overlay = &mut scope.overlay;
    overlay.put_record(OfRuntime::Descriptor.key(&runtime), descriptor);
    overlay.put_record(OfRuntime::Block.key(&runtime), &block);
    let runtimes = &mut scope.network.runtimes;
    if let Err(place) = runtimes.binary_search(&runtime) {
        runtimes.insert(place, runtime);
    }
    overlay.put_record(NETWORK.to_vec(), &scope.network);
    Ok(())
}

/// Keeps the roots of the blocks that a document starts from.
pub(crate) fn start_network(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    for runtime in scope.network.runtimes.clone() {
        let block: BlockHeader = scope.overlay.required(&OfRuntime::Block.key(&runtime))?;
        history::remember(scope, &block)?;
    }
    Ok(())
}

/// Drops what was committed for the running round, and ends it with a block of `header_type`. What
/// is known of the epoch before is forgotten.
pub(crate) fn start_epoch(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    header_type: HeaderType,
) -> Result<(), StateFault> {
    evidence::prune(scope, runtime)?;
    liveness::forget(scope, runtime);
    scope.overlay.put(OfRuntime::Pool.key(runtime), None);
    let last: BlockHeader = scope.overlay.required(&OfRuntime::Block.key(runtime))?;
    let block = last.empty_child(scope.time.as_secs(), header_type);
    append(scope, block)
}

/// Writes a runtime's next block.
fn append(scope: &mut Scope<'_>, header: BlockHeader) -> Result<(), StateFault> {
    let runtime = header.namespace;
    scope
        .overlay
        .put_record(OfRuntime::Block.key(&runtime), &header);
    history::remember(scope, &header)?;
    scope.emit(RootEvent::RoundFinalized { runtime, header });
    Ok(())
}

/// What a round of a runtime sees of the root: the messages that wait for it, and what became of
/// the newest round with an outcome.
pub(crate) fn news(view: &dyn StateRead, runtime: &RuntimeId) -> Result<FromRoot, StateFault> {
    Ok(FromRoot {
        features: Vec::new(),
        incoming: incoming_messages(view, runtime)?,
        results: state::round_results(view, runtime)?.map(|record| record.results),
    })
}
