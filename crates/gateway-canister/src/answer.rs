//! Answers in CBOR: canonical maps behind the self-describing tag.
//!
//! Source: Internet Computer interface specification, "HTTPS interface", CDDL of the responses.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use candid::Principal;
use trilith_engine_canister::ingress::ed25519_der;
use trilith_engine_canister::query::CallResult;
use trilith_types::cbor::{Encoder, MapBuilder};
use trilith_types::representation_hash::{HashedValue, hash_of_map};

use crate::body::CBOR;
use crate::port::NodePort;

/// Domain separator of signed query responses, its length first. Source: interface
/// specification, "Request: Query call".
const RESPONSE_SEPARATOR: &[u8; 12] = b"\x0Bic-response";
/// The tag of self-describing CBOR. Source: RFC 8949 section 3.4.6.
const SELF_DESCRIBED_TAG: u64 = 55_799;

/// A rejection that was not replicated: no round decided on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Reject code, 1 to 6.
    pub(crate) code: u32,
    /// The reason.
    pub(crate) message: String,
    /// `IC0…`.
    pub(crate) error_code: String,
}

impl Rejection {
    fn fields(&self, map: MapBuilder) -> MapBuilder {
        map.field("reject_code", |encoder| {
            encoder.uint(u64::from(self.code));
        })
        .field("reject_message", |encoder| {
            encoder.text(&self.message);
        })
        .field("error_code", |encoder| {
            encoder.text(&self.error_code);
        })
    }
}

fn text(map: MapBuilder, name: &'static str, value: &str) -> MapBuilder {
    map.field(name, |encoder| {
        encoder.text(value);
    })
}

fn bytes(map: MapBuilder, name: &'static str, value: &[u8]) -> MapBuilder {
    map.field(name, |encoder| {
        encoder.bytes(value);
    })
}

/// A status of 200 with a map.
pub(crate) fn cbor(map: MapBuilder) -> Response {
    let mut encoder = Encoder::new();
    encoder.tag(SELF_DESCRIBED_TAG).raw(&map.finish());
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, CBOR)],
        encoder.finish(),
    )
        .into_response()
}

/// The answer to a synchronous call that has its reply or its rejection, certified.
pub(crate) fn certified(certificate: &[u8]) -> Response {
    let map = text(MapBuilder::new(), "status", "replied");
    cbor(bytes(map, "certificate", certificate))
}

/// The answer to a synchronous call that was refused.
pub(crate) fn rejected_synchronously(rejection: &Rejection) -> Response {
    let map = text(MapBuilder::new(), "status", "non_replicated_rejection");
    cbor(rejection.fields(map))
}

/// The answer to an asynchronous call that was refused.
pub(crate) fn rejected_asynchronously(rejection: &Rejection) -> Response {
    cbor(rejection.fields(MapBuilder::new()))
}

/// The answer to a call that is taken up and not yet answered. Its body is empty.
pub(crate) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// The answer to a read of the state.
pub(crate) fn certificate(certificate: &[u8]) -> Response {
    cbor(bytes(MapBuilder::new(), "certificate", certificate))
}

/// The answer to the query `id`, signed by this node.
pub(crate) fn query(port: &dyn NodePort, id: &[u8; 32], result: &CallResult) -> Response {
    let time = port.now().0;
    let mut hashed = vec![
        ("timestamp", HashedValue::Nat(time)),
        ("request_id", HashedValue::Bytes(id)),
    ];
    let map = match result {
        CallResult::Replied { arg } => {
            hashed.push(("status", HashedValue::Text("replied")));
            hashed.push((
                "reply",
                HashedValue::Map(vec![("arg", HashedValue::Bytes(arg))]),
            ));
            let reply = bytes(MapBuilder::new(), "arg", arg).finish();
            text(MapBuilder::new(), "status", "replied").field("reply", |encoder| {
                encoder.raw(&reply);
            })
        }
        CallResult::Rejected {
            code,
            message,
            error_code,
        } => {
            hashed.push(("status", HashedValue::Text("rejected")));
            hashed.push(("reject_code", HashedValue::Nat(u64::from(*code))));
            hashed.push(("reject_message", HashedValue::Text(message)));
            hashed.push(("error_code", HashedValue::Text(error_code)));
            let (code, message, error_code) = (*code, message.clone(), error_code.clone());
            let rejection = Rejection {
                code,
                message,
                error_code,
            };
            rejection.fields(text(MapBuilder::new(), "status", "rejected"))
        }
    };
    let signed = [&RESPONSE_SEPARATOR[..], &hash_of_map(&hashed)].concat();
    let (node, signature) = port.sign_response(&signed);
    let identity = Principal::self_authenticating(ed25519_der(node.as_bytes()));
    let entry = bytes(MapBuilder::new(), "signature", signature.as_bytes());
    let entry = bytes(entry, "identity", identity.as_slice())
        .field("timestamp", |encoder| {
            encoder.uint(time);
        })
        .finish();
    cbor(map.field("signatures", |encoder| {
        encoder.array(1).raw(&entry);
    }))
}
