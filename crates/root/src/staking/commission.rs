//! Commission schedules: which may be had, and how they may be changed.
//!
//! A schedule has rates and bounds as steps in epochs. Steps that are over are dropped when it is
//! changed. An amendment replaces the steps from its first one's epoch on; rates may change from
//! the next epoch on, bounds only after the lead, so that delegators can leave before.
//!
//! Source: Oasis Core `staking/api/commission.go`.

use trilith_params::root::COMMISSION_RATE_DENOMINATOR;
use trilith_protocol::root::Quantity;
use trilith_protocol::root::staking::{
    AmendCommissionSchedule, CommissionBoundStep, CommissionRateStep, CommissionRules,
    CommissionSchedule, ThresholdKind,
};
use trilith_types::Epoch;

use super::store::{load, parameters_of, save_grown};
use super::transfer::{charge, not_reserved};
use super::{CommissionError, StakingError};
use crate::Refusal;
use crate::scope::{Call, Scope};

/// `staking.AmendCommissionSchedule`. Only for accounts with the stake of an entity with a
/// validator, because schedules take up state.
pub(super) fn amend(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let body = AmendCommissionSchedule::decode(body).map_err(StakingError::from)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, "amend_commission_schedule")?;
    not_reserved(&call.caller)?;
    let mut account = load(scope, &call.caller)?;
    let threshold = |kind| {
        parameters
            .thresholds
            .get(&kind)
            .copied()
            .unwrap_or_default()
    };
    let needed = threshold(ThresholdKind::Entity)
        .plus(threshold(ThresholdKind::NodeValidator))
        .unwrap_or(Quantity::MAX);
    let stake = account.escrow.active.balance;
    if stake < needed {
        return Err(StakingError::InsufficientStake {
            account: call.caller,
            stake,
            needed,
        }
        .into());
    }
    let rules = &parameters.commission_schedule_rules;
    let schedule = &mut account.escrow.commission_schedule;
    apply(schedule, body.amendment, rules, scope.epoch).map_err(StakingError::from)?;
    Ok(save_grown(scope, &call.caller, &account)?)
}

/// Applies an amendment. The schedule must not be used if that fails.
pub(super) fn apply(
    schedule: &mut CommissionSchedule,
    amendment: CommissionSchedule,
    rules: &CommissionRules,
    now: Epoch,
) -> Result<(), CommissionError> {
    counts(&amendment, rules)?;
    steps(&amendment, rules)?;
    in_time(&amendment, rules, now, schedule.bounds.is_empty())?;
    prune(schedule, now);
    if let Some(first) = amendment.rates.first().map(|step| step.start) {
        schedule.rates.retain(|step| step.start < first);
        schedule.rates.extend(amendment.rates);
    }
    if let Some(first) = amendment.bounds.first().map(|step| step.start) {
        schedule.bounds.retain(|step| step.start < first);
        schedule.bounds.extend(amendment.bounds);
    }
    counts(schedule, rules)?;
    within_bounds(schedule, now)
}

/// Checks a schedule of a genesis document.
pub(super) fn check(
    schedule: &CommissionSchedule,
    rules: &CommissionRules,
    now: Epoch,
) -> Result<(), CommissionError> {
    counts(schedule, rules)?;
    steps(schedule, rules)?;
    let mut pruned = schedule.clone();
    prune(&mut pruned, now);
    within_bounds(&pruned, now)
}

/// The rate of the newest step that has started; `None` if none has.
pub(super) fn current_rate(schedule: &CommissionSchedule, now: Epoch) -> Option<Quantity> {
    let started = schedule.rates.iter().take_while(|step| step.start <= now);
    started.last().map(|step| step.rate)
}

fn counts(schedule: &CommissionSchedule, rules: &CommissionRules) -> Result<(), CommissionError> {
    let limits = [
        ("rate", schedule.rates.len(), rules.max_rate_steps),
        ("bound", schedule.bounds.len(), rules.max_bound_steps),
    ];
    for (what, count, limit) in limits {
        if count > usize::from(limit) {
            return Err(CommissionError::TooMany { what, count, limit });
        }
    }
    Ok(())
}

