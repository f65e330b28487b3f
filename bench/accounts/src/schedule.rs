//! The ecosystem's scheduling logic on the transactions that the bank plans: what waits for what,
//! and what deciding it costs.

use std::collections::{BTreeSet, HashMap, HashSet};

use solana_message::SimpleAddressLoader;
use solana_pubkey::Pubkey;
use solana_runtime_transaction::runtime_transaction::RuntimeTransaction;
use solana_transaction::sanitized::{MessageHash, SanitizedTransaction};
use solana_transaction::versioned::VersionedTransaction;
use solana_unified_scheduler_logic::{Capability, SchedulingStateMachine, Task, UsageQueue};

/// A transaction as the bank plans it. Which accounts are reserved does not matter here.
pub fn sanitized(transaction: VersionedTransaction) -> SanitizedTransaction {
    let loader = SimpleAddressLoader::Disabled;
    let hash = MessageHash::Compute;
    SanitizedTransaction::try_create(transaction, hash, None, loader, &HashSet::new())
        .expect("it is well formed")
}

/// A transaction as the scheduling logic takes it.
pub fn runtime(transaction: VersionedTransaction) -> RuntimeTransaction<SanitizedTransaction> {
    RuntimeTransaction::try_create(
        transaction,
        MessageHash::Compute,
        None,
        SimpleAddressLoader::Disabled,
        &HashSet::new(),
        true,
    )
    .expect("it is well formed")
}

/// The scheduling logic, of which a thread may have one.
pub struct Scheduler(SchedulingStateMachine);

impl Scheduler {
    /// The scheduler of a thread that is started for it.
    ///
    /// # Panics
    /// If `work` panics.
    pub fn on_thread<R: Send>(work: impl FnOnce(Self) -> R + Send) -> R {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                #[expect(unsafe_code, reason = "the scheduler has no other constructor")]
                // SAFETY: the thread is new, and this is the only call on it.
                let machine = unsafe {
                    SchedulingStateMachine::exclusively_initialize_current_thread_for_scheduling(
                        None, None,
                    )
                };
                work(Self(machine))
            });
            thread.join().expect("the work does not panic")
        })
    }

    /// Runs all transactions on one imagined thread, each as soon as it may, but keeps one of them,
    /// if there is a `kept`, until nothing else may run. Gives those that had to wait for it.
    pub fn run(
        &mut self,
        transactions: Vec<RuntimeTransaction<SanitizedTransaction>>,
        kept: Option<usize>,
    ) -> BTreeSet<usize> {
        let mut queues: HashMap<Pubkey, UsageQueue> = HashMap::new();
        let count = transactions.len();
        let mut running: Vec<Task> = Vec::new();
        for (number, transaction) in transactions.into_iter().enumerate() {
            let task =
                SchedulingStateMachine::create_task(transaction, number as u128, &mut |key| {
                    queues
                        .entry(key)
                        .or_insert_with(|| UsageQueue::new(&Capability::FifoQueueing))
                        .clone()
                });
            running.extend(self.0.schedule_or_buffer_task(task, false));
        }
        let mut held = None;
        let mut done = BTreeSet::new();
        while let Some(task) = running.pop() {
            let number = task.task_id() as usize;
            if Some(number) == kept {
                held = Some(task);
                continue;
            }
            self.0.deschedule_task(&task);
            done.insert(number);
            while let Some(next) = self.0.schedule_next_unblocked_task() {
                running.push(next);
            }
        }
        let waited = (0..count).filter(|number| !done.contains(number) && Some(*number) != kept);
        let waited = waited.collect();
        running.extend(held);
        while let Some(task) = running.pop() {
            self.0.deschedule_task(&task);
            while let Some(next) = self.0.schedule_next_unblocked_task() {
                running.push(next);
            }
        }
        assert!(self.0.has_no_active_task(), "every transaction ran");
        self.0.reinitialize();
        waited
    }
}
