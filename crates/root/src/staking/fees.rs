//! Fees: who pays them, and who gets them.
//!
//! ```text
//! at the end of a height, of its fees F:
//!     kept for the next height: F * (vote + next) / (propose + vote + next)
//!     the proposer gets the rest
//! at the begin of the next height, of what was kept K, with n validators of which v signed:
//!     part = K / n;  of a part, the next proposer gets part * next / (vote + next)
//!     each who signed gets the rest of its part; the next proposer gets its own v times
//! what nobody gets goes to the common pool
//! ```
//!
//! Source: Oasis Core `apps/staking/fees.go`, `state/gas.go`.

use trilith_protocol::root::{Address, COMMON_POOL, FEE_ACCUMULATOR, Quantity, Transaction};
use trilith_types::{PublicKey, StateFault, StateRead};

use super::store::{self, Total, add_to_total, load, load_total, parameters_of, save, save_total};
use super::transfer::{emit_transfer, give};
use crate::scope::{Call, Scope, broken};
use crate::{Refusal, TransactionError};

/// Who made the height before, as entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Participants {
    /// Who proposed the running height; `None` if that is not known.
    pub(crate) proposer: Option<PublicKey>,
    /// Who signed for the height before, once for each of its validators.
    pub(crate) voters: Vec<PublicKey>,
    /// How many validators could have signed.
    pub(crate) validators: u64,
}

/// Checks on a view that an account can pay the fee of a transaction and has not gone past its
/// nonce.
pub(crate) fn check_fee(
    view: &dyn StateRead,
    caller: &Address,
    transaction: &Transaction,
) -> Result<(), Refusal> {
    let account = store::account(view, caller)?;
    let min_balance = store::parameters(view)?.min_transact_balance;
    let (nonce, expected) = (transaction.nonce, account.general.nonce);
    if nonce < expected {
        return Err(wrong_nonce(caller, nonce, expected).into());
    }
    payable(caller, account.general.balance, transaction, min_balance)?;
    Ok(())
}

fn wrong_nonce(account: &Address, found: u64, expected: u64) -> TransactionError {
    TransactionError::Nonce {
        account: *account,
        found,
        expected,
    }
}

fn payable(
    account: &Address,
    balance: Quantity,
    transaction: &Transaction,
    min_balance: Quantity,
) -> Result<(), TransactionError> {
    let fee = transaction.fee.unwrap_or_default().amount;
    match fee.plus(min_balance) {
        Some(needed) if needed <= balance => Ok(()),
        _ => Err(TransactionError::FeeBalance {
            account: *account,
            balance,
            fee,
            min_balance,
        }),
    }
}

/// Takes the fee of a transaction and counts its nonce, or changes nothing.
pub(crate) fn pay_fee(
    scope: &mut Scope<'_>,
    call: &Call,
    transaction: &Transaction,
) -> Result<(), Refusal> {
    let mut account = load(scope, &call.caller)?;
    let (nonce, expected) = (transaction.nonce, account.general.nonce);
    if nonce != expected {
        return Err(wrong_nonce(&call.caller, nonce, expected).into());
    }
    let found = transaction.gas_price();
    let min = Quantity::from(scope.network.transactions.min_gas_price);
    if found < min {
        return Err(TransactionError::GasPrice { found, min }.into());
    }
    let min_balance = parameters_of(scope)?.min_transact_balance;
    let balance = account.general.balance;
    payable(&call.caller, balance, transaction, min_balance)?;
    let fee = transaction.fee.unwrap_or_default().amount;
    let too_much = || broken("fees are more stake than there is");
    account.general.balance = balance.minus(fee).ok_or_else(too_much)?;
    account.general.nonce = expected
        .checked_add(1)
        .ok_or_else(|| wrong_nonce(&call.caller, nonce, expected))?;
    scope.fees = scope.fees.plus(fee).ok_or_else(too_much)?;
    save(scope, &call.caller, &account);
    if !fee.is_zero() {
        emit_transfer(scope, call.caller, FEE_ACCUMULATOR, fee);
    }
    Ok(())
}

/// Pays fees to an entity.
fn pay(scope: &mut Scope<'_>, entity: &PublicKey, amount: Quantity) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    let address = Address::of_key(entity);
    give(scope, &address, amount)?;
    emit_transfer(scope, FEE_ACCUMULATOR, address, amount);
    Ok(())
}

/// Puts fees that nobody gets into the common pool.
fn pay_rest(scope: &mut Scope<'_>, amount: Quantity) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    add_to_total(scope, Total::CommonPool, amount)?;
    emit_transfer(scope, FEE_ACCUMULATOR, COMMON_POOL, amount);
    Ok(())
}

/// `amount * weight / all`; nothing if `all` is 0.
fn share(amount: Quantity, weight: Quantity, all: Quantity) -> Quantity {
    amount.times_over(weight, all).unwrap_or_default()
}

/// Pays the proposer, and keeps the part of the voters for the next height.
pub(crate) fn end_height(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let fees = std::mem::take(&mut scope.fees);
    if fees.is_zero() {
        return Ok(());
    }
    let parameters = parameters_of(scope)?;
    let later = parameters
        .fee_split_weight_vote
        .plus(parameters.fee_split_weight_next_propose);
    let all = later.and_then(|later| later.plus(parameters.fee_split_weight_propose));
    let kept = match (later, all) {
        (Some(later), Some(all)) => share(fees, later, all),
        _ => Quantity::ZERO,
    };
    save_total(scope, Total::LastFees, kept);
    let rest = fees.minus(kept).unwrap_or_default();
    match scope.proposer {
        Some(proposer) => pay(scope, &proposer, rest),
        None => pay_rest(scope, rest),
    }
}

/// Pays the voters and the proposer of the running height what was kept.
pub(super) fn pay_voters(
    scope: &mut Scope<'_>,
    participants: &Participants,
) -> Result<(), StateFault> {
    let kept = load_total(scope, Total::LastFees)?;
    if kept.is_zero() {
        return Ok(());
    }
    save_total(scope, Total::LastFees, Quantity::ZERO);
    let parameters = parameters_of(scope)?;
    let one = Quantity::new(1);
    let part = share(kept, one, participants.validators.into());
    let weight = parameters.fee_split_weight_next_propose;
    let all = parameters.fee_split_weight_vote.plus(weight);
    let of_proposer = share(part, weight, all.unwrap_or_default());
    let of_voter = part.minus(of_proposer).unwrap_or_default();
    let mut rest = kept;
    if let Some(proposer) = participants.proposer {
        let count = Quantity::from(participants.voters.len() as u64);
        let amount = of_proposer.times(count).unwrap_or_default();
        rest = left(rest, amount)?;
        pay(scope, &proposer, amount)?;
    }
    for voter in &participants.voters {
        rest = left(rest, of_voter)?;
        pay(scope, voter, of_voter)?;
    }
    pay_rest(scope, rest)
}

fn left(rest: Quantity, amount: Quantity) -> Result<Quantity, StateFault> {
    rest.minus(amount)
        .ok_or_else(|| broken("more validators signed than there are"))
}
