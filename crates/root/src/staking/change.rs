//! Changes of the service's parameters by governance.
//!
//! Source: Oasis Core `staking/api` (`ConsensusParameterChanges`, `SanityCheck`).

use trilith_params::root::{COMMISSION_RATE_DENOMINATOR, REWARD_DENOMINATOR};
use trilith_protocol::root::Quantity;
use trilith_protocol::root::governance::StakingChanges;
use trilith_protocol::root::staking::StakingParameters;

use super::store::{PARAMETERS, parameters_of};
use crate::parameters::{Apply, NoChange, check, set};
use crate::scope::Scope;

/// See [`crate::parameters::Change`].
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &[u8],
    apply: Apply,
) -> Result<(), NoChange> {
    let changes = StakingChanges::decode(changes)?;
    let is_empty = changes == StakingChanges::default();
    let mut parameters = parameters_of(scope)?;
    put(changes, &mut parameters);
    sound(&parameters)?;
    if check(is_empty, &parameters, apply)? {
        scope.overlay.put_record(PARAMETERS.to_vec(), &parameters);
    }
    Ok(())
}

fn put(changes: StakingChanges, parameters: &mut StakingParameters) {
    set(
        &mut parameters.debonding_interval,
        changes.debonding_interval,
    );
    set(&mut parameters.reward_schedule, changes.reward_schedule);
    if !changes.gas_costs.is_empty() {
        parameters.gas_costs = changes.gas_costs;
    }
    set(&mut parameters.min_delegation, changes.min_delegation);
    set(&mut parameters.min_transfer, changes.min_transfer);
    set(
        &mut parameters.min_transact_balance,
        changes.min_transact_balance,
    );
    let rules = &mut parameters.commission_schedule_rules;
    set(&mut rules.min_commission_rate, changes.min_commission_rate);
    set(&mut parameters.disable_transfers, changes.disable_transfers);
    set(
        &mut parameters.disable_delegation,
        changes.disable_delegation,
    );
    set(
        &mut parameters.allow_escrow_messages,
        changes.allow_escrow_messages,
    );
    set(&mut parameters.max_allowances, changes.max_allowances);
    set(
        &mut parameters.fee_split_weight_propose,
        changes.fee_split_weight_propose,
    );
    set(
        &mut parameters.fee_split_weight_vote,
        changes.fee_split_weight_vote,
    );
    set(
        &mut parameters.fee_split_weight_next_propose,
        changes.fee_split_weight_next_propose,
    );
    set(
        &mut parameters.reward_factor_epoch_signed,
        changes.reward_factor_epoch_signed,
    );
    set(
        &mut parameters.reward_factor_block_proposed,
        changes.reward_factor_block_proposed,
    );
}

/// What must hold of parameters. Oasis Core also asks for a threshold of every kind; here a kind
/// that is not there needs no stake.
fn sound(parameters: &StakingParameters) -> Result<(), NoChange> {
    let weights = [
        parameters.fee_split_weight_propose,
        parameters.fee_split_weight_vote,
        parameters.fee_split_weight_next_propose,
    ];
    if weights.iter().all(|weight| weight.is_zero()) {
        return Err(NoChange::because("the weights of fees are all 0"));
    }
    let rate = parameters.commission_schedule_rules.min_commission_rate;
    let all = Quantity::from(COMMISSION_RATE_DENOMINATOR);
    if rate > all {
        return Err(NoChange::Refused(format!(
            "the least commission is {rate}, the limit is {all}"
        )));
    }
    let largest = Quantity::from(REWARD_DENOMINATOR);
    let mut before = 0;
    for step in &parameters.reward_schedule {
        if step.scale > largest {
            return Err(NoChange::Refused(format!(
                "a reward has the scale {}, the limit is {largest}",
                step.scale
            )));
        }
        let until = step.until.0;
        if until <= before || until == u64::MAX {
            return Err(NoChange::Refused(format!(
                "a reward is until epoch {until}, the one before until epoch {before}"
            )));
        }
        before = until;
    }
    Ok(())
}
