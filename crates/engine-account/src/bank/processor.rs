//! What runs transactions, and `solana-svm` behind it.
//!
//! The bank speaks to [`Processor`] only, so that a new version of the ecosystem's crates changes
//! this file and those below it alone, and [`super::watch`], which makes the classic profile of it.
//! Most transactions do not need all that the processor does; for them there is [`quick`].

mod fork;
mod quick;

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use smallvec::SmallVec;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_builtins::BUILTINS;
use solana_builtins::prototype::BuiltinPrototype;
use solana_compute_budget::compute_budget::SVMTransactionExecutionBudget;
use solana_fee_structure::FeeDetails;
use solana_hash::Hash;
use solana_precompile_error::PrecompileError;
use solana_program_runtime::execution_budget::SVMTransactionExecutionAndFeeBudgetLimits;
use solana_program_runtime::invoke_context::BuiltinFunctionRegisterer;
use solana_program_runtime::loaded_programs::{
    BlockRelation, ForkGraph, ProgramRuntimeEnvironment, ProgramRuntimeEnvironments,
};
use solana_program_runtime::program_cache_entry::ProgramCacheEntry;
use solana_pubkey::Pubkey;
use solana_svm::account_loader::{CheckedTransactionDetails, LoadedTransaction};
use solana_svm::rollback_accounts::RollbackAccounts;
use solana_svm::transaction_balances::SvmTokenInfo;
use solana_svm::transaction_execution_result::ExecutedTransaction;
use solana_svm::transaction_processing_result::ProcessedTransaction;
use solana_svm::transaction_processor::{
    ExecutionRecordingConfig, TransactionBatchProcessor, TransactionProcessingConfig,
    TransactionProcessingEnvironment,
};
use solana_svm_callback::{InvokeContextCallback, TransactionProcessingCallback};
use solana_svm_transaction::svm_message::SVMMessage as _;
use solana_transaction_error::{TransactionError, TransactionResult};
use trilith_params::account::{LOG_BYTES_MAX, SIGNATURE_LAMPORTS};
use trilith_protocol::Fault;

use super::accounts::Accounts;
use super::decode::Sanitized;
use super::profile::Profile;
use super::warm::Rules;
use super::{budget, precompile, sysvar, watch};
use crate::record::{InnerInstruction, InnerInstructions, ReturnData, TokenBalance};

/// A transaction that passed the checks of the bank.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Checked {
    /// The nonce account that takes the place of a recent blockhash.
    pub(crate) nonce: Option<Pubkey>,
    /// Budget, limits and fees.
    pub(crate) budget: SVMTransactionExecutionAndFeeBudgetLimits,
}

/// What became of a transaction: `Err` if it could not be charged and had no effect.
pub(crate) type Processed = Result<Charged, TransactionError>;

/// Accounts to write, with their positions in a message.
pub(crate) type Writes = SmallVec<[(usize, AccountSharedData); 4]>;

/// A transaction that was charged.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Charged {
    pub(crate) status: TransactionResult<()>,
    pub(crate) fees: FeeDetails,
    pub(crate) units: u64,
    pub(crate) loaded_bytes: u32,
    pub(crate) logs: Vec<Cow<'static, str>>,
    pub(crate) inner: Vec<InnerInstructions>,
    pub(crate) returned: Option<ReturnData>,
    /// Accounts to write, with their positions in the message, in its order.
    pub(crate) writes: Writes,
    /// Lamports of its accounts before and after, in message order.
    pub(crate) balances: [SmallVec<[u64; 8]>; 2],
    pub(crate) tokens: [Vec<TokenBalance>; 2],
}

/// The circumstances of a slot.
pub(crate) struct Slot {
    pub(crate) slot: u64,
    pub(crate) epoch: u64,
    /// The newest blockhash, from which nonces take their next value.
    pub(crate) blockhash: Hash,
}

