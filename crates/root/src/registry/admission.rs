//! Whether a runtime takes a node.
//!
//! Source: Oasis Core `registry/api/admission.go`.

use trilith_protocol::root::registry::{AdmissionPolicy, Node, Runtime};
use trilith_types::{Epoch, RuntimeId};

use super::{Forbidden, RegistryError, RuntimeRule};
use crate::Refusal;
use crate::scope::Scope;

/// The bits of all roles. Source: Oasis Core `common/node`.
pub(super) const ROLES: [u32; 5] = [1, 2, 4, 8, 32];

/// Whether bits are those of exactly one role.
pub(super) fn is_role(bits: u32) -> bool {
    ROLES.contains(&bits)
}

/// Checks a policy by itself.
pub(super) fn check_form(policy: &AdmissionPolicy) -> Result<(), RuntimeRule> {
    let lists = policy.entity_whitelist.is_some() || !policy.per_role.is_empty();
    if policy.any_node.is_some() == lists {
        return Err(RuntimeRule::Admission);
    }
    let entries = policy.entity_whitelist.iter();
    let of_entities = entries
        .flat_map(|list| list.entities.values())
        .flat_map(|entry| entry.max_nodes.keys());
    let mut roles = of_entities.chain(policy.per_role.keys());
    match roles.find(|role| !is_role(**role)) {
        Some(role) => Err(RuntimeRule::Role(*role)),
        None => Ok(()),
    }
}

/// Checks that a runtime takes a node.
pub(super) fn check(scope: &mut Scope<'_>, node: &Node, runtime: &Runtime) -> Result<(), Refusal> {
    let policy = &runtime.admission_policy;
    let refused = |role, limit| {
        RegistryError::from(Forbidden::Admission {
            runtime: runtime.id,
            entity: node.entity_id,
            role,
            limit,
        })
    };
    let roles = || ROLES.into_iter().filter(|role| node.has_role(*role));
    let mut limits: Vec<(u32, u16)> = Vec::new();
    if let Some(list) = &policy.entity_whitelist {
        let entry = list.entities.get(&node.entity_id);
        let entry = entry.ok_or_else(|| refused(0, 0))?;
        if !entry.max_nodes.is_empty() {
            for role in roles() {
                limits.push((role, entry.max_nodes.get(&role).copied().unwrap_or(0)));
            }
        }
    }
    for role in roles() {
        let list = policy.per_role.get(&role);
        let Some(list) = list.and_then(|policy| policy.entity_whitelist.as_ref()) else {
            continue;
        };
        let entry = list.entities.get(&node.entity_id);
        let limit = entry.ok_or_else(|| refused(role, 0))?.max_nodes;
        if limit > 0 {
            limits.push((role, limit));
        }
    }
    if limits.is_empty() {
        return Ok(());
    }
    let others = others(scope, node, &runtime.id)?;
    for (role, limit) in limits {
        let count = others.iter().filter(|other| other.has_role(role)).count();
        if count >= usize::from(limit) {
            return Err(refused(role, limit).into());
        }
    }
    Ok(())
}

/// The entity's other nodes that are registered for the runtime.
fn others(scope: &mut Scope<'_>, node: &Node, runtime: &RuntimeId) -> Result<Vec<Node>, Refusal> {
    let epoch: Epoch = scope.epoch;
    let mut nodes = scope.overlay.nodes_of(&node.entity_id)?;
    nodes.retain(|other| {
        other.id != node.id && !other.is_expired(epoch) && other.has_runtime(runtime)
    });
    Ok(nodes)
}
