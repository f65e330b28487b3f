//! `trilith demo`: what Trilith does, end to end, with every claim checked.
//!
//! The node is a process of its own, started as a user would start it, and talked to through its
//! public interface only, by an unmodified IC agent. Every certificate is verified twice: by the
//! agent, and independently by `trilith-client` with nothing but the root key.

mod checks;
mod process;
mod session;
mod steps;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::checks::Checks;
use self::process::NodeProcess;
use self::session::Session;

/// Arguments of `trilith demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// Keep the data folder here instead of in a temporary one
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many updates are under way around the crash
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub updates: u32,
}

/// Runs the demonstration.
///
/// # Errors
/// If something could not be done, or any check failed.
pub fn run(arguments: DemoArguments) -> Result<()> {
    let temporary = tempfile::tempdir().context("making a temporary folder")?;
    let data = arguments
        .data
        .unwrap_or_else(|| temporary.path().join("node"));
    let runtime = tokio::runtime::Runtime::new().context("starting threads")?;
    runtime.block_on(show(data, arguments.updates.max(8)))
}

async fn show(data: PathBuf, updates: u32) -> Result<()> {
    let begun = Instant::now();
    let mut checks = Checks::new();

    checks.step("Starting a one-node network");
    let node = NodeProcess::start(&data).await?;
    checks.say(format!(
        "the node listens on {}, process {}",
        node.url,
        node.process_id()
    ));
    let session = Session::open(&node.url).await?;
    checks.say(format!(
        "root key {}",
        short(&hex::encode(session.root_key_der()))
    ));

    let samples = steps::install(&mut checks, &session).await?;
    steps::talk(&mut checks, &session, &samples).await?;

    checks.step("Killing the node (SIGKILL) while updates are under way, and starting it again");
    let burst = steps::prepare_burst(&session, samples.c, updates)?;
    let sent = steps::send_until_killed(&mut checks, &session, &burst, node).await?;
    let node = NodeProcess::start(&data).await?;
    let after = Session::open(&node.url).await?;
    checks.check(
        "the network has the same root key as before",
        after.root_key_der() == session.root_key_der(),
    );
    steps::after_crash(&mut checks, &after, &burst, &sent, &samples).await?;
    steps::upgrade(&mut checks, &after, &samples).await?;
    node.stop().await?;
    checks.say("the node stopped cleanly".into());

    let (passed, failed) = checks.totals();
    let verified = session.certificates_verified() + after.certificates_verified();
    println!(
        "{passed} checks held, {failed} failed; {verified} certificates verified independently \
         under the root key; {:.1} s in all",
        begun.elapsed().as_secs_f64()
    );
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

/// The ends of a long hexadecimal text.
fn short(text: &str) -> String {
    match (text.get(..16), text.get(text.len().saturating_sub(16)..)) {
        (Some(head), Some(tail)) if text.len() > 40 => format!("{head}…{tail}"),
        _ => text.to_string(),
    }
}
