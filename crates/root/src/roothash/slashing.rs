//! What wrong executors lose, and who gets it.
//!
//! Deviation from Oasis Core, which has a freeze interval in the same rule and does not use it for
//! wrong results: where the runtime sets one, the wrong nodes are frozen.
//!
//! Source: Oasis Core `apps/roothash/slashing.go` (`onRuntimeIncorrectResults`).

use trilith_protocol::root::staking::SlashReason;
use trilith_protocol::root::{Address, Quantity};
use trilith_types::{NodeId, RuntimeId, StateFault};

use crate::scope::{Scope, broken};
use crate::{registry, staking};

/// Slashes the entities of nodes that committed to another result than the one that stands, as
/// the runtime's descriptor says. The runtime gets its part, the entities of the others the rest.
/// Nodes that are not registered own no stake.
pub(super) fn for_incorrect_results(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    good: &[NodeId],
    bad: &[NodeId],
) -> Result<(), StateFault> {
    let Some(descriptor) = registry::running(scope, runtime)? else {
        return Ok(());
    };
    let rules = &descriptor.staking;
    let penalty = rules.slashing.get(&SlashReason::RuntimeIncorrectResults);
    let Some(penalty) = penalty.copied() else {
        return Ok(());
    };
    if penalty.freeze_interval > 0 {
        for node in bad {
            registry::freeze(scope, node, penalty.freeze_interval)?;
        }
    }
    let mut taken = Quantity::ZERO;
    for account in accounts(scope, bad)? {
        let part = staking::slash(scope, &account, penalty.amount)?;
        taken = taken
            .plus(part)
            .ok_or_else(|| broken("more stake was slashed than there is"))?;
    }
    let resolvers = accounts(scope, good)?;
    let percent = rules.reward_bad_results;
    staking::distribute(scope, taken, (runtime, percent), &resolvers)
}

/// The accounts of nodes' entities, one for each registered node.
fn accounts(scope: &mut Scope<'_>, nodes: &[NodeId]) -> Result<Vec<Address>, StateFault> {
    let mut accounts = Vec::new();
    for node in nodes {
        let entity = registry::entity_of(scope, node)?;
        accounts.extend(entity.map(|entity| Address::of_key(&entity)));
    }
    Ok(accounts)
}
