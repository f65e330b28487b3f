//! Stores that are fed the same agree to the byte, however they are set up.

#[path = "simulated_disk/history.rs"]
mod history;
#[path = "plain/mod.rs"]
mod plain;
#[path = "simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use plain::{Sizes, World, key};
use simulated_disk::Numbers;
use trilith_mkvs::ProofVersion;
use trilith_store::{RealDisk, Store, StoreConfig};

/// When a store writes checkpoints beside those that its settings make due.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Never,
    AfterEachStep,
    Sometimes,
}

struct Subject {
    folder: tempfile::TempDir,
    config: StoreConfig,
    asked: Asked,
    /// Reopened after so many steps.
    reopened: u64,
    store: Option<Store>,
}

impl Subject {
    fn new(config: StoreConfig, asked: Asked, reopened: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut subject = Self {
            folder,
            config,
            asked,
            reopened,
            store: None,
        };
        subject.reopen();
        subject
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        let disk = RealDisk::new(self.folder.path()).unwrap();
        let opened = Store::open(Arc::new(disk), self.config.clone());
        self.store = Some(opened.unwrap().0);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }
}

/// Four stores that have no setting in common.
fn subjects() -> Vec<Subject> {
    let never = StoreConfig {
        checkpoint_log_bytes: u64::MAX / 4,
        threads: 1,
        cache_bytes: 1 << 30,
        ..StoreConfig::default()
    };
    let each = StoreConfig {
        checkpoint_thread: false,
        checkpoint_log_bytes: u64::MAX / 4,
        segment_bytes: 4 << 10,
        threads: 2,
        cache_bytes: 0,
        table_bytes: 0,
        fragment_bytes: 100,
        fragment_runs_max: 1,
        history_versions: 0,
        ..StoreConfig::default()
    };
    let finalised = StoreConfig {
        checkpoint_thread: false,
        checkpoint_log_bytes: 1,
        segment_bytes: 100 << 10,
        threads: 8,
        cache_bytes: 32 << 10,
        table_bytes: 1 << 10,
        fragment_bytes: 700,
        history_versions: 3,
        ..StoreConfig::default()
    };
    let background = StoreConfig {
        checkpoint_thread: true,
        checkpoint_log_bytes: 20 << 10,
        segment_bytes: 30 << 10,
        threads: 3,
        cache_bytes: 500 << 10,
        fragment_bytes: 20_000,
        history_versions: 1000,
        history_bytes: 100 << 10,
        ..StoreConfig::default()
    };
    vec![
        Subject::new(never, Asked::Never, 97),
        Subject::new(each, Asked::AfterEachStep, 41),
        Subject::new(finalised, Asked::Never, 61),
        Subject::new(background, Asked::Sometimes, 53),
    ]
}

/// Compares contents of all versions that can be built on, and proofs to the byte.
fn compare(subjects: &[Subject], world: &World, numbers: &mut Numbers) -> usize {
    let mut proofs = 0;
    for found in &world.namespaces {
        let versions = found.candidates.iter().map(|found| &found.version);
        let current = found.current().1;
        for version in versions.chain([&current]) {
            let mut views = Vec::new();
            for subject in subjects {
                found.check_told(subject.store());
                let view = subject.store().view(found.id, version.root()).unwrap();
                version.check_all(&view);
                views.push(view);
            }
            for _ in 0..20 {
                let key = key(numbers.below(world.sizes.keys));
                let (count, siblings) = (numbers.below(20) as u16, numbers.below(2) == 0);
                let proofs_of = |view: &trilith_store::View| {
                    let tree = view.tree();
                    [
                        tree.prove(&key, ProofVersion::V0, siblings)
                            .unwrap()
                            .encode(),
                        tree.prove(&key, ProofVersion::V1, siblings)
                            .unwrap()
                            .encode(),
                        tree.prove_iterate(&key, count, ProofVersion::V0)
                            .unwrap()
                            .encode(),
                    ]
                };
                let expected = proofs_of(&views[0]);
                for view in &views[1..] {
                    assert_eq!(proofs_of(view), expected, "another proof of {key:02x?}");
                }
                proofs += expected.len();
            }
        }
    }
    proofs
}

fn agree(seed: u64, steps: u64, sizes: Sizes) {
    let mut world = World::new(seed, sizes);
    let mut numbers = Numbers(seed);
    let mut subjects = subjects();
    let mut proofs = 0;
    for number in 1..=steps {
        let step = world.step();
        for subject in &mut subjects {
            step.apply(subject.store(), &world.source).unwrap();
            let asked = match subject.asked {
                Asked::Never => false,
                Asked::AfterEachStep => true,
                Asked::Sometimes => number % 7 == 0,
            };
            if asked {
                subject.store().checkpoint().unwrap();
            }
            if number % subject.reopened == 0 {
                subject.reopen();
            }
        }
        if number % 40 == 0 {
            proofs += compare(&subjects, &world, &mut numbers);
        }
    }
    proofs += compare(&subjects, &world, &mut numbers);
    assert!(proofs > 100, "{proofs} proofs compared");
    for subject in &subjects {
        subject.store().check().unwrap();
        assert_eq!(subject.store().checkpoint_fault(), None);
    }
}

#[test]
fn stores_with_other_settings_agree_on_small_steps() {
    let sizes = Sizes {
        keys: 300,
        log: 60,
        value: 600,
        candidates: 5,
    };
    for seed in 1..=3 {
        agree(seed, 160, sizes);
    }
}

#[test]
fn stores_with_other_settings_agree_on_large_steps() {
    // Logs so long that several threads apply them.
    let sizes = Sizes {
        keys: 6000,
        log: 2500,
        value: 300,
        candidates: 3,
    };
    agree(11, 120, sizes);
}
