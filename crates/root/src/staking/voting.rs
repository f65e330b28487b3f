//! What governance needs of stake: deposits of proposals, and the stake behind votes.
//!
//! Source: Oasis Core `apps/staking/state` (`TransferToGovernanceDeposits`,
//! `TransferFromGovernanceDeposits`, `DiscardGovernanceDeposit`).

use trilith_protocol::root::staking::{Delegation, SharePool};
use trilith_protocol::root::{Address, COMMON_POOL, GOVERNANCE_DEPOSITS, Quantity};
use trilith_types::StateFault;

use super::store::{
    DELEGATIONS, Total, add_to_total, addresses, load, load_delegation, load_total, save,
    save_total,
};
use super::transfer::{emit_transfer, give, not_reserved, take};
use crate::Refusal;
use crate::scope::{Scope, broken};
use crate::state::decoded;

/// Takes the deposit of a proposal out of a general balance.
pub(crate) fn deposit(
    scope: &mut Scope<'_>,
    from: &Address,
    amount: Quantity,
) -> Result<(), Refusal> {
    not_reserved(from)?;
    let mut account = load(scope, from)?;
    take(&mut account, from, amount, Quantity::ZERO)?;
    if amount.is_zero() {
        return Ok(());
    }
    save(scope, from, &account);
    add_to_total(scope, Total::Deposits, amount)?;
    emit_transfer(scope, *from, GOVERNANCE_DEPOSITS, amount);
    Ok(())
}

fn take_deposit(scope: &mut Scope<'_>, amount: Quantity) -> Result<(), StateFault> {
    let left = load_total(scope, Total::Deposits)?
        .minus(amount)
        .ok_or_else(|| broken("a proposal has a larger deposit than all together"))?;
    save_total(scope, Total::Deposits, left);
    Ok(())
}

/// Gives a deposit back.
pub(crate) fn return_deposit(
    scope: &mut Scope<'_>,
    to: &Address,
    amount: Quantity,
) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    take_deposit(scope, amount)?;
    give(scope, to, amount)?;
    emit_transfer(scope, GOVERNANCE_DEPOSITS, *to, amount);
    Ok(())
}

/// Puts a deposit into the common pool.
pub(crate) fn discard_deposit(scope: &mut Scope<'_>, amount: Quantity) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    take_deposit(scope, amount)?;
    add_to_total(scope, Total::CommonPool, amount)?;
    emit_transfer(scope, GOVERNANCE_DEPOSITS, COMMON_POOL, amount);
    Ok(())
}

/// The active pool of an account.
pub(crate) fn active_pool(
    scope: &mut Scope<'_>,
    address: &Address,
) -> Result<SharePool, StateFault> {
    Ok(load(scope, address)?.escrow.active)
}

/// Whether a delegator has shares of a delegate's active pool.
pub(crate) fn has_delegated(
    scope: &mut Scope<'_>,
    delegate: &Address,
    delegator: &Address,
) -> Result<bool, StateFault> {
    let delegation = load_delegation(scope, delegate, delegator)?;
    Ok(!delegation.shares.is_zero())
}

/// The delegators to an account with their shares of its active pool, ascending.
pub(crate) fn delegators(
    scope: &Scope<'_>,
    delegate: &Address,
) -> Result<Vec<(Address, Quantity)>, StateFault> {
    let prefix = [DELEGATIONS, delegate.as_bytes()].concat();
    let mut found = Vec::new();
    for (key, value) in scope.overlay.all(&prefix)? {
        let (_, delegator) = addresses(&key[DELEGATIONS.len()..])
            .ok_or_else(|| broken("a key of the staking service has another length"))?;
        let delegation: Delegation = decoded(&value)?;
        found.push((delegator, delegation.shares));
    }
    Ok(found)
}
