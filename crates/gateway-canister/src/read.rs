//! Queries and reads of the certified state: one question to the engine, one answer.
//!
//! Source: Internet Computer interface specification, "Request: Query call" and "Request: Read
//! state".

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use tokio::time::timeout;
use trilith_engine_canister::ingress::{self, Envelope, Refusal};
use trilith_engine_canister::query::{CallResult, Effective, QueryRequest, QueryResponse};
use trilith_protocol::{Fault, QueryError, Reject};

use crate::failure::Failure;
use crate::{Gateway, answer, body};

/// Why the engine gave no answer.
pub(crate) enum NoAnswer {
    /// It refuses the question.
    Reject(Reject),
    /// This node failed, or took too long.
    Failure(Failure),
}

/// Asks the engine.
pub(crate) async fn ask(
    gateway: &Gateway,
    question: &QueryRequest,
) -> Result<QueryResponse, NoAnswer> {
    let wait = gateway.limits.query_wait;
    let answer = match timeout(wait, gateway.port.query(question.encode())).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(QueryError::Reject(reject))) => return Err(NoAnswer::Reject(reject)),
        Ok(Err(QueryError::Fault(fault))) => return Err(NoAnswer::Failure(fault.into())),
        Err(_) => return Err(NoAnswer::Failure(no_answer_in(wait))),
    };
    QueryResponse::decode(&answer)
        .map_err(|error| NoAnswer::Failure(Fault(format!("the engine's answer: {error}")).into()))
}

fn no_answer_in(wait: Duration) -> Failure {
    Failure::unavailable(format!("there was no answer after {} ms", wait.as_millis()))
}

/// The failure of a node whose engine answers another question than it was asked.
pub(crate) fn other_question() -> Failure {
    Fault("the engine answered another question".into()).into()
}

/// `POST /api/v2/canister/<id>/query` and `POST /api/v3/canister/<id>/query`.
pub(crate) async fn query(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let effective = body::principal(&id)?;
    let received = body::read(&gateway, request).await?;
    let again = QueryRequest::CallAgain {
        envelope: received.bytes,
        effective,
    };
    // Refused or not remembered: asked in full. An old state is renewed first.
    if gateway.port.is_fresh()
        && let Ok(answer) = gateway.port.query_now(&again.encode())
        && let Ok(QueryResponse::Call { id, result }) = QueryResponse::decode(&answer)
    {
        return Ok(answer::query(&*gateway.port, &id, &result));
    }
    let QueryRequest::CallAgain { envelope, .. } = again else {
        return Err(other_question());
    };
    let question = QueryRequest::Call {
        envelope,
        effective,
    };
    let asked = async {
        let _turn = gateway.lanes.enter(effective).await;
        ask(&gateway, &question).await
    };
    let Ok(asked) = timeout(gateway.limits.query_wait, asked).await else {
        return Err(no_answer_in(gateway.limits.query_wait));
    };
    match asked {
        Ok(QueryResponse::Call { id, result }) => Ok(answer::query(&*gateway.port, &id, &result)),
        Ok(_) => Err(other_question()),
        Err(NoAnswer::Failure(failure)) => Err(failure),
        Err(NoAnswer::Reject(reject)) => {
            let QueryRequest::Call { envelope, .. } = question else {
                return Err(other_question());
            };
            rejected_query(&gateway, &envelope, &reject)
        }
    }
}

/// A query that the engine refuses with an error code is answered and signed like one that a
/// canister rejects.
fn rejected_query(
    gateway: &Gateway,
    envelope: &[u8],
    reject: &Reject,
) -> Result<Response, Failure> {
    let Refusal::Rejection {
        reject_code,
        error_code,
    } = ingress::refusal(reject)
    else {
        return Err(Failure::rejected(reject));
    };
    let id = Envelope::decode(envelope)?.content.request_id();
    let message = reject.message.clone();
    let result = CallResult::Rejected {
        code: reject_code,
        message,
        error_code,
    };
    Ok(answer::query(&*gateway.port, &id, &result))
}

/// `POST /api/v3/subnet/<id>/query`, whose only method lists canisters for the administrators of a
/// subnet.
pub(crate) async fn query_to_subnet(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let subnet = body::principal(&id)?;
    let received = body::read(&gateway, request).await?;
    let question = QueryRequest::SubnetCall {
        envelope: received.bytes,
        subnet,
    };
    match ask(&gateway, &question).await {
        Ok(QueryResponse::Call { id, result }) => Ok(answer::query(&*gateway.port, &id, &result)),
        Ok(_) => Err(other_question()),
        Err(NoAnswer::Failure(failure)) => Err(failure),
        Err(NoAnswer::Reject(reject)) => Err(Failure::rejected(&reject)),
    }
}

/// `POST /api/v2/canister/<id>/read_state`.
pub(crate) async fn read_canister_state_2(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let effective = Effective::Canister(body::principal(&id)?);
    read_state(&gateway, effective, 2, request).await
}

/// `POST /api/v3/canister/<id>/read_state`.
pub(crate) async fn read_canister_state_3(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let effective = Effective::Canister(body::principal(&id)?);
    read_state(&gateway, effective, 3, request).await
}

/// `POST /api/v2/subnet/<id>/read_state`.
pub(crate) async fn read_subnet_state_2(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let effective = Effective::Subnet(body::principal(&id)?);
    read_state(&gateway, effective, 2, request).await
}

/// `POST /api/v3/subnet/<id>/read_state`.
pub(crate) async fn read_subnet_state_3(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let effective = Effective::Subnet(body::principal(&id)?);
    read_state(&gateway, effective, 3, request).await
}

async fn read_state(
    gateway: &Gateway,
    effective: Effective,
    version: u64,
    request: Request,
) -> Result<Response, Failure> {
    let received = body::read(gateway, request).await?;
    let question = QueryRequest::ReadState {
        envelope: received.bytes,
        effective,
        version,
    };
    match ask(gateway, &question).await {
        Ok(QueryResponse::ReadState { certificate }) => Ok(answer::certificate(&certificate)),
        Ok(_) => Err(other_question()),
        Err(NoAnswer::Failure(failure)) => Err(failure),
        Err(NoAnswer::Reject(reject)) => Err(Failure::rejected(&reject)),
    }
}
