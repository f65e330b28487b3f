//! The registry through transactions: what each method does, and every reason to refuse.

mod network;
mod registered;

use network::{Network, RUNTIME, address, key, node, rejection};
use registered::{
    COMPUTE, EPOCH, FREE, OBSERVER, STORAGE, VALIDATOR, at, deployment, document, entity_of,
    node_of, of_runtime, ok, real, refused, runtime_of, signed_entity, signed_node, sub_key,
    version,
};
use trilith_protocol::root::registry::{
    AdmissionPolicy, CapabilityTee, DEREGISTER_ENTITY, EntityWhitelist, GOVERNANCE_CONSENSUS,
    GOVERNANCE_RUNTIME, KIND_KEY_MANAGER, Limit, Marker, Node, NodeStatus, PerRolePolicy,
    REGISTER_ENTITY, REGISTER_NODE, REGISTER_RUNTIME, RegistryEvent, RoleWhitelist,
    RoleWhitelistConfig, Runtime, SchedulingConstraints, TEE_SGX, UNFREEZE_NODE, UnfreezeNode,
    WhitelistConfig,
};
use trilith_protocol::root::staking::{RECLAIM_ESCROW, ReclaimEscrow, ThresholdKind};
use trilith_protocol::root::{Blob, Fee, Quantity};
use trilith_protocol::{HeaderType, RootEvent};
use trilith_root::{registry, state};
use trilith_types::{Epoch, Hash, Round, RuntimeId, SignatureContext};

fn plain() -> Network {
    Network::new(&document())
}

/// A network whose first epoch outlasts a test.
fn still() -> Network {
    let mut document = document();
    document.epoch_interval = 100_000;
    Network::new(&document)
}

fn with_runtime() -> Network {
    and_runtime(plain())
}

/// Entity 10 with nodes 11 to 14, and a runtime that will run.
fn and_runtime(mut network: Network) -> Network {
    ok(&network.register_entity(10, &[11, 12, 13, 14]));
    ok(&network.register_runtime(10, &runtime_of(10, real(1), 1)));
    network
}

fn compute(number: u8, expiration: u64) -> Node {
    node_of(10, number, expiration, (COMPUTE, &[real(1)]))
}

fn changed(node: Node, change: impl FnOnce(&mut Node)) -> Node {
    let mut node = node;
    change(&mut node);
    node
}

fn of(runtime: Runtime, change: impl FnOnce(&mut Runtime)) -> Runtime {
    let mut runtime = runtime;
    change(&mut runtime);
    runtime
}

#[test]
fn an_entity_comes_and_goes() {
    let mut network = plain();
    let receipt = network.register_entity(10, &[11]);
    ok(&receipt);
    let events = RootEvent::decode_list(&receipt.output, 9).unwrap();
    assert!(
        matches!(&events[..], [RootEvent::Registry(RegistryEvent::Entity(event))]
        if event.is_registration && event.id == node(10))
    );
    assert_eq!(network.claims(10), 1);
    ok(&network.register_entity(10, &[11, 12]));
    let found = registry::entity(&network.view, &node(10)).unwrap();
    assert_eq!(found, Some(entity_of(10, &[11, 12])));
    assert_eq!(network.claims(10), 1);
    network.sound();
    ok(&network.free(10, DEREGISTER_ENTITY, Vec::new()));
    assert_eq!(registry::entity(&network.view, &node(10)), Ok(None));
    assert_eq!(network.claims(10), 0);
    network.sound();
}

#[test]
fn entities_that_are_refused() {
    let mut network = and_runtime(still());
    ok(&network.register_entity(20, &[21]));
    ok(&network.register_node(21, &node_of(20, 21, 2, (VALIDATOR, &[]))));
    let mut old = entity_of(10, &[]);
    old.v = 1;
    let mut forged = signed_entity(&entity_of(10, &[]), 10);
    forged.raw.0[10] ^= 1;
    let no_entity = trilith_protocol::root::Signed::sign(
        &key(10),
        SignatureContext::RegisterEntity,
        &Hash::EMPTY,
        vec![0x01],
    );
    let own = |entity: &_| signed_entity(entity, 10).encode();
    let cases = [
        (10, REGISTER_ENTITY, vec![0x01], 1),
        (10, REGISTER_ENTITY, no_entity.encode(), 1),
        (10, REGISTER_ENTITY, forged.encode(), 2),
        (
            10,
            REGISTER_ENTITY,
            signed_entity(&entity_of(10, &[]), 20).encode(),
            12,
        ),
        (20, REGISTER_ENTITY, own(&entity_of(10, &[])), 12),
        (10, REGISTER_ENTITY, own(&old), 101),
        (10, REGISTER_ENTITY, own(&entity_of(10, &[1, 2, 1])), 102),
        (10, DEREGISTER_ENTITY, vec![0xa0], 1),
        (30, DEREGISTER_ENTITY, Vec::new(), 9),
        (20, DEREGISTER_ENTITY, Vec::new(), 15),
        (10, DEREGISTER_ENTITY, Vec::new(), 19),
    ];
    for (signer, method, body, code) in cases {
        refused(&network.free(signer, method, body), code);
        network.sound();
    }
    // Who has no stake cannot register.
    let receipt = network.register_entity(40, &[]);
    assert_eq!(rejection(&receipt), Some(("staking", 4)));
}

