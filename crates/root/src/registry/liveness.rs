//! What the registry notes of a node that was live in a runtime, or not.
//!
//! Source: Oasis Core `registry/api/status.go`.

use trilith_params::root::SUSPENSION_EPOCHS_EXPONENT_MAX;
use trilith_protocol::root::registry::Fault;
use trilith_types::{NodeId, RuntimeId, StateFault};

use crate::scope::Scope;

/// Notes whether a node was live in a runtime in the epoch before the one that begins. Gives its
/// failures after that; `None` if the node is not registered, frozen, or suspended in the runtime,
/// and then nothing is noted.
pub(crate) fn record_liveness(
    scope: &mut Scope<'_>,
    id: &NodeId,
    runtime: &RuntimeId,
    live: bool,
) -> Result<Option<u8>, StateFault> {
    if scope.overlay.node(id)?.is_none() {
        return Ok(None);
    }
    let mut status = scope.overlay.status(id)?;
    let fault = status.faults.get(runtime).copied().unwrap_or_default();
    let epoch = scope.epoch.0;
    if status.freeze_end_time > 0 || epoch < fault.suspended_until {
        return Ok(None);
    }
    let failures = if live {
        fault.failures.saturating_sub(1)
    } else {
        fault.failures.saturating_add(1)
    };
    if failures == 0 {
        status.faults.remove(runtime);
    } else {
        let epochs = 1u64 << failures.min(SUSPENSION_EPOCHS_EXPONENT_MAX);
        let suspended_until = epoch.saturating_add(epochs);
        let fault = Fault {
            failures,
            suspended_until,
        };
        status.faults.insert(*runtime, fault);
    }
    scope.overlay.put_status(id, &status);
    Ok(Some(failures))
}
