//! Frames with descriptors over a Unix stream socket.
//!
//! A frame is a header (length of the payload and number of descriptors, both 32-bit big-endian),
//! then one byte for every group of descriptors that carries them as ancillary data, then the
//! payload. Groups are needed because the kernel passes at most 253 descriptors at once.
//!
//! The peer is untrusted: both numbers are checked against [`FrameLimits`] before anything is
//! allocated, descriptors where none belong are dropped by the kernel, and a deadline bounds the
//! whole frame, so that a peer that sends a byte now and then cannot hold the reader.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use thiserror::Error;

/// Most descriptors that the kernel passes with one message (`SCM_MAX_FD`). Source: unix(7).
pub const DESCRIPTORS_PER_MESSAGE: usize = 253;

const HEADER_BYTES: usize = 8;

/// How long a receiver with a deadline looks for a frame before it sleeps. Not a consensus number.
const LINGER: Duration = Duration::from_micros(100);

/// The most that a received frame may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of the payload.
    pub payload_bytes_max: usize,
    /// Number of descriptors.
    pub descriptors_max: usize,
}

/// A received frame.
#[derive(Debug, Default)]
pub struct Message {
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its descriptors, all close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Why a frame was not sent or received. The channel is useless afterwards.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The peer closed its end.
    #[error("the peer closed the channel")]
    Closed,
    /// The deadline passed.
    #[error("the deadline passed before the frame was complete")]
    TimedOut,
    /// The payload is over the limit.
    #[error("a frame declares {bytes} bytes of payload, over the limit of {limit}")]
    PayloadTooLong {
        /// Its declared length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are too many descriptors.
    #[error("a frame declares {count} descriptors, over the limit of {limit}")]
    TooManyDescriptors {
        /// Its declared number.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Fewer or more descriptors arrived than declared: the peer lied, or a limit on open files
    /// was reached.
    #[error("a message brought {found} descriptors where {expected} were declared")]
    DescriptorsLost {
        /// As declared.
        expected: usize,
        /// What arrived.
        found: usize,
    },
    /// The operating system refused.
    #[error("the channel failed: {0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EPIPE | Errno::ECONNRESET => Self::Closed,
            other => Self::Io(other.into()),
        }
    }
}

