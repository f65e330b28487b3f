//! The manifest of a checkpoint: what it is of, and its files.
//!
//! ```text
//! manifest = body ‖ BLAKE3(body)
//! body     = CBOR { kind, format: 1, namespace, round, root, tree: [file], pages: [file] }
//! file     = [length in bytes, digest]
//! ```
//!
//! The digest of a tree chunk is that of Oasis Core (SHA-512/256), so that the list of chunks is
//! also the metadata of its checkpoints; that of a page chunk is BLAKE3. Files have their names
//! from their place in the lists, so that a manifest cannot name any other file.

use std::collections::BTreeMap;

use trilith_mkvs::checkpoint::{
    CHUNK_FRAMED_BYTES_MAX, CHUNKS_MAX, CheckpointError, Metadata, Root, RootType,
};
use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{Hash, RuntimeId};

use super::{EXPORT_MANIFEST_BYTES_MAX, FileFault, PAGE_CHUNK_BYTES_MAX, PAGE_CHUNKS_MAX, hex};

/// Name of the manifest.
pub(super) const MANIFEST_NAME: &str = "manifest";
/// Name of a manifest that is being written.
pub(super) const MANIFEST_NEXT_NAME: &str = "manifest.next";
/// How names of tree chunks start.
const TREE_PREFIX: &str = "tree-";
/// How names of page chunks start.
const PAGES_PREFIX: &str = "pages-";
/// What the folder is for, so that no other manifest passes for one of these.
const KIND: &str = "checkpoint of a runtime's state";
const FORMAT: u64 = 1;
const DIGEST_BYTES: usize = 32;

/// A file of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its digest: SHA-512/256 of a tree chunk, BLAKE3 of a page chunk.
    pub digest: [u8; 32],
}

/// What a checkpoint is of, and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportManifest {
    /// The runtime.
    pub namespace: RuntimeId,
    /// The round after which the state was so.
    pub round: u64,
    /// The root of the state.
    pub root: Hash,
    /// The tree chunks, at least one.
    pub tree: Vec<FileEntry>,
    /// The page chunks.
    pub pages: Vec<FileEntry>,
}

impl ExportManifest {
    /// The name of a tree chunk.
    pub fn tree_name(index: usize) -> String {
        format!("{TREE_PREFIX}{index:06}")
    }

    /// The name of a page chunk.
    pub fn pages_name(index: usize) -> String {
        format!("{PAGES_PREFIX}{index:06}")
    }

    /// Whether a name is one that an export gives to a file it writes before the manifest.
    pub(super) fn is_written_before(name: &str) -> bool {
        name == MANIFEST_NEXT_NAME
            || name.starts_with(TREE_PREFIX)
            || name.starts_with(PAGES_PREFIX)
    }

    /// The tree's part as the metadata of a checkpoint of Oasis Core.
    pub fn tree_metadata(&self) -> Metadata {
        let digest = |file: &FileEntry| Hash::from_bytes(file.digest);
        Metadata {
            root: Root {
                namespace: self.namespace,
                version: self.round,
                root_type: RootType::State,
                hash: self.root,
            },
            chunks: self.tree.iter().map(digest).collect(),
        }
    }

