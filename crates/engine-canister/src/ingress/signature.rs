//! Keys and signatures of users.

use candid::Principal;
use ed25519_dalek::VerifyingKey;
use k256::ecdsa::signature::Verifier as _;

use super::error::IngressError;

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes. Source: RFC 8410.
const ED25519_DER: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// SubjectPublicKeyInfo of an uncompressed P-256 point up to its 65 bytes. Source: RFC 5480.
const P256_DER: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// SubjectPublicKeyInfo of an uncompressed secp256k1 point up to its 65 bytes. Source: RFC 5480,
/// SEC 2.
const K256_DER: &[u8] = &[
    0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00,
];
/// Object identifier 1.3.6.1.4.1.56387.1.1 (COSE keys, WebAuthn) in DER. Source: interface
/// specification, "Web Authentication".
const WEBAUTHN_OID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
/// Object identifier 1.3.6.1.4.1.56387.1.2 in DER. Source: interface specification, "Canister
/// signatures".
const CANISTER_OID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];
/// Object identifier 1.2.840.113549.1.1.1 (RSA) in DER. Source: RFC 8017.
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A public key of a user.
#[derive(Clone, Debug)]
pub enum UserKey {
    /// Ed25519.
    Ed25519(VerifyingKey),
    /// ECDSA on P-256 with SHA-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on secp256k1 with SHA-256.
    Secp256k1(k256::ecdsa::VerifyingKey),
}

impl UserKey {
    /// Reads a key from its DER encoding.
    ///
    /// # Errors
    /// [`IngressError::KeyMalformed`] or [`IngressError::KeyUnsupported`].
    pub fn from_der(der: &[u8]) -> Result<Self, IngressError> {
        if let Some(key) = der.strip_prefix(ED25519_DER) {
            let bytes: &[u8; 32] = key.try_into().map_err(|_| IngressError::KeyMalformed)?;
            let key = VerifyingKey::from_bytes(bytes).map_err(|_| IngressError::KeyMalformed)?;
            if key.is_weak() {
                return Err(IngressError::KeyMalformed);
            }
            return Ok(Self::Ed25519(key));
        }
        if let Some(point) = der.strip_prefix(P256_DER).filter(|point| point.len() == 65) {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
            return key.map(Self::P256).map_err(|_| IngressError::KeyMalformed);
        }
        if let Some(point) = der.strip_prefix(K256_DER).filter(|point| point.len() == 65) {
            let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(point);
            return key
                .map(Self::Secp256k1)
                .map_err(|_| IngressError::KeyMalformed);
        }
        let head = &der[..der.len().min(40)];
        let names = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
        if names(CANISTER_OID) {
            Err(IngressError::KeyUnsupported("canister signatures"))
        } else if names(WEBAUTHN_OID) {
            Err(IngressError::KeyUnsupported("WebAuthn keys"))
        } else if names(RSA_OID) {
            Err(IngressError::KeyUnsupported("RSA keys"))
        } else {
            Err(IngressError::KeyMalformed)
        }
    }

    /// Verifies a raw signature of 64 bytes over `message`; `what` names the signed thing.
    ///
    /// # Errors
    /// [`IngressError::SignatureInvalid`].
    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        what: &'static str,
    ) -> Result<(), IngressError> {
        let invalid = || IngressError::SignatureInvalid(what);
        let raw: &[u8; 64] = signature.try_into().map_err(|_| invalid())?;
        let verified = match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(raw);
                key.verify_strict(message, &signature).is_ok()
            }
            Self::P256(key) => p256::ecdsa::Signature::from_slice(raw)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            // Clients of the Internet Computer may send either of the two valid values of s.
            Self::Secp256k1(key) => {
                k256::ecdsa::Signature::from_slice(raw).is_ok_and(|signature| {
                    let low = signature.normalize_s().unwrap_or(signature);
                    key.verify(message, &low).is_ok()
                })
            }
        };
        if verified { Ok(()) } else { Err(invalid()) }
    }
}

/// DER encoding of an Ed25519 key, 44 bytes.
pub fn ed25519_der(key: &[u8; 32]) -> Vec<u8> {
    [ED25519_DER, key].concat()
}

/// DER encoding of an uncompressed P-256 point.
pub fn ecdsa_p256_der(point: &[u8; 65]) -> Vec<u8> {
    [P256_DER, point].concat()
}

/// DER encoding of an uncompressed secp256k1 point.
pub fn ecdsa_secp256k1_der(point: &[u8; 65]) -> Vec<u8> {
    [K256_DER, point].concat()
}

/// The principal of a key.
pub(crate) fn principal_of(der: &[u8]) -> Principal {
    Principal::self_authenticating(der)
}
