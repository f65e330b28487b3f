//! Voting.
//!
//! Source: Oasis Core `apps/governance/transactions.go` (`castVote`).

use trilith_params::root::PROPOSAL_VOTES_MAX;
use trilith_protocol::RootEvent;
use trilith_protocol::root::Address;
use trilith_protocol::root::governance::{
    GAS_CAST_VOTE, GovernanceEvent, ProposalState, ProposalVote, VoteEntry, VoteEvent,
};
use trilith_types::StateFault;

use super::GovernanceError;
use super::store::{ACTIVE, Number, at_epoch, load_proposal, parameters_of, vote_key};
use super::submit::charge;
use super::voters::voters;
use crate::Refusal;
use crate::scope::{Call, Scope};
use crate::{registry, staking};

/// `governance.CastVote`.
pub(super) fn cast(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let vote = ProposalVote::decode(body).map_err(GovernanceError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_CAST_VOTE)?;
    let entity = registry::is_entity(scope, &call.signer)?;
    cast_vote_as(scope, &call.caller, &vote, entity)
}

/// Votes in the name of an account; `entity` says whether it is one of a registered entity. It is
/// also how runtimes vote, which are none; no gas is charged here.
pub(crate) fn cast_vote_as(
    scope: &mut Scope<'_>,
    voter: &Address,
    vote: &ProposalVote,
    entity: bool,
) -> Result<(), Refusal> {
    let needed = !parameters_of(scope)?.allow_vote_without_entity;
    if (needed && !entity) || !may_vote(scope, voter)? {
        return Err(GovernanceError::NotEligible {
            account: *voter,
            entity,
            needed,
        }
        .into());
    }
    let id = vote.id;
    let proposal = load_proposal(scope, id)?;
    let proposal = proposal.ok_or(GovernanceError::NoSuchProposal(id))?;
    if proposal.state != ProposalState::Active {
        let closed = proposal.closes_at;
        return Err(GovernanceError::VotingClosed { id, closed }.into());
    }
    let key = vote_key(id, voter);
    if scope.overlay.get(&key)?.is_none() {
        let active = at_epoch(ACTIVE, proposal.closes_at, id);
        let Number(count) = scope.overlay.required(&active)?;
        let limit = PROPOSAL_VOTES_MAX;
        if count >= limit {
            return Err(GovernanceError::TooManyVotes { id, count, limit }.into());
        }
        scope.overlay.put_record(active, &Number(count + 1));
    }
    let (voter, vote) = (*voter, vote.vote);
    scope.overlay.put_record(key, &VoteEntry { voter, vote });
    scope.emit(RootEvent::Governance(GovernanceEvent::Vote(VoteEvent {
        id,
        submitter: voter,
        vote,
    })));
    Ok(())
}

/// Whether an account is a voter's, or has delegated to one.
fn may_vote(scope: &mut Scope<'_>, account: &Address) -> Result<bool, StateFault> {
    let voters = voters(scope)?;
    if voters.contains_key(account) {
        return Ok(true);
    }
    for voter in voters.keys() {
        if staking::has_delegated(scope, voter, account)? {
            return Ok(true);
        }
    }
    Ok(false)
}
