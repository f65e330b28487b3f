//! The commitment pool: a table of scenarios, each a script of commitments and heights with the
//! verdicts that follow. The byzantine rows restate the outcomes that Oasis Core's end-to-end
//! scenarios expect (`byzantine.go`).

mod network;

use network::{descriptor, failed, header, node, results, rules};
use proptest::prelude::*;
use trilith_protocol::root::{ExecutorParameters, RoundFailure};
use trilith_protocol::{BlockHeader, Committee, ExecutorCommitment};
use trilith_root::Rejection;
use trilith_root::pool::{Pool, Verdict};
use trilith_types::{Epoch, Hash, Height, NodeId, Signature};

/// Member `number`: workers are 0 and up, backups 10 and up, in committee order.
fn member(number: u8) -> NodeId {
    node(number + 1)
}

fn committee(workers: u8, backups: u8) -> Committee {
    Committee {
        epoch: Epoch(0),
        workers: (0..workers).map(member).collect(),
        backups: (10..10 + backups).map(member).collect(),
        storage: Vec::new(),
    }
}

/// Round 4 of a runtime with 3 workers gives worker 2 rank 0, worker 0 rank 1, worker 1 rank 2.
fn last() -> BlockHeader {
    let id = descriptor(network::RUNTIME, rules(1, 0, 0)).id;
    let mut last = BlockHeader::genesis(id, 0, Hash::EMPTY);
    last.round.0 = 3;
    last
}

/// A commitment as admission leaves it; the pool does not look at signatures.
fn commitment(of: NodeId, scheduler: NodeId, state: Option<u8>) -> ExecutorCommitment {
    let header = header(scheduler, results(&last(), &[state.unwrap_or(0)]));
    ExecutorCommitment {
        node_id: of,
        header: if state.is_some() {
            header
        } else {
            failed(header)
        },
        signature: Signature::from_bytes([0; 64]),
        messages: Vec::new(),
    }
}

/// One line of a scenario: what arrives at a height, or that nothing does; then the verdicts.
struct Step(
    u64,
    &'static [(u8, u64, Option<u8>)],
    &'static [&'static str],
);

struct Scenario {
    name: &'static str,
    workers: u8,
    backups: u8,
    stragglers: u32,
    steps: &'static [Step],
}

