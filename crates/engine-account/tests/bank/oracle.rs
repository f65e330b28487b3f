//! The classic profile beside the runtime it is modelled on: the same random programs, scripts and
//! budgets come to the same verdicts, units and logs. What that runtime says is recorded in
//! `conformance/classic-1.9.5.txt` by the program in `bench/classic`.

use std::collections::BTreeSet;

use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::compute_budget;
use trilith_engine_account::Profile;
use trilith_engine_account::query::{Answer, Question, Simulate};

use super::actor::{program, stage};
use super::cases::{self, Case};
use super::wire::{keypair, transaction};

/// What the instruction that requests a budget uses of it here, and did not use there.
const REQUEST_UNITS: u32 = 150;

fn instructions(index: usize, case: &Case) -> Vec<Instruction> {
    let program = match case.file {
        Some(_) => cases::key(index),
        None => cases::KEYS[0],
    };
    let request = case.units.map(|units| {
        let data = [&[0][..], &(units + REQUEST_UNITS).to_le_bytes()].concat();
        Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
    });
    let own = case.instructions.iter().map(|(data, accounts)| {
        let accounts = accounts
            .iter()
            .map(|(position, written)| AccountMeta {
                pubkey: Pubkey::new_from_array(cases::KEYS[*position]),
                is_signer: false,
                is_writable: *written,
            })
            .collect();
        Instruction::new_with_bytes(Pubkey::new_from_array(program), data, accounts)
    });
    request.into_iter().chain(own).collect()
}

/// Whether both lines tell of breaches of the access policy, with the same units. An instruction
/// that breaks several rules gets the error of one; which one depends on the order in which they
/// are looked at, and today's machine looks at most of them when it reads accounts back.
fn is_one_of_several(told: &str, recorded: &str) -> bool {
    const BREACHES: [&str; 5] = [
        "ModifiedProgramId",
        "ExternalAccountLamportSpend",
        "ReadonlyLamportChange",
        "ReadonlyDataModified",
        "ExternalAccountDataModified",
    ];
    let place = |line: &str| {
        let breach = BREACHES.iter().find(|breach| line.contains(*breach))?;
        Some(line.replace(breach, ""))
    };
    place(told).is_some_and(|place_told| place(recorded) == Some(place_told))
}

#[test]
fn verdicts_and_units_are_those_of_the_runtime_it_is_modelled_on() {
    let recorded: Vec<&str> = include_str!("../../../../conformance/classic-1.9.5.txt")
        .lines()
        .collect();
    let cases = cases::all();
    assert_eq!(recorded.len(), cases.len());
    let programs: Vec<(Pubkey, Account)> = cases
        .iter()
        .enumerate()
        .filter_map(|(index, case)| {
            let key = Pubkey::new_from_array(cases::key(index));
            Some((key, program(case.file.clone()?)))
        })
        .collect();
    let network = |profile| stage(profile, programs.clone());
    let [each, wide] = [Profile::Classic, Profile::TransactionWide].map(network);
    let mut wrong = Vec::new();
    let mut several = BTreeSet::new();
    for ((index, case), recorded) in cases.iter().enumerate().zip(recorded) {
        let network = if case.units.is_some() { &wide } else { &each };
        let instructions = instructions(index, case);
        let question = Question::Simulate(Simulate {
            transaction: transaction(&instructions, &[&keypair(10)], network.blockhash()),
            verify_signatures: false,
            replace_blockhash: false,
            accounts: Vec::new(),
        });
        let Answer::Simulated(simulated) = network.ask(&question) else {
            panic!("not a simulation");
        };
        let record = simulated.record;
        let told = cases::line(&format!("{:?}", record.status), &record.logs);
        let is_same =
            told == recorded || (is_one_of_several(&told, recorded) && several.insert(index));
        if !is_same {
            wrong.push(format!(
                "{index}: {told}\nrecorded {recorded}\n{:#?}",
                record.logs
            ));
        }
    }
    assert!(
        several.len() * 200 < cases.len(),
        "{several:?} break several rules"
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
