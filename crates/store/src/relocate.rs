//! Deciding which pages a checkpoint moves, and pointing images to where they went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trilith_types::{Image, PAGE_BYTES, PageFile, PageRun};

use crate::fault::Result;
use crate::image::StoredImage;
use crate::log_file::StoreFile;
use crate::ranges::PageRange;
use crate::state::State;
use crate::view::View;

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

/// The files more than half of which is dead, with all pages that are still in use: worth moving
/// those and removing the file. Files that hold the pages of a candidate's record stay.
pub(crate) fn sparse_files(
    state: &State,
    files: &BTreeMap<u64, Arc<StoreFile>>,
    numbers: &FileNumbers,
    runs_max: usize,
) -> Result<BTreeSet<u64>> {
    let mut live: BTreeMap<u64, Vec<PageRange>> = BTreeMap::new();
    for (image, current) in images(state) {
        if current && is_fragmented(&image.image, runs_max) {
            continue;
        }
        for run in image.image.runs() {
            let range = PageRange {
                page: run.file_page,
                count: run.count,
            };
            live.entry(numbers.of(run)).or_default().push(range);
        }
    }
    let pinned = pinned_files(state);
    let mut sparse = BTreeSet::new();
    for (id, mut ranges) in live {
        let len = files[&id].len()?;
        if !pinned.contains(&id) && union(&mut ranges) * 2 * (PAGE_BYTES as u64) < len {
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

/// All files in which pages of the state lie.
pub(crate) fn used_files(state: &State, numbers: &FileNumbers) -> BTreeSet<u64> {
    let mut used = pinned_files(state);
    for (image, _) in images(state) {
        used.extend(image.image.runs().map(|run| numbers.of(run)));
    }
    used
}

/// All images of all versions, and whether the version is current.
pub(crate) fn images(state: &State) -> impl Iterator<Item = (&StoredImage, bool)> {
    state.namespaces.values().flat_map(|found| {
        let current = found.view.images.values().map(|image| (image, true));
        let candidates = found.candidates.iter();
        let others = candidates.flat_map(|candidate| candidate.view.images.values());
        current.chain(others.map(|image| (image, false)))
    })
}

/// How many different pages the ranges have.
fn union(ranges: &mut [PageRange]) -> u64 {
    ranges.sort_by_key(|range| range.page);
    let (mut count, mut next) = (0, 0);
    for range in ranges {
        let from = range.page.max(next);
        count += range.end().saturating_sub(from);
        next = next.max(range.end());
    }
    count
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

    /// Points all images of the state to where their pages went.
    pub(crate) fn apply(&self, state: &mut State, numbers: &FileNumbers) {
        if self.is_empty() {
            return;
        }
        for found in state.namespaces.values_mut() {
            found.view = self.view(&found.view, numbers);
            for candidate in &mut found.candidates {
                candidate.view = self.view(&candidate.view, numbers);
            }
        }
    }

    fn view(&self, view: &View, numbers: &FileNumbers) -> Arc<View> {
        let mut images = view.images.clone();
        for stored in images.values_mut() {
            stored.image = Arc::new(self.image(&stored.image, numbers));
        }
        Arc::new(View {
            tree: view.tree.clone(),
            images,
        })
    }

    fn image(&self, image: &Image, numbers: &FileNumbers) -> Image {
        let mut moved = Image::zero(image.pages());
        for run in image.runs() {
            for piece in self.pieces(numbers.of(run), run) {
                let file = piece.to.map_or(&run.file, |_| &self.target);
                moved.overlay(PageRun {
                    page: piece.page,
                    count: piece.count,
                    file: Arc::clone(file),
                    file_page: piece.to.unwrap_or(piece.file_page),
                });
            }
        }
        moved
    }
}
