//! Random histories of operations, and what a store shows of them.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use trilith_store::{ImageUpdate, ImageUpdateKind, Store, StoreConfig, StoreFault};
use trilith_types::{
    Hash, ImageId, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateFault, StateRead, WriteLog,
    WriteLogEntry,
};

use crate::simulated_disk::Numbers;

/// Different pages of the source file; page 0 is zero.
pub const SOURCE_PAGES: u64 = 24;

/// One call of the store.
#[derive(Clone, Debug)]
pub enum Call {
    Seal(RuntimeId, u64, Hash, WriteLog, Vec<ImageUpdate>),
    Finalise(RuntimeId, u64, Hash),
    Sign(Vec<u8>, Vec<u8>),
    Prune(Vec<u8>),
    Meta(Option<Vec<u8>>),
    Sync,
    Checkpoint,
    /// Entries in two parts and an image, and the round and root they are to have.
    Import(RuntimeId, u64, Hash, [WriteLog; 2], Vec<ImageUpdate>),
}

impl Call {
    pub fn apply(&self, store: &Store) -> Result<(), StoreFault> {
        match self {
            Self::Seal(namespace, round, parent, log, images) => store
                .seal(*namespace, *round, *parent, log, images)
                .map(|_| ()),
            Self::Finalise(namespace, round, root) => store.finalise(*namespace, *round, *root),
            Self::Sign(slot, bytes) => store.put_signed(slot, bytes),
            Self::Prune(end) => store.prune_signed(b"slot", end),
            Self::Meta(Some(bytes)) => store.put_meta("name", bytes),
            Self::Meta(None) => store.remove_meta("name"),
            Self::Sync => store.sync(),
            Self::Checkpoint => store.checkpoint(),
            Self::Import(namespace, round, root, parts, images) => {
                if store.current(*namespace) == Some((*round, *root)) {
                    return Ok(());
                }
                let mut import = store.import(*namespace)?;
                for part in parts {
                    import.entries(part)?;
                }
                for image in images {
                    import.image(image)?;
                }
                import.finish(*round, *root)
            }
        }
    }
}

/// Small files and early checkpoints, so that short histories cross every border.
pub fn small() -> StoreConfig {
    StoreConfig {
        segment_bytes: 40 << 10,
        checkpoint_log_bytes: 90 << 10,
        fragment_runs_max: 3,
        candidates_max: 16,
        checkpoint_thread: false,
        fragment_bytes: 300,
        cache_bytes: 8 << 10,
        table_bytes: 1 << 10,
        history_versions: 4,
        history_bytes: 400 << 10,
        threads: 2,
    }
}

/// A file whose page `n` is filled with the byte `n`.
pub fn source() -> PageFile {
    let file = tempfile::tempfile().unwrap();
    for page in 0..SOURCE_PAGES {
        file.write_all_at(&[page as u8; PAGE_BYTES], page * PAGE_BYTES as u64)
            .unwrap();
    }
    Arc::new(file)
}

pub fn image_id(number: u64) -> ImageId {
    ImageId::new(vec![b'i', number as u8]).unwrap()
}

fn slot(number: u64) -> Vec<u8> {
    format!("slot{number:04}").into_bytes()
}

pub fn entry(key: &[u8], value: Option<&[u8]>) -> WriteLogEntry {
    WriteLogEntry {
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    }
}

/// Keys of several lengths, some the beginning of others.
fn key(number: u64) -> Vec<u8> {
    let mut key = format!("key{}", number / 3 % 50).into_bytes();
    key.resize(key.len() + (number % 3 * (number % 17)) as usize, b'+');
    key
}

fn write_log(numbers: &mut Numbers, most: u64) -> WriteLog {
    let count = numbers.below(most);
    let mut keys: Vec<_> = (0..count).map(|_| key(numbers.below(300))).collect();
    keys.sort();
    keys.dedup();
    let mut log = WriteLog::new();
    for key in keys {
        let value = vec![numbers.next() as u8; numbers.below(120) as usize];
        let value = (numbers.below(4) > 0).then_some(&value[..]);
        log.push(entry(&key, value));
    }
    log
}

/// An import into a namespace that has no version, or nothing to do.
fn import(store: &Store, numbers: &mut Numbers, source: &PageFile) -> Call {
    let namespace = RuntimeId::test(2 + numbers.below(2));
    if store.current(namespace).is_some() {
        return Call::Sync;
    }
    let parts = [write_log(numbers, 150), write_log(numbers, 40)];
    let images = updates(numbers, source);
    // What the root is to be is found out in another namespace, of a store of its own.
    let disk = crate::simulated_disk::SimulatedDisk::new();
    let other = Store::open(Arc::new(disk), small()).unwrap().0;
    let (mut round, mut root) = (0, Hash::EMPTY);
    let steps = [(&parts[0], &[][..]), (&parts[1], &images[..])];
    for (log, images) in steps {
        round += 1;
        root = other.seal(namespace, round, root, log, images).unwrap();
    }
    Call::Import(namespace, 1 + numbers.below(5), root, parts, images)
}

