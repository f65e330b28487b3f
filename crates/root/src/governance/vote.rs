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

#[cfg(test)]
mod tests {
    use trilith_protocol::RootGenesis;
    use trilith_protocol::root::governance::{
        ActivateFeatures, ProposalContent, ProposalState, Vote,
    };
    use trilith_protocol::root::staking::{Account, StakingGenesis};
    use trilith_protocol::root::{FeatureId, Quantity, Services, ThresholdKey};
    use trilith_types::{Epoch, Height, RuntimeId, TimeNanos};

    use super::super::submit::submit_proposal_as;
    use super::*;
    use crate::genesis::{Document, genesis_write_log};
    use crate::overlay::{Overlay, Values};

    /// A network where a runtime's account has 100 base units and a proposal costs 60.
    fn state_of(runtime: &Address) -> Document {
        let mut account = Account::default();
        account.general.balance = Quantity::new(100);
        let mut services = Services {
            staking: StakingGenesis {
                ledger: [(*runtime, account)].into(),
                total_supply: Quantity::new(100),
                ..StakingGenesis::default()
            },
            ..Services::default()
        };
        services.governance.params.min_proposal_deposit = Quantity::new(60);
        let genesis = RootGenesis {
            chain: "test".into(),
            time: TimeNanos(0),
            epoch_interval: 10,
            nodes: Vec::new(),
            runtimes: Vec::new(),
            consensus_key: ThresholdKey([1; 96]),
            certification_key: ThresholdKey([2; 96]),
            services,
        };
        Document::of(genesis_write_log(&genesis).unwrap())
    }

    #[test]
    fn a_runtime_proposes_for_its_own_deposit_and_votes_only_where_that_is_allowed() {
        let runtime = Address::of_runtime(&RuntimeId::test(1));
        let view = state_of(&runtime);
        let network = crate::state::network(&view).unwrap();
        let mut scope = Scope::new(
            Overlay::new(&view, Values::new()),
            network,
            (Height(1), TimeNanos(1)),
            (Epoch(3), [0; 32]),
        );
        let content = ProposalContent {
            activate_features: Some(ActivateFeatures {
                ids: vec![FeatureId([1; 32])],
            }),
            ..ProposalContent::default()
        };
        let proposal = submit_proposal_as(&mut scope, &runtime, &content).unwrap();
        assert_eq!((proposal.id, proposal.submitter), (1, runtime));
        assert_eq!(proposal.state, ProposalState::Active);
        assert_eq!(proposal.closes_at, Epoch(3 + 168));
        // The second deposit is more than the runtime has left.
        let poor = submit_proposal_as(&mut scope, &runtime, &content);
        let Err(Refusal::Reject(reject)) = poor else {
            panic!("{poor:?}");
        };
        assert_eq!((reject.module, reject.code), ("staking", 3));
        let vote = ProposalVote {
            id: 1,
            vote: Vote::Yes,
        };
        let refused = cast_vote_as(&mut scope, &runtime, &vote, false);
        let Err(Refusal::Reject(reject)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((reject.module, reject.code), ("governance", 6));
        assert!(
            reject.message.contains("needed: true"),
            "{}",
            reject.message
        );
    }
}
