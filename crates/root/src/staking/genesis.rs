//! The service's part of a genesis document: into the state, and out of it.

use std::collections::BTreeMap;

use trilith_params::root::ACCOUNT_BYTES_MAX;
use trilith_protocol::root::staking::{
    Account, DebondingDelegation, Delegation, EpochSigning, StakingGenesis,
};
use trilith_protocol::root::{AccountRule, Address, GenesisError, Quantity};
use trilith_types::{Epoch, StateFault, StateRead};

use super::commission;
use super::store::{
    self, ACCOUNTS, DEBONDING, DELEGATIONS, Ending, PARAMETERS, Queued, SIGNING, Total,
    account_key, addresses, delegation_key,
};
use crate::overlay::{Entry, Overlay, Values};
use crate::scope::broken;
use crate::state::{Record, decoded, read};

/// The entries of the state that a document gives.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub(crate) fn import(genesis: &StakingGenesis) -> Result<Vec<Entry>, GenesisError> {
    accounts(genesis)?;
    supply(genesis)?;
    pools(genesis)?;
    let totals = [
        (Total::Supply, genesis.total_supply),
        (Total::CommonPool, genesis.common_pool),
        (Total::LastFees, genesis.last_block_fees),
        (Total::Deposits, genesis.governance_deposits),
    ];
    let mut entries = vec![(PARAMETERS.to_vec(), genesis.params.to_bytes())];
    for (total, quantity) in totals.into_iter().filter(|(_, total)| !total.is_zero()) {
        entries.push((total.key(), Record::to_bytes(&quantity)));
    }
    for (address, account) in &genesis.ledger {
        entries.push((account_key(address), account.to_bytes()));
    }
    for (delegate, delegators) in &genesis.delegations {
        for (delegator, delegation) in delegators {
            let key = delegation_key(delegate, delegator);
            entries.push((key, delegation.to_bytes()));
        }
    }
    for (ending, debonding) in debondings(genesis) {
        entries.push((ending.key(), debonding.to_bytes()));
        entries.push((ending.queue_key(), Queued.to_bytes()));
    }
    if genesis.epoch_signing != EpochSigning::default() {
        entries.push((SIGNING.to_vec(), genesis.epoch_signing.to_bytes()));
    }
    Ok(entries)
}

fn debondings(genesis: &StakingGenesis) -> impl Iterator<Item = (Ending, &DebondingDelegation)> {
    genesis
        .debonding_delegations
        .iter()
        .flat_map(|(delegate, delegators)| {
            delegators.iter().flat_map(move |(delegator, list)| {
                list.iter().map(move |debonding| {
                    let ending = Ending {
                        epoch: debonding.debond_end,
                        delegator: *delegator,
                        delegate: *delegate,
                    };
                    (ending, debonding)
                })
            })
        })
}

/// Each account by itself.
fn accounts(genesis: &StakingGenesis) -> Result<(), GenesisError> {
    let rules = &genesis.params.commission_schedule_rules;
    for (address, account) in &genesis.ledger {
        let refused = |rule| GenesisError::Account {
            account: *address,
            rule,
        };
        if address.is_reserved() {
            return Err(refused(AccountRule::Reserved));
        }
        let claims = &account.escrow.stake_accumulator.claims;
        if *account == Account::default() {
            return Err(refused(AccountRule::Empty));
        }
        if account.encode().len() > ACCOUNT_BYTES_MAX {
            return Err(refused(AccountRule::TooLarge));
        }
        let both = |threshold: &trilith_protocol::root::staking::StakeThreshold| {
            threshold.global.is_some() == threshold.constant.is_some()
        };
        if claims.values().flatten().any(both) {
            return Err(refused(AccountRule::Claim));
        }
        // A document may come from another network, at any of its epochs: only the steps are
        // checked, not whether they are in time.
        let schedule = &account.escrow.commission_schedule;
        commission::check(schedule, rules, last_epoch(schedule))
            .map_err(|_| refused(AccountRule::Commission))?;
    }
    for (address, delegators) in &genesis.debonding_delegations {
        let ascending = |list: &Vec<DebondingDelegation>| {
            list.windows(2)
                .all(|pair| pair[0].debond_end < pair[1].debond_end)
        };
        if !delegators.values().all(ascending) {
            return Err(GenesisError::Account {
                account: *address,
                rule: AccountRule::Order,
            });
        }
    }
    Ok(())
}

