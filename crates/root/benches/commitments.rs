//! What commitments cost the root on one core, for registered committees of 3 + 4 and 20 + 21: a
//! height that delivers all primaries' commitments, checks their signatures and finalises the round;
//! and two heights of a disputed round, in which one primary lies and all backups vote. Everything is
//! read anew from a map in memory: sealing the state is not part of it.

#[path = "../tests/network/mod.rs"]
mod network;
#[path = "../tests/registered/mod.rs"]
mod registered;
#[path = "../tests/rounds/mod.rs"]
mod rounds;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use network::{Network, RUNTIME, transaction};
use rounds::with_nodes;
use trilith_protocol::{ExecutorCommitment, HeaderType};

const OWNED: &[u8] = &[
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64,
    65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81,
];

fn committee(workers: u16, backups: u16) -> Network {
    let nodes = &OWNED[..usize::from(workers + backups)];
    let document = with_nodes(&[(10, nodes)], |runtime| {
        runtime.executor.group_size = workers;
        runtime.executor.group_backup_size = backups;
    });
    let mut network = Network::new(&document);
    network.remember = false;
    network
}

/// The votes of the primaries, of whom `liars` are wrong.
fn votes(network: &Network, liars: usize) -> Vec<ExecutorCommitment> {
    let scheduler = network.scheduler(0);
    let mut workers = network.committee().workers;
    // The scheduler itself is right.
    workers.sort_by_key(|worker| *worker == scheduler);
    let state = |place: usize| if place < liars { b"wrong" } else { b"right" };
    let vote = |(place, worker)| network.vote(worker, 0, state(place));
    workers.iter().enumerate().map(vote).collect()
}

fn commitments(criterion: &mut Criterion) {
    for (workers, backups) in [(3, 4), (20, 21)] {
        let mut network = committee(workers, backups);
        let name = format!("{workers}+{backups}");
        let mut group = criterion.benchmark_group(name);
        let agreed = [transaction(RUNTIME, &votes(&network, 0))];
        let context = network.context();
        group.throughput(Throughput::Elements(workers.into()));
        group.bench_function("agreed", |bencher| {
            bencher.iter(|| black_box(network.execute(&agreed, &context).unwrap()));
        });
        let mut check = Network {
            view: network.view.clone(),
            ..committee(workers, backups)
        };
        check.height(&agreed);
        assert_eq!(check.latest().header_type, HeaderType::Normal);

        let disputed = [transaction(RUNTIME, &votes(&network, 1))];
        let before = network.view.clone();
        network.height(&disputed);
        let members = network.committee().backups;
        let resolving: Vec<_> = members
            .iter()
            .map(|member| network.vote(member, 0, b"right"))
            .collect();
        let resolving = [transaction(RUNTIME, &resolving)];
        let second = network.context();
        let first = Network {
            view: before,
            ..committee(workers, backups)
        };
        group.throughput(Throughput::Elements((workers + backups).into()));
        group.bench_function("disputed", |bencher| {
            bencher.iter(|| {
                black_box(first.execute(&disputed, &context).unwrap());
                black_box(network.execute(&resolving, &second).unwrap());
            });
        });
        network.height(&resolving);
        assert_eq!(network.latest().header_type, HeaderType::Normal);
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = commitments
}
criterion_main!(benches);
