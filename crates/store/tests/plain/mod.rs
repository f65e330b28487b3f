//! What a store should hold, as plain maps, and random steps that lead from one version to others.
//!
//! The model knows what the store's documentation promises and nothing of how it keeps that. Its
//! roots come from a tree in memory that no fragment was ever cut from.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use trilith_mkvs::Tree;
use trilith_store::{
    Changes, ImageUpdate, ImageUpdateKind, PageTree, Store, StoreFault, View, image_key,
    image_leaf, page_hash,
};
use trilith_types::{Hash, PAGE_BYTES, PageFile, PageRun, RuntimeId, StateRead, WriteLog};

use crate::history::{SOURCE_PAGES, entry, image_id, source};
use crate::simulated_disk::Numbers;

/// One version of a namespace.
#[derive(Clone)]
pub struct Plain {
    pub entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The byte that each page of an image is filled with.
    pub images: BTreeMap<u64, Vec<u8>>,
    tree: Tree,
}

impl Plain {
    pub fn empty() -> Self {
        Self {
            entries: BTreeMap::new(),
            images: BTreeMap::new(),
            tree: Tree::empty(),
        }
    }

    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The version after a write log and changed images.
    pub fn after(&self, log: &WriteLog, edits: &[Edit]) -> Self {
        let mut next = self.clone();
        for change in log {
            match &change.value {
                Some(value) => next.entries.insert(change.key.clone(), value.clone()),
                None => next.entries.remove(&change.key),
            };
        }
        next.tree.apply(log).unwrap();
        for edit in edits {
            match &edit.write {
                None => next.images.remove(&edit.image),
                Some(write) => {
                    let before = next.images.get(&edit.image).filter(|_| !write.reset);
                    let mut pages = before.cloned().unwrap_or_default();
                    pages.resize(write.pages as usize, 0);
                    for (page, count, first) in &write.runs {
                        for at in 0..*count {
                            pages[(page + at) as usize] = (first + at) as u8;
                        }
                    }
                    next.images.insert(edit.image, pages)
                }
            };
            let key = image_key(&image_id(edit.image));
            match next.images.get(&edit.image) {
                None => {
                    next.tree.remove(&key).unwrap();
                }
                Some(pages) => {
                    let leaf = image_leaf(pages.len() as u64, &page_root(pages));
                    next.tree.insert(&key, &leaf).unwrap();
                }
            }
        }
        next
    }

    /// The version after what a store says led to the next one.
    pub fn after_changes(&self, changes: &Changes) -> Self {
        let mut next = self.after(&changes.log, &[]);
        for (id, change) in &changes.images {
            let image = u64::from(id.as_bytes()[1]);
            let write = change.as_ref().map(|change| {
                let mut pages = self.images.get(&image).cloned().unwrap_or_default();
                pages.resize(change.pages as usize, 0);
                for (page, count) in &change.cleared {
                    pages[*page as usize..(page + count) as usize].fill(0);
                }
                for run in &change.runs {
                    for at in 0..run.count {
                        let mut bytes = [0u8; PAGE_BYTES];
                        std::os::unix::fs::FileExt::read_exact_at(
                            &*run.file,
                            &mut bytes,
                            (run.file_page + at) * PAGE_BYTES as u64,
                        )
                        .unwrap();
                        pages[(run.page + at) as usize] = bytes[0];
                    }
                }
                let runs = (0..)
                    .zip(&pages)
                    .map(|(page, byte)| (page, 1, u64::from(*byte)));
                Write {
                    reset: true,
                    pages: change.pages,
                    runs: runs.collect(),
                }
            });
            next = next.after(&WriteLog::new(), &[Edit { image, write }]);
        }
        next
    }

