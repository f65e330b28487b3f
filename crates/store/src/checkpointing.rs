//! When checkpoints are written, and what becomes of the state in memory then.
//!
//! One checkpoint is written at a time, by whoever asks for it or by a thread of its own when one
//! is due. When the log has grown to twice what makes a checkpoint due, whoever finalises waits for
//! it: that bounds the log, the memory for what is new, and the time that a start takes, however
//! fast versions are sealed.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use trilith_mkvs::{Label, Place, RELEASE_PARTS};
use trilith_types::{ImageId, RuntimeId};

use crate::blob::{Blob, BlobKind, for_each_blob};
use crate::checkpoint::{
    Layout, Snapshot, Written, WrittenNamespace, dead_files, discard_files, remove_files,
};
use crate::fault::{Result, StoreFault};
use crate::fragments::Fragments;
use crate::history::{trim, wanted_generations};
use crate::images::{Files, ImageCell, Images, TableFiles};
use crate::log::Log;
use crate::log_file::StoreFile;
use crate::manifest::Manifest;
use crate::record::FileKind;
use crate::relocate::FileNumbers;
use crate::state::{Namespace, RecordPlace, State};
use crate::store::StoreConfig;
use crate::view::View;

/// Most bytes of blobs in use that one checkpoint moves out of files that are mostly dead, so that
/// giving space back never costs more than a bounded part of the writing.
const COLLECT_BYTES: u64 = 32 << 20;

/// What the store's callers and its checkpoints share.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) log: Mutex<Log>,
    /// Wakes those who wait for a running `fdatasync`.
    pub(crate) synced: Condvar,
    pub(crate) state: RwLock<State>,
    /// Held while a checkpoint is written.
    pub(crate) checkpoint: Mutex<()>,
    /// The fault of the last checkpoint that was due.
    pub(crate) checkpoint_fault: Mutex<Option<StoreFault>>,
}

/// A namespace that a checkpoint brings into being.
pub(crate) type Imported = (RuntimeId, Namespace, Vec<Arc<StoreFile>>);

impl Shared {
    pub(crate) fn lock_log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new file of the store, for something that a checkpoint will refer to.
    pub(crate) fn create_file(&self, kind: FileKind) -> Result<Arc<StoreFile>> {
        let (disk, id) = {
            let log = self.lock_log();
            (Arc::clone(&log.disk), log.take_file_number())
        };
        Ok(Arc::new(StoreFile::create(&*disk, id, kind, 1)?))
    }

    /// Writes a checkpoint, after the one that is being written.
    pub(crate) fn checkpoint_now(&self, imported: Option<Imported>) -> Result<()> {
        let _guard = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.write_checkpoint(imported)
    }

    /// Writes a checkpoint that is due, unless one is being written.
    pub(crate) fn checkpoint_if_free(&self) {
        let _guard = match self.checkpoint.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if self.lock_log().bytes < self.config.checkpoint_log_bytes {
            return;
        }
        let fault = self.write_checkpoint(None).err();
        let failed = fault.is_some();
        *self
            .checkpoint_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
        if failed {
            let mut log = self.lock_log();
            log.checkpoint_due = log.bytes.saturating_add(self.config.checkpoint_log_bytes);
        }
    }

    /// Writes a checkpoint and makes it the store's. The files of what is imported are the
    /// checkpoint's from now on: they are removed where nothing refers to them.
    fn write_checkpoint(&self, imported: Option<Imported>) -> Result<()> {
        let disk = Arc::clone(&self.lock_log().disk);
        let brought = imported.iter().flat_map(|(.., files)| files).cloned();
        let brought: Vec<_> = brought.collect();
        let ready = self.make_ready(imported);
        let ready = ready.inspect_err(|_| discard_files(&*disk, &brought))?;
        // The disk may have replaced the manifest although it reports a fault, so from here on
        // nothing is removed that the new one needs, nor what the old one does.
        Manifest::replace(&*disk)?;
        let dead = self.take_up(ready);
        self.release_trees();
        remove_files(&*disk, &dead)
    }

