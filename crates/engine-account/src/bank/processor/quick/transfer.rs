//! Transfers of lamports between wallets, which most transactions consist of, without the machine.
//!
//! What a transfer that succeeds does can be told beforehand, so that neither the context of a
//! transaction nor that of its calls is needed. A transaction that would fail, or that does
//! anything else, is left to them.
//!
//! Source: crates `solana-system-program` 4.2.2 (`transfer`, `transfer_verified`),
//! `solana-compute-budget-program` 4.2.2, whose instructions do nothing while they run, and
//! `InvokeContext::process_executable_chain` of `solana-program-runtime` 4.2.2, which logs.

use std::borrow::Cow;

use smallvec::SmallVec;
use solana_account::{AccountSharedData, ReadableAccount as _, WritableAccount as _};
use solana_program_runtime::execution_budget::SVMTransactionExecutionBudget;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{compute_budget, native_loader, system_program};
use solana_svm_transaction::instruction::SVMInstruction;
use solana_svm_transaction::svm_message::SVMMessage;

use super::execute::{Execution, Rents};

/// What an instruction of each of the two programs uses: `DEFAULT_COMPUTE_UNITS` of both.
const UNITS: u64 = 150;
/// Instructions all of whose lines the log of a transaction holds.
const LOGGED_MAX: usize = 64;
/// First bytes of the data of a transfer: the number of `SystemInstruction::Transfer`.
const TRANSFER: [u8; 4] = 2u32.to_le_bytes();

const SYSTEM_LINES: [&str; 2] = [
    "Program 11111111111111111111111111111111 invoke [1]",
    "Program 11111111111111111111111111111111 success",
];
const BUDGET_LINES: [&str; 2] = [
    "Program ComputeBudget111111111111111111111111111111 invoke [1]",
    "Program ComputeBudget111111111111111111111111111111 success",
];

/// What one instruction does.
enum Deed {
    Nothing,
    Transfer {
        from: usize,
        to: usize,
        lamports: u64,
    },
}

/// What transfers did, beside moving lamports.
struct Moved {
    touched: Box<[bool]>,
    units: u64,
    logs: Vec<Cow<'static, str>>,
}

/// Executes a transaction of nothing but transfers, if all of them succeed.
///
/// # Errors
/// The accounts as they were, if it is none or one of them fails.
pub(super) fn execute(
    message: &impl SVMMessage,
    mut accounts: Vec<(Pubkey, AccountSharedData)>,
    budget: &SVMTransactionExecutionBudget,
    rents: &Rents<'_>,
) -> Result<Execution, Vec<(Pubkey, AccountSharedData)>> {
    let Some(moved) = run(message, &mut accounts, budget, rents) else {
        return Err(accounts);
    };
    Ok(Execution {
        status: Ok(()),
        accounts,
        touched: moved.touched,
        units: moved.units,
        logs: moved.logs,
        inner: Vec::new(),
        returned: None,
    })
}

/// Runs transfers. With `None`, nothing was done.
fn run(
    message: &impl SVMMessage,
    accounts: &mut [(Pubkey, AccountSharedData)],
    budget: &SVMTransactionExecutionBudget,
    rents: &Rents<'_>,
) -> Option<Moved> {
    let count = message.num_instructions();
    let units = UNITS.saturating_mul(count as u64);
    let is_bounded = count <= budget.max_instruction_trace_length.min(LOGGED_MAX)
        && units <= budget.compute_unit_limit;
    if !is_bounded {
        return None;
    }
    let mut deeds: SmallVec<[Deed; 4]> = SmallVec::new();
    let mut logs = Vec::with_capacity(2 * count);
    for instruction in message.instructions_iter() {
        let (deed, lines) = deed(message, accounts, &instruction)?;
        deeds.push(deed);
        logs.extend(lines.map(Cow::Borrowed));
    }
    let before = rents.before(message, accounts);
    let lamports: SmallVec<[u64; 8]> = accounts.iter().map(|(_, held)| held.lamports()).collect();
    let mut touched = vec![false; accounts.len()].into_boxed_slice();
    // The fee was taken before anything ran.
    *touched.first_mut()? = true;
    let moved = deeds.iter().try_for_each(|deed| match deed {
        Deed::Nothing => Some(()),
        Deed::Transfer { from, to, lamports } => {
            transfer(accounts, (*from, *to), *lamports)?;
            // An account that stays as it is counts as not touched.
            touched[*from] |= *lamports > 0;
            touched[*to] |= *lamports > 0;
            Some(())
        }
    });
    if moved.is_none() || rents.check(&before, accounts).is_err() {
        for ((_, account), lamports) in accounts.iter_mut().zip(lamports) {
            account.set_lamports(lamports);
        }
        return None;
    }
    Some(Moved {
        touched,
        units,
        logs,
    })
}

/// What an instruction does and logs, if nothing but its amount can make it fail.
fn deed(
    message: &impl SVMMessage,
    accounts: &[(Pubkey, AccountSharedData)],
    instruction: &SVMInstruction<'_>,
) -> Option<(Deed, std::array::IntoIter<&'static str, 2>)> {
    let (program, account) = accounts.get(usize::from(instruction.program_id_index))?;
    if !native_loader::check_id(account.owner()) {
        return None;
    }
    if compute_budget::check_id(program) {
        return Some((Deed::Nothing, BUDGET_LINES.into_iter()));
    }
    if !system_program::check_id(program) {
        return None;
    }
    let lamports = instruction.data.strip_prefix(&TRANSFER)?;
    let lamports = u64::from_le_bytes(lamports.try_into().ok()?);
    let [from, to, ..] = *instruction.accounts else {
        return None;
    };
    let (from, to) = (usize::from(from), usize::from(to));
    let is_allowed = from != to
        && message.is_signer(from)
        && message.is_writable(from)
        && message.is_writable(to);
    let (_, payer) = accounts.get(from)?;
    let is_wallet = system_program::check_id(payer.owner()) && payer.data().is_empty();
    (is_allowed && is_wallet).then_some((
        Deed::Transfer { from, to, lamports },
        SYSTEM_LINES.into_iter(),
    ))
}

/// Moves lamports; `None` if the one has too few or the other too many.
fn transfer(
    accounts: &mut [(Pubkey, AccountSharedData)],
    (from, to): (usize, usize),
    lamports: u64,
) -> Option<()> {
    let less = accounts.get(from)?.1.lamports().checked_sub(lamports)?;
    let more = accounts.get(to)?.1.lamports().checked_add(lamports)?;
    accounts[from].1.set_lamports(less);
    accounts[to].1.set_lamports(more);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_programs() {
        for (lines, program) in [
            (SYSTEM_LINES, system_program::ID),
            (BUDGET_LINES, compute_budget::ID),
        ] {
            let expected = [
                format!("Program {program} invoke [1]"),
                format!("Program {program} success"),
            ];
            assert_eq!(lines.map(str::to_owned), expected);
        }
    }

    #[test]
    fn the_longest_transaction_fits_into_the_log() {
        let bytes: usize = BUDGET_LINES.iter().map(|line| line.len()).sum();
        assert!(bytes * LOGGED_MAX < trilith_params::account::LOG_BYTES_MAX);
    }
}
