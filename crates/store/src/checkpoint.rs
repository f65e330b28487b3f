//! Writing a checkpoint, so that the log before it is needed only for versions of the past.
//!
//! ```text
//! unlocked:      read the files of blobs that are to be emptied into the cache
//! log locked:    go on in a new log file; mark what lies in those files as changed;
//!                take the state (a few reference counts)
//! unlocked:      write pages of sparse files and fragmented images, fragments of trees and tables
//!                of images that no checkpoint has yet, and the checkpoint file that tells of all;
//!                make files and names durable; install the manifest
//! log locked:    let go of what is on disk now
//! unlocked:      remove files that the manifest does not need
//! ```
//!
//! What did not change since the last checkpoint is not written again. Views that are held keep
//! removed files readable. Whether and when checkpoints are written never changes a root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use trilith_mkvs::{Fragment, FragmentSink, Node, Place};
use trilith_types::{ImageId, PAGE_BYTES, RuntimeId, StateFault};

use crate::blob::{BlobKind, BlobWriter, file_of, path_name};
use crate::checkpoint_load::check_page;
use crate::disk::Disk;
use crate::fault::{Result, StoreFault};
use crate::image::StoredImage;
use crate::images::{Files, ImageCell, Images, StoredTable, encode_table};
use crate::log_file::{RecordWriter, StoreFile, check_payload_len, file_name};
use crate::manifest::{Generation, Manifest};
use crate::payload::{Payload, StoredCell};
use crate::ranges::PageRange;
use crate::record::{FILE_HEADER_BYTES, FileKind};
use crate::relocate::{
    FileNumbers, Moves, current_cells, files_of, is_fragmented, pinned_files, sparse_files,
};
use crate::replay::for_each_page;
use crate::state::{BlobUse, Namespace, RecordPlace, State, tree_fault};

/// Images that go into one record.
const IMAGES_RECORD: usize = 1 << 12;
/// Versions that go into one record.
const VERSIONS_RECORD: usize = 1 << 14;

/// How checkpoints lay out what they write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// More runs than this make an image a candidate for defragmentation.
    pub(crate) fragment_runs_max: usize,
    /// About how large a fragment of a tree is.
    pub(crate) fragment_bytes: usize,
}

/// What a checkpoint is made from.
pub(crate) struct Snapshot {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) state: State,
    /// The files in use.
    pub(crate) files: Files,
    /// Number of the checkpoint's file.
    pub(crate) id: u64,
    /// Where numbers for further files come from.
    pub(crate) numbers: Arc<AtomicU64>,
    /// The log file that the manifest starts with, and the sequence of its first record.
    pub(crate) log_start: u64,
    pub(crate) first_sequence: u64,
    pub(crate) layout: Layout,
}

/// A checkpoint that is durable, though no manifest names it yet.
pub(crate) struct Written {
    pub(crate) file: Arc<StoreFile>,
    pub(crate) blob_files: Vec<Arc<StoreFile>>,
    pub(crate) moves: Moves,
    /// What became of each namespace.
    pub(crate) namespaces: BTreeMap<RuntimeId, WrittenNamespace>,
    /// The tops of the fragments that were written.
    pub(crate) fragments: Vec<WrittenFragment>,
    pub(crate) blobs: BTreeMap<u64, BlobUse>,
    pub(crate) generation: Generation,
}

/// A fragment that was written.
pub(crate) struct WrittenFragment {
    /// The node at its top.
    pub(crate) top: Arc<Node>,
    pub(crate) place: Place,
    /// Bytes that it takes in its file.
    pub(crate) bytes: u64,
    /// Whether it has no edges to other fragments.
    pub(crate) whole: bool,
}

/// An image, the cell that it had and the one that replaces that.
pub(crate) type Replaced = (ImageId, Arc<ImageCell>, Arc<ImageCell>);

