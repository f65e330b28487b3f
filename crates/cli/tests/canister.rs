//! `trilith canister`, as a user types it against a node that runs.

mod support;

use serde_json::json;
use support::modules::{PRINTER, gzip, module, noise};
use support::user::has;
use support::{C_COUNTER, FIRST_CANISTER, MOTOKO_COUNTER, Node, User, WAT_CALLER, WAT_COUNTER};
use tempfile::tempdir;

/// An upgrade of the Motoko counter.
const MOTOKO_COUNTER_V2: &[u8] = include_bytes!("../../../canisters/motoko/counter_v2.wasm");

#[test]
fn a_canister_lives_from_create_to_delete() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("counter.wasm", MOTOKO_COUNTER);
    let me = user.ok("identity principal");
    let me = me.trim();

    let id = user.ok("canister create --name counter --cycles 3T");
    assert_eq!(id.trim(), FIRST_CANISTER);
    assert_eq!(user.ok("canister id counter"), id);
    has(&user.ok("canister names"), &["counter", FIRST_CANISTER]);
    has(&user.ok("canister info counter"), &["module", "none", me]);
    let status = user.ok("canister status counter");
    has(&status, &["running", "(2.99", me]);

    let installed = user.ok("canister install counter --wasm counter.wasm");
    has(
        &installed,
        &["installed module ", "counter (", FIRST_CANISTER],
    );
    assert_eq!(user.ok("canister call counter inc"), "(1 : nat)\n");
    assert_eq!(user.ok("canister call counter add '(41)'"), "(42 : nat)\n");
    assert_eq!(user.ok("canister query counter get"), "(42 : nat)\n");
    let greeting = user.ok(r#"canister query counter greet '("you")'"#);
    assert_eq!(greeting, "(\"Hello, you!\")\n");
    let whoami = user.ok("canister query counter whoami");
    assert_eq!(whoami, format!("(principal \"{me}\")\n"));
    let info = user.ok("canister info counter");
    has(
        &info,
        &["greet : (text) -> (text) query", "inc : () -> (nat)"],
    );
    let service = user.ok("canister info counter --metadata candid:service");
    has(&service, &["service : {", "greet"]);

    assert_eq!(
        user.ok("canister stop counter"),
        format!("stopped counter ({FIRST_CANISTER})\n")
    );
    let error = user.fails(1, "canister call counter inc");
    has(&error, &["is stopped", "trilith canister start counter"]);
    user.ok("canister start counter");
    assert_eq!(user.ok("canister query counter get"), "(42 : nat)\n");

    has(
        &user.ok("canister uninstall counter"),
        &["uninstalled counter"],
    );
    let error = user.fails(1, "canister call counter inc");
    has(&error, &["trilith canister install counter --wasm"]);
    let error = user.fails(1, "canister delete counter");
    has(&error, &["trilith canister stop counter"]);
    user.ok("canister stop counter");
    user.ok("canister delete counter");
    assert_eq!(user.ok("canister names"), "");
    let error = user.fails(2, "canister status counter");
    has(
        &error,
        &["no canister of", "called `counter`", "create --name"],
    );
    let error = user.fails(1, &format!("canister status {FIRST_CANISTER}"));
    has(&error, &["not found", "trilith canister create"]);
}

