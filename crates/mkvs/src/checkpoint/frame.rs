//! The compressed stream around a chunk's entries: writing it, and reading it within bounds.
//!
//! A stream is a sequence of frames, each a type (one byte), a length (three bytes, little endian)
//! and a body; blocks of at most 64 KiB are compressed one by one. The sizes that the frames
//! declare are added up before anything is decompressed.
//!
//! Source: snappy framing format; Oasis Core compresses with Go's snappy 0.0.4.

use std::io::{Read, Write};

use snap::raw::decompress_len;
use snap::read::FrameDecoder;
use snap::write::FrameEncoder;
use trilith_types::cbor::Encoder;

use super::{CHUNK_BYTES_MAX, CHUNK_FRAMED_BYTES_MAX, ChunkFault};

const FRAME_COMPRESSED: u8 = 0x00;
const FRAME_PLAIN: u8 = 0x01;
/// Bytes of the check value that a frame of data starts with.
const CHECK_BYTES: usize = 4;
/// Most bytes of data in a frame.
const BLOCK_BYTES_MAX: u64 = 1 << 16;
/// More than a compressed byte can stand for: a copy of 64 bytes takes 3.
const RATIO_MAX: usize = 22;

/// Writes entries into a stream in memory.
pub(super) struct StreamWriter {
    encoder: FrameEncoder<Vec<u8>>,
    plain_bytes: usize,
}

impl StreamWriter {
    pub(super) fn new() -> Self {
        Self {
            encoder: FrameEncoder::new(Vec::new()),
            plain_bytes: 0,
        }
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// The length that the stream would have decompressed, if it is over [`CHUNK_BYTES_MAX`].
    pub(super) fn entry(&mut self, entry: Option<&[u8]>) -> Result<(), usize> {
        let mut encoder = Encoder::new();
        match entry {
            Some(entry) => encoder.bytes(entry),
            None => encoder.null(),
        };
        let bytes = encoder.finish();
        let len = self.plain_bytes.saturating_add(bytes.len());
        if len > CHUNK_BYTES_MAX {
            return Err(len);
        }
        self.plain_bytes = len;
        self.encoder
            .write_all(&bytes)
            .expect("writing to memory does not fail");
        Ok(())
    }

    /// The stream.
    pub(super) fn finish(self) -> Vec<u8> {
        self.encoder
            .into_inner()
            .expect("writing to memory does not fail")
    }
}

/// Decompresses a stream of outside bytes, after checking that the result keeps its limit.
pub(super) fn decompress(bytes: &[u8]) -> Result<Vec<u8>, ChunkFault> {
    if bytes.len() > CHUNK_FRAMED_BYTES_MAX {
        return Err(ChunkFault::TooLong {
            len: bytes.len(),
            limit: CHUNK_FRAMED_BYTES_MAX,
        });
    }
    let len = declared_len(bytes)?;
    let mut plain = Vec::with_capacity(len.min(bytes.len() * RATIO_MAX));
    // One byte more, so that the end of the stream is read and anything behind it is seen.
    let mut decoder = FrameDecoder::new(bytes).take(len as u64 + 1);
    let read = decoder.read_to_end(&mut plain);
    let at = bytes.len() - decoder.get_ref().get_ref().len();
    let fault = |fault: String| ChunkFault::Stream { at, fault };
    read.map_err(|error| fault(error.to_string()))?;
    match plain.len() {
        found if found == len => Ok(plain),
        found => Err(fault(format!(
            "it holds {found} bytes where its frames declare {len}"
        ))),
    }
}

/// The number of bytes that the frames declare to hold, at most [`CHUNK_BYTES_MAX`].
fn declared_len(bytes: &[u8]) -> Result<usize, ChunkFault> {
    let (mut at, mut total) = (0, 0u64);
    while at < bytes.len() {
        let fault = |fault: String| ChunkFault::Stream { at, fault };
        let rest = &bytes[at..];
        let Some(([kind, size @ ..], rest)) = rest.split_first_chunk::<4>() else {
            let have = rest.len();
            return Err(fault(format!(
                "a frame's head has {have} bytes instead of 4"
            )));
        };
        let size = u32::from_le_bytes([size[0], size[1], size[2], 0]) as usize;
        let body = rest.get(..size).ok_or_else(|| {
            let have = rest.len();
            fault(format!("a frame of {size} bytes is cut off after {have}"))
        })?;
        let data = body.get(CHECK_BYTES..);
        let block = match (*kind, data) {
            (FRAME_COMPRESSED, Some(data)) => {
                decompress_len(data).map_err(|error| fault(error.to_string()))? as u64
            }
            (FRAME_PLAIN, Some(data)) => data.len() as u64,
            (FRAME_COMPRESSED | FRAME_PLAIN, None) => {
                return Err(fault(format!("a frame of data has {size} bytes")));
            }
            _ => 0,
        };
        if block > BLOCK_BYTES_MAX {
            return Err(fault(format!(
                "a frame declares {block} bytes of data, over the limit of {BLOCK_BYTES_MAX}"
            )));
        }
        total += block;
        if total > CHUNK_BYTES_MAX as u64 {
            return Err(ChunkFault::TooLarge {
                len: total,
                limit: CHUNK_BYTES_MAX,
            });
        }
        at += 4 + size;
    }
    Ok(total as usize)
}
