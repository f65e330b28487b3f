//! Rounds of one node: what is submitted is executed once, answered and certified.

mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use network::*;
use simulated_disk::SimulatedDisk;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use trilith_node::{NodeError, PoolError, PoolLimits, SubmitError, Submitted};
use trilith_proof::CertificateKey;
use trilith_protocol::ReceiptStatus;
use trilith_protocol::root::ROOT_RUNTIME;
use trilith_types::{Hash, Round, TimeNanos};

fn fresh(setup: &Setup) -> Net {
    Net::open(&SimulatedDisk::new(), setup, START)
}

fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    ids.into_iter().collect()
}

fn answered(receiver: &mut Receiver<Submitted>) -> Submitted {
    receiver.try_recv().expect("there is an answer")
}

/// Checks that the published state is certified.
fn verify(net: &Net) {
    let snapshot = net.handle().snapshot();
    let attested = snapshot.attested.as_ref().expect("the state is certified");
    assert_eq!(
        attested.state_root,
        trilith_types::StateRead::root(&*snapshot.view)
    );
    let key = CertificateKey::from_bytes(&keys().certification.bytes()).unwrap();
    let signature = attested.signature[..].try_into().unwrap();
    key.verify_state_root(&attested.value, &signature).unwrap();
    let other = Hash::of(&attested.value);
    key.verify_state_root(other.as_bytes(), &signature)
        .unwrap_err();
}

#[test]
fn a_transaction_is_executed_answered_and_certified() {
    let mut net = fresh(&Setup::default());
    assert_eq!(
        net.step().unwrap(),
        1,
        "a new network gets a certified state"
    );
    verify(&net);
    assert_eq!(net.step().unwrap(), 0, "nothing is due");
    let handle = net.handle();
    let mut one = handle.submit(add(1, 10)).unwrap();
    let mut two = handle.submit(add(2, 10)).unwrap();
    assert!(net.woken.try_recv().is_ok());
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(net.step().unwrap(), 1);
    for receiver in [&mut one, &mut two] {
        let submitted = answered(receiver);
        assert_eq!(submitted.round, Round(2));
        assert_eq!(submitted.receipt.status, ReceiptStatus::Accepted);
    }
    assert_eq!(net.counted(), ids([1, 2]));
    assert_eq!(handle.waiting(), 0);
    verify(&net);
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.round, Round(2));
    assert_eq!(snapshot.time, TimeNanos(net.now()));
    let answer = handle.query(&snapshot, b"?").unwrap();
    assert_eq!(answer, [&b"?"[..], &2u64.to_be_bytes()].concat());
    let refused = handle.submit(add(1, 10)).unwrap_err();
    assert!(matches!(refused, SubmitError::Rejected(reject) if reject.code == 2));
}

#[test]
fn two_nodes_with_the_same_history_have_the_same_state() {
    let setup = Setup {
        epoch_interval: 3,
        ..Setup::default()
    };
    let mut nets = [fresh(&setup), fresh(&setup)];
    for round in 0..9 {
        let roots = nets.each_mut().map(|net| {
            drop(net.handle().submit(add(round, 1)));
            drop(net.handle().submit(add(round + 100, round as u8)));
            net.step().unwrap();
            (net.store.current(RUNTIME), net.store.current(ROOT_RUNTIME))
        });
        assert!(roots[0].0.is_some());
        assert_eq!(roots[0], roots[1]);
        let attested = nets
            .each_ref()
            .map(|net| net.handle().snapshot().attested.clone());
        assert_eq!(attested[0], attested[1]);
    }
    assert_eq!(nets[0].signed(), nets[1].signed());
}

#[test]
fn a_round_that_faults_once_is_executed_again() {
    let mut net = fresh(&Setup::default());
    net.step().unwrap();
    let mut one = net.handle().submit(add(1, 1)).unwrap();
    net.counters().faults.lock().unwrap().push_back(true);
    assert_eq!(net.step().unwrap(), 1);
    assert_eq!(answered(&mut one).receipt.status, ReceiptStatus::Accepted);
    assert!(net.handle().is_healthy());
    assert_eq!(net.counted(), ids([1]));
    let executed = net.counters().executed.lock().unwrap();
    assert_eq!(
        executed[1], executed[2],
        "the same batch under the same circumstances"
    );
}

