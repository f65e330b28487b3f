//! `trilith dev --committee`, as a user starts it: unmodified agents against a network of several
//! nodes.

mod support;

use std::time::Instant;

use support::process::{descendants, dev_that_ends, memory};
use support::{Client, Node, WAT_COUNTER};
use tempfile::tempdir;

const ARGUMENTS: &[&str] = &["--committee", "3+4", "--storage", "2"];

#[tokio::test]
async fn canisters_run_on_a_committee_and_go_on_after_a_restart() {
    let folder = tempdir().unwrap();
    let start = Instant::now();
    let node = Node::start_with(folder.path(), ARGUMENTS);
    let started = start.elapsed();
    let banner = node.banner.join("\n");
    for (what, count) in [
        (" primary ", 3),
        (" backup ", 4),
        (" storage ", 2),
        (" validator ", 1),
    ] {
        assert_eq!(banner.matches(what).count(), count, "{what} in {banner}");
    }
    let client = Client::new(&node);
    let canister = client.install(WAT_COUNTER).await;
    assert_eq!(client.update::<u32>(canister, "inc", ()).await, 1);
    let mut times = Vec::new();
    for value in 2..=12 {
        let start = Instant::now();
        assert_eq!(client.update::<u32>(canister, "inc", ()).await, value);
        times.push(start.elapsed());
    }
    assert_eq!(client.query::<u32>(canister, "get", ()).await, 12);
    times.sort();
    let (held, processes) = (memory(node.pid()), descendants(node.pid()).len());
    eprintln!(
        "started in {started:?}; update {:?} median; {} MiB, with {processes} sandboxes {} MiB",
        times[times.len() / 2],
        held.node >> 20,
        held.all >> 20,
    );
    for number in 1..=9 {
        let state = folder.path().join(format!("nodes/{number}/state"));
        assert!(state.is_dir(), "node {number} has a folder of its own");
    }
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    // Every round: three primaries agree, and somebody holds the state.
    let rounds: Vec<&str> = errors
        .lines()
        .filter(|line| line.starts_with("canisters round") && line.contains("scheduled by"))
        .collect();
    assert!(rounds.len() >= 12, "{errors}");
    assert!(
        rounds
            .iter()
            .all(|line| line.contains("held by storage nodes")),
        "{errors}"
    );

    // The same folder goes on, without being told what it is; as something else it does not.
    let other = dev_that_ends(
        folder.path(),
        &["--committee", "1+0", "--canister-port", "0"],
    );
    assert!(!other.status.success());
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(said.contains("--committee 3+4 --storage 2"), "{said}");
    let node = Node::start(folder.path());
    assert!(node.banner[0].contains("continued"), "{:?}", node.banner);
    let client = Client::new(&node);
    assert_eq!(client.query::<u32>(canister, "get", ()).await, 12);
    assert_eq!(client.update::<u32>(canister, "inc", ()).await, 13);

    // Killed in the middle of everything, all of its nodes go on.
    node.kill();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    assert_eq!(client.query::<u32>(canister, "get", ()).await, 13);
    assert_eq!(client.update::<u32>(canister, "inc", ()).await, 14);
}

#[test]
fn what_no_committee_can_be_is_refused() {
    let folder = tempdir().unwrap();
    let refused: [(&[&str], &str); 5] = [
        (&["--committee", "3"], "primaries+backups"),
        (&["--committee", "3+3"], "at least 4"),
        (&["--committee", "0+1"], "at least 1 primary"),
        (&["--committee", "3+4", "--storage", "9"], "the limit is 8"),
        (&["--storage", "1"], "--committee"),
    ];
    for (arguments, reason) in refused {
        let output = dev_that_ends(folder.path(), arguments);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(reason), "{reason} in {said}");
    }
}
