//! The roothash service's parameters, its part of a genesis document, the roots of past rounds, and
//! that every number of a refusal is produced by a test.

mod network;
mod registered;
mod rounds;

use std::fs;
use std::path::Path;

use network::{Network, RUNTIME, address, key, node, rejection};
use registered::{STORAGE, entity_of, node_of, ok, real, runtime_of, signed_entity, signed_node};
use rounds::{alone, q, registered};
use trilith_protocol::root::registry::Node;
use trilith_protocol::root::{
    Blob, CarriedRuntime, GenesisError, IncomingMessage, RootAnswer, RoothashGenesis,
    RoothashParameters, RoundRoots, SUBMIT_MESSAGE, Signed, SubmitMessage,
};
use trilith_protocol::{HeaderType, RootGenesis, StorageReceipt};
use trilith_root::{MODULE, export, genesis_write_log, roothash};
use trilith_types::{Hash, Round, StateRead as _};

#[test]
fn past_roots_stay_for_some_rounds() {
    let mut document = registered(|_| ());
    document.services.roothash.params.max_past_roots_stored = 3;
    let mut network = Network::new(&document);
    let first = network.latest();
    let roots = |network: &Network, round| {
        roothash::round_roots(&network.view, &RUNTIME, Round(round)).unwrap()
    };
    let of = |header: &trilith_protocol::BlockHeader| {
        Some(RoundRoots {
            state_root: header.state_root,
            io_root: header.io_root,
        })
    };
    assert_eq!(roots(&network, first.round.0), of(&first));
    let mut headers = vec![first];
    for _ in 0..2 {
        network.round();
        headers.push(network.latest());
    }
    network.next_epoch();
    let last = network.latest();
    assert_eq!(last.header_type, HeaderType::EpochTransition);
    headers.push(last.clone());
    assert_eq!(roots(&network, headers[0].round.0), None);
    for header in &headers[1..] {
        assert_eq!(roots(&network, header.round.0), of(header));
    }
    // They are entries of the state, so that they can be proven.
    let mut key = b"Ha".to_vec();
    key.extend_from_slice(RUNTIME.as_bytes());
    key.extend_from_slice(&last.round.0.to_be_bytes());
    let value = network.view.get(&key).unwrap();
    assert_eq!(value, of(&last).map(|roots| roots.encode()));
    let kept = network.view.entries.keys();
    assert_eq!(kept.filter(|key| key.starts_with(b"Ha")).count(), 3);
}

#[test]
fn a_network_may_keep_no_roots() {
    let mut document = registered(|_| ());
    document.services.roothash.params.max_past_roots_stored = 0;
    let mut network = Network::new(&document);
    network.round();
    let mut kept = network.view.entries.keys();
    assert!(!kept.any(|key| key.starts_with(b"Ha")));
}

#[test]
fn a_new_runtime_must_stay_within_the_limits_of_the_network() {
    let mut document = registered(|_| ());
    let params = &mut document.services.roothash.params;
    params.max_runtime_messages = 4;
    params.max_in_runtime_messages = 5;
    let mut network = Network::new(&document);
    assert_eq!(
        roothash::parameters(&network.view),
        Ok(document.services.roothash.params)
    );
    let runtime = |messages, incoming| {
        let mut runtime = runtime_of(10, real(6), 3);
        runtime.executor.max_messages = messages;
        runtime.txn_scheduler.max_in_messages = incoming;
        runtime
    };
    for (messages, incoming, code) in [(5, 5, 31), (4, 6, 32)] {
        let receipt = network.register_runtime(10, &runtime(messages, incoming));
        assert_eq!(rejection(&receipt), Some((MODULE, code)));
    }
    ok(&network.register_runtime(10, &runtime(4, 5)));
    // Its first block has roots too.
    let roots = roothash::round_roots(&network.view, &real(6), Round(5)).unwrap();
    assert_eq!(roots.map(|of| of.io_root), Some(Hash::EMPTY));
    network.sound();
}

