//! `trilith genesis`: the documents that networks begin with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use trilith_node::{Clock as _, NodeKeys, SystemClock};
use trilith_protocol::RootGenesis;
use trilith_protocol::root::registry::{Entity, Node};
use trilith_root::check_genesis;

use super::Place;
use super::act::lines;
use super::document::{read, to_json};
use crate::canister::report::Answer;
use crate::control::client::Client;
use crate::genesis::{Beginning, EPOCH_HEIGHTS, developer_network, entity_key};
use crate::network::{RUNTIMES, make_folder, seed};
use crate::output::{Failure, NextStep};
use crate::state::names::show_runtime;

#[derive(Subcommand, Clone, Debug)]
pub enum GenesisCommand {
    /// Show a document, or the one of the network that runs: what it is about, or all of it
    ///
    /// Example: trilith genesis show --form json > genesis.json
    Show(ShowArguments),
    /// Check a document as far as a network can: that one can begin with it, and is sound then
    ///
    /// Example: trilith genesis check genesis.json
    Check(CheckArguments),
    /// Make the document of a new developer network, with the seed of its keys in the data folder
    ///
    /// Change it as you like, and begin with it: `trilith dev --genesis FILE`. A seed that is in
    /// the folder stays.
    ///
    /// Example: trilith genesis new --epoch-heights 10 --out genesis.json
    New(NewArguments),
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// What it is about, for people
    Summary,
    /// All of it, as JSON that people can read and write
    Json,
    /// All of it, as the canonical CBOR that is hashed; needs --out
    Cbor,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// File with the document [default: that of the network that runs]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How it is shown
    #[arg(long, value_enum, default_value_t = Form::Summary)]
    form: Form,
    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// File with the document
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub struct NewArguments {
    /// Heights between two elections
    #[arg(long, value_name = "N", default_value_t = EPOCH_HEIGHTS)]
    epoch_heights: u64,
    /// File to write the document to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(place: &Place, command: &GenesisCommand) -> Result<Answer> {
    match command {
        GenesisCommand::Show(arguments) => show(place, arguments),
        GenesisCommand::Check(arguments) => {
            let genesis = read(&arguments.file)?;
            check(&genesis)?;
            let mut document = summary(&genesis)?;
            document["sound"] = json!(true);
            let text = format!(
                "{} is sound\n{}",
                arguments.file.display(),
                lines(&document)
            );
            Ok(Answer::new(text, document))
        }
        GenesisCommand::New(arguments) => new(place, arguments),
    }
}

/// Checks a document as far as a network can.
fn check(genesis: &RootGenesis) -> Result<()> {
    check_genesis(genesis)
        .context("the genesis document is refused")
        .context(NextStep("correct the document, and check it again"))
}

fn show(place: &Place, arguments: &ShowArguments) -> Result<Answer> {
    let genesis = match &arguments.file {
        Some(file) => read(file)?,
        None => Client::open(&place.data)?.genesis()?,
    };
    match (arguments.form, &arguments.out) {
        (Form::Summary, None) => {
            let document = summary(&genesis)?;
            Ok(Answer::new(lines(&document), document))
        }
        (Form::Json, None) => {
            let document = to_json(&genesis)?;
            Ok(Answer::new(pretty(&document)?, document))
        }
        (form, Some(out)) => written(&genesis, form, out),
        (Form::Cbor, None) => Err(Failure {
            message: "canonical CBOR is no text".to_owned(),
            next: Some("give a file with --out".to_owned()),
            usage: true,
            ..Failure::default()
        }
        .into()),
    }
}

fn pretty(document: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(document).context("writing the document")?;
    Ok(format!("{text}\n"))
}

/// Writes a document to a new file, and says what it is about.
fn written(genesis: &RootGenesis, form: Form, out: &Path) -> Result<Answer> {
    let bytes = match form {
        Form::Cbor => genesis.encode(),
        Form::Json | Form::Summary => pretty(&to_json(genesis)?)?.into_bytes(),
    };
    fs::write(out, bytes)
        .with_context(|| format!("the document cannot be written to {}", out.display()))
        .context(NextStep(
            "give a file in a folder that exists and can be written",
        ))?;
    let mut document = summary(genesis)?;
    document["file"] = json!(out.display().to_string());
    let text = format!("written to {}\n{}", out.display(), lines(&document));
    Ok(Answer::new(text, document))
}

fn new(place: &Place, arguments: &NewArguments) -> Result<Answer> {
    make_folder(&place.data)?;
    let seed = seed(&place.data, false)?;
    let genesis = developer_network(&Beginning {
        keys: &NodeKeys::for_developer_network(&seed),
        entity: &entity_key(&seed),
        time: SystemClock.now(),
        epoch_heights: arguments.epoch_heights,
        runtimes: &RUNTIMES,
    });
    check(&genesis)?;
    written(&genesis, Form::Json, &arguments.out)
}

/// Writes a document that goes on from a network, after checking it.
///
/// # Errors
/// If it is not sound, or cannot be written.
pub(crate) fn export(genesis: &RootGenesis, form: Form, out: &Path) -> Result<Answer> {
    check_genesis(genesis)
        .context("the state breaks an invariant, no network can go on from it")
        .context(NextStep("report this: it must not happen"))?;
    written(genesis, form, out)
}

/// What a document is about.
fn summary(genesis: &RootGenesis) -> Result<Value> {
    let services = &genesis.services;
    let registry = &services.registry;
    let entities: Vec<String> = registry
        .entities
        .iter()
        .filter_map(|signed| Entity::decode(&signed.raw.0).ok())
        .map(|entity| entity.id.to_string())
        .collect();
    let nodes: Vec<String> = registry
        .nodes
        .iter()
        .filter_map(|signed| Node::decode(&signed.raw.0).ok())
        .map(|node| node.id.to_string())
        .collect();
    let runtimes: Vec<Value> = genesis
        .compute_runtimes()
        .iter()
        .map(|descriptor| {
            let id = descriptor.id;
            let standing = services.standings.get(&id);
            let suspended = registry.suspended_runtimes.iter().any(|of| of.id == id);
            json!({
                "runtime": show_runtime(&id),
                "round": standing.map_or(0, |standing| standing.round),
                "state_root": standing
                    .map_or(descriptor.genesis_state_root, |standing| standing.state_root)
                    .to_string(),
                "suspended": suspended,
            })
        })
        .collect();
    Ok(json!({
        "chain": genesis.chain,
        "chain_context": genesis.chain_context().to_string(),
        "bytes": genesis.encode().len(),
        "time_nanoseconds": genesis.time.0,
        "epoch": services.epoch.0,
        "epoch_heights": genesis.epoch_interval,
        "plain_nodes": genesis.nodes.len(),
        "entities": entities,
        "nodes": nodes,
        "runtimes": runtimes,
        "accounts": services.staking.ledger.len(),
        "total_supply": services.staking.total_supply.to_string(),
        "common_pool": services.staking.common_pool.to_string(),
    }))
}
