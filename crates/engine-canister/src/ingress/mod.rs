//! HTTP envelopes of the Internet Computer: decoding, request ids, authentication and the rules
//! under which a request is taken.
//!
//! Knows the wire format and the agreed time it is handed; knows no state, no executor and no HTTP.
//! Invariants: no byte string makes a decoder panic or allocate more than the input's own length;
//! the verdict on an envelope depends on its bytes and the given time alone.
//!
//! Source: Internet Computer interface specification, "HTTPS interface", "Authentication".

use candid::Principal;

mod canister_signature;
mod content;
mod cose;
mod der;
mod envelope;
mod error;
mod judge;
mod reader;
mod signature;
mod webauthn;

pub use canister_signature::CanisterKey;
pub use content::{CallContent, Content, ReadStateContent, SenderInfo};
pub use cose::CoseKey;
pub use envelope::{Envelope, Permissions, SignedDelegation};
pub use error::{
    CanisterSignatureFault, IngressError, MODULE, MODULE_CANISTER, Refusal, WebAuthnFault, refusal,
};
pub(crate) use judge::decode_candid;
pub use judge::{Judge, effective_canister, effective_of_method};
pub use signature::{
    UserKey, canister_key_der, ecdsa_p256_der, ecdsa_secp256k1_der, ed25519_der, webauthn_der,
};
pub use trilith_params::ingress::{
    DELEGATIONS_MAX, DRIFT_NANOS, ENVELOPE_BYTES_MAX, PATH_LABELS_MAX, PATHS_MAX, TARGETS_MAX,
    TTL_NANOS, VALIDATOR_DRIFT_NANOS,
};

/// Entry point for fuzzing: arbitrary bytes as a key and as a signature of each kind that is more
/// than a fixed number of bytes. Nothing that an authenticator or a canister did not sign verifies,
/// and never panics.
pub fn fuzz_signature(bytes: &[u8]) {
    let message = b"a message that nobody signed";
    let _ = CoseKey::decode(bytes).map(|key| key.verifies(message, bytes));
    let key = UserKey::from_der(bytes);
    // The input may bring its own key: its first half as one, the rest as the signature.
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    for key in [key, UserKey::from_der(first)].into_iter().flatten() {
        assert!(
            key.verify(None, message, rest, "nothing").is_err(),
            "nobody can sign with what the fuzzer found"
        );
    }
    let anyone = UserKey::from_der(&canister_key_der(Principal::anonymous(), b"seed"));
    let verified = anyone.map(|key| key.verify(None, message, bytes, "nothing"));
    assert!(
        matches!(verified, Ok(Err(_))),
        "without a root key no canister signs"
    );
    webauthn::fuzz_assertion(bytes);
}

/// Entry point for fuzzing: decodes arbitrary bytes as an envelope, and computes what is derived
/// from one. Never panics.
pub fn fuzz_envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::decode(bytes) {
        let _ = envelope.content.request_id();
        let _ = Judge::default().judge(&envelope, bytes, 0, false);
    }
}
