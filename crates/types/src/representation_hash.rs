//! The representation-independent hash of structured data: request ids of the Internet Computer
//! and what nodes sign of query responses. It depends on what a map says, not on how it is encoded.
//!
//! Source: Internet Computer interface specification, "Representation-independent hashing of
//! structured data".

use crate::hash::sha256;

/// A value that can be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashedValue<'a> {
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string; hashed as its UTF-8 bytes.
    Text(&'a str),
    /// A natural number; hashed as its shortest unsigned LEB128 bytes.
    Nat(u64),
    /// An array; hashed as the concatenation of its elements' hashes.
    Array(Vec<HashedValue<'a>>),
    /// A map from names to values.
    Map(Vec<(&'a str, HashedValue<'a>)>),
}

impl HashedValue<'_> {
    /// The hash of this value.
    pub fn hash(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => sha256(&[bytes]),
            Self::Text(text) => sha256(&[text.as_bytes()]),
            Self::Nat(number) => sha256(&[&leb128(*number)]),
            Self::Array(items) => {
                let hashes: Vec<[u8; 32]> = items.iter().map(Self::hash).collect();
                sha256(&[hashes.as_flattened()])
            }
            Self::Map(fields) => hash_of_map(fields),
        }
    }
}

/// The hash of a map: pairs of the hashes of name and value, sorted, joined and hashed. The order
/// of `fields` does not matter.
pub fn hash_of_map(fields: &[(&str, HashedValue<'_>)]) -> [u8; 32] {
    let mut pairs: Vec<[[u8; 32]; 2]> = fields
        .iter()
        .map(|(name, value)| [sha256(&[name.as_bytes()]), value.hash()])
        .collect();
    pairs.sort_unstable();
    sha256(&[pairs.as_flattened().as_flattened()])
}

/// A number in its shortest unsigned LEB128 form, as hash trees and request ids hold it.
pub fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the interface specification, section "Request ids".
    #[test]
    fn the_published_example_has_the_published_id() {
        let id = hash_of_map(&[
            ("request_type", HashedValue::Text("call")),
            ("sender", HashedValue::Bytes(&[4])),
            (
                "ingress_expiry",
                HashedValue::Nat(1_685_570_400_000_000_000),
            ),
            (
                "canister_id",
                HashedValue::Bytes(b"\x00\x00\x00\x00\x00\x00\x04\xD2"),
            ),
            ("method_name", HashedValue::Text("hello")),
            ("arg", HashedValue::Bytes(b"DIDL\x00\xFD*")),
        ]);
        let published = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101";
        assert_eq!(hex::encode(id), published);
    }

    #[test]
    fn order_of_fields_does_not_matter_and_nesting_does() {
        let one = ("a", HashedValue::Nat(1));
        let two = (
            "b",
            HashedValue::Array(vec![HashedValue::Nat(1), HashedValue::Text("x")]),
        );
        assert_eq!(
            hash_of_map(&[one.clone(), two.clone()]),
            hash_of_map(&[two.clone(), one.clone()])
        );
        let nested = HashedValue::Map(vec![one.clone()]);
        assert_ne!(hash_of_map(&[("n", nested)]), hash_of_map(&[one]));
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
    }
}
