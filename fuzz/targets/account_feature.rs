//! The data of feature accounts. A pending one has a slot that means nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::gates::FeatureState;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::stable(
        data,
        |data| FeatureState::decode(data).ok_or("no feature"),
        |state| state.encode().to_vec(),
    );
});
