//! Finding the pages of images whose bytes differ from the version before.
//!
//! ```text
//! threads, ahead:   read a chunk of pages, hash each, compare with the leaf of the version before
//! caller, in order: hand on the pages that differ, note them in the patch
//! ```
//!
//! A page is hashed and handed on from the same buffer, so what is stored is what was hashed even
//! if its file changes meanwhile. At most a few chunks a thread are held at any time, whatever the
//! number of dirty pages.
//!
//! Invariant: pages are handed on in the order of the updates and, within one, of page numbers,
//! for every number of threads.

use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use trilith_types::{Image, ImageId, PAGE_BYTES, PageRun};

use super::{Prepared, StoredImage, hex};
use crate::fault::{Refusal, Result, StoreFault};
use crate::page_tree::{IMAGE_PAGES_MAX, PageHash, PageTree, page_hash, zero_page_hash};
use crate::payload::ImagePatch;
use crate::ranges::{PageRange, push_page, push_range, subtract};
use crate::workers::Workers;

/// Pages of a chunk: 256 KiB, which stay in a core's cache from reading to hashing.
const CHUNK_PAGES: u64 = 64;

/// Pages of a page file that can be addressed: offsets are below 2^63 bytes.
const FILE_PAGES_MAX: u64 = 1 << 51;

impl StoredImage {
    /// Reads the new contents of images, hands each page that is neither zero nor as before to
    /// `store`, and says for each image what differs.
    pub(crate) fn prepare_all(
        workers: &Workers,
        writes: &[ImageWrite<'_>],
        store: &mut dyn FnMut(&[u8; PAGE_BYTES]) -> Result<()>,
    ) -> Result<Vec<Prepared>> {
        let empty = |write: &ImageWrite<'_>| Prepared {
            patch: ImagePatch {
                pages: write.tree.pages(),
                ..ImagePatch::default()
            },
            hashes: Vec::new(),
        };
        let mut prepared: Vec<Prepared> = writes.iter().map(empty).collect();
        let runs = writes.iter().flat_map(|write| write.runs);
        let pages = runs.fold(0u64, |sum, run| sum.saturating_add(run.count));
        let parts = usize::try_from(pages / CHUNK_PAGES).unwrap_or(usize::MAX);
        // Buffers that were handed on and can be filled again.
        let spare = Mutex::new(Vec::new());
        let lock = || spare.lock().unwrap_or_else(PoisonError::into_inner);
        workers.at_most(parts).pipe(
            Chunks::new(writes),
            |pieces| {
                let buffer = lock().pop();
                examine(writes, pieces, buffer.unwrap_or_default())
            },
            |found| {
                hand_on(&found, &mut prepared, store)?;
                lock().push(found.bytes);
                Ok(())
            },
        )?;
        for (write, prepared) in writes.iter().zip(&mut prepared) {
            write.complete(prepared);
        }
        Ok(prepared)
    }
}

/// A write of an image that was checked: what [`super::ImageUpdateKind::Write`] says, and the
/// image before it.
pub(crate) struct ImageWrite<'a> {
    id: &'a ImageId,
    /// The image before, if pages that are not written become zero.
    stale: Option<&'a Image>,
    /// The page tree before, resized.
    tree: PageTree,
    runs: &'a [PageRun],
}

impl<'a> ImageWrite<'a> {
    /// Checks a write. Nothing is read.
    pub(crate) fn new(
        base: Option<&'a StoredImage>,
        id: &'a ImageId,
        (reset, pages, runs): (bool, u64, &'a [PageRun]),
    ) -> Result<Self> {
        check_runs(id, pages, runs)?;
        let mut tree = base.map_or(PageTree::zero(0), |base| base.tree.clone());
        tree.resize(pages);
        let stale = base.filter(|_| reset).map(|base| &*base.image);
        Ok(Self {
            id,
            stale,
            tree,
            runs,
        })
    }

    /// Adds what `reset` made zero to what was found.
    fn complete(&self, prepared: &mut Prepared) {
        if let Some(image) = self.stale {
            let cleared = &mut prepared.patch.cleared;
            cleared.extend(stale(image, self.tree.pages(), self.runs));
            cleared.sort_by_key(|range| range.page);
        }
    }
}

/// Consecutive pages of one run, at most as many as a chunk holds.
struct Piece<'a> {
    /// Which of the updates.
    index: usize,
    run: &'a PageRun,
    /// How many pages of the run come before.
    skip: u64,
    count: u64,
}

/// Divides runs into chunks: as many pieces as fill one, so that scattered pages are not handed
/// over one by one.
struct Chunks<'a> {
    runs: Vec<(usize, &'a [PageRun])>,
    /// Position: entry of `runs`, run in it, pages done of that.
    at: (usize, usize, u64),
}

