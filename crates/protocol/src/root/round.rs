//! What the root tells a runtime about a round: the agreed part of its circumstances that only the
//! root knows.

use trilith_types::Epoch;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use super::{Address, Quantity};
use crate::wire::{Blob, Shape, Wire, wire_struct};

/// Most bytes of an encoded [`FromRoot`]: a full queue of incoming messages and the results of the
/// most outgoing ones.
pub const FROM_ROOT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The name of a feature: 32 bytes, on the account engine the address of its feature account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureId(pub [u8; 32]);

impl Wire for FeatureId {
    fn put(&self, encoder: &mut Encoder) {
        encoder.bytes(&self.0);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        decoder.bytes_exact(what).map(Self)
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn shape() -> Shape {
        Shape::Exact(32)
    }
}

wire_struct! {
    /// A feature that the root's governance approved and whose epoch has come.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ActiveFeature as "active feature", at most 128, {
        /// Which.
        id: FeatureId = always "id",
        /// The first root epoch in which it is active.
        since: Epoch = always "since",
    }
}

wire_struct! {
    /// A message to a runtime that waits in the root's queue.
    ///
    /// Source: Oasis Core `roothash/api/message` (`IncomingMessage`).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct IncomingMessage as "incoming message", at most FROM_ROOT_BYTES_MAX, {
        /// Number of the message among all that the runtime ever got.
        id: u64 = always "id",
        /// The account that sent it.
        caller: Address = always "caller",
        /// The sender's own number for it.
        tag: u64 = unless_empty "tag",
        /// What the runtime got for taking it up, in base units.
        fee: Quantity = unless_empty "fee",
        /// What the runtime got with it, in base units.
        tokens: Quantity = unless_empty "tokens",
        /// The runtime's own format.
        data: Blob = unless_empty "data",
    }
}

wire_struct! {
    /// What the root says of a round. It is the same on every node that has executed the height
    /// the round's proposal names.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct FromRoot as "news from the root", at most FROM_ROOT_BYTES_MAX, {
        /// Active features, ascending by identifier.
        features: Vec<ActiveFeature> = unless_empty "features",
        /// Messages that wait for the runtime, oldest first.
        incoming: Vec<IncomingMessage> = unless_empty "incoming",
    }
}
