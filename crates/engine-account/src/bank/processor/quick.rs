//! Our own loop for plain transactions: those that run programs which are at hand and can change
//! none of them.
//!
//! `solana-svm` runs everything. For a transfer, most of what it does is bookkeeping that nothing
//! here asks for: it reads clocks, counts in places that all threads share, and looks each account
//! up by its key many times. This loop does what is left over the same parts of the ecosystem (the
//! context of a transaction, the context of its calls, the checks of payers and of rent), and
//! leaves whatever is not plain to `solana-svm`.
//!
//! *Plain* is a transaction without a durable nonce, none of whose accounts is a loader, a
//! signature program or the sysvar of instructions, and whose programs are compiled and in force.
//! A loader that is not among the accounts cannot be called, so no program changes.
//!
//! Invariant: **a transaction comes to exactly the same here as in `solana-svm`**, in every field
//! of [`Charged`] and in the error of one that is not charged. Which transactions are plain depends
//! on what this node has compiled, so any difference would split a network.
//!
//! Must not know rounds or lanes: it sees one transaction at a time. What is kept between calls of
//! [`Svm::quickly`] is a [`Kit`], which holds nothing of the accounts of a call.
//!
//! Source of every rule: crate `solana-svm` 4.2.2, `TransactionBatchProcessor`; each function names
//! the one it follows.

mod execute;
mod held;
mod kit;
mod load;
mod memory;
mod shallow;
mod tokens;
mod transfer;

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use smallvec::{SmallVec, smallvec};
use solana_account::{AccountSharedData, ReadableAccount, WritableAccount as _};
use solana_program_runtime::program_cache_entry::{
    ProgramCacheEntry, ProgramCacheEntryOwner, ProgramCacheEntryType,
};
use solana_program_runtime::sysvar_cache::SysvarCache;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, loader_v4, sysvar,
};
use solana_svm_transaction::svm_message::SVMMessage;
use solana_transaction_error::TransactionError;

use super::{Callback, Charged, Checked, Processed, Svm, Writes};
use crate::bank::accounts::Accounts;
use crate::bank::budget::Limits;
use crate::bank::lane::Locked;
use crate::bank::precompile;
use crate::record::TokenBalance;
use execute::Execution;
use held::Standing;
use kit::Kit;
pub(super) use kit::Kits;
use load::Loaded;
pub(super) use shallow::Shallow;
use shallow::Stacks;

/// Loaders, which can change programs, and the sysvar that is made anew for each transaction.
const APART: [Pubkey; 5] = [
    bpf_loader_deprecated::ID,
    bpf_loader::ID,
    bpf_loader_upgradeable::ID,
    loader_v4::ID,
    sysvar::instructions::ID,
];

impl Svm {
    /// Lets `work` run transactions in less time where they are plain. `None` where none is.
    pub(crate) fn quickly<R>(
        &self,
        accounts: &Accounts<'_>,
        work: impl FnOnce(&mut Quick<'_, '_>) -> R,
    ) -> Option<R> {
        if self.rules.profile.is_watched() {
            return None;
        }
        let mut kit = self.kits.take(self);
        let sysvars = self.batch.sysvar_cache();
        let done = work(&mut Quick {
            svm: self,
            accounts,
            kit: &mut kit,
            sysvars: &sysvars,
        });
        drop(sysvars);
        self.kits.give(kit);
        Some(done)
    }

    /// The compiled program at `key`, if it is the one in force and nothing has to be done for it.
    ///
    /// Follows `ProgramCache::extract`, which takes the newest entry unless something is the matter
    /// with it, and which cannot be asked without taking the task to load what is missing.
    fn compiled(
        &self,
        key: &Pubkey,
        loader: ProgramCacheEntryOwner,
    ) -> Option<Arc<ProgramCacheEntry>> {
        let cache = self.batch.global_program_cache.read();
        let cache = cache.unwrap_or_else(PoisonError::into_inner);
        // In spite of its name, the way to look at the entries of one program.
        let entry = cache.get_slot_versions_for_tests(key).last()?;
        let is_in_force = matches!(entry.program, ProgramCacheEntryType::Loaded(_))
            && entry.account_owner == loader
            && entry.program.get_environment() == Some(&self.programs)
            && entry.deployment_slot <= self.slot
            && entry.effective_slot <= self.slot;
        if !is_in_force {
            return None;
        }
        // Both decide which programs stay compiled when there are too many.
        entry.update_access_slot(self.slot);
        entry.stats.uses.fetch_add(1, Ordering::Relaxed);
        Some(entry.clone())
    }
}

/// Runs plain transactions one after the other.
pub(crate) struct Quick<'a, 'b> {
    svm: &'a Svm,
    accounts: &'a Accounts<'b>,
    kit: &'a mut Kit,
    sysvars: &'a SysvarCache,
}