    /// The digest that identifies the checkpoint: BLAKE3 of the body.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.body()).as_bytes()
    }

    fn body(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("kind", |e| {
                e.text(KIND);
            })
            .field("format", |e| {
                e.uint(FORMAT);
            })
            .field("namespace", |e| {
                e.bytes(self.namespace.as_bytes());
            })
            .field("round", |e| {
                e.uint(self.round);
            })
            .field("root", |e| {
                e.bytes(self.root.as_bytes());
            })
            .field("tree", |e| encode_files(e, &self.tree))
            .field("pages", |e| encode_files(e, &self.pages))
            .finish()
    }

    /// The bytes of the manifest file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads a manifest file. It takes outside bytes of any length and content.
    ///
    /// # Errors
    /// [`FileFault`] if the bytes are too many, are not what their digest is of, or are not the
    /// one encoding of a manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileFault> {
        if bytes.len() > EXPORT_MANIFEST_BYTES_MAX {
            return Err(FileFault::TooLong {
                len: bytes.len() as u64,
                limit: EXPORT_MANIFEST_BYTES_MAX as u64,
            });
        }
        let (body, listed) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or(FileFault::NoDigest { len: bytes.len() })?;
        let found = blake3::hash(body);
        if found.as_bytes() != listed {
            let (found, listed) = (hex(found.as_bytes()), hex(listed));
            return Err(FileFault::Digest { found, listed });
        }
        let manifest = Self::decode_body(body)?;
        if manifest.tree.is_empty() {
            return Err(CheckpointError::NoChunks.into());
        }
        check_distinct(&manifest.tree, Self::tree_name)?;
        check_distinct(&manifest.pages, Self::pages_name)?;
        Ok(manifest)
    }

    fn decode_body(body: &[u8]) -> Result<Self, FileFault> {
        let mut decoder = Decoder::new(body);
        let (mut kind, mut format, mut round) = (false, None, None);
        let (mut namespace, mut root, mut tree, mut pages) = (None, None, None, None);
        decoder.fields("manifest", 7, |name, d| {
            match name {
                "kind" => kind = d.text("kind", KIND.len())? == KIND,
                "format" => format = Some(d.uint()?),
                "namespace" => namespace = Some(d.bytes_exact("namespace")?),
                "round" => round = Some(d.uint()?),
                "root" => root = Some(d.bytes_exact("root")?),
                "tree" => tree = Some(decode_files(d, CHUNKS_MAX, CHUNK_FRAMED_BYTES_MAX)?),
                "pages" => {
                    pages = Some(decode_files(d, PAGE_CHUNKS_MAX, PAGE_CHUNK_BYTES_MAX)?);
                }
                _ => return Err(DecodeError::Field("manifest")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        if !kind {
            return Err(DecodeError::Field("kind").into());
        }
        match format.ok_or(DecodeError::Field("format"))? {
            FORMAT => {}
            found => return Err(FileFault::Format { found }),
        }
        Ok(Self {
            namespace: RuntimeId::from_bytes(namespace.ok_or(DecodeError::Field("namespace"))?),
            round: round.ok_or(DecodeError::Field("round"))?,
            root: Hash::from_bytes(root.ok_or(DecodeError::Field("root"))?),
            tree: tree.ok_or(DecodeError::Field("tree"))?,
            pages: pages.ok_or(DecodeError::Field("pages"))?,
        })
    }
}

fn encode_files(encoder: &mut Encoder, files: &[FileEntry]) {
    encoder.array(files.len());
    for file in files {
        encoder.array(2).uint(file.bytes).bytes(&file.digest);
    }
}

fn decode_files(
    decoder: &mut Decoder<'_>,
    count_max: usize,
    bytes_max: usize,
) -> Result<Vec<FileEntry>, DecodeError> {
    let count = decoder.array("files", count_max)?;
    // Not allocated ahead: the count is only bounded by the bytes that follow.
    let mut files = Vec::new();
    for _ in 0..count {
        if decoder.array("file", 2)? != 2 {
            return Err(DecodeError::Field("file"));
        }
        let bytes = decoder.uint()?;
        if bytes > bytes_max as u64 {
            return Err(DecodeError::Field("length of a file"));
        }
        let digest = decoder.bytes_exact("digest")?;
        files.push(FileEntry { bytes, digest });
    }
    Ok(files)
}

/// No two chunks of one checkpoint are alike, so that a digest that comes twice is a mistake.
fn check_distinct(files: &[FileEntry], name: fn(usize) -> String) -> Result<(), FileFault> {
    let mut seen = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        if let Some(first) = seen.insert(file.digest, index) {
            let (first, second) = (name(first), name(index));
            return Err(FileFault::Repeated { first, second });
        }
    }
    Ok(())
}
