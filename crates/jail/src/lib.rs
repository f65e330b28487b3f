//! Starts a child process in an empty world.
//!
//! The parent calls [`spawn`], which starts an executable (most often its own, see
//! [`own_executable`]) with one end of a socket pair and some descriptors. The fresh process calls
//! [`enter`] before anything else; it returns in a process that has no files, no network, no other
//! processes, no capabilities, no environment and no system calls beyond its [`Policy`]. What it
//! may work with arrives over the [`Channel`].
//!
//! What this crate knows: Linux. What it must not know: what the jailed process is for.
//!
//! Invariants:
//! - [`enter`] returns only after every restriction that the policy asks for stands; what the host
//!   could not give is named in the [`JailReport`], and refused if the policy requires it.
//! - Nothing is open in the jailed process but the null device (0, 1, 2), its socket, the
//!   descriptors it was passed, and the two that it asked for about its own memory.
//! - A jailed process does not outlive its parent, however the parent ends, and leaves no zombie
//!   behind while the parent lives.
//!
//! # How a jailed process dies with its parent
//!
//! A process that enters a new pid namespace takes effect only for its children, so [`enter`] forks
//! once: the outer process stays as *warden*, the inner one goes on. The warden holds the jailed
//! end of the socket too, and waits for either the inner process to end (it then ends the same
//! way) or the parent's end of the socket to be closed, which the kernel does even if the parent
//! is killed (it then kills the inner process). If the warden itself is killed, the parent-death
//! signal kills the inner process. That signal is bound to the *thread* that started a process;
//! the warden has one thread only, so no rule about which thread of the parent may call [`spawn`]
//! is needed.

mod channel;
mod enter;
mod policy;
mod process;
mod report;
mod spawn;

pub use channel::{Channel, ChannelError, DESCRIPTORS_PER_MESSAGE, FrameLimits, Message};
pub use enter::{EnterError, Entered, enter};
pub use policy::{Denial, Policy, Requirement, ResourceLimits, SyscallRule, SyscallSet};
pub use report::{Feature, JailReport, Missing, decode_readiness};
pub use spawn::{Child, SpawnConfig, SpawnError, own_executable, spawn};
