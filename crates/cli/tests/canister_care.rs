//! `trilith canister` for canisters that run: logs, settings, ids and names.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use candid::Principal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::modules::{PRINTER, module};
use support::user::has;
use support::{Node, User};
use tempfile::tempdir;

#[test]
fn what_a_canister_prints_is_shown_and_cannot_steer_the_terminal() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("printer.wasm", module(PRINTER, &[]));
    user.ok("canister create --name p");
    user.ok("canister install p --wasm printer.wasm");
    assert_eq!(user.run(&["canister", "logs", "p"]).stdout, "");
    user.run(&["canister", "call", "p", "hello"]);
    let logs = user.ok("canister logs p");
    has(&logs, &["[0] ", ": hello\n", "\\u{1b}[2J"]);
    assert!(!logs.contains('\u{1b}'), "{logs:?}");
    let records = user.json("canister logs p")["records"].clone();
    assert_eq!(records[0]["text"], "hello");
    assert_eq!(records[1]["index"], 1);
    let error = user.fails(1, "canister call p fall");
    has(&error, &["hello", "trilith canister logs p"]);
}

#[test]
fn logs_are_followed_until_interrupted() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    user.write("printer.wasm", module(PRINTER, &[]));
    user.ok("canister create --name p");
    user.ok("canister install p --wasm printer.wasm");
    user.run(&["canister", "call", "p", "hello"]);
    let words = ["canister", "logs", "p", "--follow", "--json"];
    let mut follower = user
        .command(&words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let stdout = BufReader::new(follower.stdout.take().expect("stdout is piped"));
    let mut lines = stdout.lines().map(|line| line.expect("lines are text"));
    let mut index = || {
        let line = lines.next().expect("the follower goes on");
        let record: Value = serde_json::from_str(&line).expect("a line is a document");
        record["index"].as_u64().expect("records are counted")
    };
    assert_eq!([index(), index()], [0, 1]);
    // What comes while it waits is shown once.
    user.run(&["canister", "call", "p", "hello"]);
    assert_eq!([index(), index()], [2, 3]);
    let id = i32::try_from(follower.id()).expect("process ids are small");
    kill(Pid::from_raw(id), Signal::SIGINT).expect("the follower runs");
    let status = follower.wait().expect("the follower ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn settings_are_shown_and_changed() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::with_identity(&node);
    let me = user.json("identity principal")["principal"].clone();
    let other = user.json("identity new other.pem")["principal"].clone();
    let limits = "--memory-allocation 1GiB --freezing-threshold 2d";
    user.ok(&format!("canister create --name s {limits}"));
    let change = "--compute-allocation 5 --log-visibility public --wasm-memory-limit 2GiB \
                  --wasm-memory-threshold 64MiB --reserved-cycles-limit 2T \
                  --environment-variable LEVEL=debug --environment-variable MODE=a=b";
    let text = user.ok(&format!("canister settings s {change}"));
    has(
        &text,
        &[
            "5 %",
            "public",
            "LEVEL=debug",
            "MODE=a=b",
            "172_800 s (2 d)",
        ],
    );
    let shown = user.json("canister settings s");
    assert_eq!(shown["memory_allocation"], 1 << 30);
    assert_eq!(shown["wasm_memory_limit"], 2_u64 << 30);
    assert_eq!(shown["wasm_memory_threshold"], 64 << 20);
    assert_eq!(shown["reserved_cycles_limit"], "2000000000000");
    assert_eq!(shown["log_visibility"], "public");
    assert_eq!(
        shown["environment_variables"],
        json!({ "LEVEL": "debug", "MODE": "a=b" })
    );
    let other_text = other.as_str().unwrap();
    let change = format!(
        "canister settings s --add-controller {other_text} --remove-environment-variable MODE \
         --log-visibility {other_text}"
    );
    let shown = user.json(&change);
    let controllers = shown["controllers"].as_array().unwrap();
    assert!(
        controllers.contains(&me) && controllers.contains(&other),
        "{shown}"
    );
    assert_eq!(shown["environment_variables"], json!({ "LEVEL": "debug" }));
    assert_eq!(
        shown["log_visibility"],
        json!({ "allowed_viewers": [other] })
    );
    let error = user.fails(2, "canister settings s --remove-environment-variable NOPE");
    has(&error, &["no environment variable `NOPE`"]);

    let give_up = format!("canister settings s --set-controller {other_text}");
    let error = user.fails(2, &give_up);
    has(&error, &["you would control", "--give-up-control"]);
    let text = user.ok(&format!("{give_up} --give-up-control"));
    has(&text, &["you control it no more"]);
    let theirs = user.json("canister settings s --identity other.pem");
    assert_eq!(theirs["controllers"], json!([other]));
    let removed = format!("--remove-controller {other_text} --give-up-control");
    user.ok(&format!(
        "canister settings s --identity other.pem {removed}"
    ));
    has(&user.ok("canister info s"), &["controllers           none"]);
    has(
        &user.fails(1, "canister status s"),
        &["it has no controllers"],
    );
}

#[test]
fn an_id_can_be_chosen_and_names_stay_with_their_network() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let user = User::new(&node);
    let id = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 1, 0, 1, 1]).to_text();
    let created = user.ok(&format!("canister create --name chosen --id {id}"));
    assert_eq!(created.trim(), id);
    let given = user.run(&["canister", "create", "--controller", "aaaaa-aa"]);
    has(&given.stderr, &["you are not among its controllers"]);
    let given = user.json(&format!("canister info {}", given.stdout.trim()));
    assert_eq!(given["controllers"], json!(["aaaaa-aa"]));
    let error = user.fails(1, &format!("canister create --id {id}"));
    has(&error, &["already", "give another --id"]);
    has(
        &user.fails(2, "canister create --name chosen"),
        &["take another name"],
    );
    has(
        &user.fails(2, "canister create --name aaaaa-aa"),
        &["is no canister id"],
    );
    has(
        &user.fails(2, "canister id chosn"),
        &["did you mean `chosen`?"],
    );
    has(
        &user.fails(2, "canister id rwlgt-iiaaa-aaaaa-aaaaa-caa"),
        &["is no canister id"],
    );
    // The file of the folder above serves the folders below it.
    let below = user.path("src");
    std::fs::create_dir(&below).unwrap();
    let said = user.run_in(&below, &["canister", "id", "chosen"]);
    assert_eq!(said.stdout.trim(), id, "{}", said.stderr);
    // A network with another root key is another network, also at the same address.
    let file = std::fs::read_to_string(user.path("trilith.canisters.json")).unwrap();
    has(&file, &["\"chosen\"", &id, &node.url]);
    let elsewhere = tempdir().unwrap();
    let other = Node::start(elsewhere.path());
    let said = user.run(&["canister", "names", "--network", &other.url]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, ""),
        "{}",
        said.stderr
    );
    has(&user.ok("canister names"), &["chosen", &id]);
    assert_eq!(user.ok("canister names --forget chosen"), "");
    user.write("trilith.canisters.json", "{");
    has(
        &user.fails(1, "canister names"),
        &["trilith.canisters.json", "repair the file"],
    );
}
