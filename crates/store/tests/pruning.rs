//! Versions and files are given up as the settings say, no sooner and no later.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use history::{check_past, entry, image_id, source};
use simulated_disk::{Numbers, SimulatedDisk};
use trilith_store::{ImageUpdate, ImageUpdateKind, RealDisk, Store, StoreConfig, View};
use trilith_types::{Hash, PageFile, PageRun, RuntimeId, StateRead, WriteLog};

const NAMESPACE: RuntimeId = RuntimeId::test(1);
const OTHER: RuntimeId = RuntimeId::test(2);

/// Checkpoints come only when they are asked for.
fn on_demand() -> StoreConfig {
    StoreConfig {
        checkpoint_thread: false,
        checkpoint_log_bytes: u64::MAX / 4,
        ..history::small()
    }
}

fn open(disk: &SimulatedDisk, config: &StoreConfig) -> Store {
    Store::open(Arc::new(disk.clone()), config.clone())
        .unwrap_or_else(|fault| panic!("{fault}"))
        .0
}

fn log(key: &[u8], value: &[u8]) -> WriteLog {
    vec![entry(key, Some(value))]
}

/// A write of the first pages of image 0, with what lies in the source from `first` on.
fn image(count: u64, first: u64, file: &PageFile) -> ImageUpdate {
    let run = PageRun {
        page: 0,
        count,
        file: Arc::clone(file),
        file_page: first,
    };
    let change = ImageUpdateKind::Write {
        reset: false,
        pages: count,
        runs: vec![run],
    };
    ImageUpdate {
        id: image_id(0),
        change,
    }
}

fn advance(store: &Store, namespace: RuntimeId, log: &WriteLog, images: &[ImageUpdate]) -> Hash {
    let (round, parent) = store.current(namespace).unwrap_or((0, Hash::EMPTY));
    let root = store
        .seal(namespace, round + 1, parent, log, images)
        .unwrap();
    store.finalise(namespace, round + 1, root).unwrap();
    root
}

#[test]
fn a_candidate_follows_pages_that_move_after_its_tables_were_let_go_of() {
    let disk = SimulatedDisk::new();
    let config = StoreConfig {
        table_bytes: 0,
        history_versions: 0,
        segment_bytes: 1 << 20,
        ..on_demand()
    };
    let store = open(&disk, &config);
    let file = source();
    let parent = advance(&store, NAMESPACE, &log(b"a", b"1"), &[image(2, 1, &file)]);
    advance(&store, OTHER, &log(b"a", b"1"), &[image(8, 3, &file)]);
    store.checkpoint().unwrap();
    let candidate = store
        .seal(NAMESPACE, 2, parent, &log(b"a", b"2"), &[])
        .unwrap();
    store.checkpoint().unwrap();
    // The file with the pages of both becomes mostly dead, and is emptied.
    advance(&store, OTHER, &log(b"a", b"2"), &[image(8, 11, &file)]);
    store.checkpoint().unwrap();
    store.finalise(NAMESPACE, 2, candidate).unwrap();
    store.checkpoint().unwrap();
    store.check().unwrap();
    drop(store);
    let store = open(&disk, &config);
    store.check().unwrap();
    let view = store.view(NAMESPACE, candidate).unwrap();
    assert_eq!(history::contents(&*view).1[0], Some(vec![1, 2]));
}

#[test]
fn a_version_finalised_during_a_checkpoint_stays_readable_as_long_as_it_is_told_of() {
    let disk = SimulatedDisk::new();
    let config = StoreConfig {
        history_versions: 2,
        ..on_demand()
    };
    let store = Arc::new(open(&disk, &config));
    let first = advance(&store, NAMESPACE, &log(b"a", b"1"), &[]);
    store.checkpoint().unwrap();
    let second = store
        .seal(NAMESPACE, 2, first, &log(b"a", b"2"), &[])
        .unwrap();
    let finalising = Arc::clone(&store);
    disk.at_rename(move || finalising.finalise(NAMESPACE, 2, second).unwrap());
    store.checkpoint().unwrap();
    assert_eq!(store.current(NAMESPACE), Some((2, second)));
    for value in [b"3", b"4"] {
        advance(&store, NAMESPACE, &log(b"a", value), &[]);
        store.checkpoint().unwrap();
    }
    let rounds: Vec<u64> = store.versions(NAMESPACE).iter().map(|v| v.0).collect();
    assert_eq!(rounds, [2, 3, 4]);
    assert_eq!(check_past(&store).unwrap(), 3);
    let changes = store.changes(NAMESPACE, 2).unwrap().unwrap();
    assert_eq!(changes.log, log(b"a", b"2"));
}

