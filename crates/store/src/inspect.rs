//! Looking into a store: what it holds, how large it is, and whether all of it is intact.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_mkvs::Place;
use trilith_types::{Hash, ImageId, RuntimeId};

use crate::blob::{file_of, offset_of};
use crate::fault::{Result, StoreFault};
use crate::fragments::Fragments;
use crate::images::{TableFiles, check_pages};
use crate::log_file::file_name;
use crate::record::FileKind;
use crate::state::{Namespace, State, tree_fault};
use crate::store::Store;
use crate::view::{IMAGE_KEY_PREFIX, View, image_key, image_leaf};

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its namespaces, ascending.
    pub namespaces: Vec<NamespaceSummary>,
    /// Its files, ascending by name, the manifest and the lock apart.
    pub files: Vec<FileSummary>,
    /// Bytes of all these files.
    pub bytes: u64,
    /// Number of checkpoints that versions are read from, the newest included.
    pub checkpoints: usize,
    /// Number of slots with signed bytes.
    pub signed: usize,
    /// Names of blobs, with their lengths in bytes.
    pub meta: Vec<(String, u64)>,
}

/// A namespace of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSummary {
    /// Which.
    pub namespace: RuntimeId,
    /// Round and root of the current version.
    pub current: Option<(u64, Hash)>,
    /// Round and root of the candidates.
    pub candidates: Vec<(u64, Hash)>,
    /// Round and root of the finalised versions that can be read, ascending.
    pub versions: Vec<(u64, Hash)>,
    /// Number of images of the current version.
    pub images: u64,
    /// Length of all of them together, in pages.
    pub image_pages: u64,
}

/// A file of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// For a file of fragments and tables: how many of its bytes the newest checkpoint needs.
    pub live: Option<u64>,
}

/// What a check found intact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Versions.
    pub versions: u64,
    /// Entries of trees.
    pub entries: u64,
    /// Fragments of trees.
    pub fragments: u64,
    /// Images.
    pub images: u64,
    /// Pages of images that are not zero.
    pub pages: u64,
}

impl Store {
    /// What the store holds.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn summary(&self) -> Result<Summary> {
        let (state, files, checkpoints) = {
            let log = self.shared().lock_log();
            let state = self.shared().read(Clone::clone);
            (state, log.files.clone(), log.manifest.generations.len())
        };
        let mut namespaces = Vec::new();
        for (id, found) in &state.namespaces {
            let cells = found.view.images.values();
            let candidates = found.candidates.iter();
            namespaces.push(NamespaceSummary {
                namespace: *id,
                current: found.round.map(|round| (round, found.root)),
                candidates: candidates.map(|found| (found.round, found.root)).collect(),
                versions: self.versions(*id),
                images: found.view.images.size() as u64,
                image_pages: cells.map(|cell| cell.pages).sum(),
            });
        }
        let mut summaries = Vec::new();
        for (id, file) in &files {
            summaries.push(FileSummary {
                name: file.name.clone(),
                bytes: file.len()?,
                live: state.blobs.get(id).map(|used| used.live),
            });
        }
        let meta = state.meta.iter();
        Ok(Summary {
            namespaces,
            bytes: summaries.iter().map(|file| file.bytes).sum(),
            files: summaries,
            checkpoints,
            signed: state.signed.len(),
            meta: meta
                .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
                .collect(),
        })
    }

    /// Reads everything of the current versions and candidates, and computes anew every hash of
    /// their trees, tables and pages.
    ///
    /// # Errors
    /// [`StoreFault::Damaged`] or [`StoreFault::Unreadable`] naming the file that is not what was
    /// written; [`StoreFault::Io`].
    pub fn check(&self) -> Result<Checked> {
        let (state, files) = {
            let log = self.shared().lock_log();
            (self.shared().read(Clone::clone), log.files.clone())
        };
        let all = TableFiles {
            fragments: Arc::clone(&state.source.fragments),
            files,
        };
        let mut checked = Checked::default();
        let mut used: BTreeMap<u64, u64> = BTreeMap::new();
        for found in state.namespaces.values() {
            check_fragments(found, &mut used, &mut checked)?;
            for stored in found
                .stored_images
                .values()
                .filter_map(|cell| cell.stored.as_ref())
            {
                *used.entry(file_of(stored.place)).or_default() += stored.bytes;
            }
            let candidates = found.candidates.iter().map(|candidate| &candidate.view);
            for view in std::iter::once(&found.view).chain(candidates) {
                check_view(view, &all, &mut checked)?;
            }
        }
        check_used(&state, &used)?;
        Ok(checked)
    }
}

