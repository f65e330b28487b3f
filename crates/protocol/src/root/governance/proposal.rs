//! Proposals and votes.

use std::collections::BTreeMap;

use trilith_params::root::{PROPOSAL_BYTES_MAX, TRANSACTION_BYTES_MAX};
use trilith_types::Epoch;

use super::super::registry::Version;
use super::super::{Address, FeatureId, Quantity};
use crate::wire::{RawItem, wire_number, wire_struct};

/// The version of descriptors of upgrades.
///
/// Source: Oasis Core `upgrade/api` (`LatestDescriptorVersion`).
pub const UPGRADE_VERSION: u16 = 1;

wire_number! {
    /// What became of a proposal. The numbers are Oasis Core's.
    pub enum ProposalState: u8 as "proposal state" {
        /// It can be voted on.
        Active = 1,
        /// Enough voted yes, and it is done.
        Passed = 2,
        /// Too few voted yes.
        Rejected = 3,
        /// Enough voted yes, but it could not be done.
        Failed = 4,
    }
}

wire_number! {
    /// A vote. The numbers are Oasis Core's.
    pub enum Vote: u8 as "vote" {
        /// For the proposal.
        Yes = 1,
        /// Against the proposal.
        No = 2,
        /// Neither.
        Abstain = 3,
    }
}

wire_struct! {
    /// What a proposal is about, for people.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalMetadata as "metadata", at most TRANSACTION_BYTES_MAX, {
        /// A title, from 3 to 100 bytes.
        title: String = always "title",
        /// A description, at most 1,024 bytes. In Oasis Core only the transaction bounds it.
        description: String = unless_empty "description",
    }
}

wire_struct! {
    /// Versions of protocols.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ProtocolVersions as "versions", at most 512, {
        /// Of the root's rules.
        consensus_protocol: Version = always "consensus_protocol",
        /// Between node and runtime.
        runtime_host_protocol: Version = always "runtime_host_protocol",
        /// Between the nodes of a committee.
        runtime_committee_protocol: Version = always "runtime_committee_protocol",
    }
}

wire_struct! {
    /// An upgrade of the root's rules at an epoch.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Upgrade as "upgrade", at most TRANSACTION_BYTES_MAX, {
        /// Version of the descriptor.
        v: u16 = always "v",
        /// Name of what upgrades, from 3 to 32 bytes.
        handler: String = always "handler",
        /// The versions after it.
        target: ProtocolVersions = always "target",
        /// The epoch at whose begin it is done.
        epoch: Epoch = always "epoch",
    }
}

wire_struct! {
    /// That a pending upgrade is not to be done.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CancelUpgrade as "cancel upgrade", at most TRANSACTION_BYTES_MAX, {
        /// Number of the proposal of the upgrade.
        proposal_id: u64 = always "proposal_id",
    }
}

wire_struct! {
    /// That parameters of a service are to change.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ChangeParameters as "change parameters", at most TRANSACTION_BYTES_MAX, {
        /// The service.
        module: String = always "module",
        /// Its form of changes.
        changes: RawItem = always "changes",
    }
}

wire_struct! {
    /// That features are to be active, for all runtimes. Not in Oasis Core.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ActivateFeatures as "activate features", at most TRANSACTION_BYTES_MAX, {
        /// The features, ascending.
        ids: Vec<FeatureId> = always "ids",
    }
}

wire_struct! {
    /// What is proposed: exactly one of its kinds.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ProposalContent as "proposal content", at most TRANSACTION_BYTES_MAX, {
        /// What it is about, where the parameters ask for it.
        metadata: Option<ProposalMetadata> = unless_empty "metadata",
        /// An upgrade.
        upgrade: Option<Upgrade> = unless_empty "upgrade",
        /// That an upgrade is not done.
        cancel_upgrade: Option<CancelUpgrade> = unless_empty "cancel_upgrade",
        /// Other parameters.
        change_parameters: Option<ChangeParameters> = unless_empty "change_parameters",
        /// Features. Not in Oasis Core.
        activate_features: Option<ActivateFeatures> = unless_empty "activate_features",
    }
}

wire_struct! {
    /// Argument of a vote.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ProposalVote as "proposal vote", at most TRANSACTION_BYTES_MAX, {
        /// Number of the proposal.
        id: u64 = always "id",
        /// The vote.
        vote: Vote = always "vote",
    }
}

wire_struct! {
    /// A proposal and what became of it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Proposal as "proposal", at most PROPOSAL_BYTES_MAX, {
        /// Its number, from 1.
        id: u64 = always "id",
        /// Who proposed it.
        submitter: Address = always "submitter",
        /// What became of it.
        state: ProposalState = always "state",
        /// What the submitter deposited, in base units.
        deposit: Quantity = always "deposit",
        /// What is proposed.
        content: ProposalContent = always "content",
        /// The epoch in which it was proposed.
        created_at: Epoch = always "created_at",
        /// The epoch at whose first height votes are counted.
        closes_at: Epoch = always "closes_at",
        /// By vote, the stake that voted so, in base units.
        results: BTreeMap<Vote, Quantity> = unless_empty "results",
        /// Votes of accounts that had nothing delegated to a voter when votes were counted.
        invalid_votes: u64 = unless_empty "invalid_votes",
    }
}

wire_struct! {
    /// Who voted how.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VoteEntry as "vote entry", at most 64, {
        /// Who.
        voter: Address = always "voter",
        /// How.
        vote: Vote = always "vote",
    }
}
