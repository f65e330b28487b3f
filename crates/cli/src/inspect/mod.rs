//! `trilith inspect`: what a node's data folder holds, looked at from outside.
//!
//! Everything here reads a folder that no node uses, and changes nothing in it.

mod check;
mod entry;
mod listing;
mod overview;

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use trilith_types::RuntimeId;

use crate::state::folder::OpenFolder;
use crate::state::names::{Key, parse_key, parse_runtime};
use crate::state::report::print;

/// Arguments of `trilith inspect`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true)]
pub struct InspectArguments {
    #[command(subcommand)]
    what: Inspected,
}

#[derive(Subcommand, Clone, Debug)]
enum Inspected {
    /// Show the states in a data folder: roots, versions, sizes, keys with proofs; or check it all
    ///
    /// The node must be stopped. Nothing in the folder changes: what a crash left at the end of
    /// the log is counted here, and cut at the next start of the node.
    ///
    /// Without --runtime it shows all that the folder holds. With it, one runtime; with --key, the
    /// value of a key and a proof of it under the root; with --prefix, the keys that start so.
    State(InspectStateArguments),
}

/// Arguments of `trilith inspect state`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("read").args(["key", "prefix"])))]
pub struct InspectStateArguments {
    /// Data folder of the node
    #[arg(long, value_name = "DIR", default_value = ".trilith")]
    pub data: PathBuf,
    /// One runtime: root, canister, or the identifier in hexadecimal
    #[arg(long, value_name = "ID", value_parser = parse_runtime)]
    pub runtime: Option<RuntimeId>,
    /// Show the value of a key, hexadecimal or text:…, and a proof of it or of its absence
    #[arg(long, value_name = "KEY", value_parser = parse_key, requires = "runtime")]
    pub key: Option<Key>,
    /// List the keys that start so, hexadecimal or text:…; all for ""
    #[arg(long, value_name = "KEY", value_parser = parse_key, requires = "runtime")]
    pub prefix: Option<Key>,
    /// Round of the version to read; the current one unless given
    #[arg(long, value_name = "N", requires = "read")]
    pub round: Option<u64>,
    /// Most keys or images to list
    #[arg(long, value_name = "N", default_value_t = 100, requires = "runtime",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Write the proof to a file, as CBOR, instead of printing it
    #[arg(long, value_name = "FILE", requires = "key")]
    pub proof: Option<PathBuf>,
    /// Read all of the folder and compute hashes anew; tells which file is damaged, and where
    ///
    /// Of the current versions and candidates, every entry, node and page is checked; of each
    /// version of the past, its root and every entry.
    #[arg(long, conflicts_with_all = ["runtime", "key", "prefix"])]
    pub check: bool,
    /// With --check: leave out versions of the past, so that everything is read only once
    #[arg(long, requires = "check")]
    pub skip_past: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs `trilith inspect`.
///
/// # Errors
/// If the folder cannot be read or is damaged, or does not have what is asked for.
pub fn run(arguments: InspectArguments) -> Result<()> {
    let Inspected::State(arguments) = arguments.what;
    let folder = OpenFolder::read(&arguments.data)?;
    let (json, limit) = (arguments.json, arguments.limit as usize);
    let data = arguments.data.display().to_string();
    let Some(runtime) = arguments.runtime else {
        if arguments.check {
            return print(&check::check(&folder, data, !arguments.skip_past)?, json);
        }
        return print(&overview::overview(&folder, data)?, json);
    };
    if let Some(Key(key)) = &arguments.key {
        let (round, view) = folder.version(runtime, arguments.round)?;
        let proof = arguments.proof.as_deref();
        return print(&entry::read(&view, (runtime, round), key, proof)?, json);
    }
    if let Some(Key(prefix)) = &arguments.prefix {
        let (round, view) = folder.version(runtime, arguments.round)?;
        return print(
            &listing::list(&view, (runtime, round), prefix, limit)?,
            json,
        );
    }
    print(&overview::one_runtime(&folder, data, runtime, limit)?, json)
}
