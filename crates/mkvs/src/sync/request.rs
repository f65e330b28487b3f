//! Requests for proofs and the answer to them, as they travel.
//!
//! ```text
//! tree         = { root: { ns, hash, version, root_type }, position }
//! get          = { key, tree, [proof_version], [include_siblings] }
//! get prefixes = { tree, limit, prefixes, [proof_version] }
//! iterate      = { key, tree, prefetch, [proof_version] }
//! answer       = { proof }
//! ```
//!
//! What stands in brackets is left out where it is zero or false. Source: Oasis Core
//! `storage/mkvs/syncer`.

use trilith_proof::mkvs::{KEY_BYTES_MAX, PROOF_BYTES_MAX, Proof, ProofError, ProofVersion};
use trilith_types::Hash;
use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};

use super::{Root, root};

/// Longest encoded request in bytes. Requests for many prefixes are the longest.
pub const SYNC_REQUEST_BYTES_MAX: usize = 1 << 20;

/// Most prefixes of a request: each costs the one who answers a walk down the tree, also where
/// there is nothing to be found.
pub const SYNC_PREFIXES_MAX: usize = 4_096;

/// Longest encoded answer in bytes: the longest proof and the map around it.
pub const SYNC_ANSWER_BYTES_MAX: usize = PROOF_BYTES_MAX + 16;

/// Which tree is asked for, and which node of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeId {
    /// The root of the tree.
    pub root: Root,
    /// Hash of the node that is wanted: whoever asks knows the tree down to it.
    pub position: Hash,
}

/// Asks for what the tree has under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// The tree, and where the proof may start.
    pub tree: TreeId,
    /// The key, of at most [`KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// Whether the proof is to show what a removal of the key needs.
    pub include_siblings: bool,
    /// The format of the proof.
    pub proof_version: ProofVersion,
}

/// Asks for the entries whose keys start with one of several prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetPrefixesRequest {
    /// The tree. The proof starts at its root, whatever position is named.
    pub tree: TreeId,
    /// The prefixes: at most [`SYNC_PREFIXES_MAX`], each of at most [`KEY_BYTES_MAX`] bytes.
    pub prefixes: Vec<Vec<u8>>,
    /// Most entries to show.
    pub limit: u16,
    /// The format of the proof.
    pub proof_version: ProofVersion,
}

/// Asks for the first entry at or after a key and some that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterateRequest {
    /// The tree. The proof starts at its root, whatever position is named.
    pub tree: TreeId,
    /// The key, of at most [`KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// How many entries to show after the first.
    pub prefetch: u16,
    /// The format of the proof.
    pub proof_version: ProofVersion,
}

/// The answer to each of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofResponse {
    /// What is shown, not yet verified.
    pub proof: Proof,
}

impl TreeId {
    fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("root", |encoder| {
                encoder.raw(&root::encode(&self.root));
            })
            .field("position", |encoder| {
                encoder.bytes(self.position.as_bytes());
            })
            .finish()
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut found, mut position) = (None, None);
        decoder.fields("tree", 2, |name, decoder| {
            match name {
                "root" => found = Some(root::decode(decoder)?),
                "position" => position = Some(decoder.bytes_exact("position")?),
                _ => return Err(DecodeError::Field("tree")),
            }
            Ok(())
        })?;
        Ok(Self {
            root: found.ok_or(DecodeError::Field("root"))?,
            position: Hash::from_bytes(position.ok_or(DecodeError::Field("position"))?),
        })
    }
}

impl GetRequest {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        head(&self.tree, self.proof_version)
            .field("key", |encoder| {
                encoder.bytes(&self.key);
            })
            .field_if(self.include_siblings, "include_siblings", |encoder| {
                encoder.bool(true);
            })
            .finish()
    }

    /// Reads a request. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are more than [`SYNC_REQUEST_BYTES_MAX`], are not the canonical
    /// encoding of a request, or the key is too long.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut head, mut key, mut siblings) = (Head::default(), None, None);
        fields(bytes, 4, |name, decoder| {
            match name {
                "key" => key = Some(decoder.bytes("key", KEY_BYTES_MAX)?.to_vec()),
                "include_siblings" => siblings = Some(decoder.bool()?),
                _ => head.read(name, decoder)?,
            }
            Ok(())
        })?;
        // False is written by leaving the field out.
        if siblings == Some(false) {
            return Err(DecodeError::Field("include_siblings"));
        }
        Ok(Self {
            tree: head.tree()?,
            key: key.ok_or(DecodeError::Field("key"))?,
            include_siblings: siblings.is_some(),
            proof_version: head.proof_version,
        })
    }
}

