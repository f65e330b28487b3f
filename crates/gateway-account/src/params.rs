//! Parameters of a call: positional, the last ones optional, refused in the words of Solana's
//! validator (clients and their tests match on them).
//!
//! Source: JSON-RPC 2.0; the texts of `jsonrpc-core` 18 and its derive macro, which Agave uses.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// The `params` member of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Params {
    None,
    Array(Vec<Value>),
    Map(Value),
}

impl Params {
    /// Reads the member; `None` if it is neither absent nor an array nor an object.
    pub(crate) fn from_member(member: Option<Value>) -> Option<Self> {
        match member {
            None | Some(Value::Null) => Some(Self::None),
            Some(Value::Array(items)) => Some(Self::Array(items)),
            Some(map @ Value::Object(_)) => Some(Self::Map(map)),
            Some(_) => None,
        }
    }

    /// For methods without parameters.
    ///
    /// # Errors
    /// [`Failure`] if there are some.
    pub(crate) fn expect_none(&self) -> Result<(), Failure> {
        match self {
            Self::None => Ok(()),
            Self::Array(items) if items.is_empty() => Ok(()),
            Self::Array(items) => Err(no_params(&Value::Array(items.clone()))),
            Self::Map(map) => Err(no_params(map)),
        }
    }

    /// Reads exactly as many parameters as the tuple `T` has members.
    ///
    /// # Errors
    /// [`Failure`] if there are more or fewer, or one has another type.
    pub(crate) fn exact<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let value = match self {
            Self::None => Value::Null,
            Self::Array(items) => Value::Array(items),
            Self::Map(map) => map,
        };
        parse(value)
    }

    /// Reads the tuple `T` of `total` members, of which those after the first `required` are
    /// options and may be absent.
    ///
    /// # Errors
    /// As [`Params::exact`].
    pub(crate) fn up_to<T: DeserializeOwned>(
        self,
        required: usize,
        total: usize,
    ) -> Result<T, Failure> {
        let mut items = match self {
            Self::None => Vec::new(),
            Self::Array(items) => items,
            Self::Map(_) => return Err(Failure::invalid_params("`params` should be an array")),
        };
        if items.len() < required {
            return Err(Failure::invalid_params(format!(
                "`params` should have at least {required} argument(s)"
            )));
        }
        if items.len() > total {
            return Err(Failure::unexpected_params(
                &format!("Expected from {required} to {total} parameters."),
                &format!("Got: {}", items.len()),
            ));
        }
        items.resize(total, Value::Null);
        parse(Value::Array(items))
    }
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::invalid_params(format!("Invalid params: {error}.")))
}

fn no_params(found: &Value) -> Failure {
    Failure::unexpected_params("No parameters were expected", &found.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        Params::from_member(Some(value)).unwrap()
    }

    fn text(failure: Failure) -> String {
        failure.to_json()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn refusals_have_the_words_that_clients_know() {
        let none = Params::None.exact::<(String,)>().unwrap_err();
        assert_eq!(
            text(none),
            "Invalid params: invalid type: null, expected a tuple of size 1."
        );
        let few = params(json!([])).exact::<(String,)>().unwrap_err();
        assert_eq!(
            text(few),
            "Invalid params: invalid length 0, expected a tuple of size 1."
        );
        let few = params(json!([])).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(
            text(few.unwrap_err()),
            "`params` should have at least 1 argument(s)"
        );
        let wrong = params(json!([1])).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(
            text(wrong.unwrap_err()),
            "Invalid params: invalid type: integer `1`, expected a string."
        );
        let many = params(json!(["a", 1, 2])).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(
            many.unwrap_err().to_json(),
            json!({
                "code": -32602,
                "message": "Invalid parameters: Expected from 1 to 2 parameters.",
                "data": "\"Got: 3\"",
            })
        );
        let map = params(json!({"a": 1})).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(text(map.unwrap_err()), "`params` should be an array");
        let some = params(json!([1])).expect_none().unwrap_err();
        assert_eq!(
            text(some),
            "Invalid parameters: No parameters were expected"
        );
    }

    #[test]
    fn trailing_options_may_be_absent() {
        let read = params(json!(["a"])).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(read.unwrap(), ("a".to_owned(), None));
        let read = params(json!(["a", 3])).up_to::<(String, Option<u8>)>(1, 2);
        assert_eq!(read.unwrap(), ("a".to_owned(), Some(3)));
        assert_eq!(params(json!([])).expect_none(), Ok(()));
        assert_eq!(Params::from_member(Some(json!(1))), None);
    }
}
