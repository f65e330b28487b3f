//! Messages between runtimes and the root, evidence, and what else is said to the roothash service.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::root::{
    Evidence, FromRoot, LivenessStatistics, RoothashGenesis, RoothashParameterChanges,
    RoothashParameters, RoundResults, RoundRoots, RuntimeMessage, SubmitMessage,
};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, RuntimeMessage::decode, RuntimeMessage::encode);
    trilith_fuzz::strict(data, SubmitMessage::decode, SubmitMessage::encode);
    trilith_fuzz::strict(data, Evidence::decode, Evidence::encode);
    trilith_fuzz::strict(data, FromRoot::decode, FromRoot::encode);
    trilith_fuzz::strict(data, RoundResults::decode, RoundResults::encode);
    trilith_fuzz::strict(data, RoundRoots::decode, RoundRoots::encode);
    trilith_fuzz::strict(data, LivenessStatistics::decode, LivenessStatistics::encode);
    trilith_fuzz::strict(data, RoothashParameters::decode, RoothashParameters::encode);
    trilith_fuzz::strict(
        data,
        RoothashParameterChanges::decode,
        RoothashParameterChanges::encode,
    );
    trilith_fuzz::strict(data, RoothashGenesis::decode, RoothashGenesis::encode);
});
