//! `trilith canister settings`: who controls a canister, and what it may use.

use anyhow::Result;
use candid::{Nat, Principal};
use clap::Args;
use serde_json::json;

use super::amount::{grouped, parse_bytes, parse_cycles, parse_seconds, show_cycles};
use super::connection::Session;
use super::management::{
    self, DefiniteSettings, LogVisibility, Settings, Status, UpdateSettings, Variable,
};
use super::names::Target;
use super::report::{Answer, row};
use crate::output::Failure;

/// Arguments of `settings`.
#[derive(Args, Clone, Debug)]
pub(super) struct SettingsArguments {
    /// The canister, by id or name
    #[arg(value_name = "CANISTER")]
    canister: String,
    /// Make this the controllers, and nobody else; may be repeated
    #[arg(long, value_name = "PRINCIPAL",
          conflicts_with_all = ["add_controller", "remove_controller"])]
    set_controller: Vec<Principal>,
    /// Make this a controller too; may be repeated
    #[arg(long, value_name = "PRINCIPAL")]
    add_controller: Vec<Principal>,
    /// Make this no controller any more; may be repeated
    #[arg(long, value_name = "PRINCIPAL")]
    remove_controller: Vec<Principal>,
    /// Change the controllers also if you are none of them afterwards
    #[arg(long)]
    give_up_control: bool,
    #[command(flatten)]
    limits: LimitArguments,
    /// Set an environment variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    environment_variable: Vec<Variable>,
    /// Remove an environment variable; may be repeated
    #[arg(long, value_name = "NAME")]
    remove_environment_variable: Vec<String>,
}

/// Settings that `create` and `settings` have in common.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitArguments {
    /// Share of a core that is reserved, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    compute_allocation: Option<u64>,
    /// Memory that is reserved, such as 2GiB; 0 for none
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    memory_allocation: Option<u64>,
    /// For how long cycles are kept back for storage, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    freezing_threshold: Option<u64>,
    /// Most cycles that may be reserved for storage
    #[arg(long, value_name = "CYCLES", value_parser = parse_cycles)]
    reserved_cycles_limit: Option<u128>,
    /// Most main memory, such as 3GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    wasm_memory_limit: Option<u64>,
    /// Main memory left over below which the canister's hook for low memory runs
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    wasm_memory_threshold: Option<u64>,
    /// Who may read the logs: controllers, public, or principals separated by commas
    #[arg(long, value_name = "WHO", value_parser = parse_visibility)]
    log_visibility: Option<LogVisibility>,
}

impl LimitArguments {
    /// The settings that are to change.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            compute_allocation: self.compute_allocation.map(Nat::from),
            memory_allocation: self.memory_allocation.map(Nat::from),
            freezing_threshold: self.freezing_threshold.map(Nat::from),
            reserved_cycles_limit: self.reserved_cycles_limit.map(Nat::from),
            wasm_memory_limit: self.wasm_memory_limit.map(Nat::from),
            wasm_memory_threshold: self.wasm_memory_threshold.map(Nat::from),
            log_visibility: self.log_visibility.clone(),
            ..Settings::default()
        }
    }
}

fn parse_visibility(text: &str) -> Result<LogVisibility, String> {
    match text {
        "controllers" => Ok(LogVisibility::Controllers),
        "public" => Ok(LogVisibility::Public),
        list => {
            let viewers: Result<Vec<Principal>, _> = list
                .split(',')
                .map(|id| Principal::from_text(id.trim()))
                .collect();
            let refuse = |error| format!("{error}; write controllers, public, or principals");
            viewers.map(LogVisibility::AllowedViewers).map_err(refuse)
        }
    }
}

