//! How the members of committees worked in an epoch, and what becomes of primaries that did not.
//!
//! ```text
//! a round that gives an outcome: total + 1; of each member that voted for it, live + 1
//!                                of the scheduler of rank 0, finalised + 1 if it is its proposal,
//!                                else missed + 1
//! a round that fails:            of the scheduler of rank 0, missed + 1
//!
//! before the next election, where there were enough rounds, for every primary that is not frozen
//! or suspended:
//! live    if live >= total * least percent / 100
//!         and missed <= (missed + finalised) * most percent / 100, where that is asked for
//! live:   failures - 1;  not live: failures + 1; each time suspended for 2^failures epochs,
//!         at most 64, and for none without failures
//! failures >= most: frozen and slashed
//! ```
//!
//! A deviation from Oasis Core: a round that fails because of its incoming messages counts as
//! missed only, not as an outcome too.
//!
//! Source: Oasis Core `apps/roothash/liveness.go`, `finalization.go`.

use trilith_params::root::LIVENESS_FAILS_MAX;
use trilith_protocol::root::registry::{Executor, Runtime};
use trilith_protocol::root::staking::SlashReason;
use trilith_protocol::root::{LivenessFaultEvent, LivenessStatistics, RoothashEvent};
use trilith_protocol::{Committee, ExecutorCommitment, RootEvent};
use trilith_types::{NodeId, Round, RuntimeId, StateFault, StateRead};

use super::admission::Running;
use super::slashing;
use super::store::liveness_key;
use crate::registry;
use crate::scope::Scope;
use crate::state::{OfRuntime, read};

/// How the members of a runtime's committee have worked in the running epoch; `None` before its
/// first round.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn liveness(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Option<LivenessStatistics>, StateFault> {
    read(view, &liveness_key(runtime))
}

/// The members of a committee in the order of the statistics.
fn members(committee: &Committee) -> impl Iterator<Item = &NodeId> {
    committee.workers.iter().chain(&committee.backups)
}

/// Reads the statistics of a running round; those of a new committee have none yet.
fn load(scope: &mut Scope<'_>, running: &Running) -> Result<LivenessStatistics, StateFault> {
    let found = scope
        .overlay
        .record(&liveness_key(&running.descriptor.id))?;
    Ok(found.unwrap_or_else(|| LivenessStatistics::new(members(&running.committee).count())))
}

fn add(counts: &mut [u64], place: Option<usize>) {
    if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
        *count = count.saturating_add(1);
    }
}

/// Where the scheduler of rank 0 stands.
fn first_scheduler(committee: &Committee, round: Round) -> Option<usize> {
    let scheduler = committee.scheduler(0, round)?;
    committee.workers.iter().position(|node| *node == scheduler)
}

/// Counts a round that gave an outcome.
pub(super) fn finalized(
    scope: &mut Scope<'_>,
    running: &Running,
    commitment: &ExecutorCommitment,
    good: &[NodeId],
) -> Result<(), StateFault> {
    let mut counts = load(scope, running)?;
    let (committee, round) = (&running.committee, running.last.round.next());
    counts.total_rounds = counts.total_rounds.saturating_add(1);
    let first = first_scheduler(committee, round);
    if committee.scheduler(0, round) == Some(commitment.header.scheduler_id) {
        add(&mut counts.finalized_proposals, first);
    } else {
        add(&mut counts.missed_proposals, first);
    }
    for node in good {
        // Who has two roles counts in the first.
        let place = members(committee).position(|member| member == node);
        add(&mut counts.live_rounds, place);
    }
    scope
        .overlay
        .put_record(liveness_key(&running.descriptor.id), &counts);
    Ok(())
}

/// Counts a round that failed.
pub(super) fn failed(scope: &mut Scope<'_>, running: &Running) -> Result<(), StateFault> {
    let mut counts = load(scope, running)?;
    let first = first_scheduler(&running.committee, running.last.round.next());
    add(&mut counts.missed_proposals, first);
    scope
        .overlay
        .put_record(liveness_key(&running.descriptor.id), &counts);
    Ok(())
}

/// Forgets the epoch before.
pub(super) fn forget(scope: &mut Scope<'_>, runtime: &RuntimeId) {
    scope.overlay.put(liveness_key(runtime), None);
}

