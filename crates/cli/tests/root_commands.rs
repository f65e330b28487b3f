//! The commands about the root ledger, as a user types them against a node that runs.

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::process::dev_that_ends;
use support::user::has;
use support::{Node, User};

/// A user in whose folder a network of their own runs.
fn network() -> (User, Node) {
    let user = User::at("none");
    let node = Node::start(&user.path(".trilith"));
    (user, node)
}

fn balance(user: &User, account: &str) -> u128 {
    let shown = user.json(&format!("stake account {account}"));
    shown["balance"].as_str().unwrap().parse().unwrap()
}

#[test]
fn stake_is_moved_delegated_and_taken_back() {
    let (user, _node) = network();
    user.ok("identity new me.pem");
    let own = user.json("stake account");
    assert_eq!(own["balance"], "1000000000");
    assert_eq!(own["active"]["balance"], "1000000");
    let me = user.json("stake account me.pem");
    assert_eq!(me["balance"], "0");

    let moved = user.ok("stake transfer me.pem 5000");
    has(
        &moved,
        &["done: transfer 5000 base units to oasis1", "event"],
    );
    assert_eq!(balance(&user, "me.pem"), 5_000);
    let burnt = user.json("stake burn 700");
    assert_eq!(burnt["events"][0]["staking"]["burn"]["amount"], "700");
    assert_eq!(user.json("stake supply")["total_supply"], "2000999300");

    let delegated = user.json("stake delegate me.pem 4000");
    assert_eq!(delegated["shares"], "4000");
    let taken = user.json("stake undelegate me.pem 1500");
    assert_eq!(taken["paid_out_at_epoch"], 2);
    let own = user.json("stake account");
    assert_eq!(own["being_taken_back"][0]["shares"], "1500");
    let me = user.json(&format!(
        "stake account me.pem --delegator {}",
        own["account"].as_str().unwrap()
    ));
    assert_eq!(me["active"]["balance"], "2500");
    assert_eq!(me["debonding"]["balance"], "1500");
    assert_eq!(me["delegation"]["shares"], "2500");

    user.ok("stake allow me.pem 300");
    user.ok("stake allow me.pem 100 --less");
    let owner = own["account"].as_str().unwrap();
    user.ok(&format!("stake withdraw {owner} 150 --identity me.pem"));
    assert_eq!(balance(&user, "me.pem"), 5_150);
    let refused = user.fails_json(1, &format!("stake withdraw {owner} 150 --identity me.pem"));
    assert_eq!(
        (&refused["module"], &refused["code"]),
        (&json!("staking"), &json!(5))
    );
    has(
        refused["message"].as_str().unwrap(),
        &["allows 50 base units", "150 were to be"],
    );
    user.ok("stake amend-commission --rate 400:5000 --bound 400:0-20000");
    let commission = &user.json("stake account")["commission"];
    assert_eq!(commission["rates"][0]["rate"], "5000");
    assert_eq!(commission["bounds"][0]["rate_max"], "20000");
}

#[test]
fn refusals_say_numbers_and_what_to_do() {
    let (user, _node) = network();
    user.ok("identity new me.pem");
    let error = user.fails(1, "stake transfer me.pem 1000000001");
    has(
        &error,
        &[
            "has 1000000000 base units, 1000000001 were to be taken",
            "reason 3 of staking",
            "its fee is paid",
            "trilith stake account",
        ],
    );
    let error = user.fails(1, "stake transfer me.pem 5 --gas 10");
    has(&error, &["its limit is 10", "reason 103", "--gas"]);
    let error = user.fails(1, "stake transfer me.pem 5 --fee 99999999999");
    has(
        &error,
        &["it was not taken up, and costs nothing", "reason 2"],
    );
    let error = user.fails(1, "entity register --identity me.pem");
    has(
        &error,
        &[
            "0 base units of active stake, 1000 are needed",
            "stake delegate",
        ],
    );
    let error = user.fails(1, "entity deregister");
    has(
        &error,
        &["has nodes", "reason 15 of registry", "trilith node list"],
    );
    let error = user.fails(1, "entity show me.pem");
    has(&error, &["no entity", "trilith entity list"]);
    let error = user.fails(1, "node unfreeze me.pem");
    has(&error, &["reason 10 of registry", "trilith node list"]);
    let error = user.fails(
        1,
        "runtime show 8000000000000000000000000000000000000000000000000000000000000099",
    );
    has(&error, &["there is no runtime", "trilith runtime list"]);
    let error = user.fails(1, "governance show 7");
    has(
        &error,
        &["there is no proposal 7", "trilith governance proposals"],
    );
    let error = user.fails(1, "governance vote 7 yes");
    has(
        &error,
        &["there is no proposal 7", "reason 5 of governance"],
    );
    // What is wrong with arguments is said without a node.
    let said = user.run(&["stake", "transfer", "nobody", "5"]);
    assert_eq!(said.code, 2);
    has(&said.stderr, &["oasis1", "PEM file"]);
    let error = user.fails_json(2, "stake transfer nobody 5");
    assert!(error["message"].as_str().unwrap().contains("nobody"));
    user.ok("identity new curve.pem --kind secp256k1");
    let error = user.fails(2, "stake burn 5 --identity curve.pem");
    has(&error, &["secp256k1", "ed25519", "trilith identity new"]);
    let error = user.fails(1, "root status --data elsewhere");
    has(
        &error,
        &[
            "there is no folder elsewhere",
            "trilith dev --data elsewhere",
        ],
    );
}

