//! The beacon: its three sources, proofs and every error of them, alphas, and that weak entropy
//! elects nobody.

mod elected;
mod network;
mod registered;

use std::collections::BTreeSet;

use elected::{Row, by_hash, drawn, elections, registered, row};
use network::{Network, RUNTIME, SECOND, descriptor, genesis, key, node, rejection, rules};
use proptest::prelude::*;
use registered::{COMPUTE, EPOCH, FREE, VALIDATOR, node_of, ok, real, runtime_of, sub_key};
use trilith_protocol::root::beacon::{
    BeaconEvent, BeaconParameters, BeaconRecord, BeaconSource, VRF_PROVE, VrfParameters, VrfProve,
    VrfState,
};
use trilith_protocol::root::registry::{Limit, SchedulingConstraints};
use trilith_protocol::root::{Blob, Fee, GenesisError, Quantity};
use trilith_protocol::{HeaderType, Receipt, RootAnswer, RootEvent, RootGenesis, RootQuery};
use trilith_root::{beacon, export, genesis_write_log, registry, state};
use trilith_types::hash::sha3_256;
use trilith_types::{Epoch, Hash, Height, NodeId, SecretKey, StateRead as _, TupleHash, VrfOutput};

const NODES: [u8; 6] = [41, 42, 43, 44, 45, 46];

fn parameters(threshold: u64) -> BeaconParameters {
    BeaconParameters {
        backend: BeaconSource::Vrf,
        vrf_parameters: Some(VrfParameters {
            alpha_hq_threshold: threshold,
            proof_delay: 2,
            ..VrfParameters::default()
        }),
    }
}

/// Six nodes of three entities for a runtime of two primaries and three backups.
fn by_functions(threshold: u64) -> RootGenesis {
    let rows: Vec<Row> = NODES
        .into_iter()
        .map(|number| {
            row(
                10 * (1 + number % 3),
                number,
                COMPUTE | VALIDATOR,
                &[real(1)],
            )
        })
        .collect();
    let mut runtime = runtime_of(10, real(1), 0);
    runtime.executor.group_size = 2;
    runtime.executor.group_backup_size = 3;
    let mut document = registered(&rows, vec![runtime]);
    document.services.beacon = parameters(threshold);
    document
}

fn record(network: &Network) -> BeaconRecord {
    match network.ask(RootQuery::Beacon) {
        RootAnswer::Beacon(record) => *record,
        other => panic!("the beacon was asked for: {other:?}"),
    }
}

fn vrf(network: &Network) -> VrfState {
    record(network).vrf.expect("functions are the source")
}

/// The argument with which a key delivers its proof.
fn argument(network: &Network, key: &SecretKey) -> VrfProve {
    let state = vrf(network);
    VrfProve {
        epoch: state.epoch,
        pi: Blob(key.prove_vrf(&state.alpha.0).as_bytes().to_vec()),
    }
}

fn deliver(network: &mut Network, number: u8, argument: &VrfProve) -> Receipt {
    let body = argument.encode();
    let transaction = network.signed(number, VRF_PROVE, body, Some(FREE));
    network.agreed(&[transaction]).receipts.remove(0)
}

fn prove(network: &mut Network, number: u8) -> Receipt {
    let argument = argument(network, &sub_key(number, 2));
    deliver(network, number, &argument)
}

/// Delivers the proofs of nodes in one height, as soon as they are taken.
fn prove_all(network: &mut Network, numbers: &[u8]) {
    let state = vrf(network);
    while state::tip(&network.view).unwrap().height < state.submit_after {
        network.agreed(&[]);
    }
    let inputs: Vec<Vec<u8>> = numbers
        .iter()
        .map(|number| {
            let body = argument(network, &sub_key(*number, 2)).encode();
            network.signed(*number, VRF_PROVE, body, Some(FREE))
        })
        .collect();
    for receipt in network.agreed(&inputs).receipts {
        ok(&receipt);
    }
}