/// What a checkpoint made of a namespace.
pub(crate) struct WrittenNamespace {
    /// Where the top fragment of its tree is.
    pub(crate) top: Place,
    /// The images of its current version, all of them stored.
    pub(crate) images: Images,
    /// Cells that were replaced, with what replaced them.
    pub(crate) cells: Vec<Replaced>,
    /// Where the seals of candidates lay, and where they lie now.
    pub(crate) candidates: Vec<(RecordPlace, RecordPlace)>,
}

impl Snapshot {
    /// Writes the checkpoint and makes it durable. What a failure leaves behind is removed.
    pub(crate) fn write(self) -> Result<Written> {
        let mut blobs = BlobWriter::new(Arc::clone(&self.disk), Arc::clone(&self.numbers));
        let disk = Arc::clone(&self.disk);
        let name = file_name(self.id, FileKind::Checkpoint);
        self.write_files(&mut blobs).inspect_err(|_| {
            // What is left now is removed at the next start.
            for name in blobs.names().iter().chain([&name]) {
                let _ = disk.remove(name);
            }
        })
    }

    fn write_files(self, blobs: &mut BlobWriter) -> Result<Written> {
        let file = StoreFile::create(&*self.disk, self.id, FileKind::Checkpoint, 1)?;
        let file = Arc::new(file);
        let mut writer = Writer {
            file: Arc::clone(&file),
            end: FILE_HEADER_BYTES,
            sequence: 1,
        };
        let moves = self.move_pages(&mut writer)?;
        let mut files = self.files.clone();
        files.insert(self.id, Arc::clone(&file));
        let numbers = FileNumbers::new(files.values());
        let mut pass = Pass {
            snapshot: &self,
            numbers: &numbers,
            moves: &moves,
            blobs,
            used: self.state.blobs.clone(),
            fragments: Vec::new(),
        };
        let mut namespaces = BTreeMap::new();
        for (id, namespace) in &self.state.namespaces {
            namespaces.insert(*id, pass.namespace(&mut writer, *id, namespace)?);
        }
        let (mut used, fragments) = (pass.used, pass.fragments);
        let blob_files = blobs.finish()?;
        for (file, bytes) in &blob_files {
            used.entry(file.header.id)
                .or_insert(BlobUse { live: 0, bytes: 0 })
                .bytes = *bytes;
        }
        used.retain(|_, used| used.live > 0);
        self.write_rest(&mut writer)?;
        writer.record(&Payload::Blobs(
            used.iter().map(|(id, used)| (*id, *used)).collect(),
        ))?;
        writer.record(&Payload::End)?;
        file.sync()?;
        let generation = self.generation(&namespaces, &used);
        Ok(Written {
            file,
            blob_files: blob_files.into_iter().map(|(file, _)| file).collect(),
            moves,
            namespaces,
            fragments,
            blobs: used,
            generation,
        })
    }

    /// What the manifest says of the checkpoint.
    fn generation(
        &self,
        namespaces: &BTreeMap<RuntimeId, WrittenNamespace>,
        used: &BTreeMap<u64, BlobUse>,
    ) -> Generation {
        let mut files = pinned_files(&self.state);
        files.extend(used.keys());
        for cell in namespaces.values().flat_map(|found| found.images.values()) {
            let stored = cell.stored.iter().flat_map(|stored| &stored.files);
            files.extend(stored.map(|(file, _)| *file));
        }
        files.remove(&self.id);
        let rounds = self.state.namespaces.iter();
        Generation {
            checkpoint: Some(self.id),
            log_start: self.log_start,
            first_sequence: self.first_sequence,
            files: files.into_iter().collect(),
            rounds: rounds
                .filter_map(|(id, found)| Some((*id, found.round?)))
                .collect(),
        }
    }