fn parse_variable(text: &str) -> Result<Variable, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Runs `settings`: changes what was given, and shows what holds then.
pub(super) async fn run(session: &Session, arguments: &SettingsArguments) -> Result<Answer> {
    let target = session.names.resolve(&arguments.canister)?;
    let before = management::status(session, &target).await?.settings;
    let mut settings = arguments.limits.settings();
    settings.controllers = controllers(session, arguments, &before, &target)?;
    settings.environment_variables = variables(arguments, &before, &target)?;
    let after = if settings == Settings::default() {
        before
    } else {
        let canister_id = target.id;
        let change = UpdateSettings {
            canister_id,
            settings: settings.clone(),
        };
        let what = format!("the settings of {target} were not changed");
        management::update(session, &target, "update_settings", &change, &what).await?;
        let stays = settings.controllers.as_ref();
        if stays.is_some_and(|controllers| !controllers.contains(&session.principal())) {
            // Who controls it no more cannot read what holds now.
            let document = json!({ "canister_id": target.id, "controllers": stays });
            let text = format!("the settings of {target} are changed; you control it no more\n");
            return Ok(Answer::new(text, document));
        }
        management::status(session, &target).await?.settings
    };
    let mut text = String::new();
    row(&mut text, "canister", target.to_string());
    show(&mut text, &after);
    let mut document = to_json(&after);
    document["canister_id"] = json!(target.id);
    Ok(Answer::new(text, document))
}

/// The controllers that there are to be, if they are to change.
fn controllers(
    session: &Session,
    arguments: &SettingsArguments,
    before: &DefiniteSettings,
    target: &Target,
) -> Result<Option<Vec<Principal>>> {
    let mut after = if arguments.set_controller.is_empty() {
        before.controllers.clone()
    } else {
        arguments.set_controller.clone()
    };
    after.extend(&arguments.add_controller);
    after.retain(|id| !arguments.remove_controller.contains(id));
    after.sort_unstable();
    after.dedup();
    let mut sorted = before.controllers.clone();
    sorted.sort_unstable();
    if after == sorted {
        return Ok(None);
    }
    let me = session.principal();
    if !after.contains(&me) && !arguments.give_up_control {
        return Err(Failure {
            message: format!("you would control {target} no more"),
            causes: vec![format!("you are {}", session.who)],
            next: Some("leave yourself among the controllers, or add --give-up-control".to_owned()),
            usage: true,
            ..Failure::default()
        }
        .into());
    }
    Ok(Some(after))
}

/// The environment variables that there are to be, if they are to change.
fn variables(
    arguments: &SettingsArguments,
    before: &DefiniteSettings,
    target: &Target,
) -> Result<Option<Vec<Variable>>> {
    let (set, removed) = (
        &arguments.environment_variable,
        &arguments.remove_environment_variable,
    );
    if set.is_empty() && removed.is_empty() {
        return Ok(None);
    }
    let mut after = before.environment_variables.clone().unwrap_or_default();
    for name in removed {
        let known = after.len();
        after.retain(|variable| variable.name != *name);
        if after.len() == known {
            return Err(Failure {
                message: format!("{target} has no environment variable `{name}`"),
                next: Some(format!(
                    "see which it has with `trilith canister settings {}`",
                    target.typed()
                )),
                usage: true,
                ..Failure::default()
            }
            .into());
        }
    }
    for variable in set {
        after.retain(|known| known.name != variable.name);
        after.push(variable.clone());
    }
    Ok(Some(after))
}

/// Settings as lines of text.
pub(super) fn show(text: &mut String, settings: &DefiniteSettings) {
    for (place, controller) in settings.controllers.iter().enumerate() {
        let name = if place == 0 { "controllers" } else { "" };
        row(text, name, controller.to_text());
    }
    if settings.controllers.is_empty() {
        row(text, "controllers", "none");
    }
    let percent = format!("{} %", settings.compute_allocation);
    row(text, "compute allocation", percent);
    let bytes = |value: &Nat| format!("{} bytes", grouped(value));
    row(
        text,
        "memory allocation",
        bytes(&settings.memory_allocation),
    );
    let seconds = &settings.freezing_threshold;
    let days = &seconds.0 / 86_400_u32;
    row(
        text,
        "freezing threshold",
        format!("{} s ({days} d)", grouped(seconds)),
    );
    if let Some(limit) = &settings.reserved_cycles_limit {
        row(text, "reserved cycles limit", show_cycles(limit));
    }
    if let Some(limit) = &settings.wasm_memory_limit {
        row(text, "wasm memory limit", bytes(limit));
    }
    if let Some(threshold) = &settings.wasm_memory_threshold {
        row(text, "wasm memory threshold", bytes(threshold));
    }
    match &settings.log_visibility {
        Some(LogVisibility::Controllers) => row(text, "log visibility", "controllers"),
        Some(LogVisibility::Public) => row(text, "log visibility", "public"),
        Some(LogVisibility::AllowedViewers(viewers)) => {
            let viewers = super::advice::show_principals(viewers);
            row(text, "log visibility", viewers);
        }
        None => {}
    }
    for variable in settings.environment_variables.iter().flatten() {
        let Variable { name, value } = variable;
        row(text, "environment variable", format!("{name}={value}"));
    }
}

