//! `trilith dev`: a developer network that stays, of one node or of several in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use trilith_gateway_account::Addresses;
use trilith_gateway_canister::{CanisterPort, Limits, NodePort, serve};
use trilith_store::{Store, StoreFault};

use crate::account::begin::{AccountsAsked, ProfileName, parse_epoch_slots};
use crate::accounts::AccountListeners;
use crate::committee::{CommitteePlan, CommitteeSize, Watched, roster, watch_rounds};
use crate::control::server::ControlSocket;
use crate::network::{Network, NetworkOptions, store_failure};
use crate::output::NextStep;
use crate::root::document;

/// Arguments of `trilith dev`.
#[derive(Args, Clone, Debug)]
pub struct DevArguments {
    /// Data folder; the network in it is continued, or begun if there is none
    #[arg(long, value_name = "DIR", default_value = ".trilith")]
    pub data: PathBuf,
    /// Port of the canister interface; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = 4943)]
    pub canister_port: u16,
    /// Port of the account interface (Solana JSON-RPC), PubSub on the next one; 0 takes two free
    /// ones [default: 8899, or free ones with --canister-port 0]
    #[arg(long, value_name = "P")]
    pub account_port: Option<u16>,
    /// Begin the account runtime with this generation of rules; feature gates lead on from there
    /// [default: today]
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub account_profile: Option<ProfileName>,
    /// Begin the account runtime with epochs of so many slots of 400 ms, from 32 to 4320000
    /// [default: 432000]
    #[arg(long, value_name = "N", value_parser = parse_epoch_slots)]
    pub account_epoch_slots: Option<u64>,
    /// Address to listen on; others than loopback open the network to whoever can reach it
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,
    /// Forget the network in the data folder first; with --genesis its secret seed stays
    #[arg(long)]
    pub clean: bool,
    /// Begin with this genesis document, as JSON or CBOR; see `trilith genesis`
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Refuse to start where the host cannot isolate sandboxes completely
    #[arg(long)]
    pub require_sandbox: bool,
    /// Begin a network of several nodes in this process: one that orders blocks, so many primaries
    /// and backups, and storage nodes; 3+4 for example
    #[arg(long, value_name = "P+B")]
    pub committee: Option<CommitteeSize>,
    /// With --committee: how many storage nodes; commitments need the receipt of one
    #[arg(long, value_name = "N", default_value_t = 0, requires = "committee")]
    pub storage: u32,
    /// With --committee: how many primaries may be missing from a round without a dispute
    #[arg(long, value_name = "N", default_value_t = 0, requires = "committee")]
    pub stragglers: u16,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// If the network cannot be started, or ends by itself.
pub fn run(arguments: DevArguments) -> Result<()> {
    if arguments.clean {
        clean(&arguments.data, arguments.genesis.is_some())?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the network threads")?;
    runtime.block_on(serve_until_stopped(&arguments))
}

async fn serve_until_stopped(arguments: &DevArguments) -> Result<()> {
    let plan = match arguments.committee {
        None => None,
        Some(size) => Some(CommitteePlan::new(
            size,
            arguments.stragglers,
            arguments.storage,
        )?),
    };
    let address = SocketAddr::new(arguments.listen, arguments.canister_port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))
        .context(NextStep(
            "choose another port with --canister-port; 0 takes a free one",
        ))?;
    let bound = listener.local_addr()?;
    let account_listeners = AccountListeners::bind(arguments).await?;
    let options = NetworkOptions {
        data: &arguments.data,
        require_sandbox: arguments.require_sandbox,
        genesis: arguments
            .genesis
            .as_deref()
            .map(document::read)
            .transpose()?,
        committee: plan,
        accounts: AccountsAsked {
            profile: arguments.account_profile.map(ProfileName::profile),
            epoch_slots: arguments.account_epoch_slots,
        },
    };
    let network = Network::start(&options)?;
    if let Err(error) = network.certified().await {
        // What ended a node says more than that its first round is missing.
        network.stop()?;
        return Err(error.context(NextStep("set TRILITH_LOG=info to see what the node does")));
    }
    // From here on a stop is a clean one; until here there is nothing to clean up.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (port, watched) = port(&network)?;
    let (stop, stopped) = watch::channel(());
    let shutdown = until_dropped(stopped.clone());
    let server = tokio::spawn(serve(listener, port, Limits::STANDARD, shutdown));
    let addresses = account_listeners.addresses()?;
    let accounts = account_listeners.serve(&network, until_dropped(stopped.clone()))?;
    let control = ControlSocket::bind(&arguments.data)?;
    let control = tokio::spawn(control.serve(network.node.root(), until_dropped(stopped.clone())));
    banner(&network, bound, addresses, &arguments.data);
    let view = watched.map(|of| tokio::spawn(watch_rounds(of, until_dropped(stopped))));
    let ended = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        reason = network.end() => Some(reason),
    };
    eprintln!("stopping");
    drop(stop);
    server.await.context("the gateway panicked")?;
    if let Some(accounts) = accounts {
        accounts.await.context("the account gateway panicked")?;
    }
    control.await.context("the control socket panicked")?;
    if let Some(view) = view {
        view.await.context("the view of rounds panicked")?;
    }
    network.stop()?;
    match ended {
        None => Ok(()),
        Some(reason) => bail!(reason),
    }
}

