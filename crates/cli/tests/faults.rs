//! What must hold when processes are killed and clients misbehave.

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use candid::Principal;
use futures_util::future::join_all;
use ic_agent::agent::signed::SignedUpdate;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::process::{Descendant, descendants};
use support::{C_COUNTER, Client, Node, WAT_LIMITS};
use tempfile::tempdir;
use trilith_client::{RequestStatus, request_status};

/// Updates in one burst.
const BURST: usize = 24;
/// Updates that are under way at a time.
const CONCURRENT: usize = 6;

/// Sends a burst, kills the node when `kill_after` updates are acknowledged, and gives what each
/// sender saw.
async fn burst_with_kill(
    node: Node,
    client: &Client,
    burst: &[SignedUpdate],
    kill_after: usize,
) -> Vec<Option<u64>> {
    let next = AtomicUsize::new(0);
    let acknowledged = AtomicUsize::new(0);
    let replies = Mutex::new(vec![None; burst.len()]);
    let victim = Mutex::new(Some(node));
    let sender = async || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(update) = burst.get(index) else {
                return;
            };
            // An error means that the node is gone: what became of the update is then unknown.
            let Ok(reply) = client.send(update).await else {
                continue;
            };
            replies.lock().unwrap()[index] = Some(candid::decode_one(&reply).unwrap());
            let count = acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
            if count >= kill_after {
                let node = victim.lock().unwrap().take();
                node.map(Node::kill);
            }
        }
    };
    join_all((0..CONCURRENT).map(|_| sender())).await;
    assert!(
        victim.into_inner().unwrap().is_none(),
        "the node was not killed"
    );
    replies.into_inner().unwrap()
}

/// What a certificate says of an update.
async fn certified(client: &Client, update: &SignedUpdate) -> RequestStatus {
    let canister = update.effective_canister_id;
    let question = client
        .agent
        .sign_request_status(canister, update.request_id)
        .unwrap();
    let envelope = &question.signed_request_status;
    let answer = client.post("v3", canister, "read_state", envelope);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let verified = client
        .verify(&answer.bytes("certificate"), canister)
        .unwrap();
    request_status(&verified, &update.request_id).unwrap()
}

#[tokio::test]
async fn a_kill_in_a_burst_loses_nothing_and_repeats_nothing() {
    let folder = tempdir().unwrap();
    let mut node = Node::start(folder.path());
    let root_key = node.root_key_der.clone();
    let canister = Client::new(&node).install(C_COUNTER).await;
    let mut applied = 0u64;
    for kill_after in [1, 5, 12, 20] {
        let client = Client::new(&node);
        let burst: Vec<SignedUpdate> = (0..BURST)
            .map(|_| client.sign(canister, "inc", ()))
            .collect();
        let seen = burst_with_kill(node, &client, &burst, kill_after).await;
        // A node that is killed before it is ready leaves nothing behind either.
        kill_while_starting(folder.path());

        node = Node::start(folder.path());
        assert_eq!(node.root_key_der, root_key);
        let client = Client::new(&node);
        let acknowledged = seen.iter().flatten().count() as u64;
        let count: u64 = client.query(canister, "get", ()).await;
        let possible = applied + acknowledged..=applied + BURST as u64;
        assert!(possible.contains(&count), "{count} is not in {possible:?}");
        for (update, reply) in burst.iter().zip(&seen) {
            let Some(reply) = reply else { continue };
            let status = certified(&client, update).await;
            let RequestStatus::Replied { reply: bytes } = status else {
                panic!("an acknowledged update is now {status:?}");
            };
            assert_eq!(candid::decode_one::<u64>(&bytes).unwrap(), *reply);
        }
        // The very same bytes again: each is applied once, whether it was before the kill or not.
        let mut replies = BTreeSet::new();
        for update in &burst {
            let reply = client.send(update).await.unwrap();
            replies.insert(candid::decode_one::<u64>(&reply).unwrap());
        }
        let expected: BTreeSet<u64> = (applied + 1..=applied + BURST as u64).collect();
        assert_eq!(replies, expected, "killed after {kill_after}");
        applied += BURST as u64;
        assert_eq!(client.query::<u64>(canister, "get", ()).await, applied);
    }
}

