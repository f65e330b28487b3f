//! The RPC address of an instance: clients and the test see one state.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solana_transaction::versioned::VersionedTransaction;
use trilith_local::{Local, Slots};

use super::wire::{SOL, key, keypair, transaction, transfer};

/// The result of a call; panics with the error.
fn call(url: &str, method: &str, params: Value) -> Value {
    let answer = ask(url, method, params);
    assert_eq!(answer["error"], Value::Null, "{method}: {answer}");
    answer["result"].clone()
}

fn ask(url: &str, method: &str, params: Value) -> Value {
    let address = url.strip_prefix("http://").expect("an address");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn encoded(transaction: &VersionedTransaction) -> String {
    use std::fmt::Write as _;
    // Base58 by hand would be long; the gateway takes base64 too.
    let bytes = wincode::serialize(transaction).expect("it has an encoding");
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let symbol = if place <= chunk.len() {
                char::from(alphabet[(word >> (18 - 6 * place) & 63) as usize])
            } else {
                '='
            };
            write!(text, "{symbol}").expect("memory");
        }
    }
    text
}

#[test]
fn clients_and_the_test_see_one_state() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let address = svm.rpc_with(Slots::Still).expect("an address");
    assert_eq!(svm.rpc().expect("it is open"), address);
    let url = &address.url;
    let balance = |of: &str| call(url, "getBalance", json!([of]))["value"].clone();
    assert_eq!(balance(&key(&alice).to_string()), json!(5 * SOL));
    assert_eq!(call(url, "getHealth", json!([])), "ok");
    // What a client sends, the test sees.
    let blockhash = call(url, "getLatestBlockhash", json!([]))["value"]["blockhash"].clone();
    assert_eq!(blockhash, svm.latest_blockhash().to_string());
    let gift = [transfer(&key(&alice), &key(&bob), SOL)];
    let gift = transaction(&gift, &[&alice], svm.latest_blockhash());
    let sent = call(
        url,
        "sendTransaction",
        json!([encoded(&gift), {"encoding": "base64"}]),
    );
    assert_eq!(sent, gift.signatures[0].to_string());
    assert_eq!(svm.balance(&key(&bob)), SOL);
    assert!(svm.transaction(&gift.signatures[0]).is_some());
    // What the test does, clients see: transactions, accounts, slots, the past.
    svm.airdrop(&key(&bob), SOL).expect("lamports");
    assert_eq!(balance(&key(&bob).to_string()), json!(2 * SOL));
    svm.warp_to_slot(1_000).expect("a slot");
    let processed = json!([{"commitment": "processed"}]);
    assert_eq!(call(url, "getSlot", processed.clone()), 1_000);
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(call(url, "getSlot", processed), 1_000, "time stands still");
    // The faucet of the address pays too.
    call(url, "requestAirdrop", json!([key(&bob).to_string(), SOL]));
    assert_eq!(svm.balance(&key(&bob)), 3 * SOL);
    // What fails is told like on a network.
    let poor = [transfer(&key(&alice), &key(&bob), 50 * SOL)];
    let poor = transaction(&poor, &[&alice], svm.latest_blockhash());
    let options = json!([encoded(&poor), {"encoding": "base64"}]);
    let refused = ask(url, "sendTransaction", options);
    assert_eq!(refused["error"]["code"], -32002, "{refused}");
    let snapshot = svm.snapshot();
    svm.set_account(key(&bob), Default::default())
        .expect("gone");
    assert_eq!(balance(&key(&bob).to_string()), 0);
    svm.revert(&snapshot);
    assert_eq!(balance(&key(&bob).to_string()), json!(3 * SOL));
    svm.close_rpc();
    let at = url.strip_prefix("http://").expect("an address");
    assert!(TcpStream::connect(at).is_err(), "it is closed");
}

#[test]
fn slots_run_while_an_address_is_open() {
    let mut svm = Local::new();
    let address = svm.rpc().expect("an address");
    let start = Instant::now();
    let slot = || {
        let processed = json!([{"commitment": "processed"}]);
        call(&address.url, "getSlot", processed)
            .as_u64()
            .unwrap_or(0)
    };
    let first = slot();
    while slot() < first + 3 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "slots do not go on"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(svm.slot() >= first + 3);
    // Sockets for subscriptions are there too.
    let websocket = address.websocket_url.strip_prefix("ws://");
    let mut stream = TcpStream::connect(websocket.expect("an address")).expect("it listens");
    write!(
        stream,
        "GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    .expect("it is sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
}
