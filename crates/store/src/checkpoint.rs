//! Writing a checkpoint, so that the log before it can be forgotten.
//!
//! ```text
//! log locked:    go on in a new log file; take the state (a few reference counts)
//! unlocked:      write the checkpoint file, moving pages of sparse files and fragmented images;
//!                make file and name durable; install the manifest
//! log locked:    point the live images to the moved pages
//! unlocked:      remove files that the manifest does not need
//! ```
//!
//! Views that are held keep the removed files alive. Whether and when checkpoints are written
//! never changes a root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trilith_types::{PAGE_BYTES, RuntimeId};

use crate::checkpoint_load::check_page;
use crate::disk::Disk;
use crate::fault::{Result, StoreFault};
use crate::image::StoredImage;
use crate::log_file::{RecordWriter, StoreFile, check_payload_len};
use crate::manifest::Manifest;
use crate::payload::{Payload, StoredRun};
use crate::ranges::PageRange;
use crate::record::{FILE_HEADER_BYTES, FileKind};
use crate::relocate::{FileNumbers, Moves, is_fragmented, sparse_files, used_files};
use crate::replay::for_each_page;
use crate::state::{Namespace, State, tree_fault};
use crate::view::IMAGE_KEY_PREFIX;

/// Bytes of entries that go into one record.
const ENTRIES_BYTES: usize = 1 << 20;
/// Pages of a run whose hashes go into one record.
const RUN_PAGES: u64 = 1 << 14;

/// What a checkpoint is made from.
pub(crate) struct Snapshot {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) state: State,
    /// The files in use.
    pub(crate) files: BTreeMap<u64, Arc<StoreFile>>,
    /// Number of the checkpoint's file.
    pub(crate) id: u64,
    /// The log file that the manifest starts with, and the sequence of its first record.
    pub(crate) log_start: u64,
    pub(crate) first_sequence: u64,
    /// More runs than this make an image a candidate for defragmentation.
    pub(crate) fragment_runs_max: usize,
}

/// A checkpoint file that is durable.
pub(crate) struct Written {
    pub(crate) file: Arc<StoreFile>,
    pub(crate) moves: Moves,
    pub(crate) manifest: Manifest,
}

impl Snapshot {
    /// Writes the checkpoint file and makes it durable.
    pub(crate) fn write(mut self) -> Result<Written> {
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
        moves.apply(&mut self.state, &numbers);
        for (id, namespace) in &self.state.namespaces {
            write_namespace(&mut writer, *id, namespace, &numbers)?;
        }
        self.write_rest(&mut writer)?;
        writer.record(&Payload::End)?;
        file.sync()?;
        let mut page_files = used_files(&self.state, &numbers);
        page_files.remove(&self.id);
        let manifest = Manifest {
            checkpoint: Some(self.id),
            log_start: self.log_start,
            first_sequence: self.first_sequence,
            page_files: page_files.into_iter().collect(),
        };
        Ok(Written {
            file,
            moves,
            manifest,
        })
    }

