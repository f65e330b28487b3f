//! Rebuilds the sample canisters in `canisters/` and compares them with the committed files.
//!
//! Each language is built where its tools are there, and skipped with the reason where they are
//! not: the built files are committed, so nothing else depends on this command. A canister whose
//! compiler does not embed its interface gets it here, as the custom section
//! `icp:public candid:service`.
//!
//! Everything is built below `canisters/target`, whatever is in the environment, and the committed
//! files change only when that is asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools;

/// Custom section that holds the Candid interface, readable by anyone (IC interface specification,
/// "Canister module format").
const CANDID_SECTION: &str = "icp:public candid:service";

/// Compiler of the committed Rust canisters. Another one makes other bytes of the same sources.
const RUST_VERSION: &str = "1.95.0";

/// The target of Rust canisters.
const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// What to do with files that differ from the committed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differing {
    /// Fail, and name them.
    Refuse,
    /// Replace the committed ones.
    Replace,
}

/// Where things are, and what came of those that were built.
struct Recipe {
    /// The folder `canisters`.
    sources: PathBuf,
    /// Where results are put.
    results: PathBuf,
    differing: Differing,
    differences: Vec<String>,
}

/// Builds what can be built here, and compares it with what is committed.
///
/// # Errors
/// If a tool that is there fails, a file cannot be read or written, or, unless they are to be
/// replaced, committed files differ from those built.
pub fn run(root: &Path, differing: Differing) -> Result<()> {
    let sources = root.join("canisters");
    let results = sources.join("target");
    let mut recipe = Recipe {
        sources,
        results,
        differing,
        differences: Vec::new(),
    };
    recipe.build_wat()?;
    recipe.build_c()?;
    recipe.build_motoko()?;
    recipe.build_rust()?;
    if recipe.differences.is_empty() {
        return Ok(());
    }
    bail!(
        "built files differ from the committed ones: {}; `cargo xtask canisters --write` replaces \
         them",
        recipe.differences.join(", ")
    )
}

/// Whether all of these programs are there; says which is not.
fn have(language: &str, programs: &[&str], hint: &str) -> bool {
    let missing = programs.iter().find(|program| !tools::is_there(program));
    if let Some(program) = missing {
        eprintln!("{language}: skipped, `{program}` is not installed ({hint})");
    }
    missing.is_none()
}

