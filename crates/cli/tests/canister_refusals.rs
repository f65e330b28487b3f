//! What `trilith canister` and `trilith identity` say when something is refused: what is wrong, and
//! what to do next.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;
use support::modules::{FOREIGN, PRINTER, SHUT, module};
use support::process::trilith;
use support::user::has;
use support::{MOTOKO_COUNTER, Node, User};
use tempfile::tempdir;

#[test]
fn without_a_node_the_command_says_how_to_start_one() {
    // A port that was free a moment ago, and that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let user = User::at(&url);
    let error = user.fails(1, "canister names");
    has(
        &error,
        &["no node answers at", &url, "refused", "`trilith dev`"],
    );
    let error = user.fails_json(1, "canister names");
    has(error["next"].as_str().unwrap(), &["`trilith dev`"]);
    let error = user.fails(2, "canister names --network nowhere");
    has(
        &error,
        &["`nowhere` is no network", "http://127.0.0.1:4943"],
    );
    let error = user.fails(2, "canister names --network ic --fetch-root-key");
    has(&error, &["built in and never fetched"]);
    // Without the key that is asked for nothing is sent in another name.
    let error = user.fails(2, "canister names --identity missing.pem");
    has(&error, &["missing.pem", "trilith identity new"]);
}

#[test]
fn only_the_right_root_key_makes_answers_believable() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    let id = user.ok("canister create");
    let id = id.trim();
    let key = hex::encode(&node.root_key_der);
    has(
        &user.ok(&format!("canister info {id} --root-key {key}")),
        &[id],
    );
    let elsewhere = tempdir().unwrap();
    let other = Node::start(elsewhere.path());
    let wrong = hex::encode(&other.root_key_der);
    // Neither certificates nor the signatures of queries verify under the key of another network.
    user.write("counter.wasm", MOTOKO_COUNTER);
    user.ok(&format!("canister install {id} --wasm counter.wasm"));
    for command in [
        format!("canister info {id}"),
        format!("canister call {id} inc --no-interface"),
        format!("canister query {id} get --no-interface"),
    ] {
        let error = user.fails(1, &format!("{command} --root-key {wrong}"));
        has(&error, &["not to be believed", "--root-key"]);
        user.ok(&format!("{command} --root-key {key}"));
    }
    let error = user.fails(2, &format!("canister info {id} --root-key xyz"));
    has(&error, &["not hexadecimal", "trilith dev"]);
}

#[test]
fn who_is_no_controller_is_told_who_is() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let owner = User::with_identity(&node);
    owner.write("counter.wasm", MOTOKO_COUNTER);
    let me = owner.json("identity principal")["principal"].clone();
    let me = me.as_str().unwrap();
    let id = owner.ok("canister create");
    let id = id.trim();
    owner.ok(&format!("canister install {id} --wasm counter.wasm"));

    let stranger = User::new(&node);
    stranger.write("counter.wasm", MOTOKO_COUNTER);
    for command in [
        format!("canister status {id}"),
        format!("canister stop {id}"),
        format!("canister settings {id} --compute-allocation 1"),
        format!("canister install {id} --wasm counter.wasm --mode reinstall"),
    ] {
        let error = stranger.fails(1, &command);
        let parts = [
            "its controllers are",
            me,
            "the anonymous identity",
            "TRILITH_IDENTITY",
        ];
        has(&error, &parts);
        has(
            &error,
            &["next: give the identity of a controller with --identity"],
        );
    }
    let error = stranger.fails_json(1, &format!("canister status {id}"));
    assert_eq!(error["error_code"], "IC0512");
    assert_eq!(error["controllers"], json!([me]));
    assert_eq!(error["caller"], "2vxsx-fae");
    let named = User::with_identity(&node);
    let error = named.fails(1, &format!("canister status {id}"));
    let them = named.ok("identity principal");
    has(&error, &[&format!("--add-controller {}", them.trim())]);
    // What a canister prints is for its controllers, unless they say otherwise.
    has(
        &stranger.fails(1, &format!("canister logs {id}")),
        &["next: "],
    );
    owner.ok(&format!("canister settings {id} --log-visibility public"));
    stranger.ok(&format!("canister logs {id}"));
    let private = stranger.fails(
        1,
        &format!("canister info {id} --metadata motoko:stable-types"),
    );
    has(
        &private,
        &[
            "no metadata `motoko:stable-types` that you may read",
            "anonymous",
        ],
    );
}

