//! What threads run plain transactions with, kept between calls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use solana_program_runtime::loaded_programs::{ProgramCacheForTxBatch, ProgramRuntimeEnvironments};
use solana_program_runtime::program_cache_entry::ProgramCacheEntry;
use solana_pubkey::Pubkey;
use solana_svm::transaction_error_metrics::TransactionErrorMetrics;
use solana_svm_timings::ExecuteTimings;

use super::super::{Svm, bounds, builtins, system_calls};
use super::held::Held;
use super::memory::Small;

/// What a thread needs to run transactions, for as long as programs stay as they are.
pub(in crate::bank::processor) struct Kit {
    /// The programs of the processor, a set for each kit: threads that count references to the
    /// same one get in each other's way.
    builtins: Vec<(Pubkey, Arc<ProgramCacheEntry>)>,
    /// Programs in force, those of the processor and those that were asked for.
    pub(super) programs: ProgramCacheForTxBatch,
    /// Those of them that may be run on short stacks, and the programs of the processor.
    pub(super) shallow: ProgramCacheForTxBatch,
    /// The system calls. Programs of the processor count references to them at every call.
    pub(super) calls: ProgramRuntimeEnvironments,
    /// [`Kits::generation`] when `programs` was made.
    generation: u64,
    /// Accounts of the call under way.
    pub(super) held: Held,
    /// Where the accounts of the transaction under way are among `held`, in message order.
    pub(super) places: Vec<usize>,
    /// Written by the parts of the ecosystem and read by nobody.
    pub(super) timings: Box<ExecuteTimings>,
    /// The same.
    pub(super) metrics: Box<TransactionErrorMetrics>,
    pub(super) memory: Small,
}

/// Kits that are not in use.
#[derive(Default)]
pub(in crate::bank::processor) struct Kits {
    free: Mutex<Vec<Kit>>,
    /// Goes up whenever programs may have changed.
    generation: AtomicU64,
    /// Whether there is a kit already.
    made: AtomicBool,
}

impl Kits {
    /// Has all kits look programs up again. A call under way may go on with its own: the accounts
    /// of the programs that it runs are locked against those who change them.
    pub(in crate::bank::processor) fn outdate(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn take(&self, svm: &Svm) -> Kit {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free.pop();
        drop(free);
        let mut kit =
            kept.unwrap_or_else(|| Kit::new(svm, !self.made.swap(true, Ordering::AcqRel)));
        let generation = self.generation.load(Ordering::Acquire);
        if kit.generation != generation {
            kit.renew(svm.slot, generation);
        }
        kit
    }

    pub(super) fn give(&self, mut kit: Kit) {
        kit.held.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(kit);
    }
}

impl Kit {
    /// The first kit takes the system calls of `svm`, so that what has one thread does not make
    /// them twice.
    pub(super) fn new(svm: &Svm, is_first: bool) -> Self {
        let builtins = builtins(&svm.rules).filter_map(|(builtin, register)| {
            let entry = ProgramCacheEntry::new_builtin(0, builtin.name.len(), register?);
            Some((builtin.program_id, Arc::new(entry)))
        });
        let own = if is_first {
            None
        } else {
            // Where there is no set of its own, that of all does as well.
            system_calls(&svm.rules, &bounds(&svm.rules)).ok()
        };
        let calls = own.unwrap_or_else(|| svm.programs.clone());
        let mut kit = Self {
            builtins: builtins.collect(),
            programs: ProgramCacheForTxBatch::new(svm.slot),
            shallow: ProgramCacheForTxBatch::new(svm.slot),
            calls: ProgramRuntimeEnvironments::new(calls.clone(), calls),
            generation: 0,
            held: Held::default(),
            places: Vec::new(),
            timings: Box::default(),
            metrics: Box::default(),
            memory: Small::default(),
        };
        kit.renew(svm.slot, 0);
        kit
    }

    fn renew(&mut self, slot: u64, generation: u64) {
        self.programs = ProgramCacheForTxBatch::new(slot);
        self.shallow = ProgramCacheForTxBatch::new(slot);
        for (key, entry) in &self.builtins {
            self.programs.replenish(*key, entry.clone());
            self.shallow.replenish(*key, entry.clone());
        }
        self.generation = generation;
    }
}
