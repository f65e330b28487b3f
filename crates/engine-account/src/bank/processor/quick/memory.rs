//! Memory for programs that need no more than most do.
//!
//! The virtual machine takes the memory of a program from a pool of the thread and clears all of it
//! afterwards: a stack of 64 frames, and 256 KiB of heap, of which a program gets 32 unless its
//! transaction asks for more. Here both are as long as they need to be; the pool lets heaps be of
//! any length from 32 KiB on, and stacks of any length that the program was compiled for
//! ([`super::shallow`]).
//!
//! Invariant: the pool of the thread is back in its place when [`Small::lend`] returns, so that
//! nothing else finds memory that is too short.

use std::mem;

use solana_program_runtime::execution_budget::{MAX_CALL_DEPTH, MIN_HEAP_FRAME_BYTES};
use solana_program_runtime::mem_pool::VmMemoryPool;
use solana_program_runtime::solana_sbpf::aligned_memory::AlignedMemory;
use solana_program_runtime::solana_sbpf::vm::get_stack_frame_size;
use solana_program_runtime::vm::MEMORY_POOL;

use super::shallow::Stacks;

/// Frames of a short stack.
pub(super) const FRAMES: usize = 8;

/// Pools of which all heaps have the least length, for short stacks and for long ones, made when
/// they are needed first.
#[derive(Default)]
pub(super) struct Small {
    short: Option<Box<VmMemoryPool>>,
    long: Option<Box<VmMemoryPool>>,
}

fn small(stacks: Stacks) -> Box<VmMemoryPool> {
    let mut pool = VmMemoryPool::new();
    let count = pool.heap_len();
    let long: Vec<_> = (0..count)
        .map(|_| pool.get_heap(MIN_HEAP_FRAME_BYTES))
        .collect();
    drop(long);
    for _ in 0..count {
        pool.put_heap(AlignedMemory::zero_filled(MIN_HEAP_FRAME_BYTES as usize));
    }
    if stacks == Stacks::Short {
        let frame = get_stack_frame_size();
        let count = pool.stack_len();
        let long: Vec<_> = (0..count)
            .map(|_| pool.get_stack(frame * MAX_CALL_DEPTH))
            .collect();
        drop(long);
        for _ in 0..count {
            pool.put_stack(AlignedMemory::zero_filled(frame * FRAMES));
        }
    }
    Box::new(pool)
}

impl Small {
    /// Runs `work` with one of these pools in place of that of the thread, if no program can get a
    /// heap longer than `heap_bytes`, and that is short enough; otherwise with that of the thread.
    pub(super) fn lend<R>(
        &mut self,
        heap_bytes: u32,
        stacks: Stacks,
        work: impl FnOnce() -> R,
    ) -> R {
        let is_enough = heap_bytes <= MIN_HEAP_FRAME_BYTES;
        let pool = match stacks {
            Stacks::Short => &mut self.short,
            Stacks::Long => &mut self.long,
        };
        let _lent = is_enough.then(|| Lent::new(pool.get_or_insert_with(|| small(stacks))));
        work()
    }
}

/// A pool that is in the place of the thread's, which is in its place meanwhile.
struct Lent<'a>(&'a mut VmMemoryPool);

impl<'a> Lent<'a> {
    fn new(pool: &'a mut VmMemoryPool) -> Self {
        MEMORY_POOL.with_borrow_mut(|other| mem::swap(pool, other));
        Self(pool)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        MEMORY_POOL.with_borrow_mut(|other| mem::swap(self.0, other));
    }
}
