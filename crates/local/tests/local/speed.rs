//! That instances are cheap: figures are printed, and bounds are far above them, because the
//! machine of a test may be busy and its build is not optimised.

use std::time::{Duration, Instant};

use trilith_local::Local;

use super::wire::{MEMO, SOL, key, keypair, memo, transaction};

/// The fastest of several: what it costs where nothing else is in the way.
fn fastest(times: usize, mut run: impl FnMut()) -> Duration {
    (0..times)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

#[test]
fn an_instance_begins_fast_after_the_first() {
    let alice = keypair(1);
    let begin = || {
        let mut svm = Local::new();
        svm.airdrop(&key(&alice), SOL).expect("lamports");
        let call = [memo(MEMO, "hello")];
        let call = transaction(&call, &[&alice], svm.latest_blockhash());
        svm.send(call).expect("it succeeds");
    };
    let first = fastest(1, begin);
    let start = fastest(20, || drop(Local::new()));
    let with_call = fastest(20, begin);
    let mut svm = Local::new();
    let mut snapshots = Vec::new();
    let snapshot = fastest(20, || snapshots.push(svm.snapshot()));
    let revert = fastest(20, || svm.revert(&snapshots[0]));
    println!(
        "first with a call {first:?}, start {start:?}, start and call {with_call:?}, \
         snapshot {snapshot:?}, revert {revert:?}"
    );
    assert!(start < Duration::from_millis(50), "{start:?}");
    assert!(with_call < Duration::from_millis(200), "{with_call:?}");
    assert!(snapshot < Duration::from_millis(50), "{snapshot:?}");
    assert!(revert < Duration::from_millis(50), "{revert:?}");
}