impl Quick<'_, '_> {
    /// Runs a transaction as [`super::Processor::process`] does where writes are kept; `None` if it
    /// is not plain, and then nothing was done. What it writes is to be written before the next is
    /// run. `locks` holds the places of its accounts.
    pub(crate) fn process(
        &mut self,
        message: &impl SVMMessage,
        locks: &Locked,
        checked: &Result<Checked, TransactionError>,
    ) -> Option<Processed> {
        let limits = match checked {
            Ok(checked) if checked.nonce.is_none() => &checked.budget,
            Ok(_) => return None,
            Err(error) => return Some(Err(error.clone())),
        };
        if !self.find(message, locks) {
            return None;
        }
        let loaded = match self.load(message, limits) {
            Ok(loaded) => loaded,
            Err(error) => return Some(Err(error)),
        };
        let has_tokens = self.has_tokens();
        let before = self.balances(message, has_tokens);
        let mut charged = match loaded.accounts {
            Ok(accounts) => {
                let execution = self.execute(message, accounts, limits, self.stacks())?;
                let execution = self.settle(message, limits, execution)?;
                self.executed(message, execution, loaded.paid)
            }
            Err(error) => {
                let writes = self.roll_back(loaded.paid);
                empty(Err(error), writes)
            }
        };
        let after = self.balances(message, has_tokens);
        charged.fees = limits.fee_details;
        charged.loaded_bytes = loaded.bytes;
        charged.balances = [before.0, after.0];
        charged.tokens = [before.1, after.1];
        Some(Ok(charged))
    }

    /// Finds the accounts of a transaction; whether all of them are plain.
    fn find(&mut self, message: &impl SVMMessage, locks: &Locked) -> bool {
        self.kit.places.clear();
        for (key, lock) in message.account_keys().iter().zip(locks) {
            let place = self.kit.held.find_locked(*lock, key, self.accounts);
            if self.kit.held.at(place).standing == Standing::Unknown {
                self.judge(place, key);
            }
            if self.kit.held.at(place).standing == Standing::Apart {
                return false;
            }
            self.kit.places.push(place);
        }
        true
    }

    /// Says what an account is to the transactions that name it.
    ///
    /// Follows `filter_executable_program_accounts`.
    fn judge(&mut self, place: usize, key: &Pubkey) {
        let is_apart = APART.contains(key) || precompile::is_precompile(key);
        let account = &self.kit.held.at(place).account;
        let loader = account.as_ref().and_then(loader_of);
        let is_plain = !is_apart && loader.is_none_or(|loader| self.meet(place, key, loader));
        self.kit.held.at_mut(place).standing = if is_plain {
            Standing::Plain
        } else {
            Standing::Apart
        };
    }

    /// Finds a program; whether it can be run.
    fn meet(&mut self, place: usize, key: &Pubkey, loader: ProgramCacheEntryOwner) -> bool {
        let kept = self.kit.programs.find(key);
        let Some(entry) = kept.or_else(|| {
            let entry = self.svm.compiled(key, loader)?;
            self.kit.programs.replenish(*key, entry.clone());
            Some(entry)
        }) else {
            return false;
        };
        let (held, accounts) = (&mut self.kit.held, self.accounts);
        let code = || {
            let program = held.at(place).account.as_ref()?;
            match load::code_address(program) {
                Some(address) => accounts.get(&address),
                None => Some(program.clone()),
            }
        };
        let shallow = &self.svm.shallow;
        let shallow = shallow.find(&self.svm.rules, (key, &entry), code);
        held.at_mut(place).is_deep = shallow.is_none();
        if let Some(entry) = shallow {
            self.kit.shallow.replenish(*key, entry);
        }
        true
    }

    /// How long the stacks of the transaction under way have to be.
    fn stacks(&self) -> Stacks {
        let held = &self.kit.held;
        let mut places = self.kit.places.iter();
        if places.any(|place| held.at(*place).is_deep) {
            Stacks::Long
        } else {
            Stacks::Short
        }
    }

    /// Executes a transaction again if it may have failed for its short stacks; `None` if it turns
    /// out not to be plain.
    fn settle(
        &mut self,
        message: &impl SVMMessage,
        limits: &Limits,
        execution: Execution,
    ) -> Option<Execution> {
        if self.stacks() == Stacks::Long || !shallow::is_in_doubt(&execution.status) {
            return Some(execution);
        }
        // What could be loaded a moment ago is loaded again.
        let accounts = self.load(message, limits).ok()?.accounts.ok()?;
        let again = self.execute(message, accounts, limits, Stacks::Long)?;
        if let Err(TransactionError::InstructionError(index, _)) = &execution.status {
            let mut called = message.program_instructions_iter();
            if let Some((program, _)) = called.nth(usize::from(*index)) {
                let shallow = &self.svm.shallow;
                shallow.learn(program, &again.status, again.units);
            }
        }
        Some(again)
    }

