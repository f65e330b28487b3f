//! The hash tree over pages: what binds bytes of any length to 32 bytes in a state.
//!
//! Large values of a runtime do not stand in its tree of keys but in images of pages of 4,096
//! bytes. The tree of keys holds, under [`image_key`], the number of pages and the root of this
//! tree over them:
//!
//! ```text
//! leaf(page)         = BLAKE3 keyed with "trilith page tree leaf, format 1" over the 4,096 bytes
//! inner(left, right) = BLAKE3 keyed with "trilith page tree node, format 1" over left ‖ right
//! root               = the top of the complete binary tree over the pages, padded with zero pages
//!                      to the next power of two
//! ```
//!
//! This is the verifier's own computation; the store has another one that shares nothing with it.

use trilith_types::cbor::{DecodeError, Decoder};
use trilith_types::{ImageId, PAGE_BYTES};

const LEAF_KEY: &[u8; 32] = b"trilith page tree leaf, format 1";
const INNER_KEY: &[u8; 32] = b"trilith page tree node, format 1";
/// How the keys of images start in a state: the reserved byte 0 and the word `page`.
const IMAGE_KEY_PREFIX: &[u8] = b"\0page";

/// The key under which a state holds the length and the root of an image.
pub fn image_key(image: &ImageId) -> Vec<u8> {
    [IMAGE_KEY_PREFIX, image.as_bytes()].concat()
}

/// Reads the value under [`image_key`]: the number of pages and the root over them.
///
/// # Errors
/// [`DecodeError`] if it is no such value.
pub fn read_image_leaf(value: &[u8]) -> Result<(u64, [u8; 32]), DecodeError> {
    let mut decoder = Decoder::new(value);
    if decoder.array("image", 2)? != 2 {
        return Err(DecodeError::Field("image"));
    }
    let pages = decoder.uint()?;
    let root = decoder.bytes_exact("root")?;
    decoder.finish()?;
    Ok((pages, root))
}

/// The number of pages of `data`, whose last page is filled up with zeros, and the root over them.
pub fn root_of(data: &[u8]) -> (u64, [u8; 32]) {
    let mut level: Vec<[u8; 32]> = data.chunks(PAGE_BYTES).map(leaf).collect();
    let pages = level.len() as u64;
    let mut zero = leaf(&[]);
    if level.is_empty() {
        level.push(zero);
    }
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| inner(&pair[0], pair.get(1).unwrap_or(&zero)))
            .collect();
        zero = inner(&zero, &zero);
    }
    (pages, level[0])
}

/// The hash of a page that begins with `bytes`, at most 4,096, and goes on with zeros.
fn leaf(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(LEAF_KEY);
    hasher.update(bytes);
    hasher.update(&[0; PAGE_BYTES][bytes.len()..]);
    *hasher.finalize().as_bytes()
}

fn inner(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    *blake3::Hasher::new_keyed(INNER_KEY)
        .update(left)
        .update(right)
        .finalize()
        .as_bytes()
}
