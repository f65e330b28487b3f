//! `trilith canister install` and `upgrade`.
//!
//! Modules that do not fit in one message go to the canister's chunk store in pieces first. Pieces
//! that are there already, from an attempt that was interrupted, are not sent again.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use trilith_types::hash::sha256;

use super::argument::{ArgumentOptions, Written, encoded};
use super::connection::Session;
use super::interface::{Interface, metadata};
use super::management::{
    self, CanisterId, ChunkHash, InstallChunkedCode, InstallCode, InstallMode, Persistence,
    UpgradeFlags, UploadChunk,
};
use super::module::{ModuleFile, PERSISTENCE_SECTION};
use super::names::Target;
use super::report::Answer;
use crate::output::Failure;

/// Most bytes of module and argument in one message: a message has at most 2 MiB with all that
/// stands around them. Source: interface specification, "install_code".
const MESSAGE_BYTES_MAX: usize = 1_900_000;
/// Bytes of a piece. Source: interface specification, "upload_chunk".
const CHUNK_BYTES: usize = 1 << 20;

/// How code is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Into an empty canister
    Install,
    /// In the place of other code, and erase all data
    Reinstall,
    /// In the place of other code, which hands over its data
    Upgrade,
    /// Upgrade where there is code, else install
    Auto,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Reinstall => "reinstall",
            Self::Upgrade => "upgrade",
            Self::Auto => "auto",
        }
    }
}

/// Arguments of `install`.
#[derive(Args, Clone, Debug)]
pub(super) struct InstallArguments {
    #[command(flatten)]
    code: CodeArguments,
    /// What becomes of code and data that are there
    #[arg(long, value_enum, default_value_t = Mode::Install)]
    mode: Mode,
}

/// Arguments of `upgrade`, and of `install` too.
#[derive(Args, Clone, Debug)]
pub(super) struct CodeArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// File of the Wasm module, compressed with gzip or not
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The argument of the initialization as candid text, such as '(1, "text")'
    #[arg(
        long,
        value_name = "ARGUMENT",
        group = "written",
        allow_hyphen_values = true
    )]
    arg: Option<String>,
    #[command(flatten)]
    options: ArgumentOptions,
    /// Do not run the old code's pre-upgrade hook; what it would have saved is lost
    #[arg(long)]
    skip_pre_upgrade: bool,
    /// What becomes of the main memory in an upgrade
    ///
    /// Without it, memory is kept if the old and the new module keep their data there, as Motoko's
    /// enhanced orthogonal persistence does.
    #[arg(long, value_enum, value_name = "WHAT")]
    wasm_memory_persistence: Option<Persistence>,
}

/// Runs `install`.
pub(super) async fn install(session: &Session, arguments: &InstallArguments) -> Result<Answer> {
    put(session, &arguments.code, arguments.mode).await
}

/// Runs `upgrade`.
pub(super) async fn upgrade(session: &Session, arguments: &CodeArguments) -> Result<Answer> {
    put(session, arguments, Mode::Upgrade).await
}

async fn put(session: &Session, arguments: &CodeArguments, mode: Mode) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let module = ModuleFile::read(&arguments.wasm)?;
    let mode = match mode {
        Mode::Auto if is_empty(session, &target).await? => Mode::Install,
        Mode::Auto => Mode::Upgrade,
        other => other,
    };
    let argument = argument(session, arguments, &module, mode)?;
    let install_mode = match mode {
        Mode::Reinstall => InstallMode::Reinstall,
        Mode::Upgrade => {
            InstallMode::Upgrade(upgrade_flags(session, arguments, &module, &target).await?)
        }
        Mode::Install | Mode::Auto => InstallMode::Install,
    };
    let hash = sha256(&[&module.bytes]);
    let plan = Plan {
        session,
        target: &target,
        mode: install_mode,
        module: &module.bytes,
        hash,
        argument: &argument,
        what: format!("the {} of {target} failed", mode.name()),
    };
    let pieces = if module.bytes.len() + argument.len() <= MESSAGE_BYTES_MAX {
        plan.in_one_message().await?;
        1
    } else {
        plan.in_pieces().await?
    };
    let bytes = module.bytes.len();
    let hash = hex::encode(hash);
    let text = match mode {
        Mode::Upgrade => format!("upgraded {target} to module {hash}\n"),
        Mode::Reinstall => format!("reinstalled {target} with module {hash}\n"),
        Mode::Install | Mode::Auto => format!("installed module {hash} in {target}\n"),
    };
    let memory = match install_mode {
        InstallMode::Upgrade(flags) => flags.and_then(|flags| flags.wasm_memory_persistence),
        _ => None,
    };
    let document = json!({
        "canister_id": target.id,
        "mode": mode.name(),
        "module_hash": hash,
        "module_bytes": bytes,
        "messages": pieces,
        "wasm_memory_persistence": memory,
    });
    Ok(Answer::new(text, document))
}

