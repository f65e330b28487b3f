//! A node in a network whose beacon is made of verifiable random functions: it delivers its proof
//! once an epoch, is elected by it, and delivers the same one after a restart.

mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use std::sync::Arc;

use network::*;
use simulated_disk::SimulatedDisk;
use trilith_protocol::root::beacon::{BeaconParameters, BeaconSource, VrfParameters, VrfState};
use trilith_protocol::root::{ROOT_RUNTIME, Services};
use trilith_root::{beacon, state};
use trilith_store::View;
use trilith_types::{Epoch, Height};

/// Epochs of ten heights, of which the first two take no proofs.
fn setup() -> Setup {
    let vrf = VrfParameters {
        alpha_hq_threshold: 1,
        proof_delay: 2,
        ..VrfParameters::default()
    };
    Setup {
        epoch_interval: 10,
        services: Services {
            beacon: BeaconParameters {
                backend: BeaconSource::Vrf,
                vrf_parameters: Some(vrf),
            },
            ..Services::default()
        },
        ..Setup::default()
    }
}

fn root(net: &Net) -> Arc<View> {
    let (_, root) = net
        .store
        .current(ROOT_RUNTIME)
        .expect("the root has a state");
    net.store
        .view(ROOT_RUNTIME, root)
        .expect("the newest state can be read")
}

fn vrf(net: &Net) -> VrfState {
    let record = beacon::record(&*root(net)).unwrap();
    record.vrf.expect("functions are the source")
}

fn height(net: &Net) -> Height {
    state::tip(&*root(net)).unwrap().height
}

/// Submits transactions, each of which makes a round and a height, up to a height.
fn run_to(net: &mut Net, id: &mut u64, end: u64) {
    while height(net) < Height(end) {
        *id += 1;
        net.handle()
            .submit(add(*id, 10))
            .expect("the pool has room");
        net.step().expect("the node goes on");
    }
}

#[test]
fn a_node_delivers_its_proof_once_an_epoch() {
    let (disk, mut id) = (SimulatedDisk::new(), 0);
    let mut net = Net::open(&disk, &setup(), START);
    run_to(&mut net, &mut id, 1);
    assert_eq!((vrf(&net).proofs, vrf(&net).submit_after), (0, Height(2)));
    run_to(&mut net, &mut id, 6);
    let node = keys().node.public();
    let delivered = beacon::delivered(&*root(&net), &node).unwrap();
    let expected = keys().node.prove_vrf(&vrf(&net).alpha.0);
    assert_eq!(delivered.unwrap().pi.0, expected.as_bytes());
    let nonce = |net: &Net| {
        let address = trilith_protocol::root::Address::of_key(&keys().node.public());
        let account = trilith_root::staking::account(&*root(net), &address);
        account.unwrap().general.nonce
    };
    assert_eq!(nonce(&net), 1);
    // A node that forgot everything looks at the root first.
    drop(net);
    let mut net = Net::open(&disk, &setup(), START + 60 * SECOND);
    run_to(&mut net, &mut id, 9);
    assert_eq!((nonce(&net), vrf(&net).proofs), (1, 1));
    // The next epoch's committee is elected by the proof, and the node proves again.
    run_to(&mut net, &mut id, 16);
    assert_eq!(vrf(&net).epoch, Epoch(1));
    assert!(vrf(&net).alpha_hq && vrf(&net).can_elect);
    let committee = state::committee(&*root(&net), &RUNTIME).unwrap().unwrap();
    assert_eq!((committee.epoch, committee.workers), (Epoch(1), vec![node]));
    assert_eq!((nonce(&net), vrf(&net).proofs), (2, 1));
}

#[test]
fn a_node_proves_nothing_where_nobody_asks() {
    let mut net = Net::open(&SimulatedDisk::new(), &Setup::default(), START);
    let mut id = 0;
    run_to(&mut net, &mut id, 5);
    assert_eq!(beacon::record(&*root(&net)).unwrap().vrf, None);
    assert_eq!(height(&net), Height(5));
}
