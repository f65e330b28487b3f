//! Changing images: what an update says, what was found about it, and applying what was found.
//!
//! Finding the pages whose bytes differ is the matter of [`prepare`]. Nothing here knows where
//! pages go.
//!
//! Invariants: the runs of a stored image cover exactly its pages that are not zero, and its page
//! tree is that of the bytes the runs lead to. Page tree and patch are the same for every number
//! of threads.

use std::sync::Arc;

use trilith_types::{Image, ImageId, PageFile, PageRun};

use crate::page_tree::{IMAGE_PAGES_MAX, PageHash, PageTree};
use crate::payload::ImagePatch;
use crate::ranges::PageRange;
use crate::workers::Workers;

pub(crate) mod prepare;

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

    /// The image after a patch, which comes with the hashes of its stored pages. The same code
    /// applies a patch when it is sealed and when it is replayed.
    ///
    /// # Panics
    /// If the patch has pages past its end or the hashes are not those of `patch.stored`; the
    /// caller checked a patch that was read.
    pub(crate) fn patched_on(
        workers: &Workers,
        base: Option<&Self>,
        (patch, hashes): (&ImagePatch, &[PageHash]),
        source: &PageSource,
    ) -> Self {
        let Self { image, mut tree } = base.cloned().unwrap_or_else(|| Self::zero(0));
        let mut image = Arc::unwrap_or_clone(image);
        image.resize(patch.pages);
        tree.resize(patch.pages);
        for range in &patch.cleared {
            image.clear(range.page, range.count);
        }
        tree.clear(&patch.cleared);
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
        tree.set_on(workers, &leaves);
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

/// Bytes for a message.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
