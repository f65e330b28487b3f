//! The bank of the account engine against that of LiteSVM: the same random transactions, valid and
//! broken, must come to the same: result, logs, units, fees, return data, calls between programs,
//! and the accounts they leave.
//!
//! Both run the same virtual machine, so this checks the bank around it. Intended differences:
//! [`trilith_bench_accounts::sides`]. `TRILITH_DIFFERENTIAL` sets how many transactions are tried,
//! 5,000 where it is not set.

use litesvm::LiteSVM;
use solana_pubkey::Pubkey;
use trilith_bench_accounts::deploy::Deployment;
use trilith_bench_accounts::key;
use trilith_bench_accounts::random::{Source, Trial};
use trilith_bench_accounts::sides::Sides;

/// Transactions of a batch.
const BATCH: usize = 40;
/// Batches after which time goes on.
const BATCHES_IN_SLOT: usize = 2;

/// Everything that is tried, with how it may end: refused, failed, succeeded.
const KINDS: [(&str, [bool; 3]); 50] = [
    ("transfer", [true, true, true]),
    ("signed transfer", [true, true, true]),
    ("create", [true, true, true]),
    ("create with seed", [true, true, true]),
    ("allocate", [true, true, true]),
    ("assign", [true, true, true]),
    ("token transfer", [true, true, true]),
    ("token checked", [true, true, true]),
    ("token mint", [true, true, true]),
    ("token burn", [true, true, true]),
    ("token approve", [true, true, true]),
    ("token close", [true, true, true]),
    ("token-2022 transfer", [true, true, true]),
    ("token-2022 checked", [true, true, true]),
    ("token-2022 mint", [true, true, true]),
    ("token-2022 burn", [true, true, true]),
    ("token-2022 approve", [true, true, true]),
    ("token-2022 close", [true, true, true]),
    ("associated token", [true, true, true]),
    ("associated token-2022", [true, true, true]),
    ("memo 1", [true, true, true]),
    ("memo 2", [true, true, true]),
    ("memo 4", [true, true, true]),
    ("nonce advance", [true, true, true]),
    ("nonce withdraw", [true, true, true]),
    ("nonce authorize", [true, true, true]),
    ("durable nonce", [true, true, true]),
    ("lookup table", [true, true, true]),
    ("unit limit", [true, true, true]),
    ("unit price", [true, true, true]),
    ("heap", [true, true, true]),
    ("budget twice", [true, false, false]),
    ("unknown program", [true, true, false]),
    // One signer is enough for some.
    ("missing signature", [true, true, true]),
    ("damaged signature", [true, false, false]),
    ("unknown blockhash", [true, false, false]),
    ("too little to load", [true, true, false]),
    ("nothing to load", [true, false, false]),
    ("index out of range", [true, false, false]),
    ("account twice", [true, false, false]),
    ("buffer", [false, false, true]),
    ("write", [false, false, true]),
    ("deploy", [false, false, true]),
    ("deployed call", [false, false, true]),
    ("closed call", [false, true, false]),
    ("upgrade", [false, false, true]),
    ("upgrade again", [false, true, false]),
    ("close", [false, false, true]),
    ("same again", [true, false, false]),
    ("twice in a batch", [true, false, false]),
];

/// Draws batches and hands them to `each`.
fn batches(sides: &mut Sides, count: usize, mut each: impl FnMut(&mut Sides, Vec<Trial>, bool)) {
    let mut source = Source::new(42);
    let mut deployment = Deployment::default();
    let mut last: Option<Trial> = None;
    let mut tried = 0;
    let mut number = 0usize;
    while tried < count {
        let now = sides.circumstances();
        let begins = number.is_multiple_of(BATCHES_IN_SLOT);
        let mut batch: Vec<Trial> = (0..BATCH).map(|_| source.trial(&now)).collect();
        // The very same transaction: within the batch, and in a later one of the same slot.
        if let Some(mut twice) = batch.iter().find(|trial| is_plain(trial)).cloned() {
            twice.kinds = vec!["twice in a batch"];
            batch.push(twice);
        }
        if let Some(mut again) = last.take().filter(|_| !begins) {
            again.kinds = vec!["same again"];
            batch.push(again);
        }
        if begins {
            batch.extend(deployment.step(now.blockhash));
        }
        last = batch.iter().find(|trial| is_plain(trial)).cloned();
        tried += batch.len();
        number += 1;
        each(sides, batch, number.is_multiple_of(BATCHES_IN_SLOT));
    }
}

