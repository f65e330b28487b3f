//! Reading a checkpoint: verifying it, and handing it on.
//!
//! ```text
//! import(manifest, sink):
//!   for each tree chunk: length, digest, decompressed size, proof; entries it adds -> sink,
//!                        leaves of images are kept here instead
//!   the chunks cover the tree
//!   for each page chunk: length, digest, form; its pages belong to images of the state, in order
//!                        -> sink, in place
//!   the pages of each image have the root that its leaf has
//!   sink.finish
//! ```
//!
//! One chunk is in memory at a time, beside the leaves of images and, of the page trees, one path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trilith_mkvs::checkpoint::Restore;
use trilith_types::cbor::Decoder;
use trilith_types::{Hash, ImageId, PageFile, WriteLog};

use super::manifest::{ExportManifest, FileEntry, MANIFEST_NAME};
use super::merge::{Merge, Part};
use super::page_chunk::PageChunk;
use super::{EXPORT_MANIFEST_BYTES_MAX, ExportFault, FileFault, hex, refused};
use crate::disk::Disk;
use crate::fault::{Result as StoreResult, StoreFault};
use crate::image::ImageUpdate;
use crate::page_tree::{IMAGE_PAGES_MAX, PageHash, page_hash};
use crate::view::IMAGE_KEY_PREFIX;

/// The first byte of keys that belong to the store.
const RESERVED: u8 = 0;

/// The files of a checkpoint, wherever they are.
pub trait CheckpointFiles {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// As the operating system reports them.
    fn open(&self, name: &str) -> io::Result<PageFile>;
}

/// A checkpoint in a folder of the operating system.
#[derive(Clone, Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
}

impl CheckpointFiles for CheckpointFolder {
    fn open(&self, name: &str) -> io::Result<PageFile> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }
}

/// A checkpoint on what the store calls a disk.
pub(super) struct DiskFiles<'d>(pub(super) &'d dyn Disk);

impl CheckpointFiles for DiskFiles<'_> {
    fn open(&self, name: &str) -> io::Result<PageFile> {
        Ok(self.0.open(name)?.page_file())
    }
}

/// What takes in a state that is imported. Nothing that it took in counts before
/// [`ImportSink::finish`] returns; if that is not called, all of it is to be dropped.
pub trait ImportSink {
    /// Takes entries, in ascending order of keys within a batch; no key comes twice. Leaves of
    /// images are not among them.
    ///
    /// # Errors
    /// A fault of the store. The import ends then.
    fn entries(&mut self, log: &WriteLog) -> StoreResult<()>;

    /// Takes an image or more pages of one that came before, whose contents are read at once. The
    /// update is a write without reset; the length is the same each time.
    ///
    /// # Errors
    /// As [`ImportSink::entries`].
    fn image(&mut self, update: &ImageUpdate) -> StoreResult<()>;

    /// Checks that what came has the root `root`, and makes it durable as the state after `round`.
    ///
    /// # Errors
    /// As [`ImportSink::entries`].
    fn finish(&mut self, round: u64, root: Hash) -> StoreResult<()>;
}

/// A checkpoint whose manifest was read.
pub struct Checkpoint<F> {
    files: F,
    manifest: ExportManifest,
}

impl Checkpoint<CheckpointFolder> {
    /// Opens the checkpoint in a folder.
    ///
    /// # Errors
    /// [`ExportFault`] if there is no manifest, or it is not one.
    pub fn open(folder: &Path) -> Result<Self, ExportFault> {
        let path = folder.to_owned();
        Self::open_files(CheckpointFolder { path })
    }
}

impl<F: CheckpointFiles> Checkpoint<F> {
    /// Opens the checkpoint that has these files.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_files(files: F) -> Result<Self, ExportFault> {
        let manifest = read_manifest(&files)?;
        Ok(Self { files, manifest })
    }

    /// What it is of. Whether that root is the right one is for the caller to know.
    pub fn manifest(&self) -> &ExportManifest {
        &self.manifest
    }

    /// Checks every byte of the checkpoint against the manifest and its root.
    ///
    /// # Errors
    /// [`ExportFault`] with the first file that is not as it should be.
    pub fn verify(&self) -> Result<(), ExportFault> {
        self.import(&mut Nowhere)
    }

    /// Hands the state on to `sink`.
    ///
    /// # Errors
    /// [`ExportFault`] with the first file that is not as it should be, of which nothing was
    /// handed on, or with the sink's fault. The sink is not finished then.
    pub fn import(&self, sink: &mut dyn ImportSink) -> Result<(), ExportFault> {
        let images = self.import_tree(sink)?;
        self.import_pages(images, sink)?;
        sink.finish(self.manifest.round, self.manifest.root)?;
        Ok(())
    }

    /// Hands on the entries of the tree, except the leaves of images, which are given back.
    fn import_tree(&self, sink: &mut dyn ImportSink) -> Result<Leaves, ExportFault> {
        let mut restore = Restore::new(self.manifest.tree_metadata());
        let mut images = Leaves::new();
        for (index, entry) in self.manifest.tree.iter().enumerate() {
            let name = ExportManifest::tree_name(index);
            let (_, bytes) = read_listed(&self.files, &name, entry)?;
            let chunk = restore.chunk(index, &bytes);
            drop(bytes);
            let log = chunk.map_err(|error| refused(&name, error))?;
            let log = without_images(&name, log, &mut images)?;
            sink.entries(&log)?;
        }
        restore.finish().map_err(ExportFault::Tree)?;
        Ok(images)
    }

    /// Hands on the pages of the images.
    fn import_pages(&self, images: Leaves, sink: &mut dyn ImportSink) -> Result<(), ExportFault> {
        let mut merge = Merge::new(images, sink);
        for (index, entry) in self.manifest.pages.iter().enumerate() {
            let name = ExportManifest::pages_name(index);
            let (file, bytes) = read_listed(&self.files, &name, entry)?;
            let found = blake3::hash(&bytes);
            if *found.as_bytes() != entry.digest {
                let (found, listed) = (hex(found.as_bytes()), hex(&entry.digest));
                return Err(refused(&name, FileFault::Digest { found, listed }));
            }
            let chunk = PageChunk::decode(&bytes).map_err(|fault| refused(&name, fault))?;
            let mut at = 0;
            for section in &chunk.sections {
                let count = section.count();
                let pages = &chunk.pages[at as usize..(at + count) as usize];
                let hashes = section.pages().zip(pages.iter().map(page_hash)).collect();
                let part = Part {
                    name: &name,
                    section,
                    hashes,
                    file: &file,
                    file_page: chunk.file_page + at,
                };
                merge.add(&part)?;
                at += count;
            }
        }
        merge.finish()
    }
}

