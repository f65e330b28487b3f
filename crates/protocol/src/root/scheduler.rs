//! What is said of elections: parameters, validators, and events.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//!
//! Source: Oasis Core `scheduler/api`.

use trilith_params::root as params;
use trilith_types::{Epoch, PublicKey};

use super::Quantity;
use crate::wire::{wire_choice, wire_struct};

/// A validator's power is its entity's stake divided by a fixed number.
pub const POWER_LINEAR: u8 = 0;
/// A validator's power is the square root of its entity's stake.
pub const POWER_SQRT: u8 = 1;

wire_struct! {
    /// What elections depend on; the scheduler's part of a genesis document. A network without it
    /// elects no validators, and rewards nobody for being eligible.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ElectionParameters as "election parameters",
        at most params::PARAMETERS_BYTES_MAX, {
        /// Least validators there must be; at least 1.
        min_validators: u64 = always "min_validators",
        /// Most validators there may be; at least the least.
        max_validators: u64 = always "max_validators",
        /// Most validators of one entity; at least 1.
        max_validators_per_entity: u64 = always "max_validators_per_entity",
        /// Factor of an epoch's reward for entities with a node that could be elected to something.
        reward_factor_epoch_election_any: Quantity = always "reward_factor_epoch_election_any",
        /// How power follows from stake: [`POWER_LINEAR`] or [`POWER_SQRT`].
        voting_power_distribution: u8 = unless_empty "voting_power_distribution",
    }
}

impl Default for ElectionParameters {
    fn default() -> Self {
        Self {
            min_validators: params::VALIDATORS_MIN,
            max_validators: params::VALIDATORS_MAX,
            max_validators_per_entity: params::VALIDATORS_PER_ENTITY_MAX,
            reward_factor_epoch_election_any: params::REWARD_FACTOR_EPOCH_ELECTION_ANY.into(),
            voting_power_distribution: POWER_LINEAR,
        }
    }
}

wire_struct! {
    /// What governance may change of the parameters.
    ///
    /// Source: Oasis Core `scheduler/api` (`ConsensusParameterChanges`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ElectionParameterChanges as "election parameter changes", at most 128, {
        /// Least validators there must be.
        min_validators: Option<u64> = unless_empty "min_validators",
        /// Most validators there may be.
        max_validators: Option<u64> = unless_empty "max_validators",
        /// How power follows from stake.
        voting_power_distribution: Option<u8> = unless_empty "voting_power_distribution",
    }
}

wire_struct! {
    /// A node that was elected to order blocks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Validator as "validator", at most 256, {
        /// The node.
        id: PublicKey = always "id",
        /// Its entity.
        entity_id: PublicKey = always "entity_id",
        /// Its key for consensus. Oasis Core has it as the key of a map.
        consensus_id: PublicKey = always "consensus_id",
        /// Its power; at least 1.
        voting_power: u64 = always "voting_power",
    }
}

wire_struct! {
    /// The validators of an epoch, ascending by consensus key.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Validators as "validators", at most params::PARAMETERS_BYTES_MAX, {
        /// The epoch they were elected in.
        epoch: Epoch = always "epoch",
        /// The validators; none where the network elects none.
        validators: Vec<Validator> = unless_empty "validators",
    }
}

wire_struct! {
    /// Validators were elected.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ValidatorsElectedEvent as "validators event", at most 128, {
        /// The epoch.
        epoch: Epoch = always "epoch",
        /// How many.
        count: u64 = always "count",
    }
}

wire_struct! {
    /// Too few nodes could be elected as validators: those of before stay.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ValidatorsStayEvent as "validators stay event", at most 128, {
        /// The epoch.
        epoch: Epoch = always "epoch",
        /// How many could be elected.
        found: u64 = always "found",
        /// How many there must be.
        min: u64 = always "min",
    }
}

wire_choice! {
    /// Something that an election decided.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum SchedulerEvent as "scheduler event" {
        /// Validators were elected.
        ValidatorsElected(ValidatorsElectedEvent) = "validators_elected",
        /// The validators of before stay.
        ValidatorsStay(ValidatorsStayEvent) = "validators_stay",
    }
}
