//! A state that is brought in as a whole is there entirely or not at all, whatever fails.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use history::{check_past, entry, image_id, show, small, source};
use simulated_disk::SimulatedDisk;
use trilith_store::{
    ImageUpdate, ImageUpdateKind, Refusal, Result, Store, StoreConfig, StoreFault,
};
use trilith_types::{Hash, PageRun, RuntimeId, StateRead, WriteLog};

const OTHER: RuntimeId = RuntimeId::test(0);
const NAMESPACE: RuntimeId = RuntimeId::test(1);

fn config() -> StoreConfig {
    StoreConfig {
        checkpoint_log_bytes: u64::MAX / 4,
        ..small()
    }
}

fn open(disk: &SimulatedDisk) -> Store {
    Store::open(Arc::new(disk.clone()), config())
        .unwrap_or_else(|fault| panic!("{fault}"))
        .0
}

/// What is brought in: entries, out of order between the parts, and two images.
struct State {
    parts: Vec<WriteLog>,
    images: Vec<ImageUpdate>,
    root: Hash,
}

fn state() -> State {
    let key = |at: u64| format!("key {:03}", at * 7 % 300).into_bytes();
    let mut parts = Vec::new();
    for part in 0..3u64 {
        let numbers = (0..300).filter(|number| number % 3 == part);
        let mut log: WriteLog = numbers
            .map(|at| entry(&key(at), Some(&vec![at as u8; (at % 90) as usize])))
            .collect();
        log.sort_by(|a, b| a.key.cmp(&b.key));
        parts.push(log);
    }
    let file = source();
    let image = |number, pages, first| ImageUpdate {
        id: image_id(number),
        change: ImageUpdateKind::Write {
            reset: false,
            pages: pages + 2,
            runs: vec![PageRun {
                page: 1,
                count: pages,
                file: Arc::clone(&file),
                file_page: first,
            }],
        },
    };
    let images = vec![image(0, 5, 1), image(2, 9, 7)];
    let store = open(&SimulatedDisk::new());
    let (mut root, mut round) = (Hash::EMPTY, 0);
    for part in &parts {
        round += 1;
        root = store.seal(NAMESPACE, round, root, part, &[]).unwrap();
    }
    let root = store
        .seal(NAMESPACE, round + 1, root, &WriteLog::new(), &images)
        .unwrap();
    State {
        parts,
        images,
        root,
    }
}

fn import(store: &Store, state: &State, root: Hash) -> Result<()> {
    let mut import = store.import(NAMESPACE)?;
    for part in &state.parts {
        import.entries(part)?;
    }
    for image in &state.images {
        import.image(image)?;
    }
    import.finish(9, root)
}

/// A store with another namespace, and a candidate in it.
fn begun(disk: &SimulatedDisk) -> Store {
    let store = open(disk);
    let log: WriteLog = (0..60u8)
        .map(|at| entry(&[1, at], Some(&[at; 50])))
        .collect();
    let root = store.seal(OTHER, 1, Hash::EMPTY, &log, &[]).unwrap();
    store.finalise(OTHER, 1, root).unwrap();
    store.checkpoint().unwrap();
    let file = source();
    let run = PageRun {
        page: 0,
        count: 3,
        file,
        file_page: 4,
    };
    let update = ImageUpdate {
        id: image_id(1),
        change: ImageUpdateKind::Write {
            reset: false,
            pages: 3,
            runs: vec![run],
        },
    };
    store
        .seal(OTHER, 2, root, &log[..3].to_vec(), &[update])
        .unwrap();
    store.sync().unwrap();
    store
}

fn check_imported(store: &Store, state: &State) {
    assert_eq!(store.current(NAMESPACE), Some((9, state.root)));
    assert_eq!(store.versions(NAMESPACE), [(9, state.root)]);
    let view = store.view(NAMESPACE, state.root).unwrap();
    for entry in state.parts.iter().flatten() {
        assert_eq!(view.get(&entry.key).unwrap(), entry.value);
    }
    let images = history::contents(&*view).1;
    assert_eq!(images[0], Some(vec![0, 1, 2, 3, 4, 5, 0]));
    assert!(images[1].is_none());
    store.check().unwrap();
    check_past(store).unwrap();
}

#[test]
fn what_is_brought_in_is_the_current_version_and_can_be_built_on() {
    let disk = SimulatedDisk::new();
    let state = state();
    let store = begun(&disk);
    import(&store, &state, state.root).unwrap();
    check_imported(&store, &state);
    let root = store
        .seal(
            NAMESPACE,
            10,
            state.root,
            &vec![entry(b"more", Some(b"1"))],
            &[],
        )
        .unwrap();
    store.finalise(NAMESPACE, 10, root).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(check_past(&store).unwrap(), 3);
    drop(store);
    let store = open(&disk);
    store.check().unwrap();
    assert_eq!(store.versions(NAMESPACE), [(9, state.root), (10, root)]);
    assert_eq!(check_past(&store).unwrap(), 3);
}

