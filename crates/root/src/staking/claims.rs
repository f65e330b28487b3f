//! What an account's active stake must cover: the sum of all its claims.

use std::collections::BTreeSet;

use trilith_protocol::Reject;
use trilith_protocol::root::staking::{Account, StakeThreshold, StakingGenesis, StakingParameters};
use trilith_protocol::root::{Address, Name, Quantity};
use trilith_types::StateFault;

use super::StakingError;
use super::store::{load, parameters_of, save, save_grown};
use crate::Refusal;
use crate::scope::{Scope, broken};

/// What the claims of an account need together, without those called `except`. Claims that do not
/// fit 128 bits need more than there can be.
pub(super) fn needed(
    account: &Account,
    parameters: &StakingParameters,
    except: Option<&Name>,
) -> Quantity {
    let claims = &account.escrow.stake_accumulator.claims;
    let thresholds = claims
        .iter()
        .filter(|(name, _)| Some(*name) != except)
        .flat_map(|(_, thresholds)| thresholds);
    sum(thresholds, parameters)
}

fn sum<'a>(
    thresholds: impl Iterator<Item = &'a StakeThreshold>,
    parameters: &StakingParameters,
) -> Quantity {
    thresholds
        .map(|threshold| amount(threshold, parameters))
        .try_fold(Quantity::ZERO, Quantity::plus)
        .unwrap_or(Quantity::MAX)
}

fn amount(threshold: &StakeThreshold, parameters: &StakingParameters) -> Quantity {
    let global = threshold
        .global
        .and_then(|kind| parameters.thresholds.get(&kind).copied());
    global.or(threshold.constant).unwrap_or_default()
}

/// Adds a claim, or replaces the one of this name, if active stake covers all of them then.
pub(crate) fn add_claim(
    scope: &mut Scope<'_>,
    address: &Address,
    name: Name,
    thresholds: Vec<StakeThreshold>,
) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let mut account = load(scope, address)?;
    let others = needed(&account, &parameters, Some(&name));
    let own = sum(thresholds.iter(), &parameters);
    let needed = others.plus(own).unwrap_or(Quantity::MAX);
    let stake = account.escrow.active.balance;
    if stake < needed {
        return Err(StakingError::InsufficientStake {
            account: *address,
            stake,
            needed,
        }
        .into());
    }
    let claims = &mut account.escrow.stake_accumulator.claims;
    claims.insert(name, thresholds);
    Ok(save_grown(scope, address, &account)?)
}

/// Checks that the active stake of accounts of a genesis document covers their claims.
pub(crate) fn cover_claims(
    genesis: &StakingGenesis,
    accounts: &BTreeSet<Address>,
) -> Result<(), Reject> {
    for address in accounts {
        let account = genesis.ledger.get(address).cloned().unwrap_or_default();
        let needed = needed(&account, &genesis.params, None);
        let stake = account.escrow.active.balance;
        if stake < needed {
            return Err(StakingError::InsufficientStake {
                account: *address,
                stake,
                needed,
            }
            .into());
        }
    }
    Ok(())
}

/// Removes a claim, which must be there.
pub(crate) fn remove_claim(
    scope: &mut Scope<'_>,
    address: &Address,
    name: &Name,
) -> Result<(), StateFault> {
    let mut account = load(scope, address)?;
    let claims = &mut account.escrow.stake_accumulator.claims;
    claims
        .remove(name)
        .ok_or_else(|| broken("something that is registered has no claim"))?;
    save(scope, address, &account);
    Ok(())
}

/// What is delegated to an account.
pub(crate) fn active_stake(
    scope: &mut Scope<'_>,
    address: &Address,
) -> Result<Quantity, StateFault> {
    Ok(load(scope, address)?.escrow.active.balance)
}

/// Whether active stake covers all claims.
pub(crate) fn claims_covered(scope: &mut Scope<'_>, address: &Address) -> Result<bool, StateFault> {
    let parameters = parameters_of(scope)?;
    let account = load(scope, address)?;
    Ok(account.escrow.active.balance >= needed(&account, &parameters, None))
}