/// Settings as JSON: amounts of cycles as strings, everything else as numbers.
pub(super) fn to_json(settings: &DefiniteSettings) -> serde_json::Value {
    let variables = settings.environment_variables.as_ref();
    let variables = variables.map(|variables| {
        let pairs = variables.iter();
        let pairs = pairs.map(|variable| (variable.name.clone(), json!(variable.value)));
        serde_json::Value::Object(pairs.collect())
    });
    json!({
        "controllers": settings.controllers,
        "compute_allocation": number(&settings.compute_allocation),
        "memory_allocation": number(&settings.memory_allocation),
        "freezing_threshold": number(&settings.freezing_threshold),
        "reserved_cycles_limit": settings.reserved_cycles_limit.as_ref().map(digits),
        "wasm_memory_limit": settings.wasm_memory_limit.as_ref().map(number),
        "wasm_memory_threshold": settings.wasm_memory_threshold.as_ref().map(number),
        "log_visibility": settings.log_visibility,
        "environment_variables": variables,
    })
}

/// All digits of an amount.
pub(super) fn digits(value: &Nat) -> String {
    value.0.to_string()
}

/// A number of bytes, seconds or percent; a string if it is larger than any of these can be.
pub(super) fn number(value: &Nat) -> serde_json::Value {
    match u64::try_from(&value.0) {
        Ok(small) => json!(small),
        Err(_) => json!(digits(value)),
    }
}

/// A status as lines of text and as JSON, with the settings.
pub(super) fn show_status(target: &Target, status: &Status) -> (String, serde_json::Value) {
    let mut text = String::new();
    row(&mut text, "canister", target.to_string());
    row(&mut text, "status", status.status.name());
    let hash = status.module_hash.as_ref().map(hex::encode);
    row(&mut text, "module", hash.as_deref().unwrap_or("none"));
    row(&mut text, "cycles", show_cycles(&status.cycles));
    if let Some(reserved) = &status.reserved_cycles {
        row(&mut text, "reserved cycles", show_cycles(reserved));
    }
    let burned = show_cycles(&status.idle_cycles_burned_per_day);
    row(&mut text, "burned in a day", burned);
    let memory = format!("{} bytes", grouped(&status.memory_size));
    row(&mut text, "memory", memory);
    show(&mut text, &status.settings);
    let document = json!({
        "canister_id": target.id,
        "name": target.name,
        "status": status.status.name(),
        "version": status.version,
        "module_hash": hash,
        "cycles": digits(&status.cycles),
        "reserved_cycles": status.reserved_cycles.as_ref().map(digits),
        "idle_cycles_burned_per_day": digits(&status.idle_cycles_burned_per_day),
        "memory_size": number(&status.memory_size),
        "settings": to_json(&status.settings),
    });
    (text, document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_logs_is_parsed() {
        assert_eq!(parse_visibility("public"), Ok(LogVisibility::Public));
        let two = parse_visibility("aaaaa-aa, 2vxsx-fae").unwrap();
        let viewers = vec![Principal::management_canister(), Principal::anonymous()];
        assert_eq!(two, LogVisibility::AllowedViewers(viewers));
        assert!(parse_visibility("everybody").is_err());
        assert!(parse_variable("=1").is_err());
        assert_eq!(parse_variable("A=b=c").unwrap().value, "b=c");
    }
}
