//! Encodings against published hashes of Oasis Core and generated vectors.

use std::path::Path;

use serde_json::Value;
use trilith_protocol::{Batch, BlockHeader, ComputeResultsHeader, HeaderType, Input, io};
use trilith_types::{Hash, Round, RuntimeId, TimeNanos};

fn generated() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/mkvs-generated.json");
    let text = std::fs::read_to_string(path).expect("the vectors stand in the repository");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn hash(hex: &str) -> Hash {
    Hash::from_slice(&hex::decode(hex).unwrap()).unwrap()
}

fn field(value: &Value, name: &str) -> Hash {
    hash(value[name].as_str().unwrap())
}

fn optional(value: &Value, name: &str) -> Option<Hash> {
    value[name].as_str().map(hash)
}

#[test]
fn generated_headers_and_results() {
    let vectors = generated();
    let cases = vectors["headers"].as_array().unwrap();
    assert!(cases.len() >= 6);
    for case in cases {
        let fields = &case["header"];
        let header = BlockHeader {
            version: fields["version"].as_u64().unwrap().try_into().unwrap(),
            namespace: RuntimeId::from_bytes(*field(fields, "namespace").as_bytes()),
            round: Round(fields["round"].as_u64().unwrap()),
            timestamp: fields["timestamp"].as_u64().unwrap(),
            header_type: HeaderType::from_number(fields["header_type"].as_u64().unwrap()).unwrap(),
            previous_hash: field(fields, "previous_hash"),
            io_root: field(fields, "io_root"),
            state_root: field(fields, "state_root"),
            messages_hash: field(fields, "messages_hash"),
            in_msgs_hash: field(fields, "in_msgs_hash"),
        };
        let encoded = hex::decode(case["header_cbor"].as_str().unwrap()).unwrap();
        assert_eq!(hex::encode(header.encode()), hex::encode(&encoded));
        assert_eq!(header.hash(), field(case, "header_hash"));
        assert_eq!(BlockHeader::decode(&encoded), Ok(header));

        let fields = &case["results"];
        let results = ComputeResultsHeader {
            round: Round(fields["round"].as_u64().unwrap()),
            previous_hash: field(fields, "previous_hash"),
            io_root: optional(fields, "io_root"),
            state_root: optional(fields, "state_root"),
            messages_hash: optional(fields, "messages_hash"),
            in_msgs_hash: optional(fields, "in_msgs_hash"),
            in_msgs_count: fields["in_msgs_count"]
                .as_u64()
                .unwrap_or(0)
                .try_into()
                .unwrap(),
        };
        assert_eq!(results.hash(), field(case, "results_hash"));
    }
}

/// Oasis Core `roothash/api/block/header_test.go`, commit f9f1fdc60.
#[test]
fn the_published_hash_of_a_full_header() {
    let header = BlockHeader {
        version: 42,
        namespace: RuntimeId::from_bytes(*Hash::EMPTY.as_bytes()),
        round: Round(1000),
        timestamp: 1_560_257_841,
        header_type: HeaderType::RoundFailed,
        previous_hash: hash("677ad1a6b9f5e99ed94e5d598b6f92a4641a5f952f2d753b2a6122b6dceeb792"),
        io_root: Hash::EMPTY,
        state_root: Hash::EMPTY,
        messages_hash: Hash::EMPTY,
        in_msgs_hash: Hash::EMPTY,
    };
    let published = "b17374d9b36796752a787d0726ef44826bfdb3ece52545e126c8e7592663544d";
    assert_eq!(header.hash(), hash(published));
}

/// Oasis Core `roothash/api/commitment/executor_test.go`, commit f9f1fdc60.
#[test]
fn the_published_hashes_of_results() {
    let empty = ComputeResultsHeader {
        round: Round(0),
        previous_hash: Hash::from_bytes([0; 32]),
        io_root: None,
        state_root: None,
        messages_hash: None,
        in_msgs_hash: None,
        in_msgs_count: 0,
    };
    let published = "57d73e02609a00fcf4ca43cbf8c9f12867c46942d246fb2b0bce42cbdb8db844";
    assert_eq!(empty.hash(), hash(published));
    let full = ComputeResultsHeader {
        round: Round(42),
        previous_hash: empty.hash(),
        io_root: Some(Hash::EMPTY),
        state_root: Some(Hash::EMPTY),
        messages_hash: Some(Hash::EMPTY),
        in_msgs_hash: Some(Hash::EMPTY),
        in_msgs_count: 0,
    };
    let published = "8459a9e6e3341cd2df5ada5737469a505baf92397aaa88b7100915324506d843";
    assert_eq!(full.hash(), hash(published));
}

/// Oasis Core `runtime/transaction/batch_test.go` and `message_test.go`, commit f9f1fdc60. Our
/// batch is the array `[time, inputs]`, of which Oasis Core's batch is the second item.
#[test]
fn the_published_hashes_of_a_batch_and_of_no_messages() {
    let inputs = [&b"foo"[..], b"bar", b"aaa"];
    let inputs = inputs.map(|bytes| Input::new(bytes.to_vec())).to_vec();
    let encoded = Batch {
        time: TimeNanos(0),
        inputs,
    }
    .encode();
    let published = "c451dd4fd065b815e784aac6b300e479b2167408f0eebbb95a8bd36b9e71e34d";
    assert_eq!(encoded[..2], [0x82, 0x00]);
    assert_eq!(Hash::of(&encoded[2..]), hash(published));
    let none = "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a";
    assert_eq!(io::messages_hash(&[]), hash(none));
}
