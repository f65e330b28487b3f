//! `trilith stake`: accounts and what is done with stake.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trilith_protocol::root::staking::{
    ADD_ESCROW, ALLOW, AMEND_COMMISSION_SCHEDULE, Account, Allow, AmendCommissionSchedule, BURN,
    Burn, CommissionBoundStep, CommissionRateStep, CommissionSchedule, Escrow, RECLAIM_ESCROW,
    ReclaimEscrow, StakeAccumulator, StakingEvent, TRANSFER, Transfer, WITHDRAW, Withdraw,
};
use trilith_protocol::root::{Address, Debonding, Quantity, Shape, StakingSummary};
use trilith_protocol::{RootAnswer, RootEvent, RootQuery};
use trilith_types::Epoch;

use super::act::{Act, Session, Signing, lines, shown};
use super::names::parse_account;
use crate::canister::report::Answer;

#[derive(Subcommand, Clone, Debug)]
pub enum StakeCommand {
    /// Show an account: what it owns, what is delegated to it, what that must cover
    ///
    /// Without an account it is the developer network's entity's, or that of TRILITH_IDENTITY.
    ///
    /// Example: trilith stake account me.pem
    Account(AccountArguments),
    /// Move stake to another account
    ///
    /// Example: trilith stake transfer me.pem 5000
    Transfer(AmountTo),
    /// Destroy stake; the total supply becomes less
    ///
    /// Example: trilith stake burn 100
    Burn(BurnArguments),
    /// Delegate stake to an account; you get shares of its active pool
    ///
    /// Example: trilith stake delegate oasis1qr9h93l0gsp0zg3tvnnhzu5s2h9f3auykvfcdjex 1000
    Delegate(AmountTo),
    /// Take delegated stake back, by shares; it is paid out after the debonding interval
    ///
    /// Example: trilith stake undelegate me.pem 1000
    Undelegate(SharesFrom),
    /// Let another account withdraw stake of yours, so much more than before, or less with --less
    ///
    /// Example: trilith stake allow runtime:canister 500
    Allow(AllowArguments),
    /// Take stake of an account that allows it
    ///
    /// Example: trilith stake withdraw me.pem 500
    Withdraw(AmountFrom),
    /// Change what you keep of your delegators' rewards: rates and their bounds, from epochs on
    ///
    /// Rates are in thousandths of a percent: 5000 is 5 %.
    ///
    /// Example: trilith stake amend-commission --rate 400:5000 --bound 400:0-20000
    AmendCommission(CommissionArguments),
    /// Show how much stake there is, and what the rules depend on
    ///
    /// Example: trilith stake supply --json
    Supply,
}

