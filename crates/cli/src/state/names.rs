//! How users write runtimes, keys and roots on the command line, and how they are shown.
//!
//! Bytes are hexadecimal everywhere, with or without `0x`; keys may also be written as text. What
//! comes from a state is shown as text only where that cannot mislead or control a terminal.

use trilith_proof::mkvs::KEY_BYTES_MAX;
use trilith_protocol::root::ROOT_RUNTIME;
use trilith_types::{Hash, RuntimeId};

use crate::network::{ACCOUNT_RUNTIME, CANISTER_RUNTIME};

/// How a key starts that is written as text.
const TEXT_PREFIX: &str = "text:";

/// Runtimes that have names of their own.
const NAMED: [(&str, RuntimeId); 3] = [
    ("root", ROOT_RUNTIME),
    ("canister", CANISTER_RUNTIME),
    ("account", ACCOUNT_RUNTIME),
];

/// A key of a state. A type of its own, because to the command line a list of bytes is a list of
/// arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub Vec<u8>);

/// Reads a key: hexadecimal, or text after `text:`.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_key(text: &str) -> Result<Key, String> {
    let bytes = match text.strip_prefix(TEXT_PREFIX) {
        Some(text) => text.as_bytes().to_vec(),
        None => parse_hex(text).map_err(|fault| {
            format!("{fault}; write hexadecimal digits, or text as {TEXT_PREFIX}…")
        })?,
    };
    if bytes.len() > KEY_BYTES_MAX {
        let len = bytes.len();
        return Err(format!(
            "it has {len} bytes, over the limit of {KEY_BYTES_MAX}"
        ));
    }
    Ok(Key(bytes))
}

/// Reads a runtime: its name, or its identifier.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_runtime(text: &str) -> Result<RuntimeId, String> {
    let named = NAMED.iter().find(|(name, _)| *name == text);
    if let Some((_, id)) = named {
        return Ok(*id);
    }
    let bytes = parse_hex(text).map_err(|fault| format!("{fault}; {RUNTIME_FORM}"))?;
    RuntimeId::from_slice(&bytes)
        .ok_or_else(|| format!("it has {} bytes; {RUNTIME_FORM}", bytes.len()))
}

const RUNTIME_FORM: &str =
    "write root, canister, account, or the 64 hexadecimal digits of an identifier";

/// Reads a root.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub fn parse_root(text: &str) -> Result<Hash, String> {
    let form = "a root has 64 hexadecimal digits";
    let bytes = parse_hex(text).map_err(|fault| format!("{fault}; {form}"))?;
    Hash::from_slice(&bytes).ok_or_else(|| format!("it has {} bytes; {form}", bytes.len()))
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { c, .. } => {
            format!("{c:?} is no hexadecimal digit")
        }
        _ => format!("it has {} digits, an odd number", digits.len()),
    })
}

/// The name of a runtime, if it has one.
pub fn runtime_name(id: &RuntimeId) -> Option<&'static str> {
    let named = NAMED.iter().find(|(_, named)| named == id);
    named.map(|(name, _)| *name)
}

/// A runtime for a line of text: its name where it has one, and its identifier.
pub fn show_runtime(id: &RuntimeId) -> String {
    match runtime_name(id) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_string(),
    }
}

/// Bytes as text, if they are text that can be shown as it is: letters, digits, spaces and what
/// ASCII has besides. Anything else might rearrange or control what a terminal shows.
pub fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = |character: char| {
        character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric()
    };
    (!text.is_empty() && text.chars().all(is_plain)).then_some(text)
}

/// A number of bytes, also in the unit that suits it.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = (bytes.ilog2() / 10).clamp(1, 6);
    let tenths = u128::from(bytes) * 10 / (1u128 << (10 * power));
    let unit = UNITS[power as usize - 1];
    format!("{bytes} bytes ({}.{} {unit})", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hexadecimal_or_text() {
        assert_eq!(parse_key("0x00ff"), Ok(Key(vec![0, 0xff])));
        assert_eq!(parse_key("text:a b"), Ok(Key(b"a b".to_vec())));
        assert_eq!(parse_key(""), Ok(Key(Vec::new())));
        let fault = parse_key("0g").unwrap_err();
        assert!(
            fault.starts_with("'g' is no hexadecimal digit; write"),
            "{fault}"
        );
        let fault = parse_key("abc").unwrap_err();
        assert!(
            fault.starts_with("it has 3 digits, an odd number; "),
            "{fault}"
        );
        let long = "00".repeat(KEY_BYTES_MAX + 1);
        assert!(parse_key(&long[2..]).is_ok());
        let fault = parse_key(&long).unwrap_err();
        assert_eq!(fault, "it has 8192 bytes, over the limit of 8191");
    }

    #[test]
    fn runtimes_have_names_and_identifiers() {
        assert_eq!(parse_runtime("canister"), Ok(CANISTER_RUNTIME));
        assert_eq!(parse_runtime(&ROOT_RUNTIME.to_string()), Ok(ROOT_RUNTIME));
        assert!(show_runtime(&ROOT_RUNTIME).starts_with("root (0000"));
        assert!(parse_runtime("roots").unwrap_err().contains("write root"));
        assert!(
            parse_runtime("00")
                .unwrap_err()
                .starts_with("it has 1 bytes")
        );
        assert!(parse_root("00").is_err());
    }

    #[test]
    fn what_could_control_a_terminal_is_no_text() {
        assert_eq!(printable("grün 1".as_bytes()), Some("grün 1"));
        for bytes in [
            &b""[..],
            b"\x1b[2J",
            b"a\nb",
            b"\xff",
            "a\u{202e}b".as_bytes(),
        ] {
            assert_eq!(printable(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn sizes_are_exact_and_readable() {
        assert_eq!(show_bytes(1023), "1023 bytes");
        assert_eq!(show_bytes(1536), "1536 bytes (1.5 KiB)");
        assert_eq!(
            show_bytes(u64::MAX),
            "18446744073709551615 bytes (15.9 EiB)"
        );
    }
}
