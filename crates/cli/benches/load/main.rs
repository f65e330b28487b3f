//! A load generator for the Internet Computer's interface, on the machine of the node that it
//! loads: what both can do together, not what a node could do alone.
//!
//! ```text
//! cargo bench -p trilith-cli --bench load -- updates  --requests 100000
//! cargo bench -p trilith-cli --bench load -- queries  --requests 200000
//! cargo bench -p trilith-cli --bench load -- overload --seconds 60
//! cargo bench -p trilith-cli --bench load -- idle     --canisters 1000
//! ```
//!
//! The counters are in WAT and count in heap memory; with `--c` they are in C and count in stable
//! memory.
//!
//! Every request is signed before the clock starts, with Ed25519 and a nonce of its own; a sample of
//! the answers is verified after it stopped, certificates by this project's verifier and by an
//! independent one. Started by `cargo test` it runs each kind with few requests, and shows only that
//! the generator works.

#[path = "../../tests/support/mod.rs"]
mod support;

mod generator;
mod overload;
mod signed;

use std::time::Duration;

use candid::Principal;
use support::{C_COUNTER, Client, Node, WAT_COUNTER};
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};
use trilith_client::query::NodeKeys;

use generator::Sample;
use signed::{Answer, Kind, Load};

/// One of so many answers is verified.
const SAMPLE_EVERY: usize = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, measuring: usize, testing: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        let given = at.and_then(|at| arguments.get(at + 1));
        given.map_or(if measured { measuring } else { testing }, |text| {
            text.parse().expect("a number after the name")
        })
    };
    let wanted = |name: &str| {
        let names = ["updates", "queries", "overload", "idle"];
        let chosen = arguments
            .iter()
            .any(|argument| names.contains(&argument.as_str()));
        !chosen || arguments.iter().any(|argument| argument == name)
    };
    let connections = number("--connections", 600, 8);
    let canisters = number("--canisters", 8, 2);
    if wanted("updates") {
        let requests = number("--requests", 100_000, 200);
        steady(Kind::Update, requests, connections, canisters);
    }
    if wanted("queries") {
        let requests = number("--requests", 200_000, 200);
        for kind in [Kind::Query, Kind::DistinctQuery] {
            steady(kind, requests, connections.min(64), canisters);
        }
    }
    if wanted("overload") {
        let seconds = number("--seconds", 60, 1);
        let rate = number("--rate", 4_000, 40);
        overload::run(Duration::from_secs(seconds as u64), rate);
    }
    if wanted("idle") {
        idle(number("--canisters", 1_000, 3));
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime can be made")
}

/// As many requests as can be answered, to counters of their own canisters.
fn steady(kind: Kind, requests: usize, connections: usize, canisters: usize) {
    let in_c = std::env::args().any(|argument| argument == "--c");
    let folder = tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let runtime = runtime();
    let first = Client::new(&node);
    let counters: Vec<Principal> = (0..canisters)
        .map(|_| runtime.block_on(first.install(if in_c { C_COUNTER } else { WAT_COUNTER })))
        .collect();
    let load = signed::load(&node, kind, &counters, requests);
    let before = support::process::usage(node.pid());
    let run = runtime.block_on(generator::run(
        &node.url,
        &load.requests,
        connections,
        SAMPLE_EVERY,
    ));
    let used = support::process::usage(node.pid()) - before;
    run.print(kind.name(), used);
    assert_eq!(run.answered(200), requests, "{:?}", run.statuses());
    let nodes = runtime.block_on(signed::node_keys(&first, &node));
    verify(&first, &nodes, &load, &run.samples, kind);
    if kind == Kind::Update {
        let sum = |index: usize| runtime.block_on(value(&first, counters[index], in_c));
        let counted: u64 = (0..canisters).map(sum).sum();
        assert_eq!(counted, requests as u64, "each update was applied once");
        println!("  the counters hold {counted}");
    }
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
}

async fn value(client: &Client, canister: Principal, in_c: bool) -> u64 {
    if in_c {
        client.query::<u64>(canister, "get", ()).await
    } else {
        u64::from(client.query::<u32>(canister, "get", ()).await)
    }
}

/// Verifies the sampled answers.
fn verify(client: &Client, nodes: &NodeKeys, load: &Load, samples: &[Sample], kind: Kind) {
    assert!(!samples.is_empty(), "some answers are kept");
    for Sample { request, body } in samples {
        let request = &load.requests[*request];
        let answer = Answer { status: 200, body };
        match kind {
            Kind::Update => signed::verify_update(client, request, &answer),
            Kind::Query | Kind::DistinctQuery => signed::verify_query(nodes, request, &answer),
        }
    }
    println!("  {} answers verified", samples.len());
}

/// What a node with many installed canisters takes when nothing happens.
fn idle(canisters: usize) {
    let folder = tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let runtime = runtime();
    let client = Client::new(&node);
    let empty = support::process::memory(node.pid());
    for number in 0..canisters {
        let canister = runtime.block_on(client.install(WAT_COUNTER));
        if number == 0 {
            assert_eq!(runtime.block_on(value(&client, canister, false)), 0);
        }
    }
    let full = support::process::memory(node.pid());
    println!(
        "idle: node with {canisters} canisters: {} MiB (all its processes {} MiB); new node {} MiB ({} MiB)",
        full.node >> 20,
        full.all >> 20,
        empty.node >> 20,
        empty.all >> 20,
    );
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    let begun = std::time::Instant::now();
    let node = Node::start(folder.path());
    println!("  started again in {} ms", begun.elapsed().as_millis());
    let again = support::process::memory(node.pid());
    println!(
        "  after the start: {} MiB (all its processes {} MiB)",
        again.node >> 20,
        again.all >> 20
    );
}
