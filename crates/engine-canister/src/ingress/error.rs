//! Why an HTTP envelope is refused, and which HTTP status that is.
//!
//! Every error has a code that is never reused; retired codes stay gaps. A [`Reject`] of this
//! module carries the code of the error; one of the module [`MODULE_CANISTER`] carries the number
//! of the Internet Computer's error code (`IC0301` is 301).

use candid::Principal;
use thiserror::Error;
use trilith_protocol::Reject;

/// `Reject::module` of refused envelopes.
pub const MODULE: &str = "ingress";
/// `Reject::module` of requests that are well-formed and authentic, but that the canister or the
/// subnet refuses; `Reject::code` is the number of the Internet Computer's error code.
pub const MODULE_CANISTER: &str = "canister";

/// Why an envelope is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IngressError {
    /// The bytes are not the CBOR that an envelope is made of.
    #[error("the envelope is malformed at byte {at}: expected {what}")]
    Malformed {
        /// Offset of the item.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
    /// Something is larger than allowed.
    #[error("{what} has {value} {unit}, over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: u64,
        /// The most that is allowed.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A field that the interface does not know.
    #[error("the envelope has the field `{0}`, which the interface does not know there")]
    UnknownField(String),
    /// A field that must be there is not.
    #[error("the envelope lacks the field `{0}`")]
    MissingField(&'static str),
    /// A field stands there twice.
    #[error("the envelope has the field `{0}` more than once")]
    RepeatedField(&'static str),
    /// A request of another type was expected at this endpoint.
    #[error("the request is of type `{found}`, this endpoint takes `{wanted}`")]
    RequestType {
        /// The type of the request.
        found: String,
        /// The type that is taken.
        wanted: &'static str,
    },
    /// The expiry has passed.
    #[error("the request expired at {expiry} ns, the present is {now} ns")]
    Expired {
        /// `ingress_expiry` in nanoseconds since 1970.
        expiry: u64,
        /// The present in nanoseconds since 1970.
        now: u64,
    },
    /// The expiry is too far in the future.
    #[error("the request expires at {expiry} ns, over the limit of {limit} ns at this moment")]
    ExpiryTooFar {
        /// `ingress_expiry` in nanoseconds since 1970.
        expiry: u64,
        /// The latest expiry that is accepted at present.
        limit: u64,
    },
    /// The sender is not the one the public key stands for.
    #[error("the sender is {sender}, but the public key is that of {derived}")]
    SenderNotKey {
        /// `sender` of the content.
        sender: Principal,
        /// The self-authenticating principal of `sender_pubkey`.
        derived: Principal,
    },
    /// The sender is not anonymous, and key or signature is missing.
    #[error("the sender is {0}, and `sender_pubkey` or `sender_sig` is missing")]
    SignatureMissing(Principal),
    /// The sender is anonymous, and there is a key, a signature or a delegation.
    #[error("the sender is anonymous, and the envelope carries a key, signature or delegation")]
    AnonymousSigned,
    /// The kind of key or signature is not supported.
    #[error("{0} are not supported yet; supported are Ed25519, ECDSA P-256 and ECDSA secp256k1")]
    KeyUnsupported(&'static str),
    /// The public key is not a valid DER key.
    #[error("the public key is not a DER-encoded Ed25519, ECDSA P-256 or ECDSA secp256k1 key")]
    KeyMalformed,
    /// A signature does not verify.
    #[error("the signature of {0} does not verify")]
    SignatureInvalid(&'static str),
    /// A key occurs twice in a chain of delegations.
    #[error("the public key at position {0} of the delegations occurs twice in the chain")]
    DelegationRepeatedKey(usize),
    /// A delegation has expired.
    #[error(
        "the delegation at position {position} expired at {expiry} ns, the present is {now} ns"
    )]
    DelegationExpired {
        /// Position in the chain, from 0.
        position: usize,
        /// Its expiration in nanoseconds since 1970.
        expiry: u64,
        /// The present in nanoseconds since 1970.
        now: u64,
    },
    /// A delegation is not for this canister.
    #[error("the delegations do not have {0} among their targets")]
    DelegationTarget(Principal),
    /// A delegation does not permit calls, or names permissions that are not known.
    #[error(
        "the delegation at position {position} permits `{permissions}`, which does not allow this request"
    )]
    DelegationPermissions {
        /// Position in the chain, from 0.
        position: usize,
        /// The permissions it names.
        permissions: String,
    },
    /// The request was received before.
    #[error("the request {} was received before", hex_of(.0))]
    Duplicate([u8; 32]),
    /// A path may not be read by this sender.
    #[error("the path {0} may not be read by this sender at this endpoint")]
    PathForbidden(String),
    /// A path is not one of the state tree.
    #[error("the path {0} is not one that this endpoint can read")]
    PathInvalid(String),
    /// The request's canister is not the one in the address.
    #[error("the address names {address}, but the request belongs to {effective}")]
    EffectiveCanister {
        /// The effective canister id of the address.
        address: Principal,
        /// The one of the request.
        effective: Principal,
    },
    /// Request ids of several requests were asked in one read.
    #[error("one read may ask for one request status, it asks for {0}")]
    SeveralRequests(usize),
}

