//! Checkpoints of whole states: what comes back is what was exported, or the file that is wrong is
//! named and nothing of it is used.

#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use simulated_disk::{Numbers, SimulatedDisk};
use tempfile::TempDir;
use trilith_mkvs::checkpoint::{CheckpointError, Chunking, Restore};
use trilith_store::export::{
    CHUNK_PAGES, Checkpoint, CheckpointFiles, EXPORT_MANIFEST_BYTES_MAX, ExportFault,
    ExportManifest, FileEntry, FileFault, ImportSink, PAGE_CHUNK_BYTES_MAX, PageChunk,
    PageChunkFault, export, export_to,
};
use trilith_store::{
    Disk, IMAGE_PAGES_MAX, ImageUpdate, ImageUpdateKind, Result, Store, StoreFault, View,
    image_key, image_leaf,
};
use trilith_types::{
    Hash, ImageId, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateRead, WriteLog, WriteLogEntry,
};

const NAMESPACE: RuntimeId = RuntimeId::test(1);
const CHUNK_BYTES: u64 = 2000;

/// Images by name: length in pages, and the first bytes of those that are not zero.
type Images = BTreeMap<Vec<u8>, (u64, BTreeMap<u64, u8>)>;
type Files = BTreeMap<String, Vec<u8>>;
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store in a folder that goes with it.
struct TestStore {
    store: Store,
    _folder: TempDir,
}

impl TestStore {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open_dir(folder.path()).unwrap().0;
        Self {
            store,
            _folder: folder,
        }
    }

    fn with(entries: &Entries, images: &Images) -> (Self, Arc<View>) {
        let test = Self::new();
        let log = log_of(entries);
        let images: Vec<_> = images.iter().map(update_of).collect();
        let root = test
            .store
            .seal(NAMESPACE, 7, Hash::EMPTY, &log, &images)
            .unwrap();
        test.store.finalise(NAMESPACE, 7, root).unwrap();
        let view = test.store.view(NAMESPACE, root).unwrap();
        (test, view)
    }
}

fn log_of(entries: &Entries) -> WriteLog {
    let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| WriteLogEntry {
        key: key.clone(),
        value: Some(value.clone()),
    };
    entries.iter().map(entry).collect()
}

/// The contents of a page that starts with `first`.
fn page(number: u64, first: u8) -> [u8; PAGE_BYTES] {
    let mut page = [0u8; PAGE_BYTES];
    page[0] = first;
    page[PAGE_BYTES - 8..].copy_from_slice(&number.to_be_bytes());
    page[PAGE_BYTES / 2] = first;
    page
}

fn update_of((id, (pages, contents)): (&Vec<u8>, &(u64, BTreeMap<u64, u8>))) -> ImageUpdate {
    let file: PageFile = Arc::new(tempfile::tempfile().unwrap());
    let mut runs = Vec::new();
    for (at, (number, first)) in contents.iter().enumerate() {
        file.write_all_at(&page(*number, *first), (at * PAGE_BYTES) as u64)
            .unwrap();
        runs.push(PageRun {
            page: *number,
            count: 1,
            file: Arc::clone(&file),
            file_page: at as u64,
        });
    }
    ImageUpdate {
        id: ImageId::new(id.clone()).unwrap(),
        change: ImageUpdateKind::Write {
            reset: false,
            pages: *pages,
            runs,
        },
    }
}

/// A state whose checkpoint has several chunks of both kinds.
fn sample() -> (Entries, Images) {
    let entries = (0..150u32)
        .map(|number| {
            let key = format!("key {number}").into_bytes();
            (key, vec![number as u8; 40])
        })
        .collect();
    let dense = (0..300)
        .map(|number| (number, 1 + number as u8 % 200))
        .collect();
    let sparse = (0..300).map(|number| (number * 977, 7)).collect();
    let images = [
        (b"dense".to_vec(), (300, dense)),
        (b"empty".to_vec(), (0, BTreeMap::new())),
        (b"sparse".to_vec(), (1 << 20, sparse)),
        (b"zero".to_vec(), (5000, BTreeMap::new())),
    ];
    (entries, images.into_iter().collect())
}

/// Takes in a state and seals it in one piece.
#[derive(Default)]
struct Collected {
    log: WriteLog,
    images: BTreeMap<ImageId, (u64, Vec<PageRun>)>,
    /// How many batches and image updates came.
    batches: usize,
    updates: usize,
    sealed: Option<(TestStore, Arc<View>)>,
}

impl ImportSink for Collected {
    fn entries(&mut self, log: &WriteLog) -> Result<()> {
        self.batches += 1;
        self.log.extend(log.iter().cloned());
        Ok(())
    }

