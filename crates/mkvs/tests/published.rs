//! Figures that Oasis Core's own tests publish.
//!
//! Origin: Oasis Core, commit f9f1fdc60. Roots: `go/storage/mkvs/tree_test.go`,
//! `go/storage/mkvs/syncer_test.go`, `go/storage/mkvs/db/badger/migrate_test.go` and the roots in
//! the `testdata` beside it, `go/runtime/transaction/transaction_test.go`. Proofs:
//! `go/storage/mkvs/syncer_test.go` and `go/storage/mkvs/syncer/proof_test.go`; where these give the
//! proof itself, its digest (SHA-512/256) stands here. Scripts: `go/storage/mkvs/testdata`, case-1
//! to case-6. Iterations: `go/storage/mkvs/iterator_test.go`. Nodes and keys are in the tests of
//! `trilith-proof`, counts of requests in `sync.rs`.

use trilith_mkvs::sync::{CacheLimits, RemoteTree, Root, RootType, TreeSyncer};
use trilith_mkvs::{Proof, ProofVersion, Tree, root_of};
use trilith_proof::mkvs::{CompactNode, Edge, ProofError, VerifiedNode, VerifiedTree};
use trilith_types::cbor::Encoder;
use trilith_types::{Hash, RuntimeId};

fn numbered(count: usize) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..count).map(|number| {
        (
            format!("key {number}").into_bytes(),
            format!("value {number}").into_bytes(),
        )
    })
}

#[test]
fn numbered_keys_give_the_roots() {
    let published = [
        (
            0,
            "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a",
        ),
        (
            10,
            "59e67c2fdc08b8e10dd08bb6b8efe614fcc965ecb89625f97f17f87f07104613",
        ),
        (
            11,
            "a940b9ded7621a2b10497c846f46dc7778397979551d71bee2c07a9319e6aa45",
        ),
        (
            500,
            "cf6e9b6a26e10a8218b8658ac9302af1a4c1ae4e1b1a7633860a0f81fb759495",
        ),
        (
            1000,
            "2187c55627819b60069888ba86f83dc2a9f50c827624b0e31e31261806300ede",
        ),
    ];
    for (count, root) in published {
        assert_eq!(
            root_of(numbered(count)).unwrap().to_string(),
            root,
            "{count} keys"
        );
    }
}

#[test]
fn keys_that_are_prefixes_of_each_other_give_the_root() {
    let key = "Unlock the potential of your data without compromising security or privacy";
    let value = "The platform that puts data privacy first. From sharing medical records, to \
                 analyzing personal financial information, to training machine learning models, the \
                 Oasis platform supports applications that use even the most sensitive data without \
                 compromising privacy or performance.";
    let entries = (1..=key.len()).map(|len| (key[..len].into(), value.into()));
    let root = root_of(entries).unwrap().to_string();
    assert_eq!(
        root,
        "d829bb244a709bacf33bc2d8b4a016592e5310a10910aa980ef91cb3b4347dcb"
    );
}

