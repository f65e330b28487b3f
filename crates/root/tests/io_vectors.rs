//! The I/O tree's entries against generated vectors, whose trees have no entry of the time but have
//! tags (`'E' ‖ tag ‖ input hash`), which Trilith's receipts do not have.

use std::path::Path;

use serde_json::Value;
use trilith_mkvs::root_of;
use trilith_protocol::{Batch, Input, Receipt, ReceiptStatus, io};
use trilith_types::{Hash, TimeNanos};

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn root(entries: Vec<io::Entry>) -> String {
    root_of(entries).unwrap().to_string()
}

#[test]
fn generated_trees() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/mkvs-generated.json");
    let text = std::fs::read_to_string(path).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["io_trees"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let transactions = case["transactions"].as_array().unwrap();
        let inputs: Vec<Input> = transactions
            .iter()
            .map(|transaction| Input::new(bytes(transaction)))
            .collect();
        let mut entries = io::input_entries(&inputs);
        assert_eq!(root(entries.clone()), case["input_root"].as_str().unwrap());

        for (input, output) in inputs.iter().zip(case["outputs"].as_array().unwrap()) {
            let hash = input.hash();
            entries.push(io::output_entry(&Receipt {
                input: hash,
                status: ReceiptStatus::Accepted,
                output: bytes(&output[0]),
            }));
            for tag in output[1].as_array().unwrap() {
                let key = [&b"E"[..], &bytes(&tag[0]), hash.as_bytes()].concat();
                entries.push((key, bytes(&tag[1])));
            }
        }
        assert_eq!(root(entries), case["io_root"].as_str().unwrap());
    }
}

#[test]
fn the_time_is_one_more_entry() {
    let input = Input::new(vec![1]);
    let receipt = Receipt {
        input: input.hash(),
        status: ReceiptStatus::Accepted,
        output: vec![2],
    };
    let without = [
        io::input_entries(std::slice::from_ref(&input)),
        vec![io::output_entry(&receipt)],
    ];
    let batch = Batch {
        time: TimeNanos(7),
        inputs: vec![input],
    };
    let with = io::entries(&batch, &[receipt]);
    let time: Vec<_> = with
        .iter()
        .filter(|entry| !without.concat().contains(entry))
        .cloned()
        .collect();
    assert_eq!(
        time,
        [(
            b"C".to_vec(),
            [&[0xa1, 0x64][..], b"time", &[0x07]].concat()
        )]
    );
    assert_ne!(root(with), root(without.concat()));
    assert_ne!(root_of(Vec::new()), Ok(Hash::of(b"x")));
}
