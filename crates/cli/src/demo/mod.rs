//! `trilith demo`: what Trilith does, end to end, with every claim checked.
//!
//! The node is a process of its own, started as a user would start it, and talked to through its
//! public interface only, by an unmodified IC agent. Every certificate is verified twice: by the
//! agent, and independently by `trilith-client` with nothing but the root key.

mod checks;
mod process;
mod session;
mod steps;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use self::checks::Checks;
use self::process::NodeProcess;
use self::session::Session;
use crate::output::NextStep;

/// Fewest updates around the crash: below that, none might be under way when it comes.
const UPDATES_MIN: u32 = 8;
/// Most updates around the crash: all are signed ahead, and must not expire before they are sent.
const UPDATES_MAX: u32 = 10_000;

/// What is shown before all else.
const INTRODUCTION: &str = "\
This starts a network on this machine, uses it as any client would, and kills it on the way. Each
line with `ok` is a check that held. An update's answer comes with a certificate: a proof under the
network's root key, so that nobody has to trust the node. It is verified twice here: by the client,
an unmodified Internet Computer agent, and by a verifier that knows nothing but the root key.";

/// What is shown after everything held.
const FAREWELL: &str = "
Next: `trilith dev` starts a network that stays, for your own canisters.";

/// What to do when the demonstration fails.
const MORE_OUTPUT: &str = "set TRILITH_LOG=info to see what the node does, and run the demo again";

/// Arguments of `trilith demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// Empty or new folder for the network's data, which is kept; a temporary one otherwise
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many updates are sent around the crash, 8 to 10000
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
    if data.join("state").exists() {
        let error = anyhow!("{} holds a network already", data.display());
        return Err(error.context(NextStep(
            "give an empty folder with --data, or none to use a temporary one",
        )));
    }
    let runtime = tokio::runtime::Runtime::new().context("starting threads")?;
    let updates = arguments.updates.clamp(UPDATES_MIN, UPDATES_MAX);
    runtime
        .block_on(show(&data, updates))
        .context(NextStep(MORE_OUTPUT))
}

async fn show(data: &Path, updates: u32) -> Result<()> {
    let begun = Instant::now();
    let mut checks = Checks::new();
    checks.say_first(INTRODUCTION);

    checks.step("Start a network of one node");
    let node = NodeProcess::start(data).await?;
    checks.say(format!(
        "the node is process {}, and listens on {}",
        node.process_id(),
        node.url
    ));
    let session = Session::open(&node.url).await?;
    checks.say(format!(
        "its root key, under which all its answers must verify: {}",
        short(&hex::encode(session.root_key_der()))
    ));

    let samples = steps::install(&mut checks, &session).await?;
    steps::talk(&mut checks, &session, &samples).await?;

    checks.step("Kill the node (SIGKILL) in the middle of many updates, and start it again");
    let burst = steps::prepare_burst(&session, samples.c, updates)?;
    let sent = steps::send_until_killed(&mut checks, &session, &burst, node).await?;
    let node = NodeProcess::start(data).await?;
    checks.say(format!("started again, as process {}", node.process_id()));
    let after = Session::open(&node.url).await?;
    checks.check(
        "the network has the same root key as before",
        after.root_key_der() == session.root_key_der(),
    );
    steps::after_crash(&mut checks, &after, &burst, &sent, &samples).await?;
    steps::upgrade(&mut checks, &after, &samples).await?;
    node.stop().await?;

    let verified = session.certificates_verified() + after.certificates_verified();
    let (passed, failed) = checks.totals();
    println!(
        "{passed} checks held, {failed} failed; {verified} certificates verified independently \
         under the root key; {:.1} s in all",
        begun.elapsed().as_secs_f64()
    );
    if failed > 0 {
        bail!(
            "{failed} of {} checks failed, see FAIL above",
            passed + failed
        );
    }
    checks.say_last(FAREWELL);
    Ok(())
}

/// The ends of a long hexadecimal text.
fn short(text: &str) -> String {
    match (text.get(..16), text.get(text.len().saturating_sub(16)..)) {
        (Some(head), Some(tail)) if text.len() > 40 => format!("{head}…{tail}"),
        _ => text.to_string(),
    }
}
