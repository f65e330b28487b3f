//! `trilith root`: how the root ledger stands, and what happens on it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trilith_protocol::RootEvent;
use trilith_protocol::control::StatusAnswer;

use super::act::{Session, lines, shown};
use super::json::show_event;
use crate::canister::report::Answer;

/// Most events that are read of one height.
const EVENTS_MAX: usize = 1 << 20;

/// How often new events are looked for with `--follow`.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand, Clone, Debug)]
pub enum RootCommand {
    /// Show the height, the epoch, and which network it is
    ///
    /// Example: trilith root status
    Status,
    /// Print what happened: epochs, elections, blocks, and what transactions caused
    ///
    /// Events of the last 1,000 heights are kept; those of transactions since the node started.
    ///
    /// Example: trilith root events --since 10 --follow
    Events(EventsArguments),
}

#[derive(Args, Clone, Debug)]
pub struct EventsArguments {
    /// The first height whose events are wanted
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    since: u64,
    /// Go on with new ones until interrupted; with --json one document for each event
    #[arg(long)]
    follow: bool,
}

pub(super) fn run(session: &Session, command: &RootCommand) -> Result<Option<Answer>> {
    match command {
        RootCommand::Status => {
            let status = session.client()?.status()?;
            let document = shown(&status.encode(), &StatusAnswer::shape())?;
            Ok(Some(Answer::new(lines(&document), document)))
        }
        RootCommand::Events(arguments) if arguments.follow => {
            follow(session, arguments.since)?;
            Ok(None)
        }
        RootCommand::Events(arguments) => {
            let (events, next) = events(session, arguments.since)?;
            let mut text = String::new();
            for event in &events {
                text.push_str(&format!("{} {}\n", event["height"], event["event"]));
            }
            let document = json!({ "events": events, "next": next });
            Ok(Some(Answer::new(text, document)))
        }
    }
}

/// The events from a height on, and the height to ask for next.
fn events(session: &Session, since: u64) -> Result<(Vec<Value>, u64)> {
    let mut client = session.client()?;
    let (mut found, mut next) = (Vec::new(), since);
    loop {
        let answer = client.events(next)?;
        if answer.next <= next && answer.heights.is_empty() {
            return Ok((found, next));
        }
        for (height, events) in &answer.heights {
            let events = RootEvent::decode_list(&events.0, EVENTS_MAX)
                .context("the node's events cannot be read")?;
            let shown = events.iter().map(show_event);
            found.extend(shown.map(|event| json!({ "height": height, "event": event })));
        }
        next = answer.next;
    }
}

fn follow(session: &Session, since: u64) -> Result<()> {
    let mut next = since;
    loop {
        let (events, after) = events(session, next)?;
        for event in events {
            println!("{event}");
        }
        next = after;
        std::thread::sleep(LOOK);
    }
}
