//! The Internet Computer's HTTP interface in front of a node.
//!
//! A gateway translates: bytes of an HTTP request become a transaction or a question for a
//! [`NodePort`], its answer becomes the CBOR that agents expect. It knows HTTP, the envelope and
//! the canister engine's questions and answers; it must not know a store, consensus or other
//! engines, and it decides nothing: whether a request is authentic and allowed is the engine's
//! verdict, which this crate turns into a status.
//!
//! Invariants:
//! - A status of 202 or 200 to a call is sent only after [`NodePort::submit`] reported that the
//!   call is in a finalised, durable round, or the certified state says that it was before.
//! - Bodies are bounded before they are held: each by [`Limits::body_bytes`], all together by
//!   [`Limits::bodies_bytes`]. Connections are bounded in number and in time, requests under way
//!   by [`Limits::requests`].
//! - No request causes a status of 500 or above, unless the node itself cannot serve it.
//!
//! Source: Internet Computer interface specification, "HTTPS interface".

mod answer;
mod body;
mod call;
mod failure;
mod lanes;
pub mod limits;
mod node;
pub mod port;
mod read;
pub mod server;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use failure::Failure;
use lanes::Lanes;
pub use limits::Limits;
pub use node::CanisterPort;
pub use port::{NodePort, NodeStatus, SubmitError, Submitted};
pub use server::serve;

/// What every handler has at hand.
#[derive(Clone)]
struct Gateway {
    port: Arc<dyn NodePort>,
    limits: Limits,
    /// What is left of [`Limits::bodies_bytes`], in units of [`body::BODY_UNIT_BYTES`].
    bodies: Arc<Semaphore>,
    /// Turns of query calls at each canister.
    lanes: Arc<Lanes>,
    /// What is left of [`Limits::requests`].
    requests: Arc<Semaphore>,
}

/// The endpoints, without a server around them; [`serve`] adds one.
pub fn router(port: Arc<dyn NodePort>, limits: Limits) -> Router {
    let bodies = Arc::new(Semaphore::new(body::units(limits.bodies_bytes) as usize));
    let gateway = Gateway {
        port,
        limits,
        bodies,
        lanes: Arc::new(Lanes::new(limits.canister_queries)),
        requests: Arc::new(Semaphore::new(limits.requests)),
    };
    let counting = middleware::from_fn_with_state(gateway.clone(), count_requests);
    Router::new()
        .route("/api/v2/status", get(status::status))
        .route(
            "/api/v2/canister/{id}/call",
            post(call::call_without_waiting),
        )
        .route("/api/v3/canister/{id}/call", post(call::call_and_wait))
        .route("/api/v4/canister/{id}/call", post(call::call_and_wait))
        .route("/api/v4/subnet/{id}/call", post(call::call_to_subnet))
        .route("/api/v2/canister/{id}/query", post(read::query))
        .route("/api/v3/canister/{id}/query", post(read::query))
        .route("/api/v3/subnet/{id}/query", post(read::query_to_subnet))
        .route(
            "/api/v2/canister/{id}/read_state",
            post(read::read_canister_state_2),
        )
        .route(
            "/api/v3/canister/{id}/read_state",
            post(read::read_canister_state_3),
        )
        .route(
            "/api/v2/subnet/{id}/read_state",
            post(read::read_subnet_state_2),
        )
        .route(
            "/api/v3/subnet/{id}/read_state",
            post(read::read_subnet_state_3),
        )
        .route("/_/topology", get(status::topology))
        .route("/_/dashboard", get(status::dashboard))
        .fallback(no_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(counting)
        .layer(middleware::from_fn(allow_browsers))
        .with_state(gateway)
}

async fn no_endpoint(request: Request) -> Response {
    let text = format!("there is no endpoint {}", request.uri().path());
    Failure::new(StatusCode::NOT_FOUND, text).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let path = request.uri().path();
    let reads = path == "/api/v2/status" || path.starts_with("/_/");
    let allowed = if reads { "GET, HEAD" } else { "POST" };
    let text = format!(
        "{path} takes {allowed}, the request is {}",
        request.method()
    );
    let mut response = Failure::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Refuses a request at once if too many are under way, so that whoever sent it knows and need not
/// wait for a slot.
async fn count_requests(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    match gateway.requests.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => {
            let limit = gateway.limits.requests;
            Failure::overloaded(format!(
                "{limit} requests are under way, the limit is {limit}"
            ))
            .into_response()
        }
    }
}

/// Answers preflight requests, and lets pages of any origin read what they asked for. Nothing here
/// depends on cookies: requests are authenticated by their signatures.
async fn allow_browsers(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let permissions: [(HeaderName, &'static str); 5] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, OPTIONS, POST",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, User-Agent",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Content-Length, Retry-After",
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
