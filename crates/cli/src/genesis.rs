//! The genesis document of a developer network, and the keys that act in it.
//!
//! The network begins with one entity that has stake, its node with every role that one node can
//! have (compute, validator, storage), and the built-in runtimes, all registered: what the commands
//! for entities, nodes and runtimes show and change is there from the first height. All keys follow
//! from the secret seed in the data folder; those that commands need are written out as files:
//!
//! ```text
//! DIR/keys/entity.pem     the entity's key: owns the stake, the node and the runtimes
//! DIR/keys/node/*.pem     the keys of the node: node, consensus, vrf, tls, p2p
//! ```
//!
//! It knows no store and no engine. Numbers here are those of developer networks: a document states
//! them, so that none of them binds other networks.

use std::collections::BTreeMap;

use trilith_node::NodeKeys;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::governance::GovernanceGenesis;
use trilith_protocol::root::registry::{
    AdmissionPolicy, Capabilities, ConsensusAddress, ConsensusInfo, Deployment, ENTITY_VERSION,
    Entity, Executor, GOVERNANCE_ENTITY, KIND_COMPUTE, Marker, NODE_VERSION, Node, NodeAddress,
    NodeRuntime, P2pInfo, RUNTIME_VERSION, RegistryGenesis, Runtime, RuntimeGenesis,
    RuntimeStaking, Storage, TEE_NONE, TlsInfo, TxnScheduler, Version, VrfInfo,
};
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, StakingGenesis, StakingParameters, ThresholdKind,
};
use trilith_protocol::root::{
    Address, Blob, GenesisNode, MultiSigned, NodeRoles, Quantity, Services, Signed,
};
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId, SecretKey, SignatureContext, TimeNanos};

/// Name of the developer network in its genesis document.
pub const CHAIN: &str = "trilith-dev";

/// Heights between two elections, unless another number is asked for.
pub const EPOCH_HEIGHTS: u64 = 3_600;

/// What the entity owns and can spend, in base units: a thousand times its stake.
const ENTITY_BALANCE: u128 = 1_000_000_000;
/// What the entity has delegated to itself, in base units: a thousand times a threshold.
const ENTITY_STAKE: u128 = 1_000_000;
/// What rewards are paid from, in base units.
const COMMON_POOL: u128 = 1_000_000_000;
/// Stake that each kind of registration needs, in base units.
const THRESHOLD: u128 = 1_000;
/// What is deposited with a proposal, in base units.
const PROPOSAL_DEPOSIT: u128 = 1_000;
/// Epochs until votes are counted.
const VOTING_EPOCHS: u64 = 1;
/// Epochs until stake that was taken back is paid out: few, so that it can be seen.
const DEBONDING_EPOCHS: u64 = 2;

/// Where the node of a developer network says it is. Nobody connects there: one process holds the
/// network.
const ADDRESS: NodeAddressParts = ([127, 0, 0, 1], 26_656);

type NodeAddressParts = ([u8; 4], u16);

/// The keys of a node: its own, and those for consensus, beacon, TLS and gossip.
#[derive(Clone)]
pub struct NodeSecrets {
    /// By which it is known; signs proposals and commitments.
    pub node: SecretKey,
    /// Its key in consensus.
    pub consensus: SecretKey,
    /// Its key for the beacon.
    pub vrf: SecretKey,
    /// Its key for TLS.
    pub tls: SecretKey,
    /// Its key in gossip.
    pub p2p: SecretKey,
}

impl NodeSecrets {
    /// The keys of the node of a developer network.
    pub fn of_developer_network(keys: &NodeKeys) -> Self {
        let node = keys.node.clone();
        let of = |purpose: &[u8]| {
            let seed = Hash::of_parts(&[b"trilith/key of a node: ", purpose, &node.seed()]);
            SecretKey::from_seed(*seed.as_bytes())
        };
        Self {
            consensus: of(b"consensus"),
            // The one with which the node proves for a beacon.
            vrf: keys.vrf(),
            tls: of(b"tls"),
            p2p: of(b"p2p"),
            node,
        }
    }