impl GetPrefixesRequest {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        head(&self.tree, self.proof_version)
            .field("prefixes", |encoder| {
                encoder.array(self.prefixes.len());
                for prefix in &self.prefixes {
                    encoder.bytes(prefix);
                }
            })
            .field("limit", |encoder| {
                encoder.uint(u64::from(self.limit));
            })
            .finish()
    }

    /// Reads a request. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// As [`GetRequest::decode`], and if there are more than [`SYNC_PREFIXES_MAX`] prefixes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut head, mut prefixes, mut limit) = (Head::default(), None, None);
        fields(bytes, 4, |name, decoder| {
            match name {
                "prefixes" => prefixes = Some(decode_prefixes(decoder)?),
                "limit" => limit = Some(small("limit", decoder)?),
                _ => head.read(name, decoder)?,
            }
            Ok(())
        })?;
        Ok(Self {
            tree: head.tree()?,
            prefixes: prefixes.ok_or(DecodeError::Field("prefixes"))?,
            limit: limit.ok_or(DecodeError::Field("limit"))?,
            proof_version: head.proof_version,
        })
    }
}

impl IterateRequest {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        head(&self.tree, self.proof_version)
            .field("key", |encoder| {
                encoder.bytes(&self.key);
            })
            .field("prefetch", |encoder| {
                encoder.uint(u64::from(self.prefetch));
            })
            .finish()
    }

    /// Reads a request. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// As [`GetRequest::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut head, mut key, mut prefetch) = (Head::default(), None, None);
        fields(bytes, 4, |name, decoder| {
            match name {
                "key" => key = Some(decoder.bytes("key", KEY_BYTES_MAX)?.to_vec()),
                "prefetch" => prefetch = Some(small("prefetch", decoder)?),
                _ => head.read(name, decoder)?,
            }
            Ok(())
        })?;
        Ok(Self {
            tree: head.tree()?,
            key: key.ok_or(DecodeError::Field("key"))?,
            prefetch: prefetch.ok_or(DecodeError::Field("prefetch"))?,
            proof_version: head.proof_version,
        })
    }
}

impl ProofResponse {
    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("proof", |encoder| {
                encoder.raw(&self.proof.encode());
            })
            .finish()
    }

    /// Reads an answer. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`ProofError::TooLong`] over [`SYNC_ANSWER_BYTES_MAX`], and those of [`Proof::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > SYNC_ANSWER_BYTES_MAX {
            return Err(ProofError::TooLong {
                len: bytes.len(),
                limit: SYNC_ANSWER_BYTES_MAX,
            });
        }
        let mut decoder = Decoder::new(bytes);
        let mut proof = None;
        decoder.fields("answer", 1, |name, decoder| {
            match name {
                "proof" => proof = Some(decoder.skip()?),
                _ => return Err(DecodeError::Field("answer")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        Ok(Self {
            proof: Proof::decode(proof.ok_or(DecodeError::Field("proof"))?)?,
        })
    }
}

/// The fields that all requests have.
struct Head {
    tree: Option<TreeId>,
    proof_version: ProofVersion,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            tree: None,
            proof_version: ProofVersion::V0,
        }
    }
}

impl Head {
    fn read(&mut self, name: &str, decoder: &mut Decoder<'_>) -> Result<(), DecodeError> {
        match name {
            "tree" => self.tree = Some(TreeId::decode(decoder)?),
            "proof_version" => {
                self.proof_version = match decoder.uint()? {
                    1 => ProofVersion::V1,
                    // Version 0 is written by leaving the field out; others are not known.
                    _ => return Err(DecodeError::Field("proof_version")),
                }
            }
            _ => return Err(DecodeError::Field("request")),
        }
        Ok(())
    }

    fn tree(&self) -> Result<TreeId, DecodeError> {
        self.tree.ok_or(DecodeError::Field("tree"))
    }
}

fn head(tree: &TreeId, version: ProofVersion) -> MapBuilder {
    MapBuilder::new()
        .field("tree", |encoder| {
            encoder.raw(&tree.encode());
        })
        .field_if(
            version == ProofVersion::V1,
            "proof_version",
            |encoder: &mut Encoder| {
                encoder.uint(1);
            },
        )
}

/// Reads a whole request, field by field.
fn fields(
    bytes: &[u8],
    limit: usize,
    read: impl FnMut(&str, &mut Decoder<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if bytes.len() > SYNC_REQUEST_BYTES_MAX {
        return Err(DecodeError::TooLong {
            what: "request",
            at: 0,
            len: bytes.len() as u64,
            limit: SYNC_REQUEST_BYTES_MAX as u64,
        });
    }
    let mut decoder = Decoder::new(bytes);
    decoder.fields("request", limit, read)?;
    decoder.finish()
}

fn small(name: &'static str, decoder: &mut Decoder<'_>) -> Result<u16, DecodeError> {
    u16::try_from(decoder.uint()?).map_err(|_| DecodeError::Field(name))
}

fn decode_prefixes(decoder: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = decoder.array("prefixes", SYNC_PREFIXES_MAX)?;
    let mut prefixes = Vec::with_capacity(count);
    for _ in 0..count {
        prefixes.push(decoder.bytes("prefix", KEY_BYTES_MAX)?.to_vec());
    }
    Ok(prefixes)
}
