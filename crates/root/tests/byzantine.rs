//! What becomes of rounds in which members misbehave: the scenarios of Oasis Core's end-to-end
//! tests, each with the timeout, discrepancy, failure and slash that must follow. They are played
//! on the root's ledger with registered nodes that have stake of their own, real transactions and
//! signatures, real epochs, on three replicas that remember differently.
//!
//! As there, a stake is 100, wrong results cost 50, equivocation 40 and a lack of liveness 30.
//! Source: Oasis Core `oasis-test-runner/scenario/e2e/runtime/byzantine.go`.

mod lineup;
mod network;
mod registered;

use std::collections::{BTreeMap, BTreeSet};

use lineup::{INCORRECT, OF_RUNTIME, Replicas, account_of, lineup, q};
use network::{Network, RUNTIME};
use trilith_protocol::root::staking::StakingEvent;
use trilith_protocol::root::{Address, Quantity, RoundFailure};
use trilith_protocol::{Committee, ExecutorCommitment, HeaderType, RootEvent};
use trilith_root::{roothash, staking, state};
use trilith_types::NodeId;

/// The code of a scheduler's statement that it failed.
const SCHEDULER_FAILURE: u32 = 11;

/// How a member behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Honest,
    /// It commits to another outcome.
    Dishonest,
    /// It says nothing.
    Straggler,
    /// It says that it failed, also of its own proposal.
    Failing,
    /// As scheduler it shows its proposal and commits to nothing.
    Runaway,
    /// As scheduler it proposes what nobody can execute, and commits to an outcome of it.
    Bogus,
    /// As scheduler it proposes what nobody has or what its hash is not of, and commits.
    Unknown,
}

use Mode::{Bogus, Dishonest, Failing, Honest, Runaway, Straggler, Unknown};

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Worker,
    /// By its place.
    Backup(usize),
}

/// What happens, and what must follow.
struct Scenario {
    name: &'static str,
    committee: (u16, u16),
    scheduler: Mode,
    worker: Mode,
    backups: &'static [Mode],
    /// Whether a round's timer runs out.
    timeout: bool,
    discrepancy: bool,
    fails: Option<RoundFailure>,
    slashed: &'static [Who],
}

/// All honest: the rows say what is different.
const AGREED: Scenario = Scenario {
    name: "honest",
    committee: (3, 4),
    scheduler: Honest,
    worker: Honest,
    backups: &[],
    timeout: false,
    discrepancy: false,
    fails: None,
    slashed: &[],
};

const DISPUTED: Scenario = Scenario {
    discrepancy: true,
    ..AGREED
};

const TIMED_OUT: Scenario = Scenario {
    timeout: true,
    ..DISPUTED
};

/// The scenarios without allowed stragglers.
const STRICT: &[Scenario] = &[
    AGREED,
    Scenario {
        name: "worker dishonest",
        worker: Dishonest,
        slashed: &[Who::Worker],
        ..DISPUTED
    },
    Scenario {
        name: "worker straggler",
        worker: Straggler,
        ..TIMED_OUT
    },
    Scenario {
        name: "worker failure-indicating",
        worker: Failing,
        ..DISPUTED
    },
    // Its outcome is not the one that stands, for none stands: nobody is slashed.
    Scenario {
        name: "scheduler dishonest",
        scheduler: Dishonest,
        fails: Some(RoundFailure::BadSchedulerCommitment),
        ..DISPUTED
    },
    Scenario {
        name: "scheduler runaway",
        scheduler: Runaway,
        ..TIMED_OUT
    },
    // Oasis' executors do not answer a batch that they cannot have, see the next row.
    Scenario {
        name: "scheduler bogus transactions, refused",
        scheduler: Bogus,
        fails: Some(RoundFailure::NoMajority),
        ..DISPUTED
    },
    Scenario {
        name: "scheduler bogus transactions, nobody has them",
        scheduler: Unknown,
        fails: Some(RoundFailure::NoMajority),
        ..TIMED_OUT
    },
    Scenario {
        name: "scheduler invalid batch hash",
        scheduler: Unknown,
        fails: Some(RoundFailure::NoMajority),
        ..TIMED_OUT
    },
    Scenario {
        name: "scheduler straggler",
        scheduler: Straggler,
        ..TIMED_OUT
    },
    Scenario {
        name: "scheduler failure-indicating",
        scheduler: Failing,
        ..TIMED_OUT
    },
    Scenario {
        name: "backup straggler",
        committee: (2, 3),
        worker: Straggler,
        backups: &[Straggler],
        ..TIMED_OUT
    },
    Scenario {
        name: "backup dishonest",
        worker: Straggler,
        backups: &[Dishonest],
        slashed: &[Who::Backup(0)],
        ..TIMED_OUT
    },
    Scenario {
        name: "worker and backup dishonest",
        worker: Dishonest,
        backups: &[Dishonest],
        slashed: &[Who::Worker, Who::Backup(0)],
        ..DISPUTED
    },
    Scenario {
        name: "half of the backups dishonest",
        worker: Dishonest,
        backups: &[Dishonest, Dishonest],
        fails: Some(RoundFailure::NoMajority),
        ..DISPUTED
    },
];

