//! Sealing and making durable: 1,000 updates of keys, and 10,000 pages.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use trilith_store::{ImageUpdate, ImageUpdateKind, Store};
use trilith_types::{Hash, ImageId, PAGE_BYTES, PageRun, RuntimeId, WriteLog, WriteLogEntry};

const NAMESPACE: RuntimeId = RuntimeId::test(1);
const PAGES: u64 = 10_000;

fn updates(round: u64) -> WriteLog {
    let entry = |key: u64| WriteLogEntry {
        key: format!("key{key:08}").into_bytes(),
        value: Some([round.to_be_bytes(), key.to_be_bytes()].concat()),
    };
    (0..1_000)
        .map(|index| entry(index * 97 + round % 97))
        .collect()
}

fn seal_updates(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the benchmark");
    let store = Store::open_dir(folder.path()).expect("a new store").0;
    let (mut round, mut parent) = (0, Hash::EMPTY);
    criterion.bench_function("seal and sync 1,000 updates", |bencher| {
        bencher.iter(|| {
            round += 1;
            parent = store
                .seal(NAMESPACE, round, parent, &updates(round), &[])
                .expect("a seal");
            store
                .finalise(NAMESPACE, round, parent)
                .expect("a finalisation");
            store.sync().expect("a sync");
        });
    });
}

fn seal_pages(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the benchmark");
    let store = Store::open_dir(folder.path()).expect("a new store").0;
    let file = Arc::new(tempfile::tempfile().expect("a page file"));
    let (mut round, mut parent) = (0u64, Hash::EMPTY);
    let mut group = criterion.benchmark_group("pages");
    group.sample_size(10);
    group.bench_function("seal and sync 10,000 dirty pages", |bencher| {
        bencher.iter(|| {
            round += 1;
            for page in 0..PAGES {
                file.write_all_at(&round.to_be_bytes(), page * PAGE_BYTES as u64 + 4088)
                    .expect("a page");
            }
            let runs = vec![PageRun {
                page: 0,
                count: PAGES,
                file: Arc::clone(&file),
                file_page: 0,
            }];
            let change = ImageUpdateKind::Write {
                reset: false,
                pages: PAGES,
                runs,
            };
            let id = ImageId::new(*b"memory").expect("a name");
            let update = [ImageUpdate { id, change }];
            let log = WriteLog::new();
            parent = store
                .seal(NAMESPACE, round, parent, &log, &update)
                .expect("a seal");
            store
                .finalise(NAMESPACE, round, parent)
                .expect("a finalisation");
            store.sync().expect("a sync");
        });
    });
    group.finish();
}

criterion_group!(benches, seal_updates, seal_pages);
criterion_main!(benches);
