//! Rewards from the common pool.
//!
//! ```text
//! reward = stake * factor * scale of the epoch / 100,000,000, from the common pool if it has it
//! of a reward, the commission buys the entity shares; the rest makes all shares worth more
//! for an epoch:  entities that signed at least the threshold's part of its heights
//!                and, at elections, those with a node that could be elected
//! for a height:  its proposer's entity, times the part of the validators that signed
//! ```
//!
//! Source: Oasis Core `apps/staking` (`signing_rewards.go`, `proposing_rewards.go`), `state`
//! (`AddRewards`, `AddRewardSingleAttenuated`, `TransferFromCommon`).

use std::collections::BTreeSet;

use trilith_params::root::{COMMISSION_RATE_DENOMINATOR, REWARD_DENOMINATOR};
use trilith_protocol::RootEvent;
use trilith_protocol::root::staking::{
    Account, AddEscrowEvent, EpochSigning, StakingEvent, StakingParameters,
};
use trilith_protocol::root::{Address, COMMON_POOL, Quantity};
use trilith_types::{Epoch, PublicKey, StateFault};

use super::commission::current_rate;
use super::fees::Participants;
use super::shares;
use super::store::{
    SIGNING, Total, load, load_delegation, load_total, parameters_of, save, save_delegation,
    save_total,
};
use super::transfer::{emit_transfer, give};
use crate::scope::{Scope, broken};

/// A fraction of a reward.
struct Part {
    numerator: u64,
    denominator: u64,
}

const WHOLE: Part = Part {
    numerator: 1,
    denominator: 1,
};

/// The reward for some stake; `None` where there is none or it does not fit.
fn reward_for(
    stake: Quantity,
    factor: Quantity,
    parameters: &StakingParameters,
    epoch: Epoch,
    part: &Part,
) -> Option<Quantity> {
    let steps = &parameters.reward_schedule;
    let step = steps.iter().find(|step| epoch < step.until)?;
    let factors = factor.times(step.scale)?.times(part.numerator.into())?;
    let denominator = Quantity::from(REWARD_DENOMINATOR).times(part.denominator.into())?;
    let reward = stake.times_over(factors, denominator)?;
    (!reward.is_zero()).then_some(reward)
}

/// Rewards an account, if the common pool has enough.
fn reward(
    scope: &mut Scope<'_>,
    address: &Address,
    factor: Quantity,
    part: &Part,
) -> Result<(), StateFault> {
    let parameters = parameters_of(scope)?;
    let stake = load(scope, address)?.escrow.active.balance;
    let Some(amount) = reward_for(stake, factor, &parameters, scope.epoch, part) else {
        return Ok(());
    };
    pay(scope, address, amount)
}

/// Takes stake from the common pool and puts it into an account's active pool. If the common pool
/// has less, or something does not fit, nothing happens.
fn pay(scope: &mut Scope<'_>, address: &Address, amount: Quantity) -> Result<(), StateFault> {
    let parameters = parameters_of(scope)?;
    let mut account = load(scope, address)?;
    let Some(left) = load_total(scope, Total::CommonPool)?.minus(amount) else {
        return Ok(());
    };
    let Some((kept, shares)) = split(&mut account, &parameters, scope.epoch, amount) else {
        return Ok(());
    };
    let mut delegation = load_delegation(scope, address, address)?;
    // The shares of one delegator are part of the pool's, which fit.
    delegation.shares = delegation
        .shares
        .plus(shares)
        .ok_or_else(|| broken("a delegation has more shares than its pool"))?;
    save_total(scope, Total::CommonPool, left);
    save(scope, address, &account);
    save_delegation(scope, address, address, &delegation);
    let to_all = amount.minus(kept).unwrap_or_default();
    emit_escrow(scope, COMMON_POOL, *address, to_all, Quantity::ZERO);
    if !kept.is_zero() {
        emit_transfer(scope, COMMON_POOL, *address, kept);
        emit_escrow(scope, *address, *address, kept, shares);
    }
    Ok(())
}

/// Moves stake from the common pool, which must have it, into an account's active pool.
pub(super) fn escrow_from_common(
    scope: &mut Scope<'_>,
    address: &Address,
    amount: Quantity,
) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    pay(scope, address, amount)
}

