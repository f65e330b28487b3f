//! Bodies and messages that clients may send: arbitrary bytes, and good calls of every method with
//! bytes or members altered. None panics, each is answered with an answer of JSON-RPC, and none
//! makes the gateway blame itself.

mod double;

use std::sync::{Arc, LazyLock};

use double::{Double, account, key, record};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use trilith_gateway_account::{Limits, fuzz_body, fuzz_message};

const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";

/// A node with accounts, and the threads that answer.
static NODE: LazyLock<(Arc<Double>, Runtime)> = LazyLock::new(|| {
    let node = Double::new();
    node.execute(vec![record(5, 10, vec![key(7)])], |state| {
        state.accounts.insert(key(7), account(5, vec![1, 2, 3]));
        state.accounts.insert(key(8), account(6, vec![0; 165]));
    });
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build();
    (node, threads.expect("threads start"))
});

/// A good call of every method that takes parameters, and of one that takes none.
fn calls() -> Vec<Value> {
    let (some, signature) = (key(7).to_string(), bs58::encode([5; 64]).into_string());
    let form = json!({
        "encoding": "base64+zstd",
        "commitment": "confirmed",
        "dataSlice": {"offset": 1, "length": 2},
        "minContextSlot": 3,
    });
    let filters = json!({
        "encoding": "base64",
        "withContext": true,
        "filters": [
            {"dataSize": 165},
            {"memcmp": {"offset": 4, "bytes": "3Mc6vR", "encoding": "base58"}},
            {"memcmp": {"offset": 4, "bytes": "AQID", "encoding": "base64"}},
            {"memcmp": {"offset": 4, "bytes": [1, 2]}},
        ],
    });
    let block = json!({
        "encoding": "jsonParsed",
        "transactionDetails": "full",
        "maxSupportedTransactionVersion": 0,
        "rewards": true,
    });
    [
        ("getSlot", json!([{"commitment": "processed"}])),
        ("getAccountInfo", json!([some, form])),
        ("getAccountProof", json!([some, {"minContextSlot": 1}])),
        ("getBalance", json!([some, {"commitment": "finalized"}])),
        ("getBlock", json!([5, block])),
        ("getBlocks", json!([1, 5, {"commitment": "confirmed"}])),
        ("getBlocksWithLimit", json!([1, 3])),
        (
            "getBlockProduction",
            json!([{"identity": some, "range": {"firstSlot": 1}}]),
        ),
        ("getBlockTime", json!([5])),
        ("getFeeForMessage", json!(["AQID", form])),
        ("getInflationReward", json!([[some], {"epoch": 0}])),
        ("getLargestAccounts", json!([{"filter": "circulating"}])),
        ("getLeaderSchedule", json!([5, {"identity": some}])),
        ("getMinimumBalanceForRentExemption", json!([10])),
        (
            "getMultipleAccounts",
            json!([[some, key(8).to_string()], form]),
        ),
        ("getProgramAccounts", json!([key(0).to_string(), filters])),
        ("getRecentPerformanceSamples", json!([5])),
        ("getRecentPrioritizationFees", json!([[some]])),
        (
            "getSignatureStatuses",
            json!([[signature], {"searchTransactionHistory": true}]),
        ),
        (
            "getSignaturesForAddress",
            json!([some, {"before": signature, "limit": 9}]),
        ),
        ("getSlotLeaders", json!([5, 10])),
        (
            "getSupply",
            json!([{"excludeNonCirculatingAccountsList": true}]),
        ),
        ("getTokenAccountBalance", json!([some])),
        (
            "getTokenAccountsByOwner",
            json!([some, {"programId": TOKEN}, form]),
        ),
        (
            "getTokenAccountsByDelegate",
            json!([some, {"mint": some}, form]),
        ),
        ("getTokenLargestAccounts", json!([some])),
        ("getTokenSupply", json!([some])),
        ("getTransaction", json!([signature, block])),
        ("getVoteAccounts", json!([{"votePubkey": some}])),
        ("isBlockhashValid", json!([some, {"minContextSlot": 1}])),
        ("requestAirdrop", json!([some, 5])),
        (
            "sendTransaction",
            json!(["AQID", {"encoding": "base64", "skipPreflight": true}]),
        ),
        (
            "simulateTransaction",
            json!(["AQID", {"accounts": {"addresses": [some]}}]),
        ),
        ("accountSubscribe", json!([some, form])),
        ("programSubscribe", json!([some, filters])),
        (
            "logsSubscribe",
            json!([{"mentions": [some]}, {"commitment": "confirmed"}]),
        ),
        (
            "signatureSubscribe",
            json!([signature, {"enableReceivedNotification": true}]),
        ),
        (
            "blockSubscribe",
            json!([{"mentionsAccountOrProgram": some}, block]),
        ),
        ("slotUnsubscribe", json!([4])),
    ]
    .into_iter()
    .map(|(method, params)| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    .collect()
}

/// Values that stand where others are expected.
fn odd() -> impl Strategy<Value = Value> {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    prop_oneof![
        select(vec![
            json!(null),
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
            json!(0.5),
            json!(""),
            json!("0"),
            json!("1".repeat(1_700)),
            json!("base64"),
            json!("jsonParsed"),
            json!([]),
            json!({}),
            json!(vec![1; 1_001]),
            json!(vec![key(7).to_string(); 101]),
            json!({"encoding": "base58"}),
            deep,
        ]),
        any::<u64>().prop_map(|number| json!(number)),
        ".{0,90}".prop_map(|text| json!(text)),
    ]
}

/// All values within one, itself first.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` in the place of the value with this number.
fn replace(value: &mut Value, number: &mut usize, new: &Value) {
    if *number == 0 {
        *value = new.clone();
        *number = usize::MAX;
        return;
    }
    *number = number.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| step(item, number, new)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| step(member, number, new)),
        _ => {}
    }
}

