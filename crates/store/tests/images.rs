//! Page images: sealed against plain bytes, sparse to 500 GiB, and as the data of large accounts.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use trilith_store::{
    IMAGE_PAGES_MAX, ImageUpdate, ImageUpdateKind, PageTree, RealDisk, Store, StoreConfig,
    StoreFault, image_key, image_leaf, page_hash,
};
use trilith_types::{
    Hash, Image, ImageId, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateRead, WriteLog,
};

const NAMESPACE: RuntimeId = RuntimeId::test(1);
const PAGE: u64 = PAGE_BYTES as u64;

fn id(name: &[u8]) -> ImageId {
    ImageId::new(name).unwrap()
}

fn open(folder: &Path, config: StoreConfig) -> Store {
    let disk = RealDisk::new(folder).unwrap();
    Store::open(Arc::new(disk), config).unwrap().0
}

fn run(file: &PageFile, page: u64, count: u64, file_page: u64) -> PageRun {
    PageRun {
        page,
        count,
        file: Arc::clone(file),
        file_page,
    }
}

fn write(name: &[u8], reset: bool, pages: u64, runs: Vec<PageRun>) -> ImageUpdate {
    ImageUpdate {
        id: id(name),
        change: ImageUpdateKind::Write { reset, pages, runs },
    }
}

fn delete(name: &[u8]) -> ImageUpdate {
    ImageUpdate {
        id: id(name),
        change: ImageUpdateKind::Delete,
    }
}

/// A store and its newest version.
struct Line {
    store: Store,
    round: u64,
    root: Hash,
}

impl Line {
    fn new(store: Store) -> Self {
        let (round, root) = store.current(NAMESPACE).unwrap_or((0, Hash::EMPTY));
        Self { store, round, root }
    }

    fn seal(&mut self, updates: &[ImageUpdate]) -> Hash {
        self.round += 1;
        let (store, round) = (&self.store, self.round);
        let log = WriteLog::new();
        self.root = store
            .seal(NAMESPACE, round, self.root, &log, updates)
            .unwrap();
        store.finalise(NAMESPACE, round, self.root).unwrap();
        assert_eq!(store.checkpoint_fault(), None);
        self.root
    }

    fn refused(&self, update: ImageUpdate) -> String {
        let (round, parent) = (self.round + 1, self.root);
        let log = WriteLog::new();
        let sealed = self.store.seal(NAMESPACE, round, parent, &log, &[update]);
        match sealed {
            Err(StoreFault::Refused(refusal)) => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn image(&self, name: &[u8]) -> Option<Image> {
        let view = self.store.view(NAMESPACE, self.root).unwrap();
        view.image(&id(name)).unwrap()
    }

    fn leaf(&self, name: &[u8]) -> Option<Vec<u8>> {
        let view = self.store.view(NAMESPACE, self.root).unwrap();
        view.get(&image_key(&id(name))).unwrap()
    }
}

/// The root of a page tree as the format defines it: all leaves, padded, hashed level by level.
fn naive_root(bytes: &[u8]) -> [u8; 32] {
    let leaf = |page: &[u8; PAGE_BYTES]| {
        *blake3::keyed_hash(b"trilith page tree leaf, format 1", page).as_bytes()
    };
    let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
    let mut level: Vec<[u8; 32]> = pages.iter().map(leaf).collect();
    level.resize(
        level.len().max(1).next_power_of_two(),
        leaf(&[0; PAGE_BYTES]),
    );
    while level.len() > 1 {
        let joined = level.as_chunks::<2>().0.iter().map(|pair| pair.concat());
        level = joined
            .map(|both| *blake3::keyed_hash(b"trilith page tree node, format 1", &both).as_bytes())
            .collect();
    }
    level[0]
}

/// A change of plain bytes.
#[derive(Clone, Debug)]
enum Change {
    /// Bytes from an offset on, as many as fit, are set to a value.
    Fill(usize, usize, u8),
    /// The length in pages.
    Resize(usize),
    /// Everything is forgotten; what is written in the same round stays.
    Reset,
    /// The image is removed.
    Delete,
}

fn change() -> impl Strategy<Value = Change> {
    let pages = 300usize;
    prop_oneof![
        6 => (0..pages * PAGE_BYTES, 1usize..40 * PAGE_BYTES, 0u8..3)
            .prop_map(|(from, len, byte)| Change::Fill(from, len, byte)),
        2 => (0..pages).prop_map(Change::Resize),
        1 => Just(Change::Reset),
        1 => Just(Change::Delete),
    ]
}

/// An image as plain bytes, and the update of a round.
#[derive(Default)]
struct Plain {
    bytes: Vec<u8>,
    /// Pages that the round wrote to.
    touched: Vec<bool>,
    reset: bool,
    deleted: bool,
}

impl Plain {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Fill(from, len, byte) => {
                let end = self.bytes.len().min(from + len);
                let from = end.min(*from);
                self.bytes[from..end].fill(*byte);
                if from < end {
                    self.touched[from / PAGE_BYTES..end.div_ceil(PAGE_BYTES)].fill(true);
                }
            }
            Change::Resize(pages) => {
                self.deleted = false;
                self.touched.resize(*pages, false);
                let kept = self.bytes.len().min(pages * PAGE_BYTES);
                self.bytes.resize(pages * PAGE_BYTES, 0);
                // A page that the round cut off and added again is written with zeros.
                self.touched[kept / PAGE_BYTES..].fill(true);
            }
            Change::Reset => {
                self.reset = true;
                self.bytes.fill(0);
                self.touched.fill(false);
            }
            Change::Delete => {
                *self = Self {
                    deleted: true,
                    ..Self::default()
                };
            }
        }
    }

