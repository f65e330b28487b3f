//! Private keys in PEM files: those that OpenSSL and the tools of the Internet Computer write.
//!
//! Read are PKCS#8 (both versions, RFC 5208 and RFC 5958, also with the misplaced public key that
//! early versions of `dfx` wrote) for Ed25519, secp256k1 and P-256, and SEC 1 (RFC 5915) for the
//! latter two. Written is PKCS#8, which all of these tools read.

use std::fmt;
use std::sync::Arc;

use ic_agent::Identity;
use ic_agent::identity::{BasicIdentity, Prime256v1Identity, Secp256k1Identity};
use k256::elliptic_curve::rand_core::{OsRng, RngCore as _};
use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use k256::pkcs8::{EncodePrivateKey as _, LineEnding};

/// Object identifiers, the bytes behind tag and length. Sources: RFC 8410, RFC 5480, SEC 2.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Tags of DER.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

/// PKCS#8 version 1 of an Ed25519 key, up to its 32 bytes. Source: RFC 8410, section 7.
const ED25519_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Which kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Ed25519, the fastest to verify
    Ed25519,
    /// ECDSA on secp256k1, which the Internet Computer's tools make by default
    Secp256k1,
    /// ECDSA on NIST P-256
    P256,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::Secp256k1 => "secp256k1",
            Self::P256 => "p256",
        })
    }
}

/// Why a file gives no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// There is no PEM block in it.
    NotPem,
    /// A PEM block in it is damaged.
    DamagedPem(String),
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// There are blocks, but none with a private key; their labels.
    NoPrivateKey(Vec<String>),
    /// It is a private key of another kind.
    Unsupported,
    /// The key itself is damaged.
    Malformed,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("it holds no PEM block (-----BEGIN …)"),
            Self::DamagedPem(error) => write!(f, "its PEM text is damaged: {error}"),
            Self::Encrypted => f.write_str("the key is encrypted with a passphrase"),
            Self::NoPrivateKey(labels) => {
                write!(f, "it holds {} and no private key", labels.join(", "))
            }
            Self::Unsupported => {
                f.write_str("its key is none of Ed25519, ECDSA secp256k1 and ECDSA P-256")
            }
            Self::Malformed => f.write_str("its key is damaged"),
        }
    }
}

/// A private key.
pub(super) enum Key {
    Ed25519([u8; 32]),
    Secp256k1(k256::SecretKey),
    P256(p256::SecretKey),
}

impl Key {
    /// Makes a key from the randomness of the operating system.
    pub(super) fn random(kind: Kind) -> Self {
        match kind {
            Kind::Ed25519 => {
                let mut key = [0; 32];
                OsRng.fill_bytes(&mut key);
                Self::Ed25519(key)
            }
            Kind::Secp256k1 => Self::Secp256k1(k256::SecretKey::random(&mut OsRng)),
            Kind::P256 => Self::P256(p256::SecretKey::random(&mut OsRng)),
        }
    }

    /// Which kind it is.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Ed25519(_) => Kind::Ed25519,
            Self::Secp256k1(_) => Kind::Secp256k1,
            Self::P256(_) => Kind::P256,
        }
    }

    /// What signs with it.
    pub(super) fn identity(&self) -> Arc<dyn Identity> {
        match self {
            Self::Ed25519(key) => Arc::new(BasicIdentity::from_raw_key(key)),
            Self::Secp256k1(key) => Arc::new(Secp256k1Identity::from_private_key(key.clone())),
            Self::P256(key) => Arc::new(Prime256v1Identity::from_private_key(key.clone())),
        }
    }

    /// The key as a PEM file.
    pub(super) fn to_pem(&self) -> Option<String> {
        match self {
            Self::Ed25519(key) => {
                let der = [&ED25519_HEAD[..], &key[..]].concat();
                let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
                let block = pem::Pem::new("PRIVATE KEY", der);
                Some(pem::encode_config(&block, config))
            }
            Self::Secp256k1(key) => {
                let pem = key.to_pkcs8_pem(LineEnding::LF).ok()?;
                Some(pem.as_str().to_owned())
            }
            Self::P256(key) => {
                let pem = key.to_pkcs8_pem(LineEnding::LF).ok()?;
                Some(pem.as_str().to_owned())
            }
        }
    }

    /// Reads a key from the text of a PEM file. Other blocks in it are passed over.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, KeyFault> {
        let blocks =
            pem::parse_many(text).map_err(|error| KeyFault::DamagedPem(error.to_string()))?;
        if blocks.is_empty() {
            return Err(KeyFault::NotPem);
        }
        // OpenSSL names the curve in a block of its own, before the key.
        let mut curve = None;
        for block in &blocks {
            let encrypted = block.headers().get("Proc-Type");
            if block.tag() == "ENCRYPTED PRIVATE KEY"
                || encrypted.is_some_and(|value| value.contains("ENCRYPTED"))
            {
                return Err(KeyFault::Encrypted);
            }
            match block.tag() {
                "EC PARAMETERS" => {
                    curve = Some(Der(block.contents()).take(OBJECT));
                }
                "PRIVATE KEY" => return from_pkcs8(block.contents()),
                "EC PRIVATE KEY" => {
                    let named = match curve {
                        None => None,
                        // Parameters that do not name a curve spell one out.
                        Some(None) => return Err(KeyFault::Unsupported),
                        Some(named) => named,
                    };
                    return from_sec1(block.contents(), named);
                }
                "RSA PRIVATE KEY" | "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY" => {
                    return Err(KeyFault::Unsupported);
                }
                _ => {}
            }
        }
        let labels = blocks.iter().map(|block| block.tag().to_owned());
        Err(KeyFault::NoPrivateKey(labels.collect()))
    }
}

