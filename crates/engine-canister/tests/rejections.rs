//! Every rule that refuses a request before any state is asked, at its limit and one beyond it,
//! with the text that says fact, value and limit.

mod envelopes;

use candid::Principal;
use ed25519_dalek::{Signer as _, SigningKey};
use envelopes::*;
use trilith_engine_canister::ingress::*;
use trilith_types::cbor::Encoder;

const SECOND: u64 = 1_000_000_000;

/// What decoding says.
fn decoded(bytes: &[u8]) -> Result<(), String> {
    Envelope::decode(bytes)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(bytes: &[u8], text: &str) {
    assert_eq!(decoded(bytes), Err(text.to_owned()));
}

fn anonymous(change: impl FnOnce(&mut CallContent)) -> Vec<u8> {
    let mut content = call(Principal::anonymous());
    change(&mut content);
    encode(&Parts::unsigned(&Content::Call(content)))
}

fn read(paths: Vec<Vec<Vec<u8>>>) -> Vec<u8> {
    let content = Content::ReadState(ReadStateContent {
        paths,
        sender: Principal::anonymous(),
        ingress_expiry: NOW,
        nonce: None,
    });
    encode(&Parts::unsigned(&content))
}

#[test]
fn what_is_no_envelope_is_refused() {
    assert_refused(
        b"",
        "the envelope is malformed at byte 0: expected more bytes than the input has",
    );
    assert_refused(
        b"not cbor",
        "the envelope is malformed at byte 0: expected a map",
    );
    assert_refused(&[0xa0], "the envelope lacks the field `content`");
    assert_refused(
        &[&anonymous(|_| {})[..], &[0]].concat(),
        &format!(
            "the envelope is malformed at byte {}: expected the end of the envelope",
            anonymous(|_| {}).len()
        ),
    );
    // Another tag, and the right one twice.
    assert_refused(
        &[0xd9, 0xd9, 0xf8, 0xa0],
        "the envelope is malformed at byte 0: expected a map",
    );
    let twice = [0xd9, 0xd9, 0xf7, 0xd9, 0xd9, 0xf7, 0xa0];
    assert_refused(
        &twice,
        "the envelope is malformed at byte 3: expected a map",
    );
    // Nesting has nowhere to go, and a declared length allocates nothing.
    assert_refused(
        &vec![0x81; 100_000],
        "the envelope is malformed at byte 0: expected a map",
    );
    let nested = b"\xa1\x67content".repeat(10_000);
    assert_refused(
        &nested,
        "the envelope has the field `content`, which the interface does not know there",
    );
    let huge = [&b"\xa1\x67content\xbb"[..], &[0xff; 8]].concat();
    assert_refused(
        &huge,
        &format!(
            "the envelope is malformed at byte {}: expected more bytes than the input has",
            huge.len()
        ),
    );
    let huge = [&b"\xa1\x6asender_sig\x5b"[..], &[0xff; 8]].concat();
    assert_refused(
        &huge,
        "sender_sig has 18446744073709551615 bytes, over the limit of 131072",
    );
    let text = [&b"\xa1\x7b"[..], &[0xff; 8]].concat();
    assert_refused(
        &text,
        "a field name has 18446744073709551615 bytes, over the limit of 64",
    );
    // Strings in parts, text that is none, and reserved lengths.
    assert_refused(
        b"\xa1\x7f\x61x\xff\x01",
        "the envelope is malformed at byte 1: expected a text string",
    );
    assert_refused(
        b"\xa1\x61\xff\x01",
        "the envelope is malformed at byte 2: expected UTF-8 text",
    );
    assert_refused(
        &[0xbc],
        "the envelope is malformed at byte 0: expected a valid CBOR item",
    );
    let limit = 5 * 1024 * 1024;
    assert_refused(
        &vec![0; limit + 1],
        "the envelope has 5242881 bytes, over the limit of 5242880",
    );
}

#[test]
fn fields_stand_once_and_where_they_belong() {
    let mut e = Encoder::new();
    e.map(1).text("contents").uint(1);
    assert_refused(
        &e.finish(),
        "the envelope has the field `contents`, which the interface does not know there",
    );
    let mut e = Encoder::new();
    e.map(2)
        .text("sender_sig")
        .bytes(&[1])
        .text("sender_sig")
        .bytes(&[1]);
    assert_refused(
        &e.finish(),
        "the envelope has the field `sender_sig` more than once",
    );
    let mut e = Encoder::new();
    e.map(5);
    for name in [
        "sender_sig",
        "sender_pubkey",
        "sender_delegation",
        "content",
    ] {
        e.text(name).null();
    }
    assert!(decoded(&e.finish()).is_err(), "content is not null");
    let content = |write: &dyn Fn(&mut Encoder)| {
        let mut e = Encoder::new();
        e.map(1).text("content");
        write(&mut e);
        e.finish()
    };
    assert_refused(
        &content(&|e| {
            e.map(0);
        }),
        "the envelope lacks the field `request_type`",
    );
    let typed = |kind: &'static str| {
        content(&move |e| {
            e.map(3).text("request_type").text(kind);
            e.text("sender").bytes(&[4]).text("ingress_expiry").uint(1);
        })
    };
    assert_refused(&typed("read_state"), "the envelope lacks the field `paths`");
    assert_refused(&typed("call"), "the envelope lacks the field `canister_id`");
    let twice = content(&|e| {
        e.map(2).text("arg").bytes(&[]).text("arg").bytes(&[]);
    });
    assert_refused(&twice, "the envelope has the field `arg` more than once");
    let mixed = |kind: &'static str, paths: bool| {
        content(&move |e| {
            e.map(7).text("request_type").text(kind);
            e.text("sender").bytes(&[4]).text("ingress_expiry").uint(1);
            e.text("canister_id")
                .bytes(&[])
                .text("method_name")
                .text("m")
                .text("arg")
                .bytes(&[]);
            if paths {
                e.text("paths").array(0);
            } else {
                e.text("nonce").bytes(&[]);
            }
        })
    };
    let unknown = |field: &str| {
        format!("the envelope has the field `{field}`, which the interface does not know there")
    };
    assert_refused(&mixed("read_state", true), &unknown("canister_id"));
    assert_refused(&mixed("query", true), &unknown("paths"));
    assert_refused(
        &mixed("callback", false),
        "the request is of type `callback`, this endpoint takes `call, query or read_state`",
    );
    let negative = content(&|e| {
        e.map(1).text("ingress_expiry").raw(&[0x20]);
    });
    assert_refused(
        &negative,
        "the envelope is malformed at byte 25: expected an unsigned integer",
    );
    let info = content(&|e| {
        e.map(1).text("sender_info").map(1).text("name").bytes(&[]);
    });
    assert_refused(&info, &unknown("name"));
}

