//! A disk that is full, fails or lies: every fault is named, and nothing wrong is ever shown.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::io::ErrorKind;
use std::sync::Arc;

use history::{Call, check_past, history, show, small, try_show};
use proptest::prelude::*;
use simulated_disk::SimulatedDisk;
use trilith_store::{RecoveryReport, Result, Store, StoreFault, decode};

fn open(disk: &SimulatedDisk) -> Result<(Store, RecoveryReport)> {
    Store::open(Arc::new(disk.clone()), small())
}

/// A disk on which a history ran, all of it synced.
fn filled(seed: u64, count: usize) -> (SimulatedDisk, Vec<Call>, Vec<String>) {
    let reference = open(&SimulatedDisk::new()).unwrap().0;
    let (calls, shown) = history(seed, count, &reference);
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    for call in &calls {
        call.apply(&store).unwrap();
        store.sync().unwrap();
    }
    (disk, calls, shown)
}

#[test]
fn a_folder_serves_one_store() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    assert!(matches!(open(&disk), Err(StoreFault::Locked { .. })));
    drop(store);
    assert!(open(&disk).is_ok());
}

#[test]
fn a_flipped_bit_is_found_or_was_in_the_tail() {
    let (mut disk, _, shown) = filled(11, 40);
    let (mut found, mut tail, mut harmless) = (0, 0, 0);
    for (name, len) in disk.files() {
        for byte in (0..len).step_by(977).chain(0..len.min(200)) {
            disk.flip(&name, byte, (byte % 8) as u32);
            match open(&disk) {
                Err(StoreFault::Damaged { file, .. }) => {
                    assert!(!file.is_empty());
                    found += 1;
                }
                Err(StoreFault::Unreadable(fault)) => {
                    assert!(fault.to_string().contains(&name), "{name}, but {fault}");
                    found += 1;
                }
                Err(fault) => panic!("a flipped bit of {name} at {byte} gives {fault}"),
                Ok((store, report)) => {
                    // Padding is not checked. The last record cannot be told from a torn one.
                    // What lies in trees and pages is checked when it is read.
                    let is_named = |fault: &str| {
                        assert!(fault.contains(&name), "{name} is damaged, but {fault}");
                    };
                    match try_show(&store) {
                        Ok(now) => {
                            assert!(shown.contains(&now), "a wrong state");
                            assert!(report.bytes_cut > 0 || now == shown[40]);
                        }
                        Err(fault) => {
                            is_named(&fault.to_string());
                            found += 1;
                            disk.flip(&name, byte, (byte % 8) as u32);
                            continue;
                        }
                    }
                    if let Err(fault) = check_past(&store) {
                        is_named(&fault.to_string());
                    }
                    tail += u32::from(report.bytes_cut > 0);
                    harmless += u32::from(report.bytes_cut == 0);
                    if report.bytes_cut > 0 {
                        // The tail is gone, so the next flip starts from the same disk anew.
                        disk = filled(11, 40).0;
                        continue;
                    }
                }
            }
            disk.flip(&name, byte, (byte % 8) as u32);
        }
    }
    assert!(
        found > 100,
        "{found} found, {tail} in the tail, {harmless} in padding"
    );
}

/// Flips a bit, opens and checks the store; gives whether that was found.
fn flip_and_check(disk: &SimulatedDisk, (name, byte): (&str, u64), shown: &str) -> bool {
    disk.flip(name, byte, (byte % 8) as u32);
    let found = open(disk).and_then(|(store, _)| {
        store.check()?;
        assert_eq!(show(&store), shown, "{name} at {byte}: a wrong state");
        Ok(())
    });
    disk.flip(name, byte, (byte % 8) as u32);
    if let Err(fault) = &found {
        let fault = fault.to_string();
        assert!(
            fault.contains(name),
            "{name} at {byte} is damaged, but {fault}"
        );
    }
    found.is_err()
}

