//! Executes a plain transaction whose accounts are loaded.

use std::borrow::Cow;
use std::rc::Rc;

use smallvec::SmallVec;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_program_runtime::execution_budget::{
    SVMTransactionExecutionBudget, SVMTransactionExecutionCost,
};
use solana_program_runtime::invoke_context::{EnvironmentConfig, InvokeContext};
use solana_program_runtime::loaded_programs::{ProgramCacheForTxBatch, ProgramRuntimeEnvironments};
use solana_program_runtime::sysvar_cache::SysvarCache;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::native_loader;
use solana_svm::rent_calculator::{
    RentState, check_rent_state_with_account, get_post_exec_account_rent_state,
    get_pre_exec_account_rent_state,
};
use solana_svm::transaction_processor::TransactionProcessingEnvironment;
use solana_svm_callback::InvokeContextCallback;
use solana_svm_log_collector::LogCollector;
use solana_svm_timings::ExecuteTimings;
use solana_svm_transaction::svm_message::SVMMessage;
use solana_transaction_context::IndexOfAccount;
use solana_transaction_context::transaction::{ExecutionRecord, TransactionContext};
use solana_transaction_error::TransactionError;
use trilith_params::account::LOG_BYTES_MAX;

use super::memory::Small;
use super::shallow::Stacks;
use super::transfer;
use crate::record::{InnerInstruction, InnerInstructions, ReturnData};

/// What executing a transaction came to.
pub(super) struct Execution {
    pub(super) status: Result<(), TransactionError>,
    /// Its accounts in message order, as the programs left them.
    pub(super) accounts: Vec<(Pubkey, AccountSharedData)>,
    /// Which of them are to be written if it succeeded.
    pub(super) touched: Box<[bool]>,
    pub(super) units: u64,
    pub(super) logs: Vec<Cow<'static, str>>,
    pub(super) inner: Vec<InnerInstructions>,
    pub(super) returned: Option<ReturnData>,
}

/// What a transaction is executed with.
pub(super) struct Machine<'a> {
    pub(super) environment: &'a TransactionProcessingEnvironment,
    /// The system calls, a set for each thread.
    pub(super) calls: &'a ProgramRuntimeEnvironments,
    pub(super) sysvars: &'a SysvarCache,
    pub(super) callback: &'a dyn InvokeContextCallback,
    pub(super) programs: &'a mut ProgramCacheForTxBatch,
    pub(super) timings: &'a mut ExecuteTimings,
    pub(super) memory: &'a mut Small,
    pub(super) stacks: Stacks,
}

