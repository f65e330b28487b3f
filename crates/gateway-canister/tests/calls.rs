//! Update calls: acknowledged only when durable, answered with a certificate or a rejection.

mod double;

use axum::http::StatusCode;
use candid::Principal;
use double::{
    Answers, CERTIFICATE, Double, Got, Submission, at, call_content, call_envelope, canister,
    envelope, impatient, post, query_content, reject, replied, request, send, subnet,
};
use ic_transport_types::{RejectResponse, TransportCallResponse, to_request_id};
use trilith_engine_canister::ingress::{IngressError, MODULE, MODULE_CANISTER};
use trilith_engine_canister::query::{QueryRequest, RequestStatus};
use trilith_gateway_canister::{Limits, SubmitError};
use trilith_types::Round;

fn certificate_of(got: &Got) -> Vec<u8> {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    match got.decode() {
        TransportCallResponse::Replied { certificate } => certificate,
        other => panic!("not replied: {other:?}"),
    }
}

#[tokio::test]
async fn an_asynchronous_call_is_acknowledged_once_it_is_in_a_round() {
    let double = Double::new();
    let got = post(&double, &at(2, "call"), call_envelope()).await;
    assert_eq!((got.status, got.body.len()), (StatusCode::ACCEPTED, 0));
    assert_eq!(*double.submitted.lock().unwrap(), [call_envelope()]);
    let double = Double::with_submission(Submission::Hangs);
    let got = send(
        &double,
        impatient(),
        request("POST", &at(2, "call"), call_envelope()),
    )
    .await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        got.text(),
        "the call was in no round after 1 ms; it may be sent again"
    );
}

#[tokio::test]
async fn a_synchronous_call_is_answered_with_the_certificate() {
    for version in [3, 4] {
        let double = Double::new();
        let got = post(&double, &at(version, "call"), call_envelope()).await;
        assert_eq!(certificate_of(&got), CERTIFICATE);
        let id = to_request_id(&call_content(canister(), "set", b"DIDL\0\0")).unwrap();
        let id = id[..].try_into().unwrap();
        assert_eq!(
            *double.asked.lock().unwrap(),
            [QueryRequest::RequestStatus { id }]
        );
    }
}