#[test]
fn a_runtime_runs_once_its_nodes_have_waited() {
    let mut network = with_runtime();
    assert_eq!(network.claims(10), 2);
    assert_eq!(
        state::latest_block(&network.view, &real(1))
            .unwrap()
            .unwrap()
            .round,
        Round(5)
    );
    ok(&network.register_node(11, &compute(11, 2)));
    assert_eq!(network.claims(10), 3);
    network.sound();
    let committee = |network: &Network| state::committee(&network.view, &real(1)).unwrap();
    assert_eq!(committee(&network), None);
    // In the first epoch after its registration nobody knows yet which key would be elected.
    network.next_epoch();
    assert_eq!(committee(&network), None);
    assert!(
        registry::suspended_runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    // A node that pays lets the runtime run again; its committee comes with the next epoch.
    ok(&network.register_node(11, &compute(11, 3)));
    assert!(
        registry::runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    network.next_epoch();
    assert_eq!(committee(&network).unwrap().workers, [node(11)]);
    let block = state::latest_block(&network.view, &real(1))
        .unwrap()
        .unwrap();
    assert_eq!(
        (block.round, block.header_type),
        (Round(6), HeaderType::EpochTransition)
    );
    network.sound();
    // Its registration ends with epoch 3: in epoch 4 there is nobody.
    network.next_epoch();
    assert!(committee(&network).is_some());
    network.next_epoch();
    assert_eq!(committee(&network), None);
    let block = state::latest_block(&network.view, &real(1))
        .unwrap()
        .unwrap();
    assert_eq!(block.header_type, HeaderType::Suspended);
    let told = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Registry(RegistryEvent::Node(event))
            if !event.is_registration && event.id == node(11))
    });
    assert!(told);
    // For the debonding interval it stays known, and its claim with it.
    assert_eq!(network.claims(10), 3);
    network.next_epoch();
    network.sound();
    assert!(registry::node(&network.view, &node(11)).unwrap().is_some());
    network.next_epoch();
    assert_eq!(registry::node(&network.view, &node(11)), Ok(None));
    assert_eq!(registry::node_status(&network.view, &node(11)), Ok(None));
    assert_eq!(network.claims(10), 2);
    network.sound();
}

#[test]
fn a_node_that_comes_back_or_has_a_new_beacon_key_waits() {
    let mut network = with_runtime();
    ok(&network.register_node(11, &compute(11, 2)));
    let waits = |network: &Network| {
        let status = registry::node_status(&network.view, &node(11)).unwrap();
        status.unwrap().election_eligible_after
    };
    assert_eq!(waits(&network), u64::MAX);
    network.next_epoch();
    assert_eq!(waits(&network), 1);
    ok(&network.register_node(11, &compute(11, 3)));
    assert_eq!(waits(&network), 1);
    let rekeyed = changed(compute(11, 3), |node| node.vrf.id = sub_key(99, 2).public());
    let keys = [
        sub_key(11, 1),
        sub_key(99, 2),
        sub_key(11, 3),
        sub_key(11, 4),
    ];
    let own = key(11);
    let signers = [&own, &keys[0], &keys[1], &keys[2], &keys[3]];
    let signed = trilith_protocol::root::MultiSigned::sign(
        &signers,
        SignatureContext::RegisterNode,
        &Hash::EMPTY,
        rekeyed.encode(),
    );
    ok(&network.free(11, REGISTER_NODE, signed.encode()));
    assert_eq!(waits(&network), u64::MAX);
    network.sound();
    for _ in 0..3 {
        network.next_epoch();
    }
    assert_eq!(waits(&network), 2);
    // It has expired with epoch 3, and registers again.
    let status = registry::node_status(&network.view, &node(11)).unwrap();
    assert!(status.unwrap().expiration_processed);
    ok(&network.register_node(11, &compute(11, 6)));
    assert_eq!(waits(&network), u64::MAX);
    let status = registry::node_status(&network.view, &node(11)).unwrap();
    assert!(!status.unwrap().expiration_processed);
    network.sound();
}

