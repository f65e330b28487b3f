//! Taking delegated stake for a fault.

use trilith_protocol::RootEvent;
use trilith_protocol::root::staking::{SharePool, StakingEvent, TakeEscrowEvent};
use trilith_protocol::root::{Address, Quantity};
use trilith_types::StateFault;

use super::store::{Total, add_to_total, load, save};
use crate::scope::{Scope, broken};

/// Takes `amount` from what is delegated to an account, in proportion from active and debonding
/// stake, rounded down for each; all of it if there is less. It goes to the common pool. Gives
/// what was taken.
///
/// Source: Oasis Core `apps/staking/state` (`SlashEscrow`).
pub(crate) fn slash(
    scope: &mut Scope<'_>,
    address: &Address,
    amount: Quantity,
) -> Result<Quantity, StateFault> {
    let mut account = load(scope, address)?;
    let (active, debonding) = (&mut account.escrow.active, &mut account.escrow.debonding);
    let too_much = || broken("an account holds more stake than there is");
    let total = active
        .balance
        .plus(debonding.balance)
        .ok_or_else(too_much)?;
    let from_active = take_part(active, amount, total);
    let debonding_amount = take_part(debonding, amount, total);
    let taken = from_active.plus(debonding_amount).ok_or_else(too_much)?;
    if taken.is_zero() {
        return Ok(taken);
    }
    save(scope, address, &account);
    add_to_total(scope, Total::CommonPool, taken)?;
    scope.emit(RootEvent::Staking(StakingEvent::TakeEscrow(
        TakeEscrowEvent {
            owner: *address,
            amount: taken,
            debonding_amount,
        },
    )));
    Ok(taken)
}

fn take_part(pool: &mut SharePool, amount: Quantity, total: Quantity) -> Quantity {
    if total.is_zero() {
        return Quantity::ZERO;
    }
    // A part that does not fit is more than the pool has.
    let part = pool
        .balance
        .times_over(amount, total)
        .map_or(pool.balance, |part| part.min(pool.balance));
    pool.balance = pool.balance.minus(part).unwrap_or_default();
    part
}
