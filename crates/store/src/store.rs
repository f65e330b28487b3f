//! The store's operations.
//!
//! Lock order: the checkpoint guard, the log, the state. The log's lock is held while a record is
//! made and written, so records have one order; the state's only for moments, so readers hardly
//! wait. `fdatasync` runs with no lock held, once for all that wait for it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use trilith_types::{Hash, RuntimeId, WriteLog};

use crate::checkpoint::{Snapshot, dead_files, remove_files};
use crate::disk::{Disk, RealDisk};
use crate::fault::{Refusal, Result, StoreFault};
use crate::image::{ImageUpdate, ImageUpdateKind, PageSource, Prepared, StoredImage};
use crate::log::Log;
use crate::log_file::RecordWriter;
use crate::payload::{ImagePatch, Payload, Seal};
use crate::recovery::{Recovered, RecoveryReport, lock_fault, recover};
use crate::relocate::FileNumbers;
use crate::state::{Candidate, State, check_log, next_view};
use crate::view::View;

/// Most bytes of a slot.
pub const SLOT_BYTES_MAX: usize = 1024;
/// Most bytes that can be put under a slot, or as a named blob: 64 MiB.
pub const SIGNED_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a blob's name.
pub const META_NAME_BYTES_MAX: usize = 255;

/// How a store uses its disk. None of this changes a root.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The log goes on in a new file when one has this many bytes.
    pub segment_bytes: u64,
    /// A checkpoint is written at the next finalisation when this many bytes were appended since
    /// the last one.
    pub checkpoint_log_bytes: u64,
    /// An image of more runs than this, if they are short, is written in one piece at the next
    /// checkpoint. A mapping of the image takes that many mappings, of which Linux allows a
    /// process 65,530 by default.
    pub fragment_runs_max: usize,
    /// Most candidates that a namespace may have.
    pub candidates_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_log_bytes: 256 << 20,
            fragment_runs_max: 1024,
            candidates_max: 256,
        }
    }
}

/// The states of several runtimes in one data folder. All methods may be called from any thread.
pub struct Store {
    config: StoreConfig,
    log: Mutex<Log>,
    /// Wakes those who wait for a running `fdatasync`.
    synced: Condvar,
    state: RwLock<State>,
    /// Held while a checkpoint is written; the fault of the last automatic one.
    checkpoint: Mutex<Option<StoreFault>>,
    /// Dropped last: the folder stays locked while anything of the store is open.
    _lock: Box<dyn Send + Sync>,
}

impl Store {
    /// Opens the store on `disk`, or makes a new one where there is none.
    ///
    /// # Errors
    /// [`StoreFault::Locked`] if another process has it open; [`StoreFault::Damaged`] if a file is
    /// not what was written; [`StoreFault::Io`].
    pub fn open(disk: Arc<dyn Disk>, config: StoreConfig) -> Result<(Self, RecoveryReport)> {
        let lock = disk
            .lock()
            .map_err(|error| lock_fault(disk.describe(), &error))?;
        let Recovered {
            state,
            mut log,
            report,
        } = recover(&disk, config.segment_bytes)?;
        log.checkpoint_due = config.checkpoint_log_bytes;
        let store = Self {
            config,
            log: Mutex::new(log),
            synced: Condvar::new(),
            state: RwLock::new(state),
            checkpoint: Mutex::new(None),
            _lock: lock,
        };
        Ok((store, report))
    }

