//! Amounts of stake and of shares.
//!
//! A quantity is a whole number of base units, or of shares of a pool. In bytes it is a big-endian
//! byte string without leading zeros, as in Oasis Core, whose quantities have no upper bound; here
//! it is 128 bits, which hold the supply of every known network, and every operation is checked.
//!
//! Invariant: no operation wraps or rounds up; products are formed in 256 bits, so that a product
//! with a quotient fails only where its result does not fit.
//!
//! Source: Oasis Core `common/quantity`.

use std::fmt;

use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use crate::wire::{Shape, Wire};

/// Bytes of the largest quantity.
const BYTES_MAX: usize = 16;

/// A whole number of base units or shares, at most 2^128 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u128);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest quantity.
    pub const MAX: Self = Self(u128::MAX);

    /// This many units.
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// How many units.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; `None` if it does not fit.
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            None => None,
            Some(sum) => Some(Self(sum)),
        }
    }

    /// The difference; `None` if `other` is more.
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            None => None,
            Some(difference) => Some(Self(difference)),
        }
    }

    /// The product; `None` if it does not fit.
    pub const fn times(self, factor: Self) -> Option<Self> {
        match self.0.checked_mul(factor.0) {
            None => None,
            Some(product) => Some(Self(product)),
        }
    }

    /// `self * factor / divisor`, rounded down; `None` if the divisor is 0 or the result does not
    /// fit.
    pub fn times_over(self, factor: Self, divisor: Self) -> Option<Self> {
        let (high, low) = wide_product(self.0, factor.0);
        wide_quotient(high, low, divisor.0).map(Self)
    }

    /// The bytes, without leading zeros.
    pub fn to_bytes(self) -> Vec<u8> {
        let skipped = self.0.leading_zeros() as usize / 8;
        self.0.to_be_bytes()[skipped..].to_vec()
    }

    /// The quantity of bytes without leading zeros; `None` if they have one, or are more than 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.first() == Some(&0) {
            return None;
        }
        let mut padded = [0; BYTES_MAX];
        let skipped = BYTES_MAX.checked_sub(bytes.len())?;
        padded[skipped..].copy_from_slice(bytes);
        Some(Self(u128::from_be_bytes(padded)))
    }
}

impl From<u64> for Quantity {
    fn from(units: u64) -> Self {
        Self(units.into())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Wire for Quantity {
    fn put(&self, encoder: &mut Encoder) {
        encoder.bytes(&self.to_bytes());
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let at = decoder.position();
        let bytes = decoder.bytes(what, BYTES_MAX)?;
        Self::from_bytes(bytes).ok_or(DecodeError::NotCanonical { at })
    }

    fn is_empty(&self) -> bool {
        self.is_zero()
    }

    fn shape() -> Shape {
        Shape::Quantity
    }
}

/// The 256 bits of a product, as high and low half.
const fn wide_product(one: u128, other: u128) -> (u128, u128) {
    const HALF: u128 = u64::MAX as u128;
    let (one_high, one_low) = (one >> 64, one & HALF);
    let (other_high, other_low) = (other >> 64, other & HALF);
    let low = one_low * other_low;
    let cross = one_high * other_low + (low >> 64);
    let middle = one_low * other_high + (cross & HALF);
    let high = one_high * other_high + (cross >> 64) + (middle >> 64);
    (high, (middle << 64) | (low & HALF))
}

/// A number of 256 bits divided by one of 128; `None` if the divisor is 0 or the quotient does not
/// fit.
const fn wide_quotient(high: u128, low: u128, divisor: u128) -> Option<u128> {
    // The quotient fits exactly if the high half is below the divisor, which is not 0 then.
    if high >= divisor {
        return None;
    }
    if high == 0 {
        return Some(low / divisor);
    }
    let (mut rest, mut quotient, mut bit) = (high, 0, 128);
    while bit > 0 {
        bit -= 1;
        let carried = rest >> 127 == 1;
        rest = (rest << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if carried || rest >= divisor {
            rest = rest.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some(quotient)
}
