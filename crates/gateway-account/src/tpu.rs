//! The port for transactions over QUIC, by which Solana's own tools send where they expect a
//! validator (a *TPU*).
//!
//! A client opens a connection with the protocol [`ALPN`] and sends each transaction on a
//! unidirectional stream of its own; there are no answers. What is not a transaction, is refused by
//! the engine or finds the pool full is dropped, as on a validator: clients look for the
//! signature's status and send again.
//!
//! The server's certificate is made anew at each start and signed by nobody: clients of this
//! protocol check none. It says nothing about the node, so nothing is to be trusted for it.
//!
//! Invariants: connections, streams of a connection, bytes of a stream and the time a stream may
//! take are bounded; a peer that sends nothing is forgotten.
//!
//! Source: Agave 4.2 `streamer` (QUIC) and `tls-utils`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ReadToEndError, RecvStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use trilith_engine_account::TRANSACTION_BYTES_MAX;

use crate::{Gateway, Limits};

/// The protocol's name in the handshake. Source: Agave `streamer::nonblocking::quic`.
pub const ALPN: &[u8] = b"solana-tpu";

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the QUIC port for transactions cannot be opened: {0}")]
pub struct TpuError(Box<dyn std::error::Error + Send + Sync>);

impl TpuError {
    fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// An open port.
pub struct Tpu {
    endpoint: Endpoint,
}

impl Tpu {
    /// Serves on `socket`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`TpuError`] if no certificate can be made or the socket cannot be used.
    pub fn open(socket: UdpSocket, limits: &Limits) -> Result<Self, TpuError> {
        let server = server_config(limits)?;
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
            .map_err(TpuError::of)?;
        Ok(Self { endpoint })
    }

    /// Where it can be reached.
    ///
    /// # Errors
    /// [`TpuError`] if the operating system does not tell.
    pub fn address(&self) -> Result<SocketAddr, TpuError> {
        self.endpoint.local_addr().map_err(TpuError::of)
    }

    /// Takes transactions until `stopped` changes or its sender is gone.
    pub(crate) async fn serve(self, gateway: Arc<Gateway>, mut stopped: watch::Receiver<()>) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                Some(_) = open.join_next() => {}
                incoming = self.endpoint.accept() => match incoming {
                    None => break,
                    Some(incoming) if open.len() >= gateway.limits.tpu_connections => {
                        incoming.refuse();
                    }
                    Some(incoming) => {
                        open.spawn(connection(gateway.clone(), incoming));
                    }
                },
            }
        }
        self.endpoint.close(VarInt::from_u32(0), b"the node stops");
        open.abort_all();
        let drain = gateway.limits.drain;
        if timeout(drain, self.endpoint.wait_idle()).await.is_err() {
            tracing::debug!(
                ?drain,
                "peers of the QUIC port did not say good-bye in time"
            );
        }
    }
}

fn server_config(limits: &Limits) -> Result<ServerConfig, TpuError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(TpuError::of)?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .map_err(TpuError::of)?;
    let secret = PrivateKeyDer::try_from(key.serialize_der()).map_err(TpuError::of)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TpuError::of)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .map_err(TpuError::of)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).map_err(TpuError::of)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    let bytes = TRANSACTION_BYTES_MAX as u32;
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(limits.tpu_streams))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(bytes))
        .receive_window(VarInt::from_u32(bytes.saturating_mul(limits.tpu_streams)))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(limits.silence.try_into().map_err(TpuError::of)?));
    server.transport_config(Arc::new(transport));
    Ok(server)
}

/// Takes the streams of one peer until it leaves or is silent for too long.
async fn connection(gateway: Arc<Gateway>, incoming: Incoming) {
    let wait = gateway.limits.header_wait;
    let connection = match timeout(wait, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a peer did not come in"),
        Err(_) => return tracing::debug!(?wait, "a peer did not come in in time"),
    };
    if let Err(error) = streams(&gateway, &connection).await {
        tracing::debug!(%error, "a peer of the QUIC port left");
    }
}

async fn streams(
    gateway: &Arc<Gateway>,
    connection: &Connection,
) -> Result<(), quinn::ConnectionError> {
    // The protocol bounds open streams; one that is read takes a place until it is judged.
    let places = Arc::new(Semaphore::new(gateway.limits.tpu_streams as usize));
    loop {
        let stream = connection.accept_uni().await?;
        let Ok(place) = places.clone().acquire_owned().await else {
            return Ok(());
        };
        let gateway = gateway.clone();
        tokio::spawn(async move {
            transaction(&gateway, stream).await;
            drop(place);
        });
    }
}

/// Longest time from the beginning of a stream to its end. Source: Agave `streamer`, the wait for
/// a chunk of a stream.
const STREAM_WAIT: Duration = Duration::from_secs(2);

/// Reads one transaction and brings it into the pool.
async fn transaction(gateway: &Arc<Gateway>, mut stream: RecvStream) {
    let limit = TRANSACTION_BYTES_MAX;
    let bytes = match timeout(STREAM_WAIT, stream.read_to_end(limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(ReadToEndError::TooLong)) => {
            return tracing::debug!(limit, "a transaction over QUIC is longer than the limit");
        }
        Ok(Err(ReadToEndError::Read(error))) => {
            return tracing::debug!(%error, "a transaction over QUIC broke off");
        }
        Err(_) => return tracing::debug!(?STREAM_WAIT, "a transaction over QUIC took too long"),
    };
    // Checking its signatures takes no longer than handing it to another thread would.
    if let Err(error) = gateway.port.submit(bytes) {
        tracing::debug!(%error, "a transaction over QUIC is not taken up");
    }
}
