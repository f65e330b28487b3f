//! Changes of parameters: which services let theirs be changed, and the service's own.
//!
//! Source: Oasis Core `apps/governance/messages.go` (`changeParameters`), `governance/api`
//! (`SanityCheck`).

use trilith_params::root::STAKE_THRESHOLD_MIN;
use trilith_protocol::root::governance::{GovernanceChanges, GovernanceParameters};

use super::store::{parameters_of, save_parameters};
use super::{ArgumentRule, GovernanceError, MODULE};
use crate::Refusal;
use crate::parameters::{Apply, Change, NoChange, check, set};
use crate::scope::Scope;
use crate::{keymanager, registry, staking};

/// The services whose parameters can be changed.
const MODULES: &[(&str, Change)] = &[
    (staking::MODULE, staking::change_parameters),
    (registry::MODULE, registry::change_parameters),
    (MODULE, change_parameters),
    (keymanager::MODULE, keymanager::change_parameters),
];

/// Changes parameters of a service, or only checks whether it would.
pub(super) fn change(
    scope: &mut Scope<'_>,
    name: &str,
    changes: &[u8],
    apply: Apply,
) -> Result<(), Refusal> {
    let found = MODULES.iter().find(|(module, _)| *module == name);
    let (module, change) = found.ok_or_else(|| ArgumentRule::NoSuchModule(name.to_owned()))?;
    change(scope, changes, apply).map_err(|error| match error {
        NoChange::Fault(fault) => fault.into(),
        NoChange::Refused(reason) => GovernanceError::Changes { module, reason }.into(),
    })
}

/// See [`Change`].
fn change_parameters(scope: &mut Scope<'_>, changes: &[u8], apply: Apply) -> Result<(), NoChange> {
    let changes = GovernanceChanges::decode(changes)?;
    let is_empty = changes == GovernanceChanges::default();
    let mut parameters = parameters_of(scope)?;
    if !changes.gas_costs.is_empty() {
        parameters.gas_costs = changes.gas_costs;
    }
    set(
        &mut parameters.min_proposal_deposit,
        changes.min_proposal_deposit,
    );
    set(&mut parameters.voting_period, changes.voting_period);
    set(&mut parameters.stake_threshold, changes.stake_threshold);
    set(
        &mut parameters.upgrade_min_epoch_diff,
        changes.upgrade_min_epoch_diff,
    );
    set(
        &mut parameters.upgrade_cancel_min_epoch_diff,
        changes.upgrade_cancel_min_epoch_diff,
    );
    set(
        &mut parameters.enable_change_parameters_proposal,
        changes.enable_change_parameters_proposal,
    );
    sound(&parameters).map_err(NoChange::Refused)?;
    if check(is_empty, &parameters, apply)? {
        save_parameters(scope, &parameters);
    }
    Ok(())
}

/// What must hold of parameters.
pub(super) fn sound(parameters: &GovernanceParameters) -> Result<(), String> {
    let (threshold, min) = (parameters.stake_threshold, STAKE_THRESHOLD_MIN);
    if !(min..=100).contains(&threshold) {
        return Err(format!(
            "the stake threshold is {threshold} percent, it must be from {min} to 100"
        ));
    }
    let period = parameters.voting_period;
    let diffs = [
        ("upgrade_min_epoch_diff", parameters.upgrade_min_epoch_diff),
        (
            "upgrade_cancel_min_epoch_diff",
            parameters.upgrade_cancel_min_epoch_diff,
        ),
    ];
    for (name, diff) in diffs {
        if period >= diff {
            return Err(format!(
                "the voting period is {period} epochs, it must be less than {name}, {diff}"
            ));
        }
    }
    Ok(())
}
