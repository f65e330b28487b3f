//! Ordered inputs of a round.

use std::sync::OnceLock;

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, TimeNanos};

/// Most inputs a batch of any runtime may have; descriptors set lower limits.
pub const INPUTS_MAX: usize = 65_536;
/// Most bytes of one input of any runtime; descriptors set lower limits.
pub const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One input: the bytes of a transaction.
#[derive(Clone, Debug)]
pub struct Input {
    bytes: Vec<u8>,
    /// Its hash, once someone asked: hosts and runtimes both do.
    hash: OnceLock<Hash>,
}

impl Input {
    /// The input of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = OnceLock::new();
        Self { bytes, hash }
    }

    /// The transaction as its sender encoded it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The hash by which blocks and receipts name the input. It is computed once.
    pub fn hash(&self) -> Hash {
        *self.hash.get_or_init(|| Hash::of(&self.bytes))
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Input {}

/// Inputs in the order in which they are executed, with the time that was proposed for the round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The proposed time of the round, which every executor checks against the previous round and
    /// the root's time before executing.
    pub time: TimeNanos,
    /// The inputs.
    pub inputs: Vec<Input>,
}

impl Batch {
    /// Canonical encoding: `[time, [input, …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(self.time.0).array(self.inputs.len());
        for input in &self.inputs {
            encoder.bytes(&input.bytes);
        }
        encoder.finish()
    }

    /// Reads a batch that [`Batch::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are malformed or exceed [`INPUTS_MAX`] or
    /// [`INPUT_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array("batch", 2)? != 2 {
            return Err(DecodeError::Field("batch"));
        }
        let time = TimeNanos(decoder.uint()?);
        let count = decoder.array("inputs", INPUTS_MAX)?;
        let mut inputs = Vec::with_capacity(count);
        for _ in 0..count {
            let bytes = decoder.bytes("input", INPUT_BYTES_MAX)?.to_vec();
            inputs.push(Input::new(bytes));
        }
        decoder.finish()?;
        Ok(Self { time, inputs })
    }

    /// The hash that a proposal signs.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}