    fn image(&mut self, update: &ImageUpdate) -> Result<()> {
        self.updates += 1;
        let ImageUpdateKind::Write {
            reset: false,
            pages,
            runs,
        } = &update.change
        else {
            panic!("an import only adds pages");
        };
        let image = self.images.entry(update.id.clone());
        let image = image.or_insert((*pages, Vec::new()));
        assert_eq!(image.0, *pages);
        image.1.extend(runs.iter().cloned());
        Ok(())
    }

    fn finish(&mut self, round: u64, root: Hash) -> Result<()> {
        self.log.sort_by(|a, b| a.key.cmp(&b.key));
        let update = |(id, (pages, runs)): (&ImageId, &(u64, Vec<PageRun>))| ImageUpdate {
            id: id.clone(),
            change: ImageUpdateKind::Write {
                reset: false,
                pages: *pages,
                runs: runs.clone(),
            },
        };
        let images: Vec<_> = self.images.iter().map(update).collect();
        let test = TestStore::new();
        let found = test
            .store
            .seal(NAMESPACE, round, Hash::EMPTY, &self.log, &images)?;
        assert_eq!(found, root);
        let view = test.store.view(NAMESPACE, root).unwrap();
        self.sealed = Some((test, view));
        Ok(())
    }
}

fn import(folder: &Path) -> (std::result::Result<(), ExportFault>, Collected) {
    let mut sink = Collected::default();
    let result = Checkpoint::open(folder).and_then(|checkpoint| checkpoint.import(&mut sink));
    (result, sink)
}

fn files(folder: &Path) -> Files {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        files.insert(name, fs::read(entry.path()).unwrap());
    }
    files
}

fn write_files(folder: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A checkpoint of the sample state, and its manifest.
fn exported() -> (TempDir, ExportManifest) {
    let (entries, images) = sample();
    let (_store, view) = TestStore::with(&entries, &images);
    let folder = TempDir::new().unwrap();
    let manifest = export(&view, NAMESPACE, 7, folder.path(), CHUNK_BYTES).unwrap();
    (folder, manifest)
}

fn check_contents(view: &View, entries: &Entries, images: &Images) {
    for (key, value) in entries {
        assert_eq!(view.get(key).unwrap().as_ref(), Some(value));
    }
    for (id, (pages, contents)) in images {
        let image = view.image(&ImageId::new(id.clone()).unwrap()).unwrap();
        let image = image.unwrap();
        assert_eq!(image.pages(), *pages);
        let mut found = [0u8; PAGE_BYTES];
        for (number, first) in contents {
            image.read_page(*number, &mut found).unwrap();
            assert!(found == page(*number, *first), "page {number}");
        }
    }
}

#[test]
fn a_state_comes_back_from_its_checkpoint() {
    let (folder, manifest) = exported();
    assert!(manifest.tree.len() > 3, "{}", manifest.tree.len());
    assert_eq!(manifest.pages.len(), 600usize.div_ceil(CHUNK_PAGES));
    Checkpoint::open(folder.path()).unwrap().verify().unwrap();
    let (result, sink) = import(folder.path());
    result.unwrap();
    let (_store, view) = sink.sealed.unwrap();
    assert_eq!((manifest.round, manifest.root), (7, view.root()));
    let (entries, images) = sample();
    check_contents(&view, &entries, &images);
    assert_eq!(view.images().count(), images.len());
}

#[test]
fn a_checkpoint_becomes_the_current_version_of_a_store() {
    let (folder, manifest) = exported();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let disk = SimulatedDisk::new();
    let open = || {
        let config = trilith_store::StoreConfig::default();
        Store::open(Arc::new(disk.clone()), config).unwrap().0
    };
    let store = open();
    // First with a file that is damaged, of either kind: the store stays as it was.
    for name in ["tree-000002", "pages-000001"] {
        let path = folder.path().join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[1..]).unwrap();
        let fault = checkpoint.import_into(&store).unwrap_err();
        assert!(fault.to_string().starts_with(name), "{fault}");
        assert_eq!(store.current(NAMESPACE), None);
        fs::write(&path, good).unwrap();
    }
    checkpoint.import_into(&store).unwrap();
    assert_eq!(store.current(NAMESPACE), Some((7, manifest.root)));
    let again = checkpoint.import_into(&store).unwrap_err();
    assert!(
        matches!(again, ExportFault::Store(StoreFault::Refused(_))),
        "{again}"
    );
    drop(store);
    // It is durable, needs the folder no more, and gives the same checkpoint.
    disk.power_cycle(1);
    let before = files(folder.path());
    drop(folder);
    let store = open();
    assert_eq!(store.current(NAMESPACE), Some((7, manifest.root)));
    let view = store.view(NAMESPACE, manifest.root).unwrap();
    let (entries, images) = sample();
    check_contents(&view, &entries, &images);
    let folder = TempDir::new().unwrap();
    export(&view, NAMESPACE, 7, folder.path(), CHUNK_BYTES).unwrap();
    assert_eq!(files(folder.path()), before);
    // And it goes on from there.
    let log = vec![WriteLogEntry {
        key: b"key 1".to_vec(),
        value: None,
    }];
    let next = store.seal(NAMESPACE, 8, manifest.root, &log, &[]).unwrap();
    store.finalise(NAMESPACE, 8, next).unwrap();
}

