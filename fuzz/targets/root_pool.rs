//! The pool of commitments as the root keeps it in its state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_root::pool::Pool;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Pool::decode, Pool::encode);
});
