//! Taking records away: at the front by retention and `DeleteRecords`, at the end by truncation, and all of them.
//!
//! The log start moves first and the files go afterwards, so that nobody is sent to a file that is not there. At the end
//! it is the other way round: the files are cut first, and what RocksDB says beyond them is worthless from then on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::WriteBatch;

use crate::db::Durability;
use crate::error::{ChangeError, EngineError};
use crate::keys::{self, PER_LOG, Table};
use crate::partition_log::{LogState, PartitionLog};
use crate::recovery::{self, LastStop, Recovered, Source};
use crate::segment::Segment;

impl PartitionLog {
    /// Moves the log start to `before` (`DeleteRecords`), and answers the log start. Lower offsets change nothing. The
    /// new start is on the disk when this returns; files go later. Blocks.
    pub fn delete_records(&self, before: i64) -> Result<i64, ChangeError> {
        self.check_usable()?;
        let high_watermark = self.high_watermark();
        if before < 0 || before > high_watermark {
            return Err(ChangeError::OutOfRange {
                offset: before,
                high_watermark,
            });
        }
        let trimming = self.trimming.lock();
        if before > self.log_start_offset() {
            self.move_log_start(before, Durability::Machine)?;
        }
        drop(trimming);
        self.dir.upkeep.wake(|work| work.run_retention = true);
        Ok(self.log_start_offset())
    }

    /// Removes the segments that this log's options no longer keep; how many. Called by maintenance. Blocks, but holds up
    /// the log's writer only for a moment.
    pub fn retain(&self) -> Result<usize, ChangeError> {
        let _trimming = self.trimming.lock();
        self.check_usable()?;
        let now_ms = self.dir.now_ms();
        self.expire_producers(now_ms);
        let mut count = self.expired(now_ms);
        if count == self.segments.load().len() {
            // The active one goes too, if there is anything in it; a fresh one takes its place. Asked again under the lock:
            // a batch may just have been appended.
            let mut state = self.lock();
            if state.active.size() > 0 && self.expired(now_ms) == count {
                self.roll(&mut state)?;
            } else {
                count -= 1;
            }
        }
        if count > 0 {
            self.remove_front(count)?;
        }
        Ok(count)
    }

    fn expire_producers(&self, now_ms: i64) {
        let mut state = self.lock();
        let expiration_ms = self.dir.shared.options.producer_id_expiration_ms;
        state.producers.expire(now_ms, expiration_ms);
        if state.producers.has_dirty() {
            self.mark_dirty(&mut state);
        }
    }

    /// How many segments at the front may go (Kafka's `UnifiedLog.deleteOldSegments`): below the log start, too old, or
    /// more than `retention.bytes`. Nothing at or above the high watermark goes.
    fn expired(&self, now_ms: i64) -> usize {
        let (options, segments) = (self.options.load(), self.segments.load());
        let (start, high_watermark) = (self.log_start_offset(), self.high_watermark());
        let mut size: u64 = segments.iter().map(|segment| segment.size()).sum();
        let mut count = 0;
        for segment in segments.iter() {
            let facts = segment.facts();
            let last = count + 1 == segments.len();
            let too_large = options.delete
                && u64::try_from(options.retention_bytes)
                    .is_ok_and(|limit| size.saturating_sub(facts.size) >= limit);
            let too_old = options.delete
                && options.retention_ms >= 0
                && now_ms.saturating_sub(last_change_ms(segment)) > options.retention_ms;
            let below_start = !last && facts.end_offset <= start;
            if facts.end_offset > high_watermark
                || !(below_start || too_old || (too_large && facts.size > 0))
            {
                break;
            }
            size = size.saturating_sub(facts.size);
            count += 1;
        }
        count
    }

    /// Removes the first `count` segments. The caller holds `trimming`, so nobody else shortens the list.
    fn remove_front(&self, count: usize) -> Result<(), EngineError> {
        let segments = self.segments.load_full();
        let count = count.min(segments.len() - 1);
        let first = segments[count].base_offset;
        if first > self.log_start_offset() {
            self.move_log_start(first, Durability::Process)?;
        }
        let mut state = self.lock();
        let segments = self.segments.load_full();
        let (gone, kept) = segments.split_at(count);
        self.segments.store(Arc::new(kept.to_vec()));
        state.synced_base = state.synced_base.max(first);
        state
            .changed_segments
            .retain(|segment| segment.base_offset >= first);
        drop(state);
        self.drop_segments(gone)?;
        tracing::debug!(
            topic = self.topic,
            partition = self.key.partition,
            count,
            log_start_offset = first,
            "segments removed"
        );
        Ok(())
    }