/// The canister gateway's port, and what is watched in a network of several nodes.
fn port(network: &Network) -> Result<(Arc<dyn NodePort>, Option<Watched>)> {
    let Some(committee) = &network.committee else {
        let (handle, key) = (network.canisters.clone(), network.root_key_der.clone());
        return Ok((Arc::new(CanisterPort::new(handle, key)), None));
    };
    let port = committee.port(&network.node, &network.root_key_der)?;
    let watched = Watched {
        log: network.node.rounds().clone(),
        ids: committee.ids.clone(),
        elected: committee.elected.clone(),
        port: port.clone(),
    };
    Ok((Arc::new(port), Some(watched)))
}

/// Completes when the sender is gone.
async fn until_dropped(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn banner(network: &Network, address: SocketAddr, accounts: Addresses, data: &Path) {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let state = if network.continued {
        let round = network.canisters.snapshot().round;
        format!("continued, now in round {round}")
    } else {
        "new network".to_string()
    };
    let (rpc, pubsub) = match (&network.accounts, accounts.rpc, accounts.pubsub) {
        (Some(_), Some(rpc), Some(pubsub)) => (format!("http://{rpc}"), format!("ws://{pubsub}")),
        _ => (
            "none: this network was begun without accounts".into(),
            "none".into(),
        ),
    };
    let members = network.committee.as_ref().map_or(String::new(), roster);
    println!(
        "Trilith developer network ({state})

  canister endpoint  http://{address}
  account endpoint   {rpc}
  account PubSub     {pubsub}
  topology           http://{address}/_/topology
  dashboard          http://{address}/_/dashboard
  root key           {}
  data folder        {}
  control socket     control.sock in it, for `trilith entity`, `node`, `stake`, `governance` and others
{members}
Use any IC agent with the canister endpoint and root key (agents can fetch the key: this is a
developer network), and any Solana client with the account endpoint.
Ctrl-C stops; the same command continues where it was; --clean forgets everything.",
        hex::encode(&network.root_key_der),
        data.display(),
    );
    if network.recovery.bytes_cut > 0 {
        eprintln!(
            "note: {} bytes at the end of the log were not complete and are dropped; nothing that \
             was acknowledged was in them",
            network.recovery.bytes_cut
        );
    }
}

/// Removes the network in `data`, and nothing else that may lie there. A network that a node runs
/// on is not removed from under it; one that is damaged is.
fn clean(data: &Path, keep_seed: bool) -> Result<()> {
    let state = data.join("state");
    if state.exists()
        && let Err(fault @ StoreFault::Locked { .. }) = Store::open_dir(&state)
    {
        return Err(store_failure(fault));
    }
    for name in ["state", "code", "nodes", "keys/node"] {
        remove(std::fs::remove_dir_all(data.join(name)), data, name)?;
    }
    let seeds: &[&str] = if keep_seed {
        &[]
    } else {
        &["seed", "seed.new"]
    };
    for name in seeds.iter().chain(&["keys/entity.pem", "control.sock"]) {
        remove(std::fs::remove_file(data.join(name)), data, name)?;
    }
    Ok(())
}

fn remove(result: std::io::Result<()>, data: &Path, name: &str) -> Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", data.join(name).display()))
        }
        _ => Ok(()),
    }
}
