//! Hands a canister's memory to the engine when it makes an instance.
//!
//! The engine asks its one memory creator, which cannot tell executions apart; so whoever
//! instantiates leaves the memory on its own thread just before and takes back what is left just
//! after.

use std::cell::RefCell;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use crate::wasm::{MEMORY_GUARD_BYTES, MEMORY_RESERVATION_BYTES};

thread_local! {
    static NEXT: RefCell<Option<Box<dyn LinearMemory>>> = const { RefCell::new(None) };
}

/// Bytes to reserve for a memory, guard included.
pub(super) fn reserved_bytes() -> usize {
    (MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES) as usize
}

/// Runs `instantiate` so that the instance it makes gets `memory`.
pub(super) fn with_memory<T>(memory: Box<dyn LinearMemory>, instantiate: impl FnOnce() -> T) -> T {
    NEXT.with(|next| *next.borrow_mut() = Some(memory));
    let made = instantiate();
    NEXT.with(|next| next.borrow_mut().take());
    made
}

/// The engine's memory creator.
pub(super) struct Memories;

// SAFETY: the memory comes from `Heap::lend`, which keeps what `LinearMemory` promises for a
// reservation of `reserved_bytes`; a request for more is refused here.
#[allow(unsafe_code)]
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let memory = NEXT
            .with(|next| next.borrow_mut().take())
            .ok_or("no memory was left")?;
        let wanted = reserved_size_in_bytes
            .unwrap_or(minimum)
            .saturating_add(guard_size_in_bytes);
        if wanted > reserved_bytes() || memory.byte_size() < minimum {
            return Err(format!(
                "the engine wants {wanted} bytes reserved and {minimum} accessible; there are {} \
                 and {}",
                reserved_bytes(),
                memory.byte_size()
            ));
        }
        Ok(memory)
    }
}