/// Judges the primaries of all registered runtimes, before committees are elected. The committees
/// are those of the epoch that ends, the epoch is the new one.
pub(crate) fn before_election(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    for runtime in scope.network.runtimes.clone() {
        let Some(counts) = scope.overlay.record(&liveness_key(&runtime))? else {
            continue;
        };
        let Some(descriptor) = registry::descriptor(scope, &runtime)? else {
            continue;
        };
        let committee = scope.overlay.record(&OfRuntime::Committee.key(&runtime))?;
        if let Some(committee) = committee {
            judge(scope, &descriptor, &committee, &counts)?;
        }
    }
    Ok(())
}

/// A part of a number, rounded down.
fn percent(of: u64, percent: u8) -> u64 {
    let part = u128::from(of) * u128::from(percent) / 100;
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Whether the primary at a place did its work.
fn is_live(rules: &Executor, counts: &LivenessStatistics, place: usize) -> bool {
    let at = |list: &[u64]| list.get(place).copied().unwrap_or_default();
    let (missed, finalized) = (
        at(&counts.missed_proposals),
        at(&counts.finalized_proposals),
    );
    let proposes = match rules.max_missed_proposals_percent {
        0 => true,
        most => missed <= percent(missed.saturating_add(finalized), most),
    };
    let least = percent(counts.total_rounds, rules.min_live_rounds_percent);
    proposes && at(&counts.live_rounds) >= least
}

fn judge(
    scope: &mut Scope<'_>,
    descriptor: &Runtime,
    committee: &Committee,
    counts: &LivenessStatistics,
) -> Result<(), StateFault> {
    let (runtime, rules) = (descriptor.id, &descriptor.executor);
    let total = counts.total_rounds;
    if total == 0 || total < rules.min_live_rounds_eval {
        return Ok(());
    }
    let most = match rules.max_liveness_fails {
        0 => LIVENESS_FAILS_MAX,
        most => most,
    };
    let penalty = descriptor
        .staking
        .slashing
        .get(&SlashReason::RuntimeLiveness);
    let penalty = penalty.copied().unwrap_or_default();
    for (place, node) in committee.workers.iter().enumerate() {
        let live = is_live(rules, counts, place);
        let Some(failures) = registry::record_liveness(scope, node, &runtime, live)? else {
            continue;
        };
        if live {
            continue;
        }
        let event = LivenessFaultEvent {
            runtime_id: runtime,
            node_id: *node,
            failures,
        };
        scope.emit(RootEvent::Roothash(RoothashEvent::LivenessFault(event)));
        if failures >= most {
            registry::freeze(scope, node, penalty.freeze_interval)?;
            slashing::for_liveness(scope, node, penalty.amount)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of Oasis Core's `liveness_test.go`, and what rounding down does.
    #[test]
    fn the_line_between_live_and_not() {
        // Total, least percent, live; most percent, missed, finalised.
        let cases = [
            ((100, 90, 91), (0, 21, 80), true),
            ((100, 90, 90), (0, 21, 80), true),
            ((100, 90, 89), (0, 21, 80), false),
            ((100, 90, 91), (20, 20, 80), true),
            ((100, 90, 91), (20, 21, 80), false),
            ((100, 90, 91), (20, 0, 80), true),
            ((3, 50, 1), (0, 0, 0), true),
            ((3, 50, 0), (0, 0, 0), false),
            ((7, 0, 0), (100, 9, 0), true),
            ((1, 100, 1), (1, 0, 0), true),
            ((1, 100, 1), (1, 1, 98), false),
            ((1, 100, 1), (1, 1, 99), true),
            ((u64::MAX, 100, u64::MAX), (100, u64::MAX, 1), true),
        ];
        for ((total, least, live), (most, missed, finalized), expected) in cases {
            let rules = Executor {
                group_size: 1,
                group_backup_size: 0,
                allowed_stragglers: 0,
                round_timeout: 1,
                max_messages: 0,
                min_live_rounds_percent: least,
                max_missed_proposals_percent: most,
                min_live_rounds_eval: 0,
                max_liveness_fails: 0,
                backup_rule: 0,
            };
            let counts = LivenessStatistics {
                total_rounds: total,
                live_rounds: vec![live],
                finalized_proposals: vec![finalized],
                missed_proposals: vec![missed],
            };
            assert_eq!(
                is_live(&rules, &counts, 0),
                expected,
                "{rules:?} {counts:?}"
            );
        }
    }
}
