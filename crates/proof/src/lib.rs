//! The only verifier of Merkle paths, hash trees and certificates.
//!
//! Whoever trusts an answer of the network trusts it because a function of this crate accepted it:
//! nodes, gateways' tests, the client library and the demonstration all use the same code. The
//! crate knows encodings, digests and signatures; it knows no store, no network and no clock (the
//! caller says what time it is).
//!
//! Everything here reads bytes from outside. No input panics, and nothing is allocated that the
//! input's own length does not pay for; the caller bounds that length.

pub mod answer;
pub mod certificate;
pub mod hash_tree;
pub mod mkvs;
pub mod pages;

pub use answer::{Answer, AnswerError, RootTrust, VerifiedAnswer};
pub use certificate::{
    Certificate, CertificateError, CertificateKey, Delegation, Scope, Trust, VerifiedCertificate,
};
