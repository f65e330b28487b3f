//! Trees that are read through a peer: the same answers as the tree itself, with as few requests as
//! Oasis Core's tests count.
//!
//! Origin of the counts: Oasis Core, commit f9f1fdc60, `go/storage/mkvs/tree_test.go` and
//! `go/storage/mkvs/iterator_test.go`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_mkvs::sync::{
    CacheLimits, GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, ReadSyncer,
    RemoteTree, Root, RootType, SYNC_PREFIXES_MAX, SYNC_REQUEST_BYTES_MAX, SyncError, TreeId,
    TreeSyncer,
};
use trilith_mkvs::{KEY_BYTES_MAX, ProofVersion, Tree, TreeError, diff};
use trilith_proof::mkvs::VerifiedNode;
use trilith_types::cbor::DecodeError;
use trilith_types::{Hash, RuntimeId};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const LARGE: CacheLimits = CacheLimits {
    nodes_max: 1_000_000,
    bytes_max: 1 << 30,
};

/// Requests of each kind that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    get: usize,
    prefixes: usize,
    iterate: usize,
}

/// A peer that counts what it is asked, and lets every request pass through its encoding.
struct Counting<S> {
    peer: S,
    counts: Arc<Mutex<Counts>>,
}

impl<S: ReadSyncer> Counting<S> {
    fn new(peer: S) -> (Self, Arc<Mutex<Counts>>) {
        let counts = Arc::default();
        let counting = Self {
            peer,
            counts: Arc::clone(&counts),
        };
        (counting, counts)
    }
}

impl<S: ReadSyncer> ReadSyncer for Counting<S> {
    fn sync_get(&mut self, request: &GetRequest) -> Result<Vec<u8>, SyncError> {
        self.counts.lock().unwrap().get += 1;
        let request = GetRequest::decode(&request.encode()).unwrap();
        self.peer.sync_get(&request)
    }

    fn sync_get_prefixes(&mut self, request: &GetPrefixesRequest) -> Result<Vec<u8>, SyncError> {
        self.counts.lock().unwrap().prefixes += 1;
        let request = GetPrefixesRequest::decode(&request.encode()).unwrap();
        self.peer.sync_get_prefixes(&request)
    }

    fn sync_iterate(&mut self, request: &IterateRequest) -> Result<Vec<u8>, SyncError> {
        self.counts.lock().unwrap().iterate += 1;
        let request = IterateRequest::decode(&request.encode()).unwrap();
        self.peer.sync_iterate(&request)
    }
}

fn root_of(tree: &Tree) -> Root {
    Root {
        namespace: RuntimeId::test(7),
        version: 3,
        root_type: RootType::State,
        hash: tree.root(),
    }
}

fn server(tree: &Tree) -> TreeSyncer {
    TreeSyncer::new(root_of(tree), tree.clone()).unwrap()
}

fn remote(tree: &Tree, limits: CacheLimits) -> (RemoteTree, Arc<Mutex<Counts>>) {
    let (peer, counts) = Counting::new(server(tree));
    let remote = RemoteTree::new(root_of(tree), Box::new(peer), limits);
    (remote, counts)
}

fn counts(counts: &Arc<Mutex<Counts>>) -> (usize, usize, usize) {
    let counts = *counts.lock().unwrap();
    (counts.get, counts.prefixes, counts.iterate)
}

fn numbered(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count)
        .map(|number| {
            (
                format!("key {number}").into_bytes(),
                format!("value {number}").into_bytes(),
            )
        })
        .collect()
}

fn tree_of<'e>(entries: impl IntoIterator<Item = &'e (Vec<u8>, Vec<u8>)>) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in entries {
        tree.insert(key, value).unwrap();
    }
    tree
}

fn pairs(remote: &mut RemoteTree, start: &[u8], prefetch: u16) -> Vec<(Vec<u8>, Vec<u8>)> {
    remote
        .iterate_from(start, prefetch)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
        .collect()
}

