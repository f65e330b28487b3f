//! Files that cross the border of a sandbox.
//!
//! Into it: page files, which the sandbox must be able to read and never to change. Out of it:
//! memory files, which the sandbox must not be able to change any more once it has answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use trilith_types::{Image, PAGE_BYTES, PageFile, PageRun};

const COPY_BYTES: usize = 1 << 20;

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

/// A new memory file that can be sealed.
pub(super) fn new_memory_file(name: &str) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(File::from(memfd_create(name, flags)?))
}

/// Makes sure that nobody can change a memory file any more, whoever holds it.
///
/// # Errors
/// If the file is not a memory file that allows it, or is still mapped for writing somewhere.
pub(super) fn seal(file: &File) -> io::Result<()> {
    let have = fcntl(file, FcntlArg::F_GET_SEALS)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not a memory file"))?;
    if SealFlag::from_bits_truncate(have).contains(all_seals()) {
        return Ok(());
    }
    fcntl(file, FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(())
}

/// A sealed memory file with these bytes.
pub(super) fn sealed_copy(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = new_memory_file(name)?;
    file.write_all(bytes)?;
    seal(&file)?;
    Ok(file)
}

/// Reads a whole file of `len` bytes, which the caller has bounded, from its start.
pub(super) fn read_whole(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let found = file.metadata()?.len();
    if found != len {
        let error = format!("the file has {found} bytes, where {len} were declared");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Most page files whose second descriptor is kept. Dead ones are forgotten first.
const READERS_MAX: usize = 1_024;

/// Descriptors for reading of page files that this process can write to, each opened once.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By the address of the file, which is that of no other as long as it lives.
    opened: Mutex<BTreeMap<usize, (Weak<File>, PageFile)>>,
}

impl Readers {
    /// A file that is safe to hand to a sandbox.
    pub(super) fn of(&self, file: &PageFile) -> io::Result<PageFile> {
        let address = Arc::as_ptr(file) as usize;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, reader)) = opened.get(&address)
            && known.strong_count() > 0
        {
            return Ok(reader.clone());
        }
        let reader = read_only(file)?;
        if opened.len() >= READERS_MAX {
            opened.retain(|_, (known, _)| known.strong_count() > 0);
        }
        if opened.len() >= READERS_MAX {
            opened.clear();
        }
        // A reader that is the file itself would keep it alive here.
        if !Arc::ptr_eq(file, &reader) {
            opened.insert(address, (Arc::downgrade(file), reader.clone()));
        }
        Ok(reader)
    }
}

/// A file that is safe to hand to a sandbox: the same if it cannot be written through this
/// descriptor or at all, otherwise opened anew for reading.
pub(super) fn read_only(file: &PageFile) -> io::Result<PageFile> {
    let flags = OFlag::from_bits_truncate(fcntl(file.as_ref(), FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Ok(file.clone());
    }
    let seals = fcntl(file.as_ref(), FcntlArg::F_GET_SEALS).unwrap_or(0);
    if SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE) {
        return Ok(file.clone());
    }
    Ok(Arc::new(File::open(format!(
        "/proc/self/fd/{}",
        file.as_raw_fd()
    ))?))
}

/// Reduces the files that images refer to, to at most `files_max`: those that hold the most pages
/// stay, the pages of the others are copied into one new file.
pub(super) fn gather(images: &mut [&mut Image], files_max: usize) -> io::Result<()> {
    // Keyed by address, only to tell files apart; the order decides nothing that can be observed.
    let mut pages_of: BTreeMap<*const File, u64> = BTreeMap::new();
    for run in images.iter().flat_map(|image| image.runs()) {
        *pages_of.entry(Arc::as_ptr(&run.file)).or_default() += run.count;
    }
    if pages_of.len() <= files_max {
        return Ok(());
    }
    let mut by_pages: Vec<(u64, *const File)> = pages_of
        .iter()
        .map(|(file, pages)| (*pages, *file))
        .collect();
    by_pages.sort_unstable();
    let copied = by_pages.len() + 1 - files_max;
    let copied: Vec<*const File> = by_pages[..copied].iter().map(|(_, file)| *file).collect();
    let gathered = Arc::new(new_memory_file("gathered")?);
    let mut end_page = 0;
    for image in images.iter_mut() {
        let mut rewritten = Image::zero(image.pages());
        for run in image.runs() {
            if !copied.contains(&Arc::as_ptr(&run.file)) {
                rewritten.overlay(run.clone());
                continue;
            }
            copy_run(run, &gathered, end_page)?;
            let file = gathered.clone();
            rewritten.overlay(PageRun {
                file,
                file_page: end_page,
                ..run.clone()
            });
            end_page += run.count;
        }
        **image = rewritten;
    }
    seal(&gathered)
}