    /// Writes everything of a checkpoint, durably, up to the manifest that names it, which is not
    /// the store's yet.
    fn make_ready(&self, imported: Option<Imported>) -> Result<Ready> {
        let sparse = self.sparse_blobs()?;
        let (mut snapshot, bytes, before) = self.snapshot(&sparse)?;
        if let Some(imported) = imported {
            add_imported(&mut snapshot, imported)?;
        }
        let disk = Arc::clone(&snapshot.disk);
        let versions = self.config.history_versions;
        for (id, found) in &mut snapshot.state.namespaces {
            trim(*id, found, versions, &before.generations);
        }
        let (state, files) = (snapshot.state.clone(), snapshot.files.clone());
        let written = snapshot.write()?;
        let manifest = self
            .next_manifest(before, &written, &state, &files)
            .and_then(|manifest| manifest.write_next(&*disk).map(|()| manifest))
            .inspect_err(|_| {
                discard_files(&*disk, &written.blob_files);
                discard_files(&*disk, std::slice::from_ref(&written.file));
            })?;
        Ok(Ready {
            state,
            files,
            bytes,
            written,
            manifest,
        })
    }

    /// The manifest with what was written as its newest generation.
    fn next_manifest(
        &self,
        before: Manifest,
        written: &Written,
        state: &State,
        files: &Files,
    ) -> Result<Manifest> {
        let mut generations = before.generations;
        // A checkpoint with nothing in the log before it replaces the one before.
        let log_end = written.generation.log_start;
        generations.retain(|old| old.log_start < log_end);
        if let Some(before) = generations.last_mut() {
            // The log behind it is complete now, and known file by file.
            let is_behind = |file: &&Arc<StoreFile>| {
                let id = file.header.id;
                file.header.kind == FileKind::Log && id >= before.log_start && id < log_end
            };
            let behind: Vec<u64> = files
                .values()
                .filter(is_behind)
                .map(|file| file.header.id)
                .collect();
            before.files.extend(behind);
            before.files.sort_unstable();
            before.files.dedup();
        }
        generations.push(written.generation.clone());
        let limits = (self.config.history_versions, self.config.history_bytes);
        let generations = wanted_generations(generations, state, files, limits)?;
        Ok(Manifest { generations })
    }

    /// Goes on with a checkpoint that is the store's now, and gives the files that nothing needs
    /// any more.
    fn take_up(&self, ready: Ready) -> Vec<Arc<StoreFile>> {
        let Ready {
            state,
            files,
            bytes,
            written,
            manifest,
        } = ready;
        // Before the locks are taken: what was written stays where it is, whatever comes.
        for fragment in &written.fragments {
            fragment.top.set_place(fragment.place);
        }
        for fragment in written.fragments.iter().filter(|fragment| fragment.whole) {
            let fragments = &state.source.fragments;
            fragments.keep(fragment.place, &fragment.top, fragment.bytes);
        }
        let mut log = self.lock_log();
        log.files
            .insert(written.file.header.id, Arc::clone(&written.file));
        let new = written.blob_files.iter();
        log.files
            .extend(new.map(|file| (file.header.id, Arc::clone(file))));
        for (id, file) in files {
            log.files.entry(id).or_insert(file);
        }
        let dead = dead_files(&log.files, &manifest);
        let numbers = FileNumbers::new(log.files.values());
        for file in &dead {
            log.files.remove(&file.header.id);
        }
        let old =
            self.write(|live| self.adopt(live, &state, &written, (&log, &manifest, &numbers)));
        log.bytes -= bytes;
        log.checkpoint_due = self.config.checkpoint_log_bytes;
        log.manifest = manifest;
        drop(log);
        // What is let go of is freed without a lock: there may be millions of nodes.
        drop((old, state, written));
        dead
    }

