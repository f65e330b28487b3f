//! Doing what was proposed.
//!
//! Source: Oasis Core `apps/governance` (`executeProposal`).

use trilith_protocol::RootEvent;
use trilith_protocol::root::governance::{
    GovernanceEvent, Proposal, ProposalExecutedEvent, ProposalState,
};
use trilith_types::StateFault;

use super::rules::{Kind, kind};
use super::store::{MARK, UPGRADES, at_epoch, parameters_of};
use super::submit::{apart, pending_upgrade};
use super::{ArgumentRule, change, features};
use crate::Refusal;
use crate::parameters::Apply;
use crate::scope::Scope;

/// Does what was proposed, or nothing. Gives what became of the proposal.
pub(super) fn execute(
    scope: &mut Scope<'_>,
    proposal: &Proposal,
) -> Result<ProposalState, StateFault> {
    let told = scope.events_len();
    scope.overlay.open_layer();
    let result = perform(scope, proposal);
    scope.overlay.close_layer(result.is_ok());
    match result {
        Ok(()) => {
            let event = GovernanceEvent::Executed(ProposalExecutedEvent { id: proposal.id });
            scope.emit(RootEvent::Governance(event));
            Ok(ProposalState::Passed)
        }
        Err(Refusal::Reject(_)) => {
            scope.forget_events(told);
            Ok(ProposalState::Failed)
        }
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

fn perform(scope: &mut Scope<'_>, proposal: &Proposal) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    match kind(&proposal.content)? {
        Kind::Upgrade(upgrade) => {
            apart(scope, upgrade, parameters.upgrade_min_epoch_diff)?;
            let key = at_epoch(UPGRADES, upgrade.epoch, proposal.id);
            scope.overlay.put(key, Some(MARK.to_vec()));
        }
        Kind::CancelUpgrade(id) => {
            let upgrade = pending_upgrade(scope, id)?;
            scope
                .overlay
                .put(at_epoch(UPGRADES, upgrade.epoch, id), None);
        }
        Kind::ChangeParameters(module, changes) => {
            // They may have been switched off since.
            if !parameters.enable_change_parameters_proposal {
                return Err(ArgumentRule::ChangesDisabled.into());
            }
            change::change(scope, module, changes, Apply::Write)?;
        }
        Kind::ActivateFeatures(wanted) => features::approve(scope, wanted, proposal.id)?,
    }
    Ok(())
}
