//! What a client waits for, measured at the wire of a node that runs as a process of its own.
//!
//! Requests are signed before the clock starts and answers are verified after it stopped: what is
//! measured is from the first byte sent to the last byte received. One client, one request at a
//! time.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use candid::Principal;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use support::http::Connection;
use support::{C_COUNTER, Client, Node};
use tempfile::tempdir;
use tokio::runtime::Runtime;
use trilith_client::{RequestStatus, request_status};

/// Number of the canister before the first one that is made with a chosen id.
const FIRST: u64 = 0x1000;

/// A module without anything in it.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

fn call_path(canister: Principal) -> String {
    format!("/api/v4/canister/{canister}/call")
}

fn query_path(canister: Principal) -> String {
    format!("/api/v3/canister/{canister}/query")
}

fn signed_query(client: &Client, canister: Principal) -> Vec<u8> {
    let argument = candid::encode_args(()).expect("nothing is Candid");
    let query = client.agent.query(&canister, "get").with_arg(argument);
    query.sign().expect("the identity can sign").signed_query
}

/// From process start to the answer of the first query.
fn start(data: &Path, path: &str, query: &[u8]) -> Duration {
    let begun = Instant::now();
    let node = Node::start(data);
    let answer = Connection::open(&node.url).post(path, query);
    let took = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    took
}

fn start_to_first_query(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let folder = tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = runtime.block_on(client.install(C_COUNTER));
    let query = signed_query(&client, canister);
    let path = query_path(canister);
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    let mut group = criterion.benchmark_group("first light");
    group.sample_size(20);
    group.bench_function("start to first answered query", |bencher| {
        bencher.iter_custom(|count| {
            (0..count)
                .map(|_| start(folder.path(), &path, &query))
                .sum()
        });
    });
    group.finish();
}

fn create_and_install(criterion: &mut Criterion) {
    let folder = tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let mut connection = Connection::open(&node.url);
    // Canisters with chosen ids, so that both requests can be signed ahead.
    let mut next = FIRST;
    let mut group = criterion.benchmark_group("first light");
    group.sample_size(50);
    group.bench_function("create and install an empty canister", |bencher| {
        bencher.iter_batched(
            || {
                next += 1;
                let mut id = next.to_be_bytes().to_vec();
                id.extend([1, 1]);
                let id = Principal::from_slice(&id);
                let create = client.sign_create(Some(id)).signed_update;
                (id, create, client.sign_install(id, EMPTY).signed_update)
            },
            |(id, create, install)| {
                let created = connection.post(&call_path(id), &create);
                let installed = connection.post(&call_path(id), &install);
                assert_eq!((created.status, installed.status), (200, 200));
                black_box((created, installed))
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    if next == FIRST {
        // Left out by the filter of the command line.
        return;
    }
    let mut id = next.to_be_bytes().to_vec();
    id.extend([1, 1]);
    let runtime = Runtime::new().expect("threads can be started");
    let agent = &client.agent;
    let hash = agent.read_state_canister_module_hash(Principal::from_slice(&id));
    let hash = runtime.block_on(hash).expect("the last one has code");
    assert_eq!(hash, trilith_types::hash::sha256(&[EMPTY]));
}

fn update_and_query(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let folder = tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = runtime.block_on(client.install(C_COUNTER));
    let mut connection = Connection::open(&node.url);

    // What is timed below leads to certificates that verify.
    let update = client.sign(canister, "inc", ());
    let answer = connection.post(&call_path(canister), &update.signed_update);
    let verified = client
        .verify(&answer.bytes("certificate"), canister)
        .expect("the certificate is valid");
    let status = request_status(&verified, &update.request_id);
    assert!(matches!(status, Ok(RequestStatus::Replied { .. })));

    let mut group = criterion.benchmark_group("first light");
    group.sample_size(100);
    group.bench_function("update call", |bencher| {
        bencher.iter_batched(
            || client.sign(canister, "inc", ()).signed_update,
            |update| {
                let answer = connection.post(&call_path(canister), &update);
                assert_eq!(answer.status, 200);
                black_box(answer)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("query", |bencher| {
        bencher.iter_batched(
            || signed_query(&client, canister),
            |query| {
                let answer = connection.post(&query_path(canister), &query);
                assert_eq!(answer.status, 200);
                black_box(answer)
            },
            BatchSize::PerIteration,
        );
    });
    let certificate = answer.bytes("certificate");
    group.bench_function("verifying a certificate, by the client", |bencher| {
        bencher.iter(|| client.verify(&certificate, canister).is_ok());
    });
    group.finish();
}

criterion_group!(
    benches,
    start_to_first_query,
    create_and_install,
    update_and_query
);
criterion_main!(benches);