fn refused(receipt: &Receipt, code: u32) {
    let found = rejection(receipt);
    assert_eq!(found, Some((beacon::MODULE, code)), "{:?}", receipt.status);
}

fn committee(network: &Network) -> Option<(Vec<NodeId>, Vec<NodeId>)> {
    let committee = state::committee(&network.view, &real(1)).unwrap();
    committee.map(|committee| (committee.workers, committee.backups))
}

/// The outputs of nodes for an alpha.
fn outputs(alpha: &[u8], numbers: &[u8]) -> Vec<(NodeId, VrfOutput)> {
    let mut outputs: Vec<(NodeId, VrfOutput)> = numbers
        .iter()
        .map(|number| {
            let proof = sub_key(*number, 2).prove_vrf(alpha);
            (node(*number), proof.output().unwrap())
        })
        .collect();
    outputs.sort_unstable();
    outputs
}

/// The nodes with these outputs in the order of a role, as the rules say.
fn sortition(network: &Network, role: u8, outputs: &[(NodeId, VrfOutput)]) -> Vec<NodeId> {
    let runtime = real(1);
    let items: [&[u8]; 3] = [runtime.as_bytes(), &[1], &[role]];
    hashed(network, b"oasis-core:vrf/committee", &items, outputs)
}

/// The nodes by the hashes of their outputs for a purpose.
fn hashed(
    network: &Network,
    purpose: &[u8],
    items: &[&[u8]],
    outputs: &[(NodeId, VrfOutput)],
) -> Vec<NodeId> {
    let mut order: Vec<([u8; 32], NodeId)> = outputs
        .iter()
        .map(|(node, output)| {
            let mut hash = TupleHash::new(purpose)
                .item(network.chain.to_string().as_bytes())
                .item(&network.epoch().to_be_bytes());
            for item in items {
                hash = hash.item(item);
            }
            (hash.item(output.as_bytes()).finish(), *node)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, node)| node).collect()
}

/// The entity of a node.
fn entity(id: &NodeId) -> u8 {
    let number = NODES.into_iter().find(|number| node(*number) == *id);
    10 * (1 + number.expect("the node is one of the network's") % 3)
}

/// Of each entity the first node, in the order in which they come.
fn first_of_entities(order: Vec<NodeId>) -> Vec<NodeId> {
    let mut seen = BTreeSet::new();
    let first = order.into_iter().filter(|id| seen.insert(entity(id)));
    first.collect()
}

fn high_quality(network: &Network, epoch: u64, outputs: &[(NodeId, VrfOutput)]) -> Vec<u8> {
    let start = TupleHash::new(b"oasis-core:vrf/alpha")
        .item(network.chain.to_string().as_bytes())
        .item(&epoch.to_be_bytes());
    let hash = outputs
        .iter()
        .fold(start, |hash, (_, output)| hash.item(output.as_bytes()));
    hash.finish::<32>().to_vec()
}

#[test]
fn a_network_of_functions_elects_by_their_outputs() {
    let mut network = Network::new(&by_functions(4));
    // The first epoch's committee is drawn by entropy: nobody could prove anything.
    let entropy = record(&network).entropy.0;
    let workers = drawn(
        &entropy,
        &real(1),
        b"EkS-ABCI-ComputeWorker",
        &by_hash(NODES),
    );
    assert_eq!(committee(&network).unwrap().0, workers[..2]);
    let first = vrf(&network);
    assert!(first.alpha_hq && first.can_elect);
    assert_eq!(first.submit_after, Height(2));
    prove_all(&mut network, &NODES[..5]);
    assert_eq!(vrf(&network).proofs, 5);
    network.agreed_epoch();

    // Node 46 proved nothing: it cannot be elected.
    let proven = outputs(&first.alpha.0, &NODES[..5]);
    let (workers, backups) = committee(&network).unwrap();
    assert_eq!(workers, sortition(&network, 1, &proven)[..2]);
    let mut rest = proven.clone();
    rest.retain(|(node, _)| !workers.contains(node));
    assert_eq!(backups, sortition(&network, 2, &rest)[..3]);
    let second = vrf(&network);
    assert_eq!(second.alpha.0, high_quality(&network, 1, &proven));
    assert!(second.alpha_hq && second.can_elect);
    assert_eq!((second.epoch, second.proofs), (Epoch(1), 0));
    let told = network.events().into_iter().any(|event| {
        matches!(event, RootEvent::Beacon(BeaconEvent::Vrf(event))
            if event.alpha == second.alpha && event.submit_after == second.submit_after)
    });
    assert!(told);

    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    let proven = outputs(&second.alpha.0, &NODES);
    let (workers, _) = committee(&network).unwrap();
    assert_eq!(workers, sortition(&network, 1, &proven)[..2]);
    // Proofs of the epoch before the last are forgotten.
    let proofs = network.view.entries.keys();
    let proofs = proofs.filter(|key| key.starts_with(b"Bi"));
    assert_eq!(proofs.count(), 6);
    network.sound();
}