/// 500 GiB, of which a few pages are not zero.
#[test]
fn a_sparse_image_of_any_length_comes_back() {
    let pages = 500 << 18;
    let contents = [0, 1, 1023, 1024, 1 << 20, pages - 2, pages - 1];
    let contents = contents.into_iter().map(|number| (number, 3)).collect();
    let images = BTreeMap::from([(b"large".to_vec(), (pages, contents))]);
    let (_store, view) = TestStore::with(&Entries::new(), &images);
    let folder = TempDir::new().unwrap();
    let manifest = export(&view, NAMESPACE, 7, folder.path(), CHUNK_BYTES).unwrap();
    assert_eq!(manifest.pages.len(), 1);
    assert_eq!(manifest.pages[0].bytes, 8 * PAGE_BYTES as u64);
    let (result, sink) = import(folder.path());
    result.unwrap();
    check_contents(&sink.sealed.unwrap().1, &Entries::new(), &images);
}

#[test]
fn an_empty_state_has_a_checkpoint() {
    let test = TestStore::new();
    let view = test.store.view(NAMESPACE, Hash::EMPTY).unwrap();
    let folder = TempDir::new().unwrap();
    let manifest = export(&view, NAMESPACE, 0, folder.path(), CHUNK_BYTES).unwrap();
    assert_eq!((manifest.tree.len(), manifest.pages.len()), (1, 0));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.manifest(), &manifest);
    checkpoint.verify().unwrap();
}

/// What a peer that speaks Oasis Core's protocol would be served.
#[test]
fn the_tree_chunks_are_a_checkpoint_of_oasis_core() {
    let (folder, manifest) = exported();
    let metadata = manifest.tree_metadata();
    let mut restore = Restore::new(metadata);
    let mut count = 0;
    for index in 0..manifest.tree.len() {
        let bytes = fs::read(folder.path().join(ExportManifest::tree_name(index))).unwrap();
        count += restore.chunk(index, &bytes).unwrap().len();
    }
    restore.finish().unwrap();
    // The leaves of images are among the entries.
    assert_eq!(count, 150 + 4);
}

#[test]
fn exports_of_one_state_are_the_same_to_the_byte() {
    let (folder, _) = exported();
    let (result, sink) = import(folder.path());
    result.unwrap();
    // Another store, in which the same pages lie elsewhere.
    let (_store, view) = sink.sealed.unwrap();
    let again = TempDir::new().unwrap();
    export(&view, NAMESPACE, 7, again.path(), CHUNK_BYTES).unwrap();
    assert_eq!(files(folder.path()), files(again.path()));
}

#[test]
fn a_complete_checkpoint_is_not_overwritten_and_an_interrupted_one_is() {
    let (entries, images) = sample();
    let (_store, view) = TestStore::with(&entries, &images);
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let interrupted = [
        "tree-000000",
        "tree-999999",
        "pages-000000",
        "manifest.next",
    ];
    for name in interrupted {
        fs::write(path.join(name), b"half of it").unwrap();
    }
    fs::write(path.join("note"), b"of someone else").unwrap();
    assert!(Checkpoint::open(path).is_err());
    let manifest = export(&view, NAMESPACE, 7, path, CHUNK_BYTES).unwrap();
    Checkpoint::open(path).unwrap().verify().unwrap();
    let before = files(path);
    assert_eq!(before["note"], b"of someone else");
    assert!(!before.contains_key("tree-999999"));
    // The same state again, even with another size of chunks: nothing is written.
    let again = export(&view, NAMESPACE, 7, path, 1 << 20).unwrap();
    assert_eq!(again, manifest);
    let other = export(&view, NAMESPACE, 8, path, CHUNK_BYTES).unwrap_err();
    assert!(
        matches!(other, ExportFault::OtherCheckpoint { round: 7, .. }),
        "{other}"
    );
    assert_eq!(files(path), before);
    // A manifest that is damaged is not replaced either.
    fs::write(path.join("manifest"), b"nonsense").unwrap();
    let damaged = export(&view, NAMESPACE, 7, path, CHUNK_BYTES).unwrap_err();
    assert!(
        damaged
            .to_string()
            .starts_with("manifest of the checkpoint is refused")
    );
    assert_eq!(fs::read(path.join("manifest")).unwrap(), b"nonsense");
}

