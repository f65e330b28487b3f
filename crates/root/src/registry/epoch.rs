//! What an epoch does to registrations, and whom it finds to elect.

use std::collections::BTreeMap;

use trilith_protocol::RootEvent;
use trilith_protocol::root::registry::{
    KIND_COMPUTE, Node, NodeEvent, NodeStatus, RegistryEvent, Runtime, TEE_NONE,
};
use trilith_protocol::root::{Address, MultiSigned, NodeRoles};
use trilith_types::{Epoch, Hash, NodeId, PublicKey, RuntimeId, StateFault};

use super::NOT_YET;
use super::node::remove;
use super::store::{NODES, RUNTIMES, opened_node};
use crate::scope::Scope;
use crate::staking;
use crate::state::{OfRuntime, decoded, node_key};

/// A node that may be elected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: NodeId,
    /// Whose it is. A node that is not registered is its own.
    pub(crate) entity: PublicKey,
    /// Its key for consensus.
    pub(crate) consensus: PublicKey,
}

/// Whom an epoch finds to elect. Every list is ascending by the hash of the node's key, the order
/// in which Oasis Core reads its nodes: drawing lots is by place in a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Electable {
    /// To order blocks.
    pub(crate) validators: Vec<Candidate>,
    /// To execute, by runtime.
    pub(crate) compute: BTreeMap<RuntimeId, Vec<Candidate>>,
    /// To keep state, by runtime.
    pub(crate) storage: BTreeMap<RuntimeId, Vec<Candidate>>,
}

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
/// runtimes without stake, and makes changes of descriptors hold. Gives the nodes that are left,
/// ascending: reading them is most of an epoch's work.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<Vec<Node>, StateFault> {
    let debonding = staking::parameters_of(scope)?.debonding_interval;
    let epoch = scope.epoch;
    let mut left = Vec::new();
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
            continue;
        }
        if status != before {
            scope.overlay.put_status(&node.id, &status);
        }
        left.push(node);
    }
    super::suspend_without_stake(scope)?;
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        if runtime.kind == KIND_COMPUTE {
            let key = OfRuntime::Descriptor.key(&runtime.id);
            scope.overlay.put_record(key, &runtime.descriptor());
        }
    }
    Ok(left)
}

/// Of the registered nodes, those that may be elected: not frozen, not expired, with the stake that
/// is claimed for them. To committees only those past their waiting time, and for each runtime with
/// exactly its active version, where it needs no enclave and they have none: attestations cannot be
/// verified. To execute, only those that are not suspended in the runtime.
///
/// Source: Oasis Core `apps/scheduler` (`elect`, `isSuitableExecutorWorker`).
pub(crate) fn electable(scope: &mut Scope<'_>, nodes: &[Node]) -> Result<Electable, StateFault> {
    let epoch = scope.epoch;
    let mut active = BTreeMap::new();
    for (_, value) in scope.overlay.all(RUNTIMES)? {
        let runtime: Runtime = decoded(&value)?;
        let version = runtime.active_deployment(epoch).map(|of| of.version);
        let runs = runtime.kind == KIND_COMPUTE && runtime.tee_hardware == TEE_NONE;
        if let Some(version) = version.filter(|_| runs) {
            active.insert(runtime.id, version);
        }
    }
    let mut electable = Electable::default();
    let mut coverage = Coverage::default();
    let mut ordered: Vec<(Hash, &Node)> = nodes
        .iter()
        .filter(|node| !node.is_expired(epoch))
        .map(|node| (Hash::of(node.id.as_bytes()), node))
        .collect();
    ordered.sort_unstable_by_key(|(hash, _)| *hash);
    for (_, node) in ordered {
        let status = scope.overlay.status(&node.id)?;
        if status.freeze_end_time > 0 || !coverage.of(scope, Address::of_key(&node.entity_id))? {
            continue;
        }
        if node.has_role(NodeRoles::VALIDATOR.bits()) {
            electable.validators.push(candidate(node));
        }
        let after = status.election_eligible_after;
        if after != 0 && epoch.0 <= after {
            continue;
        }
        for of_node in node.runtimes() {
            let runs = active.get(&of_node.id) == Some(&of_node.version);
            if runs && of_node.capabilities.tee.is_none() {
                electable.add(node, &of_node.id, &status, epoch);
            }
        }
    }
    Ok(electable)
}

impl Electable {
    fn add(&mut self, node: &Node, runtime: &RuntimeId, status: &NodeStatus, epoch: Epoch) {
        let fault = status.faults.get(runtime);
        let live = fault.is_none_or(|fault| fault.suspended_until <= epoch.0);
        if live && node.has_role(NodeRoles::COMPUTE.bits()) {
            let list = self.compute.entry(*runtime).or_default();
            list.push(candidate(node));
        }
        if node.has_role(NodeRoles::STORAGE.bits()) {
            let list = self.storage.entry(*runtime).or_default();
            list.push(candidate(node));
        }
    }
}

const fn candidate(node: &Node) -> Candidate {
    Candidate {
        id: node.id,
        entity: node.entity_id,
        consensus: node.consensus.id,
    }
}

/// The key with which a node takes part in the beacon: that of its registration, or the node's own
/// if it is of the genesis document's plain list.
pub(crate) fn vrf_key(scope: &mut Scope<'_>, id: &NodeId) -> Result<Option<PublicKey>, StateFault> {
    if let Some(node) = scope.overlay.node(id)? {
        return Ok(Some(node.vrf.id));
    }
    let plain: Option<NodeRoles> = scope.overlay.record(&node_key(id))?;
    Ok(plain.map(|_| *id))
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
