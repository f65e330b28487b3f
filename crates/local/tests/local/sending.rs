//! Transactions, what they come to, and checks of that.

use solana_hash::Hash;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use trilith_local::{Failed, Local, Options};

use super::wire::{
    MEMO, SOL, TOKEN, associated, create, create_associated, initialize_mint, key, keypair, memo,
    memo_program, mint_to, transaction, transfer, unit_limit,
};

#[test]
fn three_lines_lead_to_a_result() {
    let alice = keypair(1);
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), SOL).expect("lamports");
    let call = [memo(MEMO, "hello")];
    let sent = svm.send(transaction(&call, &[&alice], svm.latest_blockhash()));
    let sent = sent.expect("it succeeds");
    assert_eq!(sent.fee(), 5_000);
    assert!(sent.units() > 0);
    assert!(sent.logs().iter().any(|line| line.ends_with("hello")));
    assert_eq!(sent.returned(), None);
    assert!(sent.inner().is_empty());
    let after = sent.accounts();
    assert_eq!(after.len(), 2);
    let payer = after[0].1.clone().expect("it exists");
    assert_eq!(payer.lamports, SOL - 5_000);
    assert_eq!(payer.lamports, svm.balance(&key(&alice)));
    let record = svm.transaction(&sent.signature());
    assert_eq!(record.as_ref(), Some(sent.record()));
}

#[test]
fn what_fails_says_why() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    let gift = |svm: &Local, lamports| {
        let gift = [transfer(&key(&alice), &key(&bob), lamports)];
        transaction(&gift, &[&alice], svm.latest_blockhash())
    };
    let poor = svm.send(gift(&svm, 1));
    let poor = poor.expect_err("she has nothing");
    assert_eq!(poor.error(), Some(&TransactionError::AccountNotFound));
    assert!(matches!(poor, Failed::Refused(_)), "{poor}");
    svm.airdrop(&key(&alice), 2 * SOL).expect("lamports");
    let failed = svm.send(gift(&svm, 3 * SOL));
    let failed = failed.expect_err("it is too much");
    let error = TransactionError::InstructionError(0, InstructionError::Custom(1));
    assert_eq!(failed.error(), Some(&error));
    assert_eq!(failed.sent().map(trilith_local::Sent::fee), Some(5_000));
    let text = failed.to_string();
    assert!(text.contains("insufficient lamports"), "{text}");
    let twice = gift(&svm, SOL);
    svm.send(twice.clone()).expect("once");
    let again = svm.send(twice.clone()).expect_err("not twice");
    assert_eq!(again.error(), Some(&TransactionError::AlreadyProcessed));
    let mut forged = gift(&svm, SOL / 2);
    forged.signatures = twice.signatures;
    let forged = svm.send(forged).expect_err("she did not sign it");
    assert_eq!(forged.error(), Some(&TransactionError::SignatureFailure));
}

#[test]
fn checks_pass_and_show_what_differs() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let made = |svm: &Local| {
        let made = [create(&key(&alice), &key(&bob), SOL, 3, &MEMO)];
        transaction(&made, &[&alice, &bob], svm.latest_blockhash())
    };
    let snapshot = svm.snapshot();
    let call = made(&svm);
    svm.expect(call)
        .units(150)
        .units_at_most(150)
        .log("success")
        .account(&key(&bob))
        .lamports(SOL)
        .owner(&MEMO)
        .data(&[0; 3])
        .data_at(1, &[0, 0])
        .data_len(3)
        .executable(false)
        .account(&Pubkey::new_from_array([99; 32]))
        .closed()
        .verify()
        .expect("it is as expected");
    svm.revert(&snapshot);
    let call = made(&svm);
    let differences = svm
        .expect(call)
        .units_at_most(100)
        .log("goodbye")
        .returned(&[1])
        .data(&[])
        .account(&key(&bob))
        .lamports(7)
        .owner(&TOKEN)
        .data(&[0, 1])
        .data_at(2, &[5])
        .executable(true)
        .closed()
        .account(&key(&keypair(9)))
        .lamports(1)
        .error(TransactionError::AlreadyProcessed)
        .verify()
        .expect_err("much differs");
    let text = differences.to_string();
    for part in [
        "used 150 compute units, at most 100 expected",
        "no log line contains \"goodbye\"",
        "return data: 0 bytes, 1 expected; from byte 0 on: (end) found, 01 expected",
        "`data` is about an account: call `account` before it",
        "1000000000 lamports, 7 expected",
        "3 bytes, 2 expected; from byte 1 on: 00 00 found, 01 expected",
        "from byte 2 on: from byte 0 on: 00 found, 05 expected",
        "executable is false, true expected",
        "1000000000 lamports, no account expected",
        "there is no such account",
        "expected the error AlreadyProcessed, it succeeded",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert_eq!(differences.lines().len(), 12, "{text}");
    assert_eq!(format!("{differences:?}"), text);
}

