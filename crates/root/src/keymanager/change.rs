//! Changes of the service's parameters by governance. Who signs policies is not among them.
//!
//! Source: Oasis Core `keymanager/secrets/api.go` (`ConsensusParameterChanges`).

use trilith_protocol::root::governance::KeymanagerChanges;

use super::store::{parameters_of, save_parameters};
use crate::parameters::{Apply, NoChange, check};
use crate::scope::Scope;

/// See [`crate::parameters::Change`].
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &[u8],
    apply: Apply,
) -> Result<(), NoChange> {
    let changes = KeymanagerChanges::decode(changes)?;
    let is_empty = changes == KeymanagerChanges::default();
    let mut parameters = parameters_of(scope)?;
    parameters.gas_costs = changes.gas_costs;
    if check(is_empty, &parameters, apply)? {
        save_parameters(scope, &parameters);
    }
    Ok(())
}
