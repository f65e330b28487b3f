//! One tree through many random operations of all kinds, against an ordered map.
//!
//! `TRILITH_LONG_RUN` says how many operations, `TRILITH_SEED` from which seed; a failure names
//! both. For example: `TRILITH_LONG_RUN=5000000 cargo test --release -p trilith-mkvs --test
//! sync_long_run`.

use std::collections::BTreeMap;
use std::sync::Arc;

use trilith_mkvs::sync::{CacheLimits, RemoteTree, Root, RootType, TreeSyncer};
use trilith_mkvs::{
    Entry, Node, NodeSource, Place, ProofVersion, Tree, TreeError, decode_write_log, diff,
    encode_write_log,
};
use trilith_proof::mkvs::verify_value;
use trilith_types::{Hash, RuntimeId, StateFault, WriteLogEntry};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const OPERATIONS_DEFAULT: u64 = 10_000;

fn number_from(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("the variable is a number"),
        Err(_) => default,
    }
}

/// SplitMix64: the same numbers from the same seed everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// Keys of a few bytes that are prefixes of each other, and now and then long ones.
    fn key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        match self.below(8) {
            0 => Hash::of(&self.below(2_000).to_le_bytes())
                .as_bytes()
                .to_vec(),
            1 => format!("account {:05}", self.below(5_000)).into_bytes(),
            _ => (0..self.below(7))
                .map(|_| BYTES[self.below(BYTES.len())])
                .collect(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = [0, 1, 8, 100][self.below(4)];
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn version(&mut self) -> ProofVersion {
        if self.flag() {
            ProofVersion::V0
        } else {
            ProofVersion::V1
        }
    }
}

/// Nodes as a store would keep them.
#[derive(Clone, Default)]
struct Kept(BTreeMap<Hash, Vec<u8>>);

impl NodeSource for Kept {
    fn node(&self, hash: &Hash, _place: Place) -> Result<Arc<Node>, StateFault> {
        let bytes = self.0.get(hash).ok_or(StateFault("it was lost".into()))?;
        Node::decode(bytes)
            .map(Arc::new)
            .map_err(|error| StateFault(error.to_string()))
    }
}

struct Run {
    random: Random,
    tree: Tree,
    model: Model,
    kept: Kept,
    /// Versions of before, which must stay as they were.
    versions: Vec<(Tree, Hash, Model)>,
}

fn pair(entry: Result<Entry, TreeError>) -> (Vec<u8>, Vec<u8>) {
    let entry = entry.unwrap();
    (entry.key.to_vec(), entry.value.to_vec())
}

fn tree_of(model: &Model) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in model {
        tree.insert(key, value).unwrap();
    }
    tree
}