#[test]
fn an_unexpected_failure_is_a_difference_and_an_expected_one_is_none() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    let call = |svm: &Local| {
        let gift = [transfer(&key(&alice), &key(&bob), 1)];
        transaction(&gift, &[&alice], svm.latest_blockhash())
    };
    let unexpected = call(&svm);
    let differences = svm.expect(unexpected).verify().expect_err("it is refused");
    assert!(differences.to_string().contains("success expected"));
    let expected = call(&svm);
    svm.expect(expected)
        .error(TransactionError::AccountNotFound)
        .account(&key(&bob))
        .closed()
        .verify()
        .expect("it is as expected");
}

#[test]
fn signatures_and_blockhashes_are_not_looked_at_if_asked() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::with(Options {
        signature_checks: false,
        blockhash_checks: false,
        ..Options::default()
    })
    .expect("an instance");
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let unsigned = |lamports, blockhash| {
        let gift = [transfer(&key(&alice), &key(&bob), lamports)];
        let mut unsigned = transaction(&gift, &[&alice], blockhash);
        unsigned.signatures = vec![Signature::default()];
        unsigned
    };
    let old = Hash::new_from_array([5; 32]);
    let newest = svm.latest_blockhash();
    svm.send(unsigned(SOL, old)).expect("it is taken");
    svm.send(unsigned(SOL / 2, old)).expect("it is taken");
    assert_eq!(svm.latest_blockhash(), newest);
    assert_eq!(svm.balance(&key(&bob)), SOL + SOL / 2);
    let again = svm.send(unsigned(SOL, old)).expect_err("not twice");
    assert_eq!(again.error(), Some(&TransactionError::AlreadyProcessed));
    // A fork and a snapshot have the same options.
    let mut fork = svm.fork();
    fork.send(unsigned(SOL / 4, old)).expect("it is taken");
    let snapshot = svm.snapshot();
    svm.revert(&snapshot);
    svm.send(unsigned(SOL / 4, old)).expect("it is taken");
    assert_eq!(svm.state_root(), fork.state_root());
    let mut strict = Local::new();
    strict.airdrop(&key(&alice), SOL).expect("lamports");
    let refused = strict.send(unsigned(SOL, old)).expect_err("it is strict");
    assert_eq!(refused.error(), Some(&TransactionError::SignatureFailure));
}

#[test]
fn tokens_move_and_tell_what_was_called() {
    let (alice, mint) = (keypair(1), keypair(3));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let holder = associated(&key(&alice), &key(&mint));
    let call = [
        create(&key(&alice), &key(&mint), SOL / 100, 82, &TOKEN),
        initialize_mint(&key(&mint), &key(&alice)),
        create_associated(&key(&alice), &key(&alice), &key(&mint)),
        mint_to(&key(&mint), &holder, &key(&alice), 1_000),
    ];
    let call = transaction(&call, &[&alice, &mint], svm.latest_blockhash());
    let expectation = svm
        .expect(call)
        .account(&holder)
        .owner(&TOKEN)
        .data_at(64, &1_000u64.to_le_bytes());
    let sent = expectation.result().as_ref().expect("it succeeds");
    assert_eq!(sent.inner().len(), 1);
    assert_eq!(sent.inner()[0].index, 2);
    assert_eq!(sent.record().tokens_after[0].amount, 1_000);
    expectation.verify().expect("it is as expected");
}

