//! Entities, nodes and runtimes for tests of the registry, on the network of the other tests.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use std::collections::BTreeMap;

use trilith_protocol::root::registry::{
    AdmissionPolicy, Capabilities, ConsensusAddress, ConsensusInfo, Deployment, Entity, Executor,
    GOVERNANCE_ENTITY, KIND_COMPUTE, Marker, Node, NodeAddress, NodeRuntime, P2pInfo,
    REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, Runtime, RuntimeGenesis, RuntimeStaking,
    Storage, TlsInfo, TxnScheduler, Version, VrfInfo,
};
use trilith_protocol::root::staking::{
    Account, Delegation, SharePool, StakingGenesis, StakingParameters, ThresholdKind,
};
use trilith_protocol::root::{Blob, Fee, MultiSigned, Quantity, Signed};
use trilith_protocol::{Receipt, ReceiptStatus, RootGenesis};
use trilith_root::{registry, staking, state};
use trilith_types::{Epoch, Hash, RuntimeId, SecretKey, SignatureContext};

use crate::network::{Network, address, genesis, key, node, rejection};

/// Heights of an epoch.
pub const EPOCH: u64 = 10;
pub const COMPUTE: u32 = 1;
pub const OBSERVER: u32 = 2;
pub const VALIDATOR: u32 = 8;
pub const STORAGE: u32 = 32;

/// Gas without a fee: nodes own nothing.
pub const FREE: Fee = Fee {
    amount: Quantity::ZERO,
    gas: 1_000_000,
};

/// The identifier of a compute runtime without flags.
pub fn real(number: u8) -> RuntimeId {
    let mut bytes = [0; 32];
    bytes[31] = number;
    RuntimeId::from_bytes(bytes)
}

/// Entities 10, 20 and 30 have delegated themselves a hundred thousand base units.
pub fn stakes() -> StakingGenesis {
    let mut staking = StakingGenesis {
        params: StakingParameters {
            debonding_interval: 2,
            thresholds: BTreeMap::from([
                (ThresholdKind::Entity, Quantity::new(100)),
                (ThresholdKind::NodeValidator, Quantity::new(200)),
                (ThresholdKind::NodeCompute, Quantity::new(300)),
                (ThresholdKind::NodeObserver, Quantity::new(50)),
                (ThresholdKind::NodeKeyManager, Quantity::new(400)),
                (ThresholdKind::RuntimeCompute, Quantity::new(500)),
                (ThresholdKind::RuntimeKeyManager, Quantity::new(600)),
            ]),
            ..StakingParameters::default()
        },
        common_pool: Quantity::new(1_000_000),
        total_supply: Quantity::new(4_300_000),
        ..StakingGenesis::default()
    };
    for number in [10, 20, 30] {
        let mut account = Account::default();
        account.general.balance = Quantity::new(1_000_000);
        account.escrow.active = SharePool {
            balance: Quantity::new(100_000),
            total_shares: Quantity::new(100_000),
        };
        let shares = Delegation {
            shares: Quantity::new(100_000),
        };
        let own = address(number);
        staking.ledger.insert(own, account);
        staking.delegations.insert(own, [(own, shares)].into());
    }
    staking
}

pub fn document() -> RootGenesis {
    let mut document = genesis(0, Vec::new());
    document.epoch_interval = EPOCH;
    document.services.staking = stakes();
    document
}

/// A key of a node beside its own: 1 consensus, 2 VRF, 3 TLS, 4 P2P.
pub fn sub_key(number: u8, kind: u8) -> SecretKey {
    let mut seed = [number; 32];
    seed[0] = kind;
    seed[1] = 0xaa;
    SecretKey::from_seed(seed)
}

pub fn at(ip: &[u8]) -> NodeAddress {
    NodeAddress {
        ip: Blob(ip.to_vec()),
        port: 9_000,
        zone: String::new(),
    }
}

pub fn version(major: u16) -> Version {
    Version {
        major,
        minor: 0,
        patch: 0,
    }
}

pub fn of_runtime(id: RuntimeId, major: u16) -> NodeRuntime {
    NodeRuntime {
        id,
        version: version(major),
        capabilities: Capabilities::default(),
        extra_info: None,
    }
}

pub fn entity_of(number: u8, nodes: &[u8]) -> Entity {
    Entity {
        v: 2,
        id: node(number),
        nodes: nodes.iter().map(|number| node(*number)).collect(),
    }
}

