//! Headers of runtime blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::BlockHeader;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, BlockHeader::decode, BlockHeader::encode);
});
