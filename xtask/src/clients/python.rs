//! The suites in `clients/python`, in a virtual environment below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools;

/// The oldest Python that the pinned packages run on.
const PYTHON_MIN: (u32, u32) = (3, 10);

const HINT: &str = "install Python 3.10 or newer with its modules `venv` and `ensurepip` (Debian \
                    and Ubuntu: `apt install python3-venv`), then run `cargo xtask clients` again, \
                    or run `cargo xtask clients javascript`";

/// Prints the version, and fails where an environment cannot be made.
const PROBE: &str = "import sys, venv, ensurepip; print(*sys.version_info[:2])";

/// Suites whose packages are installed.
pub struct Suites {
    folder: PathBuf,
    python: PathBuf,
}

impl Suites {
    /// Makes the environment and installs the packages, each held against its hash. An environment
    /// that was made from the same requirements by the same Python is used again.
    ///
    /// # Errors
    /// If Python is missing, too old or incomplete, with the next step, or if pip fails.
    pub fn prepare(root: &Path) -> Result<Self> {
        let (base, version) = require_python()?;
        let folder = root.join("clients").join("python");
        let requirements = folder.join("requirements.txt");
        let environment = tools::target_directory(root)?.join("clients-python");
        let python = environment.join("bin").join("python");
        let content = fs::read_to_string(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let made_of = format!("# Python {version}\n{content}");
        let record = environment.join("made-of.txt");
        if fs::read_to_string(&record).is_ok_and(|record| record == made_of) {
            return Ok(Self { folder, python });
        }
        tools::run(
            Command::new(base)
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
        )?;
        tools::run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--disable-pip-version-check", "--require-hashes", "-r"])
                .arg(&requirements),
        )?;
        fs::write(&record, made_of)?;
        Ok(Self { folder, python })
    }

    /// Runs them against the node at `url`.
    ///
    /// # Errors
    /// If a test fails.
    pub fn run(&self, url: &str) -> Result<()> {
        tools::run(
            Command::new(&self.python)
                // The clients use deprecated functions of their libraries at every call.
                .args(["-B", "-W", "ignore", "-m", "unittest", "discover", "-v"])
                .env("TRILITH_URL", url)
                .current_dir(&self.folder),
        )
        .context("the Python suites failed")
    }
}

/// The first Python on the search path that will do, and its version.
fn require_python() -> Result<(&'static str, String)> {
    let mut found = Vec::new();
    for program in ["python3", "python"] {
        let output = Command::new(program)
            .args(["-c", PROBE])
            .stdin(Stdio::null())
            .output();
        let Ok(output) = output else {
            continue;
        };
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match parse_version(&printed) {
            Some(version) if version >= PYTHON_MIN => {
                return Ok((program, format!("{}.{}", version.0, version.1)));
            }
            Some((major, minor)) => found.push(format!("`{program}` is {major}.{minor}")),
            None => found.push(format!("`{program}` lacks `venv` or `ensurepip`")),
        }
    }
    if found.is_empty() {
        bail!("neither `python3` nor `python` is on the search path; {HINT}");
    }
    bail!("{}; {HINT}", found.join(", "));
}

fn parse_version(printed: &str) -> Option<(u32, u32)> {
    let (major, minor) = printed.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{PYTHON_MIN, parse_version};

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse_version("3 9").is_some_and(|version| version < PYTHON_MIN));
        assert!(parse_version("3 14").is_some_and(|version| version >= PYTHON_MIN));
        assert_eq!(parse_version(""), None);
        assert_eq!(parse_version("3.11"), None);
    }
}