#[test]
fn maintenance_is_paid_for_epochs_that_are_new() {
    let mut network = with_runtime();
    ok(&network.register_runtime(10, &runtime_of(10, real(2), 1)));
    let two = |expiration| node_of(10, 11, expiration, (COMPUTE, &[real(1), real(2)]));
    let try_gas = |network: &mut Network, node: &Node, epochs: u64, less: u64| {
        let body = signed_node(node, 11).encode();
        let make = |gas| Fee { gas, ..FREE };
        let len = |network: &Network, gas| {
            let signed = network.signed(11, REGISTER_NODE, body.clone(), Some(make(gas)));
            signed.len() as u64
        };
        // The length depends a little on the gas.
        let mut gas = 1_000 * 2 * epochs;
        gas += len(network, gas + 2_000);
        let fee = Some(make(gas - less));
        let transaction = network.signed(11, REGISTER_NODE, body.clone(), fee);
        network.height(&[transaction]).receipts.remove(0)
    };
    let short = try_gas(&mut network, &two(1), 1, 10);
    assert_eq!(rejection(&short), Some(("consensus/transaction", 103)));
    ok(&try_gas(&mut network, &two(1), 1, 0));
    // One epoch is paid already.
    let short = try_gas(&mut network, &two(2), 1, 10);
    assert_eq!(rejection(&short), Some(("consensus/transaction", 103)));
    ok(&try_gas(&mut network, &two(2), 1, 0));
    // The same again costs nothing but its bytes, and a shorter one gives nothing back.
    ok(&try_gas(&mut network, &two(2), 0, 0));
    ok(&try_gas(&mut network, &two(1), 0, 0));
    network.sound();
}

/// Node descriptors that are refused, each with its number.
fn bad_nodes() -> Vec<(u32, Node)> {
    let good = || compute(11, 2);
    let tee = |hardware| CapabilityTee {
        hardware,
        rak: node(1),
        rek: None,
        attestation: None,
    };
    let with = |change: &dyn Fn(&mut Node)| changed(good(), change);
    let runtimes = |list: Vec<_>| changed(good(), |node| node.runtimes = Some(list));
    vec![
        (101, with(&|node| node.v = 2)),
        (104, with(&|node| node.roles = 0)),
        (104, with(&|node| node.roles = 16)),
        (104, with(&|node| node.software_version = "x".repeat(129))),
        (104, with(&|node| node.vrf.id = sub_key(12, 2).public())),
        (104, with(&|node| node.runtimes = None)),
        (104, with(&|node| node.p2p.addresses = None)),
        (
            104,
            with(&|node| node.p2p.addresses = Some(vec![at(&[127, 0, 0, 1])])),
        ),
        (
            104,
            with(&|node| node.p2p.addresses = Some(vec![at(&[1, 2])])),
        ),
        (
            104,
            with(&|node| {
                node.roles |= VALIDATOR;
                node.consensus.addresses = None;
            }),
        ),
        (
            104,
            with(&|node| {
                node.roles = VALIDATOR;
            }),
        ),
        (
            104,
            runtimes(vec![of_runtime(real(1), 1), of_runtime(real(1), 1)]),
        ),
        (11, runtimes(vec![of_runtime(real(9), 1)])),
        (9, with(&|node| node.entity_id = key(30).public())),
        (
            105,
            changed(good(), |node| node.entity_id = key(20).public()),
        ),
        (106, with(&|node| node.expiration = Epoch(3))),
        (13, with(&|node| node.expiration = Epoch(0))),
        (
            8,
            with(&|node| {
                let runtimes = node.runtimes.as_mut().unwrap();
                runtimes[0].capabilities.tee = Some(tee(1));
            }),
        ),
        (
            103,
            runtimes(vec![{
                let mut of = of_runtime(real(3), 1);
                of.capabilities.tee = Some(tee(1));
                of
            }]),
        ),
        (
            104,
            runtimes(vec![{
                let mut of = of_runtime(real(3), 7);
                of.capabilities.tee = Some(tee(1));
                of
            }]),
        ),
    ]
}

/// A runtime in enclaves, of which it names one.
fn in_enclaves() -> Runtime {
    of(runtime_of(10, real(3), 1), |runtime| {
        runtime.tee_hardware = TEE_SGX;
        let constraints = b"\xa2\x61v\x01\x68enclaves\x81\xa0";
        runtime.deployments[0].tee = Blob(constraints.to_vec());
    })
}

