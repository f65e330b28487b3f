//! Age, duplicates and work: what is decided before a transaction is run.

use solana_nonce::NONCED_TX_MARKER_IX_INDEX;
use solana_nonce::state::DurableNonce;
use solana_nonce_account::verify_nonce_account;
use solana_pubkey::Pubkey;
use solana_svm_transaction::instruction::SVMInstruction;
use solana_svm_transaction::svm_message::{SVMMessage as _, SVMStaticMessage as _};
use solana_transaction::versioned::TransactionVersion;
use solana_transaction_error::TransactionError;

use super::accounts::Accounts;
use super::budget::{self, Limits};
use super::chain::ChainState;
use super::decode::{Sanitized, View};
use super::processor::Checked;
use super::profile::Profile;
use super::statuses::Statuses;
use super::warm::Rules;

/// The limits that a transaction asks for, if it is of a version that is in force: what is checked
/// from the transaction alone.
///
/// # Errors
/// [`TransactionError`] of the first check that fails; the transaction then has no effect.
pub(crate) fn limits(transaction: &Sanitized, rules: &Rules) -> Result<Limits, TransactionError> {
    let is_v1 = transaction.version() == TransactionVersion::Number(1);
    // Version 1 names limits of today's in its head.
    let takes_v1 = rules.profile == Profile::Today && rules.features.snapshot().enable_tx_v1;
    if is_v1 && !takes_v1 {
        return Err(TransactionError::UnsupportedVersion);
    }
    budget::limits(transaction, rules)
}

/// Checks age and duplicates, in the order of the ecosystem after [`limits`].
///
/// # Errors
/// [`TransactionError`] of the first check that fails; the transaction then has no effect.
pub(crate) fn check(
    transaction: &Sanitized,
    limits: &Limits,
    accounts: &Accounts<'_>,
    chain: &ChainState,
    statuses: &Statuses,
) -> Result<Checked, TransactionError> {
    let nonce = if chain.is_recent(transaction.recent_blockhash(), chain.slot) {
        None
    } else {
        let nonce = nonce(transaction, accounts, chain);
        Some(nonce.ok_or(TransactionError::BlockhashNotFound)?)
    };
    if statuses.contains(transaction.message_hash()) {
        return Err(TransactionError::AlreadyProcessed);
    }
    Ok(Checked {
        nonce,
        budget: *limits,
    })
}

/// The account of a durable nonce that stands for the transaction's blockhash. The processor
/// checks the authority and advances it.
fn nonce(transaction: &Sanitized, accounts: &Accounts<'_>, chain: &ChainState) -> Option<Pubkey> {
    let next = DurableNonce::from_blockhash(&chain.blockhash());
    if transaction.recent_blockhash() == next.as_hash() {
        return None;
    }
    let key = durable_nonce(transaction)?;
    let account = accounts.get(key)?;
    verify_nonce_account(&account, transaction.recent_blockhash())?;
    Some(*key)
}

/// The account that a transaction which advances a durable nonce first names as the nonce. It may
/// come from a lookup, which the processor does not take.
pub(crate) fn durable_nonce<'t>(transaction: &'t Sanitized<'_>) -> Option<&'t Pubkey> {
    if !may_have_nonce(transaction.view()) {
        return None;
    }
    let first = nonce_instruction(transaction.view())?;
    let index = usize::from(*first.accounts.first()?);
    let is_writable = transaction.is_writable(index);
    let key = transaction.account_keys().get(index)?;
    is_writable.then_some(key)
}

/// Where an instruction that advances a durable nonce stands.
fn nonce_instruction<'v>(view: &'v View<'_>) -> Option<SVMInstruction<'v>> {
    view.instructions_iter()
        .nth(usize::from(NONCED_TX_MARKER_IX_INDEX))
}

/// Whether a message that is not resolved yet may be one with a durable nonce: its first
/// instruction has the system program advance one (tag 4).
pub(crate) fn may_have_nonce(view: &View<'_>) -> bool {
    nonce_instruction(view).is_some_and(|first| {
        let program = usize::from(first.program_id_index);
        view.static_account_keys().get(program) == Some(&solana_sdk_ids::system_program::ID)
            && first.data.starts_with(&4u32.to_le_bytes())
    })
}

/// The price a message offers, micro-lamports a compute unit: the instruction with tag 3 of the
/// compute budget program, or the fee that a message of version 1 names over its limit.
pub(crate) fn price(view: &View<'_>) -> u64 {
    if let Some(config) = view.transaction_config() {
        let fee = u128::from(config.priority_fee_lamports().unwrap_or(0));
        let limit = u128::from(config.compute_unit_limit().unwrap_or(0));
        let price = (fee * 1_000_000).checked_div(limit).unwrap_or(0);
        return u64::try_from(price).unwrap_or(u64::MAX);
    }
    view.program_instructions_iter()
        .filter(|(program, _)| **program == solana_sdk_ids::compute_budget::ID)
        .find_map(|(_, instruction)| {
            let price = instruction.data.strip_prefix(&[3])?;
            Some(u64::from_le_bytes(*price.first_chunk::<8>()?))
        })
        .unwrap_or(0)
}