/// Commitments are (member, rank, state or failure). Round timeout is 4 heights, 6 for backups.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a committee of one finalises at once",
        workers: 1,
        backups: 0,
        stragglers: 0,
        steps: &[Step(1, &[(0, 0, Some(1))], &["final 1 good 1 bad 0"])],
    },
    Scenario {
        name: "all agree",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(0, 0, Some(1))], &["wait"]),
            Step(2, &[(2, 0, Some(1))], &["wait"]),
            Step(3, &[(1, 0, Some(1))], &["final 1 good 3 bad 0"]),
        ],
    },
    Scenario {
        name: "worker dishonest",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(2, 0, Some(1)), (1, 0, Some(9))],
                &["disputed 0", "wait"],
            ),
            Step(2, &[(10, 0, Some(1)), (11, 0, Some(1))], &["wait"]),
            Step(3, &[(12, 0, Some(1))], &["final 1 good 4 bad 1"]),
        ],
    },
    Scenario {
        name: "scheduler dishonest",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(2, 0, Some(9)), (0, 0, Some(1))],
                &["disputed 0", "wait"],
            ),
            Step(
                2,
                &[(10, 0, Some(1)), (11, 0, Some(1)), (12, 0, Some(1))],
                &["failed BadSchedulerCommitment"],
            ),
        ],
    },
    Scenario {
        name: "worker straggler: disputed on timeout, resolved by early backups",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(2, 0, Some(1)), (1, 0, Some(1)), (10, 0, Some(1))],
                &["wait"],
            ),
            Step(2, &[(11, 0, Some(1)), (12, 0, Some(1))], &["wait"]),
            Step(4, &[], &["wait"]),
            Step(5, &[], &["timeout 0", "final 1 good 5 bad 0"]),
        ],
    },
    Scenario {
        name: "worker straggler, allowed",
        workers: 3,
        backups: 4,
        stragglers: 1,
        steps: &[Step(
            1,
            &[(2, 0, Some(1)), (1, 0, Some(1))],
            &["final 1 good 2 bad 0"],
        )],
    },
    Scenario {
        name: "failure-indicating worker",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(2, 0, Some(1)), (1, 0, None)], &["disputed 0", "wait"]),
            Step(
                2,
                &[(10, 0, Some(1)), (11, 0, Some(1)), (12, 0, Some(1))],
                &["final 1 good 4 bad 0"],
            ),
        ],
    },
    Scenario {
        name: "failure-indicating worker, allowed",
        workers: 3,
        backups: 4,
        stragglers: 1,
        steps: &[
            Step(1, &[(2, 0, Some(1)), (1, 0, None)], &["wait"]),
            Step(2, &[(0, 0, Some(1))], &["final 1 good 2 bad 0"]),
        ],
    },
    Scenario {
        name: "silent scheduler: the next rank takes over, agreement needs no timeout",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(9, &[(1, 0, Some(1))], &["wait"]),
            Step(10, &[(0, 1, Some(1)), (1, 1, Some(1))], &["wait"]),
            Step(11, &[(2, 1, Some(1))], &["final 1 good 3 bad 0"]),
        ],
    },
    Scenario {
        name: "silent scheduler: without anyone's proposal there is no timeout",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(1, 0, Some(1)), (0, 0, Some(2))], &["wait"]),
            Step(1_000, &[], &["wait"]),
        ],
    },
    Scenario {
        name: "a dispute of rank 1 waits for rank 0 until the timeout",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(0, 1, Some(1)), (1, 1, Some(9))], &["wait"]),
            Step(4, &[], &["wait"]),
            Step(5, &[], &["timeout 1", "wait"]),
            Step(6, &[(10, 1, Some(1)), (11, 1, Some(1))], &["wait"]),
            Step(7, &[(12, 1, Some(1))], &["final 1 good 4 bad 1"]),
        ],
    },
    Scenario {
        name: "rank 0 supersedes a disputed-to-be rank 1 and sets the timer anew",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(0, 1, Some(1)), (1, 1, Some(9))], &["wait"]),
            Step(4, &[(2, 0, Some(5))], &["wait"]),
            Step(5, &[(0, 0, Some(5))], &["wait"]),
            Step(7, &[], &["wait"]),
            Step(8, &[], &["timeout 0", "wait"]),
        ],
    },
    Scenario {
        name: "scheduler runaway: others voted for its proposal, it never commits",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(0, 0, Some(1)), (1, 0, Some(1))], &["wait"]),
            Step(2, &[(0, 1, Some(2)), (1, 1, Some(2))], &["wait"]),
            Step(6, &[], &["timeout 1", "wait"]),
            Step(
                7,
                &[(10, 1, Some(2)), (11, 1, Some(2)), (12, 1, Some(2))],
                &["final 2 good 5 bad 0"],
            ),
        ],
    },
    Scenario {
        name: "backup straggler: a majority of three is two",
        workers: 2,
        backups: 3,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(0, 0, Some(1)), (1, 0, Some(9))],
                &["disputed 0", "wait"],
            ),
            Step(2, &[(10, 0, Some(1))], &["wait"]),
            Step(3, &[(11, 0, Some(1))], &["final 1 good 3 bad 1"]),
        ],
    },
    Scenario {
        name: "backups are split: no majority is possible any more",
        workers: 2,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(0, 0, Some(1)), (1, 0, Some(9))],
                &["disputed 0", "wait"],
            ),
            Step(2, &[(10, 0, Some(1)), (11, 0, Some(9))], &["wait"]),
            Step(3, &[(12, 0, None)], &["failed NoMajority"]),
        ],
    },
    Scenario {
        name: "backups are silent: the round fails after one and a half timeouts",
        workers: 2,
        backups: 3,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(0, 0, Some(1)), (1, 0, Some(9))],
                &["disputed 0", "wait"],
            ),
            Step(6, &[(10, 0, Some(1))], &["wait"]),
            Step(7, &[], &["failed NoMajority"]),
        ],
    },
    Scenario {
        name: "as many failures as stragglers are allowed, but too few votes",
        workers: 4,
        backups: 5,
        stragglers: 2,
        steps: &[
            Step(1, &[(0, 0, Some(1)), (1, 0, None), (2, 0, None)], &["wait"]),
            Step(4, &[], &["wait"]),
            Step(5, &[], &["timeout 0", "wait"]),
        ],
    },
    Scenario {
        name: "one failure more than stragglers are allowed",
        workers: 4,
        backups: 5,
        stragglers: 2,
        steps: &[
            Step(1, &[(0, 0, Some(1)), (1, 0, None), (2, 0, None)], &["wait"]),
            Step(2, &[(3, 0, None)], &["disputed 0", "wait"]),
        ],
    },
    Scenario {
        name: "too many failures under a backup scheduler: disputed on timeout only",
        workers: 4,
        backups: 5,
        stragglers: 0,
        steps: &[
            Step(1, &[(1, 1, Some(1)), (2, 1, None)], &["wait"]),
            Step(4, &[], &["wait"]),
            Step(5, &[], &["timeout 1", "wait"]),
        ],
    },
    Scenario {
        name: "too few votes under a backup scheduler, then enough",
        workers: 4,
        backups: 5,
        stragglers: 2,
        steps: &[
            Step(1, &[(1, 1, Some(1))], &["wait"]),
            Step(5, &[(2, 1, Some(1))], &["final 1 good 2 bad 0"]),
        ],
    },
    Scenario {
        name: "early backups settle a dispute in the height in which it begins",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(10, 0, Some(1)), (11, 0, Some(1)), (12, 0, Some(1))],
                &["wait"],
            ),
            Step(
                2,
                &[(2, 0, Some(1)), (0, 0, Some(9))],
                &["disputed 0", "final 1 good 4 bad 1"],
            ),
        ],
    },
    Scenario {
        name: "early backups contradict the scheduler in the height in which the dispute begins",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(
                1,
                &[(10, 0, Some(1)), (11, 0, Some(1)), (12, 0, Some(1))],
                &["wait"],
            ),
            Step(
                2,
                &[(2, 0, Some(9)), (0, 0, Some(1))],
                &["disputed 0", "failed BadSchedulerCommitment"],
            ),
        ],
    },
    Scenario {
        name: "two of four backups agree, one failed, one is silent",
        workers: 3,
        backups: 4,
        stragglers: 0,
        steps: &[
            Step(1, &[(2, 0, Some(1))], &["wait"]),
            Step(5, &[], &["timeout 0", "wait"]),
            Step(
                6,
                &[(10, 0, Some(1)), (11, 0, None), (12, 0, Some(1))],
                &["wait"],
            ),
            Step(10, &[], &["wait"]),
            Step(11, &[], &["failed NoMajority"]),
        ],
    },
    Scenario {
        name: "without backups nothing is resolved",
        workers: 2,
        backups: 0,
        stragglers: 0,
        steps: &[Step(
            1,
            &[(0, 0, Some(1)), (1, 0, Some(9))],
            &["disputed 0", "failed NoMajority"],
        )],
    },
];

