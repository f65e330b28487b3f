//! Stable memory of a running message: the state's image under an overlay of written pages.
//!
//! It is not a Wasm memory; every access is a host call, so what was touched and written is known
//! exactly. Reads go straight to the page files for just the bytes asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::FileExt;

use trilith_types::{Image, PAGE_BYTES, PageRun};

use super::pages::PageWriter;
use crate::wasm::WASM_PAGE_BYTES;

type Page = Box<[u8; PAGE_BYTES]>;

/// Stable memory during a message.
pub(super) struct Stable {
    image: Image,
    wasm_pages: u64,
    wasm_pages_max: u64,
    written: BTreeMap<u64, Page>,
    touched: BTreeSet<u64>,
}

impl Stable {
    pub(super) fn new(image: Image, wasm_pages: u64, wasm_pages_max: u64) -> Self {
        Self {
            image,
            wasm_pages,
            wasm_pages_max,
            written: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Length in Wasm pages.
    pub(super) fn wasm_pages(&self) -> u64 {
        self.wasm_pages
    }

    /// Grows by `by` Wasm pages and gives the old length, or `None` if that is not allowed.
    pub(super) fn grow(&mut self, by: u64) -> Option<u64> {
        let old = self.wasm_pages;
        let new = old
            .checked_add(by)
            .filter(|new| *new <= self.wasm_pages_max)?;
        self.wasm_pages = new;
        Some(old)
    }

    /// Whether the range lies inside the memory.
    pub(super) fn contains(&self, offset: u64, size: u64) -> bool {
        let len = self.wasm_pages.saturating_mul(WASM_PAGE_BYTES);
        offset.checked_add(size).is_some_and(|end| end <= len)
    }

    /// Pages touched so far.
    pub(super) fn touched(&self) -> u64 {
        self.touched.len() as u64
    }

    /// How many pages of the range are touched, or written if `write`, for the first time. Notes
    /// them as touched.
    pub(super) fn first_access(&mut self, offset: u64, size: u64, write: bool) -> (u64, u64) {
        let (mut touched, mut written) = (0, 0);
        for page in pages_of(offset, size) {
            touched += u64::from(self.touched.insert(page));
            written += u64::from(write && !self.written.contains_key(&page));
        }
        (touched, written)
    }

    /// Reads bytes inside the memory.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let (page, within) = (at / PAGE_BYTES as u64, (at % PAGE_BYTES as u64) as usize);
            let take = (PAGE_BYTES - within).min(into.len() - done);
            let part = &mut into[done..done + take];
            if let Some(bytes) = self.written.get(&page) {
                part.copy_from_slice(&bytes[within..within + take]);
            } else if let Some(run) = self.image.run_of(page) {
                let start = (run.file_page + (page - run.page)) * PAGE_BYTES as u64;
                run.file.read_exact_at(part, start + within as u64)?;
            } else {
                part.fill(0);
            }
            done += take;
        }
        Ok(())
    }

    /// Writes bytes inside the memory.
    pub(super) fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < from.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PAGE_BYTES as u64, (at % PAGE_BYTES as u64) as usize);
            let take = (PAGE_BYTES - within).min(from.len() - done);
            let page = match self.written.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let mut page: Page = Box::new([0; PAGE_BYTES]);
                    self.image.read_page(number, &mut page)?;
                    entry.insert(page)
                }
            };
            page[within..within + take].copy_from_slice(&from[done..done + take]);
            done += take;
        }
        Ok(())
    }

    /// Writes out the pages whose bytes differ from the image, ascending.
    pub(super) fn changes(&self, writer: &mut PageWriter) -> io::Result<Vec<PageRun>> {
        let mut runs = Vec::new();
        let mut clean = [0u8; PAGE_BYTES];
        let mut group: Vec<u8> = Vec::new();
        let mut first = 0;
        for (number, page) in &self.written {
            self.image.read_page(*number, &mut clean)?;
            if **page == clean {
                continue;
            }
            let next = first + (group.len() / PAGE_BYTES) as u64;
            if !group.is_empty() && (next != *number || group.len() >= 1 << 20) {
                runs.push(writer.write(first, &group)?);
                group.clear();
            }
            if group.is_empty() {
                first = *number;
            }
            group.extend_from_slice(&page[..]);
        }
        if !group.is_empty() {
            runs.push(writer.write(first, &group)?);
        }
        Ok(runs)
    }
}

fn pages_of(offset: u64, size: u64) -> std::ops::Range<u64> {
    if size == 0 {
        return 0..0;
    }
    offset / PAGE_BYTES as u64..(offset + size - 1) / PAGE_BYTES as u64 + 1
}
