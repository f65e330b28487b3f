//! Parameters of the staking service, and its part of a genesis document.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_types::{Epoch, PublicKey};

use super::super::{Address, Quantity};
use super::{Account, CommissionRules, DebondingDelegation, Delegation, ThresholdKind};
use crate::wire::{Name, wire_number, wire_struct};

wire_number! {
    /// Why a node is slashed. The numbers are Oasis Core's.
    pub enum SlashReason: u8 as "slash reason" {
        /// A validator signed two things at one height.
        ConsensusEquivocation = 0x00,
        /// Validators deceived light clients.
        ConsensusLightClientAttack = 0x04,
        /// An executor committed to a wrong result.
        RuntimeIncorrectResults = 0x80,
        /// An executor or scheduler signed two things in one round.
        RuntimeEquivocation = 0x81,
        /// An executor did not do its work.
        RuntimeLiveness = 0x82,
    }
}

wire_struct! {
    /// What a fault costs.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Slash as "slash", at most 128, {
        /// How much stake, in base units.
        amount: Quantity = always "amount",
        /// For how many epochs the node is frozen at least; 0 does not freeze it.
        freeze_interval: u64 = always "freeze_interval",
    }
}

wire_struct! {
    /// How large rewards are until an epoch.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RewardStep as "reward step", at most 128, {
        /// The first epoch it does not hold for.
        until: Epoch = always "until",
        /// Part of the stake, in millionths of a percent, that a factor of 1 gives.
        scale: Quantity = always "scale",
    }
}

wire_struct! {
    /// What the staking service's rules depend on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StakingParameters as "staking parameters", at most params::PARAMETERS_BYTES_MAX, {
        /// How much stake each kind of registration needs; a kind that is not there needs none.
        thresholds: BTreeMap<ThresholdKind, Quantity> = unless_empty "thresholds",
        /// How many epochs stake stays slashable after it is taken back.
        debonding_interval: u64 = unless_empty "debonding_interval",
        /// Rewards over time, ascending; none after the last step.
        reward_schedule: Vec<RewardStep> = unless_empty "reward_schedule",
        /// An entity is rewarded if it signed at least this part of an epoch's heights.
        signing_reward_threshold_numerator: u64 =
            unless_empty "signing_reward_threshold_numerator",
        /// See the numerator; 0 gives no rewards.
        signing_reward_threshold_denominator: u64 =
            unless_empty "signing_reward_threshold_denominator",
        /// How commissions may change.
        commission_schedule_rules: CommissionRules = always "commission_schedule_rules",
        /// What faults of validators cost.
        slashing: BTreeMap<SlashReason, Slash> = unless_empty "slashing",
        /// Gas of each operation; one that is not there is free.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// The least that can be delegated.
        min_delegation: Quantity = always "min_delegation",
        /// The least that can be transferred, burnt or withdrawn.
        min_transfer: Quantity = always "min_transfer",
        /// What an account that takes part must keep.
        min_transact_balance: Quantity = always "min_transact_balance",
        /// Whether transfers and allowances are forbidden.
        disable_transfers: bool = unless_empty "disable_transfers",
        /// Whether delegation to others is forbidden.
        disable_delegation: bool = unless_empty "disable_delegation",
        /// Who may transfer nevertheless.
        undisable_transfers_from: BTreeMap<Address, bool> =
            unless_empty "undisable_transfers_from",
        /// Whether runtimes may delegate.
        allow_escrow_messages: bool = unless_empty "allow_escrow_messages",
        /// Most allowances of an account; 0 forbids them.
        max_allowances: u32 = unless_empty "max_allowances",
        /// Weight of the proposer among those who get fees.
        fee_split_weight_propose: Quantity = always "fee_split_weight_propose",
        /// Weight of each voter among those who get fees.
        fee_split_weight_vote: Quantity = always "fee_split_weight_vote",
        /// Weight of the next proposer among those who get fees.
        fee_split_weight_next_propose: Quantity = always "fee_split_weight_next_propose",
        /// Factor of the reward for signing through an epoch.
        reward_factor_epoch_signed: Quantity = always "reward_factor_epoch_signed",
        /// Factor of the reward for proposing a height.
        reward_factor_block_proposed: Quantity = always "reward_factor_block_proposed",
    }
}

