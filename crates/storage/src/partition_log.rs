//! One partition's log: what is visible of it, and its segments. Appending, reading, trimming and recovery are in the
//! files beside this one.
//!
//! Three things are kept apart. Offsets that readers ask for are atomics. The segment list is replaced as a whole. All
//! else sits in `LogState` behind one lock, which the writer holds while it writes; no reader ever takes it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::cleaner::CleaningState;
use crate::epochs::{EpochEnd, Epochs};
use crate::error::{ChangeError, EngineError};
use crate::keys::{Checkpoint, SegmentFacts};
use crate::log_dir::LogDir;
use crate::options::{LogKey, LogOptions};
use crate::producer_state::Producers;
use crate::read::Hints;
use crate::recovery::Recovered;
use crate::segment::Segment;
use crate::tail_cache::LogTail;
use crate::transactions::{AbortedTransaction, Transactions};
use crate::verification::{VerificationGuard, Verifications};

/// One partition's log on this disk. Shared; every getter is lock-free and never blocks.
pub struct PartitionLog {
    pub(crate) key: LogKey,
    pub(crate) topic: String,
    pub(crate) log_id: u64,
    pub(crate) dir: Arc<LogDir>,
    pub(crate) path: Arc<Path>,
    pub(crate) me: Weak<PartitionLog>,
    pub(crate) offsets: Offsets,
    pub(crate) state: Mutex<LogState>,
    pub(crate) segments: ArcSwap<Vec<Arc<Segment>>>,
    pub(crate) options: ArcSwap<LogOptions>,
    pub(crate) epochs: RwLock<Epochs>,
    pub(crate) transactions: Mutex<Transactions>,
    pub(crate) verifications: Mutex<Verifications>,
    pub(crate) tail: Arc<LogTail>,
    pub(crate) hints: Hints,
    /// Rises with every truncation; a hint of an older generation is worthless.
    pub(crate) generation: AtomicU32,
    /// Rises whenever compaction has published other segments and is about to change what lies on the disk.
    pub(crate) replacements: AtomicU64,
    pub(crate) cleaning: CleaningState,
    /// Held by whoever takes records away. Taken before the log's lock.
    pub(crate) trimming: Mutex<()>,
    /// Base offset of the newest segment whose directory entry is on the disk, -1 for none.
    pub(crate) synced_entry: AtomicI64,
    sole_replica: AtomicBool,
    deleted: AtomicBool,
}

/// What is published of a log.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) start: AtomicI64,
    pub(crate) end: AtomicI64,
    pub(crate) high_watermark: AtomicI64,
    /// First offset of an undecided transaction, `i64::MAX` without one.
    pub(crate) first_undecided: AtomicI64,
    pub(crate) leader_epoch: AtomicI32,
    pub(crate) size: AtomicU64,
}

/// What only the holder of the log's lock may see: the writer, or whoever trims the log.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) active: Arc<Segment>,
    pub(crate) end_offset: i64,
    pub(crate) producers: Producers,
    /// Appended bytes that no checkpoint covers.
    pub(crate) unsaved_bytes: u64,
    pub(crate) dirty: bool,
    /// Segments below this base offset are on the disk.
    pub(crate) synced_base: i64,
    pub(crate) unflushed_records: i64,
    /// When the oldest record that is not known to be on the disk was appended.
    pub(crate) unflushed_since_ms: Option<i64>,
    /// Segment rows that changed since the last checkpoint besides the active one's.
    pub(crate) changed_segments: Vec<Arc<Segment>>,
}

impl std::fmt::Debug for PartitionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionLog")
            .field("topic", &self.topic)
            .field("partition", &self.key.partition)
            .field("log_id", &self.log_id)
            .field("offsets", &self.offsets)
            .finish_non_exhaustive()
    }
}

/// A producer as `DescribeProducers` shows it (KIP-664).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStatus {
    /// The producer.
    pub producer_id: i64,
    /// Its newest epoch.
    pub epoch: i16,
    /// Last sequence in the log, -1 when the epoch has written nothing.
    pub last_sequence: i32,
    /// Greatest timestamp of its last batch.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 without one.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub transaction_start: Option<i64>,
}

