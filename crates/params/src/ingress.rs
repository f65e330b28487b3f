//! Numbers that decide whether the canister runtime takes a user's request.

use crate::canister::SECOND_NANOS;
use crate::params;

params! {
    "ingress";

    /// Most bytes of an envelope.
    ENVELOPE_BYTES_MAX: usize = 5 * 1024 * 1024, Bytes, v 1,
        "request body limit of the Internet Computer's replica";

    /// Most bytes of a call's argument.
    ARGUMENT_BYTES_MAX: usize = 2 * 1024 * 1024, Bytes, v 1,
        "interface specification 0.66, Request: Call; registry max_ingress_bytes_per_message";

    /// Most bytes of a method name.
    METHOD_BYTES_MAX: usize = 20_000, Bytes, v 1,
        "limit on the sum of a module's exported names, wasm.METHOD_NAME_BYTES_MAX";

    /// Most bytes of a nonce.
    NONCE_BYTES_MAX: usize = 32, Bytes, v 1,
        "interface specification 0.66, Authentication";

    /// Most bytes of a public key.
    KEY_BYTES_MAX: usize = 2_048, Bytes, v 1,
        "own choice: above the key of a canister signature, the longest";

    /// Most bytes of a signature.
    SIGNATURE_BYTES_MAX: usize = 128 * 1024, Bytes, v 1,
        "own choice: above a canister signature, which carries a certificate";

    /// Most bytes of what a canister attests about a sender. Every message of the call carries it.
    SENDER_INFO_BYTES_MAX: usize = 64 * 1024, Bytes, v 1,
        "own choice: above the attributes of a user that Internet Identity attests";

    /// Fewest bits of the modulus of an authenticator's RSA key.
    RSA_KEY_BITS_MIN: usize = 2_048, Count, v 1,
        "replica MINIMUM_RSA_KEY_SIZE; NIST SP 800-131A";

    /// Most bits of the modulus of an authenticator's RSA key.
    RSA_KEY_BITS_MAX: usize = 8_192, Count, v 1,
        "replica MAXIMUM_RSA_KEY_SIZE";

    /// Most delegations in a chain.
    DELEGATIONS_MAX: usize = 20, Count, v 1,
        "interface specification 0.66, Authentication";

    /// Most targets of a delegation.
    TARGETS_MAX: usize = 1_000, Count, v 1,
        "interface specification 0.66, Authentication";

    /// Most paths of a read_state request.
    PATHS_MAX: usize = 1_000, Count, v 1,
        "interface specification 0.66, Request: Read state";

    /// Most labels of a path.
    PATH_LABELS_MAX: usize = 127, Count, v 1,
        "interface specification 0.66, Request: Read state";

    /// Most bytes of a label of a path.
    LABEL_BYTES_MAX: usize = 20_000, Bytes, v 1,
        "own choice: the longest label is a method or section name";

    /// How long a request may live.
    TTL_NANOS: u64 = 300 * SECOND_NANOS, Nanoseconds, v 1,
        "replica MAX_INGRESS_TTL: 5 minutes";

    /// How far a client's clock may be ahead.
    DRIFT_NANOS: u64 = 60 * SECOND_NANOS, Nanoseconds, v 1,
        "replica PERMITTED_DRIFT";

    /// What a round grants beyond a check, because its time may be behind that of the node that
    /// checked.
    VALIDATOR_DRIFT_NANOS: u64 = 30 * SECOND_NANOS, Nanoseconds, v 1,
        "replica PERMITTED_DRIFT_AT_VALIDATOR";

    /// Work that skipping fields of a Candid argument may cause for each of its bytes.
    CANDID_SKIPPING_PER_BYTE: usize = 8, Count, v 1,
        "own choice: a whole module that is skipped stays within it";

    /// Work that skipping fields of a Candid argument may cause beside that for its bytes.
    CANDID_SKIPPING_BASE: usize = 10_000, Count, v 1,
        "own choice: covers the type table of short arguments";

    /// Work that decoding a Candid argument may cause, in multiples of that for skipping.
    CANDID_DECODING_FACTOR: usize = 64, Count, v 1,
        "own choice: the decoder counts a skipped byte fifty times over";
}

const _: () = assert!(ARGUMENT_BYTES_MAX + METHOD_BYTES_MAX < ENVELOPE_BYTES_MAX);
const _: () = assert!(METHOD_BYTES_MAX == crate::wasm::METHOD_NAME_BYTES_MAX);
const _: () = assert!(VALIDATOR_DRIFT_NANOS <= DRIFT_NANOS && DRIFT_NANOS <= TTL_NANOS);
const _: () = assert!(crate::canister::STATUS_KEPT_NANOS >= TTL_NANOS);
