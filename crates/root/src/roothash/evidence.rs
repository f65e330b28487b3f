//! Evidence that a node signed two different things in one round.
//!
//! ```text
//! commitments: of one node, to one scheduler's proposal, for one round, both well-formed and signed;
//!              two outcomes that differ, an outcome and a failure, or two kinds of failure
//! proposals:   of one node, for one round, both signed; on another block or of another batch
//! ```
//!
//! Commitments to the proposals of two schedulers are no equivocation: a member follows the next
//! rank where the first is silent. Storage receipts and signatures of enclaves are no part of what
//! is compared. A node is punished for a round once, whatever it signed, and whoever shows it is
//! rewarded. Evidence is heard for some rounds, and what is known of older ones is forgotten at the
//! next epoch.
//!
//! Deviations from Oasis Core: outcomes that differ in nothing but the incoming messages they took
//! up are an equivocation too, because they are different votes; where the runtime's rule has a
//! freeze interval, the node is frozen.
//!
//! Source: Oasis Core `roothash/api` (`Evidence`), `apps/roothash/transactions.go`
//! (`submitEvidence`), `slashing.go` (`onEvidenceRuntimeEquivocation`).

use std::ops::ControlFlow;

use trilith_protocol::root::staking::SlashReason;
use trilith_protocol::root::{
    CommitmentEquivocation, EquivocationEvent, Evidence, GAS_EVIDENCE, ProposalEquivocation,
    RoothashEvent,
};
use trilith_protocol::{BlockHeader, ExecutorCommitment, RootEvent};
use trilith_types::{Hash, NodeId, Round, RuntimeId, StateFault};

use super::admission::{self, Running};
use super::parameters::{charge, parameters_of};
use super::store::{MARK, evidence_key, evidence_prefix, round_of};
use super::{EvidenceRule, Rejection, slashing};
use crate::scope::{Call, Scope};
use crate::state::OfRuntime;
use crate::{Refusal, registry};

/// `roothash.Evidence`.
pub(super) fn submit(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let evidence =
        Evidence::decode(body).map_err(|error| Rejection::Malformed(error.to_string()))?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_EVIDENCE)?;
    let chain = scope.network.chain_context;
    let (node, round) = accused(&evidence).map_err(Rejection::Evidence)?;
    let runtime = evidence.id;
    let running = Running::load(&mut scope.overlay, chain, &runtime)?;
    let descriptor = registry::running(scope, &runtime)?;
    let descriptor = descriptor.ok_or(Rejection::DoesNotSlash(runtime))?;
    let penalty = descriptor
        .staking
        .slashing
        .get(&SlashReason::RuntimeEquivocation);
    let penalty = penalty.copied().filter(|penalty| !penalty.amount.is_zero());
    let penalty = penalty.ok_or(Rejection::DoesNotSlash(runtime))?;
    let newest = running.last.round;
    let oldest = Round(newest.0.saturating_sub(parameters.max_evidence_age));
    if round < oldest {
        return Err(Rejection::EvidenceExpired {
            found: round,
            oldest,
        }
        .into());
    }
    let key = evidence_key(&runtime, round, &node);
    if scope.overlay.get(&key)?.is_some() {
        return Err(Rejection::EvidenceDuplicate { node, round }.into());
    }
    if registry::entity_of(scope, &node)?.is_none() {
        return Err(Rejection::EvidenceStranger(node).into());
    }
    signed(&evidence, &runtime, &chain).map_err(Rejection::Evidence)?;
    scope.overlay.put(key, Some(MARK.to_vec()));
    let event = EquivocationEvent {
        runtime_id: runtime,
        round: round.0,
        node_id: node,
    };
    scope.emit(RootEvent::Roothash(RoothashEvent::Equivocation(event)));
    slashing::for_equivocation(scope, &descriptor, &node, penalty, call)?;
    Ok(())
}

