//! Memories that stay mapped between messages.
//!
//! A memory is known by a version, which is given out when a message leaves it and taken back by
//! the message that names it. Versions start at a number drawn at random, so that a version of
//! another process means nothing here. Whether a memory is found changes speed only.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::{Mutex, PoisonError};

use candid::Principal;

use super::heap::Heap;
use super::memory::reserved_bytes;
use super::pagemap::Pagemap;
use crate::api::ExecutionRequest;

/// The memories of an executor.
pub(super) struct Heaps {
    pub(super) pagemap: Pagemap,
    kept_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    next: u64,
    heaps: BTreeMap<u64, (Principal, Heap)>,
}

impl Heaps {
    pub(super) fn new(pagemap: Pagemap, kept_max: usize) -> Self {
        let next = RandomState::new().build_hasher().finish();
        Self {
            pagemap,
            kept_max,
            kept: Mutex::new(Kept {
                next,
                heaps: BTreeMap::new(),
            }),
        }
    }

    /// The memory the request names if it is here, or a new mapping of the request's image.
    pub(super) fn take(&self, request: &ExecutionRequest, wasm_pages: u64) -> io::Result<Heap> {
        let known = request.memory_version.and_then(|version| {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.heaps.remove(&version)
        });
        match known {
            Some((canister, heap))
                if canister == request.canister && heap.wasm_pages() == wasm_pages =>
            {
                Ok(heap)
            }
            _ => Heap::map(&request.heap, wasm_pages, reserved_bytes()),
        }
    }

    /// Keeps a memory and names it: by `version` if its bytes are still those of that version.
    pub(super) fn keep(
        &self,
        canister: Principal,
        heap: Heap,
        version: Option<u64>,
    ) -> Option<u64> {
        if self.kept_max == 0 || !heap.is_compact() {
            return None;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let version = version.unwrap_or_else(|| {
            kept.next = kept.next.wrapping_add(1);
            kept.next
        });
        kept.heaps.insert(version, (canister, heap));
        while kept.heaps.len() > self.kept_max {
            kept.heaps.pop_first();
        }
        Some(version)
    }
}
