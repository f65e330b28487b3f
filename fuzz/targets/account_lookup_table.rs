//! The data of address lookup tables, and lookups in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::fuzz_lookup_table;

fuzz_target!(|data: &[u8]| {
    fuzz_lookup_table(data);
});
