//! A load generator for Solana's interface, on the machine of the node that it loads: what both can
//! do together, not what a node could do alone.
//!
//! ```text
//! cargo bench -p trilith-cli --bench account_load -- balances     --requests 200000
//! cargo bench -p trilith-cli --bench account_load -- transfers    --transactions 50000
//! cargo bench -p trilith-cli --bench account_load -- confirmation --rounds 300
//! cargo bench -p trilith-cli --bench account_load -- accounts     --accounts 1000000
//! ```
//!
//! Every request is made, and every transfer signed, before the clock starts. The clock of
//! transfers stops when `getSignatureStatuses` has confirmed all of them; a run in which one is
//! refused, fails or is lost fails, and the accounts that received must hold the sum. Started by `cargo test` it
//! runs each kind with few requests, and shows only that the generator works.

#[path = "../../tests/support/mod.rs"]
mod support;

#[path = "../load/generator.rs"]
#[allow(dead_code)] // The figures are printed in another form here.
mod generator;

mod confirmation;
mod many;
mod rpc;
mod transfers;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde_json::json;
use solana_pubkey::Pubkey;
use support::Node;
use support::process::{self, Usage};
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};

use confirmation::Way;
use rpc::{Rpc, endpoint};
use transfers::{FEE, SOL, key, transaction};

/// Lamports of the first transfer of a run; each later one is of one more. An account that receives
/// so many is rent-exempt.
const LAMPORTS: u64 = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let number = |name: &str, measuring: usize, testing: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        let given = at.and_then(|at| arguments.get(at + 1));
        given.map_or(if measured { measuring } else { testing }, |text| {
            text.parse().expect("a number after the name")
        })
    };
    let wanted = |name: &str| {
        let names = ["balances", "transfers", "confirmation", "accounts"];
        let chosen = arguments
            .iter()
            .any(|argument| names.contains(&argument.as_str()));
        !chosen || arguments.iter().any(|argument| argument == name)
    };
    let connections = number("--connections", 64, 8);
    let payers = number("--payers", 1_000, 30);
    if ["balances", "transfers", "confirmation"]
        .into_iter()
        .any(wanted)
    {
        println!(
            "| what | requests | a second | ms, median | ms, 99 % | node, µs of processor each | \
             generator, µs | memory of the node, MiB |"
        );
        println!("|---|---|---|---|---|---|---|---|");
    }
    if wanted("balances") {
        balances(number("--requests", 200_000, 200), connections, payers);
    }
    if wanted("transfers") {
        let transactions = number("--transactions", 50_000, 200);
        for skip_preflight in [true, false] {
            send(transactions, connections, payers, skip_preflight);
        }
    }
    if wanted("confirmation") {
        confirm(number("--rounds", 300, 3));
    }
    if wanted("accounts") {
        many::run(number("--accounts", 1_000_000, 5_000), connections);
    }
}

pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime can be made")
}

/// A node with its interface for accounts on free ports.
pub(crate) fn start(folder: &Path) -> Node {
    Node::start_with(folder, &["--account-port", "0"])
}

/// Time and processor time from here on.
struct Watch {
    node: Pid,
    begun: Instant,
    used: (Usage, Usage),
}

impl Watch {
    fn start(node: &Node) -> Self {
        let node = node.pid();
        Self {
            node,
            begun: Instant::now(),
            used: usages(node),
        }
    }

    /// Prints a row of the table.
    fn row(&self, name: &str, count: usize, (median, most): (Duration, Duration)) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (node, all) = usages(self.node);
        let (node, all) = (node - self.used.0, all - self.used.1);
        let each = |usage: Usage| usage.seconds() * 1e6 / count as f64;
        println!(
            "| {name} | {count} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {} |",
            count as f64 / seconds,
            median.as_secs_f64() * 1e3,
            most.as_secs_f64() * 1e3,
            each(node),
            each(all - node),
            process::memory(self.node).node >> 20,
        );
    }
}

/// What the node used, and what this process and all below it did.
fn usages(node: Pid) -> (Usage, Usage) {
    (process::usage(node), process::usage(Pid::this()))
}