    /// Compares everything of a version.
    pub fn check_all(&self, view: &View) {
        assert_eq!(view.root(), self.root());
        let mut expected = self.entries.iter();
        view.iterate(b"\x01", &mut |_, _| ControlFlow::Continue(()))
            .unwrap();
        let mut leaves = 0;
        view.iterate(b"", &mut |key, value| {
            if key[0] == 0 {
                leaves += 1;
                return ControlFlow::Continue(());
            }
            let (expected_key, expected_value) = expected.next().expect("an entry too many");
            assert_eq!((key, value), (&expected_key[..], &expected_value[..]));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(expected.next().is_none(), "entries are missing");
        assert_eq!(leaves, self.images.len());
        assert_eq!(view.images().count(), self.images.len());
        for image in self.images.keys() {
            self.check_image(view, *image);
        }
    }

    fn check_image(&self, view: &View, number: u64) {
        let image = view.image(&image_id(number)).unwrap();
        let pages = image.map(|image| {
            let mut bytes = [0u8; PAGE_BYTES];
            let read = |page| {
                image.read_page(page, &mut bytes).unwrap();
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a page is torn");
                bytes[0]
            };
            (0..image.pages()).map(read).collect::<Vec<u8>>()
        });
        assert_eq!(pages.as_ref(), self.images.get(&number));
    }

    /// Reads so many keys, there or not, some with proofs, some as the start of an iteration.
    pub fn check_some(&self, view: &View, keys: u64, numbers: &mut Numbers, reads: u64) {
        let root = self.root();
        assert_eq!(view.root(), root);
        for _ in 0..reads {
            let key = key(numbers.below(keys));
            let expected = self.entries.get(&key);
            assert_eq!(view.get(&key).unwrap().as_ref(), expected);
            match numbers.below(4) {
                0 => {
                    let proof = view.prove(&key).unwrap().encode();
                    let proven = trilith_proof::mkvs::verify_value(&root, &key, &proof).unwrap();
                    assert_eq!(proven.as_deref(), expected.map(|value| &value[..]));
                }
                1 => {
                    let found = view.tree().iterate_from(&key).unwrap().take(5);
                    let found: Vec<_> = found.map(|entry| entry.unwrap()).collect();
                    let expected = self.entries.range(key..).take(5);
                    for (found, (key, value)) in found.iter().zip(expected.clone()) {
                        assert_eq!((&found.key[..], &found.value[..]), (&key[..], &value[..]));
                    }
                    assert_eq!(found.len(), expected.count());
                }
                _ => {}
            }
        }
        self.check_image(view, numbers.below(IMAGES));
    }
}

fn page_root(pages: &[u8]) -> [u8; 32] {
    let mut tree = PageTree::zero(pages.len() as u64);
    let leaves: Vec<_> = (0..)
        .zip(pages)
        .filter(|(_, byte)| **byte != 0)
        .map(|(page, byte)| (page, page_hash(&[*byte; PAGE_BYTES])))
        .collect();
    tree.set(&leaves);
    tree.root()
}

/// How many images a namespace has at most.
pub const IMAGES: u64 = 3;

/// A change of an image: `None` removes it.
#[derive(Clone, Debug)]
pub struct Edit {
    pub image: u64,
    pub write: Option<Write>,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub reset: bool,
    pub pages: u64,
    /// First page, number of pages, first page in the source.
    pub runs: Vec<(u64, u64, u64)>,
}

impl Edit {
    pub fn update(&self, source: &PageFile) -> ImageUpdate {
        let run = |&(page, count, file_page): &(u64, u64, u64)| PageRun {
            page,
            count,
            file: Arc::clone(source),
            file_page,
        };
        let change = match &self.write {
            None => ImageUpdateKind::Delete,
            Some(write) => ImageUpdateKind::Write {
                reset: write.reset,
                pages: write.pages,
                runs: write.runs.iter().map(run).collect(),
            },
        };
        ImageUpdate {
            id: image_id(self.image),
            change,
        }
    }
}

/// Key number so-and-so: lengths vary, and many are the beginning of others.
pub fn key(number: u64) -> Vec<u8> {
    let mut numbers = Numbers(number / 3);
    let mut key = vec![1 + numbers.below(5) as u8];
    for _ in 0..numbers.below(24) {
        let byte = numbers.next() as u8;
        key.push(if numbers.below(3) == 0 { 0 } else { byte });
    }
    key.extend((number / 3).to_be_bytes());
    key.extend([&b""[..], b"\0", b"/more"][(number % 3) as usize]);
    key
}

/// A step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    Seal {
        namespace: RuntimeId,
        round: u64,
        parent: Hash,
        log: WriteLog,
        edits: Vec<Edit>,
        root: Hash,
    },
    Finalise {
        namespace: RuntimeId,
        round: u64,
        root: Hash,
    },
}