#[test]
fn sizes_are_bounded() {
    let limit = 2 * 1024 * 1024;
    assert_eq!(
        decoded(&anonymous(|call| call.arg = vec![0; limit])),
        Ok(())
    );
    assert_refused(
        &anonymous(|call| call.arg = vec![0; limit + 1]),
        "arg has 2097153 bytes, over the limit of 2097152",
    );
    assert_eq!(
        decoded(&anonymous(|call| call.nonce = Some(vec![0; 32]))),
        Ok(())
    );
    assert_refused(
        &anonymous(|call| call.nonce = Some(vec![0; 33])),
        "nonce has 33 bytes, over the limit of 32",
    );
    assert_eq!(
        decoded(&anonymous(|call| call.method_name = "m".repeat(20_000))),
        Ok(())
    );
    assert_refused(
        &anonymous(|call| call.method_name = "m".repeat(20_001)),
        "method_name has 20001 bytes, over the limit of 20000",
    );
    let mut e = Encoder::new();
    e.map(1)
        .text("content")
        .map(1)
        .text("sender")
        .bytes(&[1; 30]);
    assert_refused(
        &e.finish(),
        "sender of at most 29 bytes has 30 bytes, over the limit of 29",
    );
    let mut e = Encoder::new();
    e.map(1).text("sender_pubkey").bytes(&[1; 2_049]);
    assert_refused(
        &e.finish(),
        "sender_pubkey has 2049 bytes, over the limit of 2048",
    );
    let mut e = Encoder::new();
    e.map(1).text("sender_sig").bytes(&[1; 131_073]);
    assert_refused(
        &e.finish(),
        "sender_sig has 131073 bytes, over the limit of 131072",
    );
}

#[test]
fn paths_are_bounded() {
    let path = |labels: usize| vec![b"x".to_vec(); labels];
    assert_eq!(decoded(&read(vec![path(127); 1_000])), Ok(()));
    assert_refused(
        &read(vec![path(1); 1_001]),
        "paths has 1001 items, over the limit of 1000",
    );
    assert_refused(
        &read(vec![path(128)]),
        "a path has 128 items, over the limit of 127",
    );
    assert_refused(
        &read(vec![vec![vec![0; 20_001]]]),
        "a label has 20001 bytes, over the limit of 20000",
    );
    // Arrays that do not say how long they are.
    let mut endless = b"\xa1\x67content\xa1\x65paths\x9f".to_vec();
    endless.extend_from_slice(&[0x80; 1_001]);
    assert_refused(&endless, "paths has 1001 items, over the limit of 1000");
    let mut claimed = b"\xa1\x67content\xa1\x65paths\x9b".to_vec();
    claimed.extend_from_slice(&(1u64 << 63).to_be_bytes());
    assert_refused(
        &claimed,
        "paths has 9223372036854775808 items, over the limit of 1000",
    );
}

