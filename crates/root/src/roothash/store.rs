//! Where things of the roothash service stand in the state, beside those in [`crate::state`]. See
//! the service for the table.

use trilith_protocol::root::{
    Evidence, IncomingMessage, LivenessStatistics, RoothashParameters, RoundRoots,
};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, NodeId, Round, RuntimeId};

use crate::state::{Record, record_of_encoded};

pub(super) const PARAMETERS: &[u8] = b"Hp";
const LIVENESS: &[u8] = b"Hl";
const QUEUE: &[u8] = b"Hm";
const MESSAGES: &[u8] = b"Hi";
const EVIDENCE: &[u8] = b"He";
const ROOTS: &[u8] = b"Ha";

/// What stands at a key that says something by being there: a true.
pub(super) const MARK: &[u8] = &[0xf5];

record_of_encoded!(RoothashParameters, "roothash parameters");
record_of_encoded!(LivenessStatistics, "liveness statistics");
record_of_encoded!(IncomingMessage, "incoming message");
record_of_encoded!(RoundRoots, "roots of a round");

pub(super) fn liveness_key(runtime: &RuntimeId) -> Vec<u8> {
    [LIVENESS, runtime.as_bytes()].concat()
}

pub(super) fn queue_key(runtime: &RuntimeId) -> Vec<u8> {
    [QUEUE, runtime.as_bytes()].concat()
}

pub(super) fn messages_prefix(runtime: &RuntimeId) -> Vec<u8> {
    [MESSAGES, runtime.as_bytes()].concat()
}

pub(super) fn message_key(runtime: &RuntimeId, id: u64) -> Vec<u8> {
    [MESSAGES, runtime.as_bytes(), &id.to_be_bytes()].concat()
}

pub(super) fn evidence_prefix(runtime: &RuntimeId) -> Vec<u8> {
    [EVIDENCE, runtime.as_bytes()].concat()
}

pub(super) fn evidence_key(runtime: &RuntimeId, round: Round, node: &NodeId) -> Vec<u8> {
    let hash: Hash = Evidence::hash(node);
    let mut key = evidence_prefix(runtime);
    key.extend_from_slice(&round.0.to_be_bytes());
    key.extend_from_slice(hash.as_bytes());
    key
}

pub(super) fn roots_prefix(runtime: &RuntimeId) -> Vec<u8> {
    [ROOTS, runtime.as_bytes()].concat()
}

pub(super) fn roots_key(runtime: &RuntimeId, round: Round) -> Vec<u8> {
    let mut key = roots_prefix(runtime);
    key.extend_from_slice(&round.0.to_be_bytes());
    key
}

/// The round in a key of evidence or of roots, whose prefix has `skipped` bytes.
pub(super) fn round_of(key: &[u8], skipped: usize) -> Option<Round> {
    let bytes = key.get(skipped..skipped + 8)?;
    bytes
        .try_into()
        .ok()
        .map(|bytes| Round(u64::from_be_bytes(bytes)))
}

/// The numbers of the messages that wait for a runtime: from `oldest` to before `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) oldest: u64,
    pub(super) next: u64,
}

impl Queue {
    /// How many wait.
    pub(super) const fn len(self) -> u64 {
        self.next.saturating_sub(self.oldest)
    }
}

impl Record for Queue {
    const NAME: &'static str = "queue of messages";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(self.oldest).uint(self.next);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array("queue", 2)? != 2 {
            return Err(DecodeError::Field("queue"));
        }
        let (oldest, next) = (decoder.uint()?, decoder.uint()?);
        decoder.finish()?;
        if oldest > next {
            return Err(DecodeError::Field("queue"));
        }
        Ok(Self { oldest, next })
    }
}
