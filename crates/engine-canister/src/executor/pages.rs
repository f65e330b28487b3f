//! Anonymous files in memory that carry changed pages to whoever takes the result.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use trilith_types::{PAGE_BYTES, PageFile, PageRun};

/// A new anonymous file.
pub(super) fn new_memory_file(name: &CStr) -> io::Result<File> {
    // Whoever takes the result of a jailed process seals its files before trusting them.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(File::from(memfd_create(name, flags)?))
}

/// Writes pages one after the other into one anonymous file, made when the first page comes.
#[derive(Default)]
pub(super) struct PageWriter {
    file: Option<PageFile>,
    next: u64,
}

impl PageWriter {
    /// Writes consecutive pages; `bytes` is a whole number of them.
    pub(super) fn write(&mut self, page: u64, bytes: &[u8]) -> io::Result<PageRun> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self
                .file
                .insert(Arc::new(new_memory_file(c"trilith-pages")?))
                .clone(),
        };
        let count = (bytes.len() / PAGE_BYTES) as u64;
        let file_page = self.next;
        file.write_all_at(bytes, file_page * PAGE_BYTES as u64)?;
        self.next += count;
        Ok(PageRun {
            page,
            count,
            file,
            file_page,
        })
    }
}
