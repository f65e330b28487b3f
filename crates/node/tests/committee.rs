//! Rounds of a committee of three primaries, four backups and two storage nodes, each a node of its
//! own: agreement, and one fault at a time.

mod cluster;
mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cluster::*;
use network::{RUNTIME, SECOND, add, counted};
use trilith_node::net::Message;
use trilith_protocol::{HeaderType, NodeSignature, ReceiptStatus, RootEvent, StorageReceipt};
use trilith_types::{Hash, StateRead as _};

fn discrepancy(event: &RootEvent) -> Option<bool> {
    match event {
        RootEvent::DiscrepancyDetected { timeout, .. } => Some(*timeout),
        _ => None,
    }
}

fn failed(event: &RootEvent) -> bool {
    matches!(event, RootEvent::RoundFailed { .. })
}

/// Every running node's state has counted exactly these transactions.
fn all_counted(cluster: &mut Cluster, ids: impl IntoIterator<Item = u64>) {
    cluster.converge();
    let ids: BTreeSet<u64> = ids.into_iter().collect();
    for member in &cluster.members {
        let Some(store) = &member.store else { continue };
        let (_, root) = store.current(RUNTIME).unwrap();
        assert_eq!(counted(&*store.view(RUNTIME, root).unwrap()), ids);
    }
}

#[test]
fn separate_nodes_agree_and_every_node_answers() {
    let mut cluster = Cluster::new(Plan::default());
    let mut id = 0;
    // Through the validator, a compute node and a storage node.
    for round in 0..3 {
        for index in [0, 1, cluster.plan.nodes() - 1] {
            id += 1;
            let submitted = cluster.execute(index, add(id, round));
            assert_eq!(submitted.receipt.status, ReceiptStatus::Accepted);
        }
    }
    all_counted(&mut cluster, 1..=id);
    assert!(!cluster.has_event(|event| discrepancy(event).is_some() || failed(event)));
    let (reports, _) = cluster.members[0].core.as_ref().unwrap().rounds().since(0);
    let report = reports.last().expect("rounds are reported");
    assert_eq!(report.agreed.len(), 3, "{report:?}");
    assert!(report.differed.is_empty() && !report.disputed && !report.receipts.is_empty());
    assert!(
        report
            .scheduler
            .is_some_and(|node| report.agreed.contains(&node))
    );
    let schedulers: BTreeSet<_> = (0..3).map(|rank| cluster.scheduler(rank)).collect();
    assert_eq!(schedulers.len(), 3);
    // What the validator publishes is certified, and so is what another node publishes.
    let root = cluster.block().state_root;
    cluster.until(10, "published", |cluster| {
        (0..2).all(|index| cluster.handle(index).snapshot().view.root() == root)
    });
    for index in 0..2 {
        let snapshot = cluster.handle(index).snapshot();
        let attested = snapshot.attested.as_ref().expect("certified");
        assert_eq!(attested.state_root, root);
        assert!(snapshot.evidence.is_some());
    }
}

#[test]
fn a_corrupted_outcome_is_settled_by_the_backups_and_slashed() {
    let plan = Plan {
        epoch_interval: 40,
        ..Plan::default()
    };
    let mut cluster = Cluster::new(plan);
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let wrong = cluster.scheduler(1);
    let before = cluster.stake(wrong);
    cluster.members[wrong]
        .counters
        .lies
        .lock()
        .unwrap()
        .push_back(true);
    let submitted = cluster.execute(0, add(2, 1));
    assert_eq!(submitted.receipt.status, ReceiptStatus::Accepted);
    let events = cluster.events();
    let timeouts: Vec<bool> = events
        .iter()
        .filter_map(|(_, event)| discrepancy(event))
        .collect();
    assert_eq!(timeouts, [false], "one discrepancy, at once");
    assert!(!cluster.has_event(failed));
    assert_eq!(before - cluster.stake(wrong), PENALTY);
    for index in (1..=cluster.plan.compute).filter(|index| *index != wrong) {
        assert!(cluster.stake(index) >= STAKE, "node {index} was honest");
    }
    all_counted(&mut cluster, [1, 2]);
    // Frozen: it is in no committee of the next epoch, which the spare node completes.
    let (epoch, id) = (
        cluster.committee().unwrap().epoch,
        cluster.members[wrong].id,
    );
    let mut next = 3;
    while cluster.committee().unwrap().epoch == epoch {
        cluster.execute(0, add(next, 1));
        next += 1;
    }
    assert!(!cluster.committee().unwrap().has(&id));
    cluster.execute(0, add(next, 1));
    all_counted(&mut cluster, 1..=next);
}

