//! What the store promises its callers, on a disk without faults.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use history::{Call, entry, history, image_id, show, small, source};
use simulated_disk::SimulatedDisk;
use trilith_store::{
    ImageUpdate, ImageUpdateKind, PageTree, RealDisk, Refusal, Store, StoreConfig, StoreFault,
    image_key, image_leaf, page_hash,
};
use trilith_types::{Hash, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateRead, WriteLog};

const NAMESPACE: RuntimeId = RuntimeId::test(1);

fn open(disk: &SimulatedDisk) -> Store {
    Store::open(Arc::new(disk.clone()), small()).unwrap().0
}

fn log(value: &[u8]) -> WriteLog {
    vec![entry(b"key", Some(value))]
}

fn write(reset: bool, pages: u64, runs: &[(u64, u64, u64)], file: &PageFile) -> ImageUpdate {
    let run = |&(page, count, file_page): &(u64, u64, u64)| PageRun {
        page,
        count,
        file: Arc::clone(file),
        file_page,
    };
    let runs = runs.iter().map(run).collect();
    ImageUpdate {
        id: image_id(0),
        change: ImageUpdateKind::Write { reset, pages, runs },
    }
}

/// The first byte of each page of image 0.
fn pages(view: &dyn StateRead) -> Vec<u8> {
    history::contents(view).1[0].clone().unwrap_or_default()
}