/// One end of a socket pair between a parent and its jailed child.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// Takes over a connected stream socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// A connected pair in this process.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = UnixStream::pair()?;
        Ok((Self::new(left), Self::new(right)))
    }

    /// The socket.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Gives the socket back.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// Sends a frame. Without a deadline it waits for as long as the peer does not read.
    ///
    /// # Errors
    /// If the peer is gone, the deadline passed, or the payload does not fit the header.
    pub fn send(
        &self,
        payload: &[u8],
        descriptors: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        let too_long = |limit| ChannelError::PayloadTooLong {
            bytes: payload.len(),
            limit,
        };
        let length = u32::try_from(payload.len()).map_err(|_| too_long(u32::MAX as usize))?;
        let count =
            u32::try_from(descriptors.len()).map_err(|_| ChannelError::TooManyDescriptors {
                count: descriptors.len(),
                limit: u32::MAX as usize,
            })?;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_be_bytes());
        header[4..].copy_from_slice(&count.to_be_bytes());
        if descriptors.is_empty() {
            return self.send_bytes(&header, payload, deadline);
        }
        self.send_bytes(&header, &[], deadline)?;
        let last = (descriptors.len() - 1) / DESCRIPTORS_PER_MESSAGE;
        let groups = descriptors.chunks(DESCRIPTORS_PER_MESSAGE);
        for (number, group) in groups.enumerate() {
            let raw: Vec<_> = group.iter().map(AsRawFd::as_raw_fd).collect();
            // The payload follows the byte of the last group, in one call where it fits.
            let after = if number == last { payload } else { &[] };
            let parts = [IoSlice::new(&[0]), IoSlice::new(after)];
            let sent = self.send_some(&parts, &raw, deadline)?;
            self.send_bytes(&after[sent - 1..], &[], deadline)?;
        }
        Ok(())
    }

    fn send_bytes(
        &self,
        mut first: &[u8],
        mut second: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        while !first.is_empty() || !second.is_empty() {
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            let sent = self.send_some(&parts, &[], deadline)?;
            let of_first = sent.min(first.len());
            first = &first[of_first..];
            second = &second[sent - of_first..];
        }
        Ok(())
    }

    fn send_some(
        &self,
        parts: &[IoSlice<'_>],
        raw: &[i32],
        deadline: Option<Instant>,
    ) -> Result<usize, ChannelError> {
        let rights = [ControlMessage::ScmRights(raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        // There is nearly always room: only where there is none is it waited for.
        let mut flags = MsgFlags::MSG_NOSIGNAL | now_or_never(deadline);
        loop {
            match sendmsg::<UnixAddr>(self.stream.as_raw_fd(), parts, control, flags, None) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    flags =
                        MsgFlags::MSG_NOSIGNAL | self.await_ready(PollFlags::POLLOUT, deadline)?;
                }
                result => return Ok(result?),
            }
        }
    }

    /// Receives a frame. Without a deadline it waits for as long as the peer sends nothing.
    ///
    /// # Errors
    /// If the peer is gone or breaks the limits, or the deadline passed.
    pub fn receive(
        &self,
        limits: &FrameLimits,
        deadline: Option<Instant>,
    ) -> Result<Message, ChannelError> {
        let mut header = [0; HEADER_BYTES];
        if deadline.is_some() {
            self.linger();
        }
        self.receive_exact(&mut header, deadline)?;
        let number = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
                as usize
        };
        let (bytes, count) = (number(0), number(4));
        if bytes > limits.payload_bytes_max {
            return Err(ChannelError::PayloadTooLong {
                bytes,
                limit: limits.payload_bytes_max,
            });
        }
        if count > limits.descriptors_max {
            return Err(ChannelError::TooManyDescriptors {
                count,
                limit: limits.descriptors_max,
            });
        }
        let mut descriptors = Vec::with_capacity(count);
        while descriptors.len() < count {
            let expected = (count - descriptors.len()).min(DESCRIPTORS_PER_MESSAGE);
            self.receive_descriptors(expected, &mut descriptors, deadline)?;
        }
        let mut payload = vec![0; bytes];
        self.receive_exact(&mut payload, deadline)?;
        Ok(Message {
            payload,
            descriptors,
        })
    }

    fn receive_exact(
        &self,
        mut buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        let mut flags = now_or_never(deadline);
        while !buffer.is_empty() {
            // Without room for ancillary data the kernel drops descriptors that come unasked.
            let received = {
                let mut parts = [IoSliceMut::new(buffer)];
                recvmsg::<UnixAddr>(self.stream.as_raw_fd(), &mut parts, None, flags)
                    .map(|message| message.bytes)
            };
            match received {
                Ok(0) => return Err(ChannelError::Closed),
                Ok(count) => buffer = &mut buffer[count..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => flags = self.await_ready(PollFlags::POLLIN, deadline)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn receive_descriptors(
        &self,
        expected: usize,
        into: &mut Vec<OwnedFd>,
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        let mut control = nix::cmsg_space!([i32; DESCRIPTORS_PER_MESSAGE]);
        let mut byte = [0];
        let before = into.len();
        let mut flags = now_or_never(deadline) | MsgFlags::MSG_CMSG_CLOEXEC;
        let (bytes, truncated) = loop {
            let mut parts = [IoSliceMut::new(&mut byte)];
            let fd = self.stream.as_raw_fd();
            match recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    flags =
                        self.await_ready(PollFlags::POLLIN, deadline)? | MsgFlags::MSG_CMSG_CLOEXEC;
                }
                Err(errno) => return Err(errno.into()),
                Ok(message) => {
                    for item in message.cmsgs().into_iter().flatten() {
                        let ControlMessageOwned::ScmRights(raw) = item else {
                            continue;
                        };
                        // SAFETY: the kernel has just made these descriptors for this process;
                        // nobody else knows their numbers.
                        into.extend(
                            raw.into_iter()
                                .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                        );
                    }
                    break (message.bytes, message.flags.contains(MsgFlags::MSG_CTRUNC));
                }
            }
        };
        let found = into.len() - before;
        match bytes {
            0 => Err(ChannelError::Closed),
            _ if truncated || found != expected => {
                Err(ChannelError::DescriptorsLost { expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Gives the peer a moment to answer before this thread goes to sleep: short answers come within
    /// less time than a sleeping processor takes to wake up. Others may run meanwhile.
    fn linger(&self) {
        let begun = Instant::now();
        let mut polled = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        while begun.elapsed() < LINGER {
            if !matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0)) {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Waits until the socket is ready, or the deadline passes. Gives the flags for the call that
    /// follows: it must not block if there is a deadline.
    fn await_ready(
        &self,
        events: PollFlags,
        deadline: Option<Instant>,
    ) -> Result<MsgFlags, ChannelError> {
        let Some(deadline) = deadline else {
            return Ok(MsgFlags::empty());
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.stream.as_fd(), events)];
            match poll(&mut polled, timeout) {
                Ok(0) if left.is_zero() => return Err(ChannelError::TimedOut),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(MsgFlags::MSG_DONTWAIT),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The flags for a call that is tried before it is waited for: it must not block if there is a
/// deadline.
fn now_or_never(deadline: Option<Instant>) -> MsgFlags {
    match deadline {
        Some(_) => MsgFlags::MSG_DONTWAIT,
        None => MsgFlags::empty(),
    }
}
