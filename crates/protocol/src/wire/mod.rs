//! Reading and writing the pieces that many of the encoded types have in common. Private to this
//! crate: the formats themselves are described where their types are.

mod form;
mod shape;

pub use form::{Blob, Name, RawItem};
pub(crate) use form::{
    Wire, changed, filled, is_default, wire_choice, wire_field, wire_number, wire_struct,
};
pub use shape::{FieldShape, Presence, Shape};

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, NodeId, PublicKey, RuntimeId, Signature};

/// Gives the value of a field that must be there.
pub(crate) fn required<T>(value: Option<T>, name: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Field(name))
}

/// Reads a 32-byte digest.
pub(crate) fn hash(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Hash, DecodeError> {
    decoder.bytes_exact::<32>(what).map(Hash::from_bytes)
}

/// Reads a node's 32-byte key.
pub(crate) fn node(decoder: &mut Decoder<'_>, what: &'static str) -> Result<NodeId, DecodeError> {
    decoder.bytes_exact::<32>(what).map(PublicKey::from_bytes)
}

/// Reads the 32-byte identifier of a runtime.
pub(crate) fn runtime(
    decoder: &mut Decoder<'_>,
    what: &'static str,
) -> Result<RuntimeId, DecodeError> {
    decoder.bytes_exact::<32>(what).map(RuntimeId::from_bytes)
}

/// Reads a 64-byte signature.
pub(crate) fn signature(
    decoder: &mut Decoder<'_>,
    what: &'static str,
) -> Result<Signature, DecodeError> {
    decoder.bytes_exact::<64>(what).map(Signature::from_bytes)
}

/// Reads an unsigned integer that fits the narrower type `T`.
pub(crate) fn narrow<T: TryFrom<u64>>(
    decoder: &mut Decoder<'_>,
    what: &'static str,
) -> Result<T, DecodeError> {
    T::try_from(decoder.uint()?).map_err(|_| DecodeError::Field(what))
}

/// Reads an array of at most `limit` items.
pub(crate) fn list<T>(
    decoder: &mut Decoder<'_>,
    what: &'static str,
    limit: usize,
    mut read: impl FnMut(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    // The decoder has checked that at least as many bytes follow as items are declared, but an
    // item in memory may be larger than a byte: grow as items really arrive.
    let count = decoder.array(what, limit)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(read(decoder)?);
    }
    Ok(items)
}

/// Reads one value that takes up all of `bytes`, whose length must not exceed `limit`.
pub(crate) fn whole<T>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong {
            what,
            at: 0,
            len: bytes.len() as u64,
            limit: limit as u64,
        });
    }
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

/// Values of fields, in the shape [`trilith_types::cbor::MapBuilder::field`] takes.
pub(crate) mod put {
    use super::Encoder;

    /// An unsigned integer.
    pub(crate) fn uint(value: u64) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.uint(value);
        }
    }

    /// A boolean.
    pub(crate) fn bool(value: bool) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.bool(value);
        }
    }

    /// A byte string.
    pub(crate) fn bytes(value: &[u8]) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.bytes(value);
        }
    }

    /// A text string.
    pub(crate) fn text(value: &str) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.text(value);
        }
    }

    /// An item that is already encoded canonically.
    pub(crate) fn raw(value: &[u8]) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.raw(value);
        }
    }

    /// An array of what `write` writes for each item.
    pub(crate) fn list<T>(
        items: &[T],
        write: impl Fn(&mut Encoder, &T),
    ) -> impl FnOnce(&mut Encoder) {
        move |encoder| {
            encoder.array(items.len());
            for item in items {
                write(encoder, item);
            }
        }
    }
}
