//! Settings of canisters: ranges, and applying a change.

use std::collections::BTreeMap;

use candid::{Nat, Principal};
use trilith_params::canister::{
    COMPUTE_ALLOCATION_MAX, COMPUTE_CAPACITY, CONTROLLERS_MAX, LOG_MEMORY_LIMIT_MAX,
    MEMORY_ALLOCATION_MAX, UNFREEZING_BYTES_MAX, VARIABLE_BYTES_MAX, VARIABLES_MAX, VIEWERS_MAX,
    WASM_MEMORY_LIMIT_MAX,
};

use super::types::{SettingsArgs, UpdateSettingsArgs, Variable, Visibility as VisibilityArg};
use super::{ManagedResult, decoded, done};
use crate::controller::archive::ChangeDetails;
use crate::controller::price;
use crate::controller::record::{Canister, Origin, Request, Settings, Visibility};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

fn refuse(why: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidManagementPayload, why)
}

/// A natural number at most `limit`. `range` is how the limit is written.
fn bounded(value: &Nat, what: &str, limit: u64, range: &str) -> Result<u64, Rejection> {
    let found = u64::try_from(&value.0).ok().filter(|value| *value <= limit);
    let value = value.0.to_string();
    found.ok_or_else(|| {
        let why = format!("{what} expected to be in the range {range}, got {value}");
        Rejection::new(ErrorCode::ContractViolation, why)
    })
}

fn cycles(value: &Nat, what: &str) -> Result<u128, Rejection> {
    let shown = value.0.to_string();
    u128::try_from(&value.0).map_err(|_| {
        let why = format!("{what} expected to be in the range of [0..2^128-1], got {shown}");
        Rejection::new(ErrorCode::ContractViolation, why)
    })
}

fn visibility(asked: &VisibilityArg) -> Result<Visibility, Rejection> {
    Ok(match asked {
        VisibilityArg::controllers => Visibility::Controllers {},
        VisibilityArg::public => Visibility::Public {},
        VisibilityArg::allowed_viewers(viewers) if viewers.len() > VIEWERS_MAX => {
            let len = viewers.len();
            let why = format!("Too many allowed viewers: {len} (max: {VIEWERS_MAX})");
            return Err(refuse(why));
        }
        VisibilityArg::allowed_viewers(viewers) => Visibility::Allowed {
            viewers: viewers.clone(),
        },
    })
}

/// Applies a change of settings: all of it, or nothing. `capacity` is what is left of the compute
/// allocation for this canister.
pub(super) fn apply(
    canister: &mut Canister,
    args: &SettingsArgs,
    capacity: u64,
) -> Result<(), Rejection> {
    let mut settings = canister.settings.clone();
    apply_allocations(&mut settings, args, capacity)?;
    apply_limits(&mut settings, args)?;
    if let Some(controllers) = &args.controllers {
        if controllers.len() > CONTROLLERS_MAX {
            let why = format!(
                "Could not validate the settings: Invalid settings: 'controllers' length exceeds maximum size allowed of {CONTROLLERS_MAX}."
            );
            return Err(Rejection::new(ErrorCode::ContractViolation, why));
        }
        settings.controllers.clone_from(controllers);
        settings.controllers.sort_unstable();
        settings.controllers.dedup();
    }
    for (asked, kept) in [
        (&args.log_visibility, &mut settings.log_visibility),
        (&args.snapshot_visibility, &mut settings.snapshot_visibility),
        (&args.status_visibility, &mut settings.status_visibility),
    ] {
        if let Some(asked) = asked {
            *kept = visibility(asked)?;
        }
    }
    if let Some(variables) = &args.environment_variables {
        settings.variables = table_of(variables)?;
    }
    let before = std::mem::replace(&mut canister.settings, settings);
    check_cycles(canister, &before).inspect_err(|_| canister.settings = before)
}

fn apply_allocations(
    settings: &mut Settings,
    args: &SettingsArgs,
    capacity: u64,
) -> Result<(), Rejection> {
    if let Some(value) = &args.compute_allocation {
        let limit = COMPUTE_ALLOCATION_MAX;
        let value = bounded(value, "ComputeAllocation", limit, &format!("[0..{limit}]"))?;
        if value > settings.compute_allocation && value > capacity {
            let why = format!(
                "Canister requested a compute allocation of {value}% which cannot be satisfied because the Subnet's remaining compute capacity is {capacity}%."
            );
            return Err(Rejection::new(ErrorCode::SubnetOversubscribed, why));
        }
        settings.compute_allocation = value;
    }
    if let Some(value) = &args.memory_allocation {
        let limit = MEMORY_ALLOCATION_MAX;
        let range = format!("[0..{limit}]");
        settings.memory_allocation = bounded(value, "MemoryAllocation", limit, &range)?;
    }
    Ok(())
}

