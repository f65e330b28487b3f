//! The genesis document of a developer network of several nodes: an entity with stake for each
//! node, every node and both runtimes registered, so that slashing and freezing are real.

use std::collections::BTreeMap;

use trilith_node::NodeKeys;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::registry::{
    AdmissionPolicy, Capabilities, ConsensusAddress, ConsensusInfo, Deployment, Entity, Executor,
    GOVERNANCE_ENTITY, KIND_COMPUTE, Marker, Node, NodeAddress, NodeRuntime, P2pInfo, Runtime,
    RuntimeGenesis, RuntimeStaking, Storage, TlsInfo, TxnScheduler, Version, VrfInfo,
};
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, Slash, SlashReason, StakingGenesis, StakingParameters,
};
use trilith_protocol::root::{Address, Blob, MultiSigned, Quantity, Services, Signed};
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId, SecretKey, SignatureContext, TimeNanos};

use super::CommitteePlan;
use crate::genesis::{CHAIN, EPOCH_HEIGHTS};
use crate::network::{ACCOUNT_RUNTIME, CANISTER_RUNTIME};

/// Heights that are waited for commitments after a scheduler's. Own choice: half the default of
/// Oasis Core's test networks (20), because heights pass more quickly here.
pub(super) const ROUND_TIMEOUT_HEIGHTS: u64 = 10;
/// Stake of every entity, in base units. Own choice.
const STAKE: u128 = 1_000_000;
/// What a wrong result costs. Own choice: a quarter of the stake.
const PENALTY: u128 = STAKE / 4;
/// For how many epochs whoever committed to a wrong result is frozen. Own choice.
const FREEZE_EPOCHS: u64 = 1;
/// Epochs until the stake of a delegation that ends is free. Own choice.
const DEBONDING_EPOCHS: u64 = 2;
/// The epoch after which the nodes' registrations end: later than a developer network lives.
const EXPIRATION: Epoch = Epoch(1_000_000);
/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// The genesis document of a network begun at `time`.
pub(crate) fn genesis(plan: &CommitteePlan, seed: &[u8; 32], time: TimeNanos) -> RootGenesis {
    let nodes = NodeKeys::of_developer_network(seed, 0);
    let (consensus_key, certification_key) = nodes.threshold_keys();
    let mut services = Services {
        staking: stakes(plan, seed),
        ..Services::default()
    };
    let registry = &mut services.registry;
    registry.params.debug_allow_test_runtimes = true;
    registry.params.debug_allow_unroutable_addresses = true;
    registry.runtimes = [CANISTER_RUNTIME, ACCOUNT_RUNTIME]
        .map(|id| runtime(plan, seed, id))
        .to_vec();
    let mut entities: Vec<(PublicKey, Signed)> = Vec::new();
    let mut members: Vec<(PublicKey, MultiSigned)> = Vec::new();
    for index in 0..plan.nodes() {
        let (entity, node) = (
            entity_key(seed, index),
            NodeKeys::of_developer_network(seed, index).node,
        );
        let descriptor = Entity {
            v: 2,
            id: entity.public(),
            nodes: vec![node.public()],
        };
        let context = SignatureContext::RegisterEntity;
        let signed = Signed::sign(&entity, context, &Hash::EMPTY, descriptor.encode());
        entities.push((entity.public(), signed));
        members.push((node.public(), registration(plan, seed, index, &node)));
    }
    entities.sort_by_key(|(id, _)| *id);
    members.sort_by_key(|(id, _)| *id);
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.nodes = members.into_iter().map(|(_, signed)| signed).collect();
    RootGenesis {
        chain: CHAIN.into(),
        time,
        epoch_interval: EPOCH_HEIGHTS,
        nodes: Vec::new(),
        runtimes: Vec::new(),
        consensus_key,
        certification_key,
        services,
    }
}

/// The key of the entity that owns a node.
fn entity_key(seed: &[u8; 32], index: u32) -> SecretKey {
    derived(b"trilith/entity key", seed, index)
}

fn derived(purpose: &[u8], seed: &[u8; 32], index: u32) -> SecretKey {
    let hash = Hash::of_parts(&[purpose, seed, &index.to_be_bytes()]);
    SecretKey::from_seed(*hash.as_bytes())
}

