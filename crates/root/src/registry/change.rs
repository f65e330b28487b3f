//! Changes of the service's parameters by governance.
//!
//! Source: Oasis Core `registry/api` (`ConsensusParameterChanges`, `SanityCheck`).

use trilith_protocol::root::governance::RegistryChanges;
use trilith_protocol::root::registry::{GOVERNANCE_CONSENSUS, GOVERNANCE_ENTITY};

use super::store::{PARAMETERS, parameters_of};
use crate::parameters::{Apply, NoChange, check, set};
use crate::scope::Scope;

/// See [`crate::parameters::Change`].
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &[u8],
    apply: Apply,
) -> Result<(), NoChange> {
    let changes = RegistryChanges::decode(changes)?;
    let is_empty = changes == RegistryChanges::default();
    // A network of a genesis document may let nodes register for ever; governance cannot.
    if changes.max_node_expiration == Some(0) {
        return Err(NoChange::because(
            "nodes could register for 0 epochs at most, it must be at least 1",
        ));
    }
    let models = changes.enable_runtime_governance_models.keys();
    for model in models {
        if !(GOVERNANCE_ENTITY..=GOVERNANCE_CONSENSUS).contains(model) {
            return Err(NoChange::Refused(format!(
                "governance model {model} does not exist, the models are {GOVERNANCE_ENTITY} to \
                 {GOVERNANCE_CONSENSUS}"
            )));
        }
    }
    let mut parameters = parameters_of(scope)?;
    set(
        &mut parameters.disable_runtime_registration,
        changes.disable_runtime_registration,
    );
    set(
        &mut parameters.disable_km_runtime_registration,
        changes.disable_km_runtime_registration,
    );
    if !changes.gas_costs.is_empty() {
        parameters.gas_costs = changes.gas_costs;
    }
    set(
        &mut parameters.max_node_expiration,
        changes.max_node_expiration,
    );
    if !changes.enable_runtime_governance_models.is_empty() {
        parameters.enable_runtime_governance_models = changes.enable_runtime_governance_models;
    }
    set(
        &mut parameters.max_runtime_deployments,
        changes.max_runtime_deployments,
    );
    if check(is_empty, &parameters, apply)? {
        scope.overlay.put_record(PARAMETERS.to_vec(), &parameters);
    }
    Ok(())
}
