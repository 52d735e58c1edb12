//! The memory that requests may hold between their first byte and the last byte of their response.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in units of this many bytes, so that a budget above 4 GiB fits the semaphore's u32 calls.
const UNIT_BYTES: usize = 64;
/// Frames up to this size have a share of their own: most requests other than produce are that small, and must not wait
/// for large ones that were announced and do not come.
pub(crate) const SMALL_FRAME_BYTES: usize = 32 * 1024;
/// The small frames' part of the whole is one in this many.
const SMALL_SHARE: usize = 8;

/// A global budget of request bytes (Kafka's `queued.max.request.bytes`): taken before a frame is handed out, given back
/// when the response has left.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    small: Pool,
    large: Pool,
}

/// A share of the budget; dropping it gives the bytes back.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let small = bytes / SMALL_SHARE;
        Self {
            small: Pool::new(small),
            large: Pool::new(bytes - small),
        }
    }

    /// Waits until `bytes` are free. A frame larger than the whole budget takes all of it and so runs alone.
    pub(crate) async fn acquire(&self, bytes: usize) -> MemoryPermit {
        if bytes <= SMALL_FRAME_BYTES {
            self.small.acquire(bytes).await
        } else {
            self.large.acquire(bytes).await
        }
    }

    /// Bytes that are free now.
    pub(crate) fn available(&self) -> usize {
        self.small.available() + self.large.available()
    }
}

#[derive(Debug, Clone)]
struct Pool {
    semaphore: Arc<Semaphore>,
    units: usize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            semaphore: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    async fn acquire(&self, bytes: usize) -> MemoryPermit {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this cannot fail.
        let permit = Arc::clone(&self.semaphore)
            .acquire_many_owned(units)
            .await
            .ok();
        MemoryPermit { _permit: permit }
    }

    fn available(&self) -> usize {
        self.semaphore.available_permits() * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_larger_than_the_budget_still_gets_through_alone() {
        let budget = MemoryBudget::new(1024);
        let all = budget.acquire(1 << 30).await;
        assert_eq!(budget.large.available(), 0);
        drop(all);
        assert_eq!(budget.available(), 1024);
    }

    #[tokio::test]
    async fn small_frames_do_not_wait_for_large_ones() {
        let budget = MemoryBudget::new(1 << 20);
        let _all = budget.acquire(1 << 30).await;
        let _small = budget.acquire(SMALL_FRAME_BYTES).await;
    }

    #[tokio::test]
    async fn what_is_taken_is_given_back() {
        let budget = MemoryBudget::new(10_000);
        let before = budget.available();
        let permit = budget.acquire(100).await;
        assert!(budget.available() < before);
        drop(permit);
        assert_eq!(budget.available(), before);
    }
}
