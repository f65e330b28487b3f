//! The tree against `conformance/mkvs-generated.json`: every root, proof, write log and I/O tree,
//! byte for byte.

use serde_json::Value;
use trilith_mkvs::{Proof, ProofVersion, Tree, decode_write_log, diff, encode_write_log, root_of};
use trilith_types::Hash;
use trilith_types::cbor::Encoder;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/mkvs-generated.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v Vec<Value> {
    value[field].as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> Hash {
    Hash::from_slice(&bytes(value)).unwrap()
}

fn optional(value: &Value) -> Option<Vec<u8>> {
    (!value.is_null()).then(|| bytes(value))
}

fn version(value: &Value) -> ProofVersion {
    match value["version"].as_u64().unwrap() {
        0 => ProofVersion::V0,
        1 => ProofVersion::V1,
        other => panic!("version {other} in the vectors"),
    }
}

/// Runs the operations of a script and checks each step.
fn run(script: &Value) -> Tree {
    let mut tree = Tree::empty();
    for (step, operation) in list(script, "operations").iter().enumerate() {
        let key = bytes(&operation[1]);
        match operation[0].as_str().unwrap() {
            "insert" => {
                tree.insert(&key, &bytes(&operation[2])).unwrap();
                assert_eq!(tree.root(), hash(&operation[3]), "step {step}");
            }
            "remove" => {
                tree.remove(&key).unwrap();
                assert_eq!(tree.root(), hash(&operation[2]), "step {step}");
            }
            "get" => {
                let value = tree.get(&key).unwrap().map(|value| value.to_vec());
                assert_eq!(value, optional(&operation[2]), "step {step}");
            }
            other => panic!("operation {other} in the vectors"),
        }
    }
    tree
}

#[test]
fn scripts_give_the_roots_and_items() {
    let vectors = vectors();
    assert_eq!(list(&vectors, "scripts").len(), 16);
    for script in list(&vectors, "scripts") {
        let tree = run(script);
        assert_eq!(tree.root(), hash(&script["root"]));
        let items: Vec<_> = tree
            .iterate_from(b"")
            .unwrap()
            .map(|entry| {
                entry
                    .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
                    .unwrap()
            })
            .collect();
        let expected: Vec<_> = list(script, "items")
            .iter()
            .map(|item| (bytes(&item[0]), bytes(&item[1])))
            .collect();
        assert_eq!(items, expected);
        assert_eq!(root_of(expected).unwrap(), tree.root());
    }
}

#[test]
fn proofs_are_the_same_bytes_and_verify() {
    let mut count = 0;
    for script in list(&vectors(), "scripts") {
        let tree = run(script);
        for vector in list(script, "proofs") {
            let key = bytes(&vector["key"]);
            let siblings = vector["siblings"].as_bool().unwrap();
            let proof = tree.prove(&key, version(vector), siblings).unwrap();
            let encoded = bytes(&vector["proof_cbor"]);
            assert_eq!(hex::encode(proof.encode()), hex::encode(&encoded));
            assert_eq!(Proof::decode(&encoded).unwrap(), proof);
            let verified = proof.verify(&tree.root()).unwrap();
            let value = verified.get(&key).unwrap().map(<[u8]>::to_vec);
            assert_eq!(value, optional(&vector["value"]));
            count += 1;
        }
    }
    assert_eq!(count, 256);
}

#[test]
fn proofs_with_siblings_suffice_to_remove() {
    for script in list(&vectors(), "scripts") {
        let tree = run(script);
        for vector in list(script, "proofs")
            .iter()
            .filter(|vector| vector["siblings"] == true)
        {
            let key = bytes(&vector["key"]);
            let proof = Proof::decode(&bytes(&vector["proof_cbor"])).unwrap();
            let mut partial = Tree::from_verified(&proof.verify(&tree.root()).unwrap());
            let mut whole = tree.clone();
            assert_eq!(partial.remove(&key).unwrap(), whole.remove(&key).unwrap());
            assert_eq!(partial.root(), whole.root());
        }
    }
}

#[test]
fn iterations_are_the_same_bytes_and_cover_what_was_asked() {
    let mut count = 0;
    for script in list(&vectors(), "scripts") {
        let tree = run(script);
        for vector in list(script, "iterations") {
            let start = bytes(&vector["start"]);
            let prefetch = vector["prefetch"].as_u64().unwrap() as u16;
            let proof = tree
                .prove_iterate(&start, prefetch, version(vector))
                .unwrap();
            assert_eq!(
                hex::encode(proof.encode()),
                vector["proof_cbor"].as_str().unwrap()
            );
            let verified = proof.verify(&tree.root()).unwrap();
            let items = usize::from(prefetch) + 1;
            let shown: Vec<_> = verified
                .iterate_from(&start)
                .take(items)
                .map(|item| {
                    item.map(|(key, value)| (key.to_vec(), value.to_vec()))
                        .unwrap()
                })
                .collect();
            let expected: Vec<_> = tree
                .iterate_from(&start)
                .unwrap()
                .take(items)
                .map(|entry| {
                    entry
                        .map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
                        .unwrap()
                })
                .collect();
            assert_eq!(shown, expected);
            count += 1;
        }
    }
    assert_eq!(count, 64);
}

#[test]
fn write_logs_round_trip_apply_and_are_found_again() {
    for script in list(&vectors(), "scripts") {
        let before = run(script);
        let vector = &script["write_log"];
        let encoded = bytes(&vector["cbor"]);
        let log = decode_write_log(&encoded, encoded.len()).unwrap();
        assert_eq!(encode_write_log(&log), encoded);
        assert_eq!(before.root(), hash(&vector["root_before"]));
        let mut after = before.clone();
        after.apply(&log).unwrap();
        assert_eq!(after.root(), hash(&vector["root_after"]));
        assert_eq!(before.root(), hash(&vector["root_before"]));
        let found = diff(&before, &after).unwrap();
        assert!(found.iter().all(|entry| log.contains(entry)));
        let mut again = before.clone();
        again.apply(&found).unwrap();
        assert_eq!(again.root(), after.root());
    }
}

/// Keys of the I/O tree: `T`, hash of the transaction, 1, with its input and its order in the
/// batch; the same with 2 and its output; `E`, tag key, hash of the transaction.
#[test]
fn input_and_output_trees_have_the_roots() {
    let vectors = vectors();
    assert_eq!(list(&vectors, "io_trees").len(), 8);
    for vector in list(&vectors, "io_trees") {
        let mut tree = Tree::empty();
        let transactions: Vec<_> = list(vector, "transactions").iter().map(bytes).collect();
        let hashes: Vec<_> = transactions.iter().map(|input| Hash::of(input)).collect();
        for (order, (input, hash)) in transactions.iter().zip(&hashes).enumerate() {
            let mut artifact = Encoder::new();
            artifact.array(2).bytes(input).uint(order as u64);
            tree.insert(
                &[b"T", &hash.as_bytes()[..], &[1]].concat(),
                &artifact.finish(),
            )
            .unwrap();
        }
        assert_eq!(tree.root(), hash(&vector["input_root"]));
        for (output, hash) in list(vector, "outputs").iter().zip(&hashes) {
            let mut artifact = Encoder::new();
            artifact.array(1).bytes(&bytes(&output[0]));
            tree.insert(
                &[b"T", &hash.as_bytes()[..], &[2]].concat(),
                &artifact.finish(),
            )
            .unwrap();
            for tag in output[1].as_array().unwrap() {
                let key = [b"E", &bytes(&tag[0])[..], hash.as_bytes()].concat();
                tree.insert(&key, &bytes(&tag[1])).unwrap();
            }
        }
        assert_eq!(tree.root(), hash(&vector["io_root"]));
    }
}
