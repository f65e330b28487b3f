//! Suites of programs that clients expect at addresses of their own: an instance of the local
//! library puts them there, because deploying to such an address needs a key that only its network
//! has.
//!
//! The program files are never part of this repository. The token metadata program is taken from
//! the published crate that carries it among its tests; the stake pool program is in no package, so
//! whoever runs its suite names the file.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::{VARIABLE, node_test};
use crate::clients::node::{Interface, parse_endpoint};
use crate::tools;

/// Where the pool's JavaScript library looks for its program.
const STAKE_POOL: &str = "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy";

/// Where the stake pool program looks for the token metadata program.
const METADATA: &str = "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s";

/// The published crate that carries the token metadata program, with its version.
const METADATA_CRATE: (&str, &str) = ("spl-stake-pool", "2.2.0");

/// The program's file in the crate, and its SHA-256.
const METADATA_FILE: &str = "tests/fixtures/mpl_token_metadata.so";
const METADATA_HASH: &str = "31f0a627dba051a938de650464e55cc5397a4be0fd496929c1f9cf02fe5e9011";

/// Runs the suites of loaded programs: of token metadata always, of the stake pool if its file is
/// given.
///
/// # Errors
/// If a program's file is missing or another one, or a suite fails.
pub fn run(root: &Path, folder: &Path, stake_pool: Option<&Path>) -> Result<()> {
    let metadata = metadata_program()?;
    let mut programs = vec![format!("{METADATA}={}", metadata.display())];
    let mut suites = vec!["programs/token_metadata.mjs"];
    match stake_pool {
        Some(path) => {
            let path = std::path::absolute(path)?;
            programs.push(format!("{STAKE_POOL}={}", path.display()));
            suites.push("programs/stake_pool.mjs");
        }
        None => println!(
            "the stake pool's suite is left out: it needs `solana-clients programs --stake-pool FILE`, the program as \
             `solana program dump --url mainnet-beta {STAKE_POOL} FILE` writes it"
        ),
    }
    let binary = build(root)?;
    let mut instance = Command::new(&binary)
        .args(&programs)
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
        Some(url) => tools::run(node_test(folder).args(&suites).env(VARIABLE, url))
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

/// The token metadata program, from the crate's folder in cargo's registry.
fn metadata_program() -> Result<PathBuf> {
    let (name, version) = METADATA_CRATE;
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
        let path = package.join(METADATA_FILE);
        if path.is_file() {
            check(&path, METADATA_HASH)?;
            return Ok(path);
        }
    }
    bail!(
        "{METADATA_FILE} of {name} {version} is not below {}",
        sources.display()
    )
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
