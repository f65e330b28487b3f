//! The pool, its ranks and its timers, over all interleavings of what members can do: what holds
//! of every round up to the number of dishonest members that the protocol bears, and how it breaks
//! with one more, so that the claims are known to be able to fail.
//!
//! With `W` primaries, `s` allowed stragglers and `B` backups, whatever order things happen in:
//!
//! ```text
//! no wrong result is final unless
//!     max(W - s, 1) primaries are dishonest, or a scheduler and B / 2 + 1 backups are
//! nobody honest is slashed unless
//!     a scheduler and B / 2 + 1 backups are dishonest, or a scheduler makes two proposals
//! an honest scheduler's proposal gets its result once all honest backups have spoken, unless
//!     fewer than B / 2 + 1 backups are honest
//! whoever is dishonest, a round ends after at most W x timeout + timeout x 15 / 10 heights
//! ```
//!
//! `Setup::breaking` has the exact conditions. All sets of dishonest members of larger committees
//! are explored by the example `explore`.

mod exploration;

use std::collections::BTreeSet;

use exploration::{Action, Claim, End, Report, Setup, Word};

/// Explores; exactly the claims must break that should with these dishonest members.
fn explore(setup: &Setup) -> Report {
    let report = setup.explore();
    let broken: BTreeSet<Claim> = report.broken.keys().copied().collect();
    assert_eq!(broken, setup.breaking(), "{setup:?}: {:?}", report.broken);
    report
}

/// Explores with dishonest members that the committee must bear.
fn holds(setup: &Setup) -> Report {
    assert_eq!(setup.breaking(), [].into(), "{setup:?}");
    explore(setup)
}

/// Explores with dishonest members that the committee cannot bear.
fn breaks(setup: &Setup, claims: &[Claim]) -> Report {
    let expected: BTreeSet<Claim> = claims.iter().copied().collect();
    assert_eq!(setup.breaking(), expected, "{setup:?}");
    explore(setup)
}

fn is_end(report: &Report, wanted: impl Fn(&End) -> bool) -> bool {
    report.ends.iter().any(wanted)
}

fn failures(report: &Report) -> BTreeSet<&'static str> {
    let reasons = report.ends.iter().filter_map(|end| match end {
        End::Final { .. } => None,
        End::Failed { reason, .. } => Some(*reason),
    });
    reasons.collect()
}

#[test]
fn alone_there_is_one_way() {
    let report = holds(&Setup::separate(1, 0, 0));
    let end = End::Final {
        rank: 0,
        word: Word::Right,
        disputed: false,
        punished: 0,
    };
    assert_eq!(report.ends, [end].into());
    assert_eq!((report.states, report.steps), (2, 2));
    // Whoever is alone and dishonest has its way.
    let alone = Setup::separate(1, 0, 0).dishonest([0]);
    let report = breaks(&alone, &[Claim::Correct]);
    assert_eq!(
        report.broken[&Claim::Correct],
        [Action::Say(0, 0, Word::Wrong), Action::Height]
    );
}

#[test]
fn the_reductions_lose_no_end() {
    let committees = [
        Setup::separate(1, 2, 0).dishonest([1]),
        Setup::separate(2, 1, 0).dishonest([0]),
        Setup::separate(2, 2, 1).dishonest([3]),
        Setup::shared(2, vec![0, 2], 0).dishonest([2]),
    ];
    for setup in committees {
        let reduced = explore(&setup);
        let full = explore(&Setup {
            reduced: false,
            ..setup.clone()
        });
        let worse = |end: &End| {
            matches!(
                end,
                End::Final {
                    word: Word::Worse,
                    ..
                }
            )
        };
        let as_wrong: BTreeSet<End> = full
            .ends
            .iter()
            .filter(|end| !worse(end))
            .copied()
            .collect();
        assert_eq!(reduced.ends, as_wrong, "{setup:?}");
        assert_eq!(reduced.heights, full.heights, "{setup:?}");
        assert!(reduced.states < full.states, "{setup:?}");
    }
}

#[test]
fn two_primaries_and_three_backups_with_any_dishonest_members() {
    for stragglers in 0..=1 {
        let committee = Setup {
            timeout: 1,
            ..Setup::separate(2, 3, stragglers)
        };
        for primaries in [vec![], vec![0], vec![1], vec![0, 1]] {
            for backups in 0..=2 {
                let liars = primaries.iter().copied().chain(2..2 + backups);
                explore(&committee.dishonest(liars));
            }
        }
    }
}