/// Compares how much of each file of blobs is in use with what the store counts, on which it
/// decides whether a file is still needed.
fn check_used(state: &State, used: &BTreeMap<u64, u64>) -> Result<()> {
    let counted = state.blobs.iter().map(|(file, used)| (*file, used.live));
    let counted: BTreeMap<u64, u64> = counted.collect();
    let files = counted.keys().chain(used.keys());
    for file in files {
        let of = |map: &BTreeMap<u64, u64>| map.get(file).copied().unwrap_or(0);
        let (counted, used) = (of(&counted), of(used));
        if counted != used {
            let name = file_name(*file, FileKind::Blobs);
            let what = format!("{used} bytes of it are in use, but {counted} are counted");
            return Err(StoreFault::damaged(&name, 0, what));
        }
    }
    Ok(())
}

/// Computes the hashes of all fragments of a namespace's last checkpoint, and adds up how much of
/// which file they take.
fn check_fragments(
    found: &Namespace,
    used: &mut BTreeMap<u64, u64>,
    checked: &mut Checked,
) -> Result<()> {
    let fragments: &Arc<Fragments> = &found.view.source.fragments;
    let mut open = vec![(None, found.top)];
    while let Some((expected, place)) = open.pop() {
        if place == Place::NONE {
            continue;
        }
        let fragment = fragments.fragment(place)?;
        *used.entry(file_of(place)).or_default() += fragment.stored_bytes;
        let node = fragment.node;
        let stored = node.hash();
        let wrong = node.check_hashes().or_else(|| {
            let expected: Option<Hash> = expected;
            expected
                .filter(|expected| *expected != stored)
                .map(|expected| (stored, expected))
        });
        if let Some((stored, computed)) = wrong {
            let name = format!("{:016x}.blobs", file_of(place));
            let what = format!("a node there has hash {computed}, not {stored}");
            return Err(StoreFault::damaged(&name, offset_of(place), what));
        }
        checked.fragments += 1;
        let below = node.edges_elsewhere();
        open.extend(below.into_iter().map(|(hash, place)| (Some(hash), place)));
    }
    Ok(())
}

/// Reads a version, and compares its images with their leaves and their pages.
fn check_view(view: &View, all: &TableFiles, checked: &mut Checked) -> Result<()> {
    checked.versions += 1;
    let mut leaves = 0;
    for entry in view.tree.iterate_from(b"").map_err(tree_fault)? {
        let entry = entry.map_err(tree_fault)?;
        checked.entries += 1;
        leaves += u64::from(entry.key.starts_with(IMAGE_KEY_PREFIX));
    }
    for (id, cell) in view.images.iter() {
        let leaf = view.tree.get(&image_key(id)).map_err(tree_fault)?;
        if leaf.as_deref() != Some(&image_leaf(cell.pages, &cell.root)[..]) {
            return Err(wrong_leaf(id));
        }
        let table = cell.table(id, &view.source)?;
        check_pages(&table, all)?;
        checked.images += 1;
        checked.pages += table.image.runs().map(|run| run.count).sum::<u64>();
    }
    if leaves != view.images.size() as u64 {
        let what = format!("it has {leaves} leaves of {} images", view.images.size());
        return Err(StoreFault::damaged("a tree", 0, what));
    }
    Ok(())
}

fn wrong_leaf(id: &ImageId) -> StoreFault {
    let image = crate::image::hex(id.as_bytes());
    let what = format!("image {image} is not the one that its leaf tells of");
    StoreFault::damaged("a tree", 0, what)
}
