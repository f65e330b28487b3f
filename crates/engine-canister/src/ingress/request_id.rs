//! The representation-independent hash of maps, by which requests and delegations are named.
//!
//! Source: interface specification, "Representation-independent hashing of structured data".

use trilith_types::hash::sha256;

/// A value that can be hashed.
#[derive(Clone, Debug)]
pub enum HashValue<'a> {
    /// A byte string.
    Bytes(&'a [u8]),
    /// A byte string that is owned here.
    OwnedBytes(Vec<u8>),
    /// A text.
    Text(&'a str),
    /// A natural number.
    Nat(u64),
    /// An array.
    Array(Vec<HashValue<'a>>),
}

impl HashValue<'_> {
    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => sha256(&[bytes]),
            Self::OwnedBytes(bytes) => sha256(&[bytes]),
            Self::Text(text) => sha256(&[text.as_bytes()]),
            Self::Nat(value) => sha256(&[&leb128(*value)]),
            Self::Array(items) => {
                let hashes: Vec<[u8; 32]> = items.iter().map(HashValue::hash).collect();
                sha256(&[hashes.as_flattened()])
            }
        }
    }
}

/// Unsigned LEB128, the encoding of natural numbers in hashes and in the state tree.
pub(crate) fn leb128(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The hash of a map with the given fields.
pub fn hash_of_map(fields: &[(&str, HashValue<'_>)]) -> [u8; 32] {
    let mut pairs: Vec<[[u8; 32]; 2]> = fields
        .iter()
        .map(|(name, value)| [sha256(&[name.as_bytes()]), value.hash()])
        .collect();
    pairs.sort_unstable();
    sha256(&[pairs.as_flattened().as_flattened()])
}
