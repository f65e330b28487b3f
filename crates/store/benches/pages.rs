//! A million dirty pages of 4 KiB in one seal: how long it takes to find, hash and write them, and
//! how much is written.
//!
//! A plain timed run, because repeating gigabytes as a statistical benchmark does is out of the
//! question:
//!
//! ```text
//! cargo bench -p trilith-store --bench pages -- --pages 1000000 --folder /somewhere
//! ```
//!
//! The folder, by default that for temporary files, has to hold about 17 KiB a page; everything is
//! removed at the end. The store works on as many threads as the machine has processors, where a
//! line does not say otherwise. Started by `cargo test` the run has a thousand pages and
//! shows only that the benchmark works.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trilith_store::{ImageUpdate, ImageUpdateKind, RealDisk, Store, StoreConfig, page_hash};
use trilith_types::{
    Hash, ImageId, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateRead, WriteLog, WriteLogEntry,
};

const NAMESPACE: RuntimeId = RuntimeId::test(1);
/// Pages generated or written at once: 1 MiB.
const CHUNK_PAGES: u64 = 256;
/// Length of the sparse image: 500 GiB.
const SPARSE_PAGES: u64 = 131_072_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let pages = value("--pages").map_or(if measured { 1_000_000 } else { 1_000 }, |pages| {
        pages.parse().expect("a number of pages")
    });
    assert!(pages > 0, "there is nothing to measure without pages");
    let parent = value("--folder").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("a folder for the benchmark");
    let report = Report { pages };
    println!("{pages} pages of {PAGE_BYTES} bytes");
    hashing(&report);
    let source = source(folder.path(), pages);
    floor(&report, folder.path(), &source);
    dense(&report, folder.path(), &source);
    println!("dense: most memory held: {} MiB", peak_memory_kib() / 1024);
    sparse(&report, folder.path(), &source);
    println!("sparse: most memory held: {} MiB", peak_memory_kib() / 1024);
}

struct Report {
    pages: u64,
}

impl Report {
    fn line(&self, what: &str, took: Duration) {
        let a_page = took.as_secs_f64() * 1e6 / self.pages as f64;
        let seconds = took.as_secs_f64();
        println!("{what:<58} {seconds:>9.3} s {a_page:>8.3} us a page");
    }

    /// Times `work` and reports it.
    fn time<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.line(what, start.elapsed());
        result
    }
}

/// Bytes that no compression and no comparison of prefixes makes cheap.
fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in bytes.as_chunks_mut::<8>().0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
}

/// Hashing alone, of pages that lie in memory, on one and on two threads: time of a processor, so
/// that other work on the machine does not count.
fn hashing(report: &Report) {
    let hash = |seed: u64, count: u64| {
        let mut bytes = vec![0; CHUNK_PAGES as usize * PAGE_BYTES];
        fill(&mut bytes, seed);
        let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
        let start = processor_time();
        for page in pages.iter().cycle().take(count as usize) {
            black_box(page_hash(black_box(page)));
        }
        processor_time() - start
    };
    report.line("hash pages in memory, 1 thread", hash(1, report.pages));
    let half = report.pages / 2;
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| hash(2, half));
        let own = hash(3, report.pages - half);
        own + other.join().expect("a thread that hashes")
    });
    report.line("hash pages in memory, 2 threads, a core", both);
}

/// For how long this thread has run on a processor.
fn processor_time() -> Duration {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).expect("the kernel counts what threads run");
    let nanoseconds = text.split_whitespace().next();
    let nanoseconds = nanoseconds.and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}

/// A page file as an engine leaves it: every page has bytes of its own.
fn source(folder: &Path, pages: u64) -> PageFile {
    let file = new_file(&folder.join("source"));
    let mut bytes = vec![0; CHUNK_PAGES as usize * PAGE_BYTES];
    for first in (0..pages).step_by(CHUNK_PAGES as usize) {
        fill(&mut bytes, first + 1);
        let count = CHUNK_PAGES.min(pages - first) as usize;
        file.write_all_at(&bytes[..count * PAGE_BYTES], first * PAGE_BYTES as u64)
            .expect("the source");
    }
    // What the kernel still has to write must not be charged to the store.
    file.sync_data().expect("the source");
    Arc::new(file)
}

