//! `trilith entity`: who owns nodes and runtimes.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trilith_protocol::root::registry::{DEREGISTER_ENTITY, Entity, REGISTER_ENTITY};
use trilith_protocol::root::{Address, LISTED_MAX};
use trilith_protocol::{RootAnswer, RootQuery};
use trilith_types::PublicKey;

use super::act::{Act, Session, Signing, lines, shown};
use super::names::parse_key;
use crate::canister::report::Answer;
use crate::genesis::sign_entity;
use crate::output::Failure;

#[derive(Subcommand, Clone, Debug)]
pub enum EntityCommand {
    /// Register the entity of the key that signs, or change which nodes it lists
    ///
    /// Nodes register themselves, and only where their entity lists them. The list replaces the
    /// one before: give all nodes. The entity's active stake must cover what it registers.
    ///
    /// Example: trilith entity register --identity me.pem --node keys/node/node.pem
    Register(RegisterArguments),
    /// Remove the entity of the key that signs; it must have no nodes and no runtimes any more
    ///
    /// Example: trilith entity deregister --identity me.pem
    Deregister(Signing),
    /// Show an entity, with its account and what its stake must cover
    ///
    /// Without a key it is the entity of the developer network, or of TRILITH_IDENTITY.
    ///
    /// Example: trilith entity show me.pem
    Show(ShowArguments),
    /// List all entities
    ///
    /// Example: trilith entity list --json
    List,
}

#[derive(Args, Clone, Debug)]
pub struct RegisterArguments {
    /// A node that may register for the entity: its key, or a PEM file; as often as needed
    #[arg(long = "node", value_name = "KEY", value_parser = parse_key)]
    nodes: Vec<PublicKey>,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Key of the entity, or a PEM file
    #[arg(value_name = "KEY", value_parser = parse_key)]
    entity: Option<PublicKey>,
    /// PEM file whose entity is shown where no key is given
    #[arg(long, value_name = "FILE", conflicts_with = "entity")]
    identity: Option<std::path::PathBuf>,
}

pub(super) fn run(session: &Session, command: &EntityCommand) -> Result<Answer> {
    match command {
        EntityCommand::Register(arguments) => register(session, arguments),
        EntityCommand::Deregister(signing) => {
            let id = session.key(signing)?.public();
            let act = Act {
                what: format!("deregister entity {id}"),
                method: DEREGISTER_ENTITY,
                body: Vec::new(),
            };
            let done = session.act(signing, act)?;
            Ok(done.answer(json!({ "entity": id.to_string() })))
        }
        EntityCommand::Show(arguments) => show(session, arguments),
        EntityCommand::List => list(session),
    }
}

fn register(session: &Session, arguments: &RegisterArguments) -> Result<Answer> {
    let key = session.key(&arguments.signing)?;
    let id = key.public();
    let signed = sign_entity(&key, arguments.nodes.clone());
    let count = arguments.nodes.len();
    let act = Act {
        what: format!("register entity {id} with {count} nodes"),
        method: REGISTER_ENTITY,
        body: signed.encode(),
    };
    let done = session.act(&arguments.signing, act)?;
    let nodes: Vec<String> = arguments.nodes.iter().map(ToString::to_string).collect();
    let account = Address::of_key(&id).to_string();
    Ok(done.answer(json!({ "entity": id.to_string(), "account": account, "nodes": nodes })))
}

/// What is registered of an entity, if anything is.
fn entity_of(session: &Session, id: PublicKey) -> Result<Option<Entity>> {
    match session.client()?.query(&RootQuery::Entity(id))? {
        (_, RootAnswer::Entity(entity)) => Ok(entity),
        _ => bail!("the root gives another answer than was asked for"),
    }
}

/// An entity with its account, for people and programs.
fn document(session: &Session, entity: &Entity) -> Result<Value> {
    let address = Address::of_key(&entity.id);
    let (_, answer) = session.client()?.query(&RootQuery::Account(address))?;
    let RootAnswer::Account(account) = answer else {
        bail!("the root gives another answer than was asked for");
    };
    let claims = &account.escrow.stake_accumulator;
    let claims = shown(&claims.encode(), &super::stake::claims_shape())?;
    let nodes: Vec<String> = entity.nodes.iter().map(ToString::to_string).collect();
    Ok(json!({
        "entity": entity.id.to_string(),
        "account": address.to_string(),
        "nodes": nodes,
        "active_stake": account.escrow.active.balance.to_string(),
        "claims": claims.get("claims").cloned().unwrap_or_else(|| json!({})),
    }))
}

fn show(session: &Session, arguments: &ShowArguments) -> Result<Answer> {
    let id = match arguments.entity {
        Some(id) => id,
        None => session.own_key(arguments.identity.as_deref())?,
    };
    let Some(entity) = entity_of(session, id)? else {
        return Err(Failure {
            message: format!("no entity {id} is registered"),
            next: Some(
                "see which there are with `trilith entity list`, or register it with `trilith \
                 entity register`"
                    .to_owned(),
            ),
            ..Failure::default()
        }
        .into());
    };
    let document = document(session, &entity)?;
    Ok(Answer::new(lines(&document), document))
}

fn list(session: &Session) -> Result<Answer> {
    let mut client = session.client()?;
    let mut ids: Vec<PublicKey> = Vec::new();
    loop {
        let after = ids.last().copied();
        let (_, answer) = client.query(&RootQuery::Entities(after))?;
        let RootAnswer::Entities(page) = answer else {
            bail!("the root gives another answer than was asked for");
        };
        let more = page.len() == LISTED_MAX;
        ids.extend(page);
        if !more {
            break;
        }
    }
    let mut text = String::new();
    let mut rows = Vec::new();
    for id in ids {
        let account = Address::of_key(&id);
        text.push_str(&format!("{id}  {account}\n"));
        rows.push(json!({ "entity": id.to_string(), "account": account.to_string() }));
    }
    if rows.is_empty() {
        text.push_str("no entity is registered\n");
    }
    Ok(Answer::new(text, json!({ "entities": rows })))
}
