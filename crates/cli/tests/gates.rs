//! Feature gates of the account runtime from the command line: accounts, approval, and the epoch in
//! which both come together.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use support::process::dev_that_ends;
use support::user::has;
use support::{Node, User, http};
use trilith_types::SecretKey;

/// Longest wait for something that comes by itself.
const PATIENCE: Duration = Duration::from_secs(90);

/// Our own gates.
const WIDE: &str = "D6TobL2DSPJK4jbdECBxj56yvHt1RhhZeBZEPEMvCk62";
const TODAY: &str = "9jPaxwKoFWW2uMpM9J5mR48tZh5Y6hu2Y5TbzmLHVzkq";

/// The program that owns feature accounts.
const FEATURE_PROGRAM: &str = "Feature111111111111111111111111111111111111";

/// A node with short epochs of the root, and what is asked for besides.
fn network(user: &User, more: &[&str]) -> Node {
    user.ok("genesis new --epoch-heights 8 --out genesis.json");
    let genesis = user.path("genesis.json");
    let genesis = ["--genesis", genesis.to_str().expect("a path is text")];
    Node::start_with(&user.path(".trilith"), &[&genesis, more].concat())
}

/// The address of a node's JSON-RPC.
fn url(node: &Node) -> String {
    let mut lines = node.banner.iter();
    let url = lines.find_map(|line| line.trim().strip_prefix("account endpoint"));
    url.expect("the banner has the endpoint").trim().to_owned()
}

fn result(url: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = http::post_as(url, "/", "application/json", body.to_string().as_bytes());
    let answer: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    assert!(answer.get("result").is_some(), "{method}: {answer}");
    answer["result"].clone()
}

fn base58(key: &SecretKey) -> String {
    solana_pubkey::Pubkey::new_from_array(*key.public().as_bytes()).to_string()
}

/// A key as `solana-keygen` writes it.
fn write_key(user: &User, name: &str, key: &SecretKey) {
    let bytes = [&key.seed()[..], key.public().as_bytes()].concat();
    user.write(name, serde_json::to_vec(&bytes).expect("bytes are JSON"));
}

/// A key with lamports, in `payer.json`.
fn payer(user: &User, url: &str) -> SecretKey {
    let key = SecretKey::from_seed([61; 32]);
    write_key(user, "payer.json", &key);
    let signature = result(url, "requestAirdrop", json!([base58(&key), 1_000_000_000]));
    let begun = Instant::now();
    while result(url, "getSignatureStatuses", json!([[signature]]))["value"][0].is_null() {
        assert!(begun.elapsed() < PATIENCE, "no airdrop");
        std::thread::sleep(Duration::from_millis(20));
    }
    key
}

