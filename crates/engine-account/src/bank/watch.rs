//! Watches instructions for the profiles before today's.
//!
//! Every instruction, at any depth, enters through a program of the processor: its own program or
//! the loader of it. [`Watched`] stands around each of them and
//!
//! 1. judges by [`crate::policy`] what the caller did so far to the accounts it passes on, then
//!    what the instruction did to its own accounts;
//! 2. in the classic profile, gives every instruction of the transaction a meter of its own, which
//!    the programs it calls share. The transaction's meter holds the sum, so that units are
//!    reported for the whole.
//!
//! A breach is the instruction's error: it halts the whole chain of calls and rolls the
//! transaction back.
//!
//! Order of judging: Solana 1.9.5, `InvokeContext::process_instruction`. Accounts as they were
//! judged last are kept by the thread, because the processor calls plain functions; an instruction
//! of the transaction always starts anew, so nothing outlives it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::marker::PhantomData;
use std::mem;

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_instruction::error::InstructionError;
use solana_program_runtime::execution_budget::{
    SVMTransactionExecutionBudget, SVMTransactionExecutionCost,
};
use solana_program_runtime::invoke_context::{
    BuiltinFunctionRegisterer, ComputeMeter, EnvironmentConfig, InvokeContext,
};
use solana_program_runtime::loaded_programs::{ProgramCacheForTxBatch, ProgramRuntimeEnvironments};
use solana_program_runtime::solana_sbpf::program::BuiltinFunctionDefinition;
use solana_program_runtime::solana_sbpf::vm::ContextObject as _;
use solana_program_runtime::sysvar_cache::SysvarCache;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, compute_budget, system_program,
    vote, zk_elgamal_proof_program,
};
use solana_svm_callback::InvokeContextCallback;
use solana_transaction_context::IndexOfAccount;
use solana_transaction_context::instruction::InstructionContext;
use solana_transaction_context::transaction::TransactionContext;
use trilith_params::account::{
    CLASSIC_BYTES_PER_UNIT, CLASSIC_CREATE_ADDRESS_UNITS, CLASSIC_INVOKE_UNITS,
    CLASSIC_LOG_64_UNITS, CLASSIC_LOG_PUBKEY_UNITS, CLASSIC_LOG_UNITS, CLASSIC_UNITS,
};

use super::budget;
use super::sysvar;
use crate::policy::{self, Touched};

/// The programs of the processor, which run in a context whose lifetimes are not tracked.
type Context = InvokeContext<'static, 'static>;
type Failure = Box<dyn Error>;

/// What operations cost before today's prices.
pub(crate) fn costs() -> SVMTransactionExecutionCost {
    SVMTransactionExecutionCost {
        log_64_units: CLASSIC_LOG_64_UNITS,
        log_pubkey_units: CLASSIC_LOG_PUBKEY_UNITS,
        create_program_address_units: CLASSIC_CREATE_ADDRESS_UNITS,
        invoke_units: CLASSIC_INVOKE_UNITS,
        cpi_bytes_per_unit: CLASSIC_BYTES_PER_UNIT,
        // Lines of a log and other calls of the system.
        syscall_base_cost: CLASSIC_LOG_UNITS,
        // Operations on memory cost by their bytes alone.
        mem_op_base_cost: 0,
        ..SVMTransactionExecutionCost::default()
    }
}

/// How a program of the processor is registered with a watch around it; `None` if there is none
/// for it. `each` gives every instruction of a transaction its own meter.
pub(crate) fn registerer(program: &Pubkey, each: bool) -> Option<BuiltinFunctionRegisterer> {
    let found = if *program == system_program::ID {
        both::<solana_system_program::system_processor::Entrypoint>()
    } else if *program == vote::ID {
        both::<solana_vote_program::vote_processor::Entrypoint>()
    } else if [
        bpf_loader::ID,
        bpf_loader_deprecated::ID,
        bpf_loader_upgradeable::ID,
    ]
    .contains(program)
    {
        both::<solana_bpf_loader_program::Entrypoint>()
    } else if *program == compute_budget::ID {
        both::<solana_compute_budget_program::Entrypoint>()
    } else if *program == zk_elgamal_proof_program::ID {
        both::<solana_zk_elgamal_proof_program::Entrypoint>()
    } else {
        return None;
    };
    Some(found[usize::from(each)])
}

