//! Signatures of authenticators: assertions whose challenge is what is to be signed.
//!
//! ```text
//! signature = 55799({authenticator_data, client_data_json, signature})
//! client_data_json.challenge = base64url(message)
//! verify(key, authenticator_data ‖ SHA-256(client_data_json), signature)
//! ```
//!
//! Knows the assertion; knows no request. Origin and type of the client data are the authenticator's
//! business: the interface asks for the challenge alone.
//!
//! Source: interface specification, "Web Authentication"; W3C Web Authentication Level 2,
//! sections 5.8.1 and 7.2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use trilith_params::ingress::SIGNATURE_BYTES_MAX;
use trilith_types::hash::sha256;

use super::cose::CoseKey;
use super::error::WebAuthnFault;
use super::reader::Reader;

/// An assertion, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assertion<'a> {
    authenticator_data: &'a [u8],
    client_data_json: &'a [u8],
    signature: &'a [u8],
}

/// What is read of the client data.
#[derive(Deserialize)]
struct ClientData<'a> {
    /// base64url without padding. Text that needs escapes in JSON is none.
    #[serde(borrow)]
    challenge: &'a str,
}

impl<'a> Assertion<'a> {
    /// Reads an assertion, with or without the self-describing tag. The client data may be text or,
    /// as older clients write it, bytes.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, WebAuthnFault> {
        let (mut data, mut client, mut signature) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.self_describing_tag();
        let mut is_new = true;
        reader
            .map(3, |name, reader| {
                let slot = match name {
                    "authenticator_data" => &mut data,
                    "client_data_json" => &mut client,
                    "signature" => &mut signature,
                    other => return Err(Reader::unknown(other)),
                };
                let value = if name == "client_data_json" && !reader.is_bytes() {
                    reader
                        .text("client_data_json", SIGNATURE_BYTES_MAX)?
                        .as_bytes()
                } else {
                    reader.bytes("a field of the assertion", SIGNATURE_BYTES_MAX)?
                };
                is_new &= slot.replace(value).is_none();
                Ok(())
            })
            .map_err(|_| WebAuthnFault::Malformed)?;
        reader.finish().map_err(|_| WebAuthnFault::Malformed)?;
        match (data, client, signature) {
            (Some(authenticator_data), Some(client_data_json), Some(signature)) if is_new => {
                Ok(Self {
                    authenticator_data,
                    client_data_json,
                    signature,
                })
            }
            _ => Err(WebAuthnFault::Malformed),
        }
    }

    /// Verifies that `key` asserted `message`.
    pub(super) fn verify(&self, key: &CoseKey, message: &[u8]) -> Result<(), WebAuthnFault> {
        let client = serde_json::from_slice::<ClientData<'_>>(self.client_data_json)
            .map_err(|_| WebAuthnFault::ClientData)?;
        if client.challenge != URL_SAFE_NO_PAD.encode(message) {
            return Err(WebAuthnFault::Challenge);
        }
        let signed = [self.authenticator_data, &sha256(&[self.client_data_json])].concat();
        if key.verifies(&signed, self.signature) {
            Ok(())
        } else {
            Err(WebAuthnFault::Signature)
        }
    }
}

/// Arbitrary bytes as an assertion, verified under a key that everyone knows. Never panics.
pub(super) fn fuzz_assertion(bytes: &[u8]) {
    // The generator of P-256, whose secret is 1.
    let point = p256::AffinePoint::GENERATOR;
    let Ok(key) = p256::ecdsa::VerifyingKey::from_affine(point) else {
        return;
    };
    if let Ok(assertion) = Assertion::decode(bytes) {
        let _ = assertion.verify(&CoseKey::P256(Box::new(key)), b"challenge");
    }
}