#[test]
fn documents_have_what_programs_need() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("counter.wasm", C_COUNTER);
    let me = user.json("identity principal")["principal"].clone();
    let other = user.json("identity new other.pem --kind secp256k1");
    assert_eq!(other["kind"], "secp256k1");
    assert_ne!(other["principal"], me);
    let created = user.json("canister create --name c --cycles 5T");
    assert_eq!(created["canister_id"], FIRST_CANISTER);
    assert_eq!(created["controllers"], json!([me]));
    let installed = user.json("canister install c --wasm counter.wasm");
    assert_eq!(installed["mode"], "install");
    assert_eq!(installed["messages"], 1);
    let called = user.json("canister call c add '(7)'");
    assert_eq!(called["candid"], "(7 : nat64)");
    assert_eq!(called["json"], json!(["7"]));
    assert_eq!(called["kind"], "update");
    assert_eq!(called["hex"], "4449444c0001780700000000000000");
    assert_eq!(user.json("canister query c get")["json"], json!(["7"]));
    let status = user.json("canister status c");
    assert_eq!(status["status"], "running");
    assert_eq!(status["module_hash"], installed["module_hash"]);
    assert_eq!(status["settings"]["controllers"], json!([me]));
    let before: u128 = status["cycles"].as_str().unwrap().parse().unwrap();
    assert!(before > 4_000_000_000_000, "{status}");
    let added = user.json("canister deposit c --cycles 1T");
    assert_eq!(added["added_cycles"], "1000000000000");
    let added = user.json("canister top-up c --cycles 1.5T");
    assert_eq!(added["added_cycles"], "1500000000000");
    let after = user.json("canister status c")["cycles"].clone();
    let after: u128 = after.as_str().unwrap().parse().unwrap();
    assert!(after > before + 1_000_000_000_000, "{before} {after}");
    let info = user.json("canister info c");
    assert_eq!(info["module_hash"], installed["module_hash"]);
    assert_eq!(
        info["methods"][0],
        json!({ "name": "add", "type": "(nat64) -> (nat64)" })
    );
    let section = user.json("canister info c --metadata candid:service");
    assert_eq!(section["encoding"], "text");
    assert_eq!(user.json("canister id c")["canister_id"], FIRST_CANISTER);
    assert_eq!(
        user.json("canister names")["canisters"],
        json!({ "c": FIRST_CANISTER })
    );
    assert_eq!(user.json("canister logs c")["records"], json!([]));
    assert_eq!(user.json("canister settings c")["compute_allocation"], 0);
    for (deed, done) in [
        ("stop", "stopped"),
        ("start", "started"),
        ("uninstall", "uninstalled"),
        ("stop", "stopped"),
        ("delete", "deleted"),
    ] {
        let document = user.json(&format!("canister {deed} c"));
        assert_eq!(document["done"], done);
    }
    assert_eq!(user.json("canister names")["canisters"], json!({}));
}

#[test]
fn arguments_and_replies_come_in_every_form() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    user.write("motoko.wasm", MOTOKO_COUNTER);
    user.write("caller.wasm", WAT_CALLER);
    user.write("counter.wasm", WAT_COUNTER);
    for name in ["motoko", "caller", "counter"] {
        user.ok(&format!("canister create --name {name}"));
        user.ok(&format!("canister install {name} --wasm {name}.wasm"));
    }
    user.write("arg.txt", "(\n  \"file\" // from a file\n)");
    let greeting = user.ok("canister query motoko greet --arg-file arg.txt");
    assert_eq!(greeting, "(\"Hello, file!\")\n");
    let hex = "4449444c00017103686578";
    let greeting = user.ok(&format!("canister query motoko greet --arg-hex {hex}"));
    assert_eq!(greeting, "(\"Hello, hex!\")\n");
    let greet = r#"canister query motoko greet '("x")'"#;
    assert_eq!(
        user.ok(&format!("{greet} --output json")),
        "[\"Hello, x!\"]\n"
    );
    let hex = hex::encode(b"DIDL\0\x01\x71\x09Hello, x!");
    assert_eq!(
        user.ok(&format!("{greet} --output hex")),
        format!("{hex}\n")
    );
    let blob = user.ok(r#"canister call motoko setCertified '(blob "\01\ff")'"#);
    assert_eq!(blob, "()\n");

    // Without the interface the types come from the text: an integer, where a natural is wanted.
    let error = user.fails(1, "canister call motoko add '(1)' --no-interface");
    has(&error, &["the update `add` of motoko", "logs motoko"]);
    let reply = user.ok("canister call motoko add '(1 : nat)' --no-interface");
    assert_eq!(reply, "(1 : nat)\n");
    // An interface from a file names what the canister's own does not.
    user.write("own.did", "service : { echo : (record { a : nat; b : text }) -> (record { a : nat; b : text }) query }");
    let echo = "canister query counter echo '(record { b = \"x\"; a = 7 })' --did own.did";
    assert_eq!(user.ok(echo), "(record { a = 7 : nat; b = \"x\" })\n");
    let echo = format!("{echo} --output json");
    assert_eq!(user.ok(&echo), "[{\"a\":\"7\",\"b\":\"x\"}]\n");
    // Raw bytes that are no candid come out as bytes.
    let raw = user.run(&[
        "canister",
        "query",
        "counter",
        "echo",
        "--arg-hex",
        "00ff",
        "--no-interface",
    ]);
    assert_eq!(
        (raw.code, raw.stdout.as_str()),
        (0, "00ff\n"),
        "{}",
        raw.stderr
    );
    has(&raw.stderr, &["not candid"]);
    // The management canister, under the address of the canister that the argument names.
    let id = user.ok("canister id counter");
    let status = format!(
        "canister call aaaaa-aa canister_status '(record {{ canister_id = principal \"{}\" }})'",
        id.trim()
    );
    has(&user.ok(&status), &["record {"]);
}

