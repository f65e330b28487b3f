//! Taking in connections: all of them bounded in number, so that slow, silent and half-open peers
//! cost little, and an end that waits for them no longer than it has to.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Pause after the operating system refused to hand out a connection (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs `serve` on each connection of `listener`, on at most `connections_max` at a time, until
/// `stopped` changes or its sender is gone; then waits for those that are open, at most
/// `drain` long. `serve` is to end by itself when `stopped` changes.
pub(crate) async fn accept_all<F, S>(
    listener: TcpListener,
    connections_max: usize,
    drain: Duration,
    mut stopped: watch::Receiver<()>,
    serve: F,
) where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(connections_max));
    let mut open = JoinSet::new();
    {
        let mut end = pin!(stopped.changed());
        loop {
            tokio::select! {
                _ = &mut end => break,
                Some(_) = open.join_next() => {}
                accepted = accept(&listener, &slots) => {
                    if let Some((stream, slot)) = accepted {
                        let served = serve(stream);
                        open.spawn(async move {
                            served.await;
                            drop(slot);
                        });
                    }
                }
            }
        }
    }
    drop(listener);
    // Each connection ends by itself within the drain time; what hangs beyond it is cut off.
    let all = async { while open.join_next().await.is_some() {} };
    if timeout(drain + ACCEPT_PAUSE, all).await.is_err() {
        open.abort_all();
    }
}

/// The next connection, once there is a free slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and awaited: they are not held back to fill a packet.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
