//! Parts of blocks as bytes: what a round did, in few bytes that are made and read at little cost.
//!
//! A busy round writes thousands of records, which are hashed, logged and kept. Each stands for
//! itself: it is packed where its transaction ran, whatever else runs at the time, and a reader
//! takes the records that it wants and steps over the others. Numbers are LEB128; byte strings, and
//! lists, have their length before them.
//!
//! ```text
//! part     version (2) ‖ slot ‖ round ‖ time ‖ index in the slot of the first record ‖ records
//! record   length ‖ flags ‖ transaction ‖ [signature 64] ‖ [status] ‖ work ‖ locked, 2 numbers ‖
//!          static keys ‖ loaded writable ‖ number of other keys ‖ other keys 32 each ‖
//!          fee ‖ units ‖ loaded bytes ‖ lines ‖ balances before ‖ balances after ‖ written ‖
//!          [inner] ‖ [tokens before ‖ tokens after] ‖ [returned]
//! line     kind ‖ what the kind says ([`line`])
//! key      place + 1 among the keys of the record, then those that it wrote out before; or
//!          0 ‖ 32 bytes
//! balance  after: what it is more than before, wrapping, with the sign in the last bit
//! token    account ‖ decimals ‖ mint ‖ owner ‖ program ‖ amount; after: 1 ‖ amount where all else
//!          is that of the same place before, or 0 ‖ token
//! ```
//!
//! Flags say what is left out: the signature where it is the first of the transaction, keys that
//! stand in the transaction, and what is empty. Slot and index of a record follow from the part.
//! What stands first in a record, up to its keys, is what is asked of many records at once
//! ([`Head`]).
//!
//! Invariant: a part has one form; [`PackedPart::unpack`] takes no other. Unpacking allocates at
//! most some hundred times the bytes it is given: the items of no list take less than a byte, and
//! none comes to more than a token account or the line of a program.

mod line;
mod read;
mod write;

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use trilith_protocol::Fault;

pub(crate) use self::read::Head;
use self::read::Unpacker;
pub(crate) use self::write::{Entry, Names, pack_record};
use crate::record::{BlockPart, TransactionRecord};

/// The version of the form.
const VERSION: u8 = 2;
/// Most bytes of what stands before the records: the version, and five numbers of at most 10 bytes.
const HEAD_BYTES_MAX: usize = 51;

/// The signature is the first of the transaction.
const SIGNED: u8 = 1;
/// The status is an error, which is written.
const FAILED: u8 = 2;
/// The first keys are those in the transaction.
const NAMED: u8 = 4;
/// There are inner instructions.
const INNER: u8 = 8;
/// There are token accounts.
const TOKENS: u8 = 16;
/// There is return data.
const RETURNED: u8 = 32;

/// Why bytes are not a part of a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PackedError {
    /// They end too early.
    #[error("a part of a block ends within a field")]
    Short,
    /// They are of a version that this build does not know.
    #[error("a part of a block has version {0}, this build knows {VERSION}")]
    Version(u8),
    /// A field has no such value.
    #[error("a part of a block has a malformed {0}")]
    Field(&'static str),
    /// They say the same as other bytes, in another form.
    #[error("a part of a block is not in its one form")]
    Form,
}

impl From<PackedError> for Fault {
    fn from(error: PackedError) -> Self {
        Self(format!("the leaf of a part of a block is damaged: {error}"))
    }
}

/// What a transaction says of itself in the forms that begin with their signatures: the first
/// signature, and the keys of the message.
fn named(transaction: &[u8]) -> Option<(&[u8; 64], &[[u8; 32]])> {
    let (signatures, rest) = transaction.split_first()?;
    let count = usize::from(*signatures);
    if !(1..0x80).contains(&count) {
        return None;
    }
    let signature = rest.first_chunk::<64>()?;
    let message = rest.get(count * 64..)?;
    // A message of version 0 has a byte of its own before the head of three bytes.
    let message = message.strip_prefix(&[0x80]).unwrap_or(message);
    let (keys, rest) = message.get(3..)?.split_first()?;
    let count = usize::from(*keys);
    if !(1..0x80).contains(&count) {
        return None;
    }
    let (keys, _) = rest.get(..count * 32)?.as_chunks::<32>();
    Some((signature, keys))
}

/// A part of a block as bytes, of which only what stands before the records was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedPart {
    bytes: Vec<u8>,
    pub(crate) slot: u64,
    pub(crate) round: u64,
    pub(crate) time: u64,
    first: u32,
    count: usize,
    /// Where the records begin.
    records: usize,
}

/// What a part is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) slot: u64,
    pub(crate) round: u64,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// Position in the slot of its first record. It is 0 in a part without records.
    pub(crate) first: u32,
}

