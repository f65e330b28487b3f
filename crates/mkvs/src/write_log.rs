//! Write logs as they travel: a CBOR array of pairs of a key and its new value, or null where the
//! key is removed.
//!
//! Source: Oasis Core `storage/mkvs/writelog`.

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{WriteLog, WriteLogEntry};

use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// The canonical encoding of a write log.
pub fn encode_write_log(log: &[WriteLogEntry]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.array(log.len());
    for entry in log {
        encoder.array(2).bytes(&entry.key);
        match &entry.value {
            Some(value) => encoder.bytes(value),
            None => encoder.null(),
        };
    }
    encoder.finish()
}

/// Reads a write log of at most `bytes_max` bytes, and sorts it: guests may write the entries in
/// any order. It takes outside bytes of any length and content.
///
/// # Errors
/// [`DecodeError`] if the bytes are too many or not the canonical encoding of a write log, a key is
/// too long, or one occurs twice.
pub fn decode_write_log(bytes: &[u8], bytes_max: usize) -> Result<WriteLog, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLong {
            what: "write log",
            at: 0,
            len: bytes.len() as u64,
            limit: bytes_max as u64,
        });
    }
    let mut decoder = Decoder::new(bytes);
    let count = decoder.array("write log", bytes.len())?;
    // Not allocated ahead: the declared count may be far above what the bytes hold.
    let mut log = WriteLog::new();
    for _ in 0..count {
        if decoder.array("write log entry", 2)? != 2 {
            return Err(DecodeError::Field("write log entry"));
        }
        let key = decoder.bytes("key", KEY_BYTES_MAX)?.to_vec();
        let value = match decoder.null() {
            true => None,
            false => Some(decoder.bytes("value", VALUE_BYTES_MAX)?.to_vec()),
        };
        log.push(WriteLogEntry { key, value });
    }
    decoder.finish()?;
    log.sort_by(|a, b| a.key.cmp(&b.key));
    if log.windows(2).any(|pair| pair[0].key == pair[1].key) {
        return Err(DecodeError::Field("key"));
    }
    Ok(log)
}
