//! The Wasm memory of a canister as an address range of this process.
//!
//! The range is reserved once and keeps its place. What is *clean* in it comes from files, mapped
//! privately: the page files of the state's image, or a mirror in memory (an anonymous file whose
//! offsets are the memory's addresses) that holds every Wasm page an earlier message wrote to.
//! What a message writes becomes private pages over that, which the page tables show. So a message
//! is undone by dropping its private pages, and taken over by copying them into the mirror first;
//! either costs what the message wrote, not what the memory holds.
//!
//! Invariants: outside of a running message no page is private; clean pages equal the state's
//! image; bytes past the length are zero and inaccessible. What the kernel reports is only a hint:
//! a page counts as written when its bytes differ from the image.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use trilith_types::{Image, PAGE_BYTES, PageRun};
use wasmtime::LinearMemory;

use super::pagemap::Pagemap;
use super::pages::new_memory_file;
use crate::wasm::WASM_PAGE_BYTES;

/// Pages of 4 KiB in a Wasm page: the unit in which the mirror replaces page files.
const CHUNK_PAGES: u64 = WASM_PAGE_BYTES / PAGE_BYTES as u64;
const CHUNK_BYTES: usize = WASM_PAGE_BYTES as usize;

/// Most mappings a memory may consist of, well below the kernel's default of 65,530 for a process.
/// An image with more pieces is copied into the mirror.
const MAPPINGS_MAX: usize = 8_000;

/// The reserved address range. Shared by the owner and, while a message runs, the engine.
struct Range {
    base: *mut u8,
    reserved: usize,
    accessible: AtomicUsize,
    /// Whether the kernel ever refused memory: then whatever the program did next is no outcome.
    failed: AtomicBool,
}

// SAFETY: the pointer is to a mapping that this value owns until it is dropped; the value itself
// only changes protections and lengths through atomics. Access to the bytes goes through the engine
// (which has the store exclusively) or through `Heap` (whose methods need `&mut`, and which is not
// used while a message runs).
unsafe impl Send for Range {}
// SAFETY: as above.
unsafe impl Sync for Range {}

