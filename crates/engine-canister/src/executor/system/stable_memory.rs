//! `stable_*` and `stable64_*`.

use trilith_params::wasm::{
    NARROW_STABLE_PAGES_MAX, STABLE_ACCESS_PAGE, STABLE_DIRTY_PAGE, STABLE_TOUCHED_PAGES_MAX,
    STABLE_TOUCHED_PAGES_MAX_QUERY, STABLE_TOUCHED_PAGES_MAX_UPGRADE,
};

use super::{Answer, Host, Stop};
use crate::api::{CallMode, EntryPoint, ExecutionRequest, Trap, TrapKind};
use crate::executor::words;
use crate::wasm::WASM_PAGE_BYTES;
use crate::wasm::imports::Call;

/// Most 4 KiB pages of stable memory a message may touch.
fn pages_max(request: &ExecutionRequest) -> u64 {
    match (&request.mode, &request.entry) {
        (CallMode::PreUpgrade | CallMode::Init | CallMode::Start, _)
        | (_, EntryPoint::PostUpgrade) => STABLE_TOUCHED_PAGES_MAX_UPGRADE,
        (CallMode::NonReplicatedQuery | CallMode::CompositeQuery, _) => {
            STABLE_TOUCHED_PAGES_MAX_QUERY
        }
        _ => STABLE_TOUCHED_PAGES_MAX,
    }
}

impl Host<'_, '_> {
    pub(super) fn stable_memory(&mut self, v: &[u64; 8]) -> Answer {
        let size = self.state().stable.wasm_pages();
        let narrow = self.import.narrow;
        if narrow && size > NARROW_STABLE_PAGES_MAX {
            return self.stop(Trap {
                kind: TrapKind::Wasm,
                message: "Canister trapped: 32 bit stable memory api used on a memory larger \
                          than 4GB"
                    .to_owned(),
            });
        }
        match self.import.call {
            Call::StableSize | Call::Stable64Size => Ok(Some(size)),
            Call::StableGrow | Call::Stable64Grow => {
                let fits = !narrow || size.saturating_add(v[0]) <= NARROW_STABLE_PAGES_MAX;
                let old = if fits {
                    self.state().stable.grow(v[0])
                } else {
                    None
                };
                Ok(Some(old.unwrap_or(u64::MAX)))
            }
            Call::StableWrite | Call::Stable64Write => self.stable_write(v[0], v[1], v[2]),
            _ => self.stable_read(v[0], v[1], v[2]),
        }
    }

    fn stable_write(&mut self, offset: u64, source: u64, size: u64) -> Answer {
        let range = self.range(source, size)?;
        self.access(offset, size, true)?;
        let (memory, state) = self.parts();
        match state.stable.write(offset, &memory[range]) {
            Ok(()) => Ok(None),
            Err(error) => self.fault(format!("stable memory could not be read: {error}")),
        }
    }

    fn stable_read(&mut self, destination: u64, offset: u64, size: u64) -> Answer {
        let range = self.range(destination, size)?;
        self.access(offset, size, false)?;
        let (memory, state) = self.parts();
        match state.stable.read(offset, &mut memory[range]) {
            Ok(()) => Ok(None),
            Err(error) => self.fault(format!("stable memory could not be read: {error}")),
        }
    }

    /// Checks bounds and limits and charges for pages accessed for the first time.
    fn access(&mut self, offset: u64, size: u64, write: bool) -> Result<(), Stop> {
        if !self.state().stable.contains(offset, size) {
            let message = "Canister trapped: stable memory out of bounds".to_owned();
            return self.stop(Trap {
                kind: TrapKind::Wasm,
                message,
            });
        }
        let (touched, written) = self.state().stable.first_access(offset, size, write);
        self.charge(touched * STABLE_ACCESS_PAGE + written * STABLE_DIRTY_PAGE)?;
        let max = pages_max(&self.state().request);
        if self.state().stable.touched() > max {
            return self.stop(words::stable_access(max / 16 * WASM_PAGE_BYTES));
        }
        Ok(())
    }
}
