//! Changes of services' parameters, as proposals carry them: what is not there stays as it is.
//!
//! Fields that are null where they are not there are so in Oasis Core.

use std::collections::BTreeMap;

use trilith_params::root::TRANSACTION_BYTES_MAX;

use super::super::Quantity;
use super::super::staking::RewardStep;
use crate::wire::{Name, wire_struct};

wire_struct! {
    /// Changes of the staking service's parameters.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct StakingChanges as "staking changes", at most TRANSACTION_BYTES_MAX, {
        /// How many epochs stake stays slashable after it is taken back.
        debonding_interval: Option<u64> = unless_empty "debonding_interval",
        /// Rewards over time.
        reward_schedule: Option<Vec<RewardStep>> = unless_empty "reward_schedule",
        /// Gas of all operations.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// The least that can be delegated.
        min_delegation: Option<Quantity> = always "min_delegation",
        /// The least that can be moved.
        min_transfer: Option<Quantity> = always "min_transfer",
        /// The least an account must keep.
        min_transact_balance: Option<Quantity> = always "min_transact_balance",
        /// The least commission.
        min_commission_rate: Option<Quantity> = always "min_commission_rate",
        /// Whether transfers are switched off.
        disable_transfers: Option<bool> = unless_empty "disable_transfers",
        /// Whether delegation to others is switched off.
        disable_delegation: Option<bool> = unless_empty "disable_delegation",
        /// Whether runtimes may delegate.
        allow_escrow_messages: Option<bool> = unless_empty "allow_escrow_messages",
        /// Most allowances of an account.
        max_allowances: Option<u32> = unless_empty "max_allowances",
        /// Weight of the proposer among those who get fees.
        fee_split_weight_propose: Option<Quantity> = always "fee_split_weight_propose",
        /// Weight of a voter among those who get fees.
        fee_split_weight_vote: Option<Quantity> = always "fee_split_weight_vote",
        /// Weight of the next proposer among those who get fees.
        fee_split_weight_next_propose: Option<Quantity> = always "fee_split_weight_next_propose",
        /// Factor of the reward for signing through an epoch.
        reward_factor_epoch_signed: Option<Quantity> = always "reward_factor_epoch_signed",
        /// Factor of the reward for proposing a height.
        reward_factor_block_proposed: Option<Quantity> = always "reward_factor_block_proposed",
    }
}

wire_struct! {
    /// Changes of the registry's parameters.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RegistryChanges as "registry changes", at most TRANSACTION_BYTES_MAX, {
        /// Whether no runtime can be registered.
        disable_runtime_registration: Option<bool> = unless_empty "disable_runtime_registration",
        /// Whether no key manager can be registered.
        disable_km_runtime_registration: Option<bool> =
            unless_empty "disable_km_runtime_registration",
        /// Gas of all operations.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// For how many epochs a node can be registered at most.
        max_node_expiration: Option<u64> = unless_empty "max_node_expiration",
        /// Who may govern runtimes.
        enable_runtime_governance_models: BTreeMap<u8, bool> =
            unless_empty "enable_runtime_governance_models",
        /// Most deployments of a runtime.
        max_runtime_deployments: Option<u8> = unless_empty "max_runtime_deployments",
    }
}

wire_struct! {
    /// Changes of the governance service's parameters.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct GovernanceChanges as "governance changes", at most TRANSACTION_BYTES_MAX, {
        /// Gas of all operations.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// What is deposited with a proposal.
        min_proposal_deposit: Option<Quantity> = unless_empty "min_proposal_deposit",
        /// Epochs after which votes are counted.
        voting_period: Option<u64> = unless_empty "voting_period",
        /// Part of the voters' stake that must vote yes, in percent.
        stake_threshold: Option<u8> = unless_empty "stake_threshold",
        /// Least epochs between a proposal of an upgrade and the upgrade.
        upgrade_min_epoch_diff: Option<u64> = unless_empty "upgrade_min_epoch_diff",
        /// Least epochs between a proposal to cancel an upgrade and the upgrade.
        upgrade_cancel_min_epoch_diff: Option<u64> = unless_empty "upgrade_cancel_min_epoch_diff",
        /// Whether parameters can be changed.
        enable_change_parameters_proposal: Option<bool> =
            unless_empty "enable_change_parameters_proposal",
    }
}

wire_struct! {
    /// Changes of the key manager service's parameters.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct KeymanagerChanges as "key manager changes", at most TRANSACTION_BYTES_MAX, {
        /// Gas of all operations.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
    }
}