    /// The update that makes the round's changes, from a file that holds the whole image.
    fn update(&mut self, name: &[u8]) -> ImageUpdate {
        if std::mem::take(&mut self.deleted) {
            return delete(name);
        }
        let source = tempfile::tempfile().unwrap();
        source.write_all_at(&self.bytes, 0).unwrap();
        let source = Arc::new(source);
        let touched = self.touched.iter().enumerate();
        let touched = touched.filter(|(_, touched)| **touched);
        let runs = touched.map(|(page, _)| run(&source, page as u64, 1, page as u64));
        let runs = runs.collect();
        self.touched.fill(false);
        let reset = std::mem::take(&mut self.reset);
        write(name, reset, self.touched.len() as u64, runs)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    /// Two images changed at random, in stores with other numbers of threads and other borders of
    /// files: the same roots, those of the plain bytes, and the bytes are read back, also after
    /// reopening.
    #[test]
    fn random_changes_agree_with_plain_bytes(
        rounds in proptest::collection::vec(
            proptest::collection::vec((0usize..2, change(), any::<u32>()), 1..8), 1..6)
    ) {
        let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
        let configs = configs();
        let mut lines: Vec<Line> = folders.iter().zip(&configs)
            .map(|(folder, config)| Line::new(open(folder.path(), config.clone())))
            .collect();
        let names = [&b"first"[..], b"second"];
        let mut plain = [Plain::default(), Plain::default()];
        plain[0].apply(&Change::Resize(150));
        for changes in rounds {
            for (which, change, _) in &changes {
                plain[*which].apply(change);
            }
            let gone = [0, 1].map(|which: usize| plain[which].deleted);
            let updates = [0, 1].map(|which: usize| plain[which].update(names[which]));
            let roots: Vec<Hash> = lines.iter_mut().map(|line| line.seal(&updates)).collect();
            prop_assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
            for (which, name) in names.iter().enumerate() {
                let bytes = &plain[which].bytes;
                let pages = (bytes.len() / PAGE_BYTES) as u64;
                let leaf = (!gone[which]).then(|| image_leaf(pages, &naive_root(bytes)));
                prop_assert_eq!(lines[0].leaf(name), leaf);
                let Some(image) = lines[2].image(name) else {
                    prop_assert!(gone[which]);
                    continue;
                };
                prop_assert!(image.read(0, bytes.len()).unwrap() == *bytes);
                for (_, _, at) in &changes {
                    // Any offset and length, also across the end.
                    let from = *at as usize % (bytes.len() + PAGE_BYTES);
                    let len = (*at >> 16) as usize % (3 * PAGE_BYTES);
                    let mut expected = vec![0; len];
                    let there = bytes.get(from..).unwrap_or_default();
                    let count = there.len().min(len);
                    expected[..count].copy_from_slice(&there[..count]);
                    prop_assert!(image.read(from as u64, len).unwrap() == expected);
                }
            }
        }
        let root = lines[0].root;
        drop(lines);
        let gone = [0, 1].map(|which: usize| plain[which].touched.is_empty());
        for (folder, config) in folders.iter().zip(&configs) {
            let line = Line::new(open(folder.path(), config.clone()));
            prop_assert_eq!(line.root, root);
            for (which, name) in names.iter().enumerate() {
                let bytes = line.image(name).map(|image| image.read(0, plain[which].bytes.len()).unwrap());
                prop_assert!(bytes.as_ref() == Some(&plain[which].bytes) || gone[which]);
            }
        }
    }
}

fn configs() -> [StoreConfig; 3] {
    let config = |threads: usize, segment: u64, checkpoint: u64| StoreConfig {
        threads,
        segment_bytes: segment,
        checkpoint_log_bytes: checkpoint,
        checkpoint_thread: threads == 4,
        fragment_runs_max: 8,
        table_bytes: 64 << 10,
        ..StoreConfig::default()
    };
    [
        config(1, 64 << 20, 256 << 20),
        config(2, 256 << 10, 512 << 10),
        config(4, 1, 1),
    ]
}

/// 500 GiB.
const SPARSE_PAGES: u64 = 131_072_000;

/// Page numbers all over a sparse image, its first and last page among them.
fn scattered() -> Vec<u64> {
    let mut pages: Vec<u64> = (0..400).map(|step| step * 327_679).collect();
    pages.extend([1, 2, 65_535_999, 65_536_000, 65_536_001, SPARSE_PAGES - 1]);
    pages.sort_unstable();
    pages.dedup();
    pages
}

fn sparse_page(number: u64) -> [u8; PAGE_BYTES] {
    let mut bytes = [0; PAGE_BYTES];
    bytes[8..16].copy_from_slice(&(number + 1).to_be_bytes());
    bytes[PAGE_BYTES - 1] = 1;
    bytes
}

/// The leaf of a sparse image that holds these pages.
fn sparse_leaf(pages: u64, numbers: &[u64]) -> Vec<u8> {
    let mut tree = PageTree::zero(pages);
    let leaf = |number: &u64| (*number, page_hash(&sparse_page(*number)));
    tree.set(&numbers.iter().map(leaf).collect::<Vec<_>>());
    image_leaf(pages, &tree.root())
}

fn check_sparse(line: &Line, pages: u64, numbers: &[u64]) {
    assert_eq!(line.leaf(b"heap"), Some(sparse_leaf(pages, numbers)));
    let image = line.image(b"heap").unwrap();
    assert_eq!(image.pages(), pages);
    assert!(image.run_count() <= numbers.len());
    let mut page = [0xff; PAGE_BYTES];
    for number in numbers {
        image.read_page(*number, &mut page).unwrap();
        assert!(page == sparse_page(*number), "page {number}");
        let beside = number + 3;
        image.read_page(beside, &mut page).unwrap();
        let expected = if numbers.contains(&beside) {
            sparse_page(beside)
        } else {
            [0; PAGE_BYTES]
        };
        assert!(page == expected, "page {beside}");
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// The most memory that this process held, in KiB.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[test]
fn an_image_of_500_gib_costs_what_is_written_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        checkpoint_log_bytes: 1 << 20,
        ..StoreConfig::default()
    };
    let mut line = Line::new(open(folder.path(), config.clone()));
    let numbers = scattered();
    let source = Arc::new(tempfile::tempfile().unwrap());
    for (at, number) in (0..).zip(&numbers) {
        source
            .write_all_at(&sparse_page(*number), at * PAGE)
            .unwrap();
    }
    let runs = |chosen: &dyn Fn(u64) -> bool| -> Vec<PageRun> {
        let all = (0..).zip(&numbers).filter(|(_, number)| chosen(**number));
        all.map(|(at, number)| run(&source, *number, 1, at))
            .collect()
    };
    line.seal(&[write(b"heap", false, SPARSE_PAGES, Vec::new())]);
    check_sparse(&line, SPARSE_PAGES, &[]);
    line.seal(&[write(
        b"heap",
        false,
        SPARSE_PAGES,
        runs(&|number| number % 2 == 0),
    )]);
    let full = line.seal(&[write(
        b"heap",
        false,
        SPARSE_PAGES,
        runs(&|number| number % 2 == 1),
    )]);
    check_sparse(&line, SPARSE_PAGES, &numbers);

    line.store.sync().unwrap();
    drop(line);
    let mut line = Line::new(open(folder.path(), config.clone()));
    assert_eq!(line.root, full);
    check_sparse(&line, SPARSE_PAGES, &numbers);

    // Halved to a border of the tree and beside one, grown again, and beyond.
    for half in [65_536_000, 65_536_001, 1 << 26, 1, 0] {
        let kept: Vec<u64> = numbers.iter().copied().filter(|at| *at < half).collect();
        line.seal(&[write(b"heap", false, half, Vec::new())]);
        check_sparse(&line, half, &kept);
        for grown in [SPARSE_PAGES, IMAGE_PAGES_MAX] {
            line.seal(&[write(b"heap", false, grown, Vec::new())]);
            check_sparse(&line, grown, &kept);
        }
        let again = line.seal(&[write(b"heap", half == 0, SPARSE_PAGES, runs(&|_| true))]);
        assert_eq!(again, full, "the way there leaves no trace in the root");
    }
    line.store.sync().unwrap();
    line.store.checkpoint().unwrap();
    drop(line);
    let line = Line::new(open(folder.path(), config));
    assert_eq!(line.root, full);
    check_sparse(&line, SPARSE_PAGES, &numbers);
    assert!(
        folder_bytes(folder.path()) < 16 << 20,
        "space is given back"
    );
    // One byte for each page would be 125 MiB, one hash 4 GiB.
    assert!(peak_memory_kib() < 1 << 20, "{} KiB", peak_memory_kib());
}

#[test]
fn updates_past_the_limits_are_refused_with_value_and_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut line = Line::new(open(folder.path(), StoreConfig::default()));
    let file: PageFile = Arc::new(File::open("/dev/zero").unwrap());
    let refused = |line: &Line, runs: &[(u64, u64, u64)]| {
        let runs = runs.iter().map(|run_| run(&file, run_.0, run_.1, run_.2));
        line.refused(write(b"heap", false, SPARSE_PAGES, runs.collect()))
    };
    let message = refused(&line, &[(0, 1, 0), (SPARSE_PAGES - 1, 2, 0)]);
    assert_eq!(
        message,
        "run number 1 of image 68656170 has 2 pages from 131071999 on, found in its file from 0 \
         on; it must have at least 1, start at 1 or later, and end within 131072000 pages of the \
         image and 2251799813685248 of the file"
    );
    let overflowing = refused(&line, &[(SPARSE_PAGES - 1, u64::MAX, 0)]);
    assert!(overflowing.contains("has 18446744073709551615 pages from 131071999 on"));
    let far = refused(&line, &[(0, 2, u64::MAX - 1)]);
    assert!(far.contains("from 18446744073709551614 on"));
    let unordered = refused(&line, &[(70, 10, 0), (79, 1, 0)]);
    assert!(unordered.contains("has 1 pages from 79 on"), "{unordered}");
    assert!(unordered.contains("start at 80 or later"), "{unordered}");
    let long = line.refused(write(b"heap", false, IMAGE_PAGES_MAX + 1, Vec::new()));
    assert_eq!(
        long,
        "length of an image in pages is 1099511627777, over the limit of 1099511627776"
    );
    assert!(line.store.candidates(NAMESPACE).is_empty());
    let zeros = vec![run(&file, SPARSE_PAGES - 1, 1, 0)];
    line.seal(&[write(b"heap", false, SPARSE_PAGES, zeros)]);
    check_sparse(&line, SPARSE_PAGES, &[]);
}