#[test]
fn a_corrupted_outcome_of_the_scheduler_fails_the_round_and_the_batch_comes_later() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let wrong = cluster.scheduler(0);
    cluster.members[wrong]
        .counters
        .lies
        .lock()
        .unwrap()
        .push_back(true);
    cluster.execute(0, add(2, 1));
    assert!(cluster.has_event(failed));
    all_counted(&mut cluster, [1, 2]);
}

#[test]
fn a_straggler_costs_a_timeout_or_nothing_where_one_is_allowed() {
    for stragglers in [0, 1] {
        let plan = Plan {
            stragglers,
            ..Plan::default()
        };
        let mut cluster = Cluster::new(plan);
        cluster.execute(0, add(1, 1));
        cluster.converge();
        let slow = cluster.scheduler(1);
        cluster.stop(slow);
        cluster.execute(0, add(2, 1));
        let events = cluster.events();
        let found: Vec<bool> = events
            .iter()
            .filter_map(|(_, event)| discrepancy(event))
            .collect();
        let expected = if stragglers == 0 { vec![true] } else { vec![] };
        assert_eq!(found, expected, "with {stragglers} allowed");
        assert!(!cluster.has_event(failed));
        // It comes back and catches up.
        cluster.reopen(slow).unwrap();
        all_counted(&mut cluster, [1, 2]);
        for index in 0..cluster.plan.nodes() {
            assert!(cluster.stake(index) >= STAKE, "nobody is slashed");
        }
    }
}

/// Three of four backups are a majority.
#[test]
fn a_straggler_among_the_backups_does_not_matter() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let committee = cluster.committee().unwrap();
    let backup = cluster.index_of(&committee.backups[1]);
    let primary = cluster.scheduler(2);
    cluster.stop(backup);
    cluster.stop(primary);
    cluster.execute(0, add(2, 1));
    assert!(cluster.has_event(|event| discrepancy(event) == Some(true)));
    assert!(!cluster.has_event(failed));
    cluster.reopen(backup).unwrap();
    cluster.reopen(primary).unwrap();
    all_counted(&mut cluster, [1, 2]);
}

/// A batch that is not the one the scheduler signed for is executed by nobody.
#[test]
fn a_proposal_with_another_batch_is_refused() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let liar = cluster.members[cluster.scheduler(0)].id;
    cluster.disturb(move |from, _, message| match message {
        Message::Proposal {
            runtime,
            height,
            proposal,
            batch,
        } if from == liar => {
            let mut batch = batch.clone();
            batch.inputs.clear();
            Fate::Instead(vec![Message::Proposal {
                runtime: *runtime,
                height: *height,
                proposal: proposal.clone(),
                batch,
            }])
        }
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(2, 1));
    assert!(!cluster.has_event(|event| discrepancy(event) == Some(false)));
    cluster.calm();
    all_counted(&mut cluster, [1, 2]);
}

