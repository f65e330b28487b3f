//! Which pages of this process are private to it, as the kernel tells.
//!
//! A hint only: a page may be reported that was only read, or that was written with what it held
//! before. No written page is left out. Where the kernel's scan is missing, the page table is read
//! as a file; where that is missing too, every page is reported.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use trilith_types::PAGE_BYTES;

/// `PAGEMAP_SCAN` of `linux/fs.h`: `_IOWR('f', 16, struct pm_scan_arg)`, in Linux since 6.7.
const PAGEMAP_SCAN: u64 = 0xc060_6610;
/// The page belongs to a file or shared memory.
const PAGE_IS_FILE: u64 = 1 << 2;
/// The page is in memory.
const PAGE_IS_PRESENT: u64 = 1 << 3;
/// The page is in swap.
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Bits of an entry of `/proc/self/pagemap` (kernel documentation, "pagemap").
const ENTRY_FILE: u64 = 1 << 61;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_PRESENT: u64 = 1 << 63;

/// Regions that one scan call returns at most.
const REGIONS: usize = 512;

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The page table of this process.
pub struct Pagemap {
    file: Option<File>,
}

impl Pagemap {
    /// Opens `/proc/self/pagemap`; where there is none, every page counts as written.
    pub fn open() -> Self {
        Self {
            file: File::open("/proc/self/pagemap").ok(),
        }
    }

    /// Uses a descriptor of `/proc/self/pagemap` that this very process opened before its world was
    /// closed.
    pub fn from_file(file: File) -> Self {
        Self { file: Some(file) }
    }

    /// Without a page table: every page counts as written.
    pub fn none() -> Self {
        Self { file: None }
    }

    /// Ranges of addresses in `[start, end)` that may have been written, ascending, in whole pages.
    pub(super) fn written(&self, start: usize, end: usize) -> io::Result<Vec<(usize, usize)>> {
        let Some(file) = &self.file else {
            return Ok(if start < end {
                vec![(start, end)]
            } else {
                Vec::new()
            });
        };
        match scan(file, start, end) {
            Ok(found) => Ok(found),
            Err(_) => read(file, start, end),
        }
    }
}

fn scan(file: &File, start: usize, end: usize) -> io::Result<Vec<(usize, usize)>> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut regions = [Region::default(); REGIONS];
    let mut from = start as u64;
    while from < end as u64 {
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            start: from,
            end: end as u64,
            vec: regions.as_mut_ptr() as u64,
            vec_len: REGIONS as u64,
            category_inverted: PAGE_IS_FILE,
            category_mask: PAGE_IS_FILE,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_FILE,
            ..ScanArgument::default()
        };
        // SAFETY: the argument and the vector it points to are valid for the call and of the sizes
        // given; the kernel writes only to them (no flag that changes pages is set).
        let count = unsafe {
            libc::ioctl(
                file.as_raw_fd(),
                PAGEMAP_SCAN as libc::Ioctl,
                &raw mut argument,
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for region in &regions[..count.min(REGIONS)] {
            push(&mut found, region.start as usize, region.end as usize);
        }
        if argument.walk_end <= from {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        from = argument.walk_end;
    }
    Ok(found)
}

fn read(file: &File, start: usize, end: usize) -> io::Result<Vec<(usize, usize)>> {
    const ENTRIES: usize = 4096;
    let mut found = Vec::new();
    let mut buffer = vec![0u8; ENTRIES * 8];
    let mut page = start / PAGE_BYTES;
    let last = end.div_ceil(PAGE_BYTES);
    while page < last {
        let count = ENTRIES.min(last - page);
        file.read_exact_at(&mut buffer[..count * 8], page as u64 * 8)?;
        for (index, entry) in buffer[..count * 8].chunks_exact(8).enumerate() {
            let entry = u64::from_ne_bytes(entry.try_into().expect("chunks of eight bytes"));
            if entry & (ENTRY_PRESENT | ENTRY_SWAPPED) != 0 && entry & ENTRY_FILE == 0 {
                let at = (page + index) * PAGE_BYTES;
                push(&mut found, at, at + PAGE_BYTES);
            }
        }
        page += count;
    }
    Ok(found)
}

fn push(found: &mut Vec<(usize, usize)>, start: usize, end: usize) {
    match found.last_mut() {
        Some((_, last)) if *last == start => *last = end,
        _ => found.push((start, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_every_written_page() {
        let Ok(file) = File::open("/proc/self/pagemap") else {
            panic!("this system has no /proc/self/pagemap");
        };
        let mut bytes = vec![0u8; 64 * PAGE_BYTES];
        let base = bytes.as_ptr() as usize;
        let start = base.next_multiple_of(PAGE_BYTES);
        let end = start + 60 * PAGE_BYTES;
        let written = [3, 4, 5, 17, 40, 59];
        for page in written {
            bytes[start - base + page * PAGE_BYTES + 7] = 1;
        }
        let finds_all = |found: Vec<(usize, usize)>| {
            written.iter().all(|page| {
                let at = start + page * PAGE_BYTES;
                found.iter().any(|(from, to)| (*from..*to).contains(&at))
            })
        };
        assert!(finds_all(read(&file, start, end).unwrap()));
        if let Ok(found) = scan(&file, start, end) {
            assert!(finds_all(found));
        }
        assert!(finds_all(Pagemap::none().written(start, end).unwrap()));
        assert!(Pagemap::none().written(start, start).unwrap().is_empty());
        assert_eq!(
            bytes.iter().filter(|byte| **byte == 1).count(),
            written.len()
        );
    }
}
