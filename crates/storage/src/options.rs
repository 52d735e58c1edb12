//! What the caller decides: store-wide options, options of one log, and the doors for time and events.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::partition_log::PartitionLog;

/// Names one partition's log: the topic's id, not its name, so that a topic that is created again under an old name
/// shares nothing with its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogKey {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's number within the topic.
    pub partition: i32,
}

/// Wall-clock time, in milliseconds since 1970. Only retention, segment age and producer expiry are decided by it.
pub trait Clock: Send + Sync {
    /// The time now. Must not block.
    fn now_ms(&self) -> i64;
}

/// What the store tells its owner. Called from writer and maintenance threads, so an implementation must not block.
pub trait LogEvents: Send + Sync {
    /// The log's end offset or high watermark rose; called once per log and group of appends, before the appends'
    /// own completion.
    fn visible_offset_moved(&self, log: &PartitionLog);
    /// The directory failed and serves nothing until the next start.
    fn dir_went_offline(&self, dir: &Path, reason: &str);
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl LogEvents for NoEvents {
    fn visible_offset_moved(&self, _log: &PartitionLog) {}
    fn dir_went_offline(&self, _dir: &Path, _reason: &str) {}
}

/// Options of the whole store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Log directories (Kafka's `log.dirs`); created when missing.
    pub dirs: Vec<PathBuf>,
    /// The cluster this node belongs to; a directory of another cluster is refused.
    pub cluster_id: String,
    /// This node; a directory of another node is refused.
    pub node_id: i32,
    /// Budget of the tail cache over all logs.
    pub tail_cache_bytes: usize,
    /// Submissions of at most this many bytes are written by the thread that brings them when the writer is idle; 0 leaves
    /// everything to the writer thread.
    pub inline_append_bytes: usize,
    /// Block cache of RocksDB, shared by all directories.
    pub rocksdb_cache_bytes: usize,
    /// When a disk counts as nearly full.
    pub disk: DiskLimits,
    /// Appended bytes after which a log's state is written to RocksDB. Bounds the scan after a kill.
    pub checkpoint_bytes: u64,
    /// Age after which a changed log's state is written to RocksDB.
    pub checkpoint_interval_ms: u64,
    /// How often retention runs (Kafka's `log.retention.check.interval.ms`).
    pub retention_check_interval_ms: u64,
    /// A producer without an open transaction is forgotten this long after its last batch (Kafka's
    /// `producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
    /// Journal files are closed at this size and dropped once the segments they cover are on disk.
    pub journal_file_bytes: u64,
    /// Threads that recover logs in parallel when a directory is opened.
    pub recovery_threads: usize,
    /// Compaction.
    pub cleaner: CleanerOptions,
}

