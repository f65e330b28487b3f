//! What key managers publish.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::root::keymanager::{
    KeymanagerGenesis, SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret,
    SignedInitResponse, SignedPolicySgx,
};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, KeymanagerGenesis::decode, KeymanagerGenesis::encode);
    trilith_fuzz::strict(data, SignedEncryptedEphemeralSecret::decode, SignedEncryptedEphemeralSecret::encode);
    trilith_fuzz::strict(data, SignedEncryptedMasterSecret::decode, SignedEncryptedMasterSecret::encode);
    trilith_fuzz::strict(data, SignedInitResponse::decode, SignedInitResponse::encode);
    trilith_fuzz::strict(data, SignedPolicySgx::decode, SignedPolicySgx::encode);
});
