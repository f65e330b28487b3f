//! Networks of registered nodes for tests of rounds: three entities with seven nodes, and one
//! runtime. Every height is executed by a second root as well, which knows nothing of the heights
//! before, and both must say the same.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use trilith_protocol::root::registry::Runtime;
use trilith_protocol::root::{FromRoot, Quantity, RootAnswer, RootQuery, RoothashEvent, Signed};
use trilith_protocol::{
    ExecutorCommitment, Outcome, QueryContext, ROOT_RUNTIME, Receipt, RootEvent, RootGenesis,
    Runtime as _, io,
};
use trilith_root::{Root, staking};
use trilith_types::{NodeId, PublicKey, Round, RuntimeId, TimeNanos};

use crate::network::{Network, RUNTIME, header, node, rejection, transaction};
use crate::registered::{
    COMPUTE, FREE, VALIDATOR, document, entity_of, node_of, runtime_of, signed_entity, signed_node,
};

/// By entity, its nodes.
pub const NODES: [(u8, &[u8]); 3] = [(10, &[41, 42, 43]), (20, &[44, 45]), (30, &[46, 47])];

/// Heights of an epoch.
pub const EPOCH: u64 = 20;

pub fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// A document with all of them registered, and a runtime of three primaries and four backups.
pub fn registered(change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    with_nodes(&NODES, change)
}

/// A document with these nodes registered, by entity.
pub fn with_nodes(owners: &[(u8, &[u8])], change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    let mut document = document();
    document.epoch_interval = EPOCH;
    document.services.registry.params.max_node_expiration = 0;
    let mut runtime = runtime_of(10, RUNTIME, 0);
    runtime.executor.group_size = 3;
    runtime.executor.group_backup_size = 4;
    change(&mut runtime);
    let registry = &mut document.services.registry;
    registry.params.debug_allow_test_runtimes = true;
    registry.runtimes = vec![runtime];
    let mut entities: Vec<(PublicKey, Signed)> = Vec::new();
    let mut nodes: Vec<(PublicKey, _)> = Vec::new();
    for (entity, numbers) in owners {
        let signed = signed_entity(&entity_of(*entity, numbers), *entity);
        entities.push((node(*entity), signed));
        for number in *numbers {
            let roles = COMPUTE | VALIDATOR;
            let descriptor = node_of(*entity, *number, 1_000, (roles, &[RUNTIME]));
            nodes.push((node(*number), signed_node(&descriptor, *number)));
        }
    }
    entities.sort_by_key(|(id, _)| *id);
    nodes.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

/// A document with a runtime of one primary, which messages are tried on.
pub fn alone(change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    registered(|runtime| {
        runtime.executor.group_size = 1;
        runtime.executor.group_backup_size = 0;
        runtime.executor.max_messages = 16;
        change(runtime);
    })
}

/// The number of the entity that owns a node.
pub fn owner(id: &NodeId) -> u8 {
    let owns = |numbers: &[u8]| numbers.iter().any(|number| node(*number) == *id);
    let found = NODES.iter().find(|(_, numbers)| owns(numbers));
    found.map(|(entity, _)| *entity).unwrap()
}

impl Network {
    /// Executes one height as two roots, which must agree, and applies it.
    pub fn agreed(&mut self, inputs: &[Vec<u8>]) -> Outcome {
        let fresh = Network {
            root: Root::new(),
            view: self.view.clone(),
            chain: self.chain,
            remember: false,
        };
        let second = fresh.execute(inputs, &fresh.context()).unwrap();
        let first = self.height(inputs);
        assert_eq!(first.write_log, second.write_log);
        assert_eq!(first.receipts, second.receipts);
        first
    }

    /// Executes one height with one signed transaction that pays nothing.
    pub fn send(&mut self, number: u8, method: &str, body: Vec<u8>) -> Receipt {
        let transaction = self.signed(number, method, body, Some(FREE));
        self.agreed(&[transaction]).receipts.remove(0)
    }

    /// Executes one height that delivers commitments, which must be taken up.
    pub fn deliver(&mut self, commitments: &[ExecutorCommitment]) {
        let receipt = self
            .agreed(&[transaction(RUNTIME, commitments)])
            .receipts
            .remove(0);
        assert_eq!(rejection(&receipt), None, "{:?}", receipt.status);
    }

    /// Finalises a round in which all primaries agree.
    pub fn round(&mut self) {
        let workers = self.committee().workers;
        let votes: Vec<_> = workers
            .iter()
            .map(|member| self.vote(member, 0, b"state"))
            .collect();
        self.deliver(&votes);
    }

    /// The commitment of a committee of one that took up the `taken` oldest incoming messages and
    /// sends `messages`.
    pub fn outcome(&self, taken: usize, messages: Vec<Vec<u8>>) -> ExecutorCommitment {
        let scheduler = self.scheduler(0);
        let mut results = self.results(b"state");
        let incoming = self.news().incoming;
        results.in_msgs_count = u32::try_from(taken).unwrap();
        results.in_msgs_hash = Some(io::incoming_hash(&incoming[..taken]));
        let payloads: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
        results.messages_hash = Some(io::messages_hash(&payloads));
        let (key, header) = (self.key_of(&scheduler), header(scheduler, results));
        ExecutorCommitment::sign(&key, header, messages, &RUNTIME, &self.chain)
    }

    /// What a round of the runtime sees of the root.
    pub fn news(&self) -> FromRoot {
        self.news_of(RUNTIME)
    }

    pub fn news_of(&self, runtime: RuntimeId) -> FromRoot {
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        let query = RootQuery::FromRoot(runtime).encode();
        let answer = self.root.query(&self.view, &query, &context).unwrap();
        match RootAnswer::decode(&answer).unwrap() {
            RootAnswer::FromRoot(news) => *news,
            other => panic!("not an answer to the question: {other:?}"),
        }
    }

    /// Roothash events of the newest height that no transaction caused.
    pub fn told(&self) -> Vec<RoothashEvent> {
        roothash_events(self.events())
    }

    /// What an entity has delegated to it.
    pub fn stake(&self, entity: u8) -> u128 {
        let account = self.account(&crate::network::address(entity));
        account.escrow.active.balance.units()
    }

    /// All stake there is, which must not change.
    pub fn supply(&self) -> Quantity {
        staking::total_supply(&self.view).unwrap()
    }
}

/// The roothash events of a transaction.
pub fn told_by(receipt: &Receipt) -> Vec<RoothashEvent> {
    roothash_events(RootEvent::decode_list(&receipt.output, 100).unwrap())
}

fn roothash_events(events: Vec<RootEvent>) -> Vec<RoothashEvent> {
    let of = |event| match event {
        RootEvent::Roothash(event) => Some(event),
        _ => None,
    };
    events.into_iter().filter_map(of).collect()
}

/// Module and code of a refusal.
pub fn refused_as(receipt: &Receipt, module: &str, code: u32) {
    let found = rejection(receipt);
    assert_eq!(found, Some((module, code)), "{:?}", receipt.status);
}
