//! Liveness: what is counted, who is judged, and the ladder from a suspension to the loss of stake
//! and back.

mod network;
mod registered;
mod rounds;

use network::{Network, RUNTIME, address};
use registered::ok;
use rounds::{owner, q, registered, with_nodes};
use trilith_protocol::root::registry::{Fault, Runtime, UNFREEZE_NODE, UnfreezeNode};
use trilith_protocol::root::staking::{Slash, SlashReason};
use trilith_protocol::root::{LivenessFaultEvent, LivenessStatistics, RoothashEvent};
use trilith_protocol::{HeaderType, RootEvent, RootGenesis};
use trilith_root::{registry, roothash, state};
use trilith_types::NodeId;

fn counts(network: &Network) -> LivenessStatistics {
    let counts = roothash::liveness(&network.view, &RUNTIME).unwrap();
    counts.unwrap_or_default()
}

/// Where a primary stands.
fn place(network: &Network, of: &NodeId) -> usize {
    let workers = network.committee().workers;
    workers.iter().position(|worker| worker == of).unwrap()
}

#[test]
fn rounds_are_counted_for_who_voted_and_who_proposed() {
    let mut network = Network::new(&registered(|runtime| {
        runtime.executor.allowed_stragglers = 1;
    }));
    assert_eq!(roothash::liveness(&network.view, &RUNTIME), Ok(None));
    // Rank 0 proposes, a backup votes early, one primary is silent.
    let (first, second) = (network.scheduler(0), network.scheduler(1));
    let silent = place(&network, &network.scheduler(2));
    let backup = network.committee().backups[0];
    let votes = [
        network.vote(&backup, 0, b"state"),
        network.vote(&first, 0, b"state"),
        network.vote(&second, 0, b"state"),
    ];
    network.deliver(&votes);
    let mut expected = LivenessStatistics::new(7);
    expected.total_rounds = 1;
    expected.live_rounds = vec![1, 1, 1, 1, 0, 0, 0];
    expected.live_rounds[silent] = 0;
    expected.finalized_proposals[place(&network, &first)] = 1;
    assert_eq!(counts(&network), expected);
    // Rank 0 is silent, rank 1 takes over.
    let (missing, second, third) = (
        network.scheduler(0),
        network.scheduler(1),
        network.scheduler(2),
    );
    let votes = [
        network.vote(&second, 1, b"state"),
        network.vote(&third, 1, b"state"),
    ];
    network.deliver(&votes);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
    expected.total_rounds = 2;
    expected.missed_proposals[place(&network, &missing)] += 1;
    for of in [second, third] {
        expected.live_rounds[place(&network, &of)] += 1;
    }
    assert_eq!(counts(&network), expected);
    // A round that fails: the backups disagree with the scheduler. It counts as missed only.
    let first = network.scheduler(0);
    let others = [network.scheduler(1), network.scheduler(2)];
    let votes = [
        network.vote(&first, 0, b"wrong"),
        network.vote(&others[0], 0, b"right"),
    ];
    network.deliver(&votes);
    let backups = network.committee().backups;
    let votes: Vec<_> = backups[..3]
        .iter()
        .map(|backup| network.vote(backup, 0, b"right"))
        .collect();
    network.deliver(&votes);
    assert_eq!(network.latest().header_type, HeaderType::RoundFailed);
    expected.missed_proposals[place(&network, &first)] += 1;
    assert_eq!(counts(&network), expected);
    // A new committee starts anew.
    network.next_epoch();
    assert_eq!(roothash::liveness(&network.view, &RUNTIME), Ok(None));
    network.sound();
}

/// Two primaries of three nodes, one of which may be missing; who misses a proposal in five or a
/// round in ten is at fault.
fn strict() -> RootGenesis {
    with_nodes(&[(10, &[41]), (20, &[44]), (30, &[46])], rules)
}

fn rules(runtime: &mut Runtime) {
    let executor = &mut runtime.executor;
    executor.group_size = 2;
    executor.group_backup_size = 0;
    executor.backup_rule = 1;
    executor.allowed_stragglers = 1;
    executor.min_live_rounds_percent = 90;
    executor.max_missed_proposals_percent = 20;
    executor.min_live_rounds_eval = 2;
    executor.max_liveness_fails = 3;
    let penalty = Slash {
        amount: q(5_000),
        freeze_interval: 1,
    };
    let slashing = &mut runtime.staking.slashing;
    slashing.insert(SlashReason::RuntimeLiveness, penalty);
}

/// One round in which everybody but `silent` does its work.
fn round_without(network: &mut Network, silent: &NodeId) {
    let workers = network.committee().workers;
    let rank = u64::from(network.scheduler(0) == *silent);
    let votes: Vec<_> = workers
        .iter()
        .filter(|worker| *worker != silent)
        .map(|worker| network.vote(worker, rank, b"state"))
        .collect();
    network.deliver(&votes);
    assert_eq!(network.latest().header_type, HeaderType::Normal);
}

/// Goes through an epoch of three rounds, of which the node does its work or not. Gives whether it
/// was a primary.
fn epoch(network: &mut Network, of: &NodeId, works: bool) -> bool {
    let elected = network.committee().workers.contains(of);
    for _ in 0..3 {
        if works {
            network.round();
        } else {
            round_without(network, of);
        }
    }
    network.next_epoch();
    network.sound();
    elected
}

