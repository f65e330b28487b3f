//! The service's parameters: reading them, changing them, and what they allow a runtime.
//!
//! Source: Oasis Core `roothash/api` (`ConsensusParameterChanges`, `VerifyRuntimeParameters`),
//! `apps/roothash/messages.go` (`changeParameters`), `state` (`ShrinkPastRoots`).

use trilith_params::host::MESSAGES_MAX;
use trilith_params::root::{INCOMING_MESSAGES_MAX, ROUNDS_KEPT_MAX};
use trilith_protocol::root::registry::Runtime;
use trilith_protocol::root::{RoothashParameterChanges, RoothashParameters};
use trilith_types::{StateFault, StateRead};

use super::Rejection;
use super::history;
use super::store::PARAMETERS;
use crate::Refusal;
use crate::scope::{Call, Scope};
use crate::state::read_required;

/// The parameters in a height in the making.
pub(crate) fn parameters_of(scope: &mut Scope<'_>) -> Result<RoothashParameters, StateFault> {
    scope.overlay.required(PARAMETERS)
}

/// The parameters.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<RoothashParameters, StateFault> {
    read_required(view, PARAMETERS)
}

/// Charges the gas of an operation.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    parameters: &RoothashParameters,
    operation: &str,
) -> Result<(), Refusal> {
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0))?;
    Ok(())
}

/// Checks parameters by themselves.
pub(super) fn check(parameters: &RoothashParameters) -> Result<(), Rejection> {
    let ranges = [
        (
            "max_runtime_messages",
            parameters.max_runtime_messages.into(),
            MESSAGES_MAX as u64,
        ),
        (
            "max_in_runtime_messages",
            parameters.max_in_runtime_messages.into(),
            INCOMING_MESSAGES_MAX.into(),
        ),
        (
            "max_evidence_age",
            parameters.max_evidence_age,
            ROUNDS_KEPT_MAX,
        ),
        (
            "max_past_roots_stored",
            parameters.max_past_roots_stored,
            ROUNDS_KEPT_MAX,
        ),
    ];
    for (name, value, limit) in ranges {
        if value > limit {
            return Err(Rejection::Parameter { name, value, limit });
        }
    }
    Ok(())
}

/// The parameters as they would be after a change.
pub(crate) fn changed_parameters(
    scope: &mut Scope<'_>,
    changes: &RoothashParameterChanges,
) -> Result<RoothashParameters, Refusal> {
    if *changes == RoothashParameterChanges::default() {
        return Err(Rejection::NoChange.into());
    }
    let now = parameters_of(scope)?;
    let changed = RoothashParameters {
        gas_costs: changes.gas_costs.clone().unwrap_or(now.gas_costs),
        max_runtime_messages: changes
            .max_runtime_messages
            .unwrap_or(now.max_runtime_messages),
        max_in_runtime_messages: changes
            .max_in_runtime_messages
            .unwrap_or(now.max_in_runtime_messages),
        max_evidence_age: changes.max_evidence_age.unwrap_or(now.max_evidence_age),
        max_past_roots_stored: changes
            .max_past_roots_stored
            .unwrap_or(now.max_past_roots_stored),
    };
    check(&changed)?;
    Ok(changed)
}

/// Changes the parameters, as governance decides. Roots that are now too many are forgotten at
/// once. Nothing changes if the change is refused.
#[allow(dead_code, reason = "governance calls it where a proposal passes")]
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &RoothashParameterChanges,
) -> Result<(), Refusal> {
    let changed = changed_parameters(scope, changes)?;
    let before = parameters_of(scope)?.max_past_roots_stored;
    if changed.max_past_roots_stored < before {
        history::shrink(scope, changed.max_past_roots_stored)?;
    }
    scope.overlay.put_record(PARAMETERS.to_vec(), &changed);
    Ok(())
}

/// Whether the network allows what a runtime's descriptor asks for.
pub(crate) fn check_runtime(scope: &mut Scope<'_>, runtime: &Runtime) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let (found, limit) = (
        runtime.executor.max_messages,
        parameters.max_runtime_messages,
    );
    if found > limit {
        return Err(Rejection::MaxMessages { found, limit }.into());
    }
    let found = runtime.txn_scheduler.max_in_messages;
    let limit = parameters.max_in_runtime_messages;
    if found > limit {
        return Err(Rejection::MaxInMessages { found, limit }.into());
    }
    Ok(())
}