/// What the leaf of an image says.
pub(super) struct ImageLeaf {
    pub(super) id: ImageId,
    pub(super) pages: u64,
    pub(super) root: PageHash,
}

/// Images by name: length and root.
pub(super) type Leaves = BTreeMap<ImageId, (u64, PageHash)>;

/// Reads the leaf of an image; `None` if key or value are not those of one.
pub(super) fn decode_image_leaf(key: &[u8], value: &[u8]) -> Option<ImageLeaf> {
    let id = ImageId::new(key.strip_prefix(IMAGE_KEY_PREFIX)?)?;
    let mut decoder = Decoder::new(value);
    if decoder.array("image leaf", 2).ok()? != 2 {
        return None;
    }
    let pages = decoder
        .uint()
        .ok()
        .filter(|pages| *pages <= IMAGE_PAGES_MAX)?;
    let root = decoder.bytes_exact("root").ok()?;
    decoder.finish().ok()?;
    Some(ImageLeaf { id, pages, root })
}

/// Takes the leaves of images out of a log.
fn without_images(name: &str, log: WriteLog, images: &mut Leaves) -> Result<WriteLog, ExportFault> {
    let mut rest = WriteLog::new();
    for entry in log {
        if entry.key.first() != Some(&RESERVED) {
            rest.push(entry);
            continue;
        }
        let value = entry.value.as_deref().unwrap_or_default();
        match decode_image_leaf(&entry.key, value) {
            Some(leaf) => images.insert(leaf.id, (leaf.pages, leaf.root)),
            None => {
                let key = hex(&entry.key);
                return Err(refused(name, FileFault::ReservedKey { key }));
            }
        };
    }
    Ok(rest)
}

/// Takes in nothing.
struct Nowhere;

impl ImportSink for Nowhere {
    fn entries(&mut self, _: &WriteLog) -> StoreResult<()> {
        Ok(())
    }

    fn image(&mut self, _: &ImageUpdate) -> StoreResult<()> {
        Ok(())
    }

    fn finish(&mut self, _: u64, _: Hash) -> StoreResult<()> {
        Ok(())
    }
}

/// Reads the manifest.
pub(super) fn read_manifest(files: &dyn CheckpointFiles) -> Result<ExportManifest, ExportFault> {
    let (file, len) = open(files, MANIFEST_NAME)?;
    let limit = EXPORT_MANIFEST_BYTES_MAX as u64;
    if len > limit {
        return Err(refused(MANIFEST_NAME, FileFault::TooLong { len, limit }));
    }
    let bytes = read(&file, MANIFEST_NAME, len)?;
    ExportManifest::decode(&bytes).map_err(|fault| refused(MANIFEST_NAME, fault))
}

/// Reads a file that the manifest lists, whose length the manifest's decoder bounded.
fn read_listed(
    files: &dyn CheckpointFiles,
    name: &str,
    entry: &FileEntry,
) -> Result<(PageFile, Vec<u8>), ExportFault> {
    let (file, len) = open(files, name)?;
    if len != entry.bytes {
        let listed = entry.bytes;
        return Err(refused(name, FileFault::Length { len, listed }));
    }
    let bytes = read(&file, name, len)?;
    Ok((file, bytes))
}

fn open(files: &dyn CheckpointFiles, name: &str) -> Result<(PageFile, u64), ExportFault> {
    let file = files
        .open(name)
        .map_err(|error| StoreFault::io(name, "open", &error))?;
    let metadata = file
        .metadata()
        .map_err(|error| StoreFault::io(name, "measure", &error))?;
    match metadata.is_file() {
        true => Ok((file, metadata.len())),
        false => Err(refused(name, FileFault::NotAFile)),
    }
}

fn read(file: &File, name: &str, len: u64) -> Result<Vec<u8>, StoreFault> {
    let mut bytes = vec![0u8; len as usize];
    file.read_exact_at(&mut bytes, 0)
        .map_err(|error| StoreFault::io(name, "read", &error))?;
    Ok(bytes)
}
