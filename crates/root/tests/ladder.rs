//! Members that do not do their work, and members that sign two different things: what the root
//! takes from them and for how long they are gone, over real epochs and on three replicas.
//!
//! The ladder: the n-th fault suspends a node for 2^n epochs, an epoch of work takes one fault
//! back, and the last fault freezes the node and costs it stake.

mod lineup;
mod network;
mod registered;

use std::collections::BTreeMap;

use lineup::{NODES, Replicas, account_of, entity_of_node, lineup, number_of, q};
use network::{FEE, Network, RUNTIME, node, rejection, transaction};
use registered::FREE;
use trilith_protocol::root::registry::{Fault, NodeStatus, Runtime, UNFREEZE_NODE, UnfreezeNode};
use trilith_protocol::root::staking::SlashReason;
use trilith_protocol::root::{Address, Evidence, RoothashEvent, SUBMIT_EVIDENCE};
use trilith_protocol::{Batch, HeaderType, Input, Proposal, RootEvent, RootGenesis};
use trilith_root::{registry, staking};
use trilith_types::{NodeId, SecretKey, TimeNanos};

const LIVENESS: u128 = 30;
const EQUIVOCATION: u128 = 40;
/// Faults until a node is frozen and slashed, and for how many epochs it is frozen.
const MOST_FAULTS: u8 = 4;
const FREEZE: u64 = 3;

/// Eight of nine nodes are primaries, so that the one that is watched nearly always is; one may be
/// missing. Backups are drawn from all, or eight could not be outnumbered.
fn judged(interval: u64, change: impl FnOnce(&mut Runtime)) -> RootGenesis {
    let mut document = lineup(|runtime| {
        let executor = &mut runtime.executor;
        executor.group_size = 8;
        executor.group_backup_size = 8;
        executor.backup_rule = 1;
        executor.allowed_stragglers = 1;
        executor.min_live_rounds_eval = 2;
        executor.min_live_rounds_percent = 90;
        executor.max_liveness_fails = MOST_FAULTS;
        let penalty = runtime
            .staking
            .slashing
            .get_mut(&SlashReason::RuntimeLiveness);
        penalty.unwrap().freeze_interval = FREEZE;
        change(runtime);
    });
    document.epoch_interval = interval;
    document
}

/// What a node leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Nothing,
    /// It proposes nothing, but votes.
    Proposals,
    /// It says nothing.
    All,
}

/// Plays a round in one height, in which a node leaves something out.
fn round(replicas: &mut Replicas, watched: &NodeId, leaves: Leaves) {
    let network = &replicas.network;
    let before = network.latest().round;
    let silent = leaves != Leaves::Nothing && network.scheduler(0) == *watched;
    let rank = u64::from(silent);
    let workers = network.committee().workers;
    let speaks = |member: &&NodeId| leaves != Leaves::All || *member != watched;
    let votes: Vec<_> = workers
        .iter()
        .filter(speaks)
        .map(|member| network.vote(member, rank, b"state"))
        .collect();
    replicas.height(&[transaction(RUNTIME, &votes)]);
    let latest = replicas.network.latest();
    assert_eq!(
        (latest.round, latest.header_type),
        (before.next(), HeaderType::Normal)
    );
}

fn status(network: &Network, id: &NodeId) -> NodeStatus {
    registry::node_status(&network.view, id).unwrap().unwrap()
}

fn fault(network: &Network, id: &NodeId) -> Fault {
    let faults = status(network, id).faults;
    faults.get(&RUNTIME).copied().unwrap_or_default()
}

/// Plays epochs until the watched node has been a primary in as many as `leaves` says, and leaves
/// out in each of them what it says. Gives its faults after each, and for how many epochs it is
/// suspended then. In all other epochs nothing may change for it, and it may not be elected while
/// it is suspended.
fn climb(
    replicas: &mut Replicas,
    watched: &NodeId,
    rounds: usize,
    leaves: &[Leaves],
) -> Vec<(u8, u64)> {
    let mut rungs = Vec::new();
    for _ in 0..100 {
        let Some(now) = leaves.get(rungs.len()) else {
            return rungs;
        };
        let committee = replicas.network.committee();
        let is_primary = committee.workers.contains(watched);
        for _ in 0..rounds {
            round(
                replicas,
                watched,
                if is_primary { *now } else { Leaves::Nothing },
            );
        }
        let before = fault(&replicas.network, watched);
        replicas.happened.clear();
        replicas.next_epoch();
        let epoch = replicas.network.epoch();
        let after = fault(&replicas.network, watched);
        if is_primary {
            rungs.push((after.failures, after.suspended_until.saturating_sub(epoch)));
        } else {
            assert_eq!(after, before, "who is no primary is not judged");
        }
        if after.suspended_until > epoch || status(&replicas.network, watched).freeze_end_time > 0 {
            assert!(!replicas.network.committee().has(watched), "epoch {epoch}");
        }
        // The others have worked.
        for other in NODES.map(node).filter(|other| other != watched) {
            assert_eq!(status(&replicas.network, &other).faults, BTreeMap::new());
        }
        replicas.network.sound();
    }
    panic!("{watched} was hardly ever elected: {rungs:?}");
}

