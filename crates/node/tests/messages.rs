//! Messages between nodes: what is decoded encodes to the bytes it came from, and nothing that
//! arrives makes a node panic.

mod cluster;
mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use cluster::*;
use network::{RUNTIME, add};
use proptest::prelude::*;
use trilith_node::net::message::{Apply, Changes, ImageBytes, Leaf, WantLeaf, WrittenImage};
use trilith_node::net::{MESSAGE_BYTES_MAX, Message};
use trilith_protocol::{Batch, Input, Receipt, ReceiptStatus};
use trilith_types::{
    Hash, Height, ImageId, PAGE_BYTES, Round, StateRead as _, TimeNanos, WriteLogEntry,
};

/// One message of every kind, by its kind: those that a network sends, and those it seldom needs.
fn messages() -> &'static BTreeMap<u64, Vec<u8>> {
    static MESSAGES: OnceLock<BTreeMap<u64, Vec<u8>>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let mut cluster = Cluster::new(Plan::default());
        let seen: Arc<Mutex<BTreeMap<u64, Vec<u8>>>> = Arc::default();
        let noted = seen.clone();
        cluster.disturb(move |_, _, message| {
            note(&mut noted.lock().unwrap(), message);
            Fate::Deliver
        });
        cluster.execute(1, add(1, 1));
        let slow = cluster.plan.compute;
        cluster.stop(slow);
        cluster.execute(1, add(2, 1));
        cluster.reopen(slow).unwrap();
        cluster.converge();
        let mut seen = seen.lock().unwrap().clone();
        for message in seldom() {
            note(&mut seen, &message);
        }
        seen
    })
}

fn note(seen: &mut BTreeMap<u64, Vec<u8>>, message: &Message) {
    let bytes = message.encode();
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
    // The kind follows the head of the array, as one byte.
    seen.insert(u64::from(bytes[1]), bytes);
}

fn seldom() -> Vec<Message> {
    let batch = Batch {
        time: TimeNanos(5),
        inputs: vec![Input::new(vec![1])],
    };
    let image = |name: &[u8], written| ImageBytes {
        image: ImageId::new(name).unwrap(),
        written,
    };
    let entry = |key: u8, value| WriteLogEntry {
        key: vec![key],
        value,
    };
    let apply = Apply {
        runtime: RUNTIME,
        round: Round(3),
        parent: Hash::EMPTY,
        receipts: vec![Receipt {
            input: batch.inputs[0].hash(),
            status: ReceiptStatus::Rejected {
                module: "m".into(),
                code: 3,
                message: "no".into(),
            },
            output: vec![7],
        }],
        batch,
        changes: Some(Changes {
            log: vec![entry(1, None), entry(2, Some(vec![3]))],
            images: vec![
                image(b"gone", None),
                image(
                    b"heap",
                    Some(WrittenImage {
                        reset: true,
                        pages: 9,
                        runs: vec![(4, vec![8; 2 * PAGE_BYTES])],
                    }),
                ),
            ],
        }),
        io_root: Hash::EMPTY,
        state_root: Hash::EMPTY,
    };
    vec![
        Message::Apply(Box::new(apply)),
        Message::WantBlockAfter(Height(9)),
        Message::WantRound {
            runtime: RUNTIME,
            round: Round(4),
        },
        Message::WantLeaf(Box::new(WantLeaf {
            runtime: RUNTIME,
            round: Round(4),
            state_root: Hash::EMPTY,
            key: vec![1],
            value: [2; 32],
            proof: vec![3; 40],
        })),
        Message::Leaf(Box::new(Leaf {
            runtime: RUNTIME,
            state_root: Hash::EMPTY,
            value: [2; 32],
            signature: [4; 48],
        })),
        Message::Refresh {
            runtime: RUNTIME,
            round: Round(4),
        },
    ]
}

fn check(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes, "another encoding was accepted");
    }
}

#[test]
fn every_kind_is_sent_and_read() {
    let kinds: Vec<u64> = messages().keys().copied().collect();
    assert_eq!(kinds, (0..=12).collect::<Vec<_>>());
}

#[test]
fn what_is_too_long_or_no_message_is_refused() {
    assert!(Message::decode(&vec![0; MESSAGE_BYTES_MAX + 1]).is_err());
    assert!(Message::decode(&[]).is_err());
    for bytes in messages().values() {
        assert!(Message::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

/// Nonsense, and messages of another network of the very same nodes, change nothing.
#[test]
fn a_node_survives_whatever_arrives() {
    let mut cluster = Cluster::new(Plan {
        chain: "another",
        ..Plan::default()
    });
    cluster.execute(1, add(1, 1));
    cluster.converge();
    let before = cluster.states();
    let stranger = entity_key(77).public();
    let all: Vec<_> = cluster.members.iter().map(|member| member.id).collect();
    // A transaction is anybody's, and would count.
    for bytes in messages()
        .iter()
        .filter(|(kind, _)| **kind != 0)
        .map(|(_, bytes)| bytes)
    {
        for node in &all {
            cluster.hub().deliver(stranger, node, bytes[..].into());
            cluster.hub().deliver(stranger, node, bytes[1..].into());
        }
        cluster.step();
    }
    let runtime = |states: Vec<(_, Option<(u64, Hash)>)>| -> Vec<_> {
        states.into_iter().map(|(_, runtime)| runtime).collect()
    };
    assert_eq!(runtime(cluster.states()), runtime(before));
    cluster.execute(1, add(3, 1));
    cluster.converge();
    let view = cluster.handle(1).snapshot().view.clone();
    assert!(view.get(b"seen/\0\0\0\0\0\0\0\x03").unwrap().is_some());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes);
    }

    #[test]
    fn a_message_with_a_flipped_bit_never_panics(
        kind in 0u64..=12,
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = messages()[&kind].clone();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        check(&bytes);
    }
}