impl Range {
    fn reserve(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that
        // exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            base: base.cast(),
            reserved: bytes,
            accessible: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        })
    }

    fn len(&self) -> usize {
        self.accessible.load(Ordering::Relaxed)
    }

    /// Makes bytes up to `len` accessible; they are zero.
    fn grow(&self, len: usize) -> io::Result<()> {
        let old = self.len();
        if len > self.reserved || len < old {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        self.protect(old, len, libc::PROT_READ | libc::PROT_WRITE)?;
        self.accessible.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn protect(&self, from: usize, to: usize, protection: i32) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        assert!(
            from < to && to <= self.reserved,
            "the range is inside the reservation"
        );
        // SAFETY: the range lies in the mapping that `self` owns.
        let code = unsafe { libc::mprotect(self.base.add(from).cast(), to - from, protection) };
        if code == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Maps part of a file privately over `[at, at + len)`.
    fn map_file(&self, at: usize, len: usize, file: &File, offset: u64) -> io::Result<()> {
        assert!(at + len <= self.len(), "the range is inside the memory");
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the range lies in the mapping that `self` owns, so replacing it affects no other
        // memory; no reference into it is held across this call.
        let place = unsafe {
            libc::mmap(
                self.base.add(at).cast(),
                len,
                protection,
                flags,
                file.as_raw_fd(),
                offset,
            )
        };
        if place == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Drops private pages: the bytes are again those of the mapped file, or zero.
    fn forget(&self, at: usize, len: usize) -> io::Result<()> {
        assert!(
            at + len <= self.reserved,
            "the range is inside the reservation"
        );
        // SAFETY: the range lies in the mapping that `self` owns; no reference into it is held.
        let code =
            unsafe { libc::madvise(self.base.add(at).cast::<c_void>(), len, libc::MADV_DONTNEED) };
        if code == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: `self` owns the mapping and nobody else is left who refers to it.
        unsafe { libc::munmap(self.base.cast(), self.reserved) };
    }
}

/// A canister's Wasm memory.
pub(super) struct Heap {
    range: Arc<Range>,
    mirror: Option<File>,
    /// Wasm pages that are mapped from the mirror.
    mirrored: BTreeSet<u64>,
    /// Length when the running message started.
    clean_len: usize,
}

impl Heap {
    /// Maps an image as a memory of `wasm_pages`, in a reservation of `reserved` bytes.
    pub(super) fn map(image: &Image, wasm_pages: u64, reserved: usize) -> io::Result<Self> {
        let len = usize::try_from(wasm_pages.saturating_mul(WASM_PAGE_BYTES)).unwrap_or(usize::MAX);
        let range = Range::reserve(reserved)?;
        range.grow(len)?;
        let mut heap = Self {
            range: Arc::new(range),
            mirror: None,
            mirrored: BTreeSet::new(),
            clean_len: len,
        };
        heap.map_image(image)?;
        Ok(heap)
    }

    /// Maps whole runs where a Wasm page belongs to one run only; other pages, and all of them if
    /// there would be too many mappings, are copied into the mirror.
    fn map_image(&mut self, image: &Image) -> io::Result<()> {
        let end = (self.clean_len / PAGE_BYTES) as u64;
        let shared = if image.run_count() > MAPPINGS_MAX {
            None
        } else {
            Some(shared_chunks(image))
        };
        for run in image.runs() {
            let run_end = (run.page + run.count).min(end);
            let mut page = run.page;
            while page < run_end {
                let chunk = page / CHUNK_PAGES;
                let to_mirror = |chunk: u64| shared.as_ref().is_none_or(|s| s.contains(&chunk));
                let mirror = to_mirror(chunk);
                let mut stop = chunk + 1;
                while stop * CHUNK_PAGES < run_end && to_mirror(stop) == mirror {
                    stop += 1;
                }
                let part = PageRun {
                    page,
                    count: (stop * CHUNK_PAGES).min(run_end) - page,
                    file: run.file.clone(),
                    file_page: run.file_page + (page - run.page),
                };
                page = part.page + part.count;
                if mirror {
                    self.copy_to_mirror(&part)?;
                    self.mirrored.extend(chunk..stop);
                } else {
                    let (at, len) = (bytes(part.page), bytes(part.count));
                    self.range
                        .map_file(at, len, &part.file, bytes(part.file_page) as u64)?;
                }
            }
        }
        let chunks: Vec<u64> = self.mirrored.iter().copied().collect();
        self.map_mirrored(&chunks)
    }

    fn mirror(&mut self) -> io::Result<&File> {
        if self.mirror.is_none() {
            let file = new_memory_file(c"trilith-heap")?;
            file.set_len(self.range.reserved as u64)?;
            self.mirror = Some(file);
        }
        Ok(self.mirror.as_ref().expect("it was just made"))
    }

    fn copy_to_mirror(&mut self, run: &PageRun) -> io::Result<()> {
        let mut buffer = vec![0u8; CHUNK_BYTES];
        let mut done = 0;
        while done < run.count {
            let take = (run.count - done).min(CHUNK_PAGES);
            let part = &mut buffer[..bytes(take)];
            run.file
                .read_exact_at(part, bytes(run.file_page + done) as u64)?;
            self.mirror()?
                .write_all_at(part, bytes(run.page + done) as u64)?;
            done += take;
        }
        Ok(())
    }

    /// Maps these Wasm pages (ascending) from the mirror, neighbours together.
    fn map_mirrored(&mut self, chunks: &[u64]) -> io::Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.mirror()?;
        let file = self.mirror.as_ref().expect("it was just made");
        for group in neighbours(chunks) {
            let at = group.0 as usize * CHUNK_BYTES;
            let end = (group.1 as usize * CHUNK_BYTES).min(self.range.len());
            if at < end {
                self.range.map_file(at, end - at, file, at as u64)?;
            }
        }
        Ok(())
    }

    /// The engine's end of this memory.
    pub(super) fn lend(&self) -> Box<dyn LinearMemory> {
        Box::new(Lent(self.range.clone()))
    }

    /// Whether the kernel refused memory while the message ran.
    pub(super) fn failed(&self) -> bool {
        self.range.failed.load(Ordering::Relaxed)
    }

    /// Current length in Wasm pages.
    pub(super) fn wasm_pages(&self) -> u64 {
        (self.range.len() / CHUNK_BYTES) as u64
    }

    /// All accessible bytes. Only while no message runs.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the first `len` bytes of the mapping are readable and writable; `&mut self`
        // together with the rule that a `Heap` is not used while a message runs makes the slice the
        // only access.
        unsafe { std::slice::from_raw_parts_mut(self.range.base, self.range.len()) }
    }

    /// Pages that may have been written since the message started, ascending: groups of first page
    /// and number.
    pub(super) fn candidates(&self, pagemap: &Pagemap) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        let base = self.range.base as usize;
        for (start, end) in pagemap.written(base, base + self.range.len())? {
            found.push((pages(start - base), pages(end - start)));
        }
        Ok(found)
    }

    /// Pages among `candidates` whose bytes differ from `image`, ascending.
    pub(super) fn dirty(
        &mut self,
        candidates: &[(u64, u64)],
        image: &Image,
    ) -> io::Result<Vec<u64>> {
        let memory = self.bytes();
        let mut dirty = Vec::new();
        let mut clean = [0u8; PAGE_BYTES];
        for (first, count) in candidates {
            for page in *first..first + count {
                let now = &memory[bytes(page)..bytes(page + 1)];
                let same = if image.run_of(page).is_none() {
                    now.iter().all(|byte| *byte == 0)
                } else {
                    image.read_page(page, &mut clean)?;
                    now == clean
                };
                if !same {
                    dirty.push(page);
                }
            }
        }
        Ok(dirty)
    }

    /// Makes what the message wrote the clean state.
    pub(super) fn adopt(&mut self, dirty: &[u64], candidates: &[(u64, u64)]) -> io::Result<()> {
        let mut chunks: Vec<u64> = dirty.iter().map(|page| page / CHUNK_PAGES).collect();
        chunks.dedup();
        chunks.retain(|chunk| !self.mirrored.contains(chunk));
        self.mirror()?;
        let file = self.mirror.take().expect("it was just made");
        let memory = self.bytes();
        for chunk in &chunks {
            let start = *chunk as usize * CHUNK_BYTES;
            for at in (start..start + CHUNK_BYTES).step_by(PAGE_BYTES) {
                let page = &memory[at..at + PAGE_BYTES];
                if page.iter().any(|byte| *byte != 0) {
                    file.write_all_at(page, at as u64)?;
                }
            }
        }
        for (start, end) in neighbours(dirty) {
            let (from, to) = (bytes(start), bytes(end));
            file.write_all_at(&memory[from..to], from as u64)?;
        }
        self.mirror = Some(file);
        self.mirrored.extend(&chunks);
        self.map_mirrored(&chunks)?;
        for (first, count) in candidates {
            self.range.forget(bytes(*first), bytes(*count))?;
        }
        self.clean_len = self.range.len();
        Ok(())
    }

    /// Undoes the message.
    pub(super) fn roll_back(&mut self, candidates: &[(u64, u64)]) -> io::Result<()> {
        for (first, count) in candidates {
            self.range.forget(bytes(*first), bytes(*count))?;
        }
        let len = self.range.len();
        if len > self.clean_len {
            self.range.forget(self.clean_len, len - self.clean_len)?;
            self.range.protect(self.clean_len, len, libc::PROT_NONE)?;
            self.range
                .accessible
                .store(self.clean_len, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the memory is worth keeping: not in so many pieces that mappings could run out.
    pub(super) fn is_compact(&self) -> bool {
        let mut pieces = 0;
        let mut next = None;
        for chunk in &self.mirrored {
            pieces += usize::from(next != Some(*chunk));
            next = Some(chunk + 1);
        }
        pieces <= MAPPINGS_MAX
    }
}

/// What the engine holds of a memory while a message runs.
struct Lent(Arc<Range>);

// SAFETY: the base never moves; `byte_size` bytes from it are accessible; everything up to the
// reservation and its guard is reserved and inaccessible otherwise; the bytes are those of the
// canister's memory, and zero where it has none.
unsafe impl LinearMemory for Lent {
    fn byte_size(&self) -> usize {
        self.0.len()
    }

    fn byte_capacity(&self) -> usize {
        self.0.reserved
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        self.0.grow(new_size).map_err(|error| {
            self.0.failed.store(true, Ordering::Relaxed);
            wasmtime::Error::new(error)
        })
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base
    }
}

/// Wasm pages that hold pages of more than one run.
fn shared_chunks(image: &Image) -> BTreeSet<u64> {
    let mut shared = BTreeSet::new();
    let mut last = None;
    for run in image.runs() {
        let first = run.page / CHUNK_PAGES;
        if last == Some(first) {
            shared.insert(first);
        }
        last = Some((run.page + run.count - 1) / CHUNK_PAGES);
    }
    shared
}

/// Groups ascending numbers into ranges of neighbours: first and past the last.
pub(super) fn neighbours(numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut groups: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match groups.last_mut() {
            Some((_, end)) if *end == *number => *end += 1,
            _ => groups.push((*number, number + 1)),
        }
    }
    groups
}

fn bytes(pages: u64) -> usize {
    pages as usize * PAGE_BYTES
}

fn pages(bytes: usize) -> u64 {
    (bytes / PAGE_BYTES) as u64
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
