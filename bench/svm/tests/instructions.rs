//! Random instructions through the harness of `solana-svm`, with its callbacks and with ours, and
//! through our bank.

use std::collections::BTreeMap;

use trilith_bench_svm::bank::Bank;
use trilith_bench_svm::cases;
use trilith_bench_svm::harness::{self, End, Gates};

const CASES: usize = 3_000;

/// Cases in a slot of the bank: together they ask for less new data than a slot takes.
const CASES_OF_SLOT: usize = 4;

fn count() -> usize {
    let asked = std::env::var("TRILITH_CONFORMANCE").ok();
    asked.map_or(CASES, |count| count.parse().expect("a number of cases"))
}

#[test]
fn instructions_come_to_the_same_in_the_harness_and_in_our_bank() {
    let mut bank = Bank::new();
    bank.write(cases::programs());
    let gates = Gates::of(&bank);
    let mut tally: BTreeMap<(&str, End), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, case) in cases::all(1, count()).enumerate() {
        if number.is_multiple_of(CASES_OF_SLOT) {
            bank.next_slot();
        }
        match harness::judge(&mut bank, &gates, &case, number as u64) {
            Ok(end) => *tally.entry((case.kind, end)).or_default() += 1,
            Err(difference) => wrong.push(format!("{number} {}: {difference}\n", case.kind)),
        }
    }
    for ((kind, end), count) in &tally {
        println!("{kind:32} {end:?} {count}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        count(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    // A harness that fails at once would agree with anything.
    for kind in tally.keys().map(|(kind, _)| *kind) {
        let ended = |end| tally.get(&(kind, end)).copied().unwrap_or_default();
        assert!(
            ended(End::Failed) + ended(End::Custom) > 0,
            "{kind} never failed"
        );
        // The loader does not know these two yet.
        let cannot = ["loader: migrate", "loader: extend, checked"];
        assert!(
            ended(End::Succeeded) > 0 || cannot.contains(&kind),
            "{kind} never succeeded"
        );
    }
    let rent: usize = tally
        .iter()
        .filter(|((_, end), _)| *end == End::Rent)
        .map(|(_, count)| count)
        .sum();
    assert!(rent > 0, "nothing became liable to rent");
}

/// One gate less on one side is noticed.
#[test]
fn a_difference_is_told() {
    let mut bank = Bank::new();
    bank.write(cases::programs());
    let gates = Gates::of(&bank).without_prefunding();
    let told = cases::all(2, 400)
        .enumerate()
        .filter_map(|(number, case)| {
            let judged = harness::judge(&mut bank, &gates, &case, number as u64);
            Some((case.kind, judged.err()?))
        })
        .collect::<Vec<_>>();
    assert!(!told.is_empty());
    for (kind, difference) in told {
        assert_eq!(kind, "system: create, prefunded", "{difference}");
    }
}