/// The operations that cost gas, with what they cost by default.
pub const GAS: [(&str, u64); 7] = [
    ("transfer", params::GAS_TRANSFER),
    ("burn", params::GAS_BURN),
    ("add_escrow", params::GAS_ADD_ESCROW),
    ("reclaim_escrow", params::GAS_RECLAIM_ESCROW),
    (
        "amend_commission_schedule",
        params::GAS_AMEND_COMMISSION_SCHEDULE,
    ),
    ("allow", params::GAS_ALLOW),
    ("withdraw", params::GAS_WITHDRAW),
];

/// The parameters of a network that says nothing about stake: there is none, nothing needs any.
impl Default for StakingParameters {
    fn default() -> Self {
        Self {
            thresholds: BTreeMap::new(),
            debonding_interval: params::DEBONDING_INTERVAL,
            reward_schedule: Vec::new(),
            signing_reward_threshold_numerator: params::SIGNING_REWARD_THRESHOLD_NUMERATOR,
            signing_reward_threshold_denominator: params::SIGNING_REWARD_THRESHOLD_DENOMINATOR,
            commission_schedule_rules: CommissionRules {
                rate_change_interval: params::COMMISSION_RATE_CHANGE_INTERVAL,
                rate_bound_lead: params::COMMISSION_RATE_BOUND_LEAD,
                max_rate_steps: params::COMMISSION_RATE_STEPS_MAX,
                max_bound_steps: params::COMMISSION_BOUND_STEPS_MAX,
                min_commission_rate: Quantity::ZERO,
            },
            slashing: BTreeMap::new(),
            gas_costs: GAS.map(|(name, gas)| (name.into(), gas)).into(),
            min_delegation: Quantity::ZERO,
            min_transfer: Quantity::ZERO,
            min_transact_balance: Quantity::ZERO,
            disable_transfers: false,
            disable_delegation: false,
            undisable_transfers_from: BTreeMap::new(),
            allow_escrow_messages: false,
            max_allowances: params::ALLOWANCES_MAX,
            fee_split_weight_propose: params::FEE_SPLIT_WEIGHT_PROPOSE.into(),
            fee_split_weight_vote: params::FEE_SPLIT_WEIGHT_VOTE.into(),
            fee_split_weight_next_propose: params::FEE_SPLIT_WEIGHT_NEXT_PROPOSE.into(),
            reward_factor_epoch_signed: params::REWARD_FACTOR_EPOCH_SIGNED.into(),
            reward_factor_block_proposed: Quantity::ZERO,
        }
    }
}

wire_struct! {
    /// Who signed how many heights of the running epoch.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EpochSigning as "epoch signing", at most params::PARAMETERS_BYTES_MAX, {
        /// Heights there were.
        total: u64 = unless_empty "total",
        /// Heights that each entity signed.
        by_entity: BTreeMap<PublicKey, u64> = unless_empty "by_entity",
    }
}

wire_struct! {
    /// The staking service's part of a genesis document, and what is exported of its state.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct StakingGenesis as "staking genesis", at most GENESIS_BYTES_MAX, {
        /// The parameters.
        params: StakingParameters = always "params",
        /// All stake there is, wherever it is.
        total_supply: Quantity = always "total_supply",
        /// The pool from which rewards are paid.
        common_pool: Quantity = always "common_pool",
        /// Fees of the newest height that are not paid out yet.
        last_block_fees: Quantity = always "last_block_fees",
        /// Deposits of proposals.
        governance_deposits: Quantity = always "governance_deposits",
        /// The accounts.
        ledger: BTreeMap<Address, Account> = unless_empty "ledger",
        /// By delegate and delegator, the shares of the active pool.
        delegations: BTreeMap<Address, BTreeMap<Address, Delegation>> = unless_empty "delegations",
        /// By delegate and delegator, the shares of the debonding pool, ascending by epoch.
        debonding_delegations: BTreeMap<Address, BTreeMap<Address, Vec<DebondingDelegation>>> =
            unless_empty "debonding_delegations",
        /// Who signed how many heights of the running epoch. Oasis Core does not export it.
        epoch_signing: EpochSigning = unless_empty "epoch_signing",
    }
}