/// Runs transactions.
pub(crate) trait Processor: Send + Sync {
    /// Prepares for transactions of `slot` on `accounts`.
    fn begin(&mut self, slot: &Slot, accounts: &Accounts<'_>);

    /// Runs transactions in their order; each sees what those before it wrote. May be called by
    /// several threads for groups that do not conflict. `keep` says whether the writes will be
    /// made: then programs deployed by them are remembered.
    ///
    /// # Errors
    /// [`Fault`] if this node failed; what the transactions came to is then unknown.
    fn process(
        &self,
        accounts: &Accounts<'_>,
        transactions: &[Sanitized],
        checked: Vec<Result<Checked, TransactionError>>,
        keep: bool,
    ) -> Result<Vec<Processed>, Fault>;
}

/// There are no forks: every earlier slot is an ancestor.
struct Line;

impl ForkGraph for Line {
    fn relationship(&self, a: u64, b: u64) -> BlockRelation {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => BlockRelation::Ancestor,
            std::cmp::Ordering::Equal => BlockRelation::Equal,
            std::cmp::Ordering::Greater => BlockRelation::Descendant,
        }
    }
}

/// `solana-svm`, with compiled programs kept between slots.
pub(crate) struct Svm {
    batch: TransactionBatchProcessor<Line>,
    /// The processor holds it weakly.
    line: Arc<RwLock<Line>>,
    programs: ProgramRuntimeEnvironment,
    rules: Rules,
    environment: TransactionProcessingEnvironment,
    slot: u64,
    /// What plain transactions are run with.
    kits: quick::Kits,
    /// Programs for short stacks, which instances may share.
    shallow: Arc<quick::Shallow>,
}

impl Svm {
    /// A processor for these rules that has compiled nothing yet.
    ///
    /// # Errors
    /// [`Fault`] if the system calls cannot be registered, or nothing watches a program that must
    /// be watched.
    pub(crate) fn new(rules: &Rules) -> Result<Self, Fault> {
        if let Some((builtin, _)) = builtins(rules).find(|(_, register)| register.is_none()) {
            let program = builtin.program_id;
            return Err(Fault(format!("nothing watches the program {program}")));
        }
        let programs = system_calls(rules, &bounds(rules))?;
        Ok(Self::with_environment(rules.clone(), programs))
    }

    /// A processor for these rules and the environment made for them.
    fn with_environment(rules: Rules, programs: ProgramRuntimeEnvironment) -> Self {
        let mut batch = TransactionBatchProcessor::new_uninitialized(0, 0);
        let line = Arc::new(RwLock::new(Line));
        batch
            .global_program_cache
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .set_fork_graph(Arc::downgrade(&line));
        batch.set_program_runtime_environment(programs.clone());
        if rules.profile.is_watched() {
            batch.set_execution_cost(watch::costs());
        }
        for (builtin, register) in builtins(&rules) {
            if let Some(register) = register {
                let entry = ProgramCacheEntry::new_builtin(0, builtin.name.len(), register);
                batch.add_builtin(builtin.program_id, entry);
            }
        }
        let environment = TransactionProcessingEnvironment {
            blockhash: Hash::default(),
            blockhash_lamports_per_signature: SIGNATURE_LAMPORTS,
            alpenglow_migration_succeeded: false,
            epoch_total_stake: 0,
            feature_set: rules.features.runtime_features(),
            program_runtime_environments: ProgramRuntimeEnvironments::new(
                programs.clone(),
                programs.clone(),
            ),
            rent: sysvar::rent(),
        };
        Self {
            batch,
            line,
            programs,
            rules,
            environment,
            slot: 0,
            kits: quick::Kits::default(),
            shallow: Arc::default(),
        }
    }

    /// Remembers the programs that a transaction deployed, upgraded or closed.
    fn keep_programs(&self, results: &[TransactionResult<ProcessedTransaction>], slot: u64) {
        for result in results {
            let Ok(ProcessedTransaction::Executed(executed)) = result else {
                continue;
            };
            if executed.was_successful() && !executed.programs_modified_by_tx.is_empty() {
                self.batch
                    .global_program_cache
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .merge(&self.programs, slot, &executed.programs_modified_by_tx);
                self.kits.outdate();
            }
        }
    }
}

/// How deep programs may go, among others.
fn bounds(rules: &Rules) -> SVMTransactionExecutionBudget {
    if rules.profile.is_watched() {
        return budget::classic_bounds();
    }
    let raised = rules.features.snapshot().raise_cpi_nesting_limit_to_8;
    SVMTransactionExecutionBudget::new_with_defaults(raised)
}