fn show(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Wait => "wait".into(),
        Verdict::Disputed {
            rank,
            timeout: false,
        } => format!("disputed {rank}"),
        Verdict::Disputed {
            rank,
            timeout: true,
        } => format!("timeout {rank}"),
        Verdict::Failed(reason) => format!("failed {reason:?}"),
        Verdict::Finalized {
            commitment,
            good,
            bad,
        } => {
            let state = (0..=9u8)
                .find(|state| commitment.header.header.state_root == Some(Hash::of(&[*state])));
            format!(
                "final {} good {} bad {}",
                state.unwrap(),
                good.len(),
                bad.len()
            )
        }
    }
}

fn add(
    pool: &mut Pool,
    committee: &Committee,
    rules: &ExecutorParameters,
    height: u64,
    (of, rank, state): (u8, u64, Option<u8>),
) -> Result<(), Rejection> {
    let scheduler = committee.scheduler(rank, last().round.next()).unwrap();
    let commitment = commitment(member(of), scheduler, state);
    pool.add(commitment, committee, rules, Height(height))
}

#[test]
fn scenarios() {
    for scenario in SCENARIOS {
        let committee = committee(scenario.workers, scenario.backups);
        let workers = u32::from(scenario.workers);
        let rules = rules(workers, scenario.backups.into(), scenario.stragglers);
        let mut pool = Pool::default();
        for (number, Step(height, commitments, expected)) in scenario.steps.iter().enumerate() {
            let place = format!("{}, step {number}", scenario.name);
            for commitment in *commitments {
                let added = add(&mut pool, &committee, &rules, *height, *commitment);
                assert_eq!(added, Ok(()), "{place}: {commitment:?}");
            }
            for expected in *expected {
                // What stands in the state between heights is the encoding.
                pool = Pool::decode(&pool.encode()).unwrap();
                let verdict = pool.process(&committee, &rules, Height(*height));
                assert_eq!(show(&verdict), *expected, "{place}");
            }
        }
    }
}

