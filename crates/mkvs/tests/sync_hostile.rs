//! Peers that lie: whatever they answer, a tree that is read through them gives the truth or an
//! error, and what it refuses changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use trilith_mkvs::sync::{
    CacheLimits, GetPrefixesRequest, GetRequest, IterateRequest, ProofResponse, ReadSyncer,
    RemoteTree, Root, RootType, SYNC_ANSWER_BYTES_MAX, SyncError, TreeSyncer,
};
use trilith_mkvs::{ProofVersion, Tree};
use trilith_proof::mkvs::ProofError;
use trilith_types::{Hash, RuntimeId};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a peer does to an answer.
#[derive(Clone, Debug)]
enum Lie {
    /// Nothing.
    Honest,
    /// Changes bits of a byte.
    Flip(prop::sample::Index, u8),
    /// Gives only the first bytes.
    Cut(prop::sample::Index),
    /// Gives more bytes.
    Append(Vec<u8>),
    /// Gives what was answered some requests ago.
    Swap(usize),
    /// Answers from another tree.
    OtherTree,
    /// Answers from another tree, and says it starts where it should.
    Disguised,
    /// Leaves out an entry of the proof.
    DropEntry(prop::sample::Index),
    /// Writes the hash of an entry's subtree where the subtree should be.
    Nothing,
    /// Gives a proof of another version than was asked for.
    OtherVersion,
    /// Gives bytes of its own.
    Noise(Vec<u8>),
    /// Gives no answer.
    Silent,
}

/// A peer whose lies are decided from outside.
struct Liar {
    truth: TreeSyncer,
    other: TreeSyncer,
    lie: Arc<Mutex<Lie>>,
    told: Vec<Vec<u8>>,
}

impl Liar {
    fn tell(
        &mut self,
        position: Hash,
        truth: Result<Vec<u8>, SyncError>,
        other: Result<Vec<u8>, SyncError>,
    ) -> Result<Vec<u8>, SyncError> {
        let (mut answer, other) = (truth?, other?);
        let honest = answer.clone();
        let lie = self.lie.lock().unwrap().clone();
        match lie {
            Lie::Honest => {}
            Lie::Flip(at, bits) => {
                let at = at.index(answer.len());
                answer[at] ^= bits;
            }
            Lie::Cut(at) => answer.truncate(at.index(answer.len())),
            Lie::Append(more) => answer.extend_from_slice(&more),
            Lie::Swap(ago) => {
                if let Some(at) = self.told.len().checked_sub(ago + 1) {
                    answer = self.told[at].clone();
                }
            }
            Lie::OtherTree => answer = other,
            Lie::Disguised => answer = edit(&other, |proof| proof.untrusted_root = position),
            Lie::DropEntry(at) => {
                answer = edit(&answer, |proof| {
                    let at = at.index(proof.entries.len());
                    proof.entries.remove(at);
                });
            }
            Lie::Nothing => {
                answer = edit(&answer, |proof| {
                    let hash = [&[2], &proof.untrusted_root.as_bytes()[..]].concat();
                    proof.entries = vec![Some(hash)];
                });
            }
            Lie::OtherVersion => answer = edit(&answer, |proof| proof.version = ProofVersion::V1),
            Lie::Noise(noise) => answer = noise,
            Lie::Silent => return Err(SyncError::Unavailable("it is gone".into())),
        }
        self.told.push(honest);
        Ok(answer)
    }
}

fn edit(answer: &[u8], change: impl FnOnce(&mut trilith_mkvs::Proof)) -> Vec<u8> {
    let mut answer = ProofResponse::decode(answer).unwrap();
    change(&mut answer.proof);
    answer.encode()
}

impl ReadSyncer for Liar {
    fn sync_get(&mut self, request: &GetRequest) -> Result<Vec<u8>, SyncError> {
        let truth = self.truth.sync_get(request);
        let mut asked = request.clone();
        asked.tree.root = root_of(&other_tree());
        let other = self.other.sync_get(&asked);
        self.tell(request.tree.position, truth, other)
    }

