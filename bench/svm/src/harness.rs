//! One instruction through three: the harness of `solana-svm` as it is, the same with the callbacks
//! of our bank, and a transaction in our bank. All three must come to the same.

use solana_account::Account;
use solana_compute_budget::compute_budget::ComputeBudget;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_program_runtime::loaded_programs::ProgramCacheForTxBatch;
use solana_program_runtime::program_cache_entry::ProgramCacheEntry;
use solana_program_runtime::solana_sbpf::program::BuiltinFunctionDefinition as _;
use solana_program_runtime::sysvar_cache::SysvarCache;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program, sysvar};
use solana_svm::conformance::callback::ConformanceCallback;
use solana_svm::conformance::instr::context::InstrContext;
use solana_svm::conformance::instr::effects::InstrEffects;
use solana_svm::conformance::instr::harness::{execute_instr_proto, execute_instr_with_callback};
use solana_svm::conformance::programs::{
    fill_program_cache_from_accounts, new_program_cache_with_builtins,
};
use solana_svm_callback::InvokeContextCallback;
use solana_svm_feature_set::SVMFeatureSet;

use crate::bank::Bank;
use crate::transaction;

/// Who pays for transactions; no case names it.
pub const PAYER: Pubkey = Pubkey::new_from_array([2; 32]);
/// Sysvars that the harness is given.
const SYSVARS: [Pubkey; 6] = [
    sysvar::clock::ID,
    sysvar::rent::ID,
    sysvar::epoch_schedule::ID,
    sysvar::slot_hashes::ID,
    sysvar::stake_history::ID,
    sysvar::last_restart_slot::ID,
];

/// One instruction and the accounts that it meets.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is, for the tally.
    pub kind: &'static str,
    /// Accounts that are as the case says: absent where they have no lamports.
    pub accounts: Vec<(Pubkey, Account)>,
    /// Accounts of the bank that the harness needs to see: programs.
    pub shared: Vec<Pubkey>,
    /// The instruction.
    pub instruction: Instruction,
    /// Compute units that it may use.
    pub units: u32,
}

/// The ways in which a case can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It succeeded.
    Succeeded,
    /// The instruction failed.
    Failed,
    /// The instruction failed with an error of the program's own.
    Custom,
    /// The instruction succeeded, and the transaction left an account liable to rent.
    Rent,
}

/// The gates in force, in the three forms in which they are asked for.
pub struct Gates {
    runtime: SVMFeatureSet,
    proto: protosol::protos::FeatureSet,
}

impl Gates {
    /// The gates in force in a bank.
    pub fn of(bank: &Bank) -> Self {
        let set = bank.features();
        let features = set
            .active()
            .keys()
            .map(|id| u64::from_le_bytes(std::array::from_fn(|index| id.as_array()[index])))
            .collect();
        Self {
            runtime: set.runtime_features(),
            proto: protosol::protos::FeatureSet { features },
        }
    }

    /// The same without the gate that lets accounts be created that have lamports already.
    pub fn without_prefunding(mut self) -> Self {
        let id = agave_feature_set::create_account_allow_prefund::ID;
        let prefix = u64::from_le_bytes(std::array::from_fn(|index| id.as_array()[index]));
        self.proto.features.retain(|feature| *feature != prefix);
        self.runtime.create_account_allow_prefund = false;
        self
    }

    /// As a transaction processor asks for them.
    pub fn runtime(&self) -> &SVMFeatureSet {
        &self.runtime
    }

    /// As fixtures name them.
    pub fn proto(&self) -> &protosol::protos::FeatureSet {
        &self.proto
    }
}

/// Runs a case in all three.
///
/// # Errors
/// What differs.
pub fn judge(bank: &mut Bank, gates: &Gates, case: &Case, number: u64) -> Result<End, String> {
    let payer = Account {
        lamports: 1_000_000_000_000,
        ..Account::default()
    };
    bank.write(case.accounts.iter().cloned().chain([(PAYER, payer)]));
    let accounts = seen(bank, case);
    let input = || InstrContext {
        feature_set: gates.runtime,
        accounts: accounts.clone(),
        instruction: case.instruction.clone(),
        cu_avail: u64::from(case.units),
    };
    let effects = run_with(&bank.callbacks(), input(), gates);
    if is_precompile(&case.instruction.program_id) {
        // The harness of fixtures does not find precompiles among its programs.
        same_effects(&run_with(&ConformanceCallback, input(), gates), &effects)?;
    } else {
        same_as_fixture(case, &accounts, gates, &effects)?;
    }
    bank.callbacks()
        .check()
        .map_err(|fault| fault.to_string())?;
    transaction::same_as_bank(bank, gates, case, &accounts, &effects, number)
}

pub(crate) fn is_precompile(program: &Pubkey) -> bool {
    [
        ed25519_program::ID,
        secp256k1_program::ID,
        secp256r1_program::ID,
    ]
    .contains(program)
}