    /// Opens the store in the folder `path`, or makes a new one, with the usual settings.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_dir(path: &Path) -> Result<(Self, RecoveryReport)> {
        let disk = RealDisk::new(path)
            .map_err(|error| StoreFault::io(&path.display().to_string(), "create", &error))?;
        Self::open(Arc::new(disk), StoreConfig::default())
    }

    /// Seals the version that follows from `parent` by a write log and changed images, and gives
    /// its root. It becomes a candidate beside others; it is durable after [`Store::sync`].
    /// Sealing the same version again changes nothing.
    ///
    /// The first version of a namespace builds on the empty root, [`Hash::EMPTY`].
    ///
    /// # Errors
    /// [`StoreFault::Refused`] if `parent` is neither current nor a candidate, `round` is not
    /// above its round, keys or images are out of order or reserved, or something is too large;
    /// a fault of the disk or of a page file. Nothing is sealed then.
    pub fn seal(
        &self,
        namespace: RuntimeId,
        round: u64,
        parent: Hash,
        write_log: &WriteLog,
        images: &[ImageUpdate],
    ) -> Result<Hash> {
        check_log(write_log)?;
        if let Some(index) = (1..images.len()).find(|i| images[i - 1].id >= images[*i].id) {
            return Err(Refusal::NotAscending {
                what: "image",
                index,
            }
            .into());
        }
        let mut log = self.lock_log();
        let base = self.read(|state| state.parent(namespace, round, parent))?;
        let mut writer = log.begin()?;
        let built = build(&base, write_log, images, &mut writer);
        let (view, patches) = built.inspect_err(|_| log.abort(&writer))?;
        let root = view.tree.root();
        if self.read(|state| state.has_candidate(namespace, (round, parent, root))) {
            log.abort(&writer);
            return Ok(root);
        }
        if let Err(refusal) = self.check_candidates(namespace) {
            log.abort(&writer);
            return Err(refusal);
        }
        let images = patches;
        let log_entries = write_log.clone();
        let seal = Seal {
            namespace,
            round,
            parent,
            root,
            log: log_entries,
            images,
        };
        let payload = Payload::Seal(seal).encode();
        let first_page = writer.first_page();
        let pages = (writer.pages() > 0).then_some((log.active.header.id, first_page));
        log.commit(writer, &payload)?;
        let (view, seal) = (Arc::new(view), payload.into());
        let candidate = Candidate {
            round,
            parent,
            root,
            view,
            seal,
            pages,
        };
        self.write(|state| state.add_candidate(namespace, candidate));
        Ok(root)
    }

    fn check_candidates(&self, namespace: RuntimeId) -> Result<()> {
        let value = self.read(|state| state.candidate_count(namespace)) as u64;
        let limit = self.config.candidates_max as u64;
        if value >= limit {
            let what = "number of candidates before this one";
            return Err(Refusal::TooLarge { what, value, limit }.into());
        }
        Ok(())
    }

    /// Makes a candidate the current version, and forgets all candidates that do not descend from
    /// it. Finalising what is current changes nothing. A checkpoint is written if one is due; if
    /// that fails, [`Store::checkpoint_fault`] says so.
    ///
    /// # Errors
    /// [`StoreFault::Refused`] if there is no such candidate, it does not build on the current
    /// version, or its round is not above the current one; a fault of the disk.
    pub fn finalise(&self, namespace: RuntimeId, round: u64, root: Hash) -> Result<()> {
        let due = {
            let mut log = self.lock_log();
            if self.read(|state| state.check_finalise(namespace, round, root))? {
                log.append(
                    &Payload::Finalise {
                        namespace,
                        round,
                        root,
                    }
                    .encode(),
                )?;
                self.write(|state| state.finalise(namespace, round, root));
            }
            log.bytes >= log.checkpoint_due
        };
        if due {
            self.checkpoint_if_free();
        }
        Ok(())
    }

    /// Puts signed bytes under a slot, so that nothing else is ever signed under it. Putting the
    /// same bytes again changes nothing. They may leave the node after [`Store::sync`].
    ///
    /// # Errors
    /// [`Refusal::SlotTaken`] if the slot holds other bytes, [`Refusal::SlotPruned`] if it was
    /// given up, [`Refusal::TooLarge`]; a fault of the disk.
    pub fn put_signed(&self, slot: &[u8], bytes: &[u8]) -> Result<()> {
        check_size("length of a slot in bytes", slot.len(), SLOT_BYTES_MAX)?;
        check_size("length of signed bytes", bytes.len(), SIGNED_BYTES_MAX)?;
        let mut log = self.lock_log();
        if self.read(|state| state.check_signed(slot, bytes))? {
            let (slot, bytes) = (slot.to_vec(), bytes.to_vec());
            let payload = Payload::Signed {
                slot: slot.clone(),
                bytes: bytes.clone(),
            }
            .encode();
            log.append(&payload)?;
            self.write(|state| state.signed.insert(slot, bytes));
        }
        Ok(())
    }

    /// The bytes that were signed under a slot.
    pub fn signed(&self, slot: &[u8]) -> Option<Vec<u8>> {
        self.read(|state| state.signed.get(slot).cloned())
    }

    /// Forgets the slots that start with `prefix` and are below `end` in the order of bytes.
    /// Nothing can be put under them any more.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`]; a fault of the disk.
    pub fn prune_signed(&self, prefix: &[u8], end: &[u8]) -> Result<()> {
        check_size("length of a prefix in bytes", prefix.len(), SLOT_BYTES_MAX)?;
        check_size("length of a slot in bytes", end.len(), SLOT_BYTES_MAX)?;
        let mut log = self.lock_log();
        if self.read(|state| state.check_prune(prefix, end)) {
            let (prefix, end) = (prefix.to_vec(), end.to_vec());
            let payload = Payload::PruneSigned {
                prefix: prefix.clone(),
                end: end.clone(),
            };
            log.append(&payload.encode())?;
            self.write(|state| state.prune_signed(prefix, end));
        }
        Ok(())
    }

    /// Sets a named blob, replacing what it held.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`]; a fault of the disk.
    pub fn put_meta(&self, name: &str, bytes: &[u8]) -> Result<()> {
        check_size("length of a blob in bytes", bytes.len(), SIGNED_BYTES_MAX)?;
        self.set_meta(name, Some(bytes))
    }

    /// Removes a named blob, if it exists.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn remove_meta(&self, name: &str) -> Result<()> {
        self.set_meta(name, None)
    }

    fn set_meta(&self, name: &str, bytes: Option<&[u8]>) -> Result<()> {
        check_size(
            "length of a blob's name in bytes",
            name.len(),
            META_NAME_BYTES_MAX,
        )?;
        let mut log = self.lock_log();
        if self.read(|state| state.meta.get(name).map(|held| &held[..]) != bytes) {
            let (name, bytes) = (name.to_owned(), bytes.map(<[u8]>::to_vec));
            log.append(
                &Payload::Meta {
                    name: name.clone(),
                    bytes: bytes.clone(),
                }
                .encode(),
            )?;
            self.write(|state| state.set_meta(name, bytes));
        }
        Ok(())
    }

    /// A named blob.
    pub fn meta(&self, name: &str) -> Option<Vec<u8>> {
        self.read(|state| state.meta.get(name).cloned())
    }

    /// Returns when everything appended before the call is durable. Callers that come together
    /// share one `fdatasync`.
    ///
    /// # Errors
    /// A fault of the disk. What is durable is unknown then, and the store stops writing.
    pub fn sync(&self) -> Result<()> {
        let mut log = self.lock_log();
        let target = log.next_sequence - 1;
        loop {
            if log.durable >= target {
                return Ok(());
            }
            log.check()?;
            if log.syncing {
                log = self
                    .synced
                    .wait(log)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            log.syncing = true;
            let (file, appended) = (Arc::clone(&log.active), log.next_sequence - 1);
            drop(log);
            let result = file.sync();
            log = self.lock_log();
            log.syncing = false;
            match result {
                Ok(()) => log.durable = log.durable.max(appended),
                Err(ref fault) => log.stop(fault),
            }
            self.synced.notify_all();
            result?;
        }
    }

    /// The version of a namespace with this root, if it is current or a candidate. Every namespace
    /// to which nothing was finalised has the empty version, [`Hash::EMPTY`].
    pub fn view(&self, namespace: RuntimeId, root: Hash) -> Option<Arc<View>> {
        self.read(|state| state.view(namespace, root))
    }

    /// Round and root of the current version; `None` before the first finalisation.
    pub fn current(&self, namespace: RuntimeId) -> Option<(u64, Hash)> {
        self.read(|state| {
            let found = state.namespaces.get(&namespace)?;
            Some((found.round?, found.root))
        })
    }

    /// Round and root of the candidates, in the order in which they were sealed.
    pub fn candidates(&self, namespace: RuntimeId) -> Vec<(u64, Hash)> {
        self.read(|state| {
            let candidates = state
                .namespaces
                .get(&namespace)
                .map(|found| &found.candidates);
            let version = |candidate: &Candidate| (candidate.round, candidate.root);
            candidates.into_iter().flatten().map(version).collect()
        })
    }

    /// Namespaces that have a current version or a candidate, in ascending order.
    pub fn namespaces(&self) -> Vec<RuntimeId> {
        self.read(|state| state.namespaces.keys().copied().collect())
    }

    /// Writes a checkpoint, so that the log before it is not needed any more. Other operations go
    /// on meanwhile.
    ///
    /// # Errors
    /// A fault of the disk. The store goes on with the log it has.
    pub fn checkpoint(&self) -> Result<()> {
        let _guard = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.write_checkpoint()
    }

    /// Why the last checkpoint that [`Store::finalise`] wrote failed, if it did. The log keeps
    /// growing until one succeeds.
    pub fn checkpoint_fault(&self) -> Option<StoreFault> {
        self.checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn checkpoint_if_free(&self) {
        let mut fault = match self.checkpoint.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        *fault = self.write_checkpoint().err();
        if fault.is_some() {
            let mut log = self.lock_log();
            log.checkpoint_due = log.bytes.saturating_add(self.config.checkpoint_log_bytes);
        }
    }

    fn write_checkpoint(&self) -> Result<()> {
        let (snapshot, bytes) = self.snapshot()?;
        let disk = Arc::clone(&snapshot.disk);
        let id = snapshot.id;
        let written = snapshot.write().inspect_err(|_| {
            // What is left of the file is removed at the next start if not now.
            let name = crate::log_file::file_name(id, crate::record::FileKind::Checkpoint);
            let _ = disk.remove(&name);
        })?;
        written.manifest.install(&*disk)?;
        let dead = {
            let mut log = self.lock_log();
            log.files.insert(id, Arc::clone(&written.file));
            let numbers = FileNumbers::new(log.files.values());
            self.write(|state| written.moves.apply(state, &numbers));
            log.bytes -= bytes;
            log.checkpoint_due = self.config.checkpoint_log_bytes;
            let dead = dead_files(&log.files, &written.manifest);
            for file in &dead {
                log.files.remove(&file.header.id);
            }
            dead
        };
        remove_files(&*disk, &dead)
    }

    /// What a checkpoint is to be made from, and how many bytes of log it stands for.
    fn snapshot(&self) -> Result<(Snapshot, u64)> {
        let mut log = self.lock_log();
        log.roll()?;
        let id = log.take_file_number();
        let snapshot = Snapshot {
            disk: Arc::clone(&log.disk),
            state: self.read(State::clone),
            files: log.files.clone(),
            id,
            log_start: log.active.header.id,
            first_sequence: log.next_sequence,
            fragment_runs_max: self.config.fragment_runs_max,
        };
        Ok((snapshot, log.bytes))
    }

    fn lock_log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A version that is being sealed: its contents, and the record's account of its images.
type Built = (View, Vec<(trilith_types::ImageId, Option<ImagePatch>)>);

/// Finds what differs, stores the pages that do, and computes the new version.
fn build(
    base: &View,
    write_log: &WriteLog,
    updates: &[ImageUpdate],
    writer: &mut RecordWriter,
) -> Result<Built> {
    let mut prepared: Vec<Option<Prepared>> = Vec::with_capacity(updates.len());
    for update in updates {
        prepared.push(match &update.change {
            ImageUpdateKind::Delete => None,
            ImageUpdateKind::Write { reset, pages, runs } => {
                let before = base.images.get(&update.id);
                let change = (*reset, *pages, &runs[..]);
                let mut store = |page: &_| writer.page(page).map(|_| ());
                Some(StoredImage::prepare(
                    before, &update.id, change, &mut store,
                )?)
            }
        });
    }
    let mut file_page = writer.first_page();
    let (mut images, mut patches) = (Vec::new(), Vec::new());
    for (update, prepared) in updates.iter().zip(prepared) {
        let id = update.id.clone();
        let Some(Prepared { patch, hashes }) = prepared else {
            images.push((id.clone(), None));
            patches.push((id, None));
            continue;
        };
        let source = PageSource {
            file: writer.page_file(),
            file_page,
        };
        file_page += patch.stored_pages();
        let image = StoredImage::patched(base.images.get(&id), &patch, &hashes, &source);
        images.push((id.clone(), Some(image)));
        patches.push((id, Some(patch)));
    }
    Ok((next_view(base, write_log, images)?, patches))
}

fn check_size(what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value > limit {
        let (value, limit) = (value as u64, limit as u64);
        return Err(Refusal::TooLarge { what, value, limit }.into());
    }
    Ok(())
}
