//! Queries, reads of the state and what a node says of itself.

mod double;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use double::{
    Answers, CERTIFICATE, Double, Got, NOW, at, canister, envelope, get, impatient, post,
    query_content, read_content, reject, replied, request, send, subnet,
};
use ic_transport_types::{QueryResponse, ReadStateResponse, to_request_id};
use trilith_engine_canister::controller;
use trilith_engine_canister::ingress::{MODULE, MODULE_CANISTER};
use trilith_engine_canister::query::{
    CallResult, Effective, QueryRequest, QueryResponse as Remembered,
};
use trilith_gateway_canister::Limits;
use trilith_types::Signature;
use trilith_types::cbor::Decoder;

/// Checks the node's signature over a query response with the public library's idea of the bytes
/// that are signed.
fn check_signature(double: &Double, got: &Got) -> QueryResponse {
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    let response: QueryResponse = got.decode();
    let [entry] = response.signatures() else {
        panic!("not one signature: {response:?}")
    };
    assert_eq!(entry.timestamp, NOW);
    assert_eq!(entry.identity, double.node());
    let signed = response.signable(to_request_id(&query_content()).unwrap(), NOW);
    let signature = Signature::from_slice(&entry.signature).unwrap();
    assert_eq!(
        double.secret.public().verify_raw(&signed, &signature),
        Ok(())
    );
    response
}

#[tokio::test]
async fn a_query_is_answered_and_signed() {
    for version in [2, 3] {
        let double = Double::new();
        let got = post(&double, &at(version, "query"), envelope(&query_content())).await;
        let QueryResponse::Replied { reply, .. } = check_signature(&double, &got) else {
            panic!("not replied");
        };
        assert_eq!(reply.arg, b"DIDL\0\0");
        let (envelope, effective) = (envelope(&query_content()), canister());
        assert_eq!(
            *double.asked.lock().unwrap(),
            [QueryRequest::Call {
                envelope,
                effective
            }]
        );
    }
}

#[tokio::test]
async fn a_remembered_answer_is_signed_anew_and_only_a_fresh_state_gives_one() {
    let double = Double::new();
    let id = *to_request_id(&query_content()).unwrap();
    let arg = b"remembered".to_vec();
    let result = CallResult::Replied { arg };
    *double.remembered.lock().unwrap() = Some(Remembered::Call { id, result });
    for (is_stale, expected) in [(false, b"remembered".as_slice()), (true, b"DIDL\0\0")] {
        *double.is_stale.lock().unwrap() = is_stale;
        let got = post(&double, &at(3, "query"), envelope(&query_content())).await;
        let QueryResponse::Replied { reply, .. } = check_signature(&double, &got) else {
            panic!("not replied");
        };
        assert_eq!(reply.arg, expected);
        assert_eq!(double.asked.lock().unwrap().len(), usize::from(is_stale));
    }
}

#[tokio::test]
async fn a_rejected_query_is_signed_as_well() {
    let double = Double::with_answers(Answers::Rejects(reject(MODULE_CANISTER, 301)));
    let got = post(&double, &at(3, "query"), envelope(&query_content())).await;
    let QueryResponse::Rejected { reject, .. } = check_signature(&double, &got) else {
        panic!("not rejected");
    };
    assert_eq!(reject.reject_code as u32, 3);
    assert_eq!(reject.reject_message, "canister says 301");
    assert_eq!(reject.error_code.as_deref(), Some("IC0301"));
}

#[tokio::test]
async fn a_query_of_the_subnet_is_the_engines_to_answer() {
    let double = Double::new();
    let path = format!("/api/v3/subnet/{}/query", subnet());
    let got = post(&double, &path, envelope(&query_content())).await;
    check_signature(&double, &got);
    let (asked, envelope) = (
        double.asked.lock().unwrap().clone(),
        envelope(&query_content()),
    );
    let subnet = subnet();
    assert_eq!(asked, [QueryRequest::SubnetCall { envelope, subnet }]);
    for (code, status) in [(15, 400), (105, 403)] {
        let double = Double::with_answers(Answers::Rejects(reject(MODULE, code)));
        let got = post(&double, &path, double::envelope(&query_content())).await;
        assert_eq!(got.status.as_u16(), status);
        assert_eq!(got.text(), format!("ingress says {code}"));
    }
}

