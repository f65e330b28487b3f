//! Networks of registered nodes for tests of elections, on the network of the other tests.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use std::collections::BTreeSet;

use trilith_protocol::root::registry::{CapabilityTee, NodeStatus, Runtime, TEE_SGX};
use trilith_protocol::root::scheduler::{ElectionParameters, Validators};
use trilith_protocol::{
    Outcome, QueryContext, ROOT_RUNTIME, RootAnswer, RootGenesis, RootQuery, Runtime as _,
};
use trilith_root::Root;
use trilith_types::permutation::Permutations;
use trilith_types::{Hash, NodeId, PublicKey, Round, RuntimeId, StateRead as _, TimeNanos};

use crate::network::{Network, node};
use crate::registered::{document, entity_of, node_of, signed_entity, signed_node, version};

/// A registered node of a document.
#[derive(Clone, Debug)]
pub struct Row {
    pub entity: u8,
    pub number: u8,
    pub roles: u32,
    pub runtimes: Vec<RuntimeId>,
    /// The version it has of all of them.
    pub version: u16,
    pub status: NodeStatus,
    /// Whether it says that it has an enclave.
    pub enclave: bool,
}

pub fn row(entity: u8, number: u8, roles: u32, runtimes: &[RuntimeId]) -> Row {
    Row {
        entity,
        number,
        roles,
        runtimes: runtimes.to_vec(),
        version: 1,
        status: NodeStatus::default(),
        enclave: false,
    }
}

/// A document with these nodes and runtimes. Registrations do not run out.
pub fn registered(rows: &[Row], mut runtimes: Vec<Runtime>) -> RootGenesis {
    let mut document = document();
    let registry = &mut document.services.registry;
    registry.params.max_node_expiration = 0;
    registry.params.debug_allow_test_runtimes = true;
    runtimes.sort_by_key(|runtime| runtime.id);
    registry.runtimes = runtimes;
    let mut entities: Vec<(PublicKey, _)> = [10u8, 20, 30]
        .into_iter()
        .map(|entity| {
            let own = rows.iter().filter(|row| row.entity == entity);
            let numbers: Vec<u8> = own.map(|row| row.number).collect();
            let signed = signed_entity(&entity_of(entity, &numbers), entity);
            (node(entity), signed)
        })
        .collect();
    entities.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    let mut nodes: Vec<(PublicKey, _)> = Vec::new();
    for row in rows {
        let mut descriptor = node_of(
            row.entity,
            row.number,
            1_000_000,
            (row.roles, &row.runtimes),
        );
        for of_node in descriptor.runtimes.iter_mut().flatten() {
            of_node.version = version(row.version);
            of_node.capabilities.tee = row.enclave.then(|| CapabilityTee {
                hardware: TEE_SGX,
                rak: node(row.number),
                rek: None,
                attestation: None,
            });
        }
        nodes.push((node(row.number), signed_node(&descriptor, row.number)));
        if row.status != NodeStatus::default() {
            let status = row.status.clone();
            registry.node_statuses.insert(node(row.number), status);
        }
    }
    nodes.sort_by_key(|(id, _)| *id);
    registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

/// The parameters of elections with so many validators.
pub fn elections(min: u64, max: u64, per_entity: u64) -> ElectionParameters {
    ElectionParameters {
        min_validators: min,
        max_validators: max,
        max_validators_per_entity: per_entity,
        ..ElectionParameters::default()
    }
}

/// Keys of numbers, ascending by their hash: the order in which candidates are drawn from.
pub fn by_hash(numbers: impl IntoIterator<Item = u8>) -> Vec<NodeId> {
    let mut ids: Vec<NodeId> = numbers.into_iter().map(node).collect();
    ids.sort_by_key(|id| Hash::of(id.as_bytes()));
    ids
}

/// Candidates as entropy orders them.
pub fn drawn(
    entropy: &[u8],
    runtime: &RuntimeId,
    purpose: &[u8],
    candidates: &[NodeId],
) -> Vec<NodeId> {
    let mut source = Permutations::new(entropy, runtime.as_bytes(), purpose);
    let order = source.permutation(candidates.len());
    order.into_iter().map(|place| candidates[place]).collect()
}

pub fn set(ids: &[NodeId]) -> BTreeSet<NodeId> {
    ids.iter().copied().collect()
}

impl Network {
    pub fn ask(&self, query: RootQuery) -> RootAnswer {
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        let answer = self.root.query(&self.view, &query.encode(), &context);
        RootAnswer::decode(&answer.unwrap()).unwrap()
    }

    pub fn validators(&self) -> Validators {
        match self.ask(RootQuery::Validators) {
            RootAnswer::Validators(validators) => validators,
            other => panic!("validators were asked for: {other:?}"),
        }
    }

    /// Executes one height on this replica and on one that remembers nothing, which must agree.
    pub fn agreed(&mut self, inputs: &[Vec<u8>]) -> Outcome {
        let context = self.context();
        let other = Self {
            root: Root::new(),
            view: self.view.clone(),
            chain: self.chain,
            remember: false,
        };
        let expected = other.execute(inputs, &context).unwrap();
        let outcome = self.height(inputs);
        assert_eq!(outcome.write_log, expected.write_log);
        let mut view = other.view;
        view.apply(&expected.write_log);
        assert_eq!(view.root(), self.view.root());
        outcome
    }

    /// Goes on to the first height of the next epoch, which two replicas agree on.
    pub fn agreed_epoch(&mut self) {
        let epoch = self.epoch();
        while self.epoch() == epoch {
            self.agreed(&[]);
        }
    }
}
