//! Runs of bits: keys, parts of keys, and the labels of internal nodes.
//!
//! Bit 0 is the most significant bit of the first byte. A [`Label`] keeps the bits behind its end
//! zero, because these bytes are hashed.

use smallvec::SmallVec;

use super::KEY_BYTES_MAX;

/// A borrowed run of bits.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    from: usize,
    to: usize,
}

impl<'a> Bits<'a> {
    /// All bits of a key.
    pub fn of_key(key: &'a [u8]) -> Self {
        Self {
            bytes: key,
            from: 0,
            to: key.len() * 8,
        }
    }

    /// How many bits there are.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The bits after the first `count`; none if there are fewer.
    pub fn skip(&self, count: usize) -> Self {
        Self {
            from: self.from.saturating_add(count).min(self.to),
            ..*self
        }
    }

    /// The first `count` bits; all if there are fewer.
    pub fn first(&self, count: usize) -> Self {
        Self {
            to: self.from.saturating_add(count).min(self.to),
            ..*self
        }
    }

    /// The bit at `index`; `None` behind the end.
    pub fn bit(&self, index: usize) -> Option<bool> {
        (index < self.len()).then(|| self.window(index) & 0x80 != 0)
    }

    /// The eight bits from `index` on, zero behind the end of the bytes. Behind the end of the run
    /// they are whatever follows.
    fn window(&self, index: usize) -> u8 {
        let at = self.from + index;
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(0);
        let (index, shift) = (at / 8, at % 8);
        match shift {
            0 => byte(index),
            _ => (byte(index) << shift) | (byte(index + 1) >> (8 - shift)),
        }
    }

    /// How many bits two runs have in common from their starts.
    pub fn common_prefix(&self, other: &Bits<'_>) -> usize {
        let shorter = self.len().min(other.len());
        let mut count = 0;
        while count < shorter {
            let difference = self.window(count) ^ other.window(count);
            if difference != 0 {
                count += difference.leading_zeros() as usize;
                break;
            }
            count += 8;
        }
        count.min(shorter)
    }

    /// The run as bytes, filled up with zero bits.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..self.len())
            .step_by(8)
            .map(|at| self.window(at))
            .collect();
        clear_behind(&mut bytes, self.len());
        bytes
    }

    /// The run as a label; `None` if it is longer than the longest key.
    pub fn to_label(&self) -> Option<Label> {
        Label::from_parts(self.to_bytes(), self.len())
    }
}

/// Appends a run to the first `bits` bits of `bytes`, and gives the new number of bits.
pub(super) fn append(bytes: &mut Vec<u8>, bits: usize, run: &Bits<'_>) -> usize {
    let total = bits + run.len();
    bytes.truncate(bits.div_ceil(8));
    clear_behind(bytes, bits);
    bytes.resize(total.div_ceil(8), 0);
    let shift = bits % 8;
    for (index, byte) in run.to_bytes().into_iter().enumerate() {
        let at = bits / 8 + index;
        bytes[at] |= byte >> shift;
        if let Some(next) = bytes.get_mut(at + 1)
            && shift != 0
        {
            *next |= byte << (8 - shift);
        }
    }
    total
}

/// Sets the bit at `index` of a key, which is first filled up with zero bits to the byte that the
/// bit is in. The bits behind stay as they are.
pub fn set_bit(key: &mut Vec<u8>, index: usize, bit: bool) {
    if key.len() <= index / 8 {
        key.resize(index / 8 + 1, 0);
    }
    let mask = 0x80 >> (index % 8);
    if bit {
        key[index / 8] |= mask;
    } else {
        key[index / 8] &= !mask;
    }
}

fn clear_behind(bytes: &mut [u8], bits: usize) {
    if let Some(last) = bytes.get_mut(bits / 8)
        && !bits.is_multiple_of(8)
    {
        *last &= 0xff << (8 - bits % 8);
    }
}

/// What of a subtree lies at or behind a start key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// All of it.
    All,
    /// None of it.
    Nothing,
    /// A part of the child on this side (`true` is right), all of what is to the right of that
    /// child, nothing to the left of it.
    Into(bool),
}

/// The label of an internal node: at most 65,528 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Most labels have a bit or two, so they lie in the node.
    bytes: SmallVec<[u8; 16]>,
    bits: u16,
}

impl Label {
    /// A label from its bytes and its number of bits; `None` unless the bytes are as many as the
    /// bits need, the bits behind the end are zero, and it is no longer than the longest key.
    pub fn from_parts(bytes: impl AsRef<[u8]>, bits: usize) -> Option<Self> {
        let bytes = bytes.as_ref();
        let spare = bytes.len() * 8;
        // Only with as many bytes as the bits need are there bits behind the end to look at.
        if bits.div_ceil(8) != bytes.len() || bits > KEY_BYTES_MAX * 8 {
            return None;
        }
        let clear = spare == bits
            || bytes
                .last()
                .is_some_and(|last| last.trailing_zeros() as usize >= spare - bits);
        clear.then(|| Self {
            bytes: SmallVec::from_slice(bytes),
            bits: bits as u16,
        })
    }

    /// The bytes, filled up with zero bits.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of bits.
    pub fn bit_len(&self) -> u16 {
        self.bits
    }

    /// The label as a run of bits.
    pub fn bits(&self) -> Bits<'_> {
        Bits {
            bytes: &self.bytes,
            from: 0,
            to: usize::from(self.bits),
        }
    }

    /// What of a subtree with this label lies at or behind a start key, of which `rest` is what
    /// follows the bits above the label.
    pub fn seek(&self, rest: &Bits<'_>) -> Seek {
        let label = self.bits();
        let common = label.common_prefix(rest);
        match (label.bit(common), rest.bit(common)) {
            (_, None) | (Some(true), Some(_)) => Seek::All,
            (Some(false), Some(_)) => Seek::Nothing,
            (None, Some(side)) => Seek::Into(side),
        }
    }

    /// This label followed by `other`; `None` if that is longer than the longest key.
    pub fn join(&self, other: &Label) -> Option<Label> {
        let mut bytes = self.bytes.to_vec();
        let bits = append(&mut bytes, usize::from(self.bits), &other.bits());
        Self::from_parts(bytes, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::Label;

    #[test]
    fn a_label_has_as_many_bytes_as_its_bits_need() {
        for (bytes, bits) in [
            (&[0][..], 9),
            (&[0, 0], 8),
            (&[], 1),
            (&[0], usize::MAX),
            (&[1], 7),
        ] {
            assert_eq!(Label::from_parts(bytes, bits), None, "{bytes:?}, {bits}");
        }
        assert!(Label::from_parts([2], 7).is_some() && Label::from_parts([], 0).is_some());
    }
}