#[test]
fn mistakes_in_a_call_are_found_before_it_is_sent() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    user.write("counter.wasm", MOTOKO_COUNTER);
    user.ok("canister create --name c");
    user.ok("canister install c --wasm counter.wasm");

    let error = user.fails(2, "canister call c ad '(1)'");
    has(
        &error,
        &[
            "no method `ad`",
            "its methods are add,",
            "did you mean `add`?",
        ],
    );
    let error = user.fails(2, "canister query c inc");
    has(
        &error,
        &["may change the canister", "trilith canister call c inc"],
    );
    let error = user.fails(2, "canister call c add '(1 2)'");
    let parts = [
        "line 1, column 4",
        "goes wrong at `2)`",
        "`add` takes (nat)",
        "'(1)'",
    ];
    has(&error, &parts);
    let error = user.fails(2, "canister call c add '(-1)'");
    has(&error, &["the argument does not fit `add`", "takes (nat)"]);
    let error = user.fails(2, "canister call c add '(\"x\")'");
    has(&error, &["type mismatch", "takes (nat)"]);
    let error = user.fails(2, "canister call c add");
    has(&error, &["`add` wants an argument", "takes (nat)"]);
    let error = user.fails_json(2, "canister call c add '(1'");
    assert_eq!(error["argument_at"]["line"], 1);
    assert_eq!(error["argument_expected"], "(nat)");
    // Without an interface the network says that there is no such method.
    let error = user.fails_json(1, "canister call c nothing --no-interface");
    assert_eq!(error["error_code"], "IC0536");
    assert_eq!(error["method"], "nothing");
    has(
        &user.fails(1, "canister call c nothing --no-interface"),
        &["canister info c"],
    );
    let both = user.run(&["canister", "call", "c", "add", "(1)", "--arg-hex", "00"]);
    assert_eq!(both.code, 2);
    has(&both.stderr, &["--arg-hex", "cannot be used with"]);
}

