//! Canisters near the system interface: an old one in C with 32-bit stable memory and cycles of 64
//! bits, and odd corners of calls in WAT.

mod wasm_canisters_support;

use candid::Principal;
use trilith_engine_canister::query::CallResult;
use wasm_canisters_support::network::{CanisterRecord, Mode, Network, rejected, replied};
use wasm_canisters_support::{installed, network, sample};

const ELDER: &[u8] = sample!("c/elder.wasm");
const CORNERS: &[u8] = sample!("wat/corners.wasm");

fn look(network: &mut Network, id: Principal, method: &str, argument: &[u8]) -> Vec<u8> {
    match network.query(id, method, argument) {
        CallResult::Replied { arg } => arg,
        other => panic!("{method}: {other:?}"),
    }
}

fn elder() -> (Network, Principal) {
    let mut network = network();
    let id = installed(&mut network, ELDER);
    (network, id)
}

fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

#[test]
fn narrow_stable_memory_saves_the_heap_over_upgrades() {
    let (mut network, id) = elder();
    assert_eq!(
        replied(network.update(id, "remember", "old times")),
        b"old times"
    );
    let put = [&8u32.to_le_bytes()[..], b"in stable"].concat();
    replied(network.update(id, "put", put));
    replied(network.install(id, Mode::upgrade(None), ELDER, ""));
    assert_eq!(look(&mut network, id, "recall", b""), b"old times");
    assert_eq!(
        look(&mut network, id, "take", &8u32.to_le_bytes()),
        b"in stabl"
    );

    // The hook before the upgrade wrote to stable memory; the failed upgrade takes that back.
    replied(network.update(id, "remember", "newer times"));
    let images = network.state.images.len();
    let (_, message, error) =
        rejected(network.install(id, Mode::upgrade(None), ELDER, "told to fail"));
    assert_eq!(error, "IC0503");
    assert!(
        message.contains("told to fail after the upgrade"),
        "{message}"
    );
    assert_eq!(network.state.images.len(), images);
    assert_eq!(look(&mut network, id, "recall", b""), b"newer times");

    replied(network.install(id, Mode::reinstall, ELDER, ""));
    assert_eq!(look(&mut network, id, "recall", b""), b"");
    assert_eq!(look(&mut network, id, "take", &8u32.to_le_bytes()), [0; 8]);
    assert_eq!(look(&mut network, id, "self", b""), id.as_slice());
}

#[test]
fn narrow_stable_memory_ends_at_four_gigabytes() {
    let (mut network, id) = elder();
    let size = |network: &mut Network| number(&look(network, id, "size", b""));
    assert_eq!(size(&mut network), 2);
    let mut grow = |method: &str, pages: u32| {
        number(&replied(network.update(id, method, pages.to_le_bytes())))
    };
    assert_eq!(grow("grow", 3), 2);
    assert_eq!(
        grow("grow", 65_532),
        u64::from(u32::MAX),
        "one page too much"
    );
    assert_eq!(grow("grow", 65_531), 5);
    assert_eq!(grow("grow", 0), 65_536);
    assert_eq!(grow("grow", 1), u64::from(u32::MAX));
    assert_eq!(grow("grow_wide", 1), 65_536);
    // Beyond that the narrow functions trap, and the wide ones go on.
    let (_, message, error) = rejected(network.update(id, "grow", 0u32.to_le_bytes()));
    assert_eq!(error, "IC0502");
    assert!(message.contains("32 bit stable memory api"), "{message}");
    assert!(matches!(
        network.query(id, "size", ""),
        CallResult::Rejected { .. }
    ));
    let wide = replied(network.update(id, "grow_wide", 0u32.to_le_bytes()));
    assert_eq!(number(&wide), 65_537);
}

#[test]
fn narrow_stable_memory_is_bounded() {
    let (mut network, id) = elder();
    let last = 65_536u32 - 4;
    let put = [&last.to_le_bytes()[..], b"12345"].concat();
    let (_, message, _) = rejected(network.update(id, "put", put));
    assert!(message.contains("out of bounds"), "{message}");
    let put = [&last.to_le_bytes()[..], b"1234"].concat();
    replied(network.update(id, "put", put));
    let found = look(&mut network, id, "take", &(last - 4).to_le_bytes());
    assert_eq!(found, b"\0\0\0\x001234");
    // Offset and size together pass the end of 32-bit numbers.
    let around = (u32::MAX - 65_536 - 3).to_le_bytes();
    assert!(matches!(
        network.query(id, "take", around),
        CallResult::Rejected { code: 5, .. }
    ));
}

#[test]
fn cycles_of_64_bits_go_out_and_come_back() {
    let (mut network, one) = elder();
    let two = installed(&mut network, ELDER);
    let before = number(&look(&mut network, two, "balance", b""));
    let pay = |to: Principal| [&4_000_000_001u32.to_le_bytes()[..], to.as_slice()].concat();
    let paid = replied(network.update(one, "pay", pay(two)));
    let (taken, refunded) = (number(&paid[..8]), number(&paid[8..]));
    assert_eq!((taken, refunded), (2_000_000_000, 2_000_000_001));
    let after = number(&look(&mut network, two, "balance", b""));
    assert!(after > before + 1_900_000_000, "{before} {after}");
    // A callee without the method gives all of it back.
    let corners = installed(&mut network, CORNERS);
    let before = number(&look(&mut network, one, "balance", b""));
    let (_, message, _) = rejected(network.update(one, "pay", pay(corners)));
    assert!(message.contains("IC0536"), "{message}");
    let after = number(&look(&mut network, one, "balance", b""));
    assert!(before - after < 1_000_000_000, "{before} {after}");
}

