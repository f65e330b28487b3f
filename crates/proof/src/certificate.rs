//! Certificates of the Internet Computer: a pruned hash tree, a threshold signature over its
//! digest, and, where a subnet signed rather than the root of trust, a delegation.
//!
//! Verification, as the interface specification has it:
//!
//! ```text
//! key  = root key                                        without a delegation
//! key  = /subnet/<id>/public_key in the delegation's     with one, whose certificate the root key
//!        certificate                                      signed, has no delegation itself, and
//!                                                         lists the canister in its ranges
//! BLS verify(key, "\x0Dic-state-root" ‖ digest(tree), signature)
//! |/time - now| <= skew, and every tree is well-formed
//! ```
//!
//! Deviations, all stricter: the encoding must be the canonical one that subnets write, also the
//! time of the tree and the ranges; a tree that is not well-formed is refused as a whole. As in
//! the clients, the age of a delegation's certificate is not bounded here, because it is issued
//! once and not renewed.
//!
//! Source: Internet Computer interface specification, "Certification" and "Delegation".

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::group::{G1, G2};
use commonware_cryptography::bls12381::primitives::ops;
use commonware_cryptography::bls12381::primitives::variant::MinSig;
use thiserror::Error;
use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{HashTree, TimeNanos};

use crate::hash_tree::{self, Lookup, SubtreeLookup};

/// Domain separation tag of the hash to the curve. Source: interface specification, "Certificate";
/// RFC 9380 and draft-irtf-cfrg-bls-signature, ciphersuite without proof of possession.
pub const SIGNATURE_DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
/// Domain separator of signed state roots, its length first. Source: interface specification,
/// "Certificate".
pub const STATE_ROOT_SEPARATOR: &[u8; 14] = b"\x0Dic-state-root";
/// Bytes of a public key: a compressed point of G2.
pub const KEY_BYTES: usize = 96;
/// Bytes of a public key in its DER wrapping.
pub const KEY_DER_BYTES: usize = DER_PREFIX.len() + KEY_BYTES;
/// Bytes of a signature: a compressed point of G1.
pub const SIGNATURE_BYTES: usize = 48;
/// Longest principal. Source: interface specification, "Principals".
pub const PRINCIPAL_BYTES_MAX: usize = 29;

/// What stands before the key in its DER wrapping: a sequence of the two object identifiers of
/// BLS12-381 keys (1.3.6.1.4.1.44668.5.3.1.2.1 and 1.3.6.1.4.1.44668.5.3.2.1) and the head of a
/// bit string. Source: interface specification, "Certificate", "BLS public key".
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];

/// The tag of self-describing CBOR, as it is encoded. Source: RFC 8949 section 3.4.6.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Why a certificate, or a key, is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The bytes are not a certificate.
    #[error("the certificate cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The bytes are not a public key in its DER wrapping.
    #[error(
        "a public key has {found} bytes or another wrapping; {KEY_DER_BYTES} bytes of DER were expected"
    )]
    KeyWrapping {
        /// Length of what was given.
        found: usize,
    },
    /// The key is not a point of the group, or it is the identity.
    #[error("the public key is not a point of the group")]
    InvalidKey,
    /// Labels of a tree are out of order, so that it proves nothing.
    #[error("the labels of the certificate's tree do not ascend strictly")]
    NotWellFormed,
    /// The signature is not that of the key over the tree.
    #[error("the signature over the certificate's tree does not verify")]
    Signature,
    /// The delegation's certificate has a delegation itself.
    #[error("the certificate is delegated twice, where one level is allowed")]
    NestedDelegation,
    /// The delegation does not say what it has to.
    #[error("the delegation does not prove {0}")]
    Delegation(&'static str),
    /// The subnet may not answer for this canister or subnet.
    #[error("the delegation is for subnet {subnet}, which may not answer for {asked}")]
    OutOfScope {
        /// The delegation's subnet, in hexadecimal.
        subnet: String,
        /// What was asked about, in hexadecimal.
        asked: String,
    },
    /// The tree does not show its time.
    #[error("the certificate shows no valid time")]
    Time,
    /// The certificate is too old or from the future.
    #[error(
        "the certificate is of {found} ns, which differs from {now} ns by more than {limit} ns"
    )]
    TimeOutOfBounds {
        /// Time of the certificate.
        found: u64,
        /// The caller's time.
        now: u64,
        /// The largest difference the caller allows.
        limit: u64,
    },
}