/// A scheduler may not move the time of a round out of bounds around the root's.
#[test]
fn a_proposal_dated_out_of_bounds_is_refused() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let chain = cluster.plan.genesis().chain_context();
    let index = cluster.scheduler(0);
    let liar = cluster.members[index].id;
    cluster.disturb(move |from, _, message| match message {
        Message::Proposal {
            runtime,
            height,
            proposal,
            batch,
        } if from == liar && proposal.node_id == liar => {
            let mut batch = batch.clone();
            batch.time.0 += 60 * SECOND;
            let (round, parent) = (proposal.header.round, proposal.header.previous_hash);
            let key = keys(index).node;
            let signed =
                trilith_protocol::Proposal::sign(&key, round, parent, &batch, runtime, &chain);
            Fate::Instead(vec![Message::Proposal {
                runtime: *runtime,
                height: *height,
                proposal: Box::new(signed),
                batch,
            }])
        }
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(2, 1));
    let store = cluster.members[0].store.as_ref().unwrap();
    let (_, root) = store.current(RUNTIME).unwrap();
    let time = store
        .view(RUNTIME, root)
        .unwrap()
        .get(b"time")
        .unwrap()
        .unwrap();
    assert!(u64::from_be_bytes(time.try_into().unwrap()) <= cluster.now());
    cluster.calm();
    all_counted(&mut cluster, [1, 2]);
}

#[test]
fn a_storage_node_executes_itself_what_is_too_large_to_be_sent() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let storage = cluster.plan.nodes() - 1;
    let executed = |cluster: &Cluster| {
        let executed = cluster.members[storage].counters.executed.lock().unwrap();
        executed.len()
    };
    let before = executed(&cluster);
    cluster.execute(0, add(2, 1));
    assert_eq!(executed(&cluster), before, "it is sent what changed");
    cluster.disturb(|_, _, message| match message {
        Message::Apply(apply) => {
            let mut apply = apply.clone();
            apply.changes = None;
            Fate::Instead(vec![Message::Apply(apply)])
        }
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(3, 1));
    assert!(executed(&cluster) > before);
    all_counted(&mut cluster, [1, 2, 3]);
}

/// The proposal names a height that the node knows only from its disk.
#[test]
fn a_primary_that_comes_back_in_time_takes_part() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let slow = cluster.scheduler(1);
    cluster.stop(slow);
    let mut waiting = cluster.handle(0).submit(add(2, 1)).unwrap();
    for _ in 0..100 {
        cluster.step();
    }
    cluster.reopen(slow).unwrap();
    cluster.until(30, "a receipt", |_| waiting.try_recv().is_ok());
    assert!(!cluster.has_event(|event| discrepancy(event).is_some() || failed(event)));
    let (reports, _) = cluster.members[0].core.as_ref().unwrap().rounds().since(0);
    let late = cluster.members[slow].id;
    assert!(
        reports
            .last()
            .is_some_and(|report| report.agreed.contains(&late))
    );
    all_counted(&mut cluster, [1, 2]);
}

/// A storage node that lies about roots, and signs in another's name, changes nothing as long as an
/// honest one answers; alone it stops the runtime from committing, without any wrong result.
#[test]
fn a_lying_storage_node_lends_nothing_to_a_commitment() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    let chain = cluster.plan.genesis().chain_context();
    let liar = cluster.plan.nodes() - 1;
    let honest = liar - 1;
    let (liar_id, honest_id) = (cluster.members[liar].id, cluster.members[honest].id);
    let silent = Arc::new(Mutex::new(false));
    let mute = silent.clone();
    cluster.disturb(move |from, _, message| match message {
        Message::Receipt {
            runtime,
            round,
            roots,
            signature,
        } if from == liar_id => {
            let receipt = |roots: [Hash; 2]| StorageReceipt {
                namespace: *runtime,
                round: *round,
                roots: roots.to_vec(),
            };
            let wrong = [roots[0], Hash::of(b"another state")];
            let key = keys(liar).node;
            let message = |roots, signature| Message::Receipt {
                runtime: *runtime,
                round: *round,
                roots,
                signature,
            };
            Fate::Instead(vec![
                message(wrong, receipt(wrong).sign(&key, &chain)),
                message(*roots, receipt(wrong).sign(&key, &chain)),
                message(
                    *roots,
                    NodeSignature {
                        node: honest_id,
                        ..*signature
                    },
                ),
            ])
        }
        Message::Receipt { .. } if *mute.lock().unwrap() => Fate::Drop,
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(2, 1));
    *silent.lock().unwrap() = true;
    let round = cluster.block().round;
    let mut waiting = cluster.handle(0).submit(add(3, 1)).unwrap();
    for _ in 0..600 {
        cluster.step();
    }
    assert_eq!(cluster.block().round, round, "nobody may commit");
    assert!(waiting.try_recv().is_err());
    *silent.lock().unwrap() = false;
    cluster.until(30, "a receipt", |_| waiting.try_recv().is_ok());
    all_counted(&mut cluster, 1..=3);
    assert!(!cluster.has_event(|event| discrepancy(event) == Some(false)));
}

