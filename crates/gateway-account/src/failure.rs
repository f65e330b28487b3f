//! The errors of JSON-RPC calls: codes, messages and data as Solana's validator gives them, because
//! clients read all three.
//!
//! Source: JSON-RPC 2.0; the custom codes of Agave 4.2 (`rpc-client-api`, custom errors).

use serde_json::{Value, json};
use solana_rpc_client_types::response::RpcSimulateTransactionResult;
use solana_transaction_status::EncodeError;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    code: i64,
    message: String,
    data: Option<Value>,
    version: Option<u8>,
}

/// The result of a call.
pub(crate) type Outcome = Result<Value, Failure>;

impl Failure {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
            version: None,
        }
    }

    pub(crate) fn parse_error() -> Self {
        Self::new(-32700, "Parse error")
    }

    pub(crate) fn invalid_request() -> Self {
        Self::new(-32600, "Invalid request")
    }

    pub(crate) fn unsupported_version() -> Self {
        Self::new(-32600, "Unsupported JSON-RPC protocol version")
    }

    pub(crate) fn batch_too_large(calls: usize, limit: usize) -> Self {
        let text = format!("Invalid request: the batch has {calls} calls, the limit is {limit}");
        Self::new(-32600, text)
    }

    pub(crate) fn batch_answer(limit: usize) -> Self {
        let text = format!(
            "Invalid request: the answers to the batch have more than {limit} bytes together"
        );
        Self::new(-32600, text)
    }

    pub(crate) fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    /// Parameters of the wrong form; `message` is the whole text.
    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// Too many parameters, or some where there should be none.
    pub(crate) fn unexpected_params(message: &str, found: &str) -> Self {
        Self {
            data: Some(Value::String(format!("{found:?}"))),
            ..Self::new(-32602, format!("Invalid parameters: {message}"))
        }
    }

    /// The request has the right form and means nothing that could be done.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// The node could not do it, through no fault of the request.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let data = Value::String(message.into());
        Self {
            data: Some(data),
            ..Self::new(-32603, "Internal error")
        }
    }

    /// An internal error whose message clients show as it is.
    pub(crate) fn internal_text(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }

    pub(crate) fn block_cleaned_up(slot: u64, first: u64) -> Self {
        let text = format!(
            "Block {slot} cleaned up, does not exist on node. First available block: {first}"
        );
        Self::new(-32001, text)
    }

    pub(crate) fn preflight(message: String, result: &RpcSimulateTransactionResult) -> Self {
        Self {
            data: Some(json!(result)),
            ..Self::new(-32002, message)
        }
    }

    pub(crate) fn signature_verification() -> Self {
        Self::new(-32003, "Transaction signature verification failure")
    }

    pub(crate) fn block_not_available(slot: u64) -> Self {
        Self::new(-32004, format!("Block not available for slot {slot}"))
    }

    pub(crate) fn unhealthy() -> Self {
        Self {
            data: Some(json!({ "numSlotsBehind": null })),
            ..Self::new(-32005, "Node is unhealthy")
        }
    }

    pub(crate) fn slot_skipped(slot: u64) -> Self {
        let text =
            format!("Slot {slot} was skipped, or missing due to ledger jump to recent snapshot");
        Self::new(-32007, text)
    }

    pub(crate) fn no_snapshot() -> Self {
        Self::new(-32008, "No snapshot")
    }

    /// An index cannot give what was asked, for it is too much.
    pub(crate) fn scan(message: impl Into<String>) -> Self {
        Self::new(-32012, message)
    }

    pub(crate) fn signature_count() -> Self {
        Self::new(-32013, "Transaction signature length mismatch")
    }

    pub(crate) fn block_status_not_available(slot: u64) -> Self {
        let text = format!("Block status not yet available for slot {slot}");
        Self::new(-32014, text)
    }

    pub(crate) fn unsupported_transaction_version(version: u8) -> Self {
        let text = format!(
            "Transaction version ({version}) is not supported by the requesting client. Please \
             try the request again with the following configuration parameter: \
             \"maxSupportedTransactionVersion\": {version}"
        );
        Self {
            version: Some(version),
            ..Self::new(-32015, text)
        }
    }

    /// The version that a client does not read, if that is what failed.
    pub(crate) fn unsupported_version_of_transaction(&self) -> Option<u8> {
        self.version
    }

    pub(crate) fn min_context_slot(context_slot: u64) -> Self {
        Self {
            data: Some(json!({ "contextSlot": context_slot })),
            ..Self::new(-32016, "Minimum context slot has not been reached")
        }
    }

    /// The `error` member of a response.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            None => json!({ "code": self.code, "message": self.message }),
            Some(data) => json!({ "code": self.code, "message": self.message, "data": data }),
        }
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::UnsupportedTransactionVersion(version) => {
                Self::unsupported_transaction_version(version)
            }
        }
    }
}
