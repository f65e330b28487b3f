//! `trilith state`: a runtime's state as a folder of files, out of one data folder and into
//! another.
//!
//! An export can be verified by anyone who has the root, a chunk at a time. These commands work on
//! folders of nodes that do not run; the data folder that is exported from does not change.

pub mod folder;
pub mod names;
mod read_only;
pub mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand};
use serde::Serialize;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::ROOT_RUNTIME;
use trilith_root::export_genesis;
use trilith_store::export::{
    Checkpoint, CheckpointFolder, ExportFault, ExportManifest, ImportSink, export,
};
use trilith_store::{ImageUpdate, Import, StoreFault};
use trilith_types::{Hash, RuntimeId, WriteLog};

use self::folder::{ImportFolder, OpenFolder, failure};
use self::names::{parse_root, parse_runtime, runtime_name, show_bytes, show_runtime};
use self::report::{Report, line, print};
use crate::control::client::Client;
use crate::output::NextStep;
use crate::root::{Form, export_genesis as write_genesis};

/// About how many bytes a chunk of the tree has before compression. Nodes that export one state
/// have the same files only if this is the same. Source: Oasis Core's `ChunkSize` of checkpoints.
const CHUNK_BYTES: u64 = 8 << 20;

/// What to do about an export that is not intact.
const FETCH_AGAIN: NextStep = NextStep(
    "copy the export again from where it was made, or make another one with `trilith state export`",
);

