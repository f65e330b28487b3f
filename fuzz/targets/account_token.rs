//! The data of token accounts, as the indexes read it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::fuzz_token_account;

fuzz_target!(|data: &[u8]| {
    fuzz_token_account(data);
});
