//! TupleHash256: a hash of a list of byte strings that no other list has, even one whose strings
//! are the same when joined.
//!
//! Source: NIST SP 800-185 section 5.

use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{CShake256, CShake256Core};

/// The name of the function in cSHAKE. Source: NIST SP 800-185 section 5.3.2.
const NAME: &[u8] = b"TupleHash";

/// A list that is being hashed.
#[derive(Clone)]
pub struct TupleHash(CShake256);

impl TupleHash {
    /// An empty list. The customization says what the hash is for.
    pub fn new(customization: &[u8]) -> Self {
        let core = CShake256Core::new_with_function_name(NAME, customization);
        Self(CShake256::from_core(core))
    }

    /// The list with another item.
    #[must_use]
    pub fn item(mut self, bytes: &[u8]) -> Self {
        let (encoded, skip) = encode(bytes.len() as u64);
        let len = encoded.len() - skip;
        self.0.update(&[len as u8]);
        self.0.update(&encoded[skip..]);
        self.0.update(bytes);
        self
    }

    /// The hash, of `LEN` bytes. Hashes of different lengths have nothing in common.
    pub fn finish<const LEN: usize>(mut self) -> [u8; LEN] {
        let (encoded, skip) = encode(LEN as u64);
        let len = encoded.len() - skip;
        self.0.update(&encoded[skip..]);
        self.0.update(&[len as u8]);
        let mut hash = [0; LEN];
        self.0.finalize_xof().read(&mut hash);
        hash
    }
}

/// A length in bits, big-endian, and how many of its bytes are to be skipped so that it is as short
/// as can be. Lengths in memory are far below 2^61 bytes.
fn encode(bytes: u64) -> ([u8; 8], usize) {
    let bits = bytes.saturating_mul(8);
    let skip = (bits.leading_zeros() / 8).min(7) as usize;
    (bits.to_be_bytes(), skip)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = &[0, 1, 2];
    const SECOND: &[u8] = &[0x10, 0x11, 0x12, 0x13, 0x14, 0x15];
    const THIRD: &[u8] = &[0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28];

    /// Source: NIST, "TupleHash samples", samples 4 to 6.
    #[test]
    fn the_published_samples_are_met() {
        let app: &[u8] = b"My Tuple App";
        /// Customization, items, hash.
        type Sample<'a> = (&'a [u8], &'a [&'a [u8]], &'a str);
        let samples: [Sample<'_>; 3] = [
            (
                b"",
                &[FIRST, SECOND],
                "cfb7058caca5e668f81a12a20a2195ce97a925f1dba3e7449a56f82201ec6073\
                 11ac2696b1ab5ea2352df1423bde7bd4bb78c9aed1a853c78672f9eb23bbe194",
            ),
            (
                app,
                &[FIRST, SECOND],
                "147c2191d5ed7efd98dbd96d7ab5a11692576f5fe2a5065f3e33de6bba9f3aa1\
                 c4e9a068a289c61c95aab30aee1e410b0b607de3620e24a4e3bf9852a1d4367e",
            ),
            (
                app,
                &[FIRST, SECOND, THIRD],
                "45000be63f9b6bfd89f54717670f69a9bc763591a4f05c50d68891a744bcc6e7\
                 d6d5b5e82c018da999ed35b0bb49c9678e526abd8e85c13ed254021db9e790ce",
            ),
        ];
        for (customization, items, expected) in samples {
            let start = TupleHash::new(customization);
            let hash = items.iter().fold(start, |hash, item| hash.item(item));
            assert_eq!(hex::encode(hash.finish::<64>()), expected);
        }
    }

    /// Source: NIST SP 800-185 section 2.3.1, the encoding of integers.
    #[test]
    fn lengths_are_encoded_as_short_as_can_be() {
        for (bytes, skip) in [(0, 7), (1, 7), (31, 7), (32, 6), (8191, 6), (8192, 5)] {
            let (encoded, found) = encode(bytes);
            assert_eq!(found, skip, "{bytes} bytes");
            assert!(skip == 7 || encoded[skip] != 0);
        }
    }

    #[test]
    fn lists_that_join_to_the_same_bytes_differ() {
        let hash = |items: &[&[u8]]| -> [u8; 32] {
            let start = TupleHash::new(b"test");
            items
                .iter()
                .fold(start, |hash, item| hash.item(item))
                .finish()
        };
        let lists: [&[&[u8]]; 5] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"abc", b""],
            &[],
        ];
        for (place, one) in lists.iter().enumerate() {
            for other in &lists[place + 1..] {
                assert_ne!(hash(one), hash(other));
            }
        }
        assert_ne!(hash(&[b"a"]), TupleHash::new(b"tes").item(b"a").finish());
    }
}