impl Step {
    /// Does it, and compares the root.
    pub fn apply(&self, store: &Store, source: &PageFile) -> Result<(), StoreFault> {
        match self {
            Self::Seal {
                namespace,
                round,
                parent,
                log,
                edits,
                root,
            } => {
                let images: Vec<_> = edits.iter().map(|edit| edit.update(source)).collect();
                let found = store.seal(*namespace, *round, *parent, log, &images)?;
                assert_eq!(found, *root, "another root");
                Ok(())
            }
            Self::Finalise {
                namespace,
                round,
                root,
            } => store.finalise(*namespace, *round, *root),
        }
    }
}

#[derive(Clone)]
pub struct PlainCandidate {
    pub round: u64,
    pub parent: Hash,
    pub version: Arc<Plain>,
}

/// A namespace.
pub struct PlainNamespace {
    pub id: RuntimeId,
    pub candidates: Vec<PlainCandidate>,
    /// Finalised versions, by round.
    pub finalised: BTreeMap<u64, Arc<Plain>>,
}

impl PlainNamespace {
    pub fn new(id: RuntimeId) -> Self {
        Self {
            id,
            candidates: Vec::new(),
            finalised: BTreeMap::new(),
        }
    }

    pub fn current(&self) -> (u64, Arc<Plain>) {
        let last = self.finalised.last_key_value();
        last.map_or_else(
            || (0, Arc::new(Plain::empty())),
            |(round, version)| (*round, Arc::clone(version)),
        )
    }

    /// The current version or a candidate.
    pub fn any_version(&self, numbers: &mut Numbers) -> (u64, Arc<Plain>) {
        let chosen = numbers.below(self.candidates.len() as u64 + 1) as usize;
        match self.candidates.get(chosen) {
            Some(found) => (found.round, Arc::clone(&found.version)),
            None => self.current(),
        }
    }

    fn finalise(&mut self, round: u64, version: Arc<Plain>) {
        let mut above = vec![(round, version.root())];
        self.finalised.insert(round, version);
        self.candidates.retain(|candidate| {
            let is_child =
                |(round, root): &(u64, Hash)| *root == candidate.parent && candidate.round > *round;
            let stays = above.iter().any(is_child);
            if stays {
                above.push((candidate.round, candidate.version.root()));
            }
            stays
        });
    }

    /// Compares what a store tells of the namespace, without reading contents.
    pub fn check_told(&self, store: &Store) {
        let (round, current) = self.current();
        let expected = (round > 0).then(|| (round, current.root()));
        assert_eq!(store.current(self.id), expected);
        let candidates = self.candidates.iter();
        let candidates: Vec<_> = candidates.map(|c| (c.round, c.version.root())).collect();
        assert_eq!(store.candidates(self.id), candidates);
    }

    /// Checks a version of the past, and what led to it.
    pub fn check_past(&self, store: &Store, round: u64) {
        let version = &self.finalised[&round];
        let view = store.view_at(self.id, round).unwrap();
        let view = view.unwrap_or_else(|| panic!("round {round} is told of and not there"));
        version.check_all(&view);
        let before = self.finalised.range(..round).next_back();
        let before = before.map(|(_, version)| Arc::clone(version));
        match store.changes(self.id, round).unwrap() {
            Some(changes) => {
                let before = before.unwrap_or_else(|| Arc::new(Plain::empty()));
                assert_eq!(changes.parent, before.root());
                assert_eq!(before.after_changes(&changes).root(), version.root());
                assert_eq!(changes.root, version.root());
            }
            // Of the oldest version that is kept, the log that led to it may be gone.
            None => assert_eq!(store.versions(self.id)[0].0, round),
        }
    }
}

/// How large the steps are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How many different keys there are.
    pub keys: u64,
    /// Most entries of a write log.
    pub log: u64,
    /// Most bytes of a value.
    pub value: u64,
    /// Most candidates of a namespace.
    pub candidates: usize,
}

/// Namespaces, and the steps that change them.
pub struct World {
    pub namespaces: Vec<PlainNamespace>,
    pub sizes: Sizes,
    pub numbers: Numbers,
    pub source: PageFile,
    /// Changed keys so far.
    pub changed: u64,
}