/// The encoded argument of the initialization, with the types in the module or in the given file.
fn argument(
    session: &Session,
    arguments: &CodeArguments,
    module: &ModuleFile,
    mode: Mode,
) -> Result<Vec<u8>> {
    let written = arguments.options.written(arguments.arg.as_deref())?;
    let interface = if let Some(path) = &arguments.options.did {
        Some(Interface::from_file(path)?)
    } else if arguments.options.no_interface {
        None
    } else {
        match module.interface() {
            Some(Err(error)) => {
                session.note(format!(
                    "note: the interface in the module cannot be used: {error}"
                ));
                None
            }
            Some(Ok(interface)) => Some(interface),
            None => None,
        }
    };
    let types = interface.as_ref().map(Interface::init_types);
    // Interfaces often leave the initial arguments out, and hooks of an upgrade may take none
    // where the initialization takes some. The module decides then, as it does in any case.
    let types = types.filter(|types| match written {
        Written::Nothing => mode != Mode::Upgrade,
        _ => !types.types.is_empty() || arguments.options.did.is_some(),
    });
    encoded(&written, types, "the initialization")
}

/// Whether the canister has no code.
async fn is_empty(session: &Session, target: &Target) -> Result<bool> {
    let status = management::status(session, target).await?;
    Ok(status.module_hash.is_none())
}

/// What an upgrade does beyond the plain. Memory is kept only between two modules that both keep
/// their data there.
async fn upgrade_flags(
    session: &Session,
    arguments: &CodeArguments,
    module: &ModuleFile,
    target: &Target,
) -> Result<Option<UpgradeFlags>> {
    let mut wasm_memory_persistence = arguments.wasm_memory_persistence;
    if wasm_memory_persistence.is_none() {
        let installed = metadata(session, target, PERSISTENCE_SECTION).await?;
        match (installed.is_some(), module.keeps_memory()) {
            (true, true) => wasm_memory_persistence = Some(Persistence::Keep),
            (true, false) => return Err(would_lose_memory(arguments, target).into()),
            (false, _) => {}
        }
    }
    let skip_pre_upgrade = arguments.skip_pre_upgrade.then_some(true);
    let plain = skip_pre_upgrade.is_none() && wasm_memory_persistence.is_none();
    Ok((!plain).then_some(UpgradeFlags {
        skip_pre_upgrade,
        wasm_memory_persistence,
    }))
}

fn would_lose_memory(arguments: &CodeArguments, target: &Target) -> Failure {
    Failure {
        message: format!("the upgrade of {target} would erase its data"),
        causes: vec![format!(
            "the module that is installed keeps its data in main memory (section \
             `{PERSISTENCE_SECTION}`), and the one in {} does not",
            arguments.wasm.display()
        )],
        next: Some(
            "build the new module with enhanced orthogonal persistence too, or erase the data with \
             --wasm-memory-persistence replace"
                .to_owned(),
        ),
        usage: true,
        ..Failure::default()
    }
}

/// An installation that is ready to be sent.
struct Plan<'a> {
    session: &'a Session,
    target: &'a Target,
    mode: InstallMode,
    module: &'a [u8],
    hash: [u8; 32],
    argument: &'a [u8],
    /// The failure in a sentence, should it come to that.
    what: String,
}

impl Plan<'_> {
    async fn in_one_message(&self) -> Result<()> {
        let argument = InstallCode {
            mode: self.mode,
            canister_id: self.target.id,
            wasm_module: self.module,
            arg: self.argument,
        };
        let (session, target) = (self.session, self.target);
        management::update(session, target, "install_code", &argument, &self.what).await?;
        Ok(())
    }

    /// Sends the module in pieces, and gives how many messages carried one.
    async fn in_pieces(&self) -> Result<usize> {
        let (session, target, what) = (self.session, self.target, &self.what);
        let id = CanisterId {
            canister_id: target.id,
        };
        let stored = management::update(session, target, "stored_chunks", &id, what).await?;
        let stored: Vec<ChunkHash> = management::decoded(&stored, "stored_chunks")?;
        let pieces: Vec<&[u8]> = self.module.chunks(CHUNK_BYTES).collect();
        let mut hashes = Vec::with_capacity(pieces.len());
        let mut sent = 0;
        for (place, piece) in pieces.iter().enumerate() {
            let hash = sha256(&[piece]).to_vec();
            if !stored.iter().any(|known| known.hash == hash) {
                let upload = UploadChunk {
                    canister_id: target.id,
                    chunk: piece,
                };
                session.note(format!("sending piece {} of {}", place + 1, pieces.len()));
                management::update(session, target, "upload_chunk", &upload, what).await?;
                sent += 1;
            }
            let hash = hash.into();
            hashes.push(ChunkHash { hash });
        }
        let foreign = stored.iter().any(|known| !hashes.contains(known));
        let argument = InstallChunkedCode {
            mode: self.mode,
            target_canister: target.id,
            store_canister: None,
            chunk_hashes_list: hashes,
            wasm_module_hash: &self.hash,
            arg: self.argument,
        };
        session.note("installing");
        let method = "install_chunked_code";
        management::update(session, target, method, &argument, what).await?;
        // The pieces have done their work and cost storage. What somebody else stored stays.
        if !foreign {
            management::update(session, target, "clear_chunk_store", &id, what).await?;
        }
        Ok(sent)
    }
}
