//! Changing images: finding the pages whose bytes differ, and applying what was found.
//!
//! Invariant: the runs of a stored image cover exactly its pages that are not zero, and its page
//! tree is that of the bytes the runs lead to.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use trilith_types::{Image, ImageId, PAGE_BYTES, PageFile, PageRun};

use crate::fault::{Refusal, Result, StoreFault};
use crate::page_tree::{IMAGE_PAGES_MAX, PageHash, PageTree, page_hash, zero_page_hash};
use crate::payload::ImagePatch;
use crate::ranges::{PageRange, push_page, push_range, subtract};

/// Pages read from a page file at once: 1 MiB.
const CHUNK_PAGES: u64 = 256;

/// A change of one page image.
#[derive(Clone, Debug)]
pub struct ImageUpdate {
    /// Which image.
    pub id: ImageId,
    /// What becomes of it.
    pub change: ImageUpdateKind,
}

/// What becomes of a page image.
#[derive(Clone, Debug)]
pub enum ImageUpdateKind {
    /// The image is created or changed: first emptied where `reset` is set, then resized to
    /// `pages` (pages cut off are forgotten, pages added are zero), then overlaid with `runs`.
    Write {
        /// Whether what was there before is forgotten.
        reset: bool,
        /// The new length in pages, at most [`IMAGE_PAGES_MAX`].
        pages: u64,
        /// New contents, ascending by page, not overlapping, below `pages`. The files are read
        /// while the version is sealed, and not needed afterwards.
        runs: Vec<PageRun>,
    },
    /// The image is removed, if it exists.
    Delete,
}

/// An image of a sealed version.
#[derive(Clone)]
pub(crate) struct StoredImage {
    pub(crate) image: Arc<Image>,
    pub(crate) tree: PageTree,
}

/// What was found out about an image update: the difference, and the hashes of the pages that
/// were handed on to be stored.
pub(crate) struct Prepared {
    pub(crate) patch: ImagePatch,
    pub(crate) hashes: Vec<PageHash>,
}

/// Where the bytes of a patch's stored pages lie, one after the other.
pub(crate) struct PageSource {
    pub(crate) file: PageFile,
    pub(crate) file_page: u64,
}

impl StoredImage {
    fn zero(pages: u64) -> Self {
        Self {
            image: Arc::new(Image::zero(pages)),
            tree: PageTree::zero(pages),
        }
    }

    /// Reads the new contents, hands each page that is neither zero nor as before to `store`, and
    /// says what differs.
    pub(crate) fn prepare(
        base: Option<&Self>,
        id: &ImageId,
        (reset, pages, runs): (bool, u64, &[PageRun]),
        store: &mut dyn FnMut(&[u8; PAGE_BYTES]) -> Result<()>,
    ) -> Result<Prepared> {
        check_runs(id, pages, runs)?;
        let mut tree = base.map_or(PageTree::zero(0), |base| base.tree.clone());
        tree.resize(pages);
        let mut prepared = Prepared {
            patch: ImagePatch {
                pages,
                ..ImagePatch::default()
            },
            hashes: Vec::new(),
        };
        for run in runs {
            for_each_page(run, id, &mut |number, page| {
                let hash = page_hash(page);
                if hash == tree.leaf(number) {
                    return Ok(());
                }
                if hash == zero_page_hash() {
                    push_page(&mut prepared.patch.cleared, number);
                    return Ok(());
                }
                push_page(&mut prepared.patch.stored, number);
                prepared.hashes.push(hash);
                store(page)
            })?;
        }
        if let Some(base) = base.filter(|_| reset) {
            let cleared = &mut prepared.patch.cleared;
            cleared.extend(stale(&base.image, pages, runs));
            cleared.sort_by_key(|range| range.page);
        }
        Ok(prepared)
    }

