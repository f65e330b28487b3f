//! Slots, epochs, blockhashes, the clock, gates.

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;
use solana_transaction_error::TransactionError;
use trilith_local::{Local, LocalError, Options};

use super::wire::{MEMO, SOL, key, keypair, memo, transaction};

/// A gate that is not in force on the mainnet.
pub(crate) const GATE: Pubkey =
    Pubkey::from_str_const("6TkHkRmP7JZy1fdM6fg5uXn76wChQBWGokHBJzrLB3mj");

fn short_epochs() -> Local {
    Local::with(Options {
        epoch_slots: 64,
        ..Options::default()
    })
    .expect("an instance")
}

#[test]
fn slots_and_epochs_pass_and_do_not_come_back() {
    let mut svm = short_epochs();
    let start = svm.clock();
    assert_eq!((svm.slot(), svm.epoch()), (1, 0));
    assert_eq!(start.unix_timestamp, 1_767_225_600);
    svm.warp_to_slot(63).expect("a slot");
    assert_eq!((svm.slot(), svm.epoch(), svm.clock().slot), (63, 0, 63));
    svm.next_slot().expect("a slot");
    let clock = svm.clock();
    assert_eq!((clock.slot, clock.epoch), (64, 1));
    assert_eq!(clock.unix_timestamp, start.unix_timestamp + 63 * 4 / 10);
    assert_eq!(clock.epoch_start_timestamp, clock.unix_timestamp);
    svm.warp_to_epoch(10).expect("an epoch");
    assert_eq!((svm.slot(), svm.epoch(), svm.clock().epoch), (640, 10, 10));
    svm.warp_to_time(clock.unix_timestamp + 4_000)
        .expect("a time");
    let now = svm.clock();
    assert!((0..1).contains(&(now.unix_timestamp - clock.unix_timestamp - 4_000)));
    // Where it is, it stays; back, it does not go.
    let root = svm.state_root();
    svm.warp_to_slot(svm.slot()).expect("it is there");
    svm.warp_to_epoch(svm.epoch()).expect("it is there");
    for (refused, what) in [
        (svm.warp_to_slot(639), "slot 639 is before slot"),
        (svm.warp_to_epoch(3), "epoch 3 is before epoch"),
        (svm.warp_to_time(5), "second 5 is before second"),
    ] {
        let text = refused.expect_err("it is refused").to_string();
        assert!(text.contains(what) && text.contains("snapshot"), "{text}");
    }
    for refused in [
        svm.warp_to_slot(u64::MAX),
        svm.warp_to_epoch(u64::MAX),
        svm.warp_to_epoch(u64::MAX / 65),
        svm.advance_slots(u64::MAX),
    ] {
        let refused = refused.expect_err("it is refused");
        assert!(matches!(refused, LocalError::TooFar { .. }), "{refused}");
    }
    assert_eq!(svm.state_root(), root);
    svm.warp_to_slot(40_000_000_000).expect("five centuries");
    svm.next_slot().expect("it goes on");
}

#[test]
fn blockhashes_age() {
    let alice = keypair(1);
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    let call = |svm: &Local, text: &str| {
        transaction(&[memo(MEMO, text)], &[&alice], svm.latest_blockhash())
    };
    let (first, second) = (call(&svm, "first"), call(&svm, "second"));
    assert_eq!(
        first.message.recent_blockhash(),
        second.message.recent_blockhash()
    );
    svm.advance_slots(150).expect("slots");
    svm.send(first).expect("it is young enough");
    svm.next_slot().expect("a slot");
    let old = svm.send(second).expect_err("it is too old");
    assert_eq!(old.error(), Some(&TransactionError::BlockhashNotFound));
    let before = svm.latest_blockhash();
    svm.next_slot().expect("a slot");
    assert_ne!(svm.latest_blockhash(), before);
}

#[test]
fn the_clock_is_set_and_goes_on() {
    let mut svm = short_epochs();
    svm.set_unix_timestamp(1_000).expect("a clock");
    assert_eq!(svm.clock().unix_timestamp, 1_000);
    assert_eq!(svm.slot(), 1);
    svm.advance_slots(5).expect("slots");
    assert_eq!((svm.clock().unix_timestamp, svm.clock().slot), (1_002, 6));
    let snapshot = svm.snapshot();
    let mut clock = svm.clock();
    clock.unix_timestamp = -5;
    clock.epoch = 99;
    svm.set_clock(&clock).expect("a clock");
    assert_eq!(svm.clock(), clock);
    svm.advance_slots(5).expect("slots");
    assert_eq!((svm.clock().unix_timestamp, svm.clock().epoch), (-3, 0));
    svm.revert(&snapshot);
    svm.advance_slots(5).expect("slots");
    assert_eq!(svm.clock().unix_timestamp, 1_004);
}

#[test]
fn gates_come_into_force_with_the_next_epoch() {
    let mut svm = short_epochs();
    let activated = |svm: &Local| {
        let account = svm.account(&GATE)?;
        assert_eq!(account.owner, feature::ID);
        let slot = account.data[1..9].try_into().expect("8 bytes");
        (account.data[0] == 1).then(|| u64::from_le_bytes(slot))
    };
    assert_eq!(svm.account(&GATE), None);
    svm.activate_gate(GATE).expect("it is known");
    assert_eq!(activated(&svm), None);
    assert_eq!(svm.account(&GATE).expect("it is pending").data, [0; 9]);
    svm.warp_to_slot(63).expect("a slot");
    assert_eq!(activated(&svm), None);
    // With the first slot of the next epoch, however far the way.
    svm.warp_to_slot(200).expect("a slot");
    assert_eq!((activated(&svm), svm.slot()), (Some(64), 200));
    svm.activate_gate(GATE).expect("it is in force already");
    assert_eq!(activated(&svm), Some(64));
    svm.set_gate(GATE, false).expect("it is known");
    assert_eq!(svm.account(&GATE), None);
    svm.set_gate(GATE, true).expect("it is known");
    assert_eq!(activated(&svm), Some(200));
    let unknown = svm.activate_gate(MEMO).expect_err("it is no gate");
    assert!(unknown.to_string().contains("no feature gate"), "{unknown}");
    let with = Local::with(Options {
        gates: vec![(GATE, true)],
        ..Options::default()
    });
    assert_eq!(activated(&with.expect("an instance")), Some(1));
    let late = Local::with(Options {
        start: u64::MAX,
        ..Options::default()
    });
    assert!(late.is_err());
    assert_ne!(svm.account(&GATE), Some(Account::default()));
}
