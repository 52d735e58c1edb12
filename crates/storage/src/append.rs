//! Appending to one log: plan a run of batches, write it with one call, and only then let anybody see it.
//!
//! A run is what fits one segment and one vectored write. Planning checks sequences and gives offsets; it changes only
//! the producer state, and that can be taken back. A failed write leaves the file as long as it was.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use rocksdb::WriteBatch;
use wire::batch::{self, BatchHeader, MAGIC_AT};

use crate::db::Durability;
use crate::error::{AppendError, EngineError};
use crate::index::{IndexEntry, put_block};
use crate::keys::{self, SegmentFacts, Table};
use crate::options::LogOptions;
use crate::partition_log::{LogState, PartitionLog, jitter};
use crate::producer_state::{ProducerBatch, Undo, Verdict};
use crate::scan::producer_batch;
use crate::segment::{MAX_SEGMENT_BYTES, Segment};
use crate::tail_cache::CachedBatch;
use crate::transactions::TransactionEffect;
use crate::verification::VerificationGuard;

/// Who produced a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client: its sequences are checked.
    Client,
    /// A client whose transaction's coordinator has vouched for it (KIP-890).
    Verified(VerificationGuard),
    /// This broker: internal topics. May use the space that is kept free of clients' records.
    Internal,
    /// This broker, for a producer whose transaction's coordinator has vouched for it: offsets in a transaction.
    InternalVerified(VerificationGuard),
    /// The coordinator of a transaction, which has ended; with `bumps_epoch`, one of version 2. May use that space, too.
    Marker {
        /// The marker's epoch is above the transaction's.
        bumps_epoch: bool,
    },
}

impl Origin {
    fn is_client(self) -> bool {
        matches!(self, Self::Client | Self::Verified(_))
    }
}

/// One batch to append.
#[derive(Debug, Clone)]
pub struct AppendJob {
    /// Where to.
    pub log: Arc<PartitionLog>,
    /// One whole v2 batch with the right checksum. Base offset and leader epoch are overwritten; in place, when nobody
    /// else holds the bytes.
    pub batch: Bytes,
    /// The leader epoch under which the batch was accepted.
    pub leader_epoch: i32,
    /// Who produced it.
    pub origin: Origin,
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record; an answer that waits for replication waits for the offset after it.
    pub last_offset: i64,
    /// For a duplicate the stored batch's timestamp, as Kafka answers it; otherwise -1.
    pub log_append_time_ms: i64,
    /// The log's first offset.
    pub log_start_offset: i64,
    /// The log had the batch before; nothing was written.
    pub duplicate: bool,
}

/// A batch in the writer's hands, with what becomes of it.
#[derive(Debug)]
pub(crate) struct QueuedBatch {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) batch: Bytes,
    pub(crate) leader_epoch: i32,
    pub(crate) source: BatchSource,
    /// Which submission of the round it belongs to, and its place there.
    pub(crate) submission: usize,
    pub(crate) job: usize,
    pub(crate) outcome: Option<Result<Appended, AppendError>>,
}

/// Where a batch in the writer's hands comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchSource {
    Job(Origin),
    /// The journal: it was accepted before the machine stopped, so nothing may refuse it now.
    Journal,
}

/// Slices that one `pwritev` takes on Linux (`IOV_MAX`); a batch is at most two.
const MAX_SLICES: usize = 1024;

/// Planned batches that are written together.
#[derive(Debug)]
pub(crate) struct Run {
    members: Vec<Member>,
    undo: Undo,
    effects: Vec<TransactionEffect>,
    first_offset: i64,
    next_offset: i64,
    bytes: usize,
    records: i64,
    /// Greatest leader epoch among the batches; a new one begins at the run's first offset.
    leader_epoch: i32,
    heads: BytesMut,
}

#[derive(Debug)]
struct Member {
    job: usize,
    header: BatchHeader,
    head: Bytes,
    rest: Bytes,
}

