//! `trilith canister status`, `info`, `logs`, `id` and `names`: what can be known of canisters.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use ic_agent::AgentError;
use serde_json::{Value, json};

use super::advice;
use super::connection::Session;
use super::interface::{Interface, is_absent, metadata, signature};
use super::lifecycle::OneCanister;
use super::management::{self, CanisterId, LogRecord, Logs};
use super::names::Target;
use super::report::{Answer, row};
use super::settings::show_status;
use crate::output::{Failure, NextStep};

/// How often `logs --follow` looks for more.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Runs `status`.
pub(super) async fn status(session: &Session, arguments: &OneCanister) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let status = management::status(session, &target).await?;
    let (text, document) = show_status(&target, &status);
    Ok(Answer::new(text, document))
}

/// Arguments of `info`.
#[derive(Args, Clone, Debug)]
pub(super) struct InfoArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// Print one metadata section of the module instead, such as candid:service
    #[arg(long, value_name = "NAME")]
    metadata: Option<String>,
}

/// Runs `info`: what the network certifies of a canister to everybody.
pub(super) async fn info(session: &Session, arguments: &InfoArguments) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    if let Some(name) = &arguments.metadata {
        return one_section(session, &target, name).await;
    }
    let controllers = session.agent.read_state_canister_controllers(target.id);
    let controllers = present(session, &target, "controllers", controllers.await).await?;
    let Some(controllers) = controllers else {
        return Err(not_there(session, &target).into());
    };
    let hash = session.agent.read_state_canister_module_hash(target.id);
    let hash = present(session, &target, "module hash", hash.await).await?;
    let hash = hash.map(hex::encode);
    let interface = match &hash {
        Some(_) => Interface::of_canister(session, &target).await?,
        None => None,
    };
    let mut text = String::new();
    row(&mut text, "canister", target.to_string());
    row(&mut text, "module", hash.as_deref().unwrap_or("none"));
    let shown = advice::show_principals(&controllers);
    let shown = if shown.is_empty() { "none" } else { &shown };
    row(&mut text, "controllers", shown);
    let methods = interface.as_ref().map(Interface::methods);
    match &methods {
        Some(methods) if methods.is_empty() => row(&mut text, "methods", "none"),
        Some(methods) => {
            for (place, (name, function)) in methods.iter().enumerate() {
                let heading = if place == 0 { "methods" } else { "" };
                row(&mut text, heading, signature(name, function));
            }
        }
        None if hash.is_some() => {
            row(
                &mut text,
                "methods",
                "unknown: no interface that you may read",
            );
        }
        None => {}
    }
    let methods: Option<Value> = methods.map(|methods| {
        let methods = methods.into_iter();
        methods
            .map(|(name, function)| json!({ "name": name, "type": function.to_string() }))
            .collect()
    });
    let document = json!({
        "canister_id": target.id,
        "name": target.name,
        "module_hash": hash,
        "controllers": controllers,
        "methods": methods,
    });
    Ok(Answer::new(text, document))
}

/// The value that a read gave, or nothing where the network certifies that there is none.
async fn present<T>(
    session: &Session,
    target: &Target,
    what: &str,
    read: Result<T, AgentError>,
) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => {
            let what = format!("the {what} of {target} cannot be read");
            Err(advice::explain(session, &what, target, None, error).await)
        }
    }
}

fn not_there(session: &Session, target: &Target) -> Failure {
    Failure {
        message: format!("there is no canister {target} on {}", session.network),
        next: Some(
            "check the id and the network (--network); `trilith canister create` makes a canister"
                .to_owned(),
        ),
        ..Failure::default()
    }
}

async fn one_section(session: &Session, target: &Target, name: &str) -> Result<Answer> {
    let Some(content) = metadata(session, target, name).await? else {
        return Err(Failure {
            message: format!("{target} has no metadata `{name}` that you may read"),
            causes: vec![format!("you are {}", session.who)],
            next: Some(
                "give another name, or the identity of a controller with --identity FILE: private \
                 metadata is for controllers"
                    .to_owned(),
            ),
            ..Failure::default()
        }
        .into());
    };
    let (text, encoding) = match String::from_utf8(content) {
        Ok(text) => (text, "text"),
        Err(error) => (hex::encode(error.as_bytes()), "hex"),
    };
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let document = json!({
        "canister_id": target.id,
        "metadata": name,
        "encoding": encoding,
        "content": text,
    });
    Ok(Answer::new(format!("{text}{end}"), document))
}

