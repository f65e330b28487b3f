//! Budgets before today's: what operations cost, what bounds programs, and over what the meter
//! runs.

use solana_account::Account;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError as Error;
use solana_message::{Message, VersionedMessage, v1};
use solana_pubkey::Pubkey;
use solana_sdk_ids::compute_budget;
use solana_transaction_error::TransactionError;
use trilith_engine_account::Profile;
use trilith_engine_account::query::{Answer, Question};

use super::actor::{ACTOR, OTHER, Script, bare, failed, program, remaining, stage};
use super::harness::{Network, SOL};
use super::sbpf::{self, HEAP, Program};
use super::wire::{key, keypair, sign, transaction, transfer};

const PROBE: Pubkey = Pubkey::new_from_array([0xc1; 32]);

/// A network with one more program.
fn probe(profile: Profile, file: Vec<u8>) -> Network {
    let account: Account = program(file);
    stage(profile, vec![(PROBE, account)])
}

/// The units of a program that succeeds.
fn units(profile: Profile, file: Vec<u8>) -> u64 {
    let mut network = probe(profile, file);
    network.succeed(&[bare(PROBE)], &[&keypair(10)]).units
}

#[test]
fn operations_cost_what_the_chapter_says() {
    let classic = |program: Program| units(Profile::Classic, program.finish());
    let log = |bytes: usize| {
        let text = vec![b'x'; bytes];
        Program::default()
            .address_of(1, &text)
            .set(2, bytes as u64)
            .call("sol_log_")
    };
    assert_eq!(classic(Program::default()), 2);
    assert_eq!(classic(log(5)), 5 + 100);
    assert_eq!(classic(log(100)), 5 + 100);
    assert_eq!(classic(log(150)), 5 + 150);
    assert_eq!(classic(Program::default().call("sol_log_64_")), 3 + 100);
    let key = Program::default()
        .address_of(1, &[7; 32])
        .call("sol_log_pubkey");
    assert_eq!(classic(key), 4 + 100);
    let remaining = Program::default().call("sol_log_compute_units_");
    assert_eq!(classic(remaining), 3 + 100);
    let address = Program::default()
        .set(2, 0)
        .address_of(3, &[7; 32])
        .set(4, HEAP)
        .call("sol_create_program_address");
    assert_eq!(classic(address), 6 + 1_500);
}

#[test]
fn a_call_costs_a_thousand_units() {
    let script = Script::default()
        .log_remaining()
        .invoke(0, &[], &[])
        .log_remaining();
    let used = |profile| {
        let mut network = stage(profile, Vec::new());
        let record = network.succeed(&[script.clone().on(&[(OTHER, false)])], &[&keypair(10)]);
        let lines = remaining(&record);
        lines[0] - lines[1]
    };
    // Today it costs 946; what the programs themselves use is the same.
    assert_eq!(used(Profile::Classic) - used(Profile::Today), 1_000 - 946);
    assert_eq!(used(Profile::Classic), used(Profile::TransactionWide));
}

#[test]
fn each_instruction_has_its_own_budget() {
    let mut network = stage(Profile::Classic, Vec::new());
    let alice = keypair(10);
    let instruction = || {
        Script::default()
            .log_remaining()
            .spin(60_000)
            .log_remaining()
            .on(&[])
    };
    let record = network.succeed(&[instruction(), instruction(), instruction()], &[&alice]);
    let lines = remaining(&record);
    assert_eq!(lines[0], lines[2]);
    assert_eq!(lines[1], lines[5]);
    assert!(lines[0] < 200_000 && lines[0] > 199_000, "{lines:?}");
    assert!(lines[1] < 100_000, "{lines:?}");
    assert!(record.units > 300_000, "{}", record.units);
    let told = format!("Program {ACTOR} consumed ");
    let told: Vec<_> = record
        .logs
        .iter()
        .filter(|line| line.starts_with(&told))
        .collect();
    assert_eq!(told.len(), 3);
    assert!(
        told.iter()
            .all(|line| line.ends_with(" of 200000 compute units"))
    );
    // Requests mean nothing yet.
    let request = request_units(1);
    let record = network.succeed(&[request, instruction()], &[&alice]);
    assert_eq!(remaining(&record), lines[..2]);
    assert_eq!(record.fee, 5_000);
}

