//! The scheduler: who orders blocks, who executes which runtime, and who keeps its state.
//!
//! At the first height of an epoch it elects validators, where the network elects any, and a
//! committee for every runtime; a runtime for which there are too few nodes is suspended. If stake
//! was slashed at the begin of another height it elects again, by the same lot, so that entities
//! without enough stake are out at once; committees that stay the same are left alone.
//!
//! | key | value |
//! |---|---|
//! | `Vp` | parameters; absent where no validators are elected |
//! | `Vv` | validators; absent as well then |
//! | `c` ‖ runtime | committee |
//!
//! It must not know what nodes prove, only the lot that the beacon draws, nor what makes a node
//! electable, which the registry says. Invariants: who is in a committee could be elected when it
//! was; no one is a worker and a backup where the runtime does not allow it.
//!
//! Source: Oasis Core `scheduler`, `consensus/cometbft/apps/scheduler`.

mod election;
mod error;
mod order;
mod validators;

pub use error::{MODULE, SchedulerError};

use std::collections::BTreeSet;

use election::{Constraints, Election};

use trilith_protocol::root::registry::Node;
use trilith_protocol::root::scheduler::{ElectionParameterChanges, ElectionParameters, Validators};
use trilith_protocol::root::staking::StakingEvent;
use trilith_protocol::root::{Address, GenesisError, NodeRoles, Quantity, RuntimeDescriptor};
use trilith_protocol::{Committee, HeaderType, Reject, RootEvent};
use trilith_types::{Hash, PublicKey, RuntimeId, StateFault, StateRead};

use crate::beacon::{self, Lottery};
use crate::overlay::Entry;
use crate::parameters::{Apply, NoChange, check, set};
use crate::registry::{self, Candidate, Electable};
use crate::scope::{Scope, broken};
use crate::state::{self, OfRuntime, Record as _, read, record_of_encoded};
use crate::{roothash, staking};

const PARAMETERS: &[u8] = b"Vp";
pub(crate) const VALIDATORS: &[u8] = b"Vv";

record_of_encoded!(ElectionParameters, "election parameters");
record_of_encoded!(Validators, "list of validators");

/// The parameters; `None` where no validators are elected.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<Option<ElectionParameters>, StateFault> {
    read(view, PARAMETERS)
}

/// The validators; none where none are elected.
///
/// # Errors
/// See [`parameters`].
pub fn validators(view: &dyn StateRead) -> Result<Validators, StateFault> {
    Ok(read(view, VALIDATORS)?.unwrap_or_default())
}

/// The entities that order blocks: those of the elected validators, or where none are elected, those
/// whose validators could be.
pub(crate) fn validator_entities(scope: &mut Scope<'_>) -> Result<BTreeSet<PublicKey>, StateFault> {
    if parameters_of(scope)?.is_none() {
        return registry::validator_entities(scope);
    }
    let elected: Option<Validators> = scope.overlay.record(VALIDATORS)?;
    let validators = elected.unwrap_or_default().validators;
    Ok(validators.iter().map(|elected| elected.entity_id).collect())
}

/// See [`crate::parameters::Change`].
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &[u8],
    apply: Apply,
) -> Result<(), NoChange> {
    let changes = ElectionParameterChanges::decode(changes)?;
    let is_empty = changes == ElectionParameterChanges::default();
    let Some(mut parameters) = parameters_of(scope)? else {
        return Err(NoChange::because("this network elects no validators"));
    };
    set(&mut parameters.min_validators, changes.min_validators);
    set(&mut parameters.max_validators, changes.max_validators);
    set(
        &mut parameters.voting_power_distribution,
        changes.voting_power_distribution,
    );
    let supply = staking::supply_of(scope)?;
    validators::check(&parameters, supply).map_err(|error| NoChange::Refused(error.to_string()))?;
    if check(is_empty, &parameters, apply)? {
        scope.overlay.put_record(PARAMETERS.to_vec(), &parameters);
    }
    Ok(())
}