fn told_faults(happened: &[RootEvent]) -> Vec<(NodeId, u8)> {
    let faults = happened.iter().filter_map(|event| match event {
        RootEvent::Roothash(RoothashEvent::LivenessFault(event)) => {
            Some((event.node_id, event.failures))
        }
        _ => None,
    });
    faults.collect()
}

#[test]
fn each_fault_suspends_twice_as_long_and_the_last_costs_stake() {
    let mut replicas = Replicas::new(&judged(6, |_| ()));
    let watched = node(41);
    let before = replicas.wealth();
    let first = climb(&mut replicas, &watched, 2, &[Leaves::All; 3]);
    assert_eq!(first, [(1, 2), (2, 4), (3, 8)]);
    assert_eq!(replicas.wealth(), before, "a fault alone costs nothing");
    assert_eq!(status(&replicas.network, &watched).freeze_end_time, 0);
    assert_eq!(told_faults(&replicas.happened), [(watched, 3)]);
    let last = climb(&mut replicas, &watched, 2, &[Leaves::All]);
    assert_eq!(last, [(4, 16)]);
    // What is taken goes to the common pool: nobody showed it, and no round was at stake.
    let mut expected = before;
    *expected.get_mut(&account_of(&watched).to_string()).unwrap() -= LIVENESS;
    *expected.get_mut("common pool").unwrap() += LIVENESS;
    assert_eq!(replicas.wealth(), expected);
    let epoch = replicas.network.epoch();
    assert_eq!(
        status(&replicas.network, &watched).freeze_end_time,
        epoch + FREEZE
    );
    // Its entity can thaw it when its time has come, and not before. It stays suspended.
    let thaw = |replicas: &mut Replicas| {
        let body = UnfreezeNode { node_id: watched };
        let entity = entity_of_node(number_of(&watched));
        let body = body.encode();
        let input = replicas
            .network
            .signed(entity, UNFREEZE_NODE, body, Some(FREE));
        let receipts = replicas.height(&[input]).receipts;
        rejection(&receipts[0]).map(|(_, code)| code)
    };
    assert_eq!(thaw(&mut replicas), Some(14));
    while replicas.network.epoch() < epoch + FREEZE {
        replicas.next_epoch();
    }
    assert_eq!(thaw(&mut replicas), None);
    while replicas.network.epoch() < epoch + 16 {
        assert!(!replicas.network.committee().has(&watched));
        replicas.next_epoch();
    }
    // 70 are left, which its entity and itself need: it works again, and one fault is forgiven.
    let worked = climb(&mut replicas, &watched, 2, &[Leaves::Nothing]);
    assert_eq!(worked, [(3, 8)]);
    assert_eq!(
        staking::total_supply(&replicas.network.view),
        Ok(q(4_300_900))
    );
}

#[test]
fn work_takes_faults_back_one_by_one() {
    let mut replicas = Replicas::new(&judged(6, |_| ()));
    let watched = node(45);
    let before = replicas.wealth();
    let leaves = [Leaves::All, Leaves::All, Leaves::Nothing, Leaves::Nothing];
    let rungs = climb(&mut replicas, &watched, 2, &leaves);
    // While a fault is left, an epoch of work suspends as well.
    assert_eq!(rungs, [(1, 2), (2, 4), (1, 2), (0, 0)]);
    assert_eq!(status(&replicas.network, &watched).faults, BTreeMap::new());
    assert_eq!(replicas.wealth(), before);
}