#[test]
fn nodes_that_are_refused() {
    let mut network = and_runtime(still());
    ok(&network.register_entity(20, &[21]));
    ok(&network.register_runtime(10, &in_enclaves()));
    for (code, node) in bad_nodes() {
        let receipt = network.register_node(11, &node);
        refused(&receipt, code);
        network.sound();
    }
    let good = compute(11, 2);
    let signed = signed_node(&good, 11);
    let mut forged = signed.clone();
    forged.raw.0[12] ^= 1;
    let mut missing = signed.clone();
    missing.signatures.remove(0);
    let mut repeated = signed.clone();
    repeated.signatures.push(signed.signatures[0].clone());
    let context = SignatureContext::RegisterNode;
    let keys = [key(11), sub_key(11, 1), sub_key(11, 2), sub_key(11, 3)];
    let signers = [&keys[0], &keys[1], &keys[2], &keys[3]];
    let twice = changed(good.clone(), |node| node.p2p.id = node.tls.pub_key);
    let multi = |raw: Vec<u8>| {
        trilith_protocol::root::MultiSigned::sign(&signers, context, &Hash::EMPTY, raw).encode()
    };
    let cases = [
        (11, vec![0x01], 1),
        (11, multi(vec![0x01]), 1),
        (11, forged.encode(), 2),
        (11, missing.encode(), 104),
        (11, repeated.encode(), 104),
        (11, multi(twice.encode()), 104),
        (12, signed.encode(), 12),
    ];
    for (signer, body, code) in cases {
        refused(&network.free(signer, REGISTER_NODE, body), code);
        network.sound();
    }
    // A key of another node.
    ok(&network.register_node(11, &good));
    let thief = changed(compute(12, 2), |node| node.vrf.id = good.vrf.id);
    let keys = [
        key(12),
        sub_key(12, 1),
        sub_key(11, 2),
        sub_key(12, 3),
        sub_key(12, 4),
    ];
    let signers = [&keys[0], &keys[1], &keys[2], &keys[3], &keys[4]];
    let stolen =
        trilith_protocol::root::MultiSigned::sign(&signers, context, &Hash::EMPTY, thief.encode());
    refused(&network.free(12, REGISTER_NODE, stolen.encode()), 104);
    network.sound();
}

#[test]
fn addresses_that_not_everyone_can_reach_are_refused() {
    let mut network = and_runtime(still());
    let v6 = |groups: [u16; 8]| std::net::Ipv6Addr::from(groups).octets().to_vec();
    let unreachable: [Vec<u8>; 9] = [
        vec![10, 1, 2, 3],
        vec![172, 31, 0, 1],
        vec![192, 168, 0, 1],
        vec![100, 127, 0, 1],
        vec![239, 1, 1, 1],
        vec![255, 255, 255, 255],
        v6([0, 0, 0, 0, 0, 0, 0, 1]),
        v6([0xfe80, 0, 0, 0, 0, 0, 0, 1]),
        v6([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]),
    ];
    for ip in unreachable {
        let node = changed(compute(11, 2), |node| {
            node.p2p.addresses = Some(vec![at(&ip)]);
        });
        refused(&network.register_node(11, &node), 104);
    }
    for ip in [vec![172, 32, 0, 1], v6([0x2a00, 1, 0, 0, 0, 0, 0, 1])] {
        let node = changed(compute(11, 2), |node| {
            node.p2p.addresses = Some(vec![at(&ip)]);
        });
        ok(&network.register_node(11, &node));
    }
    let mut document = document();
    document
        .services
        .registry
        .params
        .debug_allow_unroutable_addresses = true;
    let mut network = Network::new(&document);
    ok(&network.register_entity(10, &[11]));
    let local = changed(node_of(10, 11, 2, (VALIDATOR, &[])), |node| {
        node.p2p.addresses = Some(vec![at(&[127, 0, 0, 1])]);
    });
    ok(&network.register_node(11, &local));
}