/// The entries of the state that a document gives.
///
/// # Errors
/// [`GenesisError`] if the parameters break a rule.
pub(crate) fn import(
    parameters: &Option<ElectionParameters>,
    supply: Quantity,
) -> Result<Vec<Entry>, GenesisError> {
    let Some(parameters) = parameters else {
        return Ok(Vec::new());
    };
    validators::check(parameters, supply)
        .map_err(|error| GenesisError::Service(Reject::from(error)))?;
    Ok(vec![(PARAMETERS.to_vec(), parameters.to_bytes())])
}

/// What all elections of a height share.
struct Elections {
    lottery: Lottery,
    registered: Electable,
    /// Those of the genesis document's plain list, for the runtimes of its plain list.
    plain_compute: Vec<Candidate>,
    plain_storage: Vec<Candidate>,
    /// The entities that have a validator.
    validators: BTreeSet<PublicKey>,
}

/// What a runtime can have a committee of.
struct Pool<'a> {
    compute: &'a [Candidate],
    storage: &'a [Candidate],
    constraints: Constraints,
    is_registered: bool,
}

impl Elections {
    fn begin(scope: &mut Scope<'_>, nodes: &[Node]) -> Result<Self, StateFault> {
        Ok(Self {
            lottery: beacon::lottery(scope)?,
            registered: registry::electable(scope, nodes)?,
            plain_compute: plain(scope, NodeRoles::COMPUTE)?,
            plain_storage: plain(scope, NodeRoles::STORAGE)?,
            validators: BTreeSet::new(),
        })
    }

