//! A node with many accounts: its memory, and how long it takes to start again.

use std::time::Instant;

use serde_json::json;
use solana_pubkey::Pubkey;
use trilith_types::SecretKey;

use crate::rpc::{Rpc, endpoint};
use crate::support::{Node, process};
use crate::transfers::{self, FEE, SOL, TRANSFERS_MAX, key, transaction};

/// Accounts that pay for the others.
const FUNDERS: usize = 256;
/// Transactions that are signed with one blockhash.
const CHUNK: usize = 5_000;
/// Lamports of an account: it is rent-exempt.
const LAMPORTS: u64 = 1_000_000;
/// One of so many accounts is looked at.
const SAMPLE_EVERY: usize = 997;

/// Makes `count` accounts by transfers over RPC, and measures.
pub fn run(count: usize, connections: usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let runtime = crate::runtime();
    let node = crate::start(folder.path());
    let empty = process::memory(node.pid()).node;
    let receivers = transfers::receivers(count);
    let begun = Instant::now();
    let signature = runtime.block_on(make(&node, &receivers, connections));
    let took = begun.elapsed();
    let sample: Vec<Pubkey> = receivers.into_iter().step_by(SAMPLE_EVERY).collect();
    let full = process::memory(node.pid()).node;
    println!("| node with {count} accounts | measured |");
    println!("|---|---|");
    println!("| memory of a new node, MiB | {} |", empty >> 20);
    println!(
        "| after the accounts were made by transfers, {TRANSFERS_MAX} in a transaction, with the \
         history of these, MiB | {} |",
        full >> 20
    );
    println!(
        "| making them: accounts a second | {:.0} |",
        count as f64 / took.as_secs_f64()
    );
    let stop = Instant::now();
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    println!("| stop, s | {:.2} |", stop.elapsed().as_secs_f64());
    let node = again(folder.path(), "after a stop", &sample, &signature);
    node.kill();
    let node = again(folder.path(), "after a kill", &sample, &signature);
    let (status, errors) = node.interrupt();
    assert!(status.success(), "{status}: {errors}");
    println!(
        "| length of the data folder, MiB | {} |",
        length(folder.path()) >> 20
    );
}

/// Makes the accounts; gives the signature of the last transaction.
async fn make(node: &Node, receivers: &[Pubkey], connections: usize) -> String {
    let mut rpc = Rpc::open(node).await;
    let funders = transfers::secrets(FUNDERS);
    let keys: Vec<Pubkey> = funders.iter().map(key).collect();
    let share = (receivers.len() / FUNDERS + TRANSFERS_MAX * 2) as u64 * (LAMPORTS + FEE);
    transfers::fund(&mut rpc, &keys, share + SOL).await;
    let mut last = String::new();
    let mut turns = funders.iter().cycle();
    for chunk in receivers.chunks(CHUNK * TRANSFERS_MAX) {
        let blockhash = rpc.blockhash().await;
        let wire = |(to, from): (&[Pubkey], &SecretKey)| {
            let transfers: Vec<_> = to.iter().map(|key| (*key, LAMPORTS)).collect();
            transfers::send(&transaction(from, &transfers, blockhash), true)
        };
        let groups = chunk.chunks(TRANSFERS_MAX).zip(turns.by_ref());
        let requests: Vec<Vec<u8>> = groups.map(wire).collect();
        let (_, signatures) = transfers::send_all(&endpoint(node), &requests, connections).await;
        rpc.confirm(&signatures).await;
        last = signatures.into_iter().last().unwrap_or(last);
    }
    last
}

/// Starts the node again and measures until it answers.
fn again(folder: &std::path::Path, how: &str, sample: &[Pubkey], signature: &str) -> Node {
    let begun = Instant::now();
    let node = crate::start(folder);
    let runtime = crate::runtime();
    let mut rpc = runtime.block_on(Rpc::open(&node));
    let balance = rpc.call("getBalance", json!([sample[0].to_string()]));
    assert_eq!(runtime.block_on(balance)["value"], LAMPORTS);
    let answered = begun.elapsed();
    let memory = process::memory(node.pid()).node;
    println!(
        "| start {how} to the first answer of `getBalance`, s; memory then, MiB | {:.2}; {} |",
        answered.as_secs_f64(),
        memory >> 20
    );
    let begun = Instant::now();
    runtime.block_on(rpc.confirm(&[signature.to_owned()]));
    let looked = begun.elapsed();
    let balances = runtime.block_on(rpc.balances(sample));
    assert!(balances.iter().all(|balance| *balance == LAMPORTS));
    let memory = process::memory(node.pid()).node;
    println!(
        "| then the first question that needs the indexes (`getSignatureStatuses`), s; memory \
         then, MiB | {:.2}; {} |",
        looked.as_secs_f64(),
        memory >> 20
    );
    node
}

/// Bytes of all files in a folder.
fn length(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let length = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("the folder can be read");
        let about = entry.metadata().expect("the file is there");
        if about.is_dir() {
            length(&entry.path())
        } else {
            about.len()
        }
    };
    entries.map(length).sum()
}
