//! `trilith runtime`: replicated applications and who executes them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trilith_protocol::root::registry::{REGISTER_RUNTIME, Runtime};
use trilith_protocol::root::{LISTED_MAX, RuntimeRecord};
use trilith_protocol::{RootAnswer, RootQuery};
use trilith_types::{Epoch, RuntimeId};

use super::act::{Act, Session, Signing, lines, shown};
use super::document::read_file;
use super::json;
use super::names::show_version;
use crate::canister::report::Answer;
use crate::genesis;
use crate::output::{Failure, NextStep};
use crate::state::names::{parse_runtime, show_runtime};

/// Most bytes of a file with a descriptor: eight for each of the largest one. Own choice.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Last byte of the identifier in a template where none is given.
const TEMPLATE_ID: u8 = 0x77;

#[derive(Subcommand, Clone, Debug)]
pub enum RuntimeCommand {
    /// Print a descriptor to start from, as JSON
    ///
    /// It is of the entity whose key signs, has an identifier of test runtimes unless another is
    /// given, and runs from the epoch after the next.
    ///
    /// Example: trilith runtime template > mine.json
    Template(TemplateArguments),
    /// Register a runtime from a descriptor in a JSON file, or change it
    ///
    /// Its entity signs, and must have the stake. It runs once a node has registered for it and an
    /// epoch has elected a committee.
    ///
    /// Example: trilith runtime register mine.json
    Register(RegisterArguments),
    /// Show a runtime: where it stands, who executes it, and its descriptor
    ///
    /// Example: trilith runtime show canister
    Show(ShowArguments),
    /// List all runtimes
    ///
    /// Example: trilith runtime list
    List,
}

#[derive(Args, Clone, Debug)]
pub struct TemplateArguments {
    /// Identifier of the runtime: 64 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = parse_runtime)]
    id: Option<RuntimeId>,
    /// PEM file of the entity's key
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct RegisterArguments {
    /// File with the descriptor
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// The runtime: canister, account, or the identifier in hexadecimal
    #[arg(value_name = "ID", value_parser = parse_runtime)]
    id: RuntimeId,
}

pub(super) fn run(session: &Session, command: &RuntimeCommand) -> Result<Answer> {
    match command {
        RuntimeCommand::Template(arguments) => template(session, arguments),
        RuntimeCommand::Register(arguments) => register(session, arguments),
        RuntimeCommand::Show(arguments) => show(session, arguments),
        RuntimeCommand::List => list(session),
    }
}

fn template(session: &Session, arguments: &TemplateArguments) -> Result<Answer> {
    let entity = session.own_key(arguments.identity.as_deref())?;
    let mut id = *RuntimeId::test(0).as_bytes();
    id[RuntimeId::LEN - 1] = TEMPLATE_ID;
    let id = arguments.id.unwrap_or(RuntimeId::from_bytes(id));
    let epoch = session.client()?.status()?.epoch;
    let mut runtime = genesis::runtime(id, entity);
    for deployment in &mut runtime.deployments {
        deployment.valid_from = Epoch(epoch + 1);
    }
    let document = shown(&runtime.encode(), &Runtime::shape())?;
    let mut text = serde_json::to_string_pretty(&document).context("writing the template")?;
    text.push('\n');
    Ok(Answer::new(text, document))
}

/// Reads a descriptor from a file.
fn descriptor(file: &Path) -> Result<Runtime> {
    let bytes = read_file(file, FILE_BYTES_MAX)?;
    let read = || -> Result<Runtime> {
        let value: Value = serde_json::from_slice(&bytes).context("it is no JSON")?;
        let encoded = json::read(&value, &Runtime::shape(), "")?;
        Ok(Runtime::decode(&encoded)?)
    };
    read()
        .with_context(|| format!("{} is no descriptor of a runtime", file.display()))
        .context(NextStep(
            "correct the file; `trilith runtime template` prints one to start from",
        ))
}

fn register(session: &Session, arguments: &RegisterArguments) -> Result<Answer> {
    let runtime = descriptor(&arguments.file)?;
    let id = runtime.id;
    let act = Act {
        what: format!("register runtime {id}"),
        method: REGISTER_RUNTIME,
        body: runtime.encode(),
    };
    let done = session.act(&arguments.signing, act)?;
    Ok(done.answer(json!({
        "runtime": id.to_string(),
        "entity": runtime.entity_id.to_string(),
    })))
}

fn show(session: &Session, arguments: &ShowArguments) -> Result<Answer> {
    let id = arguments.id;
    let other = "the root gives another answer than was asked for";
    let mut client = session.client()?;
    let (_, RootAnswer::Runtime(record)) = client.query(&RootQuery::Runtime(id))? else {
        bail!(other);
    };
    let (_, RootAnswer::LatestBlock(block)) = client.query(&RootQuery::LatestBlock(id))? else {
        bail!(other);
    };
    let (_, RootAnswer::Committee(committee)) = client.query(&RootQuery::Committee(id))? else {
        bail!(other);
    };
    if record.is_none() && block.is_none() {
        return Err(Failure {
            message: format!("there is no runtime {}", show_runtime(&id)),
            next: Some("see which there are with `trilith runtime list`".to_owned()),
            ..Failure::default()
        }
        .into());
    }
    let mut document = json!({ "runtime": id.to_string(), "state": state(record.as_deref()) });
    if let Some(block) = block {
        document["round"] = json!(block.round.0);
        document["state_root"] = json!(block.state_root.to_string());
        document["block"] = json!(format!("{:?}", block.header_type));
    }
    document["committee"] = match committee {
        None => Value::Null,
        Some(committee) => {
            let names = |nodes: &[trilith_types::NodeId]| -> Vec<String> {
                nodes.iter().map(ToString::to_string).collect()
            };
            json!({
                "epoch": committee.epoch.0,
                "workers": names(&committee.workers),
                "backups": names(&committee.backups),
                "storage": names(&committee.storage),
            })
        }
    };
    if let Some(record) = record {
        document["descriptor"] = shown(&record.descriptor.encode(), &Runtime::shape())?;
    }
    Ok(Answer::new(lines(&document), document))
}

fn state(record: Option<&RuntimeRecord>) -> &'static str {
    match record {
        None => "of the genesis document",
        Some(record) if record.suspended => "suspended",
        Some(_) => "registered",
    }
}

