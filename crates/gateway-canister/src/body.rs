//! Taking in the body of a request: its type, its size and its pace are bounded before it is held.

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use candid::Principal;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::Gateway;
use crate::failure::Failure;

/// The unit in which memory for bodies is accounted.
pub(crate) const BODY_UNIT_BYTES: usize = 1024;
/// The content type of every request and answer that is CBOR.
pub(crate) const CBOR: &str = "application/cbor";

/// How many units `bytes` bytes take up.
pub(crate) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BODY_UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The body of a request, and its share of the memory for bodies, which is free again when this is
/// dropped.
pub(crate) struct Envelope {
    pub(crate) bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

/// The principal in an address, by its textual form.
pub(crate) fn principal(text: &str) -> Result<Principal, Failure> {
    Principal::from_text(text).map_err(|error| {
        Failure::bad_request(format!(
            "`{text}` in the address is not a principal: {error}"
        ))
    })
}

/// Reads a body of CBOR.
pub(crate) async fn read(gateway: &Gateway, request: Request) -> Result<Envelope, Failure> {
    check_type(&request)?;
    let limits = &gateway.limits;
    let limit = limits.body_bytes;
    let body = request.into_body();
    let size = body.size_hint();
    if size.lower() > limit as u64 {
        return Err(too_large(format!("{} bytes", size.lower()), limit));
    }
    // A body that does not declare its length may become as large as any.
    let most = size
        .upper()
        .map_or(limit, |upper| limit.min(upper as usize));
    let share = gateway.bodies.clone().acquire_many_owned(units(most));
    let Ok(Ok(share)) = timeout(limits.body_wait, share).await else {
        let most = limits.bodies_bytes;
        return Err(Failure::unavailable(format!(
            "bodies under way fill the limit of {most} bytes"
        )));
    };
    match timeout(limits.body_wait, Limited::new(body, limit).collect()).await {
        Err(_) => {
            let text = format!(
                "the body was not complete after {} ms",
                limits.body_wait.as_millis()
            );
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, text))
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(too_large("more".to_owned(), limit))
        }
        Ok(Err(error)) => Err(Failure::bad_request(format!(
            "the body cannot be read: {error}"
        ))),
        Ok(Ok(body)) => Ok(Envelope {
            bytes: body.to_bytes().into(),
            _share: share,
        }),
    }
}

fn too_large(found: String, limit: usize) -> Failure {
    let text = format!("the body has {found}, over the limit of {limit} bytes");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn check_type(request: &Request) -> Result<(), Failure> {
    let found = request.headers().get(header::CONTENT_TYPE);
    let text = found.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(CBOR) {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "the content type is `{text}`, {CBOR} is expected"
    )))
}
