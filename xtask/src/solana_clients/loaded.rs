//! Suites of programs that clients expect at addresses of their own: an instance of the local
//! library puts them there, because deploying to such an address needs a key that only its network
//! has.
//!
//! The program files are never part of this repository. They are taken from published crates that
//! carry them; the stake pool program was found in no package, so whoever runs its suite names the
//! file.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::{VARIABLE, node_test};
use crate::clients::node::{Interface, parse_endpoint};
use crate::tools;

/// A program in a published crate.
struct ProgramFile {
    /// Where its clients expect it.
    address: &'static str,
    /// The crate.
    package: &'static str,
    /// The crate's version.
    version: &'static str,
    /// The file in it.
    path: &'static str,
    /// The file's SHA-256.
    hash: &'static str,
}

/// The token metadata program.
const METADATA: ProgramFile = ProgramFile {
    address: "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s",
    package: "spl-stake-pool",
    version: "2.2.0",
    path: "tests/fixtures/mpl_token_metadata.so",
    hash: "31f0a627dba051a938de650464e55cc5397a4be0fd496929c1f9cf02fe5e9011",
};

/// The token program before the one that genesis has.
const CLASSIC_TOKEN: ProgramFile = ProgramFile {
    address: "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    package: "litesvm",
    version: "0.16.0",
    path: "src/programs/elf/spl_token-3.5.0.so",
    hash: "7b44674b9704fa7640fbebfac68389f338b500b8c2bc29175c27ed66838b5a3c",
};

/// Where the pool's JavaScript library looks for its program.
const STAKE_POOL: &str = "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy";

/// Runs the suites of loaded programs: of token metadata and the classic token program always, of
/// the stake pool if its file is given.
///
/// # Errors
/// If a program's file is missing or another one, or a suite fails.
pub fn run(root: &Path, folder: &Path, stake_pool: Option<&Path>) -> Result<()> {
    let binary = build(root)?;
    let classic = [CLASSIC_TOKEN.argument()?];
    let suites = ["programs/classic_token.mjs", "tokens.test.mjs"];
    with_programs(&binary, folder, &classic, &suites)?;
    let mut programs = vec![METADATA.argument()?];
    let mut suites = vec!["programs/token_metadata.mjs"];
    match stake_pool {
        Some(path) => {
            let path = std::path::absolute(path)?;
            programs.push(format!("{STAKE_POOL}={}", path.display()));
            suites.push("programs/stake_pool.mjs");
        }
        None => println!(
            "the stake pool's suite is left out: it needs `solana-clients programs --stake-pool \
             FILE`, the program as `solana program dump --url mainnet-beta {STAKE_POOL} FILE` \
             writes it"
        ),
    }
    with_programs(&binary, folder, &programs, &suites)
}

/// Runs suites against an instance with programs.
fn with_programs(binary: &Path, folder: &Path, programs: &[String], suites: &[&str]) -> Result<()> {
    let mut instance = Command::new(binary)
        .args(programs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let output = instance.stdout.take().context("it has no stdout")?;
    // Kept to the end, or the instance would fail to print.
    let mut lines = BufReader::new(output).lines();
    let url = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| parse_endpoint(&line, Interface::Account));
    let result = match url {
        Some(url) => tools::run(node_test(folder).args(suites).env(VARIABLE, url))
            .context("a suite of loaded programs failed"),
        None => Err(anyhow::anyhow!("the instance ended without an endpoint")),
    };
    // The instance ends with its input.
    drop(instance.stdin.take());
    let status = instance.wait()?;
    result?;
    if !status.success() {
        bail!("the instance ended with {status}");
    }
    Ok(())
}

/// Builds the example that serves an instance, as `cargo test` does for the whole workspace, and
/// returns its path.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    tools::run(
        Command::new(cargo)
            .args(["build", "--locked", "--workspace", "--example", "serve"])
            .current_dir(root),
    )?;
    Ok(tools::target_directory(root)?
        .join("debug")
        .join("examples")
        .join("serve"))
}

impl ProgramFile {
    /// What the example is told: the address, and the file in the crate's folder in cargo's
    /// registry.
    fn argument(&self) -> Result<String> {
        let path = self.find()?;
        check(&path, self.hash)?;
        Ok(format!("{}={}", self.address, path.display()))
    }

    fn find(&self) -> Result<PathBuf> {
        let (name, version) = (self.package, self.version);
        // Asking for a crate brings its files, and nothing of what it depends on.
        tools::run(
            Command::new("cargo")
                .args(["info", "--quiet", &format!("{name}@{version}")])
                .stdout(Stdio::null()),
        )?;
        let home = match std::env::var_os("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => std::env::home_dir()
                .context("there is no home folder")?
                .join(".cargo"),
        };
        let sources = home.join("registry").join("src");
        let registries = std::fs::read_dir(&sources)
            .with_context(|| format!("cannot list {}", sources.display()))?;
        for registry in registries {
            let package = registry?.path().join(format!("{name}-{version}"));
            let path = package.join(self.path);
            if path.is_file() {
                return Ok(path);
            }
        }
        bail!(
            "{} of {name} {version} is not below {}",
            self.path,
            sources.display()
        )
    }
}

/// Requires that a file is the one that is meant.
fn check(path: &Path, expected: &str) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != expected {
        bail!("{} has SHA-256 {found}, not {expected}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn another_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(check(file.path(), of_nothing).is_ok());
        std::fs::write(file.path(), b"x").unwrap();
        let error = check(file.path(), of_nothing).unwrap_err().to_string();
        assert!(error.contains("not e3b0c442"), "{error}");
    }
}