    fn pool(&self, scope: &mut Scope<'_>, runtime: &RuntimeId) -> Result<Pool<'_>, StateFault> {
        if let Some(descriptor) = registry::running(scope, runtime)? {
            let (compute, storage) = (&self.registered.compute, &self.registered.storage);
            return Ok(Pool {
                compute: compute.get(runtime).map_or(&[], Vec::as_slice),
                storage: storage.get(runtime).map_or(&[], Vec::as_slice),
                constraints: descriptor.constraints,
                is_registered: true,
            });
        }
        let is_registered = registry::is_suspended(scope, runtime)?;
        let (compute, storage): (&[_], &[_]) = if is_registered {
            (&[], &[])
        } else {
            (&self.plain_compute, &self.plain_storage)
        };
        Ok(Pool {
            compute,
            storage,
            constraints: Constraints::new(),
            is_registered,
        })
    }

    fn committee(
        &self,
        scope: &mut Scope<'_>,
        runtime: &RuntimeId,
        pool: &Pool<'_>,
    ) -> Result<Option<Committee>, StateFault> {
        let key = OfRuntime::Descriptor.key(runtime);
        let descriptor: RuntimeDescriptor = scope.overlay.required(&key)?;
        let election = Election {
            lottery: &self.lottery,
            descriptor: &descriptor,
            constraints: &pool.constraints,
            validators: &self.validators,
        };
        Ok(election.committee(pool.compute, pool.storage))
    }

    /// Elects validators, where the network elects any.
    fn validators(&mut self, scope: &mut Scope<'_>) -> Result<(), StateFault> {
        let Some(parameters) = parameters_of(scope)? else {
            return Ok(());
        };
        let candidates = &self.registered.validators;
        let elected = validators::elect(scope, &parameters, &self.lottery, candidates)?;
        self.validators = validators::install(scope, elected)?;
        Ok(())
    }

    /// Rewards the entities with a validator, and those with a node that could be in a committee.
    fn reward(&self, scope: &mut Scope<'_>) -> Result<(), StateFault> {
        let Some(parameters) = parameters_of(scope)? else {
            return Ok(());
        };
        let factor = parameters.reward_factor_epoch_election_any;
        if factor.is_zero() {
            return Ok(());
        }
        let eligible = self.registered.compute.values().flatten();
        let entities = eligible.map(|candidate| &candidate.entity);
        let addresses = entities.chain(&self.validators).map(Address::of_key);
        staking::for_electability(scope, factor, &addresses.collect())
    }
}

/// Elects for the first epoch, which begins no round. Refuses a network without its validators.
pub(crate) fn start_network(
    scope: &mut Scope<'_>,
) -> Result<Result<(), SchedulerError>, StateFault> {
    let nodes = registry::all_nodes(scope)?;
    let mut elections = Elections::begin(scope, &nodes)?;
    if let Some(parameters) = parameters_of(scope)? {
        let candidates = &elections.registered.validators;
        let elected = validators::elect(scope, &parameters, &elections.lottery, candidates)?;
        if let Err(error) = elected {
            return Ok(Err(error));
        }
        elections.validators = validators::install(scope, elected)?;
    }
    for runtime in scope.network.runtimes.clone() {
        let pool = elections.pool(scope, &runtime)?;
        if let Some(committee) = elections.committee(scope, &runtime, &pool)? {
            install(scope, runtime, committee);
        }
    }
    Ok(Ok(()))
}

/// Elects for a new epoch, of the registered nodes. A runtime that gets no committee is suspended.
pub(crate) fn start_epoch(scope: &mut Scope<'_>, nodes: &[Node]) -> Result<(), StateFault> {
    roothash::before_election(scope)?;
    let mut elections = Elections::begin(scope, nodes)?;
    elections.validators(scope)?;
    for runtime in scope.network.runtimes.clone() {
        elect(scope, &elections, runtime, true)?;
    }
    elections.reward(scope)
}

/// Elects again if stake was slashed since the height began, which is before any transaction.
///
/// Source: Oasis Core `apps/scheduler` (`shouldElect`), which skips the first epoch.
pub(crate) fn begin_height(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let slashed = |event: &RootEvent| {
        let RootEvent::Staking(event) = event else {
            return false;
        };
        matches!(event, StakingEvent::TakeEscrow(_))
    };
    if !scope.events().iter().any(slashed) {
        return Ok(());
    }
    let nodes = registry::all_nodes(scope)?;
    let mut elections = Elections::begin(scope, &nodes)?;
    elections.validators(scope)?;
    for runtime in scope.network.runtimes.clone() {
        elect(scope, &elections, runtime, false)?;
    }
    Ok(())
}

/// Elects a runtime's committee and ends its running round, unless the epoch goes on with the same
/// committee.
fn elect(
    scope: &mut Scope<'_>,
    elections: &Elections,
    runtime: RuntimeId,
    is_new_epoch: bool,
) -> Result<(), StateFault> {
    let pool = elections.pool(scope, &runtime)?;
    let key = OfRuntime::Committee.key(&runtime);
    let before: Option<Committee> = scope.overlay.record(&key)?;
    let committee = elections.committee(scope, &runtime, &pool)?;
    if !is_new_epoch && committee == before {
        return Ok(());
    }
    let header_type = match committee {
        Some(committee) => {
            install(scope, runtime, committee);
            HeaderType::EpochTransition
        }
        None => {
            scope.overlay.put(key, None);
            if pool.is_registered {
                registry::suspend(scope, &runtime)?;
            }
            if before.is_none() {
                return Ok(());
            }
            HeaderType::Suspended
        }
    };
    roothash::start_epoch(scope, &runtime, header_type)
}

fn install(scope: &mut Scope<'_>, runtime: RuntimeId, committee: Committee) {
    let key = OfRuntime::Committee.key(&runtime);
    scope.overlay.put_record(key, &committee);
    scope.emit(RootEvent::CommitteeElected { runtime, committee });
}

fn parameters_of(scope: &mut Scope<'_>) -> Result<Option<ElectionParameters>, StateFault> {
    scope.overlay.record(PARAMETERS)
}

/// The nodes of the genesis document's plain list with a role, ascending by the hash of their key.
fn plain(scope: &Scope<'_>, role: NodeRoles) -> Result<Vec<Candidate>, StateFault> {
    let mut candidates = Vec::new();
    for (key, value) in scope.overlay.all(state::NODES)? {
        let node = PublicKey::from_slice(&key[state::NODES.len()..]);
        let (Some(node), Ok(roles)) = (node, NodeRoles::from_bytes(&value)) else {
            return Err(broken("a node has another key or value than it can have"));
        };
        if roles.has(role) {
            candidates.push(Candidate {
                id: node,
                entity: node,
                consensus: node,
            });
        }
    }
    candidates.sort_by_key(|candidate| Hash::of(candidate.id.as_bytes()));
    Ok(candidates)
}

#[cfg(test)]
mod tests;
