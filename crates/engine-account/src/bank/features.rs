//! Feature gates: which rules are in force, and how they come into force.
//!
//! The gates in force are a leaf of their own. Feature accounts show them to stock tools; creating
//! such an account is open to anyone and activates nothing. At the first slot of an epoch of the
//! account runtime, those that are pending and whose ids the root's governance approved come into
//! force, on every node in the same slot.

use std::collections::BTreeSet;

use agave_feature_set::{self as gates, FEATURE_NAMES, FeatureSet};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;
use trilith_protocol::Fault;
use trilith_protocol::root::ActiveFeature;
use trilith_types::{StateRead, TimeNanos};

use super::accounts::Accounts;
use super::chain::ChainState;
use super::profile::Profile;
use super::{leaf, sysvar};
use crate::gates::{FeatureState, find, own};

/// Gates that are known to version 4.2.2 of the processor and not in force on mainnet-beta on
/// 2026-10-15 (list of crate `litesvm` 0.18.1), and the gates that shorten slots, which are always
/// 400 ms here. All other gates are in force from genesis.
pub(crate) const NOT_IN_FORCE: [Pubkey; 38] = [
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

/// The gates in force at the genesis of a network that starts in a profile.
pub(crate) fn at_genesis(profile: Profile) -> InForce {
    let known: BTreeSet<Pubkey> = FEATURE_NAMES
        .keys()
        .copied()
        .filter(|id| !NOT_IN_FORCE.contains(id))
        .chain(profile.gates().iter().map(|gate| gate.id))
        .collect();
    known.into_iter().map(|id| (id, 0)).collect()
}

/// Whether this build can follow a network on which these gates are in force.
///
/// # Errors
/// [`Fault`] that names the first gate it does not know.
pub(crate) fn require_known(in_force: &InForce) -> Result<(), Fault> {
    match in_force.iter().find(|(id, _)| find(id).is_none()) {
        Some((id, slot)) => Err(Fault(format!(
            "feature {id} is in force since slot {slot} and this build does not know it: install \
             a version that does"
        ))),
        None => Ok(()),
    }
}

/// Puts into force, in the first slot of an epoch, what is pending and approved. Gives whether
/// anything changed.
///
/// # Errors
/// [`Fault`] if this build cannot do what an approved, pending feature asks: going on would lead
/// to another state than that of nodes that can.
pub(crate) fn activate(
    in_force: &mut InForce,
    accounts: &mut Accounts<'_>,
    approved: &[ActiveFeature],
    (slot, epoch): (u64, u64),
) -> Result<bool, Fault> {
    let mut changed = false;
    for approval in approved {
        let id = Pubkey::new_from_array(approval.id.0);
        let Err(position) = in_force.binary_search_by_key(&id, |(id, _)| *id) else {
            continue;
        };
        let account = accounts.get(&id);
        accounts.check()?;
        let Some(mut account) = account.filter(is_pending) else {
            continue;
        };
        require_supported(approval, (slot, epoch))?;
        account.set_data_from_slice(&FeatureState::Active(slot).encode());
        accounts.put(id, account);
        in_force.insert(position, (id, slot));
        changed = true;
    }
    Ok(changed)
}

/// Whether an account is a feature account that waits.
fn is_pending(account: &AccountSharedData) -> bool {
    *account.owner() == feature::ID
        && FeatureState::decode(account.data()) == Some(FeatureState::Pending)
}

/// Refuses to put a gate into force that this build cannot.
fn require_supported(approval: &ActiveFeature, (slot, epoch): (u64, u64)) -> Result<(), Fault> {
    let id = Pubkey::new_from_array(approval.id.0);
    if find(&id).is_some_and(|gate| gate.is_supported) {
        return Ok(());
    }
    Err(Fault(format!(
        "feature {id} was approved from root epoch {} on and comes into force in epoch {epoch} of \
         the account runtime, at slot {slot}, but this build does not know what it changes: \
         install a version that does",
        approval.since.0
    )))
}

/// Why this build cannot execute the round at `time` on a state, if it does not know the rules: those
/// in force, or those that come into force with it.
///
/// # Errors
/// [`Fault`] if the state cannot be read, so that nothing is known.
pub(crate) fn outdated(
    view: &dyn StateRead,
    approved: &[ActiveFeature],
    time: TimeNanos,
) -> Result<Option<String>, Fault> {
    let in_force: Option<InForce> = leaf::read(view, leaf::FEATURES, "feature gates")?;
    let in_force = in_force.unwrap_or_default();
    if let Err(Fault(reason)) = require_known(&in_force) {
        return Ok(Some(reason));
    }
    let chain: Option<ChainState> = leaf::read(view, leaf::CHAIN, "the chain")?;
    let Some(chain) = chain else {
        return Ok(None);
    };
    let (schedule, slot) = (chain.schedule(), chain.slot_at(time.0));
    let epoch = schedule.get_epoch(slot);
    if epoch <= schedule.get_epoch(chain.slot) {
        return Ok(None);
    }
    for approval in approved {
        let id = Pubkey::new_from_array(approval.id.0);
        let is_in_force = in_force.binary_search_by_key(&id, |(id, _)| *id).is_ok();
        let account = leaf::read_account(view, &id)?;
        let waits = account.as_ref().is_some_and(is_pending) && !is_in_force;
        if let (true, Err(Fault(reason))) = (waits, require_supported(approval, (slot, epoch))) {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

/// The form in which the processor asks for gates.
pub(crate) fn set_of(in_force: &InForce) -> FeatureSet {
    let is_ours = |id: &Pubkey| own().iter().any(|gate| gate.id == *id);
    let active = in_force
        .iter()
        .copied()
        .filter(|(id, _)| !is_ours(id))
        .collect();
    let inactive = FEATURE_NAMES
        .keys()
        .filter(|id| !in_force.iter().any(|(active, _)| active == *id))
        .copied()
        .collect();
    FeatureSet::new(active, inactive)
}

/// A feature account.
pub(crate) fn account(state: FeatureState) -> Account {
    let data = state.encode().to_vec();
    Account {
        lamports: sysvar::rent().minimum_balance(data.len()),
        data,
        owner: feature::ID,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

/// The accounts that show gates in force.
pub(crate) fn accounts(in_force: &InForce) -> Vec<(Pubkey, AccountSharedData)> {
    in_force
        .iter()
        .map(|(id, slot)| {
            let account = account(FeatureState::Active(*slot));
            (*id, AccountSharedData::from(account))
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

#[cfg(test)]
mod tests {
    use solana_pubkey::Pubkey;

    use super::{at_genesis, require_known};
    use crate::bank::profile::Profile;

    #[test]
    fn a_network_with_a_gate_that_is_not_known_is_not_followed() {
        let mut in_force = at_genesis(Profile::Today);
        assert_eq!(require_known(&in_force), Ok(()));
        let unknown = Pubkey::new_from_array([7; 32]);
        in_force.push((unknown, 99));
        let fault = require_known(&in_force).expect_err("it is not known");
        let told = format!("feature {unknown} is in force since slot 99");
        assert!(fault.to_string().contains(&told), "{fault}");
    }
}