#[test]
fn a_node_whose_round_faults_twice_abstains_and_tries_again() {
    let mut net = fresh(&Setup::default());
    net.step().unwrap();
    let before = net.signed();
    let handle = net.handle();
    let mut one = handle.submit(add(1, 1)).unwrap();
    net.counters().faults.lock().unwrap().extend([true, true]);
    assert_eq!(net.step().unwrap(), 0);
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    assert!(!handle.is_healthy());
    assert_eq!(handle.snapshot().round, Round(1));
    let mut signed = net.signed();
    signed.retain(|name, _| !before.contains_key(name));
    assert_eq!(signed.len(), 1, "a proposal, and no commitment");
    // What comes meanwhile does not change the batch; who asks again for what is in it waits too.
    let mut again = handle.submit(add(1, 1)).unwrap();
    let mut two = handle.submit(add(2, 1)).unwrap();
    let report = net.core.step().unwrap();
    assert_eq!(report.rounds, 0, "not at once");
    assert_eq!(report.wake, Some(TimeNanos(net.now() + SECOND)));
    assert_eq!(net.step().unwrap(), 1);
    for (name, bytes) in &signed {
        assert_eq!(net.store.signed(name).as_ref(), Some(bytes));
    }
    assert!(handle.is_healthy());
    assert_eq!(answered(&mut one), answered(&mut again));
    assert_eq!(net.counted(), ids([1]));
    assert_eq!(two.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(net.step().unwrap(), 1);
    assert_eq!(answered(&mut two).round, Round(3));
    assert_eq!(net.counted(), ids([1, 2]));
    let executed = net.counters().executed.lock().unwrap();
    assert_eq!(executed[1], executed[3]);
}

/// An outcome that the store cannot hold is like any other bad outcome: the node lives on.
#[test]
fn a_node_abstains_from_an_outcome_that_cannot_be_sealed() {
    let mut net = fresh(&Setup::default());
    net.step().unwrap();
    let mut one = net.handle().submit(add(1, 1)).unwrap();
    *net.counters().key_len.lock().unwrap() = Some(trilith_proof::mkvs::KEY_BYTES_MAX + 1);
    assert_eq!(net.step().unwrap(), 0);
    assert!(!net.handle().is_healthy());
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    *net.counters().key_len.lock().unwrap() = None;
    assert_eq!(net.step().unwrap(), 1);
    assert_eq!(answered(&mut one).receipt.status, ReceiptStatus::Accepted);
}

#[test]
fn a_batch_that_the_root_did_not_finalise_is_executed_once() {
    for lazy in [false, true] {
        let setup = Setup {
            epoch_interval: 3,
            lazy,
            ..Setup::default()
        };
        let mut net = fresh(&setup);
        let mut receivers = Vec::new();
        let mut missed = 0;
        for id in 0..20 {
            receivers.push((id, net.handle().submit(add(id, 1)).unwrap()));
            if net.step().unwrap() == 0 {
                missed += 1;
                assert_eq!(net.handle().waiting(), 1, "back in the pool");
                assert_eq!(
                    receivers[id as usize].1.try_recv(),
                    Err(TryRecvError::Empty)
                );
            }
        }
        net.step().unwrap();
        assert!(missed >= 5, "every third height begins an epoch");
        for (id, receiver) in &mut receivers {
            let receipt = answered(receiver).receipt;
            assert_eq!(receipt.status, ReceiptStatus::Accepted, "transaction {id}");
        }
        assert_eq!(net.counted(), ids(0..20));
        verify(&net);
    }
}

/// Rounds that change no state: the root's word, not the state, says whether one was finalised.
#[test]
fn a_round_without_change_is_finalised_only_if_the_root_says_so() {
    let setup = Setup {
        epoch_interval: 3,
        lazy: true,
        ..Setup::default()
    };
    let mut net = fresh(&setup);
    let (mut finalised, mut missed) = (0, 0);
    for _ in 0..12 {
        let before = net.handle().snapshot().round;
        net.handle().refresh();
        if net.step().unwrap() == 1 {
            finalised += 1;
            assert!(net.handle().snapshot().round > before);
        } else {
            missed += 1;
            assert_eq!(net.handle().snapshot().round, before);
        }
    }
    assert_eq!((finalised, missed), (8, 4));
}

/// Another runtime's rounds bring the root to a new epoch while this one's proposal is open.
#[test]
fn a_proposal_that_an_epoch_overtakes_goes_back_to_the_pool() {
    let setup = Setup {
        runtimes: vec![RUNTIME, OTHER],
        epoch_interval: 8,
        ..Setup::default()
    };
    let mut net = fresh(&setup);
    net.step().unwrap();
    let mut one = net.handle().submit(add(1, 1)).unwrap();
    net.counters().faults.lock().unwrap().extend([true; 12]);
    for id in 0..6 {
        drop(net.core.handle(&OTHER).unwrap().submit(add(id, 2)).unwrap());
        net.step().unwrap();
    }
    assert!(!net.handle().is_healthy());
    let mut two = net.handle().submit(add(2, 1)).unwrap();
    net.counters().faults.lock().unwrap().clear();
    for _ in 0..3 {
        net.step().unwrap();
    }
    assert_eq!(net.counted(), ids([1, 2]));
    assert_eq!(answered(&mut one).receipt.status, ReceiptStatus::Accepted);
    assert_eq!(answered(&mut two).receipt.status, ReceiptStatus::Accepted);
    let executed = net.counters().executed.lock().unwrap();
    let rounds: BTreeSet<_> = executed.iter().map(|executed| executed.round).collect();
    assert!(rounds.len() > 2, "the epoch took a round: {rounds:?}");
}

#[test]
fn the_pool_refuses_beyond_its_limits() {
    let setup = Setup {
        pool: PoolLimits {
            transactions_max: 3,
            bytes_max: 40,
            sender_transactions_max: 10,
        },
        ..Setup::default()
    };
    let mut net = fresh(&setup);
    let handle = net.handle();
    let long = [add(1, 1), vec![0; 12]].concat();
    drop(handle.submit(long).unwrap());
    drop(handle.submit(add(2, 1)).unwrap());
    let (bytes, limit) = (30 + 11, 40);
    let refused = handle.submit([add(3, 1), vec![0; 2]].concat()).unwrap_err();
    assert_eq!(
        refused,
        SubmitError::Pool(PoolError::Bytes { bytes, limit })
    );
    drop(handle.submit(add(3, 1)).unwrap());
    let refused = handle.submit(add(4, 1)).unwrap_err();
    let (count, limit) = (3, 3);
    assert_eq!(refused, SubmitError::Pool(PoolError::Full { count, limit }));
    drop(
        handle
            .submit(add(2, 1))
            .expect("what waits already takes no place"),
    );
    assert_eq!(handle.waiting(), 3);
    net.step().unwrap();
    assert_eq!(net.counted(), ids([1, 2, 3]));
    drop(handle.submit(add(4, 1)).unwrap());
}

#[test]
fn what_no_batch_can_hold_is_refused() {
    let mut net = fresh(&Setup::default());
    let handle = net.handle();
    let padded = |len: usize| [add(1, 1), vec![0; len - 9]].concat();
    let limit = BATCH_BYTES_MAX;
    let len = limit as usize + 1;
    let refused = handle.submit(padded(len)).unwrap_err();
    assert_eq!(refused, SubmitError::TooLarge { len, limit });
    let mut largest = handle.submit(padded(limit as usize)).unwrap();
    net.step().unwrap();
    assert_eq!(
        answered(&mut largest).receipt.status,
        ReceiptStatus::Accepted
    );
}

/// A descriptor may allow batches that are longer than any input, and as long as what the store
/// takes under one slot.
#[test]
fn the_largest_batches_are_proposed_and_read_back() {
    let setup = Setup {
        batch_bytes_max: trilith_params::host::BATCH_BYTES_MAX,
        ..Setup::default()
    };
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &setup, START);
    net.step().unwrap();
    let handle = net.handle();
    let limit = trilith_params::host::INPUT_BYTES_MAX;
    let large = |id: u64, len: usize| [add(id, 1), vec![0; len - 9]].concat();
    let refused = handle.submit(large(1, limit + 1)).unwrap_err();
    let (len, limit) = (limit + 1, limit as u64);
    assert_eq!(refused, SubmitError::TooLarge { len, limit });
    let mut receivers: Vec<_> = (1..=4)
        .map(|id| handle.submit(large(id, limit as usize)).unwrap())
        .collect();
    net.counters().faults.lock().unwrap().extend([true, true]);
    assert_eq!(net.step().unwrap(), 0);
    assert_eq!(
        net.step().unwrap(),
        1,
        "the proposal is read back and executed"
    );
    net.step().unwrap();
    assert_eq!(net.counted(), ids(1..=4));
    for receiver in &mut receivers {
        assert_eq!(answered(receiver).receipt.status, ReceiptStatus::Accepted);
    }
}

