//! Verifying what a node answers, without trusting the node.
//!
//! A client of the Internet Computer's interface holds one thing it trusts: the root key. With it,
//! [`verify_certificate`] turns bytes into a [`VerifiedCertificate`], [`request_status`] reads from
//! that what became of a call, and [`query::verify`] checks the signatures of a query response
//! against node keys that a verified certificate lists. With the validators' consensus key, an
//! [`Answer`] is verified in one step, from a value up to their certificate, and so is an
//! [`AccountAnswer`]. Nothing here sends anything.
//!
//! This crate knows the verifier (`trilith-proof`) and no part of the node: it is small so that it
//! can be read in full by someone who wants to know what an answer is worth.

pub mod account;
pub mod query;
pub mod request;

pub use account::{Account, AccountAnswer, AccountError, VerifiedAccount};
pub use query::{QueryAnswer, node_keys};
pub use request::{RequestContent, RequestStatus, StatusError, request_status};
pub use trilith_proof::hash_tree::Lookup;
pub use trilith_proof::{
    Answer, AnswerError, Certificate, CertificateError, CertificateKey, RootTrust, Scope, Trust,
    VerifiedAnswer, VerifiedCertificate, mkvs,
};

/// Reads a certificate and verifies it for `scope`.
///
/// # Errors
/// [`CertificateError`] with the first rule that does not hold.
pub fn verify_certificate(
    bytes: &[u8],
    scope: Scope<'_>,
    trust: &Trust<'_>,
) -> Result<VerifiedCertificate, CertificateError> {
    Certificate::decode(bytes)?.verify(scope, trust)
}
