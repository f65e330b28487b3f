//! Requests that get no CBOR answer: a status and a text that states fact, value and limit.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use trilith_engine_canister::controller;
use trilith_engine_canister::ingress::{IngressError, Refusal};
use trilith_protocol::{Fault, Reject};

/// An answer that is a status and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// A request that is wrong in itself.
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The node cannot serve this now; the same request may succeed later. Agents try again by
    /// themselves on this status.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// More is asked of the node than it can do. The words before the fact are those of the Internet
    /// Computer's replica.
    pub(crate) fn overloaded(fact: impl std::fmt::Display) -> Self {
        Self::unavailable(format!("Service is overloaded, try again later: {fact}"))
    }

    /// One sender asks more than its share; what others send is still taken.
    pub(crate) fn too_many(fact: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, fact)
    }

    /// A request that the engine refuses without giving a reject code.
    pub(crate) fn refused(refusal: &Refusal, text: impl Into<String>) -> Self {
        let status = match refusal {
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::BadRequest | Refusal::Rejection { .. } => StatusCode::BAD_REQUEST,
        };
        Self::new(status, text)
    }

    /// A request that the engine's `Reject` refuses, or that this node cannot answer yet.
    pub(crate) fn rejected(reject: &Reject) -> Self {
        let passing = [controller::CODE_NO_CERTIFICATE, controller::CODE_FAULT];
        if reject.module == controller::MODULE && passing.contains(&reject.code) {
            return Self::unavailable(reject.message.clone());
        }
        let refusal = trilith_engine_canister::ingress::refusal(reject);
        Self::refused(&refusal, reject.message.clone())
    }
}

impl From<IngressError> for Failure {
    fn from(error: IngressError) -> Self {
        Self::refused(&error.refusal(), error.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        tracing::error!(%fault, "a request was not answered");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text).into_response();
        let passing = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if passing.contains(&self.status) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
