//! The server around the endpoints: HTTP/1.1 over TCP, with every connection bounded in time and
//! all of them in number, so that slow, silent and half-open peers cost little and never for long.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Limits, NodePort, router};

/// Most bytes of the head of a request (line and headers), and the size of the read buffer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after the operating system refused to hand out a connection (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the interface on `listener` until `shutdown` completes; then takes no new connection,
/// gives requests that are under way [`Limits::drain`] to finish, and returns.
pub async fn serve(
    listener: TcpListener,
    port: Arc<dyn NodePort>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let router = router(port, limits);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &slots) => {
                if let Some((stream, slot)) = accepted {
                    let (router, stopped) = (router.clone(), stopped.clone());
                    connections.spawn(connection(stream, slot, router, limits, stopped));
                }
            }
        }
    }
    drop(listener);
    drop(stop);
    // Each connection ends by itself within the drain time; what hangs beyond it is cut off.
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain + ACCEPT_PAUSE, all).await.is_err() {
        connections.abort_all();
    }
}

/// The next connection, once there is a free slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    // Answers are small and awaited: they are not held back to fill a packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_wait)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        result = served.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended early");
            }
            return;
        }
        // The sender is dropped when the server stops.
        _ = stopped.changed() => {}
        () = sleep(limits.connection_life) => {}
    }
    served.as_mut().graceful_shutdown();
    if timeout(limits.drain, served).await.is_err() {
        tracing::debug!("a connection was cut off");
    }
    drop(slot);
}