fn refusal<T>(result: Result<T, StoreFault>) -> Refusal {
    match result {
        Err(StoreFault::Refused(refusal)) => refusal,
        Err(fault) => panic!("not refused: {fault}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn siblings_go_when_one_is_finalised_and_descendants_stay() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    assert_eq!(
        store.view(NAMESPACE, Hash::EMPTY).unwrap().root(),
        Hash::EMPTY
    );
    let first = store
        .seal(NAMESPACE, 1, Hash::EMPTY, &log(b"a"), &[])
        .unwrap();
    let other = store
        .seal(NAMESPACE, 1, Hash::EMPTY, &log(b"b"), &[])
        .unwrap();
    let second = store.seal(NAMESPACE, 2, first, &log(b"c"), &[]).unwrap();
    store.seal(NAMESPACE, 2, other, &log(b"d"), &[]).unwrap();
    assert_eq!(store.candidates(NAMESPACE).len(), 4);
    assert_eq!(store.current(NAMESPACE), None);
    store.finalise(NAMESPACE, 1, first).unwrap();
    store.finalise(NAMESPACE, 1, first).unwrap();
    assert_eq!(store.current(NAMESPACE), Some((1, first)));
    assert_eq!(store.candidates(NAMESPACE), [(2, second)]);
    assert!(store.view(NAMESPACE, other).is_none());
    let view = store.view(NAMESPACE, second).unwrap();
    assert_eq!(view.get(b"key").unwrap(), Some(b"c".to_vec()));
    let proof = view.prove(b"key").unwrap().encode();
    let proven = trilith_proof::mkvs::verify_value(&second, b"key", &proof).unwrap();
    assert_eq!(proven.as_deref(), Some(&b"c"[..]));
}

#[test]
fn what_must_not_be_sealed_or_finalised_is_refused() {
    let store = open(&SimulatedDisk::new());
    let reserved = vec![entry(b"\0x", Some(b""))];
    let sealed = store.seal(NAMESPACE, 1, Hash::EMPTY, &reserved, &[]);
    assert!(matches!(refusal(sealed), Refusal::ReservedKey { .. }));
    let twice = vec![entry(b"a", None), entry(b"a", None)];
    let sealed = store.seal(NAMESPACE, 1, Hash::EMPTY, &twice, &[]);
    assert!(matches!(
        refusal(sealed),
        Refusal::NotAscending { index: 1, .. }
    ));
    let unknown = store.seal(NAMESPACE, 1, Hash::of(b"?"), &log(b"a"), &[]);
    assert!(matches!(refusal(unknown), Refusal::UnknownRoot { .. }));
    let long = vec![entry(&[1; 9000], Some(b""))];
    let sealed = store.seal(NAMESPACE, 1, Hash::EMPTY, &long, &[]);
    assert!(matches!(
        refusal(sealed),
        Refusal::TooLarge { value: 9000, .. }
    ));

    let first = store
        .seal(NAMESPACE, 3, Hash::EMPTY, &log(b"a"), &[])
        .unwrap();
    let second = store.seal(NAMESPACE, 4, first, &log(b"b"), &[]).unwrap();
    let early = store.seal(NAMESPACE, 3, first, &log(b"c"), &[]);
    assert!(matches!(
        refusal(early),
        Refusal::Backwards {
            round: 3,
            above: 3,
            ..
        }
    ));
    let skipped = store.finalise(NAMESPACE, 4, second);
    assert!(matches!(refusal(skipped), Refusal::WrongParent { .. }));
    assert!(matches!(
        refusal(store.finalise(NAMESPACE, 4, first)),
        Refusal::UnknownRoot { round: Some(4), .. }
    ));
    store.finalise(NAMESPACE, 3, first).unwrap();
    store.finalise(NAMESPACE, 4, second).unwrap();
    assert!(matches!(
        refusal(store.finalise(NAMESPACE, 3, first)),
        Refusal::Backwards { .. }
    ));
    let back = store.seal(NAMESPACE, 4, second, &log(b"c"), &[]);
    assert!(matches!(refusal(back), Refusal::Backwards { .. }));
}

#[test]
fn malformed_image_updates_are_refused_without_a_trace() {
    let store = open(&SimulatedDisk::new());
    let file = source();
    let seal =
        |images: &[ImageUpdate]| store.seal(NAMESPACE, 1, Hash::EMPTY, &WriteLog::new(), images);
    for runs in [
        &[(0, 0, 1)][..],
        &[(3, 2, 1)],
        &[(0, 2, 1), (1, 1, 1)],
        &[(u64::MAX, 2, 1)],
    ] {
        let refused = refusal(seal(&[write(false, 4, runs, &file)]));
        assert!(matches!(refused, Refusal::BadRun { pages: 4, .. }));
    }
    assert!(matches!(
        refusal(seal(&[write(false, u64::MAX, &[], &file)])),
        Refusal::TooLarge { .. }
    ));
    let both = [write(false, 1, &[], &file), write(false, 2, &[], &file)];
    assert!(matches!(
        refusal(seal(&both)),
        Refusal::NotAscending { what: "image", .. }
    ));
    // A page file that ends early is this node's fault, and leaves no record behind.
    let short = seal(&[write(false, 40, &[(0, 40, 0)], &file)]);
    assert!(matches!(
        short,
        Err(StoreFault::Io {
            operation: "read",
            ..
        })
    ));
    assert!(store.candidates(NAMESPACE).is_empty());
    seal(&[write(false, 40, &[(0, 3, 0)], &file)]).unwrap();
}

#[test]
fn an_image_is_bound_by_its_leaf() {
    let store = open(&SimulatedDisk::new());
    let file = source();
    let update = write(false, 3, &[(0, 1, 5), (2, 1, 7)], &file);
    let root = store
        .seal(NAMESPACE, 1, Hash::EMPTY, &WriteLog::new(), &[update])
        .unwrap();
    let mut tree = PageTree::zero(3);
    tree.set(&[
        (0, page_hash(&[5; PAGE_BYTES])),
        (2, page_hash(&[7; PAGE_BYTES])),
    ]);
    let view = store.view(NAMESPACE, root).unwrap();
    assert_eq!(
        view.get(&image_key(&image_id(0))).unwrap(),
        Some(image_leaf(3, &tree.root()))
    );
    assert_eq!(pages(&*view), [5, 0, 7]);
    let delete = ImageUpdate {
        id: image_id(0),
        change: ImageUpdateKind::Delete,
    };
    let gone = store
        .seal(NAMESPACE, 2, root, &WriteLog::new(), &[delete])
        .unwrap();
    assert_eq!(gone, Hash::EMPTY);
    assert!(
        store
            .view(NAMESPACE, gone)
            .unwrap()
            .image(&image_id(0))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_page_is_dirty_when_its_bytes_differ() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let file = source();
    let seal = |round, parent, update| {
        let root = store
            .seal(NAMESPACE, round, parent, &WriteLog::new(), &[update])
            .unwrap();
        store.finalise(NAMESPACE, round, root).unwrap();
        root
    };
    let bytes = || disk.files().iter().map(|(_, len)| len).sum::<u64>();
    let first = seal(1, Hash::EMPTY, write(false, 10, &[(0, 8, 1)], &file));
    let before = bytes();
    assert_eq!(seal(2, first, write(false, 10, &[(0, 8, 1)], &file)), first);
    let third = seal(3, first, write(true, 10, &[(0, 10, 1)], &file));
    let view = store.view(NAMESPACE, third).unwrap();
    assert_eq!(pages(&*view), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(
        bytes() - before < 4 * PAGE_BYTES as u64,
        "only two pages differ"
    );
    // Zeros that are written, cut off, or left by a reset are one and the same.
    let zeroed = seal(4, third, write(false, 10, &[(2, 1, 0)], &file));
    let cut = seal(5, zeroed, write(false, 4, &[], &file));
    let grown = seal(6, cut, write(false, 10, &[], &file));
    assert_eq!(
        pages(&*store.view(NAMESPACE, grown).unwrap()),
        [1, 2, 0, 4, 0, 0, 0, 0, 0, 0]
    );
    let runs = [(0, 2, 1), (3, 1, 4)];
    assert_eq!(seal(7, grown, write(true, 10, &runs, &file)), grown);
    let image = store
        .view(NAMESPACE, grown)
        .unwrap()
        .image(&image_id(0))
        .unwrap()
        .unwrap();
    assert!(image.run_of(2).is_none(), "a zero page takes no place");
}

#[test]
fn sealing_again_is_the_same_version() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let update = [write(false, 4, &[(0, 4, 1)], &source())];
    let root = store
        .seal(NAMESPACE, 1, Hash::EMPTY, &log(b"a"), &update)
        .unwrap();
    let files = disk.files();
    assert_eq!(
        store
            .seal(NAMESPACE, 1, Hash::EMPTY, &log(b"a"), &update)
            .unwrap(),
        root
    );
    assert_eq!(store.candidates(NAMESPACE), [(1, root)]);
    assert_eq!(disk.files(), files);
}

#[test]
fn a_slot_never_holds_two_things() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.put_signed(b"round/1", b"yes").unwrap();
    store.put_signed(b"round/1", b"yes").unwrap();
    let taken = refusal(store.put_signed(b"round/1", b"no"));
    assert!(matches!(taken, Refusal::SlotTaken { .. }));
    store.put_signed(b"round/5", b"later").unwrap();
    store.prune_signed(b"round/", b"round/3").unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.signed(b"round/1"), None);
    assert_eq!(store.signed(b"round/5"), Some(b"later".to_vec()));
    for slot in [b"round/1", b"round/2"] {
        assert!(matches!(
            refusal(store.put_signed(slot, b"no")),
            Refusal::SlotPruned { .. }
        ));
    }
    store.put_signed(b"round/3", b"yes").unwrap();
    store.put_signed(b"other/1", b"yes").unwrap();
    let long = refusal(store.put_signed(&[0; 1025], b""));
    assert!(matches!(
        long,
        Refusal::TooLarge {
            value: 1025,
            limit: 1024,
            ..
        }
    ));
}

