//! Certificates of the Internet Computer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_proof::Certificate;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::stable(data, Certificate::decode, Certificate::encode);
});
