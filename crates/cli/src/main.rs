//! The command `trilith`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trilith_cli::root::RootLedgerCommand;
use trilith_cli::{account, canister, demo, dev, inspect, output, root, state};

/// One deterministic execution layer for replicated applications.
#[derive(Parser)]
#[command(name = "trilith", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a developer network that stays, of one node or of several
    Dev(dev::DevArguments),
    /// Make, install, call and look after canisters of a network
    Canister(Box<canister::CanisterArguments>),
    /// Show accounts of a network, and prove them
    Account(account::AccountArguments),
    /// Show the version and feature set of a network's node, and whether they are this tool's
    ///
    /// Example: trilith cluster-version --url http://127.0.0.1:8899
    ClusterVersion(account::version::ClusterVersionArguments),
    /// Make the keys that commands act with, and say whose they are
    Identity(canister::identity::IdentityArguments),
    #[command(flatten)]
    Root(RootLedgerCommand),
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_arguments(&error),
    };
    let mut json = false;
    let result = match arguments.command {
        Command::Dev(arguments) => dev::run(arguments),
        Command::Canister(arguments) => {
            json = arguments.json();
            canister::run(&arguments)
        }
        Command::Account(arguments) => {
            json = arguments.json();
            account::run(&arguments)
        }
        Command::ClusterVersion(arguments) => {
            json = arguments.json();
            account::version::run(&arguments)
        }
        Command::Identity(arguments) => {
            json = arguments.json();
            canister::identity::run(&arguments)
        }
        Command::Root(command) => {
            json = command.json();
            root::run(&command)
        }
        Command::Demo(arguments) => demo::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::State(arguments) => state::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&error, json),
    }
}

/// Says what is wrong with the arguments, or gives the help that was asked for.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    let mut words = std::env::args().skip(1);
    let one_document = words.next().is_some_and(|word| {
        matches!(
            word.as_str(),
            "account" | "canister" | "cluster-version" | "identity"
        ) || RootLedgerCommand::NAMES.contains(&word.as_str())
    }) && words.any(|word| word == "--json");
    if error.use_stderr() && one_document {
        return output::failure(
            &output::Failure::of_arguments(&error.to_string()).into(),
            true,
        );
    }
    error.exit()
}
