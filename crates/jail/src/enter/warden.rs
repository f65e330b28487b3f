//! The warden: the outer process, which ties the jailed one to the parent.
//!
//! It runs nothing but the loop below, and has the same identity and namespaces as the jailed
//! process except for the pid namespace.
#![allow(unsafe_code)]

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::descriptors::close_others;
use super::privileges::drop_capabilities;
use super::{EnterError, Step};
use crate::process::open_pidfd;
use crate::{Channel, JailReport};

/// Forks. Returns in the new process, which is the first of the new pid namespace; the old one
/// becomes its warden and never returns.
pub(super) fn fork_under_warden(channel: &Channel) -> Result<(), EnterError> {
    let (alive, warden_lives) = io::pipe().step("making a pipe")?;
    // SAFETY: this process has a single thread, so the child's memory is consistent.
    match unsafe { fork() }.step("forking into the pid namespace")? {
        ForkResult::Parent { child } => {
            drop(alive);
            watch(child, channel, &warden_lives)
        }
        ForkResult::Child => {
            drop(warden_lives);
            die_with_warden(&alive)
        }
    }
}

/// Asks the kernel to kill this process when the warden dies.
fn die_with_warden(alive: &PipeReader) -> Result<(), EnterError> {
    prctl::set_pdeathsig(Signal::SIGKILL).step("tying the process to its warden")?;
    // The warden may have died before: then its end of the pipe is closed.
    let mut polled = [PollFd::new(alive.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, PollTimeout::ZERO).step("looking for the warden")? {
        0 => Ok(()),
        _ => Err(io::Error::from(Errno::ESRCH)).step("looking for the warden"),
    }
}

/// Waits for the end of the child or of the parent, and ends like the child.
fn watch(child: Pid, channel: &Channel, warden_lives: &PipeWriter) -> ! {
    let status = match watch_until_end(child, channel, warden_lives) {
        Ok(status) => status,
        Err(_) => {
            // Without a way to watch, the child must not live.
            let _ = kill(child, Signal::SIGKILL);
            waitpid(child, None).unwrap_or(WaitStatus::Signaled(child, Signal::SIGKILL, false))
        }
    };
    end_like(status)
}

fn watch_until_end(
    child: Pid,
    channel: &Channel,
    warden_lives: &PipeWriter,
) -> Result<WaitStatus, EnterError> {
    let ended = open_pidfd(child.as_raw()).step("watching the jailed process")?;
    let socket = channel.stream();
    close_others(vec![
        ended.as_raw_fd(),
        socket.as_raw_fd(),
        warden_lives.as_raw_fd(),
    ])?;
    // It reads no input and needs no privilege: its child belongs to the same user. What cannot be
    // dropped here is reported by the child, which tries the same.
    drop_capabilities(&mut JailReport::default());
    prctl::set_no_new_privs().step("forbidding new privileges")?;
    loop {
        let mut polled = [
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
            // A hang-up is reported without being asked for: the parent closed or shut down its
            // end in both directions. Data is the child's business.
            PollFd::new(socket.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).step("watching"),
        }
        let is_set = |at: usize| polled[at].revents() != Some(PollFlags::empty());
        if !is_set(0) && is_set(1) {
            // The parent is gone or wants an end. Fails only if the child is gone as well.
            let _ = kill(child, Signal::SIGKILL);
        }
        if is_set(0) || is_set(1) {
            return waitpid(child, None).step("reaping the jailed process");
        }
    }
}

/// Ends this process with the exit code or by the signal by which the child ended, so that the
/// parent, who sees this process only, learns of it.
fn end_like(status: WaitStatus) -> ! {
    let code = match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => {
            // One report of a crash is enough: no second core file.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            // SAFETY: the default action replaces whatever was there; no handler of this process
            // is running.
            let _ = unsafe { sigaction(signal, &default) };
            let _ = nix::sys::signal::raise(signal);
            128 + signal as i32
        }
        _ => 1,
    };
    // SAFETY: ends the process at once. Exit handlers belong to the role that never ran here.
    unsafe { libc::_exit(code) }
}
