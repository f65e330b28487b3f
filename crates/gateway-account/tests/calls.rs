//! Calls over HTTP: framing, statuses, shapes and refusals.

mod double;

use std::time::Duration;

use double::{Served, account, key};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trilith_gateway_account::Limits;

/// Every method of the interface, with parameters that have its form.
fn methods() -> Vec<(&'static str, Value)> {
    let some = key(7).to_string();
    let token = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
    vec![
        ("getAccountInfo", json!([some])),
        ("getAgGenesisCert", json!([])),
        ("getBalance", json!([some])),
        ("getBlock", json!([5])),
        ("getBlockCommitment", json!([5])),
        ("getBlockHeight", json!([])),
        ("getBlockProduction", json!([])),
        ("getBlockTime", json!([5])),
        ("getBlocks", json!([1, 5])),
        ("getBlocksWithLimit", json!([1, 3])),
        ("getClusterNodes", json!([])),
        ("getEpochInfo", json!([])),
        ("getEpochSchedule", json!([])),
        ("getFirstAvailableBlock", json!([])),
        ("getGenesisHash", json!([])),
        ("getHealth", json!([])),
        ("getIdentity", json!([])),
        ("getInflationGovernor", json!([])),
        ("getInflationRate", json!([])),
        ("getInflationReward", json!([[some]])),
        ("getLargestAccounts", json!([])),
        ("getLatestBlockhash", json!([])),
        ("getLeaderSchedule", json!([])),
        ("getMaxRetransmitSlot", json!([])),
        ("getMaxShredInsertSlot", json!([])),
        ("getMinimumBalanceForRentExemption", json!([10])),
        ("getMultipleAccounts", json!([[some]])),
        ("getProgramAccounts", json!([some])),
        ("getRecentPerformanceSamples", json!([5])),
        ("getRecentPrioritizationFees", json!([[some]])),
        ("getSignatureStatuses", json!([[]])),
        ("getSignaturesForAddress", json!([some])),
        ("getSlot", json!([])),
        ("getSlotLeader", json!([])),
        ("getSlotLeaders", json!([5, 10])),
        ("getStakeMinimumDelegation", json!([])),
        ("getSupply", json!([])),
        (
            "getTokenAccountsByDelegate",
            json!([some, {"programId": token}]),
        ),
        (
            "getTokenAccountsByOwner",
            json!([some, {"programId": token}]),
        ),
        (
            "getTransaction",
            json!([bs58::encode([9; 64]).into_string()]),
        ),
        ("getTransactionCount", json!([])),
        ("getVersion", json!([])),
        ("getVoteAccounts", json!([])),
        ("isBlockhashValid", json!([some])),
        ("minimumLedgerSlot", json!([])),
    ]
}

#[tokio::test]
async fn every_method_answers() {
    let served = Served::start(Limits::STANDARD).await;
    for (method, params) in methods() {
        let answer = served.call(method, params).await;
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        assert_eq!(answer["id"], 1, "{method}");
    }
    let refused = served.call("getHighestSnapshotSlot", json!([])).await;
    assert_eq!(refused["error"]["code"], -32008);
    served.end().await;
}

/// The methods of a validator of release 4.2.2.
const NAMES: [&str; 53] = [
    "getAccountInfo",
    "getAgGenesisCert",
    "getBalance",
    "getBlock",
    "getBlockCommitment",
    "getBlockHeight",
    "getBlockProduction",
    "getBlockTime",
    "getBlocks",
    "getBlocksWithLimit",
    "getClusterNodes",
    "getEpochInfo",
    "getEpochSchedule",
    "getFeeForMessage",
    "getFirstAvailableBlock",
    "getGenesisHash",
    "getHealth",
    "getHighestSnapshotSlot",
    "getIdentity",
    "getInflationGovernor",
    "getInflationRate",
    "getInflationReward",
    "getLargestAccounts",
    "getLatestBlockhash",
    "getLeaderSchedule",
    "getMaxRetransmitSlot",
    "getMaxShredInsertSlot",
    "getMinimumBalanceForRentExemption",
    "getMultipleAccounts",
    "getProgramAccounts",
    "getRecentPerformanceSamples",
    "getRecentPrioritizationFees",
    "getSignatureStatuses",
    "getSignaturesForAddress",
    "getSlot",
    "getSlotLeader",
    "getSlotLeaders",
    "getStakeMinimumDelegation",
    "getSupply",
    "getTokenAccountBalance",
    "getTokenAccountsByDelegate",
    "getTokenAccountsByOwner",
    "getTokenLargestAccounts",
    "getTokenSupply",
    "getTransaction",
    "getTransactionCount",
    "getVersion",
    "getVoteAccounts",
    "isBlockhashValid",
    "minimumLedgerSlot",
    "requestAirdrop",
    "sendTransaction",
    "simulateTransaction",
];

