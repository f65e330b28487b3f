//! Subscriptions over WebSockets.

mod double;

use std::time::Duration;

use double::{Served, account, key, record};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use trilith_gateway_account::Limits;

fn signature(byte: u8) -> String {
    bs58::encode([byte; 64]).into_string()
}

#[tokio::test]
async fn a_round_is_told_to_whom_it_concerns() {
    let served = Served::start(Limits::STANDARD).await;
    let mut client = served.subscriber().await;
    let base64 = json!({"encoding": "base64"});
    let account_id = client
        .subscribe("accountSubscribe", json!([key(1).to_string(), base64]))
        .await;
    let program = json!([key(0).to_string(), {"encoding": "base64", "filters": [{"dataSize": 2}]}]);
    let program_id = client.subscribe("programSubscribe", program).await;
    let logs_id = client
        .subscribe("logsSubscribe", json!([{"mentions": [key(1).to_string()]}]))
        .await;
    let signature_id = client
        .subscribe("signatureSubscribe", json!([signature(5)]))
        .await;
    // One that nothing is told of.
    client
        .subscribe("accountSubscribe", json!([key(9).to_string()]))
        .await;
    served
        .double
        .execute(vec![record(5, 10, vec![key(1), key(2)])], |state| {
            state.accounts.insert(key(1), account(6, vec![1, 2]));
            state.accounts.insert(key(2), account(7, vec![1]));
        });
    let mut notices = Vec::new();
    for _ in 0..4 {
        notices.push(client.next().await.unwrap());
    }
    let of = |id: u64| {
        let mut found = notices
            .iter()
            .filter(|notice| notice["params"]["subscription"] == id);
        let notice = found
            .next()
            .unwrap_or_else(|| panic!("{id} in {notices:?}"));
        assert!(found.next().is_none());
        notice
    };
    let encoded = json!({
        "lamports": 6,
        "data": ["AQI=", "base64"],
        "owner": "11111111111111111111111111111111",
        "executable": false,
        "rentEpoch": u64::MAX,
        "space": 2,
    });
    assert_eq!(
        *of(account_id),
        json!({
            "jsonrpc": "2.0",
            "method": "accountNotification",
            "params": {
                "result": {"context": {"slot": 10}, "value": encoded},
                "subscription": account_id,
            },
        })
    );
    assert_eq!(
        of(program_id)["params"]["result"]["value"],
        json!({"pubkey": key(1).to_string(), "account": encoded})
    );
    assert_eq!(
        of(logs_id)["params"]["result"]["value"],
        json!({"signature": signature(5), "err": null, "logs": ["Program log: hello"]})
    );
    assert_eq!(of(signature_id)["method"], "signatureNotification");
    assert_eq!(
        of(signature_id)["params"]["result"]["value"],
        json!({"err": null})
    );
    // That subscription has ended by itself.
    let gone = client
        .call("signatureUnsubscribe", json!([signature_id]))
        .await;
    assert_eq!(gone["error"]["code"], -32602);
    assert_eq!(gone["error"]["message"], "Invalid subscription id.");
    let quiet = client.call("logsUnsubscribe", json!([logs_id])).await;
    assert_eq!(quiet["result"], true);
    let ended = client.call("accountUnsubscribe", json!([account_id])).await;
    assert_eq!(ended["result"], true);
    served
        .double
        .execute(vec![record(6, 10, vec![key(1)])], |_| {});
    let next = client.next().await.unwrap();
    assert_eq!(next["params"]["subscription"], program_id);
    served.end().await;
}

#[tokio::test]
async fn what_happened_before_is_told_at_once_for_a_signature() {
    let served = Served::start(Limits::STANDARD).await;
    served
        .double
        .execute(vec![record(5, 10, vec![key(1)])], |_| {});
    let mut client = served.subscriber().await;
    let asked = json!([signature(5), {"enableReceivedNotification": true}]);
    let id = client.subscribe("signatureSubscribe", asked).await;
    let received = client.next().await.unwrap();
    assert_eq!(received["params"]["result"]["value"], "receivedSignature");
    let done = client.next().await.unwrap();
    assert_eq!(done["params"]["subscription"], id);
    assert_eq!(done["params"]["result"]["value"], json!({"err": null}));
    served.end().await;
}