    /// What a checkpoint is to be made from, how many bytes of log it stands for, and the manifest
    /// so far.
    fn snapshot(&self, sparse: &[SparseBlob]) -> Result<(Snapshot, u64, Manifest)> {
        let mut log = self.lock_log();
        log.roll()?;
        // All or nothing: a version that went on to refer to what the others had let go of would
        // lose it with the file.
        self.write(|state| {
            let mut touched = state.clone();
            for blob in sparse {
                blob.touch(&mut touched)?;
            }
            *state = touched;
            Ok::<(), StoreFault>(())
        })?;
        let snapshot = Snapshot {
            disk: Arc::clone(&log.disk),
            state: self.read(State::clone),
            files: log.files.clone(),
            id: log.take_file_number(),
            numbers: Arc::clone(&log.numbers),
            log_start: log.active.header.id,
            first_sequence: log.next_sequence,
            layout: Layout {
                fragment_runs_max: self.config.fragment_runs_max,
                fragment_bytes: self.config.fragment_bytes,
            },
        };
        Ok((snapshot, log.bytes, log.manifest.clone()))
    }

    /// What is in use of the files of blobs that are mostly dead, as much of it as one checkpoint
    /// moves. Reading it here brings it into the cache.
    fn sparse_blobs(&self) -> Result<Vec<SparseBlob>> {
        let (state, files) = {
            let log = self.lock_log();
            (self.read(State::clone), log.files.clone())
        };
        let mut sparse: Vec<_> = state
            .blobs
            .iter()
            .filter(|(_, used)| used.live.saturating_mul(2) < used.bytes)
            .collect();
        sparse.sort_by_key(|(_, used)| used.live);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (id, used) in sparse {
            let Some(file) = files.get(id) else {
                continue;
            };
            if bytes > 0 && bytes + used.live > COLLECT_BYTES {
                break;
            }
            bytes += used.live;
            let read = for_each_blob(file, &mut |place, blob| {
                let blob = SparseBlob::new(place, &blob);
                if let Some(blob) = blob
                    && blob.is_used(&state)?
                {
                    found.push(blob);
                }
                Ok(())
            });
            match read {
                // Nothing may need what is damaged. Whatever lies behind it stays where it is, and
                // whoever needs it learns of the damage when it is read.
                Err(StoreFault::Damaged { .. }) => {}
                read => read?,
            }
        }
        Ok(found)
    }

    /// Lets go of the nodes that are on disk now, part by part: what was sealed since the snapshot
    /// lies above them, so there may be much to do, and nobody is to wait for all of it.
    fn release_trees(&self) {
        for part in 0..RELEASE_PARTS {
            let mut old = Vec::new();
            let log = self.lock_log();
            self.write(|live| {
                for found in live.namespaces.values_mut() {
                    let candidates = found.candidates.iter_mut().map(|found| &mut found.view);
                    for view in std::iter::once(&mut found.view).chain(candidates) {
                        let mut tree = view.tree.clone();
                        tree.release_part(part);
                        let next = View {
                            tree,
                            images: view.images.clone(),
                            source: Arc::clone(&view.source),
                        };
                        old.push(std::mem::replace(view, Arc::new(next)));
                    }
                }
            });
            drop(log);
            drop(old);
        }
    }

    /// Points the live state at what was written, and lets go of what is on disk now. `snapshot`
    /// is the state that was written. Gives the views that were replaced.
    fn adopt(
        &self,
        live: &mut State,
        snapshot: &State,
        written: &Written,
        (log, manifest, numbers): (&Log, &Manifest, &FileNumbers),
    ) -> Vec<Arc<View>> {
        let mut old = Vec::new();
        let source = source_of(live, &log.files);
        for (id, made) in &written.namespaces {
            let found = match live.namespaces.get_mut(id) {
                Some(found) => found,
                // It was imported.
                None => {
                    let imported = snapshot.namespaces[id].clone();
                    live.namespaces.entry(*id).or_insert(imported)
                }
            };
            found.top = made.top;
            found.stored_images = made.images.clone();
            let renew = |view: &Arc<View>| {
                let mut tree = view.tree.clone();
                tree.set_source(Arc::clone(&source.fragments) as Arc<_>);
                Arc::new(View {
                    tree,
                    images: renewed(&view.images, made, written, numbers),
                    source: Arc::clone(&source),
                })
            };
            let next = renew(&found.view);
            old.push(std::mem::replace(&mut found.view, next));
            // A seal that was a candidate's in the snapshot lies in the checkpoint too, from where
            // it is read from now on: the log before may be given up sooner than the version, which
            // may have been finalised meanwhile.
            let seals: BTreeMap<_, _> = made.candidates.iter().copied().collect();
            let moved = |at: &mut RecordPlace| *at = *seals.get(at).unwrap_or(at);
            for candidate in &mut found.candidates {
                let next = renew(&candidate.view);
                old.push(std::mem::replace(&mut candidate.view, next));
                moved(&mut candidate.at);
            }
            let finalised = found.history.iter_mut();
            finalised
                .filter_map(|version| version.seal.as_mut())
                .for_each(moved);
            let versions = self.config.history_versions;
            trim(*id, found, versions, &manifest.generations);
        }
        for found in live.namespaces.values_mut() {
            age(found, self.config.table_bytes);
        }
        live.blobs.clone_from(&written.blobs);
        live.source = source;
        old
    }
}

