//! Moving stake between general balances: transfers, burns, allowances.

use trilith_protocol::RootEvent;
use trilith_protocol::root::staking::{
    Account, Allow, AllowanceChangeEvent, Burn, BurnEvent, StakingEvent, StakingParameters,
    Transfer, TransferEvent, Withdraw,
};
use trilith_protocol::root::{Address, BURN_ADDRESS, Quantity};
use trilith_types::StateFault;

use super::store::{Total, load, load_total, parameters_of, save, save_grown, save_total};
use super::{Forbidden, StakingError};
use crate::Refusal;
use crate::scope::{Call, Scope, broken};

/// Charges the gas of an operation.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    parameters: &StakingParameters,
    operation: &str,
) -> Result<(), Refusal> {
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0))?;
    Ok(())
}

/// Refuses the reserved addresses.
pub(super) fn not_reserved(address: &Address) -> Result<(), Forbidden> {
    if address.is_reserved() {
        Err(Forbidden::Reserved(*address))
    } else {
        Ok(())
    }
}

/// Takes from a general balance, of which enough must be left.
pub(super) fn take(
    account: &mut Account,
    address: &Address,
    amount: Quantity,
    min: Quantity,
) -> Result<(), StakingError> {
    let balance = account.general.balance;
    let left = balance
        .minus(amount)
        .ok_or(StakingError::InsufficientBalance {
            account: *address,
            balance,
            amount,
        })?;
    keeps(address, left, min)?;
    account.general.balance = left;
    Ok(())
}

fn keeps(address: &Address, balance: Quantity, min: Quantity) -> Result<(), StakingError> {
    if balance < min {
        return Err(StakingError::BalanceTooLow {
            account: *address,
            balance,
            min,
        });
    }
    Ok(())
}

/// Adds to a general balance. All stake together fits, so a part of it does.
pub(super) fn give(
    scope: &mut Scope<'_>,
    address: &Address,
    amount: Quantity,
) -> Result<Quantity, StateFault> {
    let mut account = load(scope, address)?;
    let balance = account
        .general
        .balance
        .plus(amount)
        .ok_or_else(|| broken("an account holds more stake than there is"))?;
    account.general.balance = balance;
    save(scope, address, &account);
    Ok(balance)
}

/// Moves stake between two different accounts.
fn shift(
    scope: &mut Scope<'_>,
    (from, to): (&Address, &Address),
    amount: Quantity,
    min: Quantity,
) -> Result<(), Refusal> {
    let mut account = load(scope, from)?;
    take(&mut account, from, amount, min)?;
    save(scope, from, &account);
    let balance = give(scope, to, amount)?;
    keeps(to, balance, min)?;
    Ok(())
}

/// Moves stake for a service that takes it for something: whatever is switched off for transfers,
/// and without a least amount.
///
/// Source: Oasis Core `apps/staking/state` (`Transfer`).
pub(crate) fn pay(
    scope: &mut Scope<'_>,
    (from, to): (&Address, &Address),
    amount: Quantity,
) -> Result<(), Refusal> {
    if from == to || amount.is_zero() {
        return Ok(());
    }
    let min = parameters_of(scope)?.min_transact_balance;
    shift(scope, (from, to), amount, min)?;
    emit_transfer(scope, *from, *to, amount);
    Ok(())
}

/// Tells that stake moved.
pub(super) fn emit_transfer(scope: &mut Scope<'_>, from: Address, to: Address, amount: Quantity) {
    let event = TransferEvent { from, to, amount };
    scope.emit(RootEvent::Staking(StakingEvent::Transfer(event)));
}

fn enough(amount: Quantity, parameters: &StakingParameters) -> Result<(), StakingError> {
    let min = parameters.min_transfer;
    if amount < min {
        return Err(StakingError::UnderMinTransfer { amount, min });
    }
    Ok(())
}

/// `staking.Transfer`.
pub(super) fn transfer(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let Transfer { to, amount } = Transfer::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "transfer")?;
    let from = call.caller;
    not_reserved(&from)?;
    let excepted = parameters.undisable_transfers_from.get(&from) == Some(&true);
    if parameters.disable_transfers && !excepted {
        return Err(Forbidden::Transfers.into());
    }
    if to == BURN_ADDRESS {
        destroy(scope, &from, amount, &parameters)?;
    } else {
        enough(amount, &parameters)?;
        not_reserved(&to)?;
        move_or_check(scope, (&from, &to), amount, &parameters)?;
    }
    emit_transfer(scope, from, to, amount);
    Ok(())
}

