//! Runs every fuzz target for a few seconds: a check that the targets still build and that nothing
//! near the surface panics, not a search.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools;

/// How long each target runs, in seconds.
const TARGET_SECONDS: u32 = 5;

/// Runs the targets one after the other.
///
/// # Errors
/// If cargo-fuzz or a nightly toolchain is missing, or a target fails.
pub fn run(root: &Path) -> Result<()> {
    let mut names = target_names(&root.join("fuzz").join("targets"))?;
    names.sort();
    let there = Command::new("cargo")
        .args(["+nightly", "fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        bail!(
            "`cargo +nightly fuzz` does not run; install a nightly toolchain with rustup and \
             `cargo install cargo-fuzz`, then run `cargo xtask fuzz-smoke` again"
        );
    }
    for name in names {
        println!("== {name}");
        tools::run(
            Command::new("cargo")
                .args(["+nightly", "fuzz", "run", &name, "--"])
                .arg(format!("-max_total_time={TARGET_SECONDS}"))
                .arg("-print_final_stats=0")
                .current_dir(root),
        )?;
    }
    Ok(())
}

fn target_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if let Some(stem) = path.file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