#[test]
fn a_transaction_submitted_again_is_executed_once_and_answers_all() {
    let mut net = fresh(&Setup::default());
    net.step().unwrap();
    let handle = net.handle();
    let mut first = handle.submit(add(1, 1)).unwrap();
    let mut second = handle.submit(add(1, 1)).unwrap();
    assert_eq!(handle.waiting(), 1);
    let third = Arc::new(Mutex::new(None));
    let (flying, submitter) = (third.clone(), handle.clone());
    *net.counters().hook.lock().unwrap() = Some(Box::new(move || {
        *flying.lock().unwrap() = Some(submitter.submit(add(1, 1)).unwrap());
        assert_eq!(
            submitter.waiting(),
            0,
            "what is in flight does not wait again"
        );
    }));
    net.step().unwrap();
    let mut third = third.lock().unwrap().take().unwrap();
    let answer = answered(&mut first);
    assert_eq!(answer.receipt.status, ReceiptStatus::Accepted);
    assert_eq!(answered(&mut second), answer);
    assert_eq!(answered(&mut third), answer);
    assert_eq!(net.step().unwrap(), 0);
    assert_eq!(net.counted(), ids([1]));
}

#[test]
fn a_demand_gives_a_round_at_its_time() {
    let mut net = fresh(&Setup::default());
    net.step().unwrap();
    drop(net.handle().submit(add(1, ALARM)).unwrap());
    assert_eq!(net.step().unwrap(), 1);
    let at = net.now() + 5 * SECOND;
    assert_eq!(net.core.step().unwrap().wake, Some(TimeNanos(at)));
    for _ in 0..4 {
        assert_eq!(net.step().unwrap(), 0);
    }
    assert_eq!(net.step().unwrap(), 1);
    assert_eq!(net.core.step().unwrap().wake, None);
}

