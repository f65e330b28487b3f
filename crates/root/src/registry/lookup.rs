//! What governance and key managers ask of the registry.

use std::collections::BTreeSet;

use trilith_protocol::root::registry::{KIND_KEY_MANAGER, Node, NodeStatus, Runtime};
use trilith_protocol::root::{Address, NodeRoles};
use trilith_types::{Epoch, NodeId, PublicKey, StateFault};

use super::epoch::{Coverage, all_nodes};
use super::store::RUNTIMES;
use crate::scope::Scope;
use crate::state::decoded;

/// Whether an entity is registered.
pub(crate) fn is_entity(scope: &mut Scope<'_>, id: &PublicKey) -> Result<bool, StateFault> {
    Ok(scope.overlay.entity(id)?.is_some())
}

/// The descriptor of a registered node.
pub(crate) fn descriptor_of(
    scope: &mut Scope<'_>,
    id: &NodeId,
) -> Result<Option<Node>, StateFault> {
    scope.overlay.node(id)
}

/// The key managers that run, ascending.
pub(crate) fn key_managers(scope: &Scope<'_>) -> Result<Vec<Runtime>, StateFault> {
    let mut found = Vec::new();
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        if runtime.kind == KIND_KEY_MANAGER {
            found.push(runtime);
        }
    }
    Ok(found)
}

/// The entities that have a validator which is not expired, not frozen and past its waiting time,
/// and that have the stake that is claimed from them.
pub(crate) fn validator_entities(scope: &mut Scope<'_>) -> Result<BTreeSet<PublicKey>, StateFault> {
    let mut entities = BTreeSet::new();
    let mut coverage = Coverage::default();
    for node in all_nodes(scope)? {
        if entities.contains(&node.entity_id) || !node.has_role(NodeRoles::VALIDATOR.bits()) {
            continue;
        }
        let status = scope.overlay.status(&node.id)?;
        if may_validate(&node, &status, scope.epoch)
            && coverage.of(scope, Address::of_key(&node.entity_id))?
        {
            entities.insert(node.entity_id);
        }
    }
    Ok(entities)
}

fn may_validate(node: &Node, status: &NodeStatus, epoch: Epoch) -> bool {
    let after = status.election_eligible_after;
    !node.is_expired(epoch) && status.freeze_end_time == 0 && (after == 0 || epoch.0 > after)
}
