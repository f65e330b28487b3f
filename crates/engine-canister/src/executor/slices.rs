//! Slices: how a message is paused without the pause reaching its outcome.
//!
//! Wasmtime hands control back every [`GRAIN_INSTRUCTIONS`], however long a slice is; host calls
//! set the meter and with it start the grain anew, so they tell how much has really been used and
//! pause by themselves when the slice is over. A slice therefore ends at the first grain or host
//! call at which at least its length was used since it began. That depends on the program alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use trilith_params::wasm::GRAIN_INSTRUCTIONS;

/// Shared by an execution and its host functions; both run on one thread at a time.
pub(super) struct Slices {
    length: u64,
    /// Instructions used when the slice began.
    start: AtomicU64,
    /// Instructions used, as far as known.
    used: AtomicU64,
    /// Whether the pause that comes next was made by a host call.
    by_host: AtomicBool,
}

impl Slices {
    pub(super) fn new(length: u64) -> Self {
        Self {
            length: length.max(1),
            start: AtomicU64::new(0),
            used: AtomicU64::new(0),
            by_host: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        let (used, start) = (
            self.used.load(Ordering::Relaxed),
            self.start.load(Ordering::Relaxed),
        );
        used.saturating_sub(start) >= self.length
    }

    /// A host call tells what the meter shows.
    pub(super) fn used(&self, instructions: u64) {
        self.used.store(instructions, Ordering::Relaxed);
    }

    /// Whether a host call that returns now must pause first.
    pub(super) fn take_end(&self) -> bool {
        let over = self.is_over();
        if over {
            self.by_host.store(true, Ordering::Relaxed);
        }
        over
    }

    /// The execution has paused: whether the slice is over. If it is, the next one begins.
    pub(super) fn paused(&self) -> bool {
        if !self.by_host.swap(false, Ordering::Relaxed) {
            self.used.fetch_add(GRAIN_INSTRUCTIONS, Ordering::Relaxed);
        }
        let over = self.is_over();
        if over {
            self.start
                .store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        over
    }
}

/// Pauses once.
#[derive(Default)]
pub(super) struct Pause {
    done: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.done, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
