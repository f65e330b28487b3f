//! Parameters of the governance service, what it keeps of features, and its part of a genesis
//! document.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_types::Epoch;

use super::super::{FeatureId, Quantity};
use super::{Proposal, VoteEntry};
use crate::wire::{Name, wire_struct};

/// Proposing something.
pub const GAS_SUBMIT_PROPOSAL: &str = "submit_proposal";
/// Voting.
pub const GAS_CAST_VOTE: &str = "cast_vote";

/// The operations that cost gas, with what they cost by default.
pub const GAS_OPERATIONS: [(&str, u64); 2] = [
    (GAS_SUBMIT_PROPOSAL, params::GAS_SUBMIT_PROPOSAL),
    (GAS_CAST_VOTE, params::GAS_CAST_VOTE),
];

wire_struct! {
    /// What the governance service's rules depend on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct GovernanceParameters as "governance parameters",
        at most params::PARAMETERS_BYTES_MAX, {
        /// Gas of each operation; one that is not there is free.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
        /// What is deposited with a proposal, in base units.
        min_proposal_deposit: Quantity = unless_empty "min_proposal_deposit",
        /// Epochs after which votes are counted; 0 counts as 1.
        voting_period: u64 = unless_empty "voting_period",
        /// Part of the voters' stake that must vote yes, in percent, from 67 to 100.
        stake_threshold: u8 = unless_empty "stake_threshold",
        /// Least epochs between a proposal of an upgrade and the upgrade, and between two pending
        /// upgrades; more than the voting period.
        upgrade_min_epoch_diff: u64 = unless_empty "upgrade_min_epoch_diff",
        /// Least epochs between a proposal to cancel an upgrade and the upgrade; more than the
        /// voting period.
        upgrade_cancel_min_epoch_diff: u64 = unless_empty "upgrade_cancel_min_epoch_diff",
        /// Whether parameters can be changed.
        enable_change_parameters_proposal: bool =
            unless_empty "enable_change_parameters_proposal",
        /// Whether accounts without a registered entity can vote, and runtimes.
        allow_vote_without_entity: bool = unless_empty "allow_vote_without_entity",
        /// Whether proposals have metadata: if so all must, if not none may.
        allow_proposal_metadata: bool = unless_empty "allow_proposal_metadata",
    }
}

impl Default for GovernanceParameters {
    fn default() -> Self {
        Self {
            gas_costs: GAS_OPERATIONS.map(|(name, gas)| (name.into(), gas)).into(),
            min_proposal_deposit: params::PROPOSAL_DEPOSIT.into(),
            voting_period: params::VOTING_PERIOD,
            stake_threshold: params::STAKE_THRESHOLD,
            upgrade_min_epoch_diff: params::UPGRADE_EPOCH_DIFF_MIN,
            upgrade_cancel_min_epoch_diff: params::UPGRADE_CANCEL_EPOCH_DIFF_MIN,
            enable_change_parameters_proposal: true,
            allow_vote_without_entity: false,
            allow_proposal_metadata: false,
        }
    }
}

wire_struct! {
    /// A feature that was approved: pending before the epoch it is active since. Not in Oasis
    /// Core.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FeatureRecord as "feature record", at most 256, {
        /// Which.
        id: FeatureId = always "id",
        /// Number of the proposal that approved it; 0 if the genesis document did.
        proposal: u64 = unless_empty "proposal",
        /// The first root epoch in which it is active.
        since: Epoch = always "since",
    }
}

impl FeatureRecord {
    /// Whether the feature is active in an epoch; otherwise it is pending.
    pub fn is_active(&self, epoch: Epoch) -> bool {
        self.since <= epoch
    }
}

wire_struct! {
    /// The governance service's part of a genesis document, and what is exported of its state. The
    /// last two are not Oasis Core's, which finds pending upgrades in the proposals.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct GovernanceGenesis as "governance genesis", at most GENESIS_BYTES_MAX, {
        /// The parameters.
        params: GovernanceParameters = unless_default "params",
        /// The proposals, ascending by number.
        proposals: Vec<Proposal> = unless_empty "proposals",
        /// By proposal, the votes, ascending by voter.
        vote_entries: BTreeMap<u64, Vec<VoteEntry>> = unless_empty "vote_entries",
        /// Numbers of the proposals of pending upgrades, ascending.
        pending_upgrades: Vec<u64> = unless_empty "pending_upgrades",
        /// The approved features, ascending by identifier.
        features: Vec<FeatureRecord> = unless_empty "features",
    }
}