#[test]
fn a_leaf_that_a_new_key_pushed_down_is_found_where_its_file_is_emptied() {
    let disk = SimulatedDisk::new();
    let config = StoreConfig {
        history_versions: 0,
        fragment_bytes: 150,
        cache_bytes: 1 << 20,
        ..on_demand()
    };
    let store = open(&disk, &config);
    // A leaf in a fragment of its own, among others.
    let mut first = vec![entry(b"key 4", Some(&[4; 200]))];
    first.extend((5..9).map(|at| entry(format!("key {at}").as_bytes(), Some(&[at; 120]))));
    first.extend((0..40).map(|at| entry(&[b'x', at], Some(&[at; 100]))));
    advance(&store, NAMESPACE, &first, &[]);
    store.checkpoint().unwrap();
    // All but that leaf is rewritten, in the current version and in a candidate on it, where the
    // leaf also hangs lower.
    let others = |value| (0..40).map(move |at| entry(&[b'x', at], Some(&[value; 100])));
    let parent = advance(&store, NAMESPACE, &others(50).collect(), &[]);
    let mut pushing = vec![entry(b"key 4 and more", Some(b"1"))];
    pushing.insert(0, entry(b"key 40", Some(b"2")));
    pushing.sort_by(|a, b| a.key.cmp(&b.key));
    let candidate = store.seal(NAMESPACE, 3, parent, &pushing, &[]).unwrap();
    for _ in 0..3 {
        store.checkpoint().unwrap();
        store.check().unwrap();
    }
    store.finalise(NAMESPACE, 3, candidate).unwrap();
    for _ in 0..2 {
        store.checkpoint().unwrap();
        store.check().unwrap();
    }
    let view = store.view(NAMESPACE, candidate).unwrap();
    assert_eq!(view.get(b"key 4").unwrap(), Some(vec![4; 200]));
}

/// What a store takes on its disk.
fn bytes(disk: &SimulatedDisk) -> u64 {
    disk.files().iter().map(|(_, len)| len).sum()
}

#[test]
fn thousands_of_versions_of_a_working_set_take_bounded_space_and_files() {
    let disk = SimulatedDisk::new();
    let history_bytes = 200 << 10;
    let config = StoreConfig {
        history_versions: 8,
        history_bytes,
        checkpoint_log_bytes: 30 << 10,
        segment_bytes: 20 << 10,
        fragment_bytes: 400,
        cache_bytes: 16 << 10,
        ..history::small()
    };
    let mut store = open(&disk, &config);
    let file = source();
    let mut numbers = Numbers(1);
    let key = |number: u64| format!("key {number:05}").into_bytes();
    let all: WriteLog = (0..400).map(|at| entry(&key(at), Some(&[1; 60]))).collect();
    advance(&store, NAMESPACE, &all, &[image(8, 1, &file)]);
    // What is live: entries with their nodes, and the pages.
    let live = 400 * 250 + 8 * 4096;
    let logs = 2 * config.checkpoint_log_bytes + config.segment_bytes;
    let (mut most, mut most_files) = (0, 0);
    for round in 0..3000u64 {
        let mut changed: Vec<u64> = (0..6).map(|_| numbers.below(400)).collect();
        changed.sort_unstable();
        changed.dedup();
        let value = [round as u8; 60];
        let changed = changed.into_iter().map(|at| entry(&key(at), Some(&value)));
        let changed: WriteLog = changed.collect();
        let images = [image(1, round % 20 + 1, &file)];
        let images = if round % 10 == 0 { &images[..] } else { &[] };
        let mut images = images.to_vec();
        if let Some(ImageUpdate {
            change: ImageUpdateKind::Write { pages, .. },
            ..
        }) = images.first_mut()
        {
            *pages = 8;
        }
        advance(&store, NAMESPACE, &changed, &images);
        most = most.max(bytes(&disk));
        most_files = most_files.max(disk.files().len());
        if round % 100 == 0 {
            let rounds: Vec<u64> = store.versions(NAMESPACE).iter().map(|v| v.0).collect();
            let last = round + 2;
            let expected = last.saturating_sub(8).max(1)..=last;
            assert_eq!(
                rounds,
                expected.collect::<Vec<_>>(),
                "exactly the last nine"
            );
            assert_eq!(check_past(&store).unwrap(), rounds.len());
        }
        if round % 700 == 0 {
            drop(store);
            store = open(&disk, &config);
            store.check().unwrap();
        }
    }
    let bound = 4 * live + history_bytes + logs;
    assert!(most <= bound, "{most} bytes, over the bound of {bound}");
    assert!(most_files <= 40, "{most_files} files");
}

