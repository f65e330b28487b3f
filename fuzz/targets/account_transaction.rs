//! Transactions of the account engine, in all versions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::fuzz_transaction;

fuzz_target!(|data: &[u8]| {
    fuzz_transaction(data);
});