#[test]
fn a_member_with_two_roles_votes_once_for_both() {
    // Worker 2, which schedules first, is a backup too.
    let mut committee = committee(3, 3);
    committee.backups[0] = member(2);
    let rules = rules(3, 3, 0);
    let mut pool = Pool::default();
    add(&mut pool, &committee, &rules, 1, (2, 0, Some(1))).unwrap();
    add(&mut pool, &committee, &rules, 1, (0, 0, Some(9))).unwrap();
    let verdict = pool.process(&committee, &rules, Height(1));
    assert_eq!(show(&verdict), "disputed 0");
    let (node, rank) = (member(2), 0);
    let again = add(&mut pool, &committee, &rules, 1, (2, 0, Some(1)));
    assert_eq!(again, Err(Rejection::AlreadyCommitted { node, rank }));
    assert_eq!(pool.process(&committee, &rules, Height(1)), Verdict::Wait);
    // Its vote counts among the backups: one more is a majority of three.
    add(&mut pool, &committee, &rules, 2, (11, 0, Some(1))).unwrap();
    let verdict = pool.process(&committee, &rules, Height(2));
    assert_eq!(show(&verdict), "final 1 good 2 bad 1");
}

#[test]
fn a_dispute_forgets_the_proposals_of_other_ranks() {
    let committee = committee(3, 4);
    let rules = rules(3, 4, 0);
    let mut pool = Pool::default();
    add(&mut pool, &committee, &rules, 1, (1, 0, Some(7))).unwrap();
    add(&mut pool, &committee, &rules, 1, (0, 1, Some(1))).unwrap();
    let with_both = pool.encode().len();
    let verdict = pool.process(&committee, &rules, Height(5));
    assert_eq!(show(&verdict), "timeout 1");
    assert!(pool.encode().len() < with_both);
    assert_eq!(Pool::decode(&pool.encode()), Ok(pool));
}