/// A chain of keys, each of which delegates to the next.
struct Chain {
    keys: Vec<SigningKey>,
    content: Content,
    delegations: Vec<SignedDelegation>,
}

fn der(key: &SigningKey) -> Vec<u8> {
    ed25519_der(&key.verifying_key().to_bytes())
}

impl Chain {
    /// A chain of `length` delegations, each changed before it is signed.
    fn new(
        length: usize,
        wrap: impl FnOnce(Principal) -> Content,
        change: impl Fn(usize, &mut SignedDelegation),
    ) -> Self {
        let keys: Vec<SigningKey> = (0..=length)
            .map(|index| SigningKey::from_bytes(&[index as u8 + 1; 32]))
            .collect();
        let content = wrap(Principal::self_authenticating(der(&keys[0])));
        let sign = |(index, pair): (usize, &[SigningKey])| {
            let mut delegation = SignedDelegation {
                pubkey: der(&pair[1]),
                expiration: NOW + 1,
                targets: None,
                permissions: None,
                signature: Vec::new(),
            };
            change(index, &mut delegation);
            let signature = pair[0].sign(&delegated_bytes(&delegation));
            delegation.signature = signature.to_bytes().to_vec();
            delegation
        };
        let delegations = keys.windows(2).enumerate().map(sign).collect();
        Self {
            keys,
            content,
            delegations,
        }
    }

    fn judge(&self) -> Result<[u8; 32], String> {
        let last = self.keys.last().unwrap();
        let signature = last.sign(&signed_bytes(&self.content)).to_bytes();
        let parts = Parts {
            content: &self.content,
            key: Some(&der(&self.keys[0])),
            signature: Some(&signature),
            delegations: &self.delegations,
        };
        judge(&encode(&parts), NOW).map_err(|error| error.to_string())
    }
}

fn called(sender: Principal) -> Content {
    Content::Call(call(sender))
}

#[test]
fn delegations_are_bounded_in_number_and_never_come_back_to_a_key() {
    let chain = Chain::new(20, called, |_, _| {});
    assert_eq!(chain.judge(), Ok(chain.content.request_id()));
    assert_eq!(
        Chain::new(21, called, |_, _| {}).judge(),
        Err("sender_delegation has 21 items, over the limit of 20".to_owned())
    );
    let own = der(&SigningKey::from_bytes(&[1; 32]));
    let second = der(&SigningKey::from_bytes(&[2; 32]));
    for (position, repeated) in [(0, &own), (1, &second), (2, &own), (2, &second)] {
        let chain = Chain::new(3, called, |index, delegation| {
            if index == position {
                delegation.pubkey.clone_from(repeated);
            }
        });
        assert_eq!(
            chain.judge(),
            Err(format!(
                "the public key at position {position} of the delegations occurs twice in the chain"
            ))
        );
    }
}

#[test]
fn delegations_end_and_are_signed_by_the_key_before() {
    let chain = Chain::new(3, called, |index, delegation| {
        if index == 1 {
            delegation.expiration = NOW - 1;
        }
    });
    assert_eq!(
        chain.judge(),
        Err(format!(
            "the delegation at position 1 expired at {} ns, the present is {NOW} ns",
            NOW - 1
        ))
    );
    let at_the_moment = Chain::new(1, called, |_, delegation| delegation.expiration = NOW);
    assert!(at_the_moment.judge().is_ok());
    let mut swapped = Chain::new(2, called, |_, _| {});
    swapped.delegations.swap(0, 1);
    assert_eq!(
        swapped.judge(),
        Err("the signature of a delegation does not verify".to_owned())
    );
    let mut short = Chain::new(2, called, |_, _| {});
    short.delegations.pop();
    assert_eq!(
        short.judge(),
        Err("the signature of the request does not verify".to_owned())
    );
    let mut no_key = Chain::new(1, called, |_, delegation| delegation.pubkey = vec![1, 2, 3]);
    assert!(
        no_key
            .judge()
            .unwrap_err()
            .contains("not a DER-encoded key")
    );
    no_key.delegations[0].signature = vec![0; 63];
    assert!(
        no_key
            .judge()
            .unwrap_err()
            .contains("a delegation does not verify")
    );
}