#[test]
fn views_outlive_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let config = StoreConfig {
            history_versions: 0,
            ..small()
        };
        Store::open(disk, config).unwrap()
    };
    let (store, report) = open();
    assert!(report.created);
    let file = source();
    let mut parent = Hash::EMPTY;
    let mut held = Vec::new();
    for round in 1..60 {
        let update = write(false, 20, &[(round % 16, 4, round % 19)], &file);
        let log = log(format!("{round}").as_bytes());
        let root = store
            .seal(NAMESPACE, round, parent, &log, &[update])
            .unwrap();
        let view = store.view(NAMESPACE, root).unwrap();
        let expected = pages(&*view);
        held.push((view, expected));
        store.finalise(NAMESPACE, round, root).unwrap();
        assert_eq!(store.checkpoint_fault(), None);
        parent = root;
    }
    store.checkpoint().unwrap();
    let count = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(count <= 8, "{count} files are left");
    for (view, expected) in &held {
        assert_eq!(pages(&**view), *expected);
    }
    let shown = show(&store);
    assert!(Store::open_dir(folder.path()).is_err_and(|f| matches!(f, StoreFault::Locked { .. })));
    drop(store);
    let (store, report) = open();
    assert!(
        report.checkpoint.is_some() && report.records == 0,
        "{report:?}"
    );
    assert_eq!(show(&store), shown);
}