#[test]
fn reading_every_key_asks_as_often_as_published() {
    let entries = numbered(1000);
    let (mut remote, asked) = remote(&tree_of(&entries), LARGE);
    for (key, value) in &entries {
        assert_eq!(remote.get(key).unwrap().as_ref(), Some(value));
    }
    assert_eq!(counts(&asked), (1000, 0, 0));
    for (key, _) in &entries {
        assert!(remote.get(key).unwrap().is_some());
    }
    assert_eq!(counts(&asked), (1000, 0, 0));
}

#[test]
fn inserting_what_is_there_asks_as_often_as_published() {
    let entries = numbered(1000);
    let tree = tree_of(&entries);
    let (mut remote, asked) = remote(&tree, CacheLimits::default());
    for (key, value) in &entries {
        remote.insert(key, value).unwrap();
    }
    assert_eq!(counts(&asked), (1000, 0, 0));
    assert_eq!(remote.root(), tree.root());
    assert_eq!(remote.write_log(), vec![]);
}

#[test]
fn removing_everything_asks_no_more_often_than_published() {
    let entries = numbered(1000);
    let (mut remote, asked) = remote(&tree_of(&entries), CacheLimits::default());
    for (key, _) in entries.iter().rev() {
        assert!(remote.remove(key).unwrap());
    }
    assert!(remote.root().is_empty());
    assert_eq!(remote.write_log().len(), 1000);
    // Oasis Core asks 850 times.
    assert_eq!(counts(&asked), (811, 0, 0));
}

#[test]
fn iterating_asks_as_often_as_published() {
    let entries: Vec<(Vec<u8>, Vec<u8>)> = [
        ("key", "first"),
        ("key 1", "one"),
        ("key 2", "two"),
        ("key 5", "five"),
        ("key 8", "eight"),
        ("key 9", "nine"),
    ]
    .map(|(key, value)| (key.into(), value.into()))
    .into();
    let tree = tree_of(&entries);
    let seeks: [(&str, Option<usize>); 10] = [
        ("k", Some(0)),
        ("key 1", Some(1)),
        ("key 3", Some(3)),
        ("key 4", Some(3)),
        ("key 5", Some(3)),
        ("key 6", Some(4)),
        ("key 7", Some(4)),
        ("key 8", Some(4)),
        ("key 9", Some(5)),
        ("key A", None),
    ];
    let walk = |remote: &mut RemoteTree, prefetch| {
        assert_eq!(pairs(remote, b"", prefetch), entries);
        for (start, first) in seeks {
            let expected = first.map_or(&[][..], |first| &entries[first..]);
            assert_eq!(pairs(remote, start.as_bytes(), prefetch), expected);
        }
    };
    for (prefetch, requests) in [(0, 6), (10, 1), (3, 2)] {
        let (mut remote, asked) = remote(&tree, CacheLimits::default());
        walk(&mut remote, prefetch);
        assert_eq!(counts(&asked), (0, 0, requests), "prefetch {prefetch}");
    }

    // The same through somebody who reads through somebody else.
    let (between, asked_behind) = remote(&tree, CacheLimits::default());
    let (between, asked) = Counting::new(between);
    let mut remote = RemoteTree::new(root_of(&tree), Box::new(between), CacheLimits::default());
    walk(&mut remote, 10);
    assert_eq!(counts(&asked), (0, 0, 1));
    assert_eq!(counts(&asked_behind), (0, 0, 1));
}

#[test]
fn an_iteration_larger_than_the_cache_goes_on() {
    let entries: Vec<_> = (0..100)
        .map(|number| {
            (
                format!("Tkey {number}").into_bytes(),
                format!("Tvalue {number}").into_bytes(),
            )
        })
        .collect();
    let small = CacheLimits {
        nodes_max: 50,
        bytes_max: 16 << 20,
    };
    let (mut remote, asked) = remote(&tree_of(&entries), small);
    let mut sorted = entries.clone();
    sorted.sort();
    assert_eq!(pairs(&mut remote, b"", 1000), sorted);
    let (_, _, iterate) = counts(&asked);
    assert!((2..=10).contains(&iterate), "{iterate} requests");
    assert!(remote.cached().0 <= 50);
}

