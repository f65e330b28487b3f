//! What is proposed and voted, and what becomes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::root::governance::{
    GovernanceChanges, GovernanceGenesis, KeymanagerChanges, ProposalContent, ProposalVote,
    RegistryChanges, StakingChanges,
};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, GovernanceChanges::decode, GovernanceChanges::encode);
    trilith_fuzz::strict(data, GovernanceGenesis::decode, GovernanceGenesis::encode);
    trilith_fuzz::strict(data, KeymanagerChanges::decode, KeymanagerChanges::encode);
    trilith_fuzz::strict(data, ProposalContent::decode, ProposalContent::encode);
    trilith_fuzz::strict(data, ProposalVote::decode, ProposalVote::encode);
    trilith_fuzz::strict(data, RegistryChanges::decode, RegistryChanges::encode);
    trilith_fuzz::strict(data, StakingChanges::decode, StakingChanges::encode);
});