#[test]
fn too_few_rounds_say_nothing() {
    let mut replicas = Replicas::new(&judged(6, |_| ()));
    let rungs = climb(&mut replicas, &node(43), 1, &[Leaves::All; 2]);
    assert_eq!(rungs, [(0, 0), (0, 0)]);
}

#[test]
fn a_scheduler_that_never_proposes_is_at_fault_though_it_votes() {
    // In eight rounds each of eight primaries schedules once.
    let document = |most| {
        judged(10, |runtime| {
            runtime.executor.max_missed_proposals_percent = most;
        })
    };
    let watched = node(44);
    let mut replicas = Replicas::new(&document(50));
    let rungs = climb(&mut replicas, &watched, 8, &[Leaves::Proposals]);
    assert_eq!(rungs, [(1, 2)]);
    let mut replicas = Replicas::new(&document(0));
    let rungs = climb(&mut replicas, &watched, 8, &[Leaves::Proposals]);
    assert_eq!(rungs, [(0, 0)], "where proposals are not asked for");
}

/// Three primaries and four backups; of a slash for equivocation the runtime gets a fifth.
fn watched_over() -> Replicas {
    let document = lineup(|runtime| runtime.staking.reward_equivocation = 20);
    Replicas::new(&document)
}

/// Submits evidence as somebody; the code of the refusal.
fn show(replicas: &mut Replicas, by: u8, evidence: &Evidence) -> Option<u32> {
    let body = evidence.encode();
    let input = replicas
        .network
        .signed(by, SUBMIT_EVIDENCE, body, Some(FREE));
    let receipts = replicas.height(&[input]).receipts;
    rejection(&receipts[0]).map(|(module, code)| {
        assert_eq!(module, "root");
        code
    })
}

fn two_commitments(network: &Network, member: &NodeId, rank: u64) -> Evidence {
    let votes = [b"one", b"two"].map(|state| network.vote(member, rank, state));
    let [first, second] = votes;
    Evidence::of_commitments(RUNTIME, first, second)
}

fn two_proposals(network: &Network, key: &SecretKey, chain: &trilith_types::Hash) -> Evidence {
    let latest = network.latest();
    let proposals = [b"one", b"two"].map(|input| {
        let inputs = vec![Input::new(input.to_vec())];
        let batch = Batch {
            time: TimeNanos(1),
            inputs,
        };
        Proposal::sign(
            key,
            latest.round.next(),
            latest.hash(),
            &batch,
            &RUNTIME,
            chain,
        )
    });
    Evidence::of_proposals(RUNTIME, &proposals[0], &proposals[1])
}

/// What everybody has after `wrong` was slashed for equivocation and `right` has shown it.
fn slashed(
    mut wealth: BTreeMap<String, u128>,
    wrong: &NodeId,
    right: &NodeId,
) -> BTreeMap<String, u128> {
    *wealth.get_mut(&account_of(wrong).to_string()).unwrap() -= EQUIVOCATION;
    *wealth.get_mut(&account_of(right).to_string()).unwrap() += EQUIVOCATION * 4 / 5;
    let runtime = Address::of_runtime(&RUNTIME).to_string();
    *wealth.entry(runtime).or_default() += EQUIVOCATION / 5;
    wealth
}

#[test]
fn equivocation_costs_stake_once_for_a_round() {
    for proposals in [false, true] {
        let mut replicas = watched_over();
        let network = &replicas.network;
        let chain = network.chain;
        let wrong = network.scheduler(0);
        let right = network.committee().backups[0];
        let key = network.key_of(&wrong);
        let evidence = if proposals {
            two_proposals(network, &key, &chain)
        } else {
            two_commitments(network, &wrong, 0)
        };
        let other = two_commitments(network, &wrong, 1);
        let before = replicas.wealth();
        assert_eq!(show(&mut replicas, number_of(&right), &evidence), None);
        let after = slashed(before, &wrong, &right);
        assert_eq!(replicas.wealth(), after);
        // Neither again, nor for something else in the same round.
        for again in [&evidence, &other] {
            assert_eq!(show(&mut replicas, 42, again), Some(24));
        }
        assert_eq!(replicas.wealth(), after);
        // 60 do not cover the 70 that are claimed: it is in no later committee.
        replicas.next_epoch();
        assert!(!replicas.network.committee().has(&wrong));
        // For another round it costs again.
        let network = &replicas.network;
        let latest = network.latest().round;
        let evidence = two_proposals(network, &key, &chain);
        assert_eq!(show(&mut replicas, number_of(&right), &evidence), None);
        assert_eq!(replicas.wealth(), slashed(after, &wrong, &right));
        assert_eq!(replicas.network.latest().round, latest);
        assert_eq!(
            staking::total_supply(&replicas.network.view),
            Ok(q(4_300_900))
        );
        replicas.network.sound();
    }
}