fn new_file(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    options.open(path).expect("a new file")
}

/// Has the kernel use as much memory for a file as is written next, and give it up again. Memory
/// that a virtual machine touches for the first time can cost ten times what writing does, and is
/// not what is measured here.
fn warm(folder: &Path, pages: u64) {
    let path = folder.join("warm");
    let file = new_file(&path);
    let bytes = vec![1; CHUNK_PAGES as usize * PAGE_BYTES];
    for first in (0..pages).step_by(CHUNK_PAGES as usize) {
        file.write_all_at(&bytes, first * PAGE_BYTES as u64)
            .expect("a file to warm up");
    }
    std::fs::remove_file(path).expect("a file to warm up");
}

/// What the machine needs to copy the pages into a file and make it durable, with no store.
fn floor(report: &Report, folder: &Path, source: &PageFile) {
    warm(folder, report.pages);
    let path = folder.join("floor");
    let file = new_file(&path);
    let mut bytes = vec![0; CHUNK_PAGES as usize * PAGE_BYTES];
    report.time("floor: read, and write to a plain file", || {
        for first in (0..report.pages).step_by(CHUNK_PAGES as usize) {
            let count = CHUNK_PAGES.min(report.pages - first) as usize;
            let bytes = &mut bytes[..count * PAGE_BYTES];
            let offset = first * PAGE_BYTES as u64;
            source.read_exact_at(bytes, offset).expect("the source");
            file.write_all_at(bytes, offset).expect("a plain file");
        }
    });
    report.time("floor: fdatasync of the plain file", || {
        file.sync_data().expect("a plain file");
    });
    std::fs::remove_file(path).expect("the plain file");
}

/// All pages of one image: new, unchanged, and each with eight bytes changed.
fn dense(report: &Report, parent: &Path, source: &PageFile) {
    warm(parent, report.pages);
    let folder = parent.join("dense");
    let store = Store::open_dir(&folder).expect("a new store").0;
    let runs = vec![PageRun {
        page: 0,
        count: report.pages,
        file: Arc::clone(source),
        file_page: 0,
    }];
    let update = write(report.pages, runs);
    let first = report.time("dense: seal a new image", || {
        seal(&store, 1, Hash::EMPTY, &update)
    });
    sync(report, "dense: sync", &store);
    let second = report.time(
        "dense: find that nothing differs (read, hash, compare)",
        || seal(&store, 2, first, &update),
    );
    sync(report, "dense: sync", &store);
    for page in 0..report.pages {
        let offset = page * PAGE_BYTES as u64 + 4000;
        source
            .write_all_at(&(!page).to_le_bytes(), offset)
            .expect("the source");
    }
    source.sync_data().expect("the source");
    warm(parent, report.pages);
    let before = folder_bytes(&folder);
    let third = report.time("dense: seal with 8 bytes of every page changed", || {
        seal(&store, 3, second, &update)
    });
    sync(report, "dense: sync", &store);
    let written = (folder_bytes(&folder) - before) as f64;
    let pages = report.pages as f64;
    println!(
        "dense: bytes written per changed byte: {:.1} of 8 bytes a page, {:.5} of whole pages",
        written / (8.0 * pages),
        written / (PAGE_BYTES as f64 * pages)
    );
    finalise(
        report,
        "dense: finalise 3 versions, with checkpoints",
        &store,
        [first, second, third],
    );
    drop(store);
    let store = report.time("dense: reopen", || {
        Store::open_dir(&folder).expect("the store").0
    });
    assert_eq!(store.current(NAMESPACE), Some((3, third)));
    drop(store);
    for threads in [1, 2] {
        let config = StoreConfig {
            threads,
            ..StoreConfig::default()
        };
        let disk = RealDisk::new(&folder).expect("the store's folder");
        let store = Store::open(Arc::new(disk), config).expect("the store").0;
        let view = store.view(NAMESPACE, third).expect("the version");
        view.image(&id()).expect("an image").expect("an image");
        report.time(
            &format!("dense: find that nothing differs, {threads} threads"),
            || seal(&store, 3 + threads as u64, third, &update),
        );
    }
    std::fs::remove_dir_all(folder).expect("the store's folder");
}