    /// Renames the files away and forgets their rows; the files themselves go after `file.delete.delay.ms`.
    fn drop_segments(&self, gone: &[Arc<Segment>]) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        let due = self
            .dir
            .now_ms()
            .saturating_add(self.options.load().file_delete_delay_ms);
        for segment in gone {
            let path = segment.retire()?;
            self.dir.upkeep.add(|work| work.deletions.push((due, path)));
            batch.delete(keys::segment(self.log_id, segment.base_offset));
            self.dir.db.delete_prefix(
                &mut batch,
                &keys::index_prefix(self.log_id, segment.base_offset),
            )?;
            self.offsets
                .size
                .fetch_sub(segment.size(), Ordering::Relaxed);
            self.dir.shared.metrics.segments.dec();
        }
        self.dir.db.write(batch, Durability::Process)
    }

    /// The new start is written first, and the log's lock is not held meanwhile: nobody waits for the sync. The rows that
    /// the start makes worthless follow; losing that write does no harm.
    fn move_log_start(&self, start: i64, durability: Durability) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        let number = keys::encode_number(u64::try_from(start).unwrap_or(0));
        batch.put(keys::log(Table::LogStart, self.log_id), number);
        self.dir.db.write(batch, durability)?;
        self.offsets.start.store(start, Ordering::Release);

        let mut batch = WriteBatch::default();
        let mut transactions = self.transactions.lock();
        for aborted in transactions.forget_below(start) {
            batch.delete(keys::aborted(self.log_id, &aborted));
        }
        let undecided = transactions.first_undecided(self.high_watermark());
        let undecided = undecided.unwrap_or(i64::MAX);
        self.offsets
            .first_undecided
            .store(undecided, Ordering::Release);
        drop(transactions);
        let mut epochs = self.epochs.write();
        if epochs.truncate_from_start(start) {
            let list = keys::encode_epochs(epochs.list());
            batch.put(keys::log(Table::LeaderEpochs, self.log_id), list);
        }
        self.dir.db.write(batch, Durability::Process)
    }

    /// Removes everything at or above `offset`, which must be where a batch begins for nothing below it to go as well: a
    /// follower does this when it finds out that its leader has another history (KIP-101). Answers the new log end.
    ///
    /// The file is cut first. A crash before RocksDB hears of it leaves rows that the files do not bear out, and opening
    /// then rebuilds the state from the files. Blocks, also the writer of this log.
    pub fn truncate_to(&self, offset: i64) -> Result<i64, ChangeError> {
        self.check_usable()?;
        let _trimming = self.trimming.lock();
        let mut state = self.lock();
        if offset >= state.end_offset {
            return Ok(state.end_offset);
        }
        self.keep_view_below(offset)?;
        let before = self.segments.load().len();
        if let Err(error) = self.cut_files(&state, offset.max(0)) {
            // What is left of the log is not known.
            self.dir.go_offline(&error.to_string());
            return Err(error.into());
        }
        let journaled = self.dir.journal.note_truncation(self, offset);
        if let Err(error) = journaled.and_then(|()| self.reload(&mut state, before)) {
            // Memory and files disagree now; only opening the directory again can tell.
            self.dir
                .go_offline(&format!("truncation failed halfway: {error}"));
            return Err(error.into());
        }
        Ok(state.end_offset)
    }

    fn cut_files(&self, state: &LogState, offset: i64) -> Result<(), EngineError> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let segments = self.segments.load_full();
        let (kept, gone) =
            segments.split_at(segments.partition_point(|segment| segment.base_offset < offset));
        let mut kept = kept.to_vec();
        if kept.is_empty() {
            // The log goes on from where it was told to end.
            let facts = keys::SegmentFacts::empty(offset);
            kept.push(Arc::new(Segment::new(
                Arc::clone(&self.path),
                offset,
                facts,
                self.dir.now_ms(),
            )));
        }
        let last = kept.last().cloned();
        // Out of the list before out of the directory: who fails to open a file looks whether it is still listed.
        self.segments.store(Arc::new(kept));
        // Newest first: a crash leaves a log without a hole.
        for segment in gone.iter().rev() {
            let path = segment.retire()?;
            self.dir.upkeep.add(|work| work.deletions.push((0, path)));
        }
        if let Some(last) = last {
            let position = self.position_of(&last, offset)?;
            let file = last.file_for_append()?;
            file.set_len(position)
                .map_err(|error| EngineError::io(&last.path(), "cut segment", error))?;
        }
        self.dir.shared.tail_cache.clear(&self.tail);
        self.generation.fetch_add(1, Ordering::AcqRel);
        tracing::info!(
            topic = self.topic,
            partition = self.key.partition,
            from = state.end_offset,
            to = offset,
            "log truncated"
        );
        Ok(())
    }

    /// Position of the batch that contains `offset`.
    fn position_of(&self, segment: &Segment, offset: i64) -> Result<u64, EngineError> {
        if segment.size() == 0 {
            return Ok(0);
        }
        let file = segment.file()?;
        let mut scanner =
            crate::scan::Scanner::new(&file, segment.base_offset, 0, segment.size()).without_crc();
        loop {
            let position = scanner.position();
            match scanner
                .next()
                .map_err(|error| EngineError::io(&segment.path(), "read segment", error))?
            {
                crate::scan::Next::Batch(found) if found.header.last_offset() >= offset => {
                    return Ok(position);
                }
                crate::scan::Next::Batch(_) => {}
                crate::scan::Next::End | crate::scan::Next::Bad(_) => return Ok(position),
            }
        }
    }

    /// Rebuilds the state from the files, as opening would.
    fn reload(&self, state: &mut LogState, before: usize) -> Result<(), EngineError> {
        let recovered = recovery::rebuild(Source {
            db: &self.dir.db,
            log_id: self.log_id,
            key: self.key,
            topic: &self.topic,
            path: &self.path,
            last_stop: LastStop::ProcessCrash,
            index_interval_bytes: u64::from(self.options.load().index_interval_bytes),
            now_ms: self.dir.now_ms(),
        })?;
        let cleaned = recovered.cleaned;
        self.install(state, recovered, before);
        self.cleaning.set_offsets(cleaned);
        let mut batch = WriteBatch::default();
        batch.put(keys::log(Table::Cleaned, self.log_id), cleaned.encode());
        let epochs = keys::encode_epochs(self.epochs.read().list());
        batch.put(keys::log(Table::LeaderEpochs, self.log_id), epochs);
        let start = u64::try_from(self.log_start_offset()).unwrap_or(0);
        batch.put(
            keys::log(Table::LogStart, self.log_id),
            keys::encode_number(start),
        );
        self.dir.db.write(batch, Durability::Process)?;
        self.save(state)
    }

    fn install(&self, state: &mut LogState, recovered: Recovered, before: usize) {
        let before = i64::try_from(before).unwrap_or(0);
        let added = i64::try_from(recovered.segments.len()).unwrap_or(0) - before;
        self.dir.shared.metrics.segments.add(added);
        state.active = Arc::clone(
            recovered
                .segments
                .last()
                .expect("recovery always leaves an active segment"),
        );
        state.end_offset = recovered.log_end_offset;
        state.producers = recovered.producers;
        state.changed_segments = recovered.changed;
        state.synced_base = 0;
        let size = recovered
            .segments
            .iter()
            .map(|segment| segment.size())
            .sum();
        self.segments.store(Arc::new(recovered.segments));
        *self.epochs.write() = recovered.epochs;
        let mut transactions = self.transactions.lock();
        *transactions = recovered.transactions;
        self.offsets
            .end
            .store(recovered.log_end_offset, Ordering::Release);
        self.offsets
            .high_watermark
            .fetch_min(recovered.log_end_offset, Ordering::AcqRel);
        self.offsets
            .start
            .fetch_min(recovered.log_end_offset, Ordering::AcqRel);
        self.offsets.size.store(size, Ordering::Relaxed);
        let undecided = transactions
            .first_undecided(self.high_watermark())
            .unwrap_or(i64::MAX);
        self.offsets
            .first_undecided
            .store(undecided, Ordering::Release);
        drop(transactions);
        self.mark_dirty(state);
    }

    /// Takes the log out of RocksDB and its directory out of sight. The caller has marked it deleted.
    pub(crate) fn erase(&self) -> Result<(), EngineError> {
        let _trimming = self.trimming.lock();
        let _state = self.lock();
        let mut batch = WriteBatch::default();
        batch.delete(keys::log_map(&self.key));
        for table in PER_LOG {
            self.dir
                .db
                .delete_prefix(&mut batch, &keys::log(table, self.log_id))?;
        }
        self.dir.db.write(batch, Durability::Process)?;
        let retired = self.remove_path();
        match std::fs::rename(&self.path, &retired) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.engine_error("retire log directory", error)),
        }
        self.dir.shared.tail_cache.clear(&self.tail);
        let segments = self.segments.load();
        self.dir
            .shared
            .metrics
            .segments
            .sub(i64::try_from(segments.len()).unwrap_or(0));
        let due = self
            .dir
            .now_ms()
            .saturating_add(self.options.load().file_delete_delay_ms);
        self.dir
            .upkeep
            .add(|work| work.deletions.push((due, retired)));
        Ok(())
    }
}

/// When a segment was last added to: by its records' time, or without one by when it was begun.
fn last_change_ms(segment: &Segment) -> i64 {
    let facts = segment.facts();
    if facts.max_timestamp >= 0 {
        facts.max_timestamp
    } else {
        segment.created_ms
    }
}