fn updates(numbers: &mut Numbers, source: &PageFile) -> Vec<ImageUpdate> {
    let mut updates = Vec::new();
    for number in 0..3 {
        if numbers.below(3) > 0 {
            continue;
        }
        let id = image_id(number);
        if numbers.below(8) == 0 {
            updates.push(ImageUpdate {
                id,
                change: ImageUpdateKind::Delete,
            });
            continue;
        }
        let pages = numbers.below(20);
        let mut runs = Vec::new();
        let mut page = numbers.below(4);
        while page < pages && numbers.below(6) > 0 {
            let count = (1 + numbers.below(4)).min(pages - page);
            let file_page = numbers.below(SOURCE_PAGES - count);
            runs.push(PageRun {
                page,
                count,
                file: Arc::clone(source),
                file_page,
            });
            page += count + numbers.below(4);
        }
        let reset = numbers.below(5) == 0;
        updates.push(ImageUpdate {
            id,
            change: ImageUpdateKind::Write { reset, pages, runs },
        });
    }
    updates
}

fn next_call(store: &Store, numbers: &mut Numbers, source: &PageFile) -> Call {
    let namespace = RuntimeId::test(numbers.below(4).min(numbers.below(4)));
    let (round, root) = store.current(namespace).unwrap_or((0, Hash::EMPTY));
    let candidates = store.candidates(namespace);
    match numbers.below(20) {
        0..8 => {
            let chosen = numbers.below(candidates.len() as u64 + 2) as usize;
            let (round, parent) = candidates.get(chosen).copied().unwrap_or((round, root));
            let most = if numbers.below(3) == 0 { 120 } else { 8 };
            let log = write_log(numbers, most);
            Call::Seal(namespace, round + 1, parent, log, updates(numbers, source))
        }
        8..12 if !candidates.is_empty() => {
            let (round, root) = candidates[numbers.below(candidates.len() as u64) as usize];
            Call::Finalise(namespace, round, root)
        }
        12..14 => Call::Sign(slot(numbers.below(12)), vec![numbers.below(2) as u8; 40]),
        14 => Call::Prune(slot(numbers.below(8))),
        15 => Call::Meta((numbers.below(4) > 0).then(|| vec![numbers.next() as u8; 30])),
        16 if numbers.below(2) == 0 => import(store, numbers, source),
        16 => Call::Checkpoint,
        _ => Call::Sync,
    }
}

/// A history that a store without faults has accepted, and what it showed before the first and
/// after each call.
pub fn history(seed: u64, calls: usize, store: &Store) -> (Vec<Call>, Vec<String>) {
    let source = source();
    let mut numbers = Numbers(seed);
    let (mut history, mut shown) = (Vec::new(), vec![show(store)]);
    while history.len() < calls {
        let call = next_call(store, &mut numbers, &source);
        match call.apply(store) {
            Ok(()) => {
                history.push(call);
                shown.push(show(store));
            }
            // A refused call has no effect, which the next comparison would notice.
            Err(StoreFault::Refused(_)) => assert_eq!(show(store), *shown.last().unwrap()),
            Err(fault) => panic!("a store without faults reports {fault}"),
        }
    }
    (history, shown)
}

/// Everything that can be seen of a store.
pub fn show(store: &Store) -> String {
    try_show(store).unwrap()
}

/// Does as [`show`], or tells what cannot be read.
pub fn try_show(store: &Store) -> Result<String, StateFault> {
    let mut text = String::new();
    for namespace in store.namespaces() {
        let (current, candidates) = (store.current(namespace), store.candidates(namespace));
        writeln!(text, "{namespace} {current:?}").unwrap();
        for (round, root) in current.into_iter().chain(candidates) {
            let view = store.view(namespace, root).unwrap();
            assert_eq!(view.root(), root);
            writeln!(text, "{round} {root} {:?}", try_contents(&*view)?).unwrap();
        }
    }
    for number in 0..12 {
        writeln!(text, "{number} {:?}", store.signed(&slot(number))).unwrap();
    }
    writeln!(text, "{:?}", store.meta("name")).unwrap();
    Ok(text)
}

/// Checks that every version of the past that the store tells of can be read, and leads from one
/// to the next.
pub fn check_past(store: &Store) -> Result<usize, StoreFault> {
    let mut read = 0;
    for namespace in store.namespaces() {
        for (round, root) in store.versions(namespace) {
            let view = store.view_at(namespace, round)?;
            let view = view.unwrap_or_else(|| panic!("round {round} is gone"));
            assert_eq!(view.root(), root);
            assert_eq!(view.tree().iterate_from(b"").map(Iterator::count).ok(), {
                let mut count = 0;
                view.iterate(b"", &mut |_, _| {
                    count += 1;
                    std::ops::ControlFlow::Continue(())
                })?;
                Some(count)
            });
            try_contents(&*view)?;
            if let Some(changes) = store.changes(namespace, round)? {
                assert_eq!(changes.root, root);
            }
            read += 1;
        }
    }
    Ok(read)
}

type Contents = (usize, Vec<Option<Vec<u8>>>);

/// Number of entries, and the first byte of each page of each image, after checking that pages
/// are whole.
pub fn contents(view: &dyn StateRead) -> Contents {
    try_contents(view).unwrap()
}

fn try_contents(view: &dyn StateRead) -> Result<Contents, StateFault> {
    let mut count = 0;
    view.iterate(b"", &mut |_, _| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    let mut images = Vec::new();
    for number in 0..3 {
        let image = view.image(&image_id(number))?;
        images.push(image.map(|image| {
            let page = |number| {
                let mut bytes = [0u8; PAGE_BYTES];
                image.read_page(number, &mut bytes).unwrap();
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a page is torn");
                bytes[0]
            };
            (0..image.pages()).map(page).collect()
        }));
    }
    Ok((count, images))
}
