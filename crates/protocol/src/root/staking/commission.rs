//! What a delegate keeps of the rewards of its delegators, as steps in epochs.

use trilith_params::root::ACCOUNT_BYTES_MAX;
use trilith_types::Epoch;

use super::super::Quantity;
use crate::wire::wire_struct;

wire_struct! {
    /// How schedules may be changed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CommissionRules as "commission rules", at most 256, {
        /// Rates and bounds start at epochs that are multiples of this; 0 refuses every step.
        rate_change_interval: u64 = unless_empty "rate_change_interval",
        /// How many epochs in advance a bound must be announced.
        rate_bound_lead: u64 = unless_empty "rate_bound_lead",
        /// Most rate steps of a schedule.
        max_rate_steps: u16 = unless_empty "max_rate_steps",
        /// Most bound steps of a schedule.
        max_bound_steps: u16 = unless_empty "max_bound_steps",
        /// The lowest rate there may be, which is also the rate of who has no schedule.
        min_commission_rate: Quantity = always "min_commission_rate",
    }
}

wire_struct! {
    /// A rate from an epoch on.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CommissionRateStep as "rate step", at most 128, {
        /// The epoch.
        start: Epoch = unless_empty "start",
        /// The rate, in thousandths of a percent.
        rate: Quantity = unless_empty "rate",
    }
}

wire_struct! {
    /// Bounds of the rate from an epoch on.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CommissionBoundStep as "bound step", at most 128, {
        /// The epoch.
        start: Epoch = unless_empty "start",
        /// The lowest rate, in thousandths of a percent.
        rate_min: Quantity = unless_empty "rate_min",
        /// The highest rate, in thousandths of a percent.
        rate_max: Quantity = unless_empty "rate_max",
    }
}

wire_struct! {
    /// Rates and their bounds, each ascending by epoch.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct CommissionSchedule as "commission schedule", at most ACCOUNT_BYTES_MAX, {
        /// The rates.
        rates: Vec<CommissionRateStep> = unless_empty "rates",
        /// The bounds.
        bounds: Vec<CommissionBoundStep> = unless_empty "bounds",
    }
}