#[test]
fn a_canister_without_cycles_is_told_from_a_broken_one() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("counter.wasm", MOTOKO_COUNTER);
    user.ok("canister create --name poor --cycles 0");
    let error = user.fails_json(1, "canister install poor --wasm counter.wasm");
    assert_eq!(error["error_code"], "IC0207");
    let next = error["next"].as_str().unwrap();
    has(next, &["trilith canister top-up poor --cycles 10T"]);
    user.ok("canister top-up poor --cycles 10T");
    user.ok("canister install poor --wasm counter.wasm");
    let error = user.fails_json(1, "canister call poor incThenTrap");
    assert_eq!(error["error_code"], "IC0503");
    assert_eq!(error["certified"], true);
    let error = user.fails_json(1, "canister call poor refuse");
    assert_eq!(error["reject_code"], 4);
    has(
        error["because"][0].as_str().unwrap(),
        &["deliberate reject"],
    );
    assert_eq!(user.ok("canister query poor get"), "(0 : nat)\n");
}

#[test]
fn modules_that_cannot_be_installed_are_refused() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    user.ok("canister create --name c");
    user.write("text.wasm", "not wasm");
    has(
        &user.fails(2, "canister install c --wasm text.wasm"),
        &["does not begin as"],
    );
    user.write("cut.wasm", [0x1f, 0x8b, 8, 0]);
    has(
        &user.fails(2, "canister install c --wasm cut.wasm"),
        &["gzip stream is damaged"],
    );
    has(
        &user.fails(2, "canister install c --wasm none.wasm"),
        &["none.wasm", "--wasm"],
    );
    user.write("foreign.wasm", module(FOREIGN, &[]));
    let error = user.fails_json(1, "canister install c --wasm foreign.wasm");
    assert_eq!(error["error_code"], "IC0505");
    has(
        error["next"].as_str().unwrap(),
        &["the system interface `ic0`"],
    );
    user.write("torn.wasm", &module(PRINTER, &[])[..60]);
    let error = user.fails_json(1, "canister install c --wasm torn.wasm");
    assert_eq!(error["error_code"], "IC0505");
    assert_eq!(user.json("canister status c")["module_hash"], json!(null));
    let error = user.fails(2, "canister install c --wasm foreign.wasm --did none.did");
    has(&error, &["none.did", "--did"]);
    user.write("bad.did", "service : { a : }");
    has(
        &user.fails(2, "canister install c --wasm foreign.wasm --did bad.did"),
        &["bad.did"],
    );
}

#[test]
fn a_canister_that_refuses_is_named_as_the_one_who_does() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    user.write("shut.wasm", module(SHUT, &[]));
    user.write("printer.wasm", module(PRINTER, &[]));
    user.ok("canister create --name shut");
    user.ok("canister install shut --wasm shut.wasm");
    let error = user.fails_json(1, "canister call shut knock");
    assert_eq!(error["certified"], false);
    let error = user.fails(1, "canister call shut knock");
    has(
        &error,
        &[
            "the canister itself refuses this",
            "--identity",
            "anonymous identity",
        ],
    );
    user.ok("canister create --name p");
    user.ok("canister install p --wasm printer.wasm");
    user.write(
        "p.did",
        "service : { deep : () -> () composite_query; hello : () -> () }",
    );
    let error = user.fails(2, "canister call p deep --did p.did");
    has(
        &error,
        &["composite query", "trilith canister query p deep"],
    );
}

