//! Runs one and the same work through the state store and through `nomt`, and prints both.
//!
//! The binary starts itself again for every stage and peer, so that each has a process of its own
//! whose memory and writes the kernel counts. Standard output has the result, as text or as one
//! JSON document; standard error has everything else.
//!
//! It knows both peers only by what an application uses. What it measures reaches no root.

mod measure;
mod peers;
mod plan;
mod report;
mod run;
mod stages;
mod work;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::plan::{PeerName, Plan, Stage};

/// Measures Trilith's stores beside others.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures the state store beside `nomt`: commits, reads, proofs, space, memory, restart.
    State {
        #[command(flatten)]
        plan: Plan,
        /// Where the data folders are made, and removed afterwards. It must be on a real disk.
        #[arg(long, default_value_os_t = std::env::temp_dir())]
        folder: PathBuf,
        /// Prints one JSON document instead of a table.
        #[arg(long)]
        json: bool,
        /// Runs only this peer.
        #[arg(long)]
        only: Option<PeerName>,
    },
    /// One stage of one peer, in a process of its own; the binary starts this itself.
    #[command(hide = true)]
    Stage {
        #[arg(long)]
        peer: PeerName,
        #[arg(long)]
        stage: Stage,
        #[arg(long)]
        folder: PathBuf,
        /// The plan as JSON.
        #[arg(long)]
        plan: String,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::State {
            plan,
            folder,
            json,
            only,
        } => {
            plan.check()?;
            let result = run::run(&plan, &folder, only)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&result)?);
            } else {
                print!("{}", report::table(&result));
            }
        }
        Command::Stage {
            peer,
            stage,
            folder,
            plan,
        } => {
            let plan: Plan = serde_json::from_str(&plan)?;
            let figures = stages::run(peer, stage, &folder, &plan)?;
            println!("{}", serde_json::to_string(&figures)?);
        }
    }
    Ok(())
}
