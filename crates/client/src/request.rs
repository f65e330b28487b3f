//! Requests: their ids, and what a certificate says became of them.
//!
//! Source: Internet Computer interface specification, "Request id" and "Request status".

use thiserror::Error;
use trilith_proof::VerifiedCertificate;
use trilith_proof::certificate::leb128;
use trilith_proof::hash_tree::{Lookup, SubtreeLookup, lookup_subtree};
use trilith_types::representation_hash::{HashedValue, hash_of_map};

/// The content of a call or query, from which its id follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContent<'a> {
    /// `call` or `query`.
    pub request_type: &'a str,
    /// The canister that is called.
    pub canister: &'a [u8],
    /// The method.
    pub method: &'a str,
    /// The argument.
    pub argument: &'a [u8],
    /// Who calls.
    pub sender: &'a [u8],
    /// When the request expires, in nanoseconds since 1970.
    pub ingress_expiry: u64,
    /// Makes otherwise equal requests differ.
    pub nonce: Option<&'a [u8]>,
}

impl RequestContent<'_> {
    /// The request id: the representation-independent hash of the content.
    pub fn id(&self) -> [u8; 32] {
        let mut fields = vec![
            ("request_type", HashedValue::Text(self.request_type)),
            ("canister_id", HashedValue::Bytes(self.canister)),
            ("method_name", HashedValue::Text(self.method)),
            ("arg", HashedValue::Bytes(self.argument)),
            ("sender", HashedValue::Bytes(self.sender)),
            ("ingress_expiry", HashedValue::Nat(self.ingress_expiry)),
        ];
        fields.extend(self.nonce.map(|nonce| ("nonce", HashedValue::Bytes(nonce))));
        hash_of_map(&fields)
    }
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestStatus {
    /// Proven: the network does not know the request, at the time of the certificate.
    Absent,
    /// Taken up, not yet begun.
    Received,
    /// Begun.
    Processing,
    /// Answered.
    Replied {
        /// What the canister replied.
        reply: Vec<u8>,
    },
    /// Rejected by the canister or by the system.
    Rejected {
        /// Reject code, 1 to 6.
        code: u64,
        /// What went wrong.
        message: String,
        /// `IC0…`, where the system gives one.
        error_code: Option<String>,
    },
    /// Answered long ago; the answer is forgotten.
    Done,
}

impl RequestStatus {
    /// Whether nothing more will become of the call.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Replied { .. } | Self::Rejected { .. } | Self::Done
        )
    }
}

/// Why a certificate does not say what became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatusError {
    /// The part of the tree that would say it is left out.
    #[error("the certificate does not show `{0}` of the request")]
    NotShown(&'static str),
    /// What is shown is not a valid value.
    #[error("the certificate shows an invalid `{0}` of the request")]
    Invalid(&'static str),
}

/// What `certificate` says became of the request `id`.
///
/// # Errors
/// [`StatusError`] if the certificate does not show it.
pub fn request_status(
    certificate: &VerifiedCertificate,
    id: &[u8; 32],
) -> Result<RequestStatus, StatusError> {
    match lookup_subtree(certificate.tree(), &[b"request_status", id]) {
        SubtreeLookup::Absent => return Ok(RequestStatus::Absent),
        SubtreeLookup::Unknown => return Err(StatusError::NotShown("status")),
        SubtreeLookup::Found(_) => {}
    }
    let field =
        |name: &'static str| match certificate.lookup(&[b"request_status", id, name.as_bytes()]) {
            Lookup::Found(value) => Ok(Some(value)),
            Lookup::Absent => Ok(None),
            Lookup::Unknown => Err(StatusError::NotShown(name)),
            Lookup::Error => Err(StatusError::Invalid(name)),
        };
    let needed = |name| field(name)?.ok_or(StatusError::Invalid(name));
    let text = |name, value: &[u8]| {
        String::from_utf8(value.to_vec()).map_err(|_| StatusError::Invalid(name))
    };
    match needed("status")? {
        b"received" => Ok(RequestStatus::Received),
        b"processing" => Ok(RequestStatus::Processing),
        b"replied" => Ok(RequestStatus::Replied {
            reply: needed("reply")?.to_vec(),
        }),
        b"rejected" => Ok(RequestStatus::Rejected {
            code: leb128(needed("reject_code")?).ok_or(StatusError::Invalid("reject_code"))?,
            message: text("reject_message", needed("reject_message")?)?,
            error_code: field("error_code")?
                .map(|code| text("error_code", code))
                .transpose()?,
        }),
        b"done" => Ok(RequestStatus::Done),
        _ => Err(StatusError::Invalid("status")),
    }
}
