//! Writing a checkpoint.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use trilith_mkvs::checkpoint::Chunking;
use trilith_types::{Hash, Image, ImageId, PAGE_BYTES, PageRun, RuntimeId, StateFault, StateRead};

use super::manifest::{ExportManifest, FileEntry, MANIFEST_NAME, MANIFEST_NEXT_NAME};
use super::page_chunk::{PageChunkBuilder, is_zero};
use super::page_root::PageRoot;
use super::read::{DiskFiles, decode_image_leaf, read_manifest};
use super::{CHUNK_PAGES, ExportFault, PAGE_CHUNKS_MAX, hex};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::fault::StoreFault;
use crate::page_tree::{IMAGE_PAGES_MAX, page_hash};
use crate::view::{IMAGE_KEY_PREFIX, View};

/// Files that may be open before they are made durable: a small part of the 1,024 that a process
/// may have by default.
const OPEN_FILES_MAX: usize = 64;

/// Writes a checkpoint of a view into a folder, which is created where it is missing, and gives
/// its manifest. Chunks of the tree have about `chunk_bytes` bytes before compression.
///
/// If the folder has a complete checkpoint of the same namespace, round and root, nothing is
/// written, whatever its size of chunks. What an interrupted export left is replaced.
///
/// # Errors
/// [`ExportFault::OtherCheckpoint`] if the folder has a checkpoint of something else;
/// [`ExportFault::File`] if it has a manifest that is damaged; [`StoreFault::Locked`] if another
/// export writes there; a fault of the disk; or if the view's pages or nodes are damaged. The
/// folder then has no new manifest.
pub fn export(
    view: &View,
    namespace: RuntimeId,
    round: u64,
    folder: &Path,
    chunk_bytes: u64,
) -> Result<ExportManifest, ExportFault> {
    let name = folder.display().to_string();
    let fault = |operation| move |error: io::Error| StoreFault::io(&name, operation, &error);
    let disk = RealDisk::new(folder).map_err(fault.clone()("create"))?;
    let manifest = export_to(view, namespace, round, &disk, chunk_bytes)?;
    // The folder itself is durable only with its own name.
    let canonical = folder.canonicalize().map_err(fault.clone()("resolve"))?;
    if let Some(parent) = canonical.parent() {
        let parent = std::fs::File::open(parent).map_err(fault.clone()("open the parent of"))?;
        parent.sync_all().map_err(fault("make durable"))?;
    }
    Ok(manifest)
}

/// The same as [`export`], into any flat folder.
///
/// # Errors
/// As [`export`].
pub fn export_to(
    view: &View,
    namespace: RuntimeId,
    round: u64,
    disk: &dyn Disk,
    chunk_bytes: u64,
) -> Result<ExportManifest, ExportFault> {
    let root = view.root();
    if let Some(existing) = existing(disk, (namespace, round, root))? {
        return Ok(existing);
    }
    let _lock = disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreFault::Locked {
            folder: disk.describe(),
        },
        _ => StoreFault::io(&disk.describe(), "lock", &error),
    })?;
    // Another export may have ended since.
    if let Some(existing) = existing(disk, (namespace, round, root))? {
        return Ok(existing);
    }
    remove_leftovers(disk)?;
    let mut writer = Writer {
        disk,
        open: Vec::new(),
    };
    let manifest = ExportManifest {
        namespace,
        round,
        root,
        tree: write_tree(view, &mut writer, chunk_bytes)?,
        pages: write_pages(view, &mut writer)?,
    };
    writer.sync()?;
    sync_names(disk)?;
    writer.write(MANIFEST_NEXT_NAME.to_owned(), &manifest.encode())?;
    writer.sync()?;
    disk.rename(MANIFEST_NEXT_NAME, MANIFEST_NAME)
        .map_err(|error| StoreFault::io(MANIFEST_NAME, "create", &error))?;
    sync_names(disk)?;
    Ok(manifest)
}

/// Makes the names of files durable.
fn sync_names(disk: &dyn Disk) -> Result<(), StoreFault> {
    disk.sync_dir()
        .map_err(|error| StoreFault::io(&disk.describe(), "make durable", &error))
}

/// The manifest that the folder has, if it has one, which has to be of the same state.
fn existing(
    disk: &dyn Disk,
    wanted: (RuntimeId, u64, Hash),
) -> Result<Option<ExportManifest>, ExportFault> {
    if !list(disk)?.iter().any(|name| name == MANIFEST_NAME) {
        return Ok(None);
    }
    let manifest = read_manifest(&DiskFiles(disk))?;
    let (namespace, round, root) = (manifest.namespace, manifest.round, manifest.root);
    if (namespace, round, root) != wanted {
        return Err(ExportFault::OtherCheckpoint {
            namespace,
            round,
            root,
        });
    }
    // The export that wrote it may have ended just before it was durable.
    sync_names(disk)?;
    Ok(Some(manifest))
}

fn list(disk: &dyn Disk) -> Result<Vec<String>, StoreFault> {
    disk.list()
        .map_err(|error| StoreFault::io(&disk.describe(), "list", &error))
}

/// Removes what an interrupted export wrote.
fn remove_leftovers(disk: &dyn Disk) -> Result<(), StoreFault> {
    for name in list(disk)? {
        if ExportManifest::is_written_before(&name) {
            disk.remove(&name)
                .map_err(|error| StoreFault::io(&name, "remove", &error))?;
        }
    }
    Ok(())
}