#[test]
fn called_programs_share_the_rest_and_exceeding_it_halts_the_chain() {
    let mut network = stage(Profile::Classic, Vec::new());
    let alice = keypair(10);
    let inner = Script::default().log_remaining().spin(20_000);
    let outer = Script::default()
        .log_remaining()
        .invoke(0, &[], &inner.0)
        .log_remaining();
    let record = network.succeed(&[outer.on(&[(OTHER, false)])], &[&alice]);
    let lines = remaining(&record);
    assert!(
        lines[1] < lines[0] - 1_000 && lines[2] < lines[1] - 40_000,
        "{lines:?}"
    );
    let endless = Script::default().spin(u64::MAX);
    let outer = Script::default().invoke(0, &[], &endless.0).log_remaining();
    let good = Script::default().on(&[]);
    let record = network.send(&[good, outer.on(&[(OTHER, false)])], &[&alice]);
    assert_eq!(record.status, failed(1, Error::ProgramFailedToComplete));
    assert!(remaining(&record).is_empty());
    assert!(
        record.units > 200_000 && record.units < 201_000,
        "{}",
        record.units
    );
    let last = record.logs.last().expect("a line");
    assert!(
        last.starts_with(&format!("Program {ACTOR} failed")),
        "{last}"
    );
    // A program that does nothing but count runs out at exactly its budget.
    let loops = Program::default().op(0x05, 0, 0, -1, 0).finish();
    let mut network = probe(Profile::Classic, loops);
    assert_eq!(network.send(&[bare(PROBE)], &[&alice]).units, 200_000);
}

#[test]
fn calls_between_programs_nest_four_levels() {
    for profile in [Profile::Classic, Profile::TransactionWide, Profile::Today] {
        let mut network = stage(profile, Vec::new());
        for depth in 1..=6 {
            let mut script = Script::default();
            for _ in 0..depth {
                script = Script::default().invoke(0, &[(0, false, false)], &script.0);
            }
            let record = network.send(&[script.on(&[(ACTOR, false)])], &[&keypair(10)]);
            let expected = if depth <= 4 {
                Ok(())
            } else {
                failed(0, Error::CallDepth)
            };
            assert_eq!(record.status, expected, "{profile:?}, {depth} levels");
        }
    }
}

#[test]
fn calls_within_a_program_nest_64_frames_of_4096_bytes() {
    // A function that calls itself as often as register 1 says.
    let nested = |calls: u64| {
        Program::default()
            .set(1, calls)
            .op(0x85, 0, 1, 0, 2)
            .op(0xb7, 0, 0, 0, 0)
            .op(0x95, 0, 0, 0, 0)
            .op(0x15, 1, 0, 2, 0)
            .op(0x17, 1, 0, 0, 1)
            .op(0x85, 0, 1, 0, -3)
            .finish()
    };
    // One byte at an offset from the end of the frame.
    let frame = |offset: i16| Program::default().op(0x72, 10, 0, offset, 7).finish();
    let fails = |profile, file| {
        let mut network = probe(profile, file);
        let record = network.send(&[bare(PROBE)], &[&keypair(10)]);
        let failure = failed(0, Error::ProgramFailedToComplete);
        assert!(record.status == Ok(()) || record.status == failure);
        record.status.is_err()
    };
    for profile in [Profile::Classic, Profile::Today] {
        // The entry has a frame too, and the first call is not one of those counted.
        assert!(!fails(profile, nested(62)));
        assert!(fails(profile, nested(63)));
        assert!(!fails(profile, frame(-4_096)));
        assert!(fails(profile, frame(-4_097)));
    }
}

fn request_units(units: u32) -> Instruction {
    let data = [&[0][..], &units.to_le_bytes()].concat();
    Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
}

