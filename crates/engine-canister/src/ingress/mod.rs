//! HTTP envelopes of the Internet Computer: decoding, request ids, authentication and the rules
//! under which a request is taken.
//!
//! Knows the wire format and the agreed time it is handed; knows no state, no executor and no HTTP.
//! Invariants: no byte string makes a decoder panic or allocate more than the input's own length;
//! the verdict on an envelope depends on its bytes and the given time alone.
//!
//! Source: Internet Computer interface specification, "HTTPS interface", "Authentication".

mod envelope;
mod error;
mod judge;
mod reader;
mod signature;

pub use envelope::{
    CallContent, Content, Envelope, Permissions, ReadStateContent, SignedDelegation,
};
pub use error::{IngressError, MODULE, MODULE_CANISTER, Refusal, refusal};
pub(crate) use judge::decode_candid;
pub use judge::{Judge, effective_canister, effective_of_method};
pub use signature::{UserKey, ecdsa_p256_der, ecdsa_secp256k1_der, ed25519_der};
pub use trilith_params::ingress::{
    DELEGATIONS_MAX, DRIFT_NANOS, ENVELOPE_BYTES_MAX, PATH_LABELS_MAX, PATHS_MAX, TARGETS_MAX,
    TTL_NANOS, VALIDATOR_DRIFT_NANOS,
};

/// Entry point for fuzzing: decodes arbitrary bytes as an envelope, and computes what is derived
/// from one. Never panics.
pub fn fuzz_envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::decode(bytes) {
        let _ = envelope.content.request_id();
        let _ = Judge::default().judge(&envelope, bytes, 0, false);
    }
}