fn both<P>() -> [BuiltinFunctionRegisterer; 2]
where
    P: BuiltinFunctionDefinition<Context>,
{
    [Watched::<P, false>::register, Watched::<P, true>::register]
}

/// A program of the processor with a watch around it. `EACH` gives every instruction of a
/// transaction its own meter.
struct Watched<P, const EACH: bool>(PhantomData<P>);

impl<P, const EACH: bool> BuiltinFunctionDefinition<Context> for Watched<P, EACH>
where
    P: BuiltinFunctionDefinition<Context>,
{
    type Error = Failure;

    fn rust(context: &mut Context, a: u64, b: u64, c: u64, d: u64, e: u64) -> Result<u64, Failure> {
        let run = |context: &mut Context| {
            enter(context)?;
            let status = P::rust(context, a, b, c, d, e).map_err(Into::into)?;
            leave(context)?;
            Ok(status)
        };
        if context.get_stack_height() > 1 {
            return run(context);
        }
        let result = if EACH {
            metered(context, run)
        } else {
            run(context)
        };
        JUDGED.with_borrow_mut(BTreeMap::clear);
        result
    }
}

/// Runs with a full meter and takes what was used from the meter that was there.
fn metered<T>(context: &mut Context, run: impl FnOnce(&mut Context) -> T) -> T {
    let mut meter = full_meter(context);
    mem::swap(&mut context.compute_meter, &mut meter);
    let result = run(context);
    let used = CLASSIC_UNITS.saturating_sub(context.get_remaining());
    mem::swap(&mut context.compute_meter, &mut meter);
    context.consume(used);
    result
}

/// Stands where a context wants to ask about stakes.
struct Nobody;

impl InvokeContextCallback for Nobody {}

/// A meter with the budget of an instruction. Meters are made with contexts only, so this makes an
/// empty one.
fn full_meter(context: &Context) -> ComputeMeter {
    let programs = context.get_program_runtime_environment_for_deployment();
    let programs = ProgramRuntimeEnvironments::new(programs.clone(), programs.clone());
    let mut transaction = TransactionContext::new(Vec::new(), sysvar::rent(), 1, 1, 1);
    let mut cache = ProgramCacheForTxBatch::default();
    let sysvars = SysvarCache::default();
    let empty = InvokeContext::new(
        &mut transaction,
        &mut cache,
        EnvironmentConfig::new(
            Hash::default(),
            0,
            false,
            &Nobody,
            context.get_feature_set(),
            &programs,
            &sysvars,
        ),
        None,
        SVMTransactionExecutionBudget {
            compute_unit_limit: CLASSIC_UNITS,
            ..budget::classic_bounds()
        },
        SVMTransactionExecutionCost::default(),
    );
    empty.compute_meter
}

thread_local! {
    /// Accounts of the instruction of the transaction under way, as they were judged last.
    static JUDGED: RefCell<BTreeMap<IndexOfAccount, AccountSharedData>> =
        const { RefCell::new(BTreeMap::new()) };
}

/// Before an instruction: judges its caller, or starts anew where it has none.
fn enter(context: &Context) -> Result<(), InstructionError> {
    let transaction = &*context.transaction_context;
    let callee = transaction.get_current_instruction_context()?;
    let Some(level) = context.get_stack_height().checked_sub(2) else {
        return start(transaction, &callee);
    };
    let caller = transaction.get_instruction_context_at_nesting_level(level)?;
    judge(transaction, &caller, &indices(&callee)).map(|_| ())
}

