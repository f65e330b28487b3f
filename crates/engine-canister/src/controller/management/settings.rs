//! Settings of canisters: ranges, and applying a change.

use std::collections::BTreeMap;

use candid::Nat;
use trilith_params::canister::{
    COMPUTE_ALLOCATION_MAX, CONTROLLERS_MAX, MEMORY_ALLOCATION_MAX, VARIABLE_BYTES_MAX,
    VARIABLES_MAX, VIEWERS_MAX, WASM_MEMORY_LIMIT_MAX,
};

use super::types::{SettingsArgs, UpdateSettingsArgs, Variable, Visibility};
use super::{ManagedResult, decoded, done};
use crate::controller::record::{Canister, LogVisibility, Request};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

fn refuse(why: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidManagementPayload, why)
}

/// A natural number at most `limit`.
fn bounded(value: &Nat, what: &str, limit: u64) -> Result<u64, Rejection> {
    u64::try_from(&value.0)
        .ok()
        .filter(|value| *value <= limit)
        .ok_or_else(|| refuse(format!("{what} is {value}, over the limit of {limit}")))
}

fn at_most(len: usize, what: &str, limit: usize) -> Result<(), Rejection> {
    if len <= limit {
        Ok(())
    } else {
        Err(refuse(format!(
            "there are {len} {what}, the limit is {limit}"
        )))
    }
}

/// Applies a change of settings: all of it, or nothing.
pub(super) fn apply(canister: &mut Canister, args: &SettingsArgs) -> Result<(), Rejection> {
    let mut settings = canister.settings.clone();
    if let Some(controllers) = &args.controllers {
        at_most(controllers.len(), "controllers", CONTROLLERS_MAX)?;
        settings.controllers.clone_from(controllers);
        settings.controllers.sort_unstable();
        settings.controllers.dedup();
    }
    if let Some(value) = &args.compute_allocation {
        settings.compute_allocation = bounded(value, "compute_allocation", COMPUTE_ALLOCATION_MAX)?;
    }
    if let Some(value) = &args.memory_allocation {
        settings.memory_allocation = bounded(value, "memory_allocation", MEMORY_ALLOCATION_MAX)?;
    }
    if let Some(value) = &args.freezing_threshold {
        settings.freezing_threshold = bounded(value, "freezing_threshold", u64::MAX)?;
    }
    if let Some(value) = &args.reserved_cycles_limit {
        settings.reserved_cycles_limit = u128::try_from(&value.0).map_err(|_| {
            refuse(format!(
                "reserved_cycles_limit is {value}, over the limit of 2^128 − 1"
            ))
        })?;
    }
    if let Some(value) = &args.wasm_memory_limit {
        settings.wasm_memory_limit = bounded(value, "wasm_memory_limit", WASM_MEMORY_LIMIT_MAX)?;
    }
    if let Some(value) = &args.wasm_memory_threshold {
        settings.wasm_memory_threshold =
            bounded(value, "wasm_memory_threshold", WASM_MEMORY_LIMIT_MAX)?;
    }
    if let Some(visibility) = &args.log_visibility {
        settings.log_visibility = match visibility {
            Visibility::controllers => LogVisibility::Controllers {},
            Visibility::public => LogVisibility::Public {},
            Visibility::allowed_viewers(viewers) => {
                at_most(viewers.len(), "viewers", VIEWERS_MAX)?;
                LogVisibility::Allowed {
                    viewers: viewers.clone(),
                }
            }
        };
    }
    if let Some(variables) = &args.environment_variables {
        settings.variables = table_of(variables)?;
    }
    canister.settings = settings;
    Ok(())
}

/// Environment variables as a table, checked.
fn table_of(variables: &[Variable]) -> Result<BTreeMap<String, String>, Rejection> {
    at_most(variables.len(), "environment variables", VARIABLES_MAX)?;
    let mut table = BTreeMap::new();
    for Variable { name, value } in variables {
        let what = "bytes in the name of an environment variable";
        at_most(name.len(), what, VARIABLE_BYTES_MAX)?;
        let what = "bytes in the value of an environment variable";
        at_most(value.len(), what, VARIABLE_BYTES_MAX)?;
        if table.insert(name.clone(), value.clone()).is_some() {
            return Err(refuse(format!(
                "the environment variable {name} stands there twice"
            )));
        }
    }
    Ok(table)
}

impl Round<'_> {
    pub(super) fn update_settings(&mut self, request: &Request) -> ManagedResult {
        let args: UpdateSettingsArgs = decoded!(request);
        let canister = self.state.existing(&args.canister_id);
        if let Err(rejection) = apply(canister, &args.settings) {
            return Ok(rejection.into());
        }
        canister.version += 1;
        canister.changes += u64::from(args.settings.controllers.is_some());
        Ok(done(request))
    }
}
