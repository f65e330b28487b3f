//! The images of a version: a persistent map from names to cells, and their tables on disk.
//!
//! A cell stands for one version of one image. Its table (where the pages lie, and their hashes)
//! is in memory while it is new, and is written by the next checkpoint; after that it is read back
//! when it is asked for, and let go of when it was not used for a while.
//!
//! ```text
//! table = pages u64 ‖ number of runs u64 ‖ runs ‖ hashes of the pages in the runs, 32 bytes each
//! run   = page u64 ‖ count u64 ‖ file u64 ‖ page in the file u64
//! ```
//!
//! Invariants: a table's page tree has the root of its cell; the pages of a table that was read
//! back are compared with their hashes before they are handed out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rpds::RedBlackTreeMapSync;
use trilith_mkvs::Place;
use trilith_types::{Image, ImageId, PAGE_BYTES, PageRun};

use crate::blob::BlobKind;
use crate::checkpoint_load::check_page;
use crate::fault::{Result, StoreFault};
use crate::fragments::Fragments;
use crate::image::{StoredImage, hex};
use crate::log_file::StoreFile;
use crate::page_tree::{IMAGE_PAGES_MAX, PageHash, PageTree};
use crate::ranges::PageRange;
use crate::relocate::FileNumbers;
use crate::replay::for_each_page;

/// The images of a version.
pub(crate) type Images = RedBlackTreeMapSync<ImageId, Arc<ImageCell>>;

/// The open files of the store, by number.
pub(crate) type Files = BTreeMap<u64, Arc<StoreFile>>;

/// One version of one image.
pub(crate) struct ImageCell {
    pub(crate) pages: u64,
    pub(crate) root: PageHash,
    /// Where the table is stored, once it is.
    pub(crate) stored: Option<StoredTable>,
    table: OnceLock<Arc<StoredImage>>,
    /// Whether the pages were compared with their hashes since the table was read back.
    checked: AtomicBool,
    /// Whether the table was asked for since the last checkpoint.
    used: AtomicBool,
}

/// A table on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTable {
    pub(crate) place: Place,
    /// Bytes that it takes in its file.
    pub(crate) bytes: u64,
    /// How many pages of the image lie in which file, ascending by file.
    pub(crate) files: Vec<(u64, u64)>,
}

impl ImageCell {
    /// A new version, whose table is not stored yet.
    pub(crate) fn new(image: StoredImage) -> Self {
        Self {
            pages: image.tree.pages(),
            root: image.tree.root(),
            stored: None,
            table: OnceLock::from(Arc::new(image)),
            checked: AtomicBool::new(true),
            used: AtomicBool::new(true),
        }
    }