/// Arguments of `trilith state`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true)]
pub struct StateArguments {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum StateCommand {
    /// Write the state of a runtime into a folder of files that can be verified and copied
    ///
    /// The node must be stopped; its data folder does not change. The folder is complete when it
    /// has a file `manifest`, which comes last: an export that was interrupted is simply run
    /// again. Exporting the same state on another node gives the same files, byte for byte.
    Export(ExportArguments),
    /// Bring an exported state into a data folder, all of it or nothing
    ///
    /// Every file is verified before it is used. The runtime must have no version in the data
    /// folder yet; the folder is made if it does not exist. What comes in is the state alone,
    /// without the keys of a node and the genesis of its network: it can be inspected and exported
    /// again. A network goes on from it with `trilith dev --genesis` and a document of `trilith
    /// state export-genesis`.
    Import(ImportArguments),
    /// Check every byte of an exported state against its manifest and its root
    Verify(VerifyArguments),
    /// Write a genesis document with which another network goes on from this one
    ///
    /// It has all stake and registrations, the running epoch, and of every runtime its newest round
    /// and state root. Elected anew are the committees; commitments to running rounds, events and
    /// the newest randomness are left behind. The states themselves come with `trilith state
    /// export` and `import`. The node may run or be stopped.
    ///
    /// Example: trilith state export-genesis --out next.json
    ExportGenesis(GenesisOut),
}

#[derive(Args, Clone, Debug)]
struct GenesisOut {
    /// Data folder of the node
    #[arg(long, value_name = "DIR", default_value = ".trilith")]
    data: PathBuf,
    /// File to write to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write canonical CBOR instead of JSON
    #[arg(long)]
    cbor: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct ExportArguments {
    /// Data folder of the node
    #[arg(long, value_name = "DIR", default_value = ".trilith")]
    data: PathBuf,
    /// The runtime: root, canister, or the identifier in hexadecimal
    #[arg(long, value_name = "ID", value_parser = parse_runtime)]
    runtime: RuntimeId,
    /// Folder to write to; made if it does not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Round of the version; the current one unless given
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct ImportArguments {
    /// Data folder to bring the state into
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the exported state
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The root that the state must have; without it, the one in the manifest is believed
    #[arg(long, value_name = "HEX", value_parser = parse_root)]
    root: Option<Hash>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct VerifyArguments {
    /// Folder of the exported state
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The root that the state must have; without it, the one in the manifest is believed
    #[arg(long, value_name = "HEX", value_parser = parse_root)]
    root: Option<Hash>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `trilith state`.
///
/// # Errors
/// If a folder cannot be used, or what is in it is not as it should be.
pub fn run(arguments: StateArguments) -> Result<()> {
    match arguments.command {
        StateCommand::Export(arguments) => run_export(&arguments),
        StateCommand::Import(arguments) => run_import(&arguments),
        StateCommand::Verify(arguments) => run_verify(&arguments),
        StateCommand::ExportGenesis(arguments) => run_export_genesis(&arguments),
    }
}

/// An exported state, and what was done with it.
#[derive(Serialize)]
struct ExportReport {
    /// For people: what was done.
    #[serde(skip)]
    done: String,
    runtime: String,
    runtime_name: Option<&'static str>,
    round: u64,
    root: String,
    /// Whether the root was compared with one that was given.
    root_was_given: bool,
    folder: String,
    /// Identifies the export: equal for equal files.
    digest: String,
    tree_files: usize,
    page_files: usize,
    bytes: u64,
}

impl ExportReport {
    fn new(done: String, folder: &Path, manifest: &ExportManifest, root: Option<Hash>) -> Self {
        let files = manifest.tree.iter().chain(&manifest.pages);
        Self {
            done,
            runtime: manifest.namespace.to_string(),
            runtime_name: runtime_name(&manifest.namespace),
            round: manifest.round,
            root: manifest.root.to_string(),
            root_was_given: root.is_some(),
            folder: folder.display().to_string(),
            digest: hex::encode(manifest.digest()),
            tree_files: manifest.tree.len(),
            page_files: manifest.pages.len(),
            bytes: files.map(|file| file.bytes).sum(),
        }
    }
}

impl Report for ExportReport {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.done);
        let name = self.runtime_name.map(|name| format!("{name} "));
        let name = name.unwrap_or_default();
        line(&mut text, "runtime", format!("{name}{}", self.runtime));
        line(&mut text, "round", self.round.to_string());
        line(&mut text, "root", &self.root);
        let (tree, pages) = (self.tree_files, self.page_files);
        let size = show_bytes(self.bytes);
        line(
            &mut text,
            "files",
            format!("{tree} of the tree, {pages} of pages: {size}"),
        );
        line(&mut text, "digest", &self.digest);
        text
    }
}

fn run_export(arguments: &ExportArguments) -> Result<()> {
    let folder = OpenFolder::read(&arguments.data)?;
    let (round, view) = folder.version(arguments.runtime, arguments.round)?;
    let out = &arguments.out;
    let manifest = export(&view, arguments.runtime, round, out, CHUNK_BYTES)
        .map_err(export_failure)
        .with_context(|| format!("the state cannot be exported to {}", out.display()))?;
    let done = format!("exported to {}", out.display());
    let root = Some(manifest.root);
    print(
        &ExportReport::new(done, out, &manifest, root),
        arguments.json,
    )
}

fn run_export_genesis(arguments: &GenesisOut) -> Result<()> {
    let data = &arguments.data;
    let socket = data.join("control.sock");
    // A node that was killed leaves its socket; then the folder is free.
    let running = socket
        .exists()
        .then(|| Client::open(data))
        .and_then(Result::ok);
    let genesis = match running {
        Some(mut client) => client.export()?,
        None => {
            let folder = OpenFolder::read(data)?;
            let stored = folder.store.meta("genesis").ok_or_else(|| {
                anyhow!("{} has no genesis document", data.display()).context(NextStep(
                    "give the data folder of a node; this one has imported states only",
                ))
            })?;
            let began = RootGenesis::decode(&stored).context("the stored genesis is damaged")?;
            let (_, view) = folder.version(ROOT_RUNTIME, None)?;
            export_genesis(&*view, &began)
                .context("the root's state cannot be exported")
                .context(NextStep(
                    "check the folder with `trilith inspect state --check`",
                ))?
        }
    };
    let form = if arguments.cbor {
        Form::Cbor
    } else {
        Form::Json
    };
    write_genesis(&genesis, form, &arguments.out)?.print(arguments.json)
}

fn run_verify(arguments: &VerifyArguments) -> Result<()> {
    let folder = &arguments.folder;
    let checkpoint = open_export(folder, arguments.root)?;
    checkpoint
        .verify()
        .map_err(import_failure)
        .with_context(|| format!("the export in {} is not intact", folder.display()))?;
    let done = format!(
        "intact: every byte of {} is as the root says",
        folder.display()
    );
    let report = ExportReport::new(done, folder, checkpoint.manifest(), arguments.root);
    print(&report, arguments.json)?;
    remind_of_root(arguments.root);
    Ok(())
}

fn run_import(arguments: &ImportArguments) -> Result<()> {
    let (data, from) = (&arguments.data, &arguments.from);
    let checkpoint = open_export(from, arguments.root)?;
    let manifest = checkpoint.manifest();
    let folder = ImportFolder::open(data)?;
    let imported = import_into(&folder, &checkpoint);
    if let Err(error) = imported {
        folder.abandon();
        let runtime = show_runtime(&manifest.namespace);
        let what = format!(
            "runtime {runtime} cannot be imported from {}",
            from.display()
        );
        return Err(error.context(what));
    }
    let new = if folder.created {
        ", a new data folder"
    } else {
        ""
    };
    let done = format!("imported into {}{new}", data.display());
    print(
        &ExportReport::new(done, from, manifest, arguments.root),
        arguments.json,
    )?;
    remind_of_root(arguments.root);
    Ok(())
}

/// Hands the state in a folder to the store, and looks whether it is there.
fn import_into(folder: &ImportFolder, checkpoint: &Checkpoint<CheckpointFolder>) -> Result<()> {
    let manifest = checkpoint.manifest();
    let import = folder.store.import(manifest.namespace).map_err(|fault| {
        anyhow::Error::from(fault).context(NextStep(
            "import into a data folder that has nothing of this runtime; one that does not exist is made",
        ))
    })?;
    let mut sink = Sink(Some(import));
    checkpoint.import(&mut sink).map_err(import_failure)?;
    let (found, expected) = (
        folder.store.current(manifest.namespace),
        (manifest.round, manifest.root),
    );
    if found != Some(expected) {
        let error = anyhow!("the store has {found:?} after the import, not {expected:?}");
        return Err(error.context(NextStep("report this: it must not happen")));
    }
    Ok(())
}

/// Hands on to an import of the store, which ends when it is finished.
struct Sink<'s>(Option<Import<'s>>);

impl<'s> Sink<'s> {
    fn import(&mut self) -> trilith_store::Result<&mut Import<'s>> {
        self.0.as_mut().ok_or_else(|| StoreFault::Stopped {
            cause: "the import has ended".to_owned(),
        })
    }
}

impl ImportSink for Sink<'_> {
    fn entries(&mut self, log: &WriteLog) -> trilith_store::Result<()> {
        self.import()?.entries(log)
    }

