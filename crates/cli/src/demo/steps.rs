//! The parts of the demonstration.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use candid::{Nat, Principal};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use trilith_client::RequestStatus;

use super::checks::Checks;
use super::process::NodeProcess;
use super::session::{InstallMode, Persistence, Session, Signed, UpgradeFlags};

const MOTOKO: &[u8] = include_bytes!("../../../../canisters/motoko/counter.wasm");
const MOTOKO_V2: &[u8] = include_bytes!("../../../../canisters/motoko/counter_v2.wasm");
const C: &[u8] = include_bytes!("../../../../canisters/c/counter.wasm");
const WAT: &[u8] = include_bytes!("../../../../canisters/wat/counter.wasm");

/// Calls that are under way at a time around the crash.
const CONCURRENT: usize = 8;

/// The canisters of the demonstration.
pub(super) struct Samples {
    motoko: Principal,
    peer: Principal,
    pub(super) c: Principal,
    wat: Principal,
}

/// Makes and installs the sample canisters.
pub(super) async fn install(checks: &mut Checks, session: &Session) -> Result<Samples> {
    checks.step(
        "Create canisters and install code: two in Motoko, one in C, one in WebAssembly text",
    );
    let begun = Instant::now();
    let motoko = session
        .install(MOTOKO)
        .await
        .context("installing the Motoko canister")?;
    let peer = session
        .install(MOTOKO)
        .await
        .context("installing the second Motoko canister")?;
    let c = session
        .install(C)
        .await
        .context("installing the C canister")?;
    let wat = session
        .install(WAT)
        .await
        .context("installing the WAT canister")?;
    checks.say(format!("Motoko {motoko} and {peer}"));
    checks.say(format!("C      {c}"));
    checks.say(format!("WAT    {wat}"));
    checks.say(format!(
        "all four were created, compiled and installed in {} ms",
        begun.elapsed().as_millis()
    ));
    let first = Principal::from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")?;
    checks.check(
        "the first canister has the id that local tools expect",
        motoko == first,
    );
    let hash = session
        .read(c, &[b"canister", c.as_slice(), b"module_hash"])
        .await?;
    checks.check("the certified module hash has 32 bytes", hash.len() == 32);
    Ok(Samples {
        motoko,
        peer,
        c,
        wat,
    })
}

/// Calls, queries, calls between canisters, a trap.
pub(super) async fn talk(checks: &mut Checks, session: &Session, samples: &Samples) -> Result<()> {
    checks.step(
        "Call them: an update's reply comes with a certificate, a query's with the node's signature",
    );
    let Samples {
        motoko, peer, wat, ..
    } = *samples;
    for expected in 1..=3u32 {
        let reply: Nat = candid::decode_one(&session.update(motoko, "inc", ()).await?)?;
        checks.check(
            &format!("Motoko `inc` replies {expected}"),
            reply == expected,
        );
    }
    let count: Nat = candid::decode_one(&session.query(motoko, "get", ()).await?)?;
    checks.check("Motoko `get`, a query, replies 3", count == 3u32);
    let greeting: String = candid::decode_one(&session.query(motoko, "greet", ("world",)).await?)?;
    checks.check(
        &format!("Motoko `greet` replies {greeting:?}"),
        greeting.contains("world"),
    );
    let reply: u32 = candid::decode_one(&session.update(wat, "add", (5u32,)).await?)?;
    checks.check("WAT `add(5)` replies 5", reply == 5);
    let reply: Nat = candid::decode_one(&session.update(motoko, "callInc", (peer,)).await?)?;
    checks.check("one canister calls another, which replies 1", reply == 1u32);
    let trapped = session.update(motoko, "incThenTrap", ()).await;
    let message = trapped
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    checks.check(
        "Motoko `incThenTrap`, which adds 1000 and then fails, is rejected",
        message.contains("IC0503"),
    );
    let count: Nat = candid::decode_one(&session.query(motoko, "get", ()).await?)?;
    checks.check("its change is undone: the count is still 3", count == 3u32);
    Ok(())
}

/// Updates of the C counter, signed ahead.
pub(super) fn prepare_burst(
    session: &Session,
    canister: Principal,
    count: u32,
) -> Result<Vec<Signed>> {
    (0..count)
        .map(|_| session.sign(canister, "inc", ()))
        .collect()
}

