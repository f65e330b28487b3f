//! Taking ingress messages: authentication, duplicates, expiry, inspection.

use candid::Principal;
use trilith_engine_canister::ingress::{
    Content, IngressError, MODULE, MODULE_CANISTER, Refusal, refusal,
};
use trilith_protocol::{Admission, CheckContext, ReceiptStatus, Reject, Runtime};
use trilith_types::{RuntimeId, TimeNanos};

use crate::network::*;
use crate::{installed, network};

fn check(network: &Network, envelope: &[u8]) -> Result<Admission, Reject> {
    let context = CheckContext {
        runtime: RuntimeId::test(1),
        now: TimeNanos(network.time),
    };
    network.engine.check(&network.state, envelope, &context)
}

#[test]
fn a_request_is_executed_once() {
    let mut network = network();
    let id = installed(&mut network);
    let content = Content::Call(network.content(id, "run", b"add x; reply_state".to_vec()));
    let envelope = network.user.envelope(&content);
    let admission = check(&network, &envelope).unwrap();
    assert_eq!(admission.id.as_bytes(), &content.request_id());
    assert_eq!(admission.expires.0, content.ingress_expiry());
    // Twice in one batch, and again later.
    let receipts = network.run(vec![envelope.clone(), envelope.clone()]);
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
    let duplicate = IngressError::Duplicate(content.request_id());
    let rejected = ReceiptStatus::Rejected {
        module: MODULE.to_owned(),
        code: duplicate.code(),
        message: duplicate.to_string(),
    };
    assert_eq!(receipts[1].status, rejected);
    network.time += 100 * SECOND;
    assert_eq!(network.run(vec![envelope.clone()])[0].status, rejected);
    assert_eq!(
        check(&network, &envelope).unwrap_err().code,
        duplicate.code()
    );
    assert_eq!(replied(network.status(content.request_id())), b"x");
    // After the expiry it is refused for that, also when it is forgotten.
    network.time += 400 * SECOND;
    let late = network.run(vec![envelope]);
    assert!(
        matches!(&late[0].status, ReceiptStatus::Rejected { code: 7, .. }),
        "{late:?}"
    );
    assert_eq!(
        network.status(content.request_id()),
        trilith_engine_canister::query::RequestStatus::Unknown
    );
}

#[test]
fn expiry_must_be_neither_past_nor_far() {
    let mut network = network();
    let id = installed(&mut network);
    let mut at = |expiry: u64| {
        let mut call = network.content(id, "run", b"reply x".to_vec());
        call.ingress_expiry = expiry;
        let envelope = network.user.envelope(&Content::Call(call));
        check(&network, &envelope)
            .map(|_| ())
            .map_err(|reject| (reject.code, refusal(&reject)))
    };
    let now = START + SECOND; // Setting up took less than a second.
    assert_eq!(at(now + 300 * SECOND), Ok(()));
    assert_eq!(at(now + 362 * SECOND), Err((8, Refusal::BadRequest)));
    assert_eq!(at(START - 1), Err((7, Refusal::BadRequest)));
}

#[test]
fn forged_requests_are_forbidden() {
    let mut network = network();
    let id = installed(&mut network);
    let content = Content::Call(network.content(id, "run", b"reply x".to_vec()));
    let forged = User::new(2).envelope(&content);
    let reject = check(&network, &forged).unwrap_err();
    assert_eq!((reject.code, refusal(&reject)), (100, Refusal::Forbidden));
    let mut damaged = network.user.envelope(&content);
    let position = damaged
        .windows(7)
        .position(|window| window == b"reply x")
        .unwrap();
    damaged[position] = b'R';
    let reject = check(&network, &damaged).unwrap_err();
    assert_eq!((reject.code, refusal(&reject)), (105, Refusal::Forbidden));
    let receipts = network.run(vec![forged, damaged, b"junk".to_vec()]);
    assert!(
        receipts
            .iter()
            .all(|receipt| matches!(receipt.status, ReceiptStatus::Rejected { .. }))
    );
}

#[test]
fn refusals_of_canisters_carry_their_error_codes() {
    let mut network = network();
    let id = installed(&mut network);
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let content = Content::Call(network.content(nobody, "run", Vec::new()));
    let reject = check(&network, &network.user.envelope(&content)).unwrap_err();
    assert_eq!(reject.module, MODULE_CANISTER);
    assert_eq!(
        refusal(&reject),
        Refusal::Rejection {
            reject_code: 3,
            error_code: "IC0301".to_owned()
        }
    );
    network.user = User::new(2);
    let record = candid::encode_one(CanisterRecord { canister_id: id }).unwrap();
    let content =
        Content::Call(network.content(Principal::management_canister(), "stop_canister", record));
    let reject = check(&network, &network.user.envelope(&content)).unwrap_err();
    assert_eq!(
        refusal(&reject),
        Refusal::Rejection {
            reject_code: 5,
            error_code: "IC0512".to_owned()
        }
    );
}

#[test]
fn canisters_inspect_what_users_send() {
    let mut network = network();
    let id = network.create();
    let module = b"\0asm\nexport update run\nexport update other\nexport inspect: take run";
    replied(network.install(id, Mode::install, module, ""));
    let good = Content::Call(network.content(id, "run", b"reply x".to_vec()));
    check(&network, &network.user.envelope(&good)).unwrap();
    let bad = Content::Call(network.content(id, "other", b"reply x".to_vec()));
    let reject = check(&network, &network.user.envelope(&bad)).unwrap_err();
    assert_eq!(
        refusal(&reject),
        Refusal::Rejection {
            reject_code: 4,
            error_code: "IC0406".to_owned()
        }
    );
}

#[test]
fn a_message_that_waits_past_its_expiry_is_answered_so() {
    let mut network = network();
    let id = installed(&mut network);
    let long = network.submit(id, "run", b"spend 9000000000; reply x".to_vec());
    let waiting = network.submit(id, "run", b"reply y".to_vec());
    network.time += 130 * SECOND;
    network.settle();
    assert_eq!(replied(network.status(long)), b"x");
    let (code, _, error) = rejected(network.status(waiting));
    assert_eq!((code, error.as_str()), (2, "IC0202"));
}