#[test]
fn what_is_no_equivocation_costs_nothing() {
    let mut replicas = watched_over();
    let network = &replicas.network;
    let member = network.scheduler(2);
    let key = network.key_of(&member);
    let vote = |rank, state: &[u8]| network.vote(&member, rank, state);
    let forged = {
        let mut evidence = two_commitments(network, &member, 0);
        let pair = evidence.commitments.as_mut().unwrap();
        pair.second.signature = pair.first.signature;
        evidence
    };
    let evidence = [
        // It follows another scheduler where the first one is silent.
        Evidence::of_commitments(RUNTIME, vote(0, b"one"), vote(1, b"two")),
        Evidence::of_commitments(RUNTIME, vote(0, b"one"), vote(0, b"one")),
        two_proposals(network, &key, &trilith_types::Hash::EMPTY),
        forged,
    ];
    let before = replicas.wealth();
    for evidence in evidence {
        assert_eq!(show(&mut replicas, 42, &evidence), Some(22));
        assert_eq!(replicas.wealth(), before);
    }
    // Who submits it pays for it all the same.
    let evidence = two_proposals(&replicas.network, &key, &trilith_types::Hash::EMPTY);
    let fee = Some(FEE);
    let input = replicas
        .network
        .signed(10, SUBMIT_EVIDENCE, evidence.encode(), fee);
    let receipts = replicas.height(&[input]).receipts;
    assert_eq!(rejection(&receipts[0]), Some(("root", 22)));
    let paid = before[&network::address(10).to_string()] - FEE.amount.units();
    assert_eq!(replicas.wealth()[&network::address(10).to_string()], paid);
    replicas.network.sound();
}

/// A known limit, which Oasis Core has as well: whoever shows its own equivocation before others do
/// gets the reward for it. What it loses for sure is the runtime's part, which a runtime that cares
/// sets high.
#[test]
fn who_shows_its_own_equivocation_first_loses_the_part_of_the_runtime() {
    let mut replicas = watched_over();
    let network = &replicas.network;
    let wrong = network.scheduler(0);
    let evidence = two_commitments(network, &wrong, 0);
    let before = replicas.wealth();
    assert_eq!(show(&mut replicas, number_of(&wrong), &evidence), None);
    assert_eq!(replicas.wealth(), slashed(before, &wrong, &wrong));
    let left = replicas.wealth()[&account_of(&wrong).to_string()];
    assert_eq!(left, lineup::STAKE - EQUIVOCATION / 5);
    assert_eq!(show(&mut replicas, 42, &evidence), Some(24));
    replicas.network.sound();
}

/// A known limit, which Oasis Core has as well: commitments name the batch only through its outcome,
/// so that an executor that got another proposal of the same scheduler looks like a liar. It loses
/// its stake; what it can do is show the two proposals.
#[test]
fn a_scheduler_with_two_proposals_costs_an_honest_executor_and_pays_for_it() {
    let mut replicas = watched_over();
    let network = &replicas.network;
    let committee = network.committee();
    let (scheduler, misled, third) = (
        network.scheduler(0),
        network.scheduler(1),
        network.scheduler(2),
    );
    let proposals = two_proposals(network, &network.key_of(&scheduler), &network.chain);
    let votes = [
        network.vote(&scheduler, 0, b"one"),
        network.vote(&third, 0, b"one"),
        network.vote(&misled, 0, b"two"),
    ];
    let resolution: Vec<_> = committee
        .backups
        .iter()
        .map(|backup| network.vote(backup, 0, b"one"))
        .collect();
    assert_eq!(replicas.deliver(&votes), []);
    assert_eq!(replicas.deliver(&resolution), []);
    let active = |replicas: &Replicas, id| replicas.wealth()[&account_of(id).to_string()];
    assert_eq!(
        active(&replicas, &misled),
        lineup::STAKE - lineup::INCORRECT
    );
    let before = replicas.wealth();
    assert_eq!(show(&mut replicas, number_of(&misled), &proposals), None);
    assert_eq!(replicas.wealth(), slashed(before, &scheduler, &misled));
    replicas.network.sound();
}
