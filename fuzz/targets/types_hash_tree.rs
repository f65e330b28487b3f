//! Hash trees as certificates carry them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_types::HashTree;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

fuzz_target!(|data: &[u8]| {
    let decode = |bytes: &[u8]| -> Result<HashTree, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let tree = HashTree::decode(&mut decoder)?;
        decoder.finish()?;
        Ok(tree)
    };
    trilith_fuzz::strict(data, decode, |tree| {
        let mut encoder = Encoder::new();
        tree.encode(&mut encoder);
        encoder.finish()
    });
});
