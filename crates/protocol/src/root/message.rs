//! Messages between runtimes and the root.
//!
//! ```text
//! outgoing: {staking | registry | governance: {v: 0, call: argument}}, executed by the root where
//!           a round is finalised, in the runtime's name
//! incoming: what anyone submits to a runtime; it waits in the root's queue until a round takes it
//!           up, the oldest first
//! ```
//!
//! Here are formats only. The arguments of governance are read by that service. Deviation from
//! Oasis Core, which reads any version of a message: only version 0 exists, and only it is read.
//!
//! Source: Oasis Core `roothash/api/message`, `roothash/api` (`SubmitMsg`, events).

use trilith_params::host::MESSAGES_BYTES_MAX;
use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{Epoch, PublicKey, RuntimeId};

use super::registry::Runtime;
use super::staking::{Escrow, ReclaimEscrow, Transfer, Withdraw};
use super::{Address, Quantity};
use crate::wire::{self, Blob, RawItem, Wire, wire_choice, wire_struct};

/// The version of messages.
const VERSION: u64 = 0;

/// Defines an enum of which each variant holds one value, and its form `{v: 0, variant: value}`.
macro_rules! versioned_choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident as $what:literal {
            $( $(#[$of_variant:meta])* $variant:ident($kind:ty) = $key:literal, )*
        }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $( $(#[$of_variant])* $variant($kind), )*
        }

        impl Wire for $name {
            fn put(&self, encoder: &mut Encoder) {
                let map = MapBuilder::new().field("v", wire::put::uint(VERSION));
                let map = match self {
                    $( Self::$variant(value) => map.field($key, |encoder| value.put(encoder)), )*
                };
                encoder.raw(&map.finish());
            }

            fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
                let (mut version, mut choice) = (None, None);
                decoder.fields($what, 2, |name, d| {
                    match name {
                        "v" => version = Some(d.uint()?),
                        $( $key => choice = Some(Self::$variant(Wire::read(d, $key)?)), )*
                        _ => return Err(DecodeError::Field($what)),
                    }
                    Ok(())
                })?;
                if version != Some(VERSION) {
                    return Err(DecodeError::Field("v"));
                }
                wire::required(choice, what)
            }

            fn is_empty(&self) -> bool {
                false
            }
        }
    };
}

versioned_choice! {
    /// What a runtime asks of the staking service, for the runtime's account.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum StakingMessage as "staking message" {
        /// Moves stake to another account.
        Transfer(Transfer) = "transfer",
        /// Withdraws what another account allows.
        Withdraw(Withdraw) = "withdraw",
        /// Delegates stake.
        AddEscrow(Escrow) = "add_escrow",
        /// Starts to take delegated stake back.
        ReclaimEscrow(ReclaimEscrow) = "reclaim_escrow",
    }
}

versioned_choice! {
    /// What a runtime asks of the registry.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RegistryMessage as "registry message" {
        /// Changes the runtime's own descriptor, where it governs itself.
        UpdateRuntime(Box<Runtime>) = "update_runtime",
    }
}

versioned_choice! {
    /// What a runtime asks of the governance service, which reads the arguments.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum GovernanceMessage as "governance message" {
        /// Votes for or against a proposal.
        CastVote(RawItem) = "cast_vote",
        /// Proposes something.
        SubmitProposal(RawItem) = "submit_proposal",
    }
}

wire_choice! {
    /// A message of a runtime to the root.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RuntimeMessage as "runtime message" {
        /// For the staking service.
        Staking(StakingMessage) = "staking",
        /// For the registry.
        Registry(RegistryMessage) = "registry",
        /// For the governance service.
        Governance(GovernanceMessage) = "governance",
    }
}

impl RuntimeMessage {
    /// Canonical encoding: the payload of an [`crate::OutgoingMessage`].
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.put(&mut encoder);
        encoder.finish()
    }

    /// Reads what [`RuntimeMessage::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a message that this build
    /// knows, or more than a round may send.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "runtime message";
        wire::whole(bytes, what, MESSAGES_BYTES_MAX, |d| Self::read(d, what))
    }
}

wire_struct! {
    /// What [`StakingMessage::Transfer`] gave.
    ///
    /// Source of this and the next: Oasis Core `staking/api`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TransferResult as "transfer result", at most EVENT_BYTES_MAX, {
        /// From whom.
        from: Address = always "from",
        /// To whom.
        to: Address = always "to",
        /// How much.
        amount: Quantity = always "amount",
    }
}

wire_struct! {
    /// What [`StakingMessage::Withdraw`] gave.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct WithdrawResult as "withdraw result", at most EVENT_BYTES_MAX, {
        /// From whom.
        owner: Address = always "owner",
        /// To whom.
        beneficiary: Address = always "beneficiary",
        /// How much may still be withdrawn.
        allowance: Quantity = always "allowance",
        /// How much was withdrawn.
        amount_change: Quantity = always "amount_change",
    }
}