/// Options of compaction, under the names of Kafka's `log.cleaner.*`. May be changed while the store is open.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanerOptions {
    /// `log.cleaner.enable`: without it nothing is compacted, whatever topics ask for.
    pub enable: bool,
    /// `log.cleaner.threads`.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: memory for the offsets of keys, of all threads together. A log with more keys than
    /// fit is compacted in several runs.
    pub dedupe_buffer_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full that memory may get; more means fewer runs and slower look-ups.
    pub dedupe_load_factor: f64,
    /// `log.cleaner.io.buffer.size`: what is written at once, of all threads together.
    pub io_buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`: bytes read and written, of all threads together.
    pub io_max_bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: how long a thread that found nothing to do waits.
    pub backoff_ms: u64,
    /// For tests of crashes: the cleaner dies behind this step of putting a cleaned segment in its place, leaving everything
    /// as a killed process would.
    #[doc(hidden)]
    pub die_behind: Option<SwapStep>,
}

/// The steps in which a cleaned segment takes the place of those it was made of.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStep {
    /// Half of the cleaned file is written.
    HalfWritten,
    /// The cleaned file is whole and on the disk.
    Written,
    /// It has the name that makes it valid.
    Named,
    /// RocksDB describes it.
    Described,
    /// The first of the files that it replaces has lost its name.
    HalfRetired,
    /// All of them have, besides the first.
    Retired,
    /// It has its own name.
    Done,
}

impl SwapStep {
    /// All of them, in order.
    pub const ALL: [SwapStep; 7] = [
        Self::HalfWritten,
        Self::Written,
        Self::Named,
        Self::Described,
        Self::HalfRetired,
        Self::Retired,
        Self::Done,
    ];
}

impl Default for CleanerOptions {
    fn default() -> Self {
        Self {
            enable: true,
            threads: 1,
            dedupe_buffer_bytes: 128 << 20,
            dedupe_load_factor: 0.9,
            io_buffer_bytes: 512 << 10,
            io_max_bytes_per_second: f64::MAX,
            backoff_ms: 15_000,
            die_behind: None,
        }
    }
}

impl StoreOptions {
    /// Defaults for these directories; every other field may be changed afterwards.
    pub fn new(dirs: Vec<PathBuf>, cluster_id: impl Into<String>, node_id: i32) -> Self {
        Self {
            dirs,
            cluster_id: cluster_id.into(),
            node_id,
            tail_cache_bytes: 64 << 20,
            inline_append_bytes: 64 << 10,
            rocksdb_cache_bytes: 8 << 20,
            disk: DiskLimits::default(),
            checkpoint_bytes: 16 << 20,
            checkpoint_interval_ms: 5_000,
            retention_check_interval_ms: 300_000,
            producer_id_expiration_ms: 86_400_000,
            journal_file_bytes: 64 << 20,
            recovery_threads: 2,
            cleaner: CleanerOptions::default(),
        }
    }
}

/// The two free-space limits of a disk. Each is the smaller of a number of bytes and a share of the disk, so that the
/// defaults suit a test's 16 MiB file system as well as a large disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskLimits {
    /// Below this much free space producers are slowed down.
    pub soft_free_bytes: u64,
    /// Below this share of the disk producers are slowed down, in percent.
    pub soft_free_percent: f64,
    /// Below this much free space appends are refused.
    pub hard_free_bytes: u64,
    /// Below this share of the disk appends are refused, in percent.
    pub hard_free_percent: f64,
    /// How often free space is looked at.
    pub check_interval_ms: u64,
    /// The throttle just above the hard limit; it grows evenly from 0 at the soft limit.
    pub max_throttle_ms: i32,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self {
            soft_free_bytes: 4 << 30,
            soft_free_percent: 10.0,
            hard_free_bytes: 1 << 30,
            hard_free_percent: 4.0,
            check_interval_ms: 1_000,
            max_throttle_ms: 1_000,
        }
    }
}

/// Options of one log, under the names of Kafka's topic configurations. The defaults are Kafka 4.4's.
#[derive(Debug, Clone, PartialEq)]
pub struct LogOptions {
    /// `segment.bytes`: a segment is closed before it would grow beyond this.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is closed when its batches span more time than this.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most this much is taken off `segment_ms`, differently for each log, so that logs that
    /// were created together do not roll together.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: bytes between two entries of the sparse index.
    pub index_interval_bytes: u32,
    /// `retention.ms`; negative keeps everything.
    pub retention_ms: i64,
    /// `retention.bytes`; negative keeps everything.
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: the share of the log that must be dirty before it is compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: dirty records older than this are compacted whatever the ratio.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long a tombstone, or a marker of a transaction of which nothing is left, stays after the
    /// cleaner has met it.
    pub delete_retention_ms: i64,
    /// `flush.messages`: records after which the segment is synced; 1 means every append is on disk before it is
    /// answered, through the directory's journal.
    pub flush_messages: i64,
    /// `flush.ms`: age after which appended data is synced in the background.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`: how long files outlive their removal from the log.
    pub file_delete_delay_ms: i64,
    /// `preallocate`: reserve a new segment's space at once.
    pub preallocate: bool,
}

impl LogOptions {
    /// Age at which a segment is closed (`LogConfig.maxSegmentMs`): what must be compacted in time must leave the active
    /// segment in time.
    pub(crate) fn max_segment_ms(&self) -> i64 {
        if self.compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            delete: true,
            compact: false,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 86_400_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            preallocate: false,
        }
    }
}
