//! `trilith account`: accounts of a network, as a client that trusts no node sees them; and what the
//! commands about its feature gates and its version are made of.
//!
//! Solana's own tools do everything else with accounts; what they cannot do is to prove what a node
//! says, and to know gates that are ours. See `docs/guides/account-rpc.md`.

pub mod begin;
pub(crate) mod creation;
pub(crate) mod gates;
pub(crate) mod keypair;
mod proof;
pub(crate) mod rpc;
pub(crate) mod seen;
pub mod version;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `trilith account`.
#[derive(Args, Debug)]
pub struct AccountArguments {
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Subcommand, Debug)]
enum AccountCommand {
    /// Show an account, and prove it up to the validators' certificate
    ///
    /// The node's answer is believed only as far as it is proven: the account (or that there is
    /// none) in the state of the account runtime, that state in the root state, and the validators'
    /// signature over it. Under which key they sign is told by --chain and --consensus-key, from
    /// the network's genesis document; without them the node is asked, and then believed in this.
    ///
    /// Example: trilith account proof 11111111111111111111111111111111
    #[command(verbatim_doc_comment)]
    Proof(proof::ProofArguments),
}

impl AccountArguments {
    /// Whether the result is to be one JSON document.
    pub fn json(&self) -> bool {
        let AccountCommand::Proof(arguments) = &self.command;
        arguments.json
    }
}

/// Runs the command.
///
/// # Errors
/// If no node answers, or its answer does not verify.
pub fn run(arguments: &AccountArguments) -> Result<()> {
    let AccountCommand::Proof(arguments) = &arguments.command;
    proof::run(arguments)
}