impl Machine<'_> {
    /// Executes a transaction on its accounts.
    ///
    /// Follows `TransactionBatchProcessor::execute_loaded_transaction`.
    pub(super) fn execute(
        self,
        message: &impl SVMMessage,
        accounts: Vec<(Pubkey, AccountSharedData)>,
        budget: &SVMTransactionExecutionBudget,
    ) -> Execution {
        let environment = self.environment;
        let rents = Rents {
            rent: &environment.rent,
            is_relaxed: environment.feature_set.relax_post_exec_min_balance_check,
        };
        let accounts = match transfer::execute(message, accounts, budget, &rents) {
            Ok(execution) => return execution,
            Err(accounts) => accounts,
        };
        let sum = lamports(&accounts).unwrap_or(0);
        let before = rents.before(message, &accounts);
        let is_native = is_native(message, &accounts);
        let count = message.num_instructions();
        let trace = if is_native {
            // Room for more instructions than there can be would be asked for in vain.
            count.min(budget.max_instruction_trace_length)
        } else {
            budget.max_instruction_trace_length
        };
        let mut context = TransactionContext::new(
            accounts,
            environment.rent.clone(),
            budget.max_instruction_stack_depth,
            trace,
            count,
        );
        let ran = self.run(message, &mut context, budget, is_native);
        let inner = inner_instructions(&mut context);
        let ExecutionRecord {
            accounts,
            return_data,
            touched_flags: mut touched,
            ..
        } = context.into();
        if let Some(payer) = touched.first_mut() {
            // The fee was taken before anything ran.
            *payer = true;
        }
        let status = ran.status.and_then(|()| {
            rents.check(&before, &accounts)?;
            if lamports(&accounts) == Some(sum) {
                Ok(())
            } else {
                Err(TransactionError::UnbalancedTransaction)
            }
        });
        Execution {
            status,
            accounts,
            touched,
            units: ran.units,
            logs: ran.logs,
            inner,
            returned: (!return_data.data.is_empty()).then_some(ReturnData {
                program: return_data.program_id,
                data: return_data.data,
            }),
        }
    }

    /// Runs the instructions of a transaction.
    fn run<'d>(
        self,
        message: &'d impl SVMMessage,
        context: &mut TransactionContext<'d>,
        budget: &SVMTransactionExecutionBudget,
        is_native: bool,
    ) -> Ran {
        let environment = self.environment;
        let logs = LogCollector::new_ref_with_limit(Some(LOG_BYTES_MAX));
        let mut invoke = InvokeContext::new(
            context,
            self.programs,
            EnvironmentConfig::new(
                environment.blockhash,
                environment.blockhash_lamports_per_signature,
                environment.alpenglow_migration_succeeded,
                self.callback,
                &environment.feature_set,
                self.calls,
                self.sysvars,
            ),
            Some(logs.clone()),
            *budget,
            SVMTransactionExecutionCost::default(),
        );
        let mut units = 0;
        let status = if is_native {
            instructions(message, &mut invoke, self.timings, &mut units)
        } else {
            let (timings, units) = (self.timings, &mut units);
            self.memory.lend(budget.heap_size, self.stacks, || {
                instructions(message, &mut invoke, timings, units)
            })
        };
        drop(invoke);
        let logs = Rc::into_inner(logs).map(|logs| logs.into_inner().into_messages());
        let logs = logs.unwrap_or_default().into_iter().map(Cow::Owned);
        Ran {
            status,
            units,
            logs: logs.collect(),
        }
    }
}

/// What running instructions came to, beside what the context says.
struct Ran {
    status: Result<(), TransactionError>,
    units: u64,
    logs: Vec<Cow<'static, str>>,
}

/// Whether only programs of the processor run, none of which calls another: that is left to
/// loaders, which are not among the accounts.
fn is_native(message: &impl SVMMessage, accounts: &[(Pubkey, AccountSharedData)]) -> bool {
    message.instructions_iter().all(|instruction| {
        let program = accounts.get(usize::from(instruction.program_id_index));
        program.is_some_and(|(_, program)| native_loader::check_id(program.owner()))
    })
}

/// Runs the instructions of a transaction one after the other until one fails.
///
/// Follows `process_message`; none of the programs is a signature program.
fn instructions<'d>(
    message: &'d impl SVMMessage,
    invoke: &mut InvokeContext<'_, 'd>,
    timings: &mut ExecuteTimings,
    units: &mut u64,
) -> Result<(), TransactionError> {
    invoke
        .prepare_top_level_instructions(message)
        .map_err(|(index, error)| TransactionError::InstructionError(index, error))?;
    for index in 0..message.num_instructions() {
        let mut used = 0;
        let result = invoke.process_instruction(&mut used, timings);
        *units = units.saturating_add(used);
        result.map_err(|error| {
            // A transaction has at most 64 instructions.
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            TransactionError::InstructionError(index, error)
        })?;
    }
    Ok(())
}

/// The sum of lamports; `None` if there is none.
fn lamports(accounts: &[(Pubkey, AccountSharedData)]) -> Option<u128> {
    accounts.iter().try_fold(0u128, |sum, (_, account)| {
        sum.checked_add(u128::from(account.lamports()))
    })
}

