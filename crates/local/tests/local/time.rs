//! Slots, epochs, blockhashes, the clock, gates.

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;
use solana_transaction_error::TransactionError;
use trilith_local::{Local, LocalError, Options, Profile};

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

/// What two instructions of a transaction may use: the budget at the beginning of each, and what the
/// first used.
fn budgets(svm: &mut Local) -> (u64, u64, u64) {
    let alice = keypair(1);
    svm.airdrop(&key(&alice), SOL).expect("lamports");
    svm.next_slot().expect("a slot");
    let calls = [memo(MEMO, "first"), memo(MEMO, "second")];
    let sent = svm
        .send(transaction(&calls, &[&alice], svm.latest_blockhash()))
        .expect("it succeeds");
    let mut found = sent.logs().iter().filter_map(|line| {
        let (_, numbers) = line.split_once(" consumed ")?;
        let (used, of) = numbers.split_once(" of ")?;
        let of = of.strip_suffix(" compute units")?;
        Some((used.parse::<u64>().ok()?, of.parse::<u64>().ok()?))
    });
    let (first, second) = (found.next().expect("a line"), found.next().expect("a line"));
    (first.1, second.1, first.0)
}

#[test]
fn an_instance_begins_with_a_profile_and_gates_lead_on() {
    let begin = |profile| {
        Local::with(Options {
            profile,
            epoch_slots: 32,
            ..Options::default()
        })
        .expect("an instance")
    };
    let mut svm = begin(Profile::Classic);
    let (first, second, _) = budgets(&mut svm);
    assert_eq!((first, second), (200_000, 200_000));
    let [wide, today] = [
        "D6TobL2DSPJK4jbdECBxj56yvHt1RhhZeBZEPEMvCk62",
        "9jPaxwKoFWW2uMpM9J5mR48tZh5Y6hu2Y5TbzmLHVzkq",
    ]
    .map(Pubkey::from_str_const);
    svm.activate_gate(wide).expect("it is known");
    svm.warp_to_epoch(1).expect("an epoch");
    let (first, second, used) = budgets(&mut svm);
    assert_eq!((first, second), (200_000, 200_000 - used));
    svm.activate_gate(today).expect("it is known");
    svm.warp_to_epoch(2).expect("an epoch");
    let (first, second, used) = budgets(&mut svm);
    assert_eq!((first, second), (400_000, 400_000 - used));
    // Beginning there, and with the usual options, is the same.
    for mut svm in [begin(Profile::Today), Local::new()] {
        let (first, _, _) = budgets(&mut svm);
        assert_eq!(first, 400_000);
    }
    let (first, second, used) = budgets(&mut begin(Profile::TransactionWide));
    assert_eq!((first, second), (200_000, 200_000 - used));
}

#[test]
fn epochs_are_neither_too_short_nor_too_long() {
    for (epoch_slots, fits) in [
        (31, false),
        (32, true),
        (4_320_000, true),
        (4_320_001, false),
    ] {
        let made = Local::with(Options {
            epoch_slots,
            ..Options::default()
        });
        match made {
            Ok(svm) => {
                assert!(fits);
                assert_eq!(svm.chain().expect("a chain").epoch_slots, epoch_slots);
            }
            Err(error) => {
                assert!(!fits, "{error}");
                let told = format!("from 32 to 4320000 slots, {epoch_slots} were");
                assert!(error.to_string().contains(&told), "{error}");
            }
        }
    }
}