#[test]
fn another_root_is_refused_and_leaves_nothing() {
    let disk = SimulatedDisk::new();
    let state = state();
    let store = begun(&disk);
    let files = disk.files();
    let refused = import(&store, &state, Hash::of(b"another"));
    assert!(matches!(
        refused,
        Err(StoreFault::Refused(Refusal::Import { .. }))
    ));
    assert_eq!(disk.files(), files, "an import that failed leaves files");
    assert_eq!(store.current(NAMESPACE), None);
    import(&store, &state, state.root).unwrap();
    check_imported(&store, &state);
}

#[test]
fn nothing_is_built_on_a_namespace_that_is_being_imported() {
    let store = begun(&SimulatedDisk::new());
    let import = store.import(NAMESPACE).unwrap();
    let log = vec![entry(b"a", Some(b"1"))];
    let sealed = store.seal(NAMESPACE, 1, Hash::EMPTY, &log, &[]);
    assert!(matches!(
        sealed,
        Err(StoreFault::Refused(Refusal::Importing { .. }))
    ));
    assert!(store.import(NAMESPACE).is_err());
    // A checkpoint meanwhile keeps what the import wrote so far.
    store.checkpoint().unwrap();
    drop(import);
    store.seal(NAMESPACE, 1, Hash::EMPTY, &log, &[]).unwrap();
    assert!(store.import(NAMESPACE).is_err());
    assert!(store.import(OTHER).is_err());
}

/// After a fault the store works on, and a start finds all of it or nothing.
fn check_after(disk: &SimulatedDisk, store: Store, state: &State, failed: bool, context: &str) {
    let there = store.current(NAMESPACE).is_some();
    assert!(
        failed || there,
        "{context}: an import that succeeded is lost"
    );
    assert!(
        !failed || !there,
        "{context}: an import that failed is there"
    );
    store
        .check()
        .unwrap_or_else(|fault| panic!("{context}: {fault}"));
    let shown = show(&store);
    drop(store);
    let mut store = Store::open(Arc::new(disk.clone()), config())
        .unwrap_or_else(|fault| panic!("{context}: {fault}"))
        .0;
    // The manifest may have been replaced although the disk reported a fault.
    if store.current(NAMESPACE).is_none() {
        assert!(failed, "{context}");
        assert_eq!(show(&store), shown, "{context}");
        import(&store, state, state.root).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    }
    check_imported(&store, state);
    store.checkpoint().unwrap();
    drop(store);
    disk.power_cycle(1);
    store = open(disk);
    check_imported(&store, state);
}

#[test]
fn a_full_disk_at_any_operation_of_an_import_loses_nothing() {
    let state = state();
    let disk = SimulatedDisk::new();
    let store = begun(&disk);
    let before = disk.operations();
    import(&store, &state, state.root).unwrap();
    let operations = disk.operations() - before;
    assert!(operations > 20);
    let mut failed = 0;
    for operation in 1..=operations {
        for length in [1, 3] {
            let disk = SimulatedDisk::new();
            let store = begun(&disk);
            let next = disk.operations() + operation;
            disk.full_during(next, next + length);
            let result = import(&store, &state, state.root);
            disk.full_during(0, 0);
            failed += u32::from(result.is_err());
            let context = format!("full at {operation} for {length}");
            check_after(&disk, store, &state, result.is_err(), &context);
        }
    }
    assert!(failed > 20, "{failed} imports failed");
}

#[test]
fn a_read_error_at_any_read_of_an_import_loses_nothing() {
    let state = state();
    let disk = SimulatedDisk::new();
    let store = begun(&disk);
    let before = disk.reads();
    import(&store, &state, state.root).unwrap();
    for read in 1..=disk.reads() - before {
        let disk = SimulatedDisk::new();
        let store = begun(&disk);
        let next = disk.reads() + read;
        disk.fail_reads_during(next, next + 1);
        let result = import(&store, &state, state.root);
        disk.fail_reads_during(0, 0);
        let context = format!("read {read} fails");
        check_after(&disk, store, &state, result.is_err(), &context);
    }
}

#[test]
fn a_crash_at_any_operation_of_an_import_keeps_all_or_nothing_of_it() {
    let state = state();
    let disk = SimulatedDisk::new();
    let store = begun(&disk);
    let before = disk.operations();
    let shown = show(&store);
    import(&store, &state, state.root).unwrap();
    let all = show(&store);
    for operation in 1..=disk.operations() - before {
        let disk = SimulatedDisk::new();
        let store = begun(&disk);
        disk.crash_at(disk.operations() + operation);
        let done = import(&store, &state, state.root).is_ok();
        drop(store);
        disk.power_cycle(operation);
        let store = open(&disk);
        let found = show(&store);
        assert!(
            found == all || !done && found == shown,
            "crash at {operation}"
        );
        store.check().unwrap();
        if found == shown {
            import(&store, &state, state.root).unwrap();
        }
        check_imported(&store, &state);
    }
}