#[derive(Args, Clone, Debug)]
pub struct AccountArguments {
    /// The account: an address, a key, runtime:ID, or a PEM file
    #[arg(value_name = "ACCOUNT", value_parser = parse_account)]
    account: Option<Address>,
    /// Also show what this account has delegated to it
    #[arg(long, value_name = "ACCOUNT", value_parser = parse_account)]
    delegator: Option<Address>,
    /// PEM file whose account is shown where none is given
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    identity: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct AmountTo {
    /// To whom: an address, a key, runtime:ID, or a PEM file
    #[arg(value_name = "ACCOUNT", value_parser = parse_account)]
    to: Address,
    /// How many base units
    #[arg(value_name = "AMOUNT")]
    amount: u128,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct AmountFrom {
    /// From whom: an address, a key, runtime:ID, or a PEM file
    #[arg(value_name = "ACCOUNT", value_parser = parse_account)]
    from: Address,
    /// How many base units
    #[arg(value_name = "AMOUNT")]
    amount: u128,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct SharesFrom {
    /// To whom it is delegated: an address, a key, runtime:ID, or a PEM file
    #[arg(value_name = "ACCOUNT", value_parser = parse_account)]
    from: Address,
    /// How many shares of its active pool
    #[arg(value_name = "SHARES")]
    shares: u128,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct BurnArguments {
    /// How many base units
    #[arg(value_name = "AMOUNT")]
    amount: u128,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct AllowArguments {
    /// Who may withdraw: an address, a key, runtime:ID, or a PEM file
    #[arg(value_name = "ACCOUNT", value_parser = parse_account)]
    beneficiary: Address,
    /// By how many base units the allowance changes
    #[arg(value_name = "AMOUNT")]
    amount: u128,
    /// Allow so much less
    #[arg(long)]
    less: bool,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct CommissionArguments {
    /// A rate from an epoch on, as EPOCH:RATE; as often as needed, ascending
    #[arg(long = "rate", value_name = "EPOCH:RATE", value_parser = parse_rate)]
    rates: Vec<CommissionRateStep>,
    /// Bounds of the rate from an epoch on, as EPOCH:MIN-MAX; as often as needed, ascending
    #[arg(long = "bound", value_name = "EPOCH:MIN-MAX", value_parser = parse_bound)]
    bounds: Vec<CommissionBoundStep>,
    #[command(flatten)]
    signing: Signing,
}

fn parse_rate(text: &str) -> Result<CommissionRateStep, String> {
    let form = || format!("{text:?} is not as EPOCH:RATE, such as 400:5000");
    let (start, rate) = text.split_once(':').ok_or_else(form)?;
    Ok(CommissionRateStep {
        start: Epoch(start.parse().map_err(|_| form())?),
        rate: Quantity::new(rate.parse().map_err(|_| form())?),
    })
}

fn parse_bound(text: &str) -> Result<CommissionBoundStep, String> {
    let form = || format!("{text:?} is not as EPOCH:MIN-MAX, such as 400:0-20000");
    let (start, bounds) = text.split_once(':').ok_or_else(form)?;
    let (min, max) = bounds.split_once('-').ok_or_else(form)?;
    Ok(CommissionBoundStep {
        start: Epoch(start.parse().map_err(|_| form())?),
        rate_min: Quantity::new(min.parse().map_err(|_| form())?),
        rate_max: Quantity::new(max.parse().map_err(|_| form())?),
    })
}

/// What an account's claims look like.
pub(super) fn claims_shape() -> Shape {
    StakeAccumulator::shape()
}

pub(super) fn run(session: &Session, command: &StakeCommand) -> Result<Answer> {
    match command {
        StakeCommand::Account(arguments) => account(session, arguments),
        StakeCommand::Supply => supply(session),
        StakeCommand::Transfer(to) => {
            let (account, amount) = (to.to, to.amount);
            let body = Transfer {
                to: account,
                amount: Quantity::new(amount),
            };
            let act = Act {
                what: format!("transfer {amount} base units to {account}"),
                method: TRANSFER,
                body: body.encode(),
            };
            done(session, &to.signing, act)
        }
        StakeCommand::Burn(burn) => {
            let amount = burn.amount;
            let body = Burn {
                amount: Quantity::new(amount),
            };
            let act = Act {
                what: format!("burn {amount} base units"),
                method: BURN,
                body: body.encode(),
            };
            done(session, &burn.signing, act)
        }
        StakeCommand::Delegate(to) => delegate(session, to),
        StakeCommand::Undelegate(from) => undelegate(session, from),
        StakeCommand::Allow(arguments) => allow(session, arguments),
        StakeCommand::Withdraw(from) => {
            let (account, amount) = (from.from, from.amount);
            let body = Withdraw {
                from: account,
                amount: Quantity::new(amount),
            };
            let act = Act {
                what: format!("withdraw {amount} base units from {account}"),
                method: WITHDRAW,
                body: body.encode(),
            };
            done(session, &from.signing, act)
        }
        StakeCommand::AmendCommission(arguments) => amend(session, arguments),
    }
}

fn done(session: &Session, signing: &Signing, act: Act<'_>) -> Result<Answer> {
    Ok(session.act(signing, act)?.answer(Value::Null))
}

fn delegate(session: &Session, to: &AmountTo) -> Result<Answer> {
    let (account, amount) = (to.to, Quantity::new(to.amount));
    let act = Act {
        what: format!("delegate {amount} base units to {account}"),
        method: ADD_ESCROW,
        body: Escrow { account, amount }.encode(),
    };
    let done = session.act(&to.signing, act)?;
    let shares = done.events().iter().find_map(|event| match event {
        RootEvent::Staking(StakingEvent::AddEscrow(event)) => Some(event.new_shares.to_string()),
        _ => None,
    });
    Ok(done.answer(json!({ "shares": shares })))
}

fn undelegate(session: &Session, from: &SharesFrom) -> Result<Answer> {
    let (account, shares) = (from.from, Quantity::new(from.shares));
    let act = Act {
        what: format!("take {shares} shares back from {account}"),
        method: RECLAIM_ESCROW,
        body: ReclaimEscrow { account, shares }.encode(),
    };
    let done = session.act(&from.signing, act)?;
    let paid = done.events().iter().find_map(|event| match event {
        RootEvent::Staking(StakingEvent::DebondingStart(event)) => Some(event.debond_end_time.0),
        _ => None,
    });
    Ok(done.answer(json!({ "paid_out_at_epoch": paid })))
}

fn allow(session: &Session, arguments: &AllowArguments) -> Result<Answer> {
    let (beneficiary, amount) = (arguments.beneficiary, Quantity::new(arguments.amount));
    let direction = if arguments.less { "less" } else { "more" };
    let body = Allow {
        beneficiary,
        negative: arguments.less,
        amount_change: amount,
    };
    let act = Act {
        what: format!("allow {beneficiary} {amount} base units {direction}"),
        method: ALLOW,
        body: body.encode(),
    };
    done(session, &arguments.signing, act)
}

fn amend(session: &Session, arguments: &CommissionArguments) -> Result<Answer> {
    let (rates, bounds) = (arguments.rates.clone(), arguments.bounds.clone());
    let what = format!(
        "amend the commission with {} rates and {} bounds",
        rates.len(),
        bounds.len()
    );
    let amendment = CommissionSchedule { rates, bounds };
    let act = Act {
        what,
        method: AMEND_COMMISSION_SCHEDULE,
        body: AmendCommissionSchedule { amendment }.encode(),
    };
    done(session, &arguments.signing, act)
}

fn account(session: &Session, arguments: &AccountArguments) -> Result<Answer> {
    let address = match arguments.account {
        Some(address) => address,
        None => session.own_account(arguments.identity.as_deref())?,
    };
    let other = "the root gives another answer than was asked for";
    let mut client = session.client()?;
    let (height, answer) = client.query(&RootQuery::Account(address))?;
    let RootAnswer::Account(account) = answer else {
        bail!(other);
    };
    let (_, answer) = client.query(&RootQuery::Debonding(address))?;
    let RootAnswer::Debonding(debonding) = answer else {
        bail!(other);
    };
    let debonding: Result<Vec<Value>> = debonding
        .iter()
        .map(|debonding| shown(&debonding.encode(), &Debonding::shape()))
        .collect();
    let mut document = json!({
        "account": address.to_string(),
        "height": height,
        "balance": account.general.balance.to_string(),
        "nonce": account.general.nonce,
        "active": pool(&account.escrow.active),
        "debonding": pool(&account.escrow.debonding),
        "being_taken_back": debonding?,
    });
    let fields = shown(&account.encode(), &Account::shape())?;
    let general = &fields["general"];
    let escrow = &fields["escrow"];
    for (name, value) in [
        ("allowances", &general["allowances"]),
        ("claims", &escrow["stake_accumulator"]["claims"]),
        ("commission", &escrow["commission_schedule"]),
    ] {
        if !value.is_null() {
            document[name] = value.clone();
        }
    }
    if let Some(delegator) = arguments.delegator {
        let query = RootQuery::Delegation {
            delegate: address,
            delegator,
        };
        let (_, RootAnswer::Delegation(delegation)) = client.query(&query)? else {
            bail!(other);
        };
        document["delegation"] = json!({
            "delegator": delegator.to_string(),
            "shares": delegation.shares.to_string(),
        });
    }
    Ok(Answer::new(lines(&document), document))
}

fn pool(pool: &trilith_protocol::root::staking::SharePool) -> Value {
    json!({
        "balance": pool.balance.to_string(),
        "total_shares": pool.total_shares.to_string(),
    })
}

fn supply(session: &Session) -> Result<Answer> {
    let (height, answer) = session.client()?.query(&RootQuery::Staking)?;
    let RootAnswer::Staking(summary) = answer else {
        bail!("the root gives another answer than was asked for");
    };
    let mut document = shown(&summary.encode(), &StakingSummary::shape())?;
    document["height"] = json!(height);
    Ok(Answer::new(lines(&document), document))
}
