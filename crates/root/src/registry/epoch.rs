//! What an epoch does to registrations, and whom it finds to elect.

use std::collections::{BTreeMap, BTreeSet};

use trilith_protocol::RootEvent;
use trilith_protocol::root::registry::{
    KIND_COMPUTE, Node, NodeEvent, NodeStatus, RegistryEvent, Runtime,
};
use trilith_protocol::root::{Address, MultiSigned, NodeRoles};
use trilith_types::{Epoch, NodeId, PublicKey, RuntimeId, StateFault};

use super::NOT_YET;
use super::node::remove;
use super::store::{NODES, RUNTIMES, opened_node};
use crate::overlay::Overlay;
use crate::scope::Scope;
use crate::staking;
use crate::state::{OfRuntime, decoded};

/// By runtime, the nodes that may be elected.
pub(crate) type Candidates = BTreeMap<RuntimeId, BTreeSet<NodeId>>;

/// Whether accounts' active stake covers their claims, each looked up once.
#[derive(Default)]
pub(super) struct Coverage(BTreeMap<Address, bool>);

impl Coverage {
    pub(super) fn of(
        &mut self,
        scope: &mut Scope<'_>,
        account: Address,
    ) -> Result<bool, StateFault> {
        if let Some(covered) = self.0.get(&account) {
            return Ok(*covered);
        }
        let covered = staking::claims_covered(scope, &account)?;
        self.0.insert(account, covered);
        Ok(covered)
    }
}

/// All registered nodes, ascending.
pub(crate) fn all_nodes(scope: &Scope<'_>) -> Result<Vec<Node>, StateFault> {
    let entries = scope.overlay.all(NODES)?;
    entries
        .iter()
        .map(|(_, value)| opened_node(&decoded::<MultiSigned>(value)?))
        .collect()
}

/// Ends registrations that have run out, lets new nodes wait for the next epoch only, suspends
/// runtimes without stake, and makes changes of descriptors hold.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let debonding = staking::parameters_of(scope)?.debonding_interval;
    let epoch = scope.epoch;
    for node in all_nodes(scope)? {
        let mut status = scope.overlay.status(&node.id)?;
        let before = status.clone();
        if status.election_eligible_after == NOT_YET {
            status.election_eligible_after = epoch.0;
        }
        if node.is_expired(epoch) && !status.expiration_processed {
            status.expiration_processed = true;
            scope.emit(RootEvent::Registry(RegistryEvent::Node(NodeEvent {
                id: node.id,
                entity: node.entity_id,
                is_registration: false,
            })));
        }
        // A sum that does not fit is of a node that stays for ever.
        let gone = node.expiration.0.checked_add(debonding);
        if gone.is_some_and(|gone| gone < epoch.0) {
            remove(scope, &node)?;
        } else if status != before {
            scope.overlay.put_status(&node.id, &status);
        }
    }
    super::suspend_without_stake(scope)?;
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        if runtime.kind == KIND_COMPUTE {
            let key = OfRuntime::Descriptor.key(&runtime.id);
            scope.overlay.put_record(key, &runtime.descriptor());
        }
    }
    Ok(())
}

/// The nodes that may be elected in this epoch: not frozen, not expired, past their waiting time,
/// with the stake that is claimed for them, and for each runtime with exactly its active version
/// and not suspended in it.
///
/// Source: Oasis Core `apps/scheduler` (`isSuitableExecutorWorker`).
pub(crate) fn candidates(scope: &mut Scope<'_>) -> Result<Candidates, StateFault> {
    let epoch = scope.epoch;
    let mut active = BTreeMap::new();
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        let version = runtime.active_deployment(epoch).map(|of| of.version);
        if let Some(version) = version.filter(|_| runtime.kind == KIND_COMPUTE) {
            active.insert(runtime.id, version);
        }
    }
    let mut candidates = Candidates::new();
    let mut coverage = Coverage::default();
    for node in all_nodes(scope)? {
        let status = scope.overlay.status(&node.id)?;
        if !may_be_elected(&node, &status, epoch) {
            continue;
        }
        if !coverage.of(scope, Address::of_key(&node.entity_id))? {
            continue;
        }
        for of_node in node.runtimes() {
            let runs = active.get(&of_node.id) == Some(&of_node.version);
            let fault = status.faults.get(&of_node.id);
            let live = fault.is_none_or(|fault| fault.suspended_until <= epoch.0);
            if runs && live {
                candidates.entry(of_node.id).or_default().insert(node.id);
            }
        }
    }
    Ok(candidates)
}

fn may_be_elected(node: &Node, status: &NodeStatus, epoch: Epoch) -> bool {
    let after = status.election_eligible_after;
    node.has_role(NodeRoles::COMPUTE.bits())
        && !node.is_expired(epoch)
        && status.freeze_end_time == 0
        && (after == 0 || epoch.0 > after)
}

/// The entity of a node, by the node's key or one of its others.
pub(crate) fn entity_of(
    scope: &mut Scope<'_>,
    key: &PublicKey,
) -> Result<Option<PublicKey>, StateFault> {
    if let Some(node) = scope.overlay.node(key)? {
        return Ok(Some(node.entity_id));
    }
    let Some(id) = scope.overlay.node_of_sub_key(key)? else {
        return Ok(None);
    };
    Ok(scope.overlay.node(&id)?.map(|node| node.entity_id))
}

/// What a registered node does now; `None` if it is not registered, or frozen.
pub(crate) fn node_roles(
    overlay: &mut Overlay<'_>,
    id: &NodeId,
    epoch: Epoch,
) -> Result<Option<NodeRoles>, StateFault> {
    let Some(node) = overlay.node(id)? else {
        return Ok(None);
    };
    let status = overlay.status(id)?;
    if node.is_expired(epoch) || status.freeze_end_time > 0 {
        return Ok(None);
    }
    Ok(NodeRoles::from_bits(node.roles))
}
