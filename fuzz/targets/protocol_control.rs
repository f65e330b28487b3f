//! What is said on a node's control socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::control::{
    ANSWER_BYTES_MAX, ControlAnswer, ControlRequest, LENGTH_BYTES, frame_length,
};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, ControlRequest::decode, ControlRequest::encode);
    trilith_fuzz::strict(data, ControlAnswer::decode, ControlAnswer::encode);
    if let Some(head) = data.first_chunk::<LENGTH_BYTES>()
        && let Ok(length) = frame_length(*head, ANSWER_BYTES_MAX)
    {
        assert!(length <= ANSWER_BYTES_MAX);
    }
});
