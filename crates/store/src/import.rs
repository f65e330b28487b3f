//! Bringing a state in as a whole, larger than memory, piece by piece.
//!
//! What is handed in goes into files of blobs as it comes and is a part of no version; a checkpoint
//! at the end makes it the current version of its namespace, all of it or nothing. A crash before
//! leaves files that the next start removes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use trilith_mkvs::{Place, Tree};
use trilith_types::{Hash, RuntimeId, WriteLog, WriteLogEntry};

use crate::blob::BlobWriter;
use crate::checkpoint::Sink;
use crate::checkpointing::Shared;
use crate::fault::{Refusal, Result};
use crate::fragments::Fragments;
use crate::image::prepare::ImageWrite;
use crate::image::{ImageUpdate, ImageUpdateKind, PageSource, StoredImage};
use crate::images::{ImageCell, Images, TableFiles};
use crate::log_file::{RecordWriter, StoreFile};
use crate::record::{FILE_HEADER_BYTES, FileKind};
use crate::state::{Finalised, Namespace, check_log, tree_fault};
use crate::store::Store;
use crate::view::{View, image_key, image_leaf};
use crate::workers::Workers;

/// Bytes of entries that are held in memory before they are written.
const BATCH_BYTES: usize = 64 << 20;
/// A file of pages is closed when it has this many bytes.
const PAGES_BYTES: u64 = 1 << 30;

/// A state that is being brought in. Dropped before [`Import::finish`], it leaves nothing.
pub struct Import<'s> {
    store: &'s Store,
    namespace: RuntimeId,
    workers: Workers,
    tree: Tree,
    images: Images,
    /// Where what was written is read from.
    source: Arc<TableFiles>,
    /// Files that were written, and the place of the tree's top in them.
    files: Vec<Arc<StoreFile>>,
    top: Place,
    /// The file that pages go to.
    pages: Option<PagesFile>,
    /// Bytes of entries since the tree was last written.
    pending: usize,
    finished: bool,
}

/// A file of pages that is being written.
struct PagesFile {
    file: Arc<StoreFile>,
    end: u64,
    records: u64,
}

impl Store {
    /// Begins to bring in the state of a namespace that has no version yet. Until the import has
    /// ended, nothing can be sealed in that namespace.
    ///
    /// # Errors
    /// [`Refusal::Import`] if the namespace has a version or is being imported.
    pub fn import(&self, namespace: RuntimeId) -> Result<Import<'_>> {
        let shared = self.shared();
        // A seal holds the log from where it looks for its parent to where it is a candidate, so
        // none that began before can come in between.
        let log = shared.lock_log();
        let begun = shared.write(|state| {
            let taken = state.namespaces.contains_key(&namespace);
            !taken && state.importing.insert(namespace)
        });
        drop(log);
        if !begun {
            let what = "it has a version already, or is being imported".to_owned();
            return Err(Refusal::Import { namespace, what }.into());
        }
        let (source, workers) = shared.read(|state| (Arc::clone(&state.source), state.workers));
        Ok(Import {
            store: self,
            namespace,
            workers,
            tree: Tree::empty(),
            images: Images::new_sync(),
            source,
            files: Vec::new(),
            top: Place::NONE,
            pages: None,
            pending: 0,
            finished: false,
        })
    }
}

