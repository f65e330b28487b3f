//! The argument of a call or an installation, as the user gives it: candid text, a file with it,
//! or bytes.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::text::{Types, encode};
use crate::output::Failure;

/// Largest file with an argument. A message has at most 2 MiB; as text an argument may be longer.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Options for an argument that does not stand in the command itself.
#[derive(Args, Clone, Debug)]
pub(super) struct ArgumentOptions {
    /// File with the argument as candid text
    #[arg(long, value_name = "FILE", group = "written")]
    arg_file: Option<PathBuf>,
    /// The argument as bytes in hexadecimal, sent as they are
    #[arg(long, value_name = "HEX", group = "written")]
    arg_hex: Option<String>,
    /// File with the interface, instead of the canister's own
    #[arg(long, value_name = "FILE", conflicts_with = "no_interface")]
    pub(super) did: Option<PathBuf>,
    /// Use no interface: take the types of the argument from its text
    #[arg(long)]
    pub(super) no_interface: bool,
}

/// An argument that is yet to be encoded.
pub(super) enum Written {
    /// There is none.
    Nothing,
    /// Candid text.
    Text(String),
    /// Bytes that are sent as they are.
    Bytes(Vec<u8>),
}

impl ArgumentOptions {
    /// What the user gave, in the command itself or elsewhere.
    pub(super) fn written(&self, in_command: Option<&str>) -> Result<Written> {
        if let Some(text) = in_command {
            return Ok(Written::Text(text.to_owned()));
        }
        if let Some(digits) = &self.arg_hex {
            let bytes = hex::decode(digits.trim_start_matches("0x")).map_err(|error| Failure {
                message: "--arg-hex is not hexadecimal".to_owned(),
                causes: vec![error.to_string()],
                next: Some("give two digits for each byte, such as 4449444c0000".to_owned()),
                usage: true,
                ..Failure::default()
            })?;
            return Ok(Written::Bytes(bytes));
        }
        let Some(path) = &self.arg_file else {
            return Ok(Written::Nothing);
        };
        let mut text = String::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        read.map_err(|error| Failure {
            message: format!("the argument in {} cannot be read", path.display()),
            causes: vec![error.to_string()],
            next: Some("give a file with candid text, such as (1, \"text\")".to_owned()),
            usage: true,
            ..Failure::default()
        })?;
        Ok(Written::Text(text))
    }
}

/// Encodes an argument for `whom`, a method or an installation. Without an interface the types are
/// taken from the text.
pub(super) fn encoded(written: &Written, types: Option<Types<'_>>, whom: &str) -> Result<Vec<u8>> {
    let text = match written {
        Written::Bytes(bytes) => return Ok(bytes.clone()),
        Written::Text(text) => text.as_str(),
        Written::Nothing => "()",
    };
    let fault = match encode(text, types) {
        Ok(bytes) => return Ok(bytes),
        Err(fault) => fault,
    };
    let message = match (written, fault.at) {
        (Written::Nothing, _) => format!("{whom} wants an argument"),
        (_, Some((line, column))) => {
            format!("the argument cannot be read at line {line}, column {column}")
        }
        _ => format!("the argument does not fit {whom}"),
    };
    let mut causes = vec![fault.message];
    causes.extend(fault.around);
    let next = match types {
        Some(types) => {
            causes.push(format!("{whom} takes {}", types.signature()));
            format!("write it like this: '{}'", types.example())
        }
        None => "write it in parentheses, like this: '(1, \"text\", opt true)'".to_owned(),
    };
    let mut failure = Failure {
        message,
        causes,
        next: Some(next),
        usage: true,
        ..Failure::default()
    };
    if let Some((line, column)) = fault.at {
        let place = json!({ "line": line, "column": column });
        failure.details.insert("argument_at".to_owned(), place);
    }
    if let Some(types) = types {
        let expected = json!(types.signature());
        failure
            .details
            .insert("argument_expected".to_owned(), expected);
    }
    Err(failure.into())
}
