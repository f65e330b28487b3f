//! Questions to the account engine and its answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_account::query::{Answer, Question};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Question::decode, Question::encode);
    trilith_fuzz::strict(data, Answer::decode, Answer::encode);
});