/// A checkpoint that is durable, with the manifest that is to name it.
struct Ready {
    /// What was written, and the files there were.
    state: State,
    files: Files,
    /// Bytes of the log that it stands for.
    bytes: u64,
    written: Written,
    manifest: Manifest,
}

/// Adds an imported namespace to what a checkpoint is made from.
fn add_imported(snapshot: &mut Snapshot, (id, namespace, files): Imported) -> Result<()> {
    let source = &snapshot.state.source;
    let used = namespace_use(&namespace, &files)?;
    let files = files.into_iter().map(|file| (file.header.id, file));
    snapshot.files.extend(files);
    let all = snapshot.files.clone();
    let fragments = source.fragments.with_files(blob_files(all.values()));
    snapshot.state.source = Arc::new(TableFiles {
        fragments: Arc::new(fragments),
        files: all,
    });
    snapshot.state.blobs.extend(used);
    snapshot.state.namespaces.insert(id, namespace);
    Ok(())
}

/// The files of blobs among files.
fn blob_files<'f>(
    files: impl IntoIterator<Item = &'f Arc<StoreFile>>,
) -> impl Iterator<Item = Arc<StoreFile>> {
    let files = files.into_iter();
    files
        .filter(|file| file.header.kind == FileKind::Blobs)
        .map(Arc::clone)
}

/// A source over these files, with the cache there is.
fn source_of(state: &State, files: &BTreeMap<u64, Arc<StoreFile>>) -> Arc<TableFiles> {
    let blobs = blob_files(files.values()).map(|file| (file.header.id, file));
    let cache = state.source.fragments.cache().clone();
    Arc::new(TableFiles {
        fragments: Arc::new(Fragments::new(blobs.collect(), cache)),
        files: files.clone(),
    })
}

/// The images of a live version after a checkpoint.
fn renewed(
    images: &Images,
    made: &WrittenNamespace,
    written: &Written,
    numbers: &FileNumbers,
) -> Images {
    let mut renewed = images.clone();
    for (id, old, new) in &made.cells {
        // The same version may have two cells, of which one was let go of its table.
        let is_stored = |cell: &Arc<ImageCell>| cell.stored.is_some() && cell.stored == old.stored;
        let is_it = |cell: &Arc<ImageCell>| Arc::ptr_eq(cell, old) || is_stored(cell);
        if images.get(id).is_some_and(is_it) {
            renewed.insert_mut(id.clone(), Arc::clone(new));
        }
    }
    if written.moves.is_empty() {
        return renewed;
    }
    let mut moved: Vec<(ImageId, ImageCell)> = Vec::new();
    for (id, cell) in renewed.iter().filter(|(_, cell)| cell.stored.is_none()) {
        let table = cell.held();
        let table = table.and_then(|table| written.moves.moved(table, numbers));
        moved.extend(table.map(|table| (id.clone(), cell.not_stored(Arc::new(table)))));
    }
    for (id, cell) in moved {
        renewed.insert_mut(id, Arc::new(cell));
    }
    renewed
}