    /// Copies the pages of sparse files and fragmented images into the checkpoint.
    fn move_pages(&self, writer: &mut Writer) -> Result<Moves> {
        let runs_max = self.layout.fragment_runs_max;
        let numbers = FileNumbers::new(self.files.values());
        let sparse = sparse_files(&self.state, &self.files, &numbers, self.log_start)?;
        let mut moves = Moves::new(Arc::clone(&writer.file.pages));
        let mut record = RecordWriter::new(Arc::clone(&writer.file), writer.end);
        for (id, cell) in current_cells(&self.state) {
            let new = cell.stored.is_none();
            let touched = |(file, _): &(u64, u64)| sparse.contains(file);
            if !new && !files_of(cell, &numbers).iter().any(touched) {
                continue;
            }
            let table = cell.table(id, &self.state.source)?;
            let all = new && is_fragmented(&table.image, runs_max);
            let chosen = |file| all || sparse.contains(&file);
            self.move_image(&table, chosen, (&mut record, &mut moves), &numbers)?;
        }
        if !moves.is_empty() {
            writer.finish(record, &Payload::Pages)?;
        }
        Ok(moves)
    }

    fn move_image(
        &self,
        image: &StoredImage,
        chosen: impl Fn(u64) -> bool,
        (record, moves): (&mut RecordWriter, &mut Moves),
        numbers: &FileNumbers,
    ) -> Result<()> {
        for run in image.image.runs() {
            let id = numbers.of(run);
            if !chosen(id) {
                continue;
            }
            let file = &self.files[&id];
            for piece in moves
                .pieces(id, run)
                .iter()
                .filter(|piece| piece.to.is_none())
            {
                let from = PageRange {
                    page: piece.file_page,
                    count: piece.count,
                };
                let mut to = None;
                for_each_page(file, from, &mut |number, page| {
                    let leaf = image.tree.leaf(piece.page + (number - from.page));
                    check_page(file, number, page, &leaf)?;
                    let place = record.page(page)?;
                    to.get_or_insert(place);
                    Ok(())
                })?;
                moves.add(id, from, to.expect("a run has at least one page"));
            }
        }
        Ok(())
    }

    fn write_rest(&self, writer: &mut Writer) -> Result<()> {
        for (slot, bytes) in &self.state.signed {
            writer.record(&Payload::Signed {
                slot: slot.clone(),
                bytes: bytes.clone(),
            })?;
        }
        for (prefix, end) in &self.state.pruned {
            writer.record(&Payload::PruneSigned {
                prefix: prefix.clone(),
                end: end.clone(),
            })?;
        }
        for (name, bytes) in &self.state.meta {
            writer.record(&Payload::Meta {
                name: name.clone(),
                bytes: Some(bytes.clone()),
            })?;
        }
        Ok(())
    }
}

/// One pass over the namespaces.
struct Pass<'s> {
    snapshot: &'s Snapshot,
    numbers: &'s FileNumbers,
    moves: &'s Moves,
    blobs: &'s mut BlobWriter,
    used: BTreeMap<u64, BlobUse>,
    fragments: Vec<WrittenFragment>,
}

