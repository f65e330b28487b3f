//! A state in memory, under the same root as on a node's disk.
//!
//! A [`Memory`] is a value: a clone costs a few counters, and a version never changes, so snapshots
//! and forks need no code of their own. Keys live in the tree of `mkvs`, pages in files in memory
//! to which pages are only appended.
//!
//! It knows the tree and the forms in which the store binds images into a root; it must not know
//! what keys mean. Invariant: [`StateRead::root`] is what `trilith_store` computes for the same
//! write logs and images, which `tests/accounts/equal.rs` checks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::memfd::{MFdFlags, memfd_create};
use trilith_mkvs::{Tree, TreeError};
use trilith_protocol::{Fault, ImageChange, ImageWrite};
use trilith_store::{PageTree, Workers, image_key, image_leaf, page_hash};
use trilith_types::state::Visitor;
use trilith_types::{
    Hash, Image, ImageId, PAGE_BYTES, PageFile, PageRun, StateFault, StateRead, WriteLog,
};

/// Pages after which a new file is begun, so that the old one is given back once no version needs
/// it: 64 MiB.
const FILE_PAGES_MAX: u64 = 16 * 1024;

/// Threads that make a version of many changes: as many as the machine runs at once. Few changes are
/// made where they are asked for.
const THREADS: usize = 0;

/// One version of a state.
#[derive(Clone, Default)]
pub struct Memory {
    tree: Tree,
    images: Arc<BTreeMap<ImageId, Stored>>,
    pages: Arc<Pages>,
}

/// An image with the tree over its pages.
#[derive(Clone)]
struct Stored {
    image: Arc<Image>,
    tree: PageTree,
}

/// Where new pages go; shared by the versions of one line.
#[derive(Default)]
struct Pages(Mutex<Option<Open>>);

/// A file with its next free page.
struct Open {
    file: PageFile,
    next: u64,
}

impl Memory {
    /// The version that follows by an outcome's write log and images, which the caller checked.
    ///
    /// # Errors
    /// [`Fault`] if a key is too long or a page file fails. This version stays as it is.
    pub fn next(&self, write_log: &WriteLog, images: &[ImageWrite]) -> Result<Self, Fault> {
        let mut next = self.clone();
        let workers = Workers::new(THREADS);
        next.tree
            .apply_by(write_log, &workers)
            .map_err(tree_fault)?;
        if images.is_empty() {
            return Ok(next);
        }
        let mut stored = (*self.images).clone();
        for write in images {
            let key = image_key(&write.image);
            match &write.change {
                ImageChange::Delete => {
                    stored.remove(&write.image);
                    next.tree.remove(&key).map_err(tree_fault)?;
                }
                ImageChange::Write { reset, pages, runs } => {
                    let before = stored.get(&write.image).filter(|_| !reset).cloned();
                    let image = self.written(before, *pages, runs);
                    let image = image.map_err(|error| page_fault(&error))?;
                    let leaf = image_leaf(*pages, &image.tree.root());
                    next.tree.insert(&key, &leaf).map_err(tree_fault)?;
                    stored.insert(write.image.clone(), image);
                }
            }
        }
        next.images = Arc::new(stored);
        Ok(next)
    }

    /// The same version for a line of its own: its new pages go to a file of its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            pages: Arc::default(),
            ..self.clone()
        }
    }

    /// The image after a write, with its new pages copied.
    fn written(&self, before: Option<Stored>, pages: u64, runs: &[PageRun]) -> io::Result<Stored> {
        let mut stored = before.unwrap_or_else(|| Stored {
            image: Arc::default(),
            tree: PageTree::zero(0),
        });
        let mut image = Arc::unwrap_or_clone(stored.image);
        image.resize(pages);
        stored.tree.resize(pages);
        let mut hashes = Vec::new();
        for run in runs {
            let (file, file_page) = self.pages.copy(run, &mut hashes)?;
            image.overlay(PageRun {
                file,
                file_page,
                ..*run
            });
        }
        stored.tree.set(&hashes);
        stored.image = Arc::new(image);
        Ok(stored)
    }
}

impl Pages {
    /// Appends the pages of a run, adds their hashes, and says where they are now.
    fn copy(
        &self,
        run: &PageRun,
        hashes: &mut Vec<(u64, [u8; 32])>,
    ) -> io::Result<(PageFile, u64)> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|open| open.next >= FILE_PAGES_MAX) {
            let file = memfd_create(c"trilith-local", MFdFlags::MFD_CLOEXEC)?;
            *open = Some(Open {
                file: Arc::new(File::from(file)),
                next: 0,
            });
        }
        let open = open
            .as_mut()
            .ok_or_else(|| io::Error::other("the file was just opened"))?;
        let first = open.next;
        let mut page = [0; PAGE_BYTES];
        for step in 0..run.count {
            let offset = |page: u64| page * PAGE_BYTES as u64;
            run.file
                .read_exact_at(&mut page, offset(run.file_page + step))?;
            open.file.write_all_at(&page, offset(first + step))?;
            hashes.push((run.page + step, page_hash(&page)));
        }
        open.next += run.count;
        Ok((open.file.clone(), first))
    }
}

impl StateRead for Memory {
    fn root(&self) -> Hash {
        self.tree.root()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        let value = self.tree.get(key).map_err(state_fault)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for entry in self.tree.iterate_prefix(prefix).map_err(state_fault)? {
            let entry = entry.map_err(state_fault)?;
            if let ControlFlow::Break(()) = visitor(&entry.key, &entry.value) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, id: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(self.images.get(id).map(|stored| (*stored.image).clone()))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Memory({})", self.root())
    }
}

fn state_fault(error: TreeError) -> StateFault {
    StateFault(error.to_string())
}

fn tree_fault(error: TreeError) -> Fault {
    Fault(error.to_string())
}

fn page_fault(error: &io::Error) -> Fault {
    Fault(format!("cannot keep pages in memory: {error}"))
}
