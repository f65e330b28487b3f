//! The parent's side: starting, watching, killing and reaping.

use std::ffi::OsString;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error;

use crate::process::open_pidfd;
use crate::report::decode_readiness;
use crate::{Channel, ChannelError, FrameLimits, JailReport};

/// First frame of a parent; [`crate::enter`] expects it.
pub(crate) const GREETING: &[u8] = b"trilith-jail 1";

/// Bounds of a child's first frame.
const READINESS_LIMITS: FrameLimits = FrameLimits {
    payload_bytes_max: 64 * 1024,
    descriptors_max: 0,
};

/// How long a warden that was told to end its child may take before it is killed itself. Freeing
/// gigabytes takes the kernel a part of a second.
const WARDEN_PATIENCE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug)]
pub struct SpawnConfig<'a> {
    /// The executable; [`own_executable`] for the caller's own.
    pub executable: PathBuf,
    /// Its arguments, by which it finds its role.
    pub args: Vec<OsString>,
    /// Descriptors that the child gets, in this order.
    pub descriptors: Vec<BorrowedFd<'a>>,
}

/// Why no jailed process came up. Always a fault of this node or its host.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The process was not started.
    #[error("starting the jailed process failed: {0}")]
    Start(#[source] io::Error),
    /// The process did not answer as a child that enters a jail does.
    #[error("the jailed process did not come up: {0}")]
    Channel(#[from] ChannelError),
    /// The process answered in another form than agreed.
    #[error("the jailed process announced itself in a wrong form: {0}")]
    Form(#[from] trilith_types::cbor::DecodeError),
    /// The jail could not be built.
    #[error("the jail could not be built: {0}")]
    Jail(String),
}

/// The path of the running executable, which stays right even if the file was replaced since.
pub fn own_executable() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Starts a process that will [`crate::enter`] a jail. Returns at once; [`Child::ready`] waits.
///
/// The descriptors go over the socket, so nothing runs between fork and exec, and any thread of a
/// large process may call this: the kernel starts the child without copying page tables. The child
/// has a process group of its own, so that an interrupt at the terminal does not reach it.
///
/// # Errors
/// [`SpawnError`] if the process cannot be started.
pub fn spawn(config: &SpawnConfig<'_>) -> Result<Child, SpawnError> {
    let (ours, theirs) = UnixStream::pair().map_err(SpawnError::Start)?;
    let process = Command::new(&config.executable)
        .args(&config.args)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(SpawnError::Start)?;
    let child = Child {
        process,
        channel: Channel::new(ours),
        status: None,
    };
    child.channel.send(GREETING, &config.descriptors, None)?;
    Ok(child)
}

/// A jailed process, seen from its parent. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    process: Process,
    channel: Channel,
    status: Option<ExitStatus>,
}

impl Child {
    /// The warden's process id on this host. The jailed process is its only child.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The channel to the jailed process.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Waits until the jail stands. To be called once, before anything else is received.
    ///
    /// # Errors
    /// [`SpawnError`] if the jail could not be built or the deadline passed.
    pub fn ready(&self, deadline: Option<Instant>) -> Result<JailReport, SpawnError> {
        let message = self.channel.receive(&READINESS_LIMITS, deadline)?;
        decode_readiness(&message.payload)?.map_err(SpawnError::Jail)
    }

    /// Kills the jailed process and reaps it.
    ///
    /// The warden is told by closing the socket, so that it reaps its child: killing the warden
    /// would leave that to whoever adopts orphans on this host.
    ///
    /// # Errors
    /// If waiting fails.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        // Fails only if the other end is closed already, which has the same effect.
        let _ = self.channel.stream().shutdown(Shutdown::Both);
        if !self.await_end(Instant::now() + WARDEN_PATIENCE) {
            self.process.kill()?;
        }
        self.wait()
    }

    /// Waits for the end of the jailed process: its exit code, or the signal that killed it.
    ///
    /// # Errors
    /// If waiting fails.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.process.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// How the jailed process ended, if it has.
    ///
    /// # Errors
    /// If waiting fails.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.process.try_wait()?;
        }
        Ok(self.status)
    }

    /// Whether the process ended before the deadline.
    fn await_end(&self, deadline: Instant) -> bool {
        let Ok(pidfd) = open_pidfd(self.process.id() as i32) else {
            return false;
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, timeout) {
                Ok(0) if left.is_zero() => return false,
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nobody is left to tell. A child that cannot be reaped here ends with this process.
        let _ = self.kill();
    }
}
