//! Descriptors through which a process finds the pages of its own memory that it wrote.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::{Feature, JailReport};

/// `UFFD_USER_MODE_ONLY`: faults of the kernel are not handled, so that no privilege is needed.
/// Source: `linux/userfaultfd.h`, Linux 5.11.
const UFFD_USER_MODE_ONLY: i32 = 1;

/// Opens the pagemap of this process. It is bound to this process's memory, as is a userfaultfd, so
/// both must be opened in the process that will use them.
pub(super) fn open_pagemap(report: &mut JailReport) -> Option<OwnedFd> {
    match File::open("/proc/self/pagemap") {
        Ok(file) => Some(OwnedFd::from(file)),
        Err(error) => {
            report.miss(Feature::Pagemap, error);
            None
        }
    }
}

/// Makes a userfaultfd of this process.
pub(super) fn open_userfaultfd(report: &mut JailReport) -> Option<OwnedFd> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;
    // SAFETY: the call takes an integer and touches no memory of the caller.
    let raw = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    if raw < 0 {
        report.miss(Feature::Userfaultfd, io::Error::last_os_error());
        return None;
    }
    // SAFETY: the kernel has just made this descriptor for this process.
    Some(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}
