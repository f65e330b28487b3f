//! The header of a runtime block, in Oasis Core's exact encoding.
//!
//! A block of a runtime is its header: inputs and outputs stand in the I/O tree whose root the
//! header names. Only the root writes headers. The hash of a header is the hash of its canonical
//! encoding, a map in which every field is present, zero or not.
//!
//! Source: Oasis Core `roothash/api/block`.

use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Hash, Round, RuntimeId};

use crate::wire::{self, put};

/// Version of the header format that the root writes. Source: Oasis Core `roothash/api/block`
/// (new blocks have version 0).
pub const HEADER_VERSION: u16 = 0;

/// Most bytes of an encoded header: every field at its longest takes 396.
pub const HEADER_BYTES_MAX: usize = 512;

/// Why a round ended. The numbers are those of the encoding; 0 is invalid and stands in no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum HeaderType {
    /// Executors agreed on an outcome.
    Normal = 1,
    /// The round failed; the state is that of the block before.
    RoundFailed = 2,
    /// A new epoch began; the state is that of the block before.
    EpochTransition = 3,
    /// The runtime has no committee; the state is that of the block before.
    Suspended = 4,
}

impl HeaderType {
    /// The type with this number, if there is one.
    pub fn from_number(number: u64) -> Option<Self> {
        [
            Self::Normal,
            Self::RoundFailed,
            Self::EpochTransition,
            Self::Suspended,
        ]
        .into_iter()
        .find(|kind| *kind as u64 == number)
    }
}

/// Header of a runtime block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Format of the header, [`HEADER_VERSION`] today.
    pub version: u16,
    /// The runtime.
    pub namespace: RuntimeId,
    /// Number of the block; 0 is the genesis block.
    pub round: Round,
    /// Agreed time of the root block that finalised the round, in whole seconds since 1970.
    pub timestamp: u64,
    /// Why the round ended.
    pub header_type: HeaderType,
    /// Hash of the header before; [`Hash::EMPTY`] in the genesis block.
    pub previous_hash: Hash,
    /// Root of the tree of inputs and outputs; [`Hash::EMPTY`] unless the type is `Normal`.
    pub io_root: Hash,
    /// Root of the state after the round.
    pub state_root: Hash,
    /// Hash of the messages the runtime sent to the root.
    pub messages_hash: Hash,
    /// Hash of the incoming messages the runtime took up.
    pub in_msgs_hash: Hash,
}

impl BlockHeader {
    /// The block a runtime starts from.
    pub fn genesis(namespace: RuntimeId, timestamp: u64, state_root: Hash) -> Self {
        Self {
            version: HEADER_VERSION,
            namespace,
            round: Round(0),
            timestamp,
            header_type: HeaderType::Normal,
            previous_hash: Hash::EMPTY,
            io_root: Hash::EMPTY,
            state_root,
            messages_hash: Hash::EMPTY,
            in_msgs_hash: Hash::EMPTY,
        }
    }

    /// A block after `self` that changes no state.
    pub fn empty_child(&self, timestamp: u64, header_type: HeaderType) -> Self {
        Self {
            version: HEADER_VERSION,
            namespace: self.namespace,
            round: self.round.next(),
            timestamp,
            header_type,
            previous_hash: self.hash(),
            io_root: Hash::EMPTY,
            state_root: self.state_root,
            messages_hash: Hash::EMPTY,
            in_msgs_hash: Hash::EMPTY,
        }
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with_type(self.header_type as u64)
    }

    fn encode_with_type(&self, header_type: u64) -> Vec<u8> {
        MapBuilder::new()
            .field("version", put::uint(self.version.into()))
            .field("namespace", put::bytes(self.namespace.as_bytes()))
            .field("round", put::uint(self.round.0))
            .field("timestamp", put::uint(self.timestamp))
            .field("header_type", put::uint(header_type))
            .field("previous_hash", put::bytes(self.previous_hash.as_bytes()))
            .field("io_root", put::bytes(self.io_root.as_bytes()))
            .field("state_root", put::bytes(self.state_root.as_bytes()))
            .field("messages_hash", put::bytes(self.messages_hash.as_bytes()))
            .field("in_msgs_hash", put::bytes(self.in_msgs_hash.as_bytes()))
            .finish()
    }

