//! Nine nodes of nine entities that execute one runtime, on three replicas of the root.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use std::collections::BTreeMap;

use trilith_protocol::root::registry::Runtime;
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, Slash, SlashReason, ThresholdKind,
};
use trilith_protocol::root::{Address, EXECUTOR_COMMIT, Quantity};
use trilith_protocol::{ExecutorCommitment, Outcome, RootEvent, RootGenesis};
use trilith_root::{Root, staking};
use trilith_types::{NodeId, PublicKey};

use crate::network::{Network, RUNTIME, address, node, rejection, transaction};
use crate::registered::{
    COMPUTE, FREE, document, entity_of, node_of, runtime_of, signed_entity, signed_node,
};

pub const STAKE: u128 = 100;
pub const INCORRECT: u128 = 50;
/// What the runtime gets of it, in percent.
pub const OF_RUNTIME: u128 = 20;
/// Nodes 41 to 49 are of entities 51 to 59, one of each.
pub const NODES: std::ops::RangeInclusive<u8> = 41..=49;

pub fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

pub fn entity_of_node(node: u8) -> u8 {
    node + 10
}

/// Nine entities with a node and a stake of 100 each, of which 70 are claimed: who loses 50 cannot
/// be elected, who loses 30 can. The runtime is of entity 10.
pub fn lineup(change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    let mut document = document();
    document.epoch_interval = 20;
    let staking = &mut document.services.staking;
    staking.params.thresholds = BTreeMap::from([
        (ThresholdKind::Entity, q(10)),
        (ThresholdKind::NodeCompute, q(60)),
    ]);
    let mut runtime = runtime_of(10, RUNTIME, 0);
    runtime.executor.group_size = 3;
    runtime.executor.group_backup_size = 4;
    let penalty = |amount| Slash {
        amount: q(amount),
        freeze_interval: 0,
    };
    runtime.staking.slashing = BTreeMap::from([
        (SlashReason::RuntimeIncorrectResults, penalty(INCORRECT)),
        (SlashReason::RuntimeEquivocation, penalty(40)),
        (SlashReason::RuntimeLiveness, penalty(30)),
    ]);
    runtime.staking.reward_bad_results = OF_RUNTIME as u8;
    change(&mut runtime);
    let registry = &mut document.services.registry;
    registry.params.debug_allow_test_runtimes = true;
    registry.params.max_node_expiration = 0;
    registry.runtimes = vec![runtime];
    let mut entities: Vec<(PublicKey, _)> =
        vec![(node(10), signed_entity(&entity_of(10, &[]), 10))];
    let mut nodes: Vec<(PublicKey, _)> = Vec::new();
    for number in NODES {
        let entity = entity_of_node(number);
        let own = address(entity);
        let mut account = Account::default();
        account.escrow.active = SharePool {
            balance: q(STAKE),
            total_shares: q(STAKE),
        };
        let shares = Delegation { shares: q(STAKE) };
        staking.ledger.insert(own, account);
        staking.delegations.insert(own, [(own, shares)].into());
        staking.total_supply = staking.total_supply.plus(q(STAKE)).unwrap();
        let signed = signed_entity(&entity_of(entity, &[number]), entity);
        entities.push((node(entity), signed));
        let descriptor = node_of(entity, number, 1_000, (COMPUTE, &[RUNTIME]));
        nodes.push((node(number), signed_node(&descriptor, number)));
    }
    entities.sort_by_key(|(id, _)| *id);
    nodes.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

/// Replicas of one root: one remembers, one is never told what was sealed, one is new at every
/// height. Everything that happens, happens to all, and their states must be the same.
pub struct Replicas {
    pub network: Network,
    pub others: [Network; 2],
    /// Everything that happened since the last look.
    pub happened: Vec<RootEvent>,
}

impl Replicas {
    pub fn new(document: &RootGenesis) -> Self {
        let forgetful = || {
            let mut network = Network::new(document);
            network.remember = false;
            network
        };
        Self {
            network: Network::new(document),
            others: [forgetful(), forgetful()],
            happened: Vec::new(),
        }
    }

    pub fn height(&mut self, inputs: &[Vec<u8>]) -> Outcome {
        self.others[1].root = Root::new();
        let outcome = self.network.height(inputs);
        for other in &mut self.others {
            let same = other.height(inputs);
            assert_eq!(same.write_log, outcome.write_log);
            assert_eq!(same.receipts, outcome.receipts);
            assert_eq!(other.view.entries, self.network.view.entries);
        }
        self.happened.extend(self.network.events());
        outcome
    }

    /// Each commitment comes in a transaction that its node signs, all in one height. Gives the
    /// codes of those that are refused.
    pub fn deliver(&mut self, commitments: &[ExecutorCommitment]) -> Vec<u32> {
        let signed: Vec<Vec<u8>> = commitments
            .iter()
            .map(|commitment| {
                let number = number_of(&commitment.node_id);
                let body = body_of(std::slice::from_ref(commitment));
                self.network
                    .signed(number, EXECUTOR_COMMIT, body, Some(FREE))
            })
            .collect();
        let receipts = self.height(&signed).receipts;
        let codes = receipts.iter().filter_map(rejection);
        codes
            .map(|(module, code)| {
                assert_eq!(module, "root");
                code
            })
            .collect()
    }

    pub fn next_epoch(&mut self) {
        let epoch = self.network.epoch();
        while self.network.epoch() == epoch {
            self.height(&[]);
        }
    }

    /// What all accounts own that own something, and what is in no account.
    pub fn wealth(&self) -> BTreeMap<String, u128> {
        let export = staking::export(&self.network.view).unwrap();
        let of = |account: &Account| {
            let escrow = &account.escrow;
            let parts = [
                account.general.balance,
                escrow.active.balance,
                escrow.debonding.balance,
            ];
            parts.iter().map(|part| part.units()).sum()
        };
        let mut wealth: BTreeMap<String, u128> = export
            .ledger
            .iter()
            .map(|(address, account)| (address.to_string(), of(account)))
            // Accounts that have signed something, and own nothing.
            .filter(|(_, amount)| *amount > 0)
            .collect();
        wealth.insert("common pool".into(), export.common_pool.units());
        wealth
    }
}

pub fn number_of(id: &NodeId) -> u8 {
    NODES
        .into_iter()
        .find(|number| node(*number) == *id)
        .unwrap()
}

pub fn account_of(id: &NodeId) -> Address {
    address(entity_of_node(number_of(id)))
}

/// The body of a transaction of commitments, which stands in its unsigned form.
pub fn body_of(commitments: &[ExecutorCommitment]) -> Vec<u8> {
    let bytes = transaction(RUNTIME, commitments);
    let mut decoder = trilith_types::cbor::Decoder::new(&bytes);
    let mut body = Vec::new();
    decoder
        .fields("transaction", 2, |name, d| {
            let item = d.skip()?;
            if name == "body" {
                body = item.to_vec();
            }
            Ok(())
        })
        .unwrap();
    body
}