/// Whom the evidence accuses, and of which round, if the statements differ as they must. Signatures
/// are not checked.
fn accused(evidence: &Evidence) -> Result<(NodeId, Round), EvidenceRule> {
    match (&evidence.commitments, &evidence.proposals) {
        (Some(pair), None) => of_commitments(pair),
        (None, Some(pair)) => of_proposals(pair),
        (None, None) => Err(EvidenceRule::Pairs(0)),
        (Some(_), Some(_)) => Err(EvidenceRule::Pairs(2)),
    }
}

fn one_node(first: NodeId, second: NodeId) -> Result<(), EvidenceRule> {
    if first == second {
        Ok(())
    } else {
        Err(EvidenceRule::Nodes(first, second))
    }
}

fn one_round(first: Round, second: Round) -> Result<(), EvidenceRule> {
    if first == second {
        Ok(())
    } else {
        Err(EvidenceRule::Rounds(first, second))
    }
}

fn of_commitments(pair: &CommitmentEquivocation) -> Result<(NodeId, Round), EvidenceRule> {
    let CommitmentEquivocation { first, second } = pair;
    one_node(first.node_id, second.node_id)?;
    let (round, other) = (first.header.header.round, second.header.header.round);
    one_round(round, other)?;
    let (scheduler, other) = (first.header.scheduler_id, second.header.scheduler_id);
    if scheduler != other {
        return Err(EvidenceRule::Schedulers(scheduler, other));
    }
    let messages = first.messages.len() + second.messages.len();
    if messages > 0 {
        return Err(EvidenceRule::Messages(messages));
    }
    for commitment in [first, second] {
        admission::fields(&commitment.header)
            .map_err(|rejection| EvidenceRule::Form(rejection.to_string()))?;
    }
    if says(first) == says(second) {
        return Err(EvidenceRule::Same);
    }
    Ok((first.node_id, round))
}

/// What a commitment says: its vote, or why there is none.
fn says(commitment: &ExecutorCommitment) -> (Option<Hash>, u8) {
    let failure = commitment.header.failure;
    (
        commitment.vote(),
        failure.map_or(0, |failure| failure as u8),
    )
}

fn of_proposals(pair: &ProposalEquivocation) -> Result<(NodeId, Round), EvidenceRule> {
    let ProposalEquivocation { first, second } = pair;
    one_node(first.node_id, second.node_id)?;
    one_round(first.header.round, second.header.round)?;
    if first.header == second.header {
        return Err(EvidenceRule::Same);
    }
    Ok((first.node_id, first.header.round))
}

/// Checks the signatures of all statements.
fn signed(evidence: &Evidence, runtime: &RuntimeId, chain: &Hash) -> Result<(), EvidenceRule> {
    if let Some(pair) = &evidence.commitments {
        for commitment in [&pair.first, &pair.second] {
            commitment
                .verify(runtime, chain)
                .map_err(EvidenceRule::Signature)?;
        }
    }
    if let Some(pair) = &evidence.proposals {
        for proposal in [&pair.first, &pair.second] {
            proposal
                .verify(runtime, chain)
                .map_err(EvidenceRule::Signature)?;
        }
    }
    Ok(())
}

/// Forgets evidence of rounds for which none is heard any more.
pub(super) fn prune(scope: &mut Scope<'_>, runtime: &RuntimeId) -> Result<(), StateFault> {
    let age = parameters_of(scope)?.max_evidence_age;
    let last: BlockHeader = scope.overlay.required(&OfRuntime::Block.key(runtime))?;
    let oldest = Round(last.round.0.saturating_sub(age));
    let prefix = evidence_prefix(runtime);
    let old = scope
        .overlay
        .entries(&prefix, |key| match round_of(key, prefix.len()) {
            Some(round) if round < oldest => ControlFlow::Continue(true),
            _ => ControlFlow::Break(()),
        })?;
    for (key, _) in old {
        scope.overlay.put(key, None);
    }
    Ok(())
}
