//! Threads for work that falls into independent parts.
//!
//! The module knows how to hand out parts and to put their results back in order; it knows nothing
//! of what the parts are. Threads live for one call and may borrow from the caller, who works too.
//!
//! Invariant: results come in the order of the items. With work that depends on its item alone,
//! the outcome is therefore the same for every number of threads and every way in which the
//! operating system runs them.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, available_parallelism};

/// Most threads of a call, whatever the machine or the caller says.
const THREADS_MAX: usize = 256;

/// A number of threads to work on. They live for one piece of work and change no result.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    threads: usize,
}

impl Workers {
    /// Work on `threads` threads, the caller's among them; 0 stands for as many as the machine
    /// runs at once. More than 256 are taken as 256.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => available_parallelism().map_or(1, usize::from),
            given => given,
        };
        Self {
            threads: threads.min(THREADS_MAX),
        }
    }

    /// On how many threads work is done, the caller's among them.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// These workers, but no more than `parts`, for work that has no more parts than that.
    pub(crate) fn at_most(&self, parts: usize) -> Self {
        Self {
            threads: self.threads.min(parts.max(1)),
        }
    }

    /// The results of `work` on each item, in the order of the items.
    ///
    /// # Panics
    /// If `work` does, with what it panicked with.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Vec<R> {
        let mut results = Vec::with_capacity(items.len());
        let threads = self.threads.min(items.len());
        let window = items.len();
        let work = |item| Ok::<R, std::convert::Infallible>(work(item));
        let Ok(()) = run(threads, window, items.into_iter(), &work, &mut |result| {
            results.push(result);
            Ok(())
        });
        results
    }

    /// Hands the results of `work` on each item, in the order of the items, to `consume` on the
    /// caller's thread, while other threads work ahead. At most twice as many items as there are
    /// threads, and two, are taken and not consumed at any time, which bounds the memory that
    /// results take.
    ///
    /// # Errors
    /// The first error in the order of the items, be it of `work` or of `consume`. Later items may
    /// have been worked on then, but none was consumed.
    ///
    /// # Panics
    /// If `work` or `consume` does.
    pub(crate) fn pipe<T: Send, R: Send, E: Send>(
        &self,
        items: impl Iterator<Item = T> + Send,
        work: impl Fn(T) -> Result<R, E> + Sync,
        mut consume: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let window = 2 * self.threads + 2;
        run(self.threads, window, items, &work, &mut consume)
    }
}

/// Does the work of a call: inline on one thread, otherwise on several.
fn run<T: Send, R: Send, E: Send>(
    threads: usize,
    window: usize,
    mut items: impl Iterator<Item = T> + Send,
    work: &(impl Fn(T) -> Result<R, E> + Sync),
    consume: &mut impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    if threads <= 1 {
        return items.try_for_each(|item| consume(work(item)?));
    }
    let line = Line {
        state: Mutex::new(State {
            items,
            taken: 0,
            exhausted: false,
            ready: BTreeMap::new(),
            consumed: 0,
            stopped: false,
        }),
        changed: Condvar::new(),
        window,
    };
    let (result, panic) = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map_while(|_| spawn(scope, &line, work))
            .collect();
        let stop = StopOnDrop(&line);
        let result = line.consume_all(work, consume);
        drop(stop);
        let panics = others.into_iter().filter_map(|thread| thread.join().err());
        (result, panics.last())
    });
    match panic {
        Some(panic) => resume_unwind(panic),
        None => result,
    }
}

/// Starts a thread that works until there is nothing left; `None` where the operating system has
/// none to give, which leaves the work to the others.
fn spawn<'scope, I, T: Send, R: Send, E: Send>(
    scope: &'scope Scope<'scope, '_>,
    line: &'scope Line<I, R, E>,
    work: &'scope (impl Fn(T) -> Result<R, E> + Sync),
) -> Option<std::thread::ScopedJoinHandle<'scope, ()>>
where
    I: Iterator<Item = T> + Send,
{
    let name = "store worker".to_owned();
    let start = Builder::new().name(name);
    start.spawn_scoped(scope, || line.work_ahead(work)).ok()
}

/// Items on their way to being consumed.
struct Line<I, R, E> {
    state: Mutex<State<I, R, E>>,
    /// Wakes threads when results are ready, room was made, or the line stopped.
    changed: Condvar,
    /// How many items may be taken and not consumed.
    window: usize,
}

struct State<I, R, E> {
    items: I,
    /// How many items were taken, and whether there are no more.
    taken: usize,
    exhausted: bool,
    /// Results that were not consumed yet, by the number of their item.
    ready: BTreeMap<usize, Result<R, E>>,
    consumed: usize,
    /// Whether no more work is to be done.
    stopped: bool,
}

