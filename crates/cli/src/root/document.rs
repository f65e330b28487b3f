//! Genesis documents as files: JSON for people, canonical CBOR for signatures and hashes.
//!
//! Invariant: both forms of a document have the same hash, which names the network.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::{GENESIS_BYTES_MAX, Services};
use trilith_types::cbor::DecodeError;

use super::json::{self, JsonFault};
use crate::output::{Failure, NextStep};

/// Most bytes of a file with a document: four for each of the largest one, in hexadecimal with
/// names around it. Own choice.
const FILE_BYTES_MAX: u64 = 4 * GENESIS_BYTES_MAX as u64;

/// Name of the field with the services' parts.
const SERVICES: &str = "services";

/// Reads at most `limit` bytes of a file.
///
/// # Errors
/// If it cannot be read, or is longer.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let shown = path.display();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read()
        .with_context(|| format!("{shown} cannot be read"))
        .context(NextStep("give a file that exists and that you can read"))?;
    if bytes.len() as u64 > limit {
        return Err(
            anyhow!("{shown} has more than {limit} bytes").context(NextStep(
                "give a file with what the command asks for; this is something else",
            )),
        );
    }
    Ok(bytes)
}

/// Reads a document from a file in either form.
///
/// # Errors
/// What is wrong with the file, naming field, value and limit.
pub fn read(path: &Path) -> Result<RootGenesis> {
    let bytes = read_file(path, FILE_BYTES_MAX)?;
    parse(&bytes).map_err(|fault| {
        let next = "correct the file; `trilith genesis show` of another document shows the form";
        Failure {
            message: format!("{} is no genesis document", path.display()),
            causes: vec![fault.to_string()],
            next: Some(next.to_owned()),
            ..Failure::default()
        }
        .into()
    })
}

/// Reads a document in either form.
///
/// # Errors
/// What is wrong with it, naming field, value and limit.
pub fn parse(bytes: &[u8]) -> Result<RootGenesis> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        let value: Value = serde_json::from_slice(bytes).context("it is no JSON")?;
        return Ok(of_json(&value)?);
    }
    RootGenesis::decode(bytes).context("it is neither JSON nor canonical CBOR")
}

fn fault(path: &str) -> impl FnOnce(DecodeError) -> JsonFault {
    let path = path.to_owned();
    move |error| JsonFault {
        path,
        what: error.to_string(),
    }
}

/// Reads a document from JSON.
///
/// # Errors
/// [`JsonFault`] naming the field.
pub fn of_json(value: &Value) -> Result<RootGenesis, JsonFault> {
    let mut value = value.clone();
    let services = value
        .as_object_mut()
        .and_then(|fields| fields.remove(SERVICES));
    let services = match services {
        None => Services::default(),
        Some(services) => {
            let bytes = json::read(&services, &Services::shape(), SERVICES)?;
            Services::decode(&bytes).map_err(fault(SERVICES))?
        }
    };
    let bytes = json::read(&value, &RootGenesis::shape(), "")?;
    let rest = RootGenesis::decode(&bytes).map_err(fault("document"))?;
    Ok(RootGenesis { services, ..rest })
}

/// A document as JSON.
///
/// # Errors
/// [`DecodeError`] if its parts are larger than a document can be.
pub fn to_json(genesis: &RootGenesis) -> Result<Value, DecodeError> {
    let rest = RootGenesis {
        services: Services::default(),
        ..genesis.clone()
    };
    let mut value = json::show(&rest.encode(), &RootGenesis::shape())?;
    let services = json::show(&genesis.services.encode(), &Services::shape())?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert(SERVICES.to_owned(), services);
    }
    Ok(value)
}
