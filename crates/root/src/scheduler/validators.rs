//! Who orders blocks.
//!
//! ```text
//! entities = those with a node that can be a validator, by stake; equal stake by entropy
//! nodes    = of each entity in this order, the first ones of a random order of all nodes, up to
//!            the most of an entity, until there are as many as there may be
//! power    = stake / 16, or its square root; at least 1
//! ```
//!
//! Deviation from Oasis Core, which stops where too few can be elected: the validators of before
//! stay, and an event says so. Nodes can come back only if blocks are ordered.
//!
//! Source: Oasis Core `apps/scheduler` (`electValidators`), `scheduler/api`
//! (`VotingPowerFromStake`).

use std::collections::{BTreeMap, BTreeSet};

use trilith_params::root::{STAKE_PER_VOTING_POWER, VOTING_POWER_MAX};
use trilith_protocol::RootEvent;
use trilith_protocol::root::scheduler::{
    ElectionParameters, POWER_LINEAR, POWER_SQRT, SchedulerEvent, Validator, Validators,
    ValidatorsElectedEvent, ValidatorsStayEvent,
};
use trilith_protocol::root::{Address, Quantity};
use trilith_types::permutation::Permutations;
use trilith_types::{PublicKey, StateFault};

use super::order::{Subject, by_entropy, by_outputs};
use super::{SchedulerError, VALIDATORS};
use crate::beacon::Lottery;
use crate::registry::Candidate;
use crate::scope::{Scope, broken};
use crate::staking;

/// What entropy is used for. Source: Oasis Core `apps/scheduler` (`RNGContext…`).
const ENTITIES: &[u8] = b"EkS-ABCI-Entities";
const NODES: &[u8] = b"EkS-ABCI-Validators";
/// The order by outputs. Source: Oasis Core `apps/scheduler/shuffle.go`.
const OF_VALIDATORS: &[u8] = b"oasis-core:vrf/validator";

/// Checks parameters for a network with so much stake.
///
/// Source: Oasis Core `apps/scheduler/genesis.go`.
pub(super) fn check(
    parameters: &ElectionParameters,
    supply: Quantity,
) -> Result<(), SchedulerError> {
    let most = u64::from(u32::MAX);
    let ElectionParameters {
        min_validators,
        max_validators,
        max_validators_per_entity,
        voting_power_distribution,
        ..
    } = *parameters;
    let power_max = u64::from(POWER_SQRT);
    let ranges = [
        ("min_validators", min_validators, 1, most),
        ("max_validators", max_validators, min_validators, most),
        (
            "max_validators_per_entity",
            max_validators_per_entity,
            1,
            most,
        ),
        (
            "voting_power_distribution",
            voting_power_distribution.into(),
            POWER_LINEAR.into(),
            power_max,
        ),
    ];
    for (name, value, min, max) in ranges {
        if !(min..=max).contains(&value) {
            return Err(SchedulerError::Range {
                name,
                value,
                min,
                max,
            });
        }
    }
    match power(supply, voting_power_distribution) {
        Some(power) if power <= VOTING_POWER_MAX => Ok(()),
        _ => Err(SchedulerError::TooMuchPower { supply }),
    }
}

/// The power that stake gives; `None` if it does not fit.
pub(super) fn power(stake: Quantity, distribution: u8) -> Option<u64> {
    let units = match distribution {
        POWER_SQRT => stake.units().isqrt(),
        _ => stake.units() / u128::from(STAKE_PER_VOTING_POWER),
    };
    // A validator without power would be none.
    u64::try_from(units.max(1)).ok()
}