#[test]
fn every_refusal_of_the_pool() {
    let committee = committee(3, 4);
    let rules = rules(3, 4, 0);
    let mut pool = Pool::default();
    let refused = |pool: &mut Pool, commitment| {
        let before = pool.clone();
        let refused = add(pool, &committee, &rules, 1, commitment).unwrap_err();
        assert_eq!(*pool, before);
        refused
    };
    add(&mut pool, &committee, &rules, 1, (0, 1, Some(1))).unwrap();
    let found = refused(&mut pool, (0, 2, Some(1)));
    assert_eq!(found, Rejection::WorseRank { found: 2, best: 1 });
    let found = refused(&mut pool, (0, 1, Some(2)));
    assert_eq!(
        found,
        Rejection::AlreadyCommitted {
            node: member(0),
            rank: 1
        }
    );
    assert_eq!(
        refused(&mut pool, (77, 1, Some(1))),
        Rejection::NotMember(member(77))
    );

    add(&mut pool, &committee, &rules, 1, (2, 0, Some(1))).unwrap();
    add(&mut pool, &committee, &rules, 1, (1, 0, Some(2))).unwrap();
    let verdict = pool.process(&committee, &rules, Height(1));
    assert_eq!(
        verdict,
        Verdict::Disputed {
            rank: 0,
            timeout: false
        }
    );
    assert!(pool.is_disputed());
    assert_eq!(
        refused(&mut pool, (0, 0, Some(1))),
        Rejection::NotBackup(member(0))
    );
    let found = refused(&mut pool, (10, 1, Some(1)));
    assert_eq!(
        found,
        Rejection::NotDisputed {
            found: 1,
            disputed: 0
        }
    );

    let stranger = member(50);
    let commitment = commitment(member(0), stranger, Some(1));
    let found = pool.add(commitment, &committee, &rules, Height(1));
    assert_eq!(found, Err(Rejection::NotScheduler(stranger)));
}

#[test]
fn a_pool_whose_scheduler_vanished_fails_on_timeout() {
    // Only reachable from a state that the rules never write: a timer without a scheduler.
    let mut bytes = Pool::default().encode();
    assert_eq!(bytes, [0x84, 0xf6, 0xf4, 0xf6, 0x80]);
    bytes[3] = 0x05;
    let mut pool = Pool::decode(&bytes).unwrap();
    let (committee, rules) = (committee(1, 0), rules(1, 0, 0));
    assert_eq!(pool.process(&committee, &rules, Height(4)), Verdict::Wait);
    let failed = Verdict::Failed(RoundFailure::NoSchedulerCommitment);
    assert_eq!(pool.process(&committee, &rules, Height(5)), failed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever arrives, in whatever order: encoding keeps the pool, a finalised result is one that
    /// enough honest rules support, and a round always ends once its timers have passed.
    #[test]
    fn random_rounds_end_and_are_supported(
        workers in 1u8..4, stragglers in 0u32..2, extra in 1u8..3,
        script in proptest::collection::vec(
            (0u8..16, 0u64..3, proptest::option::weighted(0.8, 0u8..3), 0u64..2), 0..24),
    ) {
        let backups = workers + extra;
        let (committee, rules) =
            (committee(workers, backups), rules(workers.into(), backups.into(), stragglers));
        let mut pool = Pool::default();
        let mut height = 1;
        for (of, rank, state, later) in script {
            height += later;
            let rank = rank % u64::from(workers);
            let scheduler = committee.scheduler(rank, last().round.next()).unwrap();
            // Admission refuses a scheduler's failure.
            if state.is_none() && member(of) == scheduler {
                continue;
            }
            let _ = add(&mut pool, &committee, &rules, height, (of, rank, state));
            prop_assert_eq!(Pool::decode(&pool.encode()), Ok(pool.clone()));
        }
        let has_scheduler = pool.timeout().is_some();
        let mut last_verdict = Verdict::Wait;
        for height in height..height + 20 {
            loop {
                last_verdict = pool.process(&committee, &rules, Height(height));
                if !matches!(last_verdict, Verdict::Disputed { .. }) {
                    break;
                }
            }
            if last_verdict != Verdict::Wait {
                break;
            }
        }
        prop_assert_eq!(has_scheduler, last_verdict != Verdict::Wait);
        if let Verdict::Finalized { good, .. } = last_verdict {
            let workers_for =
                good.iter().filter(|node| committee.workers.contains(node)).count();
            let backups_for =
                good.iter().filter(|node| committee.backups.contains(node)).count();
            let by_workers = workers_for + stragglers as usize >= workers.into();
            let by_backups = pool.is_disputed() && backups_for > usize::from(backups) / 2;
            prop_assert!(by_workers || by_backups);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(pool) = Pool::decode(&bytes) {
            prop_assert_eq!(pool.encode(), bytes);
        }
    }
}
