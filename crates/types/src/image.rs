//! Page images: large byte arrays of 4 KiB pages (canister memories, modules, large accounts).
//!
//! An [`Image`] owns no bytes. It is a map from page numbers to places in immutable page files, so
//! that gigabytes are handed over as descriptors and never copied as values. Pages that no run
//! covers are zero.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use runs::Runs;

mod runs;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Name of an image within a runtime's state: 1 to 255 bytes chosen by the runtime.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Vec<u8>);

impl ImageId {
    /// Most bytes a name may have.
    pub const LEN_MAX: usize = 255;

    /// A name; `None` if it is empty or longer than [`ImageId::LEN_MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        (!bytes.is_empty() && bytes.len() <= Self::LEN_MAX).then_some(Self(bytes))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ImageId({})", hex::encode(&self.0))
    }
}

/// An open file whose referenced pages never change while any [`PageFile`] of it is held.
pub type PageFile = Arc<File>;

/// Consecutive pages of an image that lie consecutively in one file.
#[derive(Clone, Debug)]
pub struct PageRun {
    /// Number of the first page in the image.
    pub page: u64,
    /// How many pages, at least 1.
    pub count: u64,
    /// Where the bytes are.
    pub file: PageFile,
    /// Offset of the first page in the file, in pages.
    pub file_page: u64,
}

/// One version of a page image. A clone is cheap and shares what it can.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pages: u64,
    /// Runs that lie below `pages`.
    runs: Runs,
}

impl Image {
    /// An image of `pages` zero pages.
    pub fn zero(pages: u64) -> Self {
        Self {
            pages,
            runs: Runs::default(),
        }
    }

    /// Its length in pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The runs in ascending order. Pages between them are zero.
    pub fn runs(&self) -> impl Iterator<Item = &PageRun> {
        self.runs.iter()
    }

    /// How many runs there are: the number of mappings that a full mapping of the image takes.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Changes the length. Pages cut off are forgotten; pages added are zero.
    pub fn resize(&mut self, pages: u64) {
        if pages < self.pages {
            self.clear(pages, self.pages - pages);
        }
        self.pages = pages;
    }

    /// Lays `run` over what was there, growing the image where the run reaches past its end.
    /// Adjacent runs that continue each other in one file are joined.
    ///
    /// # Panics
    /// If the run is empty, or its page numbers or its offsets in the file overflow 64 bits.
    pub fn overlay(&mut self, run: PageRun) {
        assert!(run.count > 0, "a run has at least one page");
        let file_end = run.file_page.checked_add(run.count);
        assert!(
            file_end.is_some_and(|end| end <= u64::MAX / PAGE_BYTES as u64),
            "offsets in a file fit 64 bits"
        );
        let end = run
            .page
            .checked_add(run.count)
            .expect("page numbers fit 64 bits");
        self.clear(run.page, run.count);
        self.pages = self.pages.max(end);
        self.runs.insert(run);
    }

    /// Makes `count` pages from `page` on zero, without changing the length. Pages past the end
    /// are zero already.
    pub fn clear(&mut self, page: u64, count: u64) {
        self.runs.clear(page, page.saturating_add(count));
    }

    /// The run that holds `page`, or `None` where the page is zero.
    pub fn run_of(&self, page: u64) -> Option<&PageRun> {
        self.runs.of(page)
    }

    /// Reads one page; zero past the end.
    ///
    /// # Errors
    /// If the page file cannot be read.
    pub fn read_page(&self, page: u64, into: &mut [u8; PAGE_BYTES]) -> io::Result<()> {
        match self.run_of(page) {
            None => into.fill(0),
            Some(run) => {
                let offset = (run.file_page + (page - run.page)) * PAGE_BYTES as u64;
                run.file.read_exact_at(into, offset)?;
            }
        }
        Ok(())
    }

    /// Reads `len` bytes from byte `offset` on; bytes past the end are zero. Pages that lie
    /// together in a file are read together.
    ///
    /// # Errors
    /// If a page file cannot be read. The caller bounds `len`.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        const PAGE: u64 = PAGE_BYTES as u64;
        let mut bytes = vec![0u8; len];
        // No image has bytes at offsets that do not fit 64 bits.
        let end = offset.saturating_add(len as u64);
        for run in self.runs.within(offset / PAGE, end.div_ceil(PAGE)) {
            let start = run.page.saturating_mul(PAGE).max(offset);
            let stop = (run.page + run.count).saturating_mul(PAGE).min(end);
            if start < stop {
                let into = &mut bytes[(start - offset) as usize..(stop - offset) as usize];
                let from = run.file_page * PAGE + (start - run.page * PAGE);
                run.file.read_exact_at(into, from)?;
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> PageFile {
        Arc::new(File::open("/dev/null").unwrap())
    }

    proptest! {
        #[test]
        fn overlays_agree_with_a_plain_map(
            operations in proptest::collection::vec((0u64..40, 1u64..12, 0u64..100, 0u8..4), 0..40)
        ) {
            let files = [file(), file()];
            let mut image = Image::zero(0);
            let mut model: Vec<Option<(usize, u64)>> = Vec::new();
            for (index, (page, count, file_page, kind)) in operations.into_iter().enumerate() {
                match kind {
                    0 => {
                        image.resize(page);
                        model.resize(page as usize, None);
                        continue;
                    }
                    1 => {
                        image.clear(page, count);
                        let end = model.len().min((page + count) as usize);
                        model[end.min(page as usize)..end].fill(None);
                        continue;
                    }
                    _ => {}
                }
                let which = index % 2;
                image.overlay(PageRun { page, count, file: files[which].clone(), file_page });
                if model.len() < (page + count) as usize {
                    model.resize((page + count) as usize, None);
                }
                for step in 0..count {
                    model[(page + step) as usize] = Some((which, file_page + step));
                }
                image.runs.check();
                prop_assert_eq!(image.pages(), model.len() as u64);
                for (number, expected) in model.iter().enumerate() {
                    let found = image.run_of(number as u64).map(|run| {
                        let which = usize::from(!Arc::ptr_eq(&run.file, &files[0]));
                        (which, run.file_page + (number as u64 - run.page))
                    });
                    prop_assert_eq!(found, *expected);
                }
            }
        }
    }

    #[test]
    fn the_ends_of_64_bits_are_no_special_places() {
        let mut image = Image::zero(u64::MAX);
        let run = PageRun {
            page: u64::MAX - 2,
            count: 2,
            file: file(),
            file_page: 5,
        };
        image.overlay(run);
        assert_eq!(
            image.run_of(u64::MAX - 1).map(|run| run.page),
            Some(u64::MAX - 2)
        );
        image.clear(u64::MAX - 1, u64::MAX);
        assert_eq!(image.run_of(u64::MAX - 2).map(|run| run.count), Some(1));
        image.clear(0, u64::MAX);
        assert_eq!((image.run_count(), image.pages()), (0, u64::MAX));
        // The last offsets are past every page file; reading there finds nothing but zeros.
        assert_eq!(image.read(u64::MAX - 3, 9).expect("zeros"), [0; 9]);
    }

    #[test]
    #[should_panic(expected = "offsets in a file fit 64 bits")]
    fn a_run_past_the_offsets_of_files_is_a_bug() {
        let run = PageRun {
            page: 0,
            count: 2,
            file: file(),
            file_page: u64::MAX / 4096,
        };
        Image::zero(2).overlay(run);
    }
}
