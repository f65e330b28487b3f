//! Compiled programs handed from one processor to another, so that instances in one process
//! compile each program once.
//!
//! Invariant: an entry is handed on only between processors with the same environment, only where
//! the caller says that both states hold the same program, and not where the program was closed
//! since: what tells so stays behind, and the entry would run again.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use solana_program_runtime::loaded_programs::{
    ProgramCache, ProgramCacheForTxBatch, ProgramCacheMatchCriteria, ProgramToLoad,
};
use solana_program_runtime::program_cache_entry::{ProgramCacheEntry, ProgramCacheEntryType};
use solana_program_runtime::program_metrics::LoadProgramMetrics;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader_upgradeable;

use super::{Line, Svm};

impl Svm {
    /// A processor of its own for the same gates, with the compiled programs that `keep` names.
    pub(crate) fn fork(&self, keep: &dyn Fn(&Pubkey) -> bool) -> Self {
        let mut fork = Self::with_environment(self.rules.clone(), self.programs.clone());
        fork.adopt(self, keep);
        fork.shallow = self.shallow.clone();
        fork
    }

    /// Takes compiled programs over that it lacks. Programs for other gates stay where they are.
    pub(crate) fn adopt(&mut self, other: &Self, keep: &dyn Fn(&Pubkey) -> bool) {
        if self.programs != other.programs {
            return;
        }
        let theirs = {
            let cache = other.batch.global_program_cache.read();
            let cache = cache.unwrap_or_else(PoisonError::into_inner);
            let mut entries = cache.get_flattened_entries();
            entries.retain(|(key, _, entry)| !other.is_gone(&cache, key, entry));
            entries
        };
        let mut cache = self
            .batch
            .global_program_cache
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mine: BTreeSet<Pubkey> = cache
            .get_flattened_entries()
            .into_iter()
            .map(|(key, ..)| key)
            .collect();
        for (key, slot, entry) in theirs {
            let is_current = entry.program.get_environment() == Some(&self.programs);
            if is_current && !mine.contains(&key) && keep(&key) {
                cache.assign_program(&self.programs, key, slot, entry);
            }
        }
    }

    /// Whether the newest entry of a program, of which `entry` is one, says that there is none.
    fn is_gone(&self, cache: &ProgramCache<Line>, key: &Pubkey, entry: &ProgramCacheEntry) -> bool {
        let mut found = ProgramCacheForTxBatch::new(self.slot);
        let mut wanted = vec![ProgramToLoad {
            program_id: key,
            loader: entry.account_owner,
            match_criteria: ProgramCacheMatchCriteria::NoCriteria,
            last_modification_slot: 0,
        }];
        cache.extract(&mut wanted, &mut found, &self.programs, false, false);
        found.find(key).is_some_and(|newest| {
            matches!(
                newest.program,
                ProgramCacheEntryType::Closed | ProgramCacheEntryType::FailedVerification(_)
            )
        })
    }

    /// Whether `elf` is a program under these gates.
    ///
    /// # Errors
    /// What the loader or the verifier says.
    pub(crate) fn check_program(&self, elf: &[u8]) -> Result<(), String> {
        ProgramCacheEntry::new(
            &bpf_loader_upgradeable::ID,
            self.programs.clone(),
            0,
            0,
            elf,
            elf.len(),
            &mut LoadProgramMetrics::default(),
        )
        .map(drop)
        .map_err(|error| error.to_string())
    }
}
