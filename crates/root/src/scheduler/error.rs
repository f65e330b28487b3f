//! Why the scheduler refuses a genesis document; it has no methods. No number is ever reused.

use thiserror::Error;
use trilith_params::root::VOTING_POWER_MAX;
use trilith_protocol::Reject;
use trilith_protocol::root::Quantity;

/// The module under which refusals name these reasons.
pub const MODULE: &str = "scheduler";

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchedulerError {
    /// A parameter is out of its range.
    #[error("{name} is {value}, it must be from {min} to {max}")]
    Range {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Too few of the document's nodes can be validators.
    #[error("{found} nodes of the document can be validators, there must be at least {min}")]
    TooFewValidators {
        /// How many can be.
        found: u64,
        /// How many there must be.
        min: u64,
    },
    /// All stake together gives more power than can be counted.
    #[error("the total supply of {supply} gives more power than {VOTING_POWER_MAX}")]
    TooMuchPower {
        /// All stake.
        supply: Quantity,
    },
}

impl SchedulerError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Range { .. } => 101,
            Self::TooFewValidators { .. } => 102,
            Self::TooMuchPower { .. } => 103,
        }
    }
}

impl From<SchedulerError> for Reject {
    fn from(error: SchedulerError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}
