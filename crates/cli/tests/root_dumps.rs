//! Networks that begin with documents, what their stake decides, and networks that go on elsewhere.

mod support;

use serde_json::{Value, json};
use support::process::dev_that_ends;
use support::user::has;
use support::{MOTOKO_COUNTER, Node, User};

/// Runs a command until what it prints is as it should be; heights come by themselves.
fn until(user: &User, line: &str, done: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..2_000 {
        let found = user.json(line);
        if done(&found) {
            return found;
        }
    }
    panic!("{line} never came to it")
}

fn epoch(user: &User) -> u64 {
    user.json("root status")["epoch"].as_u64().unwrap()
}

/// A network of a document with short epochs.
fn short_epochs(user: &User) -> Node {
    user.ok("genesis new --epoch-heights 8 --out genesis.json");
    let genesis = user.path("genesis.json");
    Node::start_with(
        &user.path(".trilith"),
        &["--genesis", genesis.to_str().unwrap()],
    )
}

#[test]
fn stake_decides_about_parameters_and_features() {
    let user = User::at("none");
    let _node = short_epochs(&user);
    user.write("changes.json", r#"{ "min_transfer": "7" }"#);
    let propose = "governance propose --parameters staking --changes changes.json --vote yes";
    let proposed = user.json(propose);
    assert_eq!(proposed["proposal"], 1);
    assert_eq!(proposed["state"], "Active");
    let shown = user.json("governance show 1");
    assert_eq!(
        shown["content"]["change_parameters"]["changes"]["min_transfer"],
        "7"
    );
    assert_eq!(shown["votes"][0]["vote"], "Yes");
    let done = until(&user, "governance show 1", |shown| {
        shown["state"] != "Active"
    });
    assert_eq!(done["state"], "Passed");
    assert_eq!(user.json("stake supply")["params"]["min_transfer"], "7");
    user.ok("identity new me.pem");
    let error = user.fails(1, "stake transfer me.pem 6");
    has(
        &error,
        &["6 base units were to be moved, the least is 7", "reason 9"],
    );
    has(
        &user.ok("governance proposals"),
        &["1  Passed", "other parameters of staking"],
    );
    let error = user.fails(1, "governance vote 1 no");
    has(&error, &["proposal 1 closed at epoch"]);
    let error = user.fails(1, "governance propose --cancel-upgrade 1");
    has(&error, &["proposal 1 is of no pending upgrade", "reason 4"]);

    let feature = "41tVp5qR1XwWRt5WifvtSQyuxtqQWJgEK8w91AtBqSwP";
    let activated = user.json(&format!("feature approve {feature}"));
    assert_eq!(activated["proposal"], 2);
    let approved = until(&user, "feature status", |status| {
        !status["features"].as_array().unwrap().is_empty()
    });
    assert_eq!(approved["features"][0]["address"], feature);
    let active = until(&user, "feature status", |status| {
        status["features"][0]["state"] == "active"
    });
    assert_eq!(active["features"][0]["proposal"], 2);
    let error = user.fails(1, &format!("feature approve {feature}"));
    has(
        &error,
        &["was approved in proposal 2", "reason 102 of governance"],
    );
    let parameters = user.json("governance parameters");
    assert_eq!(parameters["next_proposal"], 3);
}

#[test]
fn a_node_that_registers_is_elected_after_the_next_epoch() {
    let user = User::at("none");
    let _node = short_epochs(&user);
    user.ok("identity new me.pem");
    user.ok("stake delegate me.pem 5000");
    user.ok("node keys second");
    user.ok("entity register --identity me.pem --node second/node.pem");
    let template = user.json("runtime template --identity me.pem");
    user.write("mine.json", template.to_string());
    let runtime = user.json("runtime register mine.json --identity me.pem");
    let runtime = runtime["runtime"].as_str().unwrap().to_owned();
    let register = |last: u64| {
        format!(
            "node register --keys second --entity me.pem --role compute --runtime {runtime}@1.0.0 \
             --expiration {last}"
        )
    };
    user.ok(&register(epoch(&user) + 20));
    // It waits until the epoch after the next; meanwhile nobody executes the runtime, which is
    // suspended, and runs again when a node registers for it once more.
    let show = format!("runtime show {runtime}");
    until(&user, &show, |shown| shown["state"] == "suspended");
    user.ok(&register(epoch(&user) + 21));
    let node = user.json("node show second/node.pem")["node"].clone();
    let running = until(&user, &show, |shown| !shown["committee"].is_null());
    assert_eq!(running["committee"]["workers"], json!([node]));
    assert_eq!(running["state"], "registered");
    // Stake that is taken back is paid out.
    user.ok("stake undelegate me.pem 10");
    let before = user.json("stake account")["being_taken_back"].clone();
    assert_eq!(before.as_array().unwrap().len(), 1);
    until(&user, "stake account", |account| {
        account["being_taken_back"] == json!([])
    });
}

#[test]
fn documents_are_shown_changed_and_refused() {
    let user = User::at("none");
    let made = user.json("genesis new --epoch-heights 8 --out genesis.json");
    let checked = user.json("genesis check genesis.json");
    assert_eq!(checked["chain_context"], made["chain_context"]);
    assert_eq!(checked["sound"], true);
    // Both forms are of one network.
    user.ok("genesis show genesis.json --form cbor --out genesis.cbor");
    let of_cbor = user.json("genesis check genesis.cbor");
    assert_eq!(of_cbor["chain_context"], made["chain_context"]);
    let text = user.ok("genesis show genesis.cbor --form json");
    let read: Value = serde_json::from_str(&text).unwrap();
    let written = std::fs::read_to_string(user.path("genesis.json")).unwrap();
    assert_eq!(read, serde_json::from_str::<Value>(&written).unwrap());
    let error = user.fails(2, "genesis show genesis.json --form cbor");
    has(&error, &["--out"]);
}

#[test]
fn what_is_wrong_with_a_document_is_named() {
    let user = User::at("none");
    user.ok("genesis new --epoch-heights 8 --out genesis.json");
    let written = std::fs::read_to_string(user.path("genesis.json")).unwrap();
    let read: Value = serde_json::from_str(&written).unwrap();
    let refused = |change: &dyn Fn(&mut Value), code: i32| {
        let mut document = read.clone();
        change(&mut document);
        user.write("bad.json", document.to_string());
        user.fails(code, "genesis check bad.json")
    };
    let negative = refused(&|d| d["epoch_interval"] = json!(-4), 1);
    has(
        &negative,
        &["epoch_interval: it is", "from 0 to 18446744073709551615"],
    );
    let unknown = refused(&|d| d["services"]["staking"]["param"] = json!(1), 1);
    has(
        &unknown,
        &["services.staking.param: there is no such field", "params"],
    );
    let missing = refused(
        &|d| {
            d.as_object_mut().unwrap().remove("chain");
        },
        1,
    );
    has(&missing, &["chain: it is missing"]);
    let key = refused(&|d| d["consensus_key"] = json!("abcd"), 1);
    has(&key, &["consensus_key", "96 bytes in hexadecimal"]);
    let supply = refused(
        &|d| d["services"]["staking"]["total_supply"] = json!("5"),
        1,
    );
    has(
        &supply,
        &["total supply are 5, the parts add up to 2001000000"],
    );
    let threshold = refused(
        &|d| {
            d["services"]["staking"]["params"]["thresholds"]["Entities"] = json!("5");
        },
        1,
    );
    has(&threshold, &["thresholds.Entities", "one of Entity"]);
    let runtime = refused(
        &|d| d["services"]["registry"]["runtimes"][0]["executor"]["group_size"] = json!(101),
        1,
    );
    has(&runtime, &["group_size is 101, it must be from 1 to 100"]);
    let standing = refused(
        &|d| {
            let id = "8000000000000000000000000000000000000000000000000000000000000005";
            let root = "00".repeat(32);
            d["services"]["standings"] = json!({ id: { "round": 1, "state_root": root } });
        },
        1,
    );
    has(&standing, &["there is no such compute runtime"]);
}

#[test]
fn a_network_begins_with_a_document_and_only_with_its_own_keys() {
    let user = User::at("none");
    user.ok("genesis new --epoch-heights 8 --out genesis.json");
    let written = std::fs::read_to_string(user.path("genesis.json")).unwrap();
    let mut document: Value = serde_json::from_str(&written).unwrap();
    document["chain"] = json!("mine");
    user.write("mine.json", document.to_string());
    let mine = user.path("mine.json");
    let arguments = ["--genesis", mine.to_str().unwrap(), "--canister-port", "0"];
    let other = dev_that_ends(&user.path("other"), &arguments);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    has(&said, &["there is no seed in", "genesis new --data"]);
    std::fs::write(user.path("other/seed"), [1; 32]).unwrap();
    let other = dev_that_ends(&user.path("other"), &arguments);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    has(
        &said,
        &["the document's consensus_key is", "put the `seed`"],
    );
    let node = Node::start_with(&user.path(".trilith"), &arguments[..2]);
    assert_eq!(user.json("root status")["chain"], "mine");
    let shown = user.ok("genesis show --form json");
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
    node.interrupt();
    let genesis = user.path("genesis.json");
    let arguments = [
        "--genesis",
        genesis.to_str().unwrap(),
        "--canister-port",
        "0",
    ];
    let other = dev_that_ends(&user.path(".trilith"), &arguments);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    has(&said, &["holds the network", "--clean"]);
    // Forgotten, with the seed that the document's keys come from.
    let arguments = ["--genesis", genesis.to_str().unwrap(), "--clean"];
    let _node = Node::start_with(&user.path(".trilith"), &arguments);
    assert_eq!(user.json("root status")["chain"], "trilith-dev");
}

#[test]
fn a_network_goes_on_elsewhere_with_its_canisters() {
    let user = User::at("none");
    let node = Node::start(&user.path(".trilith"));
    let at = |node: &Node| format!("--network {}", node.url);
    user.write("counter.wasm", MOTOKO_COUNTER);
    let created = user.ok(&format!("canister create {}", at(&node)));
    let id = created.trim();
    user.ok(&format!(
        "canister install {id} --wasm counter.wasm {}",
        at(&node)
    ));
    let added = user.ok(&format!("canister call {id} add '(42)' {}", at(&node)));
    assert_eq!(added, "(42 : nat)\n");
    user.ok("identity new me.pem");
    user.ok("stake transfer me.pem 77");
    // While it runs, and once it is stopped.
    user.ok("state export-genesis --out running.json");
    user.ok("genesis check running.json");
    node.interrupt();
    let exported = user.json("state export-genesis --out next.json");
    let rounds = |document: &Value| -> Vec<u64> {
        let runtimes = document["runtimes"].as_array().unwrap().iter();
        runtimes.map(|of| of["round"].as_u64().unwrap()).collect()
    };
    for runtime in ["canister", "account"] {
        user.ok(&format!("state export --runtime {runtime} --out {runtime}"));
    }
    std::fs::create_dir(user.path("next")).unwrap();
    std::fs::copy(user.path(".trilith/seed"), user.path("next/seed")).unwrap();
    let next = user.path("next.json");
    let arguments = ["--genesis", next.to_str().unwrap(), "--canister-port", "0"];
    let early = dev_that_ends(&user.path("next"), &arguments);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    has(
        &said,
        &["runtime canister", "has no state of it", "state import"],
    );
    for runtime in ["canister", "account"] {
        user.ok(&format!("state import --data next --from {runtime}"));
    }
    // What is exported of the imported is the same.
    let node = Node::start_with(&user.path("next"), &arguments[..2]);
    let query = format!("canister query {id} get {}", at(&node));
    assert_eq!(user.ok(&query), "(42 : nat)\n");
    let call = format!("canister call {id} inc {}", at(&node));
    assert_eq!(user.ok(&call), "(43 : nat)\n");
    let account = user.json("stake account me.pem --data next");
    assert_eq!(account["balance"], "77");
    let again = user.json("state export-genesis --data next --out again.json");
    let (before, after) = (rounds(&exported), rounds(&again));
    assert!(
        after[0] > before[0] && after[1] > before[1],
        "{before:?} {after:?}"
    );
    assert_ne!(again["chain_context"], exported["chain_context"]);
    assert_eq!(again["total_supply"], exported["total_supply"]);
    assert_eq!(again["nodes"], exported["nodes"]);
    // Continued without the document, and with it.
    node.interrupt();
    let node = Node::start_with(&user.path("next"), &arguments[..2]);
    assert_eq!(
        user.ok(&format!("canister query {id} get {}", at(&node))),
        "(43 : nat)\n"
    );
}