/// Which node of an entity may be drawn is decided by another order than who is drawn.
#[test]
fn limits_of_entities_have_an_order_of_their_own() {
    let mut document = by_functions(6);
    let limits = SchedulingConstraints {
        max_nodes: Some(Limit { limit: 1 }),
        ..SchedulingConstraints::default()
    };
    let runtime = &mut document.services.registry.runtimes[0];
    runtime.constraints = [(1, [(1, limits)].into())].into();
    let mut network = Network::new(&document);
    let alpha = vrf(&network).alpha.0;
    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    let proven = outputs(&alpha, &NODES);
    let runtime = real(1);
    let items: [&[u8]; 3] = [runtime.as_bytes(), &[1], &[1]];
    let order = hashed(&network, b"oasis-core:vrf/dedup", &items, &proven);
    let may_be_drawn = first_of_entities(order);
    assert_eq!(may_be_drawn.len(), 3);
    let mut pool = proven;
    pool.retain(|(node, _)| may_be_drawn.contains(node));
    let (workers, backups) = committee(&network).unwrap();
    assert_eq!(workers, sortition(&network, 1, &pool)[..2]);
    // Backups are not limited.
    assert_eq!(backups.len(), 3);
}

#[test]
fn weak_entropy_elects_nobody() {
    let mut network = Network::new(&by_functions(6));
    // Five proofs elect from the document's alpha, and make a weak one.
    prove_all(&mut network, &NODES[..5]);
    network.agreed_epoch();
    assert!(committee(&network).is_some());
    let weak = vrf(&network);
    assert!(!weak.alpha_hq && weak.can_elect);
    // Whatever is proven from the weak alpha elects nobody, but makes a good one.
    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    assert_eq!(committee(&network), None);
    let block = state::latest_block(&network.view, &real(1))
        .unwrap()
        .unwrap();
    assert_eq!(block.header_type, HeaderType::Suspended);
    let state = vrf(&network);
    assert!(state.alpha_hq && !state.can_elect);
    assert_eq!(
        state.alpha.0,
        high_quality(&network, 2, &outputs(&weak.alpha.0, &NODES))
    );
    // A node registers again, so that the runtime runs; all prove; then there is a committee.
    let again = node_of(30, 41, 1_000_000, (COMPUTE | VALIDATOR, &[real(1)]));
    ok(&network.register_node(41, &again));
    assert!(
        registry::runtime(&network.view, &real(1))
            .unwrap()
            .is_some()
    );
    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    let proven = outputs(&state.alpha.0, &NODES);
    let (workers, _) = committee(&network).unwrap();
    assert_eq!(workers, sortition(&network, 1, &proven)[..2]);
}

#[test]
fn without_proofs_there_is_no_committee() {
    let mut network = Network::new(&by_functions(1));
    network.agreed_epoch();
    assert_eq!(committee(&network), None);
    assert!(!vrf(&network).alpha_hq);
}

