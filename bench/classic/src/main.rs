//! Runs the cases of the account engine's tests through `solana-runtime` 1.9.5 and writes what
//! each came to, a line a case.
//!
//! Budgets of instructions: the bank lacks the feature that makes them transaction-wide. Both banks
//! lack the one that lets programs change the size of accounts, which the classic profile's policy
//! leaves to the system program.

#[path = "../../../crates/engine-account/tests/bank/cases.rs"]
mod cases;
#[path = "../../../crates/engine-account/tests/bank/sbpf.rs"]
#[allow(dead_code)]
mod sbpf;

use solana_runtime::bank::Bank;
use solana_runtime::genesis_utils::create_genesis_config_with_leader;
use solana_sdk::account::{Account, AccountSharedData};
use solana_sdk::compute_budget::ComputeBudgetInstruction;
use solana_sdk::feature_set::{do_support_realloc, tx_wide_compute_cap};
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::Message;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};
use solana_sdk::transaction::{SanitizedTransaction, Transaction};
use solana_sdk::{bpf_loader, system_program};

const LAMPORTS: u64 = 10_000_000;
const PROGRAM_LAMPORTS: u64 = 1_000_000_000;

fn main() {
    let cases = cases::all();
    let payer = Keypair::new();
    let each = bank(&payer, &cases, false);
    let wide = bank(&payer, &cases, true);
    for (index, case) in cases.iter().enumerate() {
        let bank = if case.units.is_some() { &wide } else { &each };
        let instructions = instructions(index, case);
        let message = Message::new(&instructions, Some(&payer.pubkey()));
        let transaction = Transaction::new(&[&payer], message, bank.last_blockhash());
        let transaction = SanitizedTransaction::from_transaction_for_tests(transaction);
        let simulated = bank.simulate_transaction_unchecked(transaction);
        let status = format!("{:?}", simulated.result);
        println!("{}", cases::line(&status, &simulated.logs));
    }
}

fn key(bytes: [u8; 32]) -> Pubkey {
    Pubkey::new_from_array(bytes)
}

fn bank(payer: &Keypair, cases: &[cases::Case], is_wide: bool) -> Bank {
    let validator = Keypair::new();
    let made = create_genesis_config_with_leader(PROGRAM_LAMPORTS, &validator.pubkey(), LAMPORTS);
    let mut genesis = made.genesis_config;
    genesis.accounts.remove(&do_support_realloc::id());
    if !is_wide {
        genesis.accounts.remove(&tx_wide_compute_cap::id());
    }
    let mut bank = Bank::new_for_tests(&genesis);
    bank.add_builtin(
        "solana_bpf_loader_program",
        &bpf_loader::id(),
        solana_bpf_loader_program::process_instruction,
    );
    let program = |data| Account {
        lamports: PROGRAM_LAMPORTS,
        data,
        owner: bpf_loader::id(),
        executable: true,
        rent_epoch: 0,
    };
    let data = |owner, byte| Account {
        lamports: LAMPORTS,
        data: vec![byte; 8],
        owner: key(owner),
        executable: false,
        rent_epoch: 0,
    };
    let [actor, other, ..] = cases::KEYS;
    let wallet = Account::new(5 * PROGRAM_LAMPORTS, 0, &system_program::id());
    let stage = [
        program(cases::actor()),
        program(cases::actor()),
        data(actor, 0),
        data(actor, 1),
        data(other, 0),
    ];
    let own = cases
        .iter()
        .enumerate()
        .filter_map(|(index, case)| Some((cases::key(index), program(case.file.clone()?))));
    for (at, account) in cases::KEYS.into_iter().zip(stage).chain(own) {
        bank.store_account(&key(at), &AccountSharedData::from(account));
    }
    bank.store_account(&payer.pubkey(), &AccountSharedData::from(wallet));
    bank
}

fn instructions(index: usize, case: &cases::Case) -> Vec<Instruction> {
    let program = match case.file {
        Some(_) => cases::key(index),
        None => cases::KEYS[0],
    };
    let request = case.units.map(ComputeBudgetInstruction::request_units);
    let own = case.instructions.iter().map(|(data, accounts)| {
        let accounts = accounts
            .iter()
            .map(|(position, written)| AccountMeta {
                pubkey: key(cases::KEYS[*position]),
                is_signer: false,
                is_writable: *written,
            })
            .collect();
        Instruction::new_with_bytes(key(program), data, accounts)
    });
    request.into_iter().chain(own).collect()
}
