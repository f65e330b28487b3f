//! The store's operations.
//!
//! Lock order: the checkpoint guard, the log, the state. The log's lock is held while a record is
//! made and written, so records have one order; the state's only for moments, so readers hardly
//! wait. `fdatasync` runs with no lock held, once for all that wait for it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use trilith_types::{Hash, RuntimeId, WriteLog};

use crate::checkpointing::Shared;
use crate::disk::{Disk, RealDisk};
use crate::fault::{Refusal, Result, StoreFault};
use crate::history::{Changes, Past};
use crate::image::prepare::ImageWrite;
use crate::image::{ImageUpdate, ImageUpdateKind, PageSource, Prepared, StoredImage};
use crate::images::TableFiles;
use crate::log_file::RecordWriter;
use crate::payload::{ImagePatch, Payload, SealParts};
use crate::recovery::{Recovered, RecoveryReport, lock_fault, recover};
use crate::released::Released;
use crate::state::{Candidate, Finalised, RecordPlace, check_log, next_view};
use crate::view::View;
use crate::workers::Workers;

/// Most bytes of a slot.
pub const SLOT_BYTES_MAX: usize = 1024;
/// Most bytes that can be put under a slot, or as a named blob: 64 MiB.
pub const SIGNED_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a blob's name.
pub const META_NAME_BYTES_MAX: usize = 255;

/// How a store uses its disk, memory and threads. None of this changes a root.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The log goes on in a new file when one has this many bytes.
    pub segment_bytes: u64,
    /// A checkpoint is written when this many bytes were appended since the last one. What is new
    /// since then is held in memory, and replayed at a start.
    pub checkpoint_log_bytes: u64,
    /// Whether checkpoints that are due are written by a thread of their own; otherwise by whoever
    /// finalises.
    pub checkpoint_thread: bool,
    /// An image of more runs than this, if they are short, is written in one piece at the next
    /// checkpoint. A mapping of the image takes that many mappings, of which Linux allows a
    /// process 65,530 by default.
    pub fragment_runs_max: usize,
    /// Most candidates that a namespace may have.
    pub candidates_max: usize,
    /// About how many bytes of nodes lie together on disk.
    pub fragment_bytes: usize,
    /// Bytes of memory for parts of trees that were read from disk.
    pub cache_bytes: u64,
    /// Bytes of memory for tables of images of a namespace, beyond which those not used between
    /// two checkpoints are let go of.
    pub table_bytes: u64,
    /// How many finalised versions before the current one can be read.
    pub history_versions: u64,
    /// Most bytes that files may take which only versions of the past need; older ones are given up
    /// first.
    pub history_bytes: u64,
    /// Threads that seal, the caller's among them; 0 for as many as the machine runs at once.
    pub threads: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_log_bytes: 128 << 20,
            checkpoint_thread: true,
            fragment_runs_max: 1024,
            candidates_max: 256,
            fragment_bytes: 4096,
            cache_bytes: 640 << 20,
            table_bytes: 512 << 20,
            history_versions: 64,
            history_bytes: 256 << 20,
            threads: 0,
        }
    }
}