#[test]
fn validators_are_elected_from_weak_entropy_too() {
    let mut document = by_functions(6);
    document.services.scheduler = Some(elections(2, 2, 1));
    let mut network = Network::new(&document);
    let state = vrf(&network);
    prove_all(&mut network, &NODES[..3]);
    network.agreed_epoch();
    let ids = |network: &Network| -> BTreeSet<NodeId> {
        let validators = network.validators().validators;
        validators.iter().map(|validator| validator.id).collect()
    };
    // Of each entity the node that proved something can be one, whichever entities they are.
    let proven = outputs(&state.alpha.0, &NODES[..3]);
    let elected = ids(&network);
    assert_eq!(elected.len(), 2);
    assert!(
        elected
            .iter()
            .all(|id| proven.iter().any(|(node, _)| node == id))
    );
    // One proof is too few to order validators by; entropy orders them then.
    prove_all(&mut network, &NODES[..1]);
    network.agreed_epoch();
    assert_eq!(network.validators().validators.len(), 2);
    // With all proofs the first of each entity by its output is one, whatever the alpha.
    let alpha = vrf(&network).alpha.0;
    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    assert_eq!(network.validators().epoch, Epoch(3));
    let proven = outputs(&alpha, &NODES);
    let order = hashed(&network, b"oasis-core:vrf/validator", &[], &proven);
    let first: BTreeSet<NodeId> = first_of_entities(order).into_iter().collect();
    assert!(ids(&network).is_subset(&first));
}

#[test]
fn every_error_has_its_number() {
    let mut network = Network::new(&by_functions(4));
    // 102: before the delay is over, in height 1 and 2.
    refused(&prove(&mut network, 41), 102);
    refused(&prove(&mut network, 41), 102);
    // 1: no argument at all.
    let transaction = network.signed(41, VRF_PROVE, vec![0xa0], Some(FREE));
    refused(&network.agreed(&[transaction]).receipts[0], 1);
    // 103: an entity is no node.
    let of_other = argument(&network, &sub_key(41, 2));
    refused(&deliver(&mut network, 10, &of_other), 103);
    // 104: of another epoch.
    let mut later = argument(&network, &sub_key(41, 2));
    later.epoch = Epoch(1);
    refused(&deliver(&mut network, 41, &later), 104);
    // 105: of another node, too short, damaged.
    refused(&deliver(&mut network, 42, &of_other), 105);
    let mut short = of_other.clone();
    short.pi.0.pop();
    refused(&deliver(&mut network, 41, &short), 105);
    let mut damaged = of_other.clone();
    damaged.pi.0[79] = 0xff;
    refused(&deliver(&mut network, 41, &damaged), 105);
    assert_eq!(vrf(&network).proofs, 0);
    assert_eq!(
        network.ask(RootQuery::VrfProof(node(41))),
        RootAnswer::VrfProof(None)
    );
    // The good one, twice.
    ok(&deliver(&mut network, 41, &of_other));
    assert_eq!(state::tip(&network.view).unwrap().height, Height(9));
    assert_eq!(vrf(&network).proofs, 1);
    let RootAnswer::VrfProof(Some(delivered)) = network.ask(RootQuery::VrfProof(node(41))) else {
        panic!("node 41 has delivered a proof");
    };
    assert_eq!(delivered.pi, of_other.pi);
    // 101: where functions are not the source.
    let mut threshold = by_functions(4);
    threshold.services.beacon = BeaconParameters::default();
    let mut network = Network::new(&threshold);
    refused(&deliver(&mut network, 41, &of_other), 101);
}

