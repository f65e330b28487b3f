//! The root of a tree as it stands in requests.

use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};
use trilith_types::{Hash, RuntimeId};

use super::{Root, RootType};

/// The canonical encoding.
pub(super) fn encode(root: &Root) -> Vec<u8> {
    MapBuilder::new()
        .field("ns", |encoder| {
            encoder.bytes(root.namespace.as_bytes());
        })
        .field("hash", |encoder| {
            encoder.bytes(root.hash.as_bytes());
        })
        .field("version", |encoder| {
            encoder.uint(root.version);
        })
        .field("root_type", |encoder| {
            encoder.uint(match root.root_type {
                RootType::State => 1,
                RootType::Io => 2,
            });
        })
        .finish()
}

/// Reads a root. Whether it names a runtime that exists is seen when it is compared with the root
/// of the tree that answers.
pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Root, DecodeError> {
    let (mut namespace, mut hash, mut version, mut root_type) = (None, None, None, None);
    decoder.fields("root", 4, |name, decoder| {
        match name {
            "ns" => namespace = Some(decoder.bytes_exact("ns")?),
            "hash" => hash = Some(decoder.bytes_exact("hash")?),
            "version" => version = Some(decoder.uint()?),
            "root_type" => root_type = Some(decode_type(decoder)?),
            _ => return Err(DecodeError::Field("root")),
        }
        Ok(())
    })?;
    Ok(Root {
        namespace: RuntimeId::from_bytes(namespace.ok_or(DecodeError::Field("ns"))?),
        hash: Hash::from_bytes(hash.ok_or(DecodeError::Field("hash"))?),
        version: version.ok_or(DecodeError::Field("version"))?,
        root_type: root_type.ok_or(DecodeError::Field("root_type"))?,
    })
}

fn decode_type(decoder: &mut Decoder<'_>) -> Result<RootType, DecodeError> {
    match decoder.uint()? {
        1 => Ok(RootType::State),
        2 => Ok(RootType::Io),
        _ => Err(DecodeError::Field("root_type")),
    }
}