    /// The keys with the names of their files, the node's own first.
    pub fn named(&self) -> [(&'static str, &SecretKey); 5] {
        [
            ("node", &self.node),
            ("consensus", &self.consensus),
            ("vrf", &self.vrf),
            ("tls", &self.tls),
            ("p2p", &self.p2p),
        ]
    }

    /// The descriptor, signed with all keys.
    pub fn sign(&self, descriptor: &Node) -> MultiSigned {
        let keys = self.named().map(|(_, key)| key);
        // The context of descriptors carries no network.
        let context = SignatureContext::RegisterNode;
        MultiSigned::sign(&keys, context, &Hash::EMPTY, descriptor.encode())
    }
}

/// What a node registers as.
pub struct NodeTerms<'a> {
    /// Whose it is.
    pub entity: PublicKey,
    /// The last epoch in which it is registered.
    pub expiration: Epoch,
    /// What it does.
    pub roles: NodeRoles,
    /// Which versions of which runtimes it has.
    pub runtimes: &'a [(RuntimeId, Version)],
    /// Where it can be reached.
    pub address: NodeAddress,
}

/// The descriptor of the node with these keys.
pub fn node_descriptor(keys: &NodeSecrets, terms: NodeTerms<'_>) -> Node {
    let of_runtime = |(id, version): &(RuntimeId, Version)| NodeRuntime {
        id: *id,
        version: *version,
        capabilities: Capabilities::default(),
        extra_info: None,
    };
    let consensus = keys.consensus.public();
    Node {
        v: NODE_VERSION,
        id: keys.node.public(),
        entity_id: terms.entity,
        expiration: terms.expiration,
        tls: TlsInfo {
            pub_key: keys.tls.public(),
        },
        p2p: P2pInfo {
            id: keys.p2p.public(),
            addresses: Some(vec![terms.address.clone()]),
        },
        consensus: ConsensusInfo {
            id: consensus,
            addresses: Some(vec![ConsensusAddress {
                id: consensus,
                address: terms.address,
            }]),
        },
        vrf: VrfInfo {
            id: keys.vrf.public(),
        },
        runtimes: Some(terms.runtimes.iter().map(of_runtime).collect()),
        roles: terms.roles.bits(),
        software_version: concat!("trilith ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// The entity's key on a developer network with this seed.
pub fn entity_key(seed: &[u8; 32]) -> SecretKey {
    let seed = Hash::of_parts(&[b"trilith/entity key", seed]);
    SecretKey::from_seed(*seed.as_bytes())
}

/// An entity's descriptor, signed with its key.
pub fn sign_entity(key: &SecretKey, nodes: Vec<PublicKey>) -> Signed {
    let entity = Entity {
        v: ENTITY_VERSION,
        id: key.public(),
        nodes,
    };
    let context = SignatureContext::RegisterEntity;
    Signed::sign(key, context, &Hash::EMPTY, entity.encode())
}

/// What a developer network begins with.
pub struct Beginning<'a> {
    /// The keys of its node.
    pub keys: &'a NodeKeys,
    /// The entity's key.
    pub entity: &'a SecretKey,
    /// Agreed time of height 0.
    pub time: TimeNanos,
    /// Heights between two elections.
    pub epoch_heights: u64,
    /// The built-in runtimes, ascending.
    pub runtimes: &'a [RuntimeId],
}

/// The genesis document of a developer network.
pub fn developer_network(beginning: &Beginning<'_>) -> RootGenesis {
    let Beginning { keys, entity, .. } = beginning;
    let (consensus_key, certification_key) = keys.threshold_keys();
    let roles = NodeRoles::COMPUTE | NodeRoles::VALIDATOR | NodeRoles::STORAGE;
    let secrets = NodeSecrets::of_developer_network(keys);
    let versions: Vec<(RuntimeId, Version)> =
        beginning.runtimes.iter().map(|id| (*id, VERSION)).collect();
    let (ip, port) = ADDRESS;
    let descriptor = node_descriptor(
        &secrets,
        NodeTerms {
            entity: entity.public(),
            // It is there as long as the network, and nobody has to renew it.
            expiration: Epoch(u64::MAX),
            roles,
            runtimes: &versions,
            address: address(ip, port),
        },
    );
    let runtimes = beginning.runtimes.iter();
    let mut registry = RegistryGenesis {
        entities: vec![sign_entity(entity, vec![keys.node.public()])],
        runtimes: runtimes.map(|id| runtime(*id, entity.public())).collect(),
        nodes: vec![secrets.sign(&descriptor)],
        ..RegistryGenesis::default()
    };
    registry.params.debug_allow_test_runtimes = true;
    registry.params.debug_allow_unroutable_addresses = true;
    // Any number of epochs: nodes of a developer network are not renewed.
    registry.params.max_node_expiration = 0;
    // What is proposed is decided at the next epoch, for a deposit that the entity has.
    let mut governance = GovernanceGenesis::default();
    governance.params.voting_period = VOTING_EPOCHS;
    governance.params.upgrade_min_epoch_diff = VOTING_EPOCHS + 1;
    governance.params.upgrade_cancel_min_epoch_diff = VOTING_EPOCHS + 1;
    governance.params.min_proposal_deposit = Quantity::new(PROPOSAL_DEPOSIT);
    RootGenesis {
        chain: CHAIN.into(),
        time: beginning.time,
        epoch_interval: beginning.epoch_heights,
        nodes: vec![GenesisNode {
            id: keys.node.public(),
            roles,
        }],
        runtimes: Vec::new(),
        consensus_key,
        certification_key,
        services: Services {
            staking: stakes(&entity.public()),
            registry,
            governance,
            ..Services::default()
        },
    }
}

/// An address of the Internet, version 4.
pub(crate) fn address(ip: [u8; 4], port: u16) -> NodeAddress {
    NodeAddress {
        ip: Blob(ip.to_vec()),
        port,
        zone: String::new(),
    }
}

/// One account, the entity's, that has delegated a part to itself.
fn stakes(entity: &PublicKey) -> StakingGenesis {
    let owner = Address::of_key(entity);
    let kinds = [
        ThresholdKind::Entity,
        ThresholdKind::NodeValidator,
        ThresholdKind::NodeCompute,
        ThresholdKind::NodeObserver,
        ThresholdKind::NodeKeyManager,
        ThresholdKind::RuntimeCompute,
        ThresholdKind::RuntimeKeyManager,
    ];
    let thresholds = kinds.map(|kind| (kind, Quantity::new(THRESHOLD)));
    let stake = Quantity::new(ENTITY_STAKE);
    let mut account = Account::default();
    account.general.balance = Quantity::new(ENTITY_BALANCE);
    account.escrow.active = SharePool {
        balance: stake,
        total_shares: stake,
    };
    let own = BTreeMap::from([(owner, Delegation { shares: stake })]);
    StakingGenesis {
        params: StakingParameters {
            thresholds: thresholds.into(),
            debonding_interval: DEBONDING_EPOCHS,
            ..StakingParameters::default()
        },
        common_pool: Quantity::new(COMMON_POOL),
        total_supply: Quantity::new(ENTITY_BALANCE + ENTITY_STAKE + COMMON_POOL),
        ledger: BTreeMap::from([(owner, account)]),
        delegations: BTreeMap::from([(owner, own)]),
        ..StakingGenesis::default()
    }
}

/// The version of the built-in runtimes.
pub(crate) const VERSION: Version = Version {
    major: 1,
    minor: 0,
    patch: 0,
};

/// A runtime that runs by one node from the first epoch on. Also what a template starts from.
pub fn runtime(id: RuntimeId, entity: PublicKey) -> Runtime {
    Runtime {
        v: RUNTIME_VERSION,
        id,
        entity_id: entity,
        genesis: RuntimeGenesis {
            state_root: Hash::EMPTY,
            round: 0,
        },
        kind: KIND_COMPUTE,
        tee_hardware: TEE_NONE,
        key_manager: None,
        executor: Executor {
            group_size: 1,
            group_backup_size: 0,
            allowed_stragglers: 0,
            round_timeout: 5,
            max_messages: 32,
            min_live_rounds_percent: 0,
            max_missed_proposals_percent: 0,
            min_live_rounds_eval: 0,
            max_liveness_fails: 0,
            backup_rule: 0,
        },
        txn_scheduler: TxnScheduler {
            batch_flush_timeout: 50_000_000,
            max_batch_size: 1_000,
            max_batch_size_bytes: 16 * 1024 * 1024,
            max_in_messages: 128,
            propose_batch_timeout: 1_000_000_000,
        },
        storage: Storage::default(),
        admission_policy: AdmissionPolicy {
            any_node: Some(Marker),
            ..AdmissionPolicy::default()
        },
        constraints: BTreeMap::new(),
        staking: RuntimeStaking::default(),
        governance_model: GOVERNANCE_ENTITY,
        deployments: vec![Deployment {
            version: VERSION,
            valid_from: Epoch(0),
            tee: Blob::default(),
            bundle_checksum: Blob::default(),
        }],
    }
}
