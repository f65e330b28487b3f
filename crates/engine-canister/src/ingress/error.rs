//! Why an HTTP envelope is refused, and which HTTP status that is.
//!
//! Every error has a code that is never reused; retired codes stay gaps. A [`Reject`] of this
//! module carries the code of the error; one of the module [`MODULE_CANISTER`] carries the number
//! of the Internet Computer's error code (`IC0301` is 301).

use candid::Principal;
use thiserror::Error;
use trilith_params::ingress::{RSA_KEY_BITS_MAX, RSA_KEY_BITS_MIN};
use trilith_proof::CertificateError;
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
    ///
    /// Agents know the words before the colon, and correct their clock when they read them.
    #[error("Invalid request expiry: the request expired at {expiry} ns, the present is {now} ns")]
    Expired {
        /// `ingress_expiry` in nanoseconds since 1970.
        expiry: u64,
        /// The present in nanoseconds since 1970.
        now: u64,
    },
    /// The expiry is too far in the future.
    #[error(
        "Invalid request expiry: the request expires at {expiry} ns, over the limit of {limit} ns at this moment"
    )]
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
    #[error(
        "{0} are not supported; supported are Ed25519, ECDSA P-256 and secp256k1, WebAuthn and canister signatures"
    )]
    KeyUnsupported(&'static str),
    /// The public key is not a valid DER key.
    #[error(
        "the public key is not a DER-encoded key for Ed25519, ECDSA P-256 or secp256k1, WebAuthn or canister signatures"
    )]
    KeyMalformed,
    /// A signature does not verify.
    #[error("the signature of {0} does not verify")]
    SignatureInvalid(&'static str),
    /// A key or a signature of an authenticator does not count.
    #[error("WebAuthn, {what}: {why}")]
    WebAuthn {
        /// Which key, or the signature of what.
        what: &'static str,
        /// Why not.
        why: WebAuthnFault,
    },
    /// A signature of a canister does not count.
    #[error("the canister signature of {what} does not verify: {why}")]
    CanisterSignature {
        /// The signature of what.
        what: &'static str,
        /// Why not.
        why: CanisterSignatureFault,
    },
    /// `sender_info` without the key of a canister.
    #[error(
        "`sender_info` is attested by a canister, and `sender_pubkey` is not the key of a canister"
    )]
    SenderInfoKey,
    /// `sender_info` names another canister than the key.
    #[error("`sender_info` is attested by {signer}, but `sender_pubkey` is a key of {canister}")]
    SenderInfoSigner {
        /// `signer` of the information.
        signer: Principal,
        /// The canister in `sender_pubkey`.
        canister: Principal,
    },
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
    /// A subnet takes but one method.
    #[error(
        "at the address of a subnet only `{wanted}` of the management canister is served, not `{method}` of {canister}"
    )]
    SubnetMethod {
        /// The method that was called.
        method: String,
        /// Its canister.
        canister: Principal,
        /// What may be called.
        wanted: &'static str,
    },
    /// Canister ranges of several subnets were asked in one read.
    #[error("one read may ask for the canister ranges of one subnet, it asks for {0}")]
    SeveralSubnets(usize),
    /// The request's canister is not among the targets of the delegations of who reads its status.
    #[error("the delegations do not have {0}, to which the request was sent, among their targets")]
    ReadTarget(Principal),
}

/// Why a key or a signature of an authenticator does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebAuthnFault {
    /// The key is none.
    #[error("the key is not {0}")]
    Key(&'static str),
    /// The key is too short to be safe or too long to be verified quickly.
    #[error("the RSA key has {0} bits, allowed are {RSA_KEY_BITS_MIN} to {RSA_KEY_BITS_MAX}")]
    RsaBits(usize),
    /// The signature is not an assertion.
    #[error(
        "the signature is not a CBOR map of `authenticator_data`, `client_data_json` and `signature`"
    )]
    Malformed,
    /// The client data is not the JSON it should be.
    #[error("the client data is not JSON with a challenge")]
    ClientData,
    /// The challenge is not what is to be signed.
    #[error("the challenge is not the base64url encoding of what is signed")]
    Challenge,
    /// The signature is not one of the key.
    #[error("the signature does not verify")]
    Signature,
}

/// Why a signature of a canister does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CanisterSignatureFault {
    /// The signature is not what it should be.
    #[error("it is not a CBOR map of `certificate` and `tree`")]
    Malformed,
    /// The tree does not hold the message.
    #[error("its tree does not show the digest of what is signed under the seed of the key")]
    NotInTree,
    /// This network has no key of its own.
    #[error("this network has no key under which certificates verify")]
    NoRootKey,
    /// The certificate is not one of this network.
    #[error("{0}")]
    Certificate(CertificateError),
    /// The subnet may not attest.
    #[error("the subnet of its certificate is of no type whose canisters may sign")]
    SubnetType,
    /// The certificate is about other data.
    #[error("its certificate does not show its tree as the certified data of {0}")]
    OtherData(Principal),
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
    /// Status 404: a path that the state tree does not have.
    NotFound,
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
            Self::PathInvalid(_) => PATH_INVALID,
            Self::EffectiveCanister { .. } => 11,
            Self::SeveralRequests(_) => 12,
            Self::DelegationExpired { .. } => 13,
            Self::SeveralSubnets(_) => 14,
            Self::SubnetMethod { .. } => 15,
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
            Self::WebAuthn { .. } => FORBIDDEN_FROM + 10,
            Self::CanisterSignature { .. } => FORBIDDEN_FROM + 11,
            Self::SenderInfoKey => FORBIDDEN_FROM + 12,
            Self::SenderInfoSigner { .. } => FORBIDDEN_FROM + 13,
            Self::ReadTarget(_) => FORBIDDEN_FROM + 14,
        }
    }

    /// Which HTTP status this is: 400 for malformed and expired requests, 403 for those that are
    /// not authentic or not allowed, 404 for paths that there are none of.
    pub fn refusal(&self) -> Refusal {
        refusal_of(self.code())
    }
}

/// Codes from here on are answered with 403.
const FORBIDDEN_FROM: u32 = 100;

/// Code of [`IngressError::PathInvalid`].
const PATH_INVALID: u32 = 10;

fn refusal_of(code: u32) -> Refusal {
    match code {
        PATH_INVALID => Refusal::NotFound,
        FORBIDDEN_FROM.. => Refusal::Forbidden,
        _ => Refusal::BadRequest,
    }
}

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
        MODULE => refusal_of(reject.code),
        _ => Refusal::BadRequest,
    }
}