/// Asks for the state of a gate until it is as it should be. Asking keeps slots going.
fn until(user: &User, line: &str, done: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let found = user.json(line);
        if done(&found) {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{line} never came to it: {found}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `getAccountInfo` says of our first gate: its account, and its data.
fn wide_account(url: &str) -> (Value, Vec<u8>) {
    let info = json!([WIDE, {"encoding": "base64"}]);
    let account = result(url, "getAccountInfo", info)["value"].clone();
    assert_eq!(account["data"][1], "base64");
    let data = account["data"][0].as_str().expect("base64");
    let data = BASE64_STANDARD.decode(data).expect("base64");
    (account, data)
}

#[test]
fn a_gate_is_created_approved_and_comes_into_force_with_the_next_epoch() {
    let user = User::at("none");
    let options = [
        "--account-profile",
        "classic",
        "--account-epoch-slots",
        "32",
    ];
    let node = network(&user, &options);
    let url = url(&node);
    let status = format!("feature status {WIDE} --url {url}");
    let before = user.json(&status);
    assert_eq!(before["account"]["profile"], "classic");
    let gate = &before["gates"][0];
    assert_eq!(gate["name"], "transaction_wide_budget");
    assert_eq!(
        (&gate["state"], &gate["approved"]),
        (&json!("inactive"), &json!(false))
    );
    let version = user.json(&format!("cluster-version --url {url}"));

    payer(&user, &url);
    let line = format!("feature activate transaction_wide_budget --payer payer.json --url {url}");
    account_alone(&user, &url, &line, &status);

    user.ok("feature approve transaction_wide_budget");
    let coming = until(&user, &status, |status| {
        status["gates"][0]["approved"] == true
    });
    assert_eq!(coming["gates"][0]["proposal"], 1);
    let active = until(&user, &status, |status| {
        status["gates"][0]["state"] == "active"
    });
    let slot = active["gates"][0]["slot"].as_u64().expect("a number");
    assert_eq!(active["gates"][0]["epoch"], slot / 32);
    assert_eq!(active["account"]["profile"], "transaction-wide");
    let text = user.ok(&status);
    let since = format!("active since slot {slot} (epoch {})", slot / 32);
    has(&text, &["profile transaction-wide", &since, "proposal 1"]);
    let (_, data) = wide_account(&url);
    assert_eq!(data, [&[1][..], &slot.to_le_bytes()].concat());
    let again = user.fails(1, &line);
    has(&again, &[&format!("is active since slot {slot}")]);
    // The feature set is what a version knows, not what is in force.
    let after = user.json(&format!("cluster-version --url {url}"));
    assert_eq!(after, version);
    node.interrupt();
    goes_on_as_it_began(&user);
}

/// Creates the account of our first gate, and sees an epoch pass without anything coming of it.
fn account_alone(user: &User, url: &str, line: &str, status: &str) {
    has(
        &user.ok(line),
        &[
            "done: create the feature account of D6Tob",
            "695960 lamports",
            "pending, not approved by the root",
            "The account alone activates nothing: the root must approve the feature.",
            &format!("trilith feature approve {WIDE} --data .trilith"),
        ],
    );
    // As the ecosystem's tools read it: the owner, nine bytes, and no slot.
    let (account, data) = wide_account(url);
    assert_eq!(account["owner"], FEATURE_PROGRAM);
    assert_eq!(account["lamports"], 695_960);
    assert_eq!((&account["space"], data), (&json!(9), vec![0; 9]));
    let again = user.fails(1, line);
    has(
        &again,
        &[
            "exists already, and is pending",
            "trilith feature approve D6Tob",
        ],
    );
    let created = user.json(status);
    let epoch = created["account"]["epoch"].as_u64().expect("a number");
    let later = until(user, status, |status| {
        status["account"]["epoch"].as_u64() > Some(epoch)
    });
    assert_eq!(later["gates"][0]["state"], "pending");
    assert_eq!(later["account"]["profile"], "classic");
}

/// A network that is continued is what it began with, and nothing else.
fn goes_on_as_it_began(user: &User) {
    let node = Node::start_with(&user.path(".trilith"), &["--account-profile", "classic"]);
    let status = user.json(&format!("feature status {WIDE} --url {}", url(&node)));
    assert_eq!(status["account"]["profile"], "transaction-wide");
    drop(node);
    for (options, told) in [
        (
            ["--account-profile", "today"],
            "began with the profile classic, not today",
        ),
        (["--account-epoch-slots", "64"], "have 32 slots, not 64"),
    ] {
        let arguments = [&["--canister-port", "0"][..], &options].concat();
        let refused = dev_that_ends(&user.path(".trilith"), &arguments);
        assert!(!refused.status.success());
        has(&words(&refused), &[told, "  next: ", "--clean"]);
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_approved_gate_that_nobody_knows_ends_the_node_with_its_name() {
    let user = User::at("none");
    let node = network(&user, &["--account-epoch-slots", "32"]);
    let url = url(&node);
    payer(&user, &url);
    let gate = SecretKey::from_seed([62; 32]);
    let id = base58(&gate);
    write_key(&user, "gate.json", &gate);
    let said = user.ok(&format!(
        "feature activate {id} --payer payer.json --feature-keypair gate.json --url {url}"
    ));
    has(
        &said,
        &["unknown to this build", "its nodes stop if it is approved"],
    );
    user.ok(&format!("feature approve {id}"));
    let (status, errors) = node.ended(PATIENCE);
    assert_eq!(status.code(), Some(1), "{errors}");
    let told = format!("feature {id} was approved from root epoch ");
    has(
        &errors,
        &[
            "error: this build cannot go on",
            &told,
            "install a version that does",
        ],
    );
    // Nor does it begin again.
    let again = dev_that_ends(&user.path(".trilith"), &["--canister-port", "0"]);
    assert_eq!(again.status.code(), Some(1), "{}", words(&again));
    has(&words(&again), &[&told, "install a version that does"]);
}

#[test]
fn either_side_is_shown_without_the_other() {
    let user = User::at("none");
    let node = network(&user, &[]);
    let url = url(&node);
    // The account runtime alone.
    let alone = user.json(&format!("feature status --data elsewhere --url {url}"));
    assert_eq!(alone["features"], Value::Null);
    has(
        alone["root_not_asked"].as_str().expect("a reason"),
        &["there is no folder elsewhere"],
    );
    let gates = alone["gates"].as_array().expect("a list");
    assert!(gates.len() > 280, "{} gates", gates.len());
    assert_eq!(
        (&gates[0]["id"], &gates[1]["id"]),
        (&json!(WIDE), &json!(TODAY))
    );
    assert_eq!(
        (&gates[1]["state"], &gates[1]["slot"]),
        (&json!("active"), &json!(0))
    );
    assert_eq!(gates[1]["approved"], Value::Null);
    assert!(
        gates
            .iter()
            .any(|gate| gate["supported"] == false && gate["state"] == "inactive")
    );
    let text = user.ok(&format!("feature status --data elsewhere --url {url}"));
    has(
        &text,
        &[
            "the root was not asked: there is no folder",
            "profile today",
            "[unsupported]",
        ],
    );
    // Both, and every row on a line of its own.
    let text = user.ok(&format!("feature status --url {url}"));
    has(
        &text,
        &["no feature was approved", "epoch 1 begins with slot 432000"],
    );
    assert!(text.lines().count() > gates.len());
    // At the usual address there is nobody, or somebody else's network.
    let text = user.ok("feature status");
    let told = [
        "the account runtime was not asked: ",
        "http://127.0.0.1:8899 ",
        "--url",
    ];
    has(&text, &told);
    // A node that is named must answer, and be of the same network.
    let error = user.fails(1, "feature status --url http://127.0.0.1:9");
    has(&error, &["cannot be asked", "--url"]);
    let other = User::at("none");
    let _other_node = network(&other, &[]);
    let error = other.fails(1, &format!("feature status --url {url}"));
    has(&error, &["is of the network", "--url", "--data"]);
}

#[test]
fn what_cannot_be_created_is_refused_before_anything_is_sent() {
    let user = User::at("none");
    let node = network(&user, &[]);
    let url = url(&node);
    let gate = SecretKey::from_seed([63; 32]);
    write_key(&user, "gate.json", &gate);
    write_key(&user, "poor.json", &SecretKey::from_seed([64; 32]));
    user.write("short.json", "[1, 2, 3]");
    user.write("list.json", "[300]");
    let id = base58(&gate);
    let cases: [(String, i32, &[&str]); 10] = [
        (
            format!("{WIDE} --url {url}"),
            2,
            &["--payer", "trilith feature approve"],
        ),
        (
            format!("{WIDE} --payer none.json"),
            1,
            &["none.json cannot be read"],
        ),
        (
            format!("{WIDE} --payer short.json"),
            2,
            &["it has 3 bytes, a key has 64"],
        ),
        (
            format!("{WIDE} --payer list.json"),
            2,
            &["no JSON list of bytes"],
        ),
        (
            format!("{id} --payer poor.json"),
            2,
            &["none of our own gates", "--feature-keypair"],
        ),
        (
            format!("{WIDE} --payer poor.json --feature-keypair gate.json"),
            2,
            &["is that of", &id, WIDE],
        ),
        (
            format!("{id} --payer gate.json --feature-keypair gate.json --url {url}"),
            2,
            &["cannot pay for its own account"],
        ),
        (
            format!("{id} --payer poor.json --feature-keypair gate.json --url {url}"),
            1,
            &["the node refuses", "see that the payer has lamports"],
        ),
        (
            format!("{TODAY} --payer poor.json --url {url}"),
            1,
            &["is active since slot 0"],
        ),
        (
            format!("{WIDE} --payer poor.json --url http://127.0.0.1:9"),
            1,
            &["http://127.0.0.1:9 cannot be asked", "--url"],
        ),
    ];
    for (arguments, code, told) in cases {
        has(
            &user.fails(code, &format!("feature activate {arguments}")),
            told,
        );
    }
    let said = user.run(&["feature", "activate", "budget", "--payer", "poor.json"]);
    assert_eq!(said.code, 2);
    has(&said.stderr, &["is no feature", "transaction_wide_budget"]);
    // An account of somebody else's stands at the address.
    let token = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
    let error = user.fails(
        1,
        &format!("feature status {token} --url http://127.0.0.1:9"),
    );
    has(&error, &["cannot be asked"]);
    let shown = user.json(&format!("feature status {token} --url {url}"));
    assert_eq!(
        (&shown["gates"][0]["state"], &shown["gates"][0]["known"]),
        (&json!("inactive"), &json!(false))
    );
}

#[test]
fn options_for_the_account_runtime_have_bounds() {
    let user = User::at("none");
    for (arguments, told) in [
        ("--account-epoch-slots 31", "from 32 to 4320000 slots"),
        ("--account-epoch-slots 4320001", "from 32 to 4320000 slots"),
        ("--account-epoch-slots many", "from 32 to 4320000 slots"),
        (
            "--account-profile modern",
            "classic, transaction-wide, today",
        ),
    ] {
        let words: Vec<&str> = ["dev"].into_iter().chain(arguments.split(' ')).collect();
        let said = user.run(&words);
        assert_eq!(said.code, 2, "{arguments}: {}", said.stderr);
        has(&said.stderr, &[told]);
    }
    assert!(!user.path(".trilith").exists(), "nothing was begun");
}

/// Answers every call with what `answer` says to its method, until the process ends.
fn stranger(answer: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut part = [0; 4_096];
            // The body comes last and is one JSON object.
            while !request.ends_with(b"}") {
                match stream.read(&mut part) {
                    Ok(len) if len > 0 => request.extend_from_slice(&part[..len]),
                    _ => break,
                }
            }
            let body = answer(&String::from_utf8_lossy(&request));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // A tool that has seen enough may have hung up.
            let _sent = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

#[test]
fn tool_and_cluster_are_compared() {
    let user = User::at("none");
    let node = network(&user, &[]);
    let own = url(&node);
    has(
        &user.ok(&format!("cluster-version --url {own}")),
        &[
            "cluster               4.2.2, feature set ",
            "cluster and tool match",
        ],
    );
    let same = user.json(&format!("cluster-version --url {own}"));
    assert_eq!(
        (&same["match"], &same["cluster"]),
        (&json!(true), &same["tool"])
    );
    let told = result(&own, "getVersion", json!([]));
    assert_eq!(told["feature-set"], same["tool"]["feature_set"]);
    let nodes = result(&own, "getClusterNodes", json!([]));
    assert_eq!(nodes[0]["featureSet"], told["feature-set"]);

    let other = stranger(|request| {
        let version = json!({"result": {"solana-core": "4.5.0", "feature-set": 7}});
        let none = json!({"error": {"code": -32601, "message": "Method not found"}});
        if request.contains("getVersion") {
            version
        } else {
            none
        }
        .to_string()
    });
    let said = user.ok(&format!("cluster-version --url {other}"));
    has(
        &said,
        &[
            "cluster and tool do not match:",
            "the cluster has the interface 4.5.0, this tool 4.2.2",
            "the cluster has the feature set 7, this tool ",
            "the cluster is of another project",
        ],
    );
    assert_eq!(
        user.json(&format!("cluster-version --url {other}"))["match"],
        false
    );
    for answer in [
        (|_: &str| "no JSON".to_owned()) as fn(&str) -> String,
        |_| "[]".to_owned(),
        |_| "{}".to_owned(),
        |_| json!({"result": {"solana-core": 4}}).to_string(),
    ] {
        let url = stranger(answer);
        let error = user.fails(1, &format!("cluster-version --url {url}"));
        has(&error, &["is no JSON-RPC of Solana's kind", "--url"]);
        user.fails(1, &format!("feature status --data elsewhere --url {url}"));
    }
    let error = user.fails_json(1, "cluster-version --url http://127.0.0.1:9");
    has(
        error["message"].as_str().expect("a message"),
        &["http://127.0.0.1:9"],
    );
}

/// Tools of others that read feature accounts find the state in them with no more than the crate
/// that defines it. Its form: an option of a slot, little-endian.
#[test]
fn feature_accounts_are_read_as_the_ecosystem_defines_them() {
    let user = User::at("none");
    let node = network(&user, &[]);
    let url = url(&node);
    let gates = user.json(&format!("feature status --url {url}"));
    let gates = gates["gates"].as_array().expect("a list");
    let keys: Vec<&Value> = gates.iter().map(|gate| &gate["id"]).collect();
    let mut active = 0;
    for (part, gates) in keys.chunks(100).zip(gates.chunks(100)) {
        let config = json!({"encoding": "base64"});
        let answer = result(&url, "getMultipleAccounts", json!([part, config]));
        for (account, gate) in answer["value"]
            .as_array()
            .expect("a list")
            .iter()
            .zip(gates)
        {
            if account.is_null() {
                assert_eq!(gate["state"], "inactive", "{gate}");
                continue;
            }
            assert_eq!(account["owner"], FEATURE_PROGRAM);
            let data = account["data"][0].as_str().expect("base64");
            let data = BASE64_STANDARD.decode(data).expect("base64");
            assert_eq!(data, [1, 0, 0, 0, 0, 0, 0, 0, 0], "{gate}");
            assert_eq!(gate["state"], "active");
            active += 1;
        }
    }
    assert!(active > 200, "{active} gates are active from the beginning");
    let parsed = json!([WIDE, {"encoding": "jsonParsed"}]);
    let account = result(&url, "getAccountInfo", parsed)["value"].clone();
    assert_eq!(account["owner"], FEATURE_PROGRAM);
}
