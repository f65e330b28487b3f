//! What an epoch costs the root: 10,000 registered nodes of 100 entities, each in one of 100
//! runtimes, are looked at, and 100 committees of 3 + 4 are elected, by entropy or by the outputs of
//! all nodes' random functions. Also a height in which nothing happens, one of 100 proofs of random
//! functions, and one of 1,000 transfers. All read everything anew from a map in memory: sealing the
//! state is not part of it.

#[path = "../tests/network/mod.rs"]
mod network;
#[path = "../tests/registered/mod.rs"]
mod registered;

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use network::Network;
use registered::{document, runtime_of};
use trilith_protocol::RootGenesis;
use trilith_protocol::Runtime as _;
use trilith_protocol::root::beacon::{
    BeaconParameters, BeaconSource, VRF_PROVE, VrfParameters, VrfProve,
};
use trilith_protocol::root::registry::{Entity, Node};
use trilith_protocol::root::staking::{Account, Delegation, SharePool, TRANSFER, Transfer};
use trilith_protocol::root::{Address, Blob, MultiSigned, Quantity, RawItem, Signed, Transaction};
use trilith_root::{beacon, state};
use trilith_types::{Hash, RuntimeId, SecretKey, SignatureContext};

const RUNTIMES: u32 = 100;
const NODES: u32 = 10_000;
const EPOCH: u64 = 10;
const TRANSFERS: u32 = 1_000;
/// Proofs of one height.
const PROOFS: u32 = 100;

fn key(number: u32, kind: u8) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(seed)
}

fn runtime(number: u32) -> RuntimeId {
    let mut bytes = [0; 32];
    bytes[28..].copy_from_slice(&(number + 1).to_be_bytes());
    RuntimeId::from_bytes(bytes)
}

/// Keys of entities are of a kind of their own.
const ENTITY: u8 = 9;

/// A node of one entity for one runtime, like those of the tests.
fn node_of(number: u32) -> Node {
    let mut node = registered::node_of(10, 11, 1_000_000, (1, &[runtime(number % RUNTIMES)]));
    node.entity_id = key(number / (NODES / RUNTIMES), ENTITY).public();
    let public = |kind| key(number, kind).public();
    node.id = public(0);
    node.consensus.id = public(1);
    node.vrf.id = public(2);
    node.tls.pub_key = public(3);
    node.p2p.id = public(4);
    node
}

