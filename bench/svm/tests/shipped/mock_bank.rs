//! What stands in the place of the bank that `solana-svm` ships its tests with: accounts are leaves
//! of our state, written by our engine and read by the callbacks of our bank; builtins are what it
//! registers, and programs run in the environment it makes. The names are those that the tests use.
//!
//! Ours alone here: which accounts the processor looked at is noted for two of the tests; our bank
//! has no use for it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use solana_account::{Account, AccountSharedData, ReadableAccount as _};
use solana_clock::{Clock, Slot};
use solana_epoch_schedule::EpochSchedule;
use solana_precompile_error::PrecompileError;
use solana_program_runtime::execution_budget::SVMTransactionExecutionBudget;
use solana_program_runtime::loaded_programs::{
    BlockRelation, ForkGraph, ProgramRuntimeEnvironment,
};
use solana_program_runtime::program_cache_entry::ProgramCacheEntry;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{bpf_loader_upgradeable, sysvar};
use solana_svm::transaction_processor::TransactionBatchProcessor;
use solana_svm_callback::{AccountState, InvokeContextCallback, TransactionProcessingCallback};
use solana_svm_feature_set::SVMFeatureSet;
use trilith_bench_svm::bank::Bank;
use trilith_bench_svm::sbpf;

/// The slot in which tests run: after that of the deployment.
pub const EXECUTION_SLOT: u64 = 5;
/// The epoch in which they run.
pub const EXECUTION_EPOCH: u64 = 2;
/// The time of the clock: the first of January 2024.
pub const WALLCLOCK_TIME: i64 = 1_704_067_200;

/// There are no forks.
pub struct MockForkGraph {}

impl ForkGraph for MockForkGraph {
    fn relationship(&self, a: Slot, b: Slot) -> BlockRelation {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => BlockRelation::Ancestor,
            std::cmp::Ordering::Equal => BlockRelation::Equal,
            std::cmp::Ordering::Greater => BlockRelation::Descendant,
        }
    }
}

/// Accounts in our state.
pub struct Accounts(Bank);

impl Accounts {
    pub fn insert(&mut self, key: Pubkey, account: AccountSharedData) {
        self.0.write([(key, Account::from(account))]);
    }

    pub fn extend(&mut self, accounts: HashMap<Pubkey, AccountSharedData>) {
        let accounts = accounts.into_iter();
        self.0
            .write(accounts.map(|(key, account)| (key, Account::from(account))));
    }
}

type Inspected = HashMap<Pubkey, Vec<(Option<AccountSharedData>, bool)>>;

pub struct MockBankCallback {
    pub account_shared_data: Arc<RwLock<Accounts>>,
    pub inspected_accounts: Arc<RwLock<Inspected>>,
}

impl Default for MockBankCallback {
    fn default() -> Self {
        let mut bank = Bank::new();
        // It is there from genesis on; a test calls it as a program that does not exist.
        let token_2022 = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
        bank.write([(token_2022, Account::default())]);
        Self {
            account_shared_data: Arc::new(RwLock::new(Accounts(bank))),
            inspected_accounts: Arc::default(),
        }
    }
}

impl MockBankCallback {
    /// Our bank, with what was written to it.
    pub fn into_bank(self) -> Bank {
        let accounts = Arc::into_inner(self.account_shared_data).expect("there is one");
        accounts.into_inner().expect("nobody panicked").0
    }

    fn write(&self, key: Pubkey, account: AccountSharedData) {
        let mut accounts = self.account_shared_data.write().expect("nobody panicked");
        accounts.insert(key, account);
    }

    /// The sysvars of the tests, over those of our bank.
    #[allow(deprecated)]
    pub fn configure_sysvars(&self) {
        let clock = Clock {
            slot: EXECUTION_SLOT,
            epoch_start_timestamp: WALLCLOCK_TIME - 10,
            epoch: EXECUTION_EPOCH,
            leader_schedule_epoch: EXECUTION_EPOCH,
            unix_timestamp: WALLCLOCK_TIME,
        };
        let encoded = [
            (sysvar::clock::ID, bincode::serialize(&clock)),
            (sysvar::rent::ID, bincode::serialize(&Rent::default())),
            (
                sysvar::epoch_schedule::ID,
                bincode::serialize(&EpochSchedule::without_warmup()),
            ),
            // One entry: a blockhash and the price of a signature.
            (
                sysvar::recent_blockhashes::ID,
                Ok([&1u64.to_le_bytes()[..], &[0; 40]].concat()),
            ),
        ];
        for (key, data) in encoded {
            let account = Account {
                lamports: 1,
                data: data.expect("a sysvar has an encoding"),
                owner: sysvar::ID,
                ..Account::default()
            };
            self.write(key, account.into());
        }
    }
}

impl TransactionProcessingCallback for MockBankCallback {
    fn get_account_shared_data(&self, key: &Pubkey) -> Option<(AccountSharedData, Slot)> {
        let accounts = self.account_shared_data.read().expect("nobody panicked");
        let callbacks = accounts.0.callbacks();
        let account = callbacks.get_account_shared_data(key);
        callbacks.check().expect("the state is sound");
        account
    }

