//! What controller and sandbox say to each other: the payloads of the jail's frames.
//!
//! Both are canonical CBOR arrays that start with a number for the kind. The contents of requests
//! and results are byte strings in the form of [`crate::executor::wire`]; this layer does not look
//! into them. Descriptors travel beside the payload; each kind fixes how many.

use trilith_types::cbor::{DecodeError, Decoder, Encoder};

/// Most bytes of a payload in either direction. Far above anything that a message may hold, so
/// that no program can turn its size into a fault; memory is taken as bytes arrive.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 31;

/// Most bytes of a text that says what failed.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What the controller asks of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Compile the module in the one descriptor that comes along, of so many bytes.
    Compile {
        /// Length of the module.
        wasm_bytes: u64,
    },
    /// Take this module, whose code is in the one descriptor that comes along. Sent once.
    Load {
        /// The encoded [`crate::api::PreparedModule`].
        prepared: Vec<u8>,
        /// Length of the code.
        code_bytes: u64,
    },
    /// Set up an execution and run its first slice; the page files come along.
    Start {
        /// The encoded [`crate::api::ExecutionRequest`].
        request: Vec<u8>,
    },
    /// Run the next slice of the execution.
    Run,
    /// Drop the execution. Not answered.
    Abandon,
}

/// What a sandbox answers. Untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Ready for the first request; or the module is loaded.
    Ready,
    /// The module is compiled; the code comes along.
    Compiled {
        /// The encoded [`crate::api::PreparedModule`].
        prepared: Vec<u8>,
        /// Length of the code.
        code_bytes: u64,
    },
    /// The module breaks a rule.
    Invalid {
        /// Which.
        reason: String,
    },
    /// The slice is used up.
    Paused,
    /// The message ended; page files come along.
    Finished {
        /// The encoded [`crate::api::ExecutionResult`].
        result: Vec<u8>,
    },
    /// The sandbox could not do what was asked.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Request {
    /// The payload of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        match self {
            Self::Compile { wasm_bytes } => encoder.array(2).uint(0).uint(*wasm_bytes),
            Self::Load {
                prepared,
                code_bytes,
            } => encoder.array(3).uint(1).bytes(prepared).uint(*code_bytes),
            Self::Start { request } => encoder.array(2).uint(2).bytes(request),
            Self::Run => encoder.array(1).uint(3),
            Self::Abandon => encoder.array(1).uint(4),
        };
        encoder.finish()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is not the encoding of a request.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(payload);
        let items = decoder.array("request", 3)?;
        let request = match (decoder.uint()?, items) {
            (0, 2) => Self::Compile {
                wasm_bytes: decoder.uint()?,
            },
            (1, 3) => Self::Load {
                prepared: blob(&mut decoder, "module")?,
                code_bytes: decoder.uint()?,
            },
            (2, 2) => Self::Start {
                request: blob(&mut decoder, "request")?,
            },
            (3, 1) => Self::Run,
            (4, 1) => Self::Abandon,
            _ => return Err(DecodeError::Field("request")),
        };
        decoder.finish()?;
        Ok(request)
    }
}

impl Response {
    /// The payload of its frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        match self {
            Self::Ready => encoder.array(1).uint(0),
            Self::Compiled {
                prepared,
                code_bytes,
            } => encoder.array(3).uint(1).bytes(prepared).uint(*code_bytes),
            Self::Invalid { reason } => encoder.array(2).uint(2).text(bounded(reason)),
            Self::Paused => encoder.array(1).uint(3),
            Self::Finished { result } => encoder.array(2).uint(4).bytes(result),
            Self::Failed { reason } => encoder.array(2).uint(5).text(bounded(reason)),
        };
        encoder.finish()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is not the encoding of a response.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(payload);
        let items = decoder.array("response", 3)?;
        let response = match (decoder.uint()?, items) {
            (0, 1) => Self::Ready,
            (1, 3) => Self::Compiled {
                prepared: blob(&mut decoder, "module")?,
                code_bytes: decoder.uint()?,
            },
            (2, 2) => Self::Invalid {
                reason: text(&mut decoder)?,
            },
            (3, 1) => Self::Paused,
            (4, 2) => Self::Finished {
                result: blob(&mut decoder, "result")?,
            },
            (5, 2) => Self::Failed {
                reason: text(&mut decoder)?,
            },
            _ => return Err(DecodeError::Field("response")),
        };
        decoder.finish()?;
        Ok(response)
    }
}

fn blob(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    Ok(decoder.bytes(what, PAYLOAD_BYTES_MAX)?.to_vec())
}

fn text(decoder: &mut Decoder<'_>) -> Result<String, DecodeError> {
    Ok(decoder.text("reason", TEXT_BYTES_MAX)?.to_owned())
}

/// The start of a text, at most as long as the decoder accepts.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let blob = vec![7; 300];
        for request in [
            Request::Compile { wasm_bytes: 9 },
            Request::Load {
                prepared: blob.clone(),
                code_bytes: 70_000,
            },
            Request::Start {
                request: blob.clone(),
            },
            Request::Run,
            Request::Abandon,
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for response in [
            Response::Ready,
            Response::Compiled {
                prepared: blob.clone(),
                code_bytes: 1,
            },
            Response::Invalid {
                reason: "a rule".into(),
            },
            Response::Paused,
            Response::Finished { result: blob },
            Response::Failed {
                reason: "no memory".into(),
            },
        ] {
            assert_eq!(Response::decode(&response.encode()), Ok(response));
        }
    }

    #[test]
    fn long_reasons_are_cut() {
        let response = Response::Failed {
            reason: "é".repeat(TEXT_BYTES_MAX),
        };
        let Ok(Response::Failed { reason }) = Response::decode(&response.encode()) else {
            panic!("a failure stays one");
        };
        assert_eq!(reason.len(), TEXT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_input_panics(mut input: Vec<u8>, items in 1_u8..4, kind in 0_u8..7) {
            let _ = (Request::decode(&input), Response::decode(&input));
            // Most random bytes fail at once; these get further.
            input.splice(0..0, [0x80 | items, kind]);
            if let Ok(request) = Request::decode(&input) {
                prop_assert_eq!(request.encode(), input.clone());
            }
            if let Ok(response) = Response::decode(&input) {
                prop_assert_eq!(response.encode(), input);
            }
        }
    }
}