    /// The image after `patch`. The same code applies a patch when it is sealed and when it is
    /// replayed.
    ///
    /// # Panics
    /// If the patch has pages past its end or the hashes are not those of `patch.stored`; the
    /// caller checked a patch that was read.
    pub(crate) fn patched(
        base: Option<&Self>,
        patch: &ImagePatch,
        hashes: &[PageHash],
        source: &PageSource,
    ) -> Self {
        let Self { image, mut tree } = base.cloned().unwrap_or_else(|| Self::zero(0));
        let mut image = Arc::unwrap_or_clone(image);
        image.resize(patch.pages);
        tree.resize(patch.pages);
        if !patch.cleared.is_empty() {
            image = without(&image, &patch.cleared);
            let leaves = patch
                .cleared
                .iter()
                .flat_map(|range| range.page..range.end());
            let zeros: Vec<_> = leaves.map(|page| (page, zero_page_hash())).collect();
            tree.set(&zeros);
        }
        let mut file_page = source.file_page;
        for range in &patch.stored {
            image.overlay(PageRun {
                page: range.page,
                count: range.count,
                file: Arc::clone(&source.file),
                file_page,
            });
            file_page += range.count;
        }
        let leaves = patch
            .stored
            .iter()
            .flat_map(|range| range.page..range.end());
        let leaves: Vec<_> = leaves.zip(hashes.iter().copied()).collect();
        tree.set(&leaves);
        Self {
            image: Arc::new(image),
            tree,
        }
    }
}

impl ImagePatch {
    /// How many pages are stored with the patch.
    pub(crate) fn stored_pages(&self) -> u64 {
        self.stored
            .iter()
            .map(|range| range.count)
            .fold(0, u64::saturating_add)
    }

    /// Whether the patch keeps the limits and changes no page past its end.
    pub(crate) fn is_sound(&self) -> bool {
        let fits = |ranges: &[PageRange]| ranges.last().is_none_or(|last| last.end() <= self.pages);
        self.pages <= IMAGE_PAGES_MAX && fits(&self.cleared) && fits(&self.stored)
    }
}

fn check_runs(id: &ImageId, pages: u64, runs: &[PageRun]) -> Result<()> {
    if pages > IMAGE_PAGES_MAX {
        let what = "length of an image in pages";
        return Err(Refusal::TooLarge {
            what,
            value: pages,
            limit: IMAGE_PAGES_MAX,
        }
        .into());
    }
    let mut least = 0;
    for (index, run) in runs.iter().enumerate() {
        let end = run.page.checked_add(run.count).filter(|end| *end <= pages);
        let readable = run
            .file_page
            .checked_add(run.count)
            .is_some_and(|end| end <= 1 << 51);
        match end {
            Some(end) if run.count > 0 && run.page >= least && readable => least = end,
            _ => {
                return Err(Refusal::BadRun {
                    image: hex(id.as_bytes()),
                    index,
                    pages,
                }
                .into());
            }
        }
    }
    Ok(())
}

/// Calls `visit` with number and bytes of each page of a run.
fn for_each_page(
    run: &PageRun,
    id: &ImageId,
    visit: &mut dyn FnMut(u64, &[u8; PAGE_BYTES]) -> Result<()>,
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < run.count {
        let count = (run.count - done).min(CHUNK_PAGES);
        buffer.resize(count as usize * PAGE_BYTES, 0);
        let offset = (run.file_page + done) * PAGE_BYTES as u64;
        run.file
            .read_exact_at(&mut buffer, offset)
            .map_err(|error| {
                let file = format!("the page file of image {}", hex(id.as_bytes()));
                StoreFault::io(&file, "read", &error)
            })?;
        let (pages, _) = buffer.as_chunks::<PAGE_BYTES>();
        for (index, page) in pages.iter().enumerate() {
            visit(run.page + done + index as u64, page)?;
        }
        done += count;
    }
    Ok(())
}

/// The pages below `pages` that are not zero and that no run overwrites.
fn stale(image: &Image, pages: u64, runs: &[PageRun]) -> Vec<PageRange> {
    let kept = image
        .runs()
        .take_while(|run| run.page < pages)
        .map(|run| PageRange {
            page: run.page,
            count: run.count.min(pages - run.page),
        });
    let mut written = Vec::new();
    for run in runs {
        push_range(
            &mut written,
            PageRange {
                page: run.page,
                count: run.count,
            },
        );
    }
    subtract(kept, &written)
}

/// The image with these pages made zero.
fn without(image: &Image, cleared: &[PageRange]) -> Image {
    let mut rest = Image::zero(image.pages());
    for run in image.runs() {
        let whole = PageRange {
            page: run.page,
            count: run.count,
        };
        let first = cleared.partition_point(|range| range.end() <= run.page);
        for piece in subtract([whole], &cleared[first..]) {
            rest.overlay(PageRun {
                page: piece.page,
                count: piece.count,
                file: Arc::clone(&run.file),
                file_page: run.file_page + (piece.page - run.page),
            });
        }
    }
    rest
}

/// Bytes for a message.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