#[test]
fn a_silent_scheduler_is_replaced_by_the_next_rank() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let silent = cluster.members[cluster.scheduler(0)].id;
    let second = cluster.members[cluster.scheduler(1)].id;
    cluster.disturb(move |from, _, message| match message {
        Message::Proposal { .. } | Message::Order(_) if from == silent => Fate::Drop,
        _ => Fate::Deliver,
    });
    let start = cluster.now();
    cluster.execute(0, add(2, 1));
    assert!(cluster.now() - start >= SECOND, "its time was waited for");
    let block = cluster.block();
    assert_eq!(block.header_type, HeaderType::Normal);
    assert!(cluster.has_event(|event| {
        matches!(
            event,
            RootEvent::DiscrepancyDetected {
                rank: 1,
                timeout: true,
                ..
            }
        )
    }));
    let results = trilith_root::state::round_results(&*cluster.root(), &RUNTIME);
    let results = results.unwrap().expect("there is a result");
    assert!(results.good.contains(&second) && !results.good.contains(&silent));
    assert_eq!(results.bad, []);
    cluster.calm();
    all_counted(&mut cluster, [1, 2]);
}

/// A scheduler that proposes and then says nothing more.
#[test]
fn a_scheduler_that_never_commits_is_replaced_too() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let runaway = cluster.members[cluster.scheduler(0)].id;
    cluster.disturb(move |from, _, message| match message {
        Message::Order(_) if from == runaway => Fate::Drop,
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(2, 1));
    cluster.calm();
    all_counted(&mut cluster, [1, 2]);
}

/// Two proposals of one scheduler for one round are noticed, told to the root and paid for, and give
/// one result.
#[test]
fn a_scheduler_that_contradicts_itself_is_found_out() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let chain = cluster.plan.genesis().chain_context();
    let index = cluster.scheduler(0);
    let liar = cluster.members[index].id;
    cluster.disturb(move |from, _, message| match message {
        Message::Proposal {
            runtime,
            height,
            proposal,
            batch,
        } if from == liar => {
            let mut other = batch.clone();
            other.time.0 += 1;
            let header = &proposal.header;
            let second = trilith_protocol::Proposal::sign(
                &keys(index).node,
                header.round,
                header.previous_hash,
                &other,
                runtime,
                &chain,
            );
            Fate::Instead(vec![
                message.clone(),
                Message::Proposal {
                    runtime: *runtime,
                    height: *height,
                    proposal: Box::new(second),
                    batch: other,
                },
            ])
        }
        _ => Fate::Deliver,
    });
    cluster.execute(0, add(2, 1));
    cluster.calm();
    all_counted(&mut cluster, [1, 2]);
    cluster.converge();
    let stake = cluster.stake(index);
    assert_eq!(
        stake,
        STAKE - PENALTY,
        "the root was told, and it counts once"
    );
    for other in (0..cluster.members.len()).filter(|other| *other != index) {
        assert!(
            cluster.stake(other) >= STAKE,
            "member {other} did nothing wrong"
        );
    }
}

#[test]
fn a_member_that_cannot_execute_says_so_and_the_backups_decide() {
    let mut cluster = Cluster::new(Plan::default());
    cluster.execute(0, add(1, 1));
    cluster.converge();
    let broken = cluster.scheduler(2);
    cluster.members[broken]
        .counters
        .faults
        .lock()
        .unwrap()
        .extend([true, true]);
    cluster.execute(0, add(2, 1));
    assert!(cluster.has_event(|event| discrepancy(event) == Some(false)));
    assert!(!cluster.has_event(failed));
    assert_eq!(cluster.stake(broken), STAKE, "failing is not lying");
    all_counted(&mut cluster, [1, 2]);
}