/// The stems of the files of a folder that end in `.extension`, in order.
fn stems(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| folder.display().to_string())?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl Recipe {
    /// The folders of a language: its sources and its results.
    fn folders(&self, language: &str) -> Result<(PathBuf, PathBuf)> {
        let results = self.results.join(language);
        std::fs::create_dir_all(&results)
            .with_context(|| format!("cannot create {}", results.display()))?;
        Ok((self.sources.join(language), results))
    }

    fn build_wat(&mut self) -> Result<()> {
        let (sources, _) = self.folders("wat")?;
        for name in stems(&sources, "wat")? {
            let source = sources.join(format!("{name}.wat"));
            let wasm = wat::parse_file(&source)
                .with_context(|| format!("{} does not assemble", source.display()))?;
            self.finish("wat", &name, &sources.join(format!("{name}.did")), wasm)?;
        }
        Ok(())
    }

    fn build_c(&mut self) -> Result<()> {
        if !have("c", &["clang-19", "wasm-ld-19"], "Debian: clang-19 lld-19") {
            return Ok(());
        }
        let (sources, results) = self.folders("c")?;
        for name in stems(&sources, "c")? {
            let object = results.join(format!("{name}.o"));
            let linked = results.join(format!("{name}.linked"));
            tools::run(
                Command::new("clang-19")
                    .args(["--target=wasm32", "-Os", "-std=c11"])
                    .args(["-Wall", "-Wextra", "-Werror"])
                    .args(["-nostdlib", "-ffreestanding", "-fno-builtin"])
                    .args(["-c", &format!("{name}.c"), "-o"])
                    .arg(&object)
                    .current_dir(&sources),
            )?;
            tools::run(
                Command::new("wasm-ld-19")
                    .args(["--no-entry", "--strip-all"])
                    .args(["-z", "stack-size=65536", "--initial-memory=131072"])
                    .arg(&object)
                    .arg("-o")
                    .arg(&linked),
            )?;
            let wasm = std::fs::read(&linked)?;
            self.finish("c", &name, &sources.join(format!("{name}.did")), wasm)?;
        }
        Ok(())
    }

    fn build_motoko(&mut self) -> Result<()> {
        if !have("motoko", &["node", "npm"], "Node 20 or newer") {
            return Ok(());
        }
        let (sources, results) = self.folders("motoko")?;
        tools::run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts"])
                .current_dir(&sources),
        )?;
        tools::run(
            Command::new("node")
                .arg("build.mjs")
                .arg(&results)
                .current_dir(&sources),
        )?;
        for name in stems(&sources, "mo")? {
            for extension in ["did", "wasm"] {
                let file = format!("{name}.{extension}");
                let bytes = std::fs::read(results.join(&file))?;
                self.compare("motoko", &file, &bytes)?;
            }
        }
        Ok(())
    }

    fn build_rust(&mut self) -> Result<()> {
        let (sources, results) = self.folders("rust")?;
        if !have("rust", &["cargo", "rustc"], "https://rustup.rs") || !rust_is_right(&sources)? {
            return Ok(());
        }
        tools::run(
            Command::new("cargo")
                .args(["build", "--release", "--locked", "--target", RUST_TARGET])
                .arg("--target-dir")
                .arg(&results)
                .env("CARGO_ENCODED_RUSTFLAGS", remapped(&sources)?)
                .env_remove("RUSTFLAGS")
                .current_dir(&sources),
        )?;
        let built = results.join(RUST_TARGET).join("release");
        for name in stems(&built, "wasm")? {
            let wasm = std::fs::read(built.join(format!("{name}.wasm")))?;
            let interface = sources.join(&name).join(format!("{name}.did"));
            self.finish("rust", &name, &interface, wasm)?;
        }
        Ok(())
    }

    /// Appends the interface, if there is one, and compares.
    fn finish(
        &mut self,
        language: &str,
        name: &str,
        interface: &Path,
        mut wasm: Vec<u8>,
    ) -> Result<()> {
        if interface.exists() {
            let text = std::fs::read(interface)?;
            append_custom_section(&mut wasm, CANDID_SECTION, &text)?;
        }
        self.compare(language, &format!("{name}.wasm"), &wasm)
    }

    /// Compares what was built with the committed file, and replaces it if that is wanted.
    fn compare(&mut self, language: &str, file: &str, bytes: &[u8]) -> Result<()> {
        let committed = self.sources.join(language).join(file);
        let same = std::fs::read(&committed).is_ok_and(|found| found == bytes);
        let verdict = match (same, self.differing) {
            (true, _) => "as committed",
            (false, Differing::Replace) => {
                std::fs::write(&committed, bytes)
                    .with_context(|| format!("cannot write {}", committed.display()))?;
                "replaced"
            }
            (false, Differing::Refuse) => {
                self.differences.push(format!("{language}/{file}"));
                "differs"
            }
        };
        println!("{language}/{file}: {} bytes, {verdict}", bytes.len());
        Ok(())
    }
}

/// What a program prints, without the line break.
fn output(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether compiler and target are those of the committed files; says what is missing.
fn rust_is_right(folder: &Path) -> Result<bool> {
    let version = output("rustc", &["--version"], folder)?;
    if version.split(' ').nth(1) != Some(RUST_VERSION) {
        eprintln!(
            "rust: skipped, the committed files were built by rustc {RUST_VERSION}, not by {version}"
        );
        return Ok(false);
    }
    let library = output(
        "rustc",
        &["--print", "target-libdir", "--target", RUST_TARGET],
        folder,
    )?;
    if !Path::new(&library).is_dir() {
        eprintln!("rust: skipped, run `rustup target add {RUST_TARGET}`");
        return Ok(false);
    }
    Ok(true)
}

/// Flags that keep paths of this machine out of the built files: sources of dependencies show as
/// `registry/<crate>`, those of the canisters without their folder.
fn remapped(folder: &Path) -> Result<String> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let mut flags = vec![format!("--remap-path-prefix={}=.", folder.display())];
    let registries = home.join("registry/src");
    if registries.is_dir() {
        for entry in registries.read_dir()? {
            flags.push(format!(
                "--remap-path-prefix={}=registry",
                entry?.path().display()
            ));
        }
    }
    Ok(flags.join("\x1f"))
}

/// Appends a custom section: id 0, length, name, content (WebAssembly core specification, "Custom
/// section"). Custom sections may stand at the end of any module.
fn append_custom_section(wasm: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<()> {
    if !wasm.starts_with(b"\0asm") {
        bail!(
            "not a Wasm module: it starts with {:02x?}",
            &wasm[..wasm.len().min(4)]
        );
    }
    let mut body = leb128(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    wasm.push(0);
    wasm.extend_from_slice(&leb128(body.len()));
    wasm.extend_from_slice(&body);
    Ok(())
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