/// The system calls in force, for programs within bounds.
///
/// # Errors
/// [`Fault`] if they cannot be registered.
fn system_calls(
    rules: &Rules,
    bounds: &SVMTransactionExecutionBudget,
) -> Result<ProgramRuntimeEnvironment, Fault> {
    solana_syscalls::create_program_runtime_environment(
        &rules.features.runtime_features(),
        bounds,
        false,
        false,
    )
    .map_err(|error| Fault(format!("cannot register system calls: {error}")))
}

/// The programs of the processor itself that are in force, each with how it is registered; with
/// nothing where it must be watched and no watch knows it.
fn builtins(
    rules: &Rules,
) -> impl Iterator<Item = (&'static BuiltinPrototype, Option<BuiltinFunctionRegisterer>)> {
    let each = rules.profile == Profile::Classic;
    let in_force = BUILTINS.iter().filter(|builtin| {
        builtin
            .enable_feature_id
            .is_none_or(|gate| rules.features.is_active(&gate))
    });
    in_force.map(move |builtin| {
        let register = if rules.profile.is_watched() {
            watch::registerer(&builtin.program_id, each)
        } else {
            Some(builtin.register_fn)
        };
        (builtin, register)
    })
}

impl Processor for Svm {
    fn begin(&mut self, slot: &Slot, accounts: &Accounts<'_>) {
        {
            let mut cache = self
                .batch
                .global_program_cache
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
            let root = slot.slot.saturating_sub(1);
            if cache.latest_root_slot < root {
                cache.prune(root, None, &line);
            }
        }
        self.batch = self.batch.new_from(slot.slot, slot.epoch);
        self.batch
            .fill_missing_sysvar_cache_entries(&Callback(accounts));
        self.environment.blockhash = slot.blockhash;
        self.slot = slot.slot;
        self.kits.outdate();
    }

    fn process(
        &self,
        accounts: &Accounts<'_>,
        transactions: &[Sanitized],
        checked: Vec<Result<Checked, TransactionError>>,
        keep: bool,
    ) -> Result<Vec<Processed>, Fault> {
        self.process_on(&Callback(accounts), transactions, checked, keep)
    }
}

impl Svm {
    /// Runs transactions by `solana-svm` on what `callback` gives.
    fn process_on(
        &self,
        callback: &(impl TransactionProcessingCallback + InvokeContextCallback),
        transactions: &[Sanitized],
        checked: Vec<Result<Checked, TransactionError>>,
        keep: bool,
    ) -> Result<Vec<Processed>, Fault> {
        let checked = checked
            .into_iter()
            .map(|checked| {
                checked.map(|checked| CheckedTransactionDetails::new(checked.nonce, checked.budget))
            })
            .collect();
        let config = TransactionProcessingConfig {
            log_messages_bytes_limit: Some(LOG_BYTES_MAX),
            // Simulations run on other versions of the state than the programs were compiled for.
            check_program_deployment_slot: !keep,
            recording_config: ExecutionRecordingConfig::new_single_setting(true),
            ..TransactionProcessingConfig::default()
        };
        let output = self.batch.load_and_execute_sanitized_transactions(
            callback,
            transactions,
            checked,
            &self.environment,
            &config,
        );
        let (before, after, tokens_before, tokens_after) = output
            .balance_collector
            .ok_or_else(|| Fault("the transaction processor gave up a batch".to_owned()))?
            .into_vecs();
        let results = output.processing_results;
        if keep {
            self.keep_programs(&results, self.slot);
        }
        let balances = before.into_iter().zip(after);
        let tokens = tokens_before.into_iter().zip(tokens_after);
        results
            .into_iter()
            .zip(transactions)
            .zip(balances.zip(tokens))
            .map(|((result, transaction), (balances, tokens))| match result {
                // Depends on what this node has cached, so it must never become an outcome.
                Err(TransactionError::ProgramCacheHitMaxLimit) => {
                    Err(Fault("the cache of programs is full".to_owned()))
                }
                Err(error) => Ok(Err(error)),
                Ok(processed) => {
                    let mut charged = charged(processed, transaction);
                    charged.balances = [balances.0, balances.1].map(SmallVec::from_vec);
                    charged.tokens =
                        [tokens.0, tokens.1].map(|list| list.into_iter().map(token).collect());
                    Ok(Ok(charged))
                }
            })
            .collect()
    }
}

fn token(info: SvmTokenInfo) -> TokenBalance {
    TokenBalance {
        account: info.account_index,
        mint: info.mint,
        owner: info.owner,
        program: info.program_id,
        amount: info.amount,
        decimals: info.decimals,
    }
}