/// A public key under which subnets certify: a point of G2 that is in the right subgroup and not
/// the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateKey(G2);

impl CertificateKey {
    /// A key from its compressed point.
    ///
    /// # Errors
    /// [`CertificateError::InvalidKey`] if the bytes are not one.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, CertificateError> {
        G2::decode(Copying(bytes))
            .map(Self)
            .map_err(|_| CertificateError::InvalidKey)
    }

    /// The compressed point.
    pub fn to_bytes(self) -> [u8; KEY_BYTES] {
        let encoded = self.0.encode();
        encoded
            .as_ref()
            .try_into()
            .expect("a point of G2 encodes to 96 bytes")
    }

    /// A key from its DER wrapping, the form in which the interface hands keys out.
    ///
    /// # Errors
    /// [`CertificateError::KeyWrapping`] or [`CertificateError::InvalidKey`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let wrapping = CertificateError::KeyWrapping { found: der.len() };
        let key = der
            .strip_prefix(&DER_PREFIX)
            .ok_or_else(|| wrapping.clone())?;
        Self::from_bytes(key.try_into().map_err(|_| wrapping)?)
    }

    /// The key in its DER wrapping.
    pub fn to_der(self) -> [u8; KEY_DER_BYTES] {
        let mut der = [0; KEY_DER_BYTES];
        der[..DER_PREFIX.len()].copy_from_slice(&DER_PREFIX);
        der[DER_PREFIX.len()..].copy_from_slice(&self.to_bytes());
        der
    }

    /// Verifies a signature over exactly `message`.
    ///
    /// # Errors
    /// [`CertificateError::Signature`] if it is not a signature of this key.
    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), CertificateError> {
        let signature = G1::decode(Copying(signature)).map_err(|_| CertificateError::Signature)?;
        ops::verify::<MinSig>(&self.0, SIGNATURE_DST, message, &signature)
            .map_err(|_| CertificateError::Signature)
    }

    /// Verifies a signature over a state root, as [`state_root_message`] spells it.
    ///
    /// # Errors
    /// [`CertificateError::Signature`] if it is not a signature of this key.
    pub fn verify_state_root(
        &self,
        root: &[u8; 32],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), CertificateError> {
        self.verify(&state_root_message(root), signature)
    }
}

/// The bytes that are signed to certify the hash tree with the digest `root`.
pub fn state_root_message(root: &[u8; 32]) -> [u8; 46] {
    let mut message = [0; 46];
    message[..14].copy_from_slice(STATE_ROOT_SEPARATOR);
    message[14..].copy_from_slice(root);
    message
}

/// A certificate, decoded and not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What is certified, pruned to what was asked for.
    pub tree: HashTree,
    /// Signature over the tree's digest.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Who signed, if not the root of trust.
    pub delegation: Option<Delegation>,
}

/// The statement of the root of trust that a subnet may certify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The subnet's id.
    pub subnet: Vec<u8>,
    /// An encoded certificate with the subnet's key and canister ranges.
    pub certificate: Vec<u8>,
}

/// About what a certificate is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// A canister, by its id: the effective canister id of the request.
    Canister(&'a [u8]),
    /// A subnet, by its id.
    Subnet(&'a [u8]),
}

/// What a verifier trusts.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The key of the root of trust.
    pub root_key: &'a CertificateKey,
    /// The present, as the verifier knows it.
    pub now: TimeNanos,
    /// How far the certificate's time may be from it, before or after, in nanoseconds.
    pub skew_nanos: u64,
}

