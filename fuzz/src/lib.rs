//! What the fuzz targets share: the properties of a decoder.
//!
//! A target is named after the decoder it feeds. It fails when the decoder panics, hangs or takes
//! too much memory, and when a property here does not hold. The same properties run on fewer
//! inputs within `cargo test`, as property tests of each crate.

mod instance;

pub use instance::Instance;

/// A strict decoder accepts one encoding of a value only: what it accepts is encoded to the bytes
/// it came from.
pub fn strict<T, E>(
    data: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(data) {
        assert_eq!(encode(&value), data, "another encoding was accepted");
    }
}

/// A lenient decoder may accept several encodings, but what is encoded again stays as it is.
pub fn stable<T, E: std::fmt::Debug>(
    data: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(data) {
        let once = encode(&value);
        let again = decode(&once).expect("an own encoding is accepted");
        assert_eq!(encode(&again), once, "encoding again changes the bytes");
    }
}