fn list(session: &Session) -> Result<Answer> {
    let other = "the root gives another answer than was asked for";
    let mut client = session.client()?;
    let mut ids: Vec<RuntimeId> = Vec::new();
    loop {
        let (_, answer) = client.query(&RootQuery::Runtimes(ids.last().copied()))?;
        let RootAnswer::Runtimes(page) = answer else {
            bail!(other);
        };
        let more = page.len() == LISTED_MAX;
        ids.extend(page);
        if !more {
            break;
        }
    }
    let (mut text, mut rows) = (String::new(), Vec::new());
    for id in ids {
        let (_, RootAnswer::Runtime(record)) = client.query(&RootQuery::Runtime(id))? else {
            bail!(other);
        };
        let (_, RootAnswer::LatestBlock(block)) = client.query(&RootQuery::LatestBlock(id))? else {
            bail!(other);
        };
        // It may have gone since it was listed.
        let Some(record) = record else { continue };
        let round = block.map(|block| block.round.0);
        let state = state(Some(&record));
        let deployments = record.descriptor.deployments.iter();
        let versions: Vec<String> = deployments.map(|of| show_version(&of.version)).collect();
        let at = round.map_or_else(|| "-".to_owned(), |round| format!("round {round}"));
        let name = show_runtime(&id);
        text.push_str(&format!("{name}  {state}  {at}  {}\n", versions.join(",")));
        rows.push(json!({
            "runtime": id.to_string(),
            "entity": record.descriptor.entity_id.to_string(),
            "state": state,
            "round": round,
            "versions": versions,
        }));
    }
    if rows.is_empty() {
        text.push_str("no runtime is registered\n");
    }
    Ok(Answer::new(text, json!({ "runtimes": rows })))
}
