//! Claims of signatures, as the programs that check them read them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::fuzz_precompile;

fuzz_target!(|data: &[u8]| {
    fuzz_precompile(data);
});