#[test]
fn two_exports_do_not_write_into_one_folder() {
    let (_store, view) = TestStore::with(&sample().0, &Images::new());
    let disk = SimulatedDisk::new();
    let lock = disk.lock().unwrap();
    let fault = export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap_err();
    assert!(matches!(
        fault,
        ExportFault::Store(StoreFault::Locked { .. })
    ));
    drop(lock);
    export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap();
}

#[test]
fn the_store_goes_on_sealing_while_a_view_is_exported() {
    let (entries, images) = sample();
    let (test, view) = TestStore::with(&entries, &images);
    let (root, over) = (view.root(), AtomicBool::new(false));
    let folder = TempDir::new().unwrap();
    let rounds = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut round, mut parent) = (7u64, root);
            while !over.load(Ordering::Relaxed) || round < 20 {
                round += 1;
                let log = vec![WriteLogEntry {
                    key: b"key 1".to_vec(),
                    value: (round % 2 == 0).then(|| round.to_be_bytes().to_vec()),
                }];
                let first = 1 + (round % 250) as u8;
                let contents = BTreeMap::from([(0, first), (round % 300, first)]);
                let update = update_of((&b"dense".to_vec(), &(300, contents)));
                parent = test
                    .store
                    .seal(NAMESPACE, round, parent, &log, &[update])
                    .unwrap();
                test.store.finalise(NAMESPACE, round, parent).unwrap();
                if round % 5 == 0 {
                    test.store.checkpoint().unwrap();
                }
            }
            round
        });
        for part in 0..8 {
            let path = folder.path().join(part.to_string());
            let manifest = export(&view, NAMESPACE, 7, &path, 500 + part).unwrap();
            assert_eq!(manifest.root, root);
        }
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(rounds >= 20);
    let (result, sink) = import(&folder.path().join("3"));
    result.unwrap();
    check_contents(&sink.sealed.unwrap().1, &entries, &images);
}

/// Every file, damaged in every way: the file is named, and nothing of it is used.
#[test]
fn whatever_happens_to_a_file_is_found_before_it_is_used() {
    let (folder, manifest) = exported();
    let good = files(folder.path());
    let (_, whole) = import(folder.path());
    let trees: Vec<String> = (0..manifest.tree.len())
        .map(ExportManifest::tree_name)
        .collect();
    let pages: Vec<String> = (0..manifest.pages.len())
        .map(ExportManifest::pages_name)
        .collect();
    let (other_folder, _) = {
        let (mut entries, mut images) = sample();
        entries.insert(b"key 77".to_vec(), vec![9; 40]);
        images.get_mut(b"dense".as_slice()).unwrap().1.insert(1, 99);
        let (_store, view) = TestStore::with(&entries, &images);
        let folder = TempDir::new().unwrap();
        let manifest = export(&view, NAMESPACE, 7, folder.path(), CHUNK_BYTES).unwrap();
        (folder, manifest)
    };
    let other = files(other_folder.path());
    let mut changed_files = 0;
    for name in trees.iter().chain(&pages) {
        let bytes = &good[name];
        let kin = if trees.contains(name) { &trees } else { &pages };
        let sibling = &good[kin.iter().find(|kin| *kin != name).unwrap()];
        let flip = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            Some(bytes)
        };
        let mut cases = vec![
            None,
            Some(Vec::new()),
            Some(bytes[..bytes.len() - 1].to_vec()),
            Some([bytes, &b"x"[..]].concat()),
            Some(sibling.clone()),
            flip(0),
            flip(bytes.len() / 2),
            flip(bytes.len() - 1),
        ];
        if other[name] != *bytes {
            changed_files += 1;
            cases.push(Some(other[name].clone()));
        }
        for case in cases {
            let path = folder.path().join(name);
            match &case {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let (result, sink) = import(folder.path());
            let fault = result.unwrap_err().to_string();
            assert!(fault.contains(name.as_str()), "{fault}");
            assert!(sink.sealed.is_none());
            match trees.iter().position(|tree| tree == name) {
                Some(index) => assert_eq!((sink.batches, sink.updates), (index, 0)),
                None => {
                    assert_eq!(sink.batches, whole.batches);
                    assert!(sink.updates < whole.updates);
                }
            }
            let verified = Checkpoint::open(folder.path()).unwrap().verify();
            assert_eq!(verified.unwrap_err().to_string(), fault);
            fs::write(&path, bytes).unwrap();
        }
    }
    assert!(changed_files >= 2, "{changed_files}");
    import(folder.path()).0.unwrap();
}

