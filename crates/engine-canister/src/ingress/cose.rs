//! Public keys as authenticators write them: COSE keys, maps with numbers for names.
//!
//! ```text
//! P-256    {1: 2, 3: -7,   -1: 1, -2: x, -3: y}
//! RSA      {1: 3, 3: -257, -1: n, -2: e}
//! Ed25519  {1: 1, 3: -8,   -1: 6, -2: x}
//! ```
//!
//! Knows encodings and signatures over given bytes; knows no assertion and no request. Members
//! beside these are refused, as WebAuthn has it: a key has one meaning.
//!
//! Source: RFC 9052 section 7 and RFC 9053 (COSE keys), RFC 8230 (RSA), RFC 8812 (algorithms for
//! WebAuthn); interface specification, "Web Authentication".

use ed25519_dalek::VerifyingKey;
use k256::ecdsa::signature::Verifier as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use trilith_params::ingress::{RSA_KEY_BITS_MAX, RSA_KEY_BITS_MIN};
use trilith_types::hash::sha256;

use super::error::WebAuthnFault;
use super::reader::Reader;

/// What stands before the digest in a signed block: DigestInfo of SHA-256. Source: RFC 8017
/// section 9.2, note 1.
const SHA256_DIGEST_INFO: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
/// Most bytes of the exponent of an RSA key: it is below 2^33 on all authenticators, and a longer
/// one makes verification slow.
const RSA_EXPONENT_BYTES_MAX: usize = 5;

/// A key of an authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoseKey {
    /// ECDSA on P-256 with SHA-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa(Box<RsaPublicKey>),
    /// Ed25519.
    Ed25519(Box<VerifyingKey>),
}

/// The members of a COSE key before it is known of which kind it is.
#[derive(Default)]
struct Members<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    /// Member -1: the curve, where it is a number.
    curve: Option<i64>,
    /// Member -1: the modulus, where it is bytes.
    modulus: Option<&'a [u8]>,
    /// Member -2: x, or the exponent.
    second: Option<&'a [u8]>,
    /// Member -3: y.
    third: Option<&'a [u8]>,
}

impl CoseKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`WebAuthnFault::Key`] if the bytes are not one of the three kinds.
    pub fn decode(bytes: &[u8]) -> Result<Self, WebAuthnFault> {
        let members = Members::read(bytes).ok_or(WebAuthnFault::Key("a COSE key"))?;
        match (members.kind, members.algorithm) {
            (Some(2), Some(-7)) => members.p256().ok_or(WebAuthnFault::Key("a point of P-256")),
            (Some(3), Some(-257)) => members.rsa(),
            (Some(1), Some(-8)) => members
                .ed25519()
                .ok_or(WebAuthnFault::Key("an Ed25519 key")),
            _ => Err(WebAuthnFault::Key(
                "of the algorithms ES256, RS256 and EdDSA",
            )),
        }
    }

    /// Verifies a signature over `message`: DER for ECDSA, as long as the modulus for RSA, 64 bytes
    /// for Ed25519.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Rsa(key) => {
                let scheme = Pkcs1v15Sign {
                    hash_len: Some(32),
                    prefix: SHA256_DIGEST_INFO.into(),
                };
                key.verify(scheme, &sha256(&[message]), signature).is_ok()
            }
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

impl<'a> Members<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut members = Self::default();
        let mut reader = Reader::new(bytes);
        let limit = bytes.len();
        let is_new = reader
            .numbered_map(5, |name, reader| {
                Ok(match (name, reader.is_bytes()) {
                    (1, false) => members.kind.replace(reader.int()?).is_none(),
                    (3, false) => members.algorithm.replace(reader.int()?).is_none(),
                    (-1, false) => members.curve.replace(reader.int()?).is_none(),
                    (-1, true) => {
                        let bytes = reader.bytes("a member", limit)?;
                        members.modulus.replace(bytes).is_none()
                    }
                    (-2, true) => {
                        let bytes = reader.bytes("a member", limit)?;
                        members.second.replace(bytes).is_none()
                    }
                    (-3, true) => {
                        let bytes = reader.bytes("a member", limit)?;
                        members.third.replace(bytes).is_none()
                    }
                    _ => false,
                })
            })
            .ok()?;
        reader.finish().ok()?;
        is_new.then_some(members)
    }

    fn p256(&self) -> Option<CoseKey> {
        let (Some(1), None) = (self.curve, self.modulus) else {
            return None;
        };
        let x: &[u8; 32] = self.second?.try_into().ok()?;
        let y: &[u8; 32] = self.third?.try_into().ok()?;
        let point = [&[4], &x[..], &y[..]].concat();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
        Some(CoseKey::P256(Box::new(key)))
    }

    fn rsa(&self) -> Result<CoseKey, WebAuthnFault> {
        let fault = WebAuthnFault::Key("an RSA key");
        let (Some(modulus), Some(exponent), None, None) =
            (self.modulus, self.second, self.curve, self.third)
        else {
            return Err(fault);
        };
        if exponent.len() > RSA_EXPONENT_BYTES_MAX {
            return Err(fault);
        }
        let (n, e) = (
            BigUint::from_bytes_be(modulus),
            BigUint::from_bytes_be(exponent),
        );
        let bits = n.bits();
        if !(RSA_KEY_BITS_MIN..=RSA_KEY_BITS_MAX).contains(&bits) {
            return Err(WebAuthnFault::RsaBits(bits));
        }
        let key = RsaPublicKey::new_with_max_size(n, e, RSA_KEY_BITS_MAX).map_err(|_| fault)?;
        debug_assert_eq!(key.n().bits(), bits);
        Ok(CoseKey::Rsa(Box::new(key)))
    }

    fn ed25519(&self) -> Option<CoseKey> {
        let (Some(6), None, None) = (self.curve, self.modulus, self.third) else {
            return None;
        };
        let key = VerifyingKey::from_bytes(self.second?.try_into().ok()?).ok()?;
        (!key.is_weak()).then(|| CoseKey::Ed25519(Box::new(key)))
    }
}
