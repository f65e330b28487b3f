//! Addresses of staking accounts.
//!
//! ```text
//! address = version (0) ‖ first 20 bytes of H(context ‖ version ‖ data)
//! account of an entity or a user: context "oasis-core/address: staking", data its public key
//! account of a runtime:           context "oasis-core/address: runtime", data its identifier
//! account of a part of the root:  context "oasis-core/address: module",  data "module.kind"
//! ```
//!
//! For people an address is Bech32 with the prefix `oasis`. Four addresses are reserved: they name
//! pools in events and are of no account.
//!
//! Source: Oasis Core `staking/api` (`Address`), `common/crypto/address`.

use std::fmt;
use std::str::FromStr;

use bech32::{Bech32, Hrp};
use thiserror::Error;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, PublicKey, RuntimeId};

use crate::wire::{Shape, Wire};

const VERSION: u8 = 0;
const CONTEXT_STAKING: &str = "oasis-core/address: staking";
const CONTEXT_RUNTIME: &str = "oasis-core/address: runtime";
const CONTEXT_MODULE: &str = "oasis-core/address: module";
const PREFIX: Hrp = Hrp::parse_unchecked("oasis");

/// Address of a staking account: a version byte and 20 bytes of a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; Self::LEN]);

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The text is not Bech32.
    #[error("the address is not Bech32: {0}")]
    Bech32(String),
    /// The prefix is another one.
    #[error("the address has the prefix `{0}`, it must be `oasis`")]
    Prefix(String),
    /// The number of bytes differs.
    #[error("the address has {0} bytes, it must have 21")]
    Length(usize),
}

impl Address {
    /// Length in bytes.
    pub const LEN: usize = 21;

    /// An address from its bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    fn derive(context: &str, data: &[u8]) -> Self {
        let hash = Hash::of_parts(&[context.as_bytes(), &[VERSION], data]);
        let mut bytes = [VERSION; Self::LEN];
        bytes[1..].copy_from_slice(&hash.as_bytes()[..Self::LEN - 1]);
        Self(bytes)
    }

    /// The account of whoever holds a key.
    pub fn of_key(key: &PublicKey) -> Self {
        Self::derive(CONTEXT_STAKING, key.as_bytes())
    }

    /// The account of a runtime.
    pub fn of_runtime(runtime: &RuntimeId) -> Self {
        Self::derive(CONTEXT_RUNTIME, runtime.as_bytes())
    }

    /// The account of a part of the root.
    pub fn of_module(module: &str, kind: &str) -> Self {
        Self::derive(CONTEXT_MODULE, format!("{module}.{kind}").as_bytes())
    }

    /// Whether no account may have it.
    pub fn is_reserved(&self) -> bool {
        [COMMON_POOL, FEE_ACCUMULATOR, GOVERNANCE_DEPOSITS, BURN].contains(self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Bech32, _>(formatter, PREFIX, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32>(text)
            .map_err(|error| AddressError::Bech32(error.to_string()))?;
        if checked.hrp() != PREFIX {
            return Err(AddressError::Prefix(checked.hrp().to_string()));
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let len = bytes.len();
        let bytes = bytes.try_into().map_err(|_| AddressError::Length(len))?;
        Ok(Self(bytes))
    }
}

impl Wire for Address {
    fn put(&self, encoder: &mut Encoder) {
        encoder.bytes(&self.0);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        decoder.bytes_exact(what).map(Self)
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn shape() -> Shape {
        Shape::Address
    }
}

/// The common pool, from which rewards are paid. `oasis1qrmufhkkyyf79s5za2r8yga9gnk4t446dcy3a5zm`.
///
/// Source: Oasis Core `staking/api` (reserved addresses).
pub const COMMON_POOL: Address = Address([
    0x00, 0xf7, 0xc4, 0xde, 0xd6, 0x21, 0x13, 0xe2, 0xc2, 0x82, 0xea, 0x86, 0x72, 0x23, 0xa5, 0x44,
    0xed, 0x55, 0xd6, 0xba, 0x6e,
]);

/// The fees of a height before they are paid out. `oasis1qqnv3peudzvekhulf8v3ht29z4cthkhy7gkxmph5`.
///
/// Source: Oasis Core `staking/api` (reserved addresses).
pub const FEE_ACCUMULATOR: Address = Address([
    0x00, 0x26, 0xc8, 0x87, 0x3c, 0x68, 0x99, 0x9b, 0x5f, 0x9f, 0x49, 0xd9, 0x1b, 0xad, 0x45, 0x15,
    0x70, 0xbb, 0xda, 0xe4, 0xf2,
]);

/// The deposits of proposals. `oasis1qp65laz8zsa9a305wxeslpnkh9x4dv2h2qhjz0ec`.
///
/// Source: Oasis Core `staking/api` (reserved addresses).
pub const GOVERNANCE_DEPOSITS: Address = Address([
    0x00, 0x75, 0x4f, 0xf4, 0x47, 0x14, 0x3a, 0x5e, 0xc5, 0xf4, 0x71, 0xb3, 0x0f, 0x86, 0x76, 0xb9,
    0x4d, 0x56, 0xb1, 0x57, 0x50,
]);

/// What is transferred here ceases to exist. `oasis1qzq8u7xs328puu2jy524w3fygzs63rv3u5967970`.
///
/// Source: Oasis Core `staking/api` (reserved addresses).
pub const BURN: Address = Address([
    0x00, 0x80, 0x7e, 0x78, 0xd0, 0x8a, 0x8e, 0x1e, 0x71, 0x52, 0x25, 0x15, 0x57, 0x45, 0x24, 0x40,
    0xa1, 0xa8, 0x8d, 0x91, 0xe5,
]);