fn some<'m>(entries: impl Iterator<Item = (&'m Vec<u8>, &'m Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries
        .take(20)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn root_of(tree: &Tree) -> Root {
    Root {
        namespace: RuntimeId::test(0),
        version: 0,
        root_type: RootType::State,
        hash: tree.root(),
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            tree: Tree::empty(),
            model: Model::new(),
            kept: Kept::default(),
            versions: Vec::new(),
        }
    }

    fn step(&mut self, grows: bool) {
        let key = self.random.key();
        match self.random.below(1_000) {
            0..300 => self.insert(&key),
            300..500 if grows => self.insert(&key),
            300..600 => self.remove(&key),
            600..700 => self.get(&key),
            700..780 => self.range(&key),
            780..860 => self.prefix(&key),
            860..930 => self.prove(&key),
            930..960 => self.prove_neighbours(&key),
            960..990 => self.read_remotely(&key),
            990..998 => self.apply_log(),
            _ => self.compare_versions(),
        }
    }

    fn insert(&mut self, key: &[u8]) {
        let value = self.random.value();
        self.tree.insert(key, &value).unwrap();
        self.model.insert(key.to_vec(), value);
    }

    fn remove(&mut self, key: &[u8]) {
        // Half of the time a key that is there.
        let key = match self.model.range(key.to_vec()..).next() {
            Some((near, _)) if self.random.flag() => near.clone(),
            _ => key.to_vec(),
        };
        let existed = self.model.remove(&key).is_some();
        assert_eq!(self.tree.remove(&key).unwrap(), existed);
    }

    fn get(&mut self, key: &[u8]) {
        let value = self.tree.get(key).unwrap();
        assert_eq!(value.as_deref(), self.model.get(key).map(Vec::as_slice));
    }

    fn range(&mut self, start: &[u8]) {
        let found: Vec<_> = self
            .tree
            .iterate_from(start)
            .unwrap()
            .take(20)
            .map(pair)
            .collect();
        assert_eq!(found, some(self.model.range(start.to_vec()..)));
    }

    fn prefix(&mut self, prefix: &[u8]) {
        let found: Vec<_> = self
            .tree
            .iterate_prefix(prefix)
            .unwrap()
            .take(20)
            .map(pair)
            .collect();
        let range = self.model.range(prefix.to_vec()..);
        assert_eq!(
            found,
            some(range.take_while(|(key, _)| key.starts_with(prefix)))
        );
    }

    /// Presence or absence, and with siblings enough to remove or to insert.
    fn prove(&mut self, key: &[u8]) {
        let (version, siblings) = (self.random.version(), self.random.flag());
        let root = self.tree.root();
        let proof = self.tree.prove(key, version, siblings).unwrap();
        let value = verify_value(&root, key, &proof.encode()).unwrap();
        assert_eq!(value.as_ref(), self.model.get(key));
        if !siblings {
            return;
        }
        let mut part = Tree::from_verified(&proof.verify(&root).unwrap());
        let mut whole = self.tree.clone();
        if self.random.flag() {
            assert_eq!(part.remove(key).unwrap(), whole.remove(key).unwrap());
        } else {
            part.insert(key, b"new").unwrap();
            whole.insert(key, b"new").unwrap();
        }
        assert_eq!(part.root(), whole.root());
        assert_eq!(self.tree.root(), root);
    }

    fn prove_neighbours(&mut self, start: &[u8]) {
        let (version, more) = (self.random.version(), self.random.below(6));
        let proof = self
            .tree
            .prove_iterate(start, more as u16, version)
            .unwrap();
        let verified = proof.verify(&self.tree.root()).unwrap();
        let shown: Vec<_> = verified
            .iterate_from(start)
            .take(more + 1)
            .map(|entry| {
                entry
                    .map(|(key, value)| (key.to_vec(), value.to_vec()))
                    .unwrap()
            })
            .collect();
        let mut expected = some(self.model.range(start.to_vec()..));
        expected.truncate(more + 1);
        assert_eq!(shown, expected);
    }

    fn read_remotely(&mut self, key: &[u8]) {
        let root = root_of(&self.tree);
        let server = TreeSyncer::new(root, self.tree.clone()).unwrap();
        let limits = CacheLimits {
            nodes_max: self.random.below(40),
            bytes_max: 1 << 20,
        };
        let mut remote = RemoteTree::new(root, Box::new(server), limits);
        assert_eq!(remote.get(key).unwrap().as_ref(), self.model.get(key));
        let found: Vec<_> = remote
            .iterate_from(key, self.random.below(8) as u16)
            .unwrap()
            .take(20)
            .map(|entry| {
                entry
                    .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
                    .unwrap()
            })
            .collect();
        assert_eq!(found, some(self.model.range(key.to_vec()..)));
        let mut whole = self.tree.clone();
        for _ in 0..3 {
            let key = self.random.key();
            if self.random.flag() {
                remote.insert(&key, b"remote").unwrap();
                whole.insert(&key, b"remote").unwrap();
            } else {
                assert_eq!(remote.remove(&key).unwrap(), whole.remove(&key).unwrap());
            }
        }
        assert_eq!(remote.root(), whole.root());
        assert_eq!(remote.write_log(), diff(&self.tree, &whole).unwrap());
    }

    /// Some changes at once, as they travel.
    fn apply_log(&mut self) {
        let mut changes = Model::new();
        for _ in 0..self.random.below(40) {
            let (key, value) = (self.random.key(), self.random.value());
            changes.insert(key, value);
        }
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| WriteLogEntry {
            key: key.clone(),
            // What would be empty is removed.
            value: (!value.is_empty()).then(|| value.clone()),
        };
        let log: Vec<_> = changes.iter().map(entry).collect();
        let encoded = encode_write_log(&log);
        assert_eq!(decode_write_log(&encoded, encoded.len()).unwrap(), log);
        self.tree.apply(&log).unwrap();
        for entry in log {
            match entry.value {
                Some(value) => self.model.insert(entry.key, value),
                None => self.model.remove(&entry.key),
            };
        }
    }

    /// What changed since an earlier version is what the maps say.
    fn compare_versions(&mut self) {
        let Some((before, _, old)) = self.versions.last() else {
            return;
        };
        let log = diff(before, &self.tree).unwrap();
        let mut model = old.clone();
        for entry in &log {
            assert_ne!(old.get(&entry.key), entry.value.as_ref());
            match &entry.value {
                Some(value) => model.insert(entry.key.clone(), value.clone()),
                None => model.remove(&entry.key),
            };
        }
        assert_eq!(model, self.model);
        let mut again = before.clone();
        again.apply(&log).unwrap();
        assert_eq!(again.root(), self.tree.root());
    }

    /// All entries, and a tree made anew; then the tree is opened from its stored nodes.
    fn check_whole(&mut self, number: u64) {
        let found: Vec<_> = self.tree.iterate_from(b"").unwrap().map(pair).collect();
        assert!(
            found
                .iter()
                .map(|(key, value)| (key, value))
                .eq(self.model.iter())
        );
        let fresh = tree_of(&self.model);
        assert_eq!(fresh.root(), self.tree.root());
        if self.versions.len() == 3 {
            let (tree, root, model) = self.versions.remove(0);
            assert_eq!(tree_of(&model).root(), root);
            let found: Vec<_> = tree.iterate_from(b"").unwrap().map(pair).collect();
            assert!(found.into_iter().eq(model));
            assert_eq!(tree.root(), root);
        }
        if number.is_multiple_of(4) {
            // Nothing is left of nodes that are gone; versions keep the nodes that they need.
            self.kept = Kept::default();
            self.tree = fresh;
        }
        let kept = &mut self.kept.0;
        self.tree.visit_held(&mut |node| {
            kept.insert(node.hash(), node.encode().unwrap());
        });
        let root = self.tree.root();
        self.tree = Tree::at(root, Arc::new(self.kept.clone()));
        self.versions
            .push((self.tree.clone(), root, self.model.clone()));
    }
}

#[test]
fn a_tree_is_a_map_in_the_long_run() {
    let operations = number_from("TRILITH_LONG_RUN", OPERATIONS_DEFAULT);
    let seed = number_from("TRILITH_SEED", 1);
    println!("{operations} operations from seed {seed}");
    let mut run = Run::new(seed);
    let mut largest = 0;
    for number in 0..operations {
        // It grows for a while, then shrinks for a while.
        run.step((number / 15_000).is_multiple_of(2));
        if number % 5_000 == 4_999 {
            run.check_whole(number / 5_000);
        }
        largest = largest.max(run.model.len());
    }
    run.check_whole(0);
    println!("at most {largest} keys");
    assert!(operations < OPERATIONS_DEFAULT || largest > 1_000);
}