#[test]
fn keys_are_made_once_and_only_for_their_owner() {
    let user = User::at("http://127.0.0.1:1");
    for kind in ["ed25519", "secp256k1", "p256"] {
        let file = format!("{kind}.pem");
        let made = user.ok(&format!("identity new {file} --kind {kind}"));
        let mode = fs::metadata(user.path(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = fs::read(user.path(&file)).unwrap();
        let error = user.fails(2, &format!("identity new {file}"));
        has(&error, &["exists, and is not overwritten"]);
        assert_eq!(fs::read(user.path(&file)).unwrap(), before);
        assert_eq!(user.ok(&format!("identity principal {file}")), made);
        let document = user.json(&format!("identity principal {file}"));
        assert_eq!(document["kind"], kind);
        assert_eq!(document["principal"].as_str().unwrap(), made.trim());
    }
    assert_eq!(user.ok("identity principal"), "2vxsx-fae\n");
    has(
        &user.fails(1, "identity new no/such/folder.pem"),
        &["folder that exists"],
    );
    user.write(
        "public.pem",
        "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n",
    );
    has(
        &user.fails(2, "identity principal public.pem"),
        &["PUBLIC KEY and no private key"],
    );
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    user.write("locked.pem", encrypted);
    let error = user.fails(2, "identity principal locked.pem");
    has(
        &error,
        &[
            "locked.pem",
            "encrypted with a passphrase",
            "openssl pkcs8 -in",
        ],
    );
    let error = user.fails_json(2, "identity principal locked.pem");
    has(error["next"].as_str().unwrap(), &["dfx identity export"]);
}

#[test]
fn every_help_text_has_an_example() {
    for command in ["canister", "identity"] {
        let help = trilith().args([command, "--help"]).output().unwrap();
        assert!(help.status.success());
        let text = String::from_utf8(help.stdout).unwrap();
        if command == "canister" {
            has(&text, &["Exit codes: 0 done; 1 ", "; 2 "]);
        }
        let listed = text
            .lines()
            .skip_while(|line| !line.starts_with("Commands:"));
        let listed = listed
            .skip(1)
            .take_while(|line| !line.starts_with("Options:"));
        // Names of commands stand two columns in; what they are for stands further in.
        let names: Vec<&str> = listed
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        assert!(names.len() >= 2, "{text}");
        for name in names {
            let help = trilith().args([command, name, "--help"]).output().unwrap();
            let text = String::from_utf8(help.stdout).unwrap();
            has(&text, &[&format!("Example: trilith {command} ")]);
        }
    }
}

#[test]
fn wrong_words_are_refused_with_exit_code_2() {
    let user = User::at("http://127.0.0.1:1");
    for line in [
        "canister frobnicate",
        "canister top-up c --cycles lots",
        "canister create --id nonsense",
        "identity new",
    ] {
        let said = user.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{line}");
        assert!(
            said.stderr.starts_with("error: "),
            "{line}: {}",
            said.stderr
        );
        let error = user.fails_json(2, line);
        assert!(
            !error["message"].as_str().unwrap().starts_with("error"),
            "{error}"
        );
    }
}

/// Keys go both ways between this tool and OpenSSL, where there is one.
#[test]
fn openssl_reads_the_keys_and_writes_keys_that_are_read() {
    let user = User::at("http://127.0.0.1:1");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(user.path("."));
        command.output().ok()
    };
    if openssl(&["version"]).is_none() {
        // Without OpenSSL the keys that it made before are read by the unit tests of `key`.
        assert!(user.ok("identity new alone.pem").ends_with('\n'));
        return;
    }
    for kind in ["ed25519", "secp256k1", "p256"] {
        user.ok(&format!("identity new {kind}.pem --kind {kind}"));
        let file = format!("{kind}.pem");
        let checked = openssl(&["pkey", "-in", &file, "-noout"]).unwrap();
        assert!(checked.status.success(), "{kind}: {checked:?}");
        // Through OpenSSL and back it is the same key.
        let copy = format!("{kind}.copy.pem");
        let copied = openssl(&["pkey", "-in", &file, "-out", &copy]).unwrap();
        assert!(copied.status.success(), "{kind}: {copied:?}");
        let principal = user.ok(&format!("identity principal {file}"));
        assert_eq!(user.ok(&format!("identity principal {copy}")), principal);
    }
}