/// Lets go of tables that were not used for a while, if they take more than `bytes`.
fn age(found: &mut Namespace, bytes: u64) {
    let mut held = 0;
    let mut aged = Vec::new();
    for (id, cell) in found.view.images.iter() {
        let (without, bytes) = cell.aged();
        held += bytes;
        aged.extend(without.map(|cell| (id.clone(), Arc::new(cell))));
    }
    if held <= bytes || aged.is_empty() {
        return;
    }
    let mut images = found.view.images.clone();
    for (id, cell) in aged {
        images.insert_mut(id, cell);
    }
    found.view = Arc::new(View {
        tree: found.view.tree.clone(),
        images,
        source: Arc::clone(&found.view.source),
    });
}

/// A blob in use in a file that is mostly dead.
struct SparseBlob {
    place: Place,
    namespace: RuntimeId,
    belongs: Belongs,
}

enum Belongs {
    /// To a tree, with these key bits above it.
    Tree(Label),
    /// To an image.
    Image(ImageId),
}

impl SparseBlob {
    fn new(place: Place, blob: &Blob) -> Option<Self> {
        let belongs = match blob.kind {
            BlobKind::Fragment => Belongs::Tree(blob.path()?),
            BlobKind::Table => Belongs::Image(ImageId::new(blob.name())?),
        };
        Some(Self {
            place,
            namespace: blob.namespace,
            belongs,
        })
    }

    fn is_used(&self, state: &State) -> Result<bool> {
        let Some(found) = state.namespaces.get(&self.namespace) else {
            return Ok(false);
        };
        match &self.belongs {
            Belongs::Tree(path) => {
                let used = found.view.tree.has_fragment(path, self.place);
                used.map_err(crate::state::tree_fault)
            }
            Belongs::Image(id) => {
                let cell = found.view.images.get(id);
                let used = cell.filter(|cell| self.is_table_of(cell));
                if let Some(cell) = used {
                    cell.table(id, &found.view.source)?;
                }
                Ok(used.is_some())
            }
        }
    }

    fn is_table_of(&self, cell: &ImageCell) -> bool {
        let stored = cell.stored.as_ref();
        stored.is_some_and(|stored| stored.place == self.place)
    }

    /// Makes it count as changed in all versions that share it.
    fn touch(&self, state: &mut State) -> Result<()> {
        let Some(found) = state.namespaces.get_mut(&self.namespace) else {
            return Ok(());
        };
        let candidates = found.candidates.iter_mut().map(|found| &mut found.view);
        let mut new: Option<Arc<ImageCell>> = None;
        for view in std::iter::once(&mut found.view).chain(candidates) {
            let mut next = View {
                tree: view.tree.clone(),
                images: view.images.clone(),
                source: Arc::clone(&view.source),
            };
            match &self.belongs {
                Belongs::Tree(path) => {
                    let touched = next.tree.touch(path, self.place);
                    if !touched.map_err(crate::state::tree_fault)? {
                        continue;
                    }
                }
                Belongs::Image(id) => {
                    let Some(cell) = view.images.get(id).filter(|cell| self.is_table_of(cell))
                    else {
                        continue;
                    };
                    if new.is_none() {
                        let table = cell.table(id, &view.source)?;
                        new = Some(Arc::new(cell.not_stored(table)));
                    }
                    next.images
                        .insert_mut(id.clone(), new.clone().expect("it was just made"));
                }
            }
            *view = Arc::new(next);
        }
        Ok(())
    }
}

/// How much of its own files of blobs an imported namespace uses.
fn namespace_use(
    namespace: &Namespace,
    files: &[Arc<StoreFile>],
) -> Result<BTreeMap<u64, crate::state::BlobUse>> {
    let mut used = BTreeMap::new();
    let fragments = &namespace.view.source.fragments;
    for file in files
        .iter()
        .filter(|file| file.header.kind == FileKind::Blobs)
    {
        let bytes = file.len()?;
        used.insert(file.header.id, crate::state::BlobUse { live: 0, bytes });
    }
    let mut open = vec![namespace.top];
    while let Some(place) = open.pop().filter(|place| *place != Place::NONE) {
        let fragment = fragments.fragment(place)?;
        if let Some(used) = used.get_mut(&crate::blob::file_of(place)) {
            used.live += fragment.stored_bytes;
        }
        let below = fragment.node.edges_elsewhere();
        open.extend(below.into_iter().map(|(_, place)| place));
    }
    Ok(used)
}
