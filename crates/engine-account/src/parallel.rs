//! Work on several threads whose result does not depend on how many there are.

use std::thread;

/// Splits `items` into at most `threads` runs of at least `least` items, gives each run to `work`
/// on a thread of its own, and returns the results in the order of the runs. `work` must give the
/// same for an item whatever run it is in.
pub(crate) fn in_runs<T: Send, R: Send>(
    threads: usize,
    least: usize,
    mut items: Vec<T>,
    work: impl Fn(Vec<T>) -> R + Sync,
) -> Vec<R> {
    let runs = threads.min(items.len() / least.max(1)).max(1);
    if runs == 1 {
        return vec![work(items)];
    }
    let len = items.len().div_ceil(runs);
    let mut split = Vec::with_capacity(runs);
    while items.len() > len {
        let rest = items.split_off(len);
        split.push(std::mem::replace(&mut items, rest));
    }
    split.push(items);
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = split
            .into_iter()
            .map(|run| scope.spawn(move || work(run)))
            .collect();
        running
            .into_iter()
            .map(|running| {
                running
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::in_runs;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
        for threads in [0, 1, 2, 3, 7, 1_000] {
            for least in [0, 1, 16, 99, 200] {
                let runs = in_runs(threads, least, items.clone(), |run| {
                    run.into_iter().map(|item| item * 2).collect::<Vec<_>>()
                });
                assert_eq!(runs.concat(), doubled, "{threads} threads, {least} least");
            }
        }
        assert_eq!(in_runs(4, 1, Vec::<u8>::new(), |run| run.len()), [0]);
    }
}