impl Import<'_> {
    /// Adds entries: ascending within the call, in any order between calls. A key that comes again
    /// replaces what it had.
    ///
    /// # Errors
    /// [`crate::StoreFault::Refused`] if keys are out of order or reserved; a fault of the disk.
    pub fn entries(&mut self, log: &WriteLog) -> Result<()> {
        check_log(log)?;
        self.tree.apply_by(log, &self.workers).map_err(tree_fault)?;
        let size =
            |entry: &WriteLogEntry| entry.key.len() + entry.value.as_ref().map_or(0, Vec::len);
        self.pending += log.iter().map(size).sum::<usize>();
        if self.pending >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Changes an image, which may be done several times.
    ///
    /// # Errors
    /// As for [`Store::seal`].
    pub fn image(&mut self, update: &ImageUpdate) -> Result<()> {
        let id = &update.id;
        let ImageUpdateKind::Write { reset, pages, runs } = &update.change else {
            self.images.remove_mut(id);
            return Ok(());
        };
        let before = self.images.get(id).map(|cell| cell.table(id, &self.source));
        let before = before.transpose()?;
        let change = (*reset, *pages, &runs[..]);
        let write = ImageWrite::new(before.as_deref(), id, change)?;
        let mut writer = self.page_writer()?;
        let mut store = |page: &_| writer.page(page).map(|_| ());
        let prepared = StoredImage::prepare_all(&self.workers, &[write], &mut store)?;
        let Some(prepared) = prepared.into_iter().next() else {
            return Ok(());
        };
        let source = PageSource {
            file: writer.page_file(),
            file_page: writer.first_page(),
        };
        if writer.pages() > 0 {
            let pages = self.pages.as_mut().expect("the writer is that of a file");
            pages.end = writer.finish(&[], pages.records + 1, 0)?;
            pages.records += 1;
        }
        let patch = (&prepared.patch, &prepared.hashes[..]);
        let image = StoredImage::patched_on(&self.workers, before.as_deref(), patch, &source);
        self.images
            .insert_mut(id.clone(), Arc::new(ImageCell::new(image)));
        Ok(())
    }

    /// A writer of pages, which lie in records that nobody reads as such.
    fn page_writer(&mut self) -> Result<RecordWriter> {
        if self
            .pages
            .as_ref()
            .is_none_or(|pages| pages.end >= PAGES_BYTES)
        {
            self.close_pages()?;
            let file = self.store.shared().create_file(FileKind::Checkpoint)?;
            self.files.push(Arc::clone(&file));
            self.pages = Some(PagesFile {
                file,
                end: FILE_HEADER_BYTES,
                records: 0,
            });
        }
        let pages = self.pages.as_ref().expect("a file was just opened");
        Ok(RecordWriter::new(Arc::clone(&pages.file), pages.end))
    }

    fn close_pages(&mut self) -> Result<()> {
        self.pages.take().map_or(Ok(()), |pages| pages.file.sync())
    }

    /// Makes what was brought in the current version of the namespace, in this round. It is durable
    /// when this returns.
    ///
    /// # Errors
    /// [`Refusal::Import`] if it does not have this root; a fault of the disk. Nothing is left then.
    pub fn finish(mut self, round: u64, root: Hash) -> Result<()> {
        let mut leaves = WriteLog::new();
        for (id, cell) in self.images.iter() {
            leaves.push(WriteLogEntry {
                key: image_key(id),
                value: Some(image_leaf(cell.pages, &cell.root)),
            });
        }
        self.tree
            .apply_by(&leaves, &self.workers)
            .map_err(tree_fault)?;
        let found = self.tree.root();
        if found != root {
            let namespace = self.namespace;
            let what = format!("what was brought in has root {found}, not {root}");
            return Err(Refusal::Import { namespace, what }.into());
        }
        self.close_pages()?;
        self.flush()?;
        let view = View {
            tree: self.tree.clone(),
            images: self.images.clone(),
            source: Arc::clone(&self.source),
        };
        let version = Finalised {
            round,
            root,
            seal: None,
        };
        let namespace = Namespace {
            round: Some(round),
            root,
            view: Arc::new(view),
            candidates: Vec::new(),
            history: VecDeque::from([version]),
            top: self.top,
            stored_images: Images::new_sync(),
        };
        let imported = (self.namespace, namespace, self.files.clone());
        // Whatever happens now, the files are the checkpoint's.
        self.finished = true;
        let written = self.store.shared().checkpoint_now(Some(imported));
        // A version that is there is durable; what failed was then to give back space.
        match self.store.current(self.namespace) {
            Some(_) => Ok(()),
            None => written,
        }
    }

    /// Writes what is in memory of the tree.
    fn flush(&mut self) -> Result<()> {
        self.pending = 0;
        let shared = self.store.shared();
        let (disk, numbers) = {
            let log = shared.lock_log();
            (Arc::clone(&log.disk), Arc::clone(&log.numbers))
        };
        let mut blobs = BlobWriter::new(disk, numbers);
        let (mut used, mut written) = (BTreeMap::new(), Vec::new());
        let mut sink = Sink {
            namespace: self.namespace,
            blobs: &mut blobs,
            used: &mut used,
            written: &mut written,
            kept: BTreeSet::new(),
            fault: None,
        };
        let top = self.tree.flush(shared.config.fragment_bytes, &mut sink);
        let fault = sink.fault;
        let finished = blobs.finish();
        let named = |file: &(Arc<StoreFile>, u64)| Arc::clone(&file.0);
        self.files.extend(finished.iter().flatten().map(named));
        finished?;
        self.top = top.map_err(|error| fault.unwrap_or_else(|| tree_fault(error)))?;
        for fragment in written {
            fragment.top.set_place(fragment.place);
        }
        let fragments: Fragments = self.source.fragments.with_files(
            self.files
                .iter()
                .filter(|file| file.header.kind == FileKind::Blobs)
                .cloned(),
        );
        let mut files = self.source.files.clone();
        files.extend(
            self.files
                .iter()
                .map(|file| (file.header.id, Arc::clone(file))),
        );
        self.source = Arc::new(TableFiles {
            fragments: Arc::new(fragments),
            files,
        });
        self.tree
            .release(Arc::clone(&self.source.fragments) as Arc<_>);
        Ok(())
    }
}

impl Drop for Import<'_> {
    fn drop(&mut self) {
        let shared: &Arc<Shared> = self.store.shared();
        shared.write(|state| state.importing.remove(&self.namespace));
        if !self.finished {
            let disk = Arc::clone(&shared.lock_log().disk);
            for file in &self.files {
                // What is left now is removed at the next start.
                let _ = disk.remove(&file.name);
            }
        }
    }
}