/// As many pages scattered over an image of 500 GiB, so that each is a run of its own.
fn sparse(report: &Report, parent: &Path, source: &PageFile) {
    warm(parent, report.pages);
    let folder = parent.join("sparse");
    let store = Store::open_dir(&folder).expect("a new store").0;
    let stride = SPARSE_PAGES / report.pages;
    assert!(stride > 1, "more pages than a sparse image has room for");
    let run = |number: u64| PageRun {
        page: number * stride,
        count: 1,
        file: Arc::clone(source),
        file_page: report.pages - 1 - number,
    };
    let update = write(SPARSE_PAGES, (0..report.pages).map(run).collect());
    let first = report.time("sparse: seal pages scattered over 500 GiB", || {
        seal(&store, 1, Hash::EMPTY, &update)
    });
    sync(report, "sparse: sync", &store);
    // The first of these pays for a new log file, which has nothing to do with the image.
    let one = |page| write(SPARSE_PAGES, vec![PageRun { page, ..run(0) }]);
    let second = seal(&store, 2, first, &one(1));
    store.sync().expect("a sync");
    let start = Instant::now();
    let third = seal(&store, 3, second, &one(2));
    let sealed = start.elapsed().as_secs_f64() * 1e3;
    store.sync().expect("a sync");
    let synced = start.elapsed().as_secs_f64() * 1e3 - sealed;
    println!("sparse: seal one more page: {sealed:.3} ms, sync: {synced:.3} ms");
    let view = store.view(NAMESPACE, third).expect("the version");
    let image = view.image(&id()).expect("an image").expect("an image");
    assert_eq!(image.pages(), SPARSE_PAGES);
    drop((view, image, store));
    std::fs::remove_dir_all(folder).expect("the store's folder");
}

fn id() -> ImageId {
    ImageId::new(*b"memory").expect("a name")
}

fn write(pages: u64, runs: Vec<PageRun>) -> [ImageUpdate; 1] {
    let change = ImageUpdateKind::Write {
        reset: false,
        pages,
        runs,
    };
    [ImageUpdate { id: id(), change }]
}

fn seal(store: &Store, round: u64, parent: Hash, update: &[ImageUpdate]) -> Hash {
    let log: WriteLog = vec![WriteLogEntry {
        key: b"round".to_vec(),
        value: Some(round.to_be_bytes().to_vec()),
    }];
    let sealed = store.seal(NAMESPACE, round, parent, &log, update);
    sealed.expect("a seal")
}

fn sync(report: &Report, what: &str, store: &Store) {
    report.time(what, || store.sync().expect("a sync"));
}

fn finalise(report: &Report, what: &str, store: &Store, roots: [Hash; 3]) {
    report.time(what, || {
        for (round, root) in (1..).zip(roots) {
            let finalised = store.finalise(NAMESPACE, round, root);
            finalised.expect("a finalisation");
        }
        store.sync().expect("a sync");
    });
    assert_eq!(store.checkpoint_fault(), None);
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the store's folder");
    let len = |entry: std::io::Result<std::fs::DirEntry>| {
        let metadata = entry.and_then(|entry| entry.metadata());
        metadata.expect("a file of the store").len()
    };
    entries.map(len).sum()
}

/// The most memory that the process held, page cache not counted.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
