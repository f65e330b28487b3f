//! The node of the demonstration: this executable, started as `trilith dev`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longest wait for the banner.
const START_WAIT: Duration = Duration::from_secs(60);

/// A running node.
pub(super) struct NodeProcess {
    child: Child,
    /// Where it listens.
    pub(super) url: String,
}

impl NodeProcess {
    /// Starts a node on `data` and waits until it says where it listens.
    pub(super) async fn start(data: &Path) -> Result<Self> {
        let executable = std::env::current_exe().context("finding this executable")?;
        let mut child = Command::new(executable)
            .args(["dev", "--canister-port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the node")?;
        let stderr = child.stderr.take().context("the node has no stderr")?;
        let mut complaints = BufReader::new(stderr).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = complaints.next_line().await {
                eprintln!("   node  {line}");
            }
        });
        let stdout = child.stdout.take().context("the node has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let banner = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.trim().strip_prefix("canister endpoint") {
                    return Ok::<_, std::io::Error>(Some(url.trim().to_string()));
                }
            }
            Ok(None)
        };
        let url = tokio::time::timeout(START_WAIT, banner)
            .await
            .context("the node did not say where it listens within a minute")??
            .context("the node ended before it said where it listens")?;
        // What else it prints is read, so that it never waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url })
    }

    /// Its process id.
    pub(super) fn process_id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Kills it with SIGKILL: it can neither notice nor prepare.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("killing the node")
    }

    /// Asks it to stop, as Ctrl-C does, and waits.
    pub(super) async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.process_id()).context("the node is not running")?;
        kill(Pid::from_raw(id), Signal::SIGINT).context("signalling the node")?;
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("the node ended with {status}");
        }
        Ok(())
    }
}