/// The states of several runtimes in one data folder. All methods may be called from any thread.
pub struct Store {
    shared: Arc<Shared>,
    /// The thread that writes a checkpoint.
    checkpoint: Mutex<Option<JoinHandle<()>>>,
    released: Released,
    /// Dropped last: the folder stays locked while anything of the store is open.
    _lock: Box<dyn Send + Sync>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.join_checkpoint();
    }
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
        } = recover(&disk, &config)?;
        log.checkpoint_due = config.checkpoint_log_bytes;
        let shared = Shared {
            config,
            log: Mutex::new(log),
            synced: Condvar::new(),
            state: RwLock::new(state),
            checkpoint: Mutex::new(()),
            checkpoint_fault: Mutex::new(None),
        };
        let store = Self {
            shared: Arc::new(shared),
            checkpoint: Mutex::new(None),
            released: Released::new(),
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
        let mut log = self.shared.lock_log();
        let base = self
            .shared
            .read(|state| state.parent(namespace, round, parent))?;
        let mut writer = log.begin()?;
        let workers = self.shared.read(|state| state.workers);
        let built = build(&base, write_log, images, &mut writer, &workers);
        let (view, patches) = built.inspect_err(|_| log.abort(&writer))?;
        let root = view.tree.root();
        if self
            .shared
            .read(|state| state.has_candidate(namespace, (round, parent, root)))
        {
            log.abort(&writer);
            return Ok(root);
        }
        if let Err(refusal) = self.check_candidates(namespace) {
            log.abort(&writer);
            return Err(refusal);
        }
        let seal = SealParts {
            namespace,
            round,
            parent,
            root,
            log: write_log,
            images: &patches,
        };
        let payload = seal.encode();
        let first_page = writer.first_page();
        let file = log.active.header.id;
        let pages = (writer.pages() > 0).then_some((file, first_page));
        let start = writer.start();
        log.commit(writer, &payload)?;
        let candidate = Candidate {
            round,
            parent,
            root,
            view: Arc::new(view),
            seal: Arc::new(payload),
            pages,
            at: RecordPlace { file, start },
        };
        self.shared
            .write(|state| state.add_candidate(namespace, candidate));
        Ok(root)
    }

    fn check_candidates(&self, namespace: RuntimeId) -> Result<()> {
        let value = self.shared.read(|state| state.candidate_count(namespace)) as u64;
        let limit = self.shared.config.candidates_max as u64;
        if value >= limit {
            let what = "number of candidates before this one";
            return Err(Refusal::TooLarge { what, value, limit }.into());
        }
        Ok(())
    }

    /// Makes a candidate the current version, and forgets all candidates that do not descend from
    /// it. Finalising what is current changes nothing. A checkpoint is begun if one is due; if it
    /// fails, [`Store::checkpoint_fault`] says so. Where sealing outruns the checkpoints, this
    /// waits for one.
    ///
    /// # Errors
    /// [`StoreFault::Refused`] if there is no such candidate, it does not build on the current
    /// version, or its round is not above the current one; a fault of the disk.
    pub fn finalise(&self, namespace: RuntimeId, round: u64, root: Hash) -> Result<()> {
        let due = {
            let mut log = self.shared.lock_log();
            if self
                .shared
                .read(|state| state.check_finalise(namespace, round, root))?
            {
                log.append(
                    &Payload::Finalise {
                        namespace,
                        round,
                        root,
                    }
                    .encode(),
                )?;
                let old = self
                    .shared
                    .write(|state| state.finalise(namespace, round, root));
                self.released.free(old);
            }
            log.bytes >= log.checkpoint_due
        };
        if due {
            self.checkpoint_due();
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
        let mut log = self.shared.lock_log();
        if self.shared.read(|state| state.check_signed(slot, bytes))? {
            let (slot, bytes) = (slot.to_vec(), bytes.to_vec());
            let payload = Payload::Signed {
                slot: slot.clone(),
                bytes: bytes.clone(),
            }
            .encode();
            log.append(&payload)?;
            self.shared.write(|state| state.signed.insert(slot, bytes));
        }
        Ok(())
    }

    /// The bytes that were signed under a slot.
    pub fn signed(&self, slot: &[u8]) -> Option<Vec<u8>> {
        self.shared.read(|state| state.signed.get(slot).cloned())
    }

    /// Forgets the slots that start with `prefix` and are below `end` in the order of bytes.
    /// Nothing can be put under them any more.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`]; a fault of the disk.
    pub fn prune_signed(&self, prefix: &[u8], end: &[u8]) -> Result<()> {
        check_size("length of a prefix in bytes", prefix.len(), SLOT_BYTES_MAX)?;
        check_size("length of a slot in bytes", end.len(), SLOT_BYTES_MAX)?;
        let mut log = self.shared.lock_log();
        if self.shared.read(|state| state.check_prune(prefix, end)) {
            let (prefix, end) = (prefix.to_vec(), end.to_vec());
            let payload = Payload::PruneSigned {
                prefix: prefix.clone(),
                end: end.clone(),
            };
            log.append(&payload.encode())?;
            self.shared.write(|state| state.prune_signed(prefix, end));
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
        let mut log = self.shared.lock_log();
        if self
            .shared
            .read(|state| state.meta.get(name).map(|held| &held[..]) != bytes)
        {
            let (name, bytes) = (name.to_owned(), bytes.map(<[u8]>::to_vec));
            log.append(
                &Payload::Meta {
                    name: name.clone(),
                    bytes: bytes.clone(),
                }
                .encode(),
            )?;
            self.shared.write(|state| state.set_meta(name, bytes));
        }
        Ok(())
    }

    /// A named blob.
    pub fn meta(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.read(|state| state.meta.get(name).cloned())
    }

    /// Returns when everything appended before the call is durable. Callers that come together
    /// share one `fdatasync`.
    ///
    /// # Errors
    /// A fault of the disk. What is durable is unknown then, and the store stops writing.
    pub fn sync(&self) -> Result<()> {
        let mut log = self.shared.lock_log();
        let target = log.next_sequence - 1;
        loop {
            if log.durable >= target {
                return Ok(());
            }
            log.check()?;
            if log.syncing {
                log = self
                    .shared
                    .synced
                    .wait(log)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            log.syncing = true;
            let (file, appended) = (Arc::clone(&log.active), log.next_sequence - 1);
            drop(log);
            let result = file.sync();
            log = self.shared.lock_log();
            log.syncing = false;
            match result {
                Ok(()) => log.durable = log.durable.max(appended),
                Err(ref fault) => log.stop(fault),
            }
            self.shared.synced.notify_all();
            result?;
        }
    }

    /// The version of a namespace with this root, if it is current or a candidate. Every namespace
    /// to which nothing was finalised has the empty version, [`Hash::EMPTY`].
    pub fn view(&self, namespace: RuntimeId, root: Hash) -> Option<Arc<View>> {
        self.shared.read(|state| state.view(namespace, root))
    }

    /// Round and root of the current version; `None` before the first finalisation.
    pub fn current(&self, namespace: RuntimeId) -> Option<(u64, Hash)> {
        self.shared.read(|state| {
            let found = state.namespaces.get(&namespace)?;
            Some((found.round?, found.root))
        })
    }

    /// Round and root of the candidates, in the order in which they were sealed.
    pub fn candidates(&self, namespace: RuntimeId) -> Vec<(u64, Hash)> {
        self.shared.read(|state| {
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
        self.shared
            .read(|state| state.namespaces.keys().copied().collect())
    }

    /// Finalised versions of a namespace that can be read, ascending, the current one last.
    pub fn versions(&self, namespace: RuntimeId) -> Vec<(u64, Hash)> {
        let history = self.history(namespace);
        let visible = history.iter().skip(self.hidden(&history));
        visible.map(|found| (found.round, found.root)).collect()
    }

    /// The history of a namespace, with versions that others follow from.
    fn history(&self, namespace: RuntimeId) -> Vec<Finalised> {
        self.shared.read(|state| {
            let found = state.namespaces.get(&namespace);
            found.map_or_else(Vec::new, |found| found.history.iter().cloned().collect())
        })
    }

    /// How many versions of a history are older than those that are kept to be read.
    fn hidden(&self, history: &[Finalised]) -> usize {
        let kept = self.shared.config.history_versions.saturating_add(1);
        (history.len() as u64).saturating_sub(kept) as usize
    }

    /// The version of a namespace that was finalised in `round`, if it is kept. One of the past is
    /// put together from the checkpoint before it and the log, which takes a while.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn view_at(&self, namespace: RuntimeId, round: u64) -> Result<Option<Arc<View>>> {
        let (history, past) = self.past(namespace);
        let Some(version) = self.kept(&history, round) else {
            return Ok(None);
        };
        if let Some(view) = self.view(namespace, version.root) {
            return Ok(Some(view));
        }
        let view = past.view(namespace, &history, round)?;
        match view {
            Some(view) if view.tree.root() != version.root => {
                let (found, root) = (view.tree.root(), version.root);
                let what = format!("round {round} has root {found}, not {root}");
                Err(StoreFault::damaged("the log", 0, what))
            }
            view => Ok(view),
        }
    }

    fn kept<'h>(&self, history: &'h [Finalised], round: u64) -> Option<&'h Finalised> {
        let visible = history.iter().skip(self.hidden(history));
        visible.into_iter().find(|version| version.round == round)
    }

    /// What led to the version of a namespace that was finalised in `round`, if it is kept.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn changes(&self, namespace: RuntimeId, round: u64) -> Result<Option<Changes>> {
        let (history, past) = self.past(namespace);
        let version = self.kept(&history, round);
        version.map_or(Ok(None), |version| past.changes(version))
    }

    /// The history of a namespace and what to read it from, which stays readable.
    fn past(&self, namespace: RuntimeId) -> (Vec<Finalised>, Past) {
        let log = self.shared.lock_log();
        let history = self.history(namespace);
        let past = self.shared.read(|state| Past {
            generations: log.manifest.generations.clone(),
            files: log.files.clone(),
            source: Arc::new(TableFiles {
                fragments: Arc::clone(&state.source.fragments),
                files: log.files.clone(),
            }),
            workers: state.workers,
        });
        (history, past)
    }

    /// Writes a checkpoint, so that the log before it is needed for versions of the past only.
    /// Other operations go on meanwhile.
    ///
    /// # Errors
    /// A fault of the disk. The store goes on with the log it has.
    pub fn checkpoint(&self) -> Result<()> {
        self.shared.checkpoint_now(None)
    }

    /// Why the last checkpoint that [`Store::finalise`] began failed, if it did. The log keeps
    /// growing until one succeeds.
    pub fn checkpoint_fault(&self) -> Option<StoreFault> {
        self.shared
            .checkpoint_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Begins a checkpoint that is due; waits for the one before if the log has grown far beyond.
    fn checkpoint_due(&self) {
        let config = &self.shared.config;
        if !config.checkpoint_thread {
            return self.shared.checkpoint_if_free();
        }
        let limit = config.checkpoint_log_bytes.saturating_mul(2);
        let behind = self.shared.lock_log().bytes >= limit;
        let mut running = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = running.take_if(|thread| behind || thread.is_finished()) {
            // A panic there has poisoned its lock, which the next checkpoint takes all the same.
            let _panicked = thread.join();
        }
        if running.is_none() {
            let shared = Arc::clone(&self.shared);
            let name = "checkpoint".to_owned();
            let spawned = Builder::new()
                .name(name)
                .spawn(move || shared.checkpoint_if_free());
            match spawned {
                Ok(thread) => *running = Some(thread),
                // Without a thread to be had, the caller does it.
                Err(_) => self.shared.checkpoint_if_free(),
            }
        }
    }

    fn join_checkpoint(&self) {
        let running = self
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = running {
            let _panicked = thread.join();
        }
    }

    /// The threads that seal, for other work that a round needs.
    pub fn workers(&self) -> Arc<dyn trilith_mkvs::Workers> {
        Arc::new(self.shared.read(|state| state.workers))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
    workers: &Workers,
) -> Result<Built> {
    let mut before = Vec::with_capacity(updates.len());
    for update in updates {
        before.push(base.table(&update.id)?);
    }
    let mut writes: Vec<ImageWrite<'_>> = Vec::with_capacity(updates.len());
    for (update, before) in updates.iter().zip(&before) {
        if let ImageUpdateKind::Write { reset, pages, runs } = &update.change {
            let change = (*reset, *pages, &runs[..]);
            writes.push(ImageWrite::new(before.as_deref(), &update.id, change)?);
        }
    }
    let mut store = |page: &_| writer.page(page).map(|_| ());
    let mut prepared = StoredImage::prepare_all(workers, &writes, &mut store)?.into_iter();
    let mut file_page = writer.first_page();
    let (mut images, mut patches) = (Vec::new(), Vec::new());
    for (update, before) in updates.iter().zip(&before) {
        let id = update.id.clone();
        let next = match &update.change {
            ImageUpdateKind::Delete => None,
            ImageUpdateKind::Write { .. } => prepared.next(),
        };
        let Some(Prepared { patch, hashes }) = next else {
            images.push((id.clone(), None));
            patches.push((id, None));
            continue;
        };
        let source = PageSource {
            file: writer.page_file(),
            file_page,
        };
        file_page += patch.stored_pages();
        let before = before.as_deref();
        let image = StoredImage::patched_on(workers, before, (&patch, &hashes), &source);
        images.push((id.clone(), Some(image)));
        patches.push((id, Some(patch)));
    }
    Ok((
        next_view(base, write_log, images, (workers, true))?,
        patches,
    ))
}

fn check_size(what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value > limit {
        let (value, limit) = (value as u64, limit as u64);
        return Err(Refusal::TooLarge { what, value, limit }.into());
    }
    Ok(())
}
