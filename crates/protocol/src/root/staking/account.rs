//! Staking accounts: what they own, what is delegated to them, and what it must cover.

use std::collections::BTreeMap;

use trilith_params::root::ACCOUNT_BYTES_MAX;
use trilith_types::Epoch;

use super::super::{Address, Quantity};
use super::CommissionSchedule;
use crate::wire::{Name, wire_number, wire_struct};

wire_number! {
    /// What stake must be there for. The numbers are Oasis Core's.
    pub enum ThresholdKind: u8 as "threshold kind" {
        /// An entity.
        Entity = 0,
        /// A validator node.
        NodeValidator = 1,
        /// A compute node, per runtime.
        NodeCompute = 2,
        /// An observer node, per runtime.
        NodeObserver = 3,
        /// A key manager node, per runtime.
        NodeKeyManager = 4,
        /// A compute runtime.
        RuntimeCompute = 5,
        /// A key manager runtime.
        RuntimeKeyManager = 6,
        /// A key manager's instance of secret sharing.
        KeyManagerChurp = 7,
    }
}

wire_struct! {
    /// Stake of many in one balance. What a share is worth changes with the balance.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SharePool as "share pool", at most 128, {
        /// The stake, in base units.
        balance: Quantity = unless_empty "balance",
        /// The shares of all delegators.
        total_shares: Quantity = unless_empty "total_shares",
    }
}

wire_struct! {
    /// One amount of stake that must be there: exactly one of the two is given.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StakeThreshold as "stake threshold", at most 128, {
        /// What the parameters say for this kind.
        global: Option<ThresholdKind> = unless_empty "global",
        /// This much.
        constant: Option<Quantity> = unless_empty "const",
    }
}

wire_struct! {
    /// What an account's active stake must cover: the sum of all claims.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct StakeAccumulator as "stake accumulator", at most ACCOUNT_BYTES_MAX, {
        /// By what is registered, the amounts that it needs.
        claims: BTreeMap<Name, Vec<StakeThreshold>> = unless_empty "claims",
    }
}

wire_struct! {
    /// What an account owns.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct GeneralAccount as "general account", at most ACCOUNT_BYTES_MAX, {
        /// Stake, in base units.
        balance: Quantity = unless_empty "balance",
        /// How many transactions of it the root has taken.
        nonce: u64 = unless_empty "nonce",
        /// How much others may withdraw.
        allowances: BTreeMap<Address, Quantity> = unless_empty "allowances",
    }
}

wire_struct! {
    /// What is delegated to an account.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EscrowAccount as "escrow account", at most ACCOUNT_BYTES_MAX, {
        /// Stake that counts.
        active: SharePool = unless_empty "active",
        /// Stake that is being taken back. It can still be slashed.
        debonding: SharePool = unless_empty "debonding",
        /// What the account keeps of rewards.
        commission_schedule: CommissionSchedule = unless_empty "commission_schedule",
        /// What active stake must cover.
        stake_accumulator: StakeAccumulator = unless_empty "stake_accumulator",
    }
}

wire_struct! {
    /// A staking account.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Account as "account", at most ACCOUNT_BYTES_MAX, {
        /// What it owns.
        general: GeneralAccount = unless_empty "general",
        /// What is delegated to it.
        escrow: EscrowAccount = unless_empty "escrow",
    }
}

wire_struct! {
    /// Shares of an account's active pool.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Delegation as "delegation", at most 128, {
        /// How many.
        shares: Quantity = always "shares",
    }
}

wire_struct! {
    /// Shares of an account's debonding pool.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DebondingDelegation as "debonding delegation", at most 128, {
        /// How many.
        shares: Quantity = always "shares",
        /// The epoch at whose start they are paid out.
        debond_end: Epoch = always "debond_end",
    }
}

impl StakeThreshold {
    /// What the parameters say for `kind`.
    pub const fn global(kind: ThresholdKind) -> Self {
        Self {
            global: Some(kind),
            constant: None,
        }
    }

    /// This much.
    pub const fn constant(amount: Quantity) -> Self {
        Self {
            global: None,
            constant: Some(amount),
        }
    }
}