fn stakes(plan: &CommitteePlan, seed: &[u8; 32]) -> StakingGenesis {
    let entities = plan.nodes();
    let mut staking = StakingGenesis {
        params: StakingParameters {
            debonding_interval: DEBONDING_EPOCHS,
            ..StakingParameters::default()
        },
        total_supply: Quantity::new(STAKE * u128::from(entities)),
        ..StakingGenesis::default()
    };
    for index in 0..entities {
        let own = Address::of_key(&entity_key(seed, index).public());
        let shares = Quantity::new(STAKE);
        let mut account = Account::default();
        account.escrow.active = SharePool {
            balance: shares,
            total_shares: shares,
        };
        staking.ledger.insert(own, account);
        let delegations = [(own, Delegation { shares })].into();
        staking.delegations.insert(own, delegations);
    }
    staking
}

const VERSION: Version = Version {
    major: 1,
    minor: 0,
    patch: 0,
};

fn runtime(plan: &CommitteePlan, seed: &[u8; 32], id: RuntimeId) -> Runtime {
    let slash = Slash {
        amount: Quantity::new(PENALTY),
        freeze_interval: FREEZE_EPOCHS,
    };
    Runtime {
        v: 3,
        id,
        entity_id: entity_key(seed, 0).public(),
        genesis: RuntimeGenesis {
            state_root: Hash::EMPTY,
            round: 0,
        },
        kind: KIND_COMPUTE,
        tee_hardware: 0,
        key_manager: None,
        executor: Executor {
            group_size: plan.size.primaries,
            group_backup_size: plan.size.backups,
            allowed_stragglers: plan.stragglers,
            round_timeout: ROUND_TIMEOUT_HEIGHTS,
            max_messages: 32,
            min_live_rounds_percent: 0,
            max_missed_proposals_percent: 0,
            min_live_rounds_eval: 0,
            max_liveness_fails: 0,
            backup_rule: 0,
        },
        txn_scheduler: TxnScheduler {
            batch_flush_timeout: 50 * MILLISECOND,
            max_batch_size: 1_000,
            max_batch_size_bytes: 16 << 20,
            max_in_messages: 0,
            propose_batch_timeout: 1_000 * MILLISECOND,
        },
        storage: Storage {
            min_write_replication: plan.storage.min(1),
            ..Storage::default()
        },
        admission_policy: AdmissionPolicy {
            any_node: Some(Marker),
            ..AdmissionPolicy::default()
        },
        constraints: BTreeMap::new(),
        staking: RuntimeStaking {
            slashing: [(SlashReason::RuntimeIncorrectResults, slash)].into(),
            ..RuntimeStaking::default()
        },
        governance_model: GOVERNANCE_ENTITY,
        deployments: vec![Deployment {
            version: VERSION,
            valid_from: Epoch(0),
            tee: Blob::default(),
            bundle_checksum: Blob::default(),
        }],
    }
}

/// A node's registration, signed with all of its keys.
fn registration(
    plan: &CommitteePlan,
    seed: &[u8; 32],
    index: u32,
    node: &SecretKey,
) -> MultiSigned {
    let purposes: [&[u8]; 4] = [
        b"trilith/node consensus key",
        b"trilith/node vrf key",
        b"trilith/node tls key",
        b"trilith/node p2p key",
    ];
    let keys = purposes.map(|purpose| derived(purpose, seed, index));
    let [consensus, vrf, tls, p2p] = keys.each_ref().map(SecretKey::public);
    // The nodes talk within a process; descriptors must name an address all the same, each another.
    let here = NodeAddress {
        ip: Blob(vec![127, 0, 0, 1]),
        port: 9_000 + index as u16,
        zone: String::new(),
    };
    let of_runtime = |id: RuntimeId| NodeRuntime {
        id,
        version: VERSION,
        capabilities: Capabilities::default(),
        extra_info: None,
    };
    let runtimes = [CANISTER_RUNTIME, ACCOUNT_RUNTIME].map(of_runtime);
    let descriptor = Node {
        v: 3,
        id: node.public(),
        entity_id: entity_key(seed, index).public(),
        expiration: EXPIRATION,
        tls: TlsInfo { pub_key: tls },
        p2p: P2pInfo {
            id: p2p,
            addresses: Some(vec![here.clone()]),
        },
        consensus: ConsensusInfo {
            id: consensus,
            addresses: Some(vec![ConsensusAddress {
                id: consensus,
                address: here,
            }]),
        },
        vrf: VrfInfo { id: vrf },
        runtimes: (index > 0).then(|| runtimes.to_vec()),
        roles: plan.roles(index).bits(),
        software_version: "trilith".into(),
    };
    let signers = [node, &keys[0], &keys[1], &keys[2], &keys[3]];
    let context = SignatureContext::RegisterNode;
    MultiSigned::sign(&signers, context, &Hash::EMPTY, descriptor.encode())
}