#[test]
fn a_mostly_dead_file_gives_up_its_pages_and_goes() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let update = write(false, 9, &[(3, 2, 5), (7, 1, 9)], &source());
    let root = store
        .seal(NAMESPACE, 1, Hash::EMPTY, &log(b"a"), &[update])
        .unwrap();
    store.finalise(NAMESPACE, 1, root).unwrap();
    for number in 0..10u8 {
        store.put_meta("name", &[number; 4000]).unwrap();
    }
    let first = || {
        disk.files()
            .iter()
            .any(|(name, _)| name == "0000000000000001.log")
    };
    assert!(first());
    store.checkpoint().unwrap();
    assert!(!first());
    let shown = |store: &Store| pages(&*store.view(NAMESPACE, root).unwrap());
    assert_eq!(shown(&store), [0, 0, 0, 5, 6, 0, 0, 9, 0]);
    drop(store);
    assert_eq!(shown(&open(&disk)), [0, 0, 0, 5, 6, 0, 0, 9, 0]);
}

#[test]
fn a_fragmented_image_is_written_in_one_piece() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let file = source();
    let mut parent = Hash::EMPTY;
    for (round, page) in [9, 3, 7, 1, 5].into_iter().enumerate() {
        let round = round as u64 + 1;
        let update = write(false, 10, &[(page, 1, page + 1)], &file);
        parent = store
            .seal(NAMESPACE, round, parent, &WriteLog::new(), &[update])
            .unwrap();
        store.finalise(NAMESPACE, round, parent).unwrap();
    }
    let fill = write(false, 10, &[(0, 10, 1)], &file);
    let root = store
        .seal(NAMESPACE, 6, parent, &WriteLog::new(), &[fill])
        .unwrap();
    store.finalise(NAMESPACE, 6, root).unwrap();
    let runs = |store: &Store| {
        let image = store
            .view(NAMESPACE, root)
            .unwrap()
            .image(&image_id(0))
            .unwrap()
            .unwrap();
        image.run_count()
    };
    assert!(runs(&store) > 3);
    store.checkpoint().unwrap();
    assert_eq!(runs(&store), 1);
    drop(store);
    assert_eq!(runs(&open(&disk)), 1);
}

#[test]
fn when_checkpoints_are_written_changes_no_root() {
    for seed in 20..24 {
        let reference = open(&SimulatedDisk::new());
        let (calls, shown) = history(seed, 60, &reference);
        let never = StoreConfig {
            checkpoint_log_bytes: u64::MAX,
            ..StoreConfig::default()
        };
        let plain = Store::open(Arc::new(SimulatedDisk::new()), never)
            .unwrap()
            .0;
        let disk = SimulatedDisk::new();
        let mut often = open(&disk);
        for (index, call) in calls.iter().enumerate() {
            if !matches!(call, Call::Checkpoint) {
                call.apply(&plain).unwrap();
            }
            call.apply(&often).unwrap();
            often.checkpoint().unwrap();
            if index % 7 == 0 {
                drop(often);
                often = open(&disk);
            }
            assert_eq!(show(&plain), shown[index + 1]);
            assert_eq!(show(&often), shown[index + 1]);
        }
    }
}

#[test]
fn threads_share_one_log() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..20u8 {
                    store.put_signed(&[thread, number], &[number; 300]).unwrap();
                    store.sync().unwrap();
                    if thread == 0 && number % 8 == 0 {
                        store.checkpoint().unwrap();
                    }
                }
            });
        }
    });
    drop(store);
    disk.power_cycle(4);
    let store = open(&disk);
    for thread in 0..4u8 {
        for number in 0..20u8 {
            assert_eq!(store.signed(&[thread, number]), Some(vec![number; 300]));
        }
    }
}
