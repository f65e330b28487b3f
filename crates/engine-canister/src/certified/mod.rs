//! The certified state tree: what the Internet Computer's clients can have proven, built from the
//! state. The digest of its root is the runtime's attested leaf.
//!
//! ```text
//! /time
//! /subnet/<id>/{public_key, type, canister_ranges, metrics, node/<id>/public_key}
//! /canister_ranges/<subnet>/<first id>
//! /request_status/<id>/{status, reply | reject_code, reject_message, error_code}
//! /canister/<id>/{certified_data, controllers, module_hash, metadata/<name>,
//!                 canister_creation_timestamp, last_install_timestamp}
//! ```
//!
//! Knows the records of the state; knows no executor and no request. Invariant: pruning never
//! changes the digest.
//!
//! Source: interface specification, "The system state tree".

mod branch;
mod label_map;

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::INDEX_MAX;
use trilith_types::HashTree;
use trilith_types::cbor::{Encoder, MapBuilder};
use trilith_types::representation_hash::leb128;

pub use branch::{Branch, Tree, Wanted};
pub use label_map::LabelMap;

use crate::controller::record::{Canister, Meta, Reply, RequestRecord, RequestState, canister_id};
use crate::controller::snapshot::Snapshot;
use crate::ingress::ed25519_der;

/// What the tree shows beside the state: part of the engine's definition.
pub(crate) struct Identity<'a> {
    /// The subnet's id.
    pub(crate) subnet: Principal,
    /// DER encoding of its public key.
    pub(crate) root_key: &'a [u8],
}

/// The id of a node: the self-authenticating principal of its key.
pub fn node_id(key: &[u8; 32]) -> Principal {
    Principal::self_authenticating(ed25519_der(key))
}

/// The ranges of canister ids of the subnet.
pub(crate) fn ranges() -> Vec<(Principal, Principal)> {
    vec![(canister_id(0), canister_id(INDEX_MAX))]
}

fn leb(value: u64) -> Tree {
    Tree::Leaf(leb128(value))
}

fn tagged() -> Encoder {
    let mut encoder = Encoder::new();
    encoder.tag(55_799);
    encoder
}

fn encoded_ranges() -> Vec<u8> {
    let mut encoder = tagged();
    let ranges = ranges();
    encoder.array(ranges.len());
    for (first, last) in ranges {
        encoder
            .array(2)
            .bytes(first.as_slice())
            .bytes(last.as_slice());
    }
    encoder.finish()
}

/// The metrics of the subnet. Cycles stand as two halves, the upper only where there is one.
///
/// Source: interface specification, "Subnet information".
fn encoded_metrics(meta: &Meta, canisters: usize) -> Vec<u8> {
    let (low, high) = (meta.consumed as u64, (meta.consumed >> 64) as u64);
    let metrics = MapBuilder::new()
        .field("num_canisters", |encoder| {
            encoder.uint(canisters as u64);
        })
        .field("canister_state_bytes", |encoder| {
            encoder.uint(meta.state_bytes);
        })
        .field("consumed_cycles_total", |encoder| {
            encoder.map(2).uint(0).uint(low).uint(1);
            match high {
                0 => encoder.null(),
                high => encoder.uint(high),
            };
        })
        .field("update_transactions_total", |encoder| {
            encoder.uint(meta.executed);
        });
    let mut encoder = tagged();
    encoder.raw(&metrics.finish());
    encoder.finish()
}

fn subnet_tree(meta: &Meta, canisters: usize, identity: &Identity<'_>) -> Tree {
    let nodes = meta.committee.iter().map(|key| {
        let der = Tree::Leaf(ed25519_der(key.as_bytes()));
        let node = Tree::level([(b"public_key".as_slice(), der)]);
        (node_id(key.as_bytes()).as_slice().to_vec(), node)
    });
    let subnet = Tree::level([
        (
            b"public_key".as_slice(),
            Tree::Leaf(identity.root_key.to_vec()),
        ),
        (b"type", Tree::Leaf(b"application".to_vec())),
        (b"canister_ranges", Tree::Leaf(encoded_ranges())),
        (b"node", Tree::Level(nodes.collect())),
        (b"metrics", Tree::Leaf(encoded_metrics(meta, canisters))),
    ]);
    Tree::level([(identity.subnet.as_slice(), subnet)])
}

fn ranges_tree(identity: &Identity<'_>) -> Tree {
    let shard = Tree::level([(canister_id(0).as_slice(), Tree::Leaf(encoded_ranges()))]);
    Tree::level([(identity.subnet.as_slice(), shard)])
}

