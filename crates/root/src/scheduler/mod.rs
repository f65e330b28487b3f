//! The scheduler: who executes which runtime in an epoch.
//!
//! At the first height of an epoch it elects a committee for every runtime; a runtime for which
//! there are too few nodes is suspended.
//!
//! Source: Oasis Core `scheduler`.

mod election;

use std::collections::BTreeSet;

pub(crate) use election::elect;

use trilith_protocol::root::{NodeRoles, RuntimeDescriptor};
use trilith_protocol::{HeaderType, RootEvent};
use trilith_types::{NodeId, PublicKey, StateFault};

use crate::roothash;
use crate::scope::{Scope, broken};
use crate::state::{self, OfRuntime, Record as _};

/// Elects the committees of an epoch.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let eligible = eligible(scope)?;
    for runtime in scope.network.runtimes.clone() {
        let descriptor = scope
            .overlay
            .required(&OfRuntime::Descriptor.key(&runtime))?;
        elect_for(scope, &descriptor, &eligible)?;
    }
    Ok(())
}

fn elect_for(
    scope: &mut Scope<'_>,
    descriptor: &RuntimeDescriptor,
    eligible: &BTreeSet<NodeId>,
) -> Result<(), StateFault> {
    let runtime = descriptor.id;
    let key = OfRuntime::Committee.key(&runtime);
    let was_suspended = scope.overlay.get(&key)?.is_none();
    let committee = elect(descriptor, eligible, scope.epoch, &scope.randomness);
    let header_type = match &committee {
        Some(_) => HeaderType::EpochTransition,
        None if was_suspended => return Ok(()),
        None => HeaderType::Suspended,
    };
    scope
        .overlay
        .put(key, committee.as_ref().map(|committee| committee.encode()));
    if let Some(committee) = committee {
        scope.emit(RootEvent::CommitteeElected { runtime, committee });
    }
    roothash::start_epoch(scope, &runtime, header_type)
}

/// The nodes that may be elected.
fn eligible(scope: &Scope<'_>) -> Result<BTreeSet<NodeId>, StateFault> {
    let mut eligible = BTreeSet::new();
    for (key, value) in scope.overlay.all(state::NODES)? {
        let node = PublicKey::from_slice(&key[state::NODES.len()..]);
        let (Some(node), Ok(roles)) = (node, NodeRoles::from_bytes(&value)) else {
            return Err(broken("a node has another key or value than it can have"));
        };
        if roles.has(NodeRoles::COMPUTE) {
            eligible.insert(node);
        }
    }
    Ok(eligible)
}