/// Moves stake from the common pool, which must have it, into a general balance.
pub(super) fn give_from_common(
    scope: &mut Scope<'_>,
    address: &Address,
    amount: Quantity,
) -> Result<(), StateFault> {
    if amount.is_zero() {
        return Ok(());
    }
    let left = load_total(scope, Total::CommonPool)?
        .minus(amount)
        .ok_or_else(|| broken("the common pool has less than was just put into it"))?;
    save_total(scope, Total::CommonPool, left);
    give(scope, address, amount)?;
    emit_transfer(scope, COMMON_POOL, *address, amount);
    Ok(())
}

fn emit_escrow(
    scope: &mut Scope<'_>,
    owner: Address,
    escrow: Address,
    amount: Quantity,
    new_shares: Quantity,
) {
    if amount.is_zero() {
        return;
    }
    scope.emit(RootEvent::Staking(StakingEvent::AddEscrow(
        AddEscrowEvent {
            owner,
            escrow,
            amount,
            new_shares,
        },
    )));
}

/// Puts a reward into the active pool. Gives the commission and the shares it bought; `None` if
/// something does not fit, and then the account must not be used.
fn split(
    account: &mut Account,
    parameters: &StakingParameters,
    epoch: Epoch,
    amount: Quantity,
) -> Option<(Quantity, Quantity)> {
    let min = parameters.commission_schedule_rules.min_commission_rate;
    let rate = current_rate(&account.escrow.commission_schedule, epoch).unwrap_or(min);
    // Where nobody has delegated, all of it is the account's own.
    let kept = if account.escrow.active.total_shares.is_zero() {
        amount
    } else {
        amount.times_over(rate, COMMISSION_RATE_DENOMINATOR.into())?
    };
    let to_all = amount.minus(kept)?;
    let pool = &mut account.escrow.active;
    pool.balance = pool.balance.plus(to_all)?;
    if kept.is_zero() {
        return Some((kept, Quantity::ZERO));
    }
    let shares = shares::deposit(pool, kept).ok()?;
    Some((kept, shares))
}

/// Rewards the entity of the proposer.
pub(super) fn for_proposing(
    scope: &mut Scope<'_>,
    participants: &Participants,
) -> Result<(), StateFault> {
    let Some(proposer) = participants.proposer else {
        return Ok(());
    };
    let part = Part {
        numerator: participants.voters.len() as u64,
        denominator: participants.validators,
    };
    let factor = parameters_of(scope)?.reward_factor_block_proposed;
    reward(scope, &Address::of_key(&proposer), factor, &part)
}

/// Counts who signed for the height before.
pub(super) fn count_signatures(
    scope: &mut Scope<'_>,
    participants: &Participants,
) -> Result<(), StateFault> {
    if participants.validators == 0 {
        return Ok(());
    }
    let mut signing: EpochSigning = scope.overlay.record(SIGNING)?.unwrap_or_default();
    let overflow = || broken("a count of heights has run out");
    signing.total = signing.total.checked_add(1).ok_or_else(overflow)?;
    let mut counted: Vec<PublicKey> = participants.voters.clone();
    counted.sort_unstable();
    counted.dedup();
    for entity in counted {
        let count = signing.by_entity.entry(entity).or_default();
        *count = count.checked_add(1).ok_or_else(overflow)?;
    }
    scope.overlay.put_record(SIGNING.to_vec(), &signing);
    Ok(())
}

/// Rewards entities that had a node which could be elected.
pub(crate) fn for_electability(
    scope: &mut Scope<'_>,
    factor: Quantity,
    entities: &BTreeSet<Address>,
) -> Result<(), StateFault> {
    for address in entities {
        reward(scope, address, factor, &WHOLE)?;
    }
    Ok(())
}

/// Rewards the entities that signed enough heights of the epoch before.
pub(super) fn for_signing(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let signing: EpochSigning = scope.overlay.record(SIGNING)?.unwrap_or_default();
    scope.overlay.put(SIGNING.to_vec(), None);
    let parameters = parameters_of(scope)?;
    let numerator = parameters.signing_reward_threshold_numerator;
    let denominator = parameters.signing_reward_threshold_denominator;
    if denominator == 0 || signing.total == 0 {
        return Ok(());
    }
    let needed = u128::from(signing.total) * u128::from(numerator);
    for (entity, count) in signing.by_entity {
        if u128::from(count) * u128::from(denominator) >= needed {
            let factor = parameters.reward_factor_epoch_signed;
            reward(scope, &Address::of_key(&entity), factor, &WHOLE)?;
        }
    }
    Ok(())
}
