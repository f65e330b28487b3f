//! To which network a command speaks, as whom, and which key it trusts.
//!
//! The root key decides what a certificate is worth, so where it comes from is decided here and
//! nowhere else: built in for the Internet Computer, given with `--root-key`, or asked of the node
//! itself where that is all one can do, which is on this machine or where the user says so.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use candid::Principal;
use clap::Args;
use ic_agent::Agent;
use url::{Host, Url};

use super::advice;
use super::identity::{self, Who};
use super::names::Names;
use crate::output::{Failure, NextStep};

/// Environment variable that stands in for `--network`.
const NETWORK_VARIABLE: &str = "TRILITH_NETWORK";
/// Where `trilith dev` listens unless it is told otherwise.
const LOCAL: &str = "http://127.0.0.1:4943";
/// A public gateway of the Internet Computer. Source: its documentation of API boundary nodes.
const MAINNET: &str = "https://icp-api.io";

/// Options that every command has that speaks to a network.
#[derive(Args, Clone, Debug)]
pub struct ConnectionArguments {
    /// Network to speak to: local (a `trilith dev` on this machine), ic, or an address
    ///
    /// Without it, the environment variable TRILITH_NETWORK, or else local.
    #[arg(long, global = true, value_name = "NETWORK")]
    network: Option<String>,
    /// PEM file of the identity to act as; see `trilith identity --help`
    ///
    /// Without it, the file that the environment variable TRILITH_IDENTITY names, or else the
    /// anonymous identity, which everybody can act as.
    #[arg(long, global = true, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Trust the root key that the node states, also if it is not on this machine
    ///
    /// Whoever can change what comes over the network can then forge answers.
    #[arg(long, global = true, conflicts_with = "root_key")]
    fetch_root_key: bool,
    /// Root key of the network in hexadecimal, as `trilith dev` prints it
    #[arg(long, global = true, value_name = "HEX")]
    root_key: Option<String>,
    /// Print one JSON document on stdout, or on stderr if the command fails
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A network, as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) url: Url,
    /// Whether the address is one of this machine, so that nobody stands in between.
    pub(super) loopback: bool,
}

impl Network {
    fn parse(text: &str) -> Result<Self> {
        let address = match text {
            "local" => LOCAL,
            "ic" => MAINNET,
            other => other,
        };
        let url = Url::parse(address).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return Err(Failure {
                message: format!("`{text}` is no network"),
                next: Some(format!("give `local`, `ic`, or an address such as {LOCAL}")),
                usage: true,
                ..Failure::default()
            }
            .into());
        };
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        Ok(Self { url, loopback })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// A connection to a network as one user.
pub(super) struct Session {
    pub(super) agent: Agent,
    pub(super) network: Network,
    pub(super) who: Who,
    /// Names that the project gave to canisters of this network.
    pub(super) names: Names,
    pub(super) json: bool,
}

impl Session {
    /// Prepares a connection, and settles which root key is trusted.
    pub(super) async fn open(arguments: &ConnectionArguments) -> Result<Self> {
        let variable = std::env::var(NETWORK_VARIABLE).ok();
        let text = arguments.network.as_deref().or(variable.as_deref());
        let network = Network::parse(text.unwrap_or("local"))?;
        let (identity, who) = identity::choose(arguments.identity.as_deref())?;
        let agent = Agent::builder()
            .with_url(network.url.as_str())
            .with_arc_identity(identity)
            .with_max_tcp_error_retries(0)
            .build()
            .context("the connection cannot be prepared")?;
        trust_root_key(&agent, &network, arguments).await?;
        // Networks are told apart by their root key: the same address may show another one later.
        let subnet = Principal::self_authenticating(agent.read_root_key());
        let names = Names::open(subnet, &network.to_string())?;
        let json = arguments.json;
        Ok(Self {
            agent,
            network,
            who,
            names,
            json,
        })
    }

    /// The principal of the user.
    pub(super) fn principal(&self) -> Principal {
        self.who.principal
    }

    /// Tells the user how far the command is, on stderr.
    pub(super) fn note(&self, text: impl fmt::Display) {
        // With --json stderr carries one JSON document, if anything.
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Waits for Ctrl-C.
    pub(super) async fn interrupted() -> Result<()> {
        tokio::signal::ctrl_c()
            .await
            .context("waiting for Ctrl-C")
            .context(NextStep("end the command another way"))
    }
}

async fn trust_root_key(
    agent: &Agent,
    network: &Network,
    arguments: &ConnectionArguments,
) -> Result<()> {
    if let Some(text) = &arguments.root_key {
        let key = hex::decode(text.trim_start_matches("0x"));
        let Ok(key) = key else {
            return Err(Failure {
                message: "--root-key is not hexadecimal".to_owned(),
                next: Some("copy it from what `trilith dev` prints when it starts".to_owned()),
                usage: true,
                ..Failure::default()
            }
            .into());
        };
        agent.set_root_key(key);
        return Ok(());
    }
    if arguments.fetch_root_key && network.to_string() == MAINNET {
        return Err(Failure {
            message: "the root key of the Internet Computer is built in and never fetched"
                .to_owned(),
            next: Some("leave --fetch-root-key out".to_owned()),
            usage: true,
            ..Failure::default()
        }
        .into());
    }
    if network.loopback || arguments.fetch_root_key {
        let fetched = agent.fetch_root_key().await;
        return fetched.map_err(|error| advice::unreachable(network, error).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for text in [
            "local",
            "http://127.0.0.1:1",
            "http://127.8.8.8",
            "http://[::1]:80/",
            "http://localhost:4943",
            "http://a.localhost",
        ] {
            assert!(Network::parse(text).unwrap().loopback, "{text}");
        }
        for text in [
            "ic",
            "http://128.0.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://notlocalhost",
            "http://127.0.0.1@example.com",
            "http://[::2]",
        ] {
            assert!(!Network::parse(text).unwrap().loopback, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "locl", "ftp://127.0.0.1", "127.0.0.1:4943", "http://"] {
            let error = Network::parse(text).unwrap_err();
            assert!(error.downcast_ref::<Failure>().unwrap().usage, "{text}");
        }
    }

    #[test]
    fn a_network_is_shown_as_its_address() {
        assert_eq!(Network::parse("local").unwrap().to_string(), LOCAL);
        assert_eq!(Network::parse("ic").unwrap().to_string(), MAINNET);
    }
}
