//! Update calls: into a durable round, and, where the client wants to wait, up to the certified
//! reply.
//!
//! ```text
//! v2      submit -> 202 empty                    | 200 {reject_code, …} | 4xx text
//! v3, v4  submit -> status on each certified round -> 200 {status: replied, certificate}
//!                   nothing final in time          -> 202 empty
//!                   refused                        -> 200 {status: non_replicated_rejection, …}
//! ```
//!
//! A call that was taken up before is not refused to its client, who may not have seen the first
//! answer: it is answered like the first time.
//!
//! Source: Internet Computer interface specification, "Request: Asynchronous Call" and "Request:
//! Synchronous Call".

use axum::extract::{Path, Request, State};
use axum::response::Response;
use candid::Principal;
use tokio::time::{Instant, timeout, timeout_at};
use trilith_engine_canister::ingress::{
    self, Content, Envelope, IngressError, Refusal, effective_canister,
};
use trilith_engine_canister::query::{QueryRequest, QueryResponse};
use trilith_protocol::{QueryError, ReceiptStatus, Reject};

use crate::answer::{self, Rejection};
use crate::failure::Failure;
use crate::port::SubmitError;
use crate::status::topology_of;
use crate::{Gateway, body};

/// The methods that create canisters.
const CREATION: [&str; 2] = ["create_canister", "provisional_create_canister_with_cycles"];

/// What became of submitting a call.
enum Taken {
    /// It is in a durable round.
    Up {
        /// The request id.
        id: [u8; 32],
    },
    /// It was refused with a reject code.
    Refused(Rejection),
}

/// `POST /api/v2/canister/<id>/call`.
pub(crate) async fn call_without_waiting(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    Ok(match take_up(&gateway, &id, request).await? {
        Taken::Up { .. } => answer::accepted(),
        Taken::Refused(rejection) => answer::rejected_asynchronously(&rejection),
    })
}

/// `POST /api/v3/canister/<id>/call` and `POST /api/v4/canister/<id>/call`.
pub(crate) async fn call_and_wait(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let deadline = Instant::now() + gateway.limits.reply_wait;
    let taken = take_up(&gateway, &id, request).await?;
    Ok(end_of(&gateway, taken, deadline).await)
}

/// The answer to a synchronous call: its certified end, if there is one in time.
async fn end_of(gateway: &Gateway, taken: Taken, deadline: Instant) -> Response {
    let id = match taken {
        Taken::Up { id } => id,
        Taken::Refused(rejection) => return answer::rejected_synchronously(&rejection),
    };
    match timeout_at(deadline, certified_end(gateway, id)).await {
        Ok(Some(certificate)) => answer::certified(&certificate),
        Ok(None) | Err(_) => answer::accepted(),
    }
}

/// `POST /api/v4/subnet/<id>/call`, which creates canisters.
pub(crate) async fn call_to_subnet(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let deadline = Instant::now() + gateway.limits.reply_wait;
    let address = body::principal(&id)?;
    let received = body::read(&gateway, request).await?;
    let id = route_to_subnet(&gateway, &received.bytes, address).await?;
    let taken = submit(&gateway, received, id).await?;
    Ok(end_of(&gateway, taken, deadline).await)
}

/// As [`route`], for a call at the address of a subnet: it must be this one, and the call one that
/// creates a canister. Who may do that, the engine decides.
async fn route_to_subnet(
    gateway: &Gateway,
    bytes: &[u8],
    address: Principal,
) -> Result<[u8; 32], Failure> {
    let envelope = Envelope::decode(bytes)?;
    let call = require_call(&envelope)?;
    let creates = CREATION.contains(&call.method_name.as_str());
    if call.canister_id != Principal::management_canister() || !creates {
        return Err(IngressError::SubnetMethod {
            method: call.method_name.clone(),
            canister: call.canister_id,
            wanted: CREATION[0],
        }
        .into());
    }
    let effective = topology_of(gateway).await?.subnet;
    if address != effective {
        return Err(IngressError::EffectiveCanister { address, effective }.into());
    }
    Ok(envelope.content.request_id())
}

fn require_call(envelope: &Envelope) -> Result<&ingress::CallContent, Failure> {
    match &envelope.content {
        Content::Call(call) => Ok(call),
        other => {
            let found = other.request_type().to_owned();
            Err(IngressError::RequestType {
                found,
                wanted: "call",
            }
            .into())
        }
    }
}

