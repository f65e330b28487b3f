//! What a checkpoint is of, and which chunks it has.
//!
//! Source: Oasis Core `storage/mkvs/checkpoint`, `Metadata`; `storage/mkvs/node`, `Root`;
//! `common/namespace`.

use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{Hash, RuntimeId};

use super::{CHUNKS_MAX, CheckpointError, METADATA_BYTES_MAX};

/// The version of the format. Its chunks are proofs of version 0.
const VERSION: u64 = 1;

/// The flag bits of a namespace that may be set: test runtime and key manager.
const NAMESPACE_FLAGS: u8 = 0b1100_0000;

/// What a tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootType {
    /// The state of a runtime; 1 on the wire.
    State,
    /// The inputs and outputs of a round; 2 on the wire.
    Io,
}

impl RootType {
    fn number(self) -> u64 {
        match self {
            Self::State => 1,
            Self::Io => 2,
        }
    }

    fn of_number(found: u64) -> Result<Self, CheckpointError> {
        match found {
            1 => Ok(Self::State),
            2 => Ok(Self::Io),
            _ => Err(CheckpointError::RootType { found }),
        }
    }
}

/// Which tree a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The runtime.
    pub namespace: RuntimeId,
    /// The round after which the tree was so.
    pub version: u64,
    /// What the tree holds.
    pub root_type: RootType,
    /// The root hash of the tree.
    pub hash: Hash,
}

impl Root {
    fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("ns", |e| {
                e.bytes(self.namespace.as_bytes());
            })
            .field("version", |e| {
                e.uint(self.version);
            })
            .field("root_type", |e| {
                e.uint(self.root_type.number());
            })
            .field("hash", |e| {
                e.bytes(self.hash.as_bytes());
            })
            .finish()
    }
}

/// The list of a checkpoint's chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Which tree it is of.
    pub root: Root,
    /// The digests of the chunks, at least one, at most [`CHUNKS_MAX`].
    pub chunks: Vec<Hash>,
}

impl Metadata {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("version", |e| {
                e.uint(VERSION);
            })
            .field("root", |e| {
                e.raw(&self.root.encode());
            })
            .field("chunks", |e| {
                encode_chunks(e, &self.chunks);
            })
            .finish()
    }

    /// The digest that identifies the checkpoint: that of the canonical encoding.
    pub fn digest(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// Reads metadata. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`CheckpointError`] if the bytes are too many, not the canonical encoding of metadata of
    /// version 1, name a reserved kind of namespace, or list no chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() > METADATA_BYTES_MAX {
            return Err(CheckpointError::MetadataTooLong {
                len: bytes.len(),
                limit: METADATA_BYTES_MAX,
            });
        }
        let mut decoder = Decoder::new(bytes);
        let (mut version, mut root, mut chunks) = (None, None, None);
        decoder.fields("metadata", 3, |name, decoder| {
            match name {
                "version" => version = Some(decoder.uint()?),
                "root" => root = Some(RawRoot::decode(decoder)?),
                "chunks" => chunks = Some(decode_chunks(decoder)?),
                _ => return Err(DecodeError::Field("metadata")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        match version.ok_or(DecodeError::Field("version"))? {
            VERSION => {}
            found => return Err(CheckpointError::Version { found }),
        }
        let chunks = chunks.ok_or(DecodeError::Field("chunks"))?;
        if chunks.is_empty() {
            return Err(CheckpointError::NoChunks);
        }
        let root = root.ok_or(DecodeError::Field("root"))?.check()?;
        Ok(Self { root, chunks })
    }
}

/// A root as it stands in the bytes.
struct RawRoot {
    namespace: [u8; 32],
    version: u64,
    root_type: u64,
    hash: [u8; 32],
}

impl RawRoot {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut namespace, mut version, mut root_type, mut hash) = (None, None, None, None);
        decoder.fields("root", 4, |name, decoder| {
            match name {
                "ns" => namespace = Some(decoder.bytes_exact("ns")?),
                "version" => version = Some(decoder.uint()?),
                "root_type" => root_type = Some(decoder.uint()?),
                "hash" => hash = Some(decoder.bytes_exact("hash")?),
                _ => return Err(DecodeError::Field("root")),
            }
            Ok(())
        })?;
        Ok(Self {
            namespace: namespace.ok_or(DecodeError::Field("ns"))?,
            version: version.ok_or(DecodeError::Field("version"))?,
            root_type: root_type.ok_or(DecodeError::Field("root_type"))?,
            hash: hash.ok_or(DecodeError::Field("hash"))?,
        })
    }

    fn check(self) -> Result<Root, CheckpointError> {
        let [first, reserved @ ..] = &self.namespace[..8] else {
            return Err(DecodeError::Field("ns").into());
        };
        if first & !NAMESPACE_FLAGS != 0 || reserved.iter().any(|byte| *byte != 0) {
            return Err(DecodeError::Field("ns").into());
        }
        Ok(Root {
            namespace: RuntimeId::from_bytes(self.namespace),
            version: self.version,
            root_type: RootType::of_number(self.root_type)?,
            hash: Hash::from_bytes(self.hash),
        })
    }
}

fn encode_chunks(encoder: &mut Encoder, chunks: &[Hash]) {
    encoder.array(chunks.len());
    for chunk in chunks {
        encoder.bytes(chunk.as_bytes());
    }
}

fn decode_chunks(decoder: &mut Decoder<'_>) -> Result<Vec<Hash>, DecodeError> {
    let count = decoder.array("chunks", CHUNKS_MAX)?;
    // Not allocated ahead: an item may be shorter than a digest.
    let mut chunks = Vec::new();
    for _ in 0..count {
        chunks.push(Hash::from_bytes(decoder.bytes_exact("chunk")?));
    }
    Ok(chunks)
}
