//! Delegating stake, taking it back, and paying it out when its time has come.

use trilith_protocol::RootEvent;
use trilith_protocol::root::Quantity;
use trilith_protocol::root::staking::{
    AddEscrowEvent, DebondingDelegation, DebondingStartEvent, Escrow, ReclaimEscrow,
    ReclaimEscrowEvent, StakingEvent,
};
use trilith_types::{Epoch, StateFault};

use super::shares::{self, NoShares};
use super::store::{
    Ending, Queued, endings, load, load_delegation, parameters_of, save, save_delegation,
};
use super::transfer::{charge, give, not_reserved, take};
use super::{Forbidden, StakingError};
use crate::Refusal;
use crate::scope::{Call, Scope, broken};

/// `staking.AddEscrow`.
pub(super) fn add(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let Escrow {
        account: delegate,
        amount,
    } = Escrow::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "add_escrow")?;
    let min = parameters.min_delegation;
    if amount < min {
        return Err(StakingError::UnderMinDelegation { amount, min }.into());
    }
    let owner = call.caller;
    not_reserved(&owner)?;
    not_reserved(&delegate)?;
    if owner != delegate && parameters.disable_delegation {
        return Err(Forbidden::Delegation.into());
    }
    let mut from = load(scope, &owner)?;
    take(&mut from, &owner, amount, parameters.min_transact_balance)?;
    // The two accounts may be one: the first is written before the second is read.
    save(scope, &owner, &from);
    let mut to = load(scope, &delegate)?;
    let new_shares =
        shares::deposit(&mut to.escrow.active, amount).map_err(|error| match error {
            NoShares::EmptyPool => StakingError::EmptyPool(delegate),
            NoShares::Overflow => StakingError::Overflow,
        })?;
    save(scope, &delegate, &to);
    let mut delegation = load_delegation(scope, &delegate, &owner)?;
    delegation.shares = delegation
        .shares
        .plus(new_shares)
        .ok_or(StakingError::Overflow)?;
    save_delegation(scope, &delegate, &owner, &delegation);
    scope.emit(RootEvent::Staking(StakingEvent::AddEscrow(
        AddEscrowEvent {
            owner,
            escrow: delegate,
            amount,
            new_shares,
        },
    )));
    Ok(())
}

/// `staking.ReclaimEscrow`.
pub(super) fn reclaim(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let ReclaimEscrow {
        account: delegate,
        shares: wanted,
    } = ReclaimEscrow::decode(body).map_err(StakingError::from)?;
    if wanted.is_zero() {
        return Err(StakingError::NoShares.into());
    }
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "reclaim_escrow")?;
    let owner = call.caller;
    not_reserved(&owner)?;
    if owner != delegate && parameters.disable_delegation {
        return Err(Forbidden::Delegation.into());
    }
    let mut delegation = load_delegation(scope, &delegate, &owner)?;
    let found = delegation.shares;
    delegation.shares = found
        .minus(wanted)
        .ok_or(StakingError::InsufficientShares { found, wanted })?;
    save_delegation(scope, &delegate, &owner, &delegation);
    let mut account = load(scope, &delegate)?;
    let amount = shares::withdraw(&mut account.escrow.active, wanted)
        .ok_or_else(|| broken("a delegation has more shares than its pool"))?;
    let debonding_shares =
        debond(&mut account.escrow.debonding, amount).map_err(|error| match error {
            NoShares::EmptyPool => StakingError::EmptyPool(delegate),
            NoShares::Overflow => StakingError::Overflow,
        })?;
    save(scope, &delegate, &account);
    let epoch = Epoch(scope.epoch.0.saturating_add(parameters.debonding_interval));
    let ending = Ending {
        epoch,
        delegator: owner,
        delegate,
    };
    enqueue(scope, &ending, debonding_shares)?;
    scope.emit(RootEvent::Staking(StakingEvent::DebondingStart(
        DebondingStartEvent {
            owner,
            escrow: delegate,
            amount,
            active_shares: wanted,
            debonding_shares,
            debond_end_time: epoch,
        },
    )));
    Ok(())
}

/// Shares of the debonding pool for stake of the active one. Shares of an active pool that was
/// slashed to nothing are worth nothing, and get no shares of a debonding pool without stake.
fn debond(
    pool: &mut trilith_protocol::root::staking::SharePool,
    amount: Quantity,
) -> Result<Quantity, NoShares> {
    if amount.is_zero() {
        return Ok(Quantity::ZERO);
    }
    shares::deposit(pool, amount)
}

/// Puts shares into the queue, together with those that end at the same epoch.
fn enqueue(scope: &mut Scope<'_>, ending: &Ending, shares: Quantity) -> Result<(), Refusal> {
    let key = ending.key();
    let before: Option<DebondingDelegation> = scope.overlay.record(&key)?;
    let before = before.map_or(Quantity::ZERO, |debonding| debonding.shares);
    let record = DebondingDelegation {
        shares: before.plus(shares).ok_or(StakingError::Overflow)?,
        debond_end: ending.epoch,
    };
    scope.overlay.put_record(key, &record);
    scope.overlay.put_record(ending.queue_key(), &Queued);
    Ok(())
}

/// Pays out all delegations that end by now.
pub(super) fn release(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    for ending in endings(scope, scope.epoch)? {
        let key = ending.key();
        let debonding: DebondingDelegation = scope.overlay.required(&key)?;
        scope.overlay.put(key, None);
        scope.overlay.put(ending.queue_key(), None);
        let (owner, escrow, shares) = (ending.delegator, ending.delegate, debonding.shares);
        let mut account = load(scope, &escrow)?;
        let amount = shares::withdraw(&mut account.escrow.debonding, shares)
            .ok_or_else(|| broken("a debonding delegation has more shares than its pool"))?;
        save(scope, &escrow, &account);
        give(scope, &owner, amount)?;
        scope.emit(RootEvent::Staking(StakingEvent::ReclaimEscrow(
            ReclaimEscrowEvent {
                owner,
                escrow,
                amount,
                shares,
            },
        )));
    }
    Ok(())
}
