//! A real RPC address for an instance: the same gateway as in front of a node, on the very state
//! that the test holds.
//!
//! What clients send is executed at once, as a round of its own; what the test does is seen by
//! clients at once. The address is on the loopback interface and lives as long as the instance.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use trilith_engine_account::AccountEngine;
use trilith_engine_account::query::{Answer, Chain, Question};
use trilith_gateway_account::port::{BoxFuture, NodePort, Proof, StateView, SubmitError};
use trilith_gateway_account::{Addresses, Faucet, Limits, Listeners, Options, Tpu, serve};
use trilith_params::account::SLOT_NANOS;
use trilith_protocol::{QueryError, Reject};
use trilith_types::{ImageId, Round, TimeNanos};

use super::error::LocalError;
use super::instance::{self, Instance, other_answer};
use super::{Local, donors};
use crate::memory::Memory;

/// How often two free ports that follow each other are looked for: clients reckon the port of
/// PubSub as the one after that of JSON-RPC.
const TRIES: usize = 64;

/// How long requests that are under way may still take when the address is closed.
const DRAIN: Duration = Duration::from_millis(100);

/// Whether slots go on while an RPC address is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// A slot every 400 ms. Clients that wait for blocks, deploy programs or extend lookup tables
    /// need it. What happens in which slot is then a matter of timing.
    Running,
    /// As without an address: the test moves time.
    Still,
}

/// Where an instance can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcAddress {
    /// JSON-RPC, `http://127.0.0.1:PORT`.
    pub url: String,
    /// PubSub, `ws://127.0.0.1:PORT`, one port above.
    pub websocket_url: String,
}

impl Local {
    /// Opens an RPC address and lets slots run; gives the address again if it is open.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut svm = trilith_local::Local::new();
    /// let address = svm.rpc()?;
    /// assert!(address.url.starts_with("http://127.0.0.1:"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LocalError::Rpc`] if no ports are free or the server cannot start.
    pub fn rpc(&mut self) -> Result<RpcAddress, LocalError> {
        self.rpc_with(Slots::Running)
    }

    /// Opens an RPC address; gives the address again, with slots as they are, if it is open.
    ///
    /// # Errors
    /// As [`Local::rpc`].
    pub fn rpc_with(&mut self, slots: Slots) -> Result<RpcAddress, LocalError> {
        if let Some(server) = &self.rpc {
            return Ok(server.address.clone());
        }
        let server = Server::start(self.shared.clone(), slots).map_err(LocalError::Rpc)?;
        let address = server.address.clone();
        self.rpc = Some(server);
        Ok(address)
    }

    /// Closes the RPC address, if there is one. Time stands still again.
    pub fn close_rpc(&mut self) {
        self.rpc = None;
    }
}

/// The server of an address. Dropping it closes the address.
pub(crate) struct Server {
    address: RpcAddress,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(shared: Arc<Mutex<Instance>>, slots: Slots) -> io::Result<Self> {
        let (rpc, pubsub) = listen()?;
        let quic = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addresses = Addresses {
            rpc: Some(rpc.local_addr()?),
            pubsub: Some(pubsub.local_addr()?),
            tpu: Some(quic.local_addr()?),
        };
        let address = RpcAddress {
            url: format!("http://{}", rpc.local_addr()?),
            websocket_url: format!("ws://{}", pubsub.local_addr()?),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = async move {
            let (Ok(rpc), Ok(pubsub)) = (
                tokio::net::TcpListener::from_std(rpc),
                tokio::net::TcpListener::from_std(pubsub),
            ) else {
                return;
            };
            let rounds = lock(&shared).rounds.subscribe();
            if slots == Slots::Running {
                tokio::spawn(run_slots(Arc::downgrade(&shared)));
            }
            let limits = Limits {
                drain: DRAIN,
                ..Limits::STANDARD
            };
            // Without it clients that ask for it find nobody there, and JSON-RPC still works.
            let tpu = Tpu::open(quic, &limits).ok();
            let options = Options {
                limits,
                faucet: Some(Faucet::new(donors::faucet())),
                addresses,
                network: None,
            };
            let port = Arc::new(LocalPort { shared, rounds });
            let shutdown = async {
                // Whoever drops the sender wants the same.
                let _stopped = stopped.await;
            };
            let listeners = Listeners { rpc, pubsub, tpu };
            serve(listeners, port, options, shutdown).await;
        };
        let thread = std::thread::Builder::new()
            .name("trilith-local-rpc".to_owned())
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked is closed as well.
            let _ended = thread.join();
        }
    }
}