    fn sync_get_prefixes(&mut self, request: &GetPrefixesRequest) -> Result<Vec<u8>, SyncError> {
        let truth = self.truth.sync_get_prefixes(request);
        let mut asked = request.clone();
        asked.tree.root = root_of(&other_tree());
        let other = self.other.sync_get_prefixes(&asked);
        self.tell(request.tree.position, truth, other)
    }

    fn sync_iterate(&mut self, request: &IterateRequest) -> Result<Vec<u8>, SyncError> {
        let truth = self.truth.sync_iterate(request);
        let mut asked = request.clone();
        asked.tree.root = root_of(&other_tree());
        let other = self.other.sync_iterate(&asked);
        self.tell(request.tree.position, truth, other)
    }
}

fn root_of(tree: &Tree) -> Root {
    Root {
        namespace: RuntimeId::test(1),
        version: 1,
        root_type: RootType::State,
        hash: tree.root(),
    }
}

fn tree_of(model: &Model) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in model {
        tree.insert(key, value).unwrap();
    }
    tree
}

/// A tree with the same keys that liars answer from.
fn other_tree() -> Tree {
    let mut tree = Tree::empty();
    for key in [&b""[..], &[0], &[0, 0x80], &[1], &[0x80, 1], &[0xff]] {
        tree.insert(key, b"a lie").unwrap();
    }
    tree
}

fn open(tree: &Tree, limits: CacheLimits) -> (RemoteTree, Arc<Mutex<Lie>>) {
    let lie = Arc::new(Mutex::new(Lie::Honest));
    let other = other_tree();
    let liar = Liar {
        truth: TreeSyncer::new(root_of(tree), tree.clone()).unwrap(),
        other: TreeSyncer::new(root_of(&other), other).unwrap(),
        lie: Arc::clone(&lie),
        told: Vec::new(),
    };
    let remote = RemoteTree::new(root_of(tree), Box::new(liar), limits);
    (remote, lie)
}

fn numbered(count: usize) -> Model {
    (0..count)
        .map(|number| (format!("key {number}").into(), format!("{number}").into()))
        .collect()
}

#[test]
fn each_lie_is_named() {
    let tree = tree_of(&numbered(40));
    let root = tree.root();
    let (mut remote, lie) = open(&tree, CacheLimits::default());
    let mut refused = |told: Lie| {
        *lie.lock().unwrap() = told;
        let before = remote.cached();
        let error = remote.get(b"key 1").unwrap_err();
        assert_eq!(remote.cached(), before);
        assert_eq!(remote.root(), root);
        error
    };
    let silent = SyncError::Unavailable("it is gone".into());
    assert_eq!(refused(Lie::Silent), silent);
    let found = other_tree().root();
    let unrelated = SyncError::Unrelated {
        found,
        position: root,
        root,
    };
    assert_eq!(refused(Lie::OtherTree), unrelated);
    let disguised = SyncError::Answer(ProofError::Root {
        expected: root,
        found,
    });
    assert_eq!(refused(Lie::Disguised), disguised);
    assert_eq!(refused(Lie::Nothing), SyncError::NotShown { hash: root });
    let version = SyncError::Version {
        found: ProofVersion::V1,
        asked: ProofVersion::V0,
    };
    assert_eq!(refused(Lie::OtherVersion), version);
    let trailing = refused(Lie::Append(vec![0]));
    assert!(
        matches!(trailing, SyncError::Answer(ProofError::Decode(_))),
        "{trailing}"
    );
    let cut = refused(Lie::Noise(vec![0xa1, 0x65]));
    assert!(
        matches!(cut, SyncError::Answer(ProofError::Decode(_))),
        "{cut}"
    );
    let long = refused(Lie::Noise(vec![0; SYNC_ANSWER_BYTES_MAX + 1]));
    let too_long = SyncError::Answer(ProofError::TooLong {
        len: SYNC_ANSWER_BYTES_MAX + 1,
        limit: SYNC_ANSWER_BYTES_MAX,
    });
    assert_eq!(long, too_long);

    *lie.lock().unwrap() = Lie::Honest;
    assert_eq!(remote.get(b"key 1").unwrap().unwrap(), b"1");
}