#[test]
fn a_check_finds_what_is_damaged_of_trees_and_tables() {
    let (disk, calls, shown) = filled(11, 40);
    let store = open(&disk).unwrap().0;
    store.checkpoint().unwrap();
    let summary = store.summary().unwrap();
    drop(store);
    let mut found = 0;
    for file in summary.files.iter().filter(|file| file.live.is_some()) {
        let mut of_file = 0;
        let offsets: Vec<u64> = (128..file.bytes).step_by(61).collect();
        for byte in &offsets {
            of_file += u64::from(flip_and_check(
                &disk,
                (&file.name, *byte),
                &shown[calls.len()],
            ));
        }
        // Padding is not checked, nor what no version needs; the rest is found.
        let live = file.live.unwrap() * offsets.len() as u64 / file.bytes;
        assert!(
            of_file * 10 + 20 >= live * 7,
            "{of_file} of about {live} found in {}",
            file.name
        );
        found += of_file;
    }
    assert!(found > 100, "{found} found");
}

#[test]
fn damage_of_what_no_version_needs_keeps_no_checkpoint_from_being_written() {
    let namespace = trilith_types::RuntimeId::test(1);
    let log = |value: u8, count: u8| -> trilith_types::WriteLog {
        let entries = (0..count).map(|at| history::entry(&[b'k', at], Some(&[value; 90])));
        entries.collect()
    };
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    let first = store
        .seal(namespace, 1, trilith_types::Hash::EMPTY, &log(1, 80), &[])
        .unwrap();
    store.finalise(namespace, 1, first).unwrap();
    store.checkpoint().unwrap();
    let file = store
        .summary()
        .unwrap()
        .files
        .into_iter()
        .find(|file| file.live.is_some());
    let file = file.unwrap();
    let second = store.seal(namespace, 2, first, &log(2, 70), &[]).unwrap();
    store.finalise(namespace, 2, second).unwrap();
    store.checkpoint().unwrap();
    let shown = show(&store);
    drop(store);
    let mut harmless = 0;
    for byte in (128..file.bytes).step_by(97) {
        let disk = disk.copy();
        disk.flip(&file.name, byte, 1);
        let store = open(&disk).unwrap().0;
        if store.check().is_ok() {
            harmless += 1;
            store
                .checkpoint()
                .unwrap_or_else(|fault| panic!("{byte}: {fault}"));
            assert_eq!(show(&store), shown);
            store.check().unwrap();
        }
    }
    assert!(
        harmless > 30,
        "{harmless} places hold what no version needs"
    );
}

#[test]
fn a_fault_at_any_operation_or_read_of_a_checkpoint_loses_nothing() {
    for seed in [3, 17] {
        let (filled, _, shown) = filled(seed, 60);
        let shown = &shown[60];
        let before_it = || {
            let disk = filled.copy();
            let store = open(&disk).unwrap().0;
            (disk, store)
        };
        let (disk, store) = before_it();
        let (operations, reads) = (disk.operations(), disk.reads());
        store.checkpoint().unwrap();
        let operations = disk.operations() - operations;
        let reads = disk.reads() - reads;
        let mut failed = 0;
        for at in 1..=operations + reads {
            let (disk, store) = before_it();
            if at <= operations {
                let next = disk.operations() + at;
                disk.full_during(next, next + 1 + at % 3);
            } else {
                let next = disk.reads() + at - operations;
                disk.fail_reads_during(next, next + 1);
            }
            failed += u32::from(store.checkpoint().is_err());
            disk.full_during(0, 0);
            disk.fail_reads_during(0, 0);
            assert_eq!(&show(&store), shown, "fault at {at}");
            store
                .check()
                .unwrap_or_else(|fault| panic!("{at}: {fault}"));
            check_past(&store).unwrap_or_else(|fault| panic!("{at}: {fault}"));
            // It goes on, unless it cannot know what is on disk.
            match store.put_signed(b"goes on", b"1") {
                Ok(()) => {
                    store.checkpoint().unwrap();
                    store
                        .check()
                        .unwrap_or_else(|fault| panic!("{at}: {fault}"));
                    assert_eq!(&show(&store), shown, "fault at {at}");
                }
                Err(fault) => assert!(matches!(fault, StoreFault::Stopped { .. }), "{fault}"),
            }
            drop(store);
            disk.power_cycle(at);
            let store = open(&disk)
                .unwrap_or_else(|fault| panic!("{at}: {fault}"))
                .0;
            assert_eq!(&show(&store), shown, "fault at {at}");
            store
                .check()
                .unwrap_or_else(|fault| panic!("{at}: {fault}"));
        }
        assert!(failed > 15, "{failed} of {operations} and {reads}");
    }
}

