//! What a refusal means to the user, and what they can do next.
//!
//! The codes are the Internet Computer's public ones, `IC0…`; a network that sends none is served
//! by the reject code, and every failure ends with a next step.

use anyhow::Error;
use candid::Principal;
use ic_agent::AgentError;
use ic_agent::agent::RejectResponse;
use ic_agent::agent::agent_error::TransportError;
use serde_json::json;

use super::connection::{Network, Session};
use super::interface::Interface;
use super::names::Target;
use crate::output::Failure;

/// The method that was called, and the interface it was looked up in.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) interface: Option<&'a Interface>,
}

/// The failure of a command that found nobody to speak to, or not who it takes for a node.
pub(super) fn unreachable(network: &Network, error: AgentError) -> Failure {
    let mut failure = Failure {
        message: format!("no node answers at {network}"),
        ..Failure::default()
    };
    failure.next = Some(if network.loopback {
        "start one with `trilith dev`, or name another network with --network".to_owned()
    } else {
        "check the address and the connection, or name another network with --network".to_owned()
    });
    match error {
        AgentError::TransportError(TransportError::Reqwest(error)) => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            failure.causes.push(cause.to_string());
        }
        AgentError::TransportError(error) => failure.causes.push(error.to_string()),
        other => {
            failure.message = format!(
                "what answers at {network} does not speak the Internet Computer's interface"
            );
            failure.causes.push(other.to_string());
        }
    }
    failure
}

/// Explains why `what` failed. Asks the network who the controllers are if that is the matter.
pub(super) async fn explain(
    session: &Session,
    what: &str,
    target: &Target,
    asked: Option<Asked<'_>>,
    error: AgentError,
) -> Error {
    let (reject, certified) = match error {
        AgentError::CertifiedReject { reject, .. } => (reject, true),
        AgentError::UncertifiedReject { reject, .. } => (reject, false),
        other => return of_transport(session, what, other).into(),
    };
    let code = reject.error_code.clone().unwrap_or_default();
    let mut failure = Failure {
        message: what.to_owned(),
        causes: vec![reject.reject_message.clone()],
        ..Failure::default()
    };
    describe(&mut failure, target, asked, &reject, certified);
    if code == "IC0512" {
        not_controller(session, target, &mut failure).await;
    } else if code == "IC0536" {
        unknown_method(target, asked, &mut failure);
    } else {
        failure.next = Some(next_step(&code, &reject, target));
        if reject.reject_code as u8 == 4 && session.who.is_anonymous() {
            failure.causes.push(format!("you are {}", session.who));
        }
    }
    failure.into()
}

/// Adds what programs want to know of a reject.
fn describe(
    failure: &mut Failure,
    target: &Target,
    asked: Option<Asked<'_>>,
    reject: &RejectResponse,
    certified: bool,
) {
    let fields = [
        ("canister_id", json!(target.id)),
        ("method", json!(asked.map(|asked| asked.method))),
        ("reject_code", json!(reject.reject_code as u8)),
        ("reject_message", json!(reject.reject_message)),
        ("error_code", json!(reject.error_code)),
        ("certified", json!(certified)),
    ];
    let fields = fields.into_iter();
    failure
        .details
        .extend(fields.map(|(name, value)| (name.to_owned(), value)));
}

async fn not_controller(session: &Session, target: &Target, failure: &mut Failure) {
    failure.causes.push(format!("you are {}", session.who));
    let controllers = session.agent.read_state_canister_controllers(target.id);
    if let Ok(controllers) = controllers.await {
        let list = show_principals(&controllers);
        failure.causes.push(if list.is_empty() {
            "it has no controllers: nobody can change it any more".to_owned()
        } else {
            format!("its controllers are {list}")
        });
        failure
            .details
            .insert("controllers".to_owned(), json!(controllers));
    }
    failure
        .details
        .insert("caller".to_owned(), json!(session.principal()));
    failure.next = Some(if session.who.is_anonymous() {
        "give the identity of a controller with --identity FILE".to_owned()
    } else {
        format!(
            "give the identity of a controller with --identity FILE, or have one run `trilith \
             canister settings {} --add-controller {}`",
            target.typed(),
            session.principal()
        )
    });
}

/// Principals in one line.
pub(super) fn show_principals(principals: &[Principal]) -> String {
    let texts: Vec<String> = principals.iter().map(Principal::to_text).collect();
    texts.join(", ")
}