#[test]
fn what_cannot_change_of_a_node() {
    let mut network = with_runtime();
    ok(&network.register_entity(20, &[11]));
    ok(&network.register_runtime(10, &runtime_of(10, real(2), 1)));
    let both = node_of(10, 11, 2, (COMPUTE | OBSERVER, &[real(1), real(2)]));
    ok(&network.register_node(11, &both));
    network.next_epoch();
    let moved = changed(both.clone(), |node| {
        node.entity_id = node_of(20, 1, 1, (1, &[])).entity_id
    });
    let fewer = node_of(10, 11, 2, (COMPUTE, &[real(1)]));
    let older = changed(both.clone(), |node| {
        node.runtimes = Some(vec![of_runtime(real(1), 1), of_runtime(real(2), 9)]);
    });
    let other_role = changed(both.clone(), |node| node.roles = STORAGE);
    for node in [moved, fewer, older, other_role] {
        refused(&network.register_node(11, &node), 17);
        network.sound();
    }
    // The consensus key.
    let rekeyed = changed(both.clone(), |node| {
        node.consensus.id = sub_key(77, 1).public()
    });
    let keys = [
        key(11),
        sub_key(77, 1),
        sub_key(11, 2),
        sub_key(11, 3),
        sub_key(11, 4),
    ];
    let signers = [&keys[0], &keys[1], &keys[2], &keys[3], &keys[4]];
    let signed = trilith_protocol::root::MultiSigned::sign(
        &signers,
        SignatureContext::RegisterNode,
        &Hash::EMPTY,
        rekeyed.encode(),
    );
    refused(&network.free(11, REGISTER_NODE, signed.encode()), 17);
    // Once the registration is over, runtimes may change.
    for _ in 0..2 {
        network.next_epoch();
    }
    ok(&network.register_node(11, &node_of(10, 11, 4, (COMPUTE, &[real(1)]))));
    network.sound();
}

#[test]
fn a_frozen_node_is_thawed_by_its_entity_when_its_time_has_come() {
    let mut document = document();
    let registry = &mut document.services.registry;
    registry.entities = vec![signed_entity(&entity_of(10, &[11]), 10)];
    registry.nodes = vec![signed_node(&node_of(10, 11, 9, (VALIDATOR, &[])), 11)];
    let frozen = NodeStatus {
        freeze_end_time: 2,
        ..NodeStatus::default()
    };
    registry.node_statuses = [(node(11), frozen)].into();
    let mut network = Network::new(&document);
    let thaw = |number| UnfreezeNode {
        node_id: node(number),
    };
    refused(&network.free(10, UNFREEZE_NODE, vec![0x01]), 1);
    refused(&network.free(10, UNFREEZE_NODE, thaw(12).encode()), 10);
    refused(&network.free(20, UNFREEZE_NODE, thaw(11).encode()), 3);
    refused(&network.free(10, UNFREEZE_NODE, thaw(11).encode()), 14);
    network.next_epoch();
    refused(&network.free(10, UNFREEZE_NODE, thaw(11).encode()), 14);
    network.next_epoch();
    let status = registry::node_status(&network.view, &node(11))
        .unwrap()
        .unwrap();
    assert_eq!(status.freeze_end_time, 2, "time alone does not thaw it");
    ok(&network.free(10, UNFREEZE_NODE, thaw(11).encode()));
    let status = registry::node_status(&network.view, &node(11))
        .unwrap()
        .unwrap();
    assert_eq!(status.freeze_end_time, 0);
    network.sound();
}