#[tokio::test]
async fn a_synchronous_call_waits_for_certified_rounds() {
    let double = Double::with_answers(Answers::Engine(RequestStatus::Processing));
    let path = at(4, "call");
    let call = post(&double, &path, call_envelope());
    let progress = async {
        while double.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        double.rounds.send_replace(Round(8));
        while double.asked.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        *double.answers.lock().unwrap() = Answers::Engine(replied());
        double.rounds.send_replace(Round(9));
    };
    let (got, ()) = tokio::join!(call, progress);
    assert_eq!(certificate_of(&got), CERTIFICATE);
    assert_eq!(double.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_synchronous_call_without_an_end_in_time_is_acknowledged() {
    let endless = [
        Answers::Engine(RequestStatus::Processing),
        Answers::Engine(RequestStatus::Unknown),
        Answers::Faults,
        Answers::Hangs,
        Answers::Nonsense,
        Answers::Rejects(reject(MODULE, 1)),
    ];
    for answers in endless {
        let double = Double::with_answers(answers);
        let got = send(
            &double,
            impatient(),
            request("POST", &at(4, "call"), call_envelope()),
        )
        .await;
        assert_eq!((got.status, got.body.len()), (StatusCode::ACCEPTED, 0));
    }
}

#[tokio::test]
async fn a_call_that_was_taken_up_before_is_answered_like_the_first_time() {
    let code = IngressError::Duplicate([0; 32]).code();
    for submission in [
        Submission::Fails(SubmitError::Rejected(reject(MODULE, code))),
        Submission::RejectedInRound(MODULE, code),
    ] {
        let double = Double::with_submission(submission);
        let got = post(&double, &at(2, "call"), call_envelope()).await;
        assert_eq!(got.status, StatusCode::ACCEPTED);
        let got = post(&double, &at(4, "call"), call_envelope()).await;
        assert_eq!(certificate_of(&got), CERTIFICATE);
    }
}

#[tokio::test]
async fn a_call_the_canister_refuses_gets_a_reject_code() {
    for submission in [
        Submission::Fails(SubmitError::Rejected(reject(MODULE_CANISTER, 301))),
        Submission::RejectedInRound(MODULE_CANISTER, 301),
    ] {
        let double = Double::with_submission(submission);
        let got = post(&double, &at(4, "call"), call_envelope()).await;
        assert_eq!(got.status, StatusCode::OK);
        let TransportCallResponse::NonReplicatedRejection(rejection) = got.decode() else {
            panic!("not rejected: {}", got.text());
        };
        assert_eq!(rejection.reject_code as u32, 3);
        assert_eq!(rejection.error_code.as_deref(), Some("IC0301"));
        let got = post(&double, &at(2, "call"), call_envelope()).await;
        assert_eq!(got.status, StatusCode::OK);
        assert_eq!(got.decode::<RejectResponse>(), rejection);
    }
}

#[tokio::test]
async fn a_call_the_engine_does_not_take_gets_a_status_and_a_reason() {
    let rejected = |code| Submission::Fails(SubmitError::Rejected(reject(MODULE, code)));
    let full = SubmitError::PoolFull {
        held: 5,
        limit: 5,
        unit: "transactions",
    };
    let greedy = SubmitError::SenderFull {
        waiting: 3,
        limit: 3,
    };
    let stopped = SubmitError::NotAccepted("the node is shutting down".into());
    let cases = [
        (
            rejected(IngressError::Expired { expiry: 1, now: 2 }.code()),
            400,
            "ingress says 7",
        ),
        (
            rejected(IngressError::AnonymousSigned.code()),
            403,
            "ingress says 102",
        ),
        (
            Submission::RejectedInRound("other", 1),
            400,
            "rejected in the round",
        ),
        (
            Submission::Fails(full),
            503,
            "Service is overloaded, try again later: the pool has 5 transactions, its limit is 5",
        ),
        (
            Submission::Fails(greedy),
            429,
            "this sender has 3 transactions waiting, the limit is 3; try again when some of them \
             are done",
        ),
        (
            Submission::Fails(stopped),
            503,
            "the transaction was not taken up: the node is shutting down",
        ),
    ];
    for (submission, status, text) in cases {
        for version in [2, 3, 4] {
            let double = Double::with_submission(submission.clone());
            let got = post(&double, &at(version, "call"), call_envelope()).await;
            assert_eq!((got.status.as_u16(), got.text().as_str()), (status, text));
            let passing = [429, 503].contains(&status);
            assert_eq!(got.headers.contains_key("retry-after"), passing);
        }
    }
}

#[tokio::test]
async fn a_call_to_another_canister_than_the_address_names_is_refused() {
    let double = Double::new();
    let other = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 8, 1, 1]);
    let misrouted = envelope(&call_content(other, "set", b"DIDL\0\0"));
    let got = post(&double, &at(4, "call"), misrouted).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains(&other.to_text()), "{}", got.text());
    assert!(double.submitted.lock().unwrap().is_empty());

    #[derive(candid::CandidType)]
    struct Settings {
        canister_id: Principal,
    }
    let management = Principal::management_canister();
    for (named, status) in [
        (canister(), StatusCode::OK),
        (other, StatusCode::BAD_REQUEST),
    ] {
        let argument = candid::encode_one(Settings { canister_id: named }).unwrap();
        let body = envelope(&call_content(management, "canister_status", &argument));
        assert_eq!(post(&double, &at(4, "call"), body).await.status, status);
    }
    let create = envelope(&call_content(management, "create_canister", b"DIDL\0\0"));
    assert_eq!(
        post(&double, &at(4, "call"), create).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn only_calls_are_taken_at_call_endpoints() {
    let double = Double::new();
    for version in [2, 3, 4] {
        let got = post(&double, &at(version, "call"), envelope(&query_content())).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            got.text(),
            "the request is of type `query`, this endpoint takes `call`"
        );
    }
    let path = format!("/api/v4/subnet/{}/call", subnet());
    let got = post(&double, &path, envelope(&query_content())).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(double.submitted.lock().unwrap().is_empty());
}

/// At the address of a subnet canisters are created, by whom the engine allows it.
#[tokio::test]
async fn a_subnet_takes_creations_only() {
    let double = Double::new();
    let path = |id: Principal| format!("/api/v4/subnet/{id}/call");
    let management = Principal::management_canister();
    let got = post(&double, &path(subnet()), call_envelope()).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        got.text(),
        format!(
            "at the address of a subnet only `create_canister` of the management canister is \
             served, not `set` of {}",
            canister()
        )
    );
    let status = envelope(&call_content(management, "canister_status", b"DIDL\0\0"));
    let got = post(&double, &path(subnet()), status).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    for method in ["create_canister", "provisional_create_canister_with_cycles"] {
        let create = envelope(&call_content(management, method, b"DIDL\0\0"));
        let got = post(&double, &path(canister()), create.clone()).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        let (address, belongs) = (canister(), subnet());
        assert_eq!(
            got.text(),
            format!("the address names {address}, but the request belongs to {belongs}")
        );
        assert!(double.submitted.lock().unwrap().is_empty());
        let got = post(&double, &path(subnet()), create).await;
        assert_eq!(certificate_of(&got), CERTIFICATE);
        assert_eq!(double.submitted.lock().unwrap().drain(..).count(), 1);
    }
    let refusing = Submission::Fails(SubmitError::Rejected(reject(MODULE_CANISTER, 406)));
    let double = Double::with_submission(refusing);
    let create = envelope(&call_content(management, "create_canister", b"DIDL\0\0"));
    let got = post(&double, &path(subnet()), create).await;
    assert!(matches!(
        got.decode(),
        TransportCallResponse::NonReplicatedRejection(_)
    ));
}

#[tokio::test]
async fn bodies_wait_for_their_share_of_memory() {
    let limits = Limits {
        bodies_bytes: 0,
        body_wait: impatient().reply_wait,
        ..Limits::STANDARD
    };
    let double = Double::new();
    let got = send(
        &double,
        limits,
        request("POST", &at(2, "call"), call_envelope()),
    )
    .await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.text(), "bodies under way fill the limit of 0 bytes");
}