/// Arguments of `logs`.
#[derive(Args, Clone, Debug)]
pub(super) struct LogsArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// Wait for more until Ctrl-C; with --json, one document on each line
    #[arg(long)]
    follow: bool,
}

/// Runs `logs`. With `--follow` it prints itself and ends at Ctrl-C.
pub(super) async fn logs(session: &Session, arguments: &LogsArguments) -> Result<Option<Answer>> {
    let target = session.names.resolve(&arguments.canister)?;
    let records = fetch_logs(session, &target).await?;
    if !arguments.follow {
        let text: String = records.iter().map(log_line).collect();
        if records.is_empty() {
            session.note(format!("{target} has printed nothing"));
        }
        let records: Value = records.iter().map(log_json).collect();
        let document = json!({ "canister_id": target.id, "records": records });
        return Ok(Some(Answer::new(text, document)));
    }
    let mut next = 0;
    let mut records = records;
    let interrupted = Session::interrupted();
    tokio::pin!(interrupted);
    loop {
        for record in records.iter().filter(|record| record.idx >= next) {
            let line = if session.json {
                format!("{}\n", log_json(record))
            } else {
                log_line(record)
            };
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(line.as_bytes());
            written
                .and_then(|()| stdout.flush())
                .context("the logs cannot be written to stdout")
                .context(NextStep("see where stdout goes"))?;
        }
        next = records.last().map_or(next, |last| last.idx + 1);
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            ended = &mut interrupted => {
                ended?;
                return Ok(None);
            }
        }
        records = fetch_logs(session, &target).await?;
    }
}

async fn fetch_logs(session: &Session, target: &Target) -> Result<Vec<LogRecord>> {
    let argument = CanisterId {
        canister_id: target.id,
    };
    let what = format!("the logs of {target} cannot be read");
    let method = "fetch_canister_logs";
    let reply = management::query(session, target, method, &argument, &what).await?;
    let logs: Logs = management::decoded(&reply, method)?;
    Ok(logs.canister_log_records)
}

fn log_line(record: &LogRecord) -> String {
    // What a canister prints must not steer the terminal.
    let text = String::from_utf8_lossy(&record.content);
    let safe: String = text
        .chars()
        .flat_map(|letter| match letter {
            '\n' | '\t' => vec![letter],
            letter if letter.is_control() => letter.escape_default().collect(),
            letter => vec![letter],
        })
        .collect();
    let (seconds, nanos) = (
        record.timestamp_nanos / 1_000_000_000,
        record.timestamp_nanos % 1_000_000_000,
    );
    format!("[{}] {seconds}.{nanos:09}: {safe}\n", record.idx)
}

fn log_json(record: &LogRecord) -> Value {
    json!({
        "index": record.idx,
        "timestamp_nanos": record.timestamp_nanos.to_string(),
        "text": String::from_utf8_lossy(&record.content),
        "hex": hex::encode(&record.content),
    })
}

/// Runs `id`.
pub(super) fn id(session: &Session, arguments: &OneCanister) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let document = json!({ "canister_id": target.id, "name": target.name });
    Ok(Answer::new(format!("{}\n", target.id), document))
}

/// Arguments of `names`.
#[derive(Args, Clone, Debug)]
pub(super) struct NamesArguments {
    /// Forget this name; the canister stays
    #[arg(long, value_name = "NAME")]
    forget: Option<String>,
}

/// Runs `names`.
pub(super) fn names(session: &mut Session, arguments: &NamesArguments) -> Result<Answer> {
    if let Some(name) = &arguments.forget {
        let target = session.names.resolve(name)?;
        session.names.remove(target.id)?;
    }
    let all = session.names.all();
    let mut text = String::new();
    for (name, id) in &all {
        row(&mut text, name, id.to_text());
    }
    if all.is_empty() {
        session.note("no canister of this network has a name");
    }
    let canisters = all.into_iter().map(|(name, id)| (name, json!(id)));
    let document = json!({
        "file": session.names.path().display().to_string(),
        "canisters": Value::Object(canisters.collect()),
    });
    Ok(Answer::new(text, document))
}
