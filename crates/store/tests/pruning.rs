//! Versions and files are given up as the settings say, no sooner and no later.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use history::{check_past, entry, image_id, source};
use simulated_disk::SimulatedDisk;
use trilith_store::{ImageUpdate, ImageUpdateKind, Store, StoreConfig};
use trilith_types::{Hash, PageFile, PageRun, RuntimeId, WriteLog};

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