/// Checks that the call belongs to the canister in the address, and submits it.
async fn take_up(gateway: &Gateway, address: &str, request: Request) -> Result<Taken, Failure> {
    let address = body::principal(address)?;
    let received = body::read(gateway, request).await?;
    let id = route(&received.bytes, address)?;
    submit(gateway, received, id).await
}

/// Submits the call `id` and waits until it is in a round.
async fn submit(
    gateway: &Gateway,
    received: body::Envelope,
    id: [u8; 32],
) -> Result<Taken, Failure> {
    let wait = gateway.limits.inclusion_wait;
    let submission = timeout(wait, gateway.port.submit(received.bytes)).await;
    let Ok(submission) = submission else {
        let waited = wait.as_millis();
        let text = format!("the call was in no round after {waited} ms; it may be sent again");
        return Err(Failure::unavailable(text));
    };
    match submission {
        Ok(submitted) => match submitted.receipt.status {
            ReceiptStatus::Accepted => Ok(Taken::Up { id }),
            ReceiptStatus::Rejected {
                module,
                code,
                message,
            } => refused(
                id,
                &Reject {
                    module: known_module(&module),
                    code,
                    message,
                },
            ),
        },
        Err(SubmitError::Rejected(reject)) => refused(id, &reject),
        Err(error @ SubmitError::PoolFull { .. }) => Err(Failure::overloaded(error)),
        Err(error @ SubmitError::SenderFull { .. }) => Err(Failure::too_many(error.to_string())),
        Err(error @ SubmitError::NotAccepted(_)) => Err(Failure::unavailable(error.to_string())),
    }
}

/// Decodes as much as is needed to know where the call belongs. Gives its request id.
fn route(bytes: &[u8], address: Principal) -> Result<[u8; 32], Failure> {
    let envelope = Envelope::decode(bytes)?;
    let call = require_call(&envelope)?;
    match effective_canister(call) {
        Some(effective) if effective != address => {
            Err(IngressError::EffectiveCanister { address, effective }.into())
        }
        _ => Ok(envelope.content.request_id()),
    }
}

/// The modules whose codes the engine's table of refusals knows; receipts name them as text.
fn known_module(name: &str) -> &'static str {
    [ingress::MODULE, ingress::MODULE_CANISTER]
        .into_iter()
        .find(|module| *module == name)
        .unwrap_or("")
}

fn refused(id: [u8; 32], reject: &Reject) -> Result<Taken, Failure> {
    let duplicate = IngressError::Duplicate(id).code();
    if reject.module == ingress::MODULE && reject.code == duplicate {
        return Ok(Taken::Up { id });
    }
    match ingress::refusal(reject) {
        Refusal::Rejection {
            reject_code,
            error_code,
        } => {
            let message = reject.message.clone();
            Ok(Taken::Refused(Rejection {
                code: reject_code,
                message,
                error_code,
            }))
        }
        Refusal::BadRequest | Refusal::Forbidden | Refusal::NotFound => {
            Err(Failure::rejected(reject))
        }
    }
}

/// Waits until the certified state says how the call `id` ended, and gives the certificate. `None`
/// if this node will not be able to say.
async fn certified_end(gateway: &Gateway, id: [u8; 32]) -> Option<Vec<u8>> {
    let question = QueryRequest::RequestStatus { id }.encode();
    let mut rounds = gateway.port.certified_rounds();
    loop {
        rounds.borrow_and_update();
        match gateway.port.query_now(&question) {
            Ok(answer) => match QueryResponse::decode(&answer) {
                Ok(QueryResponse::RequestStatus {
                    status,
                    certificate: Some(certificate),
                }) if status.is_final() => {
                    return Some(certificate);
                }
                Ok(QueryResponse::RequestStatus { .. }) => {}
                _ => {
                    tracing::error!("the engine answered another question than that for a status");
                    return None;
                }
            },
            Err(QueryError::Fault(fault)) => tracing::warn!(%fault, "no status of a call"),
            Err(QueryError::Reject(reject)) => {
                tracing::error!(%reject, "the engine refuses to say the status of a call");
                return None;
            }
        }
        rounds.changed().await.ok()?;
    }
}