#[test]
fn a_manifest_with_any_bit_flipped_is_refused() {
    let (folder, manifest) = exported();
    let path = folder.path().join("manifest");
    let good = fs::read(&path).unwrap();
    assert_eq!(ExportManifest::decode(&good), Ok(manifest.clone()));
    assert_eq!(manifest.encode(), good);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fault = ExportManifest::decode(&bytes).unwrap_err();
        assert!(matches!(fault, FileFault::Digest { .. }), "{fault}");
    }
    for len in 0..good.len() {
        assert!(ExportManifest::decode(&good[..len]).is_err());
    }
    fs::write(&path, &good[1..]).unwrap();
    let fault = Checkpoint::open(folder.path()).map(|_| ()).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("manifest of the checkpoint is refused"),
        "{fault}"
    );
    fs::remove_file(&path).unwrap();
    let fault = Checkpoint::open(folder.path()).map(|_| ()).unwrap_err();
    assert!(
        fault.to_string().starts_with("cannot open manifest"),
        "{fault}"
    );
    fs::create_dir(&path).unwrap();
    let fault = Checkpoint::open(folder.path()).map(|_| ()).unwrap_err();
    assert!(
        fault.to_string().ends_with("it is not a regular file"),
        "{fault}"
    );
}

/// A manifest whose digests are right, of files that are not a checkpoint together.
#[test]
fn a_manifest_that_lists_the_wrong_files_is_refused() {
    let (folder, manifest) = exported();
    let good = files(folder.path());
    let fault = |change: &dyn Fn(&mut ExportManifest, &mut Files)| {
        let (mut manifest, mut files) = (manifest.clone(), good.clone());
        change(&mut manifest, &mut files);
        let folder = TempDir::new().unwrap();
        files.insert("manifest".to_owned(), manifest.encode());
        write_files(folder.path(), &files);
        let (result, sink) = import(folder.path());
        assert!(sink.sealed.is_none());
        result.unwrap_err()
    };
    let swap = |files: &mut Files, a: &str, b: &str| {
        let (first, second) = (files[a].clone(), files[b].clone());
        files.insert(a.to_owned(), second);
        files.insert(b.to_owned(), first);
    };

    let missing = fault(&|manifest, _| {
        manifest.tree.pop();
    });
    let tree = ExportFault::Tree(CheckpointError::NotCovered {
        count: 1,
        hash: Hash::EMPTY,
    });
    assert_eq!(
        std::mem::discriminant(&missing),
        std::mem::discriminant(&tree),
        "{missing}"
    );
    let unlisted = fault(&|manifest, _| {
        manifest.pages.pop();
    });
    assert!(
        matches!(unlisted, ExportFault::ImageRoot { .. }),
        "{unlisted}"
    );
    let swapped = fault(&|manifest, files| {
        manifest.pages.swap(0, 1);
        swap(files, "pages-000000", "pages-000001");
    });
    assert!(
        matches!(swapped, ExportFault::ImageRoot { .. }),
        "{swapped}"
    );
    let backwards = fault(&|manifest, files| {
        manifest.pages.swap(1, 2);
        swap(files, "pages-000001", "pages-000002");
    });
    let text = backwards.to_string();
    assert!(
        text.starts_with("pages-000001") || text.contains("have the root"),
        "{text}"
    );
    let twice = fault(&|manifest, files| {
        manifest.pages.push(manifest.pages[0]);
        files.insert("pages-000003".to_owned(), files["pages-000000"].clone());
    });
    assert!(
        twice
            .to_string()
            .contains("pages-000000 again for pages-000003"),
        "{twice}"
    );
    let root = fault(&|manifest, _| manifest.root = Hash::of(b"another"));
    assert!(root.to_string().starts_with("tree-000000"), "{root}");
    let none = fault(&|manifest, _| manifest.tree.clear());
    assert!(none.to_string().contains("no chunks"), "{none}");
    let long = fault(&|manifest, _| manifest.pages[0].bytes = u64::MAX);
    assert!(long.to_string().contains("length of a file"), "{long}");
}

/// A page chunk with this header and pages, its digest in the manifest.
fn forged(header: &[u8], pages: &[[u8; PAGE_BYTES]]) -> ExportFault {
    let (folder, mut manifest) = exported();
    let mut bytes = b"trilith pages 1\n".to_vec();
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(header);
    bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
    bytes.extend_from_slice(pages.as_flattened());
    manifest.pages[0].bytes = bytes.len() as u64;
    manifest.pages[0].digest = *blake3::hash(&bytes).as_bytes();
    fs::write(folder.path().join("pages-000000"), bytes).unwrap();
    fs::write(folder.path().join("manifest"), manifest.encode()).unwrap();
    let (result, sink) = import(folder.path());
    assert!(sink.sealed.is_none());
    result.unwrap_err()
}