fn canister_tree(canister: &Canister) -> Tree {
    let mut controllers = tagged();
    controllers.array(canister.settings.controllers.len());
    for controller in &canister.settings.controllers {
        controllers.bytes(controller.as_slice());
    }
    let mut level = BTreeMap::from([
        (b"controllers".to_vec(), Tree::Leaf(controllers.finish())),
        (
            b"canister_creation_timestamp".to_vec(),
            leb(canister.created),
        ),
    ]);
    if let Some(code) = &canister.code {
        level.insert(
            b"certified_data".to_vec(),
            Tree::Leaf(canister.certified_data.clone()),
        );
        level.insert(b"last_install_timestamp".to_vec(), leb(canister.installed));
        level.insert(
            b"module_hash".to_vec(),
            Tree::Leaf(code.module.sent_hash.to_vec()),
        );
        let metadata = code.module.metadata.iter();
        let metadata = metadata
            .map(|(name, _, content)| (name.as_bytes().to_vec(), Tree::Leaf(content.clone())));
        level.insert(b"metadata".to_vec(), Tree::Level(metadata.collect()));
    }
    Tree::Level(level)
}

fn request_tree(record: &RequestRecord) -> Tree {
    let text = |text: &str| Tree::Leaf(text.as_bytes().to_vec());
    match &record.status {
        RequestState::Received {} => Tree::level([(b"status".as_slice(), text("received"))]),
        RequestState::Processing {} => Tree::level([(b"status".as_slice(), text("processing"))]),
        RequestState::Answered {
            reply: Reply::Data { bytes },
        } => Tree::level([
            (b"status".as_slice(), text("replied")),
            (b"reply", Tree::Leaf(bytes.to_vec())),
        ]),
        RequestState::Answered {
            reply: Reply::Reject { rejection },
        } => Tree::level([
            (b"status".as_slice(), text("rejected")),
            (b"reject_code", leb(u64::from(rejection.code()))),
            (b"reject_message", text(&rejection.message)),
            (b"error_code", text(&rejection.error_code())),
        ]),
    }
}

/// Digest of `/canister/<id>`.
pub(crate) fn canister_digest(canister: &Canister) -> [u8; 32] {
    canister_tree(canister).digest()
}

/// Digest of `/request_status/<id>`.
pub(crate) fn request_digest(record: &RequestRecord) -> [u8; 32] {
    request_tree(record).digest()
}

/// What stands above canisters and ingress statuses. It follows from a snapshot and the engine's
/// identity, and is made once for each snapshot.
#[derive(Debug)]
pub(crate) struct Top {
    time: Tree,
    subnet: Tree,
    ranges: Tree,
    branch: Branch,
}

impl Top {
    fn new(snapshot: &Snapshot, identity: &Identity<'_>) -> Self {
        let time = leb(snapshot.meta.time);
        let subnet = subnet_tree(&snapshot.meta, snapshot.canisters.len(), identity);
        let ranges = ranges_tree(identity);
        let branch = Branch::new(vec![
            (b"canister".to_vec(), snapshot.canisters.digest()),
            (b"canister_ranges".to_vec(), ranges.digest()),
            (b"request_status".to_vec(), snapshot.requests.digest()),
            (b"subnet".to_vec(), subnet.digest()),
            (b"time".to_vec(), time.digest()),
        ]);
        Self {
            time,
            subnet,
            ranges,
            branch,
        }
    }
}

/// The state tree of a snapshot.
pub(crate) struct StateTree<'a> {
    snapshot: &'a Snapshot,
    top: &'a Top,
}

impl<'a> StateTree<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, identity: &Identity<'_>) -> Self {
        let top = snapshot
            .top
            .get_or_init(|| Arc::new(Top::new(snapshot, identity)));
        Self { snapshot, top }
    }

    /// The digest of the root.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.top.branch.digest()
    }

    /// The tree with only what is wanted, same digest.
    pub(crate) fn prune(&self, wanted: &Wanted) -> HashTree {
        self.top
            .branch
            .prune(wanted, &mut |label, under| match label {
                b"canister" => {
                    let canisters = &self.snapshot.canisters;
                    canisters.prune(under, &mut |_, canister, under| {
                        canister_tree(canister).prune(under)
                    })
                }
                b"request_status" => {
                    let requests = &self.snapshot.requests;
                    requests.prune(under, &mut |_, record, under| {
                        request_tree(record).prune(under)
                    })
                }
                b"canister_ranges" => self.top.ranges.prune(under),
                b"subnet" => self.top.subnet.prune(under),
                _ => self.top.time.prune(under),
            })
    }
}

/// The certificate over a pruned tree: tagged CBOR `{tree, signature}`.
///
/// Source: interface specification, "Certificate encoding".
pub(crate) fn certificate(tree: &HashTree, signature: &[u8]) -> Vec<u8> {
    let mut encoder = tagged();
    // Keys in canonical order: the shorter first.
    encoder.map(2).text("tree");
    tree.encode(&mut encoder);
    encoder.text("signature").bytes(signature);
    encoder.finish()
}
