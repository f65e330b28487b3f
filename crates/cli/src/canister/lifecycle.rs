//! `trilith canister create`, `start`, `stop`, `delete`, `uninstall` and `top-up`.

use anyhow::Result;
use candid::{Nat, Principal};
use clap::Args;
use serde_json::json;

use super::amount::{parse_cycles, show_cycles};
use super::connection::Session;
use super::management::{self, CanisterId, PROVISIONAL_CREATE, ProvisionalCreate, TopUp};
use super::names::Target;
use super::report::Answer;
use super::settings::LimitArguments;

/// The first canister id of a developer network, under which canisters are made where the network
/// does not state its ranges. Source: crate `pocket-ic`, whose default it is too.
const FIRST_CANISTER: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

/// Arguments of `create`.
#[derive(Args, Clone, Debug)]
pub(super) struct CreateArguments {
    /// Name to remember it by, in the file `trilith.canisters.json` of the project
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Cycles to begin with, such as 3T; what the network gives by default unless given
    #[arg(long, value_name = "CYCLES", value_parser = parse_cycles)]
    cycles: Option<u128>,
    /// Controller in your place; may be repeated
    #[arg(long, value_name = "PRINCIPAL")]
    controller: Vec<Principal>,
    /// Id that it is to have, if it is free
    #[arg(long, value_name = "ID")]
    id: Option<Principal>,
    #[command(flatten)]
    limits: LimitArguments,
}

/// Runs `create`.
pub(super) async fn create(session: &mut Session, arguments: &CreateArguments) -> Result<Answer> {
    if let Some(name) = &arguments.name {
        session.names.check_free(name)?;
    }
    let mut settings = arguments.limits.settings();
    settings.controllers = (!arguments.controller.is_empty()).then(|| arguments.controller.clone());
    let create = ProvisionalCreate {
        amount: arguments.cycles.map(Nat::from),
        settings: Some(settings),
        specified_id: arguments.id,
    };
    let effective = match arguments.id {
        Some(id) => id,
        None => first_canister(session).await,
    };
    let place = Target::unnamed(effective);
    let what = format!("no canister was made on {}", session.network);
    let reply = management::update(session, &place, PROVISIONAL_CREATE, &create, &what).await?;
    let CanisterId { canister_id } = management::decoded(&reply, PROVISIONAL_CREATE)?;
    if let Some(name) = &arguments.name {
        session.names.add(name, canister_id)?;
        let path = session.names.path().display();
        session.note(format!("{name} is {canister_id} from now on, in {path}"));
    }
    let me = session.principal();
    let controllers = if arguments.controller.is_empty() {
        vec![me]
    } else {
        arguments.controller.clone()
    };
    if controllers == [Principal::anonymous()] {
        session.note("note: everybody controls it, because you are anonymous; see --identity");
    } else if !controllers.contains(&me) {
        session.note("note: you are not among its controllers");
    }
    let document = json!({
        "canister_id": canister_id,
        "name": arguments.name,
        "controllers": controllers,
    });
    Ok(Answer::new(format!("{canister_id}\n"), document))
}

/// A canister id of the network, certified where the network states its ranges.
async fn first_canister(session: &Session) -> Principal {
    let subnet = Principal::self_authenticating(session.agent.read_root_key());
    let ranges = session.agent.read_state_subnet_canister_ranges(subnet);
    let ranges = ranges.await.unwrap_or_default();
    let first = ranges.first().map(|(first, _)| *first);
    first.unwrap_or_else(|| Principal::from_slice(&FIRST_CANISTER))
}

/// Arguments of commands that need to know nothing but the canister.
#[derive(Args, Clone, Debug)]
pub(super) struct OneCanister {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    pub(super) canister: String,
}

/// What can be done to a canister as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Start,
    Stop,
    Uninstall,
    Delete,
}

impl Deed {
    fn method(self) -> &'static str {
        match self {
            Self::Start => "start_canister",
            Self::Stop => "stop_canister",
            Self::Uninstall => "uninstall_code",
            Self::Delete => "delete_canister",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Uninstall => "uninstalled",
            Self::Delete => "deleted",
        }
    }
}

/// Runs `start`, `stop`, `uninstall` or `delete`.
pub(super) async fn run(
    session: &mut Session,
    arguments: &OneCanister,
    deed: Deed,
) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let done = deed.done();
    let what = format!("{target} was not {done}");
    if deed == Deed::Stop {
        session.note(format!("waiting until {target} has nothing under way"));
    }
    let argument = CanisterId {
        canister_id: target.id,
    };
    management::update(session, &target, deed.method(), &argument, &what).await?;
    if deed == Deed::Delete && session.names.remove(target.id)? {
        let path = session.names.path().display();
        session.note(format!("its name is forgotten in {path}"));
    }
    let document = json!({ "canister_id": target.id, "done": done });
    Ok(Answer::new(format!("{done} {target}\n"), document))
}

/// Arguments of `top-up`.
#[derive(Args, Clone, Debug)]
pub(super) struct TopUpArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// Cycles to add, such as 3T
    #[arg(long, value_name = "CYCLES", value_parser = parse_cycles)]
    cycles: u128,
}

/// Runs `top-up`.
pub(super) async fn top_up(session: &Session, arguments: &TopUpArguments) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let argument = TopUp {
        canister_id: target.id,
        amount: Nat::from(arguments.cycles),
    };
    let what = format!("{target} got no cycles");
    let method = "provisional_top_up_canister";
    management::update(session, &target, method, &argument, &what).await?;
    let added = show_cycles(&argument.amount);
    let text = format!("added {added} cycles to {target}\n");
    let document = json!({
        "canister_id": target.id,
        "added_cycles": arguments.cycles.to_string(),
    });
    Ok(Answer::new(text, document))
}