/// Two ports that follow each other.
fn listen() -> io::Result<(TcpListener, TcpListener)> {
    let mut failure = io::Error::other("no port was tried");
    for _ in 0..TRIES {
        let rpc = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let Some(next) = rpc.local_addr()?.port().checked_add(1) else {
            continue;
        };
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, next))) {
            Ok(pubsub) => {
                rpc.set_nonblocking(true)?;
                pubsub.set_nonblocking(true)?;
                return Ok((rpc, pubsub));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Begins a slot every 400 ms for as long as there is the instance.
async fn run_slots(shared: std::sync::Weak<Mutex<Instance>>) {
    let mut ticks = tokio::time::interval(Duration::from_nanos(SLOT_NANOS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let begun = tokio::task::spawn_blocking(move || lock(&shared).advance(1)).await;
        if !matches!(begun, Ok(Ok(()))) {
            return;
        }
    }
}

fn lock(shared: &Mutex<Instance>) -> MutexGuard<'_, Instance> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The instance, as the gateway sees a node.
struct LocalPort {
    shared: Arc<Mutex<Instance>>,
    rounds: watch::Receiver<Round>,
}

/// One state of the instance.
struct LocalView {
    engine: Arc<AccountEngine>,
    state: Arc<Memory>,
    round: u64,
    time: TimeNanos,
    chain: OnceLock<Arc<Chain>>,
}

impl LocalPort {
    fn view(&self) -> Arc<dyn StateView> {
        let instance = lock(&self.shared);
        let line = &instance.line;
        Arc::new(LocalView {
            engine: line.runtime.clone(),
            state: line.state.clone(),
            round: line.round,
            time: line.time,
            chain: OnceLock::new(),
        })
    }
}

impl NodePort for LocalPort {
    fn newest(&self) -> BoxFuture<Arc<dyn StateView>> {
        let view = self.view();
        Box::pin(async move { view })
    }

    fn current(&self) -> Arc<dyn StateView> {
        self.view()
    }

    fn submit(&self, transaction: Vec<u8>) -> Result<(), SubmitError> {
        let mut instance = lock(&self.shared);
        instance
            .admit(&transaction)
            .map_err(SubmitError::Rejected)?;
        // What became of it stands in the state, as on a network.
        match instance.execute(vec![transaction]) {
            Ok(_) => Ok(()),
            Err(fault) => Err(SubmitError::Rejected(Reject {
                module: trilith_engine_account::MODULE,
                code: trilith_engine_account::CODE_FAULT,
                message: fault.to_string(),
            })),
        }
    }

    fn rounds(&self) -> watch::Receiver<Round> {
        self.rounds.clone()
    }

    fn look(&self) {}

    fn is_healthy(&self) -> bool {
        true
    }
}

impl StateView for LocalView {
    fn round(&self) -> Round {
        Round(self.round)
    }

    fn ask(&self, question: &Question) -> Result<Answer, QueryError> {
        instance::ask(&self.engine, &self.state, (self.round, self.time), question)
    }

    /// An instance has no validators, so nothing of it is proven to anybody.
    fn prove(&self, _: &[u8]) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn prove_image(&self, _: &ImageId) -> Result<Option<Proof>, QueryError> {
        Ok(None)
    }

    fn chain(&self) -> Result<Arc<Chain>, QueryError> {
        if let Some(chain) = self.chain.get() {
            return Ok(chain.clone());
        }
        match self.ask(&Question::Chain)? {
            Answer::Chain(chain) => Ok(self.chain.get_or_init(|| Arc::new(*chain)).clone()),
            _ => Err(other_answer().into()),
        }
    }
}
