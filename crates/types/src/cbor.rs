//! Canonical CBOR (RFC 7049 section 3.9): shortest integers, definite lengths, map keys in
//! length-first order. The only source of consensus bytes.
//!
//! [`Encoder`] writes it; [`MapBuilder`] writes a struct as a map with text keys, leaving out the
//! fields that are empty. [`Decoder`] reads it strictly: an encoding that is not the canonical one
//! is refused, as are lengths above what is left of the input, so that a decoded value encodes to
//! the bytes it came from and no claim of length allocates.
//!
//! Source: Oasis Core `common/cbor`.

use minicbor::data::Type;
use thiserror::Error;

/// Deepest nesting of arrays and maps that [`Decoder::skip`] follows.
pub const DEPTH_MAX: usize = 64;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ended early.
    #[error("the input ends at byte {at}, inside an item")]
    Truncated {
        /// Offset of the item.
        at: usize,
    },
    /// An item of another type stands there.
    #[error("byte {at} starts an item of another type than {expected}")]
    UnexpectedType {
        /// Offset of the item.
        at: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The item is valid CBOR but not the canonical encoding of its value.
    #[error("the item at byte {at} is not in canonical form")]
    NotCanonical {
        /// Offset of the item.
        at: usize,
    },
    /// A length is over its limit.
    #[error("{what} at byte {at} has length {len}, over the limit of {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Offset of the item.
        at: usize,
        /// Its declared length.
        len: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// Bytes are left after the value.
    #[error("{count} bytes follow the value, where none may")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A field is missing, unknown, repeated or has a value outside its range.
    #[error("field `{0}` is missing, unknown, repeated or outside its range")]
    Field(&'static str),
}

/// Writes canonical CBOR. Writing to memory cannot fail.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty encoder that does not move what it wrote before it has this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.bytes.push(major | value as u8),
            24..=0xff => self.bytes.extend_from_slice(&[major | 24, value as u8]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend_from_slice(&(value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend_from_slice(&(value as u32).to_be_bytes());
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend_from_slice(&value.to_be_bytes());
            }
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value);
        self
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// The head of an array of `len` items, which are to follow.
    pub fn array(&mut self, len: usize) -> &mut Self {
        self.head(4, len as u64);
        self
    }

    /// The head of a map of `len` entries, which are to follow in canonical order of their keys.
    /// Structs use [`MapBuilder`], which sorts.
    pub fn map(&mut self, len: usize) -> &mut Self {
        self.head(5, len as u64);
        self
    }

    /// A tag; the tagged item is to follow.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(6, tag);
        self
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// The null value.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.push(0xf6);
        self
    }

    /// An item that is already encoded canonically.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(encoded);
        self
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Writes a struct: a map from field names to values, sorted length-first.
#[derive(Default)]
pub struct MapBuilder {
    entries: Vec<(&'static str, Vec<u8>)>,
}

impl MapBuilder {
    /// A struct without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field whose value `write` encodes.
    pub fn field(mut self, name: &'static str, write: impl FnOnce(&mut Encoder)) -> Self {
        let mut encoder = Encoder::new();
        write(&mut encoder);
        self.entries.push((name, encoder.finish()));
        self
    }

    /// Adds a field if `present` (the `omitempty` of the source).
    pub fn field_if(
        self,
        present: bool,
        name: &'static str,
        write: impl FnOnce(&mut Encoder),
    ) -> Self {
        if present {
            self.field(name, write)
        } else {
            self
        }
    }

    /// The encoded map.
    pub fn finish(mut self) -> Vec<u8> {
        self.entries
            .sort_by(|(a, _), (b, _)| (a.len(), *a).cmp(&(b.len(), *b)));
        let mut encoder = Encoder::new();
        encoder.map(self.entries.len());
        for (name, value) in &self.entries {
            encoder.text(name).raw(value);
        }
        encoder.finish()
    }
}

/// Reads canonical CBOR strictly.
pub struct Decoder<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Decoder<'a> {
    /// Reads from the start of `input`, whose size the caller has bounded.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// Offset of the next item.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether all input was read.
    pub fn is_at_end(&self) -> bool {
        self.position == self.input.len()
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if something does.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.input.len() - self.position {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }

    fn take(&mut self, len: usize, at: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.input[self.position..];
        if rest.len() < len {
            return Err(DecodeError::Truncated { at });
        }
        self.position += len;
        Ok(&rest[..len])
    }

    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let at = self.position;
        let initial = self.take(1, at)?[0];
        let (major, short) = (initial >> 5, initial & 0x1f);
        let value = match short {
            0..=23 => u64::from(short),
            24 => u64::from(self.take(1, at)?[0]),
            25 => u64::from(u16::from_be_bytes(self.array_of(at)?)),
            26 => u64::from(u32::from_be_bytes(self.array_of(at)?)),
            27 => u64::from_be_bytes(self.array_of(at)?),
            _ => return Err(DecodeError::NotCanonical { at }),
        };
        let minimum = match short {
            24 => 24,
            25 => 0x100,
            26 => 0x1_0000,
            27 => 0x1_0000_0000,
            _ => 0,
        };
        if value < minimum && major != 7 {
            return Err(DecodeError::NotCanonical { at });
        }
        Ok((major, value))
    }

    fn array_of<const N: usize>(&mut self, at: usize) -> Result<[u8; N], DecodeError> {
        Ok(self
            .take(N, at)?
            .try_into()
            .expect("take gives the length asked for"))
    }

    fn typed(&mut self, major: u8, expected: &'static str) -> Result<(usize, u64), DecodeError> {
        let at = self.position;
        let (found, value) = self.head()?;
        if found != major {
            self.position = at;
            return Err(DecodeError::UnexpectedType { at, expected });
        }
        Ok((at, value))
    }

    /// The type of the next item, without reading it; `None` at the end.
    pub fn peek(&self) -> Option<Type> {
        minicbor::Decoder::new(&self.input[self.position..])
            .datatype()
            .ok()
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// If another item stands there.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        Ok(self.typed(0, "unsigned integer")?.1)
    }

    /// A byte string of at most `limit` bytes.
    ///
    /// # Errors
    /// If another item stands there or it is too long.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let (at, len) = self.typed(2, "byte string")?;
        self.string(what, at, len, limit)
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// If another item stands there or its length differs.
    pub fn bytes_exact<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        self.bytes(what, N)?
            .try_into()
            .map_err(|_| DecodeError::Field(what))
    }

    /// A text string of at most `limit` bytes.
    ///
    /// # Errors
    /// If another item stands there, it is too long, or not UTF-8.
    pub fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        let (at, len) = self.typed(3, "text string")?;
        let bytes = self.string(what, at, len, limit)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::NotCanonical { at })
    }

    fn string(
        &mut self,
        what: &'static str,
        at: usize,
        len: u64,
        limit: usize,
    ) -> Result<&'a [u8], DecodeError> {
        if len > limit as u64 {
            return Err(DecodeError::TooLong {
                what,
                at,
                len,
                limit: limit as u64,
            });
        }
        self.take(len as usize, at)
    }

    fn count(
        &mut self,
        what: &'static str,
        at: usize,
        len: u64,
        limit: usize,
        items: u64,
    ) -> Result<usize, DecodeError> {
        if len > limit as u64 {
            return Err(DecodeError::TooLong {
                what,
                at,
                len,
                limit: limit as u64,
            });
        }
        // Every item takes at least one byte.
        if len.saturating_mul(items) > (self.input.len() - self.position) as u64 {
            return Err(DecodeError::Truncated { at });
        }
        Ok(len as usize)
    }

    /// The head of an array of at most `limit` items; gives how many are to be read.
    ///
    /// # Errors
    /// If another item stands there or it declares too many.
    pub fn array(&mut self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let (at, len) = self.typed(4, "array")?;
        self.count(what, at, len, limit, 1)
    }

    /// The head of a map of at most `limit` entries; gives how many are to be read.
    ///
    /// # Errors
    /// If another item stands there or it declares too many.
    pub fn map(&mut self, what: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let (at, len) = self.typed(5, "map")?;
        self.count(what, at, len, limit, 2)
    }

    /// A boolean.
    ///
    /// # Errors
    /// If another item stands there.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let at = self.position;
        match self.take(1, at)?[0] {
            0xf4 => Ok(false),
            0xf5 => Ok(true),
            _ => {
                self.position = at;
                Err(DecodeError::UnexpectedType {
                    at,
                    expected: "boolean",
                })
            }
        }
    }

    /// Reads a null if one stands there, and says whether it did.
    pub fn null(&mut self) -> bool {
        let found = self.input.get(self.position) == Some(&0xf6);
        self.position += usize::from(found);
        found
    }

    /// Reads a struct: calls `read` with each field's name, in canonical order. `read` must read
    /// the field's value, or refuse the name.
    ///
    /// # Errors
    /// Those of `read`; [`DecodeError::NotCanonical`] if names are out of order or repeated.
    pub fn fields(
        &mut self,
        what: &'static str,
        limit: usize,
        mut read: impl FnMut(&str, &mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.map(what, limit)?;
        let mut last: Option<&str> = None;
        for _ in 0..count {
            let at = self.position;
            let name = self.text("field name", 64)?;
            if last.is_some_and(|last| (last.len(), last) >= (name.len(), name)) {
                return Err(DecodeError::NotCanonical { at });
            }
            last = Some(name);
            read(name, self)?;
        }
        Ok(())
    }

    /// Reads any one item and gives its bytes. Nesting is bounded by [`DEPTH_MAX`].
    ///
    /// # Errors
    /// If the item is malformed or nested too deeply.
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.position;
        let mut open: Vec<u64> = vec![1];
        while let Some(left) = open.last_mut() {
            if *left == 0 {
                open.pop();
                continue;
            }
            *left -= 1;
            let at = self.position;
            let (major, value) = self.head()?;
            match major {
                0 | 1 | 7 => {}
                2 | 3 => {
                    let rest = self.input.len() - self.position;
                    self.string("string", at, value, rest)
                        .map_err(|_| DecodeError::Truncated { at })?;
                }
                4 => open.push(value),
                5 => open.push(value.checked_mul(2).ok_or(DecodeError::Truncated { at })?),
                _ => open.push(1),
            }
            if open.len() > DEPTH_MAX {
                return Err(DecodeError::TooLong {
                    what: "nesting",
                    at,
                    len: open.len() as u64,
                    limit: DEPTH_MAX as u64,
                });
            }
        }
        Ok(&self.input[start..self.position])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_sorted_length_first() {
        let bytes = MapBuilder::new()
            .field("version", |e| {
                e.uint(1);
            })
            .field("ns", |e| {
                e.bytes(b"x");
            })
            .field_if(false, "gone", |e| {
                e.null();
            })
            .finish();
        assert_eq!(bytes, b"\xa2\x62ns\x41x\x67version\x01");
    }

    #[test]
    fn other_forms_of_a_value_are_refused() {
        assert_eq!(
            Decoder::new(&[0x18, 0x17]).uint(),
            Err(DecodeError::NotCanonical { at: 0 })
        );
        assert_eq!(
            Decoder::new(&[0x1f]).uint(),
            Err(DecodeError::NotCanonical { at: 0 })
        );
        let repeated = b"\xa2\x61a\x01\x61a\x02";
        let read = Decoder::new(repeated).fields("map", 4, |_, d| d.uint().map(|_| ()));
        assert_eq!(read, Err(DecodeError::NotCanonical { at: 4 }));
    }

    #[test]
    fn declared_lengths_allocate_nothing() {
        let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(Decoder::new(&huge).array("list", usize::MAX).is_err());
        let deep = vec![0x81; 1000];
        assert!(matches!(
            Decoder::new(&deep).skip(),
            Err(DecodeError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, bytes: Vec<u8>, text: String, flag: bool) {
            let mut encoder = Encoder::new();
            encoder.array(4).uint(number).bytes(&bytes).text(&text).bool(flag);
            let encoded = encoder.finish();
            let mut decoder = Decoder::new(&encoded);
            prop_assert_eq!(decoder.array("list", 4).unwrap(), 4);
            prop_assert_eq!(decoder.uint().unwrap(), number);
            prop_assert_eq!(decoder.bytes("bytes", bytes.len()).unwrap(), &bytes[..]);
            prop_assert_eq!(decoder.text("text", text.len()).unwrap(), &text[..]);
            prop_assert_eq!(decoder.bool().unwrap(), flag);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn no_input_panics(input: Vec<u8>) {
            let mut decoder = Decoder::new(&input);
            while decoder.skip().is_ok_and(|item| !item.is_empty()) {}
            prop_assert!(decoder.position() <= input.len());
        }
    }
}