#[test]
fn one_request_brings_all_entries_of_a_prefix() {
    let entries = numbered(1000);
    let tree = tree_of(&entries);
    let (mut remote, asked) = remote(&tree, LARGE);
    remote.prefetch_prefixes(&[b"key".to_vec()], 1000).unwrap();
    assert_eq!(counts(&asked), (0, 1, 0));
    for (key, value) in &entries {
        assert_eq!(remote.get(key).unwrap().as_ref(), Some(value));
    }
    assert_eq!(counts(&asked), (0, 1, 0));
    let mut sorted = entries.clone();
    sorted.sort();
    assert_eq!(pairs(&mut remote, b"key", 0), sorted);
    assert_eq!(counts(&asked), (0, 1, 0));

    // Nothing is asked where nothing can come.
    remote.prefetch_prefixes(&[], 10).unwrap();
    remote.prefetch_prefixes(&[b"key".to_vec()], 0).unwrap();
    assert_eq!(counts(&asked), (0, 1, 0));
    let too_many = vec![Vec::new(); SYNC_PREFIXES_MAX + 1];
    let error = SyncError::TooManyPrefixes {
        count: SYNC_PREFIXES_MAX + 1,
        limit: SYNC_PREFIXES_MAX,
    };
    assert_eq!(remote.prefetch_prefixes(&too_many, 1), Err(error));
}

/// Origin of the keys: `testSyncerNilNodes` and `testSyncerRootEmptyLabelNeedsDeref`.
#[test]
fn missing_children_and_empty_labels_are_followed() {
    let words = [
        ("foo", "bar"),
        ("carrot", "stick"),
        ("ping", "pong"),
        ("moo", "boo"),
        ("aardvark", "aah"),
    ]
    .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let mut tree = tree_of(&words);
    let (mut nil, _) = remote(&tree, CacheLimits::default());
    nil.insert(b"insert", b"key").unwrap();
    tree.insert(b"insert", b"key").unwrap();
    assert_eq!(nil.root(), tree.root());

    let pair = [(vec![0xff], b"foo".to_vec()), (vec![0x00], b"bar".to_vec())];
    let mut tree = tree_of(&pair);
    let (mut reader, _) = remote(&tree, CacheLimits::default());
    assert_eq!(reader.get(&[0xff]).unwrap().unwrap(), b"foo");
    assert_eq!(reader.get(&[0x00]).unwrap().unwrap(), b"bar");
    let (mut remover, _) = remote(&tree, CacheLimits::default());
    assert!(remover.remove(&[0xff]).unwrap() && remover.remove(&[0x00]).unwrap());
    assert!(remover.root().is_empty());
    let (mut inserter, _) = remote(&tree, CacheLimits::default());
    for key in [[0xff, 0xff], [0, 0]] {
        inserter.insert(&key, b"new").unwrap();
        tree.insert(&key, b"new").unwrap();
    }
    assert_eq!(inserter.root(), tree.root());
}