impl PackedPart {
    /// The part of these records, each as [`pack_record`] made it.
    pub(crate) fn new<'r>(of: Of, records: impl Iterator<Item = &'r [u8]> + Clone) -> Self {
        let (mut count, mut len) = (0usize, 0usize);
        for record in records.clone() {
            count += 1;
            len += record.len();
        }
        let first = if count == 0 { 0 } else { of.first };
        let mut bytes = Vec::with_capacity(HEAD_BYTES_MAX + len);
        bytes.push(VERSION);
        for number in [of.slot, of.round, of.time, first.into(), count as u64] {
            write::number(&mut bytes, number);
        }
        let start = bytes.len();
        for record in records {
            bytes.extend_from_slice(record);
        }
        Self {
            bytes,
            slot: of.slot,
            round: of.round,
            time: of.time,
            first,
            count,
            records: start,
        }
    }

    /// Reads what stands before the records. Those are read when they are asked for.
    ///
    /// # Errors
    /// [`PackedError`] if these bytes begin no part.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, PackedError> {
        let mut input = Unpacker::new(&bytes);
        let version = input.byte()?;
        if version != VERSION {
            return Err(PackedError::Version(version));
        }
        let (slot, round, time) = (input.number()?, input.number()?, input.number()?);
        let first = input.small("index")?;
        let count = input.small("number of records")?;
        let records = bytes.len() - input.left();
        Ok(Self {
            slot,
            round,
            time,
            first,
            count,
            records,
            bytes,
        })
    }

    /// How many records it has.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The bytes of each record, without their length.
    fn bodies(&self) -> impl Iterator<Item = Result<&[u8], PackedError>> {
        let mut input = Unpacker::new(&self.bytes[self.records..]);
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let body = input.bytes();
            if body.is_err() {
                // However many the part claims to have.
                left = 0;
            }
            Some(body)
        })
    }

    /// The records as far as their heads, one after the other. After one that is cut off there is
    /// none.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Result<Head<'_>, PackedError>> {
        self.bodies().map(|body| Head::read(body?))
    }

    /// The record of a head of this part at a position in it.
    ///
    /// # Errors
    /// [`PackedError`] if it is damaged.
    pub(crate) fn record_of(
        &self,
        position: usize,
        head: &Head<'_>,
    ) -> Result<TransactionRecord, PackedError> {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        head.record(self.slot, self.first.saturating_add(position))
    }

    /// The record at a position; `None` beyond the last.
    ///
    /// # Errors
    /// [`PackedError`] if it is damaged, or one before it is.
    pub(crate) fn record(&self, position: usize) -> Result<Option<TransactionRecord>, PackedError> {
        let Some(body) = self.bodies().nth(position) else {
            return Ok(None);
        };
        self.record_of(position, &Head::read(body?)?).map(Some)
    }

    /// All of it.
    ///
    /// # Errors
    /// [`PackedError`] if the bytes are not the one form of a part.
    pub(crate) fn unpack(&self) -> Result<BlockPart, PackedError> {
        // Not allocated ahead: a damaged part may claim any number.
        let mut transactions = Vec::new();
        for (position, head) in self.heads().enumerate() {
            transactions.push(self.record_of(position, &head?)?);
        }
        let part = BlockPart {
            slot: self.slot,
            round: self.round,
            time: self.time,
            transactions,
        };
        if Self::pack(&part).bytes != self.bytes {
            return Err(PackedError::Form);
        }
        Ok(part)
    }

    /// The bytes of a part. Its records are taken to stand in its slot one after the other.
    pub(crate) fn pack(part: &BlockPart) -> Self {
        let (mut names, mut records) = (Names::default(), Vec::new());
        let mut ends = Vec::with_capacity(part.transactions.len());
        for record in &part.transactions {
            let written = record.written.iter();
            let logs = record.logs.iter().map(String::as_str);
            pack_record(&Entry::of(record), logs, written, &mut names, &mut records);
            ends.push(records.len());
        }
        let of = Of {
            slot: part.slot,
            round: part.round,
            time: part.time,
            first: part.transactions.first().map_or(0, |record| record.index),
        };
        let (mut start, records) = (0, &records);
        let records = ends.iter().map(move |end| {
            let record = &records[start..*end];
            start = *end;
            record
        });
        Self::new(of, records)
    }
}

/// The first record of a slot that [`pack_record`] made, by itself.
///
/// # Errors
/// [`PackedError`] if it is damaged.
pub(crate) fn unpack_record(record: &[u8], slot: u64) -> Result<TransactionRecord, PackedError> {
    Head::read(Unpacker::new(record).bytes()?)?.record(slot, 0)
}

impl Serialize for PackedPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for PackedPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = PackedPart;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the packed form of a part of a block")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<PackedPart, E> {
                PackedPart::read(bytes.to_vec()).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl Serialize for BlockPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PackedPart::pack(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BlockPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = PackedPart::deserialize(deserializer)?;
        packed.unpack().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