/// A transfer to oneself only checks that the stake is there.
fn move_or_check(
    scope: &mut Scope<'_>,
    (from, to): (&Address, &Address),
    amount: Quantity,
    parameters: &StakingParameters,
) -> Result<(), Refusal> {
    if from == to {
        let mut account = load(scope, from)?;
        take(&mut account, from, amount, Quantity::ZERO)?;
        return Ok(());
    }
    shift(scope, (from, to), amount, parameters.min_transact_balance)
}

/// `staking.Burn`.
pub(super) fn burn(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let Burn { amount } = Burn::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "burn")?;
    not_reserved(&call.caller)?;
    destroy(scope, &call.caller, amount, &parameters)
}

fn destroy(
    scope: &mut Scope<'_>,
    owner: &Address,
    amount: Quantity,
    parameters: &StakingParameters,
) -> Result<(), Refusal> {
    enough(amount, parameters)?;
    let mut account = load(scope, owner)?;
    take(&mut account, owner, amount, parameters.min_transact_balance)?;
    save(scope, owner, &account);
    let supply = load_total(scope, Total::Supply)?
        .minus(amount)
        .ok_or_else(|| broken("an account holds more stake than there is"))?;
    save_total(scope, Total::Supply, supply);
    let owner = *owner;
    scope.emit(RootEvent::Staking(StakingEvent::Burn(BurnEvent {
        owner,
        amount,
    })));
    Ok(())
}

/// Allowances need two different accounts, and that they and transfers are switched on.
fn allowances_between(
    parameters: &StakingParameters,
    caller: &Address,
    other: &Address,
) -> Result<(), StakingError> {
    if parameters.disable_transfers || parameters.max_allowances == 0 {
        return Err(Forbidden::Allowances.into());
    }
    not_reserved(caller)?;
    not_reserved(other)?;
    if caller == other {
        return Err(StakingError::SameAccount(*caller));
    }
    Ok(())
}

/// `staking.Allow`.
pub(super) fn allow(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let allow = Allow::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "allow")?;
    let (owner, beneficiary) = (call.caller, allow.beneficiary);
    allowances_between(&parameters, &owner, &beneficiary)?;
    let mut account = load(scope, &owner)?;
    let allowances = &mut account.general.allowances;
    let before = allowances.get(&beneficiary).copied().unwrap_or_default();
    let (allowance, amount_change) = if allow.negative {
        let less = before.min(allow.amount_change);
        (before.minus(less), less)
    } else {
        (before.plus(allow.amount_change), allow.amount_change)
    };
    let allowance = allowance.ok_or(StakingError::Overflow)?;
    let supply = load_total(scope, Total::Supply)?;
    if allowance > supply {
        return Err(StakingError::AllowanceOverSupply { allowance, supply }.into());
    }
    if allowance.is_zero() {
        allowances.remove(&beneficiary);
    } else {
        allowances.insert(beneficiary, allowance);
    }
    let (count, limit) = (allowances.len(), parameters.max_allowances);
    if count as u64 > u64::from(limit) {
        return Err(StakingError::TooManyAllowances { count, limit }.into());
    }
    save_grown(scope, &owner, &account)?;
    let event = AllowanceChangeEvent {
        owner,
        beneficiary,
        allowance,
        negative: allow.negative,
        amount_change,
    };
    scope.emit(RootEvent::Staking(StakingEvent::AllowanceChange(event)));
    Ok(())
}

/// `staking.Withdraw`.
pub(super) fn withdraw(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let Withdraw {
        from: owner,
        amount,
    } = Withdraw::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "withdraw")?;
    enough(amount, &parameters)?;
    let beneficiary = call.caller;
    allowances_between(&parameters, &beneficiary, &owner)?;
    let mut account = load(scope, &owner)?;
    let allowances = &mut account.general.allowances;
    let before = allowances.get(&beneficiary).copied().unwrap_or_default();
    let allowance = match before.minus(amount) {
        Some(allowance) if !before.is_zero() => allowance,
        _ => {
            let allowance = before;
            return Err(Forbidden::Allowance {
                owner,
                allowance,
                amount,
            }
            .into());
        }
    };
    if allowance.is_zero() {
        allowances.remove(&beneficiary);
    } else {
        allowances.insert(beneficiary, allowance);
    }
    save(scope, &owner, &account);
    let min = parameters.min_transact_balance;
    shift(scope, (&owner, &beneficiary), amount, min)?;
    emit_transfer(scope, owner, beneficiary, amount);
    let event = AllowanceChangeEvent {
        owner,
        beneficiary,
        allowance,
        negative: true,
        amount_change: amount,
    };
    scope.emit(RootEvent::Staking(StakingEvent::AllowanceChange(event)));
    Ok(())
}
