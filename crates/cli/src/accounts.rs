//! The account interface of a developer network: its ports, and serving it there.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use trilith_gateway_account::{
    AccountPort, Addresses, Faucet, Limits, Listeners, NetworkKeys, Options, Tpu, serve,
};

use crate::dev::DevArguments;
use crate::network::{ACCOUNT_RUNTIME, Network};
use crate::output::NextStep;

/// Port where none is asked for: that of Solana's own validator.
const PORT: u16 = 8899;

/// How often two free ports that follow each other are looked for.
const TRIES: usize = 64;

/// The sockets of JSON-RPC, of PubSub and of transactions over QUIC. Clients reckon the port of
/// PubSub as the one after that of JSON-RPC; they ask for that of QUIC, which has the number of
/// JSON-RPC's.
pub(crate) struct AccountListeners {
    listeners: Listeners,
}

impl AccountListeners {
    /// Takes the ports that `arguments` ask for.
    pub(crate) async fn bind(arguments: &DevArguments) -> Result<Self> {
        let free = arguments.canister_port == 0;
        let asked = arguments
            .account_port
            .unwrap_or(if free { 0 } else { PORT });
        let step = NextStep("choose another port with --account-port; 0 takes free ones");
        for _ in 0..TRIES {
            let rpc = listen(SocketAddr::new(arguments.listen, asked)).await;
            let rpc = rpc.context(step)?;
            let mut next = rpc.local_addr()?;
            let Some(port) = next.port().checked_add(1) else {
                continue;
            };
            next.set_port(port);
            match (listen(next).await, quic(rpc.local_addr()?)) {
                (Ok(pubsub), Ok(tpu)) => {
                    let tpu = Some(tpu);
                    let listeners = Listeners { rpc, pubsub, tpu };
                    return Ok(Self { listeners });
                }
                (Err(error), _) | (_, Err(error)) if asked != 0 => return Err(error.context(step)),
                _ => {}
            }
        }
        bail!("no two free ports that follow each other were found in {TRIES} tries")
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Result<Addresses> {
        let Listeners { rpc, pubsub, tpu } = &self.listeners;
        Ok(Addresses {
            rpc: Some(rpc.local_addr()?),
            pubsub: Some(pubsub.local_addr()?),
            tpu: tpu.as_ref().map(Tpu::address).transpose()?,
        })
    }

    /// Serves the account runtime of `network` until `shutdown` completes; `None` if it has none.
    pub(crate) fn serve(
        self,
        network: &Network,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Option<JoinHandle<()>>> {
        let options = Options {
            limits: Limits::STANDARD,
            faucet: Some(Faucet::new(network.faucet.clone())),
            addresses: self.addresses()?,
            network: Some(NetworkKeys {
                chain: *network.genesis.chain_context().as_bytes(),
                consensus_key: network.genesis.consensus_key.0.to_vec(),
                runtime: *ACCOUNT_RUNTIME.as_bytes(),
            }),
        };
        let Some(handle) = network.accounts.clone() else {
            return Ok(None);
        };
        let port = Arc::new(AccountPort::new(handle));
        let served = serve(self.listeners, port, options, shutdown);
        Ok(Some(tokio::spawn(served)))
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))
}

fn quic(address: SocketAddr) -> Result<Tpu> {
    let socket = UdpSocket::bind(address)
        .with_context(|| format!("{address} cannot be listened on for QUIC"))?;
    Ok(Tpu::open(socket, &Limits::STANDARD)?)
}