impl Pass<'_> {
    fn namespace(
        &mut self,
        writer: &mut Writer,
        id: RuntimeId,
        found: &Namespace,
    ) -> Result<WrittenNamespace> {
        let top = self.tree(id, found)?;
        let (images, cells) = self.images(id, found)?;
        if let Some(round) = found.round {
            writer.record(&Payload::Current {
                namespace: id,
                round,
                root: found.root,
                top: top.0,
            })?;
            write_images(writer, id, &images)?;
            let history: Vec<_> = found.history.iter().cloned().collect();
            for versions in history.chunks(VERSIONS_RECORD) {
                writer.record(&Payload::History {
                    namespace: id,
                    versions: versions.to_vec(),
                })?;
            }
        }
        let mut candidates = Vec::with_capacity(found.candidates.len());
        for candidate in &found.candidates {
            let (file, file_page) = candidate.pages.unwrap_or((0, 0));
            let start = writer.record(&Payload::Candidate {
                seal: candidate.seal.to_vec(),
                file,
                file_page,
            })?;
            let file = writer.file.header.id;
            candidates.push((candidate.at, RecordPlace { file, start }));
        }
        Ok(WrittenNamespace {
            top,
            images,
            cells,
            candidates,
        })
    }

    /// Writes what is new of the current version's tree, and counts what is not needed any more.
    fn tree(&mut self, id: RuntimeId, found: &Namespace) -> Result<Place> {
        let mut sink = Sink {
            namespace: id,
            blobs: self.blobs,
            used: &mut self.used,
            written: &mut self.fragments,
            kept: BTreeSet::new(),
            fault: None,
        };
        let fragment_bytes = self.snapshot.layout.fragment_bytes;
        let top = found.view.tree.flush(fragment_bytes, &mut sink);
        let (kept, fault) = (sink.kept, sink.fault);
        let top = top.map_err(|error| fault.unwrap_or_else(|| tree_fault(error)))?;
        let fragments = &self.snapshot.state.source.fragments;
        let mut open = vec![found.top];
        while let Some(place) = open.pop() {
            if place == Place::NONE || kept.contains(&place) {
                continue;
            }
            let fragment = fragments.fragment(place)?;
            release(&mut self.used, place, fragment.stored_bytes);
            let below = fragment.node.edges_elsewhere();
            open.extend(below.into_iter().map(|(_, place)| place));
        }
        Ok(top)
    }

    /// Writes the tables that are new or whose pages moved, and counts those not needed any more.
    fn images(
        &mut self,
        namespace: RuntimeId,
        found: &Namespace,
    ) -> Result<(Images, Vec<Replaced>)> {
        let mut images = found.view.images.clone();
        let mut cells = Vec::new();
        for (id, cell) in found.view.images.iter() {
            let table = self.table_to_write(id, cell)?;
            let Some(table) = table else {
                continue;
            };
            let (bytes, files) = encode_table(&table, self.numbers);
            let (place, bytes) =
                self.blobs
                    .write(BlobKind::Table, &namespace, id.as_bytes(), &bytes)?;
            occupy(&mut self.used, place, bytes);
            let stored = StoredTable {
                place,
                bytes,
                files,
            };
            let new = Arc::new(cell.now_stored(table, stored));
            images.insert_mut(id.clone(), Arc::clone(&new));
            cells.push((id.clone(), Arc::clone(cell), new));
        }
        for (id, before) in found.stored_images.iter() {
            let Some(old) = &before.stored else {
                continue;
            };
            let now = images.get(id).and_then(|cell| cell.stored.as_ref());
            if now.is_none_or(|now| now.place != old.place) {
                release(&mut self.used, old.place, old.bytes);
            }
        }
        Ok((images, cells))
    }

    fn table_to_write(&self, id: &ImageId, cell: &ImageCell) -> Result<Option<Arc<StoredImage>>> {
        let source = &self.snapshot.state.source;
        if cell.stored.is_some() {
            let files = files_of(cell, self.numbers);
            if !files.iter().any(|(file, _)| self.moves.touches(*file)) {
                return Ok(None);
            }
        }
        let table = cell.table(id, source)?;
        let moved = self.moves.moved(&table, self.numbers).map(Arc::new);
        let is_new = cell.stored.is_none();
        Ok(moved.or_else(|| is_new.then_some(table)))
    }
}

fn occupy(used: &mut BTreeMap<u64, BlobUse>, place: Place, bytes: u64) {
    let used = used.entry(file_of(place));
    used.or_insert(BlobUse { live: 0, bytes: 0 }).live += bytes;
}

fn release(used: &mut BTreeMap<u64, BlobUse>, place: Place, bytes: u64) {
    if let Some(used) = used.get_mut(&file_of(place)) {
        used.live = used.live.saturating_sub(bytes);
    }
}

