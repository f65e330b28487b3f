//! Slices over rounds, executions that are lost, and faults of the node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use candid::Principal;
use trilith_engine_canister::query::RequestStatus;
use trilith_protocol::{Batch, RoundLimits, Runtime};
use trilith_types::{NodeId, SecretKey, StateRead, TimeNanos};

use crate::network::*;
use crate::script::ScriptExecutor;
use crate::{MODULE, installed, network};

#[test]
fn a_long_message_takes_rounds_and_sees_the_time_of_its_start() {
    // The harness re-runs the message from its start in every round with its second engine.
    let mut network = network();
    let id = installed(&mut network);
    let call = network.submit(
        id,
        "run",
        b"spend 9000000000; set done; reply_time".to_vec(),
    );
    let started = network.time;
    assert_eq!(network.status(call), RequestStatus::Processing);
    let second = network.submit(id, "run", b"reply_state".to_vec());
    assert_eq!(network.status(second), RequestStatus::Received);
    network.settle();
    assert_eq!(
        replied(network.status(call)),
        started.to_string().into_bytes()
    );
    assert_eq!(replied(network.status(second)), b"done");
}

#[test]
fn another_committee_starts_paused_executions_over() {
    let keys = [9, 10, 11].map(|seed| SecretKey::from_seed([seed; 32]).public());
    let rounds_and_starts = |later: &[NodeId]| {
        let executor = Arc::new(ScriptExecutor::default());
        let mut network = Network::new(executor.clone(), || Arc::new(ScriptExecutor::default()));
        network.committee = keys[..2].to_vec();
        let id = installed(&mut network);
        let (round, starts) = (network.round, executor.started.load(Ordering::Relaxed));
        let program = b"spend 9000000000; reply_time".to_vec();
        let call = network.submit(id, "run", program);
        let started = network.time;
        network.committee = later.to_vec();
        network.settle();
        let time = started.to_string().into_bytes();
        assert_eq!(
            replied(network.status(call)),
            time,
            "the time is that of the first start"
        );
        let starts = executor.started.load(Ordering::Relaxed) - starts;
        (network.round - round, starts)
    };
    assert_eq!(rounds_and_starts(&keys[..2]), (3, 1));
    assert_eq!(rounds_and_starts(&[keys[1], keys[0]]), (3, 1));
    assert_eq!(rounds_and_starts(&keys[1..]), (4, 2));
}

#[test]
fn another_committee_starts_a_paused_installation_over() {
    let rounds = |changes: bool| {
        let mut network = network();
        let id = network.create();
        let args = InstallArgs {
            mode: Mode::install,
            canister_id: id,
            wasm_module: MODULE.to_vec(),
            arg: b"spend 13000000000; set slow".to_vec(),
        };
        let round = network.round;
        let install = network.submit(
            Principal::management_canister(),
            "install_code",
            candid::encode_one(args).unwrap(),
        );
        network.run(Vec::new());
        if changes {
            network.committee = vec![SecretKey::from_seed([10; 32]).public()];
        }
        network.settle();
        replied(network.status(install));
        let rounds = network.round - round;
        assert_eq!(replied(network.update(id, "run", "reply_state")), b"slow");
        rounds
    };
    assert_eq!(rounds(true), rounds(false) + 2);
}

#[test]
fn a_message_over_the_limit_of_instructions_fails_and_pays() {
    let mut network = network();
    let id = installed(&mut network);
    let (code, _, error) = rejected(network.update(id, "run", "spend 50000000000; reply x"));
    assert_eq!((code, error.as_str()), (5, "IC0522"));
}

#[test]
fn an_installation_takes_rounds() {
    let mut network = network();
    let id = network.create();
    let args = InstallArgs {
        mode: Mode::install,
        canister_id: id,
        wasm_module: MODULE.to_vec(),
        arg: b"spend 13000000000; set slow".to_vec(),
    };
    let install = network.submit(
        Principal::management_canister(),
        "install_code",
        candid::encode_one(args).unwrap(),
    );
    let other = installed(&mut network);
    assert_eq!(
        replied(network.update(other, "run", "reply meanwhile")),
        b"meanwhile"
    );
    network.settle();
    replied(network.status(install));
    assert_eq!(replied(network.update(id, "run", "reply_state")), b"slow");
    // What was kept for the paused installation is gone.
    assert_eq!(
        network
            .state
            .images
            .keys()
            .filter(|image| image.as_bytes().last() == Some(&5))
            .count(),
        0
    );
}

#[test]
fn a_fault_is_repeated_once_and_then_the_node_abstains() {
    let executor = Arc::new(ScriptExecutor::default());
    let mut network = Network::new(executor.clone(), || Arc::new(ScriptExecutor::default()));
    let id = installed(&mut network);
    executor.failures.store(1, Ordering::Relaxed);
    let before = executor.started.load(Ordering::Relaxed);
    assert_eq!(
        replied(network.update(id, "run", "set x; reply once")),
        b"once"
    );
    assert_eq!(executor.started.load(Ordering::Relaxed), before + 2);
    executor.failures.store(2, Ordering::Relaxed);
    let root = network.state.root();
    let content = trilith_engine_canister::ingress::Content::Call(network.content(
        id,
        "run",
        b"reply twice".to_vec(),
    ));
    let envelope = network.user.envelope(&content);
    let batch = Batch {
        time: TimeNanos(network.time + 1),
        inputs: vec![trilith_protocol::Input::new(envelope.clone())],
    };
    let mut context = network.context();
    context.time = batch.time;
    context.round = context.round.next();
    let limits = RoundLimits {
        batch_inputs_max: 10,
        batch_bytes_max: 1 << 20,
        messages_max: 10,
    };
    let fault = network
        .engine
        .execute(&network.state, &batch, &context, &limits)
        .unwrap_err();
    assert!(fault.to_string().contains("the test asked for it"));
    assert_eq!(network.state.root(), root);
    // The same batch succeeds once the node is well again.
    network.run(vec![envelope]);
    assert_eq!(replied(network.status(content.request_id())), b"twice");
}

#[test]
fn an_outcome_that_is_dropped_leaves_no_trace() {
    let mut network = network();
    let id = installed(&mut network);
    let call = network.submit(id, "run", b"spend 9000000000; reply x".to_vec());
    let limits = RoundLimits {
        batch_inputs_max: 10,
        batch_bytes_max: 1 << 20,
        messages_max: 10,
    };
    // Rounds on the same state that are not sealed, with other times.
    for step in 1..4 {
        let mut context = network.context();
        context.time = TimeNanos(network.time + step * 7);
        let batch = Batch {
            time: context.time,
            inputs: Vec::new(),
        };
        network
            .engine
            .execute(&network.state, &batch, &context, &limits)
            .unwrap();
    }
    network.settle();
    assert_eq!(replied(network.status(call)), b"x");
}

#[test]
fn damaged_records_are_faults_not_outcomes() {
    let mut network = network();
    let id = installed(&mut network);
    let key = [b"canister/".as_slice(), id.as_slice()].concat();
    network.state.keys.get_mut(&key).unwrap()[0] ^= 0x01;
    assert!(network.engine.demand(&network.state).is_err());
}