/// All accounts that the harness sees.
fn seen(bank: &Bank, case: &Case) -> Vec<(Pubkey, Account)> {
    let mut accounts = case.accounts.clone();
    for key in SYSVARS.iter().chain(&case.shared) {
        let known = accounts.iter().any(|(known, _)| known == key);
        if let Some(account) = bank.account(key).filter(|_| !known) {
            accounts.push((*key, account));
        }
    }
    for meta in &case.instruction.accounts {
        let recent = meta.pubkey == sysvar::recent_blockhashes::ID;
        if !recent && !accounts.iter().any(|(known, _)| *known == meta.pubkey) {
            let account = bank.account(&meta.pubkey).unwrap_or_default();
            accounts.push((meta.pubkey, account));
        }
    }
    // The harness takes the last of the recent blockhashes for the newest, where they stand from
    // the newest on.
    let newest = [
        &1u64.to_le_bytes()[..],
        bank.blockhash().as_ref(),
        &5_000u64.to_le_bytes(),
    ]
    .concat();
    let recent = Account {
        lamports: 1,
        data: newest,
        owner: sysvar::ID,
        ..Account::default()
    };
    accounts.push((sysvar::recent_blockhashes::ID, recent));
    for (_, account) in &mut accounts {
        account.rent_epoch = u64::MAX;
    }
    accounts
}

/// The harness with callbacks of our choice.
fn run_with<C: InvokeContextCallback>(
    callback: &C,
    input: InstrContext,
    gates: &Gates,
) -> InstrEffects {
    let mut sysvars = SysvarCache::default();
    sysvars.fill_missing_entries(|key, set| {
        if let Some((_, account)) = input.accounts.iter().find(|(known, _)| known == key) {
            set(&account.data);
        }
    });
    let slot = sysvars.get_clock().expect("there is a clock").slot;
    let mut programs = programs(&input.accounts, gates, slot);
    if is_precompile(&input.instruction.program_id) {
        // It is never called: a precompile is looked for first.
        let name = input.instruction.program_id;
        let register = solana_system_program::system_processor::Entrypoint::register;
        programs.replenish(name, ProgramCacheEntry::new_builtin(0, 0, register).into());
    }
    execute_instr_with_callback(&input, callback, &mut programs, &sysvars)
}

fn programs(accounts: &[(Pubkey, Account)], gates: &Gates, slot: u64) -> ProgramCacheForTxBatch {
    let budget = ComputeBudget::new_with_defaults(gates.runtime.raise_cpi_nesting_limit_to_8);
    let environment = solana_syscalls::create_program_runtime_environment(
        &gates.runtime,
        &budget.to_budget(),
        false,
        false,
    );
    let mut cache = new_program_cache_with_builtins(slot);
    let environment = environment.expect("system calls can be registered");
    fill_program_cache_from_accounts(&mut cache, &environment, accounts, slot)
        .expect("accounts are named once");
    cache
}

fn same_effects(theirs: &InstrEffects, ours: &InstrEffects) -> Result<(), String> {
    let told = |effects: &InstrEffects| {
        (
            effects.result.clone(),
            effects.custom_err,
            effects.cu_avail,
            effects.return_data.clone(),
            effects.resulting_accounts.clone(),
            effects.logs.clone(),
        )
    };
    equal("callbacks", &told(theirs), &told(ours))
}

/// The harness as it is, with its own callbacks, in the form of fixtures.
fn same_as_fixture(
    case: &Case,
    accounts: &[(Pubkey, Account)],
    gates: &Gates,
    ours: &InstrEffects,
) -> Result<(), String> {
    let place = |key: &Pubkey| {
        let found = accounts.iter().position(|(known, _)| known == key);
        found.expect("a case lists the accounts it names") as u32
    };
    let input = protosol::protos::InstrContext {
        program_id: case.instruction.program_id.to_bytes().to_vec(),
        accounts: accounts
            .iter()
            .map(|(key, account)| protosol::protos::AcctState {
                address: key.to_bytes().to_vec(),
                lamports: account.lamports,
                data: account.data.clone(),
                executable: account.executable,
                owner: account.owner.to_bytes().to_vec(),
            })
            .collect(),
        instr_accounts: case
            .instruction
            .accounts
            .iter()
            .map(|meta| protosol::protos::InstrAcct {
                index: place(&meta.pubkey),
                is_writable: meta.is_writable,
                is_signer: meta.is_signer,
            })
            .collect(),
        data: case.instruction.data.clone(),
        cu_avail: u64::from(case.units),
        features: Some(gates.proto.clone()),
    };
    let theirs = execute_instr_proto(input);
    let code = |error: &InstructionError| {
        let encoded = bincode::serialize(error).expect("an error has an encoding");
        i32::from_le_bytes(std::array::from_fn(|index| encoded[index])) + 1
    };
    equal(
        "the result of the fixture",
        &theirs.result,
        &ours.result.as_ref().map_or(0, code),
    )?;
    equal(
        "the custom error",
        &theirs.custom_err,
        &ours.custom_err.unwrap_or(0),
    )?;
    equal("the units left", &theirs.cu_avail, &ours.cu_avail)?;
    equal("the return data", &theirs.return_data, &ours.return_data)?;
    let theirs: Vec<_> = theirs
        .modified_accounts
        .into_iter()
        .map(|account| {
            (
                account.address,
                account.lamports,
                account.data,
                account.owner,
                account.executable,
            )
        })
        .collect();
    let ours: Vec<_> = ours
        .resulting_accounts
        .iter()
        .cloned()
        .map(|(key, account)| {
            (
                key.to_bytes().to_vec(),
                account.lamports,
                account.data,
                account.owner.to_bytes().to_vec(),
                account.executable,
            )
        })
        .collect();
    equal("the accounts of the fixture", &theirs, &ours)
}

/// Fails with both where they differ.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    theirs: &T,
    ours: &T,
) -> Result<(), String> {
    if theirs == ours {
        return Ok(());
    }
    Err(format!("{what}:\ntheirs {theirs:?}\nours   {ours:?}"))
}