#[tokio::test]
async fn every_name_of_the_interface_is_known() {
    let served = Served::start(Limits::STANDARD).await;
    for method in NAMES {
        let answer = served.call(method, json!([])).await;
        assert_ne!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    let other = served.call("getNothing", json!([])).await;
    assert_eq!(other["error"]["code"], -32601);
    served.end().await;
}

#[tokio::test]
async fn our_own_gates_are_told_beside_the_ecosystems() {
    let served = Served::start(Limits::STANDARD).await;
    let told = served.call("getTrilithVersion", json!([])).await;
    assert_eq!(told["result"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        told["result"]["gates"],
        json!([
            {
                "id": "D6TobL2DSPJK4jbdECBxj56yvHt1RhhZeBZEPEMvCk62",
                "name": "transaction_wide_budget",
            },
            {
                "id": "9jPaxwKoFWW2uMpM9J5mR48tZh5Y6hu2Y5TbzmLHVzkq",
                "name": "rules_of_today",
            },
        ])
    );
    let more = served.call("getTrilithVersion", json!([1])).await;
    assert_eq!(more["error"]["code"], -32602);
    // What clients of the ecosystem read has exactly the fields that they know.
    let version = served.call("getVersion", json!([])).await;
    let fields = version["result"].as_object().expect("an object");
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["feature-set", "solana-core"]
    );
    served.end().await;
}

#[tokio::test]
async fn accounts_have_the_shapes_that_clients_know() {
    let served = Served::start(Limits::STANDARD).await;
    let some = key(7);
    served.double.round(|state| {
        state.accounts.insert(some, account(5, vec![1, 2, 3]));
        state.accounts.insert(key(8), account(5, vec![0; 129]));
    });
    let found = served
        .call(
            "getAccountInfo",
            json!([some.to_string(), {"encoding": "base64"}]),
        )
        .await;
    assert_eq!(
        found["result"],
        json!({
            "context": {"slot": 10, "apiVersion": "4.2.2"},
            "value": {
                "lamports": 5,
                "data": ["AQID", "base64"],
                "owner": "11111111111111111111111111111111",
                "executable": false,
                "rentEpoch": u64::MAX,
                "space": 3,
            },
        })
    );
    let legacy = served
        .call("getAccountInfo", json!([some.to_string()]))
        .await;
    assert_eq!(legacy["result"]["value"]["data"], "Ldp");
    let packed = served
        .call(
            "getAccountInfo",
            json!([some.to_string(), {"encoding": "base64+zstd"}]),
        )
        .await;
    assert_eq!(packed["result"]["value"]["data"][1], "base64+zstd");
    // Data of unknown programs cannot be taken apart.
    let parsed = served
        .call(
            "getAccountInfo",
            json!([some.to_string(), {"encoding": "jsonParsed"}]),
        )
        .await;
    assert_eq!(parsed["result"]["value"]["data"], json!(["AQID", "base64"]));
    let long = served
        .call("getAccountInfo", json!([key(8).to_string()]))
        .await;
    assert_eq!(
        long["error"],
        json!({
            "code": -32600,
            "message": "Encoded binary (base 58) data should be less than 128 bytes, please use \
                        Base64 encoding.",
        })
    );
    let several = json!([[key(9).to_string(), some.to_string()]]);
    let several = served.call("getMultipleAccounts", several).await;
    assert_eq!(several["result"]["value"][0], Value::Null);
    assert_eq!(several["result"]["value"][1]["lamports"], 5);
    served.end().await;
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let limits = Limits {
        answer_data_bytes: 250,
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    served.double.round(|state| {
        for byte in 1..4 {
            state.accounts.insert(key(byte), account(5, vec![0; 100]));
        }
    });
    let names = |count| {
        (1..=count)
            .map(|byte| key(byte).to_string())
            .collect::<Vec<_>>()
    };
    let fits = served.call("getMultipleAccounts", json!([names(2)])).await;
    assert!(fits.get("result").is_some());
    let refused = served.call("getMultipleAccounts", json!([names(3)])).await;
    assert_eq!(refused["error"]["code"], -32012);
    served.end().await;
}

/// Calls that are refused: method, parameters, code, and how the text begins.
fn refusals() -> Vec<(&'static str, Value, i64, &'static str)> {
    let some = key(7).to_string();
    let many: Vec<String> = (0..101).map(|_| some.clone()).collect();
    let later = json!({"minContextSlot": 11});
    vec![
        ("nothing", json!([]), -32601, "Method not found"),
        (
            "getBalance",
            json!([]),
            -32602,
            "`params` should have at least 1 argument(s)",
        ),
        (
            "getBalance",
            json!([1]),
            -32602,
            "Invalid params: invalid type: integer `1`, expected a string.",
        ),
        (
            "getBalance",
            json!({}),
            -32602,
            "`params` should be an array",
        ),
        (
            "getBalance",
            json!(["x"]),
            -32602,
            "Invalid param: WrongSize",
        ),
        (
            "getBalance",
            json!(["0OIl"]),
            -32602,
            "Invalid param: Invalid",
        ),
        (
            "getBalance",
            json!([some, later]),
            -32016,
            "Minimum context slot has not been reached",
        ),
        (
            "getBalance",
            json!([some, {}, {}]),
            -32602,
            "Invalid parameters: Expected from 1 to 2 parameters.",
        ),
        (
            "getBlockTime",
            json!([]),
            -32602,
            "Invalid params: invalid length 0, expected a tuple of size 1.",
        ),
        (
            "getBlock",
            json!([10]),
            -32014,
            "Block status not yet available for slot 10",
        ),
        (
            "getBlock",
            json!([11]),
            -32004,
            "Block not available for slot 11",
        ),
        (
            "getBlock",
            json!([5, {"commitment": "processed"}]),
            -32602,
            "Method does not support commitment below `confirmed`",
        ),
        (
            "getBlocks",
            json!([0, 500_001]),
            -32602,
            "Slot range too large; max 500000",
        ),
        (
            "getGenesisHash",
            json!([1]),
            -32602,
            "Invalid parameters: No parameters were expected",
        ),
        (
            "getMultipleAccounts",
            json!([many]),
            -32602,
            "Too many inputs provided; max 100",
        ),
        (
            "getProgramAccounts",
            json!([some, {"filters": [{"dataSize": 1}, {"dataSize": 1}, {"dataSize": 1}, {"dataSize": 1}, {"dataSize": 1}]}]),
            -32602,
            "Too many filters provided; max 4",
        ),
        (
            "getProgramAccounts",
            json!([some, {"filters": [{"memcmp": {"offset": 0, "bytes": "0"}}]}]),
            -32602,
            "Invalid param: ",
        ),
        (
            "getProgramAccounts",
            json!([some, {"filters": [{"memcmp": {"offset": 0, "bytes": "1".repeat(129)}}]}]),
            -32602,
            "Invalid param: DataTooLarge",
        ),
        (
            "getRecentPerformanceSamples",
            json!([721]),
            -32602,
            "Invalid limit; max 720",
        ),
        (
            "getSignatureStatuses",
            json!([vec![""; 257]]),
            -32602,
            "Too many inputs provided; max 256",
        ),
        (
            "getSignaturesForAddress",
            json!([some, {"limit": 1_001}]),
            -32602,
            "Invalid limit; max 1000",
        ),
        (
            "getSignaturesForAddress",
            json!([some, {"before": "x"}]),
            -32602,
            "Invalid param: WrongSize",
        ),
        (
            "getSlotLeaders",
            json!([0, 5_001]),
            -32602,
            "Invalid limit; max 5000",
        ),
        (
            "getSlotLeaders",
            json!([9_999_999, 1]),
            -32602,
            "Invalid slot range: leader schedule for epoch 9999 is unavailable",
        ),
        (
            "getTokenAccountBalance",
            json!([some]),
            -32602,
            "Invalid param: could not find account",
        ),
        (
            "getTokenSupply",
            json!([some]),
            -32602,
            "Invalid param: could not find account",
        ),
        (
            "getTokenLargestAccounts",
            json!([some]),
            -32602,
            "Invalid param: could not find mint",
        ),
        (
            "getTokenAccountsByOwner",
            json!([some, {"programId": some}]),
            -32602,
            "Invalid param: unrecognized Token program id",
        ),
        (
            "getTokenAccountsByOwner",
            json!([some, {"mint": some}]),
            -32602,
            "Invalid param: could not find mint",
        ),
        ("isBlockhashValid", json!(["x"]), -32602, "WrongSize"),
        (
            "requestAirdrop",
            json!([some, 1]),
            -32600,
            "Invalid request",
        ),
        (
            "sendTransaction",
            json!(["AA==", {"encoding": "json"}]),
            -32602,
            "unsupported encoding: json. Supported encodings: base58, base64",
        ),
        (
            "sendTransaction",
            json!(["AA==", {"encoding": "base64"}]),
            -32602,
            "failed to deserialize solana_transaction::versioned::VersionedTransaction: ",
        ),
        (
            "simulateTransaction",
            json!(["*", {"encoding": "base64"}]),
            -32602,
            "invalid base64 encoding: ",
        ),
        (
            "getFeeForMessage",
            json!(["AA=="]),
            -32602,
            "failed to deserialize solana_message::versions::VersionedMessage: ",
        ),
    ]
}

#[tokio::test]
async fn wrong_calls_are_refused_with_code_and_words() {
    let served = Served::start(Limits::STANDARD).await;
    for (method, params, code, words) in refusals() {
        let answer = served.call(method, params.clone()).await;
        let error = &answer["error"];
        assert_eq!(error["code"], code, "{method} {params}: {answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(words), "{method} {params}: {message}");
    }
    let behind = served
        .call("getSlot", json!([{"minContextSlot": 11}]))
        .await;
    assert_eq!(behind["error"]["data"], json!({"contextSlot": 10}));
    served.end().await;
}

#[tokio::test]
async fn batches_notifications_and_what_is_no_call() {
    let served = Served::start(Limits::STANDARD).await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "getSlot", "params": [{"commitment": "processed"}]},
        {"jsonrpc": "2.0", "method": "getSlot"},
        {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
        7,
    ]);
    let answers = served.json(batch).await;
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(
        answers[0],
        json!({"jsonrpc": "2.0", "id": "a", "result": 10})
    );
    assert_eq!(answers[1]["error"]["code"], -32601);
    assert_eq!(answers[2]["error"]["code"], -32600);
    let silent = served.post(r#"{"jsonrpc":"2.0","method":"getSlot"}"#).await;
    assert!(silent.starts_with("HTTP/1.1 200"), "{silent}");
    assert!(silent.ends_with("\r\n\r\n"), "{silent}");
    let torn = served.json(json!("no call")).await;
    assert_eq!(torn["error"]["code"], -32600);
    let many = vec![json!({"jsonrpc": "2.0", "id": 1, "method": "getSlot"}); 513];
    assert_eq!(served.json(json!(many)).await["error"]["code"], -32600);
    served.end().await;
}

#[tokio::test]
async fn statuses_of_http() {
    let served = Served::start(Limits::STANDARD).await;
    let status = |answer: String| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let health = served
        .exchange(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(health.ends_with("\r\n\r\nok"), "{health}");
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), "405"),
        ("OPTIONS / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), "204"),
        ("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "415"),
        ("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 51201\r\n\r\n".to_owned(), "413"),
        (format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\ne000\r\n{}\r\n0\r\n\r\n", " ".repeat(0xe000)), "413"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = served.exchange(request.as_bytes()).await;
        assert_eq!(status(answer), expected, "{}", &request[..request.len().min(120)]);
    }
    served.end().await;
}

#[tokio::test]
async fn slow_and_silent_peers_are_let_go() {
    let limits = Limits {
        header_wait: Duration::from_millis(50),
        body_wait: Duration::from_millis(50),
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    assert_eq!(served.exchange(b"POST / HT").await, "");
    let slow = served
        .exchange(
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
              content-length: 10\r\n\r\n{",
        )
        .await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    // The port of PubSub, too.
    let mut silent = TcpStream::connect(served.pubsub).await.unwrap();
    let mut buffer = [0; 16];
    assert_eq!(silent.read(&mut buffer).await.unwrap_or(0), 0);
    served.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = Limits {
        connections: 1,
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    let mut first = TcpStream::connect(served.rpc).await.unwrap();
    first
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = [0; 1024];
    assert!(first.read(&mut buffer).await.unwrap() > 0);
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    {
        let mut second = std::pin::pin!(served.exchange(request));
        let waits = tokio::time::timeout(Duration::from_millis(50), second.as_mut()).await;
        assert!(waits.is_err(), "the second connection has a place");
        drop(first);
        assert!(second.await.ends_with("ok"));
    }
    served.end().await;
}