    fn image(&mut self, update: &ImageUpdate) -> trilith_store::Result<()> {
        self.import()?.image(update)
    }

    fn finish(&mut self, round: u64, root: Hash) -> trilith_store::Result<()> {
        self.import()?;
        self.0
            .take()
            .map_or(Ok(()), |import| import.finish(round, root))
    }
}

/// Opens an exported state, which has to have the root `expected`, if one is given.
fn open_export(folder: &Path, expected: Option<Hash>) -> Result<Checkpoint<CheckpointFolder>> {
    let checkpoint = Checkpoint::open(folder).map_err(|fault| {
        let step = match &fault {
            ExportFault::Store(StoreFault::Io { .. }) => NextStep(
                "give a folder that `trilith state export` completed: one with a file `manifest`",
            ),
            _ => FETCH_AGAIN,
        };
        let what = format!("{} is no complete export of a state", folder.display());
        anyhow::Error::from(fault).context(step).context(what)
    })?;
    let found = checkpoint.manifest().root;
    match expected {
        Some(expected) if expected != found => {
            let error = anyhow!(
                "the export in {} has root {found}, not {expected}",
                folder.display()
            );
            Err(error.context(NextStep(
                "give an export of the round whose root you expect, or the root of this one",
            )))
        }
        _ => Ok(checkpoint),
    }
}

fn remind_of_root(given: Option<Hash>) {
    if given.is_none() {
        eprintln!(
            "note: everything was compared with the root in the manifest; compare that with one \
             you trust, or give it with --root"
        );
    }
}

/// The fault of an export, with what can be done about it.
fn export_failure(fault: ExportFault) -> anyhow::Error {
    let step = match fault {
        ExportFault::Store(fault @ (StoreFault::Damaged { .. } | StoreFault::Unreadable(_))) => {
            return failure(fault);
        }
        ExportFault::Store(StoreFault::Locked { .. }) => {
            NextStep("wait until the other export has ended, or choose another folder with --out")
        }
        ExportFault::Store(_) => NextStep(
            "see that the folder can be written and the disk has room, then run the export again",
        ),
        ExportFault::OtherCheckpoint { .. } | ExportFault::File { .. } => {
            NextStep("choose another folder with --out, or remove that one first")
        }
        _ => NextStep("check the data folder with `trilith inspect state --check`"),
    };
    anyhow::Error::from(fault).context(step)
}

/// The fault of reading an exported state, with what can be done about it.
fn import_failure(fault: ExportFault) -> anyhow::Error {
    let step = match &fault {
        ExportFault::Store(StoreFault::Io { .. }) => {
            NextStep("see that both folders can be used and the disk has room, then try again")
        }
        _ => FETCH_AGAIN,
    };
    anyhow::Error::from(fault).context(step)
}