fn copy_run(run: &PageRun, into: &File, at_page: u64) -> io::Result<()> {
    let page_bytes = PAGE_BYTES as u64;
    let bytes = run.count * page_bytes;
    let mut buffer = vec![0; COPY_BYTES.min(bytes as usize)];
    let mut done = 0;
    while done < bytes {
        let part = buffer.len().min((bytes - done) as usize);
        let part = &mut buffer[..part];
        run.file
            .read_exact_at(part, run.file_page * page_bytes + done)?;
        into.write_all_at(part, at_page * page_bytes + done)?;
        done += part.len() as u64;
    }
    Ok(())
}

/// Copies exactly `len` bytes from a reader into a new memory file, showing them to `observe`.
pub(super) fn copy_into_memory(
    name: &str,
    from: &mut impl Read,
    len: u64,
    mut observe: impl FnMut(&[u8]),
) -> io::Result<File> {
    let mut file = new_memory_file(name)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = len;
    while left > 0 {
        let part = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        from.read_exact(&mut buffer[..part])?;
        observe(&buffer[..part]);
        file.write_all(&buffer[..part])?;
        left -= part as u64;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_files_cannot_change() {
        let file = sealed_copy("sealed", b"bytes").unwrap();
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(9).is_err());
        assert_eq!(read_whole(&file, 5).unwrap(), b"bytes");
        assert!(read_whole(&file, 6).is_err());
        seal(&file).unwrap();
        let plain = tempfile::tempfile().unwrap();
        assert!(
            seal(&plain)
                .unwrap_err()
                .to_string()
                .contains("not a memory file")
        );
        let unsealable = File::from(memfd_create("kept", MFdFlags::MFD_CLOEXEC).unwrap());
        assert!(seal(&unsealable).is_err());
    }

    #[test]
    fn writable_files_are_opened_anew() {
        let writable = Arc::new(tempfile::tempfile().unwrap());
        writable.write_all_at(b"x", 0).unwrap();
        let shared = read_only(&writable).unwrap();
        assert!(shared.write_at(b"y", 0).is_err());
        assert!(Arc::ptr_eq(&read_only(&shared).unwrap(), &shared));
        let sealed = Arc::new(sealed_copy("sealed", b"x").unwrap());
        assert!(Arc::ptr_eq(&read_only(&sealed).unwrap(), &sealed));
    }

    #[test]
    fn a_file_is_opened_for_reading_once_while_it_lives() {
        let readers = Readers::default();
        let writable = Arc::new(tempfile::tempfile().unwrap());
        writable.write_all_at(b"x", 0).unwrap();
        let first = readers.of(&writable).unwrap();
        assert!(first.write_at(b"y", 0).is_err());
        assert!(Arc::ptr_eq(&first, &readers.of(&writable).unwrap()));
        drop(writable);
        for _ in 0..2 * READERS_MAX {
            let other = Arc::new(tempfile::tempfile().unwrap());
            let reader = readers.of(&other).unwrap();
            assert!(!Arc::ptr_eq(&first, &reader) && reader.write_at(b"y", 0).is_err());
        }
        assert!(readers.opened.lock().unwrap().len() <= READERS_MAX);
    }

    #[test]
    fn images_of_many_files_are_gathered() {
        let mut heap = Image::zero(100);
        let mut stable = Image::zero(50);
        for number in 0..40_u64 {
            // File 39 holds the most pages.
            let count = if number == 39 { 3 } else { 1 };
            let bytes = vec![number as u8 + 1; PAGE_BYTES * (count as usize + 1)];
            let file = Arc::new(sealed_copy("pages", &bytes).unwrap());
            let run = PageRun {
                page: number * 2,
                count,
                file,
                file_page: 1,
            };
            stable.overlay(PageRun {
                page: number,
                ..run.clone()
            });
            heap.overlay(run);
        }
        let before = (heap.clone(), stable.clone());
        gather(&mut [&mut heap, &mut stable], 3).unwrap();
        let mut files: Vec<_> = heap
            .runs()
            .chain(stable.runs())
            .map(|run| Arc::as_ptr(&run.file))
            .collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.len(), 3);
        assert_eq!((heap.pages(), stable.pages()), (100, 50));
        for (before, after) in [(before.0, heap), (before.1, stable)] {
            let bytes = before.pages() as usize * PAGE_BYTES;
            assert!(before.read(0, bytes).unwrap() == after.read(0, bytes).unwrap());
        }
    }
}
