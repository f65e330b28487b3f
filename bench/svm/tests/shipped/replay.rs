//! The batches of the shipped tests in our bank, as transactions of a round: statuses, logs, return
//! data and accounts must be those that the tests expect of the processor.
//!
//! Accounts that the tests place at the limit of their rent are placed at the limit of ours. Left out
//! are batches in modes that our bank does not have (all or nothing, nothing on failure),
//! batches under another rent, and transactions that a bank has refused before the processor sees
//! them.

use solana_message::VersionedMessage;
use solana_sdk_ids::sysvar;
use solana_transaction::versioned::VersionedTransaction;
use trilith_bench_svm::bank::{Bank, Told};
use trilith_bench_svm::rent::exempt;

use super::*;

/// All batches of the tests.
fn batches() -> Vec<(&'static str, Vec<SvmTestEntry>)> {
    vec![
        ("medley", program_medley(false)),
        ("transfer", simple_transfer(false)),
        ("nonce", simple_nonce(false)),
        ("nonce that pays", simple_nonce(true)),
        ("account reuse", simd83_intrabatch_account_reuse()),
        ("nonce reuse", simd83_nonce_reuse(false)),
        ("reuse of a nonce that pays", simd83_nonce_reuse(true)),
        ("account deallocated", simd83_account_deallocate()),
        ("payer deallocated", simd83_fee_payer_deallocate()),
        ("account reallocated", simd83_account_reallocate()),
    ]
}

/// Our bank with the programs and accounts of a batch, and the clock of the tests.
fn bank(entry: &SvmTestEntry) -> Bank {
    let written = MockBankCallback::default();
    for (name, slot, authority) in &entry.initial_programs {
        deploy_program_with_upgrade_authority(name.clone(), *slot, &written, *authority);
    }
    let mut bank = written.into_bank();
    let accounts = entry.initial_accounts.iter();
    bank.write(accounts.map(|(key, account)| {
        let mut account: solana_account::Account = account.clone().into();
        account.lamports -= surplus(&account);
        (*key, account)
    }));
    let mut clock = bank.account(&sysvar::clock::ID).expect("there is a clock");
    // The time is the last of five numbers.
    clock.data[32..].copy_from_slice(&WALLCLOCK_TIME.to_le_bytes());
    bank.write([(sysvar::clock::ID, clock)]);
    bank.accept(Hash::default());
    bank
}

/// What an account near the limit of the tests' rent has more than one as near the limit of ours.
fn surplus(account: &solana_account::Account) -> u64 {
    let len = account.data.len();
    let limit = Rent::default().minimum_balance(len);
    let beside = account.lamports.abs_diff(limit);
    // A few fees more or less, and a lamport more or less than that.
    let is_meant = (beside + 1) % LAMPORTS_PER_SIGNATURE <= 2;
    let is_near = is_meant && beside <= 4 * LAMPORTS_PER_SIGNATURE;
    if is_near { limit - exempt(len) } else { 0 }
}

fn status(told: &Told) -> ExecutionStatus {
    match told.as_ref().map(|record| &record.status) {
        Err(_) => ExecutionStatus::Discarded,
        Ok(Ok(())) => ExecutionStatus::Succeeded,
        Ok(Err(
            TransactionError::ProgramAccountNotFound
            | TransactionError::InvalidProgramForExecution
            | TransactionError::MaxLoadedAccountsDataSizeExceeded,
        )) => ExecutionStatus::ProcessedFailed,
        Ok(Err(_)) => ExecutionStatus::ExecutedFailed,
    }
}

/// A nonce that the tests expect to have been advanced, with the value it has in our bank, which has
/// another newest blockhash.
fn own_nonce(account: &mut solana_account::Account, bank: &Bank) {
    let [theirs, ours] = [LAST_BLOCKHASH, bank.blockhash()].map(|blockhash| {
        DurableNonce::from_blockhash(&blockhash)
            .as_hash()
            .to_bytes()
    });
    if let Some(value) = account.data.get_mut(40..72)
        && *value == theirs
    {
        value.copy_from_slice(&ours);
    }
}

/// Runs a batch and gives how many transactions it had.
fn replay(name: &str, entry: &SvmTestEntry) -> usize {
    let mut bank = bank(entry);
    let items: Vec<_> = entry
        .transaction_batch
        .iter()
        .filter(|item| item.check_result.is_ok())
        .collect();
    let encoded: Vec<Vec<u8>> = items
        .iter()
        .map(|item| {
            let transaction = VersionedTransaction {
                signatures: item.transaction.signatures.clone(),
                message: VersionedMessage::Legacy(item.transaction.message.clone()),
            };
            wincode::serialize(&transaction).expect("a transaction has an encoding")
        })
        .collect();
    let told = bank.run(&encoded);
    for (place, (item, told)) in items.iter().zip(&told).enumerate() {
        assert_eq!(
            item.asserts.status,
            status(told),
            "{name} {place}: {told:?}"
        );
        let Ok(record) = told else { continue };
        for line in &item.asserts.logs {
            assert!(
                record.logs.contains(line),
                "{name} {place}: {:?}",
                record.logs
            );
        }
        let returned = record.returned.as_ref();
        match &item.asserts.return_data {
            ReturnDataAssert::Skip => {}
            ReturnDataAssert::None => assert_eq!(returned, None, "{name} {place}"),
            ReturnDataAssert::Some(expected) => {
                let returned = returned.expect("it returned something");
                assert_eq!(returned.program, expected.program_id, "{name} {place}");
                assert_eq!(returned.data, expected.data, "{name} {place}");
            }
        }
    }
    for (key, expected) in &entry.final_accounts {
        let plain = |account: solana_account::Account| solana_account::Account {
            rent_epoch: 0,
            ..account
        };
        let mut expected = plain(expected.clone().into());
        own_nonce(&mut expected, &bank);
        if let Some(initial) = entry.initial_accounts.get(key) {
            let surplus = surplus(&initial.clone().into());
            expected.lamports = expected.lamports.saturating_sub(surplus);
        }
        let expected = (expected.lamports > 0).then_some(expected);
        assert_eq!(
            expected,
            bank.account(key).map(plain),
            "{name}: account {key}"
        );
    }
    items.len()
}

#[test]
fn batches_come_to_the_same_in_our_bank() {
    let (mut count, mut others) = (0, 0);
    for (name, entries) in batches() {
        for (number, entry) in entries.iter().enumerate() {
            assert!(!entry.drop_on_failure && !entry.all_or_nothing);
            if entry.rent != Rent::default() {
                others += 1;
                continue;
            }
            count += replay(&format!("{name} {number}"), entry);
        }
    }
    println!("{count} transactions; {others} batches under another rent");
    assert!(count > 60 && others < 2, "{count}, {others}");
}