/// What a transaction came to, without its balances.
fn charged(processed: ProcessedTransaction, transaction: &Sanitized) -> Charged {
    let units = processed.executed_units();
    let fees = processed.fee_details();
    let loaded_bytes = processed.loaded_accounts_data_size();
    let status = processed.status();
    let mut charged = Charged {
        status,
        fees,
        units,
        loaded_bytes,
        logs: Vec::new(),
        inner: Vec::new(),
        returned: None,
        writes: Writes::new(),
        balances: Default::default(),
        tokens: Default::default(),
    };
    match processed {
        ProcessedTransaction::FeesOnly(fees_only) => {
            charged.writes = rolled_back(&fees_only.rollback_accounts, transaction);
        }
        ProcessedTransaction::Executed(executed) => {
            let ExecutedTransaction {
                loaded_transaction,
                execution_details,
                ..
            } = *executed;
            charged.writes = if charged.status.is_ok() {
                written(loaded_transaction, transaction)
            } else {
                rolled_back(&loaded_transaction.rollback_accounts, transaction)
            };
            let logs = execution_details.log_messages.unwrap_or_default();
            charged.logs = logs.into_iter().map(Cow::Owned).collect();
            let inner = execution_details.inner_instructions.unwrap_or_default();
            charged.inner = inner_instructions(inner);
            charged.returned = execution_details
                .return_data
                .filter(|returned| !returned.data.is_empty())
                .map(|returned| ReturnData {
                    program: returned.program_id,
                    data: returned.data,
                });
        }
    }
    charged
}

fn rolled_back(accounts: &RollbackAccounts, transaction: &Sanitized) -> Writes {
    let keys = transaction.account_keys();
    let place = |(key, account): &(Pubkey, AccountSharedData)| {
        let position = keys.iter().position(|other| other == key)?;
        Some((position, account.clone()))
    };
    let mut writes: Writes = accounts.iter().filter_map(place).collect();
    writes.sort_unstable_by_key(|(position, _)| *position);
    writes
}

/// The accounts that a successful transaction wrote.
fn written(loaded: LoadedTransaction, transaction: &Sanitized) -> Writes {
    let touched = loaded.touched_flags;
    loaded
        .accounts
        .into_iter()
        .enumerate()
        .filter(|(index, _)| {
            transaction.is_writable(*index)
                && touched.get(*index).copied().unwrap_or(true)
                && (!transaction.is_invoked(*index) || transaction.is_instruction_account(*index))
        })
        .map(|(index, (_, account))| (index, account))
        .collect()
}

fn inner_instructions(
    list: solana_message::inner_instruction::InnerInstructionsList,
) -> Vec<InnerInstructions> {
    list.into_iter()
        .enumerate()
        .filter(|(_, instructions)| !instructions.is_empty())
        .map(|(index, instructions)| InnerInstructions {
            // A transaction has at most 64 top-level instructions.
            index: u8::try_from(index).unwrap_or(u8::MAX),
            instructions: instructions
                .into_iter()
                .map(|inner| InnerInstruction {
                    program: inner.instruction.program_id_index,
                    accounts: inner.instruction.accounts,
                    data: inner.instruction.data,
                    stack_height: inner.stack_height,
                })
                .collect(),
        })
        .collect()
}

/// How the processor asks for accounts and precompiles.
pub(crate) struct Callback<'a, 'b>(pub(crate) &'a Accounts<'b>);

impl TransactionProcessingCallback for Callback<'_, '_> {
    fn get_account_shared_data(&self, key: &Pubkey) -> Option<(AccountSharedData, u64)> {
        // The slot of the last change serves a statistic only.
        self.0
            .get_for_thread(key)
            .filter(|account| account.lamports() > 0)
            .map(|account| (account, 0))
    }
}

impl InvokeContextCallback for Callback<'_, '_> {
    fn get_epoch_stake(&self) -> u64 {
        0
    }

    fn get_epoch_stake_for_vote_account(&self, _: &Pubkey) -> u64 {
        0
    }

    fn is_precompile(&self, program: &Pubkey) -> bool {
        precompile::is_precompile(program)
    }

    fn process_precompile(
        &self,
        program: &Pubkey,
        data: &[u8],
        instructions: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        precompile::process(program, data, &instructions)
    }
}