/// Runtime descriptors that are refused, each with its number.
fn bad_runtimes() -> Vec<(u32, Runtime)> {
    let with = |change: &dyn Fn(&mut Runtime)| of(runtime_of(10, real(5), 1), change);
    let mut test = [0; 32];
    test[0] = 0x80;
    let mut keeper = [0; 32];
    keeper[0] = 0x40;
    let keeper = RuntimeId::from_bytes(keeper);
    let list = EntityWhitelist::default();
    vec![
        (101, with(&|r| r.v = 2)),
        (107, with(&|r| r.kind = 3)),
        (107, with(&|r| r.tee_hardware = 2)),
        (107, with(&|r| r.governance_model = 4)),
        (107, with(&|r| r.kind = KIND_KEY_MANAGER)),
        (107, with(&|r| r.id = keeper)),
        (107, with(&|r| r.id = RuntimeId::from_bytes([0; 32]))),
        (107, with(&|r| r.id = RuntimeId::from_bytes(test))),
        (107, with(&|r| r.key_manager = Some(r.id))),
        (107, with(&|r| r.key_manager = Some(real(1)))),
        (107, with(&|r| r.genesis.round = u64::MAX)),
        (107, with(&|r| r.executor.group_size = 0)),
        (107, with(&|r| r.executor.group_size = 2)),
        (107, with(&|r| r.executor.allowed_stragglers = 2)),
        (107, with(&|r| r.executor.round_timeout = 0)),
        (107, with(&|r| r.executor.min_live_rounds_percent = 101)),
        (107, with(&|r| r.executor.backup_rule = 2)),
        (
            107,
            with(&|r| r.txn_scheduler.batch_flush_timeout = 49_999_999),
        ),
        (
            107,
            with(&|r| r.txn_scheduler.propose_batch_timeout = 999_999_999),
        ),
        (
            107,
            with(&|r| r.txn_scheduler.batch_flush_timeout = 2_000_000_001),
        ),
        (107, with(&|r| r.txn_scheduler.max_batch_size = 0)),
        (107, with(&|r| r.txn_scheduler.max_batch_size_bytes = 1_023)),
        (107, with(&|r| r.txn_scheduler.max_in_messages = u32::MAX)),
        (107, with(&|r| r.storage.checkpoint_interval = 9)),
        (107, with(&|r| r.storage.checkpoint_interval = 10)),
        (107, with(&|r| r.staking.reward_bad_results = 101)),
        (107, with(&|r| r.staking.reward_equivocation = 101)),
        (
            107,
            with(&|r| {
                let thresholds = &mut r.staking.thresholds;
                thresholds.insert(ThresholdKind::NodeKeyManager, Quantity::new(1));
            }),
        ),
        (
            107,
            with(&|r| r.admission_policy = AdmissionPolicy::default()),
        ),
        (
            107,
            with(&|r| r.admission_policy.entity_whitelist = Some(list.clone())),
        ),
        (
            107,
            with(&|r| {
                r.admission_policy.any_node = None;
                r.admission_policy
                    .per_role
                    .insert(3, PerRolePolicy::default());
            }),
        ),
        (
            107,
            with(&|r| {
                r.constraints.insert(3, Default::default());
            }),
        ),
        (
            107,
            with(&|r| {
                // Storage nodes have one role.
                let limits = SchedulingConstraints::default();
                r.constraints.insert(2, [(2, limits)].into());
            }),
        ),
        (
            107,
            // A storage group that nobody asks for signatures.
            with(&|r| r.storage.group_size = 1),
        ),
        (
            107,
            // One that cannot give enough of them.
            with(&|r| {
                (r.storage.group_size, r.storage.min_write_replication) = (2, 3);
            }),
        ),
        (
            107,
            with(&|r| {
                let limits = SchedulingConstraints {
                    max_nodes: Some(Limit { limit: 1 }),
                    validator_set: Some(Marker),
                    min_pool_size: None,
                };
                r.constraints.insert(1, [(3, limits)].into());
            }),
        ),
        (16, with(&|r| r.governance_model = GOVERNANCE_CONSENSUS)),
        (108, with(&|r| r.deployments.clear())),
        (
            108,
            with(&|r| r.deployments = (1..=6).map(|v| deployment(v, 1)).collect()),
        ),
        (108, with(&|r| r.deployments.push(deployment(1, 0)))),
        (108, with(&|r| r.deployments.push(deployment(2, 1)))),
        (108, with(&|r| r.deployments.push(deployment(2, 2)))),
        (
            108,
            with(&|r| r.deployments[0].bundle_checksum = Blob(vec![1; 31])),
        ),
        (108, with(&|r| r.deployments[0].tee = Blob(vec![0xa0]))),
        (
            5,
            of(in_enclaves(), |r| r.deployments[0].tee = Blob(vec![0xa0])),
        ),
        (
            5,
            of(in_enclaves(), |r| r.deployments[0].tee = Blob::default()),
        ),
        (18, with(&|r| r.deployments[0].valid_from = Epoch(0))),
        (9, with(&|r| r.entity_id = node(30))),
        (11, of(in_enclaves(), |r| r.key_manager = Some(keeper))),
    ]
}

#[test]
fn runtimes_that_are_refused() {
    let mut network = and_runtime(still());
    refused(&network.free(10, REGISTER_RUNTIME, vec![0x01]), 1);
    for (code, runtime) in bad_runtimes() {
        // An entity that is not registered signs for itself.
        let signer = if code == 9 { 30 } else { 10 };
        refused(&network.register_runtime(signer, &runtime), code);
        network.sound();
    }
    refused(
        &network.register_runtime(20, &runtime_of(10, real(5), 1)),
        12,
    );
    let own = of(runtime_of(10, real(5), 1), |r| {
        r.governance_model = GOVERNANCE_RUNTIME
    });
    refused(&network.register_runtime(10, &own), 16);
    let refuses = |change: &dyn Fn(&mut trilith_protocol::root::registry::RegistryParameters)| {
        let mut document = document();
        change(&mut document.services.registry.params);
        let mut network = Network::new(&document);
        ok(&network.register_entity(10, &[]));
        network
    };
    let mut off = refuses(&|params| params.disable_runtime_registration = true);
    refused(&off.register_runtime(10, &runtime_of(10, real(1), 1)), 16);
    let mut off = refuses(&|params| params.disable_km_runtime_registration = true);
    let mut id = [0; 32];
    id[0] = 0x40;
    let keeper = of(in_enclaves(), |r| {
        r.id = RuntimeId::from_bytes(id);
        r.kind = KIND_KEY_MANAGER;
    });
    refused(&off.register_runtime(10, &keeper), 16);
    // It registers where it may, and has no blocks.
    ok(&network.register_runtime(10, &keeper));
    assert_eq!(state::latest_block(&network.view, &keeper.id), Ok(None));
    let with_keeper = of(in_enclaves(), |r| r.key_manager = Some(keeper.id));
    ok(&network.register_runtime(10, &with_keeper));
    network.sound();
}

