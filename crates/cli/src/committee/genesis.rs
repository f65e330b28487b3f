//! The genesis document of a developer network of several nodes: an entity with stake for each
//! node, every node and both runtimes registered, so that slashing and freezing are real.
//!
//! It is the document of a network of one node but for the number of nodes, what each does, and what
//! the committees are like. The first entity is the one whose key commands act with.

use trilith_node::NodeKeys;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::registry::{Runtime, RuntimeStaking, Storage};
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, Slash, SlashReason, StakingGenesis,
};
use trilith_protocol::root::{Address, MultiSigned, Quantity, Signed};
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId, SecretKey, TimeNanos};

use super::CommitteePlan;
use crate::genesis::{
    self, Beginning, EPOCH_HEIGHTS, NodeSecrets, NodeTerms, VERSION, address, developer_network,
    node_descriptor, sign_entity,
};
use crate::network::RUNTIMES;

/// Heights that are waited for commitments after a scheduler's. Own choice: half the default of
/// Oasis Core's test networks (20), because heights pass more quickly here.
pub(super) const ROUND_TIMEOUT_HEIGHTS: u64 = 10;
/// Stake of every entity, in base units. Own choice.
const STAKE: u128 = 1_000_000;
/// What a wrong result costs. Own choice: a quarter of the stake.
const PENALTY: u128 = STAKE / 4;
/// For how many epochs whoever committed to a wrong result is frozen. Own choice.
const FREEZE_EPOCHS: u64 = 1;
/// The port that the first node's descriptor names; the others' follow.
const FIRST_PORT: u16 = 9_000;

/// The genesis document of a network begun at `time`.
pub(crate) fn genesis(plan: &CommitteePlan, seed: &[u8; 32], time: TimeNanos) -> RootGenesis {
    let mut document = developer_network(&Beginning {
        keys: &NodeKeys::of_developer_network(seed, 0),
        entity: &entity_key(seed, 0),
        time,
        epoch_heights: EPOCH_HEIGHTS,
        runtimes: &RUNTIMES,
    });
    document.nodes.clear();
    add_stakes(&mut document.services.staking, plan, seed);
    let registry = &mut document.services.registry;
    registry.runtimes = RUNTIMES.map(|id| runtime(plan, seed, id)).to_vec();
    let mut entities: Vec<(PublicKey, Signed)> = Vec::new();
    let mut members: Vec<(PublicKey, MultiSigned)> = Vec::new();
    for index in 0..plan.nodes() {
        let entity = entity_key(seed, index);
        let (node, registration) = registration(plan, index, &entity.public(), seed);
        entities.push((entity.public(), sign_entity(&entity, vec![node])));
        members.push((node, registration));
    }
    entities.sort_by_key(|(id, _)| *id);
    members.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.nodes = members.into_iter().map(|(_, signed)| signed).collect();
    document
}

/// The key of the entity that owns a node.
fn entity_key(seed: &[u8; 32], index: u32) -> SecretKey {
    if index == 0 {
        return genesis::entity_key(seed);
    }
    let hash = Hash::of_parts(&[b"trilith/entity key", seed, &index.to_be_bytes()]);
    SecretKey::from_seed(*hash.as_bytes())
}

/// Gives the entities of the other nodes stake.
fn add_stakes(staking: &mut StakingGenesis, plan: &CommitteePlan, seed: &[u8; 32]) {
    let shares = Quantity::new(STAKE);
    for index in 1..plan.nodes() {
        let own = Address::of_key(&entity_key(seed, index).public());
        let mut account = Account::default();
        account.escrow.active = SharePool {
            balance: shares,
            total_shares: shares,
        };
        staking.ledger.insert(own, account);
        let delegations = [(own, Delegation { shares })].into();
        staking.delegations.insert(own, delegations);
    }
    let added = STAKE * u128::from(plan.nodes() - 1);
    staking.total_supply = Quantity::new(staking.total_supply.units() + added);
}

fn runtime(plan: &CommitteePlan, seed: &[u8; 32], id: RuntimeId) -> Runtime {
    let slash = Slash {
        amount: Quantity::new(PENALTY),
        freeze_interval: FREEZE_EPOCHS,
    };
    let reasons = [
        SlashReason::RuntimeIncorrectResults,
        SlashReason::RuntimeEquivocation,
    ];
    let mut runtime = genesis::runtime(id, entity_key(seed, 0).public());
    runtime.executor.group_size = plan.size.primaries;
    runtime.executor.group_backup_size = plan.size.backups;
    runtime.executor.allowed_stragglers = plan.stragglers;
    runtime.executor.round_timeout = ROUND_TIMEOUT_HEIGHTS;
    runtime.storage = Storage {
        min_write_replication: plan.storage.min(1),
        ..runtime.storage
    };
    runtime.staking = RuntimeStaking {
        slashing: reasons.map(|reason| (reason, slash)).into(),
        ..RuntimeStaking::default()
    };
    runtime
}

/// A node and its registration, signed with all of its keys.
fn registration(
    plan: &CommitteePlan,
    index: u32,
    entity: &PublicKey,
    seed: &[u8; 32],
) -> (PublicKey, MultiSigned) {
    let secrets = NodeSecrets::of_developer_network(&NodeKeys::of_developer_network(seed, index));
    let versions = RUNTIMES.map(|id| (id, VERSION));
    // The validator executes no runtime.
    let runtimes = if index == 0 { &[][..] } else { &versions };
    let mut descriptor = node_descriptor(
        &secrets,
        NodeTerms {
            entity: *entity,
            // It is there as long as the network, and nobody has to renew it.
            expiration: Epoch(u64::MAX),
            roles: plan.roles(index),
            runtimes,
            // The nodes talk within a process; descriptors must name an address all the same, each
            // another.
            address: address([127, 0, 0, 1], FIRST_PORT + index as u16),
        },
    );
    if runtimes.is_empty() {
        descriptor.runtimes = None;
    }
    (secrets.node.public(), secrets.sign(&descriptor))
}
