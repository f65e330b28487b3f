//! JSON-RPC over HTTP/1.1: `POST` with a body of calls, `GET /health`, and permission for pages of
//! any origin. Statuses are those of Solana's validator.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Gateway;

/// Most bytes of the head of a request (line and headers), and the size of the read buffer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves one connection until the client ends it, its life is over, or `stopped` changes.
pub(crate) async fn connection(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    mut stopped: watch::Receiver<()>,
) {
    let limits = gateway.limits;
    let service = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(allow_browsers(respond(&gateway, request).await)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_wait)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
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
}

async fn respond(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::OPTIONS, _) => text(StatusCode::NO_CONTENT, ""),
        (&Method::GET, "/health") => text(
            StatusCode::OK,
            if gateway.port.is_healthy() {
                "ok"
            } else {
                "unknown"
            },
        ),
        (&Method::POST, _) => post(gateway, request).await,
        _ => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Used HTTP Method is not allowed. POST or OPTIONS is required\n",
        ),
    }
}

async fn post(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !is_json(&request) {
        return text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Supplied content type is not allowed. Content-Type: application/json is required\n",
        );
    }
    let limits = &gateway.limits;
    let body = request.into_body();
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return too_large(limits.body_bytes);
    }
    let read = Limited::new(body, limits.body_bytes).collect();
    let bytes = match timeout(limits.body_wait, read).await {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(limits.body_bytes),
        Ok(Err(error)) => {
            return text(
                StatusCode::BAD_REQUEST,
                format!("the body cannot be read: {error}\n"),
            );
        }
        Err(_) => {
            return text(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "the body was not complete after {} ms\n",
                    limits.body_wait.as_millis()
                ),
            );
        }
    };
    let answer = gateway.clone().answer(&bytes).await.unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

fn is_json(request: &Request<Incoming>) -> bool {
    let found = request.headers().get(header::CONTENT_TYPE);
    let text = found.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn too_large(limit: usize) -> Response<Full<Bytes>> {
    text(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body has more than the limit of {limit} bytes\n"),
    )
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Lets pages of any origin ask and read. Nothing here depends on cookies: what changes state is
/// authenticated by its signatures.
fn allow_browsers(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let permissions = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, OPTIONS, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Solana-Client, User-Agent",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in permissions {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
