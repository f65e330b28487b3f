//! What is said to the governance service: methods and their arguments, proposals, votes,
//! parameters, the service's part of a genesis document, and its events, in Oasis Core's forms.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//!
//! Deviation from Oasis Core: there is one more kind of proposal, which activates features of
//! runtimes.
//!
//! Source: Oasis Core `governance/api`, `upgrade/api`.

mod changes;
mod genesis;
mod proposal;

pub use changes::{GovernanceChanges, KeymanagerChanges, RegistryChanges, StakingChanges};
pub use genesis::{
    FeatureRecord, GAS_CAST_VOTE, GAS_OPERATIONS, GAS_SUBMIT_PROPOSAL, GovernanceGenesis,
    GovernanceParameters,
};
pub use proposal::{
    ActivateFeatures, CancelUpgrade, ChangeParameters, Proposal, ProposalContent, ProposalMetadata,
    ProposalState, ProposalVote, ProtocolVersions, UPGRADE_VERSION, Upgrade, Vote, VoteEntry,
};

use trilith_types::Epoch;

use super::{Address, FeatureId};
use crate::wire::{wire_choice, wire_struct};

/// Proposes something; the body is a [`ProposalContent`].
pub const SUBMIT_PROPOSAL: &str = "governance.SubmitProposal";
/// Votes; the body is a [`ProposalVote`].
pub const CAST_VOTE: &str = "governance.CastVote";

const EVENT_BYTES_MAX: usize = 256;

wire_struct! {
    /// Something was proposed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalSubmittedEvent as "proposal event", at most EVENT_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
        /// Who proposed it.
        submitter: Address = always "submitter",
    }
}

wire_struct! {
    /// What was proposed is done.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalExecutedEvent as "execution event", at most EVENT_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
    }
}

wire_struct! {
    /// The votes for a proposal are counted.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalFinalizedEvent as "finalization event", at most EVENT_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
        /// What became of it.
        state: ProposalState = always "state",
    }
}

wire_struct! {
    /// Somebody voted, or voted anew.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VoteEvent as "vote event", at most EVENT_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
        /// Who voted.
        submitter: Address = always "submitter",
        /// The vote.
        vote: Vote = always "vote",
    }
}

wire_struct! {
    /// A feature was approved and is pending.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FeatureApprovedEvent as "feature event", at most EVENT_BYTES_MAX, {
        /// The feature.
        feature: FeatureId = always "feature",
        /// Number of the proposal.
        proposal: u64 = always "proposal",
        /// The first epoch in which it is active.
        since: Epoch = always "since",
    }
}

wire_struct! {
    /// A feature is active from this epoch on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FeatureActivatedEvent as "activation event", at most EVENT_BYTES_MAX, {
        /// The feature.
        feature: FeatureId = always "feature",
    }
}

wire_struct! {
    /// The epoch of an upgrade began, and this build speaks its protocol.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UpgradedEvent as "upgrade event", at most EVENT_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
    }
}

wire_choice! {
    /// Something that happened to proposals, or because of them. The last three are not Oasis
    /// Core's.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum GovernanceEvent as "governance event" {
        /// Something was proposed.
        Submitted(ProposalSubmittedEvent) = "proposal_submitted",
        /// What was proposed is done.
        Executed(ProposalExecutedEvent) = "proposal_executed",
        /// The votes are counted.
        Finalized(ProposalFinalizedEvent) = "proposal_finalized",
        /// Somebody voted.
        Vote(VoteEvent) = "vote",
        /// A feature was approved.
        FeatureApproved(FeatureApprovedEvent) = "feature_approved",
        /// A feature is active.
        FeatureActivated(FeatureActivatedEvent) = "feature_activated",
        /// An upgrade is done.
        Upgraded(UpgradedEvent) = "upgraded",
    }
}
