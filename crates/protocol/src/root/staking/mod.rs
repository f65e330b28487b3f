//! What is said to the staking service: methods and their arguments, accounts, parameters, the
//! service's part of a genesis document, and its events, in Oasis Core's forms.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//!
//! Source: Oasis Core `staking/api`.

mod account;
mod commission;
mod event;
mod genesis;

pub use account::{
    Account, DebondingDelegation, Delegation, EscrowAccount, GeneralAccount, SharePool,
    StakeAccumulator, StakeThreshold, ThresholdKind,
};
pub use commission::{
    CommissionBoundStep, CommissionRateStep, CommissionRules, CommissionSchedule,
};
pub use event::{
    AddEscrowEvent, AllowanceChangeEvent, BurnEvent, DebondingStartEvent, ReclaimEscrowEvent,
    StakingEvent, TakeEscrowEvent, TransferEvent,
};
pub use genesis::{
    EpochSigning, GAS, RewardStep, Slash, SlashReason, StakingGenesis, StakingParameters,
};

use trilith_params::root::TRANSACTION_BYTES_MAX;

use super::{Address, Quantity};
use crate::wire::wire_struct;

/// Moves stake to another account; the body is a [`Transfer`].
pub const TRANSFER: &str = "staking.Transfer";
/// Destroys stake; the body is a [`Burn`].
pub const BURN: &str = "staking.Burn";
/// Delegates stake; the body is an [`Escrow`].
pub const ADD_ESCROW: &str = "staking.AddEscrow";
/// Starts to take delegated stake back; the body is a [`ReclaimEscrow`].
pub const RECLAIM_ESCROW: &str = "staking.ReclaimEscrow";
/// Changes what a delegate keeps of rewards; the body is an [`AmendCommissionSchedule`].
pub const AMEND_COMMISSION_SCHEDULE: &str = "staking.AmendCommissionSchedule";
/// Changes how much another account may withdraw; the body is an [`Allow`].
pub const ALLOW: &str = "staking.Allow";
/// Withdraws what another account allows; the body is a [`Withdraw`].
pub const WITHDRAW: &str = "staking.Withdraw";

wire_struct! {
    /// Argument of [`TRANSFER`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Transfer as "transfer", at most TRANSACTION_BYTES_MAX, {
        /// To whom; to the burn address it is a burn.
        to: Address = always "to",
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// Argument of [`BURN`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Burn as "burn", at most TRANSACTION_BYTES_MAX, {
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// Argument of [`ADD_ESCROW`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Escrow as "escrow", at most TRANSACTION_BYTES_MAX, {
        /// To whom it is delegated.
        account: Address = always "account",
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// Argument of [`RECLAIM_ESCROW`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ReclaimEscrow as "reclaim escrow", at most TRANSACTION_BYTES_MAX, {
        /// To whom it is delegated.
        account: Address = always "account",
        /// How many shares of the active pool.
        shares: Quantity = always "shares",
    }
}

wire_struct! {
    /// Argument of [`AMEND_COMMISSION_SCHEDULE`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AmendCommissionSchedule as "amend commission schedule",
        at most TRANSACTION_BYTES_MAX, {
        /// The steps that replace those from the first one's epoch on.
        amendment: CommissionSchedule = always "amendment",
    }
}

wire_struct! {
    /// Argument of [`ALLOW`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Allow as "allow", at most TRANSACTION_BYTES_MAX, {
        /// Who may withdraw.
        beneficiary: Address = always "beneficiary",
        /// Whether the allowance becomes less.
        negative: bool = unless_empty "negative",
        /// By how much it changes.
        amount_change: Quantity = always "amount_change",
    }
}

wire_struct! {
    /// Argument of [`WITHDRAW`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Withdraw as "withdraw", at most TRANSACTION_BYTES_MAX, {
        /// From whom.
        from: Address = always "from",
        /// How much.
        amount: Quantity = always "amount",
    }
}
