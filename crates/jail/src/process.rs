//! Descriptors of processes: waiting for the end of a process with a deadline, together with other
//! descriptors. Source: pidfd_open(2), Linux 5.3.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A descriptor that becomes readable when process `pid`, a child of the caller, ends.
pub(crate) fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of the caller.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}
