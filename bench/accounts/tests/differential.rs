//! The bank of the account engine against that of LiteSVM: the same random transactions, valid and
//! broken, must come to the same: result, logs, units, and the accounts they leave.
//!
//! Both run the same virtual machine, so this checks the bank around it. Intended difference: LiteSVM
//! hands fees to nobody, so the account that gets them is not compared.
//!
//! `TRILITH_DIFFERENTIAL` sets how many transactions are tried, 2,000 where it is not set.

#[path = "../../../crates/engine-account/tests/bank/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../../../crates/engine-account/tests/bank/random.rs"]
mod random;
#[path = "../../../crates/engine-account/tests/bank/today.rs"]
mod today;
#[path = "../../../crates/engine-account/tests/bank/wire.rs"]
#[allow(dead_code)]
mod wire;

use agave_feature_set::FeatureSet;
use harness::Network;
use litesvm::LiteSVM;
use random::{Source, WALLETS, prepared};
use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_upgradeable, feature, native_loader, system_program, sysvar,
};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use trilith_engine_account::query::{Answer, Question};
use trilith_protocol::ReceiptStatus;
use wire::{Random, TOKEN, associated, key, keypair, signature};

const BATCH: usize = 40;

#[test]
fn random_transactions_come_to_the_same() {
    let count = std::env::var("TRILITH_DIFFERENTIAL")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(2_000);
    let mut random = Source(Random(42));
    let mut network = prepared();
    let mut lite = copied(&network);
    let mut tried = 0;
    let mut tally = [0; 3];
    while tried < count {
        let blockhash = network.blockhash();
        let batch: Vec<Vec<u8>> = (0..BATCH).map(|_| random.transaction(blockhash)).collect();
        let receipts = network.round(&batch);
        for (bytes, receipt) in batch.iter().zip(receipts) {
            let decoded: VersionedTransaction = wincode::deserialize(bytes).expect("ours");
            let theirs = lite.send_transaction(decoded);
            let (status, meta) = match theirs {
                Ok(meta) => (Ok(()), meta),
                Err(failed) => (Err(failed.err), failed.meta),
            };
            match receipt.status {
                ReceiptStatus::Rejected { .. } => {
                    let error: TransactionError =
                        bincode::deserialize(&receipt.output).expect("an error");
                    assert_eq!(Err(error), status, "{bytes:?}");
                    tally[0] += 1;
                }
                ReceiptStatus::Accepted => {
                    let record = network.record(signature(bytes)).expect("recorded");
                    assert_eq!(
                        record.status, status,
                        "{:#?}\n{:#?}",
                        record.logs, meta.logs
                    );
                    assert_eq!(record.logs, meta.logs);
                    assert_eq!(
                        record.units, meta.compute_units_consumed,
                        "{:#?}",
                        record.logs
                    );
                    assert_eq!(record.fee, meta.fee);
                    tally[1 + usize::from(status.is_ok())] += 1;
                }
            }
            tried += 1;
        }
        compare_accounts(&network, &lite);
    }
    println!(
        "refused {}, failed {}, succeeded {}",
        tally[0], tally[1], tally[2]
    );
    assert!(tally.iter().all(|count| *count > tried / 40), "{tally:?}");
}

/// Every account a transaction may touch is the same on both.
fn compare_accounts(network: &Network, lite: &LiteSVM) {
    let mints = [key(&keypair(500)), key(&keypair(501))];
    let wallets = (100..100 + WALLETS).map(|seed| key(&keypair(seed)));
    let created = (700..732).map(|seed| key(&keypair(seed)));
    let tokens = (100..100 + WALLETS)
        .flat_map(|seed| mints.map(|mint| associated(&key(&keypair(seed)), &mint)));
    for key in mints
        .into_iter()
        .chain(wallets)
        .chain(created)
        .chain(tokens)
    {
        let ours = network.account(&key).map(|account| Account {
            lamports: account.lamports,
            data: account.data,
            owner: account.owner,
            executable: account.executable,
            rent_epoch: account.rent_epoch,
        });
        let theirs = lite
            .get_account(&key)
            .filter(|account| account.lamports > 0);
        assert_eq!(ours, theirs, "account {key}");
    }
}

/// LiteSVM with the gates and all the accounts of the network.
fn copied(network: &Network) -> LiteSVM {
    let owned = |program: Pubkey| {
        let question = Question::ProgramAccounts {
            program,
            filters: Vec::new(),
            slice: None,
        };
        match network.ask(&question) {
            Answer::Keyed(found) => found,
            other => panic!("not accounts: {other:?}"),
        }
    };
    let mut gates = FeatureSet::default();
    for (id, _) in owned(feature::ID) {
        gates.activate(&id, 0);
    }
    let mut lite = LiteSVM::default()
        .with_feature_set(gates)
        .with_builtins()
        .with_sysvars()
        .with_sigverify(true)
        .with_blockhash_check(false);
    let mut accounts: Vec<_> = [
        sysvar::ID,
        native_loader::ID,
        bpf_loader_upgradeable::ID,
        bpf_loader::ID,
        system_program::ID,
        TOKEN,
    ]
    .into_iter()
    .flat_map(owned)
    .collect();
    accounts.sort_by_key(|(_, account)| account.executable);
    for (key, account) in accounts {
        let account = Account {
            lamports: account.lamports,
            data: account.data,
            owner: account.owner,
            executable: account.executable,
            rent_epoch: account.rent_epoch,
        };
        lite.set_account(key, account).expect("the account is good");
    }
    lite
}