    /// Reads what [`BlockHeader::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a header or longer than
    /// [`HEADER_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "block header", HEADER_BYTES_MAX, Self::read)
    }

    pub(crate) fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut version, mut namespace, mut round, mut timestamp) = (None, None, None, None);
        let (mut header_type, mut previous_hash, mut io_root) = (None, None, None);
        let (mut state_root, mut messages_hash, mut in_msgs_hash) = (None, None, None);
        decoder.fields("block header", 10, |name, d| {
            match name {
                "version" => version = Some(wire::narrow(d, "version")?),
                "namespace" => namespace = Some(wire::runtime(d, "namespace")?),
                "round" => round = Some(Round(d.uint()?)),
                "timestamp" => timestamp = Some(d.uint()?),
                "header_type" => header_type = HeaderType::from_number(d.uint()?),
                "previous_hash" => previous_hash = Some(wire::hash(d, "previous_hash")?),
                "io_root" => io_root = Some(wire::hash(d, "io_root")?),
                "state_root" => state_root = Some(wire::hash(d, "state_root")?),
                "messages_hash" => messages_hash = Some(wire::hash(d, "messages_hash")?),
                "in_msgs_hash" => in_msgs_hash = Some(wire::hash(d, "in_msgs_hash")?),
                _ => return Err(DecodeError::Field("block header")),
            }
            Ok(())
        })?;
        Ok(Self {
            version: wire::required(version, "version")?,
            namespace: wire::required(namespace, "namespace")?,
            round: wire::required(round, "round")?,
            timestamp: wire::required(timestamp, "timestamp")?,
            header_type: wire::required(header_type, "header_type")?,
            previous_hash: wire::required(previous_hash, "previous_hash")?,
            io_root: wire::required(io_root, "io_root")?,
            state_root: wire::required(state_root, "state_root")?,
            messages_hash: wire::required(messages_hash, "messages_hash")?,
            in_msgs_hash: wire::required(in_msgs_hash, "in_msgs_hash")?,
        })
    }

    /// The hash by which commitments and the next header name this block.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The zero value of every field. Its hash in Oasis Core's `header_test.go` (commit f9f1fdc60)
    /// is taken over a header whose type is 0, which no block of ours can have.
    #[test]
    fn the_published_hash_of_the_zero_header() {
        let zero = Hash::from_bytes([0; 32]);
        let header = BlockHeader {
            version: 0,
            namespace: RuntimeId::from_bytes([0; 32]),
            round: Round(0),
            timestamp: 0,
            header_type: HeaderType::Normal,
            previous_hash: zero,
            io_root: zero,
            state_root: zero,
            messages_hash: zero,
            in_msgs_hash: zero,
        };
        let encoded = header.encode_with_type(0);
        assert_eq!(
            Hash::of(&encoded).to_string(),
            "677ad1a6b9f5e99ed94e5d598b6f92a4641a5f952f2d753b2a6122b6dceeb792"
        );
        assert_eq!(
            BlockHeader::decode(&encoded),
            Err(DecodeError::Field("header_type"))
        );
        assert!(encoded.len() <= HEADER_BYTES_MAX);
    }

    #[test]
    fn an_empty_block_keeps_the_state_and_names_its_parent() {
        let genesis = BlockHeader::genesis(RuntimeId::test(1), 7, Hash::of(b"state"));
        let failed = genesis.empty_child(9, HeaderType::RoundFailed);
        assert_eq!(failed.round, Round(1));
        assert_eq!(failed.state_root, genesis.state_root);
        assert_eq!(failed.previous_hash, genesis.hash());
        assert_eq!(BlockHeader::decode(&failed.encode()), Ok(failed));
    }
}