/// The scenarios with one allowed straggler.
const LENIENT: &[Scenario] = &[
    Scenario {
        name: "worker straggler, allowed",
        worker: Straggler,
        ..AGREED
    },
    Scenario {
        name: "worker failure-indicating, allowed",
        worker: Failing,
        ..AGREED
    },
    Scenario {
        name: "scheduler straggler, allowed",
        scheduler: Straggler,
        ..AGREED
    },
    Scenario {
        name: "scheduler runaway, allowed",
        scheduler: Runaway,
        ..AGREED
    },
    Scenario {
        name: "scheduler failure-indicating, allowed",
        scheduler: Failing,
        ..AGREED
    },
    Scenario {
        name: "worker dishonest, one straggler allowed",
        worker: Dishonest,
        slashed: &[Who::Worker],
        ..DISPUTED
    },
    Scenario {
        name: "scheduler dishonest, one straggler allowed",
        scheduler: Dishonest,
        fails: Some(RoundFailure::BadSchedulerCommitment),
        ..DISPUTED
    },
    Scenario {
        name: "scheduler bogus transactions, one straggler allowed",
        scheduler: Bogus,
        fails: Some(RoundFailure::NoMajority),
        ..DISPUTED
    },
    Scenario {
        name: "scheduler invalid batch hash, one straggler allowed",
        scheduler: Unknown,
        fails: Some(RoundFailure::NoMajority),
        ..TIMED_OUT
    },
];

/// The members of a round of a scenario.
struct Cast {
    committee: Committee,
    /// The scheduler of rank 0.
    scheduler: NodeId,
    /// The primary that misbehaves, which is the last to schedule.
    worker: NodeId,
}

impl Cast {
    fn of(network: &Network) -> Self {
        let committee = network.committee();
        let last = committee.workers.len() as u64 - 1;
        Self {
            scheduler: network.scheduler(0),
            worker: network.scheduler(last),
            committee,
        }
    }

    fn mode(&self, scenario: &Scenario, member: &NodeId) -> Mode {
        let place = self
            .committee
            .backups
            .iter()
            .position(|backup| backup == member);
        match place {
            _ if *member == self.scheduler => scenario.scheduler,
            _ if *member == self.worker => scenario.worker,
            Some(place) => scenario.backups.get(place).copied().unwrap_or(Honest),
            None => Honest,
        }
    }
}

/// What a member commits to when it sees the proposal of the scheduler at a rank.
fn answer(
    network: &Network,
    (member, mode): (&NodeId, Mode),
    rank: u64,
    proposer: Mode,
) -> Option<ExecutorCommitment> {
    let own = network.scheduler(rank) == *member;
    match (mode, proposer) {
        (Straggler | Runaway, _) => None,
        (Failing, _) => Some(network.failure(member, rank)),
        (Dishonest, _) => Some(network.vote(member, rank, b"wrong")),
        (Bogus | Unknown, _) if own => Some(network.vote(member, rank, b"made up")),
        (_, Bogus) => Some(network.failure(member, rank)),
        (_, Unknown) => None,
        _ => Some(network.vote(member, rank, b"right")),
    }
}

fn answers(
    network: &Network,
    cast: &Cast,
    scenario: &Scenario,
    rank: u64,
) -> [Vec<ExecutorCommitment>; 2] {
    // Who schedules at a rank above 0 is honest.
    let proposer = if rank == 0 {
        scenario.scheduler
    } else {
        Honest
    };
    let of = |members: &[NodeId]| {
        let answers = members.iter().filter_map(|member| {
            let mode = cast.mode(scenario, member);
            answer(network, (member, mode), rank, proposer)
        });
        answers.collect()
    };
    [of(&cast.committee.workers), of(&cast.committee.backups)]
}

