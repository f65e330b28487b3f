//! Descriptors of a jailed process: what it was passed, and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};

use super::{EnterError, Step};
use crate::spawn::GREETING;
use crate::{Channel, ChannelError, FrameLimits};

/// How long a parent may take for its greeting, which it sends right after the start.
const GREETING_PATIENCE: Duration = Duration::from_secs(30);

/// Takes the socket from standard input and puts the null device there, so that a library that
/// reads or prints by habit never touches a descriptor that means something.
pub(super) fn take_channel() -> Result<Channel, EnterError> {
    // SAFETY: descriptors 0 and 1 are borrowed for two calls; if they are not open, the calls
    // fail.
    let (input, output) = unsafe { (BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1)) };
    let raw = fcntl(input, FcntlArg::F_DUPFD_CLOEXEC(3)).step("taking the socket")?;
    // SAFETY: the kernel has just made this descriptor for this process.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: this makes descriptor 0 another name of what 1 is open on; nothing in this process
    // holds a reader of standard input.
    if unsafe { libc::dup2(output.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error()).step("closing standard input");
    }
    Ok(Channel::new(UnixStream::from(socket)))
}

/// Reads the parent's first frame with the descriptors that it passes.
pub(super) fn receive_greeting(
    channel: &Channel,
    descriptors_max: u64,
) -> Result<Vec<OwnedFd>, EnterError> {
    let limits = FrameLimits {
        payload_bytes_max: GREETING.len(),
        descriptors_max: usize::try_from(descriptors_max).unwrap_or(usize::MAX),
    };
    let deadline = Instant::now() + GREETING_PATIENCE;
    let message = channel
        .receive(&limits, Some(deadline))
        .map_err(EnterError::NotAChild)?;
    if message.payload != GREETING {
        let error = io::Error::other("the greeting is of another version");
        return Err(EnterError::NotAChild(ChannelError::Io(error)));
    }
    Ok(message.descriptors)
}

/// Closes every descriptor above 2 that is not in `kept`.
pub(super) fn close_others(mut kept: Vec<RawFd>) -> Result<(), EnterError> {
    kept.sort_unstable();
    let mut first = 3_u32;
    for fd in kept {
        let fd = fd as u32;
        if first < fd {
            close_range(first, fd - 1).step("closing descriptors")?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX).step("closing descriptors")
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the call takes integers. No owner of a descriptor in the range is used afterwards:
    // the callers keep all that they hold.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