#[test]
fn targets_are_bounded_and_all_of_them_hold() {
    let many = |count: usize| {
        let ids = (0..count).map(|index| Principal::from_slice(&(index as u64).to_be_bytes()));
        let mut ids: Vec<Principal> = ids.collect();
        ids[0] = callee();
        ids
    };
    let limited = |targets: &[Vec<Principal>]| {
        Chain::new(targets.len(), called, |index, delegation| {
            delegation.targets = Some(targets[index].clone());
        })
        .judge()
    };
    assert!(limited(&[many(1_000)]).is_ok());
    assert_eq!(
        limited(&[many(1_001)]),
        Err("targets has 1001 items, over the limit of 1000".to_owned())
    );
    let other = Principal::management_canister();
    let refused = Err(format!(
        "the delegations do not have {} among their targets",
        callee()
    ));
    assert!(limited(&[vec![callee(), other], vec![callee()]]).is_ok());
    assert_eq!(limited(&[vec![callee()], vec![other]]), refused);
    assert_eq!(limited(&[vec![other], vec![callee()]]), refused);
    assert_eq!(limited(&[vec![]]), refused);
}

#[test]
fn delegations_for_queries_sign_no_calls() {
    let limited = |wrap: fn(Principal) -> Content, permissions| {
        Chain::new(2, wrap, |index, delegation| {
            if index == 1 {
                delegation.permissions = Some(permissions);
            }
        })
        .judge()
    };
    assert_eq!(
        limited(called, Permissions::Queries),
        Err(
            "the delegation at position 1 permits `queries`, which does not allow this request"
                .to_owned()
        )
    );
    assert!(limited(called, Permissions::All).is_ok());
    assert!(limited(|sender| Content::Query(call(sender)), Permissions::Queries).is_ok());
    let reads = |sender| {
        Content::ReadState(ReadStateContent {
            paths: vec![vec![b"time".to_vec()]],
            sender,
            ingress_expiry: NOW + SECOND,
            nonce: None,
        })
    };
    assert!(limited(reads, Permissions::Queries).is_ok());
    let mut e = Encoder::new();
    e.map(1).text("sender_delegation").array(1).map(1);
    e.text("delegation").map(1).text("permissions").text("some");
    assert_refused(
        &e.finish(),
        "the envelope is malformed at byte 0: expected permissions `queries` or `all`",
    );
    let mut e = Encoder::new();
    e.map(1).text("sender_delegation").array(1).map(0);
    assert_refused(&e.finish(), "the envelope lacks the field `delegation`");
}

#[test]
fn the_expiry_is_neither_past_nor_far() {
    let at = |expiry: u64, in_round: bool| {
        let bytes = anonymous(|call| call.ingress_expiry = expiry);
        let envelope = Envelope::decode(&bytes).unwrap();
        Judge::default()
            .judge(&envelope, &bytes, NOW, in_round)
            .map(|_| ())
            .map_err(|error| (error.refusal(), error.to_string()))
    };
    // Five minutes, one for the client's clock, half of one where a round judges again.
    let far = |seconds: u64| NOW + seconds * SECOND;
    for (in_round, limit) in [(false, far(360)), (true, far(390))] {
        assert_eq!(at(NOW, in_round), Ok(()));
        assert_eq!(at(limit, in_round), Ok(()));
        let past = format!(
            "Invalid request expiry: the request expired at {} ns, the present is {NOW} ns",
            NOW - 1
        );
        assert_eq!(at(NOW - 1, in_round), Err((Refusal::BadRequest, past)));
        let early = format!(
            "Invalid request expiry: the request expires at {} ns, over the limit of {limit} ns \
             at this moment",
            limit + 1
        );
        assert_eq!(at(limit + 1, in_round), Err((Refusal::BadRequest, early)));
    }
    assert!(at(u64::MAX, false).is_err());
    // Anonymous queries and reads reveal nothing to whoever repeats them.
    let query = CallContent {
        ingress_expiry: 0,
        ..call(Principal::anonymous())
    };
    let query = Content::Query(query);
    assert_eq!(
        judge(&encode(&Parts::unsigned(&query)), NOW),
        Ok(query.request_id())
    );
    let read = Content::ReadState(ReadStateContent {
        paths: Vec::new(),
        sender: Principal::anonymous(),
        ingress_expiry: u64::MAX,
        nonce: None,
    });
    assert_eq!(
        judge(&encode(&Parts::unsigned(&read)), NOW),
        Ok(read.request_id())
    );
    let key = SigningKey::from_bytes(&[1; 32]);
    let named = Content::Query(CallContent {
        ingress_expiry: 0,
        ..call(Principal::self_authenticating(der(&key)))
    });
    let signature = key.sign(&signed_bytes(&named)).to_bytes();
    let parts = Parts {
        key: Some(&der(&key)),
        signature: Some(&signature),
        ..Parts::unsigned(&named)
    };
    assert!(judge(&encode(&parts), NOW).is_err());
}