    fn inspect_account(&self, key: &Pubkey, state: AccountState<'_>, is_writable: bool) {
        let account = match state {
            AccountState::Dead => None,
            AccountState::Alive(account) => Some(account.clone()),
        };
        let mut inspected = self.inspected_accounts.write().expect("nobody panicked");
        inspected
            .entry(*key)
            .or_default()
            .push((account, is_writable));
    }
}

impl InvokeContextCallback for MockBankCallback {
    fn get_epoch_stake(&self) -> u64 {
        let accounts = self.account_shared_data.read().expect("nobody panicked");
        accounts.0.callbacks().get_epoch_stake()
    }

    fn get_epoch_stake_for_vote_account(&self, vote: &Pubkey) -> u64 {
        let accounts = self.account_shared_data.read().expect("nobody panicked");
        accounts
            .0
            .callbacks()
            .get_epoch_stake_for_vote_account(vote)
    }

    fn is_precompile(&self, program: &Pubkey) -> bool {
        let accounts = self.account_shared_data.read().expect("nobody panicked");
        accounts.0.callbacks().is_precompile(program)
    }

    fn process_precompile(
        &self,
        program: &Pubkey,
        data: &[u8],
        instructions: Vec<&[u8]>,
    ) -> Result<(), PrecompileError> {
        let accounts = self.account_shared_data.read().expect("nobody panicked");
        let callbacks = accounts.0.callbacks();
        callbacks.process_precompile(program, data, instructions)
    }
}

/// A program of the tests, linked.
pub fn load_program(name: String) -> Vec<u8> {
    let object: &[u8] = match &name[..] {
        "hello-solana" => include_bytes!("../../programs/hello-solana.o"),
        "simple-transfer" => include_bytes!("../../programs/simple-transfer.o"),
        "clock-sysvar" => include_bytes!("../../programs/clock-sysvar.o"),
        "write-to-account" => include_bytes!("../../programs/write-to-account.o"),
        other => panic!("there is no program {other}"),
    };
    sbpf::link(object)
}

/// The address of a program of the tests.
pub fn program_address(name: &str) -> Pubkey {
    let address = Pubkey::create_with_seed(&Pubkey::default(), name, &Pubkey::default());
    address.expect("the name is short")
}

/// Tag, slot and authority before the code of a program.
const HEAD_BYTES: usize = 45;

/// Bytes of the account that holds a program's code.
pub fn program_data_size(name: &str) -> usize {
    HEAD_BYTES + load_program(name.to_owned()).len()
}

/// Writes a program of the upgradeable loader.
pub fn deploy_program_with_upgrade_authority(
    name: String,
    slot: Slot,
    bank: &MockBankCallback,
    authority: Option<Pubkey>,
) -> Pubkey {
    let program = program_address(&name);
    let loader = bpf_loader_upgradeable::ID;
    let (at, _) = Pubkey::find_program_address(&[program.as_ref()], &loader);
    let account = |data: Vec<u8>, executable| Account {
        lamports: Rent::default().minimum_balance(data.len()),
        data,
        owner: loader,
        executable,
        rent_epoch: 0,
    };
    let named = [&2u32.to_le_bytes()[..], at.as_ref()].concat();
    bank.write(program, account(named, true).into());
    let mut code = [&3u32.to_le_bytes()[..], &slot.to_le_bytes()].concat();
    code.push(u8::from(authority.is_some()));
    code.extend(authority.unwrap_or_default().as_ref());
    code.extend(load_program(name));
    bank.write(at, account(code, false).into());
    program
}

/// Registers the programs of the processor itself. Their accounts are in our state from genesis on;
/// one test expects a name and a balance that ours do not have.
pub fn register_builtins(
    bank: &MockBankCallback,
    processor: &TransactionBatchProcessor<MockForkGraph>,
) {
    for builtin in solana_builtins::BUILTINS {
        if builtin.enable_feature_id.is_some() {
            continue;
        }
        let entry = ProgramCacheEntry::new_builtin(0, builtin.name.len(), builtin.register_fn);
        processor.add_builtin(builtin.program_id, entry);
        if builtin.program_id == solana_sdk_ids::system_program::ID {
            let account = Account {
                lamports: 5_000,
                data: b"system_program".to_vec(),
                owner: solana_sdk_ids::native_loader::ID,
                executable: true,
                rent_epoch: 0,
            };
            bank.write(builtin.program_id, account.into());
        }
    }
    let accounts = bank.account_shared_data.read().expect("nobody panicked");
    let loader = accounts
        .0
        .callbacks()
        .get_account_shared_data(&bpf_loader_upgradeable::ID);
    assert!(loader.is_some_and(|(account, _)| account.lamports() > 0));
}

/// The gates in force in our bank, which the tests run under.
pub fn features() -> SVMFeatureSet {
    static FEATURES: LazyLock<SVMFeatureSet> =
        LazyLock::new(|| Bank::new().features().runtime_features());
    *FEATURES
}

/// The environment that our bank makes for programs.
pub fn create_custom_loader() -> ProgramRuntimeEnvironment {
    let features = features();
    let budget =
        SVMTransactionExecutionBudget::new_with_defaults(features.raise_cpi_nesting_limit_to_8);
    solana_syscalls::create_program_runtime_environment(&features, &budget, false, false)
        .expect("system calls can be registered")
}