/// Whether a transaction will be charged, and so be known when it comes again.
fn is_plain(trial: &Trial) -> bool {
    let kinds = [
        "memo 1",
        "memo 4",
        "transfer",
        "token mint",
        "token transfer",
    ];
    trial.kinds.iter().all(|kind| kinds.contains(kind))
        && trial.transaction.message.static_account_keys()[0] == key(100)
}

#[test]
fn random_transactions_come_to_the_same() {
    let count = std::env::var("TRILITH_DIFFERENTIAL")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(5_000);
    let mut sides = Sides::new();
    let (mut tried, mut number) = (0, 0);
    batches(&mut sides, count, |sides, batch, ends| {
        tried += batch.len();
        number += 1;
        if let Err(difference) = sides.compare(&batch) {
            panic!("batch {number}, after {tried} transactions: {difference}");
        }
        if number % 25 == 0 {
            sides.compare_all().unwrap_or_else(|text| panic!("{text}"));
        }
        if ends {
            sides.next_slot();
        }
    });
    sides.compare_all().unwrap_or_else(|text| panic!("{text}"));
    println!("{tried} transactions; refused, failed, succeeded:");
    for (kind, counts) in &sides.tally {
        println!(
            "  {kind:<24} {:>7} {:>7} {:>7}",
            counts[0], counts[1], counts[2]
        );
    }
    let intended = &sides.intended[2..];
    println!("intended differences 2 to 6 were met {intended:?} times");
    assert!(intended.iter().all(|count| *count > 0), "{intended:?}");
    let mut wrong = Vec::new();
    for (kind, may) in KINDS {
        let counts = sides.tally.get(kind).copied().unwrap_or_default();
        let met = counts.map(|count| count > 0);
        if met != may {
            wrong.push(format!("{kind}: {counts:?}"));
        }
    }
    assert_eq!(sides.tally.len(), KINDS.len(), "{:?}", sides.tally.keys());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The comparison with one side changed: it must find it.
fn finds(change: impl Fn(&mut LiteSVM), expected: &str) {
    let mut sides = Sides::new();
    change(&mut sides.theirs);
    let mut found = None;
    batches(&mut sides, 400, |sides, batch, ends| {
        if found.is_some() {
            return;
        }
        found = sides
            .compare(&batch)
            .and_then(|()| sides.compare_all())
            .err();
        if ends {
            sides.next_slot();
        }
    });
    let found = found.unwrap_or_else(|| panic!("nothing was found: {expected}"));
    assert!(found.contains(expected), "{expected} is not in: {found}");
}

#[test]
fn a_side_that_was_changed_is_found() {
    let changed = |key: Pubkey, change: fn(&mut solana_account::Account)| {
        move |theirs: &mut LiteSVM| {
            let mut account = theirs.get_account(&key).expect("it exists");
            change(&mut account);
            theirs.set_account(key, account).expect("it is good");
        }
    };
    // A lamport too many, a token less, another program's account, another authority.
    finds(
        changed(key(101), |account| account.lamports += 1),
        "account ",
    );
    let minted = changed(key(500), |account| account.data[36] ^= 1);
    finds(minted, "account ");
    let rent = |theirs: &mut LiteSVM| {
        let mut fees = solana_fee_structure::FeeStructure::default();
        fees.lamports_per_signature += 1;
        theirs.set_fee_structure(fees);
    };
    finds(rent, "fee");
    // A gate that makes units and logs other ones.
    let budget = |theirs: &mut LiteSVM| {
        *theirs = std::mem::take(theirs).with_log_bytes_limit(Some(100));
    };
    finds(budget, "Log truncated");
}
