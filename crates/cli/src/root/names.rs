//! How accounts, keys, runtimes and versions are written on the command line.

use std::path::Path;

use trilith_protocol::root::Address;
use trilith_protocol::root::registry::Version;
use trilith_types::{PublicKey, RuntimeId, SecretKey};

use crate::canister::identity::load_ed25519;
use crate::state::names::parse_runtime;

const ACCOUNT_FORM: &str = "write an address (oasis1…), the 64 hexadecimal digits of a key, \
                            runtime:ID, or the PEM file of a key";

const KEY_FORM: &str = "write the 64 hexadecimal digits of a key, or the PEM file of one";

/// Reads an account: its address, the key of its owner, a runtime, or a file with the key.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_account(text: &str) -> Result<Address, String> {
    if let Some(runtime) = text.strip_prefix("runtime:") {
        return parse_runtime(runtime).map(|id| Address::of_runtime(&id));
    }
    if text.starts_with("oasis1") {
        return text
            .parse()
            .map_err(|error| format!("{error}; {ACCOUNT_FORM}"));
    }
    match parse_key(text) {
        Ok(key) => Ok(Address::of_key(&key)),
        Err(_) => Err(format!("it is none of these; {ACCOUNT_FORM}")),
    }
}

/// Reads a public key, or the one of a file with a private key.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_key(text: &str) -> Result<PublicKey, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if let Some(key) = hex::decode(digits)
        .ok()
        .and_then(|bytes| PublicKey::from_slice(&bytes))
    {
        return Ok(key);
    }
    if Path::new(text).is_file() {
        let seed = load_ed25519(Path::new(text)).map_err(|error| format!("{error:#}"))?;
        return Ok(SecretKey::from_seed(seed).public());
    }
    Err(format!("it is neither; {KEY_FORM}"))
}

/// Reads a version: one to three numbers with dots.
///
/// # Errors
/// How to write it.
pub fn parse_version(text: &str) -> Result<Version, String> {
    let form = || format!("{text:?} is no version; write numbers with dots, such as 1.0.0");
    let numbers: Result<Vec<u16>, _> = text.split('.').map(str::parse).collect();
    match numbers.map_err(|_| form())?[..] {
        [major] => Ok(version(major, 0, 0)),
        [major, minor] => Ok(version(major, minor, 0)),
        [major, minor, patch] => Ok(version(major, minor, patch)),
        _ => Err(form()),
    }
}

const fn version(major: u16, minor: u16, patch: u16) -> Version {
    Version {
        major,
        minor,
        patch,
    }
}

/// Reads a runtime with the version that a node has of it: `ID` or `ID@1.0.0`.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_runtime_version(text: &str) -> Result<(RuntimeId, Version), String> {
    let (id, version) = text.split_once('@').unwrap_or((text, "1.0.0"));
    Ok((parse_runtime(id)?, parse_version(version)?))
}

/// A version as it is written.
pub fn show_version(version: &Version) -> String {
    format!("{}.{}.{}", version.major, version.minor, version.patch)
}