fn steps(schedule: &CommissionSchedule, rules: &CommissionRules) -> Result<(), CommissionError> {
    starts(
        "rate",
        schedule.rates.iter().map(|step| step.start),
        rules.rate_change_interval,
    )?;
    starts(
        "bound",
        schedule.bounds.iter().map(|step| step.start),
        rules.rate_change_interval,
    )?;
    let min = rules.min_commission_rate;
    for step in &schedule.rates {
        range(step.rate, min)?;
    }
    for step in &schedule.bounds {
        range(step.rate_min, min)?;
        range(step.rate_max, min.max(step.rate_min))?;
    }
    Ok(())
}

fn starts(
    what: &'static str,
    starts: impl Iterator<Item = Epoch>,
    interval: u64,
) -> Result<(), CommissionError> {
    let mut last: Option<Epoch> = None;
    for start in starts {
        // No epoch but 0 is a multiple of 0.
        if !start.0.is_multiple_of(interval) {
            return Err(CommissionError::Unaligned {
                what,
                start,
                interval,
            });
        }
        if let Some(before) = last.filter(|before| start <= *before) {
            return Err(CommissionError::Order {
                what,
                start,
                before,
            });
        }
        last = Some(start);
    }
    Ok(())
}

fn range(rate: Quantity, min: Quantity) -> Result<(), CommissionError> {
    let max = Quantity::from(COMMISSION_RATE_DENOMINATOR);
    if rate < min || rate > max {
        return Err(CommissionError::Range { rate, min, max });
    }
    Ok(())
}

fn in_time(
    amendment: &CommissionSchedule,
    rules: &CommissionRules,
    now: Epoch,
    first: bool,
) -> Result<(), CommissionError> {
    let next = now.0.saturating_add(1);
    let lead = if first { 0 } else { rules.rate_bound_lead };
    let earliest_bound = next.saturating_add(lead);
    let changes = [
        (
            "rates",
            amendment.rates.first().map(|step| step.start),
            next,
        ),
        (
            "bounds",
            amendment.bounds.first().map(|step| step.start),
            earliest_bound,
        ),
    ];
    for (what, start, earliest) in changes {
        if let Some(start) = start.filter(|start| start.0 < earliest) {
            let earliest = Epoch(earliest);
            return Err(CommissionError::TooEarly {
                what,
                start,
                earliest,
            });
        }
    }
    Ok(())
}

/// Drops the steps that are over.
fn prune(schedule: &mut CommissionSchedule, now: Epoch) {
    let over = |starts: &[Epoch]| starts.iter().filter(|start| **start <= now).count();
    let rates: Vec<Epoch> = schedule.rates.iter().map(|step| step.start).collect();
    let bounds: Vec<Epoch> = schedule.bounds.iter().map(|step| step.start).collect();
    schedule.rates.drain(..over(&rates).saturating_sub(1));
    schedule.bounds.drain(..over(&bounds).saturating_sub(1));
}

/// Checks that every rate is within the bounds that hold at its time.
fn within_bounds(schedule: &CommissionSchedule, now: Epoch) -> Result<(), CommissionError> {
    let (rates, bounds) = (&schedule.rates, &schedule.bounds);
    let (rate, bound) = match (rates.first(), bounds.first()) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(CommissionError::Missing("rates")),
        (Some(_), None) => return Err(CommissionError::Missing("bounds")),
        (Some(rate), Some(bound)) => (rate, bound),
    };
    // Where both have started, older steps were dropped, and they may have started apart.
    if (rate.start > now || bound.start > now) && rate.start != bound.start {
        return Err(CommissionError::Apart {
            rates: rate.start,
            bounds: bound.start,
        });
    }
    let mut epochs: Vec<Epoch> = rates.iter().map(|step| step.start).collect();
    epochs.extend(bounds.iter().map(|step| step.start));
    let begin = rate.start.max(bound.start);
    for epoch in epochs.into_iter().filter(|epoch| *epoch >= begin) {
        let rate = last_rate(rates, epoch).unwrap_or(rate);
        let bound = last_bound(bounds, epoch).unwrap_or(bound);
        if rate.rate < bound.rate_min || rate.rate > bound.rate_max {
            return Err(CommissionError::OutOfBounds {
                epoch,
                rate: rate.rate,
                min: bound.rate_min,
                max: bound.rate_max,
            });
        }
    }
    Ok(())
}

fn last_rate(steps: &[CommissionRateStep], epoch: Epoch) -> Option<&CommissionRateStep> {
    steps.iter().rfind(|step| step.start <= epoch)
}

fn last_bound(steps: &[CommissionBoundStep], epoch: Epoch) -> Option<&CommissionBoundStep> {
    steps.iter().rfind(|step| step.start <= epoch)
}
