//! Runs the suites of Solana's own clients against a node that this command starts and stops, and
//! those of programs that must be loaded against an instance of the local library.
//!
//! The clients are the ecosystem's packages, pinned and unmodified: JavaScript in
//! `clients/solana-javascript`, Python in `clients/solana-python`. The node is the release build of
//! `trilith dev` on a temporary data folder and free ports.

mod loaded;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::clients::node::{Interface, with_node};
use crate::tools;

/// Where the suites learn the endpoint.
const VARIABLE: &str = "TRILITH_ACCOUNT_URL";

/// What to run, and against what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All suites: against a node that is started for them, and with loaded programs.
    #[default]
    All,
    /// The suites of clients, against a running node.
    Node(&'a str),
    /// The suites of loaded programs, that of the stake pool if its file is given.
    Programs(Option<&'a str>),
}

impl<'a> Selection<'a> {
    /// Reads the arguments of the command: none, `--url` with an endpoint, or `programs` and then
    /// perhaps `--stake-pool` with a file.
    ///
    /// # Errors
    /// If there is anything else.
    pub fn parse(words: &[&'a str]) -> Result<Self> {
        match *words {
            [] => Ok(Self::All),
            ["--url", url] => Ok(Self::Node(url)),
            ["programs"] => Ok(Self::Programs(None)),
            ["programs", "--stake-pool", path] => Ok(Self::Programs(Some(path))),
            _ => bail!(
                "{words:?} is neither `--url` with an endpoint nor `programs` with or without \
                 `--stake-pool` and a file"
            ),
        }
    }
}

/// Runs the selected suites.
///
/// # Errors
/// If a tool is missing, the node does not start, or a suite fails.
pub fn run(root: &Path, selection: Selection<'_>) -> Result<()> {
    for tool in ["node", "npm", "python3"] {
        if !tools::is_there(tool) {
            bail!("`{tool}` is not on the search path; install it, then run the command again");
        }
    }
    let javascript = javascript(root);
    tools::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&javascript),
    )?;
    match selection {
        Selection::Node(url) => run_suites(root, url),
        Selection::Programs(stake_pool) => {
            loaded::run(root, &javascript, stake_pool.map(Path::new))
        }
        Selection::All => {
            with_node(root, Interface::Account, |url| run_suites(root, url))?;
            loaded::run(root, &javascript, None)
        }
    }
}

fn javascript(root: &Path) -> PathBuf {
    root.join("clients").join("solana-javascript")
}

/// The runner of JavaScript tests, without files all of the folder that are named `….test.mjs`.
fn node_test(folder: &Path) -> Command {
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=spec"])
        .current_dir(folder);
    command
}

fn run_suites(root: &Path, url: &str) -> Result<()> {
    tools::run(node_test(&javascript(root)).env(VARIABLE, url))
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

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn a_node_or_programs_are_named() {
        assert_eq!(Selection::parse(&[]).unwrap(), Selection::All);
        let url = "http://127.0.0.1:1";
        for (words, expected) in [
            (&["--url", url][..], Selection::Node(url)),
            (&["programs"], Selection::Programs(None)),
            (
                &["programs", "--stake-pool", "pool.so"],
                Selection::Programs(Some("pool.so")),
            ),
        ] {
            assert_eq!(Selection::parse(words).unwrap(), expected);
        }
        for wrong in [&["--url"][..], &["pool.so"], &["programs", "--stake-pool"]] {
            assert!(Selection::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