#[test]
fn damage_in_the_middle_names_file_and_offset() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    for number in 0..4u8 {
        store.put_signed(&[number], &[number; 100]).unwrap();
        store.sync().unwrap();
    }
    drop(store);
    let name = "0000000000000001.log";
    disk.flip(name, 128 + 64 + 20, 3);
    let fault = open(&disk).err().unwrap();
    let expected = "0000000000000001.log is damaged at byte 128";
    assert!(fault.to_string().starts_with(expected), "{fault}");
    disk.flip(name, 128 + 64 + 20, 3);
    assert_eq!(open(&disk).unwrap().0.signed(&[3]), Some(vec![3; 100]));
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    store.put_signed(b"kept", b"bytes").unwrap();
    store.sync().unwrap();
    store.put_signed(b"lost", &[1; 300]).unwrap();
    drop(store);
    let (name, len) = disk
        .files()
        .into_iter()
        .find(|(name, _)| name.ends_with("log"))
        .unwrap();
    disk.flip(&name, len - 1, 0);
    let (store, report) = open(&disk).unwrap();
    assert!(report.bytes_cut > 300 && report.records == 1, "{report:?}");
    assert_eq!(store.signed(b"kept"), Some(b"bytes".to_vec()));
    assert_eq!(store.signed(b"lost"), None);
    drop(store);
    assert_eq!(open(&disk).unwrap().1.bytes_cut, 0);
}

#[test]
fn missing_files_are_named() {
    let files = filled(5, 40).0.files();
    let is_log = |name: &&String| name.ends_with(".log");
    let last = files.iter().map(|(name, _)| name).filter(is_log).max();
    for (name, _) in &files {
        let (disk, _, shown) = filled(5, 40);
        disk.remove_file(name);
        let fault = match open(&disk) {
            Err(fault) => fault,
            // Nothing tells of the last file of the log but itself.
            Ok((store, _)) => {
                assert!(Some(name) == last, "{name} is not missed");
                assert!(shown.contains(&show(&store)), "a wrong state");
                continue;
            }
        };
        // A log file in the middle is missed where the next one starts.
        let fault = fault.to_string();
        let named = fault.contains("CURRENT") || fault.contains("is the next one");
        assert!(named, "{name} is missing: {fault}");
    }
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let reference = open(&SimulatedDisk::new()).unwrap().0;
    let (calls, shown) = history(3, 30, &reference);
    let disk = SimulatedDisk::new();
    let mut store = open(&disk).unwrap().0;
    let mut full = 0;
    for (index, call) in calls.iter().enumerate() {
        for operations in [1, 2, 4] {
            let next = disk.operations() + 1;
            disk.full_during(next, next + operations);
            if let Err(fault) = call.apply(&store) {
                let known = matches!(
                    fault,
                    StoreFault::Io {
                        kind: ErrorKind::StorageFull,
                        ..
                    } | StoreFault::Stopped { .. }
                );
                assert!(known, "{fault}");
                assert_eq!(
                    show(&store),
                    shown[index],
                    "a call that failed had an effect"
                );
                full += 1;
            }
            disk.full_during(0, 0);
        }
        if let Err(fault) = call.apply(&store) {
            assert!(matches!(fault, StoreFault::Stopped { .. }), "{fault}");
            drop(store);
            disk.kill_process();
            store = open(&disk).unwrap().0;
            call.apply(&store).unwrap();
        }
        assert_eq!(show(&store), shown[index + 1]);
    }
    assert!(full > 20, "the disk was full {full} times");
    store.sync().unwrap();
    disk.power_cycle(1);
    assert_eq!(show(&open(&disk).unwrap().0), shown[calls.len()]);
}