#[test]
fn small_trees_give_the_roots_on_the_way_up_and_down() {
    let one = "db67c0572006673b488342a45e6590a75e8919265e6da706c80c6b2776017aa7";
    let two = "e627581db43e18410a52793e662e4f21ae6a4fca14e16915a85ec4c3e3e41a13";
    let mut tree = Tree::empty();
    tree.insert(b"foo", b"bar").unwrap();
    assert_eq!(tree.root().to_string(), one);
    tree.insert(b"moo", b"foo").unwrap();
    assert_eq!(tree.root().to_string(), two);
    assert!(tree.remove(b"moo").unwrap());
    assert_eq!(tree.root().to_string(), one);
    assert!(tree.remove(b"foo").unwrap());
    assert!(tree.is_empty() && tree.root().is_empty());
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn tree_of(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in entries {
        tree.insert(&key, &value).unwrap();
    }
    tree
}

#[test]
fn what_is_not_persisted_gives_the_roots_too() {
    let mut tree = Tree::empty();
    tree.insert(b"this key", b"should not be persisted")
        .unwrap();
    assert_eq!(
        tree.root().to_string(),
        "46141a682ada455db80763c17c4e76535adaafaa2508d4fdae8a5ee5c0166629"
    );
    tree.insert(b"but now", b"we will persist everything")
        .unwrap();
    assert_eq!(
        tree.root().to_string(),
        "d9b2effdff5a22145cef58c7c84c8040ee441e65a30e75d13e7490939299a4f4"
    );
}

#[test]
fn old_databases_have_the_roots() {
    let three = [
        ("this key is marvellous", "with a value to boot"),
        (
            "and this key makes sure we have more than one node",
            "double the values! double the magic!",
        ),
        ("this key shares a prefix", "but not the value"),
    ];
    assert_eq!(
        root_of(three.map(|(key, value)| (key.into(), value.into())))
            .unwrap()
            .to_string(),
        "13f1251fc6162fb7128de896792ba2208bc636273ffddbb81772713948a175cd"
    );
    let rounds = [
        "bb615ccac38ddb3f165f31e9cab16cbe10cb3840d6b6df1c87ef4364e54426ea",
        "432a7d2123763d916af266599faafdc28730cd340c875c3c8c23f33175b68f22",
        "df5900acbffc266972a0d5a89c67f5e4cb4da2b6d7c63927704b4d2a48c5a8a5",
        "4701b55a067d1a03d2e1f51d103f2e176cd6a5da92e7340586d1a46405402168",
        "d5c64ea3cf2a3512ad7155c446bd5f85b9f6931a7f1178caca14e4cc14f871b7",
        "61ee1e39ad0bf9d0362dbc785bbbc97aad2e74df035946113672ba6fec957fd5",
        "88cafbd867db4728073431c25bcf3854b1010c60297d0036c8e0bb97c741da8d",
        "e7d1c7acac39aff7f8681d5508f626581afb237f95394a130d4b2372fec8ec3b",
        "f5210865c2705be18ce564a67e937aa088ae22604fd0cab09ffe526a58eaa1cb",
    ];
    let mut tree = Tree::empty();
    for (round, root) in (1..).zip(rounds) {
        for index in 1..5 {
            let key = format!("test key; round {round} with {index} index");
            let value = format!("interesting value {round}.{index}");
            tree.insert(key.as_bytes(), value.as_bytes()).unwrap();
        }
        assert_eq!(tree.root().to_string(), root, "round {round}");
    }
}

/// A batch of 21 transactions with their outputs and tags.
#[test]
fn inputs_and_outputs_give_the_root() {
    let mut tree = Tree::empty();
    for order in 0..21u64 {
        let (input, tags): (String, &[(&str, &str)]) = match order {
            0 => ("this goes in".into(), &[("tag1", "value1")]),
            _ => (
                format!("this goes in ({})", order - 1),
                &[("tagA", "valueA"), ("tagB", "valueB")],
            ),
        };
        let hash = Hash::of(input.as_bytes());
        let artifact_key = |kind: u8| [b"T", &hash.as_bytes()[..], &[kind]].concat();
        let (mut inputs, mut outputs) = (Encoder::new(), Encoder::new());
        inputs.array(2).bytes(input.as_bytes()).uint(order);
        outputs.array(1).bytes(b"and this comes out");
        tree.insert(&artifact_key(1), &inputs.finish()).unwrap();
        tree.insert(&artifact_key(2), &outputs.finish()).unwrap();
        for (tag, value) in tags {
            let key = [b"E", tag.as_bytes(), &hash.as_bytes()[..]].concat();
            tree.insert(&key, value.as_bytes()).unwrap();
        }
    }
    assert_eq!(
        tree.root().to_string(),
        "8399ffa753987b00ec6ab251337c6b88e40812662ed345468fcbf1dbdd16321c"
    );
}

#[test]
fn proofs_of_values_have_the_digests() {
    let published: [(ProofVersion, [&str; 11]); 2] = [
        (
            ProofVersion::V0,
            [
                "a321f918b2a1a18730d18bf9a85411fcc4edf3cdd514fe0f26f8490bcf385875",
                "aad81649e00b7cd8562a81e709591eae00ba40d703505cdabb86b205823d2259",
                "8486fbdf28a9590ca64cb3fbd7aaba3a8cffd9e0a6f71f980fad67ded15d9da4",
                "173dc1361286dc9c45e7fb1f7d99d9ed18fad88e3558eb84bac5838e830cbb99",
                "ff9509165a0c6e0981cb80e29c4b282ed38d16fa949e88f0beed7a336d1c2cda",
                "1d8c5d0ed00faac6ea73518f60365e31b712fc2c61518899bd80259db366e001",
                "297eacfdc77ccb6e320ddf75bfc1a928cf8e487d0466fe94e086263273e04d08",
                "491058f6769c269062139cf86a1f22c0d993ce121df147370dc43875319a584b",
                "9d0d968fad00403f93cc88a72127b40281bca422e67ff6fe40d7d3b6f777e872",
                "4916f59779e6dd96c71cd231f876cadc2b5b5cabe53cfdf0461f0cb87de4725f",
                "11a6a93c751201c3ae03bf83e27c5ca179f47ccb128196633f574fd841c2b44d",
            ],
        ),
        (
            ProofVersion::V1,
            [
                "9f3128f9ee2942056886e5d13eb93402936ba30e23f52c142dcf54e7739c0575",
                "ef6eca741ab25f6fed079ba67bd79c63e02eadcf0262caa47ab2ca03405684a2",
                "33f052f68be4306ff482333e6ae80e5b75382d9ca6944f22f325d5318cb3960e",
                "aec0549c11a8cffdeb93e6c3551fd269e2de2c99cfe706468d76d1338e20ac07",
                "9c02f2d90ce4f8898fe636480cd0b25be5ab87cdf4a65c3748859f4a0629ad84",
                "313436907a669097e426e76a605c82e9bafdd0f9068c974d8e8629ee12fc6206",
                "fba852db1df7aa6bb59b3f51e2e1d6b246dbe10b29801dd4dcfaa79d3b6a44ce",
                "b040451c98e2899cc1dc97490d7cbafb25e428221be6c4c9f9fc628bc56b5e4e",
                "c5fb70a1fe9879190cd07e595a2450722bd9a4569344322c3fdfd4923dfd38f4",
                "645379cca0a689b46ebd6ab030164d10ed231a12476a5b8649c21093ce044297",
                "d41522bf693aac16ec2185f23b03e7da42a2ce1ce097bf7c4c86a6fbb1fa9cb7",
            ],
        ),
    ];
    let tree = tree_of(numbered(11));
    for (version, digests) in published {
        for ((key, value), digest) in numbered(11).zip(digests) {
            let proof = tree.prove(&key, version, false).unwrap();
            let encoded = proof.encode();
            assert_eq!(Hash::of(&encoded).to_string(), digest);
            assert_eq!(Proof::decode(&encoded).unwrap(), proof);
            let verified = proof.verify(&tree.root()).unwrap();
            assert_eq!(verified.get(&key).unwrap(), Some(&value[..]));
        }
    }
}

/// A proof that shows the nodes at these paths from the root (`L` left, `R` right).
fn assemble(whole: &VerifiedTree, version: ProofVersion, paths: &[&str]) -> Proof {
    let mut entries = Vec::new();
    let mut open = vec![(whole.top(), String::new())];
    while let Some((edge, path)) = open.pop() {
        let Edge::Node(number) = edge else {
            entries.push(None);
            continue;
        };
        if !paths.contains(&path.as_str()) {
            let hash = whole.hashes()[number];
            entries.push(Some([&[2], &hash.as_bytes()[..]].concat()));
            continue;
        }
        let mut entry = vec![1];
        match &whole.nodes()[number] {
            VerifiedNode::Leaf { key, value } => {
                CompactNode::Leaf { key, value }.encode(&mut entry)
            }
            VerifiedNode::Internal {
                label,
                leaf,
                left,
                right,
            } => {
                open.push((*right, format!("{path}R")));
                open.push((*left, format!("{path}L")));
                let own = match leaf {
                    Edge::Node(number) => Some(&whole.nodes()[*number]),
                    _ => None,
                };
                let own = match own {
                    Some(VerifiedNode::Leaf { key, value }) => Some((&key[..], &value[..])),
                    _ => None,
                };
                if version == ProofVersion::V1 {
                    open.push((*leaf, format!("{path}O")));
                }
                let label = label.clone();
                let leaf = own.filter(|_| version == ProofVersion::V0);
                CompactNode::Internal { label, leaf }.encode(&mut entry);
            }
        }
        entries.push(Some(entry));
    }
    Proof {
        version,
        untrusted_root: whole.root(),
        entries,
    }
}

#[test]
fn proofs_of_chosen_nodes_have_the_digests() {
    const V0: ProofVersion = ProofVersion::V0;
    const V1: ProofVersion = ProofVersion::V1;
    let published: [(usize, ProofVersion, &[&str], &str); 7] = [
        (
            10,
            V0,
            &[],
            "a9c3cdc674aadda073959a0989d0c12b92b39ef849058d119d1b57348312f830",
        ),
        (
            10,
            V0,
            &["", "L"],
            "bbb9a8246e288645d53a3024fda617fc020b9999cc3e8d964d6ab557f0ce459a",
        ),
        (
            11,
            V1,
            &[],
            "63862c0fd01d6a2dafb036c9c148932b74d38833deecc934948bb114d7e5cace",
        ),
        (
            11,
            V1,
            &[""],
            "8726b61f66e60243c649ea3cdfa737b11644e30fe29aead6d3e27fe4e283c897",
        ),
        (
            11,
            V1,
            &["", "L"],
            "9072646160a3ebb1a4e1e7ebdf2336079ff5852b2e44b7477a5fec694a9c3ee0",
        ),
        (
            11,
            V1,
            &["", "L", "LL", "LLL", "LLLR", "LLLRL"],
            "d41522bf693aac16ec2185f23b03e7da42a2ce1ce097bf7c4c86a6fbb1fa9cb7",
        ),
        (
            10,
            V1,
            &["", "L"],
            "0e33898c8366337a8dabf157839f3671f7963160e8531c36e0808a2cc1211e0a",
        ),
    ];
    for (count, version, paths, digest) in published {
        let tree = tree_of(numbered(count));
        let whole = tree.prove_iterate(b"", 20, version).unwrap();
        let whole = whole.verify(&tree.root()).unwrap();
        let proof = assemble(&whole, version, paths);
        let encoded = proof.encode();
        assert_eq!(Hash::of(&encoded).to_string(), digest, "{paths:?}");
        assert_eq!(Proof::decode(&encoded).unwrap(), proof);
        let verified = proof.verify(&tree.root()).unwrap();
        // An entry more than the tree has is refused.
        let mut longer = proof.clone();
        longer.entries.push(proof.entries[0].clone());
        assert_eq!(
            longer.verify(&tree.root()),
            Err(ProofError::Unused { count: 1 })
        );
        if paths.len() < 6 {
            assert_eq!(verified.shown().count(), 0);
        }
        // A key that ends before its way has gone on shows the way up to there.
        if paths == [""] {
            assert_eq!(tree.prove(b"", version, false).unwrap(), proof);
        }
    }
}

/// The seeds of Oasis Core's proof fuzzer are the second of the proofs above and this one.
#[test]
fn the_seed_of_the_fuzzer_is_the_proof_of_a_value() {
    let tree = tree_of(numbered(10));
    let proof = tree.prove(b"key 9", ProofVersion::V1, false).unwrap();
    assert_eq!(
        Hash::of(&proof.encode()).to_string(),
        "344a41203b792000301a1e3e572d31ce11d70deeb7bba986f30bd2b20bf3fd2c"
    );
    let verified = proof.verify(&tree.root()).unwrap();
    assert_eq!(verified.get(b"key 9").unwrap(), Some(&b"value 9"[..]));
}

/// A step of a script, in hexadecimal.
enum Step {
    /// Key and value.
    Insert(&'static str, &'static str),
    /// Key.
    Remove(&'static str),
    /// Key and the value it has.
    Get(&'static str, &'static str),
    /// Where to go, and the first key and value from there on.
    Seek(&'static str, &'static str, &'static str),
}

fn opened_remotely(tree: &Tree) -> RemoteTree {
    let root = Root {
        namespace: RuntimeId::test(0),
        version: 0,
        root_type: RootType::State,
        hash: tree.root(),
    };
    let server = TreeSyncer::new(root, tree.clone()).unwrap();
    RemoteTree::new(root, Box::new(server), CacheLimits::default())
}

/// Does a step on a tree, and on one that is read through a peer who has the tree as it was before.
fn follow(tree: &mut Tree, step: &Step) {
    let mut remote = opened_remotely(tree);
    match step {
        Step::Insert(key, value) => {
            let (key, value) = (unhex(key), unhex(value));
            remote.insert(&key, &value).unwrap();
            tree.insert(&key, &value).unwrap();
            assert_eq!(tree.get(&key).unwrap().unwrap()[..], value[..]);
        }
        Step::Remove(key) => {
            let key = unhex(key);
            assert_eq!(remote.remove(&key).unwrap(), tree.remove(&key).unwrap());
            assert_eq!(remote.get(&key).unwrap(), None);
            assert!(tree.get(&key).unwrap().is_none());
        }
        Step::Get(key, value) => {
            let (key, value) = (unhex(key), unhex(value));
            assert_eq!(remote.get(&key).unwrap().unwrap(), value);
            assert_eq!(tree.get(&key).unwrap().unwrap()[..], value[..]);
        }
        Step::Seek(start, key, value) => {
            let expected = (unhex(key), unhex(value));
            let start = unhex(start);
            let found = remote.iterate_from(&start, 0).unwrap().next();
            let there = tree.iterate_from(&start).unwrap().next();
            for entry in [found.unwrap().unwrap(), there.unwrap().unwrap()] {
                assert_eq!((entry.key.to_vec(), entry.value.to_vec()), expected);
            }
        }
    }
    assert_eq!(remote.root(), tree.root());
}

#[test]
fn special_cases_end_as_published() {
    use Step::{Get, Insert, Remove, Seek};
    let cases: [(&[Step], usize); 6] = [
        (
            &[
                Insert("cbf5f2242f5951158f08", "82"),
                Insert("cbf5f224", "59cd"),
                Remove("cbf5f2"),
                Get("cbf5f224", "59cd"),
            ],
            2,
        ),
        (
            &[
                Insert("fc", "7e5086ae7c1ac5bbb6"),
                Insert("5700c8b8", "790008c8a2a80ea7323c"),
                Insert("f27f71d6", "dee24d693615"),
                Seek("ad08c5b009807d", "f27f71d6", "dee24d693615"),
            ],
            3,
        ),
        (
            &[
                Insert("416b37901e760c58", "5f"),
                Insert("416b", "90e3352bc5b52456"),
                Insert("416b3790f0eff11f99ef", "258727c8b2922e"),
                Insert("416b", "907d0549b01b83b7"),
                Insert("416b", "90d88158d69078e3"),
                Seek("416b3690819c51945e7e", "416b37901e760c58", "5f"),
            ],
            3,
        ),
        (
            &[
                Insert("353944", "423543"),
                Insert("3539", "4334354134313444363843343932"),
                Remove("3539"),
            ],
            1,
        ),
        (
            &[
                Insert("030000", ""),
                Insert("03001e", ""),
                Insert("00001e", ""),
                Remove("00001e"),
            ],
            2,
        ),
        (
            &[
                Insert("0200", "01"),
                Insert("02", "01"),
                Insert("01", "01"),
                Remove("0200"),
            ],
            2,
        ),
    ];
    for (steps, left) in cases {
        let mut tree = Tree::empty();
        for step in steps {
            follow(&mut tree, step);
        }
        assert_eq!(tree.iterate_from(b"").unwrap().count(), left);
    }
}

#[test]
fn iterations_start_where_published() {
    let items = [
        ("key", "first"),
        ("key 1", "one"),
        ("key 2", "two"),
        ("key 5", "five"),
        ("key 8", "eight"),
        ("key 9", "nine"),
    ];
    let tree = tree_of(items.map(|(key, value)| (key.into(), value.into())));
    let seeks = [
        ("", 0),
        ("k", 0),
        ("key 1", 1),
        ("key 3", 3),
        ("key 4", 3),
        ("key 5", 3),
        ("key 6", 4),
        ("key 7", 4),
        ("key 8", 4),
        ("key 9", 5),
        ("key A", 6),
    ];
    for (start, first) in seeks {
        let found: Vec<_> = tree
            .iterate_from(start.as_bytes())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
            .collect();
        let expected: Vec<(Vec<u8>, Vec<u8>)> = items[first..]
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        assert_eq!(found, expected, "from {start}");
    }

    let pair = [("key 5", "fivey"), ("key 7", "seven")];
    let tree = tree_of(pair.map(|(key, value)| (key.into(), value.into())));
    let first = tree
        .iterate_from(b"key 3")
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(&first.key[..], b"key 5");

    let keys = [
        "54dcb497eb46bc7cb1a1a29d143d5d41f1a684c97e12f2ae536eceb828c15fc34c02",
        "54dd32a01981671e87f0ef72cd601a1323f6804ace91bd77cd719473ce40ff6c2b01",
    ];
    let missing = unhex("54da85be3251772db943cba67341d402117c87ada2a9e8aad7171d40b6b4dc9fbc");
    let tree = tree_of(keys.map(|key| (unhex(key), b"value".to_vec())));
    let first = tree
        .iterate_from(&missing)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        (&first.key[..], &first.value[..]),
        (&unhex(keys[0])[..], &b"value"[..])
    );
    let mut remote = opened_remotely(&tree);
    let first = remote.iterate_from(&missing, 0).unwrap().next().unwrap();
    assert_eq!(first.unwrap().key[..], unhex(keys[0]));
}
