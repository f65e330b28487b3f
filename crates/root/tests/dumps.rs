//! Documents that go on from a network: where runtimes stand, which epoch it is, what is refused,
//! and what is not sound.

mod network;
mod registered;

use network::{Network, OTHER, RUNTIME, address, descriptor, genesis, node, rejection, rules};
use registered::{COMPUTE, document, entity_of, node_of, ok, real, runtime_of, signed_entity};
use trilith_params::root::GENESIS_ROUND_MAX;
use trilith_protocol::root::staking::{RECLAIM_ESCROW, ReclaimEscrow};
use trilith_protocol::root::{
    Debonding, GenesisError, LISTED_MAX, Quantity, RootAnswer, RootQuery, Standing,
};
use trilith_protocol::{ExecutorCommitment, QueryContext, ROOT_RUNTIME, RootGenesis, Runtime as _};
use trilith_root::staking::Violation;
use trilith_root::{check, check_genesis, export_genesis, genesis_write_log, state};
use trilith_types::{Epoch, Hash, PublicKey, Round, RuntimeId, StateRead as _, TimeNanos};

/// Three primaries and four backups of the plain list.
fn plain() -> RootGenesis {
    genesis(7, vec![descriptor(RUNTIME, rules(3, 4, 0))])
}

fn finalise(network: &mut Network, state: &[u8]) {
    let votes: Vec<ExecutorCommitment> = network
        .committee()
        .workers
        .iter()
        .map(|member| network.vote(member, 0, state))
        .collect();
    assert_eq!(rejection(&network.commit(&votes)), None);
}

#[test]
fn another_network_goes_on_where_this_one_stands() {
    let document = plain();
    let mut network = Network::new(&document);
    finalise(&mut network, b"one");
    finalise(&mut network, b"two");
    network.idle(98);
    assert_eq!(network.epoch(), 1, "an epoch begins a block of its own");
    finalise(&mut network, b"three");
    let exported = export_genesis(&network.view, &document).unwrap();
    let standing = Standing {
        round: 4,
        state_root: Hash::of(b"three"),
    };
    assert_eq!(exported.services.standings, [(RUNTIME, standing)].into());
    assert_eq!(exported.services.epoch, Epoch(1));
    assert_eq!(exported.nodes, document.nodes);
    assert_eq!(exported.runtimes, document.runtimes);
    assert_eq!(exported.consensus_key, document.consensus_key);
    assert_eq!(check_genesis(&exported), Ok(()));
    let mut next = Network::new(&exported);
    assert_eq!(next.latest().round, Round(4));
    assert_eq!(next.latest().state_root, Hash::of(b"three"));
    assert_eq!(next.committee().epoch, Epoch(1));
    finalise(&mut next, b"four");
    assert_eq!(next.latest().round, Round(5));
    next.idle(99);
    assert_eq!(next.epoch(), 2);
    assert_eq!(check(&next.view), Ok(()));
    // Commitments of the old network do not stand in the new one.
    let votes = [network.vote(&network.scheduler(0), 0, b"four")];
    assert!(rejection(&next.commit(&votes)).is_some());
}

#[test]
fn a_document_of_the_first_height_says_nothing_new() {
    let document = plain();
    let network = Network::new(&document);
    let exported = export_genesis(&network.view, &document).unwrap();
    assert_eq!(exported, document);
}

#[test]
fn standings_that_cannot_be_are_refused() {
    let refused = |id: RuntimeId, round, state_root| {
        let mut document = plain();
        let standing = Standing { round, state_root };
        document.services.standings.insert(id, standing);
        match genesis_write_log(&document).unwrap_err() {
            error @ GenesisError::Standing { .. } => error.to_string(),
            other => panic!("{other}"),
        }
    };
    let root = Hash::of(b"a state");
    let unknown = refused(OTHER, 1, root);
    assert!(unknown.contains("no such compute runtime"), "{unknown}");
    let late = refused(RUNTIME, GENESIS_ROUND_MAX + 1, root);
    assert!(late.contains(&GENESIS_ROUND_MAX.to_string()), "{late}");
    let same = refused(RUNTIME, 0, Hash::of(b"genesis state"));
    assert!(same.contains("says so already"), "{same}");
    let mut document = registered_runtime();
    let standing = Standing {
        round: 4,
        state_root: root,
    };
    document.services.standings.insert(real(1), standing);
    let early = genesis_write_log(&document).unwrap_err().to_string();
    assert!(early.contains("before its descriptor's first"), "{early}");
    let mut document = plain();
    document.services.epoch = Epoch(u64::MAX);
    let epoch = genesis_write_log(&document).unwrap_err();
    assert!(matches!(epoch, GenesisError::TooMany { .. }), "{epoch}");
    document.services.epoch = Epoch(GENESIS_ROUND_MAX);
    let mut network = Network::new(&document);
    network.idle(100);
    assert_eq!(network.epoch(), GENESIS_ROUND_MAX + 1);
}

