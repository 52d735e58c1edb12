//! The newest batches of all logs, kept as the `Bytes` they arrived in, so that consumers at the tail cost no file read.
//!
//! One budget over all logs, oldest out first. Batches smaller than `COPY_BELOW` are copied into chunks of the cache,
//! so that a small batch neither pins the frame it came in nor costs an allocation; larger ones share their frame, of
//! which produce data is all but a few bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};

use crate::metrics::Metrics;

const COPY_BELOW: usize = 4096;
const CHUNK_BYTES: usize = 64 << 10;

/// One batch with its final offsets. `head` is its patched beginning when the frame could not be changed in place, and
/// otherwise empty.
#[derive(Debug, Clone)]
pub(crate) struct CachedBatch {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) head: Bytes,
    pub(crate) rest: Bytes,
}

impl CachedBatch {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.rest.len()
    }
}

/// One log's part of the cache.
#[derive(Debug, Default)]
pub(crate) struct LogTail {
    batches: RwLock<Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    batches: VecDeque<CachedBatch>,
    /// Number of the front batch, counting all that were ever pushed.
    first: u64,
}

/// What a read found.
pub(crate) struct TailRead {
    pub(crate) slices: Vec<Bytes>,
    pub(crate) bytes: usize,
}

impl LogTail {
    /// Whole batches from the one that contains `from` up to `below`, at most `max_bytes` of them (or one, when
    /// `whole_first_batch`). `None` when the cache does not reach back to `from`.
    pub(crate) fn read(
        &self,
        from: i64,
        below: i64,
        max_bytes: usize,
        whole_first_batch: bool,
    ) -> Option<TailRead> {
        let tail = self.batches.read();
        let front = tail.batches.front()?;
        if from < front.base_offset {
            return None;
        }
        let start = tail
            .batches
            .partition_point(|batch| batch.last_offset < from);
        let mut read = TailRead {
            slices: Vec::new(),
            bytes: 0,
        };
        for batch in tail.batches.range(start..) {
            let fits =
                read.bytes + batch.len() <= max_bytes || (read.bytes == 0 && whole_first_batch);
            if batch.base_offset >= below || !fits {
                break;
            }
            read.bytes += batch.len();
            if !batch.head.is_empty() {
                read.slices.push(batch.head.clone());
            }
            read.slices.push(batch.rest.clone());
        }
        (start < tail.batches.len()).then_some(read)
    }
}

pub(crate) struct TailCache {
    budget: usize,
    used: AtomicUsize,
    order: Mutex<Order>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for TailCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailCache")
            .field("budget", &self.budget)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Which log's batches are the oldest. A token says "evict this log up to that number"; tokens of logs that were
/// cleared meanwhile find nothing and cost nothing.
#[derive(Default)]
struct Order {
    tokens: VecDeque<(Arc<LogTail>, u64)>,
    chunk: BytesMut,
}

impl TailCache {
    pub(crate) fn new(budget: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            budget,
            used: AtomicUsize::new(0),
            order: Mutex::default(),
            metrics,
        }
    }

