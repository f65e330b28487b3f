//! The hash of consensus data: SHA-512/256.

use std::fmt;

use sha2::{Digest, Sha256, Sha512_256};

/// A SHA-512/256 digest, 32 bytes. Used for everything Oasis Core hashes (blocks, commitments,
/// MKVS nodes), so that roots and proofs are byte-compatible with it.
///
/// Source: FIPS 180-4 section 5.3.6; Oasis Core `common/crypto/hash`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Length of a digest in bytes.
    pub const LEN: usize = 32;

    /// The hash of the empty string, which stands for "nothing": the root of an empty tree, a
    /// null child.
    pub const EMPTY: Self = Self([
        0xc6, 0x72, 0xb8, 0xd1, 0xef, 0x56, 0xed, 0x28, 0xab, 0x87, 0xc3, 0x62, 0x2c, 0x51, 0x14,
        0x06, 0x9b, 0xdd, 0x3a, 0xd7, 0xb8, 0xf9, 0x73, 0x74, 0x98, 0xd0, 0xc0, 0x1e, 0xce, 0xf0,
        0x96, 0x7a,
    ]);

    /// Hashes one byte string.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha512_256::digest(bytes).into())
    }

    /// Hashes the concatenation of byte strings without joining them first.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha512_256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// A digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A digest from a slice; `None` unless it has exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is [`Hash::EMPTY`].
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// SHA-256 of the concatenation of `parts`, the hash of the Internet Computer's formats
/// (request ids, hash trees). Source: FIPS 180-4.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA3-256 of the concatenation of `parts`, the hash of Oasis Core's beacon. Source: FIPS 202.
pub fn sha3_256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = sha3::Sha3_256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: NIST, "SHA3-256 examples", the message of no bits.
    #[test]
    fn sha3_of_nothing_is_the_published_figure() {
        assert_eq!(
            hex::encode(sha3_256(&[])),
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
        );
    }

    #[test]
    fn empty_is_the_hash_of_nothing() {
        assert_eq!(Hash::of(b""), Hash::EMPTY);
        assert_eq!(Hash::of_parts(&[b"a", b"b"]), Hash::of(b"ab"));
    }
}
