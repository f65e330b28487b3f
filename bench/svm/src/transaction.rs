//! A case as a transaction of our bank, held against what the harness made of it.

use solana_account::Account;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::compute_budget;
use solana_signature::Signature;
use solana_svm::conformance::instr::effects::InstrEffects;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use trilith_engine_account::record::TransactionRecord;

use crate::bank::Bank;
use crate::harness::{Case, End, Gates, PAYER, equal, is_precompile};
use crate::rent;

/// What the instruction that sets the limit of units uses of it.
const LIMIT_UNITS: u64 = 150;
/// The same instruction in a transaction of the bank.
pub(crate) fn same_as_bank(
    bank: &mut Bank,
    gates: &Gates,
    case: &Case,
    accounts: &[(Pubkey, Account)],
    effects: &InstrEffects,
    number: u64,
) -> Result<End, String> {
    let writable: Vec<Pubkey> = case
        .instruction
        .accounts
        .iter()
        .filter(|meta| meta.is_writable && meta.pubkey != case.instruction.program_id)
        .map(|meta| meta.pubkey)
        .collect();
    let before: Vec<Option<Account>> = writable.iter().map(|key| bank.account(key)).collect();
    let message = message(bank, case, number);
    let told = bank.run(&[encoded(&message)]);
    let record = told[0]
        .as_ref()
        .map_err(|refusal| format!("the bank refused it: {refusal}"))?;
    let given = |key: &Pubkey| {
        let found = accounts.iter().find(|(known, _)| known == key);
        found.map_or_else(Account::default, |(_, account)| account.clone())
    };
    let liable = message.account_keys.iter().position(|key| {
        let after = effects.get_account(key);
        writable.contains(key)
            && after.is_some_and(|after| {
                let relaxed = gates.runtime().relax_post_exec_min_balance_check;
                !rent::is_allowed(key, &given(key), after, relaxed)
            })
    });
    let place = u8::from(!is_precompile(&case.instruction.program_id));
    let (status, end) = match (&effects.result, liable) {
        (None, None) => (Ok(()), End::Succeeded),
        (None, Some(index)) => {
            let account_index = index as u8;
            (
                Err(TransactionError::InsufficientFundsForRent { account_index }),
                End::Rent,
            )
        }
        (Some(error), _) => {
            let end = if matches!(error, InstructionError::Custom(_)) {
                End::Custom
            } else {
                End::Failed
            };
            (
                Err(TransactionError::InstructionError(place, error.clone())),
                end,
            )
        }
    };
    equal("the status", &status, &record.status)?;
    same_execution(case, effects, record)?;
    for (key, before) in writable.iter().zip(before) {
        let expected = match end {
            End::Succeeded => effects
                .get_account(key)
                .cloned()
                .filter(|account| account.lamports > 0),
            _ => before,
        };
        let plain = |account: Option<Account>| {
            account.map(|account| Account {
                rent_epoch: 0,
                ..account
            })
        };
        equal(
            &format!("account {key}"),
            &plain(expected),
            &plain(bank.account(key)),
        )?;
    }
    Ok(end)
}

/// Units, return data and log.
fn same_execution(
    case: &Case,
    effects: &InstrEffects,
    record: &TransactionRecord,
) -> Result<(), String> {
    // The instruction that sets the limit uses a little, and logs two lines.
    let is_behind = is_precompile(&case.instruction.program_id);
    let ran = !is_behind || effects.result.is_none();
    let used = u64::from(case.units) - effects.cu_avail + if ran { LIMIT_UNITS } else { 0 };
    equal("the units", &used, &record.units)?;
    let returned = record
        .returned
        .as_ref()
        .map_or(&[][..], |returned| &returned.data);
    equal("the return data", &&effects.return_data[..], &returned)?;
    let truncated = |logs: &[String]| logs.iter().any(|line| line == "Log truncated");
    if truncated(&effects.logs) || truncated(&record.logs) {
        return Ok(());
    }
    let (first, others) = if is_behind { (0, 2) } else { (2, 0) };
    let end = record.logs.len() - if ran { others } else { 0 };
    equal("the log", &&effects.logs[..], &&record.logs[first..end])
}

/// The case as a message; the number makes it one of a kind.
fn message(bank: &Bank, case: &Case, number: u64) -> Message {
    let units = case.units + LIMIT_UNITS as u32;
    let data = [&[2][..], &units.to_le_bytes(), &number.to_le_bytes()].concat();
    let limit = Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new());
    let mut instructions = [limit, case.instruction.clone()];
    if is_precompile(&case.instruction.program_id) {
        // It may name instructions by their position, and is alone in the harness.
        instructions.swap(0, 1);
    }
    Message::new_with_blockhash(&instructions, Some(&PAYER), &bank.blockhash())
}

fn encoded(message: &Message) -> Vec<u8> {
    let signatures = usize::from(message.header.num_required_signatures);
    let transaction = VersionedTransaction {
        signatures: vec![Signature::default(); signatures],
        message: VersionedMessage::Legacy(message.clone()),
    };
    let bytes = wincode::serialize(&transaction).expect("a transaction has an encoding");
    assert!(bytes.len() <= 1_232, "a case fits a transaction");
    bytes
}
