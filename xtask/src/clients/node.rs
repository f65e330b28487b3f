//! The node that the suites run against: the release build of `trilith dev`, on a temporary data
//! folder and a free port, so that nothing of the developer's own network is touched.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::tools;

/// How long the node may take to print its endpoint.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long the node may take to stop after SIGINT.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How many lines of the node's log a failure shows.
const LOG_LINES_SHOWN: usize = 60;

/// What a node serves, by the word that the banner has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The Internet Computer's HTTP interface.
    Canister,
    /// Solana's JSON-RPC.
    Account,
}

impl Interface {
    fn word(self) -> &'static str {
        match self {
            Self::Canister => "canister",
            Self::Account => "account",
        }
    }
}

/// Starts a node, gives the endpoint of an interface to `suites`, and stops it.
///
/// # Errors
/// If the node cannot be built, or does not start or stop cleanly, or if `suites` fails; then the
/// end of the node's log is shown.
pub fn with_node(
    root: &Path,
    interface: Interface,
    suites: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let binary = build(root)?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("node.log");
    let mut node = Node::start(&binary, &folder.path().join("data"), &log)?;
    let result = node
        .endpoint(interface)
        .and_then(|url| suites(&url))
        .and_then(|()| node.stop());
    if result.is_err() {
        show_log(&log);
    }
    result
}

/// Builds the release binary and returns its path.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    tools::run(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "trilith-cli"])
            .current_dir(root),
    )?;
    Ok(tools::target_directory(root)?
        .join("release")
        .join("trilith"))
}

fn show_log(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(LOG_LINES_SHOWN);
    eprintln!("last lines of the node's log:");
    for line in &lines[start..] {
        eprintln!("  {line}");
    }
}

/// A running node. Dropping it kills what `stop` has not stopped.
struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    fn start(binary: &Path, data: &Path, log: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .args([
                OsStr::new("dev"),
                OsStr::new("--data"),
                data.as_os_str(),
                OsStr::new("--canister-port"),
                OsStr::new("0"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the node has no stdout")?;
        let (sender, lines) = mpsc::channel();
        // The thread reads to the end even when nobody listens, so that the node never blocks on a
        // full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for the banner's line that holds the endpoint of an interface.
    fn endpoint(&self, interface: Interface) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|_| {
                anyhow!(
                    "the node ended, or printed no line with the {} endpoint within {} s",
                    interface.word(),
                    START_LIMIT.as_secs()
                )
            })?;
            if let Some(url) = parse_endpoint(&line, interface) {
                return Ok(url);
            }
        }
    }

    /// Stops the node as Ctrl-C does, and requires that it ends well.
    fn stop(&mut self) -> Result<()> {
        tools::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the node ended with {status} after SIGINT");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the node did not end within {} s after SIGINT",
            STOP_LIMIT.as_secs()
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds `http://…` in a line that speaks of an interface's endpoint.
pub fn parse_endpoint(line: &str, interface: Interface) -> Option<String> {
    if !line.to_lowercase().contains(interface.word()) {
        return None;
    }
    let start = line.find("http://")?;
    let url: String = line[start..]
        .chars()
        .take_while(|character| !character.is_whitespace() && !"\",'".contains(*character))
        .collect();
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::{Interface, parse_endpoint};

    #[test]
    fn endpoint_is_found_in_plain_and_json_lines() {
        let url = Some("http://127.0.0.1:4943".to_owned());
        let canister = |line| parse_endpoint(line, Interface::Canister);
        assert_eq!(canister("canister endpoint  http://127.0.0.1:4943"), url);
        assert_eq!(
            canister(r#"{"canister_endpoint":"http://127.0.0.1:4943","x":1}"#),
            url
        );
        assert_eq!(canister("metrics http://127.0.0.1:1"), None);
        assert_eq!(canister("canister ids start at rwlgt"), None);
        let account = |line| parse_endpoint(line, Interface::Account);
        let url = Some("http://127.0.0.1:8899".to_owned());
        assert_eq!(account("  account endpoint   http://127.0.0.1:8899"), url);
        assert_eq!(account("  account PubSub     ws://127.0.0.1:8900"), None);
        assert_eq!(account("  canister endpoint  http://127.0.0.1:4943"), None);
    }
}
