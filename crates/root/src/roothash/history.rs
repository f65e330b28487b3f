//! The roots of past rounds, which stay in the state for a number of rounds so that they can be
//! proven to whoever trusts the root.
//!
//! Source: Oasis Core `apps/roothash/state` (`SetRuntimeState`, `ShrinkPastRoots`).

use std::ops::ControlFlow;

use trilith_protocol::BlockHeader;
use trilith_protocol::root::RoundRoots;
use trilith_types::{Round, RuntimeId, StateFault, StateRead};

use super::parameters::parameters_of;
use super::store::{roots_key, roots_prefix, round_of};
use crate::scope::Scope;
use crate::state::{OfRuntime, read};

/// Keeps the roots of a block, and forgets those that are one too many.
pub(super) fn remember(scope: &mut Scope<'_>, block: &BlockHeader) -> Result<(), StateFault> {
    let kept = parameters_of(scope)?.max_past_roots_stored;
    if kept == 0 {
        return Ok(());
    }
    let (runtime, round) = (&block.namespace, block.round);
    if let Some(old) = round.0.checked_sub(kept) {
        scope.overlay.put(roots_key(runtime, Round(old)), None);
    }
    let roots = RoundRoots {
        state_root: block.state_root,
        io_root: block.io_root,
    };
    scope.overlay.put_record(roots_key(runtime, round), &roots);
    Ok(())
}

/// Forgets all but the newest `kept` roots of every runtime.
pub(super) fn shrink(scope: &mut Scope<'_>, kept: u64) -> Result<(), StateFault> {
    for runtime in scope.network.runtimes.clone() {
        let newest: BlockHeader = scope.overlay.required(&OfRuntime::Block.key(&runtime))?;
        // Every round has a block, so the rounds of roots have no gaps.
        let Some(first) = (newest.round.0 + 1).checked_sub(kept) else {
            continue;
        };
        let prefix = roots_prefix(&runtime);
        let old = scope
            .overlay
            .entries(&prefix, |key| match round_of(key, prefix.len()) {
                Some(round) if round.0 < first => ControlFlow::Continue(true),
                _ => ControlFlow::Break(()),
            })?;
        for (key, _) in old {
            scope.overlay.put(key, None);
        }
    }
    Ok(())
}

/// The roots of a round of a runtime; `None` if they are not kept, or not any more.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn round_roots(
    view: &dyn StateRead,
    runtime: &RuntimeId,
    round: Round,
) -> Result<Option<RoundRoots>, StateFault> {
    read(view, &roots_key(runtime, round))
}
