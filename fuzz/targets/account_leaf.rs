//! Leaves of the account runtime's state, as a state that was fetched from peers holds them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::fuzz_leaves;

fuzz_target!(|data: &[u8]| {
    fuzz_leaves(data);
});