/// Two canisters with odd corners.
fn corners() -> (Network, Principal, Principal) {
    let mut network = network();
    let (one, two) = (
        installed(&mut network, CORNERS),
        installed(&mut network, CORNERS),
    );
    (network, one, two)
}

/// The argument that makes a canister call `method` of `callee`.
fn to(callee: Principal, method: &str) -> Vec<u8> {
    let id = callee.as_slice();
    [&[id.len() as u8], id, method.as_bytes()].concat()
}

/// Sums of the environments that reply callbacks, reject callbacks and cleanups left, and what the
/// start function did.
fn marks(network: &mut Network, id: Principal) -> [u64; 4] {
    let bytes = look(network, id, "marks", b"");
    [0, 4, 8, 12].map(|at| number(&bytes[at..at + 4]))
}

/// Environment, code and message of a reject that a callback replied with.
fn told(reply: &[u8]) -> (u64, u64, String) {
    let message = String::from_utf8(reply[8..].to_vec()).unwrap();
    (number(&reply[..4]), number(&reply[4..8]), message)
}

#[test]
fn callbacks_answer_with_their_environments() {
    let (mut network, one, two) = corners();
    assert_eq!(marks(&mut network, one), [0, 0, 0, 7]);
    let reply = replied(network.update(one, "ask", to(two, "echo")));
    assert_eq!(reply, b"\x0b\0\0\0ping");
    assert_eq!(marks(&mut network, one), [11, 0, 0, 7]);
    let reply = replied(network.update(one, "ask", to(two, "look")));
    assert_eq!(&reply[4..], b"ping", "a query method may be called");
    let sum = replied(network.update(one, "ask_both", to(two, "echo")));
    assert_eq!(number(&sum), 1_100);
    let (code, message, error) = rejected(network.update(one, "ask_refuse", to(two, "echo")));
    assert_eq!((code, error.as_str()), (4, "IC0406"));
    assert_eq!(message, "ping", "a callback may reject");
    assert_eq!(marks(&mut network, one), [33, 0, 0, 7]);
}

#[test]
fn every_reject_reaches_the_callback_with_its_code() {
    let (mut network, one, two) = corners();
    let mut ask = |callee: Principal, method: &str| {
        let (env, code, message) = told(&replied(network.update(one, "ask", to(callee, method))));
        assert_eq!(env, 22);
        (code, message)
    };
    assert_eq!(ask(two, "refuse"), (4, "ping".to_owned()));
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let mut starts = |callee, method, code, start: &str| {
        let (found, message) = ask(callee, method);
        assert_eq!(found, code, "{message}");
        assert!(message.starts_with(start), "{message}");
    };
    starts(nobody, "echo", 3, "IC0301: ");
    starts(two, "missing", 5, "IC0536: ");
    starts(two, "silent", 5, "IC0506: ");
    starts(two, "boom", 5, "IC0502: ");
    for method in ["twice", "both", "late"] {
        starts(two, method, 5, "IC0504: ");
    }
    starts(Principal::management_canister(), "missing", 5, "IC0536: ");
    // An empty canister.
    let empty = network.create();
    let reply = replied(network.update(one, "ask", to(empty, "echo")));
    let (_, code, message) = told(&reply);
    assert_eq!(code, 5);
    assert!(message.starts_with("IC0537: "), "{message}");
}

#[test]
fn cleanups_run_after_traps_and_may_trap_themselves() {
    let (mut network, one, two) = corners();
    let (_, message, error) = rejected(network.update(one, "ask_trap", to(two, "echo")));
    assert_eq!(error, "IC0503");
    assert!(message.contains("trapped in a callback"), "{message}");
    assert_eq!(marks(&mut network, one), [0, 0, 33, 7]);
    let (_, message, _) = rejected(network.update(one, "ask_trap_twice", to(two, "echo")));
    assert!(message.contains("trapped in a callback"), "{message}");
    assert_eq!(
        marks(&mut network, one),
        [0, 0, 33, 7],
        "a cleanup that traps leaves nothing"
    );
    // A trap after the reply changes nothing for the caller, but the cleanup runs.
    assert_eq!(
        replied(network.update(one, "reply_first", to(two, "echo"))),
        b"sent"
    );
    assert_eq!(marks(&mut network, one), [0, 0, 66, 7]);
}

#[test]
fn callbacks_that_are_no_functions_trap() {
    let (mut network, one, two) = corners();
    for method in ["ask_null", "ask_wrong", "ask_outside"] {
        let (_, message, error) = rejected(network.update(one, method, to(two, "echo")));
        assert_eq!(error, "IC0513", "{method}: {message}");
        assert!(message.contains("non-existent Wasm function"), "{message}");
    }
    assert_eq!(marks(&mut network, one), [0, 0, 99, 7], "cleanups ran");
    // The reject callback of such a call is a function.
    let reply = replied(network.update(one, "ask_outside", to(two, "refuse")));
    assert_eq!(told(&reply), (22, 4, "ping".to_owned()));
}

#[test]
fn calls_that_are_never_sent_and_answers_that_nobody_wants() {
    let (mut network, one, two) = corners();
    assert_eq!(
        replied(network.update(one, "forget", to(two, "echo"))),
        b"sent"
    );
    for method in ["echo", "refuse", "boom", "silent", "missing"] {
        let reply = replied(network.update(one, "oneway", to(two, method)));
        assert_eq!(reply, b"sent");
    }
    assert_eq!(marks(&mut network, one), [0, 0, 0, 7]);
    // Nothing is left open: the canister stops at once.
    let record = CanisterRecord { canister_id: one };
    replied(network.manage("stop_canister", record));
}
