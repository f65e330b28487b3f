//! `trilith canister call` and `query`: one message, its argument and its reply in candid.

use anyhow::Result;
use candid::types::value::IDLValue;
use candid::types::{Function, Label};
use candid::{IDLArgs, Principal};
use clap::{Args, ValueEnum};
use ic_agent::AgentError;
use serde_json::json;

use super::advice::{self, Asked};
use super::argument::{ArgumentOptions, encoded};
use super::connection::Session;
use super::interface::{Interface, is_composite, is_query};
use super::names::Target;
use super::report::Answer;
use super::text::{decode, to_json};
use crate::output::Failure;

/// Arguments of `call` and `query`.
#[derive(Args, Clone, Debug)]
pub(super) struct CallArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// Name of the method
    #[arg(value_name = "METHOD")]
    method: String,
    /// The argument as candid text, such as '(1, "text")'; none for methods without arguments
    #[arg(value_name = "ARGUMENT", group = "written", allow_hyphen_values = true)]
    argument: Option<String>,
    #[command(flatten)]
    options: ArgumentOptions,
    /// How to print the reply
    #[arg(long, value_enum, default_value_t = Format::Candid)]
    output: Format,
}

/// How a reply is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Candid text
    Candid,
    /// A JSON array with one element for each value of the reply
    Json,
    /// The bytes in hexadecimal
    Hex,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Update,
    Query,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Query => "query",
        }
    }
}

/// Runs `call` or `query`.
pub(super) async fn run(session: &Session, arguments: &CallArguments, way: Way) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let method = arguments.method.as_str();
    let written = arguments.options.written(arguments.argument.as_deref())?;
    let interface = interface_of(session, &target, &arguments.options).await?;
    let function = match &interface {
        Some(interface) => Some(look_up(interface, &target, method, way)?),
        None => None,
    };
    let known = interface.as_ref().zip(function);
    let types = known.map(|(interface, function)| interface.types(&function.args));
    let argument = encoded(&written, types, &format!("`{method}`"))?;
    let reply = send(session, &target, method, argument, way).await;
    let asked = Asked {
        method,
        interface: interface.as_ref(),
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            let what = format!("the {} `{method}` of {target} failed", way.name());
            return Err(advice::explain(session, &what, &target, Some(asked), error).await);
        }
    };
    let types = known.map(|(interface, function)| interface.types(&function.rets));
    let values = match types.map(|types| decode(&reply, Some(types))) {
        Some(Ok(values)) => Some(values),
        Some(Err(error)) => {
            session.note(format!(
                "note: the reply is not as the interface says ({error}); it is shown as it came"
            ));
            decode(&reply, None).ok()
        }
        None => decode(&reply, None).ok(),
    };
    Ok(answer(
        session,
        arguments,
        &target,
        way,
        &reply,
        values.as_ref(),
    ))
}

/// The interface to use, if there is one.
async fn interface_of(
    session: &Session,
    target: &Target,
    options: &ArgumentOptions,
) -> Result<Option<Interface>> {
    if let Some(path) = &options.did {
        return Interface::from_file(path).map(Some);
    }
    // The management canister has no state that could be read.
    if options.no_interface || target.id == Principal::management_canister() {
        return Ok(None);
    }
    Interface::of_canister(session, target).await
}

/// Finds a method in the interface, and refuses one that cannot be called this way: the network
/// would refuse it too, later and in other words.
fn look_up<'a>(
    interface: &'a Interface,
    target: &Target,
    method: &str,
    way: Way,
) -> Result<&'a Function> {
    let typed = target.typed();
    let refuse = |message: String, causes: Vec<String>, next: String| {
        Err(Failure {
            message,
            causes,
            next: Some(next),
            usage: true,
            ..Failure::default()
        }
        .into())
    };
    let Some(function) = interface.method(method) else {
        let (known, likely) = interface.unknown_method(method);
        let next = match likely {
            Some(name) => format!("did you mean `{name}`?"),
            None => "call one of its methods; --no-interface sends to methods that the interface \
                     does not name"
                .to_owned(),
        };
        return refuse(
            format!("the interface of {target} has no method `{method}`"),
            vec![known],
            next,
        );
    };
    match way {
        Way::Query if !is_query(function) => refuse(
            format!("`{method}` of {target} is no query method: it may change the canister"),
            vec![],
            format!("send it with `trilith canister call {typed} {method}`"),
        ),
        Way::Update if is_composite(function) => refuse(
            format!("`{method}` of {target} is a composite query, which cannot be an update"),
            vec![],
            format!("send it with `trilith canister query {typed} {method}`"),
        ),
        _ => Ok(function),
    }
}

async fn send(
    session: &Session,
    target: &Target,
    method: &str,
    argument: Vec<u8>,
    way: Way,
) -> Result<Vec<u8>, AgentError> {
    let effective = effective(target, &argument);
    match way {
        Way::Update => {
            let call = session.agent.update(&target.id, method);
            let call = call.with_effective_canister_id(effective);
            call.with_arg(argument).call_and_wait().await
        }
        Way::Query => {
            let call = session.agent.query(&target.id, method);
            let call = call.with_effective_canister_id(effective);
            call.with_arg(argument).call_with_verification().await
        }
    }
}

/// The canister under whose address a message goes: its own, but for the management canister the
/// one that the argument is about. Source: interface specification, "effective canister id".
fn effective(target: &Target, argument: &[u8]) -> Principal {
    if target.id != Principal::management_canister() {
        return target.id;
    }
    let named = |values: IDLArgs| {
        let Some(IDLValue::Record(fields)) = values.args.into_iter().next() else {
            return None;
        };
        fields.into_iter().find_map(|field| {
            let names = ["canister_id", "target_canister"].map(|name| Label::Named(name.into()));
            match field.val {
                IDLValue::Principal(id) if names.contains(&field.id) => Some(id),
                _ => None,
            }
        })
    };
    let values = decode(argument, None).ok();
    values.and_then(named).unwrap_or(target.id)
}

fn answer(
    session: &Session,
    arguments: &CallArguments,
    target: &Target,
    way: Way,
    reply: &[u8],
    values: Option<&IDLArgs>,
) -> Answer {
    let hex = hex::encode(reply);
    let text = match (arguments.output, values) {
        (Format::Candid, Some(values)) => values.to_string(),
        (Format::Json, Some(values)) => to_json(values).to_string(),
        (Format::Hex, _) => hex.clone(),
        (_, None) => {
            session.note("note: the reply is not candid; these are its bytes in hexadecimal");
            hex.clone()
        }
    };
    let document = json!({
        "canister_id": target.id,
        "method": arguments.method,
        "kind": way.name(),
        "candid": values.map(ToString::to_string),
        "json": values.map(to_json),
        "hex": hex,
    });
    Answer::new(format!("{text}\n"), document)
}