/// What became of each update of a burst, as its sender saw it: the acknowledged reply, if any.
pub(super) type Sent = Vec<Option<u64>>;

/// Sends the burst, and kills the node when about half is acknowledged.
pub(super) async fn send_until_killed(
    checks: &mut Checks,
    session: &Session,
    burst: &[Signed],
    node: NodeProcess,
) -> Result<Sent> {
    let next = AtomicUsize::new(0);
    let acknowledged = AtomicUsize::new(0);
    let replies: Mutex<Sent> = Mutex::new(vec![None; burst.len()]);
    let victim = Mutex::new(Some(node));
    let sender = async || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = burst.get(index) else {
                return Ok(());
            };
            // An error means that the node is gone: the update is then unknown to its sender.
            if let Ok(reply) = session.send(call).await {
                replies.lock().await[index] = Some(candid::decode_one(&reply)?);
                if acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == burst.len() / 2
                    && let Some(node) = victim.lock().await.take()
                {
                    node.kill().await?;
                }
            }
        }
    };
    let senders: Vec<_> = (0..CONCURRENT).map(|_| sender()).collect();
    for result in join_all(senders).await {
        result?;
    }
    let replies = replies.into_inner();
    let count = replies.iter().flatten().count();
    checks.say(format!(
        "{} updates sent; {count} were acknowledged before the node was gone",
        burst.len()
    ));
    checks.check(
        "the node was killed before all were acknowledged",
        count < burst.len(),
    );
    Ok(replies)
}

/// What must hold after the crash.
pub(super) async fn after_crash(
    checks: &mut Checks,
    session: &Session,
    burst: &[Signed],
    sent: &Sent,
    samples: &Samples,
) -> Result<()> {
    let acknowledged = sent.iter().flatten().count() as u64;
    let count: u64 = candid::decode_one(&session.query(samples.c, "get", ()).await?)?;
    checks.check(
        &format!("the counter holds {count}: at least the {acknowledged} acknowledged updates"),
        (acknowledged..=burst.len() as u64).contains(&count),
    );
    let mut kept = 0u64;
    for (call, reply) in burst.iter().zip(sent) {
        let Some(reply) = reply else { continue };
        if let RequestStatus::Replied { reply: bytes } = session.certified(call).await? {
            kept += u64::from(candid::decode_one::<u64>(&bytes)? == *reply);
        }
    }
    checks.check(
        "every acknowledged update is still there: certified, with the same reply",
        kept == acknowledged,
    );
    checks.say("now all updates are sent again, the very same signed bytes".into());
    let mut replies = BTreeSet::new();
    for call in burst {
        replies.insert(candid::decode_one::<u64>(&session.send(call).await?)?);
    }
    let all: BTreeSet<u64> = (1..=burst.len() as u64).collect();
    checks.check(
        "each was applied exactly once: the replies are the numbers from 1, each once",
        replies == all,
    );
    let count: u64 = candid::decode_one(&session.query(samples.c, "get", ()).await?)?;
    checks.check(
        &format!("the counter holds {count}"),
        count == burst.len() as u64,
    );
    let count: Nat = candid::decode_one(&session.query(samples.motoko, "get", ()).await?)?;
    checks.check(
        "the Motoko canister's memory is as it was: its count is 3",
        count == 3u32,
    );
    Ok(())
}

/// An upgrade that keeps the memory.
pub(super) async fn upgrade(
    checks: &mut Checks,
    session: &Session,
    samples: &Samples,
) -> Result<()> {
    checks.step("Upgrade the Motoko canister in place");
    let flags = UpgradeFlags {
        skip_pre_upgrade: None,
        wasm_memory_persistence: Some(Persistence::Keep),
    };
    session
        .install_code(samples.motoko, InstallMode::Upgrade(Some(flags)), MOTOKO_V2)
        .await?;
    let reply: Nat = candid::decode_one(&session.update(samples.motoko, "dec", ()).await?)?;
    checks.check(
        "its memory was kept: the new method `dec` counts from 3 down to 2",
        reply == 2u32,
    );
    Ok(())
}