#[test]
fn upgrades_keep_the_memory_that_a_module_keeps_its_data_in() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("v1.wasm", gzip(MOTOKO_COUNTER));
    user.write("v2.wasm", MOTOKO_COUNTER_V2);
    user.write("plain.wasm", WAT_COUNTER);
    user.ok("canister create --name c");
    let installed = user.json("canister install c --wasm v1.wasm --mode auto");
    assert_eq!(installed["mode"], "install");
    assert_eq!(installed["wasm_memory_persistence"], json!(null));
    user.ok("canister call c add '(5)'");
    let upgraded = user.json("canister upgrade c --wasm v2.wasm");
    assert_eq!(upgraded["wasm_memory_persistence"], "keep");
    assert_eq!(user.ok("canister query c get"), "(5 : nat)\n");
    assert_eq!(user.ok("canister call c dec"), "(4 : nat)\n");
    let again = user.json("canister install c --wasm v2.wasm --mode auto");
    assert_eq!(again["mode"], "upgrade");
    assert_eq!(user.ok("canister query c get"), "(4 : nat)\n");

    // A module that would not find the data is not installed unless the user says so.
    let error = user.fails(2, "canister upgrade c --wasm plain.wasm");
    has(
        &error,
        &["would erase its data", "--wasm-memory-persistence replace"],
    );
    let error = user.fails(
        1,
        "canister upgrade c --wasm plain.wasm --wasm-memory-persistence keep",
    );
    has(&error, &["enhanced orthogonal persistence"]);
    assert_eq!(user.ok("canister query c get"), "(4 : nat)\n");
    let error = user.fails(1, "canister install c --wasm v1.wasm");
    let ways = [
        "not empty",
        "trilith canister upgrade c",
        "--mode reinstall",
    ];
    has(&error, &ways);
    has(
        &user.ok("canister install c --wasm v1.wasm --mode reinstall"),
        &["reinstalled c"],
    );
    assert_eq!(user.ok("canister query c get"), "(0 : nat)\n");
    let replaced = user.json(
        "canister upgrade c --wasm plain.wasm --wasm-memory-persistence replace --skip-pre-upgrade",
    );
    assert_eq!(replaced["wasm_memory_persistence"], "replace");
    assert_eq!(user.ok("canister call c inc"), "(1 : nat32)\n");
    // A module of the plain kind is upgraded without a word about memory.
    let plain = user.json("canister upgrade c --wasm plain.wasm");
    assert_eq!(plain["wasm_memory_persistence"], json!(null));
    assert_eq!(user.ok("canister query c get"), "(0 : nat32)\n");
}

#[test]
fn a_large_module_is_sent_in_pieces() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    let large = module(PRINTER, &[("ballast", &noise(2_500_000))]);
    user.write("large.wasm", &large);
    user.write("large.wasm.gz", gzip(&large));
    user.ok("canister create --name large");
    let said = user.run(&["canister", "install", "large", "--wasm", "large.wasm"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    has(&said.stderr, &["piece 1 of 3", "piece 3 of 3"]);
    has(&said.stdout, &["installed module "]);
    let upgraded = user.json("canister upgrade large --wasm large.wasm.gz");
    assert_eq!(upgraded["messages"], 3);
    assert_eq!(
        upgraded["module_hash"],
        user.json("canister info large")["module_hash"]
    );
    // The pieces do not stay behind.
    let id = user.ok("canister id large");
    let stored = format!(
        "canister call aaaaa-aa stored_chunks '(record {{ canister_id = principal \"{}\" }})'",
        id.trim()
    );
    assert_eq!(user.ok(&stored), "(vec {})\n");
}

#[test]
fn initial_arguments_have_the_types_in_the_module() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    let sections: [(&str, &[u8]); 2] = [
        (
            "icp:public candid:service",
            b"service : { hello : () -> () }",
        ),
        (
            "icp:private candid:args",
            b"(record { owner : principal; limit : nat64 })",
        ),
    ];
    user.write("m.wasm", module(PRINTER, &sections));
    user.ok("canister create --name m");
    let error = user.fails(2, "canister install m --wasm m.wasm");
    let parts = [
        "the initialization wants an argument",
        "limit : nat64",
        "principal \"aaaaa-aa\"",
    ];
    has(&error, &parts);
    let error = user.fails(
        2,
        "canister install m --wasm m.wasm --arg '(record { limt = 1 })'",
    );
    has(&error, &["a field `limt` (`limit`?)"]);
    let arg = "--arg '(record { owner = principal \"2vxsx-fae\"; limit = 7 })'";
    user.ok(&format!("canister install m --wasm m.wasm {arg}"));
    // Hooks of an upgrade need not take what the initialization takes.
    user.ok("canister upgrade m --wasm m.wasm");
    let private = user.json("canister info m --metadata candid:args");
    assert_eq!(private["encoding"], "text");
}
