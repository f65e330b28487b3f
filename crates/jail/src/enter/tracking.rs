//! Descriptors through which a process finds the pages of its own memory that it wrote.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::{Feature, JailReport};

/// `UFFD_USER_MODE_ONLY`: faults of the kernel are not handled, so that no privilege is needed.
/// Source: `linux/userfaultfd.h`, Linux 5.11.
const UFFD_USER_MODE_ONLY: i32 = 1;

/// Opens the pagemap and a userfaultfd of this process. Both are bound to this process's memory,
/// so they must be opened in the process that will use them.
pub(super) fn open(report: &mut JailReport) -> (Option<OwnedFd>, Option<OwnedFd>) {
    let pagemap = match File::open("/proc/self/pagemap") {
        Ok(file) => Some(OwnedFd::from(file)),
        Err(error) => {
            report.miss(Feature::Pagemap, error);
            None
        }
    };
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;
    // SAFETY: the call takes an integer and touches no memory of the caller.
    let raw = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    let userfaultfd = if raw < 0 {
        report.miss(Feature::Userfaultfd, io::Error::last_os_error());
        None
    } else {
        // SAFETY: the kernel has just made this descriptor for this process.
        Some(unsafe { OwnedFd::from_raw_fd(raw as i32) })
    };
    (pagemap, userfaultfd)
}