#[test]
fn a_round_takes_no_longer_than_its_timers() {
    // Each scheduler starts the timer anew at its end, and then the backups are silent.
    let report = holds(&Setup::separate(2, 3, 0));
    assert_eq!(report.heights, Some(2 * 2 + 3));
    let longer = Setup {
        timeout: 3,
        ..Setup::separate(2, 1, 0)
    };
    assert_eq!(holds(&longer).heights, Some(2 * 3 + 4));
}

#[test]
fn three_primaries_and_four_backups_bear_two_and_one() {
    let committee = Setup {
        timeout: 1,
        ..Setup::separate(3, 4, 0)
    };
    let report = holds(&committee.dishonest([0, 1, 3]));
    for rank in 0..3 {
        for disputed in [false, true] {
            // Of three primaries, two of which are schedulers with something else in mind.
            let found = is_end(&report, |end| {
                matches!(end, End::Final { rank: at, disputed: by_backups, .. }
                    if *at == rank && *by_backups == disputed)
            });
            assert!(found, "rank {rank}, disputed: {disputed}");
        }
    }
    let most = |end: &End| matches!(end, End::Final { punished: 3, .. });
    assert!(is_end(&report, most), "{:?}", report.ends);
    assert_eq!(
        failures(&report),
        ["BadSchedulerCommitment", "NoMajority"].into()
    );
    // Two backups can block, but not lie and not harm.
    breaks(&committee.dishonest([3, 4]), &[Claim::Lives]);
    // One more primary, and nobody contradicts.
    let report = breaks(&committee.dishonest([0, 1, 2]), &[Claim::Correct]);
    let way = &report.broken[&Claim::Correct];
    assert_eq!(
        way.len(),
        4,
        "three votes and the end of the height: {way:?}"
    );
}

#[test]
fn a_majority_of_backups_can_lie_and_harm_with_a_scheduler_only() {
    let committee = Setup::separate(2, 3, 0);
    breaks(&committee.dishonest([2, 3]), &[Claim::Lives]);
    let all = [Claim::Correct, Claim::Innocent, Claim::Lives];
    breaks(&committee.dishonest([0, 2, 3]), &all);
}

#[test]
fn an_allowed_straggler_costs_one_liar() {
    let committee = Setup {
        timeout: 1,
        ..Setup::separate(3, 4, 1)
    };
    holds(&committee.dishonest([0, 3]));
    breaks(&committee.dishonest([0, 1]), &[Claim::Correct]);
}

#[test]
fn backups_that_are_primaries_too_count_in_both_roles() {
    // Oasis' own rule: the roles are drawn independently.
    for backups in [vec![0, 1, 2], vec![1, 2, 3]] {
        for stragglers in 0..=1 {
            let committee = Setup {
                timeout: 1,
                ..Setup::shared(2, backups.clone(), stragglers)
            };
            for liars in [vec![], vec![0], vec![1], vec![2], vec![0, 2], vec![1, 2]] {
                explore(&committee.dishonest(liars));
            }
        }
    }
    let committee = Setup {
        timeout: 1,
        ..Setup::shared(3, vec![0, 1, 2, 3], 0)
    };
    holds(&committee.dishonest([1]));
    breaks(&committee.dishonest([0, 1]), &[Claim::Lives]);
}

/// A scheduler that shows two proposals makes honest executors differ. The pool cannot tell them
/// from liars, because commitments say nothing about the batch but through its outcome: that is
/// what evidence of equivocation is for.
#[test]
fn a_scheduler_with_two_proposals_makes_honest_executors_look_wrong() {
    let committee = Setup {
        equivocation: true,
        ..Setup::separate(2, 3, 0)
    };
    let report = breaks(&committee.dishonest([0]), &[Claim::Innocent]);
    let way = &report.broken[&Claim::Innocent];
    let second = |action: &Action| matches!(action, Action::Say(_, 0, Word::Second));
    let right = |action: &Action| matches!(action, Action::Say(_, 0, Word::Right));
    assert!(way.iter().any(second) && way.iter().any(right), "{way:?}");
}