#[test]
fn a_record_that_was_reported_as_failed_never_comes_back() {
    let reference = open(&SimulatedDisk::new()).unwrap().0;
    let (calls, shown) = history(13, 40, &reference);
    let disk = SimulatedDisk::new();
    disk.fail_late(true);
    let mut store = open(&disk).unwrap().0;
    let mut failed = 0;
    for (index, call) in calls.iter().enumerate() {
        let next = disk.operations() + 1;
        disk.full_during(next, next + 1);
        let result = call.apply(&store);
        disk.full_during(0, 0);
        if result.is_err() {
            failed += 1;
            drop(store);
            disk.power_cycle(index as u64);
            store = open(&disk).unwrap().0;
            assert_eq!(show(&store), shown[index]);
            call.apply(&store).unwrap();
        }
        store.sync().unwrap();
        assert_eq!(show(&store), shown[index + 1]);
    }
    assert!(failed > 15, "{failed} calls failed");
}

#[test]
fn a_log_file_that_could_not_be_made_never_comes_back() {
    for operation in 1..=7 {
        for seed in 0..12 {
            let disk = SimulatedDisk::new();
            let store = open(&disk).unwrap().0;
            store.put_signed(b"a", b"1").unwrap();
            let next = disk.operations() + operation;
            disk.full_during(next, next + 1);
            let checkpoint = store.checkpoint();
            disk.full_during(0, 0);
            assert!(
                checkpoint.is_err(),
                "operation {operation} is not part of a checkpoint"
            );
            let put = store.put_signed(b"b", b"2").and_then(|()| store.sync());
            drop(store);
            disk.power_cycle(seed);
            let store = open(&disk)
                .unwrap_or_else(|fault| panic!("{operation}, {seed}: {fault}"))
                .0;
            if put.is_ok() {
                assert_eq!(store.signed(b"b"), Some(b"2".to_vec()));
            }
        }
    }
}

#[test]
fn a_failed_sync_stops_the_store_until_it_is_reopened() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap().0;
    store.put_signed(b"a", b"1").unwrap();
    disk.fail_syncs(true);
    assert!(matches!(store.sync(), Err(StoreFault::Io { .. })));
    disk.fail_syncs(false);
    assert!(matches!(store.sync(), Err(StoreFault::Stopped { .. })));
    assert!(matches!(
        store.put_signed(b"b", b"2"),
        Err(StoreFault::Stopped { .. })
    ));
    drop(store);
    let store = open(&disk).unwrap().0;
    store.put_signed(b"b", b"2").unwrap();
    store.sync().unwrap();
    assert_eq!(store.signed(b"b"), Some(b"2".to_vec()));
}

#[test]
fn a_read_error_is_a_fault_and_passes() {
    let (disk, calls, shown) = filled(9, 30);
    disk.fail_reads(true);
    assert!(matches!(
        open(&disk),
        Err(StoreFault::Io {
            operation: "read",
            ..
        })
    ));
    disk.fail_reads(false);
    assert_eq!(show(&open(&disk).unwrap().0), shown[calls.len()]);
}

proptest! {
    #[test]
    fn no_bytes_panic_a_decoder(bytes: Vec<u8>, kind in 0u8..24) {
        prop_assert!(!decode::manifest(&bytes));
        prop_assert!(!decode::headers(&bytes));
        let _accepted = decode::blob(u32::from(kind) % 3, &bytes) | decode::table(&bytes);
        let _accepted = decode::manifest_body(&bytes) | decode::export_manifest_body(&bytes);
        let _refused = trilith_mkvs::Node::decode_fragment(&bytes);
        decode::payload(&bytes);
        for head in [[0x80 | 1, kind], [0x80 | 3, kind], [0x80 | 4, kind], [0x80 | 7, kind]] {
            decode::payload(&[&head[..], &bytes].concat());
        }
    }
}