fn crowd() -> RootGenesis {
    let mut document = document();
    document.epoch_interval = EPOCH;
    let pool = SharePool {
        balance: Quantity::new(1_000_000),
        total_shares: Quantity::new(1_000_000),
    };
    let all = Delegation {
        shares: pool.total_shares,
    };
    let mut entities = Vec::new();
    let (mut ledger, mut delegations) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..RUNTIMES {
        let key = key(number, ENTITY);
        let entity = Entity {
            v: 2,
            id: key.public(),
            nodes: Vec::new(),
        };
        let context = SignatureContext::RegisterEntity;
        let signed = Signed::sign(&key, context, &Hash::EMPTY, entity.encode());
        entities.push((entity.id, signed));
        let address = Address::of_key(&entity.id);
        let mut account = Account::default();
        account.escrow.active = pool;
        ledger.insert(address, account);
        delegations.insert(address, [(address, all)].into());
    }
    entities.sort_by_key(|(id, _)| *id);
    let staking = &mut document.services.staking;
    staking.total_supply = Quantity::new(1_000_000 * u128::from(RUNTIMES));
    staking.common_pool = Quantity::ZERO;
    (staking.ledger, staking.delegations) = (ledger, delegations);
    let registry = &mut document.services.registry;
    registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    registry.runtimes = (0..RUNTIMES)
        .map(|number| {
            let mut runtime = runtime_of(10, runtime(number), 0);
            runtime.entity_id = key(number, ENTITY).public();
            runtime.executor.group_size = 3;
            runtime.executor.group_backup_size = 4;
            runtime
        })
        .collect();
    let mut nodes: Vec<(Node, MultiSigned)> = (0..NODES)
        .map(|number| {
            let node = node_of(number);
            let keys = [0, 1, 2, 3, 4].map(|kind| key(number, kind));
            let signers: Vec<&SecretKey> = keys.iter().collect();
            let context = SignatureContext::RegisterNode;
            let signed = MultiSigned::sign(&signers, context, &Hash::EMPTY, node.encode());
            (node, signed)
        })
        .collect();
    nodes.sort_by_key(|(node, _)| node.id);
    registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

/// Bytes of keys and values that start with `prefix`.
fn bytes_of(network: &Network, prefix: &[u8]) -> usize {
    let entries = network.view.entries.iter();
    let entries = entries.filter(|(key, _)| key.starts_with(prefix));
    entries.map(|(key, value)| key.len() + value.len()).sum()
}

fn epochs(criterion: &mut Criterion) {
    let mut network = Network::new(&crowd());
    network.remember = false;
    let nodes: usize = ["Rn", "Rs", "Rk", "Rx"]
        .iter()
        .map(|prefix| bytes_of(&network, prefix.as_bytes()))
        .sum();
    let runtimes: usize = ["Rr", "Ro", "r", "b", "c"]
        .iter()
        .map(|prefix| bytes_of(&network, prefix.as_bytes()))
        .sum();
    println!("bytes of state per node: {}", nodes / NODES as usize);
    println!(
        "bytes of state per runtime: {}",
        runtimes / RUNTIMES as usize
    );
    network.idle(EPOCH - 1);
    let context = network.context();
    let mut group = criterion.benchmark_group("root");
    group.sample_size(10);
    group.bench_function("epoch of 10,000 nodes", |bencher| {
        bencher.iter(|| black_box(network.execute(&[], &context)).unwrap());
    });
    network.idle(2);
    let elected = (0..RUNTIMES).all(|number| {
        let committee = state::committee(&network.view, &runtime(number));
        committee.is_ok_and(|committee| committee.is_some())
    });
    assert!(elected, "every runtime has a committee");
    let context = network.context();
    group.bench_function("height with 100 idle runtimes", |bencher| {
        bencher.iter(|| black_box(network.execute(&[], &context)).unwrap());
    });
    let root = &network.root;
    group.bench_function("demand with 100 idle runtimes", |bencher| {
        bencher.iter(|| black_box(root.demand(&network.view)).unwrap());
    });
    group.finish();
}

/// A transaction with a node's proof.
fn proof(network: &Network, number: u32, alpha: &[u8]) -> Vec<u8> {
    let body = VrfProve {
        epoch: state::epoch(&network.view)
            .expect("there is an epoch")
            .epoch,
        pi: Blob(key(number, 2).prove_vrf(alpha).as_bytes().to_vec()),
    };
    let transaction = Transaction {
        nonce: 0,
        fee: Some(registered::FREE),
        method: VRF_PROVE.into(),
        body: RawItem(body.encode()),
    };
    transaction.sign(&key(number, 0), &network.chain).encode()
}

/// Epochs by the outputs of random functions, and heights of proofs.
fn functions(criterion: &mut Criterion) {
    let mut document = crowd();
    document.services.beacon = BeaconParameters {
        backend: BeaconSource::Vrf,
        vrf_parameters: Some(VrfParameters::default()),
    };
    let mut network = Network::new(&document);
    network.remember = false;
    network.idle(2);
    let before = network.view.entries.len();
    let record = beacon::record(&network.view).expect("there is a beacon");
    let alpha = record.vrf.expect("functions are the source").alpha.0;
    let proofs: Vec<Vec<u8>> = (0..NODES)
        .map(|number| proof(&network, number, &alpha))
        .collect();
    let context = network.context();
    let mut group = criterion.benchmark_group("root");
    group.sample_size(10);
    group.bench_function("height of 100 proofs", |bencher| {
        let some = &proofs[..PROOFS as usize];
        bencher.iter(|| black_box(network.execute(some, &context)).unwrap());
    });
    let outcome = network.height(&proofs);
    let accepted = |receipt: &&trilith_protocol::Receipt| network::rejection(receipt).is_none();
    let count = outcome.receipts.iter().filter(accepted).count();
    assert_eq!(count, NODES as usize);
    // Each node has a proof now, and an account that counts its transactions.
    assert_eq!(network.view.entries.len(), before + 2 * NODES as usize);
    println!(
        "bytes of state per proof: {}",
        bytes_of(&network, b"Bi") / NODES as usize
    );
    network.idle(EPOCH - 4);
    let context = network.context();
    assert_eq!(context.height.0, EPOCH);
    group.bench_function("epoch of 10,000 nodes by outputs", |bencher| {
        bencher.iter(|| black_box(network.execute(&[], &context)).unwrap());
    });
    group.finish();
}

/// A height of 1,000 transfers, each signed by another account.
fn transfers(criterion: &mut Criterion) {
    let mut document = document();
    let mut account = Account::default();
    account.general.balance = Quantity::new(1_000_000);
    let staking = &mut document.services.staking;
    for number in 0..TRANSFERS {
        let address = Address::of_key(&key(number, ENTITY).public());
        staking.ledger.insert(address, account.clone());
    }
    let more = Quantity::new(1_000_000 * u128::from(TRANSFERS));
    staking.total_supply = staking.total_supply.plus(more).expect("it fits");
    let network = Network::new(&document);
    let inputs: Vec<Vec<u8>> = (0..TRANSFERS)
        .map(|number| {
            let to = Address::of_key(&key(number + 1, ENTITY).public());
            let amount = Quantity::new(5);
            let transaction = Transaction {
                nonce: 0,
                fee: Some(network::FEE),
                method: TRANSFER.into(),
                body: RawItem(Transfer { to, amount }.encode()),
            };
            let signed = transaction.sign(&key(number, ENTITY), &network.chain);
            signed.encode()
        })
        .collect();
    let context = network.context();
    let outcome = network
        .execute(&inputs, &context)
        .expect("the state can be read");
    let accepted = |receipt: &&trilith_protocol::Receipt| network::rejection(receipt).is_none();
    let count = outcome.receipts.iter().filter(accepted).count();
    assert_eq!(count, TRANSFERS as usize);
    let mut group = criterion.benchmark_group("root");
    group.sample_size(10);
    group.bench_function("height of 1,000 transfers", |bencher| {
        bencher.iter(|| black_box(network.execute(&inputs, &context)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, epochs, functions, transfers);
criterion_main!(benches);