fn unknown_method(target: &Target, asked: Option<Asked<'_>>, failure: &mut Failure) {
    let interface = asked.and_then(|asked| Some((asked.method, asked.interface?)));
    let Some((method, interface)) = interface else {
        failure.next = Some(format!(
            "see its methods with `trilith canister info {}`",
            target.typed()
        ));
        return;
    };
    let (known, likely) = interface.unknown_method(method);
    failure.causes.push(known);
    failure.next = Some(match likely {
        Some(name) => format!("did you mean `{name}`?"),
        None => "call one of its methods".to_owned(),
    });
}

/// What to do about a reject.
fn next_step(code: &str, reject: &RejectResponse, target: &Target) -> String {
    let typed = target.typed();
    match code {
        "IC0301" => format!(
            "check the id and the network (--network); `trilith canister create` makes a \
             canister{}",
            if target.name.is_some() {
                ", and `trilith canister names --forget NAME` forgets the name of one that is gone"
            } else {
                ""
            }
        ),
        "IC0207" | "IC0520" => {
            format!("give it cycles with `trilith canister top-up {typed} --cycles 10T`")
        }
        "IC0205" => "give another --id, or none to get the next free one".to_owned(),
        "IC0514" => format!(
            "keep its data with `trilith canister upgrade {typed} --wasm FILE`, or erase it with \
             `trilith canister install {typed} --wasm FILE --mode reinstall`"
        ),
        "IC0537" => format!("install code first: `trilith canister install {typed} --wasm FILE`"),
        "IC0508" | "IC0509" => format!("start it with `trilith canister start {typed}`"),
        "IC0510" => format!("stop it first: `trilith canister stop {typed}`"),
        "IC0505" => "give a Wasm module that was built for the Internet Computer: it may import \
                     nothing but the system interface `ic0`"
            .to_owned(),
        "IC0504" if reject.reject_message.contains("upgrade option") => {
            "say what becomes of the main memory: --wasm-memory-persistence keep, or replace, which \
             erases it"
                .to_owned()
        }
        "IC0407" => "this network does not have that; if it is to make canisters or cycles, it \
                     works on developer networks only"
            .to_owned(),
        "IC0406" => "the canister itself refuses this; give what it asks for, or another identity \
                     with --identity"
            .to_owned(),
        "IC0408" | "IC0403" => "correct the value that the message names".to_owned(),
        "IC0522" => "do less in one message, or in several".to_owned(),
        "IC0527" => "send it with `trilith canister query`".to_owned(),
        "IC0502" | "IC0503" | "IC0504" | "IC0506" | "IC0507" => format!(
            "what the message that failed had changed is undone; `trilith canister logs {typed}` \
             shows what the canister printed"
        ),
        _ => match reject.reject_code as u8 {
            2 => "try again in a moment".to_owned(),
            4 => "the canister itself refuses this; give what it asks for, or another identity \
                  with --identity"
                .to_owned(),
            _ => format!("look at it with `trilith canister info {typed}`"),
        },
    }
}

/// The failure of a call that got no answer, or none that can be believed.
fn of_transport(session: &Session, what: &str, error: AgentError) -> Failure {
    let next = match &error {
        AgentError::TransportError(_) => {
            let mut failure = unreachable(&session.network, error);
            failure.causes.insert(0, failure.message.clone());
            failure.message = what.to_owned();
            return failure;
        }
        AgentError::CertificateVerificationFailed()
        | AgentError::QuerySignatureVerificationFailed
        | AgentError::MissingSignature
        | AgentError::MalformedSignature => {
            "the answer is not to be believed; the root key may be that of another network: give \
             it with --root-key, or --fetch-root-key on a network that you trust"
        }
        AgentError::CertificateOutdated(_) => "set the clocks of this machine and of the node",
        AgentError::CertificateNotAuthorized() => {
            "check the canister's id and the network (--network): it lives elsewhere"
        }
        AgentError::TimeoutWaitingForResponse() => {
            "it may still happen: look at the canister before you send it again"
        }
        AgentError::HttpError(payload) if payload.status == 429 || payload.status == 503 => {
            "the node has too much to do; try again in a moment"
        }
        AgentError::HttpError(payload) if payload.status == 413 => {
            "send less at once; modules over the limit are sent in pieces by `trilith canister \
             install`"
        }
        _ => "check the arguments and the network (--network)",
    };
    let cause = match &error {
        AgentError::HttpError(payload) => {
            let text = String::from_utf8_lossy(&payload.content);
            format!("the node answers {}: {}", payload.status, text.trim())
        }
        other => other.to_string(),
    };
    Failure {
        message: what.to_owned(),
        causes: vec![cause],
        next: Some(next.to_owned()),
        ..Failure::default()
    }
}