#[test]
fn an_identifier_of_the_plain_list_is_taken() {
    let mut document = document();
    document.runtimes = vec![network::descriptor(RUNTIME, network::rules(1, 0, 0))];
    document.services.registry.params.debug_allow_test_runtimes = true;
    let mut network = Network::new(&document);
    ok(&network.register_entity(10, &[]));
    refused(
        &network.register_runtime(10, &runtime_of(10, RUNTIME, 1)),
        110,
    );
    ok(&network.register_runtime(10, &runtime_of(10, RuntimeId::test(9), 1)));
    network.sound();
}

#[test]
fn there_is_a_limit_of_runtimes() {
    let mut document = document();
    let plain =
        (0..1_024u64).map(|n| network::descriptor(RuntimeId::test(n), network::rules(1, 0, 0)));
    document.runtimes = plain.collect();
    let mut network = Network::new(&document);
    ok(&network.register_entity(10, &[]));
    refused(
        &network.register_runtime(10, &runtime_of(10, real(1), 1)),
        109,
    );
}

#[test]
fn what_cannot_change_of_a_runtime() {
    let mut network = with_runtime();
    ok(&network.register_entity(20, &[]));
    network.next_epoch();
    let running = runtime_of(10, real(1), 1);
    let with = |change: &dyn Fn(&mut Runtime)| of(running.clone(), change);
    let bad = [
        with(&|r| r.genesis.round = 6),
        with(&|r| r.deployments[0].bundle_checksum = Blob(vec![1; 32])),
        with(&|r| r.deployments = vec![deployment(2, 2)]),
        with(&|r| r.deployments.insert(0, deployment(0, 0))),
    ];
    for runtime in bad {
        refused(&network.register_runtime(10, &runtime), 18);
        network.sound();
    }
    let next = with(&|r| {
        r.deployments.push(deployment(2, 3));
        r.executor.round_timeout = 9;
    });
    ok(&network.register_runtime(10, &next));
    // The rules of the running epoch stay those it began with.
    let rules = |network: &Network| {
        let descriptor = state::descriptor(&network.view, &real(1)).unwrap();
        descriptor.unwrap().executor.round_timeout
    };
    assert_eq!(rules(&network), 4);
    // A version that does not run yet can be put off.
    ok(&network.register_runtime(10, &with(&|r| r.deployments.push(deployment(2, 4)))));
    ok(&network.register_runtime(10, &next));
    // The new owner's stake is claimed instead of the old one's, and the new owner decides.
    let claims = network.claims(10);
    ok(&network.register_runtime(10, &of(next.clone(), |r| r.entity_id = node(20))));
    assert_eq!((network.claims(10), network.claims(20)), (claims - 1, 2));
    refused(&network.register_runtime(10, &next), 12);
    network.sound();
    // It can be given to itself, which needs stake of its own, and back only by itself.
    let own = of(next.clone(), |r| {
        r.entity_id = node(20);
        r.governance_model = GOVERNANCE_RUNTIME;
    });
    let receipt = network.register_runtime(20, &own);
    assert_eq!(rejection(&receipt), Some(("staking", 4)));
    let escrow = trilith_protocol::root::staking::Escrow {
        account: trilith_protocol::root::Address::of_runtime(&real(1)),
        amount: Quantity::new(500),
    };
    ok(&network.free(
        20,
        trilith_protocol::root::staking::ADD_ESCROW,
        escrow.encode(),
    ));
    ok(&network.register_runtime(20, &own));
    assert_eq!(network.claims(20), 1);
    network.sound();
    refused(
        &network.register_runtime(20, &of(own.clone(), |r| r.governance_model = 1)),
        18,
    );
    refused(&network.register_runtime(20, &own), 16);
}