    /// Adds a group of one log's batches, in order, and evicts what the budget no longer allows.
    pub(crate) fn push(&self, log: &Arc<LogTail>, group: impl Iterator<Item = CachedBatch>) {
        if self.budget == 0 {
            return;
        }
        let mut order = self.order.lock();
        let mut added = 0;
        let end = {
            let mut tail = log.batches.write();
            for batch in group {
                let batch = compact(batch, &mut order.chunk);
                added += batch.len();
                tail.batches.push_back(batch);
            }
            tail.first + tail.batches.len() as u64
        };
        order.tokens.push_back((Arc::clone(log), end));
        self.used.fetch_add(added, Ordering::Relaxed);
        self.evict(&mut order);
        self.metrics
            .tail_cache_bytes
            .set(i64::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    }

    /// Drops everything of one log: it was truncated or deleted.
    pub(crate) fn clear(&self, log: &LogTail) {
        let mut tail = log.batches.write();
        let bytes = tail.batches.iter().map(CachedBatch::len).sum();
        tail.first += tail.batches.len() as u64;
        tail.batches = VecDeque::new();
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Drops one log's batches below `offset`: the files hold something else there now.
    pub(crate) fn forget_below(&self, log: &LogTail, offset: i64) {
        let mut tail = log.batches.write();
        let upto = tail
            .batches
            .partition_point(|batch| batch.last_offset < offset);
        let bytes = tail.batches.drain(..upto).map(|batch| batch.len()).sum();
        tail.first += upto as u64;
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The budget may be passed by the newest group alone, so that the batch a consumer waits for is always here.
    fn evict(&self, order: &mut Order) {
        while self.used.load(Ordering::Relaxed) > self.budget && order.tokens.len() > 1 {
            let Some((log, upto)) = order.tokens.pop_front() else {
                return;
            };
            let mut tail = log.batches.write();
            let mut freed = 0;
            while tail.first < upto
                && let Some(batch) = tail.batches.pop_front()
            {
                tail.first += 1;
                freed += batch.len();
            }
            self.used.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

/// Copies a small batch into the shared chunk; its frame is free to go.
fn compact(batch: CachedBatch, chunk: &mut BytesMut) -> CachedBatch {
    if batch.len() >= COPY_BELOW {
        return batch;
    }
    if chunk.capacity() - chunk.len() < batch.len() {
        *chunk = BytesMut::with_capacity(CHUNK_BYTES);
    }
    chunk.extend_from_slice(&batch.head);
    chunk.extend_from_slice(&batch.rest);
    CachedBatch {
        head: Bytes::new(),
        rest: chunk.split().freeze(),
        ..batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, count: i64, bytes: usize) -> CachedBatch {
        let rest = Bytes::from(vec![u8::try_from(base_offset % 251).unwrap(); bytes]);
        CachedBatch {
            base_offset,
            last_offset: base_offset + count - 1,
            head: Bytes::new(),
            rest,
        }
    }

    fn cache(budget: usize) -> TailCache {
        TailCache::new(
            budget,
            Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap()),
        )
    }

    #[test]
    fn reads_whole_batches_within_their_limits() {
        let (cache, log) = (cache(1 << 20), Arc::new(LogTail::default()));
        cache.push(&log, (0..5).map(|n| batch(n * 10, 10, 100)));
        let read = log.read(15, i64::MAX, 250, true).unwrap();
        assert_eq!((read.bytes, read.slices.len()), (200, 2));
        assert_eq!(read.slices[0][0], 10);
        assert_eq!(log.read(15, 30, 1000, true).unwrap().bytes, 200);
        assert_eq!(log.read(15, i64::MAX, 50, true).unwrap().bytes, 100);
        assert_eq!(log.read(15, i64::MAX, 50, false).unwrap().bytes, 0);
        assert!(log.read(50, i64::MAX, 50, true).is_none());
    }

    #[test]
    fn the_oldest_go_first_over_all_logs() {
        let cache = cache(1000);
        let logs: Vec<_> = (0..3).map(|_| Arc::new(LogTail::default())).collect();
        for round in 0..4 {
            for log in &logs {
                cache.push(log, std::iter::once(batch(round, 1, 200)));
            }
        }
        assert!(cache.used.load(Ordering::Relaxed) <= 1000);
        assert!(
            logs[0].read(2, i64::MAX, 1000, true).is_none(),
            "evicted first"
        );
        assert!(
            logs[2].read(2, i64::MAX, 1000, true).is_some(),
            "among the newest five"
        );
    }

    #[test]
    fn a_cleared_log_frees_its_bytes_once() {
        let (cache, log) = (cache(1000), Arc::new(LogTail::default()));
        cache.push(&log, (0..3).map(|n| batch(n, 1, 200)));
        cache.clear(&log);
        assert_eq!(cache.used.load(Ordering::Relaxed), 0);
        for n in 0..20 {
            cache.push(&log, std::iter::once(batch(n, 1, 200)));
        }
        assert_eq!(cache.used.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn small_batches_share_a_chunk_and_large_ones_keep_their_frame() {
        let (cache, log) = (cache(1 << 20), Arc::new(LogTail::default()));
        let large = batch(1, 1, COPY_BELOW);
        let pointer = large.rest.as_ptr();
        cache.push(&log, [batch(0, 1, 100), large].into_iter());
        let read = log.read(1, i64::MAX, usize::MAX, true).unwrap();
        assert_eq!(read.slices[0].as_ptr(), pointer);
    }
}