#[test]
fn pages_that_do_not_belong_to_the_state_are_refused() {
    let one = [page(0, 1)];
    // CBOR: [[image, [[page, count]]]].
    let unknown = forged(b"\x81\x82\x45other\x81\x82\x00\x01", &one);
    assert!(
        unknown.to_string().contains("image 6f74686572"),
        "{unknown}"
    );
    let before_all = forged(b"\x81\x82\x41a\x81\x82\x00\x01", &one);
    assert!(before_all.to_string().contains("image 61"), "{before_all}");
    let after_all = forged(b"\x81\x82\x42zz\x81\x82\x00\x01", &one);
    assert!(after_all.to_string().contains("image 7a7a"), "{after_all}");
    let past_end = forged(b"\x81\x82\x45dense\x81\x82\x19\x01\x2c\x01", &one);
    assert!(
        past_end.to_string().contains("page 300 lies past the end"),
        "{past_end}"
    );
    let other_bytes = forged(b"\x81\x82\x45dense\x81\x82\x00\x01", &[page(0, 9)]);
    assert!(
        matches!(other_bytes, ExportFault::ImageRoot { .. }),
        "{other_bytes}"
    );
    let zero = forged(b"\x81\x82\x45dense\x81\x82\x00\x01", &[[0; PAGE_BYTES]]);
    assert!(
        zero.to_string()
            .contains("page 0 of image 64656e7365 is zero"),
        "{zero}"
    );
    let few = forged(b"\x81\x82\x45dense\x81\x82\x00\x02", &one);
    assert!(few.to_string().contains("has 8192 bytes"), "{few}");
    let none = forged(b"\x80", &[]);
    assert!(
        none.to_string().contains("0 pages, where 1 to 256"),
        "{none}"
    );
    let many = forged(b"\x81\x82\x45dense\x81\x82\x00\x19\x01\x01", &one);
    assert!(
        many.to_string().contains("257 pages, where 1 to 256"),
        "{many}"
    );
    for (what, header) in [
        (
            "joined",
            &b"\x81\x82\x45dense\x82\x82\x00\x01\x82\x01\x01"[..],
        ),
        (
            "backwards",
            b"\x81\x82\x45dense\x82\x82\x03\x01\x82\x00\x01",
        ),
        ("empty", b"\x81\x82\x45dense\x81\x82\x00\x00"),
        (
            "wrapped",
            b"\x81\x82\x45dense\x81\x82\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
    ] {
        let fault = forged(header, &[page(0, 1), page(1, 1)]).to_string();
        assert!(fault.contains("range"), "{what}: {fault}");
    }
    let images = b"\x82\x82\x45dense\x81\x82\x00\x01\x82\x45dense\x81\x82\x05\x01";
    let repeated = forged(images, &[page(0, 1), page(5, 1)]).to_string();
    assert!(
        repeated.contains("not above the one before it"),
        "{repeated}"
    );
}

#[test]
fn bytes_that_are_no_page_chunk_are_refused_with_the_reason() {
    let refused = |bytes: &[u8]| PageChunk::decode(bytes).unwrap_err().to_string();
    let chunk = |len: u32, rest: &[u8]| {
        let mut bytes = [b"trilith pages 1\n", &len.to_le_bytes()[..], rest].concat();
        bytes.resize(2 * PAGE_BYTES, 0);
        bytes
    };
    let header = b"\x81\x82\x41a\x81\x82\x00\x01";
    let long = refused(&vec![0; PAGE_CHUNK_BYTES_MAX + 1]);
    assert!(
        long.ends_with(&format!("over the limit of {PAGE_CHUNK_BYTES_MAX}")),
        "{long}"
    );
    assert_eq!(
        refused(b"trilith pages 2\n\0\0\0\0"),
        PageChunkFault::Magic.to_string()
    );
    let len = refused(&chunk(u32::MAX, header));
    assert!(
        len.contains("4294967295 bytes, over the limit of 8172"),
        "{len}"
    );
    let mut padded = chunk(header.len() as u32, header);
    padded[PAGE_BYTES] = 1;
    assert!(PageChunk::decode(&padded).is_ok());
    padded[PAGE_BYTES - 1] = 1;
    assert!(refused(&padded).contains("its byte 4095, between header and pages"));
    for header in [
        &b"\x81\x83\x41a\x80\x80"[..],
        b"\x81\x82\x40\x81\x82\x00\x01",
        b"\x81\x82\x41a\x81\x81\x00",
        b"\x99\x01\x01",
        b"\x81\x82\x41a\x81\x82\x00\x01\x00",
    ] {
        let fault = refused(&chunk(header.len() as u32, header));
        assert!(fault.starts_with("its header cannot be decoded"), "{fault}");
    }
}

#[test]
fn bytes_that_are_no_manifest_are_refused_with_the_reason() {
    let refused = |bytes: &[u8]| ExportManifest::decode(bytes).unwrap_err().to_string();
    let signed = |body: &[u8]| [body, blake3::hash(body).as_bytes()].concat();
    assert_eq!(refused(b"short"), "it has 5 bytes, fewer than its digest");
    let long = refused(&vec![0; EXPORT_MANIFEST_BYTES_MAX + 1]);
    assert!(
        long.ends_with(&format!("over the limit of {EXPORT_MANIFEST_BYTES_MAX}")),
        "{long}"
    );
    assert!(refused(&signed(b"\xa0")).contains("field `kind` is missing"));
    let (_folder, manifest) = exported();
    let bytes = manifest.encode();
    let body = &bytes[..bytes.len() - 32];
    let position = |name: &[u8]| {
        let found = body.windows(name.len()).position(|part| part == name);
        found.unwrap() + name.len()
    };
    let mut format = body.to_vec();
    format[position(b"format")] = 2;
    assert_eq!(
        refused(&signed(&format)),
        "it has format 2, where 1 is known"
    );
    let mut kind = body.to_vec();
    kind[position(b"checkpoint of ")] = b'A';
    assert!(refused(&signed(&kind)).contains("field `kind`"));
}

/// A state with a leaf that no store makes.
#[test]
fn reserved_keys_that_are_not_images_are_refused() {
    let image = |value: Vec<u8>| (image_key(&ImageId::new(*b"i").unwrap()), value);
    let past_any_image = image_leaf(IMAGE_PAGES_MAX + 1, &[0; 32]);
    for (key, value) in [
        (b"\0x".to_vec(), b"value".to_vec()),
        (b"\0page".to_vec(), image_leaf(1, &[0; 32])),
        image(b"value".to_vec()),
        image(past_any_image),
    ] {
        let mut tree = trilith_mkvs::Tree::empty();
        tree.insert(&key, &value).unwrap();
        let chunk = tree
            .chunks(0, Chunking::Sequential)
            .next()
            .unwrap()
            .unwrap();
        let manifest = ExportManifest {
            namespace: NAMESPACE,
            round: 1,
            root: tree.root(),
            tree: vec![FileEntry {
                bytes: chunk.bytes.len() as u64,
                digest: *chunk.digest.as_bytes(),
            }],
            pages: Vec::new(),
        };
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("manifest"), manifest.encode()).unwrap();
        fs::write(folder.path().join("tree-000000"), chunk.bytes).unwrap();
        let (result, sink) = import(folder.path());
        let fault = result.unwrap_err().to_string();
        assert!(
            fault.starts_with("tree-000000 of the checkpoint is refused"),
            "{fault}"
        );
        assert!(fault.contains("reserved key 00"), "{fault}");
        assert_eq!((sink.batches, sink.updates), (0, 0));
    }
}