#[test]
fn admission_policies() {
    let mut network = still();
    ok(&network.register_entity(10, &[11, 12, 13]));
    ok(&network.register_entity(20, &[21]));
    let listed = WhitelistConfig {
        max_nodes: [(COMPUTE, 2)].into(),
    };
    let whitelist = EntityWhitelist {
        entities: [(node(10), listed)].into(),
    };
    let policy = AdmissionPolicy {
        any_node: None,
        entity_whitelist: Some(whitelist),
        per_role: Default::default(),
    };
    let runtime = of(runtime_of(10, real(1), 1), |r| r.admission_policy = policy);
    ok(&network.register_runtime(10, &runtime));
    ok(&network.register_node(11, &compute(11, 2)));
    ok(&network.register_node(12, &compute(12, 1)));
    refused(&network.register_node(13, &compute(13, 2)), 16);
    refused(
        &network.register_node(21, &node_of(20, 21, 2, (COMPUTE, &[real(1)]))),
        16,
    );
    // A role that the list does not have is not taken, but what is there may be renewed.
    let observer = node_of(10, 13, 2, (OBSERVER, &[real(1)]));
    refused(&network.register_node(13, &observer), 16);
    ok(&network.register_node(12, &compute(12, 2)));
    // Per role.
    let one = RoleWhitelistConfig { max_nodes: 1 };
    let only = PerRolePolicy {
        entity_whitelist: Some(RoleWhitelist {
            entities: [(node(10), one)].into(),
        }),
    };
    let policy = AdmissionPolicy {
        any_node: None,
        entity_whitelist: None,
        per_role: [(OBSERVER, only)].into(),
    };
    let runtime = of(runtime_of(10, real(2), 1), |r| r.admission_policy = policy);
    ok(&network.register_runtime(10, &runtime));
    let at_two = |entity, number, roles| node_of(entity, number, 2, (roles, &[real(2)]));
    ok(&network.register_node(21, &at_two(20, 21, COMPUTE)));
    refused(
        &network.register_node(21, &at_two(20, 21, COMPUTE | OBSERVER)),
        16,
    );
    ok(&network.register_node(13, &at_two(10, 13, OBSERVER)));
    let both = |number| node_of(10, number, 2, (COMPUTE | OBSERVER, &[real(1), real(2)]));
    refused(&network.register_node(11, &both(11)), 16);
    network.sound();
}

#[test]
fn too_little_stake_suspends_a_runtime_and_elects_no_node() {
    let mut network = with_runtime();
    ok(&network.register_entity(20, &[21]));
    ok(&network.register_node(21, &node_of(20, 21, 2, (COMPUTE, &[real(1)]))));
    network.next_epoch();
    ok(&network.register_node(21, &node_of(20, 21, 3, (COMPUTE, &[real(1)]))));
    network.next_epoch();
    assert!(state::committee(&network.view, &real(1)).unwrap().is_some());
    // The owner takes its stake back: 100 for the entity and 500 for the runtime are not there.
    let all = |number, shares| ReclaimEscrow {
        account: address(number),
        shares: Quantity::new(shares),
    };
    ok(&network.free(10, RECLAIM_ESCROW, all(10, 99_500).encode()));
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &real(1)), Ok(None));
    assert!(
        registry::suspended_runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    let block = state::latest_block(&network.view, &real(1))
        .unwrap()
        .unwrap();
    assert_eq!(block.header_type, HeaderType::Suspended);
    // A node that registers changes nothing as long as the stake is not there.
    ok(&network.register_node(21, &node_of(20, 21, 5, (COMPUTE, &[real(1)]))));
    assert!(
        registry::suspended_runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    let escrow = trilith_protocol::root::staking::Escrow {
        account: address(10),
        amount: Quantity::new(600),
    };
    ok(&network.free(
        10,
        trilith_protocol::root::staking::ADD_ESCROW,
        escrow.encode(),
    ));
    ok(&network.register_node(21, &node_of(20, 21, 5, (COMPUTE, &[real(1)]))));
    assert!(
        registry::runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    // Now the node's entity has too little.
    ok(&network.free(20, RECLAIM_ESCROW, all(20, 99_900).encode()));
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &real(1)), Ok(None));
    network.sound();
    assert_eq!(network.epoch(), 4);
    assert_eq!(EPOCH, 10);
}

#[test]
fn nodes_with_another_version_are_not_elected() {
    let mut network = with_runtime();
    let two = of(runtime_of(10, real(1), 1), |r| {
        r.deployments.push(deployment(2, 3))
    });
    network.next_epoch();
    ok(&network.register_runtime(10, &two));
    let node = |expiration| {
        changed(compute(11, expiration), |node| {
            node.runtimes = Some(vec![of_runtime(real(1), 2)]);
        })
    };
    ok(&network.register_node(11, &node(3)));
    network.next_epoch();
    assert_eq!(state::committee(&network.view, &real(1)), Ok(None));
    ok(&network.register_node(11, &node(4)));
    network.next_epoch();
    let committee = state::committee(&network.view, &real(1)).unwrap();
    assert_eq!(
        committee.map(|committee| committee.workers),
        Some(vec![key(11).public()])
    );
    assert_eq!(version(2).major, 2);
}