/// Written out by hand after the structures of Oasis Core's `syncer.go`.
#[test]
fn requests_have_the_encoding_of_oasis() {
    let tree = TreeId {
        root: Root {
            namespace: RuntimeId::from_bytes([0x80; 32]),
            version: 42,
            root_type: RootType::Io,
            hash: Hash::from_bytes([0x11; 32]),
        },
        position: Hash::from_bytes([0x22; 32]),
    };
    let (ns, hash, position) = ("80".repeat(32), "11".repeat(32), "22".repeat(32));
    // {"root": {"ns", "hash", "version": 42, "root_type": 2}, "position"}
    let tree_hex = format!(
        "a264726f6f74a4626e735820{ns}64686173685820{hash}6776657273696f6e182a69726f6f745f7479706502\
         68706f736974696f6e5820{position}"
    );
    let get = |include_siblings, proof_version| GetRequest {
        tree,
        key: b"k".to_vec(),
        include_siblings,
        proof_version,
    };
    let plain = get(false, ProofVersion::V0).encode();
    let expected = format!("a2636b6579416b6474726565{tree_hex}");
    assert_eq!(hex::encode(&plain), expected);
    let full = get(true, ProofVersion::V1).encode();
    let expected = format!(
        "a4636b6579416b6474726565{tree_hex}6d70726f6f665f76657273696f6e0170696e636c7564655f7369626c\
         696e6773f5"
    );
    assert_eq!(hex::encode(&full), expected);
    let prefixes = GetPrefixesRequest {
        tree,
        prefixes: vec![b"a".to_vec(), Vec::new()],
        limit: 1000,
        proof_version: ProofVersion::V0,
    };
    let expected = format!("a36474726565{tree_hex}656c696d69741903e868707265666978657382416140");
    assert_eq!(hex::encode(prefixes.encode()), expected);
    let iterate = IterateRequest {
        tree,
        key: Vec::new(),
        prefetch: 10,
        proof_version: ProofVersion::V1,
    };
    let expected = format!(
        "a4636b6579406474726565{tree_hex}6870726566657463680a6d70726f6f665f76657273696f6e01"
    );
    assert_eq!(hex::encode(iterate.encode()), expected);
    let empty = ProofResponse {
        proof: Tree::empty().prove(b"", ProofVersion::V0, false).unwrap(),
    };
    let root = Hash::EMPTY;
    let expected =
        format!("a16570726f6f66a267656e747269657381f66e756e747275737465645f726f6f745820{root}");
    assert_eq!(hex::encode(empty.encode()), expected);

    // Fields that are zero or false are left out, and limits hold before anything is read.
    let text = |bytes: &[u8]| hex::encode(bytes);
    let with_false = text(&full).replace("73f5", "73f4");
    assert_eq!(
        GetRequest::decode(&hex::decode(with_false).unwrap()),
        Err(DecodeError::Field("include_siblings"))
    );
    for other in ["00", "02"] {
        let other = text(&full).replace("696f6e0170", &format!("696f6e{other}70"));
        assert_eq!(
            GetRequest::decode(&hex::decode(other).unwrap()),
            Err(DecodeError::Field("proof_version"))
        );
    }
    let no_type = text(&plain).replace("7479706502", "7479706500");
    assert_eq!(
        GetRequest::decode(&hex::decode(no_type).unwrap()),
        Err(DecodeError::Field("root_type"))
    );
    let mut long = get(false, ProofVersion::V0);
    long.key = vec![0; KEY_BYTES_MAX + 1];
    assert!(matches!(
        GetRequest::decode(&long.encode()),
        Err(DecodeError::TooLong { what: "key", .. })
    ));
    assert!(matches!(
        IterateRequest::decode(&vec![0; SYNC_REQUEST_BYTES_MAX + 1]),
        Err(DecodeError::TooLong {
            what: "request",
            ..
        })
    ));
}

#[test]
fn a_proof_starts_at_the_position_or_at_the_root() {
    let tree = tree_of(&numbered(50));
    let server = server(&tree);
    let ask = |position: Hash, key: &[u8]| {
        let request = GetRequest {
            tree: TreeId {
                root: root_of(&tree),
                position,
            },
            key: key.to_vec(),
            include_siblings: false,
            proof_version: ProofVersion::V0,
        };
        server.get(&request).unwrap().proof
    };
    let whole = ask(tree.root(), b"key 17");
    assert_eq!(
        whole,
        tree.prove(b"key 17", ProofVersion::V0, false).unwrap()
    );
    let verified = whole.verify(&tree.root()).unwrap();
    let mut on_the_way = 0;
    for (node, hash) in verified.nodes().iter().zip(verified.hashes()) {
        // Version 0 shows own leaves with their nodes, so that no proof starts there.
        if matches!(node, VerifiedNode::Leaf { key, .. } if key != b"key 17") {
            continue;
        }
        let part = ask(*hash, b"key 17");
        assert_eq!(part.untrusted_root, *hash);
        let part = part.verify_part(hash).unwrap();
        // What the part shows, the whole shows too.
        assert!(
            part.hashes()
                .iter()
                .all(|hash| verified.hashes().contains(hash))
        );
        on_the_way += 1;
    }
    assert!(on_the_way > 3);
    // A node elsewhere in the tree does not help.
    let elsewhere = tree.prove(b"key 40", ProofVersion::V0, false).unwrap();
    let elsewhere = elsewhere.verify(&tree.root()).unwrap().hashes()[0];
    assert_eq!(ask(elsewhere, b"key 17"), whole);
}

