//! A store holds what plain maps hold, whatever happens in between.
//!
//! A long run, of two million changed, read and proven keys:
//! `TRILITH_LONG_RUN=2000000 cargo test --release -p trilith-store --test model -- --nocapture`

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "plain/mod.rs"]
mod plain;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use plain::{Plain, Sizes, World};
use proptest::prelude::*;
use simulated_disk::Numbers;
use trilith_store::{RealDisk, Store, StoreConfig, View};

/// Everything so small that all of it crosses the disk all the time.
fn config(numbers: &mut Numbers) -> StoreConfig {
    let pick = |numbers: &mut Numbers, of: &[u64]| of[numbers.below(of.len() as u64) as usize];
    StoreConfig {
        segment_bytes: pick(numbers, &[20 << 10, 200 << 10]),
        checkpoint_log_bytes: pick(numbers, &[30 << 10, 300 << 10]),
        checkpoint_thread: numbers.below(2) == 0,
        fragment_runs_max: 3,
        candidates_max: 16,
        fragment_bytes: pick(numbers, &[150, 700, 4096]) as usize,
        cache_bytes: pick(numbers, &[0, 16 << 10, 1 << 20]),
        table_bytes: pick(numbers, &[0, 1 << 10]),
        history_versions: pick(numbers, &[0, 1, 5, 12]),
        history_bytes: pick(numbers, &[0, 300 << 10, 1 << 30]),
        threads: 1 + numbers.below(3) as usize,
    }
}

struct Run {
    world: World,
    numbers: Numbers,
    folder: tempfile::TempDir,
    config: StoreConfig,
    store: Option<Store>,
    /// Views that somebody holds, also of versions and stores that are gone.
    held: Vec<(Arc<View>, Arc<Plain>)>,
    reads: u64,
}

impl Run {
    fn new(seed: u64, sizes: Sizes) -> Self {
        let mut run = Self {
            world: World::new(seed, sizes),
            numbers: Numbers(!seed),
            folder: tempfile::tempdir().unwrap(),
            config: StoreConfig::default(),
            store: None,
            held: Vec::new(),
            reads: 0,
        };
        run.reopen();
        run
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        self.config = config(&mut self.numbers);
        let disk = RealDisk::new(self.folder.path()).unwrap();
        let opened = Store::open(Arc::new(disk), self.config.clone());
        self.store = Some(opened.unwrap_or_else(|fault| panic!("{fault}")).0);
        for found in &self.world.namespaces {
            found.check_told(self.store());
        }
    }

    fn step(&mut self) {
        let keys = self.world.sizes.keys;
        match self.numbers.below(100) {
            0..3 => self.store().checkpoint().unwrap(),
            3..5 => self.reopen(),
            5 => self.check_past(),
            6 => {
                let index = self.numbers.below(2) as usize;
                let (_, version) = self.world.namespaces[index].any_version(&mut self.numbers);
                let id = self.world.namespaces[index].id;
                let view = self.store().view(id, version.root()).unwrap();
                version.check_all(&view);
                self.held.push((view, version));
                if self.held.len() > 6 {
                    let gone = self.numbers.below(6) as usize;
                    self.held.swap_remove(gone);
                }
            }
            7 if !self.held.is_empty() => {
                let chosen = self.numbers.below(self.held.len() as u64) as usize;
                let (view, version) = &self.held[chosen];
                version.check_some(view, keys, &mut self.numbers, 30);
                self.reads += 30;
            }
            8..30 => {
                let index = self.numbers.below(2) as usize;
                let (_, version) = self.world.namespaces[index].any_version(&mut self.numbers);
                let id = self.world.namespaces[index].id;
                let view = self.store().view(id, version.root()).unwrap();
                version.check_some(&view, keys, &mut self.numbers, 20);
                self.reads += 20;
            }
            30 => {
                self.store().check().unwrap();
            }
            _ => {
                let step = self.world.step();
                let store = self.store.as_ref().unwrap();
                step.apply(store, &self.world.source).unwrap();
                assert_eq!(store.checkpoint_fault(), None);
                self.world.forget(64);
            }
        }
    }

    /// Checks one version that each namespace tells of, and how many there are.
    fn check_past(&mut self) {
        // A checkpoint in the background would give up versions between the calls.
        if self.config.checkpoint_thread {
            self.store().checkpoint().unwrap();
        }
        for found in &self.world.namespaces {
            found.check_told(self.store());
            let versions = self.store().versions(found.id);
            assert!(versions.len() as u64 <= self.config.history_versions + 1);
            let all = found.finalised.iter();
            let all: Vec<_> = all
                .map(|(round, version)| (*round, version.root()))
                .collect();
            assert!(all.ends_with(&versions));
            if found.finalised.is_empty() {
                continue;
            }
            assert!(!versions.is_empty());
            let chosen = self.numbers.below(versions.len() as u64) as usize;
            found.check_past(self.store(), versions[chosen].0);
        }
    }

    fn operations(&self) -> u64 {
        self.world.changed + self.reads
    }
}

const SMALL: Sizes = Sizes {
    keys: 900,
    log: 200,
    value: 400,
    candidates: 5,
};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_holds_what_plain_maps_hold(seed: u64) {
        let mut run = Run::new(seed, SMALL);
        for _ in 0..400 {
            run.step();
        }
        run.check_past();
        run.reopen();
        run.check_past();
        run.store().check().unwrap();
        prop_assert!(run.operations() > 1000);
    }
}

#[test]
fn a_long_run() {
    let wanted = std::env::var("TRILITH_LONG_RUN").ok();
    let wanted: u64 = wanted.map_or(6000, |count| count.parse().unwrap());
    let (mut done, mut seed) = (0, 1);
    while done < wanted {
        let large = Sizes {
            keys: 30_000,
            log: 3000,
            value: 5000,
            candidates: 8,
        };
        let sizes = if seed % 2 == 0 { large } else { SMALL };
        let mut run = Run::new(seed, sizes);
        while run.operations() < 100_000 && done + run.operations() < wanted {
            run.step();
        }
        run.check_past();
        run.store().check().unwrap();
        done += run.operations();
        println!("seed {seed}: {done} keys changed, read or proven");
        seed += 1;
    }
    assert!(done >= wanted);
}
