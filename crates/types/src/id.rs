//! Typed identifiers and counters.

use std::fmt;

use crate::signature::PublicKey;

macro_rules! counter {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The successor.
            ///
            /// # Panics
            /// At `u64::MAX`, which no network reaches.
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a counter of 64 bits does not run out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

counter! {
    /// Number of a root block. The genesis state has height 0, the first block height 1.
    Height
}
counter! {
    /// Number of a runtime block. The genesis block of a runtime has round 0.
    Round
}
counter! {
    /// A span of heights between two committee elections, counted from 0.
    Epoch
}
counter! {
    /// Agreed time in nanoseconds since 1970-01-01T00:00:00Z. Never read from a clock inside a
    /// runtime: it comes with the batch.
    TimeNanos
}

impl TimeNanos {
    /// Whole seconds since 1970, rounded down.
    pub fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

/// Identifier of a runtime: 32 bytes, of which the first 8 carry flags (bit 63: test runtime,
/// bit 62: key manager; the others reserved).
///
/// Source: Oasis Core `common/namespace`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeId([u8; 32]);

impl RuntimeId {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// An identifier from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// An identifier from a slice; `None` unless it has exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The identifier of a test runtime whose last 8 bytes are `number`.
    pub const fn test(number: u64) -> Self {
        let mut bytes = [0u8; 32];
        bytes[0] = 0x80;
        let tail = number.to_be_bytes();
        let mut index = 0;
        while index < 8 {
            bytes[24 + index] = tail[index];
            index += 1;
        }
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RuntimeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

/// Identifier of a node: its Ed25519 public key.
pub type NodeId = PublicKey;
