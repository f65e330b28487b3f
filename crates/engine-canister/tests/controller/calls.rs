//! Calls between canisters: replies, rejects, traps, cleanup, cycles, deadlines.

use candid::Principal;

use crate::network::*;
use crate::{installed, network};

fn pair() -> (Network, Principal, Principal) {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    (network, one, two)
}

#[test]
fn a_reply_reaches_the_callback_and_the_caller() {
    let (mut network, one, two) = pair();
    let program = format!(
        "set a; call {two} run 0 - [set called, reply pong] [add b, reply_arg] [reply_reject] []"
    );
    assert_eq!(replied(network.update(one, "run", program)), b"pong");
    assert_eq!(replied(network.update(one, "run", "reply_state")), b"ab");
    assert_eq!(
        replied(network.update(two, "run", "reply_state")),
        b"called"
    );
}

#[test]
fn rejects_reach_the_callback_with_code_and_text() {
    let (mut network, one, two) = pair();
    let call = |callee: Principal, method: &str, argument: &str| {
        format!("call {callee} {method} 0 - [{argument}] [reply_arg] [reply_reject] []")
    };
    assert_eq!(
        replied(network.update(one, "run", call(two, "run", "reject no"))),
        b"4 no"
    );
    let trapped = String::from_utf8(replied(network.update(
        one,
        "run",
        call(two, "run", "trap oh"),
    )))
    .unwrap();
    assert_eq!(
        trapped,
        format!(
            "5 IC0503: Error from Canister {two}: Canister called `ic0.trap` with message: 'oh'"
        )
    );
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let gone =
        String::from_utf8(replied(network.update(one, "run", call(nobody, "run", "")))).unwrap();
    assert_eq!(gone, format!("3 IC0301: Canister {nobody} not found"));
    let method =
        String::from_utf8(replied(network.update(one, "run", call(two, "none", "")))).unwrap();
    assert!(method.starts_with("5 IC0536: "), "{method}");
    let silent = String::from_utf8(replied(network.update(
        one,
        "run",
        call(two, "run", "set x"),
    )))
    .unwrap();
    assert!(silent.starts_with("5 IC0506: "), "{silent}");
}

#[test]
fn a_callback_that_traps_keeps_what_was_done_before_the_await_and_cleans_up() {
    let (mut network, one, two) = pair();
    let program =
        format!("set before; call {two} run 0 - [reply x] [set lost, trap late] [] [add  cleaned]");
    let (code, message, error) = rejected(network.update(one, "run", program));
    assert_eq!((code, error.as_str()), (5, "IC0503"));
    assert!(message.contains("'late'"), "{message}");
    assert_eq!(
        replied(network.update(one, "run", "reply_state")),
        b"before cleaned"
    );
    let program = format!("set before; call {two} run 0 - [reply x] [trap late] [] [trap later]");
    let (_, message, _) = rejected(network.update(one, "run", program));
    assert!(
        message.contains("'late'") && message.contains("'later'"),
        "{message}"
    );
}

#[test]
fn an_early_reply_stands_when_a_callback_traps() {
    let (mut network, one, two) = pair();
    let program = format!("reply early; call {two} run 0 - [reply x] [trap late] [] []");
    assert_eq!(replied(network.update(one, "run", program)), b"early");
}

#[test]
fn cycles_are_accepted_and_the_rest_comes_back() {
    let (mut network, one, two) = pair();
    let program = format!("call {two} run 1000000 - [accept 300000, reply x] [reply_refund] [] []");
    assert_eq!(replied(network.update(one, "run", program)), b"700000");
    let program = format!("call {two} run 1000000 - [accept 300000, trap x] [] [reply_refund] []");
    assert_eq!(replied(network.update(one, "run", program)), b"1000000");
    // More cycles than the canister has trap the message.
    let program =
        format!("set gone; call {two} run 900000000000000 - [reply x] [reply x] [reply x] []");
    let (code, _, error) = rejected(network.update(one, "run", program));
    assert_eq!((code, error.as_str()), (5, "IC0520"));
    assert_eq!(replied(network.update(one, "run", "reply_state")), b"");
}

#[test]
fn canisters_call_themselves_and_nest() {
    let (mut network, one, two) = pair();
    let inner = format!("call {one} run 0 - [reply deep] [reply_arg] [] []");
    let program = format!("call {two} run 0 - [{inner}] [reply_arg] [reply_reject] []");
    assert_eq!(replied(network.update(one, "run", program)), b"deep");
}

