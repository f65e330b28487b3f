//! The command `trilith`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trilith_cli::{demo, dev, inspect, output, state};

/// One deterministic execution layer for replicated applications.
#[derive(Parser)]
#[command(name = "trilith", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a one-node developer network that stays
    Dev(dev::DevArguments),
    /// Show what Trilith does, end to end, in a temporary folder, and check all of it
    Demo(demo::DemoArguments),
    /// Look into the data folder of a node that is stopped
    Inspect(inspect::InspectArguments),
    /// Export the state of a runtime, verify an export, or import it
    State(state::StateArguments),
}

fn main() -> ExitCode {
    // A process that is started as a sandbox never gets past this line.
    if let Some(code) = trilith_engine_canister::sandbox::run_role_if_asked() {
        return code;
    }
    output::start_logging();
    let result = match Arguments::parse().command {
        Command::Dev(arguments) => dev::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::State(arguments) => state::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