    /// A version whose table is stored.
    pub(crate) fn stored(pages: u64, root: PageHash, stored: StoredTable) -> Self {
        Self {
            pages,
            root,
            stored: Some(stored),
            table: OnceLock::new(),
            checked: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// This version with its table, which was new, now stored.
    pub(crate) fn now_stored(&self, table: Arc<StoredImage>, stored: StoredTable) -> Self {
        Self {
            pages: self.pages,
            root: self.root,
            stored: Some(stored),
            table: OnceLock::from(table),
            checked: AtomicBool::new(self.checked.load(Ordering::Relaxed)),
            used: AtomicBool::new(true),
        }
    }

    /// This version with its table, which is to be stored somewhere else. Its pages are as much
    /// checked as they were.
    pub(crate) fn not_stored(&self, table: Arc<StoredImage>) -> Self {
        Self {
            pages: self.pages,
            root: self.root,
            stored: None,
            table: OnceLock::from(table),
            checked: AtomicBool::new(self.checked.load(Ordering::Acquire)),
            used: AtomicBool::new(true),
        }
    }

    /// The table if it is in memory.
    pub(crate) fn held(&self) -> Option<&Arc<StoredImage>> {
        self.table.get()
    }

    /// The table.
    pub(crate) fn table(&self, id: &ImageId, files: &TableFiles) -> Result<Arc<StoredImage>> {
        self.used.store(true, Ordering::Relaxed);
        if let Some(table) = self.table.get() {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.read(id, files)?);
        Ok(Arc::clone(self.table.get_or_init(|| table)))
    }

    /// The table, after its pages were compared with their hashes.
    pub(crate) fn checked_table(
        &self,
        id: &ImageId,
        files: &TableFiles,
    ) -> Result<Arc<StoredImage>> {
        let table = self.table(id, files)?;
        if !self.checked.load(Ordering::Acquire) {
            check_pages(&table, files)?;
            self.checked.store(true, Ordering::Release);
        }
        Ok(table)
    }

    /// Without the table in memory, if it is stored and was not used since this was last asked;
    /// and the bytes of memory that the table takes otherwise.
    pub(crate) fn aged(&self) -> (Option<Self>, u64) {
        let held = self.table.get().map_or(0, |table| held_bytes(table));
        match &self.stored {
            Some(stored) if held > 0 && !self.used.swap(false, Ordering::Relaxed) => {
                let cell = Self::stored(self.pages, self.root, stored.clone());
                (Some(cell), held)
            }
            _ => (None, held),
        }
    }

    fn read(&self, id: &ImageId, files: &TableFiles) -> Result<StoredImage> {
        let missing = || {
            let file = format!("the table of image {}", hex(id.as_bytes()));
            StoreFault::damaged(&file, 0, "it is neither stored nor in memory")
        };
        let stored = self.stored.as_ref().ok_or_else(missing)?;
        let blob = files.fragments.blob(stored.place, BlobKind::Table)?;
        let damaged = |what: &str| {
            let name = format!("{:016x}.blobs", crate::blob::file_of(stored.place));
            StoreFault::damaged(&name, crate::blob::offset_of(stored.place), what)
        };
        if blob.name() != id.as_bytes() {
            return Err(damaged("the table there is that of another image"));
        }
        let image = decode_table(blob.contents(), &files.files).map_err(|what| damaged(&what))?;
        if image.tree.pages() != self.pages || image.tree.root() != self.root {
            return Err(damaged("the table there is that of another version"));
        }
        Ok(image)
    }
}

/// Where tables and the pages they tell of are read from.
pub(crate) struct TableFiles {
    pub(crate) fragments: Arc<Fragments>,
    pub(crate) files: Files,
}

/// About how many bytes of memory a table takes: two hashes a page, and the runs.
fn held_bytes(table: &StoredImage) -> u64 {
    let pages: u64 = table.image.runs().map(|run| run.count).sum();
    128 + 64 * pages + 96 * table.image.run_count() as u64
}

/// Encodes the table of an image, and says how many of its pages lie in which file.
pub(crate) fn encode_table(
    image: &StoredImage,
    numbers: &FileNumbers,
) -> (Vec<u8>, Vec<(u64, u64)>) {
    let runs = image.image.run_count();
    let pages: u64 = image.image.runs().map(|run| run.count).sum();
    let mut out = Vec::with_capacity(16 + 32 * (runs + pages as usize));
    out.extend_from_slice(&image.tree.pages().to_le_bytes());
    out.extend_from_slice(&(runs as u64).to_le_bytes());
    let mut files: BTreeMap<u64, u64> = BTreeMap::new();
    for run in image.image.runs() {
        let file = numbers.of(run);
        *files.entry(file).or_default() += run.count;
        for number in [run.page, run.count, file, run.file_page] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    for run in image.image.runs() {
        for page in run.page..run.page + run.count {
            out.extend_from_slice(&image.tree.leaf(page));
        }
    }
    (out, files.into_iter().collect())
}

/// Reads a table whose bytes were checked; says what is wrong with it otherwise.
pub(crate) fn decode_table(
    bytes: &[u8],
    files: &Files,
) -> std::result::Result<StoredImage, String> {
    let short = || "the table there is cut off".to_owned();
    let mut rest = bytes;
    let mut number = || {
        let (first, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        rest = after;
        Ok::<u64, String>(u64::from_le_bytes(*first))
    };
    let (pages, count) = (number()?, number()?);
    if pages > IMAGE_PAGES_MAX || count > bytes.len() as u64 / 32 {
        return Err(format!(
            "the table there tells of {pages} pages in {count} runs"
        ));
    }
    let mut image = Image::zero(pages);
    let mut stored = 0u64;
    let mut next = 0;
    for _ in 0..count {
        let (page, count, file, file_page) = (number()?, number()?, number()?, number()?);
        let file = files.get(&file);
        let file = file.ok_or_else(|| "the table there names a file not in use".to_owned())?;
        let end = page.checked_add(count).filter(|end| *end <= pages);
        let file_end = file_page.checked_add(count).filter(|end| *end <= 1 << 51);
        let fits =
            file_end.is_some_and(|end| file.len().is_ok_and(|len| end * PAGE_BYTES as u64 <= len));
        let (Some(end), true) = (end, fits && count > 0 && page >= next) else {
            return Err("the table there names pages that do not exist".to_owned());
        };
        (next, stored) = (end, stored + count);
        image.overlay(PageRun {
            page,
            count,
            file: Arc::clone(&file.pages),
            file_page,
        });
    }
    let (hashes, spare) = rest.as_chunks::<32>();
    if hashes.len() as u64 != stored || !spare.is_empty() {
        return Err("the table there has another number of hashes than pages".to_owned());
    }
    let numbers = image.runs().flat_map(|run| run.page..run.page + run.count);
    let leaves: Vec<(u64, PageHash)> = numbers.zip(hashes.iter().copied()).collect();
    let mut tree = PageTree::zero(pages);
    tree.set(&leaves);
    Ok(StoredImage {
        image: Arc::new(image),
        tree,
    })
}

/// Compares all pages of an image with their hashes.
pub(crate) fn check_pages(table: &StoredImage, files: &TableFiles) -> Result<()> {
    let numbers = FileNumbers::new(files.files.values());
    for run in table.image.runs() {
        let file = &files.files[&numbers.of(run)];
        let pages = PageRange {
            page: run.file_page,
            count: run.count,
        };
        for_each_page(file, pages, &mut |number, page| {
            let leaf = table.tree.leaf(run.page + (number - run.file_page));
            check_page(file, number, page, &leaf)
        })?;
    }
    Ok(())
}
