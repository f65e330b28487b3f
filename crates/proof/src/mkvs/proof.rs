//! The proof as it travels.

use trilith_types::Hash;
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};

use super::verified::{VerifiedPart, VerifiedTree};
use super::{PROOF_BYTES_MAX, PROOF_ENTRIES_MAX, ProofError};

/// The format of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofVersion {
    /// An internal node carries its own leaf.
    V0,
    /// The own leaf is a child, so that leaves on the way need not be shown.
    V1,
}

/// A part of a tree, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The format of the entries.
    pub version: ProofVersion,
    /// The root that the prover claims. Verification uses the root that the verifier knows.
    pub untrusted_root: Hash,
    /// The nodes in pre-order; `None` stands for nothing.
    pub entries: Vec<Option<Vec<u8>>>,
}

impl Proof {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field_if(self.version == ProofVersion::V1, "v", |encoder| {
                encoder.uint(1);
            })
            .field("entries", |encoder| {
                encoder.array(self.entries.len());
                for entry in &self.entries {
                    match entry {
                        Some(bytes) => encoder.bytes(bytes),
                        None => encoder.null(),
                    };
                }
            })
            .field("untrusted_root", |encoder| {
                encoder.bytes(self.untrusted_root.as_bytes());
            })
            .finish()
    }

    /// Reads a proof. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`ProofError::TooLong`] over [`PROOF_BYTES_MAX`], [`ProofError::Version`] for a version
    /// that is not known, [`ProofError::Decode`] if the bytes are not the canonical encoding of a
    /// proof of at most [`PROOF_ENTRIES_MAX`] entries.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLong {
                len: bytes.len(),
                limit: PROOF_BYTES_MAX,
            });
        }
        let mut decoder = Decoder::new(bytes);
        let (mut version, mut root, mut entries) = (None, None, None);
        decoder.fields("proof", 3, |name, decoder| {
            match name {
                "v" => version = Some(decoder.uint()?),
                "untrusted_root" => root = Some(decoder.bytes_exact("untrusted_root")?),
                "entries" => entries = Some(decode_entries(decoder)?),
                _ => return Err(DecodeError::Field("proof")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        let version = match version {
            None => ProofVersion::V0,
            Some(1) => ProofVersion::V1,
            // Version 0 is written by leaving the field out.
            Some(0) => return Err(DecodeError::Field("v").into()),
            Some(found) => return Err(ProofError::Version { found }),
        };
        Ok(Self {
            version,
            untrusted_root: Hash::from_bytes(root.ok_or(DecodeError::Field("untrusted_root"))?),
            entries: entries.ok_or(DecodeError::Field("entries"))?,
        })
    }

    /// Verifies that this is a part of the tree with the trusted `root`, and gives that part.
    ///
    /// # Errors
    /// [`ProofError`] with the first rule that does not hold.
    pub fn verify(&self, root: &Hash) -> Result<VerifiedTree, ProofError> {
        if self.untrusted_root != *root {
            return Err(ProofError::Root {
                expected: *root,
                found: self.untrusted_root,
            });
        }
        VerifiedTree::from_entries(self.version, &self.entries, root)
    }

    /// Verifies that this is a part of the subtree whose topmost node has the trusted `hash`, and
    /// gives that part. The path to the subtree is not known here, so it is not checked that keys
    /// lie on it; whoever trusts the hash because a verified node led there knows that.
    ///
    /// # Errors
    /// [`ProofError`] with the first rule that does not hold.
    pub fn verify_part(&self, hash: &Hash) -> Result<VerifiedPart, ProofError> {
        if self.untrusted_root != *hash {
            return Err(ProofError::Root {
                expected: *hash,
                found: self.untrusted_root,
            });
        }
        VerifiedPart::from_entries(self.version, &self.entries, hash)
    }
}

fn decode_entries(decoder: &mut Decoder<'_>) -> Result<Vec<Option<Vec<u8>>>, DecodeError> {
    let count = decoder.array("entries", PROOF_ENTRIES_MAX)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(match decoder.null() {
            true => None,
            false => Some(decoder.bytes("entry", PROOF_BYTES_MAX)?.to_vec()),
        });
    }
    Ok(entries)
}
