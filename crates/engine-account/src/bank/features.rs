//! Feature gates: which rules are in force.
//!
//! The gates in force are a leaf of their own. Feature accounts show them to stock tools; creating
//! such an account is open to anyone and activates nothing.

use std::collections::BTreeSet;

use agave_feature_set::{self as gates, FEATURE_NAMES, FeatureSet};
use solana_account::{Account, AccountSharedData};
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;

use super::sysvar;

/// Gates that are known to version 4.2.2 of the processor and not in force on mainnet-beta on
/// 2026-10-15 (list of crate `litesvm` 0.18.1), and the gates that shorten slots, which are always
/// 400 ms here. All other gates are in force from genesis.
const NOT_IN_FORCE: [Pubkey; 38] = [
    gates::account_data_direct_mapping::ID,
    gates::alpenglow::ID,
    gates::alpenglow_fast_leader_handover::ID,
    gates::blake3_syscall_enabled::ID,
    gates::block_revenue_sharing::ID,
    gates::chained_merkle_conflict_duplicate_proofs::ID,
    gates::deprecate_legacy_vote_ixs::ID,
    gates::direct_account_pointers_in_program_input::ID,
    gates::disable_sbpf_v0_execution::ID,
    gates::disable_sbpf_v0_v1_v2_deployment::ID,
    gates::enable_big_mod_exp_syscall::ID,
    gates::enable_extend_program_checked::ID,
    gates::enable_loader_v4::ID,
    gates::enable_sha512_syscall::ID,
    gates::enable_turbine_extended_fanout_experiments::ID,
    gates::enable_zk_proof_from_account::ID,
    gates::enable_zk_transfer_with_fee::ID,
    gates::full_inflation::devnet_and_testnet::ID,
    gates::include_loaded_accounts_data_size_in_fee_calculation::ID,
    gates::increase_tx_account_lock_limit::ID,
    gates::libsecp256k1_fail_on_bad_count::ID,
    gates::raise_cpi_nesting_limit_to_8::ID,
    gates::reduce_slot_time_to_200ms::ID,
    gates::reduce_slot_time_to_250ms::ID,
    gates::reduce_slot_time_to_300ms::ID,
    gates::reduce_slot_time_to_350ms::ID,
    gates::reenable_sbpf_v0_execution::ID,
    gates::remaining_compute_units_syscall_enabled::ID,
    gates::set_lamports_per_byte_to_1322::ID,
    gates::set_lamports_per_byte_to_2575::ID,
    gates::set_lamports_per_byte_to_696::ID,
    gates::set_lamports_per_byte_to_6960::ID,
    gates::stake_raise_minimum_delegation_to_1_sol::ID,
    gates::verify_retransmitter_signature::ID,
    gates::virtual_address_space_adjustments::ID,
    gates::vote_account_initialize_v2::ID,
    gates::vote_only_retransmitter_signed_fec_sets::ID,
    gates::zk_token_sdk_enabled::ID,
];

/// Ids of gates with the slots at which they came into force, ascending by id.
pub(crate) type InForce = Vec<(Pubkey, u64)>;

/// The gates in force at genesis.
pub(crate) fn at_genesis() -> InForce {
    let known: BTreeSet<Pubkey> = FEATURE_NAMES.keys().copied().collect();
    known
        .into_iter()
        .filter(|id| !NOT_IN_FORCE.contains(id))
        .map(|id| (id, 0))
        .collect()
}

/// The form in which the processor asks for gates.
pub(crate) fn set_of(in_force: &InForce) -> FeatureSet {
    let active = in_force.iter().copied().collect();
    let inactive = FEATURE_NAMES
        .keys()
        .filter(|id| !in_force.iter().any(|(active, _)| active == *id))
        .copied()
        .collect();
    FeatureSet::new(active, inactive)
}

/// The accounts that show gates in force: an option with the slot, owned by the feature program.
pub(crate) fn accounts(in_force: &InForce) -> Vec<(Pubkey, AccountSharedData)> {
    in_force
        .iter()
        .map(|(id, slot)| {
            let data = [&[1][..], &slot.to_le_bytes()].concat();
            let account = AccountSharedData::from(Account {
                lamports: sysvar::rent().minimum_balance(data.len()),
                data,
                owner: feature::ID,
                executable: false,
                rent_epoch: u64::MAX,
            });
            (*id, account)
        })
        .collect()
}

/// What `getVersion` calls the feature set: a number for all gates this version knows.
pub(crate) fn known_set_id() -> u32 {
    let ids: BTreeSet<Pubkey> = FEATURE_NAMES.keys().copied().collect();
    let parts: Vec<&[u8]> = ids.iter().map(|id| id.as_ref()).collect();
    let hash = super::chain::digest(&parts);
    u32::from_le_bytes(std::array::from_fn(|index| hash.as_bytes()[index]))
}
