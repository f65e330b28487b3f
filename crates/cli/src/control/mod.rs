//! The control socket: how tools on the same machine talk to a node about its root.
//!
//! A node listens on `control.sock` in its data folder, which only the user who runs it can open:
//! the file system is the only check of who may. What is said there is described in
//! [`trilith_protocol::control`]; transactions are signed by whoever owns what they change, so that
//! the socket gives no rights but to look and to submit.
//!
//! Limits: [`server::CONNECTIONS_MAX`] tools at a time, frames as long as the largest transaction,
//! a time for every step.

pub mod client;
pub mod server;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::output::NextStep;

/// Name of the socket in a data folder.
const NAME: &str = "control.sock";

/// Most bytes of the path of a Unix socket. Source: Linux unix(7): 108 with a zero at the end.
const PATH_BYTES_MAX: usize = 107;

/// What a socket is called before others can open it.
const NEW_SUFFIX: &str = ".new";

/// The path of the socket in a data folder.
///
/// # Errors
/// If it is longer than a socket's path may be.
pub fn path(data: &Path) -> Result<PathBuf> {
    let path = data.join(NAME);
    let len = path.as_os_str().len() + NEW_SUFFIX.len();
    if len > PATH_BYTES_MAX {
        let what = format!(
            "the control socket {} needs a path of {len} bytes, the limit is {PATH_BYTES_MAX}",
            path.display()
        );
        return Err(anyhow!(what).context(NextStep(
            "give a data folder with a shorter path with --data, or one relative to this folder",
        )));
    }
    Ok(path)
}