/// Where the fragments of one namespace go.
pub(crate) struct Sink<'s> {
    pub(crate) namespace: RuntimeId,
    pub(crate) blobs: &'s mut BlobWriter,
    pub(crate) used: &'s mut BTreeMap<u64, BlobUse>,
    pub(crate) written: &'s mut Vec<WrittenFragment>,
    pub(crate) kept: BTreeSet<Place>,
    /// The fault that a flush ended with, which it reports in other words.
    pub(crate) fault: Option<StoreFault>,
}

impl FragmentSink for Sink<'_> {
    fn write(&mut self, fragment: Fragment<'_>) -> std::result::Result<Place, StateFault> {
        let name = path_name(fragment.path);
        let written = self
            .blobs
            .write(BlobKind::Fragment, &self.namespace, &name, fragment.bytes);
        match written {
            Ok((place, bytes)) => {
                occupy(self.used, place, bytes);
                self.written.push(WrittenFragment {
                    top: Arc::clone(fragment.top),
                    place,
                    bytes,
                    whole: fragment.whole,
                });
                Ok(place)
            }
            Err(fault) => {
                let message = StateFault(fault.to_string());
                self.fault = Some(fault);
                Err(message)
            }
        }
    }

    fn keep(&mut self, place: Place) {
        self.kept.insert(place);
    }
}

fn write_images(writer: &mut Writer, namespace: RuntimeId, images: &Images) -> Result<()> {
    let cells: Vec<StoredCell> = images
        .iter()
        .filter_map(|(id, cell)| {
            Some(StoredCell {
                id: id.clone(),
                pages: cell.pages,
                root: cell.root,
                stored: cell.stored.clone()?,
            })
        })
        .collect();
    for cells in cells.chunks(IMAGES_RECORD) {
        writer.record(&Payload::Images {
            namespace,
            images: cells.to_vec(),
        })?;
    }
    Ok(())
}

/// Removes files that no manifest names. What is left of them is removed at the next start.
pub(crate) fn discard_files(disk: &dyn Disk, files: &[Arc<StoreFile>]) {
    for file in files {
        let _left = disk.remove(&file.name);
    }
}

/// Removes files that a new manifest does not need. One that cannot be removed keeps no other from
/// being removed, and is removed at the next start.
///
/// # Errors
/// The first fault of the disk.
pub(crate) fn remove_files(disk: &dyn Disk, files: &[Arc<StoreFile>]) -> Result<()> {
    let mut result = Ok(());
    for file in files {
        let removed = disk.remove(&file.name);
        let removed = removed.map_err(|error| StoreFault::io(&file.name, "remove", &error));
        result = result.and(removed);
    }
    result?;
    let folder = disk.describe();
    disk.sync_dir()
        .map_err(|error| StoreFault::io(&folder, "make durable", &error))
}

/// The files that a manifest does not need.
pub(crate) fn dead_files(files: &Files, manifest: &Manifest) -> Vec<Arc<StoreFile>> {
    let is_dead = |file: &&Arc<StoreFile>| {
        let id = file.header.id;
        let in_log = file.header.kind == FileKind::Log && id >= manifest.log_start();
        !in_log && !manifest.needs(id)
    };
    files.values().filter(is_dead).cloned().collect()
}

/// Appends records to the checkpoint file.
struct Writer {
    file: Arc<StoreFile>,
    end: u64,
    sequence: u64,
}

impl Writer {
    /// Appends a record and says where it starts.
    fn record(&mut self, payload: &Payload) -> Result<u64> {
        let record = RecordWriter::new(Arc::clone(&self.file), self.end);
        self.finish(record, payload)
    }

    fn finish(&mut self, record: RecordWriter, payload: &Payload) -> Result<u64> {
        let payload = payload.encode();
        check_payload_len(&payload)?;
        let start = record.start();
        self.end = record.finish(&payload, self.sequence, 0)?;
        self.sequence += 1;
        Ok(start)
    }
}

/// The most pages whose bytes can be addressed.
const _: () = assert!(crate::page_tree::IMAGE_PAGES_MAX < u64::MAX / PAGE_BYTES as u64);
