//! Questions to the root and their answers.

use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Epoch, Height, RuntimeId, TimeNanos};

use super::{Committee, read_variant, variant};
use crate::BlockHeader;
use crate::wire::{self, put};

/// Most bytes of an encoded question.
pub const QUERY_BYTES_MAX: usize = 256;

/// A question to the root's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootQuery {
    /// Who executes this runtime?
    Committee(RuntimeId),
    /// What is the newest block of this runtime?
    LatestBlock(RuntimeId),
    /// Which epoch is it?
    Epoch,
    /// Which height was executed last?
    Tip,
}

impl RootQuery {
    /// Canonical encoding: `{kind: value}`.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Committee(runtime) => {
                MapBuilder::new().field("committee", put::bytes(runtime.as_bytes()))
            }
            Self::LatestBlock(runtime) => {
                MapBuilder::new().field("latest_block", put::bytes(runtime.as_bytes()))
            }
            Self::Epoch => MapBuilder::new().field("epoch", |encoder| {
                encoder.null();
            }),
            Self::Tip => MapBuilder::new().field("tip", |encoder| {
                encoder.null();
            }),
        }
        .finish()
    }

    /// Reads what [`RootQuery::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a question.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "query", QUERY_BYTES_MAX, |decoder| {
            read_variant(decoder, "query", |name, d| match name {
                "committee" => Ok(Self::Committee(wire::runtime(d, "runtime")?)),
                "latest_block" => Ok(Self::LatestBlock(wire::runtime(d, "runtime")?)),
                "epoch" if d.null() => Ok(Self::Epoch),
                "tip" if d.null() => Ok(Self::Tip),
                _ => Err(DecodeError::Field("query")),
            })
        })
    }
}

/// The answer to a [`RootQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootAnswer {
    /// The committee; `None` if the runtime has none or is unknown.
    Committee(Option<Committee>),
    /// The newest block; `None` if the runtime is unknown.
    LatestBlock(Option<BlockHeader>),
    /// The epoch and its first height.
    Epoch {
        /// The epoch.
        epoch: Epoch,
        /// Its first height.
        since: Height,
    },
    /// The newest height.
    Tip {
        /// The height.
        height: Height,
        /// Its agreed time.
        time: TimeNanos,
        /// The newest randomness the root was given; the chain context before the first.
        randomness: [u8; 32],
    },
}

impl RootAnswer {
    /// Canonical encoding: `{kind: value}`, null where there is none.
    pub fn encode(&self) -> Vec<u8> {
        const NULL: &[u8] = &[0xf6];
        match self {
            Self::Committee(None) => variant("committee", NULL),
            Self::Committee(Some(committee)) => variant("committee", &committee.encode()),
            Self::LatestBlock(None) => variant("latest_block", NULL),
            Self::LatestBlock(Some(header)) => variant("latest_block", &header.encode()),
            Self::Epoch { epoch, since } => {
                let map = MapBuilder::new()
                    .field("epoch", put::uint(epoch.0))
                    .field("since", put::uint(since.0));
                variant("epoch", &map.finish())
            }
            Self::Tip {
                height,
                time,
                randomness,
            } => {
                let map = MapBuilder::new()
                    .field("height", put::uint(height.0))
                    .field("time", put::uint(time.0))
                    .field("randomness", put::bytes(randomness));
                variant("tip", &map.finish())
            }
        }
    }

    /// Reads what [`RootAnswer::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "answer", super::EVENT_BYTES_MAX, |decoder| {
            read_variant(decoder, "answer", |name, d| match name {
                "committee" if d.null() => Ok(Self::Committee(None)),
                "committee" => Ok(Self::Committee(Some(Committee::read(d)?))),
                "latest_block" if d.null() => Ok(Self::LatestBlock(None)),
                "latest_block" => Ok(Self::LatestBlock(Some(BlockHeader::read(d)?))),
                "epoch" => Self::read_epoch(d),
                "tip" => Self::read_tip(d),
                _ => Err(DecodeError::Field("answer")),
            })
        })
    }

    fn read_epoch(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut epoch, mut since) = (None, None);
        decoder.fields("epoch", 2, |name, d| {
            match name {
                "epoch" => epoch = Some(Epoch(d.uint()?)),
                "since" => since = Some(Height(d.uint()?)),
                _ => return Err(DecodeError::Field("epoch")),
            }
            Ok(())
        })?;
        Ok(Self::Epoch {
            epoch: wire::required(epoch, "epoch")?,
            since: wire::required(since, "since")?,
        })
    }

    fn read_tip(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut height, mut time, mut randomness) = (None, None, None);
        decoder.fields("tip", 3, |name, d| {
            match name {
                "height" => height = Some(Height(d.uint()?)),
                "time" => time = Some(TimeNanos(d.uint()?)),
                "randomness" => randomness = Some(d.bytes_exact("randomness")?),
                _ => return Err(DecodeError::Field("tip")),
            }
            Ok(())
        })?;
        Ok(Self::Tip {
            height: wire::required(height, "height")?,
            time: wire::required(time, "time")?,
            randomness: wire::required(randomness, "randomness")?,
        })
    }
}
