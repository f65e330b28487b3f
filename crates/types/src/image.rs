//! Page images: large byte arrays of 4 KiB pages (canister memories, modules, large accounts).
//!
//! An [`Image`] owns no bytes. It is a map from page numbers to places in immutable page files, so
//! that gigabytes are handed over as descriptors and never copied as values. Pages that no run
//! covers are zero.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

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

/// One version of a page image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pages: u64,
    /// Runs by first page; they do not overlap and lie below `pages`.
    runs: BTreeMap<u64, PageRun>,
}

impl Image {
    /// An image of `pages` zero pages.
    pub fn zero(pages: u64) -> Self {
        Self {
            pages,
            runs: BTreeMap::new(),
        }
    }

    /// Its length in pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The runs in ascending order. Pages between them are zero.
    pub fn runs(&self) -> impl Iterator<Item = &PageRun> {
        self.runs.values()
    }

    /// How many runs there are: the number of mappings that a full mapping of the image takes.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Changes the length. Pages cut off are forgotten; pages added are zero.
    pub fn resize(&mut self, pages: u64) {
        if pages < self.pages {
            self.clear_range(pages, self.pages - pages);
        }
        self.pages = pages;
    }

    /// Lays `run` over what was there, growing the image where the run reaches past its end.
    /// Adjacent runs that continue each other in one file are joined.
    ///
    /// # Panics
    /// If the run is empty or its page numbers overflow 64 bits.
    pub fn overlay(&mut self, run: PageRun) {
        assert!(run.count > 0, "a run has at least one page");
        let end = run
            .page
            .checked_add(run.count)
            .expect("page numbers fit 64 bits");
        self.clear_range(run.page, run.count);
        self.pages = self.pages.max(end);
        if let Some((_, before)) = self.runs.range_mut(..run.page).next_back()
            && before.page + before.count == run.page
            && Arc::ptr_eq(&before.file, &run.file)
            && before.file_page + before.count == run.file_page
        {
            before.count += run.count;
            return;
        }
        self.runs.insert(run.page, run);
    }

    /// Makes `count` pages from `page` on zero again, without changing the length.
    fn clear_range(&mut self, page: u64, count: u64) {
        let end = page + count;
        let mut touched: Vec<PageRun> = Vec::new();
        if let Some((_, before)) = self.runs.range(..page).next_back()
            && before.page + before.count > page
        {
            touched.push(before.clone());
        }
        touched.extend(self.runs.range(page..end).map(|(_, run)| run.clone()));
        for run in touched {
            self.runs.remove(&run.page);
            let run_end = run.page + run.count;
            if run.page < page {
                let head = PageRun {
                    count: page - run.page,
                    ..run.clone()
                };
                self.runs.insert(head.page, head);
            }
            if run_end > end {
                let tail = PageRun {
                    page: end,
                    count: run_end - end,
                    file: run.file.clone(),
                    file_page: run.file_page + (end - run.page),
                };
                self.runs.insert(tail.page, tail);
            }
        }
    }

    /// The run that holds `page`, or `None` where the page is zero.
    pub fn run_of(&self, page: u64) -> Option<&PageRun> {
        let (_, run) = self.runs.range(..=page).next_back()?;
        (page < run.page + run.count).then_some(run)
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

    /// Reads `len` bytes from byte `offset` on; bytes past the end are zero.
    ///
    /// # Errors
    /// If a page file cannot be read. The caller bounds `len`.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; len];
        let mut buffer = [0u8; PAGE_BYTES];
        let mut done = 0usize;
        while done < len {
            let position = offset + done as u64;
            let within = (position % PAGE_BYTES as u64) as usize;
            let take = (PAGE_BYTES - within).min(len - done);
            self.read_page(position / PAGE_BYTES as u64, &mut buffer)?;
            bytes[done..done + take].copy_from_slice(&buffer[within..within + take]);
            done += take;
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
            operations in proptest::collection::vec((0u64..40, 1u64..12, 0u64..100, any::<bool>()), 0..40)
        ) {
            let files = [file(), file()];
            let mut image = Image::zero(0);
            let mut model: Vec<Option<(usize, u64)>> = Vec::new();
            for (index, (page, count, file_page, shrink)) in operations.into_iter().enumerate() {
                if shrink {
                    image.resize(page);
                    model.resize(page as usize, None);
                    continue;
                }
                let which = index % 2;
                image.overlay(PageRun { page, count, file: files[which].clone(), file_page });
                if model.len() < (page + count) as usize {
                    model.resize((page + count) as usize, None);
                }
                for step in 0..count {
                    model[(page + step) as usize] = Some((which, file_page + step));
                }
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
}
