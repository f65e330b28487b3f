//! The roothash service: it takes up commitments, compares them, and writes the runtimes' blocks.
//!
//! It trusts no outcome: an outcome is known to it only through commitments. Who committed to
//! another outcome than the one that stands after a dispute is slashed. What is not here yet:
//! evidence of equivocation, liveness statistics, incoming messages, handlers of outgoing messages.
//!
//! Source: Oasis Core `roothash`; deviations stand at the items.

pub(crate) mod admission;
pub mod pool;
mod reject;
mod slashing;

pub use reject::{MODULE, Rejection};

use trilith_params::root::GAS_EXECUTOR_COMMIT;
use trilith_protocol::root::{EXECUTOR_COMMIT, NodeRoles, RoundFailure, RuntimeDescriptor};
use trilith_protocol::{
    BlockHeader, ExecutorCommitment, Fault, HeaderType, RootEvent, RootTransaction,
};
use trilith_types::{Epoch, Hash, NodeId, Round, RuntimeId, StateFault};

use crate::Refusal;
use crate::overlay::Overlay;
use crate::registry;
use crate::scope::{Call, Handler, Scope};
use crate::state::{NETWORK, OfRuntime, RoundResults, node_key};
use admission::Running;
use pool::{Pool, Verdict};

/// Code of an outgoing message for which the root has no handler.
const MESSAGE_UNKNOWN: u32 = 1;

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[(EXECUTOR_COMMIT, execute)];

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
    call.charge(scope, GAS_EXECUTOR_COMMIT)?;
    let transaction = RootTransaction::decode_body(body)
        .map_err(|error| Rejection::Malformed(error.to_string()))
        .and_then(delivers)?;
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
    let running = running(scope, &runtime)?;
    let key = OfRuntime::Pool.key(&runtime);
    let mut pool: Pool = scope.overlay.record(&key)?.unwrap_or_default();
    for commitment in commitments {
        let node = commitment.node_id;
        blame.node = Some(node);
        let (overlay, epoch) = (&mut scope.overlay, scope.epoch);
        admission::check(&running, &commitment, &mut |node| {
            roles_of(overlay, node, epoch)
        })?;
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

fn running(scope: &mut Scope<'_>, runtime: &RuntimeId) -> Result<Running, Refusal> {
    let overlay = &mut scope.overlay;
    let descriptor = overlay
        .record(&OfRuntime::Descriptor.key(runtime))?
        .ok_or(Rejection::UnknownRuntime(*runtime))?;
    let committee = overlay
        .record(&OfRuntime::Committee.key(runtime))?
        .ok_or(Rejection::Suspended(*runtime))?;
    let last: BlockHeader = overlay.required(&OfRuntime::Block.key(runtime))?;
    let last_hash = last.hash();
    let chain = scope.network.chain_context;
    Ok(Running {
        chain,
        descriptor,
        committee,
        last,
        last_hash,
    })
}

/// Takes up a runtime that is registered: its first block, and that there is something to do for
/// it. This cannot fail, because the list of runtimes is kept outside the overlay as well.
pub(crate) fn create(scope: &mut Scope<'_>, descriptor: &RuntimeDescriptor, round: u64) {
    let runtime = descriptor.id;
    let timestamp = scope.time.as_secs();
    let genesis = BlockHeader::genesis(runtime, timestamp, descriptor.genesis_state_root);
    let block = BlockHeader {
        round: Round(round),
        ..genesis
    };
    let overlay = &mut scope.overlay;
    overlay.put_record(OfRuntime::Descriptor.key(&runtime), descriptor);
    overlay.put_record(OfRuntime::Block.key(&runtime), &block);
    let runtimes = &mut scope.network.runtimes;
    if let Err(place) = runtimes.binary_search(&runtime) {
        runtimes.insert(place, runtime);
    }
    overlay.put_record(NETWORK.to_vec(), &scope.network);
}

/// What a node does: from the genesis document's plain list, or as registered.
pub(crate) fn roles_of(
    overlay: &mut Overlay<'_>,
    node: &NodeId,
    epoch: Epoch,
) -> Result<Option<NodeRoles>, StateFault> {
    match overlay.record(&node_key(node))? {
        Some(roles) => Ok(Some(roles)),
        None => registry::node_roles(overlay, node, epoch),
    }
}

/// Drops what was committed for the running round, and ends it with a block of `header_type`.
pub(crate) fn start_epoch(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    header_type: HeaderType,
) -> Result<(), StateFault> {
    scope.overlay.put(OfRuntime::Pool.key(runtime), None);
    let last: BlockHeader = scope.overlay.required(&OfRuntime::Block.key(runtime))?;
    let block = last.empty_child(scope.time.as_secs(), header_type);
    append(scope, block);
    Ok(())
}

/// Writes a runtime's next block.
fn append(scope: &mut Scope<'_>, header: BlockHeader) {
    let runtime = header.namespace;
    scope
        .overlay
        .put_record(OfRuntime::Block.key(&runtime), &header);
    scope.emit(RootEvent::RoundFinalized { runtime, header });
}

/// Processes the running rounds of all runtimes.
pub(crate) fn end_height(scope: &mut Scope<'_>) -> Result<(), Fault> {
    for runtime in scope.network.runtimes.clone() {
        process(scope, &runtime)?;
    }
    Ok(())
}

/// Processes the running round of one runtime until nothing more follows from what is there.
fn process(scope: &mut Scope<'_>, runtime: &RuntimeId) -> Result<(), Fault> {
    let key = OfRuntime::Pool.key(runtime);
    let Some(mut pool) = scope.overlay.record::<Pool>(&key)? else {
        return Ok(());
    };
    let running = match running(scope, runtime) {
        Ok(running) => running,
        Err(Refusal::Fault(fault)) => return Err(fault.into()),
        Err(Refusal::Reject(rejection)) => return Err(Fault(rejection.to_string())),
    };
    let (round, rules) = (running.last.round.next(), &running.descriptor.executor);
    loop {
        match pool.process(&running.committee, rules, scope.height) {
            Verdict::Wait => {
                scope.overlay.put_record(key, &pool);
                return Ok(());
            }
            Verdict::Disputed { rank, timeout } => {
                let runtime = *runtime;
                scope.emit(RootEvent::DiscrepancyDetected {
                    runtime,
                    round,
                    rank,
                    timeout,
                });
            }
            Verdict::Finalized {
                commitment,
                good,
                bad,
            } => {
                scope.overlay.put(key, None);
                if pool.is_disputed() {
                    slashing::for_incorrect_results(scope, runtime, &good, &bad)?;
                }
                finalize(scope, &running, &commitment, good, bad);
                return Ok(());
            }
            Verdict::Failed(reason) => {
                scope.overlay.put(key, None);
                fail(scope, &running, reason);
                return Ok(());
            }
        }
    }
}

fn finalize(
    scope: &mut Scope<'_>,
    running: &Running,
    commitment: &ExecutorCommitment,
    good: Vec<NodeId>,
    bad: Vec<NodeId>,
) {
    let results = &commitment.header.header;
    let or_empty = |hash: Option<Hash>| hash.unwrap_or(Hash::EMPTY);
    let messages = vec![MESSAGE_UNKNOWN; commitment.messages.len()];
    let record = RoundResults {
        round: results.round,
        messages,
        good,
        bad,
    };
    scope
        .overlay
        .put_record(OfRuntime::Results.key(&running.descriptor.id), &record);
    let empty = running
        .last
        .empty_child(scope.time.as_secs(), HeaderType::Normal);
    append(
        scope,
        BlockHeader {
            io_root: or_empty(results.io_root),
            state_root: or_empty(results.state_root),
            messages_hash: or_empty(results.messages_hash),
            in_msgs_hash: or_empty(results.in_msgs_hash),
            ..empty
        },
    );
}

fn fail(scope: &mut Scope<'_>, running: &Running, reason: RoundFailure) {
    let header = running
        .last
        .empty_child(scope.time.as_secs(), HeaderType::RoundFailed);
    let (runtime, round) = (running.descriptor.id, header.round);
    scope.emit(RootEvent::RoundFailed {
        runtime,
        round,
        reason,
    });
    append(scope, header);
}
