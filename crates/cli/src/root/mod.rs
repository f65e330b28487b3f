//! `trilith entity`, `node`, `runtime`, `stake`, `governance`, `feature`, `genesis` and `root`: the
//! root ledger of a network from the command line.
//!
//! Everything but documents goes through the control socket of a node that runs on the data folder
//! (`--data`). Who changes something signs with an Ed25519 key: `--identity FILE`, or the variable
//! `TRILITH_IDENTITY`, or on a developer network the key of its entity, `keys/entity.pem` in the
//! data folder. One command, one result on stdout; what went wrong on stderr, with what to do next.

mod act;
pub mod document;
mod entity;
mod feature;
mod genesis;
mod governance;
pub mod json;
mod names;
mod node;
mod runtime;
mod stake;
mod status;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::act::Session;
pub(crate) use self::genesis::{Form, export as export_genesis};
use crate::canister::report::Answer;

/// What the exit codes of all commands say.
const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 refused by the root, or no node runs; 2 the arguments cannot be used.";

/// Which node, and how results are printed.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Data folder of the node
    #[arg(long, value_name = "DIR", default_value = ".trilith", global = true)]
    data: PathBuf,
    /// Print one JSON document on stdout, or on stderr if the command fails
    #[arg(long, global = true)]
    json: bool,
}

/// Defines the arguments of a command that has subcommands.
macro_rules! command {
    ($(#[$meta:meta])* $name:ident, $subcommand:ty) => {
        $(#[$meta])*
        #[derive(Args, Clone, Debug)]
        #[command(arg_required_else_help = true, after_help = EXIT_CODES)]
        pub struct $name {
            #[command(subcommand)]
            command: $subcommand,
            #[command(flatten)]
            place: Place,
        }

        impl $name {
            /// Whether results and failures are to be JSON.
            pub fn json(&self) -> bool {
                self.place.json
            }
        }
    };
}

command!(
    /// Arguments of `trilith entity`.
    EntityArguments,
    entity::EntityCommand
);
command!(
    /// Arguments of `trilith node`.
    NodeArguments,
    node::NodeCommand
);
command!(
    /// Arguments of `trilith runtime`.
    RuntimeArguments,
    runtime::RuntimeCommand
);
command!(
    /// Arguments of `trilith stake`.
    StakeArguments,
    stake::StakeCommand
);
command!(
    /// Arguments of `trilith governance`.
    GovernanceArguments,
    governance::GovernanceCommand
);
command!(
    /// Arguments of `trilith feature`.
    FeatureArguments,
    feature::FeatureCommand
);
command!(
    /// Arguments of `trilith genesis`.
    GenesisArguments,
    genesis::GenesisCommand
);
command!(
    /// Arguments of `trilith root`.
    RootArguments,
    status::RootCommand
);

/// A command about the root ledger.
#[derive(Subcommand, Clone, Debug)]
pub enum RootLedgerCommand {
    /// Register the owner of nodes and runtimes, and show who is registered
    Entity(EntityArguments),
    /// Register nodes with their roles, thaw them, and show how they stand
    Node(NodeArguments),
    /// Register runtimes from descriptors, and show them
    Runtime(RuntimeArguments),
    /// Look at accounts; transfer, burn, delegate and allow stake
    Stake(StakeArguments),
    /// Propose and vote: parameters, upgrades, features
    Governance(GovernanceArguments),
    /// Show which features runtimes have, approve others, and create their accounts
    Feature(FeatureArguments),
    /// Show, check and make the documents that networks begin with
    Genesis(GenesisArguments),
    /// Show how the root ledger stands, and what happens on it
    Root(RootArguments),
}

impl RootLedgerCommand {
    /// Names of the commands, as typed.
    pub const NAMES: [&'static str; 8] = [
        "entity",
        "node",
        "runtime",
        "stake",
        "governance",
        "feature",
        "genesis",
        "root",
    ];

    /// Whether results and failures are to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Entity(arguments) => arguments.json(),
            Self::Node(arguments) => arguments.json(),
            Self::Runtime(arguments) => arguments.json(),
            Self::Stake(arguments) => arguments.json(),
            Self::Governance(arguments) => arguments.json(),
            Self::Feature(arguments) => arguments.json(),
            Self::Genesis(arguments) => arguments.json(),
            Self::Root(arguments) => arguments.json(),
        }
    }
}

/// Runs a command about the root ledger.
///
/// # Errors
/// If the arguments cannot be used, no node runs, or the root refuses.
pub fn run(command: &RootLedgerCommand) -> Result<()> {
    let answer: Answer = match command {
        RootLedgerCommand::Entity(arguments) => {
            entity::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Node(arguments) => {
            node::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Runtime(arguments) => {
            runtime::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Stake(arguments) => {
            stake::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Governance(arguments) => {
            governance::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Feature(arguments) => {
            feature::run(&Session::new(&arguments.place), &arguments.command)?
        }
        RootLedgerCommand::Genesis(arguments) => {
            genesis::run(&arguments.place, &arguments.command)?
        }
        RootLedgerCommand::Root(arguments) => {
            match status::run(&Session::new(&arguments.place), &arguments.command)? {
                Some(answer) => answer,
                None => return Ok(()),
            }
        }
    };
    answer.print(command.json())
}
