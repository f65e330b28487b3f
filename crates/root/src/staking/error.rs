//! Why the staking service refuses. The numbers below 100 are Oasis Core's; no number is ever
//! reused, and gaps stay gaps.

use thiserror::Error;
use trilith_protocol::Reject;
use trilith_protocol::root::{Address, Quantity};
use trilith_types::Epoch;
use trilith_types::cbor::DecodeError;

use crate::Refusal;

/// The module under which receipts name these reasons.
pub const MODULE: &str = "staking";

/// A policy that forbids something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// The address is of no account.
    #[error("address {0} is reserved")]
    Reserved(Address),
    /// Transfers are switched off.
    #[error("transfers are disabled")]
    Transfers,
    /// Allowances are switched off.
    #[error("allowances are disabled")]
    Allowances,
    /// Delegation to others is switched off.
    #[error("delegation to other accounts is disabled")]
    Delegation,
    /// Delegation by runtimes is switched off.
    #[error("delegation by runtimes is disabled")]
    EscrowMessages,
    /// The account allows less, or nothing.
    #[error("account {owner} allows {allowance} base units to be withdrawn, {amount} were to be")]
    Allowance {
        /// Whose stake it is.
        owner: Address,
        /// What may be withdrawn.
        allowance: Quantity,
        /// What was to be withdrawn.
        amount: Quantity,
    },
}

/// What is wrong with a commission schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommissionError {
    /// Too many steps.
    #[error("the schedule has {count} {what} steps, the limit is {limit}")]
    TooMany {
        /// Rates or bounds.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: u16,
    },
    /// A step starts at an epoch that is no multiple of the interval.
    #[error("a {what} step starts at epoch {start}, which is no multiple of {interval}")]
    Unaligned {
        /// Rate or bound.
        what: &'static str,
        /// The epoch.
        start: Epoch,
        /// The interval.
        interval: u64,
    },
    /// A step does not start after the one before.
    #[error("a {what} step starts at epoch {start}, the one before at epoch {before}")]
    Order {
        /// Rate or bound.
        what: &'static str,
        /// The epoch.
        start: Epoch,
        /// The epoch of the step before.
        before: Epoch,
    },
    /// A rate is out of its range.
    #[error("a rate is {rate}, it must be from {min} to {max}")]
    Range {
        /// The rate.
        rate: Quantity,
        /// The least.
        min: Quantity,
        /// The most.
        max: Quantity,
    },
    /// An amendment comes too late.
    #[error("the {what} change at epoch {start}, they can change at epoch {earliest} at first")]
    TooEarly {
        /// Rates or bounds.
        what: &'static str,
        /// The epoch.
        start: Epoch,
        /// The first epoch that is possible.
        earliest: Epoch,
    },
    /// There are rates without bounds, or bounds without rates.
    #[error("the schedule has no {0}")]
    Missing(&'static str),
    /// Rates and bounds do not begin together.
    #[error("the rates start at epoch {rates} and the bounds at epoch {bounds}")]
    Apart {
        /// Where rates start.
        rates: Epoch,
        /// Where bounds start.
        bounds: Epoch,
    },
    /// A rate is out of its bounds.
    #[error("the rate is {rate} at epoch {epoch}, its bounds are {min} and {max}")]
    OutOfBounds {
        /// The epoch.
        epoch: Epoch,
        /// The rate.
        rate: Quantity,
        /// The lower bound.
        min: Quantity,
        /// The upper bound.
        max: Quantity,
    },
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StakingError {
    /// The argument is no canonical encoding of what the method takes.
    #[error("the argument cannot be decoded: {0}")]
    Malformed(DecodeError),
    /// The balance is too low.
    #[error("account {account} has {balance} base units, {amount} were to be taken")]
    InsufficientBalance {
        /// The account.
        account: Address,
        /// What it has.
        balance: Quantity,
        /// What was to be taken.
        amount: Quantity,
    },
    /// The active stake does not cover what is claimed.
    #[error("account {account} has {stake} base units of active stake, {needed} are needed")]
    InsufficientStake {
        /// The account.
        account: Address,
        /// What it has.
        stake: Quantity,
        /// What is needed.
        needed: Quantity,
    },
    /// A policy forbids it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Too many allowances.
    #[error("the account would have {count} allowances, the limit is {limit}")]
    TooManyAllowances {
        /// How many.
        count: usize,
        /// The limit.
        limit: u32,
    },
    /// Too little is delegated.
    #[error("{amount} base units were to be delegated, the least is {min}")]
    UnderMinDelegation {
        /// How much.
        amount: Quantity,
        /// The least.
        min: Quantity,
    },
    /// Too little is transferred, burnt or withdrawn.
    #[error("{amount} base units were to be moved, the least is {min}")]
    UnderMinTransfer {
        /// How much.
        amount: Quantity,
        /// The least.
        min: Quantity,
    },
    /// An account would have less than accounts must.
    #[error("account {account} would have {balance} base units, the least is {min}")]
    BalanceTooLow {
        /// The account.
        account: Address,
        /// What it would have.
        balance: Quantity,
        /// The least.
        min: Quantity,
    },
    /// More is allowed than there is.
    #[error("the allowance would be {allowance} base units, the total supply is {supply}")]
    AllowanceOverSupply {
        /// What would be allowed.
        allowance: Quantity,
        /// All stake there is.
        supply: Quantity,
    },
    /// Nothing is to be taken back.
    #[error("0 shares were to be taken back, it must be at least 1")]
    NoShares,
    /// The pool has shares but no stake, so that no stake makes a share.
    #[error("the pool of account {0} has lost all its stake: no shares can be had for more")]
    EmptyPool(Address),
    /// A number does not fit.
    #[error("the result does not fit 128 bits")]
    Overflow,
    /// An account would allow itself something, or withdraw from itself.
    #[error("account {0} is on both sides")]
    SameAccount(Address),
    /// The commission schedule is not acceptable.
    #[error(transparent)]
    Commission(#[from] CommissionError),
    /// Fewer shares are there than were to be taken back.
    #[error("the delegation has {found} shares, {wanted} were to be taken back")]
    InsufficientShares {
        /// Shares there are.
        found: Quantity,
        /// Shares that were to be taken back.
        wanted: Quantity,
    },
    /// The account would take up too much state.
    #[error("account {account} would have {len} bytes, the limit is {limit}")]
    AccountTooLarge {
        /// The account.
        account: Address,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl StakingError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Malformed(_) => 1,
            Self::InsufficientBalance { .. } => 3,
            Self::InsufficientStake { .. } => 4,
            Self::Forbidden(_) => 5,
            Self::TooManyAllowances { .. } => 7,
            Self::UnderMinDelegation { .. } => 8,
            Self::UnderMinTransfer { .. } => 9,
            Self::BalanceTooLow { .. } => 10,
            Self::AllowanceOverSupply { .. } => 11,
            Self::NoShares => 101,
            Self::EmptyPool(_) => 102,
            Self::Overflow => 103,
            Self::SameAccount(_) => 104,
            Self::Commission(_) => 105,
            Self::InsufficientShares { .. } => 106,
            Self::AccountTooLarge { .. } => 107,
        }
    }
}

impl From<DecodeError> for StakingError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<StakingError> for Reject {
    fn from(error: StakingError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<StakingError> for Refusal {
    fn from(error: StakingError) -> Self {
        Self::Reject(error.into())
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        StakingError::from(forbidden).into()
    }
}
