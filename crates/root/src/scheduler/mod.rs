//! The scheduler: who executes which runtime in an epoch.
//!
//! At the first height of an epoch it elects a committee for every runtime; a runtime for which
//! there are too few nodes is suspended.
//!
//! Source: Oasis Core `scheduler`.

mod election;

use std::collections::BTreeSet;

use election::elect;

use trilith_protocol::root::{COMMITTEE_MEMBERS_MAX, NodeRoles, RuntimeDescriptor};
use trilith_protocol::{Committee, HeaderType, RootEvent};
use trilith_types::{NodeId, PublicKey, RuntimeId, StateFault};

use crate::registry::{self, Candidates};
use crate::roothash;
use crate::scope::{Scope, broken};
use crate::state::{self, OfRuntime, Record as _};

/// The nodes that may be elected.
struct Eligible {
    /// Those of the genesis document's plain list, for the runtimes of its plain list.
    plain: BTreeSet<NodeId>,
    /// Those that are registered, by registered runtime.
    registered: Candidates,
}

impl Eligible {
    fn find(scope: &mut Scope<'_>) -> Result<Self, StateFault> {
        Ok(Self {
            plain: plain(scope, NodeRoles::COMPUTE)?,
            registered: registry::candidates(scope)?,
        })
    }

    /// The nodes that may be elected for a runtime, and whether it is registered.
    fn of(
        &self,
        scope: &mut Scope<'_>,
        runtime: &RuntimeId,
    ) -> Result<(BTreeSet<NodeId>, bool), StateFault> {
        if registry::running(scope, runtime)?.is_some() {
            let nodes = self.registered.get(runtime).cloned();
            return Ok((nodes.unwrap_or_default(), true));
        }
        if registry::is_suspended(scope, runtime)? {
            return Ok((BTreeSet::new(), true));
        }
        Ok((self.plain.clone(), false))
    }
}

/// Elects the committees of the first epoch, which begins no round.
pub(crate) fn start_network(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let eligible = Eligible::find(scope)?;
    for runtime in scope.network.runtimes.clone() {
        let (nodes, _) = eligible.of(scope, &runtime)?;
        if let Some(committee) = committee_of(scope, &runtime, &nodes)? {
            install(scope, runtime, committee);
        }
    }
    Ok(())
}

/// Elects the committees of an epoch. A runtime that gets none is suspended.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    roothash::before_election(scope)?;
    let eligible = Eligible::find(scope)?;
    for runtime in scope.network.runtimes.clone() {
        let (nodes, registered) = eligible.of(scope, &runtime)?;
        let key = OfRuntime::Committee.key(&runtime);
        let was_suspended = scope.overlay.get(&key)?.is_none();
        let header_type = match committee_of(scope, &runtime, &nodes)? {
            Some(committee) => {
                install(scope, runtime, committee);
                HeaderType::EpochTransition
            }
            None => {
                scope.overlay.put(key, None);
                if registered {
                    registry::suspend(scope, &runtime)?;
                }
                if was_suspended {
                    continue;
                }
                HeaderType::Suspended
            }
        };
        roothash::start_epoch(scope, &runtime, header_type)?;
    }
    Ok(())
}

fn committee_of(
    scope: &mut Scope<'_>,
    runtime: &RuntimeId,
    nodes: &BTreeSet<NodeId>,
) -> Result<Option<Committee>, StateFault> {
    let key = OfRuntime::Descriptor.key(runtime);
    let descriptor: RuntimeDescriptor = scope.overlay.required(&key)?;
    let storage = storage_of(scope, &descriptor)?;
    let committee = elect(&descriptor, nodes, scope.epoch, &scope.randomness);
    Ok(committee.map(|committee| Committee {
        storage,
        ..committee
    }))
}

/// The nodes whose receipts count, where the runtime asks for any: all that keep states.
fn storage_of(
    scope: &mut Scope<'_>,
    descriptor: &RuntimeDescriptor,
) -> Result<Vec<NodeId>, StateFault> {
    if descriptor.storage_receipts_min == 0 {
        return Ok(Vec::new());
    }
    let storage = match registry::descriptor(scope, &descriptor.id)? {
        Some(_) => registry::storage_nodes(scope, &descriptor.id)?,
        None => plain(scope, NodeRoles::STORAGE)?,
    };
    Ok(storage.into_iter().take(COMMITTEE_MEMBERS_MAX).collect())
}

fn install(scope: &mut Scope<'_>, runtime: RuntimeId, committee: Committee) {
    let key = OfRuntime::Committee.key(&runtime);
    scope.overlay.put_record(key, &committee);
    scope.emit(RootEvent::CommitteeElected { runtime, committee });
}

/// The nodes of the genesis document's plain list that have a role.
fn plain(scope: &Scope<'_>, role: NodeRoles) -> Result<BTreeSet<NodeId>, StateFault> {
    let mut eligible = BTreeSet::new();
    for (key, value) in scope.overlay.all(state::NODES)? {
        let node = PublicKey::from_slice(&key[state::NODES.len()..]);
        let (Some(node), Ok(roles)) = (node, NodeRoles::from_bytes(&value)) else {
            return Err(broken("a node has another key or value than it can have"));
        };
        if roles.has(role) {
            eligible.insert(node);
        }
    }
    Ok(eligible)
}