    /// Copies the pages of sparse files and fragmented images into the checkpoint.
    fn move_pages(&self, writer: &mut Writer) -> Result<Moves> {
        let runs_max = self.fragment_runs_max;
        let numbers = FileNumbers::new(self.files.values());
        let sparse = sparse_files(&self.state, &self.files, &numbers, runs_max)?;
        let mut moves = Moves::new(Arc::clone(&writer.file.pages));
        let mut record = RecordWriter::new(Arc::clone(&writer.file), writer.end);
        for namespace in self.state.namespaces.values() {
            for image in namespace.view.images.values() {
                let all = is_fragmented(&image.image, runs_max);
                self.move_image(
                    image,
                    |file| all || sparse.contains(&file),
                    (&mut record, &mut moves),
                    &numbers,
                )?;
            }
            for candidate in &namespace.candidates {
                for image in candidate.view.images.values() {
                    let chosen = |file| sparse.contains(&file);
                    self.move_image(image, chosen, (&mut record, &mut moves), &numbers)?;
                }
            }
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

/// Removes files that a new manifest does not need; gives what could not be removed.
pub(crate) fn remove_files(disk: &dyn Disk, files: &[Arc<StoreFile>]) -> Result<()> {
    for file in files {
        disk.remove(&file.name)
            .map_err(|error| StoreFault::io(&file.name, "remove", &error))?;
    }
    let folder = disk.describe();
    disk.sync_dir()
        .map_err(|error| StoreFault::io(&folder, "make durable", &error))
}

/// The files of the log before `manifest` that it does not need.
pub(crate) fn dead_files(
    files: &BTreeMap<u64, Arc<StoreFile>>,
    manifest: &Manifest,
) -> Vec<Arc<StoreFile>> {
    let kept: BTreeSet<u64> = manifest
        .page_files
        .iter()
        .copied()
        .chain(manifest.checkpoint)
        .collect();
    let is_dead = |file: &&Arc<StoreFile>| {
        let id = file.header.id;
        let in_log = file.header.kind == FileKind::Log && id >= manifest.log_start;
        !in_log && !kept.contains(&id)
    };
    files.values().filter(is_dead).cloned().collect()
}

fn write_namespace(
    writer: &mut Writer,
    namespace: RuntimeId,
    found: &Namespace,
    numbers: &FileNumbers,
) -> Result<()> {
    if let Some(round) = found.round {
        writer.record(&Payload::Current {
            namespace,
            round,
            root: found.root,
        })?;
        write_entries(writer, namespace, found)?;
        for (id, image) in &found.view.images {
            let pages = image.image.pages();
            writer.record(&Payload::Image {
                namespace,
                id: id.clone(),
                pages,
            })?;
            write_runs(writer, image, numbers)?;
        }
    }
    for candidate in &found.candidates {
        let (file, file_page) = candidate.pages.unwrap_or((0, 0));
        let seal = candidate.seal.to_vec();
        writer.record(&Payload::Candidate {
            seal,
            file,
            file_page,
        })?;
    }
    Ok(())
}

fn write_entries(writer: &mut Writer, namespace: RuntimeId, found: &Namespace) -> Result<()> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for entry in found.view.tree.iterate_prefix(b"").map_err(tree_fault)? {
        let entry = entry.map_err(tree_fault)?;
        if entry.key.starts_with(IMAGE_KEY_PREFIX) {
            continue;
        }
        bytes += entry.key.len() + entry.value.len();
        entries.push((entry.key.to_vec(), entry.value.to_vec()));
        if bytes >= ENTRIES_BYTES {
            bytes = 0;
            let entries = std::mem::take(&mut entries);
            writer.record(&Payload::Entries { namespace, entries })?;
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    writer.record(&Payload::Entries { namespace, entries })
}

fn write_runs(writer: &mut Writer, image: &StoredImage, numbers: &FileNumbers) -> Result<()> {
    let mut runs = Vec::new();
    let mut pages = 0;
    for run in image.image.runs() {
        let mut done = 0;
        while done < run.count {
            let count = (run.count - done).min(RUN_PAGES);
            let from = run.page + done;
            let hashes = (from..from + count)
                .flat_map(|page| image.tree.leaf(page))
                .collect();
            let (file, file_page) = (numbers.of(run), run.file_page + done);
            runs.push(StoredRun {
                page: from,
                file,
                file_page,
                hashes,
            });
            (done, pages) = (done + count, pages + count);
            if pages >= RUN_PAGES {
                pages = 0;
                writer.record(&Payload::ImageRuns(std::mem::take(&mut runs)))?;
            }
        }
    }
    if runs.is_empty() {
        return Ok(());
    }
    writer.record(&Payload::ImageRuns(runs))
}

/// Appends records to the checkpoint file.
struct Writer {
    file: Arc<StoreFile>,
    end: u64,
    sequence: u64,
}

impl Writer {
    fn record(&mut self, payload: &Payload) -> Result<()> {
        let record = RecordWriter::new(Arc::clone(&self.file), self.end);
        self.finish(record, payload)
    }

    fn finish(&mut self, record: RecordWriter, payload: &Payload) -> Result<()> {
        let payload = payload.encode();
        check_payload_len(&payload)?;
        self.end = record.finish(&payload, self.sequence, 0)?;
        self.sequence += 1;
        Ok(())
    }
}

/// The most pages whose bytes can be addressed.
const _: () = assert!(crate::page_tree::IMAGE_PAGES_MAX < u64::MAX / PAGE_BYTES as u64);