/// Plays one round. Gives the members, and the rank that decided.
fn play(replicas: &mut Replicas, scenario: &Scenario) -> (Cast, u64) {
    let cast = Cast::of(&replicas.network);
    let round = replicas.network.latest().round;
    let mut rank = 0;
    let [primaries, _] = answers(&replicas.network, &cast, scenario, rank);
    match scenario.scheduler {
        // Nobody sees a proposal, and a scheduler cannot have failed at its own.
        Straggler => {}
        Failing => {
            let failure = replicas.network.failure(&cast.scheduler, rank);
            assert_eq!(replicas.deliver(&[failure]), [SCHEDULER_FAILURE]);
        }
        _ => assert_eq!(replicas.deliver(&primaries), []),
    }
    if matches!(scenario.scheduler, Straggler | Failing | Runaway) {
        assert_eq!(replicas.network.latest().round, round, "{}", scenario.name);
        rank = 1;
        let [primaries, _] = answers(&replicas.network, &cast, scenario, rank);
        assert_eq!(replicas.deliver(&primaries), []);
    }
    let disputed = |replicas: &Replicas| {
        let pool = state::pool(&replicas.network.view, &RUNTIME).unwrap();
        pool.is_disputed()
    };
    // No round of four heights may take longer than the timers of all ranks and the backups.
    for _ in 0..3 * 4 + 6 {
        if replicas.network.latest().round != round {
            break;
        }
        if disputed(replicas) {
            let [_, backups] = answers(&replicas.network, &cast, scenario, rank);
            replicas.deliver(&backups);
            while replicas.network.latest().round == round && disputed(replicas) {
                replicas.height(&[]);
            }
        } else {
            replicas.height(&[]);
        }
    }
    assert_eq!(
        replicas.network.latest().round,
        round.next(),
        "{}",
        scenario.name
    );
    (cast, rank)
}