#[test]
fn an_entity_with_a_node_and_a_runtime_is_registered() {
    let (user, _node) = network();
    user.ok("identity new me.pem");
    user.ok("stake delegate me.pem 4000");
    let node = user.ok("node keys second");
    let node = node.trim();
    assert_eq!(user.ok("node keys second").trim(), node, "keys stay");

    let unlisted = "node register --keys second --entity me.pem --role compute \
                    --runtime canister@1.0.0 --expiration 10";
    let error = user.fails(1, unlisted);
    has(&error, &["reason 9 of registry", "entity register"]);
    let registered = user.json("entity register --identity me.pem");
    let entity = registered["entity"].as_str().unwrap().to_owned();
    let error = user.fails(1, unlisted);
    has(&error, &["reason 105 of registry", "--node ID"]);
    user.ok("entity register --identity me.pem --node second/node.pem");
    let registered = user.json(unlisted);
    assert_eq!(registered["registered"], true);
    let error = user.fails(1, &unlisted.replace("--expiration 10", "--expiration 0"));
    has(&error, &["--expiration"]);

    let shown = user.json("node show second/node.pem");
    assert_eq!(shown["entity"], entity);
    assert_eq!(shown["roles"], json!(["compute"]));
    assert_eq!(shown["expiration"], 10);
    assert_eq!(shown["can_be_elected"], "after the next epoch has begun");
    let nodes = user.json("node list");
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2);
    let own = user.json("node show");
    assert_eq!(own["roles"], json!(["compute", "validator", "storage"]));
    let listed = user.json("entity list");
    assert_eq!(listed["entities"].as_array().unwrap().len(), 2);
    let shown = user.json("entity show me.pem");
    assert_eq!(shown["active_stake"], "4000");
    assert_eq!(shown["claims"].as_object().unwrap().len(), 2);
    user.ok("node unfreeze second/node.pem --identity me.pem");

    let template = user.json("runtime template --identity me.pem");
    assert_eq!(template["entity_id"], entity);
    user.write("mine.json", template.to_string());
    let registered = user.json("runtime register mine.json --identity me.pem");
    let runtime = registered["runtime"].as_str().unwrap().to_owned();
    let shown = user.json(&format!("runtime show {runtime}"));
    assert_eq!(shown["descriptor"], template);
    assert_eq!(shown["committee"], Value::Null);
    let shown = user.json("runtime show canister");
    assert_eq!(shown["committee"]["workers"][0], own["node"]);
    let listed = user.json("runtime list");
    assert_eq!(listed["runtimes"].as_array().unwrap().len(), 3);

    let events = user.json("root events");
    let events = events["events"].as_array().unwrap();
    let is_node = |event: &&Value| event["event"]["registry"]["node"]["id"] == json!(node);
    assert_eq!(events.iter().filter(is_node).count(), 1);
    let status = user.json("root status");
    assert_eq!(status["chain"], "trilith-dev");
    assert_eq!(status["epoch_interval"], 3_600);
}

