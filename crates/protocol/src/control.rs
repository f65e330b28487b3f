//! What an operator's tool and a node say to each other on the node's control socket.
//!
//! ```text
//! frame   = length of the rest, 4 bytes, big-endian ‖ canonical CBOR
//! request = {query: bytes} | {submit: bytes} | {genesis: {}} | {export: {}} |
//!           {events: {since}} | {status: {}}
//! answer  = {query: {height, answer}} | {receipt: {…}} | {genesis: bytes} | {events: {…}} |
//!           {status: {…}} | {refused: {module, code, message}} | {failed: text}
//! ```
//!
//! The tool sends a request and reads one answer, as often as it likes. Queries, transactions and
//! documents travel as the bytes they are in the root's own forms.
//!
//! Here are formats only. Invariant: a length is compared with the limit before anything of that
//! length is made.

use std::collections::BTreeMap;

use trilith_params::root::{GENESIS_BYTES_MAX, TRANSACTION_BYTES_MAX};
use trilith_types::Hash;
use trilith_types::cbor::DecodeError;

use crate::root::registry::Marker;
use crate::wire::{self, Blob, Wire, wire_choice, wire_struct};

/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// Most bytes of an encoded request: the largest transaction with a frame around it. Own choice:
/// nothing else that is asked is as large.
pub const REQUEST_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 64;

/// Most bytes of an encoded answer: the largest genesis document with a frame around it. Own
/// choice: nothing else that is answered is as large.
pub const ANSWER_BYTES_MAX: usize = GENESIS_BYTES_MAX + 64;

/// About how many bytes of events one answer has: it ends after the height that reaches this. Own
/// choice: read at once, and a height's events alone may be more.
pub const EVENTS_BYTES: usize = 1024 * 1024;

/// Most bytes of a message that says why something was refused or failed; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 1024;

wire_struct! {
    /// Which events are asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventsSince as "events since", at most 64, {
        /// The first height whose events are wanted.
        since: u64 = always "since",
    }
}

wire_choice! {
    /// What a tool asks for.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ControlRequest as "control request" {
        /// An answer of the root's newest state; an encoded [`crate::RootQuery`].
        Query(Blob) = "query",
        /// That a root transaction is taken up; answered once it is in a durable height.
        Submit(Blob) = "submit",
        /// The document the network began with.
        Genesis(Marker) = "genesis",
        /// A document with which another network goes on from the newest state.
        Export(Marker) = "export",
        /// What happened on the root.
        Events(EventsSince) = "events",
        /// How the network stands.
        Status(Marker) = "status",
    }
}

wire_struct! {
    /// What the root's state answers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct QueryAnswer as "query answer", at most ANSWER_BYTES_MAX, {
        /// The height whose state answers.
        height: u64 = always "height",
        /// An encoded [`crate::RootAnswer`].
        answer: Blob = always "answer",
    }
}

wire_struct! {
    /// Why a transaction has no effect.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Refused as "refusal", at most 4096, {
        /// Which part of the root refuses it.
        module: String = always "module",
        /// The reason within the module.
        code: u32 = always "code",
        /// States fact, value and limit.
        message: String = always "message",
    }
}

wire_struct! {
    /// What became of a transaction in its height.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ControlReceipt as "receipt", at most ANSWER_BYTES_MAX, {
        /// The height.
        height: u64 = always "height",
        /// The input's hash.
        transaction: Hash = always "transaction",
        /// Why it failed; null if it did not. Its fee is paid either way.
        failure: Option<Refused> = always "failure",
        /// An encoded list of [`crate::RootEvent`]s.
        events: Blob = unless_empty "events",
    }
}

wire_struct! {
    /// What happened, by height.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EventsAnswer as "events", at most ANSWER_BYTES_MAX, {
        /// By height, an encoded list of [`crate::RootEvent`]s: those of the height, then those of
        /// its transactions, which the node remembers since it started.
        heights: BTreeMap<u64, Blob> = unless_empty "heights",
        /// The height to ask for next.
        next: u64 = always "next",
        /// Events of heights before this one are forgotten.
        kept_since: u64 = always "kept_since",
    }
}

wire_struct! {
    /// How the network stands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StatusAnswer as "status", at most 4096, {
        /// Its name.
        chain: String = always "chain",
        /// Hash of its genesis document.
        chain_context: Hash = always "chain_context",
        /// The newest durable height.
        height: u64 = always "height",
        /// Root of the state after it.
        state_root: Hash = always "state_root",
        /// Its agreed time, in nanoseconds since 1970.
        time: u64 = always "time",
        /// The running epoch.
        epoch: u64 = always "epoch",
        /// Its first height.
        epoch_since: u64 = always "epoch_since",
        /// Heights of an epoch.
        epoch_interval: u64 = always "epoch_interval",
        /// What the node runs, for people.
        software: String = always "software",
    }
}

wire_choice! {
    /// What a node answers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ControlAnswer as "control answer" {
        /// To a query.
        Query(QueryAnswer) = "query",
        /// To a transaction that was taken up.
        Receipt(ControlReceipt) = "receipt",
        /// The document asked for.
        Genesis(Blob) = "genesis",
        /// To a question for events.
        Events(EventsAnswer) = "events",
        /// How the network stands.
        Status(StatusAnswer) = "status",
        /// A transaction was not taken up: it costs nothing and changes nothing.
        Refused(Refused) = "refused",
        /// The request cannot be answered.
        Failed(String) = "failed",
    }
}

impl ControlRequest {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads what [`ControlRequest::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a request, or are more than
    /// [`REQUEST_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "control request", REQUEST_BYTES_MAX, |decoder| {
            Wire::read(decoder, "control request")
        })
    }
}

impl ControlAnswer {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads what [`ControlAnswer::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of an answer, or are more than
    /// [`ANSWER_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "control answer", ANSWER_BYTES_MAX, |decoder| {
            Wire::read(decoder, "control answer")
        })
    }

    /// An answer that says why there is none.
    pub fn failed(message: &str) -> Self {
        Self::Failed(cut(message).to_owned())
    }
}

impl Refused {
    /// A refusal; what is too long is cut.
    pub fn new(module: &str, code: u32, message: &str) -> Self {
        Self {
            module: cut(module).to_owned(),
            code,
            message: cut(message).to_owned(),
        }
    }
}

/// As much of a text as fits a message.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn encoded(value: &impl Wire) -> Vec<u8> {
    let mut encoder = trilith_types::cbor::Encoder::new();
    value.put(&mut encoder);
    encoder.finish()
}

/// The frame of an encoded request or answer; `None` if it is longer than a frame can say.
pub fn frame(encoded: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(encoded.len()).ok()?;
    Some([&length.to_be_bytes(), encoded].concat())
}

/// The length in a frame's first bytes.
///
/// # Errors
/// [`DecodeError::TooLong`] if it is above `limit`.
pub fn frame_length(head: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, DecodeError> {
    let len = u32::from_be_bytes(head);
    match usize::try_from(len) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(DecodeError::TooLong {
            what: "frame",
            at: 0,
            len: len.into(),
            limit: limit as u64,
        }),
    }
}
