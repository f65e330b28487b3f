//! `trilith dev`, as a user starts and stops it.

mod support;

use std::net::TcpListener;
use std::process::Output;

use candid::Principal;
use nix::sys::signal::Signal;
use support::process::{dev_that_ends, trilith};
use support::{C_COUNTER, Client, FIRST_CANISTER, Node, http};
use tempfile::tempdir;

/// The round that the node states in its status.
fn certified_round(node: &Node) -> u64 {
    let status = http::get(&node.url, "/api/v2/status");
    assert_eq!(status.status, 200, "{}", status.text());
    let height = status.field("certified_height").unwrap();
    u64::try_from(height.as_integer().unwrap()).unwrap()
}

/// Asserts that a command failed, and gives what it said.
fn failure(output: Output) -> String {
    assert!(!output.status.success(), "{}", output.status);
    assert!(output.stdout.is_empty(), "a failure has no result");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_banner_says_all_that_is_needed() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let banner = node.banner.join("\n");
    assert!(
        banner.contains("developer network (new network)"),
        "{banner}"
    );
    assert!(node.url.starts_with("http://127.0.0.1:"), "{banner}");
    assert!(!node.url.ends_with(":4943"), "port 0 takes a free port");
    for page in ["topology", "dashboard"] {
        let line = format!("{page:<17}  {}/_/{page}", node.url);
        assert!(banner.contains(&line), "{line} in {banner}");
        assert_eq!(http::get(&node.url, &format!("/_/{page}")).status, 200);
    }
    let data = folder.path().canonicalize().unwrap();
    assert!(banner.contains(data.to_str().unwrap()), "{banner}");
    let next_steps = ["Ctrl-C", "--clean", "root key"];
    for step in next_steps {
        assert!(banner.contains(step), "{step} in {banner}");
    }
    // What the banner says is what the interface says.
    let status = http::get(&node.url, "/api/v2/status");
    assert_eq!(
        status.field("root_key").unwrap().into_bytes().unwrap(),
        node.root_key_der
    );
}

#[tokio::test]
async fn the_topology_names_the_first_canister_id() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let topology = http::get(&node.url, "/_/topology");
    assert_eq!(topology.status, 200);
    let topology: serde_json::Value = serde_json::from_slice(&topology.body).unwrap();
    // The id's ten bytes in base64.
    let first = "AAAAAAAAAAABAQ==";
    assert_eq!(
        Principal::from_text(FIRST_CANISTER).unwrap().as_slice(),
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    );
    assert_eq!(
        topology["default_effective_canister_id"]["canister_id"],
        first
    );
    let subnets = topology["subnet_configs"].as_object().unwrap();
    assert_eq!(subnets.len(), 1);
    let subnet = Principal::self_authenticating(&node.root_key_der).to_text();
    let range = &subnets[&subnet]["canister_ranges"][0];
    assert_eq!(range["start"]["canister_id"], first);
    assert_eq!(subnets[&subnet]["size"], 1);
}

#[tokio::test]
async fn a_second_start_continues_and_clean_begins_anew() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let root_key = node.root_key_der.clone();
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    assert_eq!(client.update::<u64>(canister, "add", (5u64,)).await, 5);
    let round = certified_round(&node);
    let (status, errors) = node.interrupt();
    assert_eq!(status.code(), Some(0), "{errors}");

    let node = Node::start(folder.path());
    assert!(node.banner[0].contains("continued"), "{}", node.banner[0]);
    assert_eq!(node.root_key_der, root_key);
    assert!(certified_round(&node) >= round);
    let client = Client::new(&node);
    assert_eq!(client.query::<u64>(canister, "get", ()).await, 5);
    assert_eq!(client.update::<u64>(canister, "inc", ()).await, 6);
    assert!(certified_round(&node) > round);
    let (status, errors) = node.signal(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0), "{errors}");

    let bystander = folder.path().join("notes.txt");
    std::fs::write(&bystander, "mine").unwrap();
    let node = Node::start_with(folder.path(), &["--clean"]);
    assert!(node.banner[0].contains("new network"), "{}", node.banner[0]);
    assert_ne!(node.root_key_der, root_key);
    let client = Client::new(&node);
    let forgotten = client.agent.query(&canister, "get").call().await;
    let forgotten = forgotten.unwrap_err().to_string();
    assert!(forgotten.contains("IC0301"), "{forgotten}");
    assert_eq!(client.install(C_COUNTER).await, canister);
    assert_eq!(std::fs::read_to_string(&bystander).unwrap(), "mine");
}

#[tokio::test]
async fn one_data_folder_serves_one_node() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    // Forgetting the network of a running node would be as bad as sharing it.
    for arguments in [
        &["--canister-port", "0"][..],
        &["--canister-port", "0", "--clean"],
    ] {
        let error = failure(dev_that_ends(folder.path(), arguments));
        assert!(error.contains("in use by another process"), "{error}");
        assert!(error.contains("--data"), "no next step in {error}");
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(client.update::<u64>(canister, "inc", ()).await, 1);
    node.kill();
    // A node that was killed holds no lock.
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    assert_eq!(client.query::<u64>(canister, "get", ()).await, 1);
}

#[test]
fn a_busy_port_is_named_with_the_way_out() {
    let folder = tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let error = failure(dev_that_ends(folder.path(), &["--canister-port", &port]));
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.contains("--canister-port"), "{error}");
    assert!(error.contains("in use"), "{error}");
}

#[test]
fn a_data_folder_that_cannot_be_used_is_refused() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let error = failure(dev_that_ends(&file, &["--canister-port", "0"]));
    assert!(error.contains(file.to_str().unwrap()), "{error}");
    assert!(error.contains("--data"), "no next step in {error}");

    let damaged = folder.path().join("damaged");
    drop(Node::start(&damaged));
    std::fs::write(damaged.join("seed"), [1; 31]).unwrap();
    let error = failure(dev_that_ends(&damaged, &["--canister-port", "0"]));
    assert!(error.contains("31 bytes"), "{error}");
    assert!(error.contains("--clean"), "no next step in {error}");
    // Other keys in the place of lost ones would make another network out of the same state.
    std::fs::remove_file(damaged.join("seed")).unwrap();
    let error = failure(dev_that_ends(&damaged, &["--canister-port", "0"]));
    assert!(error.contains("seed"), "{error}");
    assert!(!damaged.join("seed").exists());
    assert!(Node::start_with(&damaged, &["--clean"]).banner[0].contains("new network"));
}

#[test]
fn help_goes_to_stdout_and_wrong_arguments_to_stderr() {
    let help = trilith().args(["dev", "--help"]).output().unwrap();
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for option in ["--data", "--canister-port", "--clean", "--listen"] {
        assert!(text.contains(option), "{option} in {text}");
    }
    let wrong = trilith().args(["dev", "--canister-port", "65536"]).output();
    let error = failure(wrong.unwrap());
    assert!(error.contains("65536"), "{error}");
}