#[test]
fn a_server_answers_for_its_tree_only() {
    let tree = tree_of(&numbered(5));
    let other = tree_of(&numbered(6));
    let error = TreeSyncer::new(root_of(&tree), other.clone()).unwrap_err();
    assert!(matches!(error, SyncError::OtherRoot { .. }));
    let request = |root| GetRequest {
        tree: TreeId {
            root,
            position: tree.root(),
        },
        key: b"key 1".to_vec(),
        include_siblings: false,
        proof_version: ProofVersion::V0,
    };
    let mut next = root_of(&tree);
    next.version += 1;
    for root in [root_of(&other), next] {
        let expected = SyncError::OtherRoot {
            asked: Box::new(root),
            held: Box::new(root_of(&tree)),
        };
        assert_eq!(server(&tree).get(&request(root)), Err(expected));
    }
    let mut long = request(root_of(&tree));
    long.key = vec![0; KEY_BYTES_MAX + 1];
    let error = TreeError::KeyTooLong {
        len: KEY_BYTES_MAX + 1,
        limit: KEY_BYTES_MAX,
    };
    assert_eq!(server(&tree).get(&long), Err(SyncError::Tree(error)));

    let (mut changed, asked) = remote(&tree, LARGE);
    assert!(changed.sync_get(&request(root_of(&tree))).is_ok());
    let before = counts(&asked);
    changed.insert(b"key 1", b"changed").unwrap();
    let refused = changed.sync_get(&request(root_of(&tree)));
    assert_eq!(refused, Err(SyncError::Changed { count: 1 }));
    assert_eq!(counts(&asked), before);
}

/// Keys each of which is a prefix of the next make a tree that is deeper than a proof may be. It is
/// read in stretches, on the stack that threads have by default.
#[test]
fn trees_deeper_than_proofs_are_read_in_stretches() {
    let walk = || {
        let key: Vec<u8> = (0..1_000usize).map(|at| at as u8 | 1).collect();
        let mut tree = Tree::empty();
        for len in (0..=key.len()).rev() {
            tree.insert(&key[..len], b"x").unwrap();
        }
        let too_deep = Err(TreeError::ProofTooDeep { limit: 128 });
        assert_eq!(tree.prove(&key, ProofVersion::V0, false), too_deep);
        let (mut reader, asked) = remote(&tree, LARGE);
        assert_eq!(reader.get(&key).unwrap().unwrap(), b"x");
        let (get, _, _) = counts(&asked);
        assert!((8..=9).contains(&get), "{get} requests");

        let (mut walker, _) = remote(&tree, LARGE);
        assert_eq!(pairs(&mut walker, b"", 300).len(), key.len() + 1);
        let (mut changer, _) = remote(&tree, LARGE);
        assert!(changer.remove(&key[..700]).unwrap() && changer.remove(&key).unwrap());
        tree.remove(&key[..700]).unwrap();
        tree.remove(&key).unwrap();
        assert_eq!(changer.root(), tree.root());

        // Also through somebody else, whose cache is small.
        let (between, _) = remote(&tree, CacheLimits::default());
        let mut reader = RemoteTree::new(root_of(&tree), Box::new(between), LARGE);
        assert_eq!(reader.get(&key[..999]).unwrap().unwrap(), b"x");
        assert_eq!(reader.get(&key).unwrap(), None);
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    assert!(thread.spawn(walk).unwrap().join().is_ok());
}

/// More than fits into one answer is read in several.
#[test]
fn answers_end_where_they_are_full() {
    let entries: Vec<_> = (0..40u8)
        .map(|number| (vec![number, 7], vec![number; 1 << 20]))
        .collect();
    let tree = tree_of(&entries);
    let all = |start: &[u8]| tree.prove_iterate(start, 1_000, ProofVersion::V0);
    assert!(matches!(all(b""), Err(TreeError::ProofTooLarge { .. })));
    let (mut reader, asked) = remote(&tree, LARGE);
    assert!(pairs(&mut reader, b"", 1_000) == entries);
    assert_eq!(counts(&asked), (0, 0, 3));

    // Own leaves on the way to a key that are together larger than an answer.
    let entries: Vec<_> = (0..20usize)
        .map(|len| (vec![7; len], vec![len as u8; 1 << 20]))
        .collect();
    let tree = tree_of(&entries);
    let (mut reader, asked) = remote(&tree, LARGE);
    let (key, value) = &entries[19];
    assert!(reader.get(key).unwrap().as_ref() == Some(value));
    assert_eq!(counts(&asked), (2, 0, 0));
    assert!(reader.remove(key).unwrap());
    // A prefix is brought whole or not at all.
    let error = reader.prefetch_prefixes(&[vec![7]], 1_000).unwrap_err();
    assert!(matches!(
        error,
        SyncError::Tree(TreeError::ProofTooLarge { .. })
    ));
}

/// Few different bytes, so that keys are often equal, neighbours, or prefixes of each other.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    vec(byte, 0..5)
}