/// Why planning stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// No jobs are left.
    Done,
    /// This job needs a new segment.
    Roll(usize),
    /// The run is as long as one write may be; go on with this job.
    Full(usize),
}

impl Run {
    fn new(state: &LogState, jobs: usize) -> Self {
        Self {
            members: Vec::with_capacity(jobs),
            undo: Undo::default(),
            effects: Vec::new(),
            first_offset: state.end_offset,
            next_offset: state.end_offset,
            bytes: 0,
            records: 0,
            leader_epoch: -1,
            heads: BytesMut::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Base offset and pieces of every batch, as the journal records them.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (i64, &Bytes, &Bytes)> {
        self.members
            .iter()
            .map(|member| (member.header.base_offset, &member.head, &member.rest))
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let pieces = self
            .members
            .iter()
            .flat_map(|member| [&member.head, &member.rest]);
        pieces
            .filter(|piece| !piece.is_empty())
            .map(|piece| IoSlice::new(piece))
            .collect()
    }
}

impl PartitionLog {
    /// Appends all jobs of this log in one round, in order; every job gets its outcome. Called by the writer thread.
    pub(crate) fn append_group(&self, jobs: &mut [QueuedBatch]) {
        let timer = self.dir.shared.metrics.append_seconds.start_timer();
        let mut state = self.lock();
        let mut at = 0;
        while at < jobs.len() {
            let (run, stop) = self.plan(&mut state, jobs, at);
            if let Err(error) = self.write_run(&mut state, run, jobs) {
                fail_rest(jobs, at, &error);
                break;
            }
            at = match self.resume(&mut state, stop, jobs) {
                Some(next) => next,
                None => break,
            };
        }
        self.save_if_due(&mut state);
        drop(state);
        timer.observe_duration();
        self.dir.shared.events.visible_offset_moved(self);
    }

    /// Prepares for the rest of the jobs after a run; `None` when there is nothing left to do.
    pub(crate) fn resume(
        &self,
        state: &mut LogState,
        stop: Stop,
        jobs: &mut [QueuedBatch],
    ) -> Option<usize> {
        match stop {
            Stop::Done => None,
            Stop::Full(next) => Some(next),
            Stop::Roll(next) => match self.roll(state) {
                Ok(()) => Some(next),
                Err(error) => {
                    fail_rest(jobs, next, &self.append_error(error));
                    None
                }
            },
        }
    }

    /// Checks jobs from `at` on and gives them offsets, until one needs a new segment. Jobs that fail, and duplicates,
    /// have their outcome afterwards.
    pub(crate) fn plan(
        &self,
        state: &mut LogState,
        jobs: &mut [QueuedBatch],
        at: usize,
    ) -> (Run, Stop) {
        let mut run = Run::new(state, jobs.len() - at);
        if let Err(error) = self.check_writable(&jobs[at..]) {
            fail_rest(jobs, at, &error);
            return (run, Stop::Done);
        }
        let options = self.options.load();
        for (index, job) in jobs.iter_mut().enumerate().skip(at) {
            if run.members.len() * 2 + 2 > MAX_SLICES {
                return (run, Stop::Full(index));
            }
            let header = match self.check(job, options.segment_bytes) {
                Ok(header) => header,
                Err(error) => {
                    job.outcome = Some(Err(error));
                    continue;
                }
            };
            if self.must_roll(state, &run, &header, &options) {
                return (run, Stop::Roll(index));
            }
            match self.admit(state, &mut run, job, header) {
                Ok(None) => run.take(index, job, header),
                Ok(Some(duplicate)) => job.outcome = Some(Ok(duplicate)),
                Err(error) => job.outcome = Some(Err(error)),
            }
        }
        (run, Stop::Done)
    }

    /// What holds for the whole group: the log is there, its directory works and has room.
    fn check_writable(&self, jobs: &[QueuedBatch]) -> Result<(), AppendError> {
        if self.is_deleted() {
            return Err(AppendError::Deleted);
        }
        if let Some(reason) = self.dir.offline() {
            return Err(AppendError::Offline {
                dir: self.dir.path.clone(),
                reason,
            });
        }
        // What was accepted must find its place, and consumers must be able to commit and to rebalance, or a full store could not
        // be drained.
        let clients = jobs
            .iter()
            .filter(|job| matches!(job.source, BatchSource::Job(origin) if origin.is_client()));
        let bytes: usize = clients.map(|job| job.batch.len()).sum();
        if bytes > 0 && !self.dir.disk.admits(bytes) {
            return Err(self.disk_full());
        }
        Ok(())
    }

    fn check(&self, job: &QueuedBatch, segment_bytes: u32) -> Result<BatchHeader, AppendError> {
        let header = BatchHeader::parse(&job.batch)
            .map_err(|error| AppendError::InvalidBatch(error.to_string()))?;
        if header.total_len() != job.batch.len() || header.last_offset_delta < 0 {
            return Err(AppendError::InvalidBatch(
                "the length or the last offset is wrong".to_owned(),
            ));
        }
        let current = self.leader_epoch();
        let fenced = match job.source {
            BatchSource::Job(origin) if origin.is_client() => job.leader_epoch != current,
            BatchSource::Job(_) => job.leader_epoch < current,
            BatchSource::Journal => false,
        };
        if fenced {
            return Err(AppendError::FencedLeaderEpoch {
                current,
                found: job.leader_epoch,
            });
        }
        if header.total_len() > usize::try_from(segment_bytes).unwrap_or(usize::MAX) {
            return Err(AppendError::BatchExceedsSegment {
                bytes: header.total_len(),
                segment_bytes,
            });
        }
        Ok(header)
    }

    /// Kafka's `LogSegment.shouldRoll`: size, age by the records' own time, or offsets too far apart for the index.
    fn must_roll(
        &self,
        state: &LogState,
        run: &Run,
        header: &BatchHeader,
        options: &LogOptions,
    ) -> bool {
        let facts = state.active.facts();
        let size = facts.size.saturating_add(run.bytes as u64);
        if size == 0 {
            return false;
        }
        let limit = u64::from(options.segment_bytes).min(MAX_SEGMENT_BYTES);
        let last_offset = run
            .next_offset
            .saturating_add(i64::from(header.last_offset_delta));
        size.saturating_add(header.total_len() as u64) > limit
            || last_offset.saturating_sub(state.active.base_offset) > i64::from(i32::MAX)
            || self.is_too_old(state, &facts, run, header.max_timestamp, options)
    }

    fn is_too_old(
        &self,
        state: &LogState,
        facts: &SegmentFacts,
        run: &Run,
        timestamp: i64,
        options: &LogOptions,
    ) -> bool {
        let first = if facts.size > 0 {
            facts.first_timestamp
        } else {
            run.members[0].header.max_timestamp
        };
        let age = match (first, timestamp) {
            (0.., 0..) => timestamp.saturating_sub(first),
            _ => self.dir.now_ms().saturating_sub(state.active.created_ms),
        };
        let jitter = jitter(self.log_id, options.segment_jitter_ms);
        age > options.max_segment_ms().saturating_sub(jitter).max(1)
    }

    /// Sequence checks and the changes they imply. `Some` is the answer for a batch that is in the log already.
    fn admit(
        &self,
        state: &mut LogState,
        run: &mut Run,
        job: &QueuedBatch,
        mut header: BatchHeader,
    ) -> Result<Option<Appended>, AppendError> {
        header.base_offset = run.next_offset;
        let Some(mut batch) = producer_batch(&header, &job.batch) else {
            return Ok(None);
        };
        let checked = match job.source {
            BatchSource::Job(Origin::Internal | Origin::InternalVerified(_)) => {
                // Offsets in a transaction: their sequences mean nothing, but their producer may have been fenced
                // (`ProducerAppendInfo.maybeValidateDataBatch` for `AppendOrigin.COORDINATOR`).
                state.producers.check_epoch(&batch)?;
                batch.marker.is_some()
            }
            BatchSource::Job(_) => true,
            BatchSource::Journal => false,
        };
        if let BatchSource::Job(Origin::Marker { bumps_epoch }) = job.source {
            batch.bumps_epoch = bumps_epoch;
        }
        if checked && let Verdict::Duplicate(known) = state.producers.check(&batch)? {
            return Ok(Some(Appended {
                base_offset: known.base_offset,
                last_offset: known.last_offset,
                log_append_time_ms: known.timestamp,
                log_start_offset: self.log_start_offset(),
                duplicate: true,
            }));
        }
        self.check_verification(state, job, &batch)?;
        let effect = state.producers.apply(&batch, Some(&mut run.undo));
        if effect != TransactionEffect::None {
            run.effects.push(effect);
        }
        Ok(None)
    }

    /// Whether a batch may begin a transaction; a marker takes back what was said for the transaction that it ends.
    fn check_verification(
        &self,
        state: &LogState,
        job: &QueuedBatch,
        batch: &ProducerBatch,
    ) -> Result<(), AppendError> {
        if batch.marker.is_some() {
            let mut verifications = self.verifications.lock();
            verifications.marker(batch.producer_id, batch.epoch, batch.bumps_epoch);
            return Ok(());
        }
        if !batch.transactional {
            return Ok(());
        }
        let guard = match job.source {
            BatchSource::Job(Origin::Verified(guard) | Origin::InternalVerified(guard)) => {
                Some(guard)
            }
            BatchSource::Job(_) => None,
            BatchSource::Journal => return Ok(()),
        };
        let known = state.producers.get(batch.producer_id);
        let is_open =
            known.is_some_and(|it| it.epoch == batch.epoch && it.transaction_start.is_some());
        if is_open {
            return Ok(());
        }
        self.verifications.lock().check(batch, guard, known)
    }

    /// Writes a planned run and publishes it. On failure nothing of it is left, and the error is for all its jobs.
    pub(crate) fn write_run(
        &self,
        state: &mut LogState,
        run: Run,
        jobs: &mut [QueuedBatch],
    ) -> Result<(), AppendError> {
        if run.is_empty() {
            return Ok(());
        }
        let position = state.active.size();
        if let Err(error) = self.write_file(state, &run, position) {
            return Err(self.take_back(state, run, jobs, position, error));
        }
        let first_offset = run.first_offset;
        self.publish(state, run, position, jobs);
        self.flush_if_due(state).map_err(|error| {
            let error = self.append_error(error);
            fail_from(jobs, first_offset, &error);
            error
        })
    }

    fn write_file(&self, state: &LogState, run: &Run, position: u64) -> Result<(), EngineError> {
        let file = state.active.file_for_append()?;
        let mut slices = run.slices();
        let mut left = slices.as_mut_slice();
        let mut at = position;
        while !left.is_empty() {
            match rustix::io::pwritev(&*file, left, at) {
                Ok(0) => {
                    return Err(EngineError::io(
                        &state.active.path(),
                        "append",
                        rustix::io::Errno::NOSPC,
                    ));
                }
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(EngineError::io(&state.active.path(), "append", error)),
            }
        }
        Ok(())
    }

    /// Gives up a planned run that was not written.
    pub(crate) fn abandon_run(
        &self,
        state: &mut LogState,
        run: Run,
        jobs: &mut [QueuedBatch],
        error: EngineError,
    ) -> AppendError {
        let position = state.active.size();
        self.take_back(state, run, jobs, position, error)
    }

    /// After a failed write: the file gets its old length back, the producer state its old content.
    fn take_back(
        &self,
        state: &mut LogState,
        run: Run,
        jobs: &mut [QueuedBatch],
        position: u64,
        error: EngineError,
    ) -> AppendError {
        tracing::warn!(topic = self.topic, partition = self.key.partition, %error, "append failed");
        if let Ok(file) = state.active.file()
            && let Err(error) = file.set_len(position)
        {
            // What was half written is in the way of the next append: this log cannot be trusted any more.
            self.dir
                .go_offline(&format!("cannot roll back a failed append: {error}"));
        }
        let error = self.append_error(error);
        fail_from(jobs, run.first_offset, &error);
        for member in &run.members {
            jobs[member.job].outcome = Some(Err(error.clone()));
        }
        state.producers.roll_back(run.undo);
        error
    }

    /// Turns a failure into the answer, and draws the consequences for the directory.
    pub(crate) fn append_error(&self, error: EngineError) -> AppendError {
        self.dir.judge(&error);
        if error.no_space {
            self.disk_full()
        } else {
            AppendError::Engine(error)
        }
    }

    fn disk_full(&self) -> AppendError {
        AppendError::DiskFull {
            dir: self.dir.path.clone(),
            free_bytes: self.dir.disk.free(),
        }
    }

    /// Makes a written run visible: index, facts, offsets, tail cache, outcomes.
    fn publish(&self, state: &mut LogState, run: Run, position: u64, jobs: &mut [QueuedBatch]) {
        self.index_run(state, &run, position);
        let added = run.bytes as u64;
        state.active.publish_size(position + added);
        state.end_offset = run.next_offset;
        state.unsaved_bytes += added;
        state.unflushed_records = state.unflushed_records.saturating_add(run.records);
        self.note_unflushed(state);
        self.mark_dirty(state);
        if run.leader_epoch > self.leader_epoch()
            && let Err(error) = self.begin_epoch(run.leader_epoch, run.first_offset)
        {
            tracing::warn!(topic = self.topic, partition = self.key.partition, %error, "leader epoch is not saved");
        }
        self.offsets.size.fetch_add(added, Ordering::Relaxed);
        let metrics = &self.dir.shared.metrics;
        metrics.appended_bytes.inc_by(added);
        metrics.appended_batches.inc_by(run.members.len() as u64);
        self.publish_offsets(&run);
        self.answer(run, jobs);
    }

    fn publish_offsets(&self, run: &Run) {
        let mut transactions = self.transactions.lock();
        for effect in &run.effects {
            transactions.apply(*effect);
            if let TransactionEffect::Begin { producer_id, .. } = effect {
                self.verifications.lock().end(*producer_id);
            }
        }
        let sole = self.is_sole_replica();
        let high_watermark = if sole {
            run.next_offset
        } else {
            self.high_watermark()
        };
        let undecided = transactions
            .first_undecided(high_watermark)
            .unwrap_or(i64::MAX);
        self.offsets
            .first_undecided
            .store(undecided, Ordering::Release);
        self.offsets.end.store(run.next_offset, Ordering::Release);
        if sole {
            self.offsets
                .high_watermark
                .store(high_watermark, Ordering::Release);
        }
    }

    /// Outcomes for the jobs, and the bytes for the tail cache.
    fn answer(&self, run: Run, jobs: &mut [QueuedBatch]) {
        let log_start_offset = self.log_start_offset();
        for member in &run.members {
            jobs[member.job].outcome = Some(Ok(Appended {
                base_offset: member.header.base_offset,
                last_offset: member.header.last_offset(),
                log_append_time_ms: -1,
                log_start_offset,
                duplicate: false,
            }));
        }
        let cached = run.members.into_iter().map(|member| CachedBatch {
            base_offset: member.header.base_offset,
            last_offset: member.header.last_offset(),
            head: member.head,
            rest: member.rest,
        });
        self.dir.shared.tail_cache.push(&self.tail, cached);
    }

    fn index_run(&self, state: &LogState, run: &Run, position: u64) {
        let interval = u64::from(self.options.load().index_interval_bytes);
        let mut at = position;
        for member in &run.members {
            index_batch(&state.active, interval, &member.header, at);
            at += member.header.total_len() as u64;
            if state.active.index.read().is_full() {
                self.save_index_block(&state.active);
            }
        }
    }

    /// A full block goes to RocksDB at once; should that fail, it stays in memory and is tried again.
    pub(crate) fn save_index_block(&self, segment: &Segment) {
        let mut batch = WriteBatch::default();
        put_block(&mut batch, self.log_id, segment);
        match self.dir.db.write(batch, Durability::Process) {
            Ok(()) => segment.index.write().mark_stored(),
            Err(error) => tracing::debug!(%error, "index block is not saved"),
        }
    }

    /// Notes a new leader epoch in memory and in RocksDB. The caller holds the log's lock.
    pub(crate) fn begin_epoch(&self, epoch: i32, start_offset: i64) -> Result<(), EngineError> {
        let mut epochs = self.epochs.write();
        if !epochs.assign(epoch, start_offset) {
            return Ok(());
        }
        self.offsets.leader_epoch.store(epoch, Ordering::Release);
        let mut batch = WriteBatch::default();
        batch.put(
            keys::log(Table::LeaderEpochs, self.log_id),
            keys::encode_epochs(epochs.list()),
        );
        self.dir.db.write(batch, Durability::Process)
    }
}

impl Run {
    /// Gives the job's batch its place and takes its bytes; copies nothing but, at most, the first sixteen.
    fn take(&mut self, index: usize, job: &mut QueuedBatch, mut header: BatchHeader) {
        header.base_offset = self.next_offset;
        header.partition_leader_epoch = job.leader_epoch;
        let (head, rest) = match std::mem::take(&mut job.batch).try_into_mut() {
            Ok(mut unique) => {
                patch(&mut unique, &header);
                (Bytes::new(), unique.freeze())
            }
            Err(shared) => {
                self.heads.extend_from_slice(&shared[..MAGIC_AT]);
                let mut head = self.heads.split();
                patch(&mut head, &header);
                (head.freeze(), shared.slice(MAGIC_AT..))
            }
        };
        self.bytes += header.total_len();
        self.records += i64::from(header.last_offset_delta) + 1;
        self.next_offset = header.next_offset();
        self.leader_epoch = self.leader_epoch.max(job.leader_epoch);
        self.members.push(Member {
            job: index,
            header,
            head,
            rest,
        });
    }
}

/// Both fields lie in front of what the checksum covers.
fn patch(bytes: &mut [u8], header: &BatchHeader) {
    batch::set_base_offset(bytes, header.base_offset);
    batch::set_leader_epoch(bytes, header.partition_leader_epoch);
}

/// Takes one batch at `position` into a segment's facts and index; append and recovery both come through here.
pub(crate) fn index_batch(segment: &Segment, interval: u64, header: &BatchHeader, position: u64) {
    segment.update_facts(|facts| {
        if facts.bytes_since_index > interval
            && let Ok(position) = u32::try_from(position)
        {
            let entry = IndexEntry {
                offset: header.base_offset,
                position,
                max_timestamp_before: facts.max_timestamp,
            };
            segment.index.write().push(entry);
            facts.bytes_since_index = 0;
        }
        PartitionLog::note_facts(facts, header);
    });
}

/// Replaces every success at or above `first_offset`, answers that called such a batch a duplicate included.
fn fail_from(jobs: &mut [QueuedBatch], first_offset: i64, error: &AppendError) {
    for job in jobs {
        if matches!(&job.outcome, Some(Ok(done)) if done.base_offset >= first_offset) {
            job.outcome = Some(Err(error.clone()));
        }
    }
}

/// Gives every job from `at` on that has no outcome this one.
pub(crate) fn fail_rest(jobs: &mut [QueuedBatch], at: usize, error: &AppendError) {
    for job in &mut jobs[at..] {
        job.outcome.get_or_insert_with(|| Err(error.clone()));
    }
}