impl<'a> Chunks<'a> {
    fn new(writes: &[ImageWrite<'a>]) -> Self {
        let runs = writes.iter().map(|write| write.runs).enumerate();
        Self {
            runs: runs.collect(),
            at: (0, 0, 0),
        }
    }

    /// The next piece of at most `room` pages.
    fn piece(&mut self, room: u64) -> Option<Piece<'a>> {
        let (entry, number, skip) = &mut self.at;
        loop {
            let (index, runs) = *self.runs.get(*entry)?;
            let Some(run) = runs.get(*number) else {
                (*entry, *number) = (*entry + 1, 0);
                continue;
            };
            let piece = Piece {
                index,
                run,
                skip: *skip,
                count: (run.count - *skip).min(room),
            };
            *skip += piece.count;
            if *skip == run.count {
                (*number, *skip) = (*number + 1, 0);
            }
            return Some(piece);
        }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Vec<Piece<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pieces = Vec::new();
        let mut room = CHUNK_PAGES;
        while room > 0
            && let Some(piece) = self.piece(room)
        {
            room -= piece.count;
            pieces.push(piece);
        }
        (!pieces.is_empty()).then_some(pieces)
    }
}

/// What a page is compared with the version before.
enum Finding {
    Same,
    Cleared,
    Changed(PageHash),
}

/// A chunk that was read and hashed.
struct Found<'a> {
    pieces: Vec<Piece<'a>>,
    findings: Vec<Finding>,
    bytes: Vec<u8>,
}

/// Reads and hashes a chunk.
fn examine<'a>(
    writes: &[ImageWrite<'_>],
    pieces: Vec<Piece<'a>>,
    mut bytes: Vec<u8>,
) -> Result<Found<'a>> {
    let count: u64 = pieces.iter().map(|piece| piece.count).sum();
    bytes.resize(count as usize * PAGE_BYTES, 0);
    let mut findings = Vec::with_capacity(count as usize);
    let mut rest = &mut bytes[..];
    for piece in &pieces {
        let write = &writes[piece.index];
        let (into, behind) = rest.split_at_mut(piece.count as usize * PAGE_BYTES);
        rest = behind;
        let offset = (piece.run.file_page + piece.skip) * PAGE_BYTES as u64;
        let read = piece.run.file.read_exact_at(into, offset);
        read.map_err(|error| {
            let file = format!("the page file of image {}", hex(write.id.as_bytes()));
            StoreFault::io(&file, "read", &error)
        })?;
        let numbers = piece.run.page + piece.skip..;
        for (page, number) in into.as_chunks::<PAGE_BYTES>().0.iter().zip(numbers) {
            let hash = page_hash(page);
            findings.push(if hash == write.tree.leaf(number) {
                Finding::Same
            } else if hash == zero_page_hash() {
                Finding::Cleared
            } else {
                Finding::Changed(hash)
            });
        }
    }
    Ok(Found {
        pieces,
        findings,
        bytes,
    })
}

/// Notes what was found, and hands the pages that changed on.
fn hand_on(
    found: &Found<'_>,
    prepared: &mut [Prepared],
    store: &mut dyn FnMut(&[u8; PAGE_BYTES]) -> Result<()>,
) -> Result<()> {
    let (pages, _) = found.bytes.as_chunks::<PAGE_BYTES>();
    let mut pages = pages.iter().zip(&found.findings);
    for piece in &found.pieces {
        let Prepared { patch, hashes } = &mut prepared[piece.index];
        let first = piece.run.page + piece.skip;
        for (number, (page, finding)) in (first..first + piece.count).zip(pages.by_ref()) {
            match finding {
                Finding::Same => {}
                Finding::Cleared => push_page(&mut patch.cleared, number),
                Finding::Changed(hash) => {
                    push_page(&mut patch.stored, number);
                    hashes.push(*hash);
                    store(page)?;
                }
            }
        }
    }
    Ok(())
}

/// Checks that an image is not too long, and that its runs are not empty, ascend, do not overlap,
/// and end within the image and within what can be read of a file.
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
        let within = |first: u64, limit| {
            let end = first.checked_add(run.count);
            end.filter(|end| *end <= limit)
        };
        let end = within(run.page, pages).filter(|_| run.count > 0 && run.page >= least);
        match (end, within(run.file_page, FILE_PAGES_MAX)) {
            (Some(end), Some(_)) => least = end,
            _ => {
                return Err(Refusal::BadRun {
                    image: hex(id.as_bytes()),
                    index,
                    page: run.page,
                    count: run.count,
                    file_page: run.file_page,
                    least,
                    pages,
                    file_pages_max: FILE_PAGES_MAX,
                }
                .into());
            }
        }
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