/// A proof that is true and of the right tree, but of another key than was asked for.
#[test]
fn an_answer_to_another_question_is_refused() {
    let tree = tree_of(&numbered(40));
    let (mut remote, lie) = open(&tree, CacheLimits::default());
    assert!(remote.get(b"key 1").unwrap().is_some());
    *lie.lock().unwrap() = Lie::Swap(0);
    let before = remote.cached();
    let error = remote.get(b"key 9").unwrap_err();
    assert!(matches!(error, SyncError::NotShown { .. }), "{error}");
    assert_eq!(remote.cached(), before);

    // Prefixes must be shown as far as they were asked for.
    *lie.lock().unwrap() = Lie::Swap(1);
    let prefixes = [b"key 2".to_vec()];
    let error = remote.prefetch_prefixes(&prefixes, 10).unwrap_err();
    assert!(matches!(error, SyncError::NotShown { .. }), "{error}");
    assert_eq!(remote.cached(), before);
    *lie.lock().unwrap() = Lie::Honest;
    remote.prefetch_prefixes(&prefixes, 10).unwrap();
    *lie.lock().unwrap() = Lie::Silent;
    assert_eq!(remote.get(b"key 21").unwrap().unwrap(), b"21");
    assert!(remote.get(b"key 9").is_err());
}

/// A change that fails half way, because the peer does not show what is beside a removed key.
#[test]
fn a_failed_change_changes_nothing() {
    let model = Model::from([
        (vec![0x00], b"left".to_vec()),
        (vec![0x80], b"right".to_vec()),
        (vec![0xc0], b"further right".to_vec()),
    ]);
    let tree = tree_of(&model);
    let (mut remote, lie) = open(&tree, CacheLimits::default());
    // Known by now: the way to the left, but not what is to the right of it.
    assert!(remote.get(&[0x00]).unwrap().is_some());
    *lie.lock().unwrap() = Lie::Silent;
    let silent = SyncError::Unavailable("it is gone".into());
    assert_eq!(remote.remove(&[0x00]), Err(silent.clone()));
    assert_eq!(remote.insert(&[0x81], b"new"), Err(silent));
    assert_eq!(remote.root(), tree.root());
    assert_eq!(remote.write_log(), vec![]);
    assert_eq!(remote.get(&[0x00]).unwrap().unwrap(), b"left");
    *lie.lock().unwrap() = Lie::Honest;
    assert!(remote.remove(&[0x00]).unwrap());
    let mut whole = tree.clone();
    whole.remove(&[0x00]).unwrap();
    assert_eq!(remote.root(), whole.root());
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    vec(byte, 0..4)
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        2 => Just(Lie::Honest),
        3 => (any::<prop::sample::Index>(), 1u8..=255).prop_map(|(at, bits)| Lie::Flip(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Lie::Cut),
        1 => vec(any::<u8>(), 1..20).prop_map(Lie::Append),
        2 => (0usize..5).prop_map(Lie::Swap),
        1 => Just(Lie::OtherTree),
        1 => Just(Lie::Disguised),
        1 => any::<prop::sample::Index>().prop_map(Lie::DropEntry),
        1 => Just(Lie::Nothing),
        1 => Just(Lie::OtherVersion),
        1 => vec(any::<u8>(), 0..60).prop_map(Lie::Noise),
        1 => Just(Lie::Silent),
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Get(Vec<u8>),
    Iterate(Vec<u8>, u16),
    Prefetch(Vec<Vec<u8>>, u16),
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        keys().prop_map(Act::Get),
        (keys(), 0u16..5).prop_map(|(key, more)| Act::Iterate(key, more)),
        (vec(keys(), 0..3), 0u16..9).prop_map(|(keys, limit)| Act::Prefetch(keys, limit)),
        (keys(), vec(any::<u8>(), 0..3)).prop_map(|(key, value)| Act::Insert(key, value)),
        keys().prop_map(Act::Remove),
    ]
}

