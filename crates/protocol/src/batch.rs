//! Ordered inputs of a round.

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, TimeNanos};

/// Most inputs a batch of any runtime may have; descriptors set lower limits.
pub const INPUTS_MAX: usize = 65_536;
/// Most bytes of one input of any runtime; descriptors set lower limits.
pub const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One input: the bytes of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The transaction as its sender encoded it.
    pub bytes: Vec<u8>,
}

impl Input {
    /// The hash by which blocks and receipts name the input.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

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
            inputs.push(Input {
                bytes: decoder.bytes("input", INPUT_BYTES_MAX)?.to_vec(),
            });
        }
        decoder.finish()?;
        Ok(Self { time, inputs })
    }

    /// The hash that a proposal signs.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}