#[test]
fn receipts_count_of_elected_storage_nodes_only() {
    let mut document = alone(|runtime| runtime.storage.min_write_replication = 1);
    // Entity 30 has a node that stores for the runtime. Nodes 101 and 102 of the plain list store
    // too, but for runtimes of the plain list.
    let stores = node_of(30, 48, 1_000, (STORAGE, &[RUNTIME]));
    let registry = &mut document.services.registry;
    registry.nodes.push(signed_node(&stores, 48));
    registry
        .nodes
        .sort_by_key(|signed| Node::decode(&signed.raw.0).unwrap().id);
    let owner = |signed: &Signed| signed.signature.public_key == node(30);
    let place = registry.entities.iter().position(owner).unwrap();
    registry.entities[place] = signed_entity(&entity_of(30, &[46, 47, 48]), 30);
    let mut network = Network::new(&document);
    assert_eq!(network.committee().storage, [node(48)]);
    let with = |network: &Network, signers: &[u8], round: u64| {
        let plain = network.outcome(0, Vec::new());
        let results = &plain.header.header;
        let receipt = StorageReceipt {
            namespace: RUNTIME,
            round: Round(results.round.0 + round),
            roots: vec![results.io_root.unwrap(), results.state_root.unwrap()],
        };
        let mut header = plain.header.clone();
        let sign = |number: &u8| receipt.sign(&key(*number), &network.chain);
        header.storage_signatures = signers.iter().map(sign).collect();
        network.sign(&plain.node_id, header)
    };
    // None, of a node that was not elected, twice, one too many, for another round.
    let bad: [(&[u8], u64); 5] = [
        (&[], 0),
        (&[101], 0),
        (&[48, 48], 0),
        (&[48, 102], 0),
        (&[48], 1),
    ];
    for (signers, later) in bad {
        let commitment = with(&network, signers, later);
        let receipt = network.commit(&[commitment]);
        assert_eq!(rejection(&receipt), Some((MODULE, 17)), "{signers:?}");
    }
    network.deliver(&[with(&network, &[48], 0)]);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    // A member that failed has no roots to have receipts for, and a runtime that asks for none
    // takes no commitment with any.
    let mut network = Network::new(&alone(|_| ()));
    let commitment = with(&network, &[48], 0);
    assert_eq!(
        rejection(&network.commit(&[commitment])),
        Some((MODULE, 17))
    );
}

fn waiting(id: u64) -> IncomingMessage {
    IncomingMessage {
        id,
        caller: address(10),
        tag: 0,
        fee: q(1),
        tokens: q(0),
        data: Blob::default(),
    }
}

fn carrying(carried: CarriedRuntime) -> RootGenesis {
    let mut document = alone(|runtime| runtime.txn_scheduler.max_in_messages = 3);
    document.services.roothash.runtimes = [(RUNTIME, carried)].into();
    document
}

#[test]
fn bad_parts_of_a_document_are_refused() {
    let refused = |document: &RootGenesis| match genesis_write_log(document) {
        Err(GenesisError::Service(reject)) => (reject.module, reject.code),
        other => panic!("{other:?}"),
    };
    let base = || alone(|_| ());
    let changes: [fn(&mut RoothashParameters); 4] = [
        |params| params.max_runtime_messages = 257,
        |params| params.max_in_runtime_messages = 1_025,
        |params| params.max_evidence_age = 65_537,
        |params| params.max_past_roots_stored = 65_537,
    ];
    for change in changes {
        let mut document = base();
        change(&mut document.services.roothash.params);
        assert_eq!(refused(&document), (MODULE, 34));
    }
    let gaps = [
        (vec![waiting(0), waiting(2)], 3),
        (vec![waiting(4)], 4),
        (vec![waiting(0)], 0),
        ((0..1_025).map(waiting).collect(), 1_025),
    ];
    for (incoming, next_message) in gaps {
        let document = carrying(CarriedRuntime {
            results: None,
            incoming,
            next_message,
        });
        assert_eq!(refused(&document), (MODULE, 35));
    }
    let mut document = base();
    let stranger = (real(9), CarriedRuntime::default());
    document.services.roothash.runtimes = [stranger].into();
    assert_eq!(refused(&document), (MODULE, 2));
}