wire_struct! {
    /// What [`StakingMessage::ReclaimEscrow`] gave. [`StakingMessage::AddEscrow`] gives a
    /// [`super::staking::AddEscrowEvent`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ReclaimEscrowResult as "reclaim result", at most EVENT_BYTES_MAX, {
        /// Whose it is.
        owner: Address = always "owner",
        /// To whom it was delegated.
        escrow: Address = always "escrow",
        /// How much.
        amount: Quantity = always "amount",
        /// Shares of the debonding pool that were given for it.
        debonding_shares: Quantity = always "debonding_shares",
        /// Shares of the active pool that are left.
        remaining_shares: Quantity = always "remaining_shares",
        /// When it is paid out.
        debond_end_time: Epoch = always "debond_end_time",
    }
}

wire_struct! {
    /// Argument of [`super::SUBMIT_MESSAGE`]: a message to a runtime.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SubmitMessage as "incoming message", at most TRANSACTION_BYTES_MAX, {
        /// The runtime.
        id: RuntimeId = always "id",
        /// The sender's own number for it.
        tag: u64 = unless_empty "tag",
        /// What the runtime gets for taking it up, in base units.
        fee: Quantity = unless_empty "fee",
        /// What the runtime gets with it, in base units.
        tokens: Quantity = unless_empty "tokens",
        /// The runtime's own format.
        data: Blob = unless_empty "data",
    }
}

/// Most bytes of an encoded event of this module.
const EVENT_BYTES_MAX: usize = 4096;

wire_struct! {
    /// A message to a runtime waits in the root's queue.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MessageQueuedEvent as "queued message", at most EVENT_BYTES_MAX, {
        /// The runtime.
        runtime_id: RuntimeId = always "runtime_id",
        /// Number of the message among all that the runtime ever got.
        id: u64 = always "id",
        /// The account that sent it.
        caller: Address = always "caller",
        /// The sender's own number for it.
        tag: u64 = unless_empty "tag",
    }
}

wire_struct! {
    /// A round of the runtime has taken up a message.
    ///
    /// Source: Oasis Core `roothash/api` (`InMsgProcessedEvent`).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MessageTakenEvent as "taken message", at most EVENT_BYTES_MAX, {
        /// The runtime.
        runtime_id: RuntimeId = always "runtime_id",
        /// Number of the message among all that the runtime ever got.
        id: u64 = always "id",
        /// The round.
        round: u64 = always "round",
        /// The account that sent it.
        caller: Address = always "caller",
        /// The sender's own number for it.
        tag: u64 = unless_empty "tag",
    }
}

wire_struct! {
    /// The root has executed a message of a runtime, or refused it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MessageHandledEvent as "handled message", at most EVENT_BYTES_MAX, {
        /// The runtime.
        runtime_id: RuntimeId = always "runtime_id",
        /// The round that sent it.
        round: u64 = always "round",
        /// Its place among the messages of the round.
        index: u32 = always "index",
        /// Which part of the root refused it; empty if it was executed.
        module: String = unless_empty "module",
        /// The reason within the module; 0 if it was executed.
        code: u32 = unless_empty "code",
    }
}

wire_struct! {
    /// A node was shown to have signed two different things in one round.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EquivocationEvent as "equivocation", at most EVENT_BYTES_MAX, {
        /// The runtime.
        runtime_id: RuntimeId = always "runtime_id",
        /// The round.
        round: u64 = always "round",
        /// The node.
        node_id: PublicKey = always "node_id",
    }
}

wire_struct! {
    /// A primary was judged not to have done its work in the epoch before.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct LivenessFaultEvent as "liveness fault", at most EVENT_BYTES_MAX, {
        /// The runtime.
        runtime_id: RuntimeId = always "runtime_id",
        /// The node.
        node_id: PublicKey = always "node_id",
        /// How often, less the times it was live since.
        failures: u8 = always "failures",
    }
}

wire_choice! {
    /// Something that the roothash service tells beside blocks and commitments.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RoothashEvent as "roothash event" {
        /// A message to a runtime waits.
        MessageQueued(MessageQueuedEvent) = "in_msg_queued",
        /// A message to a runtime was taken up.
        MessageTaken(MessageTakenEvent) = "in_msg_processed",
        /// A message of a runtime was executed or refused.
        MessageHandled(MessageHandledEvent) = "message",
        /// A node signed two different things.
        Equivocation(EquivocationEvent) = "equivocation",
        /// A primary did not do its work.
        LivenessFault(LivenessFaultEvent) = "liveness_fault",
    }
}
