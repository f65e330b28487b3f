//! What is said to the root, and what it answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::root::beacon::VrfProve;
use trilith_protocol::{Committee, RootAnswer, RootEvent, RootGenesis, RootQuery, RootTransaction};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, RootTransaction::decode, RootTransaction::encode);
    trilith_fuzz::strict(data, RootQuery::decode, RootQuery::encode);
    trilith_fuzz::strict(data, RootAnswer::decode, RootAnswer::encode);
    trilith_fuzz::strict(data, RootEvent::decode, RootEvent::encode);
    trilith_fuzz::strict(data, RootGenesis::decode, RootGenesis::encode);
    trilith_fuzz::strict(data, Committee::decode, Committee::encode);
    trilith_fuzz::strict(data, VrfProve::decode, VrfProve::encode);
});
