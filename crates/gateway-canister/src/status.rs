//! What a node says of itself: status, topology and a page for people.
//!
//! Source: Internet Computer interface specification, "Status endpoint"; the topology has the shape
//! in which local networks of the Internet Computer's tools publish theirs.

use axum::Json;
use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candid::Principal;
use serde_json::{Value, json};
use trilith_engine_canister::query::{QueryRequest, QueryResponse, Topology};
use trilith_types::cbor::MapBuilder;
use trilith_types::hash::sha256;

use crate::failure::Failure;
use crate::read::{NoAnswer, ask, other_question};
use crate::{Gateway, answer};

/// `GET /api/v2/status`.
pub(crate) async fn status(State(gateway): State<Gateway>) -> Response {
    let status = gateway.port.status();
    let health = if status.healthy {
        "healthy"
    } else {
        "waiting_for_certified_state"
    };
    answer::cbor(
        MapBuilder::new()
            .field("root_key", |encoder| {
                encoder.bytes(&status.root_key_der);
            })
            .field("impl_version", |encoder| {
                encoder.text(concat!("trilith-", env!("CARGO_PKG_VERSION")));
            })
            .field("replica_health_status", |encoder| {
                encoder.text(health);
            })
            .field("certified_height", |encoder| {
                encoder.uint(status.round.0);
            }),
    )
}

/// `GET /_/topology`.
pub(crate) async fn topology(State(gateway): State<Gateway>) -> Result<Response, Failure> {
    Ok(Json(topology_json(&topology_of(&gateway).await?)).into_response())
}

pub(crate) async fn topology_of(gateway: &Gateway) -> Result<Topology, Failure> {
    match ask(gateway, &QueryRequest::Topology).await {
        Ok(QueryResponse::Topology(topology)) => Ok(topology),
        Ok(_) => Err(other_question()),
        Err(NoAnswer::Failure(failure)) => Err(failure),
        Err(NoAnswer::Reject(reject)) => Err(Failure::rejected(&reject)),
    }
}

/// An id as tools expect it: the bytes in base64.
fn id_json(id: &Principal) -> Value {
    json!({ "canister_id": STANDARD.encode(id.as_slice()) })
}

fn topology_json(topology: &Topology) -> Value {
    let ranges: Vec<Value> = topology
        .ranges
        .iter()
        .map(|(first, last)| json!({ "start": id_json(first), "end": id_json(last) }))
        .collect();
    // Tools name the folder of a subnet's state by its seed; here it only tells subnets apart.
    let seed = sha256(&[topology.subnet.as_slice()]);
    let mut subnets = serde_json::Map::new();
    subnets.insert(
        topology.subnet.to_text(),
        json!({
            "subnet_kind": "Application",
            "subnet_admins": [],
            "cost_schedule": "Normal",
            "subnet_seed": seed,
            "instruction_config": "Production",
            "canister_ranges": ranges,
            "size": topology.nodes.len(),
        }),
    );
    json!({
        "subnet_configs": subnets,
        "default_effective_canister_id": id_json(&topology.default_effective_canister),
    })
}

/// `GET /_/dashboard`.
pub(crate) async fn dashboard(State(gateway): State<Gateway>) -> Result<Response, Failure> {
    let topology = topology_of(&gateway).await?;
    let status = gateway.port.status();
    let health = if status.healthy {
        "healthy"
    } else {
        "waiting for a certified state"
    };
    let ranges: String = topology
        .ranges
        .iter()
        .map(|(first, last)| format!("<li>{first} to {last}</li>"))
        .collect();
    let root_key: String = status
        .root_key_der
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Trilith</title>\
         <h1>Trilith</h1><dl><dt>Health</dt><dd>{health}</dd>\
         <dt>Certified round</dt><dd>{round}</dd><dt>Subnet</dt><dd>{subnet}</dd>\
         <dt>Nodes</dt><dd>{nodes}</dd><dt>Canister ids</dt><dd><ul>{ranges}</ul></dd>\
         <dt>Default effective canister id</dt><dd>{default}</dd>\
         <dt>Root key (DER)</dt><dd><code>{root_key}</code></dd></dl></html>",
        round = status.round,
        subnet = topology.subnet,
        nodes = topology.nodes.len(),
        default = topology.default_effective_canister,
    ))
    .into_response())
}