#[test]
fn a_stopping_canister_waits_for_its_calls() {
    let (mut network, one, two) = pair();
    // The callee runs for three rounds, so that the caller has a call open.
    let program = format!("call {two} run 0 - [spend 11000000000, reply x] [reply_arg] [] []");
    let call = network.submit(one, "run", program.into_bytes());
    let record = candid::encode_one(CanisterRecord { canister_id: one }).unwrap();
    let stop = network.submit(Principal::management_canister(), "stop_canister", record);
    assert_eq!(
        network.status(stop),
        trilith_engine_canister::query::RequestStatus::Processing
    );
    let (_, _, error) = rejected(network.update(one, "run", "reply x"));
    assert_eq!(error, "IC0509");
    network.settle();
    assert_eq!(replied(network.status(call)), b"x");
    replied(network.status(stop));
}

#[test]
fn uninstalling_answers_open_calls() {
    let (mut network, one, two) = pair();
    let program = format!("call {two} run 0 - [spend 11000000000, reply x] [reply_arg] [] []");
    let call = network.submit(one, "run", program.into_bytes());
    replied(network.manage("uninstall_code", CanisterRecord { canister_id: one }));
    let (code, message, _) = rejected(network.status(call));
    assert_eq!(
        (code, message.as_str()),
        (4, "Canister has been uninstalled.")
    );
    network.settle();
    replied(network.install(one, Mode::install, crate::MODULE, ""));
    assert_eq!(replied(network.update(one, "run", "reply again")), b"again");
}

#[test]
fn best_effort_calls_time_out_and_late_answers_are_dropped() {
    let (mut network, one, two) = pair();
    let program =
        format!("call {two} run 0 1 [spend 21000000000, reply late] [reply_arg] [reply_reject] []");
    let call = network.submit(one, "run", program.into_bytes());
    network.time += 2 * SECOND;
    // In the first round it may be the turn of the callee, which uses it up.
    network.run(Vec::new());
    network.run(Vec::new());
    let reply = String::from_utf8(replied(network.status(call))).unwrap();
    assert!(reply.starts_with("6 IC0601: "), "{reply}");
    network.settle();
    assert_eq!(replied(network.update(one, "run", "reply fine")), b"fine");
}

/// Whoever proposes the next round may know its randomness when the request is fixed, so the one
/// after that answers.
#[test]
fn randomness_comes_from_the_round_after_the_next() {
    let (mut network, one, _) = pair();
    let program = "call aaaaa-aa raw_rand 0 - [] [reply_arg] [] []";
    let mut draw = |from: u8| -> Vec<u8> {
        network.randomness = Some([from; 32]);
        let call = network.submit(one, "run", program.as_bytes().to_vec());
        let waits = trilith_engine_canister::query::RequestStatus::Processing;
        assert_eq!(network.status(call), waits);
        network.randomness = Some([from + 1; 32]);
        network.run(Vec::new());
        assert_eq!(network.status(call), waits);
        network.randomness = Some([from + 2; 32]);
        network.run(Vec::new());
        let value: serde_bytes::ByteBuf =
            candid::decode_one(&replied(network.status(call))).unwrap();
        value.into_vec()
    };
    let answer = |from: u8| {
        let parts: [&[u8]; 3] = [b"trilith raw_rand", &[from; 32], &0u64.to_be_bytes()];
        trilith_types::hash::sha256(&parts).to_vec()
    };
    assert_eq!(draw(1), answer(3));
    assert_eq!(draw(11), answer(13));
}

#[test]
fn canisters_create_canisters_with_their_cycles() {
    let (mut network, one, _) = pair();
    let call = |cycles: u128| {
        format!("call aaaaa-aa create_canister {cycles} - [] [reply_arg] [reply_reject] []")
    };
    let reply = replied(network.update(one, "run", call(600_000_000_000)));
    let record: CanisterRecord = candid::decode_one(&reply).unwrap();
    assert_eq!(
        record.canister_id,
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1])
    );
    let reply = String::from_utf8(replied(network.update(one, "run", call(1)))).unwrap();
    assert!(reply.starts_with("4 IC0403: "), "{reply}");
}