fn from_pkcs8(der: &[u8]) -> Result<Key, KeyFault> {
    let mut fields = Der(der).inside(SEQUENCE).ok_or(KeyFault::Malformed)?;
    fields.take(INTEGER).ok_or(KeyFault::Malformed)?;
    let mut algorithm = fields.inside(SEQUENCE).ok_or(KeyFault::Malformed)?;
    let key = fields.take(OCTET_STRING).ok_or(KeyFault::Malformed)?;
    // What follows is the public key or attributes; neither is needed.
    match algorithm.take(OBJECT).ok_or(KeyFault::Malformed)? {
        ED25519 => {
            let key = Der(key).take(OCTET_STRING).ok_or(KeyFault::Malformed)?;
            let key = key.try_into().map_err(|_| KeyFault::Malformed)?;
            Ok(Key::Ed25519(key))
        }
        EC_PUBLIC_KEY => {
            let curve = algorithm.take(OBJECT).ok_or(KeyFault::Unsupported)?;
            from_sec1(key, Some(curve))
        }
        _ => Err(KeyFault::Unsupported),
    }
}

/// Reads a key of SEC 1, on the curve `named` elsewhere, or the one that it names itself.
fn from_sec1(der: &[u8], named: Option<&[u8]>) -> Result<Key, KeyFault> {
    let mut fields = Der(der).inside(SEQUENCE).ok_or(KeyFault::Malformed)?;
    fields.take(INTEGER).ok_or(KeyFault::Malformed)?;
    let scalar = fields.take(OCTET_STRING).ok_or(KeyFault::Malformed)?;
    let own = fields.inside(CONTEXT_0);
    let own = own.map(|mut curve| curve.take(OBJECT).ok_or(KeyFault::Unsupported));
    let public = fields.inside(CONTEXT_1);
    let public = public.and_then(|mut inside| inside.take(BIT_STRING));
    let curve = match own {
        Some(curve) => Some(curve?),
        None => named,
    };
    let secp256k1 = || k256::SecretKey::from_slice(scalar).map_err(|_| KeyFault::Malformed);
    let p256 = || p256::SecretKey::from_slice(scalar).map_err(|_| KeyFault::Malformed);
    match curve {
        Some(SECP256K1) => Ok(Key::Secp256k1(secp256k1()?)),
        Some(P256) => Ok(Key::P256(p256()?)),
        Some(_) => Err(KeyFault::Unsupported),
        None => {
            // Without a name the public key tells the curve. Without either it is secp256k1, as
            // the Internet Computer's tools take it.
            let key = p256()?;
            let point = key.public_key().to_encoded_point(false);
            // A bit string begins with the number of bits that are not used, none.
            if public.and_then(|bits| bits.get(1..)) == Some(point.as_bytes()) {
                return Ok(Key::P256(key));
            }
            Ok(Key::Secp256k1(secp256k1()?))
        }
    }
}

/// Reads the little of DER that private keys are made of. What is not as it must be gives `None`.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value if it has the tag, and gives its bytes.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(2)?;
        if head[0] != tag {
            return None;
        }
        let (length, rest) = match head[1] {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => {
                let (bytes, rest) = rest.split_at_checked(2)?;
                (usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// Takes the next value if it has the tag, to read what is in it.
    fn inside(&mut self, tag: u8) -> Option<Der<'a>> {
        self.take(tag).map(Der)
    }
}
#[cfg(test)]
mod tests;
