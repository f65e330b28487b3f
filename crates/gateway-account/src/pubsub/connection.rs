//! One client's connection.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::hub::{Hub, Subscriber};
use super::queue::{Source, queue};
use super::subscription::{self, Request};
use crate::call::{Call, Refused, response};
use crate::failure::{Failure, Outcome};

/// Serves one connection until the client ends it, is too slow or silent, or `stopped` changes.
pub(crate) async fn connection(hub: Arc<Hub>, stream: TcpStream, mut stopped: watch::Receiver<()>) {
    let limits = hub.limits();
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits.body_bytes))
        .max_frame_size(Some(limits.body_bytes));
    let accepted = accept_async_with_config(stream, Some(config));
    let mut socket = match timeout(limits.header_wait, accepted).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return tracing::debug!(%error, "no WebSocket came about"),
        Err(_) => return tracing::debug!("no WebSocket came about in time"),
    };
    let (sink, source) = queue(&limits);
    let mut subscriber = Subscriber::new(hub.clone(), sink);
    let end = tokio::select! {
        end = serve(&hub, &mut subscriber, &mut socket, source) => end,
        _ = stopped.changed() => End::Because(CloseCode::Away, "the node stops"),
    };
    drop(subscriber);
    if let End::Because(code, reason) = end {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closed = timeout(limits.drain, socket.close(Some(frame))).await;
        tracing::debug!(?closed, reason, "a subscriber was cut off");
    }
}

/// Why a connection ends.
enum End {
    /// The client is gone.
    Gone,
    /// The client is told why.
    Because(CloseCode, &'static str),
}

async fn serve(
    hub: &Arc<Hub>,
    subscriber: &mut Subscriber,
    socket: &mut WebSocketStream<TcpStream>,
    mut source: Source,
) -> End {
    let limits = hub.limits();
    let mut heard = Instant::now();
    let mut asked = false;
    loop {
        let text = tokio::select! {
            message = socket.next() => {
                heard = Instant::now();
                asked = false;
                match message {
                    Some(Ok(Message::Text(text))) => answer(hub, subscriber, text.as_bytes()).await,
                    Some(Ok(Message::Binary(bytes))) => answer(hub, subscriber, &bytes).await,
                    Some(Ok(_)) => None,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a subscriber is gone");
                        return End::Gone;
                    }
                    None => return End::Gone,
                }
            }
            notification = source.next() => match notification {
                Some(text) => Some(text),
                None => return End::Because(CloseCode::Policy, "notifications are read too slowly"),
            },
            () = sleep_until(heard + limits.silence) => {
                if asked {
                    return End::Because(CloseCode::Policy, "no sign of life");
                }
                asked = true;
                heard = Instant::now();
                if !sent(hub, socket, Message::Ping(Bytes::new())).await {
                    return End::Gone;
                }
                None
            }
        };
        if let Some(text) = text
            && !sent(hub, socket, Message::Text(text.into())).await
        {
            return End::Gone;
        }
    }
}

/// Sends a message; `false` if it did not leave in time.
async fn sent(hub: &Hub, socket: &mut WebSocketStream<TcpStream>, message: Message) -> bool {
    let sent = timeout(hub.limits().header_wait, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

async fn answer(hub: &Arc<Hub>, subscriber: &mut Subscriber, bytes: &[u8]) -> Option<String> {
    match crate::call::Request::decode(bytes, hub.limits().batch_calls) {
        crate::call::Request::Single(call) => answer_one(subscriber, call).await,
        crate::call::Request::Batch(calls) => {
            let mut answers = Vec::new();
            for call in calls {
                answers.extend(answer_one(subscriber, call).await);
            }
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
    }
}

async fn answer_one(subscriber: &mut Subscriber, call: Result<Call, Refused>) -> Option<String> {
    let (id, outcome) = match call {
        Err(Refused { id, failure }) => (Some(id), Err(failure)),
        Ok(Call { id, method, params }) => {
            let outcome = match subscription::request(&method, params) {
                Ok(request) => carry_out(subscriber, request).await,
                Err(failure) => Err(failure),
            };
            (id, outcome)
        }
    };
    id.map(|id| response(id, outcome).to_string())
}

async fn carry_out(subscriber: &mut Subscriber, request: Request) -> Outcome {
    match request {
        Request::Subscribe(topic) => subscriber.subscribe(topic).await.map(Into::into),
        Request::Unsubscribe(id) if subscriber.unsubscribe(id) => Ok(true.into()),
        Request::Unsubscribe(_) => Err(Failure::invalid_params("Invalid subscription id.")),
    }
}
