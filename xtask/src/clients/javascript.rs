//! The suites in `clients/javascript`, with Node.js and npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::tools;

/// The oldest Node.js whose test runner and `fetch` the suites use.
const NODE_MAJOR_MIN: u32 = 20;

/// Folders with a lock file of their own: two generations of one library exclude each other.
const FOLDERS: [&str; 2] = [".", "management"];

/// Suites whose packages are installed.
pub struct Suites {
    folder: PathBuf,
}

impl Suites {
    /// Installs the packages of the lock files, without their scripts.
    ///
    /// # Errors
    /// If Node.js or npm is missing or too old, with the next step, or if npm fails.
    pub fn prepare(root: &Path) -> Result<Self> {
        require_node()?;
        let folder = root.join("clients").join("javascript");
        for packages in FOLDERS {
            tools::run(
                Command::new("npm")
                    .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                    .current_dir(folder.join(packages)),
            )?;
        }
        Ok(Self { folder })
    }

    /// Runs them against the node at `url`.
    ///
    /// # Errors
    /// If a test fails.
    pub fn run(&self, url: &str) -> Result<()> {
        tools::run(
            Command::new("node")
                .args(["--test", "--test-reporter=spec"])
                .env("TRILITH_URL", url)
                .current_dir(&self.folder),
        )
        .context("the JavaScript suites failed")
    }
}

/// Fails with the next step where Node.js is missing or too old.
fn require_node() -> Result<()> {
    let hint = "install Node.js 20 or newer with npm, then run `cargo xtask clients` again";
    for tool in ["node", "npm"] {
        if !tools::is_there(tool) {
            bail!("`{tool}` is not on the search path; {hint}");
        }
    }
    let output = Command::new("node").arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .ok_or_else(|| anyhow!("`node --version` printed {version:?}; {hint}"))?;
    if major < NODE_MAJOR_MIN {
        bail!("Node.js is {version}, needed is {NODE_MAJOR_MIN}; {hint}");
    }
    Ok(())
}
