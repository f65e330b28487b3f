//! Every row of the classic access policy, broken and kept by a program that runs.

use solana_instruction::error::InstructionError as Error;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use trilith_engine_account::Profile;

use super::actor::{
    ACTOR, EXECUTABLE, FOREIGN, FULL, LAMPORTS, OTHER, OWNED, Script, failed, stage,
};
use super::wire::{key, keypair};

/// A breach: what it is, what the actor does with which accounts, the error of the classic
/// profiles, and whether today's rules forbid it too.
struct Breach {
    what: &'static str,
    script: Script,
    accounts: Vec<(Pubkey, bool)>,
    error: Error,
    today: bool,
}

fn breach(
    what: &'static str,
    script: Script,
    accounts: &[(Pubkey, bool)],
    (error, today): (Error, bool),
) -> Breach {
    Breach {
        what,
        script,
        accounts: accounts.to_vec(),
        error,
        today,
    }
}

fn breaches() -> Vec<Breach> {
    [of_owners(), of_lamports(), of_data()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_owners() -> Vec<Breach> {
    let give = || Script::default().owner(0, &OTHER);
    vec![
        breach(
            "a stranger changes the owner",
            Script::default().owner(0, &ACTOR),
            &[(FOREIGN, true)],
            (Error::ModifiedProgramId, true),
        ),
        breach(
            "the owner of a read-only account changes",
            give(),
            &[(OWNED, false)],
            (Error::ModifiedProgramId, true),
        ),
        breach(
            "the owner of an executable account changes",
            give(),
            &[(EXECUTABLE, true)],
            (Error::ModifiedProgramId, false),
        ),
        breach(
            "an account with data changes hands",
            give(),
            &[(FULL, true)],
            (Error::ModifiedProgramId, true),
        ),
    ]
}

fn of_lamports() -> Vec<Breach> {
    let give_and_take = || Script::default().lamports(0, 5).lamports(1, -5);
    vec![
        breach(
            "a stranger debits",
            give_and_take(),
            &[(OWNED, true), (FOREIGN, true)],
            (Error::ExternalAccountLamportSpend, true),
        ),
        breach(
            "a read-only account is credited",
            give_and_take(),
            &[(FOREIGN, false), (OWNED, true)],
            (Error::ReadonlyLamportChange, true),
        ),
        breach(
            "a read-only account is debited",
            give_and_take(),
            &[(FULL, true), (OWNED, false)],
            (Error::ReadonlyLamportChange, true),
        ),
        breach(
            "an executable account is credited",
            give_and_take(),
            &[(EXECUTABLE, true), (OWNED, true)],
            (Error::ExecutableLamportChange, false),
        ),
        breach(
            "an executable account is debited",
            give_and_take(),
            &[(OWNED, true), (EXECUTABLE, true)],
            (Error::ExecutableLamportChange, false),
        ),
        breach(
            "lamports are made of nothing",
            Script::default().lamports(0, 1),
            &[(OWNED, true)],
            (Error::UnbalancedInstruction, true),
        ),
    ]
}

fn of_data() -> Vec<Breach> {
    let script = Script::default;
    vec![
        breach(
            "the owner makes data longer",
            script().len(0, 9),
            &[(OWNED, true)],
            (Error::AccountDataSizeChanged, false),
        ),
        breach(
            "the owner makes data shorter",
            script().len(0, 7),
            &[(OWNED, true)],
            (Error::AccountDataSizeChanged, false),
        ),
        breach(
            "a stranger writes data",
            script().write(0, 3, 1),
            &[(FOREIGN, true)],
            (Error::ExternalAccountDataModified, true),
        ),
        breach(
            "data of a read-only account is written",
            script().write(0, 3, 1),
            &[(OWNED, false)],
            (Error::ReadonlyDataModified, true),
        ),
        breach(
            "data of an executable account is written",
            script().write(0, 3, 1),
            &[(EXECUTABLE, true)],
            (Error::ExecutableDataModified, false),
        ),
    ]
}

#[test]
fn every_breach_is_refused_and_rolls_the_transaction_back() {
    for profile in [Profile::Classic, Profile::TransactionWide, Profile::Today] {
        let mut network = stage(profile, Vec::new());
        let alice = keypair(10);
        for row in breaches() {
            let keys = [OWNED, FULL, FOREIGN, EXECUTABLE];
            let before = keys.map(|key| network.account(&key));
            let paid = network.balance(&key(&alice));
            // The first instruction is good and must not stay either.
            let good = Script::default().write(0, 0, 9).on(&[(FULL, true)]);
            let bad = row.script.on(&row.accounts);
            let is_breach = profile != Profile::Today || row.today;
            if is_breach {
                let record = network.send(&[good, bad], &[&alice]);
                let expected = failed(1, row.error);
                assert_eq!(record.status, expected, "{profile:?}: {}", row.what);
                assert!(record.units > 0, "{}", row.what);
                let after = keys.map(|key| network.account(&key));
                assert_eq!(before, after, "{profile:?}: {}", row.what);
                assert_eq!(network.balance(&key(&alice)), paid - 5_000);
            } else {
                let record = network.send(&[bad], &[&alice]);
                assert_eq!(record.status, Ok(()), "{}: {:?}", row.what, record.logs);
                network = stage(profile, Vec::new());
            }
        }
    }
}

#[test]
fn flags_that_programs_cannot_change_stay() {
    for profile in [Profile::Classic, Profile::Today] {
        let mut network = stage(profile, Vec::new());
        let before = network.account(&OWNED);
        let script = Script::default().executable(0, 1).rent_epoch(0, 7);
        network.succeed(&[script.on(&[(OWNED, true)])], &[&keypair(10)]);
        assert_eq!(network.account(&OWNED), before, "{profile:?}");
    }
}

#[test]
fn what_the_policy_permits_is_done() {
    let mut network = stage(Profile::Classic, Vec::new());
    let alice = keypair(10);
    let script = Script::default()
        .write(0, 0, 5)
        .lamports(0, -7)
        .lamports(1, 7);
    network.succeed(&[script.on(&[(OWNED, true), (FOREIGN, true)])], &[&alice]);
    assert_eq!(network.balance(&FOREIGN), LAMPORTS + 7);
    let zeroed = Script::default()
        .write(0, 0, 0)
        .owner(0, &OTHER)
        .on(&[(OWNED, true)]);
    network.succeed(&[zeroed], &[&alice]);
    assert_eq!(network.account(&OWNED).expect("it exists").owner, OTHER);
    // The system program changes the size of its own account, and of no other.
    let dave = keypair(14);
    network.airdrop(&key(&dave), LAMPORTS);
    let allocate = |account: &Pubkey| {
        let data = [&8u32.to_le_bytes()[..], &16u64.to_le_bytes()].concat();
        let accounts = vec![AccountMeta::new(*account, true)];
        Instruction::new_with_bytes(system_program::ID, &data, accounts)
    };
    network.succeed(&[allocate(&key(&dave))], &[&alice, &dave]);
    assert_eq!(network.account(&key(&dave)).expect("it exists").space, 16);
    network.pass(1);
    let record = network.send(&[allocate(&key(&dave))], &[&alice, &dave]);
    assert_eq!(record.status, failed(0, Error::Custom(0)));
}

#[test]
fn callers_and_callees_are_judged_apart() {
    let mut network = stage(Profile::Classic, Vec::new());
    let alice = keypair(10);
    let accounts = [(OWNED, true), (FOREIGN, true), (OTHER, false)];
    let other = |script: Script| {
        Script::default().invoke(2, &[(0, false, true), (1, false, true)], &script.0)
    };
    // Each writes its own, before, in and after the call.
    let good = Script::default()
        .write(0, 0, 1)
        .invoke(
            2,
            &[(0, false, true), (1, false, true)],
            &Script::default().write(1, 0, 2).0,
        )
        .write(0, 1, 3);
    network.succeed(&[good.on(&accounts)], &[&alice]);
    assert_eq!(
        network.account(&OWNED).expect("it exists").data[..2],
        [1, 3]
    );
    assert_eq!(
        network.account(&FOREIGN).expect("it exists").data[..2],
        [2, 0]
    );
    let before = [OWNED, FOREIGN].map(|key| network.account(&key));
    // The callee writes what is its caller's, the caller what is its callee's.
    let by_callee = other(Script::default().write(0, 2, 1));
    let by_caller = other(Script::default()).write(1, 2, 1);
    for script in [by_callee, by_caller] {
        let record = network.send(&[script.on(&accounts)], &[&alice]);
        assert_eq!(record.status, failed(0, Error::ExternalAccountDataModified));
    }
    // What the caller did is judged when it calls, although it would take it back afterwards.
    let size = Script::default()
        .len(0, 9)
        .invoke(2, &[(0, false, true)], &[])
        .len(0, 8);
    let record = network.send(&[size.on(&accounts)], &[&alice]);
    assert_eq!(record.status, failed(0, Error::AccountDataSizeChanged));
    let callee = format!("Program {OTHER} invoke [2]");
    assert!(record.logs.contains(&callee), "{:?}", record.logs);
    assert_eq!([OWNED, FOREIGN].map(|key| network.account(&key)), before);
}