    /// Loads what a transaction needs; `Err` if it cannot be charged.
    fn load(
        &mut self,
        message: &impl SVMMessage,
        limits: &Limits,
    ) -> Result<Loaded, TransactionError> {
        load::load(
            self.kit,
            self.accounts,
            &self.svm.environment,
            (message, limits),
        )
    }

    /// Executes a transaction; `None` if it turns out not to be plain.
    fn execute(
        &mut self,
        message: &impl SVMMessage,
        accounts: Vec<(Pubkey, AccountSharedData)>,
        limits: &Limits,
        stacks: Stacks,
    ) -> Option<Execution> {
        let callback = Callback(self.accounts);
        let programs = match stacks {
            Stacks::Short => &mut self.kit.shallow,
            Stacks::Long => &mut self.kit.programs,
        };
        let machine = execute::Machine {
            environment: &self.svm.environment,
            calls: &self.kit.calls,
            sysvars: self.sysvars,
            callback: &callback,
            programs,
            timings: &mut self.kit.timings,
            memory: &mut self.kit.memory,
            stacks,
        };
        let execution = machine.execute(message, accounts, &limits.budget);
        // Nothing plain can change a program; if one was, another has to say what became of it.
        let modified = programs.drain_modified_entries();
        modified.is_empty().then_some(execution)
    }

    /// Takes over what an executed transaction came to.
    ///
    /// Follows `AccountLoader::update_accounts_for_successful_tx`.
    fn executed(&mut self, message: &impl SVMMessage, execution: Execution, paid: u64) -> Charged {
        let writes = if execution.status.is_ok() {
            self.written(message, execution.accounts, &execution.touched)
        } else {
            self.roll_back(paid)
        };
        let mut charged = empty(execution.status, writes);
        charged.units = execution.units;
        charged.logs = execution.logs;
        charged.inner = execution.inner;
        charged.returned = execution.returned;
        charged
    }

    /// Holds what a successful transaction wrote.
    fn written(
        &mut self,
        message: &impl SVMMessage,
        accounts: Vec<(Pubkey, AccountSharedData)>,
        touched: &[bool],
    ) -> Writes {
        let mut writes = Writes::new();
        for (index, (_, account)) in accounts.into_iter().enumerate() {
            let is_written = touched.get(index).copied().unwrap_or(true)
                && message.is_writable(index)
                && (!message.is_invoked(index) || message.is_instruction_account(index));
            if is_written {
                self.kit.held.put(self.kit.places[index], account.clone());
                writes.push((index, account));
            }
        }
        writes
    }

    /// Holds what a transaction leaves that failed: a payer as before, with the lamports that are
    /// left.
    ///
    /// Follows `RollbackAccounts::new` and `AccountLoader::update_accounts_for_failed_tx`.
    fn roll_back(&mut self, paid: u64) -> Writes {
        let place = self.kit.places[0];
        let mut payer = self.kit.held.at(place).account.clone().unwrap_or_default();
        payer.set_lamports(paid);
        self.kit.held.put(place, payer.clone());
        smallvec![(0, payer)]
    }

    /// Lamports of all accounts of a transaction, and what the token accounts among them hold.
    ///
    /// Follows `BalanceCollector::collect_balances`.
    fn balances(
        &mut self,
        message: &impl SVMMessage,
        has_tokens: bool,
    ) -> (SmallVec<[u64; 8]>, Vec<TokenBalance>) {
        let held = &self.kit.held;
        let lamports = |place: &usize| {
            let account = &held.at(*place).account;
            account.as_ref().map_or(0, |account| account.lamports())
        };
        let lamports = self.kit.places.iter().map(lamports).collect();
        let tokens = if has_tokens {
            self.tokens(message)
        } else {
            Vec::new()
        };
        (lamports, tokens)
    }
}

/// The loader that owns an account, if one does.
fn loader_of(account: &AccountSharedData) -> Option<ProgramCacheEntryOwner> {
    ProgramCacheEntryOwner::try_from(account.owner())
        .ok()
        .filter(|owner| *owner != ProgramCacheEntryOwner::NativeLoader)
}

/// A charge that says of execution nothing.
fn empty(status: Result<(), TransactionError>, writes: Writes) -> Charged {
    Charged {
        status,
        fees: solana_fee_structure::FeeDetails::default(),
        units: 0,
        loaded_bytes: 0,
        logs: Vec::new(),
        inner: Vec::new(),
        returned: None,
        writes,
        balances: Default::default(),
        tokens: Default::default(),
    }
}