fn check_events(scenario: &Scenario, rank: u64, happened: &[RootEvent]) {
    let name = scenario.name;
    let disputes: Vec<(u64, bool)> = happened
        .iter()
        .filter_map(|event| match event {
            RootEvent::DiscrepancyDetected { rank, timeout, .. } => Some((*rank, *timeout)),
            _ => None,
        })
        .collect();
    let expected = scenario.discrepancy.then_some((rank, scenario.timeout));
    assert_eq!(disputes, Vec::from_iter(expected), "{name}");
    let failures: Vec<RoundFailure> = happened
        .iter()
        .filter_map(|event| match event {
            RootEvent::RoundFailed { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(failures, Vec::from_iter(scenario.fails), "{name}");
    let finalized = happened
        .iter()
        .filter(|event| matches!(event, RootEvent::RoundFinalized { .. }));
    assert_eq!(finalized.count(), 1, "{name}: one block for a round");
}

/// Holds what everybody has after the round against what everybody had before it.
fn check_wealth(
    scenario: &Scenario,
    (before, replicas): (&BTreeMap<String, u128>, &Replicas),
    slashed: &BTreeSet<NodeId>,
) {
    let mut expected = before.clone();
    if !slashed.is_empty() {
        let results = state::round_results(&replicas.network.view, &RUNTIME).unwrap();
        let results = results.unwrap();
        assert_eq!(
            BTreeSet::from_iter(results.bad),
            *slashed,
            "{}",
            scenario.name
        );
        let taken = INCORRECT * slashed.len() as u128;
        let of_runtime = taken * OF_RUNTIME / 100;
        let of_each = (taken - of_runtime) / results.good.len() as u128;
        let rest = taken - of_runtime - of_each * results.good.len() as u128;
        let mut gain = |who: String, amount| *expected.entry(who).or_default() += amount;
        gain(Address::of_runtime(&RUNTIME).to_string(), of_runtime);
        gain("common pool".into(), rest);
        for right in &results.good {
            gain(account_of(right).to_string(), of_each);
        }
        for wrong in slashed {
            *expected.get_mut(&account_of(wrong).to_string()).unwrap() -= INCORRECT;
        }
    }
    assert_eq!(replicas.wealth(), expected, "{}", scenario.name);
    let takes = replicas.happened.iter().filter_map(|event| match event {
        RootEvent::Staking(StakingEvent::TakeEscrow(event)) => Some((event.owner, event.amount)),
        _ => None,
    });
    let taken: BTreeSet<(Address, Quantity)> = takes.collect();
    let each = |id: &NodeId| (account_of(id), q(INCORRECT));
    assert_eq!(
        taken,
        slashed.iter().map(each).collect(),
        "{}",
        scenario.name
    );
}

/// Who is said to have worked in the only round of the epoch.
fn check_liveness(network: &Network, cast: &Cast, rank: u64, gave: bool) {
    let counts = roothash::liveness(&network.view, &RUNTIME)
        .unwrap()
        .unwrap();
    assert_eq!(counts.total_rounds, u64::from(gave));
    let results = state::round_results(&network.view, &RUNTIME).unwrap();
    let good = results.map(|results| results.good).unwrap_or_default();
    let members = cast.committee.workers.iter().chain(&cast.committee.backups);
    for (place, member) in members.enumerate() {
        let first = *member == cast.scheduler;
        let found = (
            counts.live_rounds[place],
            counts.finalized_proposals[place],
            counts.missed_proposals[place],
        );
        let proposed = gave && rank == 0;
        let expected = (
            u64::from(good.contains(member)),
            u64::from(first && proposed),
            u64::from(first && !proposed),
        );
        assert_eq!(found, expected, "{member}");
    }
}

fn check(scenario: &Scenario, stragglers: u16) {
    let (primaries, backups) = scenario.committee;
    let mut replicas = Replicas::new(&lineup(|runtime| {
        runtime.executor.group_size = primaries;
        runtime.executor.group_backup_size = backups;
        runtime.executor.allowed_stragglers = stragglers;
    }));
    let before = replicas.wealth();
    let supply = staking::total_supply(&replicas.network.view);
    let (cast, rank) = play(&mut replicas, scenario);
    let happened = replicas.happened.clone();
    check_events(scenario, rank, &happened);
    let expected = match scenario.fails {
        None => (HeaderType::Normal, trilith_types::Hash::of(b"right")),
        Some(_) => (
            HeaderType::RoundFailed,
            trilith_types::Hash::of(b"genesis state"),
        ),
    };
    let latest = replicas.network.latest();
    assert_eq!(
        (latest.header_type, latest.state_root),
        expected,
        "{}",
        scenario.name
    );
    check_liveness(&replicas.network, &cast, rank, scenario.fails.is_none());
    let slashed: BTreeSet<NodeId> = scenario
        .slashed
        .iter()
        .map(|who| match who {
            Who::Worker => cast.worker,
            Who::Backup(place) => cast.committee.backups[*place],
        })
        .collect();
    check_wealth(scenario, (&before, &replicas), &slashed);
    assert_eq!(staking::total_supply(&replicas.network.view), supply);
    replicas.network.sound();
    // Whoever was slashed is in no later committee; the others are enough for one.
    replicas.next_epoch();
    let committee = replicas.network.committee();
    assert!(
        slashed.iter().all(|node| !committee.has(node)),
        "{}",
        scenario.name
    );
    let (_, rank) = play(
        &mut replicas,
        &Scenario {
            committee: scenario.committee,
            ..AGREED
        },
    );
    assert_eq!(rank, 0);
    assert_eq!(replicas.network.latest().header_type, HeaderType::Normal);
    replicas.network.sound();
}

/// A backup that speaks too early and wrongly is known to have been wrong, but decided nothing.
#[test]
fn whoever_is_wrong_where_nobody_disputes_loses_nothing() {
    let mut replicas = Replicas::new(&lineup(|_| ()));
    let before = replicas.wealth();
    let cast = Cast::of(&replicas.network);
    let liar = cast.committee.backups[1];
    let early = replicas.network.vote(&liar, 0, b"wrong");
    assert_eq!(replicas.deliver(&[early]), []);
    play(&mut replicas, &AGREED);
    check_events(&AGREED, 0, &replicas.happened.clone());
    let results = state::round_results(&replicas.network.view, &RUNTIME).unwrap();
    assert_eq!(results.unwrap().bad, [liar]);
    assert_eq!(replicas.wealth(), before);
    replicas.network.sound();
}

#[test]
fn without_allowed_stragglers() {
    for scenario in STRICT {
        check(scenario, 0);
    }
}

#[test]
fn with_one_allowed_straggler() {
    for scenario in LENIENT {
        check(scenario, 1);
    }
}