#[test]
fn a_node_gives_one_output_an_epoch() {
    let mut network = Network::new(&by_functions(4));
    prove_all(&mut network, &[41]);
    // The same proof again changes nothing.
    let before = vrf(&network);
    ok(&prove(&mut network, 41));
    assert_eq!(vrf(&network), before);
    // With another key the node could choose between two outputs.
    let mut again = node_of(30, 41, 1_000_000, (COMPUTE | VALIDATOR, &[real(1)]));
    again.vrf.id = sub_key(99, 2).public();
    let signed = {
        use trilith_protocol::root::MultiSigned;
        use trilith_types::SignatureContext;
        let keys = [
            key(41),
            sub_key(41, 1),
            sub_key(99, 2),
            sub_key(41, 3),
            sub_key(41, 4),
        ];
        let signers: Vec<&SecretKey> = keys.iter().collect();
        let context = SignatureContext::RegisterNode;
        MultiSigned::sign(&signers, context, &Hash::EMPTY, again.encode())
    };
    let method = trilith_protocol::root::registry::REGISTER_NODE;
    ok(&network.free(41, method, signed.encode()));
    let other = argument(&network, &sub_key(99, 2));
    refused(&deliver(&mut network, 41, &other), 106);
    // And it waits to be elected.
    let status = registry::node_status(&network.view, &node(41))
        .unwrap()
        .unwrap();
    assert_eq!(status.election_eligible_after, u64::MAX);
}

#[test]
fn proofs_cost_gas() {
    let mut network = Network::new(&by_functions(4));
    network.idle(2);
    let body = argument(&network, &sub_key(41, 2)).encode();
    let len = network
        .signed(41, VRF_PROVE, body.clone(), Some(FREE))
        .len() as u64;
    for (gas, accepted) in [(999 + len - 4, false), (1_000 + len, true)] {
        let fee = Fee {
            amount: Quantity::ZERO,
            gas,
        };
        let transaction = network.signed(41, VRF_PROVE, body.clone(), Some(fee));
        let receipt = network.agreed(&[transaction]).receipts.remove(0);
        let out_of_gas = Some(("consensus/transaction", 103));
        let expected = if accepted { None } else { out_of_gas };
        assert_eq!(rejection(&receipt), expected, "{:?}", receipt.status);
    }
}

#[test]
fn parameters_of_a_document_are_checked() {
    let refused = |parameters: BeaconParameters| {
        let mut document = by_functions(1);
        document.services.beacon = parameters;
        match genesis_write_log(&document) {
            Err(GenesisError::Service(reject)) => {
                assert_eq!((reject.module, reject.code), (beacon::MODULE, 107));
                reject.message
            }
            other => panic!("the beacon refuses the document: {other:?}"),
        }
    };
    let without = BeaconParameters {
        vrf_parameters: None,
        ..parameters(1)
    };
    assert!(refused(without).contains("`vrf`"));
    let threshold = BeaconParameters {
        backend: BeaconSource::Threshold,
        ..parameters(1)
    };
    assert!(refused(threshold).contains("`threshold`"));
    assert!(refused(parameters(0)).contains("0 proofs"));
    for delay in [0, EPOCH] {
        let mut late = parameters(1);
        late.vrf_parameters.as_mut().unwrap().proof_delay = delay;
        assert!(refused(late).contains("from 1 to 9"));
    }
}

#[test]
fn the_threshold_source_takes_what_the_ordering_gives() {
    let mut network = Network::new(&genesis(3, vec![descriptor(RUNTIME, rules(1, 0, 0))]));
    let entropy = |network: &Network, epoch: u64| {
        let randomness = state::tip(&network.view).unwrap().randomness;
        sha3_256(&[b"EkB-tmnt", &randomness, &epoch.to_le_bytes()]).to_vec()
    };
    // Before the first signature the network's name stands for it.
    let expected = sha3_256(&[b"EkB-tmnt", network.chain.as_bytes(), &[0; 8]]);
    assert_eq!(record(&network).entropy.0, expected.to_vec());
    assert_eq!(record(&network).vrf, None);
    network.idle(99);
    network.agreed(&[]);
    assert_eq!(record(&network).epoch, Epoch(1));
    assert_eq!(record(&network).entropy.0, entropy(&network, 1));
    // It stays for the epoch.
    let before = record(&network);
    network.agreed(&[]);
    assert_eq!(record(&network), before);
}

