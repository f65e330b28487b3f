//! Rebuilds the sample canisters in `canisters/`.
//!
//! Each language is built where its tools are there, and skipped with the reason where they are
//! not: the built files are committed, so nothing else depends on this command. A canister whose
//! compiler does not embed its interface gets it here, as the custom section
//! `icp:public candid:service`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools;

/// Custom section that holds the Candid interface, readable by anyone (IC interface specification,
/// "Canister module format").
const CANDID_SECTION: &str = "icp:public candid:service";

/// The canisters written in WAT, by file stem.
const WAT_NAMES: [&str; 3] = ["caller", "counter", "limits"];

/// Builds what can be built here.
///
/// # Errors
/// If a tool that is there fails, or a file cannot be read or written.
pub fn run(root: &Path) -> Result<()> {
    let folder = root.join("canisters");
    build_wat(&folder.join("wat"))?;
    build_c(&folder.join("c"))?;
    build_motoko(&folder.join("motoko"))
}

fn build_wat(folder: &Path) -> Result<()> {
    for name in WAT_NAMES {
        let source = folder.join(format!("{name}.wat"));
        let wasm = wat::parse_file(&source)
            .with_context(|| format!("{} does not assemble", source.display()))?;
        write_with_interface(folder, name, wasm)?;
    }
    Ok(())
}

fn build_c(folder: &Path) -> Result<()> {
    for tool in ["clang-19", "wasm-ld-19"] {
        if !tools::is_there(tool) {
            eprintln!("c: skipped, `{tool}` is not installed (Debian: clang-19 lld-19)");
            return Ok(());
        }
    }
    let object = folder.join("counter.o");
    let linked = folder.join("counter.linked");
    tools::run(
        Command::new("clang-19")
            .args([
                "--target=wasm32",
                "-Os",
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
            ])
            .args(["-nostdlib", "-ffreestanding", "-fno-builtin"])
            .args(["-c", "counter.c", "-o"])
            .arg(&object)
            .current_dir(folder),
    )?;
    tools::run(
        Command::new("wasm-ld-19")
            .args(["--no-entry", "--strip-all"])
            .args(["-z", "stack-size=65536", "--initial-memory=131072"])
            .arg(&object)
            .arg("-o")
            .arg(&linked)
            .current_dir(folder),
    )?;
    let wasm = std::fs::read(&linked)?;
    std::fs::remove_file(&object)?;
    std::fs::remove_file(&linked)?;
    write_with_interface(folder, "counter", wasm)
}

fn build_motoko(folder: &Path) -> Result<()> {
    for tool in ["node", "npm"] {
        if !tools::is_there(tool) {
            eprintln!("motoko: skipped, `{tool}` is not installed");
            return Ok(());
        }
    }
    tools::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts"])
            .current_dir(folder),
    )?;
    tools::run(Command::new("node").arg("build.mjs").current_dir(folder))
}

/// Writes `<name>.wasm` with the interface from `<name>.did`.
fn write_with_interface(folder: &Path, name: &str, mut wasm: Vec<u8>) -> Result<()> {
    let interface = std::fs::read(folder.join(format!("{name}.did")))
        .with_context(|| format!("{name}.did is missing"))?;
    append_custom_section(&mut wasm, CANDID_SECTION, &interface)?;
    let target = folder.join(format!("{name}.wasm"));
    std::fs::write(&target, &wasm)?;
    println!("{name}.wasm: {} bytes", wasm.len());
    Ok(())
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
