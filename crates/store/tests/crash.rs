//! The power goes at every single operation of the disk; what was synced is there afterwards.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use history::{Call, check_past, history, show, small};
use proptest::prelude::*;
use simulated_disk::{Numbers, SimulatedDisk};
use trilith_store::{Result, Store};

fn open(disk: &SimulatedDisk) -> Result<Store> {
    Store::open(Arc::new(disk.clone()), small()).map(|(store, _)| store)
}

/// Runs a history until the disk fails. Gives how many calls succeeded and how many of those
/// are known to be durable.
fn run(disk: &SimulatedDisk, calls: &[Call]) -> (usize, usize) {
    let (mut done, mut synced) = (0, 0);
    let Ok(store) = open(disk) else { return (0, 0) };
    for call in calls {
        if call.apply(&store).is_err() {
            break;
        }
        done += 1;
        if matches!(call, Call::Sync) {
            synced = done;
        }
    }
    (done, synced)
}

/// Reopens a disk that failed, perhaps failing once more on the way.
fn reopen(disk: &SimulatedDisk, numbers: &mut Numbers) -> Store {
    disk.power_cycle(numbers.next());
    if numbers.below(3) == 0 {
        disk.crash_at(disk.operations() + 1 + numbers.below(6));
        drop(open(disk));
        disk.power_cycle(numbers.next());
    }
    open(disk).unwrap_or_else(|fault| panic!("after a crash: {fault}"))
}

/// Crashes at one operation, and checks what is left.
fn crash(at: u64, seed: u64, calls: &[Call], shown: &[String]) {
    let disk = SimulatedDisk::new();
    disk.crash_at(at);
    let (done, synced) = run(&disk, calls);
    let mut numbers = Numbers(seed ^ at);
    let store = reopen(&disk, &mut numbers);
    let found = show(&store);
    let last = (done + 1).min(calls.len());
    let position = (synced..=last).rev().find(|index| shown[*index] == found);
    store
        .check()
        .unwrap_or_else(|fault| panic!("crash at {at}: {fault}"));
    check_past(&store).unwrap_or_else(|fault| panic!("crash at {at}: {fault}"));
    let Some(position) = position else {
        panic!("crash at {at}: none of the states {synced}..={last}, but\n{found}");
    };
    // The store goes on from there, and a second crash loses nothing that is synced.
    for call in &calls[position..] {
        call.apply(&store)
            .unwrap_or_else(|fault| panic!("crash at {at}, then {call:?}: {fault}"));
    }
    store.sync().unwrap();
    drop(store);
    let store = reopen(&disk, &mut numbers);
    assert_eq!(
        show(&store),
        shown[calls.len()],
        "crash at {at}, then a second one"
    );
}

fn crash_everywhere(seed: u64, calls: usize) {
    let reference = open(&SimulatedDisk::new()).unwrap();
    let (calls, shown) = history(seed, calls, &reference);
    let disk = SimulatedDisk::new();
    assert_eq!(run(&disk, &calls).0, calls.len());
    for at in 1..=disk.operations() {
        crash(at, seed, &calls, &shown);
    }
}

#[test]
fn a_crash_at_every_operation_keeps_what_was_synced() {
    for seed in 1..=4 {
        crash_everywhere(seed, 36);
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    let reference = open(&SimulatedDisk::new()).unwrap();
    let (calls, shown) = history(7, 40, &reference);
    let disk = SimulatedDisk::new();
    for index in 0..calls.len() {
        let store = open(&disk).unwrap();
        calls[index].apply(&store).unwrap();
        assert_eq!(show(&store), shown[index + 1]);
        disk.kill_process();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_crash_anywhere_in_any_history(seed: u64, choice: u64) {
        let reference = open(&SimulatedDisk::new()).unwrap();
        let (calls, shown) = history(seed, 30, &reference);
        let disk = SimulatedDisk::new();
        run(&disk, &calls);
        for step in 0..4 {
            crash(1 + choice.wrapping_add(step) % disk.operations(), seed ^ step, &calls, &shown);
        }
    }
}
