//! The power goes at every single operation of the disk while a node works. Afterwards whatever was
//! answered is there, once; nothing that was signed is signed differently.

mod network;
#[path = "../../store/tests/simulated_disk/mod.rs"]
mod simulated_disk;

use std::collections::{BTreeMap, BTreeSet};

use network::*;
use simulated_disk::{Numbers, SimulatedDisk};
use tokio::sync::oneshot::Receiver;
use trilith_node::{SubmitError, Submitted};
use trilith_protocol::ReceiptStatus;
use trilith_store::Store;
use trilith_types::{Hash, StateRead as _};

/// Transactions of a history: two for each step.
const STEPS: u64 = 7;

fn setup() -> Setup {
    Setup {
        epoch_interval: 4,
        ..Setup::default()
    }
}

/// What the world outside saw of a node.
#[derive(Default)]
struct Seen {
    /// Transactions whose receipts were delivered.
    answered: BTreeSet<u64>,
    /// Signed bytes by slot, as of moments at which they were durable.
    signed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The newest published round with its state.
    published: Option<(u64, Hash)>,
}

impl Seen {
    fn look(&mut self, net: &Net, waiting: &mut Vec<(u64, Receiver<Submitted>)>) {
        waiting.retain_mut(|(id, receiver)| match receiver.try_recv() {
            Ok(submitted) => {
                assert_eq!(submitted.receipt.status, ReceiptStatus::Accepted);
                assert!(self.answered.insert(*id), "one transaction, one receipt");
                false
            }
            Err(_) => true,
        });
        let snapshot = net.handle().snapshot();
        let published = (snapshot.round.0, snapshot.view.root());
        if let Some((round, root)) = self.published {
            assert!(round <= published.0, "published rounds ascend");
            assert!(
                round < published.0 || root == published.1,
                "one state of a round"
            );
        }
        self.published = Some(published);
    }

    /// Takes note of what is durable now, and checks that nothing differs from before.
    fn durable(&mut self, store: &Store) {
        for (slot, bytes) in signed(store) {
            let before = self
                .signed
                .entry(slot.clone())
                .or_insert_with(|| bytes.clone());
            assert_eq!(*before, bytes, "slot {slot:?} was signed differently");
        }
    }
}

/// Runs the history until it ends or the disk fails.
fn run(disk: &SimulatedDisk, seen: &mut Seen) -> Option<Net> {
    let mut net = Net::try_open(disk, &setup(), START).ok()?;
    let mut waiting = Vec::new();
    for step in 0..STEPS {
        for id in [2 * step, 2 * step + 1] {
            waiting.push((id, net.handle().submit(add(id, id as u8 % 3)).unwrap()));
        }
        // One round is executed at a second try.
        if step == 3 {
            net.counters().faults.lock().unwrap().extend([true, true]);
        }
        let stepped = net.step();
        seen.look(&net, &mut waiting);
        stepped.ok()?;
        if net.handle().is_healthy() {
            // A finished step has synced all of it.
            seen.durable(&net.store);
        }
    }
    Some(net)
}

/// Submits everything again and steps until all of it counted.
fn resume(net: &mut Net, seen: &mut Seen) {
    let handle = net.handle();
    let mut waiting = Vec::new();
    for id in 0..2 * STEPS {
        match handle.submit(add(id, id as u8 % 3)) {
            Ok(receiver) => waiting.push((id, receiver)),
            Err(SubmitError::Rejected(reject)) => assert_eq!(reject.code, 2, "it counts already"),
            Err(other) => panic!("{other}"),
        }
    }
    // An open proposal may hold some of them, whose copies are then refused in their round.
    for _ in 0..6 {
        net.step()
            .unwrap_or_else(|error| panic!("going on: {error}"));
        seen.durable(&net.store);
        counted(&*handle.snapshot().view);
    }
    assert_eq!(net.counted(), (0..2 * STEPS).collect());
    for (id, mut receiver) in waiting {
        let answer = receiver.try_recv();
        assert!(answer.is_ok(), "transaction {id} has no receipt");
    }
}