/// Does something, and checks that the result is true or an error.
fn act(remote: &mut RemoteTree, model: &mut Model, act: &Act) {
    match act {
        Act::Get(key) => {
            if let Ok(value) = remote.get(key) {
                assert_eq!(value.as_ref(), model.get(key));
            }
        }
        Act::Iterate(start, prefetch) => {
            let Ok(entries) = remote.iterate_from(start, *prefetch) else {
                return;
            };
            let mut expected = model.range(start.clone()..);
            for entry in entries {
                let Ok(entry) = entry else {
                    return;
                };
                let found = expected.next().map(|(key, value)| (&key[..], &value[..]));
                assert_eq!(Some((&entry.key[..], &entry.value[..])), found);
            }
            assert_eq!(expected.next(), None);
        }
        Act::Prefetch(prefixes, limit) => {
            let _ = remote.prefetch_prefixes(prefixes, *limit);
        }
        Act::Insert(key, value) => {
            if remote.insert(key, value).is_ok() {
                model.insert(key.clone(), value.clone());
            }
        }
        Act::Remove(key) => {
            if let Ok(existed) = remote.remove(key) {
                assert_eq!(existed, model.remove(key).is_some());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_lie_is_believed(
        mut model in proptest::collection::btree_map(keys(), vec(any::<u8>(), 0..40), 0..30),
        acted in vec((lies(), acts()), 1..25),
        nodes_max in prop_oneof![Just(1_000usize), 0usize..10],
    ) {
        let tree = tree_of(&model);
        let limits = CacheLimits { nodes_max, bytes_max: 1 << 20 };
        let (mut remote, lie) = open(&tree, limits);
        for (told, next) in &acted {
            *lie.lock().unwrap() = told.clone();
            act(&mut remote, &mut model, next);
            prop_assert!(remote.cached().0 <= nodes_max);
        }
        // Nothing of the lies is left behind.
        *lie.lock().unwrap() = Lie::Honest;
        prop_assert_eq!(remote.root(), tree_of(&model).root());
        let entries: Vec<_> = remote
            .iterate_from(b"", 3)
            .unwrap()
            .map(|entry| entry.map(|entry| (entry.key.to_vec(), entry.value.to_vec())).unwrap())
            .collect();
        prop_assert_eq!(entries, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn no_request_or_answer_panics(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = GetRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(request) = GetPrefixesRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(request) = IterateRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(answer) = ProofResponse::decode(&bytes) {
            prop_assert_eq!(answer.encode(), bytes.clone());
        }
    }

    /// Bytes that are almost a request or an answer.
    #[test]
    fn changed_requests_and_answers_have_one_form(
        key in keys(),
        prefixes in vec(keys(), 0..3),
        at: prop::sample::Index,
        bits in 1u8..=255,
        second: bool,
    ) {
        let tree = tree_of(&numbered(9));
        let version = if second { ProofVersion::V1 } else { ProofVersion::V0 };
        let id = trilith_mkvs::sync::TreeId { root: root_of(&tree), position: tree.root() };
        let get = GetRequest {
            tree: id,
            key: key.clone(),
            include_siblings: second,
            proof_version: version,
        };
        let by_prefix =
            GetPrefixesRequest { tree: id, prefixes, limit: 300, proof_version: version };
        let iterate = IterateRequest { tree: id, key, prefetch: 3, proof_version: version };
        let mut server = TreeSyncer::new(root_of(&tree), tree.clone()).unwrap();
        let forms = [
            get.encode(),
            by_prefix.encode(),
            iterate.encode(),
            server.sync_iterate(&iterate).unwrap(),
        ];
        for mut bytes in forms {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            if let Ok(request) = GetRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(request) = GetPrefixesRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(request) = IterateRequest::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Ok(answer) = ProofResponse::decode(&bytes) {
                prop_assert_eq!(answer.encode(), bytes.clone());
            }
        }
    }
}
