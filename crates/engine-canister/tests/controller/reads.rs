//! Reads of the certified state: every path, and who may read it.

use candid::Principal;
use trilith_engine_canister::ingress::{
    Content, MODULE as INGRESS, ReadStateContent, Refusal, SignedDelegation, ed25519_der, refusal,
};
use trilith_engine_canister::query::{CallResult, Effective, QueryRequest, QueryResponse};
use trilith_proof::certificate::leb128;
use trilith_proof::hash_tree::{Lookup, SubtreeLookup, labels, lookup, lookup_subtree};
use trilith_protocol::QueryError;
use trilith_types::{HashTree, SecretKey};

use crate::envelopes::{Parts, delegated_bytes, encode, signed_bytes};
use crate::network::*;
use crate::{installed, network};

fn path(labels: &[&[u8]]) -> Vec<Vec<u8>> {
    labels.iter().map(|label| label.to_vec()).collect()
}

/// The status and the text of a refusal.
fn refused(result: Result<HashTree, QueryError>) -> (Refusal, String) {
    match result {
        Err(QueryError::Reject(reject)) => {
            assert_eq!(reject.module, INGRESS);
            (refusal(&reject), reject.message)
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn subnet_read(
    network: &Network,
    paths: Vec<Vec<Vec<u8>>>,
    version: u64,
) -> Result<HashTree, QueryError> {
    let reader = User::new(7);
    let content = Content::ReadState(ReadStateContent {
        paths,
        sender: reader.principal(),
        ingress_expiry: network.time + 60 * SECOND,
        nonce: None,
    });
    network.read(
        reader.envelope(&content),
        Effective::Subnet(subnet()),
        version,
    )
}

fn found<'a>(tree: &'a HashTree, path: &[&[u8]]) -> &'a [u8] {
    match lookup(tree, path) {
        Lookup::Found(value) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn anyone_reads_what_is_public_about_a_canister() {
    let mut network = network();
    let before = network.time;
    let id = network.create();
    let created = network.time;
    let at = |name: &[&'static [u8]]| {
        let mut labels: Vec<&[u8]> = vec![b"canister", id.as_slice()];
        labels.extend_from_slice(name);
        path(&labels)
    };
    let all = vec![
        at(&[b"controllers"]),
        at(&[b"module_hash"]),
        at(&[b"canister_creation_timestamp"]),
        at(&[b"last_install_timestamp"]),
        at(&[b"metadata", b"candid"]),
        at(&[b"metadata", b"nothing"]),
    ];
    let stranger = User::new(7);
    let value = |tree: &HashTree, name: &[&'static [u8]]| {
        let path = at(name);
        let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match lookup(tree, &labels) {
            Lookup::Found(value) => Some(value.to_vec()),
            Lookup::Absent => None,
            other => panic!("{name:?}: {other:?}"),
        }
    };
    // An empty canister has controllers and a time of creation; all else is proven absent.
    let tree = network.read_state(&stranger, id, all.clone()).unwrap();
    assert!(
        value(&tree, &[b"controllers"])
            .unwrap()
            .ends_with(network.user.principal().as_slice())
    );
    let creation = leb128(&value(&tree, &[b"canister_creation_timestamp"]).unwrap()).unwrap();
    assert!(before < creation && creation <= created);
    for name in [
        &[b"module_hash".as_slice()][..],
        &[b"last_install_timestamp"],
        &[b"metadata", b"candid"],
    ] {
        assert_eq!(value(&tree, name), None, "{name:?}");
    }
    replied(network.install(id, Mode::install, crate::MODULE, ""));
    let tree = network.read_state(&stranger, id, all.clone()).unwrap();
    let hash = trilith_types::hash::sha256(&[crate::MODULE]);
    assert_eq!(value(&tree, &[b"module_hash"]), Some(hash.to_vec()));
    assert_eq!(
        value(&tree, &[b"metadata", b"candid"]),
        Some(b"service".to_vec())
    );
    assert_eq!(value(&tree, &[b"metadata", b"nothing"]), None);
    let installed = leb128(&value(&tree, &[b"last_install_timestamp"]).unwrap()).unwrap();
    assert!(created < installed && installed <= network.time);
    assert_eq!(
        leb128(&value(&tree, &[b"canister_creation_timestamp"]).unwrap()),
        Some(creation)
    );
    replied(network.install(id, Mode::reinstall, crate::MODULE, ""));
    let tree = network.read_state(&stranger, id, all).unwrap();
    let again = leb128(&value(&tree, &[b"last_install_timestamp"]).unwrap()).unwrap();
    assert!(installed < again);
    // Nothing is shown of a canister that does not exist.
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let hash = path(&[b"canister", nobody.as_slice(), b"module_hash"]);
    let tree = network.read_state(&stranger, nobody, vec![hash]).unwrap();
    let labels = [b"canister", nobody.as_slice(), b"module_hash"];
    assert_eq!(lookup(&tree, &labels), Lookup::Absent);
}

#[test]
fn private_sections_are_for_controllers_and_certified_data_is_for_nobody() {
    let mut network = network();
    let id = installed(&mut network);
    replied(network.update(id, "run", "certify proven; reply ok"));
    let (owner, stranger) = (User::new(1), User::new(7));
    let at = |name: &[&[u8]]| vec![path(&[&[b"canister", id.as_slice()], name].concat())];
    let secret = at(&[b"metadata", b"secret"]);
    let (status, text) = refused(network.read_state(&stranger, id, secret.clone()));
    assert_eq!(status, Refusal::Forbidden);
    let hex: String = id
        .as_slice()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        text,
        format!(
            "the path /canister/{hex}/metadata/secret may not be read by this sender at this endpoint"
        )
    );
    let tree = network.read_state(&owner, id, secret).unwrap();
    assert_eq!(
        found(&tree, &[b"canister", id.as_slice(), b"metadata", b"secret"]),
        b"hidden"
    );
    let data = refused(network.read_state(&owner, id, at(&[b"certified_data"])));
    assert_eq!(data.0, Refusal::Forbidden);
    // Nor through a prefix of it.
    for paths in [at(&[]), vec![path(&[b"canister"])], vec![path(&[])]] {
        assert_eq!(
            refused(network.read_state(&owner, id, paths)).0,
            Refusal::NotFound
        );
    }
    let tree = network
        .read_state(&owner, id, at(&[b"module_hash"]))
        .unwrap();
    let data = lookup(&tree, &[b"canister", id.as_slice(), b"certified_data"]);
    assert_eq!(data, Lookup::Unknown);
    let invalid = at(&[b"metadata", &[0xff, 0xfe]]);
    assert_eq!(
        refused(network.read_state(&owner, id, invalid)).0,
        Refusal::NotFound
    );
}

#[test]
fn paths_of_a_canister_are_read_at_its_own_address() {
    let mut network = network();
    let (id, other) = (installed(&mut network), network.create());
    let hash = vec![path(&[b"canister", id.as_slice(), b"module_hash"])];
    let (status, text) = refused(network.read_state(&User::new(1), other, hash.clone()));
    assert_eq!(status, Refusal::BadRequest);
    assert_eq!(
        text,
        format!("the address names {other}, but the request belongs to {id}")
    );
    assert_eq!(refused(subnet_read(&network, hash, 3)).0, Refusal::NotFound);
    let too_long = vec![path(&[b"canister", &[1; 30], b"module_hash"])];
    assert_eq!(
        refused(network.read_state(&User::new(1), id, too_long)).0,
        Refusal::NotFound
    );
}

#[test]
fn a_request_status_is_for_its_sender_and_absence_is_for_everyone() {
    let mut network = network();
    let id = installed(&mut network);
    let call = network.submit(id, "run", b"reply mine".to_vec());
    let failed = network.submit(id, "run", b"reject no".to_vec());
    let at = |call: &[u8; 32]| vec![path(&[b"request_status", call])];
    let (owner, stranger) = (User::new(1), User::new(7));
    let tree = network.read_state(&owner, id, at(&call)).unwrap();
    assert_eq!(found(&tree, &[b"request_status", &call, b"reply"]), b"mine");
    assert_eq!(
        found(&tree, &[b"request_status", &call, b"status"]),
        b"replied"
    );
    let parts = [
        b"status".as_slice(),
        b"reply",
        b"reject_code",
        b"reject_message",
        b"error_code",
    ];
    let each = parts.map(|part| path(&[b"request_status", &failed, part]));
    let tree = network.read_state(&owner, id, each.to_vec()).unwrap();
    let status = |part: &[u8]| lookup(&tree, &[b"request_status", &failed, part]);
    assert_eq!(status(b"status"), Lookup::Found(b"rejected"));
    assert_eq!(status(b"reject_code"), Lookup::Found(&[4]));
    assert_eq!(status(b"reject_message"), Lookup::Found(b"no"));
    assert_eq!(status(b"error_code"), Lookup::Found(b"IC0406"));
    assert_eq!(status(b"reply"), Lookup::Absent);

    let (code, text) = refused(network.read_state(&stranger, id, at(&call)));
    assert_eq!(code, Refusal::Forbidden);
    assert!(text.starts_with("the path request_status/"), "{text}");
    let tree = network.read_state(&stranger, id, at(&[0; 32])).unwrap();
    assert_eq!(
        lookup(&tree, &[b"request_status", &[0; 32], b"status"]),
        Lookup::Absent
    );
    let tree = subnet_read(&network, at(&[0; 32]), 3).unwrap();
    assert_eq!(
        lookup(&tree, &[b"request_status", &[0; 32]]),
        Lookup::Absent
    );

    // All that one read asks for must be readable, and of one request.
    let two = [at(&call), at(&[0; 32])].concat();
    let (code, text) = refused(network.read_state(&owner, id, two));
    assert_eq!(
        (code, text.as_str()),
        (
            Refusal::BadRequest,
            "one read may ask for one request status, it asks for 2"
        )
    );
    let mixed = [at(&[0; 32]), at(&call)].concat();
    assert_eq!(
        refused(network.read_state(&stranger, id, mixed)).0,
        Refusal::Forbidden
    );

    let elsewhere = network.create();
    let (code, text) = refused(network.read_state(&owner, elsewhere, at(&call)));
    assert_eq!(code, Refusal::BadRequest);
    assert_eq!(
        text,
        format!("the address names {elsewhere}, but the request belongs to {id}")
    );
    for (labels, why) in [
        (
            vec![b"request_status".as_slice(), &[0; 31]],
            "request_status with an id of 31 bytes, not 32",
        ),
        (
            vec![b"request_status", &call, b"secret"],
            "/secret is not one",
        ),
        (
            vec![b"request_status", &call, b"reply", b"x"],
            "/reply/x is not one",
        ),
        (
            vec![b"request_status"],
            "the path /request_status is not one",
        ),
    ] {
        let (code, text) = refused(network.read_state(&owner, id, vec![path(&labels)]));
        assert_eq!(code, Refusal::NotFound);
        assert!(text.contains(why), "{text}");
    }
}

/// Management calls belong to the canister in their argument; creation belongs to none.
#[test]
fn a_management_call_is_read_where_it_belongs() {
    let mut network = network();
    let id = installed(&mut network);
    let management = Principal::management_canister();
    let record = candid::encode_one(CanisterRecord { canister_id: id }).unwrap();
    let call = network.submit(management, "canister_status", record);
    network.settle();
    let at = |call: &[u8; 32]| vec![path(&[b"request_status", call, b"status"])];
    let owner = User::new(1);
    let tree = network.read_state(&owner, id, at(&call)).unwrap();
    assert_eq!(
        found(&tree, &[b"request_status", &call, b"status"]),
        b"replied"
    );
    assert_eq!(
        refused(network.read_state(&owner, management, at(&call))).0,
        Refusal::BadRequest
    );
    #[derive(candid::CandidType)]
    struct Args {
        amount: Option<candid::Nat>,
    }
    let empty = candid::encode_one(Args { amount: None }).unwrap();
    let create = "provisional_create_canister_with_cycles";
    let creation = network.submit(management, create, empty);
    for address in [id, management] {
        let tree = network.read_state(&owner, address, at(&creation)).unwrap();
        assert_eq!(
            found(&tree, &[b"request_status", &creation, b"status"]),
            b"replied"
        );
    }
}

#[test]
fn delegations_limit_which_request_is_read() {
    let mut network = network();
    let (id, other) = (installed(&mut network), installed(&mut network));
    let call = network.submit(id, "run", b"reply mine".to_vec());
    let (owner, session) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let key = ed25519_der(owner.public().as_bytes());
    let read = |targets: Option<Vec<Principal>>| {
        let mut delegation = SignedDelegation {
            pubkey: ed25519_der(session.public().as_bytes()),
            expiration: network.time + SECOND,
            targets,
            permissions: Some(trilith_engine_canister::ingress::Permissions::Queries),
            signature: Vec::new(),
        };
        let signature = owner.sign_raw(&delegated_bytes(&delegation));
        delegation.signature = signature.as_bytes().to_vec();
        let content = Content::ReadState(ReadStateContent {
            paths: vec![path(&[b"request_status", &call])],
            sender: Principal::self_authenticating(&key),
            ingress_expiry: network.time + 60 * SECOND,
            nonce: None,
        });
        let signature = session.sign_raw(&signed_bytes(&content));
        let parts = Parts {
            content: &content,
            key: Some(&key),
            signature: Some(signature.as_bytes()),
            delegations: &[delegation],
        };
        network.read(encode(&parts), Effective::Canister(id), 3)
    };
    assert!(read(None).is_ok());
    assert!(read(Some(vec![other, id])).is_ok());
    let (status, text) = refused(read(Some(vec![other])));
    assert_eq!(status, Refusal::Forbidden);
    assert_eq!(
        text,
        format!(
            "the delegations do not have {id}, to which the request was sent, among their targets"
        )
    );
}

#[test]
fn the_subnet_names_its_nodes_and_ranges() {
    let mut network = network();
    let id = installed(&mut network);
    let node = SecretKey::from_seed([9; 32]).public();
    let der = ed25519_der(node.as_bytes());
    let node_id = Principal::self_authenticating(&der);
    let at = |names: &[&[u8]]| path(&[&[b"subnet", subnet().as_slice()], names].concat());
    let ranges = path(&[b"canister_ranges", subnet().as_slice()]);
    let forms = [
        path(&[b"subnet"]),
        at(&[]),
        at(&[b"public_key"]),
        at(&[b"type"]),
        at(&[b"node"]),
        at(&[b"node", node_id.as_slice()]),
        at(&[b"node", node_id.as_slice(), b"public_key"]),
        at(&[b"canister_ranges"]),
        ranges.clone(),
        path(&[b"time"]),
        path(&[b"api_boundary_nodes"]),
        path(&[b"api_boundary_nodes", b"x"]),
        path(&[b"api_boundary_nodes", b"x", b"domain"]),
        path(&[b"api_boundary_nodes", b"x", b"ipv4_address"]),
        path(&[b"api_boundary_nodes", b"x", b"ipv6_address"]),
    ];
    for form in &forms {
        let form = vec![form.clone()];
        network.read_state(&User::new(3), id, form.clone()).unwrap();
        subnet_read(&network, form, 3).unwrap();
    }
    let tree = subnet_read(&network, forms.to_vec(), 3).unwrap();
    let of = |names: &[&[u8]]| {
        let subnet = subnet();
        let path = [&[b"subnet".as_slice(), subnet.as_slice()], names].concat();
        found(&tree, &path).to_vec()
    };
    assert_eq!(of(&[b"node", node_id.as_slice(), b"public_key"]), der);
    assert_eq!(der.len(), 44);
    assert_eq!(of(&[b"public_key"]), root().key().to_der());
    assert_eq!(of(&[b"type"]), b"application");
    // The shard is named after its first canister and, being the only one, holds all ranges.
    let shards = lookup_subtree(&tree, &[b"canister_ranges", subnet().as_slice()]);
    let SubtreeLookup::Found(shards) = shards else {
        panic!("{shards:?}")
    };
    let shards = labels(shards);
    assert!(shards.complete);
    let [(first, HashTree::Leaf(held))] = shards.shown.as_slice() else {
        panic!("{shards:?}")
    };
    assert_eq!(first, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(held, &of(&[b"canister_ranges"]));
    assert_eq!(
        lookup(&tree, &[b"api_boundary_nodes", b"x", b"domain"]),
        Lookup::Absent
    );
    let QueryResponse::Topology(topology) = network.ask(&QueryRequest::Topology).unwrap() else {
        panic!("another answer")
    };
    assert_eq!(topology.default_effective_canister, id);
    assert_eq!(topology.nodes, vec![(node_id, *node.as_bytes())]);
}

/// The public library reads the metrics; they are shown at the address of the subnet alone.
#[test]
fn the_subnet_tells_its_metrics() {
    let mut network = network();
    let id = installed(&mut network);
    for _ in 0..10 {
        replied(network.update(id, "run", "set x; reply ok"));
    }
    let at = path(&[b"subnet", subnet().as_slice(), b"metrics"]);
    let tree = subnet_read(&network, vec![at.clone()], 3).unwrap();
    let subnet = subnet();
    let bytes = found(&tree, &[b"subnet", subnet.as_slice(), b"metrics"]);
    let metrics: ic_transport_types::SubnetMetrics = serde_cbor::from_slice(bytes).unwrap();
    assert_eq!(metrics.num_canisters, 1);
    assert!(metrics.update_transactions_total >= 10);
    assert!(metrics.consumed_cycles_total > 0);
    assert!(metrics.canister_state_bytes > 0);
    let elsewhere = network.read_state(&User::new(3), id, vec![at]);
    assert_eq!(refused(elsewhere).0, Refusal::NotFound);
}

#[test]
fn what_subnets_show_depends_on_address_and_version() {
    let mut network = network();
    let id = installed(&mut network);
    let other = Principal::self_authenticating(b"another subnet");
    // Ranges in the old place: of a subnet that is not the root of trust, version 2 only.
    let old = vec![path(&[b"subnet", other.as_slice(), b"canister_ranges"])];
    let tree = subnet_read(&network, old.clone(), 2).unwrap();
    assert_eq!(
        lookup(&tree, &[b"subnet", other.as_slice(), b"canister_ranges"]),
        Lookup::Absent
    );
    assert_eq!(refused(subnet_read(&network, old, 3)).0, Refusal::NotFound);
    // Ranges of one subnet at a time.
    let two = [subnet(), other].map(|id| path(&[b"canister_ranges", id.as_slice()]));
    let (status, text) = refused(subnet_read(&network, two.to_vec(), 3));
    assert_eq!(status, Refusal::BadRequest);
    assert_eq!(
        text,
        "one read may ask for the canister ranges of one subnet, it asks for 2"
    );
    // Another subnet is not served here.
    let reader = User::new(7);
    let content = Content::ReadState(ReadStateContent {
        paths: vec![path(&[b"time"])],
        sender: reader.principal(),
        ingress_expiry: network.time + 60 * SECOND,
        nonce: None,
    });
    let elsewhere = network.read(reader.envelope(&content), Effective::Subnet(other), 3);
    let (status, text) = refused(elsewhere);
    assert_eq!(status, Refusal::BadRequest);
    assert_eq!(
        text,
        format!(
            "the address names {other}, but the request belongs to {}",
            subnet()
        )
    );
    for labels in [
        vec![b"canister_ranges".as_slice()],
        vec![b"canister_ranges", b"x", b"y", b"z"],
        vec![b"time", b"x"],
        vec![b"subnet", b"x", b"secret"],
        vec![b"subnet", b"x", b"node", b"y", b"secret"],
        vec![b"subnet", b"x", b"metrics"],
        vec![b"api_boundary_nodes", b"x", b"secret"],
        vec![b"secrets"],
        vec![],
    ] {
        let (status, text) = refused(network.read_state(&reader, id, vec![path(&labels)]));
        assert_eq!(status, Refusal::NotFound, "{labels:?}");
        assert!(
            text.ends_with("is not one that this endpoint can read"),
            "{text}"
        );
    }
}

#[test]
fn every_read_shows_the_time() {
    let mut network = network();
    let id = installed(&mut network);
    let tree = network.read_state(&User::new(3), id, Vec::new()).unwrap();
    assert_eq!(leb128(found(&tree, &[b"time"])), Some(network.time));
}

#[test]
fn a_subnet_lists_its_canisters_for_nobody() {
    let mut network = network();
    installed(&mut network);
    let management = Principal::management_canister();
    let mut ask = |canister: Principal, method: &str, address: Principal| {
        let content = Content::Query(network.content(canister, method, b"DIDL\0\0".to_vec()));
        let envelope = network.user.envelope(&content);
        network.ask(&QueryRequest::SubnetCall {
            envelope,
            subnet: address,
        })
    };
    let caller = User::new(1).principal();
    let answer = ask(management, "list_canisters", subnet()).unwrap();
    let QueryResponse::Call { result, .. } = answer else {
        panic!("{answer:?}")
    };
    let message = format!(
        "Caller {caller} is not allowed to call list_canisters: it is for the administrators of \
         the subnet, and this subnet has none"
    );
    assert_eq!(
        result,
        CallResult::Rejected {
            code: 4,
            message,
            error_code: "IC0406".to_owned()
        }
    );
    let text = |answer: Result<QueryResponse, QueryError>| match answer {
        Err(QueryError::Reject(reject)) => {
            assert_eq!(refusal(&reject), Refusal::BadRequest);
            reject.message
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text(ask(management, "canister_status", subnet())),
        "at the address of a subnet only `list_canisters` of the management canister is served, \
         not `canister_status` of aaaaa-aa"
    );
    let other = Principal::self_authenticating(b"another subnet");
    assert!(text(ask(management, "list_canisters", other)).contains("the address names"));
}
