//! What the staking service tells.

use trilith_types::Epoch;

use super::super::{Address, Quantity};
use crate::wire::{wire_choice, wire_struct};

const EVENT_BYTES_MAX: usize = 512;

wire_struct! {
    /// Stake changed its owner.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TransferEvent as "transfer event", at most EVENT_BYTES_MAX, {
        /// The old owner.
        from: Address = always "from",
        /// The new owner.
        to: Address = always "to",
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// Stake ceased to exist.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct BurnEvent as "burn event", at most EVENT_BYTES_MAX, {
        /// Whose it was.
        owner: Address = always "owner",
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// Stake was delegated.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AddEscrowEvent as "escrow event", at most EVENT_BYTES_MAX, {
        /// Who delegated.
        owner: Address = always "owner",
        /// To whom.
        escrow: Address = always "escrow",
        /// How much.
        amount: Quantity = always "amount",
        /// The shares for it; none for a reward, which makes all shares worth more.
        new_shares: Quantity = always "new_shares",
    }
}

wire_struct! {
    /// Delegated stake was slashed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TakeEscrowEvent as "slash event", at most EVENT_BYTES_MAX, {
        /// To whom it was delegated.
        owner: Address = always "owner",
        /// How much, of active and debonding stake together.
        amount: Quantity = always "amount",
        /// How much of it was debonding.
        debonding_amount: Quantity = always "debonding_amount",
    }
}

wire_struct! {
    /// Delegated stake is being taken back.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct DebondingStartEvent as "debonding event", at most EVENT_BYTES_MAX, {
        /// Whose it is.
        owner: Address = always "owner",
        /// To whom it was delegated.
        escrow: Address = always "escrow",
        /// How much it is worth now.
        amount: Quantity = always "amount",
        /// The shares of the active pool that were given for it.
        active_shares: Quantity = always "active_shares",
        /// The shares of the debonding pool that were got for it.
        debonding_shares: Quantity = always "debonding_shares",
        /// The epoch at whose start it is paid out.
        debond_end_time: Epoch = always "debond_end_time",
    }
}

wire_struct! {
    /// Delegated stake is back.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ReclaimEscrowEvent as "reclaim event", at most EVENT_BYTES_MAX, {
        /// Whose it is.
        owner: Address = always "owner",
        /// To whom it was delegated.
        escrow: Address = always "escrow",
        /// How much.
        amount: Quantity = always "amount",
        /// The shares of the debonding pool that were given for it.
        shares: Quantity = always "shares",
    }
}

wire_struct! {
    /// An allowance changed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AllowanceChangeEvent as "allowance event", at most EVENT_BYTES_MAX, {
        /// Whose stake it is.
        owner: Address = always "owner",
        /// Who may withdraw it.
        beneficiary: Address = always "beneficiary",
        /// How much, from now on.
        allowance: Quantity = always "allowance",
        /// Whether it became less.
        negative: bool = unless_empty "negative",
        /// By how much it changed.
        amount_change: Quantity = always "amount_change",
    }
}

wire_choice! {
    /// Something that happened to stake.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum StakingEvent as "staking event" {
        /// Stake changed its owner.
        Transfer(TransferEvent) = "transfer",
        /// Stake ceased to exist.
        Burn(BurnEvent) = "burn",
        /// Stake was delegated.
        AddEscrow(AddEscrowEvent) = "add_escrow",
        /// Delegated stake was slashed.
        TakeEscrow(TakeEscrowEvent) = "take_escrow",
        /// Delegated stake is being taken back.
        DebondingStart(DebondingStartEvent) = "debonding_start",
        /// Delegated stake is back.
        ReclaimEscrow(ReclaimEscrowEvent) = "reclaim_escrow",
        /// An allowance changed.
        AllowanceChange(AllowanceChangeEvent) = "allowance_change",
    }
}
