//! Query calls, certified data, reads of the state and who may make them.

use candid::{CandidType, Principal};
use serde::Deserialize;
use trilith_engine_canister::query::{CallResult, QueryRequest, QueryResponse};
use trilith_proof::hash_tree::{Lookup, lookup};

use crate::network::*;
use crate::{MODULE, installed, network};

#[test]
fn a_query_sees_a_certificate_over_its_certified_data() {
    let mut network = network();
    let id = installed(&mut network);
    replied(network.update(id, "run", "certify proven; reply ok"));
    let CallResult::Replied { arg } = network.query(id, "look", "reply_certificate") else {
        panic!("no reply")
    };
    let tree = network.verify(&arg);
    assert_eq!(
        lookup(&tree, &[b"canister", id.as_slice(), b"certified_data"]),
        Lookup::Found(b"proven")
    );
    assert!(matches!(lookup(&tree, &[b"time"]), Lookup::Found(_)));
}

#[test]
fn a_query_is_answered_again_on_the_same_version_only() {
    let mut network = network();
    let id = installed(&mut network);
    let again = |network: &mut Network| {
        let content = network.content(id, "look", b"reply_state".to_vec());
        let content = trilith_engine_canister::ingress::Content::Query(content);
        let envelope = network.user.envelope(&content);
        let effective = id;
        let question = QueryRequest::CallAgain {
            envelope,
            effective,
        };
        (network.ask(&question).unwrap(), content.request_id())
    };
    for value in ["one", "two"] {
        replied(network.update(id, "run", format!("set {value}; reply ok")));
        assert_eq!(again(&mut network).0, QueryResponse::NotRemembered);
        let result = network.query(id, "look", "reply_state");
        let arg = value.as_bytes().to_vec();
        assert_eq!(result, CallResult::Replied { arg });
        // Another request, which asks the same.
        let (answer, id) = again(&mut network);
        assert_eq!(answer, QueryResponse::Call { id, result });
    }
}

#[test]
fn composite_queries_call_queries_and_change_nothing() {
    let mut network = network();
    let (one, two) = (installed(&mut network), installed(&mut network));
    replied(network.update(two, "run", "set two; reply ok"));
    let program =
        format!("set a; call {two} look 0 - [reply_state] [add b, reply_arg] [reply_reject] []");
    assert_eq!(
        network.query(one, "ask", program.clone()),
        CallResult::Replied {
            arg: b"two".to_vec()
        }
    );
    let program =
        format!("set a; call {two} look 0 - [trap no] [reply_arg] [add b, reply_state] []");
    assert_eq!(
        network.query(one, "ask", program.clone()),
        CallResult::Replied {
            arg: b"ab".to_vec()
        }
    );
    assert_eq!(
        network.query(one, "look", "reply_state"),
        CallResult::Replied { arg: Vec::new() }
    );
    let back = format!("call {one} look 0 - [reply x] [reply_arg] [reply_reject] []");
    let program = format!("call {two} ask 0 - [{back}] [reply_arg] [reply_reject] []");
    // Who waits for an answer may be asked meanwhile, and is seen as it was.
    assert_eq!(
        network.query(one, "ask", program.clone()),
        CallResult::Replied { arg: b"x".to_vec() }
    );
    let (_, _, error) = rejected(network.update(one, "ask", "reply x"));
    assert_eq!(error, "IC0527");
}

#[derive(CandidType, Deserialize)]
struct Logs {
    canister_log_records: Vec<Log>,
}

#[derive(CandidType, Deserialize)]
struct Log {
    idx: u64,
    #[serde(with = "serde_bytes")]
    content: Vec<u8>,
}

#[test]
fn logs_are_kept_within_their_limit_and_read_by_controllers() {
    let mut network = network();
    let id = installed(&mut network);
    let management = Principal::management_canister();
    replied(network.update(id, "run", "print hello; reply ok"));
    rejected(network.update(id, "run", "print about to fail; trap failed"));
    let record = candid::encode_one(CanisterRecord { canister_id: id }).unwrap();
    let ask = |network: &mut Network| {
        let content = trilith_engine_canister::ingress::Content::Query(network.content(
            management,
            "fetch_canister_logs",
            record.clone(),
        ));
        let envelope = network.user.envelope(&content);
        match network
            .ask(&QueryRequest::Call {
                envelope,
                effective: id,
            })
            .unwrap()
        {
            QueryResponse::Call { result, .. } => result,
            other => panic!("{other:?}"),
        }
    };
    let CallResult::Replied { arg } = ask(&mut network) else {
        panic!("no reply")
    };
    let logs: Logs = candid::decode_one(&arg).unwrap();
    let texts: Vec<_> = logs
        .canister_log_records
        .iter()
        .map(|log| String::from_utf8_lossy(&log.content).into_owned())
        .collect();
    assert_eq!(texts[..2], ["hello", "about to fail"]);
    assert!(texts[2].contains("failed"));
    replied(network.update(id, "run", format!("print {}; reply ok", "x".repeat(4_000))));
    let CallResult::Replied { arg } = ask(&mut network) else {
        panic!("no reply")
    };
    let logs: Logs = candid::decode_one(&arg).unwrap();
    assert_eq!(logs.canister_log_records.last().unwrap().idx, 3);
    assert!(
        logs.canister_log_records
            .iter()
            .map(|log| log.content.len())
            .sum::<usize>()
            <= 4_096
    );
    network.user = User::new(2);
    assert!(matches!(
        ask(&mut network),
        CallResult::Rejected { code: 4, .. }
    ));
}

#[test]
fn queries_of_what_is_not_there_are_rejected_by_name() {
    let mut network = network();
    let id = installed(&mut network);
    let CallResult::Rejected {
        code, error_code, ..
    } = network.query(id, "none", "")
    else {
        panic!("replied")
    };
    assert_eq!((code, error_code.as_str()), (5, "IC0536"));
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let CallResult::Rejected {
        code, error_code, ..
    } = network.query(nobody, "look", "")
    else {
        panic!("replied")
    };
    assert_eq!((code, error_code.as_str()), (3, "IC0301"));
    let empty = network.create();
    let CallResult::Rejected { error_code, .. } = network.query(empty, "look", "") else {
        panic!("replied")
    };
    assert_eq!(error_code, "IC0537");
    assert_ne!(MODULE.len(), 0);
}
