//! Query calls, certified data, reads of the state and who may make them.

use candid::{CandidType, Principal};
use serde::Deserialize;
use trilith_engine_canister::ingress::{MODULE as INGRESS, Refusal, ed25519_der, refusal};
use trilith_engine_canister::query::{CallResult, QueryRequest, QueryResponse};
use trilith_protocol::QueryError;
use trilith_types::{HashTree, SecretKey};

use crate::network::*;
use crate::{MODULE, installed, network};

/// The value at a path, if the tree shows it.
fn find<'a>(tree: &'a HashTree, path: &[&[u8]]) -> Option<&'a [u8]> {
    match (tree, path) {
        (HashTree::Leaf(value), []) => Some(value),
        (HashTree::Fork(left, right), _) => find(left, path).or_else(|| find(right, path)),
        (HashTree::Labeled(label, child), [first, rest @ ..]) if label == first => {
            find(child, rest)
        }
        _ => None,
    }
}

fn path(labels: &[&[u8]]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.to_vec()).collect()
}

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
        find(&tree, &[b"canister", id.as_slice(), b"certified_data"]),
        Some(b"proven".as_slice())
    );
    assert!(find(&tree, &[b"time"]).is_some());
}

#[test]
fn anyone_reads_what_is_public_and_nobody_what_is_not() {
    let mut network = network();
    let id = installed(&mut network);
    let stranger = User::new(7);
    let at = |name: &[&'static [u8]]| {
        let mut labels: Vec<&[u8]> = vec![b"canister", id.as_slice()];
        labels.extend_from_slice(name);
        labels
    };
    let tree = network
        .read_state(
            &stranger,
            id,
            vec![
                path(&at(&[b"controllers"])),
                path(&at(&[b"metadata", b"candid"])),
            ],
        )
        .unwrap();
    assert_eq!(
        find(&tree, &at(&[b"metadata", b"candid"])),
        Some(b"service".as_slice())
    );
    let controllers = find(&tree, &at(&[b"controllers"])).unwrap();
    assert!(controllers.ends_with(network.user.principal().as_slice()));
    assert_eq!(find(&tree, &at(&[b"module_hash"])), None);
    // Private metadata: controllers only. Certified data: nobody.
    let secret = vec![path(&at(&[b"metadata", b"secret"]))];
    let refused = |error: QueryError| match error {
        QueryError::Reject(reject) => {
            assert_eq!(reject.module, INGRESS);
            refusal(&reject)
        }
        QueryError::Fault(fault) => panic!("{fault}"),
    };
    assert_eq!(
        refused(
            network
                .read_state(&stranger, id, secret.clone())
                .unwrap_err()
        ),
        Refusal::Forbidden
    );
    let owner = User::new(1);
    let tree = network.read_state(&owner, id, secret).unwrap();
    assert_eq!(
        find(&tree, &at(&[b"metadata", b"secret"])),
        Some(b"hidden".as_slice())
    );
    let data = vec![path(&at(&[b"certified_data"]))];
    assert_eq!(
        refused(network.read_state(&owner, id, data).unwrap_err()),
        Refusal::Forbidden
    );
    let other = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let elsewhere = vec![path(&at(&[b"module_hash"]))];
    assert_eq!(
        refused(network.read_state(&owner, other, elsewhere).unwrap_err()),
        Refusal::BadRequest
    );
    assert_eq!(
        refused(
            network
                .read_state(&owner, id, vec![path(&[b"secrets"])])
                .unwrap_err()
        ),
        Refusal::NotFound
    );
}

#[test]
fn a_request_status_is_for_its_sender_and_absence_is_for_everyone() {
    let mut network = network();
    let id = installed(&mut network);
    let call = network.submit(id, "run", b"reply mine".to_vec());
    let at = |call: &[u8; 32]| vec![path(&[b"request_status", call])];
    let (owner, stranger) = (User::new(1), User::new(7));
    let tree = network.read_state(&owner, id, at(&call)).unwrap();
    assert_eq!(
        find(&tree, &[b"request_status", &call, b"reply"]),
        Some(b"mine".as_slice())
    );
    assert_eq!(
        find(&tree, &[b"request_status", &call, b"status"]),
        Some(b"replied".as_slice())
    );
    assert!(network.read_state(&stranger, id, at(&call)).is_err());
    let tree = network.read_state(&stranger, id, at(&[0; 32])).unwrap();
    assert_eq!(find(&tree, &[b"request_status", &[0; 32], b"status"]), None);
    let two = [at(&call), at(&[0; 32])].concat();
    assert!(network.read_state(&owner, id, two).is_err());
}

#[test]
fn the_subnet_names_its_nodes_and_ranges() {
    let mut network = network();
    let id = installed(&mut network);
    let node = SecretKey::from_seed([9; 32]).public();
    let der = ed25519_der(node.as_bytes());
    let node_id = Principal::self_authenticating(&der);
    let subnet = Principal::self_authenticating(b"subnet");
    let tree = network
        .read_state(
            &User::new(3),
            id,
            vec![path(&[b"subnet"]), path(&[b"canister_ranges"])],
        )
        .unwrap();
    let found = find(
        &tree,
        &[
            b"subnet",
            subnet.as_slice(),
            b"node",
            node_id.as_slice(),
            b"public_key",
        ],
    );
    assert_eq!(found, Some(der.as_slice()));
    assert_eq!(der.len(), 44);
    assert_eq!(
        find(&tree, &[b"subnet", subnet.as_slice(), b"public_key"]),
        Some(b"root key".as_slice())
    );
    let first = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    let ranges = find(&tree, &[b"canister_ranges", subnet.as_slice(), &first]).unwrap();
    assert_eq!(
        Some(ranges),
        find(&tree, &[b"subnet", subnet.as_slice(), b"canister_ranges"])
    );
    let QueryResponse::Topology(topology) = network.ask(&QueryRequest::Topology).unwrap() else {
        panic!("another answer")
    };
    assert_eq!(topology.default_effective_canister, id);
    assert_eq!(topology.nodes, vec![(node_id, *node.as_bytes())]);
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
