//! A reader of foreign CBOR that allocates nothing by itself: strings are slices of the input,
//! counts are checked against limits. Nesting is bounded by construction: there is no generic item,
//! the caller asks for each level, and fields that it does not know are refused, not read over.
//!
//! Unlike the canonical decoder it takes what clients send: longer forms of integers, any order of
//! keys, and arrays and maps of indefinite length (strings of indefinite length are refused).

use trilith_types::HashTree;
use trilith_types::cbor::Decoder;

use super::error::IngressError;

/// Reads CBOR from a slice whose length the caller has bounded.
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    position: usize,
}

/// How many items an array or a map has.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    /// As many as declared.
    Definite(u64),
    /// Up to the break byte.
    Indefinite,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    fn malformed(at: usize, what: &'static str) -> IngressError {
        IngressError::Malformed { at, what }
    }

    /// Checks that nothing follows.
    pub(crate) fn finish(self) -> Result<(), IngressError> {
        if self.position == self.input.len() {
            Ok(())
        } else {
            Err(Self::malformed(self.position, "the end of the envelope"))
        }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], IngressError> {
        let rest = &self.input[self.position..];
        if len > rest.len() as u64 {
            return Err(Self::malformed(
                self.position,
                "more bytes than the input has",
            ));
        }
        self.position += len as usize;
        Ok(&rest[..len as usize])
    }

    /// Reads the head of an item: major type and value; `None` for an indefinite length.
    fn head(&mut self) -> Result<(u8, Option<u64>), IngressError> {
        let at = self.position;
        let initial = self.take(1)?[0];
        let wide = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let value = match initial & 0x1f {
            short @ 0..=23 => Some(u64::from(short)),
            size @ 24..=27 => Some(wide(self.take(1 << (size - 24))?)),
            31 => None,
            _ => return Err(Self::malformed(at, "a valid CBOR item")),
        };
        Ok((initial >> 5, value))
    }

    /// Reads the self-describing tag 55799 if it stands there.
    pub(crate) fn self_describing_tag(&mut self) {
        if self.input[self.position..].starts_with(&[0xd9, 0xd9, 0xf7]) {
            self.position += 3;
        }
    }

    fn sized(&mut self, major: u8, what: &'static str) -> Result<u64, IngressError> {
        let at = self.position;
        match self.head()? {
            (found, Some(value)) if found == major => Ok(value),
            _ => Err(Self::malformed(at, what)),
        }
    }

    /// An unsigned integer of 64 bits.
    pub(crate) fn uint(&mut self) -> Result<u64, IngressError> {
        self.sized(0, "an unsigned integer")
    }

    /// A byte string of at most `limit` bytes.
    pub(crate) fn bytes(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<&'a [u8], IngressError> {
        let len = self.sized(2, "a byte string")?;
        self.string(len, what, limit)
    }

    /// A text string of at most `limit` bytes.
    pub(crate) fn text(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<&'a str, IngressError> {
        let len = self.sized(3, "a text string")?;
        let at = self.position;
        let bytes = self.string(len, what, limit)?;
        std::str::from_utf8(bytes).map_err(|_| Self::malformed(at, "UTF-8 text"))
    }

    fn string(
        &mut self,
        len: u64,
        what: &'static str,
        limit: usize,
    ) -> Result<&'a [u8], IngressError> {
        if len > limit as u64 {
            let limit = limit as u64;
            return Err(IngressError::TooLarge {
                what,
                value: len,
                limit,
                unit: "bytes",
            });
        }
        self.take(len)
    }

    fn count(&mut self, major: u8, what: &'static str) -> Result<Count, IngressError> {
        let at = self.position;
        match self.head()? {
            (found, Some(len)) if found == major => Ok(Count::Definite(len)),
            (found, None) if found == major => Ok(Count::Indefinite),
            _ => Err(Self::malformed(at, what)),
        }
    }

    /// Whether another item of the array or map `count` follows; reads the break byte at its end.
    fn another(&mut self, count: &mut Count) -> Result<bool, IngressError> {
        match count {
            Count::Definite(0) => Ok(false),
            Count::Definite(left) => {
                *left -= 1;
                Ok(true)
            }
            Count::Indefinite => match self.input.get(self.position) {
                Some(0xff) => {
                    self.position += 1;
                    Ok(false)
                }
                Some(_) => Ok(true),
                None => Err(Self::malformed(
                    self.position,
                    "the break of an indefinite length",
                )),
            },
        }
    }

    /// Reads an array of at most `limit` items by calling `read` for each.
    pub(crate) fn array(
        &mut self,
        what: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Self) -> Result<(), IngressError>,
    ) -> Result<(), IngressError> {
        let mut count = self.count(4, "an array")?;
        let over = |value| IngressError::TooLarge {
            what,
            value,
            limit: limit as u64,
            unit: "items",
        };
        if let Count::Definite(len) = count
            && len > limit as u64
        {
            return Err(over(len));
        }
        let mut done = 0u64;
        while self.another(&mut count)? {
            done += 1;
            if done > limit as u64 {
                return Err(over(done));
            }
            read(self)?;
        }
        Ok(())
    }

    /// Reads a map with text keys by calling `read` with each key; `read` reads the value.
    pub(crate) fn map(
        &mut self,
        limit: usize,
        mut read: impl FnMut(&'a str, &mut Self) -> Result<(), IngressError>,
    ) -> Result<(), IngressError> {
        let mut count = self.count(5, "a map")?;
        let mut done = 0usize;
        while self.another(&mut count)? {
            done += 1;
            if done > limit {
                let (what, value, limit) = ("a map", done as u64, limit as u64);
                return Err(IngressError::TooLarge {
                    what,
                    value,
                    limit,
                    unit: "fields",
                });
            }
            let key = self.text("a field name", 64)?;
            read(key, self)?;
        }
        Ok(())
    }

    /// The error for a field that its reader does not know.
    pub(crate) fn unknown(name: &str) -> IngressError {
        IngressError::UnknownField(name.to_owned())
    }

    /// Whether a byte string stands there.
    pub(crate) fn is_bytes(&self) -> bool {
        self.input
            .get(self.position)
            .is_some_and(|byte| byte >> 5 == 2)
    }

    /// An integer of either sign, within 63 bits.
    pub(crate) fn int(&mut self) -> Result<i64, IngressError> {
        let at = self.position;
        let what = "an integer of 64 bits";
        match self.head()? {
            (major @ (0 | 1), Some(value)) => {
                let value = i64::try_from(value).map_err(|_| Self::malformed(at, what))?;
                Ok(if major == 0 { value } else { -1 - value })
            }
            _ => Err(Self::malformed(at, what)),
        }
    }

    /// Reads a map with integers for names, at most `limit` of them. `read` reads the value of
    /// each, and says whether it may stand there; the result is whether all of them may.
    pub(crate) fn numbered_map(
        &mut self,
        limit: usize,
        mut read: impl FnMut(i64, &mut Self) -> Result<bool, IngressError>,
    ) -> Result<bool, IngressError> {
        let mut count = self.count(5, "a map")?;
        let mut done = 0usize;
        while self.another(&mut count)? {
            done += 1;
            let name = self.int()?;
            // What may not stand there is not read over: the rest would be taken for something
            // else.
            if done > limit || !read(name, self)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A hash tree, in its canonical encoding.
    pub(crate) fn hash_tree(&mut self) -> Result<HashTree, IngressError> {
        let at = self.position;
        let mut decoder = Decoder::new(&self.input[at..]);
        let tree =
            HashTree::decode(&mut decoder).map_err(|_| Self::malformed(at, "a hash tree"))?;
        self.position += decoder.position();
        Ok(tree)
    }

    /// Reads a null if one stands there, and says whether it did. Some clients write absent fields
    /// as null.
    pub(crate) fn null(&mut self) -> bool {
        let found = self.input.get(self.position) == Some(&0xf6);
        self.position += usize::from(found);
        found
    }
}
