//! The power goes at every single operation of the disk; what was synced is there afterwards.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "plain/mod.rs"]
mod plain;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use history::{Call, check_past, entry, history, show, small, source};
use plain::{Edit, Plain, Write};
use proptest::prelude::*;
use simulated_disk::{Numbers, SimulatedDisk};
use trilith_store::{RealDisk, Result, Store, StoreConfig};
use trilith_types::{Hash, RuntimeId, WriteLog};

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

/// Where the killed processes keep their store.
const KILLED_FOLDER: &str = "TRILITH_KILLED_FOLDER";
const NAMESPACE: RuntimeId = RuntimeId::test(1);

fn open_real(folder: &Path) -> Store {
    let config = StoreConfig {
        checkpoint_thread: true,
        checkpoint_log_bytes: 24 << 10,
        segment_bytes: 16 << 10,
        ..small()
    };
    let disk = RealDisk::new(folder).unwrap();
    let opened = Store::open(Arc::new(disk), config);
    opened.unwrap_or_else(|fault| panic!("{fault}")).0
}

/// What a round changes.
fn change(round: u64) -> (WriteLog, Vec<Edit>) {
    let mut numbers = Numbers(round);
    let mut keys: Vec<_> = (0..numbers.below(60))
        .map(|_| plain::key(numbers.below(500)))
        .collect();
    keys.sort();
    keys.dedup();
    let value = [round as u8; 80];
    let mut log = WriteLog::new();
    for key in keys {
        log.push(entry(&key, (numbers.below(3) > 0).then_some(&value[..])));
    }
    let write = Write {
        reset: numbers.below(4) == 0,
        pages: 12,
        runs: vec![(numbers.below(8), 2, 1 + numbers.below(12))],
    };
    let edit = Edit {
        image: numbers.below(3),
        write: Some(write),
    };
    (log, vec![edit])
}

/// Seals, makes durable and says so, for as long as it lives; does nothing where it is not asked to.
#[test]
fn a_process_that_is_killed() {
    let Some(folder) = std::env::var_os(KILLED_FOLDER) else {
        assert_eq!(change(1).0, change(1).0, "rounds can be repeated");
        return;
    };
    let (store, source) = (open_real(Path::new(&folder)), source());
    let (mut round, mut root) = store.current(NAMESPACE).unwrap_or((0, Hash::EMPTY));
    // An end, in case nobody kills it.
    for _ in 0..20_000 {
        round += 1;
        let (log, edits) = change(round);
        let images: Vec<_> = edits.iter().map(|edit| edit.update(&source)).collect();
        root = store.seal(NAMESPACE, round, root, &log, &images).unwrap();
        store.finalise(NAMESPACE, round, root).unwrap();
        store.sync().unwrap();
        assert_eq!(store.checkpoint_fault(), None);
        // Straight to the descriptor: what the test harness captures may stay in the process.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ndurable {round}").unwrap();
        out.flush().unwrap();
    }
}

/// Lets a process work on the folder and kills it; gives the last round that it called durable.
fn kill_one(folder: &Path, numbers: &mut Numbers) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_is_killed", "--nocapture"])
        .env(KILLED_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut rounds = lines.filter_map(|line| line.ok()?.strip_prefix("durable ")?.parse().ok());
    let mut last = 0;
    for _ in 0..1 + numbers.below(60) {
        last = rounds.next().expect("the process ended by itself");
    }
    std::thread::sleep(Duration::from_micros(numbers.below(3000)));
    child.kill().unwrap();
    child.wait().unwrap();
    rounds.last().unwrap_or(last)
}

#[test]
fn a_process_killed_while_a_thread_writes_checkpoints_loses_nothing_durable() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(5);
    let (mut version, mut done) = (Plain::empty(), 0);
    let mut checkpoints = 0;
    for _ in 0..15 {
        let durable = kill_one(folder.path(), &mut numbers);
        let store = open_real(folder.path());
        let (round, root) = store.current(NAMESPACE).unwrap();
        assert!(round >= durable, "round {durable} was durable, now {round}");
        while done < round {
            done += 1;
            let (log, edits) = change(done);
            version = version.after(&log, &edits);
        }
        assert_eq!(version.root(), root, "round {round}");
        version.check_all(&store.view(NAMESPACE, root).unwrap());
        store.check().unwrap();
        check_past(&store).unwrap();
        checkpoints = store.summary().unwrap().checkpoints.max(checkpoints);
    }
    assert!(done > 100 && checkpoints > 0, "{done} rounds");
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
