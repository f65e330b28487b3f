//! The servers: JSON-RPC on one port, PubSub on another, transactions over QUIC on a third.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections::accept_all;
use crate::pubsub::Hub;
use crate::{Gateway, NodePort, Options, Tpu, http, pubsub};

/// Where a gateway listens.
pub struct Listeners {
    /// JSON-RPC over HTTP.
    pub rpc: TcpListener,
    /// PubSub over WebSockets.
    pub pubsub: TcpListener,
    /// Transactions over QUIC, where they are taken.
    pub tpu: Option<Tpu>,
}

/// Serves on `listeners` until `shutdown` completes; then takes no new connection, gives requests that are under way [`crate::Limits::drain`] to finish, and returns.
pub async fn serve(
    listeners: Listeners,
    port: Arc<dyn NodePort>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) {
    let Listeners { rpc, pubsub, tpu } = listeners;
    let gateway = Gateway::new(port, options);
    let limits = gateway.limits;
    let (stop, stopped) = watch::channel(());
    let hub = Hub::start(gateway.clone(), stopped.clone());
    let calls = accept_all(
        rpc,
        limits.connections,
        limits.drain,
        stopped.clone(),
        |stream| http::connection(gateway.clone(), stream, stopped.clone()),
    );
    let subscribers = accept_all(
        pubsub,
        limits.subscribers,
        limits.drain,
        stopped.clone(),
        |stream| pubsub::connection(hub.clone(), stream, stopped.clone()),
    );
    let transactions = async {
        if let Some(tpu) = tpu {
            tpu.serve(gateway.clone(), stopped.clone()).await;
        }
    };
    let mut served = pin!(async { tokio::join!(calls, subscribers, transactions) });
    tokio::select! {
        _ = served.as_mut() => return,
        () = shutdown => {}
    }
    drop(stop);
    served.await;
}