fn end(node: Node) {
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
}

/// `getBalance`, in turn of accounts that hold different balances.
fn balances(requests: usize, connections: usize, accounts: usize) {
    let folder = tempdir().expect("a folder can be made");
    let node = start(folder.path());
    let runtime = runtime();
    let mut rpc = runtime.block_on(Rpc::open(&node));
    let keys = transfers::receivers(accounts);
    runtime.block_on(transfers::fund(&mut rpc, &keys, SOL));
    let make = |index: usize| {
        let key = keys[index % keys.len()].to_string();
        rpc::request("getBalance", &json!([key]))
    };
    let load: Vec<Vec<u8>> = (0..requests).map(make).collect();
    let watch = Watch::start(&node);
    let url = endpoint(&node);
    let run = runtime.block_on(generator::run(&url, &load, connections, 1));
    let times = (run.quantile(200, 500), run.quantile(200, 990));
    watch.row("`getBalance`", requests, times);
    assert_eq!(run.answered(200), requests, "{:?}", run.statuses());
    for sample in &run.samples {
        assert_eq!(rpc::result(&sample.body)["value"], SOL);
    }
    end(node);
}

/// Distinct transfers of many payers, each to an account of its own.
fn send(transactions: usize, connections: usize, payers: usize, skip_preflight: bool) {
    let folder = tempdir().expect("a folder can be made");
    let node = start(folder.path());
    let runtime = runtime();
    let mut rpc = runtime.block_on(Rpc::open(&node));
    let payers = transfers::secrets(payers);
    let keys: Vec<Pubkey> = payers.iter().map(key).collect();
    let each = transactions.div_ceil(payers.len()) as u64;
    let share = each * (LAMPORTS + transactions as u64 + FEE);
    runtime.block_on(transfers::fund(&mut rpc, &keys, share + SOL));
    let receivers = transfers::receivers(payers.len());
    let blockhash = runtime.block_on(rpc.blockhash());
    let make = |index: usize| {
        let at = index % payers.len();
        let transfer = (receivers[at], LAMPORTS + index as u64);
        let signed = transaction(&payers[at], &[transfer], blockhash);
        transfers::send(&signed, skip_preflight)
    };
    let load: Vec<Vec<u8>> = (0..transactions).map(make).collect();
    let watch = Watch::start(&node);
    let url = endpoint(&node);
    let (run, signatures) = runtime.block_on(transfers::send_all(&url, &load, connections));
    runtime.block_on(rpc.confirm(&signatures));
    let preflight = if skip_preflight { "without" } else { "with" };
    let taken = transactions as f64 / run.took.as_secs_f64();
    watch.row(
        &format!("`sendTransaction` {preflight} preflight, all confirmed (taken: {taken:.0})"),
        transactions,
        (run.quantile(200, 500), run.quantile(200, 990)),
    );
    let held: u64 = runtime.block_on(rpc.balances(&receivers)).iter().sum();
    let sent: u64 = (0..transactions as u64).map(|index| LAMPORTS + index).sum();
    assert_eq!(held, sent, "each transfer was made once");
    end(node);
}

/// One client that sends a transfer and waits for it, again and again.
fn confirm(rounds: usize) {
    let folder = tempdir().expect("a folder can be made");
    for (way, name) in [
        (Way::Subscription, "by `signatureSubscribe`"),
        (Way::Polling, "by polling `getSignatureStatuses`"),
    ] {
        let node = start(&folder.path().join(format!("{way:?}")));
        let runtime = runtime();
        let mut rpc = runtime.block_on(Rpc::open(&node));
        let payer = transfers::secrets(1).remove(0);
        runtime.block_on(transfers::fund(&mut rpc, &[key(&payer)], 10 * SOL));
        let watch = Watch::start(&node);
        let times = runtime.block_on(confirmation::run(&node, &payer, way, rounds));
        let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1_000];
        let name = format!("confirmation, one client, {name}");
        watch.row(&name, rounds, (at(500), at(990)));
        end(node);
    }
}