/// A node of an entity until an epoch, with some roles and version 1 of some runtimes.
pub fn node_of(
    entity: u8,
    number: u8,
    expiration: u64,
    (roles, runtimes): (u32, &[RuntimeId]),
) -> Node {
    let public = |kind| sub_key(number, kind).public();
    let here = at(&[1, 2, 3, number]);
    Node {
        v: 3,
        id: node(number),
        entity_id: node(entity),
        expiration: Epoch(expiration),
        tls: TlsInfo { pub_key: public(3) },
        p2p: P2pInfo {
            id: public(4),
            addresses: Some(vec![here.clone()]),
        },
        consensus: ConsensusInfo {
            id: public(1),
            addresses: Some(vec![ConsensusAddress {
                id: public(1),
                address: here,
            }]),
        },
        vrf: VrfInfo { id: public(2) },
        runtimes: Some(runtimes.iter().map(|id| of_runtime(*id, 1)).collect()),
        roles,
        software_version: "trilith".into(),
    }
}

/// A runtime of an entity whose version 1 runs from an epoch on.
pub fn runtime_of(entity: u8, id: RuntimeId, valid_from: u64) -> Runtime {
    Runtime {
        v: 3,
        id,
        entity_id: node(entity),
        genesis: RuntimeGenesis {
            state_root: Hash::of(b"genesis state"),
            round: 5,
        },
        kind: KIND_COMPUTE,
        tee_hardware: 0,
        key_manager: None,
        executor: Executor {
            group_size: 1,
            group_backup_size: 0,
            allowed_stragglers: 0,
            round_timeout: 4,
            max_messages: 2,
            min_live_rounds_percent: 0,
            max_missed_proposals_percent: 0,
            min_live_rounds_eval: 0,
            max_liveness_fails: 0,
            backup_rule: 0,
        },
        txn_scheduler: TxnScheduler {
            batch_flush_timeout: 1_000_000_000,
            max_batch_size: 10,
            max_batch_size_bytes: 1 << 20,
            max_in_messages: 0,
            propose_batch_timeout: 2_000_000_000,
        },
        storage: Storage::default(),
        admission_policy: AdmissionPolicy {
            any_node: Some(Marker),
            ..AdmissionPolicy::default()
        },
        constraints: BTreeMap::new(),
        staking: RuntimeStaking::default(),
        governance_model: GOVERNANCE_ENTITY,
        deployments: vec![deployment(1, valid_from)],
    }
}

pub fn deployment(major: u16, valid_from: u64) -> Deployment {
    Deployment {
        version: version(major),
        valid_from: Epoch(valid_from),
        tee: Blob::default(),
        bundle_checksum: Blob::default(),
    }
}

pub fn signed_entity(entity: &Entity, by: u8) -> Signed {
    let context = SignatureContext::RegisterEntity;
    Signed::sign(&key(by), context, &Hash::EMPTY, entity.encode())
}

pub fn signed_node(node: &Node, number: u8) -> MultiSigned {
    let keys = [1, 2, 3, 4].map(|kind| sub_key(number, kind));
    let own = key(number);
    let signers = [&own, &keys[0], &keys[1], &keys[2], &keys[3]];
    let context = SignatureContext::RegisterNode;
    MultiSigned::sign(&signers, context, &Hash::EMPTY, node.encode())
}

impl Network {
    pub fn free(&mut self, number: u8, method: &str, body: Vec<u8>) -> Receipt {
        let transaction = self.signed(number, method, body, Some(FREE));
        self.height(&[transaction]).receipts.remove(0)
    }

    pub fn register_entity(&mut self, number: u8, nodes: &[u8]) -> Receipt {
        let signed = signed_entity(&entity_of(number, nodes), number);
        self.free(number, REGISTER_ENTITY, signed.encode())
    }

    pub fn register_node(&mut self, number: u8, node: &Node) -> Receipt {
        let signed = signed_node(node, number);
        self.free(number, REGISTER_NODE, signed.encode())
    }

    pub fn register_runtime(&mut self, entity: u8, runtime: &Runtime) -> Receipt {
        self.free(entity, REGISTER_RUNTIME, runtime.encode())
    }

    pub fn epoch(&self) -> u64 {
        state::epoch(&self.view).unwrap().epoch.0
    }

    /// Goes on to the first height of the next epoch.
    pub fn next_epoch(&mut self) {
        let epoch = self.epoch();
        while self.epoch() == epoch {
            self.idle(1);
        }
    }

    /// What the account's active stake must cover, by claim.
    pub fn claims(&self, number: u8) -> usize {
        let account = self.account(&address(number));
        account.escrow.stake_accumulator.claims.len()
    }

    pub fn sound(&self) {
        assert_eq!(staking::check(&self.view), Ok(()));
        assert_eq!(registry::check(&self.view), Ok(()));
    }
}

pub fn ok(receipt: &Receipt) {
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
}

pub fn refused(receipt: &Receipt, code: u32) {
    let found = rejection(receipt);
    assert_eq!(found, Some(("registry", code)), "{:?}", receipt.status);
}