/// An epoch at which both rates and bounds have started.
fn last_epoch(schedule: &trilith_protocol::root::staking::CommissionSchedule) -> Epoch {
    let rates = schedule.rates.first().map(|step| step.start);
    let bounds = schedule.bounds.first().map(|step| step.start);
    rates.max(bounds).unwrap_or_default()
}

/// The sum; `None` if it does not fit.
fn sum(mut parts: impl Iterator<Item = Quantity>) -> Option<Quantity> {
    parts.try_fold(Quantity::ZERO, Quantity::plus)
}

fn equal(
    what: &'static str,
    found: Quantity,
    expected: Option<Quantity>,
) -> Result<(), GenesisError> {
    if Some(found) == expected {
        return Ok(());
    }
    Err(GenesisError::Sum {
        what,
        found,
        expected: expected.unwrap_or(Quantity::MAX),
    })
}

fn supply(genesis: &StakingGenesis) -> Result<(), GenesisError> {
    let pools = [
        genesis.common_pool,
        genesis.last_block_fees,
        genesis.governance_deposits,
    ];
    let of_accounts = genesis.ledger.values().flat_map(|account| {
        [
            account.general.balance,
            account.escrow.active.balance,
            account.escrow.debonding.balance,
        ]
    });
    let expected = sum(pools.into_iter().chain(of_accounts));
    equal("base units of total supply", genesis.total_supply, expected)
}

fn pools(genesis: &StakingGenesis) -> Result<(), GenesisError> {
    let mut active: BTreeMap<Address, Vec<Quantity>> = BTreeMap::new();
    for (delegate, delegators) in &genesis.delegations {
        if delegators
            .values()
            .any(|delegation| delegation.shares.is_zero())
        {
            return Err(GenesisError::Account {
                account: *delegate,
                rule: AccountRule::Empty,
            });
        }
        let shares = delegators.values().map(|delegation| delegation.shares);
        active.insert(*delegate, shares.collect());
    }
    let mut debonding: BTreeMap<Address, Vec<Quantity>> = BTreeMap::new();
    for (ending, record) in debondings(genesis) {
        let shares = debonding.entry(ending.delegate).or_default();
        shares.push(record.shares);
    }
    let of = |pools: &BTreeMap<Address, Vec<Quantity>>, address: &Address| {
        sum(pools.get(address).into_iter().flatten().copied())
    };
    let delegates = active.keys().chain(debonding.keys());
    for address in genesis.ledger.keys().chain(delegates) {
        let account = genesis.ledger.get(address).cloned().unwrap_or_default();
        let found = account.escrow.active.total_shares;
        equal("shares of an active pool", found, of(&active, address))?;
        let found = account.escrow.debonding.total_shares;
        equal("shares of a debonding pool", found, of(&debonding, address))?;
    }
    Ok(())
}

/// What the state holds, as a part of a genesis document. Importing it gives the same entries.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<StakingGenesis, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    let total = |total: Total| -> Result<Quantity, StateFault> {
        Ok(read(view, &total.key())?.unwrap_or_default())
    };
    let mut genesis = StakingGenesis {
        params: store::parameters(view)?,
        total_supply: total(Total::Supply)?,
        common_pool: total(Total::CommonPool)?,
        last_block_fees: total(Total::LastFees)?,
        governance_deposits: total(Total::Deposits)?,
        epoch_signing: read(view, SIGNING)?.unwrap_or_default(),
        ..StakingGenesis::default()
    };
    let length = || broken("a key of the staking service has another length");
    for (key, value) in overlay.all(ACCOUNTS)? {
        let bytes = key[ACCOUNTS.len()..].try_into().map_err(|_| length())?;
        let account: Account = decoded(&value)?;
        genesis.ledger.insert(Address::from_bytes(bytes), account);
    }
    for (key, value) in overlay.all(DELEGATIONS)? {
        let (delegate, delegator) = addresses(&key[DELEGATIONS.len()..]).ok_or_else(length)?;
        let delegation: Delegation = decoded(&value)?;
        let delegators = genesis.delegations.entry(delegate).or_default();
        delegators.insert(delegator, delegation);
    }
    for (key, value) in overlay.all(DEBONDING)? {
        let ending = Ending::of_key(&key).ok_or_else(length)?;
        let delegators = genesis
            .debonding_delegations
            .entry(ending.delegate)
            .or_default();
        let list = delegators.entry(ending.delegator).or_default();
        list.push(decoded(&value)?);
    }
    Ok(genesis)
}