#[tokio::test]
async fn slots_roots_and_blocks() {
    let served = Served::start(Limits::STANDARD).await;
    let mut client = served.subscriber().await;
    let slot_id = client.subscribe("slotSubscribe", json!([])).await;
    // The first round after a subscription says where slots begin.
    served.double.round(|_| {});
    tokio::time::sleep(Duration::from_millis(20)).await;
    let root_id = client.subscribe("rootSubscribe", json!([])).await;
    let block_id = client.subscribe("blockSubscribe", json!(["all"])).await;
    let updates_id = client.subscribe("slotsUpdatesSubscribe", json!([])).await;
    served.double.round(|state| {
        state.parent = state.slot;
        state.slot += 1;
    });
    let mut results: Vec<(u64, Value)> = Vec::new();
    for _ in 0..9 {
        let notice = client.next().await.unwrap();
        let params = &notice["params"];
        results.push((
            params["subscription"].as_u64().unwrap(),
            params["result"].clone(),
        ));
    }
    let of = |id: u64| {
        let found = results.iter().filter(move |(of, _)| *of == id);
        found.map(|(_, result)| result.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(slot_id), [json!({"slot": 11, "parent": 10, "root": 10})]);
    assert_eq!(of(root_id), [json!(10)]);
    let [block] = &of(block_id)[..] else {
        panic!("{results:?}");
    };
    assert_eq!(block["value"]["slot"], 10);
    assert_eq!(block["value"]["block"]["blockHeight"], 10);
    let kinds: Vec<Value> = of(updates_id)
        .iter()
        .map(|update| update["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "completed",
            "frozen",
            "optimisticConfirmation",
            "root",
            "firstShredReceived",
            "createdBank"
        ]
    );
    served.end().await;
}

#[tokio::test]
async fn wrong_calls_are_refused() {
    let served = Served::start(Limits::STANDARD).await;
    let mut client = served.subscriber().await;
    for (method, params, code) in [
        ("getSlot", json!([]), -32601),
        ("voteSubscribe", json!([]), -32601),
        ("nothingUnsubscribe", json!([1]), -32601),
        ("accountSubscribe", json!([]), -32602),
        ("accountSubscribe", json!(["x"]), -32602),
        ("slotSubscribe", json!([1]), -32602),
        ("logsSubscribe", json!([{"mentions": []}]), -32602),
        ("logsSubscribe", json!(["some"]), -32602),
        (
            "blockSubscribe",
            json!(["all", {"commitment": "processed"}]),
            -32602,
        ),
        ("signatureSubscribe", json!(["x"]), -32602),
        ("accountUnsubscribe", json!([77]), -32602),
    ] {
        let answer = client.call(method, params.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
    }
    client.socket.send(Message::Text("{".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap()["error"]["code"], -32700);
    // What asks for no answer gets none, and the next call gets its own.
    client
        .send(json!({"jsonrpc": "2.0", "method": "ping"}))
        .await;
    assert!(client.subscribe("slotSubscribe", json!([])).await > 0);
    let long = "x".repeat(60 * 1024);
    // The gateway may close before all of it is written.
    let _sent = client.socket.send(Message::Text(long.into())).await;
    assert_eq!(client.next().await, None);
    served.end().await;
}

#[tokio::test]
async fn one_connection_cannot_have_any_number_of_subscriptions() {
    let limits = Limits {
        subscriptions: 2,
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    let mut client = served.subscriber().await;
    client.subscribe("slotSubscribe", json!([])).await;
    let second = client.subscribe("rootSubscribe", json!([])).await;
    let refused = client.call("slotSubscribe", json!([])).await;
    assert_eq!(refused["error"]["code"], -32603);
    client.call("rootUnsubscribe", json!([second])).await;
    client.subscribe("slotSubscribe", json!([])).await;
    served.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let limits = Limits {
        notifications: 4,
        header_wait: Duration::from_millis(200),
        drain: Duration::from_millis(100),
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    let mut client = served.subscriber().await;
    client.subscribe("logsSubscribe", json!(["all"])).await;
    let mut long = record(5, 10, vec![key(1)]);
    long.logs = vec!["x".repeat(1_000_000)];
    for _ in 0..40 {
        served.double.execute(vec![long.clone()], |_| {});
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut read = 0;
    while client.next().await.is_some() {
        read += 1;
    }
    assert!(read < 40, "{read} notifications");
    // Others are served as before.
    let mut other = served.subscriber().await;
    other.subscribe("slotSubscribe", json!([])).await;
    served.end().await;
}

#[tokio::test]
async fn a_silent_client_is_asked_for_a_sign_of_life_and_then_let_go() {
    let limits = Limits {
        silence: Duration::from_millis(50),
        drain: Duration::from_millis(50),
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    let mut alive = served.subscriber().await;
    let silent = served.subscriber().await;
    // Reading answers pings; not reading does not.
    let waited = tokio::time::timeout(Duration::from_millis(300), alive.next()).await;
    assert!(waited.is_err(), "a client that answers was let go");
    let mut stream = silent.socket;
    let closed = loop {
        match futures_util::StreamExt::next(&mut stream).await {
            Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.reason.to_string()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break None,
        }
    };
    assert_eq!(closed.as_deref(), Some("no sign of life"));
    served.end().await;
}