fn hex_of(id: &[u8; 32]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The answer that an HTTP client gets for a refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Status 400: malformed, expired, oversized.
    BadRequest,
    /// Status 403: not authentic, or not allowed.
    Forbidden,
    /// Status 200 with `status = non_replicated_rejection` (calls), or a rejected query.
    Rejection {
        /// Reject code, 1 to 6.
        reject_code: u32,
        /// `IC0…`.
        error_code: String,
    },
}

impl IngressError {
    /// The code of this error; never reused.
    pub fn code(&self) -> u32 {
        match self {
            Self::Malformed { .. } => 1,
            Self::TooLarge { .. } => 2,
            Self::UnknownField(_) => 3,
            Self::MissingField(_) => 4,
            Self::RepeatedField(_) => 5,
            Self::RequestType { .. } => 6,
            Self::Expired { .. } => 7,
            Self::ExpiryTooFar { .. } => 8,
            Self::Duplicate(_) => 9,
            Self::PathInvalid(_) => 10,
            Self::EffectiveCanister { .. } => 11,
            Self::SeveralRequests(_) => 12,
            Self::DelegationExpired { .. } => 13,
            Self::SenderNotKey { .. } => FORBIDDEN_FROM,
            Self::SignatureMissing(_) => FORBIDDEN_FROM + 1,
            Self::AnonymousSigned => FORBIDDEN_FROM + 2,
            Self::KeyUnsupported(_) => FORBIDDEN_FROM + 3,
            Self::KeyMalformed => FORBIDDEN_FROM + 4,
            Self::SignatureInvalid(_) => FORBIDDEN_FROM + 5,
            Self::DelegationRepeatedKey(_) => FORBIDDEN_FROM + 6,
            Self::DelegationTarget(_) => FORBIDDEN_FROM + 7,
            Self::DelegationPermissions { .. } => FORBIDDEN_FROM + 8,
            Self::PathForbidden(_) => FORBIDDEN_FROM + 9,
        }
    }

    /// Which HTTP status this is: 400 for malformed and expired requests, 403 for those that are
    /// not authentic or not allowed.
    pub fn refusal(&self) -> Refusal {
        if self.code() >= FORBIDDEN_FROM {
            Refusal::Forbidden
        } else {
            Refusal::BadRequest
        }
    }
}

/// Codes from here on are answered with 403.
const FORBIDDEN_FROM: u32 = 100;

impl From<IngressError> for Reject {
    fn from(error: IngressError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

/// How a [`Reject`] from `check` or `query` of the canister engine is answered over HTTP.
pub fn refusal(reject: &Reject) -> Refusal {
    match reject.module {
        MODULE_CANISTER => Refusal::Rejection {
            reject_code: reject.code / 100,
            error_code: format!("IC{:04}", reject.code),
        },
        MODULE if reject.code >= FORBIDDEN_FROM => Refusal::Forbidden,
        _ => Refusal::BadRequest,
    }
}
