//! Runs the suites of Solana's own clients against a node that this command starts and stops.
//!
//! The clients are the ecosystem's packages, pinned and unmodified: JavaScript in
//! `clients/solana-javascript`, Python in `clients/solana-python`. The node is the release build of
//! `trilith dev` on a temporary data folder and free ports.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::tools;

/// How long the node may take to print its endpoint.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where the suites learn the endpoint.
const VARIABLE: &str = "TRILITH_ACCOUNT_URL";

/// Runs the suites: against `url` if given, else against a node of its own.
///
/// # Errors
/// If a tool is missing, the node does not start, or a suite fails.
pub fn run(root: &Path, url: Option<&str>) -> Result<()> {
    for tool in ["node", "npm", "python3"] {
        if !tools::is_there(tool) {
            bail!("`{tool}` is not on the search path; install it, then run the command again");
        }
    }
    match url {
        Some(url) => run_suites(root, url),
        None => {
            let binary = build(root)?;
            let folder = tempfile::tempdir()?;
            let node = Node::start(&binary, folder.path())?;
            let url = node.endpoint()?;
            run_suites(root, &url)
        }
    }
}

fn run_suites(root: &Path, url: &str) -> Result<()> {
    let javascript = root.join("clients").join("solana-javascript");
    tools::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&javascript),
    )?;
    tools::run(
        Command::new("node")
            .args(["--test", "--test-reporter=spec"])
            .env(VARIABLE, url)
            .current_dir(&javascript),
    )
    .context("the JavaScript suites failed")?;
    let python = root.join("clients").join("solana-python");
    let environment = root.join(".clients").join("solana-python");
    tools::run(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let interpreter = environment.join("bin").join("python");
    tools::run(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "-r",
                "requirements.txt",
            ])
            .current_dir(&python),
    )?;
    tools::run(
        Command::new(&interpreter)
            .args(["-m", "unittest", "-v"])
            .env(VARIABLE, url)
            .current_dir(&python),
    )
    .context("the Python suite failed")
}

/// Builds the release binary and returns its path.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    tools::run(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "trilith-cli"])
            .current_dir(root),
    )?;
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let binary = metadata.target_directory.join("release").join("trilith");
    Ok(binary.into_std_path_buf())
}

/// A running node. Dropping it ends it.
struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("data");
        let mut child = Command::new(binary)
            .args([
                OsStr::new("dev"),
                OsStr::new("--data"),
                data.as_os_str(),
                OsStr::new("--canister-port"),
                OsStr::new("0"),
                OsStr::new("--account-port"),
                OsStr::new("0"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("node.log"))?)
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

    /// Waits for the banner's line that holds the account endpoint.
    fn endpoint(&self) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|_| {
                anyhow!(
                    "the node ended, or printed no account endpoint within {} s",
                    START_LIMIT.as_secs()
                )
            })?;
            if let Some(url) = parse_endpoint(&line) {
                return Ok(url);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the banner's line of the account endpoint.
fn parse_endpoint(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("account endpoint")?;
    let url = rest.trim();
    url.starts_with("http://").then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_endpoint;

    #[test]
    fn the_endpoint_is_found_in_its_line() {
        assert_eq!(
            parse_endpoint("  account endpoint   http://127.0.0.1:8899").as_deref(),
            Some("http://127.0.0.1:8899")
        );
        assert_eq!(
            parse_endpoint("  account PubSub     ws://127.0.0.1:8900"),
            None
        );
        assert_eq!(
            parse_endpoint("  canister endpoint  http://127.0.0.1:4943"),
            None
        );
    }
}
