//! A Wasm module in a file: its bytes as they are sent, and what its custom sections say.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use wasmparser::{Parser, Payload};

use super::interface::{ARGS_SECTION, Interface, SERVICE_SECTION};
use crate::output::Failure;

/// Largest module, as it is sent and without compression. Source: interface specification.
const MODULE_BYTES_MAX: u64 = 100 << 20;
/// The first bytes of a gzip stream. Source: RFC 1952.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a Wasm module. Source: WebAssembly core specification, "Modules".
const WASM_MAGIC: [u8; 4] = *b"\0asm";
/// Name of the section of modules that keep their data in main memory across upgrades. Source:
/// interface specification, "install_code".
pub(super) const PERSISTENCE_SECTION: &str = "enhanced-orthogonal-persistence";

/// A module that is to be installed.
pub(super) struct ModuleFile {
    /// The bytes to send: as in the file, compressed or not.
    pub(super) bytes: Vec<u8>,
    /// Custom sections of the Internet Computer, by their names without the prefix.
    sections: Vec<(String, Vec<u8>)>,
}

impl ModuleFile {
    /// Reads a module, and refuses what no network would take.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let refuse = |cause: String, next: &str| Failure {
            message: format!("the module in {} cannot be installed", path.display()),
            causes: vec![cause],
            next: Some(next.to_owned()),
            usage: true,
            ..Failure::default()
        };
        let other = "give the file of a Wasm module with --wasm; gzip is fine";
        let mut bytes = Vec::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes));
        read.map_err(|error| refuse(error.to_string(), other))?;
        let too_large = || {
            refuse(
                format!("it has more than {MODULE_BYTES_MAX} bytes"),
                "make it smaller",
            )
        };
        if bytes.len() as u64 > MODULE_BYTES_MAX {
            return Err(too_large().into());
        }
        let plain = if bytes.starts_with(&GZIP_MAGIC) {
            let mut plain = Vec::new();
            let decoder = flate2::read::GzDecoder::new(&bytes[..]);
            decoder
                .take(MODULE_BYTES_MAX + 1)
                .read_to_end(&mut plain)
                .map_err(|error| refuse(format!("its gzip stream is damaged: {error}"), other))?;
            if plain.len() as u64 > MODULE_BYTES_MAX {
                return Err(too_large().into());
            }
            plain
        } else {
            bytes.clone()
        };
        if !plain.starts_with(&WASM_MAGIC) {
            let cause = "it does not begin as a Wasm module does".to_owned();
            return Err(refuse(cause, other).into());
        }
        let sections = sections(&plain);
        Ok(Self { bytes, sections })
    }

    fn section(&self, name: &str) -> Option<&[u8]> {
        let found = self.sections.iter().find(|(known, _)| known == name);
        found.map(|(_, content)| content.as_slice())
    }

    /// Whether the module can keep its main memory across upgrades.
    pub(super) fn keeps_memory(&self) -> bool {
        self.section(PERSISTENCE_SECTION).is_some()
    }

    /// The interface in the module with the types of its initial arguments, or why it cannot be
    /// used; nothing if there is none.
    pub(super) fn interface(&self) -> Option<Result<Interface, String>> {
        let service = String::from_utf8_lossy(self.section(SERVICE_SECTION)?).into_owned();
        let arguments = self.section(ARGS_SECTION).map(String::from_utf8_lossy);
        Some(match arguments {
            Some(arguments) => Interface::with_init_arguments(&service, &arguments),
            None => Interface::from_text(&service),
        })
    }
}

/// The sections `icp:public …` and `icp:private …`. What of the module cannot be read is for the
/// network to refuse, which says more about it.
fn sections(module: &[u8]) -> Vec<(String, Vec<u8>)> {
    let payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    let customs = payloads.filter_map(|payload| match payload {
        Payload::CustomSection(section) => {
            let name = section.name();
            let name = name
                .strip_prefix("icp:public ")
                .or_else(|| name.strip_prefix("icp:private "))?;
            Some((name.to_owned(), section.data().to_vec()))
        }
        _ => None,
    });
    customs.collect()
}
