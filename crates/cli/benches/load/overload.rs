//! More than a node can do: ten times the sustainable rate for a while. Memory stays bounded, what
//! is not taken is refused at once and with a status that says so, and when the load is gone a
//! call takes as long as before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::generator::Connection;
use crate::signed::{self, Kind};
use crate::support::{Client, Node, WAT_COUNTER, process};

/// How many times the sustainable rate is offered.
const EXCESS: usize = 10;
/// Connections over which it is offered: more requests than that never wait at a time.
const CONNECTIONS: usize = 1_000;
/// Requests that are prepared; they are offered again and again, which a node has to bear too.
const PREPARED: usize = 100_000;
/// Calls of one client, before and after.
const PROBES: usize = 50;

/// Runs the scenario; `rate` is the sustainable one, in calls a second.
pub fn run(time: Duration, rate: usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let node = Node::start(folder.path());
    let runtime = crate::runtime();
    let client = Client::new(&node);
    let canister = runtime.block_on(client.install(WAT_COUNTER));
    let offered = rate * EXCESS;
    let prepared = PREPARED.min(offered * time.as_secs() as usize);
    let load = signed::load(&node, Kind::Update, &[canister], prepared + 2 * PROBES);
    let (load, probes) = load.requests.split_at(prepared);
    let probe = |requests: &[signed::Request]| {
        runtime.block_on(async {
            let mut connection = Connection::open(&node.url).await;
            let mut times = Vec::new();
            for request in requests {
                let begun = Instant::now();
                let status = connection.exchange(&request.wire).await;
                assert_eq!(
                    status,
                    200,
                    "{}",
                    String::from_utf8_lossy(connection.body())
                );
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            times[times.len() / 2]
        })
    };
    let before = probe(&probes[..PROBES]);
    let idle = process::memory(node.pid());
    let (statuses, most) = runtime.block_on(flood(&node, load, time, offered));
    let begun = Instant::now();
    let after = probe(&probes[PROBES..]);
    println!(
        "overload: {offered} a second offered for {} s: {statuses:?}; memory MiB before {}, most {}; \
         median call ms before {:.1}, after {:.1} ({} calls from {:.2} s after the load)",
        time.as_secs(),
        idle.all >> 20,
        most >> 20,
        before.as_secs_f64() * 1e3,
        after.as_secs_f64() * 1e3,
        PROBES,
        begun.elapsed().as_secs_f64(),
    );
    let known = [200, 202, 429, 503];
    assert!(statuses.keys().all(|status| known.contains(status)));
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
}

/// Offers `rate` requests a second and gives the statuses and the most memory seen.
async fn flood(
    node: &Node,
    load: &[signed::Request],
    time: Duration,
    rate: usize,
) -> (BTreeMap<u16, usize>, u64) {
    let begun = Instant::now();
    let senders = CONNECTIONS.min(rate.max(1));
    let pause = Duration::from_secs_f64(senders as f64 / rate as f64);
    let tasks = (0..senders).map(|sender| async move {
        let mut connection = Connection::open(&node.url).await;
        let mut statuses = BTreeMap::new();
        let mut due = begun + pause.mul_f64(sender as f64 / senders as f64);
        let mut index = sender;
        while begun.elapsed() < time {
            tokio::time::sleep_until(due.into()).await;
            // What could not be offered in time is left out: the connection was waiting.
            due = (due + pause).max(Instant::now());
            let status = connection.exchange(&load[index % load.len()].wire).await;
            *statuses.entry(status).or_insert(0usize) += 1;
            index += senders;
        }
        statuses
    });
    let watch = async {
        let mut most = 0;
        while begun.elapsed() < time {
            most = most.max(process::memory(node.pid()).all);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        most
    };
    let (found, most) = futures_util::join!(futures_util::future::join_all(tasks), watch);
    let mut statuses = BTreeMap::new();
    for (status, count) in found.into_iter().flatten() {
        *statuses.entry(status).or_insert(0) += count;
    }
    (statuses, most)
}