fn step(value: &mut Value, number: &mut usize, new: &Value) {
    if *number < usize::MAX / 2 {
        replace(value, number, new);
    }
}

/// A good call with values replaced.
fn altered_call() -> impl Strategy<Value = Value> {
    let edits = prop::collection::vec((any::<Index>(), odd()), 0..3);
    (select(calls()), edits).prop_map(|(mut call, edits)| {
        for (place, new) in edits {
            let mut number = place.index(count(&call));
            replace(&mut call, &mut number, &new);
        }
        call
    })
}

/// The bytes of a good call with bytes replaced, and perhaps cut.
fn altered_bytes() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..5);
    let cut = prop::option::weighted(0.2, any::<Index>());
    (select(calls()), edits, cut).prop_map(|(call, edits, cut)| {
        let mut bytes = call.to_string().into_bytes();
        for (place, byte) in edits {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

/// Answers a body and checks what is said.
fn answered(body: &[u8]) -> Option<Value> {
    let (node, threads) = &*NODE;
    let answer = threads.block_on(fuzz_body(node.clone(), body))?;
    let answer: Value = serde_json::from_str(&answer).expect("answers are JSON");
    let one = |answer: &Value| {
        assert_eq!(answer["jsonrpc"], "2.0");
        let is_error = answer["error"]["code"].is_i64();
        assert!(is_error != answer.get("result").is_some(), "{answer}");
        // The node of this test has no engine to simulate with; nothing else may fail.
        let blames_itself = answer["error"]["code"] == -32603;
        let reason = answer["error"].to_string();
        assert!(!blames_itself || reason.contains("no engine"), "{reason}");
    };
    match &answer {
        Value::Array(answers) => answers.iter().for_each(one),
        answer => one(answer),
    }
    Some(answer)
}

#[test]
fn good_calls_are_understood() {
    for call in calls() {
        let method = call["method"].as_str().unwrap().to_owned();
        let body = call.to_string();
        if method.ends_with("ubscribe") {
            assert_eq!(fuzz_message(body.as_bytes()), 1, "{method}");
            continue;
        }
        let answer = answered(body.as_bytes()).unwrap();
        let refused = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(
            !refused.starts_with("Invalid params"),
            "{method}: {refused}"
        );
        assert_ne!(answer["error"]["code"], -32601, "{method}");
    }
}

#[test]
fn what_is_too_large_is_not_read() {
    let (node, threads) = &*NODE;
    let body = vec![b' '; Limits::STANDARD.body_bytes + 1];
    assert_eq!(threads.block_on(fuzz_body(node.clone(), &body)), None);
}

#[test]
fn no_account_is_longer_than_ten_mebibytes() {
    let ask = |len: u64| {
        let body = json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": "getMinimumBalanceForRentExemption",
            "params": [len],
        });
        answered(body.to_string().as_bytes()).unwrap()
    };
    assert!(ask(10 * 1024 * 1024)["result"].is_u64());
    for len in [10 * 1024 * 1024 + 1, u64::MAX] {
        assert_eq!(ask(len)["error"]["code"], -32600, "{len}");
    }
}

proptest! {
    #[test]
    fn altered_calls(call in altered_call()) {
        let body = call.to_string();
        answered(body.as_bytes());
        prop_assert!(fuzz_message(body.as_bytes()) <= 1);
    }

    #[test]
    fn altered_batches(calls in prop::collection::vec(altered_call(), 0..5)) {
        let body = Value::Array(calls.clone()).to_string();
        if let Some(Value::Array(answers)) = answered(body.as_bytes()) {
            prop_assert!(answers.len() <= calls.len());
        }
        prop_assert!(fuzz_message(body.as_bytes()) <= calls.len());
    }

    #[test]
    fn altered_bodies(body in altered_bytes()) {
        answered(&body);
        fuzz_message(&body);
    }

    #[test]
    fn any_bodies(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let answer = answered(&body).expect("what is no call is refused");
        prop_assert!(answer["error"]["code"].is_i64());
        prop_assert_eq!(fuzz_message(&body), 0);
    }
}
