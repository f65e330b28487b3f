//! Write logs, whose entries may come in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_mkvs::{decode_write_log, encode_write_log};

fuzz_target!(|data: &[u8]| {
    let decode = |bytes: &[u8]| decode_write_log(bytes, 1 << 20);
    trilith_fuzz::stable(data, decode, |log| encode_write_log(log));
});