fn crash(at: u64, seed: u64) {
    let disk = SimulatedDisk::new();
    disk.crash_at(at);
    let mut seen = Seen::default();
    let net = run(&disk, &mut seen);
    let mut numbers = Numbers(seed ^ at);
    disk.power_cycle(numbers.next());
    drop(net);
    // Power may go once more while the node starts, and the clock may be behind what it was.
    if numbers.below(3) == 0 {
        disk.crash_at(disk.operations() + 1 + numbers.below(6));
        drop(Net::try_open(&disk, &setup(), START));
        disk.power_cycle(numbers.next());
    }
    let now = START + numbers.below(2 * STEPS * SECOND);
    let mut net = Net::try_open(&disk, &setup(), now)
        .unwrap_or_else(|error| panic!("crash at {at}: {error}"));
    // What survived is durable: it binds from now on as well.
    seen.durable(&net.store);
    seen.look(&net, &mut Vec::new());
    let left = net.counted();
    assert!(
        seen.answered.is_subset(&left),
        "crash at {at}: answered {:?}, left {left:?}",
        seen.answered
    );
    resume(&mut net, &mut seen);
}

/// Crashes at every operation; operations are shared out between tests, which run side by side.
fn crash_everywhere(part: u64, parts: u64) {
    let disk = SimulatedDisk::new();
    let mut seen = Seen::default();
    let mut net = run(&disk, &mut seen).expect("nothing fails");
    resume(&mut net, &mut seen);
    assert!(
        seen.answered.len() as u64 >= 2 * STEPS - 4,
        "most were answered at once"
    );
    let operations = disk.operations();
    for at in (1..=operations).filter(|at| at % parts == part) {
        crash(at, part);
    }
    eprintln!("{operations} operations");
}

#[test]
fn a_crash_at_every_even_operation_loses_and_repeats_nothing() {
    crash_everywhere(0, 2);
}

#[test]
fn a_crash_at_every_odd_operation_loses_and_repeats_nothing() {
    crash_everywhere(1, 2);
}

#[test]
fn a_killed_process_goes_on_with_the_proposal_it_signed() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &setup(), START);
    net.step().unwrap();
    drop(net.handle().submit(add(1, 1)).unwrap());
    net.counters().faults.lock().unwrap().extend([true, true]);
    assert_eq!(net.step().unwrap(), 0);
    let before = net.signed();
    let executed = net
        .counters()
        .executed
        .lock()
        .unwrap()
        .last()
        .cloned()
        .unwrap();
    let now = net.now();
    disk.kill_process();
    drop(net);
    let mut net = Net::open(&disk, &setup(), now);
    assert_eq!(net.signed(), before);
    assert_eq!(net.step().unwrap(), 1);
    assert_eq!(net.counted(), [1].into());
    assert_eq!(*net.counters().executed.lock().unwrap(), [executed]);
}

/// The time of a round is exact after a restart, even if the clock went back within the second.
#[test]
fn time_does_not_go_back_over_a_restart() {
    let disk = SimulatedDisk::new();
    let mut net = Net::open(&disk, &setup(), START + 700_000_000);
    net.step().unwrap();
    let operations = disk.operations();
    drop(net.handle().submit(add(1, 1)).unwrap());
    net.step().unwrap();
    let last = disk.operations();
    for at in operations + 1..=last {
        let disk = SimulatedDisk::new();
        let mut net = Net::open(&disk, &setup(), START + 700_000_000);
        net.step().unwrap();
        drop(net.handle().submit(add(1, 1)).unwrap());
        disk.crash_at(at);
        drop(net.step());
        // Everything written survives, but the node had not gone further.
        disk.kill_process();
        drop(net);
        let mut net = Net::open(&disk, &setup(), START);
        net.step().unwrap();
        net.handle().refresh();
        net.step().unwrap();
        net.counted();
    }
    assert!(last > operations);
}