#[test]
fn what_waits_is_carried_over_to_a_new_network() {
    let document = carrying(CarriedRuntime {
        results: Some(Default::default()),
        incoming: vec![waiting(7), waiting(8)],
        next_message: 9,
    });
    let mut network = Network::new(&document);
    assert_eq!(network.news().incoming, [waiting(7), waiting(8)]);
    assert_eq!(network.news().results, Some(Default::default()));
    let services = export(&network.view).unwrap();
    assert_eq!(services.roothash, document.services.roothash);
    // Numbers go on there, and what a round made of messages is carried over too.
    let message = SubmitMessage {
        id: RUNTIME,
        tag: 1,
        fee: q(0),
        tokens: q(3),
        data: Blob::default(),
    };
    ok(&network.send(20, SUBMIT_MESSAGE, message.encode()));
    network.deliver(&[network.outcome(2, vec![vec![0x01]])]);
    let roothash: RoothashGenesis = export(&network.view).unwrap().roothash;
    let carried = &roothash.runtimes[&RUNTIME];
    assert_eq!((carried.incoming[0].id, carried.next_message), (9, 10));
    let results = carried.results.as_ref().unwrap();
    assert_eq!(results.messages[0].code, 29);
    let mut next = document;
    next.services.roothash = roothash;
    let again = Network::new(&next);
    assert_eq!(again.news(), network.news());
    let answer = RootAnswer::FromRoot(Box::new(again.news()));
    assert_eq!(RootAnswer::decode(&answer.encode()), Ok(answer));
}

#[test]
fn a_default_document_says_nothing_of_the_service() {
    let network = Network::new(&alone(|_| ()));
    let services = export(&network.view).unwrap();
    assert_eq!(services.roothash, RoothashGenesis::default());
    assert_eq!(
        roothash::parameters(&network.view),
        Ok(RoothashParameters::default())
    );
}

/// By number of a refusal of the service, the test that produces it.
const PRODUCED: &[(u32, &str, &str)] = &[
    (1, "ledger", "bad_transactions_are_rejected"),
    (2, "ledger", "bad_transactions_are_rejected"),
    (3, "messages", "a_suspended_runtime_takes_no_messages"),
    (4, "ledger", "bad_transactions_are_rejected"),
    (
        5,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        6,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        7,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        8,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        9,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        10,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        11,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        12,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        13,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (
        14,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (15, "messages", "other_messages_than_wait_fail_the_round"),
    (
        16,
        "ledger",
        "every_bad_commitment_is_rejected_without_effect",
    ),
    (17, "ledger", "storage_receipts_are_asked_for_and_checked"),
    (18, "ledger", "pool_refusals_are_receipts_too"),
    (19, "ledger", "pool_refusals_are_receipts_too"),
    (20, "ledger", "pool_refusals_are_receipts_too"),
    (21, "ledger", "pool_refusals_are_receipts_too"),
    (
        22,
        "evidence",
        "wrong_evidence_is_refused_without_effect_and_paid_for",
    ),
    (
        23,
        "evidence",
        "evidence_is_heard_for_some_rounds_and_then_forgotten",
    ),
    (
        24,
        "evidence",
        "evidence_is_heard_for_some_rounds_and_then_forgotten",
    ),
    (
        25,
        "evidence",
        "a_runtime_that_does_not_punish_or_does_not_run_hears_none",
    ),
    (
        26,
        "evidence",
        "wrong_evidence_is_refused_without_effect_and_paid_for",
    ),
    (27, "messages", "a_message_waits_is_shown_and_is_taken_up"),
    (
        28,
        "messages",
        "messages_that_cannot_wait_are_refused_and_paid_for",
    ),
    (29, "messages", "each_message_takes_effect_by_itself"),
    (
        31,
        "roothash",
        "a_new_runtime_must_stay_within_the_limits_of_the_network",
    ),
    (
        32,
        "roothash",
        "a_new_runtime_must_stay_within_the_limits_of_the_network",
    ),
    (
        33,
        "../src/roothash/parameters",
        "changes_are_checked_and_applied",
    ),
    (34, "roothash", "bad_parts_of_a_document_are_refused"),
    (35, "roothash", "bad_parts_of_a_document_are_refused"),
];

/// The numbers in the source of [`trilith_root::Rejection::code`].
fn numbers() -> Vec<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(folder.join("src/roothash/reject.rs")).unwrap();
    let (_, code) = source.split_once("const fn code").unwrap();
    let (code, _) = code.split_once("\nimpl").unwrap();
    let arms = code.lines().filter_map(|line| line.split_once("=> "));
    arms.filter_map(|(_, number)| number.trim_end_matches(',').parse().ok())
        .collect()
}

#[test]
fn every_number_has_a_test_that_produces_it() {
    let numbers = numbers();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "numbers are never reused"
    );
    let produced: Vec<u32> = PRODUCED.iter().map(|(number, ..)| *number).collect();
    assert_eq!(produced, numbers);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (number, file, test) in PRODUCED {
        let source = fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap();
        let there = source.contains(&format!("fn {test}()"));
        assert!(there, "no test {test} in {file}.rs for number {number}");
    }
}