/// What programs called, by the instruction of the transaction under which they did.
///
/// Follows `TransactionBatchProcessor::deconstruct_transaction`.
fn inner_instructions(context: &mut TransactionContext<'_>) -> Vec<InnerInstructions> {
    let calls = context.number_of_cpis_in_trace();
    if calls == 0 {
        return Vec::new();
    }
    let top = context.get_instruction_trace_length().saturating_sub(calls);
    let (frames, accounts, data) = context.take_instruction_trace();
    // Of each call, the instruction of the transaction it belongs to. Callers come before callees.
    let mut owners: Vec<Option<usize>> = Vec::with_capacity(calls);
    let mut lists: Vec<InnerInstructions> = Vec::new();
    for ((frame, data), accounts) in frames.into_iter().zip(data).zip(accounts).skip(top) {
        let caller = usize::from(frame.index_of_caller_instruction);
        let owner = match caller.checked_sub(top) {
            None => Some(caller),
            Some(call) => owners.get(call).copied().flatten(),
        };
        owners.push(owner);
        let Some(owner) = owner else {
            continue;
        };
        // A transaction has at most 64 instructions, which run one after the other.
        let index = u8::try_from(owner).unwrap_or(u8::MAX);
        if lists.last().is_none_or(|list| list.index != index) {
            let instructions = Vec::new();
            lists.push(InnerInstructions {
                index,
                instructions,
            });
        }
        let Some(list) = lists.last_mut() else {
            continue;
        };
        list.instructions.push(InnerInstruction {
            program: position(frame.program_account_index_in_tx),
            accounts: accounts
                .iter()
                .map(|account| position(account.index_in_transaction))
                .collect(),
            data: data.into_owned(),
            stack_height: u8::try_from(frame.nesting_level.saturating_add(1)).unwrap_or(u8::MAX),
        });
    }
    lists
}

/// A position among the accounts of a transaction, of which there are at most 256.
fn position(index: IndexOfAccount) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

/// A writable account as it was, as far as rent asks.
pub(super) struct Before {
    index: usize,
    state: RentState,
    lamports: u64,
    bytes: usize,
    owner: Pubkey,
}

/// The rule that an account must not sink below what exempts it from rent.
pub(super) struct Rents<'a> {
    rent: &'a Rent,
    /// Whether SIMD-392 is in force.
    is_relaxed: bool,
}

impl Rents<'_> {
    /// Remembers the writable accounts.
    ///
    /// Follows `TransactionAccountStateInfo::new_pre_exec`.
    pub(super) fn before(
        &self,
        message: &impl SVMMessage,
        accounts: &[(Pubkey, AccountSharedData)],
    ) -> SmallVec<[Before; 4]> {
        let writable = accounts
            .iter()
            .enumerate()
            .filter(|(index, _)| message.is_writable(*index));
        writable
            .map(|(index, (_, account))| {
                let (lamports, bytes) = (account.lamports(), account.data().len());
                let least = self.rent.minimum_balance(bytes);
                Before {
                    index,
                    state: get_pre_exec_account_rent_state(lamports, bytes, least, self.is_relaxed),
                    lamports,
                    bytes,
                    owner: *account.owner(),
                }
            })
            .collect()
    }

    /// Checks the same accounts as they are now.
    ///
    /// Follows `TransactionAccountStateInfo::new_post_exec` and `verify_changes`.
    pub(super) fn check(
        &self,
        before: &[Before],
        accounts: &[(Pubkey, AccountSharedData)],
    ) -> Result<(), TransactionError> {
        for before in before {
            let Some((key, account)) = accounts.get(before.index) else {
                continue;
            };
            let bytes = account.data().len();
            let is_relaxed = self.is_relaxed
                && before.bytes >= bytes
                && before.state == RentState::RentExempt
                && before.owner == *account.owner();
            let after = get_post_exec_account_rent_state(
                account.lamports(),
                bytes,
                self.rent.minimum_balance(bytes),
                &before.state,
                before.lamports,
                is_relaxed,
            );
            // A transaction has at most 256 accounts.
            let index = IndexOfAccount::try_from(before.index).unwrap_or(IndexOfAccount::MAX);
            check_rent_state_with_account(&before.state, &after, key, index)?;
        }
        Ok(())
    }
}
