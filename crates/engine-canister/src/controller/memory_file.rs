//! Bytes of the controller (modules, chunks) as page files, the form in which outcomes carry them.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use trilith_protocol::Fault;
use trilith_types::{PAGE_BYTES, PageRun};

/// The length in pages and the runs of an image that holds `bytes`, the last page filled up with
/// zeros, in a file that exists in memory only.
pub(crate) fn pages_of(bytes: &[u8]) -> Result<(u64, Vec<PageRun>), Fault> {
    if bytes.is_empty() {
        return Ok((0, Vec::new()));
    }
    let failed =
        |error: &dyn std::fmt::Display| Fault(format!("cannot make a file in memory: {error}"));
    let descriptor =
        memfd_create(c"trilith-pages", MFdFlags::MFD_CLOEXEC).map_err(|error| failed(&error))?;
    let mut file = File::from(descriptor);
    file.write_all(bytes).map_err(|error| failed(&error))?;
    let count = (bytes.len() as u64).div_ceil(PAGE_BYTES as u64);
    file.set_len(count * PAGE_BYTES as u64)
        .map_err(|error| failed(&error))?;
    Ok((
        count,
        vec![PageRun {
            page: 0,
            count,
            file: Arc::new(file),
            file_page: 0,
        }],
    ))
}