/// An entity with a runtime, whose first round is 5, and two nodes.
fn registered_runtime() -> RootGenesis {
    let mut document = document();
    let registry = &mut document.services.registry;
    registry.entities = vec![signed_entity(&entity_of(10, &[11, 12]), 10)];
    registry.runtimes = vec![runtime_of(10, real(1), 0)];
    document
}

#[test]
fn documents_that_are_not_sound_are_refused() {
    let refused = |change: &dyn Fn(&mut RootGenesis)| {
        let mut document = registered_runtime();
        change(&mut document);
        check_genesis(&document).unwrap_err().to_string()
    };
    assert_eq!(check_genesis(&registered_runtime()), Ok(()));
    let supply = refused(&|document| {
        document.services.staking.total_supply = Quantity::new(1);
    });
    assert_eq!(
        supply,
        "the base units of total supply are 1, the parts add up to 4300000"
    );
    let shares = refused(&|document| {
        let own = address(10);
        let delegations = document.services.staking.delegations.get_mut(&own);
        let own = delegations.unwrap().get_mut(&own).unwrap();
        own.shares = Quantity::new(7);
    });
    assert!(
        shares.contains("100000") && shares.contains('7'),
        "{shares}"
    );
    let owner = refused(&|document| document.services.registry.entities.clear());
    assert!(owner.contains("entity"), "{owner}");
}

/// What of a state's runtimes does not fit together is found.
#[test]
fn states_that_are_not_sound_are_found() {
    let network = Network::new(&plain());
    assert_eq!(check(&network.view), Ok(()));
    let key = |kind: u8, id: &RuntimeId| [&[kind][..], id.as_bytes()].concat();
    let broken = |change: &dyn Fn(&mut network::MapView)| {
        let mut view = network.view.clone();
        change(&mut view);
        match check(&view).unwrap_err() {
            Violation::Runtime { reason, .. } => reason,
            other => panic!("{other}"),
        }
    };
    let committee = network.committee();
    let with = |change: &dyn Fn(&mut trilith_protocol::Committee)| {
        let mut committee = committee.clone();
        change(&mut committee);
        broken(&|view| {
            let key = key(b'c', &RUNTIME);
            view.entries.insert(key, committee.encode());
        })
    };
    let stray = broken(&|view| {
        view.entries.insert(key(b'c', &OTHER), committee.encode());
    });
    assert_eq!(
        stray,
        "something is kept of it, and there is no such runtime"
    );
    let none = broken(&|view| {
        view.entries.remove(&key(b'r', &RUNTIME));
    });
    assert_eq!(none, "it has no descriptor");
    let none = broken(&|view| {
        view.entries.remove(&key(b'b', &RUNTIME));
    });
    assert_eq!(none, "it has no block");
    let other = broken(&|view| {
        let other = descriptor(OTHER, rules(3, 4, 0));
        view.entries.insert(key(b'r', &RUNTIME), other.encode());
    });
    assert_eq!(other, "its descriptor or block is another one's");
    let idle = broken(&|view| {
        view.entries.remove(&key(b'c', &RUNTIME));
        let mut voted = Network::new(&plain());
        let vote = voted.vote(&voted.scheduler(0), 0, b"state");
        voted.commit(&[vote]);
        let pool = voted.view.get(&key(b'o', &RUNTIME)).unwrap().unwrap();
        view.entries.insert(key(b'o', &RUNTIME), pool);
    });
    assert_eq!(idle, "it has commitments and no committee");
    assert_eq!(
        with(&|committee| committee.epoch = Epoch(9)),
        "its committee is of another epoch"
    );
    assert_eq!(
        with(&|committee| committee.workers.truncate(2)),
        "its committee has another size than it asks for"
    );
    assert_eq!(
        with(&|committee| committee.workers[1] = committee.workers[0]),
        "somebody is in its committee twice"
    );
    assert_eq!(
        with(&|committee| committee.backups[0] = committee.workers[0]),
        "a primary of its committee is a backup too"
    );
    assert_eq!(
        with(&|committee| committee.backups[0] = node(99)),
        "somebody in its committee is not known"
    );
    assert_eq!(
        with(&|committee| committee.storage = vec![node(99)]),
        "somebody in its committee is not known"
    );
    assert_eq!(
        with(&|committee| committee.storage = vec![committee.workers[0]; 2]),
        "somebody is in its storage committee twice"
    );
    let receipts = broken(&|view| {
        let mut asking = descriptor(RUNTIME, rules(3, 4, 0));
        asking.storage_receipts_min = 1;
        view.entries.insert(key(b'r', &RUNTIME), asking.encode());
    });
    assert_eq!(
        receipts,
        "its storage committee cannot give the receipts it asks for"
    );
    let queue = broken(&|view| {
        let queue = [b"Hm", RUNTIME.as_bytes().as_slice()].concat();
        view.entries.insert(queue, vec![0x82, 0x00, 0x01]);
    });
    assert_eq!(
        queue,
        "the messages that wait for it are not those of its queue"
    );
}

