//! Keys and signatures of users: which kinds there are and how each is verified.

use candid::Principal;
use ed25519_dalek::VerifyingKey;
use k256::ecdsa::signature::Verifier as _;
use trilith_proof::CertificateKey;

use super::canister_signature::CanisterKey;
use super::cose::CoseKey;
use super::der::{self, PublicKeyInfo};
use super::error::IngressError;
use super::webauthn::Assertion;

/// Object identifier 1.3.101.112 (Ed25519) in DER. Source: RFC 8410.
const ED25519_OID: &[u8] = &[0x2b, 0x65, 0x70];
/// Object identifier 1.2.840.10045.2.1 (keys on elliptic curves) in DER. Source: RFC 5480.
const ELLIPTIC_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// Element with the object identifier 1.2.840.10045.3.1.7 (P-256). Source: RFC 5480.
const P256_CURVE: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Element with the object identifier 1.3.132.0.10 (secp256k1). Source: SEC 2.
const K256_CURVE: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
/// Object identifier 1.3.6.1.4.1.56387.1.1 (COSE keys, WebAuthn) in DER. Source: interface
/// specification, "Web Authentication".
const WEBAUTHN_OID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
/// Object identifier 1.3.6.1.4.1.56387.1.2 in DER. Source: interface specification, "Canister
/// signatures".
const CANISTER_OID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];
/// Object identifier 1.2.840.113549.1.1.1 (RSA) in DER. Source: RFC 8017.
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

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

/// A public key of a user.
#[derive(Clone, Debug)]
pub enum UserKey {
    /// Ed25519.
    Ed25519(VerifyingKey),
    /// ECDSA on P-256 with SHA-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on secp256k1 with SHA-256.
    Secp256k1(k256::ecdsa::VerifyingKey),
    /// A key of an authenticator, which signs assertions.
    WebAuthn(CoseKey),
    /// A canister's.
    Canister(CanisterKey),
}

impl UserKey {
    /// Reads a key from its DER encoding.
    ///
    /// # Errors
    /// [`IngressError::KeyMalformed`], [`IngressError::KeyUnsupported`] or
    /// [`IngressError::WebAuthn`].
    pub fn from_der(der: &[u8]) -> Result<Self, IngressError> {
        let malformed = || IngressError::KeyMalformed;
        let info = PublicKeyInfo::read(der).ok_or_else(malformed)?;
        match (info.algorithm, info.parameters) {
            (ED25519_OID, []) => {
                let bytes: &[u8; 32] = info.key.try_into().map_err(|_| malformed())?;
                let key = VerifyingKey::from_bytes(bytes).map_err(|_| malformed())?;
                // Anything verifies under a key of small order.
                if key.is_weak() {
                    return Err(malformed());
                }
                Ok(Self::Ed25519(key))
            }
            (ELLIPTIC_OID, P256_CURVE) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(uncompressed(info.key)?);
                key.map(Self::P256).map_err(|_| malformed())
            }
            (ELLIPTIC_OID, K256_CURVE) => {
                let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(uncompressed(info.key)?);
                key.map(Self::Secp256k1).map_err(|_| malformed())
            }
            (WEBAUTHN_OID, []) => CoseKey::decode(info.key)
                .map(Self::WebAuthn)
                .map_err(|why| IngressError::WebAuthn {
                    what: "the public key",
                    why,
                }),
            (CANISTER_OID, []) => CanisterKey::decode(info.key)
                .map(Self::Canister)
                .ok_or_else(malformed),
            (RSA_OID, _) => Err(IngressError::KeyUnsupported("RSA keys outside of WebAuthn")),
            _ => Err(malformed()),
        }
    }

    /// Verifies a signature over `message`; `what` names the signed thing, `root_key` is the key
    /// under which this network's certificates verify, if it has one.
    ///
    /// # Errors
    /// [`IngressError::SignatureInvalid`], [`IngressError::WebAuthn`] or
    /// [`IngressError::CanisterSignature`].
    pub fn verify(
        &self,
        root_key: Option<&CertificateKey>,
        message: &[u8],
        signature: &[u8],
        what: &'static str,
    ) -> Result<(), IngressError> {
        let verified = match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            // Clients of the Internet Computer may send either of the two valid values of s.
            Self::Secp256k1(key) => {
                k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                    let low = signature.normalize_s().unwrap_or(signature);
                    key.verify(message, &low).is_ok()
                })
            }
            Self::WebAuthn(key) => {
                return Assertion::decode(signature)
                    .and_then(|assertion| assertion.verify(key, message))
                    .map_err(|why| IngressError::WebAuthn { what, why });
            }
            Self::Canister(key) => {
                return key
                    .verify(root_key, message, signature)
                    .map_err(|why| IngressError::CanisterSignature { what, why });
            }
        };
        if verified {
            Ok(())
        } else {
            Err(IngressError::SignatureInvalid(what))
        }
    }
}

/// The bytes of a point in uncompressed form, the only one that the interface has.
fn uncompressed(point: &[u8]) -> Result<&[u8], IngressError> {
    if point.len() == 65 && point[0] == 4 {
        Ok(point)
    } else {
        Err(IngressError::KeyMalformed)
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

/// DER encoding of a COSE key.
///
/// # Panics
/// If the key is longer than any.
pub fn webauthn_der(cose: &[u8]) -> Vec<u8> {
    der::wrap(WEBAUTHN_OID, cose)
}

/// DER encoding of the key of `canister` with this seed.
///
/// # Panics
/// If the seed is longer than a key may be.
pub fn canister_key_der(canister: Principal, seed: &[u8]) -> Vec<u8> {
    let id = canister.as_slice();
    let len = u8::try_from(id.len()).expect("a principal has at most 29 bytes");
    der::wrap(CANISTER_OID, &[&[len], id, seed].concat())
}

/// The principal of a key.
pub(crate) fn principal_of(der: &[u8]) -> Principal {
    Principal::self_authenticating(der)
}
