//! Producer ids: persisted by the thousand before the first of them is used (Kafka `ProducerIdControlManager`), given out from memory.

use std::ops::Range;

use parking_lot::Mutex;

use crate::error::ControllerError;

/// How many ids are persisted at once (Kafka `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const BLOCK: u32 = 1000;

/// Why there are no producer ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocateProducerIdsError {
    /// Every id up to the largest number has been given out.
    #[error("there are no producer ids left after {next}")]
    Exhausted {
        /// The first id that nobody was given.
        next: i64,
    },
    /// The controller could not do it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

/// Ids that are persisted as used and were not given out yet. A crash loses them, which is why they are few.
#[derive(Debug, Default)]
pub(super) struct ProducerIdPool {
    left: Mutex<Range<i64>>,
}

impl ProducerIdPool {
    /// The next `count` ids (at least one), if so many are left.
    pub(super) fn take(&self, count: u32) -> Option<Range<i64>> {
        let mut left = self.left.lock();
        let end = left
            .start
            .checked_add(i64::from(count.max(1)))
            .filter(|&end| end <= left.end)?;
        let taken = left.start..end;
        left.start = end;
        Some(taken)
    }

    /// Replaces what is left by a block that is persisted as used.
    pub(super) fn refill(&self, block: Range<i64>) {
        *self.left.lock() = block;
    }
}

/// The block from `next` on that has at least `count` ids.
pub(super) fn block_for(next: i64, count: u32) -> Result<Range<i64>, AllocateProducerIdsError> {
    let ids = i64::from(count.max(1).div_ceil(BLOCK)) * i64::from(BLOCK);
    let end = next
        .checked_add(ids)
        .ok_or(AllocateProducerIdsError::Exhausted { next })?;
    Ok(next..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_each_id_once_and_never_more_than_it_has() {
        let pool = ProducerIdPool::default();
        assert_eq!(pool.take(1), None);
        pool.refill(5..8);
        assert_eq!(pool.take(2), Some(5..7));
        assert_eq!(pool.take(2), None);
        assert_eq!(pool.take(0), Some(7..8), "nobody asks for no id");
        assert_eq!(pool.take(1), None);
    }

    #[test]
    fn a_block_covers_what_is_asked_for_and_ends_before_the_numbers_do() {
        assert_eq!(block_for(0, 1), Ok(0..1000));
        assert_eq!(block_for(3000, 1001), Ok(3000..5000));
        assert_eq!(
            block_for(i64::MAX - 999, 1),
            Err(AllocateProducerIdsError::Exhausted {
                next: i64::MAX - 999
            })
        );
        assert_eq!(block_for(i64::MAX - 1000, 1), Ok(i64::MAX - 1000..i64::MAX));
    }
}