#[test]
fn who_signs_is_who_sends() {
    let (key, other) = (
        SigningKey::from_bytes(&[1; 32]),
        SigningKey::from_bytes(&[2; 32]),
    );
    let sender = Principal::self_authenticating(der(&key));
    let content = Content::Call(call(sender));
    let signature = key.sign(&signed_bytes(&content)).to_bytes();
    let of = |content: &Content, key: Option<&SigningKey>, signature: Option<&[u8]>| {
        let key = key.map(der);
        let parts = Parts {
            key: key.as_deref(),
            signature,
            ..Parts::unsigned(content)
        };
        judge(&encode(&parts), NOW).map_err(|error| {
            assert_eq!(error.refusal(), Refusal::Forbidden);
            error.to_string()
        })
    };
    assert!(of(&content, Some(&key), Some(&signature)).is_ok());
    let missing = Err(format!(
        "the sender is {sender}, and `sender_pubkey` or `sender_sig` is missing"
    ));
    assert_eq!(of(&content, None, None), missing);
    assert_eq!(of(&content, Some(&key), None), missing);
    assert_eq!(of(&content, None, Some(&signature)), missing);
    let derived = Principal::self_authenticating(der(&other));
    assert_eq!(
        of(&content, Some(&other), Some(&signature)),
        Err(format!(
            "the sender is {sender}, but the public key is that of {derived}"
        ))
    );
    let invalid = Err("the signature of the request does not verify".to_owned());
    let by_other = other.sign(&signed_bytes(&content)).to_bytes();
    assert_eq!(of(&content, Some(&key), Some(&by_other)), invalid);
    assert_eq!(of(&content, Some(&key), Some(&signature[..63])), invalid);
    assert_eq!(of(&content, Some(&key), Some(&[])), invalid);
    // Over the id without its separator.
    let bare = key.sign(&content.request_id()).to_bytes();
    assert_eq!(of(&content, Some(&key), Some(&bare)), invalid);
    let anonymous = Content::Call(call(Principal::anonymous()));
    let signed = Err(
        "the sender is anonymous, and the envelope carries a key, signature or delegation"
            .to_owned(),
    );
    assert_eq!(of(&anonymous, Some(&key), None), signed);
    assert_eq!(of(&anonymous, None, Some(&signature)), signed);
}

/// Codes are never reused: a change here is a change of the interface.
#[test]
fn codes_and_statuses_stay_what_they_are() {
    let id = Principal::anonymous();
    let why = WebAuthnFault::Signature;
    let codes = [
        (IngressError::Malformed { at: 0, what: "" }, 1),
        (IngressError::UnknownField(String::new()), 3),
        (IngressError::MissingField(""), 4),
        (IngressError::RepeatedField(""), 5),
        (IngressError::Expired { expiry: 0, now: 0 }, 7),
        (
            IngressError::ExpiryTooFar {
                expiry: 0,
                limit: 0,
            },
            8,
        ),
        (IngressError::Duplicate([0; 32]), 9),
        (IngressError::PathInvalid(String::new()), 10),
        (IngressError::SeveralRequests(2), 12),
        (IngressError::SeveralSubnets(2), 14),
        (IngressError::SignatureMissing(id), 101),
        (IngressError::AnonymousSigned, 102),
        (IngressError::KeyUnsupported(""), 103),
        (IngressError::KeyMalformed, 104),
        (IngressError::SignatureInvalid(""), 105),
        (IngressError::DelegationRepeatedKey(0), 106),
        (IngressError::DelegationTarget(id), 107),
        (IngressError::PathForbidden(String::new()), 109),
        (IngressError::WebAuthn { what: "", why }, 110),
        (IngressError::SenderInfoKey, 112),
        (IngressError::ReadTarget(id), 114),
    ];
    for (error, code) in codes {
        assert_eq!(error.code(), code, "{error}");
        let expected = match code {
            10 => Refusal::NotFound,
            100.. => Refusal::Forbidden,
            _ => Refusal::BadRequest,
        };
        assert_eq!(error.refusal(), expected, "{error}");
        assert_eq!(refusal(&error.into()), expected);
    }
}