/// After an instruction: judges it.
fn leave(context: &Context) -> Result<(), InstructionError> {
    let transaction = &*context.transaction_context;
    let instruction = transaction.get_current_instruction_context()?;
    if *instruction.get_program_key()? == bpf_loader_upgradeable::ID {
        put_sizes_back(&instruction)?;
    }
    let [before, after] = judge(transaction, &instruction, &indices(&instruction))?;
    if before != after {
        return Err(InstructionError::UnbalancedInstruction);
    }
    Ok(())
}

/// The accounts of an instruction in the transaction, each once.
fn indices(instruction: &InstructionContext<'_, '_>) -> Vec<IndexOfAccount> {
    let mut indices: Vec<IndexOfAccount> = instruction
        .instruction_accounts()
        .iter()
        .map(|account| account.index_in_transaction)
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// Remembers the accounts of an instruction of the transaction.
fn start(
    transaction: &TransactionContext<'_>,
    instruction: &InstructionContext<'_, '_>,
) -> Result<(), InstructionError> {
    let accounts = indices(instruction)
        .into_iter()
        .map(|index| Ok((index, copy(&*transaction.accounts().try_borrow(index)?))))
        .collect::<Result<_, InstructionError>>()?;
    JUDGED.set(accounts);
    Ok(())
}

fn copy(account: &impl ReadableAccount) -> AccountSharedData {
    AccountSharedData::from(Account {
        lamports: account.lamports(),
        data: account.data().to_vec(),
        owner: *account.owner(),
        executable: account.executable(),
        rent_epoch: account.rent_epoch(),
    })
}

fn is_same(account: &impl ReadableAccount, other: &AccountSharedData) -> bool {
    account.lamports() == other.lamports()
        && account.owner() == other.owner()
        && account.executable() == other.executable()
        && account.rent_epoch() == other.rent_epoch()
        && account.data() == other.data()
}

/// Judges what the program of `instruction` did to some of its accounts since they were judged
/// last, and remembers them as they are. Gives the sums of their lamports before and after.
fn judge(
    transaction: &TransactionContext<'_>,
    instruction: &InstructionContext<'_, '_>,
    accounts: &[IndexOfAccount],
) -> Result<[u128; 2], InstructionError> {
    let program = *instruction.get_program_key()?;
    let rent = sysvar::rent();
    JUDGED.with_borrow_mut(|judged| {
        let mut sums = [0; 2];
        for index in accounts {
            let current = transaction.accounts().try_borrow(*index)?;
            let before = judged
                .get_mut(index)
                .ok_or(InstructionError::MissingAccount)?;
            sums[0] += u128::from(before.lamports());
            sums[1] += u128::from(current.lamports());
            if is_same(&*current, before) {
                continue;
            }
            let position = instruction.get_index_of_account_in_instruction(*index)?;
            let after = copy(&*current);
            let touched = Touched {
                is_writable: instruction.is_instruction_account_writable(position)?,
                before,
                after: &after,
            };
            policy::judge_one(&program, &touched, &rent)?;
            *before = after;
        }
        Ok(sums)
    })
}

/// The loader of today empties the accounts it takes all lamports from. They are about to vanish;
/// as only the system program may change sizes, they get theirs back, filled with zeros.
fn put_sizes_back(instruction: &InstructionContext<'_, '_>) -> Result<(), InstructionError> {
    JUDGED.with_borrow(|judged| {
        for (position, account) in instruction.instruction_accounts().iter().enumerate() {
            let position = IndexOfAccount::try_from(position)
                .map_err(|_| InstructionError::MaxAccountsExceeded)?;
            let mut current = instruction.try_borrow_instruction_account(position)?;
            let size = judged
                .get(&account.index_in_transaction)
                .map_or(0, |account| account.data().len());
            if current.get_lamports() == 0
                && current.get_data().len() < size
                && current.is_owned_by_current_program()
            {
                current.set_data_length(size)?;
            }
        }
        Ok(())
    })
}
