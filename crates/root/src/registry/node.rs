//! Registering nodes, and thawing them.

use std::collections::BTreeMap;

use trilith_protocol::RootEvent;
use trilith_protocol::root::registry::{
    FreezeEvent, GAS_MAINTENANCE, GAS_UNFREEZE_NODE, Node, NodeEvent, NodeStatus, RegistryEvent,
    Runtime, UnfreezeNode,
};
use trilith_protocol::root::{Address, MultiSigned};
use trilith_types::{Epoch, NodeId, RuntimeId, StateFault};

use super::entity::{charge, must_be};
use super::error::malformed;
use super::node_rules::{check, check_update, open};
use super::runtime::resume;
use super::store::{MARK, NODES, NODES_OF, SUB_KEYS, index_key, key, parameters_of};
use super::{NOT_YET, RegistryError, admission, stake};
use crate::Refusal;
use crate::scope::{Call, Scope};
use crate::staking;

/// `registry.RegisterNode`.
pub(super) fn register(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let signed = MultiSigned::decode(body).map_err(malformed("multi-signed node"))?;
    let node = open(&signed)?;
    let parameters = parameters_of(scope)?;
    let epoch = scope.epoch;
    let runtimes = check(&mut scope.overlay, &node, &parameters, epoch)?;
    must_be(&call.signer, &node.id)?;
    for runtime in runtimes.values() {
        admission::check(scope, &node, runtime)?;
    }
    if node.expiration <= epoch {
        let expiration = node.expiration;
        return Err(RegistryError::Expired { expiration, epoch }.into());
    }
    let existing = scope.overlay.node(&node.id)?;
    let active = existing.as_ref().filter(|node| !node.is_expired(epoch));
    let epochs = epochs_to_pay(&node, active, epoch);
    let times = epochs.saturating_mul(runtimes.len() as u64);
    charge(scope, call, &parameters, GAS_MAINTENANCE, times)?;
    let address = Address::of_key(&node.entity_id);
    let thresholds = stake::of_node(&node, &runtimes);
    staking::add_claim(scope, &address, stake::node_claim(&node.id), thresholds)?;
    if let Some(existing) = &existing {
        check_update(&mut scope.overlay, existing, &node, epoch)?;
    }
    save(scope, existing.as_ref(), &node, &signed);
    renew_status(scope, existing.as_ref(), &node, epoch)?;
    resume_runtimes(scope, &runtimes)?;
    scope.emit(RootEvent::Registry(RegistryEvent::Node(NodeEvent {
        id: node.id,
        entity: node.entity_id,
        is_registration: true,
    })));
    Ok(())
}

/// How many epochs are to be paid for: those that the registration does not have yet.
fn epochs_to_pay(node: &Node, active: Option<&Node>, epoch: Epoch) -> u64 {
    let paid_until = active.map_or(epoch, |active| active.expiration);
    node.expiration.0.saturating_sub(paid_until.0.max(epoch.0))
}

/// Writes a descriptor and its indexes.
fn save(scope: &mut Scope<'_>, existing: Option<&Node>, node: &Node, signed: &MultiSigned) {
    let overlay = &mut scope.overlay;
    for sub_key in existing.iter().flat_map(|node| node.sub_keys()) {
        overlay.put(key(SUB_KEYS, sub_key.as_bytes()), None);
    }
    for sub_key in node.sub_keys() {
        overlay.put_record(key(SUB_KEYS, sub_key.as_bytes()), &node.id);
    }
    let index = index_key(NODES_OF, &node.entity_id, node.id.as_bytes());
    overlay.put(index, Some(MARK.to_vec()));
    overlay.put_record(key(NODES, node.id.as_bytes()), signed);
}

/// A node that is new, comes back or has another key for the beacon waits to be elected.
fn renew_status(
    scope: &mut Scope<'_>,
    existing: Option<&Node>,
    node: &Node,
    epoch: Epoch,
) -> Result<(), Refusal> {
    let mut status = match existing {
        None => NodeStatus::default(),
        Some(_) => scope.overlay.status(&node.id)?,
    };
    let stays = existing.is_some_and(|old| !old.is_expired(epoch) && old.vrf == node.vrf);
    if !stays {
        status.expiration_processed = false;
        status.election_eligible_after = NOT_YET;
    }
    scope.overlay.put_status(&node.id, &status);
    Ok(())
}

/// Lets runtimes run again whose owners have the stake.
fn resume_runtimes(
    scope: &mut Scope<'_>,
    runtimes: &BTreeMap<RuntimeId, Runtime>,
) -> Result<(), Refusal> {
    for runtime in runtimes.values() {
        let covered = match stake::account_of(runtime) {
            None => true,
            Some(account) => staking::claims_covered(scope, &account)?,
        };
        if covered {
            resume(scope, &runtime.id)?;
        }
    }
    Ok(())
}

/// Takes a node out, with its indexes and its claim.
pub(super) fn remove(scope: &mut Scope<'_>, node: &Node) -> Result<(), StateFault> {
    let overlay = &mut scope.overlay;
    for sub_key in node.sub_keys() {
        overlay.put(key(SUB_KEYS, sub_key.as_bytes()), None);
    }
    let index = index_key(NODES_OF, &node.entity_id, node.id.as_bytes());
    overlay.put(index, None);
    overlay.put(key(NODES, node.id.as_bytes()), None);
    overlay.put(key(super::store::STATUSES, node.id.as_bytes()), None);
    let address = Address::of_key(&node.entity_id);
    staking::remove_claim(scope, &address, &stake::node_claim(&node.id))
}

/// `registry.UnfreezeNode`.
pub(super) fn unfreeze(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let body = UnfreezeNode::decode(body).map_err(malformed("argument"))?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_UNFREEZE_NODE, 1)?;
    let id: NodeId = body.node_id;
    let node = scope.overlay.node(&id)?;
    let node = node.ok_or(RegistryError::NoSuchNode(id))?;
    if node.entity_id != call.signer {
        let signer = call.signer;
        return Err(RegistryError::OtherEntity { node: id, signer }.into());
    }
    let mut status = scope.overlay.status(&id)?;
    let (until, epoch) = (status.freeze_end_time, scope.epoch);
    if until > epoch.0 {
        return Err(RegistryError::Frozen { until, epoch }.into());
    }
    status.freeze_end_time = 0;
    scope.overlay.put_status(&id, &status);
    let event = FreezeEvent { node: id, until: 0 };
    scope.emit(RootEvent::Registry(RegistryEvent::Freeze(event)));
    Ok(())
}

/// Freezes a node for some epochs, if it is registered: it is not elected until the interval is
/// over and its entity thaws it. A node that is frozen for longer stays so.
pub(crate) fn freeze(scope: &mut Scope<'_>, id: &NodeId, interval: u64) -> Result<(), StateFault> {
    if scope.overlay.node(id)?.is_none() {
        return Ok(());
    }
    let mut status = scope.overlay.status(id)?;
    // The last epoch there can be is for ever.
    let until = scope.epoch.0.saturating_add(interval);
    status.freeze_end_time = status.freeze_end_time.max(until);
    scope.overlay.put_status(id, &status);
    let (node, until) = (*id, status.freeze_end_time);
    let event = FreezeEvent { node, until };
    scope.emit(RootEvent::Registry(RegistryEvent::Freeze(event)));
    Ok(())
}