/// Numbers that only look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Accounts with data above 64 KiB: for each, what its pages hold, 0 for zeros.
struct Accounts(Vec<Option<Vec<u64>>>);

impl Accounts {
    fn name(account: usize) -> Vec<u8> {
        // Names ascend as numbers do.
        (account as u64 + 7_000_000_000).to_be_bytes().to_vec()
    }

    fn page(account: usize, page: usize, content: u64) -> [u8; PAGE_BYTES] {
        let mut bytes = [0; PAGE_BYTES];
        if content > 0 {
            let stamp = [account as u64, page as u64, content].map(u64::to_be_bytes);
            let stamp = stamp.concat();
            bytes[1000..1024].copy_from_slice(&stamp);
            bytes[4072..].copy_from_slice(&stamp);
        }
        bytes
    }

    /// Most have little more than 64 KiB, one in ten has up to 1.2 MiB.
    fn length(numbers: &mut Numbers) -> usize {
        let spread = if numbers.below(10) == 0 { 284 } else { 24 };
        17 + numbers.below(spread) as usize
    }

    /// Changes an account, and gives the update: written anew, resized, written to, or removed.
    fn update(&mut self, account: usize, numbers: &mut Numbers, source: &Source) -> ImageUpdate {
        let name = Self::name(account);
        let kind = numbers.below(10);
        if kind == 0 && self.0[account].take().is_some() {
            return delete(&name);
        }
        let reset = kind == 1 || self.0[account].is_none();
        let pages = self.0[account].get_or_insert_default();
        if reset {
            *pages = vec![0; Self::length(numbers)];
        } else if kind == 2 {
            pages.resize(Self::length(numbers), 0);
        }
        let mut runs = Vec::new();
        for (page, content) in pages.iter_mut().enumerate() {
            if reset || numbers.below(8) == 0 {
                *content = numbers.below(1000);
                let at = source.append(&Self::page(account, page, *content));
                runs.push(run(&source.file, page as u64, 1, at));
            }
        }
        write(&name, reset, pages.len() as u64, runs)
    }

