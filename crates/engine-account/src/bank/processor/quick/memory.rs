//! Memory for programs that ask for no more heap than every program has.
//!
//! The virtual machine takes the memory of a program from a pool of the thread and clears all of it
//! afterwards: 256 KiB of heap, of which a program gets 32 unless its transaction asks for more.
//! That is half of what a transfer of tokens takes. Here the heaps are as long as they need to be;
//! the pool lets them be of any length from 32 KiB on.
//!
//! Invariant: the pool of the thread is back in its place when [`Small::lend`] returns, so that
//! nothing else finds heaps that are too short.

use std::mem;

use solana_program_runtime::execution_budget::MIN_HEAP_FRAME_BYTES;
use solana_program_runtime::mem_pool::VmMemoryPool;
use solana_program_runtime::solana_sbpf::aligned_memory::AlignedMemory;
use solana_program_runtime::vm::MEMORY_POOL;

/// A pool of which all heaps have the least length, made when it is needed first.
#[derive(Default)]
pub(super) struct Small(Option<Box<VmMemoryPool>>);

fn small() -> Box<VmMemoryPool> {
    let mut pool = VmMemoryPool::new();
    let count = pool.heap_len();
    let long: Vec<_> = (0..count)
        .map(|_| pool.get_heap(MIN_HEAP_FRAME_BYTES))
        .collect();
    drop(long);
    for _ in 0..count {
        pool.put_heap(AlignedMemory::zero_filled(MIN_HEAP_FRAME_BYTES as usize));
    }
    Box::new(pool)
}

impl Small {
    /// Runs `work` with this pool in place of that of the thread, if no program can get a heap
    /// longer than `heap_bytes`, and that is short enough; otherwise with that of the thread.
    pub(super) fn lend<R>(&mut self, heap_bytes: u32, work: impl FnOnce() -> R) -> R {
        let is_enough = heap_bytes <= MIN_HEAP_FRAME_BYTES;
        let _lent = is_enough.then(|| Lent::new(self.0.get_or_insert_with(small)));
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
