//! This node's clock: the only place of the node that reads one.
//!
//! What it says may decide what this node proposes and how long it waits, never what is valid.

use std::time::{SystemTime, UNIX_EPOCH};

use trilith_types::TimeNanos;

/// Where the present comes from.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970.
    fn now(&self) -> TimeNanos;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimeNanos {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        TimeNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