/// What is noted of a node.
struct Noted {
    fault: Option<Fault>,
    frozen: u64,
}

fn status(network: &Network, of: &NodeId) -> Noted {
    let status = registry::node_status(&network.view, of).unwrap().unwrap();
    Noted {
        fault: status.faults.get(&RUNTIME).copied(),
        frozen: status.freeze_end_time,
    }
}

fn fault(failures: u8, suspended_until: u64) -> Option<Fault> {
    Some(Fault {
        failures,
        suspended_until,
    })
}

/// Goes on until the node is a primary again, with everybody doing the work.
fn until_elected(network: &mut Network, of: &NodeId) {
    let mut left = 60;
    while !network.committee().workers.contains(of) {
        // Rounds of others change nothing about it.
        network.round();
        network.next_epoch();
        left -= 1;
        assert!(left > 0, "the node is never elected again");
    }
}

#[test]
fn the_ladder_of_faults() {
    let mut network = Network::new(&strict());
    let supply = network.supply();
    let of = network.committee().workers[0];
    // Each fault doubles the suspension.
    for failures in 1..=2u8 {
        assert!(epoch(&mut network, &of, false));
        let now = network.epoch();
        let expected = fault(failures, now + (1 << failures));
        assert_eq!(status(&network, &of).fault, expected);
        let event = RoothashEvent::LivenessFault(LivenessFaultEvent {
            runtime_id: RUNTIME,
            node_id: of,
            failures,
        });
        assert_eq!(network.told(), [event]);
        while network.epoch() < now + (1 << failures) {
            assert!(!network.committee().has(&of), "elected while suspended");
            network.round();
            network.next_epoch();
        }
        until_elected(&mut network, &of);
        assert_eq!(status(&network, &of).fault, expected);
    }
    // The third is one too many: frozen, and its entity loses stake.
    assert!(epoch(&mut network, &of, false));
    let now = network.epoch();
    let found = status(&network, &of);
    assert_eq!((found.fault, found.frozen), (fault(3, now + 8), now + 1));
    assert_eq!(network.stake(owner(&of)), 95_000);
    assert_eq!(network.supply(), supply);
    // Once it is thawed and its suspension is over, work makes up for faults one by one; as long as
    // any is left it is suspended again.
    network.next_epoch();
    let thaw = UnfreezeNode { node_id: of };
    ok(&network.send(owner(&of), UNFREEZE_NODE, thaw.encode()));
    for failures in [2, 1] {
        until_elected(&mut network, &of);
        assert!(epoch(&mut network, &of, true));
        let expected = fault(failures, network.epoch() + (1 << failures));
        assert_eq!(status(&network, &of).fault, expected);
        assert!(!network.committee().has(&of));
    }
    until_elected(&mut network, &of);
    assert!(epoch(&mut network, &of, true));
    assert_eq!(status(&network, &of).fault, None);
    let general = network.account(&address(owner(&of))).general;
    assert_eq!(general.nonce, 1);
    assert_eq!(network.supply(), supply);
}

#[test]
fn too_few_rounds_and_backups_are_not_judged() {
    let mut network = Network::new(&strict());
    let of = network.committee().workers[0];
    round_without(&mut network, &of);
    network.next_epoch();
    assert_eq!(status(&network, &of).fault, None, "one round is too few");
    // Backups that never say anything.
    let mut network = Network::new(&registered(|runtime| {
        runtime.executor.min_live_rounds_percent = 100;
    }));
    let backups = network.committee().backups;
    for _ in 0..3 {
        network.round();
    }
    network.next_epoch();
    for of in backups {
        assert_eq!(status(&network, &of).fault, None);
    }
    assert!(network.told().is_empty());
}

#[test]
fn a_runtime_that_asks_for_nothing_finds_no_fault() {
    let mut network = Network::new(&registered(|runtime| {
        runtime.executor.allowed_stragglers = 1;
    }));
    let of = network.scheduler(0);
    let others = [network.scheduler(1), network.scheduler(2)];
    let votes: Vec<_> = others
        .iter()
        .map(|worker| network.vote(worker, 1, b"state"))
        .collect();
    network.deliver(&votes);
    network.next_epoch();
    assert_eq!(status(&network, &of).fault, None);
    let elected = network.events().into_iter().any(
        |event| matches!(event, RootEvent::CommitteeElected { committee, .. } if committee.has(&of)),
    );
    assert!(elected);
}

#[test]
fn a_committee_that_loses_a_member_is_judged_before_it_is_elected_anew() {
    let mut network = Network::new(&registered(|runtime| {
        runtime.executor.allowed_stragglers = 1;
        runtime.executor.min_live_rounds_percent = 50;
    }));
    let of = network.scheduler(2);
    for _ in 0..2 {
        let workers = network.committee().workers;
        let others: Vec<NodeId> = workers.into_iter().filter(|worker| *worker != of).collect();
        let rank = u64::from(network.scheduler(0) == of);
        let votes: Vec<_> = others
            .iter()
            .map(|worker| network.vote(worker, rank, b"state"))
            .collect();
        network.deliver(&votes);
    }
    network.next_epoch();
    assert_eq!(status(&network, &of).fault, fault(1, 3));
    // Seven are needed and six are left: the fault counts for this very election.
    assert_eq!(state::committee(&network.view, &RUNTIME), Ok(None));
    assert_eq!(network.latest().header_type, HeaderType::Suspended);
}
