//! Work on several threads whose result does not depend on how many there are.

use std::fmt;
use std::sync::OnceLock;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that wait for work. They are started when there is some for the first time.
pub(crate) struct Workers {
    threads: usize,
    pool: OnceLock<Option<ThreadPool>>,
}

impl Workers {
    /// At least one thread; with one, work is done on the thread that asks.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            pool: OnceLock::new(),
        }
    }

    /// Gives each item to `work` and returns the results in the order of the items. Threads take
    /// `piece` items at a time, so that none has much left when the others are done; fewer than
    /// twice as many stay on the thread that asks. `work` must give the same for an item on
    /// whatever thread and in whatever order.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        piece: usize,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync + Send,
    ) -> Vec<R> {
        let piece = piece.max(1);
        let is_worth_it = self.threads > 1 && items.len() >= piece.saturating_mul(2);
        match is_worth_it.then(|| self.pool()).flatten() {
            Some(pool) => pool.install(|| {
                items
                    .into_par_iter()
                    .with_min_len(piece)
                    .with_max_len(piece)
                    .map(work)
                    .collect()
            }),
            None => items.into_iter().map(work).collect(),
        }
    }

    /// Does two things, side by side if there are threads for it.
    pub(crate) fn both<A: Send, B: Send>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match (self.threads > 1).then(|| self.pool()).flatten() {
            Some(pool) => pool.install(|| rayon::join(first, second)),
            None => (first(), second()),
        }
    }

    /// Does something of many steps on one of the threads, so that they pass the steps on among
    /// themselves: to wake threads for each of them takes longer than most.
    pub(crate) fn within<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match (self.threads > 1).then(|| self.pool()).flatten() {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// `None` where the system gives no more threads: then the work is done without them.
    fn pool(&self) -> Option<&ThreadPool> {
        let threads = self.threads;
        let start = || {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("accounts-{index}"))
                .start_handler(move |index| settle(index, threads))
                .build()
                .ok()
        };
        self.pool.get_or_init(start).as_ref()
    }
}

/// Keeps this thread, number `index` of so many, on a processor of its own, if there are enough for
/// all. Where a system takes half of its processors for busy, it may wake a thread on the processor
/// of the one that woke it, and there it waits until the work is done without it.
fn settle(index: usize, threads: usize) {
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else {
        return;
    };
    let allowed: Vec<usize> = (0..CpuSet::count())
        .filter(|processor| allowed.is_set(*processor) == Ok(true))
        .collect();
    let mut own = CpuSet::new();
    let chosen = allowed.get(index).filter(|_| allowed.len() >= threads);
    if chosen.is_some_and(|processor| own.set(*processor).is_ok()) {
        // Without it the work takes longer, and nothing else changes.
        let _ = sched_setaffinity(this, &own);
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Workers({})", self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::Workers;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
        for threads in [0, 1, 2, 3, 7] {
            let workers = Workers::new(threads);
            for piece in [0, 1, 16, 99, 200] {
                let results = workers.map(piece, items.clone(), |item| item * 2);
                assert_eq!(results, doubled, "{threads} threads, pieces of {piece}");
            }
            let (first, second) = workers.both(|| items.len(), || doubled.len());
            assert_eq!((first, second), (100, 100));
            let within = workers.within(|| workers.map(16, items.clone(), |item| item * 2));
            assert_eq!(within, doubled, "{threads} threads");
            let none: Vec<u8> = workers.map(1, Vec::new(), |item| item);
            assert!(none.is_empty());
        }
    }
}