#[test]
fn removed_files_are_not_held_open() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path()).unwrap();
    let config = StoreConfig {
        history_versions: 2,
        checkpoint_log_bytes: 8 << 10,
        segment_bytes: 8 << 10,
        ..history::small()
    };
    let store = Store::open(Arc::new(disk), config).unwrap().0;
    let file = source();
    for round in 0..600u64 {
        let value = round.to_be_bytes().repeat(10);
        let pages = [image(2, round % 20 + 1, &file)];
        advance(
            &store,
            NAMESPACE,
            &log(&[1 + (round % 50) as u8], &value),
            &pages,
        );
        if round == 300 {
            // A version that somebody reads, and a candidate, are let go of in the end.
            drop(store.view_at(NAMESPACE, 300).unwrap());
        }
    }
    store.checkpoint().unwrap();
    let (mut open, mut removed) = (0, Vec::new());
    for descriptor in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Ok(target) = std::fs::read_link(descriptor.unwrap().path()) else {
            continue;
        };
        let target = target.display().to_string();
        if target.starts_with(&folder.path().display().to_string()) {
            open += 1;
            if target.ends_with("(deleted)") {
                removed.push(target);
            }
        }
    }
    assert!(removed.is_empty(), "removed and still open: {removed:?}");
    let named = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(open <= named && named <= 60, "{open} open of {named} files");
    store.check().unwrap();
}

#[test]
fn giving_up_versions_costs_the_same_however_many_they_are() {
    let mut costs = Vec::new();
    for versions in [10, 100, 1000] {
        let disk = SimulatedDisk::new();
        let config = StoreConfig {
            history_versions: 2000,
            history_bytes: 1 << 40,
            segment_bytes: 1 << 30,
            ..on_demand()
        };
        let store = open(&disk, &config);
        for round in 0..versions {
            advance(&store, NAMESPACE, &log(b"a", &[round as u8; 50]), &[]);
        }
        store.checkpoint().unwrap();
        advance(&store, NAMESPACE, &log(b"a", b"last"), &[]);
        assert_eq!(store.versions(NAMESPACE).len(), versions + 1);
        drop(store);
        let store = open(
            &disk,
            &StoreConfig {
                history_versions: 0,
                ..config
            },
        );
        assert_eq!(store.versions(NAMESPACE).len(), 1);
        let (operations, reads) = (disk.operations(), disk.reads());
        store.checkpoint().unwrap();
        costs.push((disk.operations() - operations, disk.reads() - reads));
        let files = disk.files();
        assert!(files.iter().all(|(_, len)| *len < 2000), "{files:?}");
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[1], costs[2]);
}

#[test]
fn a_state_much_larger_than_the_cache_reads_right_and_gives_its_space_back() {
    let disk = SimulatedDisk::new();
    let config = StoreConfig {
        cache_bytes: 256 << 10,
        fragment_bytes: 4096,
        history_versions: 0,
        segment_bytes: 1 << 30,
        ..on_demand()
    };
    let store = open(&disk, &config);
    let entries = 200_000u64;
    let key = |number: u64| {
        let mut key = b"k".to_vec();
        key.extend(Numbers(number).next().to_be_bytes());
        key
    };
    let value = |number: u64| number.to_be_bytes().repeat(5);
    for part in 0..4 {
        let numbers = (0..entries).filter(|number| number % 4 == part);
        let mut log: WriteLog = numbers.map(|n| entry(&key(n), Some(&value(n)))).collect();
        log.sort_by(|a, b| a.key.cmp(&b.key));
        advance(&store, NAMESPACE, &log, &[]);
        store.checkpoint().unwrap();
    }
    let root = store.current(NAMESPACE).unwrap().1;
    let view = store.view(NAMESPACE, root).unwrap();
    // What was written is let go of, whatever was read since.
    let held = |view: &View| {
        let mut held = 0;
        view.tree().visit_held(&mut |_| held += 1);
        held
    };
    assert_eq!(held(&view), 0);
    let mut numbers = Numbers(3);
    for _ in 0..20_000 {
        let number = numbers.below(2 * entries);
        let expected = (number < entries).then(|| value(number));
        assert_eq!(view.get(&key(number)).unwrap(), expected);
    }
    assert_eq!(held(&view), 0);
    let checked = store.check().unwrap();
    assert!(checked.entries >= entries);
    drop(view);
    // A change holds the way to it, not the tree.
    let changed = advance(&store, NAMESPACE, &log(&key(7), b"new"), &[]);
    let few = held(&store.view(NAMESPACE, changed).unwrap());
    assert!(few < 1000, "{few} nodes are held for one change");
    let before = bytes(&disk);
    let mut gone: WriteLog = (0..entries)
        .filter(|number| number % 100 != 7)
        .map(|number| entry(&key(number), None))
        .collect();
    gone.sort_by(|a, b| a.key.cmp(&b.key));
    let last = advance(&store, NAMESPACE, &gone, &[]);
    for _ in 0..3 {
        store.checkpoint().unwrap();
    }
    let after = bytes(&disk);
    assert!(after * 40 < before, "{before} bytes became {after}");
    store.check().unwrap();
    let view = store.view(NAMESPACE, last).unwrap();
    assert_eq!(view.get(&key(7)).unwrap(), Some(b"new".to_vec()));
    assert_eq!(view.get(&key(107)).unwrap(), Some(value(107)));
    assert_eq!(view.get(&key(8)).unwrap(), None);
}
