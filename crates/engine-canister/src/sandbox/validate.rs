//! Judging the answers of a sandbox before anything of them is used.
//!
//! A sandbox runs code that may have broken out of Wasm, so its answer may be anything. What is
//! checked here is what a correct executor never does; a breach is a fault of this node and never
//! an outcome. Whether the answer is *right* only the comparison with other nodes shows.

use trilith_protocol::Fault;
use trilith_types::{PAGE_BYTES, PageRun};

use super::files;
use crate::api::{
    CallFees, Effects, ExecutionRequest, ExecutionResult, GlobalValue, MemoryChanges,
    PreparedModule,
};

/// Pages of 4 KiB in a Wasm page.
const PAGES_PER_WASM_PAGE: u64 = 16;

/// What the result of one request may be at most.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    instructions_max: u64,
    calls_max: u32,
    answered: bool,
    cycles_available: u128,
    /// All cycles the message may give away, without those it accepts.
    cycles_owned: u128,
    call_fees: CallFees,
    keep_changes: bool,
    globals: Vec<GlobalValue>,
    heap: PageBounds,
    stable: PageBounds,
}

/// In Wasm pages.
#[derive(Clone, Copy, Debug)]
struct PageBounds {
    min: u64,
    max: u64,
}

impl Bounds {
    /// The bounds that follow from a request to a module.
    pub(super) fn new(module: &PreparedModule, request: &ExecutionRequest) -> Self {
        let heap_min = request.heap_wasm_pages;
        let heap_max = request
            .heap_wasm_pages_max
            .max(heap_min)
            .max(module.memory_minimum);
        let stable_min = request.stable_wasm_pages;
        Self {
            instructions_max: request.instructions_max,
            calls_max: request.calls_max,
            answered: request.answered,
            cycles_available: request.cycles_available,
            cycles_owned: request.balance.saturating_add(request.cycles_refunded),
            call_fees: request.call_fees,
            keep_changes: request.keep_changes,
            globals: module.globals.clone(),
            heap: PageBounds {
                min: heap_min,
                max: heap_max,
            },
            stable: PageBounds {
                min: stable_min,
                max: request.stable_wasm_pages_max.max(stable_min),
            },
        }
    }

    /// Checks a result and seals its page files.
    pub(super) fn check(&self, result: &ExecutionResult) -> Result<(), Fault> {
        at_most(
            "instructions",
            result.instructions.into(),
            self.instructions_max.into(),
        )?;
        match &result.end {
            Ok(effects) => self.check_effects(effects),
            Err(_) => Ok(()),
        }
    }

    fn check_effects(&self, effects: &Effects) -> Result<(), Fault> {
        if self.answered && effects.answer.is_some() {
            return Err(wrong("a call was answered twice"));
        }
        at_most("calls", effects.calls.len() as u128, self.calls_max.into())?;
        at_most(
            "cycles accepted",
            effects.cycles_accepted,
            self.cycles_available,
        )?;
        at_most("cycles given away", self.cycles_spent(effects)?, {
            self.cycles_owned.saturating_add(effects.cycles_accepted)
        })?;
        match &effects.memory {
            Some(changes) if self.keep_changes => self.check_memory(changes),
            None if !self.keep_changes => Ok(()),
            Some(_) => Err(wrong("it has changes of memory, which were not asked for")),
            None => Err(wrong("it lacks the changes of memory")),
        }
    }

    fn cycles_spent(&self, effects: &Effects) -> Result<u128, Fault> {
        let fees = &self.call_fees;
        effects
            .calls
            .iter()
            .try_fold(effects.cycles_burned, |spent, call| {
                let bytes = (call.method.len() as u128).checked_add(call.argument.len() as u128)?;
                spent
                    .checked_add(call.cycles)?
                    .checked_add(fees.base)?
                    .checked_add(fees.per_request_byte.checked_mul(bytes)?)?
                    .checked_add(fees.response_prepayment)
            })
            .ok_or_else(|| wrong("its cycles overflow 128 bits"))
    }

    fn check_memory(&self, changes: &MemoryChanges) -> Result<(), Fault> {
        let kinds = |globals: &[GlobalValue]| -> Vec<_> {
            globals.iter().map(std::mem::discriminant).collect()
        };
        if kinds(&changes.globals) != kinds(&self.globals) {
            return Err(wrong("its globals are not those of the module"));
        }
        check_pages(
            "heap",
            changes.heap_wasm_pages,
            self.heap,
            &changes.heap_runs,
        )?;
        check_pages(
            "stable memory",
            changes.stable_wasm_pages,
            self.stable,
            &changes.stable_runs,
        )
    }
}

fn check_pages(
    what: &str,
    wasm_pages: u64,
    bounds: PageBounds,
    runs: &[PageRun],
) -> Result<(), Fault> {
    if wasm_pages < bounds.min || wasm_pages > bounds.max {
        let PageBounds { min, max } = bounds;
        return Err(wrong(&format!(
            "its {what} has {wasm_pages} Wasm pages, outside {min} to {max}"
        )));
    }
    let pages = wasm_pages.saturating_mul(PAGES_PER_WASM_PAGE);
    let mut next = 0;
    for run in runs {
        let end = run
            .page
            .checked_add(run.count)
            .filter(|end| run.count > 0 && *end <= pages);
        let Some(end) = end.filter(|_| run.page >= next) else {
            return Err(wrong(&format!(
                "its runs of {what} overlap, descend or leave the memory"
            )));
        };
        next = end;
        // Sealed before its length is looked at: afterwards nobody can change either.
        let sealed = files::seal(&run.file).and_then(|()| run.file.metadata());
        let file_pages = sealed
            .map_err(|error| wrong(&format!("a file of its {what} cannot be sealed: {error}")))?
            .len()
            / PAGE_BYTES as u64;
        if run
            .file_page
            .checked_add(run.count)
            .is_none_or(|end| end > file_pages)
        {
            return Err(wrong(&format!(
                "a run of {what} reaches past the end of its file"
            )));
        }
    }
    Ok(())
}

fn at_most(what: &str, value: u128, limit: u128) -> Result<(), Fault> {
    if value > limit {
        return Err(wrong(&format!(
            "it has {value} {what}, over the limit of {limit}"
        )));
    }
    Ok(())
}

fn wrong(what: &str) -> Fault {
    Fault(format!("the result of a sandbox cannot be: {what}"))
}
