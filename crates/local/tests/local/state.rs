//! Accounts written directly, snapshots, forks.

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::sysvar;
use trilith_engine_account::query::{Answer, Question};
use trilith_local::{Local, LocalError, Options};

use super::wire::{MEMO, SOL, key, keypair, memo, transaction, transfer};

fn owned(lamports: u64, data: Vec<u8>) -> Account {
    Account {
        lamports,
        data,
        owner: MEMO,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

#[test]
fn accounts_are_written_and_found() {
    let id = Pubkey::new_from_array([9; 32]);
    let mut svm = Local::with(Options {
        accounts: vec![(id, owned(SOL, vec![1, 2, 3]))],
        ..Options::default()
    })
    .expect("an instance");
    assert_eq!(svm.account(&id), Some(owned(SOL, vec![1, 2, 3])));
    let found = |svm: &Local| {
        let question = Question::ProgramAccounts {
            program: MEMO,
            filters: Vec::new(),
            slice: None,
        };
        match svm.ask(&question) {
            Ok(Answer::Keyed(found)) => found.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            other => panic!("not accounts: {other:?}"),
        }
    };
    assert_eq!(found(&svm), [id]);
    // Large data is kept in pages; the index follows what is written.
    let large = Pubkey::new_from_array([10; 32]);
    svm.set_account(large, owned(SOL, vec![7; 200_000]))
        .expect("it is written");
    assert_eq!(svm.account(&large), Some(owned(SOL, vec![7; 200_000])));
    assert_eq!(found(&svm), [id, large]);
    svm.set_account(large, Account::default()).expect("gone");
    assert_eq!(svm.account(&large), None);
    assert_eq!(found(&svm), [id]);
    let supply = svm.chain().expect("the chain").supply;
    svm.set_account(id, owned(2 * SOL, Vec::new()))
        .expect("it is written");
    assert_eq!(svm.chain().expect("the chain").supply, supply + SOL);
}

#[test]
fn what_cannot_be_written_is_refused_and_changes_nothing() {
    let id = Pubkey::new_from_array([9; 32]);
    let mut svm = Local::new();
    let root = svm.state_root();
    let large = svm.set_account(id, owned(SOL, vec![0; 10 * 1024 * 1024 + 1]));
    let large = large.expect_err("it is too large").to_string();
    assert!(large.contains("10485761 bytes of data, the limit is 10485760"));
    let rich = svm.set_account(id, owned(u64::MAX, Vec::new()));
    let rich = rich.expect_err("it is too much").to_string();
    assert!(rich.contains("the limit is 18446744073709551615"), "{rich}");
    let faucet = svm.airdrop(&id, u64::MAX).expect_err("it is too much");
    assert!(matches!(faucet, LocalError::Faucet { .. }), "{faucet}");
    assert_eq!(svm.state_root(), root);
    svm.airdrop(&id, SOL).expect("it goes on");
    assert_eq!(svm.balance(&id), SOL);
}

#[test]
fn sysvars_that_are_written_are_what_programs_get() {
    let mut svm = Local::new();
    let mut rent = svm.account(&sysvar::rent::ID).expect("it exists");
    rent.data[..8].copy_from_slice(&1u64.to_le_bytes());
    svm.set_account(sysvar::rent::ID, rent.clone())
        .expect("it is written");
    assert_eq!(svm.account(&sysvar::rent::ID), Some(rent));
}

#[test]
fn snapshots_nest_and_are_gone_back_to_again() {
    let (alice, bob) = (keypair(1), keypair(2));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let gift = |svm: &mut Local, lamports| {
        let gift = [transfer(&key(&alice), &key(&bob), lamports)];
        let gift = transaction(&gift, &[&alice], svm.latest_blockhash());
        svm.send(gift).expect("it succeeds").signature()
    };
    let outer = svm.snapshot();
    let first = gift(&mut svm, SOL);
    svm.next_slot().expect("a slot");
    let inner = svm.snapshot();
    let second = gift(&mut svm, SOL);
    let root = svm.state_root();
    svm.revert(&inner);
    assert_eq!(svm.state_root(), inner.state_root());
    assert_eq!(svm.balance(&key(&bob)), SOL);
    assert!(svm.transaction(&first).is_some());
    assert_eq!(svm.transaction(&second), None);
    // The same again has the same signature, blockhash and root.
    assert_eq!(gift(&mut svm, SOL), second);
    assert_eq!(svm.state_root(), root);
    for _ in 0..3 {
        svm.revert(&outer);
        assert_eq!((svm.slot(), svm.balance(&key(&bob))), (1, 0));
        assert_eq!(svm.transaction(&first), None);
        gift(&mut svm, 2 * SOL);
    }
    svm.revert(&inner);
    assert_eq!((svm.slot(), svm.balance(&key(&bob))), (2, SOL));
}

#[test]
fn forks_go_their_own_way() {
    let alice = keypair(1);
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let mut forks: Vec<Local> = (0..4).map(|_| svm.fork()).collect();
    for (index, fork) in forks.iter_mut().enumerate() {
        let call = [memo(MEMO, &format!("fork {index}"))];
        let call = transaction(&call, &[&alice], fork.latest_blockhash());
        fork.send(call).expect("it succeeds");
    }
    let mut roots: Vec<_> = forks.iter().map(Local::state_root).collect();
    roots.push(svm.state_root());
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 5);
    assert_eq!(svm.balance(&key(&alice)), 5 * SOL);
    // They are on threads of their own as well.
    let threads: Vec<_> = forks
        .into_iter()
        .map(|mut fork| {
            let alice = alice.clone();
            std::thread::spawn(move || {
                let call = [memo(MEMO, "on a thread")];
                let call = transaction(&call, &[&alice], fork.latest_blockhash());
                fork.send(call).is_ok()
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().expect("it does not panic"));
    }
}