impl PartitionLog {
    pub(crate) fn new(
        dir: Arc<LogDir>,
        log_id: u64,
        recovered: Recovered,
        options: Arc<LogOptions>,
    ) -> Arc<Self> {
        let path: Arc<Path> = Arc::clone(&recovered.path);
        dir.shared
            .metrics
            .segments
            .add(i64::try_from(recovered.segments.len()).unwrap_or(0));
        let size = recovered
            .segments
            .iter()
            .map(|segment| segment.size())
            .sum();
        let mut transactions = recovered.transactions;
        let first_undecided = transactions
            .first_undecided(recovered.high_watermark)
            .unwrap_or(i64::MAX);
        let offsets = Offsets {
            start: recovered.log_start_offset.into(),
            end: recovered.log_end_offset.into(),
            high_watermark: recovered.high_watermark.into(),
            first_undecided: first_undecided.into(),
            leader_epoch: recovered.epochs.latest().unwrap_or(-1).into(),
            size: AtomicU64::new(size),
        };
        let state = LogState {
            active: Arc::clone(
                recovered
                    .segments
                    .last()
                    .expect("recovery always leaves an active segment"),
            ),
            end_offset: recovered.log_end_offset,
            producers: recovered.producers,
            unsaved_bytes: 0,
            dirty: false,
            synced_base: recovered.synced_base,
            unflushed_records: 0,
            unflushed_since_ms: None,
            changed_segments: recovered.changed,
        };
        Arc::new_cyclic(|me| Self {
            key: recovered.key,
            topic: recovered.topic,
            log_id,
            dir,
            path,
            me: Weak::clone(me),
            offsets,
            state: Mutex::new(state),
            segments: ArcSwap::from_pointee(recovered.segments),
            options: ArcSwap::new(options),
            epochs: RwLock::new(recovered.epochs),
            transactions: Mutex::new(transactions),
            verifications: Mutex::default(),
            tail: Arc::default(),
            hints: Hints::default(),
            generation: AtomicU32::new(0),
            replacements: AtomicU64::new(0),
            cleaning: CleaningState::new(recovered.cleaned),
            trimming: Mutex::new(()),
            synced_entry: AtomicI64::new(-1),
            sole_replica: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        })
    }

    /// Topic id and partition.
    pub fn key(&self) -> LogKey {
        self.key
    }

