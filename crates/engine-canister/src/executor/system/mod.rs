//! The system interface: what a canister's imports do.
//!
//! Each call first pays its price, then checks that it is allowed in the message's context, then
//! does its work on [`State`]. Nothing it does is visible outside before the message completes. A
//! call traps by leaving the reason in [`State::trap`].
//!
//! Source: Internet Computer interface specification, "System API". Limits on payloads are the
//! replica's.

mod calls;
mod copies;
mod cost;
mod cycles;
mod message;
mod settings;
mod stable_memory;

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, FuncType, Linker, Memory, ResourceLimiter, Val, ValType};

use super::slices::{Pause, Slices};
use super::stable::Stable;
use crate::api::{Call as OpenedCall, Effects, ExecutionRequest, Trap, TrapKind};
use crate::wasm::WASM_PAGE_BYTES;
use crate::wasm::imports::{Call, IMPORTS, Import};
use trilith_params::canister::LOG_RECORD_BYTES;
use trilith_params::wasm::{HOST_BYTE, PRINT_BYTES_MAX, TABLE_ELEMENTS_MAX};

/// What host functions work on.
pub(super) struct State {
    pub(super) request: ExecutionRequest,
    pub(super) stable: Stable,
    /// Balance as of now: accepted cycles added, cycles of calls and their fees taken off.
    pub(super) balance: u128,
    /// Cycles of the call that can still be accepted.
    pub(super) available: u128,
    pub(super) effects: Effects,
    /// Data appended for the reply.
    pub(super) reply: Vec<u8>,
    /// The call between `call_new` and `call_perform`.
    pub(super) opening: Option<OpenedCall>,
    pub(super) prints: Vec<Vec<u8>>,
    pub(super) printed: usize,
    /// Why a host function trapped.
    pub(super) trap: Option<Trap>,
    /// Why this node could not go on.
    pub(super) fault: Option<String>,
    pub(super) memory: Option<Memory>,
    pub(super) slices: Arc<Slices>,
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64
            <= self
                .request
                .heap_wasm_pages_max
                .saturating_mul(WASM_PAGE_BYTES))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= TABLE_ELEMENTS_MAX)
    }
}

/// Why a host function stops the message. Its content stands in [`State`].
#[derive(Debug)]
pub(super) struct Stop;

/// Result of a host function.
type Answer = Result<Option<u64>, Stop>;

/// One call of a host function.
struct Host<'a, 'c> {
    caller: &'a mut Caller<'c, State>,
    import: &'static Import,
}

/// Adds all functions of `ic0` for one width of memory.
pub(super) fn link(linker: &mut Linker<State>, memory64: bool) -> wasmtime::Result<()> {
    for import in IMPORTS {
        if import.narrow && memory64 {
            continue;
        }
        let types = |letters| {
            Import::widths(letters, memory64)
                .into_iter()
                .map(|wide| if wide { ValType::I64 } else { ValType::I32 })
        };
        let engine = linker.engine().clone();
        let ty = FuncType::new(&engine, types(import.parameters), types(import.result));
        let wide = types(import.result).any(|ty| matches!(ty, ValType::I64));
        linker.func_new_async(
            "ic0",
            import.name,
            ty,
            move |mut caller, parameters, results| {
                Box::new(async move {
                    let answer = Host {
                        caller: &mut caller,
                        import,
                    }
                    .run(parameters);
                    match answer {
                        Ok(Some(value)) => {
                            results[0] = if wide {
                                Val::I64(value as i64)
                            } else {
                                Val::I32(value as i32)
                            };
                        }
                        Ok(None) => {}
                        Err(Stop) => {
                            return Err(wasmtime::Error::msg("stopped by the system interface"));
                        }
                    }
                    if caller.data().slices.take_end() {
                        Pause::default().await;
                    }
                    Ok(())
                })
            },
        )?;
    }
    Ok(())
}

impl Host<'_, '_> {
    fn run(&mut self, parameters: &[Val]) -> Answer {
        self.charge(self.import.price)?;
        let mode = self.caller.data().request.mode;
        if !self.import.contexts.contains(mode) {
            let name = self.import.name;
            let mode = super::words::mode(mode);
            return self.contract(format!("\"ic0_{name}\" cannot be executed in {mode} mode"));
        }
        let mut values = [0u64; 8];
        for (value, parameter) in values.iter_mut().zip(parameters) {
            *value = match parameter {
                Val::I32(v) => u64::from(*v as u32),
                Val::I64(v) => *v as u64,
                _ => 0,
            };
        }
        self.dispatch(&values)
    }

    fn dispatch(&mut self, v: &[u64; 8]) -> Answer {
        match self.import.call {
            Call::StableSize
            | Call::StableGrow
            | Call::StableWrite
            | Call::StableRead
            | Call::Stable64Size
            | Call::Stable64Grow
            | Call::Stable64Write
            | Call::Stable64Read => self.stable_memory(v),
            Call::CallNew
            | Call::CallOnCleanup
            | Call::CallDataAppend
            | Call::CallWithBestEffortResponse
            | Call::CallCyclesAdd
            | Call::CallCyclesAdd128
            | Call::CallPerform => self.calls(v),
            Call::MsgCyclesAvailable
            | Call::MsgCyclesAvailable128
            | Call::MsgCyclesRefunded
            | Call::MsgCyclesRefunded128
            | Call::MsgCyclesAccept
            | Call::MsgCyclesAccept128
            | Call::CyclesBurn128
            | Call::CanisterCycleBalance
            | Call::CanisterCycleBalance128
            | Call::CanisterLiquidCycleBalance128 => self.cycles(v),
            Call::CostCall
            | Call::CostCreateCanister
            | Call::CostHttpRequest
            | Call::CostSignWithEcdsa
            | Call::CostSignWithSchnorr
            | Call::CostVetkdDeriveKey => self.cost(v),
            Call::MsgReplyDataAppend
            | Call::MsgReply
            | Call::MsgReject
            | Call::AcceptMessage
            | Call::CertifiedDataSet
            | Call::GlobalTimerSet
            | Call::DebugPrint
            | Call::Trap => self.message(v),
            Call::CanisterStatus
            | Call::CanisterVersion
            | Call::SubnetSelfNodeCount
            | Call::Time
            | Call::DataCertificatePresent
            | Call::MsgRejectCode
            | Call::MsgDeadline
            | Call::PerformanceCounter
            | Call::IsController
            | Call::InReplicatedExecution
            | Call::EnvVarCount
            | Call::EnvVarNameExists => self.settings(v),
            _ => self.copies(v),
        }
    }

    fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Takes instructions from the message and notes whether its slice is used up.
    fn charge(&mut self, instructions: u64) -> Result<(), Stop> {
        let left = match self.caller.get_fuel() {
            Ok(left) => left,
            Err(error) => return self.fault(error.to_string()),
        };
        let rest = left.saturating_sub(instructions);
        if let Err(error) = self.caller.set_fuel(rest) {
            return self.fault(error.to_string());
        }
        let max = self.caller.data().request.instructions_max;
        self.caller.data().slices.used(max - rest.min(max));
        if rest == 0 {
            let max = self.state().request.instructions_max;
            return self.stop(super::words::out_of_instructions(max));
        }
        Ok(())
    }

    fn charge_bytes(&mut self, bytes: u64) -> Result<(), Stop> {
        self.charge(bytes.saturating_mul(HOST_BYTE))
    }

    /// Instructions used so far.
    fn instructions(&mut self) -> u64 {
        let left = self.caller.get_fuel().unwrap_or(0);
        self.state().request.instructions_max.saturating_sub(left)
    }

    fn stop<T>(&mut self, trap: Trap) -> Result<T, Stop> {
        self.state().trap = Some(trap);
        Err(Stop)
    }

    fn fault<T>(&mut self, reason: String) -> Result<T, Stop> {
        self.state().fault = Some(reason);
        Err(Stop)
    }

    fn contract<T>(&mut self, what: String) -> Result<T, Stop> {
        let message = format!("Canister violated contract: {what}");
        self.stop(Trap {
            kind: TrapKind::Contract,
            message,
        })
    }

    fn out_of_cycles<T>(&mut self, what: String) -> Result<T, Stop> {
        self.stop(Trap {
            kind: TrapKind::OutOfCycles,
            message: what,
        })
    }

    /// The memory and the state.
    fn parts(&mut self) -> (&mut [u8], &mut State) {
        match self.caller.data().memory {
            Some(memory) => memory.data_and_store_mut(self.caller.as_context_mut()),
            None => (&mut [], self.caller.data_mut()),
        }
    }

    /// Checks that a range lies in the memory and charges for copying it.
    fn range(&mut self, start: u64, size: u64) -> Result<std::ops::Range<usize>, Stop> {
        let len = self.parts().0.len() as u64;
        match start.checked_add(size).filter(|end| *end <= len) {
            Some(end) => {
                self.charge_bytes(size)?;
                Ok(start as usize..end as usize)
            }
            None => {
                let name = self.import.name;
                self.contract(format!(
                    "\"ic0_{name}\" accesses {size} bytes from {start} of a memory of {len} bytes"
                ))
            }
        }
    }

    /// Copies bytes out of the memory, refusing more than `max`.
    fn take(&mut self, start: u64, size: u64, max: u64) -> Result<Vec<u8>, Stop> {
        if size > max {
            let name = self.import.name;
            return self.contract(format!(
                "\"ic0_{name}\" was given {size} bytes, over the limit of {max}"
            ));
        }
        let range = self.range(start, size)?;
        Ok(self.parts().0[range].to_vec())
    }

    /// Copies `size` bytes from `offset` of what `source` gives to `start` of the memory.
    fn give(
        &mut self,
        start: u64,
        offset: u64,
        size: u64,
        source: impl FnOnce(&State) -> &[u8],
    ) -> Answer {
        let range = self.range(start, size)?;
        // The source is part of the state, which cannot be borrowed together with the memory by
        // way of a function; it is copied, as is paid for.
        let part = {
            let bytes = source(self.caller.data());
            let end = offset
                .checked_add(size)
                .filter(|end| *end <= bytes.len() as u64);
            end.map(|end| bytes[offset as usize..end as usize].to_vec())
                .ok_or(bytes.len())
        };
        match part {
            Ok(part) => {
                self.parts().0[range].copy_from_slice(&part);
                Ok(None)
            }
            Err(len) => {
                let name = self.import.name;
                self.contract(format!(
                    "\"ic0_{name}\" reads {size} bytes from {offset} of a payload of {len} bytes"
                ))
            }
        }
    }

    /// Writes an amount of cycles: 16 bytes, little endian.
    fn give_cycles(&mut self, start: u64, cycles: u128) -> Answer {
        let range = self.range(start, 16)?;
        self.parts().0[range].copy_from_slice(&cycles.to_le_bytes());
        Ok(None)
    }
}

impl State {
    /// Appends a line to what the canister printed, within the limit. A line counts beside its
    /// bytes, so that empty ones are bounded too.
    pub(super) fn print(&mut self, mut line: Vec<u8>) {
        let counted = self.printed.saturating_add(LOG_RECORD_BYTES as usize);
        let Some(room) = PRINT_BYTES_MAX.checked_sub(counted) else {
            return;
        };
        line.truncate(room);
        self.printed = counted + line.len();
        self.prints.push(line);
    }
}