impl World {
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let ids = (0..2).map(RuntimeId::test);
        Self {
            namespaces: ids.map(PlainNamespace::new).collect(),
            sizes,
            numbers: Numbers(seed),
            source: source(),
            changed: 0,
        }
    }

    /// The next step, which the model has done.
    pub fn step(&mut self) -> Step {
        let index = self.numbers.below(2) as usize;
        let numbers = &mut self.numbers;
        let found = &mut self.namespaces[index];
        let root = found.current().1.root();
        let ready: Vec<_> = found
            .candidates
            .iter()
            .filter(|c| c.parent == root)
            .collect();
        let full = found.candidates.len() >= self.sizes.candidates;
        if !ready.is_empty() && (full || numbers.below(3) == 0) {
            let chosen = ready[numbers.below(ready.len() as u64) as usize].clone();
            let (round, root) = (chosen.round, chosen.version.root());
            found.finalise(round, chosen.version);
            return Step::Finalise {
                namespace: found.id,
                round,
                root,
            };
        }
        self.seal(index)
    }

    fn seal(&mut self, index: usize) -> Step {
        let namespace = self.namespaces[index].id;
        loop {
            let (round, base) = self.namespaces[index].any_version(&mut self.numbers);
            let (log, edits) = (self.write_log(&base), self.edits());
            let found = &mut self.namespaces[index];
            let version = Arc::new(base.after(&log, &edits));
            let (parent, root) = (base.root(), version.root());
            // Versions with one root are one to the store, which makes for rules of their own.
            let taken = found.candidates.iter().map(|c| c.version.root());
            if taken
                .chain([found.current().1.root()])
                .any(|taken| taken == root)
            {
                continue;
            }
            self.changed += log.len() as u64;
            let round = round + 1 + self.numbers.below(2);
            found.candidates.push(PlainCandidate {
                round,
                parent,
                version,
            });
            return Step::Seal {
                namespace,
                round,
                parent,
                log,
                edits,
                root,
            };
        }
    }

    fn write_log(&mut self, base: &Plain) -> WriteLog {
        let sizes = self.sizes;
        let numbers = &mut self.numbers;
        let count = match numbers.below(8) {
            0 => sizes.log,
            1 => 0,
            _ => sizes.log.min(12),
        };
        let mut keys: Vec<_> = (0..numbers.below(count + 1))
            .map(|_| key(numbers.below(sizes.keys)))
            .collect();
        let deletes = numbers.below(4);
        if numbers.below(60) == 0 {
            // Everything that starts with one byte goes.
            let first = vec![1 + numbers.below(5) as u8];
            let end = vec![first[0] + 1];
            keys.extend(base.entries.range(first..end).map(|(key, _)| key.clone()));
        }
        keys.sort();
        keys.dedup();
        let mut log = WriteLog::new();
        for key in keys {
            let len = match numbers.below(10) {
                0 => numbers.below(sizes.value + 1),
                _ => numbers.below(sizes.value / 8 + 1),
            };
            let value = vec![numbers.next() as u8; len as usize];
            log.push(entry(
                &key,
                (numbers.below(4) >= deletes).then_some(&value[..]),
            ));
        }
        log
    }

    fn edits(&mut self) -> Vec<Edit> {
        let numbers = &mut self.numbers;
        let mut edits = Vec::new();
        for image in 0..IMAGES {
            if numbers.below(4) > 0 {
                continue;
            }
            let mut write = Write {
                reset: numbers.below(5) == 0,
                pages: numbers.below(24),
                runs: Vec::new(),
            };
            let mut page = numbers.below(4);
            while page < write.pages && numbers.below(6) > 0 {
                let count = (1 + numbers.below(4)).min(write.pages - page);
                let first = numbers.below(SOURCE_PAGES - count);
                write.runs.push((page, count, first));
                page += count + numbers.below(4);
            }
            let write = (numbers.below(10) > 0).then_some(write);
            edits.push(Edit { image, write });
        }
        edits
    }

    /// Forgets finalised versions but the last so many of each namespace.
    pub fn forget(&mut self, keep: usize) {
        for found in &mut self.namespaces {
            while found.finalised.len() > keep {
                found.finalised.pop_first();
            }
        }
    }
}