/// A certificate that was verified. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCertificate {
    tree: HashTree,
    time: TimeNanos,
    subnet: Option<Vec<u8>>,
}

impl VerifiedCertificate {
    /// What is certified.
    pub fn tree(&self) -> &HashTree {
        &self.tree
    }

    /// When it was certified.
    pub fn time(&self) -> TimeNanos {
        self.time
    }

    /// The subnet that signed under a delegation; `None` where the root of trust signed itself.
    pub fn subnet(&self) -> Option<&[u8]> {
        self.subnet.as_deref()
    }

    /// The value at `path`.
    pub fn lookup(&self, path: &[&[u8]]) -> Lookup<'_> {
        hash_tree::lookup(&self.tree, path)
    }
}

impl Certificate {
    /// Reads a certificate, with or without the tag of self-describing CBOR. The caller has
    /// bounded the length of `bytes`.
    ///
    /// # Errors
    /// [`CertificateError::Decode`] if the bytes are not the canonical encoding of a certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut decoder = Decoder::new(untagged(bytes));
        let (mut tree, mut signature, mut delegation) = (None, None, None);
        decoder.fields("certificate", 3, |name, decoder| {
            match name {
                "tree" => tree = Some(HashTree::decode(decoder)?),
                "signature" => signature = Some(decoder.bytes_exact("signature")?),
                "delegation" => delegation = Some(Delegation::decode(decoder)?),
                _ => return Err(DecodeError::Field("certificate")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        Ok(Self {
            tree: tree.ok_or(DecodeError::Field("tree"))?,
            signature: signature.ok_or(DecodeError::Field("signature"))?,
            delegation,
        })
    }

    /// The canonical encoding, with the tag of self-describing CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let write_delegation = |encoder: &mut Encoder| {
            if let Some(delegation) = &self.delegation {
                encoder.raw(&delegation.encode());
            }
        };
        let map = MapBuilder::new()
            .field("tree", |encoder| self.tree.encode(encoder))
            .field("signature", |encoder| {
                encoder.bytes(&self.signature);
            })
            .field_if(self.delegation.is_some(), "delegation", write_delegation)
            .finish();
        [&SELF_DESCRIBED[..], &map].concat()
    }

    /// Verifies the certificate for `scope` and gives what may now be believed.
    ///
    /// # Errors
    /// [`CertificateError`] with the first rule that does not hold.
    pub fn verify(
        self,
        scope: Scope<'_>,
        trust: &Trust<'_>,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let key = match &self.delegation {
            None => *trust.root_key,
            Some(delegation) => delegation.verify(scope, trust.root_key)?,
        };
        self.verify_tree(&key)?;
        let time = time_of(&self.tree)?;
        if time.0.abs_diff(trust.now.0) > trust.skew_nanos {
            return Err(CertificateError::TimeOutOfBounds {
                found: time.0,
                now: trust.now.0,
                limit: trust.skew_nanos,
            });
        }
        let subnet = self.delegation.map(|delegation| delegation.subnet);
        Ok(VerifiedCertificate {
            tree: self.tree,
            time,
            subnet,
        })
    }

    fn verify_tree(&self, key: &CertificateKey) -> Result<(), CertificateError> {
        if !hash_tree::is_well_formed(&self.tree) {
            return Err(CertificateError::NotWellFormed);
        }
        key.verify_state_root(&self.tree.digest(), &self.signature)
    }
}

