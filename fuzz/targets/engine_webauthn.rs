//! Assertions of authenticators, and the COSE keys that they are verified under.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_engine_canister::ingress::{CoseKey, UserKey, fuzz_signature, webauthn_der};

fuzz_target!(|data: &[u8]| {
    let wrapped = webauthn_der(&data[..data.len().min(2_048)]);
    // A key is one whether it comes wrapped or not.
    let bare = CoseKey::decode(&data[..data.len().min(2_048)]);
    assert_eq!(UserKey::from_der(&wrapped).is_ok(), bare.is_ok());
    fuzz_signature(&wrapped);
});
