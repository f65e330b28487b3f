//! JSON-RPC 2.0 framing: single calls, batches, notifications, and what is none of them. Knows
//! nothing of methods.

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::params::Params;

/// One call of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// `None` asks for no answer.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Params,
}

/// A request: one call or several, each of which may be refused by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Single(Result<Call, Refused>),
    Batch(Vec<Result<Call, Refused>>),
}

/// A call that is none, with the identifier its answer carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) id: Value,
    pub(crate) failure: Failure,
}

impl Request {
    /// Reads the body of a request with at most `batch_calls_max` calls.
    pub(crate) fn decode(bytes: &[u8], batch_calls_max: usize) -> Self {
        let refuse = |failure| {
            Self::Single(Err(Refused {
                id: Value::Null,
                failure,
            }))
        };
        match serde_json::from_slice(bytes) {
            Err(_) => refuse(Failure::parse_error()),
            Ok(Value::Array(calls)) if calls.is_empty() => refuse(Failure::invalid_request()),
            Ok(Value::Array(calls)) if calls.len() > batch_calls_max => {
                refuse(Failure::batch_too_large(calls.len(), batch_calls_max))
            }
            Ok(Value::Array(calls)) => Self::Batch(calls.into_iter().map(call).collect()),
            Ok(single) => Self::Single(call(single)),
        }
    }
}

fn call(value: Value) -> Result<Call, Refused> {
    let Value::Object(mut members) = value else {
        return Err(invalid(Value::Null));
    };
    let id = match members.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::String(_))) => Some(id),
        Some(Value::Number(id)) if id.is_u64() => Some(Value::Number(id)),
        Some(_) => return Err(invalid(Value::Null)),
    };
    let answer_id = id.clone().unwrap_or(Value::Null);
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Refused {
            id: answer_id,
            failure: Failure::unsupported_version(),
        });
    }
    let (Some(Value::String(method)), Some(params)) = (
        members.remove("method"),
        Params::from_member(members.remove("params")),
    ) else {
        return Err(invalid(answer_id));
    };
    Ok(Call { id, method, params })
}

fn invalid(id: Value) -> Refused {
    Refused {
        id,
        failure: Failure::invalid_request(),
    }
}

/// The answer to a call.
pub(crate) fn response(id: Value, outcome: Outcome) -> Value {
    let mut members = Map::new();
    members.insert("jsonrpc".into(), "2.0".into());
    match outcome {
        Ok(result) => members.insert("result".into(), result),
        Err(failure) => members.insert("error".into(), failure.to_json()),
    };
    members.insert("id".into(), id);
    Value::Object(members)
}

/// A notification of a subscription.
pub(crate) fn notification(method: &str, subscription: u64, result: Value) -> Value {
    serde_json::json!({
        "jsonrpc": "2.0",
        "method": method,
        "params": { "result": result, "subscription": subscription },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn single(text: &str) -> Result<Call, Value> {
        match Request::decode(text.as_bytes(), 3) {
            Request::Single(call) => {
                call.map_err(|refused| refused.failure.to_json()["code"].clone())
            }
            Request::Batch(calls) => panic!("{calls:?} is a batch"),
        }
    }

    #[test]
    fn calls_and_what_is_none() {
        let call = single(r#"{"jsonrpc":"2.0","id":7,"method":"getSlot"}"#).unwrap();
        assert_eq!((call.id, call.method), (Some(json!(7)), "getSlot".into()));
        let silent = single(r#"{"jsonrpc":"2.0","method":"getSlot","params":[]}"#).unwrap();
        assert_eq!((silent.id, silent.params), (None, Params::Array(vec![])));
        for (text, code) in [
            ("", -32700),
            ("{", -32700),
            ("[]", -32600),
            ("7", -32600),
            (r#"{"id":1,"method":"getSlot"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"getSlot"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":-1,"method":"getSlot"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"getSlot"}"#, -32600),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"getSlot","params":5}"#,
                -32600,
            ),
            ("[1,2,3,4]", -32600),
        ] {
            assert_eq!(single(text), Err(json!(code)), "{text}");
        }
    }

    #[test]
    fn a_refused_call_keeps_its_id_and_its_batch() {
        let body =
            br#"[{"jsonrpc":"2.0","id":"a","method":1},{"jsonrpc":"2.0","id":2,"method":"m"}]"#;
        let Request::Batch(calls) = Request::decode(body, 3) else {
            panic!("not a batch");
        };
        assert_eq!(calls[0].as_ref().unwrap_err().id, json!("a"));
        assert_eq!(calls[1].as_ref().unwrap().method, "m");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            match Request::decode(&bytes, 3) {
                Request::Single(_) => {}
                Request::Batch(calls) => prop_assert!((1..=3).contains(&calls.len())),
            }
        }

        #[test]
        fn any_call_is_read_back(id in any::<u64>(), method in ".{0,20}", items in proptest::collection::vec(any::<i64>(), 0..5)) {
            let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": items}).to_string();
            let Request::Single(Ok(call)) = Request::decode(body.as_bytes(), 3) else {
                return Err(TestCaseError::fail("refused"));
            };
            prop_assert_eq!(call.id, Some(json!(id)));
            prop_assert_eq!(call.method, method);
            prop_assert_eq!(call.params.exact::<Vec<i64>>().unwrap(), items);
        }
    }
}