#[test]
fn a_wide_budget_runs_over_all_instructions() {
    let mut network = stage(Profile::TransactionWide, Vec::new());
    let alice = keypair(10);
    let work = || Script::default().spin(60_000).log_remaining().on(&[]);
    let record = network.send(&[work(), work()], &[&alice]);
    assert_eq!(record.status, failed(1, Error::ProgramFailedToComplete));
    assert_eq!((record.units, record.fee), (200_000, 5_000));
    let record = network.succeed(&[request_units(300_000), work(), work()], &[&alice]);
    let lines = remaining(&record);
    assert!(lines[0] < 200_000 && lines[1] < 100_000, "{lines:?}");
    // 5,000 lamports for the signature, 1,250 for each begun 50,000 units above 200,000.
    assert_eq!(record.fee, 5_000 + 2 * 1_250);
    let record = network.succeed(&[work(), work(), request_units(1_000_000)], &[&alice]);
    assert_eq!(record.fee, 5_000 + 16 * 1_250);
    // From the fourth instruction on a request is ignored.
    let none = || Script::default().on(&[]);
    let late = [
        none(),
        none(),
        none(),
        request_units(300_000),
        work(),
        work(),
    ];
    let record = network.send(&late, &[&alice]);
    assert_eq!(record.status, failed(5, Error::ProgramFailedToComplete));
    assert_eq!(record.fee, 5_000);
    // A lower request costs no less and bounds.
    let record = network.send(&[request_units(10_000), work()], &[&alice]);
    assert_eq!(record.status, failed(1, Error::ProgramFailedToComplete));
    assert_eq!((record.units, record.fee), (10_000, 5_000));
}

#[test]
fn the_fee_of_a_request_is_told_before_it_is_paid() {
    let network = stage(Profile::TransactionWide, Vec::new());
    let instructions = [request_units(420_000)];
    let payer = key(&keypair(10));
    let message = Message::new_with_blockhash(&instructions, Some(&payer), &network.blockhash());
    let message = VersionedMessage::Legacy(message).serialize();
    assert_eq!(
        network.ask(&Question::Fee { message }),
        Answer::Fee(Some(5_000 + 5 * 1_250))
    );
}

#[test]
pub(crate) fn version_1_names_limits_that_the_classic_rules_do_not_know() {
    let mut network = stage(Profile::Classic, Vec::new());
    let alice = keypair(10);
    let config = v1::TransactionConfig {
        compute_unit_limit: Some(450),
        ..v1::TransactionConfig::default()
    };
    let message = v1::Message::try_compile_with_config(
        &key(&alice),
        &[transfer(&key(&alice), &key(&keypair(11)), SOL)],
        network.blockhash(),
        config,
    );
    let bytes = sign(VersionedMessage::V1(message.expect("it fits")), &[&alice]);
    let error = TransactionError::UnsupportedVersion;
    assert_eq!(network.refusal(&bytes), error.to_string());
}

#[test]
fn a_program_in_assembly_counts_under_all_rules() {
    let file = sbpf::link(include_bytes!("../programs/counter.o"));
    let counted = Pubkey::new_from_array([0xc2; 32]);
    for profile in [Profile::Classic, Profile::TransactionWide, Profile::Today] {
        let account = Account {
            lamports: SOL,
            data: vec![0; 8],
            owner: PROBE,
            executable: false,
            rent_epoch: u64::MAX,
        };
        let further = vec![(PROBE, program(file.clone())), (counted, account)];
        let mut network = stage(profile, further);
        let count = Script::default().for_program(PROBE, &[(counted, true)]);
        let record = network.succeed(&[count.clone(), count], &[&keypair(10)]);
        assert_eq!(record.units, 2 * 7);
        let data = network.account(&counted).expect("it exists").data;
        assert_eq!(data, 2u64.to_le_bytes());
        let record = network.send(&[bare(PROBE)], &[&keypair(10)]);
        assert_eq!(record.status, failed(0, Error::Custom(1)));
    }
}

#[test]
fn a_request_above_the_bound_is_an_error_before_anything_is_charged() {
    let mut network = stage(Profile::TransactionWide, Vec::new());
    let alice = keypair(10);
    let paid = network.balance(&key(&alice));
    let instructions = [Script::default().on(&[]), request_units(1_000_001)];
    let bytes = transaction(&instructions, &[&alice], network.blockhash());
    let error = TransactionError::InstructionError(1, Error::InvalidInstructionData);
    assert_eq!(network.refusal(&bytes), error.to_string());
    assert_eq!(network.balance(&key(&alice)), paid);
}

#[test]
fn a_price_gives_no_precedence_where_it_is_not_charged() {
    let alice = keypair(10);
    let price = [&[3][..], &1_000_000u64.to_le_bytes()].concat();
    let price = Instruction::new_with_bytes(compute_budget::ID, &price, Vec::new());
    for (profile, precedence) in [(Profile::Classic, 0), (Profile::Today, 1_000_000)] {
        let network = stage(profile, Vec::new());
        let bytes = transaction(std::slice::from_ref(&price), &[&alice], network.blockhash());
        let admission = network.check(&bytes).expect("it is admitted");
        assert_eq!(admission.priority, precedence, "{profile:?}");
    }
}
