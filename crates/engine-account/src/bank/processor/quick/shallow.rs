//! Programs compiled once more, for short stacks.
//!
//! The virtual machine clears the stack of a program when it ended: 64 frames of 4 KiB, which takes
//! as long as a transfer of tokens does otherwise. Programs that are run often are therefore
//! compiled a second time, for calls eight deep. A transaction whose programs go deeper fails then,
//! and is run again on stacks of full length; what made it fail is remembered.
//!
//! Invariant: a transaction that succeeds on short stacks comes to what it comes to on long ones.
//! Behind the end of a stack there is no memory and no deeper call, so that a program that would
//! use them fails with [`InstructionError::ProgramFailedToComplete`], and with it all that called
//! it. Programs whose first frame is at the end of the stack are not compiled again: they could
//! tell how long it is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use solana_account::{AccountSharedData, ReadableAccount as _};
use solana_instruction::error::InstructionError;
use solana_program_runtime::loaded_programs::ProgramRuntimeEnvironment;
use solana_program_runtime::program_cache_entry::{ProgramCacheEntry, ProgramCacheEntryType};
use solana_program_runtime::program_metrics::LoadProgramMetrics;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};
use solana_transaction_error::{TransactionError, TransactionResult};

use super::super::{bounds, system_calls};
use super::memory::FRAMES;
use crate::bank::warm::Rules;
use crate::keyed::Keyed;

/// Whether there are short stacks. The pool that the memory of programs is taken from refuses them
/// where it was compiled with assertions, which goes by the same switch.
const IS_IN_USE: bool = !cfg!(debug_assertions);
/// Times that a program is looked up before it is compiled again.
const RARE_MAX: u32 = 16;
/// Programs that are kept.
const PROGRAMS_MAX: usize = 512;
/// Compute units up to which a program may fail in vain time and again.
const VAIN_UNITS_MAX: u64 = 20_000;
/// Where the code begins in an account that holds that of a program of the upgradeable loader:
/// behind a tag, a slot and an optional key. Source: crate `solana-loader-v3-interface` 7.0.
const CODE_START: usize = 45;

/// How long stacks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stacks {
    Short,
    Long,
}

/// The programs.
#[derive(Default)]
pub(in crate::bank::processor) struct Shallow {
    environment: OnceLock<Option<ProgramRuntimeEnvironment>>,
    programs: Mutex<Keyed<Known>>,
}

/// What is known of a program.
struct Known {
    /// The entry that the rest of it is of.
    of: Arc<ProgramCacheEntry>,
    /// How often it was looked up.
    times: u32,
    /// Whether it is known to need long stacks.
    is_deep: bool,
    /// It for short stacks, once that was made; `None` inside where that cannot be.
    made: Option<Option<Arc<ProgramCacheEntry>>>,
}

impl Shallow {
    /// A program for short stacks, if it is run often and may have them. `code` gives the account
    /// that holds its code.
    pub(super) fn find(
        &self,
        rules: &Rules,
        (key, entry): (&Pubkey, &Arc<ProgramCacheEntry>),
        code: impl FnOnce() -> Option<AccountSharedData>,
    ) -> Option<Arc<ProgramCacheEntry>> {
        if !IS_IN_USE {
            return None;
        }
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if programs.len() >= PROGRAMS_MAX {
            programs.clear();
        }
        let unknown = || Known {
            of: entry.clone(),
            times: 0,
            is_deep: false,
            made: None,
        };
        let known = programs.get_or_insert_with(key.as_array(), unknown);
        if !Arc::ptr_eq(&known.of, entry) {
            *known = unknown();
        }
        known.times = known.times.saturating_add(1);
        if known.is_deep || known.times <= RARE_MAX {
            return None;
        }
        let make = || self.make(rules, entry, &code()?).map(Arc::new);
        known.made.get_or_insert_with(make).clone()
    }

    /// Compiles a program for short stacks.
    fn make(
        &self,
        rules: &Rules,
        entry: &ProgramCacheEntry,
        code: &AccountSharedData,
    ) -> Option<ProgramCacheEntry> {
        let ProgramCacheEntryType::Loaded(executable) = &entry.program else {
            return None;
        };
        if executable.get_sbpf_version().manual_stack_frame_bump() {
            return None;
        }
        let environment = self.environment.get_or_init(|| {
            let mut bounds = bounds(rules);
            bounds.max_call_depth = FRAMES;
            system_calls(rules, &bounds).ok()
        });
        let owner = *code.owner();
        let elf = if bpf_loader_upgradeable::check_id(&owner) {
            code.data().get(CODE_START..)?
        } else if bpf_loader::check_id(&owner) || bpf_loader_deprecated::check_id(&owner) {
            code.data()
        } else {
            return None;
        };
        ProgramCacheEntry::new(
            &owner,
            environment.clone()?,
            entry.deployment_slot,
            entry.effective_slot,
            elf,
            entry.account_size,
            &mut LoadProgramMetrics::default(),
        )
        .ok()
    }

    /// Whether this program was compiled for short stacks.
    #[cfg(test)]
    pub(super) fn has(&self, key: &Pubkey) -> bool {
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = programs.get(key.as_array());
        known.is_some_and(|known| matches!(known.made, Some(Some(_))))
    }

    /// Learns what a transaction came to on long stacks, after it had failed on short ones where
    /// `program` was called.
    pub(super) fn learn(&self, program: &Pubkey, status: &TransactionResult<()>, units: u64) {
        if is_in_doubt(status) && units <= VAIN_UNITS_MAX {
            return;
        }
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs.get_mut(program.as_array()) {
            known.is_deep = true;
        }
    }
}

/// Whether what a transaction came to on short stacks need not be what it comes to on long ones.
pub(super) fn is_in_doubt(status: &TransactionResult<()>) -> bool {
    let error = InstructionError::ProgramFailedToComplete;
    matches!(status, Err(TransactionError::InstructionError(_, found)) if *found == error)
}
