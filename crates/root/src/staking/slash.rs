//! Taking delegated stake for a fault.

use trilith_protocol::RootEvent;
use trilith_protocol::root::staking::{SharePool, StakingEvent, TakeEscrowEvent};
use trilith_protocol::root::{Address, Quantity};
use trilith_types::{RuntimeId, StateFault};

use super::rewards;
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

/// Gives what was slashed to a runtime, in percent, and the rest to others in equal parts, as
/// stake. What does not divide stays in the common pool.
///
/// Source: Oasis Core `apps/roothash/slashing.go` (`distributeSlashedFunds`).
pub(crate) fn distribute(
    scope: &mut Scope<'_>,
    taken: Quantity,
    (runtime, percent): (&RuntimeId, u8),
    others: &[Address],
) -> Result<(), StateFault> {
    let hundred = Quantity::new(100);
    let of_runtime = taken
        .times_over(u64::from(percent).into(), hundred)
        .unwrap_or_default();
    rewards::give_from_common(scope, &Address::of_runtime(runtime), of_runtime)?;
    let rest = taken.minus(of_runtime).unwrap_or_default();
    let count = Quantity::from(others.len() as u64);
    let of_each = rest.times_over(Quantity::new(1), count).unwrap_or_default();
    for address in others {
        rewards::escrow_from_common(scope, address, of_each)?;
    }
    Ok(())
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