impl Delegation {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut subnet, mut certificate) = (None, None);
        decoder.fields("delegation", 2, |name, decoder| {
            match name {
                "subnet_id" => {
                    subnet = Some(decoder.bytes("subnet_id", PRINCIPAL_BYTES_MAX)?.to_vec());
                }
                "certificate" => {
                    certificate = Some(decoder.bytes("certificate", usize::MAX)?.to_vec());
                }
                _ => return Err(DecodeError::Field("delegation")),
            }
            Ok(())
        })?;
        Ok(Self {
            subnet: subnet.ok_or(DecodeError::Field("subnet_id"))?,
            certificate: certificate.ok_or(DecodeError::Field("certificate"))?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("subnet_id", |encoder| {
                encoder.bytes(&self.subnet);
            })
            .field("certificate", |encoder| {
                encoder.bytes(&self.certificate);
            })
            .finish()
    }

    /// The subnet's key, if the root of trust delegated to it and `scope` is within its reach.
    fn verify(
        &self,
        scope: Scope<'_>,
        root_key: &CertificateKey,
    ) -> Result<CertificateKey, CertificateError> {
        let certificate = Certificate::decode(&self.certificate)?;
        if certificate.delegation.is_some() {
            return Err(CertificateError::NestedDelegation);
        }
        certificate.verify_tree(root_key)?;
        let within = match scope {
            Scope::Subnet(subnet) => subnet == self.subnet,
            Scope::Canister(canister) => self.ranges_contain(&certificate.tree, canister)?,
        };
        if !within {
            let (Scope::Canister(asked) | Scope::Subnet(asked)) = scope;
            return Err(CertificateError::OutOfScope {
                subnet: hexadecimal(&self.subnet),
                asked: hexadecimal(asked),
            });
        }
        let path: [&[u8]; 3] = [b"subnet", &self.subnet, b"public_key"];
        match hash_tree::lookup(&certificate.tree, &path) {
            Lookup::Found(der) => CertificateKey::from_der(der),
            _ => Err(CertificateError::Delegation("the subnet's public key")),
        }
    }

    /// Whether a range of the subnet holds `canister`: in the shards under
    /// `/canister_ranges/<subnet>`, or, where these are not shown, in
    /// `/subnet/<subnet>/canister_ranges`.
    fn ranges_contain(&self, tree: &HashTree, canister: &[u8]) -> Result<bool, CertificateError> {
        let sharded: [&[u8]; 2] = [b"canister_ranges", &self.subnet];
        if let SubtreeLookup::Found(shards) = hash_tree::lookup_subtree(tree, &sharded) {
            for (_, shard) in hash_tree::labels(shards).shown {
                if let HashTree::Leaf(ranges) = shard
                    && range_list_contains(ranges, canister)?
                {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let whole: [&[u8]; 3] = [b"subnet", &self.subnet, b"canister_ranges"];
        match hash_tree::lookup(tree, &whole) {
            Lookup::Found(ranges) => range_list_contains(ranges, canister),
            _ => Err(CertificateError::Delegation("the subnet's canister ranges")),
        }
    }
}

/// Whether an encoded list of pairs of principals, first and last inclusive, holds `canister`.
fn range_list_contains(encoded: &[u8], canister: &[u8]) -> Result<bool, CertificateError> {
    let mut decoder = Decoder::new(untagged(encoded));
    let count = decoder.array("canister ranges", encoded.len())?;
    let mut contains = false;
    for _ in 0..count {
        if decoder.array("canister range", 2)? != 2 {
            return Err(DecodeError::Field("canister range").into());
        }
        let first = decoder.bytes("first canister", PRINCIPAL_BYTES_MAX)?;
        let last = decoder.bytes("last canister", PRINCIPAL_BYTES_MAX)?;
        contains |= first <= canister && canister <= last;
    }
    decoder.finish()?;
    Ok(contains)
}

fn time_of(tree: &HashTree) -> Result<TimeNanos, CertificateError> {
    match hash_tree::lookup(tree, &[b"time"]) {
        Lookup::Found(value) => leb128(value).map(TimeNanos).ok_or(CertificateError::Time),
        _ => Err(CertificateError::Time),
    }
}

/// An unsigned LEB128 number of at most 64 bits in its shortest form, and nothing after it: how
/// hash trees hold numbers.
pub fn leb128(bytes: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate() {
        let low = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift > 63 || (shift == 63 && low > 1) {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            let shortest = index == 0 || byte != 0;
            return (shortest && index + 1 == bytes.len()).then_some(value);
        }
    }
    None
}

fn untagged(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&SELF_DESCRIBED).unwrap_or(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