#[test]
fn descriptors_that_cannot_be_are_refused_by_field() {
    let (user, _node) = network();
    let template = user.json("runtime template");
    // A descriptor that breaks a rule, one that is none, and one that is not JSON.
    let mut bad = template.clone();
    bad["executor"]["group_size"] = json!(0);
    user.write("bad.json", bad.to_string());
    let error = user.fails(1, "runtime register bad.json");
    has(
        &error,
        &["group_size is 0, it must be from 1 to 100", "reason 107"],
    );
    bad["executor"]["group_size"] = json!("many");
    user.write("bad.json", bad.to_string());
    let error = user.fails(1, "runtime register bad.json");
    has(
        &error,
        &[
            "executor.group_size: it is \"many\"",
            "from 0 to 65535",
            "runtime template",
        ],
    );
    user.write("bad.json", "{");
    has(
        &user.fails(1, "runtime register bad.json"),
        &["no JSON", "runtime template"],
    );
}

/// Every command with its subcommands.
const COMMANDS: [(&str, &[&str]); 8] = [
    ("entity", &["register", "deregister", "show", "list"]),
    ("node", &["keys", "register", "unfreeze", "show", "list"]),
    ("runtime", &["template", "register", "show", "list"]),
    (
        "stake",
        &[
            "account",
            "transfer",
            "burn",
            "delegate",
            "undelegate",
            "allow",
            "withdraw",
            "amend-commission",
            "supply",
        ],
    ),
    (
        "governance",
        &["proposals", "show", "propose", "vote", "parameters"],
    ),
    ("feature", &["status", "approve", "activate"]),
    ("genesis", &["show", "check", "new"]),
    ("root", &["status", "events"]),
];

#[test]
fn every_help_text_has_a_worked_example() {
    let user = User::at("none");
    for (command, subcommands) in COMMANDS {
        let help = user.ok(&format!("{command} --help"));
        has(&help, &["Exit codes:", "--data", "--json"]);
        for subcommand in subcommands {
            has(&help, &[subcommand]);
            let help = user.ok(&format!("{command} {subcommand} --help"));
            has(
                &help,
                &[
                    &format!("Example: trilith {command} {subcommand}"),
                    "Usage:",
                ],
            );
        }
    }
    has(
        &user.ok("state export-genesis --help"),
        &["Example: trilith state"],
    );
}

/// Sends bytes to the socket, and gives what it answers before it closes.
fn exchange(user: &User, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(user.path(".trilith/control.sock")).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A node that hangs up in the middle has said what it had to say.
    let _ended = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn the_socket_is_one_nodes_and_one_users() {
    let (user, node) = network();
    let socket = user.path(".trilith/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = std::fs::metadata(user.path(".trilith/keys/entity.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // Frames that are too long, no CBOR, or cut off are answered or dropped, and the node goes on.
    let answer = exchange(&user, &[0xff; 64]);
    let text = String::from_utf8_lossy(&answer).into_owned();
    has(&text, &["failed", "over the limit of"]);
    let answer = exchange(&user, &[0, 0, 0, 2, 0xff, 0xff]);
    has(&String::from_utf8_lossy(&answer), &["failed"]);
    assert_eq!(exchange(&user, &[0, 0, 1, 0, 1]), b"");
    let mut silent: Vec<UnixStream> = (0..32)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    // A connection from above may have held a place until now, so that one of these got none.
    while silent.len() < 40 && user.run(&["root", "status"]).code == 0 {
        silent.push(UnixStream::connect(&socket).unwrap());
    }
    let error = user.fails(1, "root status");
    has(&error, &["32 tools are connected, which is the limit"]);
    drop(silent);
    let mut again = user.run(&["root", "status"]);
    while again.code != 0 {
        again = user.run(&["root", "status"]);
    }
    // A second node on the folder, and a socket that a killed one left.
    let second = dev_that_ends(&user.path(".trilith"), &["--canister-port", "0"]);
    has(
        &String::from_utf8_lossy(&second.stderr),
        &["error: ", "next: "],
    );
    user.ok("root status");
    node.kill();
    assert!(socket.exists());
    let error = user.fails(1, "root status");
    has(
        &error,
        &["no node runs on the data folder .trilith", "trilith dev"],
    );
    let node = Node::start(&user.path(".trilith"));
    user.ok("root status");
    node.interrupt();
    assert!(!socket.exists());
    // Something else has the name.
    std::fs::write(&socket, b"mine").unwrap();
    let refused = dev_that_ends(&user.path(".trilith"), &["--canister-port", "0"]);
    has(
        &String::from_utf8_lossy(&refused.stderr),
        &["is no socket", "next: "],
    );
    // A path that no socket can have.
    let deep = user.path(&"d".repeat(100));
    let refused = dev_that_ends(&deep, &["--canister-port", "0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    has(&said, &["the limit is 107", "shorter path"]);
}