/// Starts nodes and kills them at several moments before they are ready.
fn kill_while_starting(data: &std::path::Path) {
    for moment in [0, 20, 60] {
        let mut child = support::process::trilith()
            .args(["dev", "--canister-port", "0", "--data"])
            .arg(data)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Waits until a process below `node` uses the processor more than it did in `before`, as only one
/// that runs a message does.
async fn busy_sandbox(node: Pid, before: &[Descendant]) -> Pid {
    /// A fifth of a second at the customary 100 ticks a second.
    const BUSY_TICKS: u64 = 20;
    loop {
        let now = descendants(node);
        let busy = now.iter().find(|process| {
            let earlier = before.iter().find(|other| other.pid == process.pid);
            process.ticks >= earlier.map_or(0, |other| other.ticks) + BUSY_TICKS
        });
        if let Some(busy) = busy {
            return Pid::from_raw(busy.pid);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_killed_sandbox_changes_no_answer() {
    /// Enough for a second or so of work.
    const INSTRUCTIONS: u64 = 4_000_000_000;
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(WAT_LIMITS).await;
    let undisturbed: u64 = client.update(canister, "spin", (INSTRUCTIONS,)).await;
    assert!(undisturbed >= INSTRUCTIONS);

    let before = descendants(node.pid());
    assert!(!before.is_empty(), "sandboxes are processes of their own");
    let disturb = async {
        let victim = busy_sandbox(node.pid(), &before).await;
        kill(victim, Signal::SIGKILL).unwrap();
        victim
    };
    let update = client.update::<u64>(canister, "spin", (INSTRUCTIONS,));
    let (answer, victim) = futures_util::future::join(update, disturb).await;
    assert_eq!(
        answer, undisturbed,
        "the answer of the run in a fresh sandbox"
    );
    let after = descendants(node.pid());
    assert!(after.iter().all(|process| process.pid != victim.as_raw()));
    // It ran twice, but had its effect once.
    assert_eq!(client.query::<u64>(canister, "ended", ()).await, 2);

    let (status, errors) = node.interrupt();
    assert!(status.success(), "{errors}");
    assert!(errors.contains("again"), "the re-run is logged: {errors}");
}

#[tokio::test]
async fn no_sandbox_outlives_its_node() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(C_COUNTER).await;
    assert_eq!(client.update::<u64>(canister, "inc", ()).await, 1);
    let sandboxes = descendants(node.pid());
    assert!(!sandboxes.is_empty());
    node.kill();
    for sandbox in sandboxes {
        let gone = async {
            while is_running(sandbox.pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        assert!(gone.is_ok(), "process {} still runs", sandbox.pid);
    }
}

/// Whether a process is there and not merely waiting to be reaped.
fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(") ")
                .map(|(_, rest)| !rest.starts_with('Z'))
        })
        .unwrap_or(false)
}

#[tokio::test]
async fn a_message_without_end_is_stopped_and_rejected() {
    let folder = tempdir().unwrap();
    let node = Node::start(folder.path());
    let client = Client::new(&node);
    let canister = client.install(WAT_LIMITS).await;
    let deep = client
        .try_update(canister, "recurse", (1_000_000u64,))
        .await;
    let deep = support::client::reject(deep);
    assert_eq!(deep.error_code.as_deref(), Some("IC0502"), "{deep:?}");
    let shallow: u64 = client.update(canister, "recurse", (100u64,)).await;
    assert_eq!(shallow, 100);
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1]);
    let nobody = client.try_update(nobody, "recurse", (1u64,)).await;
    assert!(nobody.is_err());
    assert_eq!(client.query::<u64>(canister, "ended", ()).await, 1);
}
