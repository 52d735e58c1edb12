//! The broker's only door to time, so that a simulation can stand in it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Monotonic time, for durations and deadlines. Follows tokio's clock, which tests can pause.
pub(crate) fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Wall time, for record timestamps and retention only; it may jump.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl storage::Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn now_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            })
    }
}
