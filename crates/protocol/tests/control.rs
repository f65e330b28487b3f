//! What is said on the control socket: every form is read back, and nothing else is read.

use proptest::prelude::*;
use trilith_protocol::control::{
    ANSWER_BYTES_MAX, ControlAnswer, ControlReceipt, ControlRequest, EventsAnswer, EventsSince,
    LENGTH_BYTES, MESSAGE_BYTES_MAX, QueryAnswer, REQUEST_BYTES_MAX, Refused, StatusAnswer, frame,
    frame_length,
};
use trilith_protocol::root::registry::Marker;
use trilith_protocol::root::{Blob, TRANSACTION_BYTES_MAX};
use trilith_types::Hash;
use trilith_types::cbor::DecodeError;

fn bytes() -> impl Strategy<Value = Blob> {
    proptest::collection::vec(any::<u8>(), 0..64).prop_map(Blob)
}

fn requests() -> impl Strategy<Value = ControlRequest> {
    prop_oneof![
        bytes().prop_map(ControlRequest::Query),
        bytes().prop_map(ControlRequest::Submit),
        Just(ControlRequest::Genesis(Marker)),
        Just(ControlRequest::Export(Marker)),
        any::<u64>().prop_map(|since| ControlRequest::Events(EventsSince { since })),
        Just(ControlRequest::Status(Marker)),
    ]
}

fn refusals() -> impl Strategy<Value = Refused> {
    ("[a-z/]{0,12}", any::<u32>(), ".{0,40}")
        .prop_map(|(module, code, message)| Refused::new(&module, code, &message))
}

fn answers() -> impl Strategy<Value = ControlAnswer> {
    let receipt = (any::<u64>(), proptest::option::of(refusals()), bytes());
    let heights = proptest::collection::btree_map(any::<u64>(), bytes(), 0..4);
    prop_oneof![
        (any::<u64>(), bytes())
            .prop_map(|(height, answer)| { ControlAnswer::Query(QueryAnswer { height, answer }) }),
        receipt.prop_map(|(height, failure, events)| {
            let transaction = Hash::of(&events.0);
            ControlAnswer::Receipt(ControlReceipt {
                height,
                transaction,
                failure,
                events,
            })
        }),
        bytes().prop_map(ControlAnswer::Genesis),
        (heights, any::<u64>(), any::<u64>()).prop_map(|(heights, next, kept_since)| {
            ControlAnswer::Events(EventsAnswer {
                heights,
                next,
                kept_since,
            })
        }),
        (any::<[u64; 5]>(), "[a-z]{0,9}").prop_map(|(numbers, chain)| {
            let [height, time, epoch, epoch_since, epoch_interval] = numbers;
            ControlAnswer::Status(StatusAnswer {
                chain: chain.clone(),
                chain_context: Hash::of(chain.as_bytes()),
                height,
                state_root: Hash::EMPTY,
                time,
                epoch,
                epoch_since,
                epoch_interval,
                software: chain,
            })
        }),
        refusals().prop_map(ControlAnswer::Refused),
        ".{0,40}".prop_map(|message| ControlAnswer::failed(&message)),
    ]
}

proptest! {
    #[test]
    fn requests_are_read_back(request in requests()) {
        let encoded = request.encode();
        prop_assert_eq!(ControlRequest::decode(&encoded), Ok(request));
    }

    #[test]
    fn answers_are_read_back(answer in answers()) {
        let encoded = answer.encode();
        prop_assert_eq!(ControlAnswer::decode(&encoded), Ok(answer));
    }

    /// Arbitrary bytes and changed ones never panic, and what is read encodes to what it was.
    #[test]
    fn other_bytes_are_refused_or_mean_themselves(
        mut bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            requests().prop_map(|request| request.encode()),
            answers().prop_map(|answer| answer.encode()),
        ],
        at in any::<proptest::sample::Index>(),
        bit in 0..8u8,
        change in any::<bool>(),
    ) {
        if change && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(request) = ControlRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(answer) = ControlAnswer::decode(&bytes) {
            prop_assert_eq!(answer.encode(), bytes);
        }
    }

    #[test]
    fn frames_say_how_long_they_are(encoded in proptest::collection::vec(any::<u8>(), 0..300)) {
        let framed = frame(&encoded).unwrap();
        let head = framed[..LENGTH_BYTES].try_into().unwrap();
        prop_assert_eq!(frame_length(head, REQUEST_BYTES_MAX), Ok(encoded.len()));
        prop_assert_eq!(&framed[LENGTH_BYTES..], &encoded[..]);
    }
}

#[test]
fn lengths_are_limited() {
    let over = u32::try_from(REQUEST_BYTES_MAX + 1).unwrap().to_be_bytes();
    let refused = frame_length(over, REQUEST_BYTES_MAX);
    assert!(
        matches!(refused, Err(DecodeError::TooLong { .. })),
        "{refused:?}"
    );
    assert_eq!(
        frame_length(over, ANSWER_BYTES_MAX),
        Ok(REQUEST_BYTES_MAX + 1)
    );
    let largest = ControlRequest::Submit(Blob(vec![0; TRANSACTION_BYTES_MAX]));
    assert!(largest.encode().len() <= REQUEST_BYTES_MAX);
    let more = ControlRequest::Submit(Blob(vec![0; REQUEST_BYTES_MAX]));
    let refused = ControlRequest::decode(&more.encode());
    assert!(
        matches!(refused, Err(DecodeError::TooLong { .. })),
        "{refused:?}"
    );
}

#[test]
fn long_messages_are_cut_between_characters() {
    let long = "ä".repeat(MESSAGE_BYTES_MAX);
    let refused = Refused::new(&long, 1, &format!("a{long}"));
    assert_eq!(refused.module.len(), MESSAGE_BYTES_MAX);
    assert_eq!(refused.message.len(), MESSAGE_BYTES_MAX - 1);
    let answer = ControlAnswer::Refused(refused);
    assert_eq!(ControlAnswer::decode(&answer.encode()), Ok(answer));
}