fn models(size: usize) -> impl Strategy<Value = Model> {
    proptest::collection::btree_map(keys(), vec(any::<u8>(), 0..40), 0..size)
}

fn limits() -> impl Strategy<Value = CacheLimits> {
    let limits = |(nodes_max, bytes_max)| CacheLimits {
        nodes_max,
        bytes_max,
    };
    prop_oneof![
        Just(CacheLimits::default()),
        (0usize..12, 0usize..8_000).prop_map(limits),
    ]
}

fn versions() -> impl Strategy<Value = ProofVersion> {
    prop_oneof![Just(ProofVersion::V0), Just(ProofVersion::V1)]
}

fn open(tree: &Tree, limits: CacheLimits) -> RemoteTree {
    let (peer, _) = Counting::new(server(tree));
    RemoteTree::new(root_of(tree), Box::new(peer), limits)
}

fn check_limits(remote: &RemoteTree, limits: CacheLimits) {
    let (nodes, bytes) = remote.cached();
    assert!(nodes <= limits.nodes_max && bytes <= limits.bytes_max);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_remote_tree_reads_as_the_tree_does(
        model in models(40),
        probes in vec(keys(), 8),
        prefetch in 0u16..6,
        limits in limits(),
        prefetched: bool,
    ) {
        let entries: Vec<_> = model.clone().into_iter().collect();
        let tree = tree_of(&entries);
        let mut remote = open(&tree, limits);
        if prefetched {
            remote.prefetch_prefixes(&probes, prefetch * 4).unwrap();
            check_limits(&remote, limits);
        }
        for key in probes.iter().chain(model.keys()) {
            prop_assert_eq!(remote.get(key).unwrap(), model.get(key).cloned());
            check_limits(&remote, limits);
        }
        for start in &probes {
            let expected: Vec<_> =
                model.range(start.clone()..).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(pairs(&mut remote, start, prefetch), expected);
            let within: Vec<_> = remote
                .iterate_prefix(start, prefetch)
                .unwrap()
                .map(|entry| entry.unwrap().key.to_vec())
                .collect();
            let expected: Vec<_> =
                model.keys().filter(|key| key.starts_with(start)).cloned().collect();
            prop_assert_eq!(within, expected);
            check_limits(&remote, limits);
        }
        prop_assert_eq!(remote.root(), tree.root());
    }

    #[test]
    fn changes_on_a_remote_tree_are_those_on_the_tree(
        model in models(40),
        changes in vec((keys(), proptest::option::weighted(0.4, vec(any::<u8>(), 0..3))), 0..40),
        limits in limits(),
    ) {
        let entries: Vec<_> = model.clone().into_iter().collect();
        let before = tree_of(&entries);
        let (mut tree, mut model) = (before.clone(), model);
        let mut remote = open(&before, limits);
        for (key, value) in &changes {
            match value {
                Some(value) => {
                    remote.insert(key, value).unwrap();
                    tree.insert(key, value).unwrap();
                    model.insert(key.clone(), value.clone());
                }
                None => {
                    let existed = model.remove(key).is_some();
                    prop_assert_eq!(remote.remove(key).unwrap(), existed);
                    tree.remove(key).unwrap();
                }
            }
            prop_assert_eq!(remote.get(key).unwrap(), model.get(key).cloned());
            check_limits(&remote, limits);
        }
        prop_assert_eq!(remote.root(), tree.root());
        prop_assert_eq!(remote.write_log(), diff(&before, &tree).unwrap());
        let expected: Vec<_> = model.into_iter().collect();
        prop_assert_eq!(pairs(&mut remote, b"", 2), expected);
        let mut again = before.clone();
        again.apply(&remote.write_log()).unwrap();
        prop_assert_eq!(again.root(), remote.root());
    }

    /// What a peer that reads through another peer answers is what the other answers.
    #[test]
    fn answers_are_handed_on_unchanged(
        model in models(30),
        start in keys(),
        prefixes in vec(keys(), 0..3),
        count in 0u16..8,
        siblings: bool,
        version in versions(),
        limits in limits(),
    ) {
        let entries: Vec<_> = model.into_iter().collect();
        let tree = tree_of(&entries);
        let id = TreeId { root: root_of(&tree), position: tree.root() };
        let mut direct = server(&tree);
        let get = GetRequest {
            tree: id,
            key: start.clone(),
            include_siblings: siblings,
            proof_version: version,
        };
        let iterate = IterateRequest {
            tree: id,
            key: start,
            prefetch: count,
            proof_version: version,
        };
        let by_prefix = GetPrefixesRequest {
            tree: id,
            prefixes,
            limit: count,
            proof_version: version,
        };
        // Answers are the proofs that the vectors fix.
        let proof = tree.prove(&get.key, version, siblings).unwrap();
        prop_assert_eq!(direct.get(&get).unwrap().proof, proof);
        let proof = tree.prove_iterate(&iterate.key, count, version).unwrap();
        prop_assert_eq!(direct.iterate(&iterate).unwrap().proof, proof);
        let mut between = open(&tree, limits);
        prop_assert_eq!(between.sync_get(&get), direct.sync_get(&get));
        prop_assert_eq!(between.sync_iterate(&iterate), direct.sync_iterate(&iterate));
        prop_assert_eq!(
            between.sync_get_prefixes(&by_prefix),
            direct.sync_get_prefixes(&by_prefix)
        );
    }

    #[test]
    fn requests_come_back(
        key in keys(),
        prefixes in vec(keys(), 0..4),
        (version, number, siblings) in any::<(u64, u16, bool)>(),
        state: bool,
        format in versions(),
        bytes: [u8; 32],
    ) {
        let tree = TreeId {
            root: Root {
                namespace: RuntimeId::from_bytes(bytes),
                version,
                root_type: if state { RootType::State } else { RootType::Io },
                hash: Hash::of(&bytes),
            },
            position: Hash::of(&key),
        };
        let get = GetRequest {
            tree,
            key: key.clone(),
            include_siblings: siblings,
            proof_version: format,
        };
        prop_assert_eq!(GetRequest::decode(&get.encode()), Ok(get));
        let by_prefix = GetPrefixesRequest { tree, prefixes, limit: number, proof_version: format };
        prop_assert_eq!(GetPrefixesRequest::decode(&by_prefix.encode()), Ok(by_prefix));
        let iterate = IterateRequest { tree, key, prefetch: number, proof_version: format };
        prop_assert_eq!(IterateRequest::decode(&iterate.encode()), Ok(iterate));
    }
}
