//! The claims that what is registered makes on stake. All claims of an account are summed.
//!
//! ```text
//! entity:  the network's threshold of entities
//! node:    the network's threshold of validators, if it is one, and for each of its runtimes and
//!          each of its roles there, the network's threshold and the runtime's own
//! runtime: the network's threshold of its kind, from its entity, or from its own account if it
//!          governs itself; none if the network governs it
//! ```
//!
//! Source: Oasis Core `registry/api` (`StakeThresholdsForNode`, `StakeThresholdsForRuntime`).

use std::collections::BTreeMap;

use trilith_protocol::root::registry::{
    GOVERNANCE_ENTITY, GOVERNANCE_RUNTIME, KIND_COMPUTE, Node, Runtime,
};
use trilith_protocol::root::staking::{StakeThreshold, ThresholdKind};
use trilith_protocol::root::{Address, Name, NodeRoles};
use trilith_types::{NodeId, RuntimeId};

/// The claim of an entity.
pub(super) fn entity_claim() -> Name {
    "registry.RegisterEntity".into()
}

/// The claim of a node. Oasis Core writes the key in Base64.
pub(super) fn node_claim(node: &NodeId) -> Name {
    Name(format!("registry.RegisterNode.{node}"))
}

/// The claim of a runtime.
pub(super) fn runtime_claim(runtime: &RuntimeId) -> Name {
    Name(format!("registry.RegisterRuntime.{runtime}"))
}

/// What an entity needs.
pub(super) fn of_entity() -> Vec<StakeThreshold> {
    vec![StakeThreshold::global(ThresholdKind::Entity)]
}

/// What a node needs, given the descriptors of its runtimes.
pub(super) fn of_node(node: &Node, runtimes: &BTreeMap<RuntimeId, Runtime>) -> Vec<StakeThreshold> {
    let mut thresholds = Vec::new();
    if node.has_role(NodeRoles::VALIDATOR.bits()) {
        thresholds.push(StakeThreshold::global(ThresholdKind::NodeValidator));
    }
    let roles = [
        (NodeRoles::KEY_MANAGER, ThresholdKind::NodeKeyManager),
        (NodeRoles::COMPUTE, ThresholdKind::NodeCompute),
        (NodeRoles::OBSERVER, ThresholdKind::NodeObserver),
    ];
    for runtime in runtimes.values() {
        for (role, kind) in roles {
            if !node.has_role(role.bits()) {
                continue;
            }
            thresholds.push(StakeThreshold::global(kind));
            let own = runtime.staking.thresholds.get(&kind);
            let own = own.filter(|amount| !amount.is_zero());
            thresholds.extend(own.map(|amount| StakeThreshold::constant(*amount)));
        }
    }
    thresholds
}

/// What a runtime needs.
pub(super) fn of_runtime(runtime: &Runtime) -> Vec<StakeThreshold> {
    let kind = if runtime.kind == KIND_COMPUTE {
        ThresholdKind::RuntimeCompute
    } else {
        ThresholdKind::RuntimeKeyManager
    };
    vec![StakeThreshold::global(kind)]
}

/// Whose stake a runtime needs; `None` if it needs none.
pub(super) fn account_of(runtime: &Runtime) -> Option<Address> {
    match runtime.governance_model {
        GOVERNANCE_ENTITY => Some(Address::of_key(&runtime.entity_id)),
        GOVERNANCE_RUNTIME => Some(Address::of_runtime(&runtime.id)),
        _ => None,
    }
}