#[test]
fn programs_are_loaded_replaced_and_refused() {
    let alice = keypair(1);
    let id = Pubkey::new_from_array([9; 32]);
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let mut elf = memo_program();
    svm.add_program(id, &elf).expect("a program");
    let call = [memo(id, "from bytes")];
    let call = transaction(&call, &[&alice], svm.latest_blockhash());
    svm.expect(call)
        .log("from bytes")
        .verify()
        .expect("it runs");
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("memo.so");
    std::fs::write(&path, &elf).expect("a file");
    let other = Pubkey::new_from_array([10; 32]);
    svm.add_program_file(other, &path).expect("a program");
    let call = [memo(other, "from a file")];
    let call = transaction(&call, &[&alice], svm.latest_blockhash());
    svm.expect(call)
        .log("from a file")
        .verify()
        .expect("it runs");
    let missing = svm.add_program_file(other, folder.path().join("none.so"));
    assert!(
        missing
            .expect_err("no file")
            .to_string()
            .contains("none.so")
    );
    let before = svm.state_root();
    elf.truncate(100);
    let refused = svm.add_program(id, &elf).expect_err("it is cut off");
    assert!(refused.to_string().contains("was not loaded"), "{refused}");
    assert_eq!(svm.state_root(), before);
    // Another program in its place is run from then on, compiled or not.
    let p_token = solana_program_binaries::by_id(&TOKEN, &solana_rent::Rent::default());
    let p_token = p_token.expect("it is there");
    let data = solana_account::ReadableAccount::data(&p_token[1].1);
    svm.add_upgradeable_program(id, &data[45..], Some(key(&alice)))
        .expect("a program");
    let call = [memo(id, "no instruction")];
    let call = transaction(&call, &[&alice], svm.latest_blockhash());
    let failed = svm.send(call).expect_err("it is another program");
    assert!(matches!(failed, Failed::Charged(_)), "{failed}");
}

#[test]
fn a_full_slot_is_followed_by_the_next() {
    let alice = keypair(1);
    let mut svm = Local::with(Options {
        signature_checks: false,
        ..Options::default()
    })
    .expect("an instance");
    svm.airdrop(&key(&alice), 100 * SOL).expect("lamports");
    let slot = svm.slot();
    // 100 million units are a slot; each asks for 1.4 million and uses little. Those that conflict
    // are counted one after the other, so the batch is of payers of their own.
    let payers: Vec<_> = (0..200u8).map(|seed| keypair(seed.max(1))).collect();
    for payer in &payers[1..] {
        svm.airdrop(&key(payer), SOL).expect("lamports");
    }
    let batch: Vec<_> = payers[1..]
        .iter()
        .map(|payer| {
            let to = Pubkey::new_from_array([255; 32]);
            let call = [unit_limit(1_400_000), transfer(&key(payer), &to, SOL / 10)];
            transaction(&call, &[payer], svm.latest_blockhash())
        })
        .collect();
    let results = svm.send_batch(batch);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(svm.slot() >= slot);
    assert_eq!(
        svm.balance(&Pubkey::new_from_array([255; 32])),
        199 * SOL / 10
    );
}

#[test]
fn a_simulation_changes_nothing() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let root = svm.state_root();
    let gift = [transfer(&key(&alice), &key(&bob), SOL)];
    let gift = transaction(&gift, &[&alice], Hash::default());
    let simulated = svm.simulate(gift).expect("it is simulated");
    assert_eq!(simulated.record.status, Ok(()));
    assert_eq!(simulated.record.fee, 5_000);
    assert_eq!((svm.state_root(), svm.balance(&key(&bob))), (root, 0));
}
