//! Deciding which pages a checkpoint moves, and pointing images to where they went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trilith_types::{Image, ImageId, PAGE_BYTES, PageFile, PageRun};

use crate::fault::Result;
use crate::image::StoredImage;
use crate::images::{Files, ImageCell};
use crate::log_file::StoreFile;
use crate::ranges::PageRange;
use crate::record::FileKind;
use crate::state::State;

/// An image whose runs are shorter than this on average is fragmented.
const FRAGMENT_PAGES: u64 = 16;

/// The numbers of open files, by the file that runs refer to.
pub(crate) struct FileNumbers(BTreeMap<usize, u64>);

impl FileNumbers {
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = &'a Arc<StoreFile>>) -> Self {
        let number = |file: &Arc<StoreFile>| (address(&file.pages), file.header.id);
        Self(files.into_iter().map(number).collect())
    }

    /// The number of a run's file.
    ///
    /// # Panics
    /// If the run is not of the store's files; sealed images have no others.
    pub(crate) fn of(&self, run: &PageRun) -> u64 {
        *self
            .0
            .get(&address(&run.file))
            .expect("a sealed image lies in the store's own files")
    }
}

fn address(file: &PageFile) -> usize {
    Arc::as_ptr(file).addr()
}

/// Whether an image has so many small runs that it is written anew in one piece.
pub(crate) fn is_fragmented(image: &Image, runs_max: usize) -> bool {
    let stored: u64 = image.runs().map(|run| run.count).sum();
    image.run_count() > runs_max && stored / (image.run_count() as u64) < FRAGMENT_PAGES
}

/// The cells of the current versions.
pub(crate) fn current_cells(state: &State) -> impl Iterator<Item = (&ImageId, &Arc<ImageCell>)> {
    state
        .namespaces
        .values()
        .flat_map(|found| found.view.images.iter())
}

/// In which files the pages of a cell's image lie, and how many in each.
pub(crate) fn files_of(cell: &ImageCell, numbers: &FileNumbers) -> Vec<(u64, u64)> {
    if let Some(stored) = &cell.stored {
        return stored.files.clone();
    }
    let mut files: BTreeMap<u64, u64> = BTreeMap::new();
    for run in cell.held().iter().flat_map(|table| table.image.runs()) {
        *files.entry(numbers.of(run)).or_default() += run.count;
    }
    files.into_iter().collect()
}

/// The files with pages more than half of which is dead: worth moving what is in use and removing
/// the file. Files that hold the pages of a candidate's record stay, and those behind `kept_from`,
/// which the log still needs.
pub(crate) fn sparse_files(
    state: &State,
    files: &Files,
    numbers: &FileNumbers,
    kept_from: u64,
) -> Result<BTreeSet<u64>> {
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, cell) in current_cells(state) {
        for (file, pages) in files_of(cell, numbers) {
            *live.entry(file).or_default() += pages;
        }
    }
    let pinned = pinned_files(state);
    let mut sparse = BTreeSet::new();
    for (id, pages) in live {
        let Some(file) = files.get(&id).filter(|_| !pinned.contains(&id)) else {
            continue;
        };
        let in_log = file.header.kind == FileKind::Log && id >= kept_from;
        if !in_log && pages * 2 * (PAGE_BYTES as u64) < file.len()? {
            sparse.insert(id);
        }
    }
    Ok(sparse)
}

/// The files that hold pages of candidates' records.
pub(crate) fn pinned_files(state: &State) -> BTreeSet<u64> {
    let candidates = state
        .namespaces
        .values()
        .flat_map(|found| &found.candidates);
    candidates
        .filter_map(|candidate| candidate.pages.map(|(file, _)| file))
        .collect()
}

/// Where pages went.
pub(crate) struct Moves {
    /// By file and page: how many pages, and the first page in the target.
    moved: BTreeMap<(u64, u64), (u64, u64)>,
    target: PageFile,
}

/// A part of a run, and where it was moved.
pub(crate) struct Piece {
    pub(crate) page: u64,
    pub(crate) count: u64,
    pub(crate) file_page: u64,
    pub(crate) to: Option<u64>,
}

impl Moves {
    pub(crate) fn new(target: PageFile) -> Self {
        Self {
            moved: BTreeMap::new(),
            target,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }

    /// Whether pages of a file moved.
    pub(crate) fn touches(&self, file: u64) -> bool {
        let mut of_file = self.moved.range((file, 0)..=(file, u64::MAX));
        of_file.next().is_some()
    }

    /// Notes that pages of a file, none of which moved before, are found at `to`.
    pub(crate) fn add(&mut self, file: u64, from: PageRange, to: u64) {
        self.moved.insert((file, from.page), (from.count, to));
    }

    /// The run, divided into parts that moved together and parts that did not move.
    pub(crate) fn pieces(&self, file: u64, run: &PageRun) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut at, end) = (run.file_page, run.file_page + run.count);
        while at < end {
            let before = self.moved.range((file, 0)..=(file, at)).next_back();
            let (stop, to) = match before {
                Some(((_, start), (count, to))) if start + count > at => {
                    (start + count, Some(to + (at - start)))
                }
                _ => {
                    let next = self.moved.range((file, at)..(file, end)).next();
                    (next.map_or(end, |((_, start), _)| *start), None)
                }
            };
            let count = stop.min(end) - at;
            pieces.push(Piece {
                page: run.page + (at - run.file_page),
                count,
                file_page: at,
                to,
            });
            at += count;
        }
        pieces
    }

    /// The image with its pages where they went; `None` if none of them moved.
    pub(crate) fn moved(&self, image: &StoredImage, numbers: &FileNumbers) -> Option<StoredImage> {
        let mut moved = Image::zero(image.image.pages());
        let mut any = false;
        for run in image.image.runs() {
            for piece in self.pieces(numbers.of(run), run) {
                any |= piece.to.is_some();
                let file = piece.to.map_or(&run.file, |_| &self.target);
                moved.overlay(PageRun {
                    page: piece.page,
                    count: piece.count,
                    file: Arc::clone(file),
                    file_page: piece.to.unwrap_or(piece.file_page),
                });
            }
        }
        any.then(|| StoredImage {
            image: Arc::new(moved),
            tree: image.tree.clone(),
        })
    }
}
