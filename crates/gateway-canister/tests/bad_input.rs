//! What comes from outside and should not: it gets a status below 500 and a text that says why.

mod double;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use candid::Principal;
use double::{
    Double, at, call_content, call_envelope, canister, envelope, get, post, query_content,
    read_content, request, send, subnet,
};
use hyper::body::Frame;
use proptest::prelude::*;
use trilith_gateway_canister::Limits;

/// Every endpoint that takes a body, for the id `id`.
fn endpoints(id: &str) -> Vec<String> {
    let canister = [
        (2, "call"),
        (3, "call"),
        (4, "call"),
        (2, "query"),
        (3, "query"),
    ];
    let both = [(2, "read_state"), (3, "read_state")];
    let subnet = [(4, "call"), (3, "query")];
    let address = |kind: &str, (version, name)| format!("/api/v{version}/{kind}/{id}/{name}");
    let mut all: Vec<String> = canister
        .iter()
        .chain(&both)
        .map(|endpoint| address("canister", *endpoint))
        .collect();
    all.extend(
        subnet
            .iter()
            .chain(&both)
            .map(|endpoint| address("subnet", *endpoint)),
    );
    all
}

async fn assert_refused(body: &[u8], status: u16, text: &str) {
    for path in endpoints(&canister().to_text()) {
        let got = post(&Double::new(), &path, body.to_vec()).await;
        assert_eq!(got.status.as_u16(), status, "{path}: {}", got.text());
        assert!(got.text().contains(text), "{path}: {}", got.text());
    }
}

#[tokio::test]
async fn malformed_bodies_are_refused_everywhere() {
    assert_refused(b"", 400, "malformed").await;
    assert_refused(b"not cbor", 400, "malformed").await;
    assert_refused(b"\xd9\xd9\xf7\xa0", 400, "`content`").await;
    let mut cut = call_envelope();
    cut.pop();
    assert_refused(&cut, 400, "malformed").await;
    let deep = vec![0x81; 100_000];
    assert_refused(&deep, 400, "malformed").await;
    let deep_map = [
        b"\xd9\xd9\xf7".as_slice(),
        &b"\xa1\x67content".repeat(10_000),
    ]
    .concat();
    assert_refused(&deep_map, 400, "").await;
    // An array that claims 2^63 paths.
    let mut claim = b"\xd9\xd9\xf7\xa1\x67content\xa1\x65paths\x9b".to_vec();
    claim.extend_from_slice(&(1u64 << 63).to_be_bytes());
    assert_refused(&claim, 400, "over the limit").await;
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let limit = Limits::STANDARD.body_bytes;
    assert_refused(
        &vec![0; limit + 1],
        413,
        "the body has 5242881 bytes, over the limit of 5242880",
    )
    .await;
    // A body that does not declare its length is read up to the limit and no further.
    let limits = Limits {
        body_bytes: 1000,
        ..Limits::STANDARD
    };
    let request = request("POST", &at(4, "call"), Body::new(Chunks { left: 100 }));
    let got = send(&Double::new(), limits, request).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        got.text(),
        "the body has more, over the limit of 1000 bytes"
    );
}

/// Chunks of 100 bytes; asserts that nobody reads far beyond 1,000 bytes.
struct Chunks {
    left: usize,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.left -= 1;
        assert!(self.left > 85, "the body is read on after the limit");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 100])))))
    }
}

#[tokio::test]
async fn other_content_types_are_refused() {
    for (kind, accepted) in [
        (Some("application/json"), false),
        (Some(""), false),
        (None, false),
        (Some("application/cbor"), true),
        (Some("Application/CBOR; charset=x"), true),
    ] {
        for path in endpoints(&canister().to_text()) {
            // Creations are sent to the subnet there is; the other endpoints look at no address.
            let creates = path.ends_with("call") && path.contains("/subnet/");
            let path = if creates {
                format!("/api/v4/subnet/{}/call", subnet())
            } else {
                path
            };
            let mut request = Request::post(&path);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let body = if creates {
                let management = Principal::management_canister();
                envelope(&call_content(management, "create_canister", b"DIDL\0\0"))
            } else if path.ends_with("call") {
                call_envelope()
            } else if path.ends_with("query") {
                envelope(&query_content())
            } else {
                envelope(&read_content())
            };
            let request = request.body(Body::from(body)).unwrap();
            let got = send(&Double::new(), Limits::STANDARD, request).await;
            let expected = if accepted {
                [200, 202].as_slice()
            } else {
                &[400]
            };
            assert!(
                expected.contains(&got.status.as_u16()),
                "{kind:?} {path}: {}",
                got.text()
            );
            let explained = got.text().contains("application/cbor is expected");
            assert_eq!(explained, !accepted, "{}", got.text());
        }
    }
}

#[tokio::test]
async fn other_methods_and_other_addresses_are_refused() {
    let double = Double::new();
    for path in endpoints(&canister().to_text()) {
        let got = get(&double, &path).await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(got.headers["allow"], "POST");
        assert_eq!(got.text(), format!("{path} takes POST, the request is GET"));
    }
    for path in ["/api/v2/status", "/_/topology", "/_/dashboard"] {
        let got = post(&double, path, vec![]).await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(got.headers["allow"], "GET, HEAD");
    }
    for path in [
        "/",
        "/api/v5/status",
        "/api/v2/canister",
        "/api/v1/canister/aaaaa-aa/call",
    ] {
        let got = post(&double, path, call_envelope()).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND);
        assert_eq!(got.text(), format!("there is no endpoint {path}"));
    }
}

#[tokio::test]
async fn an_address_without_a_principal_is_refused() {
    for id in [
        "x",
        "aaaaa-ab",
        "rwlgt-iiaaa-aaaaa-aaaaa-cai-cai",
        "%00",
        "%ff",
    ] {
        for path in endpoints(id) {
            let got = post(&Double::new(), &path, call_envelope()).await;
            assert_eq!(
                got.status,
                StatusCode::BAD_REQUEST,
                "{path}: {}",
                got.text()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_body_panics_or_gives_a_server_error(
        noise: Vec<u8>,
        place: prop::sample::Index,
        which in 0usize..3,
        id in "[a-z0-9-]{0,70}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut bodies = vec![noise.clone()];
        let mut altered = match which {
            0 => call_envelope(),
            1 => envelope(&query_content()),
            _ => envelope(&read_content()),
        };
        let place = place.index(altered.len());
        let end = altered.len().min(place + noise.len());
        altered.splice(place..end, noise);
        bodies.push(altered);
        for body in bodies {
            for path in endpoints(&canister().to_text()) {
                let got = runtime.block_on(post(&Double::new(), &path, body.clone()));
                prop_assert!(got.status.as_u16() < 500, "{}: {}", path, got.text());
                prop_assert!(got.status.is_success() || !got.body.is_empty());
            }
        }
        let path = format!("/api/v4/canister/{id}/call");
        let got = runtime.block_on(post(&Double::new(), &path, call_envelope()));
        prop_assert!(got.status.is_client_error(), "{}: {}", path, got.status);
    }
}
