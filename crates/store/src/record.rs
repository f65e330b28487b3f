//! The framing of log and checkpoint files: a file header, then records.
//!
//! ```text
//! file header   magic 8 ‖ id u64 ‖ kind u64 ‖ first sequence u64 ‖ secret 32 ‖ BLAKE3 of these 32,
//!               padded to 128 bytes; numbers are little-endian here and below
//! record        header 64 ‖ pages (4,096 bytes each) ‖ payload (canonical CBOR)
//! record header magic 4 ‖ payload bytes u32 ‖ pages u64 ‖ sequence u64 ‖ durable u64 ‖
//!               body check 16 ‖ head check 16
//! ```
//!
//! A record without pages starts at the next multiple of 64; one with pages starts 64 bytes before
//! a multiple of 4,096, so that its pages can be mapped. The header is never written before what it
//! checks. `sequence` counts records without a gap; `durable` is the last sequence that was known
//! to be on disk when the record was written.
//!
//! Both checks are the first 16 bytes of BLAKE3 keyed with the file's secret: over pages and
//! payload, and over the 48 bytes before the head check. The secret never leaves the node, so that
//! no program can write a page that passes for a record. A check value (rather than a CRC) costs
//! little beside hashing the pages, and detects deliberate changes as well as flipped bits.
//!
//! Invariant: a record that fails its checks although a later header says that it was durable is
//! damage; without such a header it is a tail that a crash tore off.

use trilith_types::PAGE_BYTES;

/// Bytes of the file header, padding included.
pub(crate) const FILE_HEADER_BYTES: u64 = 128;
/// Bytes of a record header, and the alignment of records.
pub(crate) const RECORD_HEADER_BYTES: u64 = 64;
/// Most bytes of a payload: write logs of a round are far below; bounds what a reader allocates.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

const FILE_MAGIC: &[u8; 8] = b"TRISTOR1";
const FILE_CHECKED: usize = 64;
const RECORD_MAGIC: &[u8; 4] = b"TREC";
const RECORD_CHECKED: usize = 48;
const PAGE: u64 = PAGE_BYTES as u64;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A part of the log.
    Log,
    /// A checkpoint.
    Checkpoint,
    /// Fragments of trees and tables of images ([`crate::blob`]).
    Blobs,
}

impl FileKind {
    /// The ending of such a file's name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Checkpoint => "checkpoint",
            Self::Blobs => "blobs",
        }
    }
}

/// What the start of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Number of the file, which is also its name.
    pub(crate) id: u64,
    /// What it is for.
    pub(crate) kind: FileKind,
    /// Sequence of its first record.
    pub(crate) first_sequence: u64,
    /// Key of its check values.
    pub(crate) secret: [u8; 32],
}

impl FileHeader {
    /// The bytes of the header.
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES as usize] {
        let kind: u64 = match self.kind {
            FileKind::Log => 0,
            FileKind::Checkpoint => 1,
            FileKind::Blobs => 2,
        };
        let mut bytes = [0u8; FILE_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&kind.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.secret);
        let check = blake3::hash(&bytes[..FILE_CHECKED]);
        bytes[FILE_CHECKED..FILE_CHECKED + 32].copy_from_slice(check.as_bytes());
        bytes
    }

    /// The header in `bytes`, or `None` if it is not a whole one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FILE_HEADER_BYTES as usize] = bytes.try_into().ok()?;
        let check = blake3::hash(&bytes[..FILE_CHECKED]);
        if &bytes[..8] != FILE_MAGIC || bytes[FILE_CHECKED..FILE_CHECKED + 32] != *check.as_bytes()
        {
            return None;
        }
        let kind = match number(bytes, 16) {
            0 => FileKind::Log,
            1 => FileKind::Checkpoint,
            2 => FileKind::Blobs,
            _ => return None,
        };
        Some(Self {
            id: number(bytes, 8),
            kind,
            first_sequence: number(bytes, 24),
            secret: bytes[32..64].try_into().ok()?,
        })
    }
}

/// What the start of a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the payload.
    pub(crate) payload_len: u32,
    /// Pages between header and payload.
    pub(crate) pages: u64,
    /// Number of the record.
    pub(crate) sequence: u64,
    /// The last record that was durable when this one was written.
    pub(crate) durable: u64,
    /// Check value of pages and payload.
    pub(crate) body_check: [u8; 16],
}

impl RecordHeader {
    /// The bytes of the header.
    pub(crate) fn encode(&self, secret: &[u8; 32]) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut bytes = [0u8; RECORD_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.pages.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.body_check);
        let check = blake3::keyed_hash(secret, &bytes[..RECORD_CHECKED]);
        bytes[RECORD_CHECKED..].copy_from_slice(&check.as_bytes()[..16]);
        bytes
    }

    /// The header in `bytes`, or `None` if it is none of a file with this secret.
    pub(crate) fn decode(bytes: &[u8], secret: &[u8; 32]) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER_BYTES as usize] = bytes.try_into().ok()?;
        if &bytes[..4] != RECORD_MAGIC {
            return None;
        }
        let check = blake3::keyed_hash(secret, &bytes[..RECORD_CHECKED]);
        if bytes[RECORD_CHECKED..] != check.as_bytes()[..16] {
            return None;
        }
        Some(Self {
            payload_len: u32::from_le_bytes(bytes[4..8].try_into().ok()?),
            pages: number(bytes, 8),
            sequence: number(bytes, 16),
            durable: number(bytes, 24),
            body_check: bytes[32..48].try_into().ok()?,
        })
    }

    /// Where the payload of a record at `start` begins and ends; `None` past 64 bits.
    pub(crate) fn payload_range(&self, start: u64) -> Option<(u64, u64)> {
        let begin = self
            .pages
            .checked_mul(PAGE)?
            .checked_add(start + RECORD_HEADER_BYTES)?;
        Some((begin, begin.checked_add(u64::from(self.payload_len))?))
    }
}

/// Where a record starts that is appended to a file of `end` bytes.
pub(crate) fn record_start(end: u64, with_pages: bool) -> u64 {
    let start = end.next_multiple_of(RECORD_HEADER_BYTES);
    if with_pages {
        (start + RECORD_HEADER_BYTES).next_multiple_of(PAGE) - RECORD_HEADER_BYTES
    } else {
        start
    }
}

/// The check value of a record's pages and payload.
pub(crate) fn body_check(hasher: &blake3::Hasher) -> [u8; 16] {
    hasher.finalize().as_bytes()[..16]
        .try_into()
        .expect("a hash has more than 16 bytes")
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}