/// The pages on the disk of the store that is exported are not those that were sealed.
#[test]
fn a_damaged_state_is_not_exported() {
    let disk = SimulatedDisk::new();
    let config = trilith_store::StoreConfig::default();
    let store = Store::open(Arc::new(disk.clone()), config).unwrap().0;
    let (entries, images) = sample();
    let updates: Vec<_> = images.iter().map(update_of).collect();
    let log = log_of(&entries);
    let root = store
        .seal(NAMESPACE, 7, Hash::EMPTY, &log, &updates)
        .unwrap();
    let view = store.view(NAMESPACE, root).unwrap();
    let image = view
        .image(&ImageId::new(*b"dense").unwrap())
        .unwrap()
        .unwrap();
    let run = image.run_of(10).unwrap();
    let offset = (run.file_page + 10 - run.page) * PAGE_BYTES as u64 + 100;
    run.file.write_all_at(b"damage", offset).unwrap();
    let folder = TempDir::new().unwrap();
    let fault = export(&view, NAMESPACE, 7, folder.path(), CHUNK_BYTES).unwrap_err();
    assert!(matches!(fault, ExportFault::ImageRoot { .. }), "{fault}");
    assert!(fault.to_string().contains("64656e7365"), "{fault}");
    assert!(!files(folder.path()).contains_key("manifest"));
}

/// The files of a checkpoint on a simulated disk.
struct OnDisk(SimulatedDisk);

impl CheckpointFiles for OnDisk {
    fn open(&self, name: &str) -> io::Result<PageFile> {
        Ok(self.0.open(name)?.page_file())
    }
}

/// The power goes at every single operation: there is no checkpoint then, or a whole one, and the
/// next export makes one.
#[test]
fn a_crash_leaves_no_checkpoint_or_a_whole_one() {
    let (entries, images) = sample();
    let (_store, view) = TestStore::with(&entries, &images);
    let disk = SimulatedDisk::new();
    export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap();
    let operations = disk.operations();
    let (mut without, mut with) = (0, 0);
    for at in 1..=operations {
        for seed in 0..3 {
            let disk = SimulatedDisk::new();
            let mut numbers = Numbers(at * 8 + seed);
            disk.crash_at(at);
            export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap_err();
            disk.power_cycle(numbers.next());
            match disk.files().iter().any(|(name, _)| name == "manifest") {
                true => {
                    Checkpoint::open_files(OnDisk(disk.clone()))
                        .unwrap()
                        .verify()
                        .unwrap();
                    with += 1;
                }
                false => without += 1,
            }
            export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap();
            disk.power_cycle(numbers.next());
            let checkpoint = Checkpoint::open_files(OnDisk(disk)).unwrap();
            checkpoint.verify().unwrap();
        }
    }
    assert!(without > 50 && with > 0, "{without} without, {with} with");
}