    fn check(&self, line: &Line) {
        for (account, expected) in self.0.iter().enumerate() {
            let image = line.image(&Self::name(account));
            let (image, expected) = match (image, expected) {
                (Some(image), Some(expected)) => (image, expected),
                (image, expected) => {
                    assert_eq!(image.is_some(), expected.is_some(), "account {account}");
                    continue;
                }
            };
            assert_eq!(image.pages(), expected.len() as u64);
            let bytes = image.read(0, expected.len() * PAGE_BYTES).unwrap();
            let pages = bytes.as_chunks::<PAGE_BYTES>().0.iter().zip(expected);
            for (page, (bytes, content)) in pages.enumerate() {
                let same = *bytes == Self::page(account, page, *content);
                assert!(same, "page {page} of account {account}");
            }
        }
    }
}

/// Where new contents are found while a round is sealed.
struct Source {
    file: PageFile,
}

impl Source {
    fn append(&self, page: &[u8; PAGE_BYTES]) -> u64 {
        let len = self.file.metadata().unwrap().len();
        self.file.write_all_at(page, len).unwrap();
        len / PAGE
    }
}

#[test]
fn large_accounts_are_images() {
    const COUNT: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        segment_bytes: 16 << 20,
        checkpoint_log_bytes: 96 << 20,
        ..StoreConfig::default()
    };
    let mut line = Line::new(open(folder.path(), config.clone()));
    let mut numbers = Numbers(6);
    let mut accounts = Accounts(vec![None; COUNT]);
    for round in 0..8 {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let source = Source { file };
        let mut updates = Vec::new();
        for account in 0..COUNT {
            if round == 0 || numbers.below(8) == 0 {
                updates.push(accounts.update(account, &mut numbers, &source));
            }
        }
        line.seal(&updates);
        // Nothing may depend on the source any more.
        source.file.set_len(0).unwrap();
        if round == 4 {
            line.store.sync().unwrap();
            let root = line.root;
            drop(line);
            line = Line::new(open(folder.path(), config.clone()));
            assert_eq!(line.root, root);
            accounts.check(&line);
        }
    }
    accounts.check(&line);
    line.store.sync().unwrap();
    let root = line.root;
    drop(line);
    let line = Line::new(open(folder.path(), config));
    assert_eq!(line.root, root);
    accounts.check(&line);
    let live = accounts.0.iter().flatten().map(Vec::len).sum::<usize>();
    assert!(live > 17 * COUNT / 2);
    line.store.checkpoint().unwrap();
    let space = folder_bytes(folder.path());
    assert!(space < 3 * (live * PAGE_BYTES) as u64, "{space} bytes");
}