    /// The topic's name, for people; the key is the identity.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.offsets.start.load(Ordering::Acquire)
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.offsets.end.load(Ordering::Acquire)
    }

    /// Everything below it is in all in-sync replicas.
    pub fn high_watermark(&self) -> i64 {
        self.offsets.high_watermark.load(Ordering::Acquire)
    }

    /// Everything below it is replicated and belongs to no undecided transaction.
    pub fn last_stable_offset(&self) -> i64 {
        self.high_watermark()
            .min(self.offsets.first_undecided.load(Ordering::Acquire))
    }

    /// The newest leader epoch this log has seen, -1 before the first.
    pub fn leader_epoch(&self) -> i32 {
        self.offsets.leader_epoch.load(Ordering::Acquire)
    }

    /// Everything below this offset is known to be on the disk; a segment counts once it is whole (Kafka's `recoveryPoint`). May wait
    /// for a write to the log that is in progress.
    pub fn recovery_point(&self) -> i64 {
        self.state.lock().synced_base
    }

    /// Payload bytes.
    pub fn size_bytes(&self) -> u64 {
        self.offsets.size.load(Ordering::Relaxed)
    }

    /// Whether the log's directory has failed.
    pub fn is_offline(&self) -> bool {
        self.dir.offline().is_some()
    }

    /// Whether the log was deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// The options in force.
    pub fn options(&self) -> Arc<LogOptions> {
        self.options.load_full()
    }

    /// Replaces the options; the next append and the next retention run obey them. Does not block on the disk.
    pub fn configure(&self, options: Arc<LogOptions>) {
        self.options.store(options);
    }

    /// What a batch that may begin a transaction needs besides its coordinator's word; `None` if the producer has a transaction
    /// open here, which needs nothing. To be asked for before the coordinator is: the word is worth nothing once a marker
    /// has come. `bumps_epoch`: each transaction of the producer has an epoch of its own (KIP-890 version 2). Never blocks.
    pub fn begin_verification(
        &self,
        producer_id: i64,
        epoch: i16,
        first_sequence: i32,
        bumps_epoch: bool,
    ) -> Option<VerificationGuard> {
        if self.transactions.lock().is_open_for(producer_id, epoch) {
            return None;
        }
        let mut verifications = self.verifications.lock();
        Some(verifications.begin(producer_id, epoch, first_sequence, bumps_epoch))
    }

    /// Begins a leader epoch at the log end (KIP-101). The epoch that is in force already changes nothing; an older one
    /// is an error, because epochs never fall. May wait for a write to the log that is in progress.
    pub fn become_leader(&self, epoch: i32) -> Result<(), ChangeError> {
        self.check_usable()?;
        let state = self.state.lock();
        let current = self.leader_epoch();
        if epoch < current {
            return Err(ChangeError::FencedLeaderEpoch {
                current,
                found: epoch,
            });
        }
        self.begin_epoch(epoch, state.end_offset)?;
        Ok(())
    }

    /// With `yes`, the high watermark follows the log end in the writer, because no other replica has to confirm.
    pub fn set_sole_replica(&self, yes: bool) {
        self.sole_replica.store(yes, Ordering::Release);
        if yes {
            self.advance_high_watermark(self.log_end_offset());
        }
    }

    /// Raises the high watermark to `offset`, at most to the log end; it never falls. Whether it moved. Does not block on
    /// the disk.
    pub fn advance_high_watermark(&self, offset: i64) -> bool {
        let offset = offset.min(self.log_end_offset());
        // One lock for all who move it, so that the stable offset is never published ahead of its reason.
        let mut transactions = self.transactions.lock();
        if offset <= self.high_watermark() {
            return false;
        }
        let undecided = transactions.first_undecided(offset).unwrap_or(i64::MAX);
        self.offsets
            .first_undecided
            .store(undecided, Ordering::Release);
        self.offsets.high_watermark.store(offset, Ordering::Release);
        drop(transactions);
        self.mark_dirty_for_checkpoint();
        true
    }

    /// Where the records of `epoch` end (KIP-101, `OffsetForLeaderEpoch`).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> EpochEnd {
        self.epochs
            .read()
            .end_offset_for(epoch, self.log_end_offset())
    }

    /// The epoch that wrote the record at `offset`, if the log still knows.
    pub fn epoch_of_offset(&self, offset: i64) -> Option<i32> {
        self.epochs.read().epoch_of(offset)
    }

    /// Every producer the log remembers. May wait for a write to the log that is in progress.
    pub fn producers(&self) -> Vec<ProducerStatus> {
        let state = self.state.lock();
        let status =
            |(producer_id, entry): (i64, &crate::producer_state::ProducerEntry)| ProducerStatus {
                producer_id,
                epoch: entry.epoch,
                last_sequence: entry.last_sequence(),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                transaction_start: entry.transaction_start,
            };
        let mut producers: Vec<_> = state.producers.iter().map(status).collect();
        producers.sort_unstable_by_key(|producer| producer.producer_id);
        producers
    }

    /// Aborted transactions with records in `from..upto`, for read-committed consumers (`TransactionIndex` in Kafka).
    pub fn aborted_transactions(&self, from: i64, upto: i64) -> Vec<AbortedTransaction> {
        self.transactions.lock().aborted(from, upto)
    }

    pub(crate) fn is_sole_replica(&self) -> bool {
        self.sole_replica.load(Ordering::Acquire)
    }

    /// Marks the log deleted; whether it was not yet.
    pub(crate) fn mark_deleted(&self) -> bool {
        !self.deleted.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn check_usable(&self) -> Result<(), ChangeError> {
        if self.is_deleted() {
            return Err(ChangeError::Deleted);
        }
        match self.dir.offline() {
            Some(reason) => Err(ChangeError::Offline {
                dir: self.dir.path.clone(),
                reason,
            }),
            None => Ok(()),
        }
    }

    /// Runs `look` on the segments, and again when compaction has replaced some meanwhile: what it saw may then have been
    /// half of the old and half of the new.
    pub(crate) fn with_segments<T>(&self, mut look: impl FnMut(&[Arc<Segment>]) -> T) -> T {
        loop {
            let replacements = self.replacements.load(Ordering::Acquire);
            let outcome = look(&self.segments.load());
            if self.replacements.load(Ordering::Acquire) == replacements {
                return outcome;
            }
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock()
    }

    /// Puts the log on the list of those that the maintenance thread saves.
    pub(crate) fn mark_dirty(&self, state: &mut LogState) {
        if !state.dirty {
            state.dirty = true;
            self.dir
                .upkeep
                .add(|work| work.dirty.push(Weak::clone(&self.me)));
        }
    }

    /// The same for callers that must not wait for the log's lock. When it is taken, its holder is a writer, and writers
    /// mark the log themselves.
    fn mark_dirty_for_checkpoint(&self) {
        if let Some(mut state) = self.state.try_lock() {
            self.mark_dirty(&mut state);
        }
    }

    pub(crate) fn remove_path(&self) -> PathBuf {
        self.dir
            .logs_path()
            .join(format!("{}.deleted", self.log_id))
    }

    /// How far RocksDB may say it knows the log, once `state` is written.
    pub(crate) fn checkpoint_row(&self, state: &LogState) -> Checkpoint {
        let synced = self
            .segments
            .load()
            .iter()
            .find(|segment| segment.base_offset >= state.synced_base)
            .cloned();
        Checkpoint {
            segment_base: state.active.base_offset,
            position: state.active.size(),
            log_end_offset: state.end_offset,
            high_watermark: self.high_watermark(),
            synced_base: synced.as_ref().map_or(0, |segment| segment.base_offset),
            synced_position: synced.map_or(0, |segment| segment.synced()),
        }
    }

    /// Facts of the active segment after a batch.
    pub(crate) fn note_facts(facts: &mut SegmentFacts, header: &wire::batch::BatchHeader) {
        if facts.size == 0 {
            facts.first_timestamp = header.max_timestamp;
        }
        if header.max_timestamp > facts.max_timestamp {
            facts.max_timestamp = header.max_timestamp;
            facts.max_timestamp_offset = header.base_offset;
        }
        let len = header.total_len() as u64;
        facts.size += len;
        facts.bytes_since_index += len;
        facts.end_offset = header.next_offset();
    }

    pub(crate) fn engine_error(
        &self,
        action: &'static str,
        error: impl Into<std::io::Error>,
    ) -> EngineError {
        EngineError::io(&self.path, action, error)
    }
}

/// A number in `0..=limit` that is the same for a log every time: its share of the segment jitter.
pub(crate) fn jitter(log_id: u64, limit_ms: i64) -> i64 {
    let limit = u64::try_from(limit_ms).unwrap_or(0);
    let spread = log_id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
    limit
        .checked_add(1)
        .map_or(0, |span| i64::try_from(spread % span).unwrap_or(0))
}
