//! Links that lose, delay and reorder, and power that goes: one result for every round, nothing
//! signed twice, and progress once the disturbance ends.

mod cluster;
mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use cluster::*;
use network::{RUNTIME, START, add, counted};
use simulated_disk::{Numbers, SimulatedDisk};
use std::sync::atomic::Ordering;
use trilith_node::NodeError;

/// A smaller committee: two primaries, three backups, one storage node.
fn small() -> Plan {
    Plan {
        primaries: 2,
        backups: 3,
        compute: 5,
        storage: 1,
        epoch_interval: 60,
        ..Plan::default()
    }
}

fn watched(cluster: &Cluster) -> Statements {
    let statements = Statements::default();
    let noted = statements.clone();
    cluster.disturb(move |_, _, message| {
        noted.note(message);
        Fate::Deliver
    });
    statements
}

fn finished(cluster: &mut Cluster, ids: u64) {
    cluster.converge();
    for member in &cluster.members {
        let store = member.store.as_ref().expect("the node runs");
        let (_, root) = store.current(RUNTIME).unwrap();
        let found = counted(&*store.view(RUNTIME, root).unwrap());
        assert_eq!(found, (1..=ids).collect());
    }
}

fn disturbed(seed: u64) {
    let mut cluster = Cluster::new(small());
    let statements = Statements::default();
    let noted = statements.clone();
    let mut numbers = Numbers(seed);
    let loss = 1 + numbers.below(4);
    cluster.disturb(move |_, _, message| {
        noted.note(message);
        match numbers.below(10) {
            luck if luck < loss => Fate::Drop,
            luck if luck < loss + 3 => Fate::Late(numbers.below(700) * MILLISECOND),
            _ => Fate::Deliver,
        }
    });
    let mut waiting = Vec::new();
    for id in 1..=6 {
        let index = (id as usize * 3) % cluster.plan.nodes();
        waiting.push(cluster.handle(index).submit(add(id, 1)).unwrap());
        for _ in 0..40 {
            cluster.step();
        }
    }
    let noted = statements.clone();
    cluster.disturb(move |_, _, message| {
        noted.note(message);
        Fate::Deliver
    });
    cluster.until(60, "all receipts", |_| {
        waiting.retain_mut(|receiver| receiver.try_recv().is_err());
        waiting.is_empty()
    });
    finished(&mut cluster, 6);
    assert!(statements.len() > 5, "members signed something");
    for index in 0..cluster.plan.nodes() {
        assert!(
            cluster.stake(index) >= STAKE,
            "seed {seed}: an honest node was slashed"
        );
    }
}

#[test]
fn losses_delays_and_reordering_only_delay() {
    for seed in 1..=6 {
        disturbed(seed);
    }
}

#[test]
fn a_part_of_the_network_that_was_cut_off_catches_up() {
    let mut cluster = Cluster::new(small());
    let statements = watched(&cluster);
    cluster.execute(0, add(1, 1));
    let members = cluster.committee().unwrap();
    // One backup hears nothing for a while; the others go on without it.
    let lost = members.backups[0];
    let noted = statements.clone();
    cluster.disturb(move |from, to, message| {
        noted.note(message);
        if from == lost || to == lost {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    for id in 2..=8 {
        cluster.execute(0, add(id, 1));
    }
    let noted = statements.clone();
    cluster.disturb(move |_, _, message| {
        noted.note(message);
        Fate::Deliver
    });
    finished(&mut cluster, 8);
}

/// Which node loses its power.
#[derive(Clone, Copy, Debug)]
enum Who {
    Scheduler,
    Primary,
    Storage,
    Validator,
}

impl Who {
    fn index(self, cluster: &Cluster) -> usize {
        match self {
            Self::Scheduler => cluster.scheduler(0),
            Self::Primary => cluster.scheduler(1),
            Self::Storage => cluster.plan.nodes() - 1,
            Self::Validator => 0,
        }
    }
}

/// Two transactions while a node loses its power at one operation of its disk. Gives how many
/// operations the node did, if none was the one.
fn crash(who: Who, at: Option<u64>, seed: u64) -> u64 {
    let mut cluster = Cluster::new(small());
    let _statements = watched(&cluster);
    cluster.execute(1, add(1, 1));
    cluster.converge();
    let index = who.index(&cluster);
    let disk: SimulatedDisk = cluster.members[index].disk.clone();
    let before = disk.operations();
    if let Some(at) = at {
        disk.crash_at(before + at);
    }
    // Through a node that stays up.
    let through = (1..cluster.plan.nodes())
        .find(|other| *other != index)
        .unwrap();
    let mut waiting = cluster.handle(through).submit(add(2, 1)).unwrap();
    let end = START + 120 * network::SECOND;
    let mut numbers = Numbers(seed);
    while waiting.try_recv().is_err() {
        assert!(
            cluster.now() < end,
            "{who:?} at {at:?}: {}",
            cluster.describe()
        );
        if let Err(ended) = cluster.try_step(10 * MILLISECOND) {
            let (failed, error) = *ended;
            assert_eq!(failed, index, "{who:?} at {at:?}: {error}");
            assert!(
                matches!(error, NodeError::Store(_) | NodeError::Host(_)),
                "{error}"
            );
            disk.power_cycle(numbers.next());
            cluster.reopen(index).unwrap();
        }
    }
    let operations = disk.operations() - before;
    cluster.execute(through, add(3, 1));
    finished(&mut cluster, 3);
    for index in 0..cluster.plan.nodes() {
        assert!(
            cluster.stake(index) >= STAKE,
            "{who:?} at {at:?}: an honest node was slashed"
        );
    }
    assert!(cluster.clock.0.load(Ordering::SeqCst) < end);
    operations
}

/// Crashes at every second operation of the round, from a place that differs between tests.
fn crashes(who: Who) {
    let operations = crash(who, None, 0);
    assert!(operations > 4, "{who:?} writes in a round");
    for at in 1..=operations {
        crash(who, Some(at), at);
    }
    eprintln!("{who:?}: {operations} operations");
}

#[test]
fn a_scheduler_that_crashes_anywhere_signs_nothing_twice() {
    crashes(Who::Scheduler);
}

#[test]
fn a_primary_that_crashes_anywhere_signs_nothing_twice() {
    crashes(Who::Primary);
}

#[test]
fn a_storage_node_that_crashes_anywhere_signs_nothing_twice() {
    crashes(Who::Storage);
}

#[test]
fn a_validator_that_crashes_anywhere_forks_nothing() {
    crashes(Who::Validator);
}

/// Every node of the network is killed at once, and goes on from its disk.
#[test]
fn a_network_that_is_killed_goes_on() {
    let mut cluster = Cluster::new(small());
    let _statements = watched(&cluster);
    let mut numbers = Numbers(5);
    for id in 1..=4 {
        drop(cluster.handle(1).submit(add(id, 1)).unwrap());
        for _ in 0..numbers.below(30) {
            cluster.step();
        }
        for index in 0..cluster.plan.nodes() {
            cluster.members[index].disk.kill_process();
            cluster.stop(index);
        }
        for index in 0..cluster.plan.nodes() {
            cluster.reopen(index).unwrap();
        }
        if cluster.handle(1).submit(add(id, 1)).is_ok() {
            cluster.until(60, "counted", |cluster| {
                let view = cluster.handle(1).snapshot().view.clone();
                counted(&*view).contains(&id)
            });
        }
    }
    finished(&mut cluster, 4);
}
