//! What an epoch does to proposals: upgrades and features whose time has come, and the counting of
//! votes.
//!
//! Source: Oasis Core `apps/governance` (`BeginBlock`, `EndBlock`).

use std::collections::BTreeSet;

use trilith_params::root::ROOT_PROTOCOL;
use trilith_protocol::root::Address;
use trilith_protocol::root::governance::{
    GovernanceEvent, Proposal, ProposalFinalizedEvent, ProposalState, UpgradedEvent,
};
use trilith_protocol::{Fault, RootEvent};
use trilith_types::{Epoch, StateFault};

use super::store::{
    ACTIVE, UPGRADES, at_epoch, index_until, load_proposal, parameters_of, proposal_key, votes_on,
};
use super::tally::{Delegations, Votes, accepted, tally, total};
use super::voters::{Voters, voters};
use super::{execute, features};
use crate::scope::{Scope, broken};
use crate::staking;
use crate::state::{EPOCH, EpochRecord};

/// Goes past the upgrades that are due, which needs a build that has them, and tells which features
/// are active from now on.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), Fault> {
    for (epoch, id, _) in index_until(&scope.overlay, UPGRADES, scope.epoch)? {
        let proposal = existing(scope, id)?;
        let upgrade = proposal
            .content
            .upgrade
            .ok_or_else(|| broken("a pending upgrade has a proposal of something else"))?;
        let target = upgrade.target.consensus_protocol;
        if u64::from(target.major) != ROOT_PROTOCOL {
            let message = format!(
                "the upgrade `{}` of proposal {id} is due at epoch {epoch}: it needs version {} of \
                 the root's protocol, this build has version {ROOT_PROTOCOL}; go on with a build \
                 that has it",
                upgrade.handler, target.major
            );
            return Err(Fault(message));
        }
        scope.overlay.put(at_epoch(UPGRADES, epoch, id), None);
        let event = GovernanceEvent::Upgraded(UpgradedEvent { id });
        scope.emit(RootEvent::Governance(event));
    }
    features::tell_active(scope)?;
    Ok(())
}

fn existing(scope: &mut Scope<'_>, id: u64) -> Result<Proposal, StateFault> {
    load_proposal(scope, id)?.ok_or_else(|| broken("an index has a proposal that is not there"))
}

/// At the first height of an epoch, counts the votes of the proposals that close.
pub(crate) fn end_height(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let running: EpochRecord = scope.overlay.required(EPOCH)?;
    if running.since != scope.height {
        return Ok(());
    }
    let due = index_until(&scope.overlay, ACTIVE, scope.epoch)?;
    if due.is_empty() {
        return Ok(());
    }
    let mut ballots = Vec::new();
    for (closes_at, id, _) in due {
        let votes = votes_on(&scope.overlay, id)?;
        let votes: Votes = votes
            .iter()
            .map(|entry| (entry.voter, entry.vote))
            .collect();
        ballots.push((closes_at, id, votes));
    }
    // Whoever votes does so on all of them with the stake of now.
    let electorate = Electorate::of(scope, &ballots)?;
    for (closes_at, id, votes) in ballots {
        close(scope, &electorate, (closes_at, id), &votes)?;
    }
    Ok(())
}

/// When a proposal closes, its number, and the votes on it.
type Ballot = (Epoch, u64, Votes);

/// Who votes, and who of those who did has delegated to them.
struct Electorate {
    voters: Voters,
    delegations: Delegations,
}

impl Electorate {
    fn of(scope: &mut Scope<'_>, ballots: &[Ballot]) -> Result<Self, StateFault> {
        let voted: BTreeSet<&Address> = ballots
            .iter()
            .flat_map(|(_, _, votes)| votes.keys())
            .collect();
        let voters = voters(scope)?;
        let mut delegations = Delegations::new();
        for voter in voters.keys() {
            let mut delegators = staking::delegators(scope, voter)?;
            delegators.retain(|(delegator, _)| voted.contains(delegator));
            delegations.insert(*voter, delegators);
        }
        Ok(Self {
            voters,
            delegations,
        })
    }
}

fn close(
    scope: &mut Scope<'_>,
    electorate: &Electorate,
    (closes_at, id): (Epoch, u64),
    votes: &Votes,
) -> Result<(), StateFault> {
    let mut proposal = existing(scope, id)?;
    let too_much = || broken("delegations are more than the pools they are of");
    let counted = tally(&electorate.voters, votes, &electorate.delegations).ok_or_else(too_much)?;
    let stake = total(&electorate.voters).ok_or_else(too_much)?;
    let threshold = parameters_of(scope)?.stake_threshold;
    proposal.state = if accepted(&counted, stake, threshold) {
        execute::execute(scope, &proposal)?
    } else {
        ProposalState::Rejected
    };
    proposal.results = counted.results;
    proposal.invalid_votes = counted.invalid;
    scope.overlay.put_record(proposal_key(id), &proposal);
    scope.overlay.put(at_epoch(ACTIVE, closes_at, id), None);
    let state = proposal.state;
    let event = GovernanceEvent::Finalized(ProposalFinalizedEvent { id, state });
    scope.emit(RootEvent::Governance(event));
    match state {
        ProposalState::Rejected => staking::discard_deposit(scope, proposal.deposit),
        _ => staking::return_deposit(scope, &proposal.submitter, proposal.deposit),
    }
}