#[test]
fn a_store_of_another_network_is_refused() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &Setup::default(), START);
    drop(net.handle().submit(add(1, 1)).unwrap());
    net.step().unwrap();
    drop(net);
    let other = Setup {
        chain: "others",
        ..Setup::default()
    };
    let refused = Net::try_open(&disk, &other, START).err().expect("refused");
    let (asked, stored) = (other.genesis(), Setup::default().genesis());
    assert!(matches!(
        refused,
        NodeError::OtherNetwork { stored: s, asked: a }
            if s == stored.chain_context() && a == asked.chain_context()
    ));
    let net = Net::open(&disk, &Setup::default(), START);
    assert_eq!(net.counted(), ids([1]), "the refused start changed nothing");
}

#[test]
fn a_store_with_a_root_and_no_genesis_is_refused() {
    let disk = SimulatedDisk::new();
    let net = Net::open(&disk, &Setup::default(), START);
    let held = net.store.current(ROOT_RUNTIME);
    net.store.remove_meta("genesis").unwrap();
    net.store.sync().unwrap();
    drop(net);
    let refused = Net::try_open(&disk, &Setup::default(), START)
        .err()
        .expect("refused");
    assert!(
        refused.to_string().contains("no genesis document"),
        "{refused}"
    );
    let store = open_store(&disk);
    assert_eq!(store.current(ROOT_RUNTIME), held, "nothing was sealed");
}

#[test]
fn a_node_that_does_not_know_the_rules_ends_instead_of_trying_again() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &Setup::default(), START);
    net.step().unwrap();
    *net.counters().outdated.lock().unwrap() = Some("rule 7 is not known".to_owned());
    // Knowing that there are such rules ends nothing while rounds execute.
    let mut one = net.handle().submit(add(1, 1)).unwrap();
    assert_eq!(net.step().unwrap(), 1);
    answered(&mut one);
    net.counters().faults.lock().unwrap().push_back(true);
    let two = net.handle().submit(add(2, 1)).unwrap();
    let executed = net.counters().executed.lock().unwrap().len();
    let ended = net.step().expect_err("the node cannot go on");
    assert_eq!(
        ended.to_string(),
        format!("this build cannot go on with runtime {RUNTIME}: rule 7 is not known")
    );
    assert_eq!(
        net.counters().executed.lock().unwrap().len(),
        executed + 1,
        "once"
    );
    drop((net, two));
    // Another version, on the same disk, finishes the round that was begun.
    let mut net = Net::open(&disk, &Setup::default(), START + SECOND);
    assert_eq!(net.counted(), ids([1]));
    net.step().unwrap();
    assert_eq!(net.counted(), ids([1, 2]));
}

#[test]
fn nothing_is_published_before_it_is_durable() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &Setup::default(), START);
    net.step().unwrap();
    let before = net.handle().snapshot();
    let mut one = net.handle().submit(add(1, 1)).unwrap();
    disk.fail_syncs(true);
    // Where the log is full it is made durable while the outcome is sealed, else when it is final.
    let fault = net.step().expect_err("the disk does not answer");
    let of_store = matches!(
        fault,
        NodeError::Store(_) | NodeError::Host(trilith_host::HostFault::Store(_))
    );
    assert!(of_store, "{fault}");
    assert_eq!(one.try_recv(), Err(TryRecvError::Empty));
    assert!(Arc::ptr_eq(&before, &net.handle().snapshot()));
    drop(net);
    assert_eq!(
        one.try_recv(),
        Err(TryRecvError::Closed),
        "who waits learns of the end"
    );
}
