//! What executors lose that were wrong, signed two different things or did not do their work, and
//! who gets it.
//!
//! Deviation from Oasis Core, which has a freeze interval in every rule and uses it for liveness
//! only: where the runtime sets one, the nodes are frozen for wrong results and equivocation too.
//!
//! Source: Oasis Core `apps/roothash/slashing.go`.

use trilith_protocol::root::registry::Runtime;
use trilith_protocol::root::staking::{Slash, SlashReason};
use trilith_protocol::root::{Address, Quantity};
use trilith_types::{NodeId, RuntimeId, StateFault};

use crate::scope::{Call, Scope, broken};
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

/// Slashes the entity of a node that signed two different things. The runtime gets its part, the
/// entity of the node that showed it the rest, or whoever showed it if that is no node.
pub(super) fn for_equivocation(
    scope: &mut Scope<'_>,
    runtime: &Runtime,
    node: &NodeId,
    penalty: Slash,
    call: &Call,
) -> Result<(), StateFault> {
    if penalty.freeze_interval > 0 {
        registry::freeze(scope, node, penalty.freeze_interval)?;
    }
    let mut taken = Quantity::ZERO;
    for account in accounts(scope, &[*node])? {
        taken = staking::slash(scope, &account, penalty.amount)?;
    }
    let entity = registry::entity_of(scope, &call.signer)?;
    let rewarded = entity.map_or(call.caller, |entity| Address::of_key(&entity));
    let percent = runtime.staking.reward_equivocation;
    staking::distribute(scope, taken, (&runtime.id, percent), &[rewarded])
}

/// Slashes the entity of a node that did not do its work. What is taken stays in the pool from
/// which rewards are paid.
pub(super) fn for_liveness(
    scope: &mut Scope<'_>,
    node: &NodeId,
    amount: Quantity,
) -> Result<(), StateFault> {
    for account in accounts(scope, &[*node])? {
        staking::slash(scope, &account, amount)?;
    }
    Ok(())
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