impl<I: Iterator, R, E> Line<I, R, E> {
    fn lock(&self) -> MutexGuard<'_, State<I, R, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State<I, R, E>>) -> MutexGuard<'a, State<I, R, E>> {
        let waited = self.changed.wait(guard);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on items until there are no more or the line stops.
    fn work_ahead(&self, work: &impl Fn(I::Item) -> Result<R, E>) {
        // A thread that panics delivers nothing; the line stops, so that nobody waits for it.
        let stop = StopOnDrop(self);
        let mut state = self.lock();
        while !state.stopped && !state.exhausted {
            let Some((number, item)) = state.take(self.window) else {
                if !state.exhausted {
                    state = self.wait(state);
                }
                continue;
            };
            drop(state);
            let result = work(item);
            state = self.lock();
            state.ready.insert(number, result);
            self.changed.notify_all();
        }
        drop(state);
        std::mem::forget(stop);
    }

    /// Consumes all results in order, and works on items while the next result is not ready.
    fn consume_all(
        &self,
        work: &impl Fn(I::Item) -> Result<R, E>,
        consume: &mut impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.lock();
        loop {
            let next = state.consumed;
            if let Some(result) = state.ready.remove(&next) {
                drop(state);
                consume(result?)?;
                state = self.lock();
                state.consumed += 1;
                self.changed.notify_all();
            } else if state.stopped {
                // Only a panic stops the line before its end; it is passed on by who joins.
                return Ok(());
            } else if let Some((number, item)) = state.take(self.window) {
                drop(state);
                let result = work(item);
                state = self.lock();
                state.ready.insert(number, result);
            } else if state.exhausted && state.consumed == state.taken {
                return Ok(());
            } else {
                state = self.wait(state);
            }
        }
    }
}

impl<I: Iterator, R, E> State<I, R, E> {
    /// The next item and its number, where there is one and the window has room.
    fn take(&mut self, window: usize) -> Option<(usize, I::Item)> {
        if self.exhausted || self.taken - self.consumed >= window {
            return None;
        }
        let item = self.items.next();
        self.exhausted = item.is_none();
        let number = self.taken;
        self.taken += usize::from(item.is_some());
        Some((number, item?))
    }
}

/// Stops a line when it is dropped, by a return or by a panic.
struct StopOnDrop<'a, I: Iterator, R, E>(&'a Line<I, R, E>);

impl<I: Iterator, R, E> Drop for StopOnDrop<'_, I, R, E> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Work that takes longer for some items, so that threads overtake each other.
    fn uneven(item: u64) -> u64 {
        let rounds = if item.is_multiple_of(7) { 20_000 } else { 10 };
        (0..rounds).fold(item, |sum, step| sum.rotate_left(5) ^ (sum + step))
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for count in [0u64, 1, 2, 3, 100] {
            let expected: Vec<u64> = (0..count).map(uneven).collect();
            for threads in [0, 1, 2, 3, 8, 1000] {
                let workers = Workers::new(threads);
                assert!(workers.threads() >= 1 && workers.threads() <= THREADS_MAX);
                assert_eq!(workers.map((0..count).collect(), uneven), expected);
                let mut piped = Vec::new();
                let done: Result<(), ()> = workers.pipe(
                    0..count,
                    |item| Ok(uneven(item)),
                    |result| {
                        piped.push(result);
                        Ok(())
                    },
                );
                assert_eq!((done, piped), (Ok(()), expected.clone()));
            }
        }
    }

    #[test]
    fn the_first_error_in_order_counts() {
        for threads in [1, 2, 5] {
            let mut consumed = Vec::new();
            let result = Workers::new(threads).pipe(
                0..1000u64,
                |item| match item {
                    40 | 41 => Err(item),
                    _ => Ok((item, uneven(item)).0),
                },
                |item| {
                    consumed.push(item);
                    Ok(())
                },
            );
            assert_eq!((result, consumed), (Err(40), (0..40).collect()));
            let stopped = Workers::new(threads).pipe(0..1000u64, Ok, |item| match item {
                17 => Err(item),
                _ => Ok(()),
            });
            assert_eq!(stopped, Err(17));
        }
    }

    #[test]
    fn no_more_is_taken_than_the_window_holds() {
        let (taken, consumed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let workers = Workers::new(3);
        let done: Result<(), ()> = workers.pipe(
            (0..500u64).inspect(|_| {
                let ahead = taken.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(ahead - consumed.load(Ordering::SeqCst) <= 2 * 3 + 2 + 1);
            }),
            |item| Ok(uneven(item)),
            |_| {
                consumed.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert_eq!(done, Ok(()));
        assert_eq!(consumed.into_inner(), 500);
    }

    #[test]
    fn panics_reach_the_caller() {
        for threads in [1, 2, 4] {
            for panics in [0, 3, 99] {
                let mapped = catch_unwind(AssertUnwindSafe(|| {
                    Workers::new(threads).map((0..100u64).collect(), |item| {
                        assert!(item != panics, "item {item} is not liked");
                        uneven(item)
                    })
                }));
                let panic = mapped.expect_err("a panic");
                let said = panic.downcast_ref::<String>().expect("a message");
                assert_eq!(*said, format!("item {panics} is not liked"));
            }
        }
    }
}
