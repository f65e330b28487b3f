//! Explores the pool of commitments for all sets of dishonest members of small committees, and
//! prints what each exploration found; `tests/pool_model.rs` says what is claimed.
//!
//! ```text
//! cargo run --release -p trilith-root --example explore             2+3 and 3+4, both with none
//!                                                                   and one allowed straggler
//! cargo run --release -p trilith-root --example explore -- 3 4 1 2  one committee: primaries,
//!                                                                   backups, allowed stragglers,
//!                                                                   timeout in heights
//! ```
//!
//! It explores separate backups, and backups that are primaries as far as there are primaries.
//! Where more or fewer claims break than should, it says so and ends with an error.

// Each user of the explorer uses its own part of it.
#[path = "../tests/exploration/mod.rs"]
mod exploration;

use std::collections::BTreeSet;
use std::process::ExitCode;

use exploration::{Claim, Setup};

/// Primaries, backups, allowed stragglers, timeout in heights.
type Numbers = [usize; 4];

fn main() -> ExitCode {
    let arguments: Vec<Option<usize>> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().ok())
        .collect();
    let committees: Vec<Numbers> = match arguments[..] {
        [] => vec![[2, 3, 0, 4], [2, 3, 1, 4], [3, 4, 0, 2], [3, 4, 1, 2]],
        [
            Some(primaries @ 1..=4),
            Some(backups),
            Some(stragglers),
            Some(timeout @ 1..),
        ] => {
            vec![[primaries, backups, stragglers, timeout]]
        }
        _ => {
            eprintln!("four numbers are needed: 1 to 4 primaries, backups, stragglers, timeout");
            return ExitCode::FAILURE;
        }
    };
    // All of them, also after one that is not as it should be.
    let mut as_expected = true;
    for committee in &committees {
        as_expected &= explore_committee(committee);
    }
    if as_expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Explores both rules of backups; whether everything was as it should be.
fn explore_committee([primaries, backups, stragglers, timeout]: &Numbers) -> bool {
    let separate = Setup::separate(*primaries, *backups, *stragglers as u32);
    let shared = Setup::shared(*primaries, (0..*backups).collect(), *stragglers as u32);
    let mut as_expected = true;
    for (rule, setup) in [("separate", separate), ("shared", shared)] {
        let setup = Setup {
            timeout: *timeout as u64,
            ..setup
        };
        println!(
            "{primaries}+{backups} {rule}, {stragglers} stragglers, timeout {timeout}: \
             dishonest | states | steps | ends | heights | broken"
        );
        for dishonest in sets(&setup) {
            as_expected &= explore(&setup.dishonest(dishonest));
        }
    }
    as_expected
}

/// All sets of members, but of backups that are alike only the first ones.
fn sets(setup: &Setup) -> Vec<Vec<usize>> {
    let backups = setup.members() - setup.primaries;
    let subsets = 0..1u32 << setup.primaries;
    subsets
        .flat_map(|subset| (0..=backups).map(move |count| (subset, count)))
        .map(|(subset, count)| {
            let primaries = (0..setup.primaries).filter(|number| subset & (1 << number) != 0);
            let backups = setup.primaries..setup.primaries + count;
            primaries.chain(backups).collect()
        })
        .collect()
}

fn explore(setup: &Setup) -> bool {
    let report = setup.explore();
    let broken: BTreeSet<Claim> = report.broken.keys().copied().collect();
    let as_expected = broken == setup.breaking();
    println!(
        "{:?} | {} | {} | {} | {:?} | {broken:?}",
        setup.dishonest,
        report.states,
        report.steps,
        report.ends.len(),
        report.heights.unwrap_or(0),
    );
    if !as_expected {
        println!("expected to break: {:?}", setup.breaking());
        for (claim, way) in &report.broken {
            println!("{claim:?}: {way:?}");
        }
    }
    as_expected
}