#[test]
fn the_insecure_source_takes_height_time_and_state() {
    let mut document = by_functions(1);
    document.services.beacon = BeaconParameters {
        backend: BeaconSource::Insecure,
        vrf_parameters: None,
    };
    let mut network = Network::new(&document);
    network.idle(EPOCH - 1);
    let (height, root) = (EPOCH - 1, network.view.root());
    network.agreed(&[]);
    let time = state::tip(&network.view).unwrap().time.0 / SECOND;
    let block = sha3_256(&[&height.to_le_bytes(), &time.to_le_bytes(), root.as_bytes()]);
    let entropy = sha3_256(&[b"EkB-tmnt", &block, &1u64.to_le_bytes()]);
    assert_eq!(record(&network).entropy.0, entropy.to_vec());
}

/// Nodes of the genesis document's plain list have no registered key for the beacon: they prove
/// with their own.
#[test]
fn nodes_of_the_plain_list_prove_with_their_own_keys() {
    let mut document = genesis(3, vec![descriptor(RUNTIME, rules(1, 0, 0))]);
    document.services.beacon = parameters(2);
    let mut network = Network::new(&document);
    network.idle(2);
    for number in [1, 2] {
        let argument = argument(&network, &key(number));
        ok(&deliver(&mut network, number, &argument));
    }
    network.agreed_epoch();
    let [worker] = network.committee().workers[..] else {
        panic!("the committee has one worker");
    };
    assert!(worker == node(1) || worker == node(2));
}

#[test]
fn what_the_beacon_depends_on_is_exported() {
    let document = by_functions(3);
    let mut network = Network::new(&document);
    prove_all(&mut network, &NODES);
    network.agreed_epoch();
    let services = export(&network.view).unwrap();
    assert_eq!(services.beacon, parameters(3));
    let mut again = document.clone();
    again.services = services;
    assert_eq!(RootGenesis::decode(&again.encode()), Ok(again.clone()));
    // A new network has a new alpha, because it has another name.
    assert_ne!(vrf(&Network::new(&again)).alpha, vrf(&network).alpha);
}

/// What the tip says is random is the signature over the height before. A round that is executed on
/// the height in which a request became final must not answer it with that: the signature was known
/// before the height was cut. The next height brings one that was not.
#[test]
fn randomness_that_a_request_could_not_know_comes_with_the_next_height() {
    let mut network = Network::new(&genesis(1, vec![descriptor(RUNTIME, rules(1, 0, 0))]));
    let randomness = |network: &Network| state::tip(&network.view).unwrap().randomness;
    let scheduler = network.scheduler(0);
    // The context of the height that makes the request's round final is made before it.
    let known = network.context().randomness.unwrap();
    let vote = network.vote(&scheduler, 0, b"a state with a request");
    ok(&network.commit(&[vote]));
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    assert_eq!(randomness(&network), known);
    network.agreed(&[]);
    assert_ne!(randomness(&network), known);
    // A height without a signature keeps the last one.
    let mut context = network.context();
    let newest = randomness(&network);
    context.randomness = None;
    let outcome = network.execute(&[], &context).unwrap();
    network.view.apply(&outcome.write_log);
    assert_eq!(randomness(&network), newest);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn arbitrary_arguments_change_nothing(body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut network = Network::new(&by_functions(4));
        network.idle(3);
        let before = vrf(&network);
        let transaction = network.signed(41, VRF_PROVE, body, Some(FREE));
        let receipt = network.agreed(&[transaction]).receipts.remove(0);
        prop_assert!(rejection(&receipt).is_some());
        prop_assert_eq!(vrf(&network), before);
    }

    #[test]
    fn damaged_proofs_are_refused(bit in 0..640usize) {
        let mut network = Network::new(&by_functions(4));
        network.idle(2);
        let mut damaged = argument(&network, &sub_key(41, 2));
        damaged.pi.0[bit / 8] ^= 1 << (bit % 8);
        refused(&deliver(&mut network, 41, &damaged), 105);
    }
}
