//! Proposing.
//!
//! Source: Oasis Core `apps/governance/transactions.go` (`submitProposal`).

use std::collections::BTreeMap;

use trilith_params::root::ACTIVE_PROPOSALS_MAX;
use trilith_protocol::RootEvent;
use trilith_protocol::root::Address;
use trilith_protocol::root::governance::{
    GAS_SUBMIT_PROPOSAL, GovernanceEvent, GovernanceParameters, Proposal, ProposalContent,
    ProposalState, ProposalSubmittedEvent, Upgrade,
};
use trilith_types::Epoch;

use super::rules::{Kind, check_form};
use super::store::{
    ACTIVE, FIRST, NEXT, Number, UPGRADES, at_epoch, index_until, load_proposal, parameters_of,
    proposal_key,
};
use super::{GovernanceError, change, features};
use crate::Refusal;
use crate::parameters::Apply;
use crate::scope::{Call, Scope, broken};
use crate::staking;

/// Charges the gas of an operation.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    parameters: &GovernanceParameters,
    operation: &str,
) -> Result<(), Refusal> {
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0))?;
    Ok(())
}

/// `governance.SubmitProposal`.
pub(super) fn submit(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let content = ProposalContent::decode(body).map_err(GovernanceError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_SUBMIT_PROPOSAL)?;
    submit_proposal_as(scope, &call.caller, &content)?;
    Ok(())
}

/// Proposes in the name of an account, which pays the deposit. It is also how runtimes propose; no
/// gas is charged here. Where it refuses, the caller drops the layer it writes into.
pub(crate) fn submit_proposal_as(
    scope: &mut Scope<'_>,
    submitter: &Address,
    content: &ProposalContent,
) -> Result<Proposal, Refusal> {
    let parameters = parameters_of(scope)?;
    let kind = check_form(content, &parameters)?;
    let deposit = parameters.min_proposal_deposit;
    staking::deposit(scope, submitter, deposit)?;
    match kind {
        Kind::Upgrade(upgrade) => upgrade_possible(scope, upgrade, &parameters)?,
        Kind::CancelUpgrade(id) => {
            let upgrade = pending_upgrade(scope, id)?;
            far_enough(scope, &upgrade, parameters.upgrade_cancel_min_epoch_diff)?;
        }
        Kind::ChangeParameters(module, changes) => {
            change::change(scope, module, changes, Apply::Check)?;
        }
        Kind::ActivateFeatures(wanted) => features::check_new(scope, wanted)?,
    }
    room(scope)?;
    let next: Option<Number> = scope.overlay.record(NEXT)?;
    let id = next.map_or(FIRST, |Number(next)| next);
    let following = id.checked_add(1);
    let following = following.ok_or_else(|| broken("numbers of proposals have run out"))?;
    scope.overlay.put_record(NEXT.to_vec(), &Number(following));
    let proposal = Proposal {
        id,
        submitter: *submitter,
        state: ProposalState::Active,
        deposit,
        content: content.clone(),
        created_at: scope.epoch,
        closes_at: Epoch(
            scope
                .epoch
                .0
                .saturating_add(parameters.voting_period.max(1)),
        ),
        results: BTreeMap::new(),
        invalid_votes: 0,
    };
    scope.overlay.put_record(proposal_key(id), &proposal);
    let active = at_epoch(ACTIVE, proposal.closes_at, id);
    scope.overlay.put_record(active, &Number(0));
    let submitter = *submitter;
    let event = GovernanceEvent::Submitted(ProposalSubmittedEvent { id, submitter });
    scope.emit(RootEvent::Governance(event));
    Ok(proposal)
}

/// Whether there is room for another proposal that can be voted on.
fn room(scope: &mut Scope<'_>) -> Result<(), Refusal> {
    let (count, limit) = (scope.overlay.all(ACTIVE)?.len(), ACTIVE_PROPOSALS_MAX);
    if count >= limit {
        return Err(GovernanceError::TooManyProposals { count, limit }.into());
    }
    Ok(())
}

fn upgrade_possible(
    scope: &mut Scope<'_>,
    upgrade: &Upgrade,
    parameters: &GovernanceParameters,
) -> Result<(), Refusal> {
    let diff = parameters.upgrade_min_epoch_diff;
    far_enough(scope, upgrade, diff)?;
    apart(scope, upgrade, diff)
}

/// An upgrade must be far enough in the future.
fn far_enough(scope: &Scope<'_>, upgrade: &Upgrade, diff: u64) -> Result<(), GovernanceError> {
    let earliest = Epoch(scope.epoch.0.saturating_add(diff));
    if upgrade.epoch < earliest {
        let epoch = upgrade.epoch;
        return Err(GovernanceError::UpgradeTooSoon { epoch, earliest });
    }
    Ok(())
}

/// An upgrade must be far enough from every pending one.
pub(super) fn apart(scope: &Scope<'_>, upgrade: &Upgrade, diff: u64) -> Result<(), Refusal> {
    for (pending, _, _) in index_until(&scope.overlay, UPGRADES, Epoch(u64::MAX))? {
        let epoch = upgrade.epoch;
        if pending.0.abs_diff(epoch.0) < diff {
            return Err(GovernanceError::UpgradePending {
                pending,
                epoch,
                diff,
            }
            .into());
        }
    }
    Ok(())
}

/// The pending upgrade of a proposal.
pub(super) fn pending_upgrade(scope: &mut Scope<'_>, id: u64) -> Result<Upgrade, Refusal> {
    let proposal = load_proposal(scope, id)?;
    let proposal = proposal.ok_or(GovernanceError::NoSuchProposal(id))?;
    let upgrade = proposal.content.upgrade;
    let upgrade = upgrade.ok_or(GovernanceError::NoSuchUpgrade(id))?;
    let key = at_epoch(UPGRADES, upgrade.epoch, id);
    match scope.overlay.get(&key)? {
        Some(_) => Ok(upgrade),
        None => Err(GovernanceError::NoSuchUpgrade(id).into()),
    }
}
