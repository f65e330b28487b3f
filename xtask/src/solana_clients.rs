//! Runs the suites of Solana's own clients against a node that this command starts and stops.
//!
//! The clients are the ecosystem's packages, pinned and unmodified: JavaScript in
//! `clients/solana-javascript`, Python in `clients/solana-python`. The node is the release build of
//! `trilith dev` on a temporary data folder and free ports.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::clients::node::{Interface, with_node};
use crate::tools;

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
        None => with_node(root, Interface::Account, |url| run_suites(root, url)),
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