fn apply_limits(settings: &mut Settings, args: &SettingsArgs) -> Result<(), Rejection> {
    if let Some(value) = &args.freezing_threshold {
        settings.freezing_threshold =
            bounded(value, "Freezing threshold", u64::MAX, "of [0..2^64-1]")?;
    }
    if let Some(value) = &args.reserved_cycles_limit {
        settings.reserved_cycles_limit = cycles(value, "Reserved cycles limit")?;
    }
    if let Some(value) = &args.minimum_incoming_canister_call_cycles {
        settings.incoming_cycles_min = cycles(value, "Minimum incoming canister call cycles")?;
    }
    let limit = WASM_MEMORY_LIMIT_MAX;
    if let Some(value) = &args.wasm_memory_limit {
        settings.wasm_memory_limit = bounded(value, "Wasm memory limit", limit, "of [0..2^48]")?;
    }
    if let Some(value) = &args.wasm_memory_threshold {
        settings.wasm_memory_threshold =
            bounded(value, "Wasm memory threshold", limit, "of [0..2^48]")?;
    }
    if let Some(value) = &args.log_memory_limit {
        let limit = LOG_MEMORY_LIMIT_MAX;
        let range = format!("of [0..{limit}]");
        settings.log_memory_limit = bounded(value, "Log memory limit", limit, &range)?;
    }
    Ok(())
}

/// Whether the balance covers the freezing threshold under allocations that were raised.
fn check_cycles(canister: &Canister, before: &Settings) -> Result<(), Rejection> {
    let floor = canister.floor();
    if canister.cycles >= floor {
        return Ok(());
    }
    let missing = floor - canister.cycles;
    let settings = &canister.settings;
    let (code, what, value) = if settings.compute_allocation > before.compute_allocation {
        let value = format!("{}%", settings.compute_allocation);
        (ErrorCode::ComputeAllocationCycles, "compute", value)
    } else if settings.memory_allocation > before.memory_allocation {
        let value = format!("{} bytes", settings.memory_allocation);
        (ErrorCode::MemoryAllocationCycles, "memory", value)
    } else {
        return Ok(());
    };
    let why = format!(
        "Cannot increase {what} allocation to {value} due to insufficient cycles. At least {missing} additional cycles are required."
    );
    Err(Rejection::new(code, why))
}

/// Environment variables as a table, checked.
fn table_of(variables: &[Variable]) -> Result<BTreeMap<String, String>, Rejection> {
    let (count, limit) = (variables.len(), VARIABLE_BYTES_MAX);
    if count > VARIABLES_MAX {
        let why = format!("Too many environment variables: {count} (max: {VARIABLES_MAX})");
        return Err(refuse(why));
    }
    let mut table = BTreeMap::new();
    for Variable { name, value } in variables {
        if name.len() > limit {
            return Err(refuse(format!(
                "Environment variable name \"{name}\" exceeds the maximum allowed length of {limit}."
            )));
        }
        if value.len() > limit {
            return Err(refuse(format!(
                "Environment variable value \"{value}\" exceeds the maximum allowed length of {limit}."
            )));
        }
        if table.insert(name.clone(), value.clone()).is_some() {
            let why = "Duplicate environment variables are not allowed".to_owned();
            return Err(refuse(why));
        }
    }
    Ok(table)
}

impl Round<'_> {
    /// What is left of the compute allocation for a canister, or for a new one. Looked up only
    /// where settings ask for some.
    pub(super) fn compute_left(&self, args: &SettingsArgs, of: Option<Principal>) -> u64 {
        if args.compute_allocation.is_none() {
            return COMPUTE_CAPACITY;
        }
        let others = self.state.canister_ids().into_iter();
        let others = others.filter(|id| Some(*id) != of);
        let used: u64 = others
            .filter_map(|id| self.state.canister(&id))
            .map(|canister| canister.settings.compute_allocation)
            .sum();
        COMPUTE_CAPACITY.saturating_sub(used)
    }

    pub(super) fn update_settings(&mut self, request: &Request) -> ManagedResult {
        let args: UpdateSettingsArgs = decoded!(request);
        let id = args.canister_id;
        let capacity = self.compute_left(&args.settings, Some(id));
        let canister = self.state.existing(&id);
        let applied = apply(canister, &args.settings, capacity);
        if applied.is_ok() {
            canister.version += 1;
            canister.note_memory();
        }
        let limit = canister.settings.log_memory_limit;
        if canister.log_bytes > limit {
            self.state.log_mut(id).shorten(limit);
            self.state.existing(&id).log_bytes = self.state.log_mut(id).bytes();
        }
        self.pay_late_ingress(id, request);
        if let Err(rejection) = applied {
            return Ok(rejection.into());
        }
        self.state.active.insert(id);
        if args.settings.controllers.is_some() {
            let controllers = self.state.existing(&id).settings.controllers.clone();
            self.record_change(id, request, ChangeDetails::Controllers { controllers });
        }
        Ok(done(request))
    }

    /// Takes the price of a user's short call, which was not taken when it arrived so that a frozen
    /// canister could get it. What the canister does not have is forgiven.
    fn pay_late_ingress(&mut self, id: Principal, request: &Request) {
        let is_late = matches!(request.origin, Origin::Ingress { .. })
            && request.argument.len() <= UNFREEZING_BYTES_MAX;
        if is_late {
            self.charge_ingress(
                id,
                price::ingress(request.method.len() + request.argument.len()),
            );
        }
    }

    /// Takes the price of an ingress message, as far as the canister has the cycles.
    pub(crate) fn charge_ingress(&mut self, id: Principal, cost: u128) {
        let canister = self.state.existing(&id);
        let paid = cost.min(canister.cycles);
        canister.cycles -= paid;
        canister.consumed.ingress = canister.consumed.ingress.saturating_add(paid);
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(paid);
    }
}