fn ask(network: &Network, query: &RootQuery) -> RootAnswer {
    let context = QueryContext {
        runtime: ROOT_RUNTIME,
        round: Round(0),
        time: TimeNanos(0),
        now: TimeNanos(0),
        attested: None,
    };
    let bytes = query.encode();
    assert_eq!(RootQuery::decode(&bytes).as_ref(), Ok(query));
    let answer = network.root.query(&network.view, &bytes, &context).unwrap();
    let decoded = RootAnswer::decode(&answer).unwrap();
    assert_eq!(decoded.encode(), answer);
    decoded
}

#[test]
fn what_is_registered_is_listed_in_pages() {
    let mut document = registered_runtime();
    let registry = &mut document.services.registry;
    registry.suspended_runtimes = vec![runtime_of(10, real(2), 0)];
    let mut network = Network::new(&document);
    for number in [11, 12] {
        let descriptor = node_of(10, number, 2, (COMPUTE, &[real(1)]));
        ok(&network.register_node(number, &descriptor));
    }
    let entities = |after| ask(&network, &RootQuery::Entities(after));
    assert_eq!(entities(None), RootAnswer::Entities(vec![node(10)]));
    assert_eq!(entities(Some(node(10))), RootAnswer::Entities(vec![]));
    let mut nodes = vec![node(11), node(12)];
    nodes.sort_unstable();
    let listed = |after| ask(&network, &RootQuery::Nodes(after));
    assert_eq!(listed(None), RootAnswer::Nodes(nodes.clone()));
    assert_eq!(listed(Some(nodes[0])), RootAnswer::Nodes(vec![nodes[1]]));
    let runtimes = |after| ask(&network, &RootQuery::Runtimes(after));
    assert_eq!(runtimes(None), RootAnswer::Runtimes(vec![real(1), real(2)]));
    assert_eq!(runtimes(Some(real(1))), RootAnswer::Runtimes(vec![real(2)]));
    assert!(LISTED_MAX > nodes.len());
    // What happened at the height of the registration's epoch.
    let RootAnswer::Events(events) = ask(&network, &RootQuery::Events(trilith_types::Height(0)))
    else {
        panic!("events were asked for");
    };
    assert_eq!(events.len(), 1, "an epoch began, and nobody was elected");
}

#[test]
fn what_is_taken_back_is_listed() {
    let mut network = Network::new(&document());
    let body = ReclaimEscrow {
        account: address(10),
        shares: Quantity::new(40),
    };
    ok(&network.free(10, RECLAIM_ESCROW, body.encode()));
    let asked = RootQuery::Debonding(address(10));
    let expected = Debonding {
        delegate: address(10),
        shares: Quantity::new(40),
        debond_end: Epoch(2),
    };
    assert_eq!(ask(&network, &asked), RootAnswer::Debonding(vec![expected]));
    let nobody = RootQuery::Debonding(address(20));
    assert_eq!(ask(&network, &nobody), RootAnswer::Debonding(vec![]));
    assert!(state::network(&network.view).is_ok());
    assert_ne!(node(10), PublicKey::from_bytes([0; 32]));
}