/// Elects validators. Gives who could be elected, if they are too few.
pub(super) fn elect(
    scope: &mut Scope<'_>,
    parameters: &ElectionParameters,
    lottery: &Lottery,
    candidates: &[Candidate],
) -> Result<Result<Validators, SchedulerError>, StateFault> {
    let order = entities_by_stake(scope, lottery, candidates)?;
    let mut of_entity: BTreeMap<Address, Vec<&Candidate>> = BTreeMap::new();
    for candidate in ordered(parameters, lottery, candidates) {
        let nodes = of_entity.entry(Address::of_key(&candidate.entity));
        nodes.or_default().push(candidate);
    }
    let per_entity = limit(parameters.max_validators_per_entity);
    let mut validators = Vec::new();
    for (address, stake) in order {
        let power = power(stake, parameters.voting_power_distribution)
            .ok_or_else(|| broken("an account has more stake than there may be"))?;
        let nodes = of_entity.remove(&address).unwrap_or_default();
        validators.extend(nodes.into_iter().take(per_entity).map(|node| Validator {
            id: node.id,
            entity_id: node.entity,
            consensus_id: node.consensus,
            voting_power: power,
        }));
    }
    validators.truncate(limit(parameters.max_validators));
    validators.sort_unstable_by_key(|validator| validator.consensus_id);
    let (found, min) = (validators.len() as u64, parameters.min_validators);
    if found < min {
        return Ok(Err(SchedulerError::TooFewValidators { found, min }));
    }
    let epoch = lottery.epoch;
    Ok(Ok(Validators { epoch, validators }))
}

/// A number of things in memory.
fn limit(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The candidates' entities with their stake, most first.
fn entities_by_stake(
    scope: &mut Scope<'_>,
    lottery: &Lottery,
    candidates: &[Candidate],
) -> Result<Vec<(Address, Quantity)>, StateFault> {
    let entities: BTreeSet<PublicKey> = candidates.iter().map(|one| one.entity).collect();
    let mut addresses: Vec<Address> = entities.iter().map(Address::of_key).collect();
    addresses.sort_unstable();
    Permutations::new(&lottery.entropy, &[], ENTITIES).shuffle(&mut addresses);
    let mut stakes = Vec::with_capacity(addresses.len());
    for address in addresses {
        stakes.push((address, staking::active_stake(scope, &address)?));
    }
    // Entities of equal stake stay as they were shuffled.
    stakes.sort_by_key(|(_, stake)| std::cmp::Reverse(*stake));
    Ok(stakes)
}

/// The candidates in a random order: by outputs, if at least as many have one as must be elected.
fn ordered<'a>(
    parameters: &ElectionParameters,
    lottery: &Lottery,
    candidates: &'a [Candidate],
) -> Vec<&'a Candidate> {
    let all: Vec<&Candidate> = candidates.iter().collect();
    if let Some(outputs) = &lottery.outputs {
        let subject = Subject {
            customization: OF_VALIDATORS,
            items: &[],
        };
        let order = by_outputs(lottery, outputs, &subject, &all);
        if order.len() as u64 >= parameters.min_validators {
            return order;
        }
    }
    by_entropy(lottery, &[], NODES, all)
}

/// Writes down what an election gave. Gives the entities that have a validator.
pub(super) fn install(
    scope: &mut Scope<'_>,
    elected: Result<Validators, SchedulerError>,
) -> Result<BTreeSet<PublicKey>, StateFault> {
    let validators = match elected {
        Ok(validators) => {
            let (epoch, count) = (validators.epoch, validators.validators.len() as u64);
            scope.overlay.put_record(VALIDATORS.to_vec(), &validators);
            emit(
                scope,
                SchedulerEvent::ValidatorsElected(ValidatorsElectedEvent { epoch, count }),
            );
            validators
        }
        Err(error) => {
            if let SchedulerError::TooFewValidators { found, min } = error {
                let epoch = scope.epoch;
                let event = ValidatorsStayEvent { epoch, found, min };
                emit(scope, SchedulerEvent::ValidatorsStay(event));
            }
            scope.overlay.required(VALIDATORS)?
        }
    };
    let validators = validators.validators.iter();
    Ok(validators.map(|validator| validator.entity_id).collect())
}

fn emit(scope: &mut Scope<'_>, event: SchedulerEvent) {
    scope.emit(RootEvent::Scheduler(event));
}
