//! Bounds of rounds, queues and cycles.

use trilith_protocol::{Batch, Input, RoundLimits, Runtime};
use trilith_types::{StateRead, TimeNanos};

use crate::network::*;
use crate::{installed, network};

fn execute(network: &Network, inputs: usize, limits: &RoundLimits) -> Result<usize, String> {
    let mut context = network.context();
    context.round = context.round.next();
    context.time = TimeNanos(network.time + 1);
    let bytes = vec![7; 100];
    let batch = Batch {
        time: context.time,
        inputs: (0..inputs).map(|_| Input::new(bytes.clone())).collect(),
    };
    network
        .engine
        .execute(&network.state, &batch, &context, limits)
        .map(|outcome| outcome.receipts.len())
        .map_err(|fault| fault.to_string())
}

#[test]
fn a_batch_beyond_the_limits_of_the_runtime_is_not_executed() {
    let mut network = network();
    installed(&mut network);
    let limits = RoundLimits {
        batch_inputs_max: 3,
        batch_bytes_max: 250,
        messages_max: 1,
    };
    assert_eq!(execute(&network, 2, &limits), Ok(2));
    let fault = execute(&network, 3, &limits).unwrap_err();
    assert!(
        fault.contains("have 300 bytes, the limit is 250"),
        "{fault}"
    );
    let fault = execute(&network, 4, &limits).unwrap_err();
    assert!(fault.contains("has 4 inputs, the limit is 3"), "{fault}");
    let root = network.state.root();
    assert_eq!(root, network.state.root());
}

#[test]
fn a_queue_between_two_canisters_holds_five_hundred_calls() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    // One message opens more calls than the queue holds; the last of them is refused.
    let call = format!("call {two} run 0 - [reply x] [] [reply_reject] []; ");
    let reject = replied(network.update(one, "run", call.repeat(501)));
    let reject = String::from_utf8(reject).unwrap();
    assert!(reject.starts_with("2 IC0201: "), "{reject}");
    assert_eq!(replied(network.update(one, "run", "reply again")), b"again");
}

#[test]
fn messages_pay_for_what_they_use_and_get_the_rest_back() {
    use candid::Nat;
    use ic_management_canister_types::CanisterStatusResult;
    let mut network = network();
    let id = installed(&mut network);
    let two = installed(&mut network);
    let balance = |network: &mut Network, canister_id| -> u128 {
        let record = CanisterRecord { canister_id };
        let status: CanisterStatusResult =
            answered(network.ask_management(canister_id, "canister_status", record));
        u128::try_from(status.cycles.0).unwrap()
    };
    // An update: 1.2M + 2,000 a byte for the message, 5M + 1 an instruction for executing it.
    let before = balance(&mut network, id);
    replied(network.update(id, "run", "spend 1000000; reply x"));
    let bytes = ("run".len() + "spend 1000000; reply x".len()) as u128;
    let update = |instructions: u128| 5_000_000 + instructions;
    let ingress = |bytes: u128| 1_200_000 + 2_000 * bytes;
    let paid = before - balance(&mut network, id);
    assert_eq!(paid, ingress(bytes) + update(1_001_000));
    // A call: 260,000 and 1,000 a byte both ways; of what is prepaid for the answer the rest comes
    // back.
    let program = format!("call {two} run 77 - [accept 7, reply four] [reply x] [] []");
    let before = (balance(&mut network, id), balance(&mut network, two));
    replied(network.update(id, "run", program.clone()));
    let sent = "runaccept 7; reply four".len() as u128;
    let expected = ingress(("run".len() + program.len()) as u128)
        + update(1_000)
        + 260_000
        + 1_000 * (sent + "four".len() as u128)
        + update(1_000)
        + 7;
    assert_eq!(before.0 - balance(&mut network, id), expected);
    assert_eq!(before.1 - balance(&mut network, two), update(1_000) - 7);
    // Idling: 317,500 a GiB and second, and 10,000 a second for being there.
    let record = CanisterRecord { canister_id: two };
    let status: CanisterStatusResult =
        answered(network.ask_management(two, "canister_status", record));
    let size = u128::try_from(status.memory_size.0).unwrap();
    let a_day = size * 317_500 * 86_400 / (1 << 30) + 10_000 * 86_400;
    assert_eq!(status.idle_cycles_burned_per_day, Nat::from(a_day));
    network.run(Vec::new());
    let before = balance(&mut network, two);
    network.time += 100 * SECOND;
    network.run(Vec::new());
    let spent = before - balance(&mut network, two);
    let least = 100 * (10_000 + size * 317_500 / (1 << 30));
    assert!(
        (least..least + 3_000_000).contains(&spent),
        "{spent} of {least}"
    );
}