/// Files that are written one after the other. What they hold is made durable many at a time,
/// because a journal takes as long for one new file as for a hundred.
struct Writer<'d> {
    disk: &'d dyn Disk,
    /// Files that are written but not durable.
    open: Vec<(String, Arc<dyn DiskFile>)>,
}

impl Writer<'_> {
    fn write(&mut self, name: String, bytes: &[u8]) -> Result<(), StoreFault> {
        let fault = |operation| {
            let name = &name;
            move |error: io::Error| StoreFault::io(name, operation, &error)
        };
        let file = self.disk.create(&name).map_err(fault("create"))?;
        file.write_at(bytes, 0).map_err(fault("write"))?;
        self.open.push((name, file));
        if self.open.len() == OPEN_FILES_MAX {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes all that was written durable, except for the names of files.
    fn sync(&mut self) -> Result<(), StoreFault> {
        for (name, file) in self.open.drain(..) {
            file.sync()
                .map_err(|error| StoreFault::io(&name, "make durable", &error))?;
        }
        Ok(())
    }
}

/// Writes the chunks of the tree.
fn write_tree(
    view: &View,
    writer: &mut Writer<'_>,
    chunk_bytes: u64,
) -> Result<Vec<FileEntry>, ExportFault> {
    let mut files = Vec::new();
    for chunk in view.tree().chunks(chunk_bytes, Chunking::Sequential) {
        let chunk = chunk.map_err(ExportFault::Tree)?;
        writer.write(ExportManifest::tree_name(files.len()), &chunk.bytes)?;
        files.push(FileEntry {
            bytes: chunk.bytes.len() as u64,
            digest: *chunk.digest.as_bytes(),
        });
    }
    Ok(files)
}

/// Writes the pages of all images, in ascending order of images and pages.
fn write_pages(view: &View, writer: &mut Writer<'_>) -> Result<Vec<FileEntry>, ExportFault> {
    let mut pages = PageWriter {
        writer,
        chunk: PageChunkBuilder::default(),
        files: Vec::new(),
    };
    let entries = view.tree().iterate_prefix(IMAGE_KEY_PREFIX);
    for entry in entries.map_err(|error| ExportFault::Tree(error.into()))? {
        let entry = entry.map_err(|error| ExportFault::Tree(error.into()))?;
        let leaf = decode_image_leaf(&entry.key, &entry.value);
        let leaf = leaf.ok_or_else(|| ExportFault::ImageLeaf {
            key: hex(&entry.key),
        })?;
        let image = view.image(&leaf.id).map_err(unreadable)?;
        let image = image.unwrap_or_default();
        if image.pages() != leaf.pages {
            return Err(ExportFault::ImageLength {
                image: hex(leaf.id.as_bytes()),
                pages: leaf.pages,
                found: image.pages(),
            });
        }
        let found = pages.image(&leaf.id, &image)?;
        if found != leaf.root {
            return Err(ExportFault::ImageRoot {
                image: hex(leaf.id.as_bytes()),
                expected: hex(&leaf.root),
                found: hex(&found),
            });
        }
    }
    pages.flush()?;
    Ok(pages.files)
}

fn unreadable(fault: StateFault) -> ExportFault {
    StoreFault::io("the state", "read", &io::Error::other(fault.to_string())).into()
}

/// Divides pages into chunks.
struct PageWriter<'w, 'd> {
    writer: &'w mut Writer<'d>,
    chunk: PageChunkBuilder,
    files: Vec<FileEntry>,
}

impl PageWriter<'_, '_> {
    /// Writes the pages of an image, and gives the root of its page tree.
    fn image(&mut self, id: &ImageId, image: &Image) -> Result<[u8; 32], ExportFault> {
        let mut root = PageRoot::new(image.pages());
        for run in image.runs() {
            let mut done = 0;
            while done < run.count {
                let count = (run.count - done).min(CHUNK_PAGES as u64);
                let part = PageRun {
                    page: run.page + done,
                    count,
                    file: Arc::clone(&run.file),
                    file_page: run.file_page + done,
                };
                for (page, bytes) in (part.page..).zip(read_run(id, &part)?) {
                    if is_zero(&bytes) {
                        continue;
                    }
                    root.push(page, page_hash(&bytes));
                    self.chunk.push(id, page, &bytes);
                    if self.chunk.is_full() {
                        self.flush()?;
                    }
                }
                done += count;
            }
        }
        Ok(root.finish())
    }

    /// Writes the chunk that is being filled, if it has pages.
    fn flush(&mut self) -> Result<(), ExportFault> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let limit = PAGE_CHUNKS_MAX;
        if self.files.len() == limit {
            return Err(ExportFault::TooManyPages { limit });
        }
        let bytes = self.chunk.take();
        let name = ExportManifest::pages_name(self.files.len());
        self.writer.write(name, &bytes)?;
        self.files.push(FileEntry {
            bytes: bytes.len() as u64,
            digest: *blake3::hash(&bytes).as_bytes(),
        });
        Ok(())
    }
}

/// Reads the pages of a short run.
fn read_run(id: &ImageId, run: &PageRun) -> Result<Vec<[u8; PAGE_BYTES]>, StoreFault> {
    debug_assert!(run.page + run.count <= IMAGE_PAGES_MAX);
    let mut bytes = vec![[0u8; PAGE_BYTES]; run.count as usize];
    let offset = run.file_page * PAGE_BYTES as u64;
    run.file
        .read_exact_at(bytes.as_flattened_mut(), offset)
        .map_err(|error| {
            let file = format!("the page file of image {}", hex(id.as_bytes()));
            StoreFault::io(&file, "read", &error)
        })?;
    Ok(bytes)
}