#[tokio::test]
async fn the_state_is_read_under_the_id_of_the_address() {
    for version in [2u64, 3] {
        for (kind, effective) in [
            ("canister", Effective::Canister(canister())),
            ("subnet", Effective::Subnet(canister())),
        ] {
            let double = Double::new();
            let path = format!("/api/v{version}/{kind}/{}/read_state", canister());
            let got = post(&double, &path, envelope(&read_content())).await;
            assert_eq!(got.status, StatusCode::OK, "{}", got.text());
            assert_eq!(got.decode::<ReadStateResponse>().certificate, CERTIFICATE);
            let envelope = envelope(&read_content());
            let asked = [QueryRequest::ReadState {
                envelope,
                effective,
                version,
            }];
            assert_eq!(*double.asked.lock().unwrap(), asked);
        }
    }
}

#[tokio::test]
async fn what_the_engine_refuses_gets_a_status_and_its_reason() {
    for (answers, status, text) in [
        (Answers::Rejects(reject(MODULE, 7)), 400, "ingress says 7"),
        (
            Answers::Rejects(reject(MODULE, 109)),
            403,
            "ingress says 109",
        ),
        // A path that there is none of.
        (Answers::Rejects(reject(MODULE, 10)), 404, "ingress says 10"),
        // A node that has just started has no certificate yet: agents are to ask again.
        (
            Answers::Rejects(reject(controller::MODULE, controller::CODE_NO_CERTIFICATE)),
            503,
            "canister-engine says 2",
        ),
        (Answers::Faults, 500, "fault of this node: disk"),
    ] {
        let double = Double::with_answers(answers);
        let got = post(&double, &at(3, "query"), envelope(&query_content())).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (status, text));
        let got = post(&double, &at(3, "read_state"), envelope(&read_content())).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (status, text));
    }
    let double = Double::with_answers(Answers::Nonsense);
    let got = post(&double, &at(3, "query"), envelope(&query_content())).await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    let double = Double::with_answers(Answers::Hangs);
    let query = request("POST", &at(3, "query"), envelope(&query_content()));
    let got = send(&double, impatient(), query).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.text(), "there was no answer after 1 ms");
}

#[tokio::test]
async fn the_status_names_the_root_key() {
    let got = get(&Double::new(), "/api/v2/status").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.headers["content-type"], "application/cbor");
    let (mut key, mut health, mut round) = (vec![], String::new(), 0);
    let body = got.body.strip_prefix(b"\xd9\xd9\xf7").unwrap();
    let mut decoder = Decoder::new(body);
    decoder
        .fields("status", 8, |name, decoder| {
            match name {
                "root_key" => key = decoder.bytes("root_key", 200)?.to_vec(),
                "replica_health_status" => health = decoder.text("health", 64)?.to_owned(),
                "certified_height" => round = decoder.uint()?,
                _ => assert_eq!(
                    (name, decoder.text("version", 64)?.is_empty()),
                    ("impl_version", false)
                ),
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((key, health.as_str(), round), (vec![1, 2, 3], "healthy", 7));
}

#[tokio::test]
async fn the_topology_has_the_shape_that_tools_read() {
    let double = Double::new();
    let got = get(&double, "/_/topology").await;
    assert_eq!(got.headers["content-type"], "application/json");
    let topology: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    let default = &topology["default_effective_canister_id"]["canister_id"];
    assert_eq!(default, "AAAAAAAAAAcBAQ==");
    let subnet = candid::Principal::from_slice(&[9; 29]).to_text();
    let config = &topology["subnet_configs"][&subnet];
    assert_eq!(config["subnet_kind"], "Application");
    assert_eq!(config["size"], 1);
    assert_eq!(config["subnet_seed"].as_array().unwrap().len(), 32);
    assert_eq!(
        config["canister_ranges"][0]["start"]["canister_id"],
        "AAAAAAAAAAcBAQ=="
    );
    let page = get(&double, "/_/dashboard").await;
    assert!(page.text().contains(&subnet) && page.text().contains("010203"));
    let broken = Double::with_answers(Answers::Rejects(reject(MODULE, 1)));
    assert_eq!(
        get(&broken, "/_/topology").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let double = Double::new();
    let preflight = request("OPTIONS", &at(4, "call"), Body::empty());
    let got = send(&double, Limits::STANDARD, preflight).await;
    assert_eq!(got.status, StatusCode::NO_CONTENT);
    assert_eq!(got.headers["access-control-allow-origin"], "*");
    assert!(
        got.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("Content-Type")
    );
    let refused = get(&double, "/nowhere").await;
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let head = Request::head("/api/v2/status").body(Body::empty()).unwrap();
    let got = send(
        &Double::with_answers(Answers::Engine(replied())),
        Limits::STANDARD,
        head,
    )
    .await;
    assert_eq!((got.status, got.body.len()), (StatusCode::OK, 0));
}
