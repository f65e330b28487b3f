//! The end of rounds: what the pool decides at the end of a height, and what follows from it.
//!
//! ```text
//! an outcome stands:  incoming messages are compared and taken out of the queue, else the round
//!                     fails; outgoing messages are executed; who was wrong in a dispute is slashed;
//!                     results are kept for the runtime's next round; a block is written
//! a round fails:      a block without outcome is written
//! ```
//!
//! Source: Oasis Core `apps/roothash/finalization.go`.

use trilith_protocol::root::{MessageResult, RoundFailure, RoundResults as Results};
use trilith_protocol::{BlockHeader, ExecutorCommitment, Fault, HeaderType, RootEvent, io};
use trilith_types::{Hash, NodeId, PublicKey, RuntimeId, StateFault};

use super::admission::Running;
use super::pool::{Pool, Verdict};
use super::{append, incoming, liveness, outgoing, slashing};
use crate::scope::Scope;
use crate::state::{OfRuntime, RoundResults};
use crate::{Refusal, registry};

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
    let chain = scope.network.chain_context;
    let running = match Running::load(&mut scope.overlay, chain, runtime) {
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
                let voters = Voters { good, bad };
                finalize(scope, &running, &commitment, voters, pool.is_disputed())?;
                return Ok(());
            }
            Verdict::Failed(reason) => {
                scope.overlay.put(key, None);
                fail(scope, &running, reason)?;
                return Ok(());
            }
        }
    }
}

/// Who voted for the outcome that stands, and who for another one.
struct Voters {
    good: Vec<NodeId>,
    bad: Vec<NodeId>,
}

fn finalize(
    scope: &mut Scope<'_>,
    running: &Running,
    commitment: &ExecutorCommitment,
    voters: Voters,
    disputed: bool,
) -> Result<(), StateFault> {
    let (runtime, header) = (&running.descriptor.id, &commitment.header.header);
    let taken = incoming::oldest(scope, runtime, header.in_msgs_count)?;
    if header.in_msgs_hash != Some(io::incoming_hash(&taken)) {
        return fail(scope, running, RoundFailure::IncomingMessages);
    }
    liveness::finalized(scope, running, commitment, &voters.good)?;
    incoming::remove(scope, runtime, header.round, taken)?;
    let messages = outgoing::execute(scope, runtime, header.round, &commitment.messages)?;
    keep_results(scope, running, messages, voters, disputed)?;
    let or_empty = |hash: Option<Hash>| hash.unwrap_or(Hash::EMPTY);
    let empty = running
        .last
        .empty_child(scope.time.as_secs(), HeaderType::Normal);
    let block = BlockHeader {
        io_root: or_empty(header.io_root),
        state_root: or_empty(header.state_root),
        messages_hash: or_empty(header.messages_hash),
        in_msgs_hash: or_empty(header.in_msgs_hash),
        ..empty
    };
    append(scope, block)
}

/// Punishes who was wrong, and keeps what the runtime's next round is told.
fn keep_results(
    scope: &mut Scope<'_>,
    running: &Running,
    messages: Vec<MessageResult>,
    voters: Voters,
    disputed: bool,
) -> Result<(), StateFault> {
    let runtime = &running.descriptor.id;
    let Voters { good, bad } = voters;
    let good_compute_entities = entities(scope, running, &good)?;
    let bad_compute_entities = entities(scope, running, &bad)?;
    if disputed {
        slashing::for_incorrect_results(scope, runtime, &good, &bad)?;
    }
    let record = RoundResults {
        round: running.last.round.next(),
        results: Results {
            messages,
            good_compute_entities,
            bad_compute_entities,
        },
        good,
        bad,
    };
    scope
        .overlay
        .put_record(OfRuntime::Results.key(runtime), &record);
    Ok(())
}

/// The entities of some members, in the order of the committee; none for a node that is not
/// registered.
fn entities(
    scope: &mut Scope<'_>,
    running: &Running,
    nodes: &[NodeId],
) -> Result<Vec<PublicKey>, StateFault> {
    let committee = &running.committee;
    let backups = committee.backups.iter();
    let only = backups.filter(|node| !committee.workers.contains(node));
    let mut entities = Vec::new();
    for member in committee.workers.iter().chain(only) {
        if nodes.contains(member) {
            entities.extend(registry::entity_of(scope, member)?);
        }
    }
    Ok(entities)
}

fn fail(scope: &mut Scope<'_>, running: &Running, reason: RoundFailure) -> Result<(), StateFault> {
    liveness::failed(scope, running)?;
    let header = running
        .last
        .empty_child(scope.time.as_secs(), HeaderType::RoundFailed);
    let (runtime, round) = (running.descriptor.id, header.round);
    scope.emit(RootEvent::RoundFailed {
        runtime,
        round,
        reason,
    });
    append(scope, header)
}