#[test]
fn a_full_disk_leaves_no_checkpoint() {
    let (entries, images) = sample();
    let (_store, view) = TestStore::with(&entries, &images);
    let disk = SimulatedDisk::new();
    export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap();
    let operations = disk.operations();
    for at in 1..operations {
        let disk = SimulatedDisk::new();
        disk.full_during(at, at + 1);
        disk.fail_late(at % 2 == 0);
        let result = export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES);
        if let Err(fault) = result {
            assert!(matches!(fault, ExportFault::Store(_)), "{fault}");
        }
        export_to(&view, NAMESPACE, 7, &disk, CHUNK_BYTES).unwrap();
        Checkpoint::open_files(OnDisk(disk))
            .unwrap()
            .verify()
            .unwrap();
    }
}

/// Keys of the state, which never start with a zero byte.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
    let long = (1u8..255, 1000usize..8000).prop_map(|(byte, len)| vec![byte; len]);
    let short = (1u8..255, vec(byte, 0..5)).prop_map(|(first, rest)| [vec![first], rest].concat());
    prop_oneof![9 => short, 1 => long]
}

fn images() -> impl Strategy<Value = Images> {
    let contents = btree_map(0u64..700, 1u8.., 0..40);
    let image = (700u64..100_000, contents);
    btree_map(vec(any::<u8>(), 1..4), image, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_state_comes_back(
        entries in btree_map(keys(), vec(any::<u8>(), 0..200), 0..60),
        images in images(),
        chunk_bytes in prop_oneof![Just(0), 1u64..3000, Just(1 << 20)],
    ) {
        let (_store, view) = TestStore::with(&entries, &images);
        let folder = TempDir::new().unwrap();
        export(&view, NAMESPACE, 7, folder.path(), chunk_bytes).unwrap();
        let (result, sink) = import(folder.path());
        result.unwrap();
        let (_other, found) = sink.sealed.unwrap();
        prop_assert_eq!(found.root(), view.root());
        check_contents(&found, &entries, &images);
        let other = TestStore::new();
        Checkpoint::open(folder.path()).unwrap().import_into(&other.store).unwrap();
        prop_assert_eq!(other.store.current(NAMESPACE), Some((7, view.root())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(ExportManifest::decode(&bytes).is_err());
        prop_assert!(PageChunk::decode(&bytes).is_err());
        // Past the digest and the prologue, so that the content is arbitrary.
        let signed = [&bytes, &blake3::hash(&bytes).as_bytes()[..]].concat();
        prop_assert!(ExportManifest::decode(&signed).is_err());
        let mut chunk = b"trilith pages 1\n".to_vec();
        chunk.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        chunk.extend_from_slice(&bytes);
        chunk.resize(3 * PAGE_BYTES, 0);
        prop_assert!(PageChunk::decode(&chunk).is_err());
    }

    #[test]
    fn changed_manifests_decode_to_what_they_say(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let file = FileEntry { bytes: 1000, digest: [3; 32] };
        let manifest = ExportManifest {
            namespace: NAMESPACE,
            round: 3,
            root: Hash::of(b"root"),
            tree: vec![file],
            pages: vec![file],
        };
        let mut bytes = manifest.encode();
        bytes.truncate(bytes.len() - 32);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        if let Ok(found) = ExportManifest::decode(&bytes) {
            prop_assert_eq!(found.encode(), bytes);
        }
    }

    #[test]
    fn changed_page_chunks_are_read_in_order_or_refused(
        changes in vec((0usize..120, any::<u8>()), 1..4),
    ) {
        let header = b"\x82\x82\x41a\x82\x82\x00\x01\x82\x03\x01\x82\x41b\x81\x82\x09\x01";
        let mut bytes = b"trilith pages 1\n".to_vec();
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(header);
        bytes.resize(PAGE_BYTES, 0);
        for number in 0..3 {
            bytes.extend_from_slice(&page(number, 1));
        }
        prop_assert!(PageChunk::decode(&bytes).is_ok());
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        match PageChunk::decode(&bytes) {
            Ok(chunk) => {
                let sections = &chunk.sections;
                prop_assert!(sections.is_sorted_by(|a, b| a.image < b.image));
                prop_assert!(sections.iter().all(|s| s.pages().is_sorted_by(|a, b| a < b)));
                prop_assert_eq!(chunk.pages.len(), 3);
            }
            Err(PageChunkFault::TooLong { .. }) => prop_assert!(false, "it is not long"),
            Err(fault) => prop_assert!(!fault.to_string().is_empty()),
        }
    }
}
