//! SubjectPublicKeyInfo, the DER structure in which the interface hands keys around.
//!
//! ```text
//! SEQUENCE { SEQUENCE { OBJECT IDENTIFIER, parameters }, BIT STRING }
//! ```
//!
//! Knows the structure; knows no algorithm. Invariant: DER has one encoding of each value, and only
//! that one is read, so that a key has one principal.
//!
//! Source: X.690 (DER), RFC 5280 section 4.1 (SubjectPublicKeyInfo).

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BIT_STRING: u8 = 0x03;

/// A public key and the name of its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublicKeyInfo<'a> {
    /// The content of the algorithm's object identifier.
    pub(super) algorithm: &'a [u8],
    /// What follows it in the encoding, whole elements; empty for most algorithms.
    pub(super) parameters: &'a [u8],
    /// The key.
    pub(super) key: &'a [u8],
}

impl<'a> PublicKeyInfo<'a> {
    /// Reads the structure; `None` if the bytes are not one.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (info, rest) = element(SEQUENCE, der)?;
        let (name, bits) = element(SEQUENCE, info)?;
        let (algorithm, parameters) = element(OBJECT_IDENTIFIER, name)?;
        let (bits, end) = element(BIT_STRING, bits)?;
        // The first byte says how many bits of the last byte are not used: a key is whole bytes.
        let key = bits.strip_prefix(&[0])?;
        (rest.is_empty() && end.is_empty()).then_some(Self {
            algorithm,
            parameters,
            key,
        })
    }
}

/// The content of the element with the given tag that `input` begins with, and what follows it.
fn element(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (len, input) = match first {
        ..=0x7f => (usize::from(first), input),
        0x81 => {
            let (&len, input) = input.split_first()?;
            (Some(usize::from(len)).filter(|len| *len >= 0x80)?, input)
        }
        // Keys are at most a few thousand bytes long: no longer length can be valid.
        0x82 => {
            let (len, input) = input.split_first_chunk::<2>()?;
            let len = usize::from(u16::from_be_bytes(*len));
            (Some(len).filter(|len| *len >= 0x100)?, input)
        }
        _ => return None,
    };
    (*found == tag && len <= input.len()).then(|| input.split_at(len))
}

/// Writes an element; for the keys that are made here and in tests.
pub(super) fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let name = encoded(SEQUENCE, &encoded(OBJECT_IDENTIFIER, algorithm));
    let bits = encoded(BIT_STRING, &[&[0], key].concat());
    encoded(SEQUENCE, &[name, bits].concat())
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    match len {
        0..0x80 => out.push(len as u8),
        0x80..0x100 => out.extend_from_slice(&[0x81, len as u8]),
        _ => {
            out.push(0x82);
            let len = u16::try_from(len).expect("keys are shorter than 64 KiB");
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}
