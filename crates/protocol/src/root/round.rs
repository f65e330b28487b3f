//! What the root tells a runtime about a round: the agreed part of its circumstances that only the
//! root knows.

use trilith_params::host::{MESSAGES_BYTES_MAX, MESSAGES_MAX};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, Hash, PublicKey};

use super::{Address, COMMITTEE_MEMBERS_MAX, Quantity};
use crate::wire::{self, Blob, RawItem, Shape, Wire, wire_struct};

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

/// Most bytes of encoded [`RoundResults`]: results are at most as long as their messages and some
/// 256 bytes, and every member of a committee has an entity.
pub const ROUND_RESULTS_BYTES_MAX: usize =
    MESSAGES_BYTES_MAX + MESSAGES_MAX * 512 + 2 * COMMITTEE_MEMBERS_MAX * 34 + 1024;

wire_struct! {
    /// What became of a message of a runtime to the root.
    ///
    /// Source: Oasis Core `roothash/api` (`MessageEvent`).
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct MessageResult as "message result", at most ROUND_RESULTS_BYTES_MAX, {
        /// Which part of the root refused it; empty if it was executed.
        module: String = unless_empty "module",
        /// The reason within the module; 0 if it was executed.
        code: u32 = unless_empty "code",
        /// Its place among the messages of the round.
        index: u32 = unless_empty "index",
        /// What it gave, in a form of its own for each kind of message; nothing if it was refused.
        result: RawItem = unless_empty "result",
    }
}

wire_struct! {
    /// What the root made of a round: the next round of the runtime sees it.
    ///
    /// Source: Oasis Core `roothash/api` (`RoundResults`).
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RoundResults as "round results", at most ROUND_RESULTS_BYTES_MAX, {
        /// What became of the messages, in order.
        messages: Vec<MessageResult> = unless_empty "messages",
        /// The entities of the members that voted for the outcome, one for each of them.
        good_compute_entities: Vec<PublicKey> = unless_empty "good_compute_entities",
        /// The entities of the members that voted for another one.
        bad_compute_entities: Vec<PublicKey> = unless_empty "bad_compute_entities",
    }
}

wire_struct! {
    /// How the members of a committee worked in an epoch. Every list has one number for each
    /// member, primaries first, in committee order.
    ///
    /// Source: Oasis Core `roothash/api` (`LivenessStatistics`).
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct LivenessStatistics as "liveness statistics", at most 64 * COMMITTEE_MEMBERS_MAX, {
        /// Rounds that gave an outcome.
        total_rounds: u64 = always "total_rounds",
        /// Rounds in which the member voted for the outcome.
        live_rounds: Vec<u64> = always "good_rounds",
        /// Rounds that gave the outcome which the member proposed as first scheduler.
        finalized_proposals: Vec<u64> = always "finalized_proposals",
        /// Rounds in which the member was first scheduler and that failed, or gave the outcome that
        /// another one proposed.
        missed_proposals: Vec<u64> = always "missed_proposals",
    }
}

impl LivenessStatistics {
    /// The start of an epoch with a committee of `members`.
    pub fn new(members: usize) -> Self {
        Self {
            total_rounds: 0,
            live_rounds: vec![0; members],
            finalized_proposals: vec![0; members],
            missed_proposals: vec![0; members],
        }
    }
}

/// The roots of a past round, which stay provable in the root's state.
///
/// Source: Oasis Core `roothash/api` (`RoundRoots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRoots {
    /// Root of the state after the round.
    pub state_root: Hash,
    /// Root of the round's inputs and outputs.
    pub io_root: Hash,
}

impl RoundRoots {
    /// Canonical encoding: `[state root, I/O root]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2);
        encoder.bytes(self.state_root.as_bytes());
        encoder.bytes(self.io_root.as_bytes());
        encoder.finish()
    }

    /// Reads what [`RoundRoots::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of two roots.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "round roots", 69, |decoder| {
            if decoder.array("round roots", 2)? != 2 {
                return Err(DecodeError::Field("round roots"));
            }
            Ok(Self {
                state_root: wire::hash(decoder, "state root")?,
                io_root: wire::hash(decoder, "io root")?,
            })
        })
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
        /// What the root made of the newest round that gave an outcome; `None` before the first.
        results: Option<RoundResults> = unless_empty "results",
    }
}
